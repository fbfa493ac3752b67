/* The operators of one field: {"age":{"$gte":1,"$lt":9}}. One table says what each needs. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store/data/data_priv.h"

struct op {
    const char *word;
    enum cond_op op;
    bool is_not;
    enum hob_code (*fill)(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                          const json_t *all, struct hob_err *err);
};

static enum hob_code is_full(struct hob_err *err)
{
    return hob_fail_parse(err, HOB_E_TOO_LARGE, 102, "the query is too large");
}

static enum hob_code keep_text(struct where *w, const json_t *string, struct hob_str *ret,
                               struct hob_err *err)
{
    size_t n = json_string_length(string);
    const char *copy = hob_arena_strndup(&w->mem, json_string_value(string), n);
    if (!copy)
        return is_full(err);
    *ret = hob_str_n(copy, n);
    return HOB_OK;
}

static enum hob_code fill_one(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                              const json_t *all, struct hob_err *err)
{
    (void)op;
    (void)all;
    if (json_is_object(value) && json_object_get(value, "$relativeTime"))
        return hob_fail_parse(err, HOB_E_INVALID, 107,
                              "$relativeTime can only be used with the $lt, $lte, $gt, and $gte operators");
    c->keys = hob_arena_alloc(&w->mem, sizeof *c->keys);
    if (!c->keys)
        return is_full(err);
    if (where_key(w, value, &c->keys[0], err) != HOB_OK)
        return err->code;
    c->has_null = c->keys[0].kind == KEY_NULL;
    c->keys_n = !c->has_null;
    return HOB_OK;
}

/* --- "$relativeTime": "in 2 weeks 3 hours", "1 day ago", "now" --- */

static bool unit_ms(struct hob_str word, int64_t *ret_ms)
{
    static const struct {
        const char *name, *plural;
        int64_t ms;
    } units[] = {
        {"second", "seconds", 1000}, {"sec", "secs", 1000},          {"minute", "minutes", 60000},
        {"min", "mins", 60000},      {"hour", "hours", 3600000},     {"hr", "hrs", 3600000},
        {"day", "days", 86400000},   {"week", "weeks", 604800000},   {"wk", "wks", 604800000},
        {"yr", "yrs", 31536000000},  {"year", "years", 31536000000},
    };
    for (size_t i = 0; i < HOB_COUNT(units); i++) {
        if (hob_str_is(word, units[i].name) || hob_str_is(word, units[i].plural)) {
            *ret_ms = units[i].ms;
            return true;
        }
    }
    return false;
}

static bool relative_ms(struct hob_str text, int64_t *ret_ms)
{
    struct hob_str words[32];
    size_t n = 0;
    int64_t sum = 0;
    for (struct hob_str rest = hob_str_trim(text); rest.at && n < HOB_COUNT(words);) {
        words[n] = hob_str_cut(rest, ' ', &rest);
        n += words[n].n > 0;
    }
    if (n == 1 && hob_str_is(words[0], "now")) {
        *ret_ms = 0;
        return true;
    }
    bool is_future = n > 1 && hob_str_is(words[0], "in"), is_past = n > 1 && hob_str_is(words[n - 1], "ago");
    size_t from = is_future, to = n - is_past;
    if (is_future == is_past || (to - from) % 2 || to == from)
        return false;
    for (size_t i = from; i + 1 < to; i += 2) {
        uint64_t amount;
        int64_t unit;
        if (!hob_str_u64(words[i], &amount) || amount > 100000000 || !unit_ms(words[i + 1], &unit))
            return false;
        sum += (int64_t)amount * unit;
    }
    *ret_ms = is_future ? sum : -sum;
    return true;
}

static enum hob_code fill_relative(struct where *w, struct cond *c, const json_t *when, struct hob_err *err)
{
    int64_t ms = 0;
    if (!json_is_string(when) ||
        !relative_ms(hob_str_n(json_string_value(when), json_string_length(when)), &ms))
        return hob_fail_parse(
            err, HOB_E_INVALID, 107,
            "bad $relativeTime (%.60s) value. Time should either start with 'in' or end with 'ago'",
            json_is_string(when) ? json_string_value(when) : "not a string");
    char *mem = hob_arena_alloc(&w->mem, KEY_DATE_BYTES);
    c->keys = hob_arena_alloc(&w->mem, sizeof *c->keys);
    if (!mem || !c->keys)
        return is_full(err);
    c->keys[0] = key_of_date(hob_utc_ms() + ms, mem);
    c->keys_n = 1;
    return HOB_OK;
}

