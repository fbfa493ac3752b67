#include "api/gateway/gateway.h"

#include <stdlib.h>

#include "api/gateway/gateway_priv.h"
#include "api/server/answer.h"
#include "base/limits.h"

#include "base/banned.h"

enum { SCRATCH_BYTES = 512 * 1024 };

/* ---- the invocation's events ---- */

static void give_back(struct call *c)
{
    size_t n = c->unconsumed;
    c->unconsumed = 0;
    c->is_held = false;
    if (c->inv && n)
        invocation_consumed(c->inv, n);
}

static void on_head(void *ctx, unsigned status, const struct hob_pairs *fields, int64_t body_bytes)
{
    struct call *c = ctx;
    c->times = *invocation_times(c->inv);
    if (status == 101 && c->upgrade.at)
        fn_answer_upgrade(c, fields);
    else
        fn_answer_head(c, status, fields, body_bytes);
}

/* The function gets its window back when the client has taken the bytes, or is near enough to it. */
static void on_data(void *ctx, struct hob_str data)
{
    struct call *c = ctx;
    size_t waiting = c->has_head ? http_write(c->x, data) : 0;
    c->unconsumed += data.n;
    c->is_held = waiting > HOB_MAX_HTTP_CONN_BUFFER_BYTES;
    if (!c->is_held)
        give_back(c);
}

static void on_data_end(void *ctx)
{
    struct call *c = ctx;
    http_end(c->x, NULL, 0);
    c->is_data_ended = true;
}

static void on_end(void *ctx, const struct hob_pairs *trailers)
{
    struct call *c = ctx;
    c->inv = NULL;
    if (c->is_data_ended)
        http_upgrade_leave(c->x);
    else if (c->has_head)
        fn_answer_end(c, trailers);
}

static void on_fail(void *ctx, const struct hob_err *err, const struct invocation_failure *failure,
                    unsigned retry_s)
{
    struct call *c = ctx;
    c->times = *invocation_times(c->inv);
    c->inv = NULL;
    if (c->has_head)
        http_abort(c->x);
    else if (c->is_event && failure)
        fn_answer_failure(c, err, failure, retry_s);
    else
        fn_answer_problem(c, err, retry_s);
}

static void on_body_window(void *ctx, size_t n)
{
    struct call *c = ctx;
    http_consumed(c->x, n);
}

static const struct invocation_events invocation_listener = {
    .on_head = on_head,
    .on_data = on_data,
    .on_data_end = on_data_end,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_body_window = on_body_window,
};

/* ---- the exchange's events ---- */

static void on_body(void *ctx, struct hob_str data)
{
    struct call *c = ctx;
    if (c->inv)
        invocation_body(c->inv, data, false, NULL);
    else
        http_consumed(c->x, data.n);
}

static void on_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct call *c = ctx;
    struct hob_pairs pairs;
    if (!c->inv)
        return;
    bool has_trailers = n && fn_trailers_write(c->g, trailers, n, &pairs);
    invocation_body(c->inv, HOB_STR(""), true, has_trailers ? &pairs : NULL);
}

static void on_drain(void *ctx)
{
    give_back(ctx);
}

static void give_up(struct call *c, enum hob_cancel_reason why)
{
    struct invocation *i = c->inv;
    c->inv = NULL;
    if (i)
        invocation_cancel(i, why);
}

static void on_abort(void *ctx, const struct hob_err *err)
{
    give_up(ctx, err->code == HOB_E_TIMEOUT ? HOB_CANCEL_DEADLINE : HOB_CANCEL_CLIENT_GONE);
}

static void on_shutdown(void *ctx)
{
    struct call *c = ctx;
    if (c->inv)
        invocation_shutdown(c->inv);
}

static void on_close(void *ctx)
{
    give_up(ctx, HOB_CANCEL_CLIENT_GONE);
}

static const struct http_events exchange_listener = {
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drain = on_drain,
    .on_abort = on_abort,
    .on_shutdown = on_shutdown,
    .on_close = on_close,
};

/* ---- finding the version ---- */

static bool is_fn_path(struct hob_str path)
{
    return hob_str_starts(path, HOB_STR("/fn/"));
}

/* Who asks here may be a stranger: the refusal repeats what was asked for, and names nothing else of the app (no
 * nearest name, no newest version), as the control API's does. */
