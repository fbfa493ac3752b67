/* What the Parse SDK inside of cloud code asks: any path of the protocol, judged by what hob.json lets the function reach. */
#include <stdio.h>
#include <stdlib.h>

#include "bindings/cloud/cloud.h"
#include "bindings/query_params.h"
#include "bindings/serve/serve_http.h"

#include "base/banned.h"

/* What the first part of a path needs. Anything else is administration: master. */
static const struct {
    const char *head;
    enum hob_grant_kind kind;
    const char *class_name; /* of DATA; NULL: the second part of the path */
} needs[] = {
    {"classes", HOB_GRANT_DATA, NULL},
    {"aggregate", HOB_GRANT_DATA, NULL},
    {"roles", HOB_GRANT_DATA, "_Role"},
    {"installations", HOB_GRANT_DATA, "_Installation"},
    {"users", HOB_GRANT_AUTH, NULL},
    {"login", HOB_GRANT_AUTH, NULL},
    {"loginAs", HOB_GRANT_AUTH_ADMIN, NULL},
    {"logout", HOB_GRANT_AUTH, NULL},
    {"sessions", HOB_GRANT_AUTH, NULL},
    {"upgradeToRevocableSession", HOB_GRANT_AUTH, NULL},
    {"verifyPassword", HOB_GRANT_AUTH, NULL},
    {"requestPasswordReset", HOB_GRANT_AUTH, NULL},
    {"verificationEmailRequest", HOB_GRANT_AUTH, NULL},
    {"challenge", HOB_GRANT_AUTH, NULL},
    {"files", HOB_GRANT_FILES, NULL},
};

/* Open to everybody who may call at all: they are judged by themselves. */
static bool is_open(struct hob_str head)
{
    return hob_str_is(head, "functions") || hob_str_is(head, "config") || hob_str_is(head, "events") ||
           hob_str_is(head, "health") || hob_str_is(head, "batch");
}

enum hob_code serve_need_path(const struct serve_call *c, struct hob_str method, struct hob_str path,
                              struct hob_err *err)
{
    struct hob_str rest, second, head;
    if (path.n < 2 || path.at[0] != '/')
        return hob_fail(err, HOB_E_INVALID,
                        "parse.request: 'path' is \"/classes/...\" or another of the protocol");
    head = hob_str_cut(hob_str_n(path.at + 1, path.n - 1), '/', &rest);
    second = hob_str_cut(rest, '/', &rest);
    if (is_open(head))
        return HOB_OK;
    unsigned rights = hob_str_is(method, "GET") ? HOB_GRANT_READ : HOB_GRANT_WRITE;
    for (size_t i = 0; i < HOB_COUNT(needs); i++) {
        if (!hob_str_is(head, needs[i].head))
            continue;
        if (needs[i].kind != HOB_GRANT_DATA)
            return serve_need(c, needs[i].kind, HOB_STR(""), 0, err);
        return serve_need(c, HOB_GRANT_DATA, needs[i].class_name ? hob_str(needs[i].class_name) : second,
                          rights, err);
    }
    return serve_need(c, HOB_GRANT_MASTER, HOB_STR(""), 0, err);
}

/* Conditions may come as the text of their JSON. */
static enum hob_code need_where(const struct serve_call *c, const json_t *where, struct hob_err *err)
{
    if (!json_is_string(where))
        return serve_need_subqueries(c, where, err);
    json_t *read hob_auto_json =
        hob_json_parse(hob_str_n(json_string_value(where), json_string_length(where)), "where", err);
    if (!json_is_object(read))
        return hob_fail_parse(err, HOB_E_INVALID, PARSE_INVALID_JSON, "'where' is no JSON object");
    return serve_need_subqueries(c, read, err);
}

enum hob_code serve_need_query(const struct serve_call *c, struct hob_str method, const json_t *params,
                               struct hob_err *err)
{
    const json_t *where = json_object_get(params, "where");
    if (!hob_str_is(method, "GET")) /* what is saved or given to a function may have any members */
        return HOB_OK;
    if (where && need_where(c, where, err) != HOB_OK)
        return err->code;
    if (json_object_get(params, "redirectClassNameForKey"))
        return serve_need(c, HOB_GRANT_DATA, HOB_STR("*"), HOB_GRANT_READ, err);
    return HOB_OK;
}