static enum hob_code fill_bound(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                                const json_t *all, struct hob_err *err)
{
    const json_t *when = json_object_get(value, "$relativeTime");
    return when ? fill_relative(w, c, when, err) : fill_one(w, c, op, value, all, err);
}

static enum hob_code fill_list(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                               const json_t *all, struct hob_err *err)
{
    (void)all;
    if (!json_is_array(value))
        return hob_fail_parse(
            err, HOB_E_INVALID, 107,
            op->op == COND_CONTAINED ? "bad $containedBy: should be an array" : "bad %s value", op->word);
    return where_keys(w, c, value, err);
}

static enum hob_code fill_exists(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                                 const json_t *all, struct hob_err *err)
{
    (void)w;
    (void)op;
    (void)all;
    if (!json_is_boolean(value))
        return hob_fail_parse(err, HOB_E_INVALID, 107, "bad $exists value, should be a boolean");
    c->is_not = json_is_false(value);
    return HOB_OK;
}

/* --- regular expressions --- */

static enum hob_code hold_regex(struct where *w, struct cond *c, const json_t *pattern,
                                struct hob_str options, struct hob_err *err)
{
    if (!json_is_string(pattern))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "$regex value must be a string");
    struct regex *r =
        regex_new(hob_str_n(json_string_value(pattern), json_string_length(pattern)), options, err);
    if (!r)
        return err->code;
    w->held = hob_realloc(w->held, w->held_n + 1, sizeof(struct regex *));
    w->held[w->held_n++] = r;
    c->regexes[c->regexes_n++] = r;
    return HOB_OK;
}

static enum hob_code fill_regex(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                                const json_t *all, struct hob_err *err)
{
    const json_t *options = json_object_get(all, "$options");
    (void)op;
    if (options && !json_is_string(options))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "Bad $options value for query: it must be a string");
    c->regexes = hob_arena_alloc(&w->mem, sizeof(struct regex *));
    if (!c->regexes)
        return is_full(err);
    struct hob_str flags = hob_str_n(json_string_value(options), options ? json_string_length(options) : 0);
    return hold_regex(w, c, value, flags, err);
}

static const json_t *regex_of(const json_t *element)
{
    return json_object_get(element, "$regex");
}

/* All elements are values, or all are {"$regex":...}. */
static enum hob_code fill_all(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                              const json_t *all, struct hob_err *err)
{
    size_t n = json_array_size(value), regexes = 0;
    for (size_t i = 0; i < n; i++)
        regexes += regex_of(json_array_get(value, i)) != NULL;
    if (regexes == 0)
        return fill_list(w, c, op, value, all, err);
    if (regexes != n)
        return hob_fail_parse(err, HOB_E_INVALID, 107, "All $all values must be of regex type or none");
    if (n > HOB_MAX_DATA_WHERE_CONDITIONS)
        return is_full(err);
    c->op = COND_ALL_REGEX;
    c->regexes = hob_arena_alloc(&w->mem, n * sizeof(struct regex *));
    if (!c->regexes)
        return is_full(err);
    for (size_t i = 0; i < n; i++)
        if (hold_regex(w, c, regex_of(json_array_get(value, i)), HOB_STR(""), err) != HOB_OK)
            return err->code;
    return HOB_OK;
}

/* --- sub-queries --- */

static enum hob_code fill_query(struct where *w, struct cond *c, const struct op *op, const json_t *query,
                                struct hob_err *err)
{
    const json_t *name = json_object_get(query, "className"), *where = json_object_get(query, "where");
    struct hob_str text = {NULL, 0};
    if (!json_is_object(query) || !json_is_string(name))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "improper usage of %s", op->word);
    if (++w->queries > HOB_MAX_DATA_SUBQUERIES)
        return hob_fail_parse(err, HOB_E_INVALID, 102, "the query has more than %d sub-queries",
                              HOB_MAX_DATA_SUBQUERIES);
    if (keep_text(w, name, &text, err) != HOB_OK)
        return err->code;
    c->class_name = text.at;
    struct cond *near = w->near;
    w->inside++;
    if (where && where_object(w, where, &c->where, err) != HOB_OK)
        return err->code;
    w->inside--;
    w->near = near; /* a sub-query has no order */
    return HOB_OK;
}

static enum hob_code fill_in_query(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                                   const json_t *all, struct hob_err *err)
{
    (void)all;
    return fill_query(w, c, op, value, err);
}

