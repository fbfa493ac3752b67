/* Borrowed slices of bytes: a pointer and a length, not ended by NUL, never owned. */
#pragma once

#include <string.h>

#include "base/compiler.h"

struct hob_str {
    const char *at;
    size_t n;
};

#define HOB_STR(literal) ((struct hob_str){(literal), sizeof(literal) - 1})
/* For printf's "%.*s". */
#define HOB_STR_ARG(s) (int)(s).n, (s).at

static inline struct hob_str hob_str(const char *s)
{
    return (struct hob_str){s, s ? strlen(s) : 0};
}
static inline struct hob_str hob_str_n(const void *at, size_t n)
{
    return (struct hob_str){at, n};
}
static inline bool hob_str_eq(struct hob_str a, struct hob_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}
static inline bool hob_str_is(struct hob_str a, const char *s)
{
    return hob_str_eq(a, hob_str(s));
}
/* ASCII case-insensitive, as HTTP field names compare. */
bool hob_str_ieq(struct hob_str a, struct hob_str b);
bool hob_str_starts(struct hob_str s, struct hob_str prefix);
/* The part before the first `sep`; *rest gets what follows it (at == NULL when there was no `sep`). */
struct hob_str hob_str_cut(struct hob_str s, char sep, struct hob_str *rest);
/* Without leading and trailing spaces and tabs. */
struct hob_str hob_str_trim(struct hob_str s);
/* Decimal digits only, no sign, no space; false on anything else and on overflow. */
HOB_MUST_USE bool hob_str_u64(struct hob_str s, uint64_t *ret_value);
/* Decimal digits of `v`, `digits_min` at least, written before `end`; returns where they begin. 20 bytes at
 * most, unless more are asked for. */
char *hob_digits_put(char *end, uint64_t v, unsigned digits_min);
/* App, function and alias names: a-z, 0-9, '-', 1 to 64 characters, a letter first, no '-' last. */
bool hob_name_is_valid(struct hob_str s);
/* Valid UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). */
bool hob_utf8_is_valid(struct hob_str s);
/* Damerau-Levenshtein distance, at most `max` + 1; for "did you mean". */
unsigned hob_edit_distance(const char *a, const char *b, unsigned max);
/* The nearest of `names` within a third of the word's length, else the first that begins with the word (3 characters or
 * more), or NULL. Returns borrowed. */
const char *hob_nearest(const char *word, const char *const *names, size_t names_n);
