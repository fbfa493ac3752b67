#include "base/json/json_priv.h"

#include <string.h>

#include "base/limits.h"

struct reader {
    const char *at, *end;
    unsigned depth;
};

static json_t *read_value(struct reader *r);

static void skip_spaces(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_spaces(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_text(struct reader *r, struct hob_str *ret_text)
{
    unsigned char all = 0;
    if (!take(r, '"'))
        return false;
    const char *from = r->at;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < 0x20 || *r->at == '\\')
            return false;
        all |= (unsigned char)*r->at;
    }
    if (r->at == r->end)
        return false;
    *ret_text = hob_str_n(from, (size_t)(r->at++ - from));
    return all < 0x80 || hob_utf8_is_valid(*ret_text);
}

/* So many digits, and a power of ten of so many zeros, are doubles without rounding: their quotient is rounded once. */
static json_t *read_number(struct reader *r)
{
    static const double powers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool is_negative = *r->at == '-', has_point = false;
    const char *from = r->at += is_negative;
    size_t digits = 0, behind = 0;
    int64_t v = 0;
    for (; r->at < r->end && digits <= 15; r->at++) {
        if (*r->at >= '0' && *r->at <= '9') {
            v = v * 10 + (*r->at - '0');
            digits++;
            behind += has_point;
        } else if (*r->at == '.' && !has_point) {
            has_point = true;
        } else {
            break;
        }
    }
    if (r->at == r->end || digits > 15 || digits == behind || has_point != (behind > 0) ||
        (*from == '0' && digits - behind > 1) || strchr("eE.", *r->at))
        return NULL;
    double real = (double)v / powers[behind];
    return has_point ? json_real(is_negative ? -real : real) : json_integer(is_negative ? -v : v);
}

static bool read_member(struct reader *r, json_t *object)
{
    struct hob_str key;
    size_t n = json_object_size(object);
    json_t *value = read_text(r, &key) && take(r, ':') ? read_value(r) : NULL;
    return value && json_object_setn_new_nocheck(object, key.at, key.n, value) == 0 &&
           json_object_size(object) > n; /* else the name was there already */
}

static bool read_element(struct reader *r, json_t *array)
{
    json_t *value = read_value(r);
    return value && json_array_append_new(array, value) == 0;
}

static json_t *read_inside(struct reader *r, json_t *all, char end, bool (*each)(struct reader *, json_t *))
{
    r->at++;
    bool is_end = take(r, end), is_good = ++r->depth <= HOB_MAX_JSON_DEPTH;
    while (is_good && !is_end) {
        is_good = each(r, all);
        is_end = is_good && !take(r, ',');
        is_good = is_good && (!is_end || take(r, end));
    }
    r->depth--;
    if (is_good)
        return all;
    json_decref(all);
    return NULL;
}

static bool take_word(struct reader *r, struct hob_str word)
{
    bool is = hob_str_starts(hob_str_n(r->at, (size_t)(r->end - r->at)), word);
    r->at += is ? word.n : 0;
    return is;
}

static json_t *read_value(struct reader *r)
{
    struct hob_str text;
    if (take(r, '"')) {
        r->at--;
        return read_text(r, &text) ? json_stringn_nocheck(text.at, text.n) : NULL;
    }
    switch (r->at < r->end ? *r->at : '\0') {
    case '{':
        return read_inside(r, json_object(), '}', read_member);
    case '[':
        return read_inside(r, json_array(), ']', read_element);
    case 't':
        return take_word(r, HOB_STR("true")) ? json_true() : NULL;
    case 'f':
        return take_word(r, HOB_STR("false")) ? json_false() : NULL;
    case 'n':
        return take_word(r, HOB_STR("null")) ? json_null() : NULL;
    default:
        return r->at + 1 < r->end ? read_number(r) : NULL;
    }
}

json_t *json_read_quickly(struct hob_str text)
{
    struct reader r = {.at = text.at, .end = text.at + text.n};
    json_t *j = text.n ? read_value(&r) : NULL;
    skip_spaces(&r);
    if (j && r.at == r.end)
        return j;
    json_decref(j);
    return NULL;
}
