/* env.data: objects through the backend, as the caller or as master. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindings/serve/serve_http.h"

#include "base/banned.h"

enum { PATH_BYTES = 320 };

/* --- judging --- */

static bool is_class_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    }
    return n > 0 && n <= 128;
}

/* *ret_class is borrowed from the call. */
static enum hob_code need_class(const struct serve_call *c, unsigned rights, const char **ret_class,
                                struct hob_err *err)
{
    const char *name = serve_need_text(c, "class", err);
    if (!name)
        return err->code;
    if (!is_class_name(name))
        return hob_fail_parse(err, HOB_E_INVALID, PARSE_INVALID_CLASS_NAME, "%s: '%.60s' is no class name",
                              c->op, name);
    *ret_class = name;
    return serve_need(c, HOB_GRANT_DATA, hob_str(name), rights, err);
}

static enum hob_code need_id(const struct serve_call *c, const char **ret_id, struct hob_err *err)
{
    const char *id = serve_need_text(c, "id", err);
    if (!id)
        return err->code;
    for (const char *p = id; *p; p++) {
        if ((unsigned char)*p <= ' ' || strchr("/?#%\\\x7f", *p) || p - id > 128)
            return hob_fail_parse(err, HOB_E_INVALID, PARSE_MISSING_OBJECT_ID, "%s: this is no object id",
                                  c->op);
    }
    *ret_id = id;
    return HOB_OK;
}

/* The class that a sub-query reads, or NULL. */
static const char *class_of_subquery(const char *op, const json_t *value)
{
    if (strcmp(op, "$inQuery") == 0 || strcmp(op, "$notInQuery") == 0)
        return json_string_value(json_object_get(value, "className"));
    if (strcmp(op, "$select") == 0 || strcmp(op, "$dontSelect") == 0)
        return json_string_value(json_object_get(json_object_get(value, "query"), "className"));
    if (strcmp(op, "$relatedTo") == 0)
        return json_string_value(json_object_get(json_object_get(value, "object"), "className"));
    return NULL;
}

