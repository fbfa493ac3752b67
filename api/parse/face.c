/* One request of a Parse client:
 *
 *   head -> [preflight, health, files: answered] -> body -> JSON -> keys -> rates -> the backend -> answer
 *
 * The exchange may close at any time; the backend's call is forgotten then and ends by itself. */
#include <stdlib.h>
#include <string.h>

#include "api/parse/parse_priv.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bindings/files/spool.h"
#include "bindings/parse.h"
#include "bindings/query_params.h"

#include "base/banned.h"

enum { HEADERS_MAX = 100, OPENAPI_BYTES_MAX = 512 * 1024 };

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void respond(struct parse_call *c, int status, const char *type, struct hob_str body,
                    const struct backend_header *more, size_t more_n)
{
    struct http_field fields[PARSE_CORS_FIELDS + 8];
    size_t n = parse_cors(c, fields);
    if (c->is_answered)
        return;
    c->is_answered = true;
    if (type)
        fields[n++] = (struct http_field){HOB_STR("Content-Type"), hob_str(type)};
    if (status == 503)
        fields[n++] = (struct http_field){HOB_STR("Retry-After"), HOB_STR("1")};
    for (size_t i = 0; i < more_n && n < HOB_COUNT(fields); i++)
        fields[n++] = (struct http_field){hob_str(more[i].name), hob_str(more[i].value)};
    c->face->stats.refused += status >= 400;
    http_respond(c->x, status, fields, n, body);
}

void parse_answer(struct parse_call *c, int status, struct hob_str json)
{
    respond(c, status, "application/json; charset=utf-8", json, NULL, 0);
}

void parse_refuse(struct parse_call *c, const struct hob_err *err)
{
    struct hob_buf body hob_auto_buf;
    hob_buf_init(&body, 4096);
    if (parse_error_body(err, &body) != HOB_OK)
        hob_buf_clear(&body);
    parse_answer(c, parse_error_status(err), hob_buf_str(&body));
}

void parse_unauthorized(struct parse_call *c)
{
    parse_answer(c, 403, HOB_STR("{\"error\":\"unauthorized\"}"));
}

static void on_answer(void *ctx, const struct backend_answer *a)
{
    struct parse_call *c = ctx;
    c->asked = NULL;
    c->app = backend_app_by_id(c->face->o.apps, c->application_id);
    respond(c, a->status, "application/json; charset=utf-8", a->json, a->headers, a->headers_n);
}

/* --- asking the backend ------------------------------------------------------------------------------------------- */

/* What cloud code may see of the request: without keys. */
static json_t *visible_headers(const struct parse_call *c)
{
    static const char *const secret[] = {"x-parse-master-key", "x-parse-maintenance-key",
                                         "x-parse-session-token", "authorization", "cookie"};
    const struct http_request *rq = http_request(c->x);
    json_t *all = json_object();
    for (size_t i = 0; i < rq->fields_n && i < HEADERS_MAX; i++) {
        const struct http_field *f = &rq->fields[i];
        bool is_secret = false;
        for (size_t k = 0; k < HOB_COUNT(secret); k++)
            is_secret |= hob_str_is(f->name, secret[k]);
        if (!is_secret && hob_utf8_is_valid(f->value))
            (void)json_object_setn_new(all, f->name.at, f->name.n, json_stringn(f->value.at, f->value.n));
    }
    return all;
}

static struct hob_str mount_url(const struct parse_call *c)
{
    const char *public = backend_app_text(c->app, SETTING_PUBLIC_SERVER_URL);
    struct hob_str authority = http_request(c->x)->authority;
    static const char scheme[] = "http://";
    if (*public)
        return hob_str(public);
    size_t n = sizeof scheme - 1 + authority.n + sizeof PARSE_MOUNT - 1;
    char *url = hob_arena_alloc(http_arena(c->x), n + 1);
    if (!url)
        return HOB_STR(PARSE_MOUNT);
    memcpy(url, scheme, sizeof scheme - 1);
    if (authority.n)
        memcpy(url + sizeof scheme - 1, authority.at, authority.n);
    memcpy(url + sizeof scheme - 1 + authority.n, PARSE_MOUNT, sizeof PARSE_MOUNT - 1);
    return hob_str_n(url, n);
}

