/* Judging what a query asks before it is run: names, operators' places, depth, protected fields. What operators mean is the
 * store's business. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { DEPTH_MAX = 12, CONDITIONS_MAX = 20000 };

struct judging {
    struct backend_call *c;
    const struct protect *protect;
    bool is_master, has_regex;
    size_t conditions_n, condition_depth, subquery_depth; /* limits; 0: none of the app's own */
    unsigned flags;
};

static bool is_field_path(const char *key)
{
    if (!((key[0] >= 'a' && key[0] <= 'z') || (key[0] >= 'A' && key[0] <= 'Z')))
        return false;
    for (const char *at = key; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
              *at == '_' || *at == '.'))
            return false;
    return true;
}

static enum hob_code judge_field(const struct judging *j, const char *key, struct hob_err *err)
{
    if (strcmp(key, "ACL") == 0)
        return parse_fail(err, PARSE_INVALID_QUERY, "Cannot query on ACL.");
    if (!is_field_path(key))
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "Invalid key name: %.80s", key);
    struct hob_str rest, root = hob_str_cut(hob_str(key), '.', &rest);
    if (j->protect && protect_hides(j->protect, root))
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "This user is not allowed to query %.80s on class %s", key, j->protect->class_name);
    return HOB_OK;
}

static enum hob_code judge_where(struct judging *j, const json_t *where, size_t depth, size_t sub,
                                 struct hob_err *err);

/* {"className":C,"where":W,...} of $inQuery, or {"query":{...},"key":k} of $select. */
static enum hob_code judge_subquery(struct judging *j, const json_t *query, size_t sub, struct hob_err *err)
{
    struct judging inner = *j;
    const json_t *nested = json_object_get(query, "query");
    const json_t *where = json_object_get(nested ? nested : query, "where");
    inner.protect = NULL; /* another class: the admission of its rows decides */
    if (j->subquery_depth && sub + 1 > j->subquery_depth && !j->is_master)
        return parse_fail(err, PARSE_INVALID_QUERY, "Sub-query depth exceeds the maximum allowed of %zu",
                          j->subquery_depth);
    if (sub + 1 > DEPTH_MAX)
        return parse_fail(err, PARSE_INVALID_QUERY, "sub-queries are nested deeper than %d", DEPTH_MAX);
    const char *class_name = json_string_value(json_object_get(nested ? nested : query, "className"));
    if (class_name) {
        enum hob_code rc = class_judge(j->c, class_name, "find", j->flags, err);
        if (rc != HOB_OK)
            return rc;
    }
    return json_is_object(where) ? judge_where(&inner, where, 0, sub + 1, err) : HOB_OK;
}

static bool is_subquery(const char *op)
{
    return strcmp(op, "$inQuery") == 0 || strcmp(op, "$notInQuery") == 0 || strcmp(op, "$select") == 0 ||
           strcmp(op, "$dontSelect") == 0;
}

