#include "base/str.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool hob_str_ieq(struct hob_str a, struct hob_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

bool hob_str_starts(struct hob_str s, struct hob_str prefix)
{
    return s.n >= prefix.n && memcmp(s.at, prefix.at, prefix.n) == 0;
}

struct hob_str hob_str_cut(struct hob_str s, char sep, struct hob_str *rest)
{
    const char *hit = s.n ? memchr(s.at, sep, s.n) : NULL;
    if (!hit) {
        *rest = (struct hob_str){NULL, 0};
        return s;
    }
    size_t n = (size_t)(hit - s.at);
    *rest = (struct hob_str){hit + 1, s.n - n - 1};
    return (struct hob_str){s.at, n};
}

struct hob_str hob_str_trim(struct hob_str s)
{
    while (s.n && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.n--;
    while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool hob_str_u64(struct hob_str s, uint64_t *ret_value)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.at[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret_value = v;
    return true;
}

char *hob_digits_put(char *end, uint64_t v, unsigned digits_min)
{
    char *at = end;
    for (; v || digits_min; v /= 10, digits_min -= digits_min > 0)
        *--at = (char)('0' + v % 10);
    return at;
}

bool hob_name_is_valid(struct hob_str s)
{
    if (s.n < 1 || s.n > 64 || s.at[0] < 'a' || s.at[0] > 'z' || s.at[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

/* Length of the well-formed sequence at `at`, or 0. */
static size_t utf8_sequence(const unsigned char *at, size_t n)
{
    unsigned char c = at[0];
    if (c < 0x80)
        return 1;
    size_t need = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (need == 0 || n < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
                  (c == 0xf4 && at[1] > 0x8f);
    return is_bad ? 0 : need;
}

bool hob_utf8_is_valid(struct hob_str s)
{
    const unsigned char *at = (const unsigned char *)s.at;
    size_t left = s.n;
    while (left) {
        size_t k = utf8_sequence(at, left);
        if (k == 0)
            return false;
        at += k;
        left -= k;
    }
    return true;
}

unsigned hob_edit_distance(const char *a, const char *b, unsigned max)
{
    enum { N = 64 };
    size_t an = strlen(a), bn = strlen(b);
    if (an > N || bn > N)
        return max + 1;
    unsigned rows[3][N + 1];
    for (size_t j = 0; j <= bn; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i - 1) % 3], *older = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned cost = lower(a[i - 1]) != lower(b[j - 1]);
            unsigned best = last[j - 1] + cost;
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && older[j - 2] + 1 < best)
                best = older[j - 2] + 1;
            now[j] = best;
        }
    }
    unsigned d = rows[an % 3][bn];
    return d > max ? max + 1 : d;
}

const char *hob_nearest(const char *word, const char *const *names, size_t names_n)
{
    unsigned limit = (unsigned)(strlen(word) / 3);
    limit = limit < 1 ? 1 : limit;
    const char *best = NULL;
    for (size_t i = 0; i < names_n; i++) {
        unsigned d = hob_edit_distance(word, names[i], limit);
        if (d <= limit) {
            best = names[i];
            if (d == 0)
                break;
            limit = d - 1;
        }
    }
    for (size_t i = 0; !best && strlen(word) >= 3 && i < names_n; i++)
        if (names[i] && strncmp(names[i], word, strlen(word)) == 0)
            best = names[i];
    return best;
}
