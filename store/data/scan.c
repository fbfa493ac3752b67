/* Reading JSON text in place. The documents were written by us, but a damaged file may hold anything: every step looks
 * at the end. */
#include <stdlib.h>
#include <string.h>

#include "store/data/data_priv.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* Behind the closing quote; NULL when there is none. `at` is behind the opening one. */
static const char *skip_string(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
    }
    return NULL;
}

static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;
    while (at && at < end) {
        char c = *at++;
        if (c == '"')
            at = skip_string(at, end);
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return NULL;
}

static const char *skip_plain(const char *at, const char *end)
{
    while (at < end && *at != ',' && *at != '}' && *at != ']' && !is_space(*at))
        at++;
    return at;
}

struct hob_str scan_value(const char *at, const char *end)
{
    at = skip_spaces(at, end);
    const char *behind = NULL;
    if (at < end && *at == '"')
        behind = skip_string(at + 1, end);
    else if (at < end && (*at == '{' || *at == '['))
        behind = skip_nested(at, end);
    else if (at < end)
        behind = skip_plain(at, end);
    return behind && behind > at ? hob_str_n(at, (size_t)(behind - at)) : (struct hob_str){NULL, 0};
}

struct scan_iter scan_inside(struct hob_str json)
{
    struct scan_iter it = {json.at, json.at + json.n};
    it.at = skip_spaces(it.at, it.end);
    if (it.at < it.end && (*it.at == '{' || *it.at == '['))
        it.at++;
    else
        it.at = it.end;
    return it;
}

bool scan_next(struct scan_iter *it, struct hob_str *ret_value)
{
    it->at = skip_spaces(it->at, it->end);
    if (it->at < it->end && *it->at == ',')
        it->at++;
    struct hob_str v = scan_value(it->at, it->end);
    if (!v.at)
        return false;
    it->at = v.at + v.n;
    *ret_value = v;
    return true;
}

bool scan_next_member(struct scan_iter *it, struct hob_str *ret_raw_name, struct hob_str *ret_value)
{
    struct hob_str name;
    if (!scan_next(it, &name) || name.at[0] != '"')
        return false;
    const char *at = skip_spaces(it->at, it->end);
    if (at >= it->end || *at != ':')
        return false;
    it->at = at + 1;
    struct hob_str v = scan_value(it->at, it->end);
    if (!v.at)
        return false;
    it->at = v.at + v.n;
    *ret_raw_name = name;
    *ret_value = v;
    return true;
}

static bool is_name(struct hob_str raw, struct hob_str name)
{
    if (raw.n == name.n + 2 && memcmp(raw.at + 1, name.at, name.n) == 0)
        return true;
    if (raw.n < name.n + 2 || !memchr(raw.at, '\\', raw.n))
        return false;
    struct hob_buf scratch;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    bool is = hob_str_eq(scan_text(raw, &scratch), name);
    hob_buf_done(&scratch);
    return is;
}

struct hob_str scan_member(struct hob_str object, struct hob_str name)
{
    struct scan_iter it = scan_inside(object);
    struct hob_str raw, value;
    if (object.n == 0 || object.at[0] != '{')
        return (struct hob_str){NULL, 0};
    while (scan_next_member(&it, &raw, &value))
        if (is_name(raw, name))
            return value;
    return (struct hob_str){NULL, 0};
}

static struct hob_str element_at(struct hob_str array, struct hob_str digits)
{
    uint64_t at = 0;
    struct hob_str value;
    struct scan_iter it = scan_inside(array);
    if (!hob_str_u64(digits, &at))
        return (struct hob_str){NULL, 0};
    for (uint64_t i = 0; scan_next(&it, &value); i++)
        if (i == at)
            return value;
    return (struct hob_str){NULL, 0};
}

struct hob_str scan_path(struct hob_str doc, struct hob_str path)
{
    struct hob_str at = doc, rest = path;
    while (rest.at && at.at && at.n) {
        struct hob_str name = hob_str_cut(rest, '.', &rest);
        at = at.at[0] == '[' ? element_at(at, name) : scan_member(at, name);
    }
    if (!at.at || hob_str_is(at, "null"))
        return (struct hob_str){NULL, 0};
    return at;
}

/* --- strings --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four digits behind "\u"; 0xfffd when they are none. */
static unsigned unit_at(const char *at, const char *end)
{
    unsigned v = 0;
    if (end - at < 4)
        return 0xfffd;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return 0xfffd;
        v = v * 16 + (unsigned)digit;
    }
    return v;
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* `at` is behind "\u"; returns how many characters were used. */
static size_t put_unit(char **to, const char *at, const char *end)
{
    unsigned c = unit_at(at, end);
    size_t used = end - at < 4 ? (size_t)(end - at) : 4;
    if (c >= 0xd800 && c < 0xdc00 && end - at >= 10 && at[4] == '\\' && at[5] == 'u') {
        unsigned low = unit_at(at + 6, end);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            used = 10;
        }
    }
    *to = put_utf8(*to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return used;
}

struct hob_str scan_text(struct hob_str raw, struct hob_buf *scratch)
{
    if (raw.n < 2 || raw.at[0] != '"')
        return (struct hob_str){"", 0};
    struct hob_str inside = hob_str_n(raw.at + 1, raw.n - 2);
    if (!memchr(inside.at, '\\', inside.n))
        return inside;
    hob_buf_clear(scratch);
    char *mem = hob_buf_room(scratch, inside.n),
         *to = mem; /* an escape is never shorter than what it means */
    if (!mem)
        return (struct hob_str){"", 0};
    const char *end = inside.at + inside.n;
    for (const char *at = inside.at; at < end; at++) {
        if (*at != '\\' || at + 1 >= end) {
            *to++ = *at;
            continue;
        }
        static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
        char c = *++at;
        const char *known = c ? strchr(letters, c) : NULL;
        if (c == 'u')
            at += put_unit(&to, at + 1, end);
        else
            *to++ = known ? meaning[known - letters] : c;
    }
    hob_buf_grew(scratch, (size_t)(to - mem));
    return hob_buf_str(scratch);
}

bool scan_number(struct hob_str raw, double *ret_v)
{
    char text[64], *end = NULL;
    if (raw.n == 0 || raw.n >= sizeof text || !(raw.at[0] == '-' || (raw.at[0] >= '0' && raw.at[0] <= '9')))
        return false;
    memcpy(text, raw.at, raw.n);
    text[raw.n] = '\0';
    *ret_v = strtod(text, &end);
    return *end == '\0';
}