static enum hob_code fail_stranger(struct hob_str asked, struct hob_err *err)
{
    return hob_fail_reason(err, err->code, err->reason,
                           "nothing answers at %.*s; `hob ls` lists what is deployed",
                           (int)(asked.n < 160 ? asked.n : 160), asked.at);
}

/* "/fn/APP/FUNCTION[:ALIAS|@VERSION]" and what follows. */
static enum hob_code find_by_path(struct gateway *g, const struct http_request *r,
                                  struct fn_target *ret_target, struct hob_err *err)
{
    struct hob_str rest = {r->path.at + 4, r->path.n - 4}, function;
    struct hob_str app = hob_str_cut(rest, '/', &rest);
    if (!app.n || !rest.at || !rest.n || rest.at[0] == '/')
        return hob_fail(err, HOB_E_NOT_FOUND,
                        "the path must be /fn/APP/FUNCTION, /fn/APP/FUNCTION:ALIAS or "
                        "/fn/APP/FUNCTION@VERSION, and whatever the function wants behind");
    struct hob_str name = hob_str_cut(rest, '/', &rest);
    struct fn_target t = {.base_path = {r->path.at, (size_t)(name.at + name.n - r->path.at)}};
    t.path = rest.at ? hob_str_n(rest.at - 1, rest.n + 1) : HOB_STR("/");
    size_t at = 0;
    while (at < name.n && name.at[at] != ':' && name.at[at] != '@')
        at++;
    function = hob_str_n(name.at, at);
    if (at < name.n) {
        t.qualifier = hob_str_n(name.at + at + 1, name.n - at - 1);
        bool is_digit = t.qualifier.n && t.qualifier.at[0] >= '0' && t.qualifier.at[0] <= '9';
        if (t.qualifier.n == 0 || (name.at[at] == '@') != is_digit)
            return hob_fail(err, HOB_E_NOT_FOUND,
                            "'%.*s' names no version: write FUNCTION@NUMBER or FUNCTION:ALIAS",
                            (int)(name.n < 140 ? name.n : 140), name.at);
    }
    t.version = catalog_resolve(g->o.catalog, app, function, t.qualifier, err);
    if (!t.version)
        return fail_stranger(t.base_path, err);
    *ret_target = t;
    return HOB_OK;
}

/* ---- the way in ---- */

static struct call *call_new(struct gateway *g, struct http_exchange *x)
{
    struct call *c = hob_arena_alloc(http_arena(x), sizeof *c);
    if (!c)
        return NULL;
    c->g = g;
    c->x = x;
    struct hob_str timing = http_field(x, "x-hob-timing");
    c->wants_timing = (timing.at && hob_str_is(timing, "1")) || http_field(x, "server-timing").at;
    return c;
}

static void begin(struct call *c, struct version *v, struct hob_str target, uint64_t body_max)
{
    struct gateway *g = c->g;
    const struct http_request *r = http_request(c->x);
    struct invocation_caller caller;
    HOB_ASSERT(v);
    c->version = v->number;
    http_listen(c->x, &exchange_listener, c);
    c->inv = invocation_start(g->o.dispatcher,
                              &(struct invocation_spec){
                                  .version = v,
                                  .kind = c->is_event ? HOB_INVOKE_EVENT : HOB_INVOKE_HTTP,
                                  .method = r->method,
                                  .target = target,
                                  .request_id = hob_str(r->request_id),
                                  .fields = hob_buf_str(&g->fields),
                                  .extras = hob_buf_str(&g->extras),
                                  .body_bytes = r->body_bytes,
                                  .received_us = r->received_us,
                                  .may_upgrade = c->upgrade.at != NULL,
                                  .caller = !c->is_event && fn_caller(c->x, v, &caller) ? &caller : NULL,
                              },
                              &invocation_listener, c);
    if (r->body_bytes != 0)
        http_body_read(c->x, body_max);
}

