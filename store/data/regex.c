/* Regular expressions of queries: PCRE2 with limits on what a pattern may cost, and what an index can know of a pattern
 * ("^\Qabc\E" is a range). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { JIT_AFTER = 64, NESTING_MAX = 60, HEAP_KIB_MAX = 4096 };

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    uint64_t uses;
    bool is_caseless, is_whole;
    struct hob_buf prefix, folded; /* folded: of the prefix, when it is caseless and whole */
};

static bool options_of(struct hob_str options, uint32_t *ret_flags)
{
    /* as JavaScript means "$" and "^" */
    uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    for (size_t i = 0; i < options.n; i++) {
        switch (options.at[i]) {
        case 'i':
            flags |= PCRE2_CASELESS;
            break;
        case 'm':
            flags |= PCRE2_MULTILINE;
            break;
        case 'x':
            flags |= PCRE2_EXTENDED;
            break;
        case 's':
            flags |= PCRE2_DOTALL;
            break;
        case 'u':
            break;
        default:
            return false;
        }
    }
    *ret_flags = flags;
    return true;
}

/* --- what a pattern begins with --- */

static bool is_literal(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ' ||
           c == '_' || c == '-' || c == '@' || c == ',' || c == ':' || c == '/' || (unsigned char)c >= 0x80;
}

/* Is there a "|" outside quotes? Then nothing is known of how a match begins. */
static bool has_choice(struct hob_str p)
{
    bool is_quoted = false;
    for (size_t i = 0; i < p.n; i++) {
        bool is_escape = p.at[i] == '\\' && i + 1 < p.n;
        if (is_escape && p.at[i + 1] == (is_quoted ? 'E' : 'Q'))
            is_quoted = !is_quoted;
        if (!is_quoted && p.at[i] == '|')
            return true;
        if (is_escape && (!is_quoted || p.at[i + 1] == 'E'))
            i++;
    }
    return false;
}

static void drop_last_character(struct hob_buf *b)
{
    while (b->n && ((unsigned char)b->mem[b->at + b->n - 1] & 0xc0) == 0x80)
        b->n--;
    if (b->n)
        b->n--;
}

/* Returns how many bytes of the pattern the literal beginning took. */
static size_t take_literal(struct hob_str p, size_t from, struct hob_buf *out)
{
    size_t i = from;
    bool is_quoted = false;
    for (; i < p.n; i++) {
        bool is_escape = p.at[i] == '\\' && i + 1 < p.n;
        if (is_escape && p.at[i + 1] == (is_quoted ? 'E' : 'Q')) {
            is_quoted = !is_quoted;
            i++;
        } else if (is_quoted || is_literal(p.at[i])) {
            (void)!hob_buf_add(out, p.at + i, 1);
        } else {
            break;
        }
    }
    return i;
}

static void find_prefix(struct regex *r, struct hob_str p, uint32_t flags)
{
    if (p.n < 2 || p.at[0] != '^' || (flags & (PCRE2_MULTILINE | PCRE2_EXTENDED)) || has_choice(p))
        return;
    size_t end = take_literal(p, 1, &r->prefix);
    r->is_whole = end + 1 == p.n && p.at[end] == '$';
    if (end < p.n && strchr("*?{+", p.at[end]))
        drop_last_character(&r->prefix); /* it may come never */
    if (r->is_whole && r->is_caseless) {
        struct hob_buf scratch;
        hob_buf_init(&scratch, 4 * HOB_MAX_DATA_REGEX_BYTES);
        (void)!hob_buf_add_str(&r->folded, data_fold(hob_buf_str(&r->prefix), &scratch));
        hob_buf_done(&scratch);
    }
}

/* --- life --- */

static enum hob_code compile(struct regex *r, struct hob_str pattern, uint32_t flags, struct hob_err *err)
{
    int number = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    HOB_ASSERT(c);
    (void)pcre2_set_parens_nest_limit(c, NESTING_MAX);
    r->code = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.n, flags, &number, &at, c);
    pcre2_compile_context_free(c);
    if (!r->code) {
        PCRE2_UCHAR text[120] = "";
        (void)pcre2_get_error_message(number, text, sizeof text);
        return hob_fail_parse(err, HOB_E_INVALID, 102, "bad regex: %s at character %zu", (const char *)text,
                              at);
    }
    r->data = pcre2_match_data_create(1, NULL);
    r->limits = pcre2_match_context_create(NULL);
    HOB_ASSERT(r->data && r->limits);
    (void)pcre2_set_match_limit(r->limits, HOB_MAX_DATA_REGEX_STEPS);
    (void)pcre2_set_depth_limit(r->limits, HOB_MAX_DATA_REGEX_STEPS);
    (void)pcre2_set_heap_limit(r->limits, HEAP_KIB_MAX);
    return HOB_OK;
}