static enum hob_code fill_select(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                                 const json_t *all, struct hob_err *err)
{
    const json_t *key = json_object_get(value, "key");
    (void)all;
    if (json_object_size(value) != 2 || !json_is_string(key))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "improper usage of %s", op->word);
    if (keep_text(w, key, &c->field, err) != HOB_OK)
        return err->code;
    if (!path_is_valid(c->field))
        return hob_fail_parse(err, HOB_E_INVALID, 105, "Invalid key name: %.100s", c->field.at);
    return fill_query(w, c, op, json_object_get(value, "query"), err);
}

/* --- full text --- */

static enum hob_code bad_text(const char *what, struct hob_err *err)
{
    return hob_fail_parse(err, HOB_E_INVALID, 107, "bad $text: %s", what);
}

static enum hob_code fill_text(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                               const json_t *all, struct hob_err *err)
{
    const json_t *search = json_object_get(value, "$search"), *term = json_object_get(search, "$term");
    const json_t *language = json_object_get(search, "$language");
    const json_t *by_case = json_object_get(search, "$caseSensitive");
    const json_t *by_mark = json_object_get(search, "$diacriticSensitive");
    (void)op;
    (void)all;
    if (!json_is_object(search))
        return bad_text("$search, should be object", err);
    if (!json_is_string(term))
        return bad_text("$term, should be string", err);
    if (language && !json_is_string(language))
        return bad_text("$language, should be string", err);
    if (by_case && !json_is_boolean(by_case))
        return bad_text("$caseSensitive, should be boolean", err);
    if (by_mark && !json_is_boolean(by_mark))
        return bad_text("$diacriticSensitive, should be boolean", err);
    if (w->text || w->inside)
        return hob_fail_parse(err, HOB_E_INVALID, 102,
                              "a query has one $text at most, and a sub-query has none");
    w->text = c;
    c->by_case = json_is_true(by_case);
    c->by_mark = json_is_true(by_mark);
    return keep_text(w, term, &c->text, err);
}

static enum hob_code fill_geo(struct where *w, struct cond *c, const struct op *op, const json_t *value,
                              const json_t *all, struct hob_err *err)
{
    return where_geo(w, c, op->word, value, all, err);
}

static const struct op table[] = {
    {"$eq", COND_IN, false, fill_one},
    {"$ne", COND_IN, true, fill_one},
    {"$lt", COND_LESS, false, fill_bound},
    {"$lte", COND_LESS_EQ, false, fill_bound},
    {"$gt", COND_MORE, false, fill_bound},
    {"$gte", COND_MORE_EQ, false, fill_bound},
    {"$in", COND_IN, false, fill_list},
    {"$nin", COND_IN, true, fill_list},
    {"$exists", COND_EXISTS, false, fill_exists},
    {"$all", COND_ALL, false, fill_all},
    {"$containedBy", COND_CONTAINED, false, fill_list},
    {"$regex", COND_REGEX, false, fill_regex},
    {"$inQuery", COND_QUERY, false, fill_in_query},
    {"$notInQuery", COND_QUERY, true, fill_in_query},
    {"$select", COND_SELECT, false, fill_select},
    {"$dontSelect", COND_SELECT, true, fill_select},
    {"$nearSphere", COND_NEAR, false, fill_geo},
    {"$within", COND_BOX, false, fill_geo},
    {"$geoWithin", COND_POLYGON, false, fill_geo},
    {"$geoIntersects", COND_INTERSECTS, false, fill_geo},
    {"$text", COND_TEXT, false, fill_text},
};

/* They say more about another operator of the same object. */
static bool is_companion(const char *word, const json_t *ops)
{
    if (strcmp(word, "$options") == 0)
        return json_object_get(ops, "$regex") != NULL;
    return strncmp(word, "$maxDistance", 12) == 0 && json_object_get(ops, "$nearSphere");
}

static const struct op *op_named(const char *word)
{
    for (size_t i = 0; i < HOB_COUNT(table); i++)
        if (strcmp(table[i].word, word) == 0)
            return &table[i];
    return NULL;
}

enum hob_code where_operators(struct where *w, struct hob_str path, const json_t *ops, struct cond **tail,
                              struct hob_err *err)
{
    const char *word;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)ops, word, value)
    {
        if (is_companion(word, ops))
            continue;
        const struct op *op = op_named(word);
        if (!op)
            return hob_fail_parse(err, HOB_E_INVALID, 107, "bad constraint: %.60s", word);
        struct cond *c = where_cond(w, op->op, path, err);
        if (!c)
            return err->code;
        c->is_not = op->is_not;
        if (op->fill(w, c, op, value, ops, err) != HOB_OK)
            return err->code;
        (*tail)->next = c;
        *tail = c;
    }
    return HOB_OK;
}