/* What a query reads by its sub-queries is named in hob.json, too. The depth is bounded by the parser's. */
enum hob_code serve_need_subqueries(const struct serve_call *c, const json_t *where, struct hob_err *err)
{
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(where, i, value)
    {
        if (serve_need_subqueries(c, value, err) != HOB_OK)
            return err->code;
    }
    if (!json_is_object(where))
        return HOB_OK;
    json_object_foreach((json_t *)(uintptr_t)where, key, value)
    {
        const char *name = class_of_subquery(key, value);
        if (name && serve_need(c, HOB_GRANT_DATA, hob_str(name), HOB_GRANT_READ, err) != HOB_OK)
            return err->code;
        if (serve_need_subqueries(c, value, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* --- parameters of the REST protocol --- */

/* ["a","b"] or "a,b" as "a,b". */
static void put_list(json_t *to, const char *name, const json_t *list)
{
    if (json_is_string(list)) {
        (void)json_object_set(to, name, (json_t *)(uintptr_t)list);
        return;
    }
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, 64 * 1024);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one && hob_buf_addf(&text, "%s%s", text.n ? "," : "", one) != HOB_OK)
            break;
    }
    if (text.n)
        (void)json_object_set_new(to, name, json_stringn(hob_buf_data(&text), text.n));
}

static void put(json_t *to, const char *name, json_t *value)
{
    if (value && !json_is_null(value))
        (void)json_object_set(to, name, value);
}

static json_t *query_params(const struct serve_call *c)
{
    static const char *const lists[] = {"order", "include", "keys", "excludeKeys"};
    static const char *const plain[] = {"where", "limit", "skip", "hint", "comment"};
    json_t *p = json_object();
    for (size_t i = 0; i < HOB_COUNT(lists); i++) {
        const json_t *list = json_object_get(c->args, lists[i]);
        if (list)
            put_list(p, lists[i], list);
    }
    for (size_t i = 0; i < HOB_COUNT(plain); i++)
        put(p, plain[i], json_object_get(c->args, plain[i]));
    return p;
}

static void ask(struct serve_call *c, const char *method, const char *path, json_t *params,
                void (*shape)(struct serve_call *c, const struct backend_answer *a))
{
    struct hob_err err;
    struct backend_request r = {.method = hob_str(method), .path = hob_str(path), .params = params};
    if (serve_identity(c, &r, &err) != HOB_OK)
        serve_fail(c, &err);
    else
        serve_ask(c, &r, shape);
    json_decref(params);
}

/* --- shapes of answers --- */

/* {"results":X} as X, without a parse when nothing else is in it. */
static void shape_results(struct serve_call *c, const struct backend_answer *a)
{
    static const struct hob_str head = {"{\"results\":[", 12};
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    struct hob_str s = a->json;
    if (hob_str_starts(s, head) && s.n > head.n && s.at[s.n - 1] == '}' && s.at[s.n - 2] == ']') {
        serve_answer(c, hob_str_n(s.at + head.n - 1, s.n - head.n), HOB_STR(""));
        return;
    }
    struct hob_err bad;
    json_t *json hob_auto_json = hob_json_parse(s, "the backend's answer", &bad);
    json_t *none hob_auto_json = json_array();
    const json_t *results = json_object_get(json, "results");
    serve_answer_json(c, results ? results : none);
}

static void shape_count(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *none hob_auto_json = json_integer(0);
    const json_t *count = json_object_get(json, "count");
    serve_answer_json(c, count ? count : none);
}

static void shape_get(struct serve_call *c, const struct backend_answer *a)
{
    if (a->status == 404)
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
    else if (a->status >= 400)
        serve_fail_answer(c, a);
    else
        serve_answer(c, a->json, HOB_STR(""));
}

/* The object as it was given, without operations, and over it what the backend answered. */
static void shape_saved(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *object hob_auto_json = json_copy(json_object_get(c->args, "object"));
    const char *key;
    json_t *value;
    void *tmp;
    json_object_foreach_safe(object, tmp, key, value)
    {
        if (json_object_get(value, "__op") || json_is_null(value))
            (void)json_object_del(object, key);
    }
    const char *id = json_string_value(json_object_get(c->args, "id"));
    if (id)
        (void)json_object_set_new(object, "objectId", json_string(id));
    (void)json_object_update(object, json);
    serve_answer_json(c, object);
}

static void shape_nothing(struct serve_call *c, const struct backend_answer *a)
{
    if (a->status >= 400)
        serve_fail_answer(c, a);
    else
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
}

/* --- operations --- */

static void start_get(struct serve_call *c)
{
    struct hob_err err;
    const char *class_name = NULL, *id = NULL;
    char path[PATH_BYTES];
    if (need_class(c, HOB_GRANT_READ, &class_name, &err) != HOB_OK || need_id(c, &id, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    json_t *params = query_params(c);
    (void)json_object_del(params, "where");
    (void)snprintf(path, sizeof path, "/classes/%s/%s", class_name, id);
    ask(c, "GET", path, params, shape_get);
}

static void start_query(struct serve_call *c, bool is_count)
{
    struct hob_err err;
    const char *class_name = NULL;
    char path[PATH_BYTES];
    if (need_class(c, HOB_GRANT_READ, &class_name, &err) != HOB_OK ||
        serve_need_subqueries(c, json_object_get(c->args, "where"), &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    json_t *params = query_params(c);
    if (is_count) {
        (void)json_object_set_new(params, "limit", json_integer(0));
        (void)json_object_set_new(params, "count", json_integer(1));
    }
    (void)snprintf(path, sizeof path, "/classes/%s", class_name);
    ask(c, "GET", path, params, is_count ? shape_count : shape_results);
}

static void start_find(struct serve_call *c)
{
    start_query(c, false);
}

static void start_count(struct serve_call *c)
{
    start_query(c, true);
}

static enum hob_code need_object(const struct serve_call *c, json_t **ret_object, struct hob_err *err)
{
    json_t *object = json_object_get(c->args, "object");
    if (!json_is_object(object))
        return hob_fail_parse(err, HOB_E_INVALID, PARSE_INVALID_JSON, "%s: 'object' is missing or no object",
                              c->op);
    *ret_object = json_incref(object);
    return HOB_OK;
}

static void start_insert(struct serve_call *c)
{
    struct hob_err err;
    const char *class_name = NULL;
    char path[PATH_BYTES];
    json_t *object = NULL;
    if (need_class(c, HOB_GRANT_WRITE, &class_name, &err) != HOB_OK ||
        need_object(c, &object, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    (void)snprintf(path, sizeof path, "/classes/%s", class_name);
    ask(c, "POST", path, object, shape_saved);
}

static void start_update(struct serve_call *c)
{
    struct hob_err err;
    const char *class_name = NULL, *id = NULL;
    char path[PATH_BYTES];
    json_t *object = NULL;
    if (need_class(c, HOB_GRANT_WRITE, &class_name, &err) != HOB_OK || need_id(c, &id, &err) != HOB_OK ||
        need_object(c, &object, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    (void)snprintf(path, sizeof path, "/classes/%s/%s", class_name, id);
    ask(c, "PUT", path, object, shape_saved);
}

static void start_delete(struct serve_call *c)
{
    struct hob_err err;
    const char *class_name = NULL, *id = NULL;
    char path[PATH_BYTES];
    if (need_class(c, HOB_GRANT_WRITE, &class_name, &err) != HOB_OK || need_id(c, &id, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    (void)snprintf(path, sizeof path, "/classes/%s/%s", class_name, id);
    ask(c, "DELETE", path, NULL, shape_nothing);
}

/* One part of a batch: {"op":"insert|update|delete","class","id","object"} as a request of the protocol; NULL: *err. */
static json_t *part_of_batch(const struct serve_call *outer, json_t *one, struct hob_err *err)
{
    static const struct {
        const char *op, *method;
        bool has_id, has_object;
    } table[] = {
        {"insert", "POST", false, true}, {"update", "PUT", true, true}, {"delete", "DELETE", true, false}};
    struct serve_call c = {.caller = outer->caller, .op = outer->op, .args = one};
    const char *class_name = NULL, *id = "", *op = json_string_value(json_object_get(one, "op"));
    char path[PATH_BYTES];
    json_t *object = NULL;
    for (size_t i = 0; op && i < HOB_COUNT(table); i++) {
        if (strcmp(op, table[i].op) != 0)
            continue;
        if (need_class(&c, HOB_GRANT_WRITE, &class_name, err) != HOB_OK ||
            (table[i].has_id && need_id(&c, &id, err) != HOB_OK) ||
            (table[i].has_object && need_object(&c, &object, err) != HOB_OK))
            return NULL;
        (void)snprintf(path, sizeof path, "/parse/classes/%s%s%s", class_name, *id ? "/" : "", id);
        json_t *body = object ? object : json_object();
        return json_pack("{s:s,s:s,s:o}", "method", table[i].method, "path", path, "body", body);
    }
    (void)hob_fail(err, HOB_E_INVALID, "data.batch: each part has 'op': insert, update or delete");
    return NULL;
}

static void start_batch(struct serve_call *c)
{
    struct hob_err err;
    json_t *parts = json_object_get(c->args, "ops");
    json_t *requests = json_array();
    if (!json_is_array(parts))
        (void)hob_fail(&err, HOB_E_INVALID, "data.batch: 'ops' is missing or no array");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        json_t *request = part_of_batch(c, json_array_get(parts, i), &err);
        if (!request)
            break;
        (void)json_array_append_new(requests, request);
    }
    if (!json_is_array(parts) || json_array_size(requests) != json_array_size(parts)) {
        json_decref(requests);
        serve_fail(c, &err);
        return;
    }
    json_t *params = json_pack("{s:o}", "requests", requests);
    if (json_is_true(json_object_get(c->args, "transaction")))
        (void)json_object_set_new(params, "transaction", json_true());
    ask(c, "POST", "/batch", params, NULL);
}

/* The protocol knows it for master only. */
static void start_aggregate(struct serve_call *c)
{
    struct hob_err err;
    const char *class_name = NULL;
    char path[PATH_BYTES];
    if (need_class(c, HOB_GRANT_READ, &class_name, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    json_t *params = json_object();
    put(params, "pipeline", json_object_get(c->args, "pipeline"));
    (void)snprintf(path, sizeof path, "/aggregate/%s", class_name);
    ask(c, "GET", path, params, shape_results);
}

const struct serve_op serve_data_ops[] = {
    {"data.get", start_get},       {"data.find", start_find},           {"data.count", start_count},
    {"data.insert", start_insert}, {"data.update", start_update},       {"data.delete", start_delete},
    {"data.batch", start_batch},   {"data.aggregate", start_aggregate}, {0},
};
