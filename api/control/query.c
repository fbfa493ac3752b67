#include <string.h>

#include "api/control/control_priv.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX and '+'. False for an escape that is none, for NUL and for what is not UTF-8. */
static bool decode(struct hob_str in, struct hob_arena *arena, struct hob_str *ret_out)
{
    char *out = hob_arena_alloc(arena, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < in.n; i++) {
        char c = in.at[i] == '+' ? ' ' : in.at[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex_value(in.at[i + 1]) : -1;
            int low = i + 2 < in.n ? hex_value(in.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return false;
        out[n++] = c;
    }
    if (!out || !hob_utf8_is_valid(hob_str_n(out, n)))
        return false;
    *ret_out = hob_str_n(out, n);
    return true;
}

static size_t query_index(const struct control_query *queries, struct hob_str name)
{
    size_t i = 0;
    while (queries && queries[i].name && !hob_str_is(name, queries[i].name))
        i++;
    return i;
}

static enum hob_code fail_unknown(const struct control_query *queries, struct hob_str name,
                                  struct hob_err *err)
{
    const char *names[CALL_QUERIES_MAX];
    char word[64];
    size_t n = 0;
    for (; queries && queries[n].name; n++)
        names[n] = queries[n].name;
    size_t word_n = name.n < sizeof word - 1 ? name.n : sizeof word - 1;
    memcpy(word, name.at, word_n);
    word[word_n] = '\0';
    const char *near = n ? hob_nearest(word, names, n) : NULL;
    if (near)
        return hob_fail_reason(err, HOB_E_INVALID, "unknown_parameter",
                               "unknown query parameter '%s'; did you mean '%s'?", word, near);
    return hob_fail_reason(err, HOB_E_INVALID, "unknown_parameter", "unknown query parameter '%s'", word);
}

enum hob_code control_query_parse(const struct control_query *queries, struct hob_str query,
                                  struct hob_arena *arena, struct hob_str *ret_values, struct hob_err *err)
{
    struct hob_str rest = query;
    while (rest.at && rest.n) {
        struct hob_str value, pair = hob_str_cut(rest, '&', &rest), name = hob_str_cut(pair, '=', &value);
        if (!pair.n)
            continue;
        if (!decode(name, arena, &name) || !decode(value.at ? value : HOB_STR(""), arena, &value))
            return hob_fail(err, HOB_E_INVALID, "the query '%.*s' is not well-formed",
                            (int)(pair.n > 80 ? 80 : pair.n), pair.at);
        size_t i = query_index(queries, name);
        if (!queries || !queries[i].name)
            return fail_unknown(queries, name, err);
        HOB_ASSERT(i < CALL_QUERIES_MAX);
        if (ret_values[i].at)
            return hob_fail(err, HOB_E_INVALID, "the query parameter '%s' is there twice", queries[i].name);
        ret_values[i] = value;
    }
    return HOB_OK;
}
