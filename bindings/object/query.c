/* The parameters of finds and gets. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { SKIP_MAX = 1000000000 };

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

static enum hob_code judge_names(const json_t *params, struct hob_err *err)
{
    static const char *const known[] = {"where",
                                        "order",
                                        "limit",
                                        "skip",
                                        "count",
                                        "keys",
                                        "excludeKeys",
                                        "include",
                                        "includeAll",
                                        "redirectClassNameForKey",
                                        "readPreference",
                                        "includeReadPreference",
                                        "subqueryReadPreference",
                                        "hint",
                                        "explain",
                                        "comment"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        if (!is_one_of(name, known, HOB_COUNT(known)))
            return parse_fail(err, PARSE_INVALID_QUERY, "Invalid parameter for query: %.80s", name);
    }
    return HOB_OK;
}

/* "a,b" or ["a","b"] */
static enum hob_code add_list(struct view *v, const json_t *value, struct tree **root,
                              const struct tree_limits *limits, struct hob_err *err)
{
    struct hob_arena *arena = &v->c->arena;
    if (json_is_string(value))
        return tree_add(arena, root, hob_str_n(json_string_value(value), json_string_length(value)), limits,
                        err);
    if (!json_is_array(value))
        return json_is_null(value) ? HOB_OK
                                   : parse_fail(err, PARSE_INVALID_QUERY, "keys and includes are texts");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *one = json_string_value(json_array_get(value, i));
        if (!one)
            return parse_fail(err, PARSE_INVALID_QUERY, "keys and includes are texts");
        enum hob_code rc = tree_add(arena, root, hob_str(one), limits, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static bool is_true(const json_t *v)
{
    return json_is_true(v) || (json_is_number(v) && json_number_value(v) > 0) ||
           (json_is_string(v) &&
            (strcmp(json_string_value(v), "true") == 0 || strcmp(json_string_value(v), "1") == 0));
}

static struct tree_limits include_limits(const struct backend_call *c, unsigned flags)
{
    const json_t *o = ask_json(c, SETTING_REQUEST_COMPLEXITY);
    double depth = json_number_value(json_object_get(o, "includeDepth")),
           count = json_number_value(json_object_get(o, "includeCount"));
    if (permit_is_master(c, flags))
        return (struct tree_limits){0, 0};
    return (struct tree_limits){depth > 0 ? (size_t)depth : 0, count > 0 ? (size_t)count : 0};
}

/* A key that reaches into another object includes it. */
static enum hob_code imply_includes(struct view *v, const json_t *keys, const struct tree_limits *limits,
                                    struct hob_err *err)
{
    const char *text = json_string_value(keys);
    for (struct hob_str rest = hob_str(text); text && rest.at;) {
        struct hob_str path = hob_str_trim(hob_str_cut(rest, ',', &rest));
        size_t n = path.n;
        while (n && path.at[n - 1] != '.')
            n--;
        if (n < 2)
            continue;
        enum hob_code rc = tree_add(&v->c->arena, &v->include, hob_str_n(path.at, n - 1), limits, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

enum hob_code view_params(struct view *v, const json_t *params, struct hob_err *err)
{
    const json_t *keys = json_object_get(params, "keys"), *exclude = json_object_get(params, "excludeKeys"),
                 *include = json_object_get(params, "include");
    struct tree_limits limits = include_limits(v->c, v->flags);
    enum hob_code rc = HOB_OK;
    v->includes_all = is_true(json_object_get(params, "includeAll"));
    if (keys)
        rc = add_list(v, keys, &v->keys, NULL, err);
    if (rc == HOB_OK && exclude)
        rc = add_list(v, exclude, &v->exclude, NULL, err);
    if (rc == HOB_OK && include)
        rc = add_list(v, include, &v->include, &limits, err);
    if (rc == HOB_OK && keys)
        rc = imply_includes(v, keys, &limits, err);
    if (rc == HOB_OK && tree_find(v->include, HOB_STR("*")))
        v->includes_all = true;
    v->has_score = tree_find(v->keys, HOB_STR("$score")) != NULL && !view_has_includes(v);
    if (v->has_score && !v->keys->next)
        v->keys = NULL; /* the score besides, not instead */
    return rc;
}

/* A whole number, as a number or as its text. */
static enum hob_code read_number(const json_t *params, const char *name, int64_t fallback, int64_t *ret,
                                 struct hob_err *err)
{
    const json_t *v = json_object_get(params, name);
    uint64_t n;
    *ret = fallback;
    if (!v || json_is_null(v))
        return HOB_OK;
    if (json_is_string(v) && hob_str_u64(hob_str(json_string_value(v)), &n) && n <= SKIP_MAX) {
        *ret = (int64_t)n;
        return HOB_OK;
    }
    double d = json_number_value(v);
    if (!json_is_number(v) || d != (double)(int64_t)d || d > SKIP_MAX || d < -SKIP_MAX)
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid parameter for query: %s must be a whole number",
                          name);
    *ret = (int64_t)d;
    return HOB_OK;
}

static enum hob_code read_limits(struct backend_call *c, const json_t *params, struct find *f,
                                 struct hob_err *err)
{
    int64_t max = ask_int(c, SETTING_MAX_LIMIT);
    enum hob_code rc = read_number(params, "limit", ask_int(c, SETTING_DEFAULT_LIMIT), &f->limit, err);
    if (rc == HOB_OK)
        rc = read_number(params, "skip", 0, &f->skip, err);
    if (rc != HOB_OK)
        return rc;
    if (f->limit < 0)
        f->limit = ask_int(c, SETTING_DEFAULT_LIMIT);
    if (f->skip < 0)
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid parameter for query: skip must not be negative");
    if (max > 0 && f->limit > max)
        f->limit = max;
    return HOB_OK;
}

/* An object, or the text of one (a parameter of a GET). */
static enum hob_code read_where(const json_t *params, struct find *f, struct hob_err *err)
{
    json_t *where = json_object_get(params, "where");
    struct hob_err why;
    if (!where || json_is_null(where))
        return HOB_OK;
    if (json_is_string(where)) {
        f->where =
            hob_json_parse(hob_str_n(json_string_value(where), json_string_length(where)), "where", &why);
        if (!f->where)
            return parse_fail(err, PARSE_INVALID_JSON, "%s", why.msg);
    } else {
        f->where = json_incref(where);
    }
    return HOB_OK;
}

static const char *read_order(struct backend_call *c, const json_t *params, struct hob_err *err)
{
    const json_t *order = json_object_get(params, "order");
    struct hob_buf text hob_auto_buf;
    hob_buf_init(&text, 8192);
    if (!json_is_array(order))
        return json_string_value(order);
    for (size_t i = 0; i < json_array_size(order); i++) {
        const char *key = json_string_value(json_array_get(order, i));
        if (!key || hob_buf_addf(&text, "%s%s", i ? "," : "", key) != HOB_OK) {
            (void)parse_fail(err, PARSE_INVALID_QUERY, "Invalid parameter for query: order");
            return NULL;
        }
    }
    return text.n ? hob_arena_strndup(&c->arena, hob_buf_data(&text), text.n) : NULL;
}

static enum hob_code redirect(struct find *f, const json_t *params, struct data_tx *tx, struct hob_err *err)
{
    const char *key = json_string_value(json_object_get(params, "redirectClassNameForKey"));
    const struct data_class *class = key ? data_class_find(tx, f->class_name) : NULL;
    const struct data_field *field = class ? data_field_find(class, key) : NULL;
    if (field && field->type == DATA_RELATION && field->target)
        f->class_name = hob_arena_strndup(&f->view.c->arena, field->target, strlen(field->target));
    return f->class_name ? HOB_OK : hob_fail(err, HOB_E_TOO_LARGE, "the request is too large");
}

enum hob_code find_start(struct backend_call *c, struct data_tx *tx, const char *class_name,
                         const json_t *params, unsigned flags, struct find *f, struct hob_err *err)
{
    *f = (struct find){.class_name = class_name, .admit = {c, tx, flags}};
    view_start(&f->view, c, tx, flags);
    enum hob_code rc = judge_names(params, err);
    if (rc == HOB_OK)
        rc = class_judge(c, class_name, "find", flags, err);
    if (rc == HOB_OK)
        rc = redirect(f, params, tx, err);
    if (rc == HOB_OK)
        rc = view_params(&f->view, params, err);
    if (rc == HOB_OK)
        rc = read_limits(c, params, f, err);
    if (rc == HOB_OK)
        rc = read_where(params, f, err);
    if (rc == HOB_OK)
        rc = view_class(&f->view, hob_str(f->class_name), &f->cv, err);
    if (rc == HOB_OK && f->where)
        rc = where_judge(c, f->where, &f->cv->protect, flags, err);
    if (rc != HOB_OK)
        return rc;
    err->code = HOB_OK;
    f->order = read_order(c, params, err);
    if (err->code != HOB_OK)
        return err->code;
    f->hint = json_string_value(json_object_get(params, "hint"));
    f->has_count = is_true(json_object_get(params, "count"));
    f->is_explained = is_true(json_object_get(params, "explain"));
    if (f->is_explained && !permit_is_master(c, flags))
        return parse_fail(err, PARSE_INVALID_QUERY,
                          "Using the explain query parameter requires the master key");
    rc = f->order ? order_judge(f->order, &f->cv->protect, err) : HOB_OK;
    if (rc == HOB_OK)
        rc = permit_class(c, f->cv->class, f->class_name, f->has_count && !f->limit ? OP_COUNT : OP_FIND,
                          flags, &f->permit, err);
    if (rc == HOB_OK && f->has_count && f->limit) {
        struct permit count;
        rc = permit_class(c, f->cv->class, f->class_name, OP_COUNT, flags, &count, err);
        f->permit.is_nothing |= count.is_nothing;
    }
    return rc;
}

void find_done(struct find *f)
{
    json_decref(f->where);
    f->where = NULL;
}

struct data_query find_query(struct find *f)
{
    return (struct data_query){.class_name = f->class_name,
                               .where = f->where,
                               .access = &f->permit.access,
                               .order = f->order,
                               .limit = f->limit,
                               .skip = f->skip,
                               .hint = f->hint,
                               .time_ms = (uint32_t)ask_int(f->view.c, SETTING_QUERY_TIME_MS),
                               .slow_ms = (uint32_t)ask_int(f->view.c, SETTING_SLOW_QUERY_MS),
                               .admit = admit_class,
                               .admit_ctx = &f->admit};
}