static enum hob_code read_context(struct parse_call *c, struct hob_err *err)
{
    if (!c->context_text.n)
        return HOB_OK;
    struct hob_err why;
    c->context = hob_json_parse(c->context_text, "context", &why);
    if (!json_is_object(c->context))
        return parse_fail(err, PARSE_INVALID_JSON, "Invalid object for context.");
    return HOB_OK;
}

static void ask(struct parse_call *c)
{
    const struct http_request *rq = http_request(c->x);
    c->headers =
        backend_has_cloud_code(c->face->o.backend, backend_app_name(c->app)) ? visible_headers(c) : NULL;
    struct backend_request r = {.app = backend_app_name(c->app),
                                .method = c->method,
                                .path = c->path,
                                .params = c->params,
                                .role = c->role,
                                .session_token = c->session_token,
                                .installation_id = c->installation_id,
                                .remote = hob_str(rq->remote),
                                .request_id = hob_str(rq->request_id),
                                .idempotency_key = c->idempotency_key,
                                .context = c->context,
                                .headers = c->headers,
                                .upload = c->spool,
                                .mount_url = mount_url(c)};
    c->asked = backend_ask(c->face->o.backend, &r, on_answer, c);
}

/* Whose parameters stand in the URL. */
static bool takes_query(const struct parse_call *c)
{
    return hob_str_is(c->method, "GET") || hob_str_is(c->method, "DELETE") || hob_str_is(c->path, "/login") ||
           hob_str_is(c->path, "/verifyPassword") || hob_str_starts(c->path, HOB_STR("/functions/"));
}

void parse_ask(struct parse_call *c)
{
    struct hob_err err;
    const char *message;
    struct hob_str query = http_request(c->x)->query;
    if (!c->params)
        c->params = json_object();
    if (!keys_from_body(c) || !keys_judge(c)) {
        parse_unauthorized(c);
        return;
    }
    if (query.n && takes_query(c))
        query_params_add(c->path, query, c->params);
    if (read_context(c, &err) != HOB_OK) {
        parse_refuse(c, &err);
        return;
    }
    if (!rates_take(c->face->rates, c, &message)) {
        (void)hob_fail_parse(&err, HOB_E_BUSY, 100, "%s", message);
        struct hob_buf body hob_auto_buf;
        hob_buf_init(&body, 4096);
        c->face->stats.limited++;
        if (parse_error_body(&err, &body) != HOB_OK)
            hob_buf_clear(&body);
        parse_answer(c, 429, hob_buf_str(&body));
        return;
    }
    ask(c);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

/* Whole numbers beyond 64 bits are read as what JavaScript would make of them. */
static json_t *read_json(struct hob_str text, struct hob_err *err)
{
    json_t *j = hob_json_parse(text, "the body", err);
    if (!j && strstr(err->msg, "too big integer"))
        j = json_loadb(text.at, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    return j;
}

static void refuse_json(struct parse_call *c, const char *why)
{
    struct hob_buf body hob_auto_buf;
    struct hob_jw w;
    hob_buf_init(&body, 4096);
    hob_jw_init(&w, &body);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "error", why);
    hob_jw_object_end(&w);
    parse_answer(c, 400,
                 hob_jw_end(&w, NULL) == HOB_OK ? hob_buf_str(&body) : HOB_STR("{\"error\":\"bad JSON\"}"));
}

static void on_body(void *ctx, struct hob_str data)
{
    struct parse_call *c = ctx;
    if (c->is_upload) {
        parse_upload_body(c, data);
        return;
    }
    if (!c->is_answered && hob_buf_add_str(&c->body, data) != HOB_OK)
        hob_buf_clear(&c->body); /* the server refuses a longer body first */
    http_consumed(c->x, data.n);
}

static bool is_blank(struct hob_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!memchr(" \t\r\n", text.at[i], 4))
            return false;
    return true;
}

static void on_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct parse_call *c = ctx;
    struct hob_err err;
    struct hob_str text = hob_buf_str(&c->body);
    (void)trailers;
    (void)n;
    if (c->is_answered)
        return;
    if (c->is_upload) {
        parse_upload_end(c);
        return;
    }
    if (!is_blank(text)) {
        c->params = read_json(text, &err);
        hob_buf_done(&c->body);
        if (!c->params) {
            refuse_json(c, err.msg);
            return;
        }
        if (!json_is_object(c->params)) {
            refuse_json(c, "the body must be a JSON object");
            return;
        }
    }
    parse_ask(c);
}

