/* Character classes of HTTP (RFC 9110, 5.6.2; RFC 3986). Pure; shared by the files of this folder. */
#pragma once

#include "base/str.h"

static inline bool http_in_set(unsigned char c, uint64_t low, uint64_t high)
{
    return c < 64 ? (low >> c) & 1 : c < 128 && ((high >> (c - 64)) & 1);
}

/* tchar: letters, digits and !#$%&'*+-.^_`|~ */
static inline bool http_is_token_char(char c)
{
    return http_in_set((unsigned char)c, 0x3ff6cfa00000000ULL, 0x57ffffffc7fffffeULL);
}

/* Bytes of a field value: tab, visible ASCII, space and whatever is above (UTF-8). */
static inline bool http_is_value_char(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= 0x20 && u != 0x7f);
}

static inline bool http_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit, or -1. */
static inline int http_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static inline bool http_is_token(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is_token_char(s.at[i]))
            return false;
    return s.n > 0;
}

static inline bool http_is_value(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is_value_char(s.at[i]))
            return false;
    return true;
}
