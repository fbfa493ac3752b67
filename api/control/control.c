#include "api/control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "api/server/answer.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

/* One call:
 *
 *   head -> token -> route -> query -> [JSON body] -> handler -> answered ... exchange closed, holds gone -> freed
 *
 * A failure at any point answers with its problem. The exchange may close at any time; what runs for the call then
 * (a store write, a deploy) holds it until its callback has come. */
enum { OUT_BYTES_MAX = 64 * 1024 * 1024 }; /* lists of tens of thousands of functions */

/* --- answering --------------------------------------------------------------------------------------------------- */

bool call_is_open(const struct call *c)
{
    return c->x && !c->is_gone && !c->is_answered;
}

static void fail_with(struct call *c, const struct hob_err *err, const struct http_field *fields, size_t n,
                      unsigned retry_after_s)
{
    if (!call_is_open(c))
        return;
    c->is_answered = true;
    c->control->stats.refused_total++;
    if (err->code == HOB_E_INTERNAL)
        hob_log(HOB_LOG_ERROR, "control.failed", "request=%s call=%s error=\"%s\"",
                http_request(c->x)->request_id, c->route ? c->route->operation : "-", err->msg);
    if (n)
        http_problem_with(c->x, err, fields, n);
    else
        http_problem(c->x, err, retry_after_s);
}

void call_fail(struct call *c, const struct hob_err *err)
{
    fail_with(c, err, NULL, 0, 0);
}

struct hob_jw *call_start(struct call *c)
{
    hob_buf_clear(&c->out);
    hob_jw_init(&c->w, &c->out);
    return &c->w;
}

void call_finish(struct call *c)
{
    struct hob_err err = {0};
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/json")},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")}};
    if (!call_is_open(c))
        return;
    if (hob_jw_end(&c->w, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    c->is_answered = true;
    http_respond(c->x, c->route->status, fields, HOB_COUNT(fields), hob_buf_str(&c->out));
}

void call_finish_empty(struct call *c)
{
    hob_jw_raw(call_start(c), HOB_STR("{}"));
    call_finish(c);
}

void call_on_removed(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    (void)r;
    if (err)
        call_fail(c, err);
    else
        call_finish_empty(c);
    call_release(c);
}

void call_stream_begin(struct call *c, const struct call_stream *stream, void *ctx)
{
    c->stream = stream;
    c->stream_ctx = ctx;
}

void call_streamed(struct call *c)
{
    c->is_answered = true;
    c->stream = NULL;
}

/* --- what handlers ask ------------------------------------------------------------------------------------------- */

struct hob_str call_query(const struct call *c, const char *name)
{
    for (size_t i = 0; c->route->queries && c->route->queries[i].name; i++)
        if (strcmp(c->route->queries[i].name, name) == 0)
            return c->queries[i];
    HOB_ASSERT(!"a query parameter that the route does not have");
    return hob_str_n(NULL, 0);
}

struct function *call_function(struct call *c)
{
    struct hob_err err = {0};
    struct function *f = catalog_function_find(c->control->o.catalog, c->params[0], c->params[1]);
    if (f && f->live)
        return f;
    if (!catalog_resolve(c->control->o.catalog, c->params[0], c->params[1], HOB_STR(""), &err))
        call_fail(c, &err);
    return NULL;
}

char *call_url(const struct call *c, const char *app, const char *function)
{
    struct hob_str host = c->x ? http_request(c->x)->authority : HOB_STR("");
    return hob_asprintf("http://%.*s/fn/%s/%s", host.at ? (int)host.n : 0, host.at ? host.at : "", app,
                        function);
}

void call_hold(struct call *c)
{
    c->holds++;
}

static void control_maybe_closed(struct control *control)
{
    if (control->is_closing && hob_list_is_empty(&control->calls) && !probe_is_running(control->probe))
        (void)uv_async_send(&control->closer);
}

void call_release(struct call *c)
{
    HOB_ASSERT(c->holds > 0);
    if (--c->holds)
        return;
    HOB_ASSERT(!c->x);
    struct control *control = c->control;
    hob_list_remove(&c->link);
    for (size_t i = 0; i < CALL_PARAMS_MAX; i++)
        free(c->copies[i]);
    json_decref(c->json);
    hob_buf_done(&c->body);
    hob_buf_done(&c->out);
    free(c);
    control_maybe_closed(control);
}

/* --- the exchange's events --------------------------------------------------------------------------------------- */

static void call_gone(struct call *c)
{
    const struct call_stream *stream = c->stream;
    c->is_gone = true;
    c->stream = NULL;
    if (stream)
        stream->on_gone(c->stream_ctx);
}

static void on_abort(void *ctx, const struct hob_err *err)
{
    (void)err; /* the server has told the client what there was to tell */
    call_gone(ctx);
}

static void on_close(void *ctx)
{
    struct call *c = ctx;
    call_gone(c);
    c->x = NULL;
    call_release(c);
}

static void on_body(void *ctx, struct hob_str data)
{
    struct call *c = ctx;
    if (c->stream && c->stream->on_body) {
        c->stream->on_body(c->stream_ctx, data);
        return;
    }
    if (c->route && c->route->body == CALL_BODY_JSON && hob_buf_add_str(&c->body, data) != HOB_OK)
        c->body.n = 0; /* cannot be: the server refuses a longer body first; then it is not JSON any more */
    http_consumed(c->x, data.n);
}

static void take_json(struct call *c)
{
    struct hob_err err = {0};
    const struct schema *schema = schema_need(c->route->request);
    struct hob_str text = hob_buf_str(&c->body);
    c->json = hob_json_parse(hob_str_trim(text).n ? text : HOB_STR("{}"), "the body", &err);
    if (!c->json || schema_judge(schema, c->json, &err) != HOB_OK)
        call_fail(c, &err);
    else
        c->route->handle(c);
}

static void on_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct call *c = ctx;
    (void)trailers;
    (void)n;
    if (c->stream && c->stream->on_body_end)
        c->stream->on_body_end(c->stream_ctx);
    else if (c->route && c->route->body == CALL_BODY_JSON && call_is_open(c))
        take_json(c);
}