static enum hob_code judge_constraint(struct judging *j, const json_t *constraint, size_t sub,
                                      struct hob_err *err)
{
    const char *op;
    json_t *value;
    if (!json_is_object(constraint) || value_typed(constraint))
        return HOB_OK;
    json_object_foreach((json_t *)(uintptr_t)constraint, op, value)
    {
        enum hob_code rc = HOB_OK;
        if (is_subquery(op))
            rc = judge_subquery(j, value, sub, err);
        else if (strcmp(op, "$not") == 0)
            rc = judge_constraint(j, value, sub, err);
        else if (strcmp(op, "$regex") == 0 && !j->has_regex && !j->is_master)
            rc = parse_fail(err, PARSE_INVALID_QUERY, "Regular expressions are not allowed");
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static enum hob_code judge_list(struct judging *j, const char *op, const json_t *list, size_t depth,
                                size_t sub, struct hob_err *err)
{
    if (!json_is_array(list))
        return parse_fail(err, PARSE_INVALID_QUERY, "Bad %s format - use an array value.", op);
    if (strcmp(op, "$nor") == 0 && !json_array_size(list))
        return parse_fail(err, PARSE_INVALID_QUERY, "Bad $nor format - use an array of at least 1 value.");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *inner = json_array_get(list, i);
        if (!json_is_object(inner))
            return parse_fail(err, PARSE_INVALID_QUERY, "Bad %s format - use an array of objects.", op);
        enum hob_code rc = judge_where(j, inner, depth + 1, sub, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static bool is_logic(const char *key)
{
    return strcmp(key, "$or") == 0 || strcmp(key, "$and") == 0 || strcmp(key, "$nor") == 0;
}

static bool is_top_operator(const char *key)
{
    static const char *const known[] = {"$relatedTo", "$comment", "$text"};
    for (size_t i = 0; i < HOB_COUNT(known); i++)
        if (strcmp(key, known[i]) == 0)
            return true;
    return false;
}

/* $relatedTo reads the relation of an owner: who must not see that field must not ask through it. */
static enum hob_code judge_related(struct judging *j, const json_t *value, struct hob_err *err)
{
    const json_t *object = json_object_get(value, "object");
    const char *name = json_string_value(json_object_get(object, "className"));
    if (!name || !json_string_value(json_object_get(object, "objectId")) ||
        !json_string_value(json_object_get(value, "key")))
        return parse_fail(err, PARSE_INVALID_QUERY, "improper usage of $relatedTo");
    return class_judge(j->c, name, "get", j->flags, err);
}

static enum hob_code judge_where(struct judging *j, const json_t *where, size_t depth, size_t sub,
                                 struct hob_err *err)
{
    const char *key;
    json_t *value;
    if (j->condition_depth && depth > j->condition_depth && !j->is_master)
        return parse_fail(err, PARSE_INVALID_QUERY,
                          "Query condition nesting depth exceeds maximum allowed depth of %zu",
                          j->condition_depth);
    if (depth > DEPTH_MAX)
        return parse_fail(err, PARSE_INVALID_QUERY, "conditions are nested deeper than %d", DEPTH_MAX);
    json_object_foreach((json_t *)(uintptr_t)where, key, value)
    {
        enum hob_code rc;
        if (++j->conditions_n > CONDITIONS_MAX)
            return parse_fail(err, PARSE_INVALID_QUERY, "more than %d conditions", CONDITIONS_MAX);
        if (is_logic(key))
            rc = judge_list(j, key, value, depth, sub, err);
        else if (strcmp(key, "$relatedTo") == 0)
            rc = judge_related(j, value, err);
        else if (is_top_operator(key))
            rc = HOB_OK;
        else if ((rc = judge_field(j, key, err)) == HOB_OK)
            rc = judge_constraint(j, value, sub, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static size_t limit_of(const struct backend_call *c, const char *name)
{
    json_int_t n =
        (json_int_t)json_number_value(json_object_get(ask_json(c, SETTING_REQUEST_COMPLEXITY), name));
    return n > 0 ? (size_t)n : 0;
}

enum hob_code where_judge(struct backend_call *c, const json_t *where, const struct protect *p,
                          unsigned flags, struct hob_err *err)
{
    struct judging j = {.c = c,
                        .protect = p && p->names_n ? p : NULL,
                        .is_master = permit_is_master(c, flags),
                        .has_regex =
                            !json_is_false(json_object_get(ask_json(c, SETTING_REQUEST_COMPLEXITY), "regex")),
                        .condition_depth = limit_of(c, "conditionDepth"),
                        .subquery_depth = limit_of(c, "subqueryDepth"),
                        .flags = flags};
    if (!json_is_object(where))
        return parse_fail(err, PARSE_INVALID_JSON, "the where must be an object");
    return judge_where(&j, where, 0, 0, err);
}

enum hob_code order_judge(const char *order, const struct protect *p, struct hob_err *err)
{
    for (struct hob_str rest = hob_str(order); rest.at;) {
        struct hob_str key = hob_str_trim(hob_str_cut(rest, ',', &rest)), behind;
        if (key.n && (key.at[0] == '-' || key.at[0] == '+'))
            key = hob_str_n(key.at + 1, key.n - 1);
        if (!key.n || hob_str_is(key, "$score") || hob_str_is(key, "_created_at") ||
            hob_str_is(key, "_updated_at"))
            continue;
        char name[256];
        if (key.n >= sizeof name)
            return parse_fail(err, PARSE_INVALID_KEY_NAME,
                              "Invalid key name to order by: longer than 255 characters");
        memcpy(name, key.at, key.n);
        name[key.n] = '\0';
        if (!is_field_path(name))
            return parse_fail(err, PARSE_INVALID_KEY_NAME, "Invalid key name: %.80s", name);
        if (p->names_n && protect_hides(p, hob_str_cut(key, '.', &behind)))
            return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                              "This user is not allowed to query %.80s on class %s", name, p->class_name);
    }
    return HOB_OK;
}

enum hob_code admit_class(void *ctx, const char *class_name, struct data_access *ret_access,
                          struct hob_err *err)
{
    struct admit *a = ctx;
    struct permit permit;
    static const char *const nobody[] = {"objectId"};
    enum hob_code rc = class_judge(a->c, class_name, "find", a->flags, err);
    if (rc == HOB_OK)
        rc = permit_class(a->c, data_class_find(a->tx, class_name), class_name, OP_FIND, a->flags, &permit,
                          err);
    if (rc != HOB_OK)
        return rc;
    *ret_access = permit.access;
    if (permit.is_nothing) { /* no pointer can hold a user that is not there */
        ret_access->pointer_fields = nobody;
        ret_access->pointer_fields_n = 1;
    }
    return HOB_OK;
}