struct regex *regex_new(struct hob_str pattern, struct hob_str options, struct hob_err *err)
{
    uint32_t flags = 0;
    if (!options_of(options, &flags)) {
        (void)hob_fail_parse(err, HOB_E_INVALID, 102, "Bad $options value for query: %.*s",
                             (int)(options.n < 40 ? options.n : 40), options.at);
        return NULL;
    }
    if (pattern.n > HOB_MAX_DATA_REGEX_BYTES) {
        (void)hob_fail_parse(err, HOB_E_INVALID, 102, "bad regex: longer than %d bytes",
                             HOB_MAX_DATA_REGEX_BYTES);
        return NULL;
    }
    struct regex *r = hob_new(struct regex);
    hob_buf_init(&r->prefix, HOB_MAX_DATA_REGEX_BYTES);
    hob_buf_init(&r->folded, 4 * HOB_MAX_DATA_REGEX_BYTES);
    r->is_caseless = (flags & PCRE2_CASELESS) != 0;
    if (compile(r, pattern, flags, err) != HOB_OK) {
        regex_free(r);
        return NULL;
    }
    find_prefix(r, pattern, flags);
    return r;
}

void regex_free(struct regex *r)
{
    pcre2_code_free(r->code);
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->limits);
    hob_buf_done(&r->prefix);
    hob_buf_done(&r->folded);
    free(r);
}

struct hob_str regex_prefix(const struct regex *r, bool *ret_is_whole)
{
    *ret_is_whole = r->is_whole;
    return hob_buf_str(&r->prefix);
}

bool regex_is_caseless(const struct regex *r)
{
    return r->is_caseless;
}

static bool is_folded_equal(const struct regex *r, struct hob_str text)
{
    struct hob_buf scratch;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    bool is = hob_str_eq(data_fold(text, &scratch), hob_buf_str(&r->folded));
    hob_buf_done(&scratch);
    return is;
}

enum hob_code regex_matches(struct regex *r, struct hob_str text, bool *ret_matches, struct hob_err *err)
{
    if (r->is_whole) { /* plain equality: as an index sees it */
        *ret_matches = r->is_caseless ? is_folded_equal(r, text) : hob_str_eq(text, hob_buf_str(&r->prefix));
        return HOB_OK;
    }
    if (++r->uses == JIT_AFTER)
        (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* without it matching is slower, not wrong */
    if (budget_is_late())
        return hob_fail(err, HOB_E_TIMEOUT, "the query took too long");
    int rc = pcre2_match(r->code, (PCRE2_SPTR)(text.at ? text.at : ""), text.n, 0, 0, r->data, r->limits);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return hob_fail_parse(err, HOB_E_INVALID, 102,
                              "the regular expression needs more than %d steps on one value: make it simpler",
                              HOB_MAX_DATA_REGEX_STEPS);
    *ret_matches = rc >= 0;
    return HOB_OK;
}

/* --- lower case --- */

static unsigned fold_one(unsigned c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177) ||
        (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) || (c >= 0x1e00 && c <= 0x1e95) ||
        (c >= 0x1ea0 && c <= 0x1eff))
        return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
        return c + (c & 1);
    return c;
}

/* Two-byte and three-byte sequences; others stay as they are. */
static size_t decode(struct hob_str s, size_t i, unsigned *ret_c)
{
    unsigned char a = (unsigned char)s.at[i];
    if (a < 0x80) {
        *ret_c = a;
        return 1;
    }
    if ((a & 0xe0) == 0xc0 && i + 1 < s.n) {
        *ret_c = (a & 0x1fu) << 6 | ((unsigned char)s.at[i + 1] & 0x3fu);
        return 2;
    }
    if ((a & 0xf0) == 0xe0 && i + 2 < s.n) {
        *ret_c = (a & 0x0fu) << 12 | ((unsigned char)s.at[i + 1] & 0x3fu) << 6 |
                 ((unsigned char)s.at[i + 2] & 0x3fu);
        return 3;
    }
    *ret_c = 0;
    return 1;
}

struct hob_str data_fold(struct hob_str s, struct hob_buf *scratch)
{
    hob_buf_clear(scratch);
    char *to = hob_buf_room(scratch, s.n);
    if (!to)
        return s;
    for (size_t i = 0; i < s.n;) {
        unsigned c;
        size_t n = decode(s, i, &c);
        unsigned low = fold_one(c);
        memcpy(to + i, s.at + i, n);
        if (low != c && n == 1) {
            to[i] = (char)low;
        } else if (low != c && n == 2) {
            to[i] = (char)(0xc0 | low >> 6);
            to[i + 1] = (char)(0x80 | (low & 0x3f));
        } else if (low != c) {
            to[i + 1] = (char)(0x80 | (low >> 6 & 0x3f));
            to[i + 2] = (char)(0x80 | (low & 0x3f));
        }
        i += n;
    }
    hob_buf_grew(scratch, s.n);
    return hob_buf_str(scratch);
}