static void on_abort(void *ctx, const struct hob_err *err)
{
    struct parse_call *c = ctx;
    (void)err;
    c->is_answered = true;
    c->is_gone = true;
    if (c->asked)
        backend_forget(c->asked);
    if (c->waiting)
        parse_download_forget(c->waiting);
    c->asked = NULL;
    c->waiting = NULL;
}

void parse_call_done(struct parse_call *c)
{
    hob_buf_done(&c->body);
    json_decref(c->params);
    json_decref(c->context);
    json_decref(c->headers);
    if (c->spool)
        spool_free(c->spool);
    c->params = c->context = c->headers = NULL;
    c->spool = NULL;
}

static void on_close(void *ctx)
{
    on_abort(ctx, NULL);
    parse_call_done(ctx);
}

static void answer_openapi(struct parse_call *c)
{
    struct hob_buf out hob_auto_buf;
    struct hob_err err;
    hob_buf_init(&out, OPENAPI_BYTES_MAX);
    if (parse_openapi_write(&out) == HOB_OK) {
        parse_answer(c, 200, hob_buf_str(&out));
        return;
    }
    (void)hob_fail(&err, HOB_E_INTERNAL, "the document is larger than %d bytes", OPENAPI_BYTES_MAX);
    parse_refuse(c, &err);
}

/* --- door --------------------------------------------------------------------------------------------------------- */

bool parse_face_owns(struct hob_str path)
{
    return hob_str_starts(path, HOB_STR(PARSE_MOUNT)) &&
           (path.n == sizeof PARSE_MOUNT - 1 || path.at[sizeof PARSE_MOUNT - 1] == '/');
}

static uint64_t body_bytes_max(const struct parse_call *c)
{
    enum { DEFAULT_BYTES = 20 * 1024 * 1024 };
    const struct backend_app *app =
        c->application_id.n ? backend_app_by_id(c->face->o.apps, c->application_id) : NULL;
    return app ? (uint64_t)backend_app_int(app, SETTING_MAX_UPLOAD_BYTES) : DEFAULT_BYTES;
}

void parse_face_handle(struct parse_face *f, struct http_exchange *x)
{
    static const struct http_events events = {
        .on_body = on_body, .on_body_end = on_body_end, .on_abort = on_abort, .on_close = on_close};
    static const struct http_events none = {.on_body = NULL};
    const struct http_request *rq = http_request(x);
    struct parse_call *c = hob_arena_alloc(http_arena(x), sizeof *c);
    f->stats.requests++;
    if (!c) {
        http_listen(x, &none, NULL);
        http_abort(x);
        return;
    }
    size_t mount = sizeof PARSE_MOUNT - 1;
    *c = (struct parse_call){
        .face = f, .x = x, .method = rq->method, .path = hob_str_n(rq->path.at + mount, rq->path.n - mount)};
    while (c->path.n > 1 && c->path.at[1] == '/') /* "/parse//classes" */
        c->path = hob_str_n(c->path.at + 1, c->path.n - 1);
    http_listen(x, &events, c);
    keys_from_headers(c);
    c->app = c->application_id.n ? backend_app_by_id(f->o.apps, c->application_id) : NULL;
    if (hob_str_is(rq->method, "OPTIONS")) {
        respond(c, 200, NULL, HOB_STR(""), NULL, 0);
        return;
    }
    if (hob_str_is(c->path, "/health")) {
        parse_answer(c, 200, HOB_STR("{\"status\":\"ok\"}"));
        return;
    }
    if (hob_str_is(c->path, "/openapi.json") && hob_str_is(rq->method, "GET")) {
        answer_openapi(c);
        return;
    }
    if (parse_pages_handle(c) || parse_files_handle(c))
        return;
    uint64_t max = body_bytes_max(c);
    hob_buf_init(&c->body, max);
    http_body_read(x, max);
}

struct parse_face *parse_face_new(const struct parse_face_options *o)
{
    struct parse_face *f = hob_new(struct parse_face);
    f->o = *o;
    f->rates = rates_new();
    return f;
}

void parse_face_free(struct parse_face *f)
{
    if (f)
        rates_free(f->rates);
    free(f);
}

struct parse_face_stats parse_face_stats(const struct parse_face *f)
{
    return f->stats;
}

struct backend *parse_face_backend(const struct parse_face *f)
{
    return f->o.backend;
}