static void on_drain(void *ctx)
{
    struct call *c = ctx;
    if (c->stream && c->stream->on_drain)
        c->stream->on_drain(c->stream_ctx);
}

static const struct http_events call_events = {.on_body = on_body,
                                               .on_body_end = on_body_end,
                                               .on_drain = on_drain,
                                               .on_abort = on_abort,
                                               .on_close = on_close};

/* --- judging a head ---------------------------------------------------------------------------------------------- */

static bool judge_token(struct call *c)
{
    struct hob_err err = {0};
    unsigned retry_s = 0;
    const struct http_field challenge[] = {{HOB_STR("www-authenticate"), HOB_STR("Bearer realm=\"hob\"")}};
    c->token_name = control_token_name(c->control->o.tokens, c->x);
    if (c->token_name)
        return true;
    c->control->stats.auth_failures_total++;
    if (auth_guard_failed(c->control->guard, http_request(c->x)->remote, hob_now_ms(), &retry_s, &err) ==
        HOB_E_UNAUTHORIZED)
        fail_with(c, &err, challenge, 1, 0);
    else
        fail_with(c, &err, NULL, 0, retry_s);
    return false;
}

/* 405 is no code of base/err.c: nothing but routing needs it. */
void control_answer_405(struct http_exchange *x, const char *allow)
{
    const struct http_request *rq = http_request(x);
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/problem+json")},
                                        {HOB_STR("allow"), hob_str(allow)}};
    struct hob_err err = {0};
    struct hob_buf body hob_auto_buf;
    hob_buf_init(&body, 4096);
    (void)hob_fail_reason(&err, HOB_E_INVALID, "method_not_allowed",
                          "the method %.*s is not allowed here; allowed: %s",
                          (int)(rq->method.n > 32 ? 32 : rq->method.n), rq->method.at, allow);
    if (http_problem_body(405, &err, rq->request_id, &body) != HOB_OK)
        hob_buf_clear(&body);
    http_respond(x, 405, fields, HOB_COUNT(fields), hob_buf_str(&body));
}