static void begin_http(struct call *c, const struct fn_target *t)
{
    struct hob_err err;
    struct hob_str upgrade = http_request(c->x)->upgrade;
    bool is_server = version_config(t->version)->kind == FUNCTION_HTTP;
    c->upgrade = is_server ? upgrade : (struct hob_str){NULL, 0};
    if (!is_server && upgrade.at && hob_str_ieq(upgrade, HOB_STR("websocket"))) {
        (void)hob_fail_reason(&err, HOB_E_UNSUPPORTED, "upgrade_unsupported",
                              "only a function of kind http can take over the connection: no WebSocket here");
        fn_answer_problem(c, &err, 0);
    } else if (fn_request_write(c->g, c->x, t, c->upgrade, &err) != HOB_OK)
        fn_answer_problem(c, &err, 0);
    else
        begin(c, t->version, hob_buf_str(&c->g->target), 0);
}

static void answer_405(struct call *c, const struct route_match *m)
{
    const struct http_request *r = http_request(c->x);
    hob_auto_buf struct hob_buf body;
    struct hob_err err;
    struct http_field fields[CORS_FIELDS_MAX + 2] = {
        {HOB_STR("Content-Type"), HOB_STR("application/problem+json")},
        {HOB_STR("Allow"), hob_str(m->allow)},
    };
    hob_buf_init(&body, 4096);
    (void)hob_fail_reason(&err, HOB_E_INVALID, "method_not_allowed",
                          "the method %.*s is not allowed here; allowed: %s",
                          (int)(r->method.n < 40 ? r->method.n : 40), r->method.at, m->allow);
    if (http_problem_body(405, &err, r->request_id, &body) != HOB_OK)
        hob_buf_clear(&body);
    http_respond(c->x, 405, fields, 2 + cors_fields(&c->cors, fields + 2), hob_buf_str(&body));
}

static void handle_route(struct call *c)
{
    const struct http_request *r = http_request(c->x);
    struct route_match m = {0};
    struct hob_err err;
    if (!catalog_route(c->g->o.catalog, r->host, r->method, r->path, &m)) {
        (void)hob_fail_reason(&err, HOB_E_NOT_FOUND, "no_route", "no function has a route for %.*s %.*s%.*s",
                              (int)(r->method.n < 20 ? r->method.n : 20), r->method.at,
                              (int)(r->host.n < 64 ? r->host.n : 64), r->host.at,
                              (int)(r->path.n < 100 ? r->path.n : 100), r->path.at);
        fn_answer_problem(c, &err, 0);
        return;
    }
    if (m.route)
        c->cors = cors_of(m.route, http_field(c->x, "origin"));
    if (m.is_method_missing)
        answer_405(c, &m);
    else
        begin_http(c, &(struct fn_target){.version = m.version, .match = &m, .path = r->path});
}

void gateway_handle(struct gateway *g, struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    struct hob_err err;
    struct call *c = call_new(g, x);
    if (!c) {
        (void)hob_fail(&err, HOB_E_TOO_LARGE, "the request's head is larger than can be worked on");
        http_problem(x, &err, 0);
        return;
    }
    if (is_fn_path(r->path)) {
        struct fn_target t = {0};
        if (find_by_path(g, r, &t, &err) == HOB_OK)
            begin_http(c, &t);
        else
            fn_answer_problem(c, &err, 0);
    } else if (!cors_preflight(g, x)) {
        handle_route(c);
    }
}

void gateway_invoke_event(struct gateway *g, struct http_exchange *x, struct version *v)
{
    struct hob_err err;
    struct call *c = call_new(g, x);
    if (!c || fn_event_write(g, x, &err) != HOB_OK) {
        (void)hob_fail(&err, HOB_E_TOO_LARGE, "the request's head is larger than can be worked on");
        http_problem(x, &err, 0);
        return;
    }
    c->is_event = c->wants_timing = true;
    begin(c, v, HOB_STR(""), HOB_MAX_EVENT_BYTES);
}

/* ---- life ---- */

struct gateway *gateway_new(const struct gateway_options *o)
{
    struct gateway *g = hob_new(struct gateway);
    g->o = *o;
    hob_buf_init(&g->target, SCRATCH_BYTES);
    hob_buf_init(&g->fields, SCRATCH_BYTES);
    hob_buf_init(&g->extras, SCRATCH_BYTES);
    hob_buf_init(&g->trailers, SCRATCH_BYTES);
    return g;
}

void gateway_free(struct gateway *g)
{
    hob_buf_done(&g->target);
    hob_buf_done(&g->fields);
    hob_buf_done(&g->extras);
    hob_buf_done(&g->trailers);
    free(g);
}