/* A part's parameters are its body's and, over them, its path's. */
static enum hob_code need_part(const struct serve_call *c, const json_t *part, struct hob_err *err)
{
    const char *named = json_string_value(json_object_get(part, "method"));
    struct hob_str path = hob_str(json_string_value(json_object_get(part, "path"))), query;
    struct hob_str mount = HOB_STR("/parse/"), method = hob_str(named ? named : "GET");
    if (!path.at)
        return hob_fail(err, HOB_E_INVALID, "a part of a batch has a 'path'");
    if (hob_str_starts(path, mount))
        path = hob_str_n(path.at + mount.n - 1, path.n - mount.n + 1);
    path = hob_str_cut(path, '?', &query);
    const json_t *body = json_object_get(part, "body");
    json_t *params hob_auto_json =
        json_is_object(body) ? json_copy((json_t *)(uintptr_t)body) : json_object();
    if (query.at)
        query_params_add(path, query, params);
    if (serve_need_path(c, method, path, err) != HOB_OK)
        return err->code;
    return serve_need_query(c, method, params, err);
}

enum hob_code serve_need_batch(const struct serve_call *c, const json_t *body, struct hob_err *err)
{
    const json_t *requests = json_object_get(body, "requests"), *one;
    size_t i;
    json_array_foreach(requests, i, one)
    {
        if (need_part(c, one, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

struct hob_str serve_without_token(struct serve_call *c, struct hob_str json, struct hob_str instead)
{
    struct hob_str token = c->caller.session_token;
    const char *at = token.n && json.n ? memmem(json.at, json.n, token.at, token.n) : NULL;
    if (!at)
        return json;
    hob_auto_buf struct hob_buf out;
    hob_buf_init(&out, json.n + HOB_MAX_CALL_ANSWER_BYTES);
    struct hob_str rest = json;
    enum hob_code rc = HOB_OK;
    for (; at && rc == HOB_OK; at = rest.n ? memmem(rest.at, rest.n, token.at, token.n) : NULL) {
        size_t n = (size_t)(at - rest.at);
        rc = hob_buf_add(&out, rest.at, n);
        rc = rc == HOB_OK ? hob_buf_add_str(&out, instead) : rc;
        rest = hob_str_n(at + token.n, rest.n - n - token.n);
    }
    rc = rc == HOB_OK ? hob_buf_add_str(&out, rest) : rc;
    const char *copy = rc == HOB_OK ? hob_arena_strndup(&c->arena, hob_buf_data(&out), out.n) : NULL;
    return copy ? hob_str_n(copy, out.n) : HOB_STR("{}");
}

/* {"status":201,"headers":{...},"body":{...}}: errors, too, since the SDK reads them by itself. */
static void shape(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_jw w;
    struct hob_err err;
    hob_jw_init(&w, &c->out);
    hob_jw_object(&w);
    hob_jw_kint(&w, "status", a->status ? a->status : 200);
    hob_jw_key(&w, "headers");
    hob_jw_object(&w);
    for (size_t i = 0; i < a->headers_n; i++)
        hob_jw_kcstr(&w, a->headers[i].name, a->headers[i].value);
    hob_jw_object_end(&w);
    hob_jw_key(&w, "body");
    hob_jw_raw(&w, a->json.n ? serve_without_token(c, a->json, HOB_STR(CLOUD_CALLER_TOKEN)) : HOB_STR("{}"));
    hob_jw_object_end(&w);
    if (hob_jw_end(&w, &err) == HOB_OK)
        serve_answer(c, hob_buf_str(&c->out), HOB_STR(""));
    else
        serve_fail(c, &err);
}

static enum hob_code judge(struct serve_call *c, struct backend_request *r, struct hob_err *err)
{
    const char *method = serve_need_text(c, "method", err),
               *path = method ? serve_need_text(c, "path", err) : NULL;
    if (!path)
        return err->code;
    if (!c->caller.is_cloud)
        return hob_fail_reason(
            err, HOB_E_FORBIDDEN, "no_such_binding",
            "the Parse SDK's way is open to functions of kind \"parse\" only; use env.data");
    json_t *body = json_object_get(c->args, "body");
    *r = (struct backend_request){.method = hob_str(method), .path = hob_str(path)};
    r->params = json_is_object(body) ? body : NULL;
    r->context = json_object_get(c->args, "context");
    if (serve_need_path(c, r->method, r->path, err) != HOB_OK || serve_need_batch(c, body, err) != HOB_OK ||
        serve_need_query(c, r->method, body, err) != HOB_OK)
        return err->code;
    return serve_identity(c, r, err);
}

static void start_request(struct serve_call *c)
{
    struct hob_err err;
    struct backend_request r;
    if (judge(c, &r, &err) == HOB_OK)
        serve_ask(c, &r, shape);
    else
        serve_fail(c, &err);
}

const struct serve_op serve_parse_ops[] = {{"parse.request", start_request}, {0}};