static bool judge_params(struct call *c)
{
    struct hob_err err = {0};
    const char *at = c->route->pattern;
    for (size_t i = 0; (at = strchr(at, '{')) != NULL; i++, at++) {
        struct hob_str value = c->params[i];
        bool is_variable = strncmp(at, "{NAME}", 6) == 0;
        c->copies[i] = hob_strndup(value.at, value.n);
        c->params[i] = hob_str(c->copies[i]);
        if (is_variable ? vault_name_check(value, &err) == HOB_OK : hob_name_is_valid(value))
            continue;
        if (!is_variable)
            (void)hob_fail_reason(
                &err, HOB_E_INVALID, "bad_name",
                "'%.*s' is no %s name: use a-z, 0-9 and '-', 1 to 64 characters, a letter first",
                (int)(value.n > 64 ? 64 : value.n), value.at,
                strncmp(at, "{app}", 5) == 0   ? "app"
                : strncmp(at, "{fn}", 4) == 0  ? "function"
                : strncmp(at, "{key}", 5) == 0 ? "key"
                                               : "alias");
        call_fail(c, &err);
        return false;
    }
    return true;
}

static bool judge_route(struct call *c)
{
    const struct http_request *rq = http_request(c->x);
    struct hob_err err = {0};
    struct call_match match;
    control_match(rq->method, rq->path, &match);
    c->route = match.route;
    memcpy(c->params, match.params, sizeof c->params);
    if ((!c->route || !c->route->is_open) && !judge_token(c))
        return false;
    if (!c->route && match.allow[0]) {
        c->is_answered = true;
        c->control->stats.refused_total++;
        control_answer_405(c->x, match.allow);
        return false;
    }
    if (!c->route) {
        (void)hob_fail_reason(&err, HOB_E_NOT_FOUND, "no_such_call",
                              "the control API has no %.*s; GET /v1/openapi.json lists what it has",
                              (int)(rq->path.n > 100 ? 100 : rq->path.n), rq->path.at);
        call_fail(c, &err);
        return false;
    }
    if (!judge_params(c))
        return false;
    if (control_query_parse(c->route->queries, rq->query, http_arena(c->x), c->queries, &err) != HOB_OK) {
        call_fail(c, &err);
        return false;
    }
    return true;
}

void control_handle(struct control *control, struct http_exchange *x)
{
    struct call *c = hob_new(struct call);
    c->control = control;
    c->x = x;
    c->holds = 1;
    hob_buf_init(&c->body, HOB_MAX_API_BODY_BYTES);
    hob_buf_init(&c->out, OUT_BYTES_MAX);
    hob_list_push_back(&control->calls, &c->link);
    control->stats.calls_total++;
    http_listen(x, &call_events, c);
    if (!judge_route(c))
        return;
    if (c->route->body == CALL_BODY_JSON)
        http_body_read(x, HOB_MAX_API_BODY_BYTES);
    else
        c->route->handle(c);
}

/* --- door -------------------------------------------------------------------------------------------------------- */

static void on_closer_closed(uv_handle_t *handle)
{
    struct control *control = handle->data;
    void (*closed)(void *) = control->closed;
    void *ctx = control->closed_ctx;
    auth_guard_free(control->guard);
    probe_free(control->probe);
    transfer_copies_sweep(control->tmp_dir);
    free(control->tmp_dir);
    free(control);
    closed(ctx);
}

static void on_closer(uv_async_t *closer)
{
    if (!uv_is_closing((uv_handle_t *)closer))
        uv_close((uv_handle_t *)closer, on_closer_closed);
}

struct control *control_new(const struct control_options *o)
{
    struct control *control = hob_new(struct control);
    control->o = *o;
    control->tmp_dir = hob_asprintf("%s/tmp", o->home);
    transfer_copies_sweep(control->tmp_dir);
    hob_list_init(&control->calls);
    control->guard = auth_guard_new();
    control->probe = probe_new(control);
    HOB_ASSERT(uv_async_init(o->loop, &control->closer, on_closer) == 0);
    control->closer.data = control;
    uv_unref((uv_handle_t *)&control->closer); /* alone it keeps no loop alive */
    return control;
}

void control_drain(struct control *control)
{
    control->is_draining = true;
    log_streams_end(control);
    trace_streams_end(control);
}

void control_close(struct control *control, void (*closed)(void *ctx), void *ctx)
{
    control->is_closing = true;
    control->closed = closed;
    control->closed_ctx = ctx;
    uv_ref((uv_handle_t *)&control->closer);
    control_maybe_closed(control);
}

const char *control_token_name(const struct tokens *t, const struct http_exchange *x)
{
    struct hob_str token = auth_bearer(http_field(x, "authorization"));
    return token.at ? tokens_check(t, token) : NULL;
}

void control_stats(const struct control *control, struct control_stats *ret_stats)
{
    *ret_stats = control->stats;
}
