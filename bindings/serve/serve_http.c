/* http.request and http.public: {"method","target","token","close","fields":{}}, the body as the call's data. The answer is the
 * HTTP/1.1 message, to the byte, as the call's bytes. Whose rights hold was settled before (the invocation); of whom a
 * request may say to act is judged as for every other call.
 *
 *   /parse/...           the Parse protocol (serve_http_parse.c)
 *   /cache, /cache/KEY   GET, PUT ?ttl=S, POST ?incr=N, DELETE; the list by ?prefix= &limit= &cursor=
 *   /secrets/NAME        GET
 *   /sql                 POST {"sql","params"} or {"statements":[...]} */
#include <stdio.h>
#include <stdlib.h>

#include "bindings/files/files.h"
#include "bindings/query_params.h"
#include "bindings/serve/serve_http.h"

#include "base/banned.h"

enum { HEAD_BYTES = 16 * 1024 };

/* --- answers --- */

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"},
                   {201, "Created"},
                   {204, "No Content"},
                   {206, "Partial Content"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {416, "Range Not Satisfiable"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"}};
    for (size_t i = 0; i < HOB_COUNT(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Status";
}

/* What comes from stored objects (a Location, a file's type) ends no line. */
static enum hob_code add_header(struct hob_buf *out, const char *name, const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return HOB_OK;
    return hob_buf_addf(out, "%s: %s\r\n", name, value);
}

static enum hob_code write_head(const struct serve_call *c, const struct gate_head *head, size_t body_n,
                                struct hob_buf *out)
{
    bool has_body = head->status != 204 && head->status != 304;
    enum hob_code rc = hob_buf_addf(out, "HTTP/1.1 %d %s\r\n", head->status, phrase_of(head->status));
    if (rc == HOB_OK && head->type)
        rc = add_header(out, "Content-Type", head->type);
    for (size_t i = 0; rc == HOB_OK && i < head->more_n; i++)
        rc = add_header(out, head->more[i].name, head->more[i].value);
    if (rc == HOB_OK && has_body)
        rc = hob_buf_addf(out, "Content-Length: %zu\r\n", body_n);
    if (rc == HOB_OK && c->http->is_last)
        rc = hob_buf_add_str(out, HOB_STR("Connection: close\r\n"));
    return rc == HOB_OK ? hob_buf_add_str(out, HOB_STR("\r\n")) : rc;
}

void gate_respond(struct serve_call *c, const struct gate_head *head, struct hob_str body)
{
    hob_auto_buf struct hob_buf out;
    bool has_body =
        head->status != 204 && head->status != 304 && !hob_str_is(c->http->method, "HEAD") && body.n;
    hob_buf_init(&out, (size_t)HOB_MAX_CALL_ANSWER_BYTES + HEAD_BYTES);
    enum hob_code rc = write_head(c, head, body.n, &out);
    if (rc == HOB_OK && has_body)
        rc = hob_buf_add_str(&out, body);
    if (rc == HOB_OK && out.n <= HOB_MAX_CALL_ANSWER_BYTES) {
        serve_give(c, HOB_STR("{}"), hob_buf_str(&out));
        return;
    }
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_TOO_LARGE,
                   "the answer has more than %d bytes (call.answer_bytes): ask for less, or for a range",
                   HOB_MAX_CALL_ANSWER_BYTES);
    serve_fail(c, &err);
}

static void respond_json(struct serve_call *c, struct hob_str json)
{
    gate_respond(c, &(struct gate_head){.status = 200, .type = "application/json; charset=utf-8"}, json);
}

static void respond_nothing(struct serve_call *c)
{
    gate_respond(c, &(struct gate_head){.status = 204}, HOB_STR(""));
}

struct hob_str gate_field(const struct serve_call *c, const char *name)
{
    const json_t *value = json_object_get(json_object_get(c->args, "fields"), name);
    if (!json_is_string(value))
        return (struct hob_str){NULL, 0};
    return hob_str_n(json_string_value(value), json_string_length(value));
}

/* --- the small paths: each becomes the call that env.* would have made --- */

static void become(struct serve_call *c, const struct serve_op *ops, const char *op, json_t *args)
{
    (void)json_object_set_new(c->head, "small", args); /* lives as long as the call */
    c->op = op;
    c->args = args;
    while (ops->name && strcmp(ops->name, op) != 0)
        ops++;
    HOB_ASSERT(ops->name);
    ops->start(c);
}

static void fail(struct serve_call *c, enum hob_code code, const char *what)
{
    struct hob_err err;
    (void)hob_fail(&err, code, "%s", what);
    serve_fail(c, &err);
}

static void no_such_path(struct serve_call *c)
{
    fail(
        c, HOB_E_NOT_FOUND,
        "at the bindings' URL there are /parse/..., /cache, /cache/KEY, /secrets/NAME and /sql, each with its "
        "methods");
}

/* The rest of a path as one text, decoded; NULL: it is no text. */
static json_t *text_of(struct hob_str escaped)
{
    size_t n;
    hob_auto_free char *plain = url_decode(escaped, false, &n);
    return n ? json_stringn(plain, n) : NULL;
}

static void shape_json(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    (void)data;
    respond_json(c, json);
}

static void shape_nothing(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    (void)json, (void)data;
    respond_nothing(c);
}

static void shape_bytes(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    (void)json;
    gate_respond(c, &(struct gate_head){.status = 200, .type = "application/octet-stream"}, data);
}

/* [null] or [{"n","revision",...}]. */
static void shape_pair(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    struct hob_err err;
    char revision[24];
    json_t *rows hob_auto_json = hob_json_parse(json, "the pair", &err);
    const json_t *row = json_array_get(rows, 0);
    if (!json_is_object(row)) {
        fail(c, HOB_E_NOT_FOUND, "the cache has no such key");
        return;
    }
    (void)snprintf(revision, sizeof revision, "%lld",
                   (long long)json_integer_value(json_object_get(row, "revision")));
    const struct backend_header more = {"X-Hob-Revision", revision};
    gate_respond(
        c, &(struct gate_head){.status = 200, .type = "application/octet-stream", .more = &more, .more_n = 1},
        data);
}

/* [X] as X: of a request with one statement. */
static void shape_statement(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    (void)data;
    bool is_array = json.n >= 2 && json.at[0] == '[' && json.at[json.n - 1] == ']';
    respond_json(c, is_array ? hob_str_n(json.at + 1, json.n - 2) : json);
}

/* Keys are text, also "100" and "true", which parameters would be read as JSON. */
static void cache_list(struct serve_call *c, json_t *params)
{
    struct hob_str rest = c->http->query;
    while (rest.at && rest.n) {
        struct hob_str value, name = hob_str_cut(hob_str_cut(rest, '&', &rest), '=', &value);
        if (value.at && (hob_str_is(name, "prefix") || hob_str_is(name, "cursor")))
            (void)json_object_set_new(params, hob_str_is(name, "prefix") ? "prefix" : "cursor",
                                      text_of(value));
    }
    c->http->shape = shape_json;
    become(c, serve_cache_ops, "cache.list", json_incref(params));
}

static void cache_one(struct serve_call *c, json_t *key, const json_t *params)
{
    struct hob_str method = c->http->method;
    json_t *args = json_object(), *ttl = json_object_get(params, "ttl"),
           *by = json_object_get(params, "incr");
    (void)json_object_set(args, "key", key);
    if (hob_str_is(method, "GET") || hob_str_is(method, "HEAD")) {
        (void)json_object_set_new(args, "keys", json_pack("[O]", key));
        c->http->shape = shape_pair;
        become(c, serve_cache_ops, "cache.get", args);
    } else if (hob_str_is(method, "PUT")) {
        if (ttl)
            (void)json_object_set(args, "expirationTtl", ttl);
        c->http->shape = shape_nothing;
        become(c, serve_cache_ops, "cache.put", args);
    } else if (hob_str_is(method, "POST") && by) {
        (void)json_object_set(args, "by", by);
        c->http->shape = shape_json;
        become(c, serve_cache_ops, "cache.incr", args);
    } else if (hob_str_is(method, "DELETE")) {
        c->http->shape = shape_nothing;
        become(c, serve_cache_ops, "cache.delete", args);
    } else {
        json_decref(args);
        no_such_path(c);
    }
}

static void start_cache(struct serve_call *c, struct hob_str rest)
{
    json_t *params hob_auto_json = json_object();
    json_t *key hob_auto_json = rest.n ? text_of(rest) : NULL;
    query_params_add(c->http->path, c->http->query, params);
    if (key)
        cache_one(c, key, params);
    else if (!rest.n && hob_str_is(c->http->method, "GET"))
        cache_list(c, params);
    else
        no_such_path(c);
}

static void start_secret(struct serve_call *c, struct hob_str rest)
{
    json_t *name = rest.n ? text_of(rest) : NULL;
    if (!name || !hob_str_is(c->http->method, "GET")) {
        json_decref(name);
        no_such_path(c);
        return;
    }
    c->http->shape = shape_bytes;
    become(c, serve_secret_ops, "secrets.get", json_pack("{s:o}", "name", name));
}

static void start_sql(struct serve_call *c, struct hob_str rest)
{
    struct hob_err err;
    if (rest.n || !hob_str_is(c->http->method, "POST")) {
        no_such_path(c);
        return;
    }
    json_t *body = hob_json_parse(c->data, "the body", &err);
    if (!json_is_object(body)) {
        if (body)
            (void)hob_fail(&err, HOB_E_INVALID, "the body: want {\"sql\":...,\"params\":[...]}");
        json_decref(body);
        serve_fail(c, &err);
        return;
    }
    bool is_one = !json_object_get(body, "statements");
    if (is_one)
        body = json_pack("{s:[o]}", "statements", body);
    c->http->shape = is_one ? shape_statement : shape_json;
    become(c, serve_sql_ops, "sql.query", body);
}

/* --- which it is --- */

static enum hob_code read_request(struct serve_call *c, struct hob_err *err)
{
    const char *method = serve_need_text(c, "method", err),
               *target = method ? serve_need_text(c, "target", err) : NULL;
    if (!target)
        return err->code;
    struct serve_http *h = hob_arena_alloc(&c->arena, sizeof *h);
    HOB_ASSERT(h);
    *h = (struct serve_http){.method = hob_str(method),
                             .is_last = json_is_true(json_object_get(c->args, "close"))};
    h->path = hob_str_cut(hob_str(target), '?', &h->query);
    c->http = h;
    return HOB_OK;
}

/* "/cache/KEY" of "cache" is "KEY"; at == NULL: it is another path. */
static struct hob_str below(struct hob_str path, struct hob_str name)
{
    if (path.n <= name.n || !hob_str_starts(hob_str_n(path.at + 1, path.n - 1), name))
        return (struct hob_str){NULL, 0};
    struct hob_str rest = hob_str_n(path.at + 1 + name.n, path.n - 1 - name.n);
    if (rest.n && rest.at[0] != '/')
        return (struct hob_str){NULL, 0};
    return rest.n ? hob_str_n(rest.at + 1, rest.n - 1) : rest;
}

static void start_request(struct serve_call *c)
{
    static const struct {
        struct hob_str name;
        void (*start)(struct serve_call *c, struct hob_str rest);
    } small[] = {{{"cache", 5}, start_cache}, {{"secrets", 7}, start_secret}, {{"sql", 3}, start_sql}};
    struct hob_err err;
    if (read_request(c, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    struct hob_str path = c->http->path;
    if (below(path, HOB_STR("parse")).at) {
        gate_parse_start(c, hob_str_n(path.at + 6, path.n - 6));
        return;
    }
    for (size_t i = 0; i < HOB_COUNT(small); i++) {
        struct hob_str rest = below(path, small[i].name);
        if (rest.at) {
            small[i].start(c, rest);
            return;
        }
    }
    no_such_path(c);
}

const struct serve_op serve_http_ops[] = {
    {"http.request", start_request}, {"http.public", start_request}, {0}};
