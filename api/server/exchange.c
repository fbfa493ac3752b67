/* Exchanges: the handler's side of the door. Everything here is bookkeeping and bytes into the connection's output
 * buffer; conn.c moves them. Request side: waiting -> reading -> received. Answer side: none -> head -> answered. */
#include "api/server/server_priv.h"

#include <stdio.h>

#include "base/clock.h"

#include "base/banned.h"

static struct http_server *server_of(struct http_exchange *x)
{
    return http_conn_of(x)->server;
}

/* --- answers ------------------------------------------------------------------------------------------------ */

/* The rest of the answer cannot be sent as promised. A body that ends with the connection needs a reset, or the
 * client would take the beginning for the whole. */
static void cut(struct http_exchange *x)
{
    struct http_conn *c = http_conn_of(x);
    c->is_cut = true;
    c->is_reset = x->has_answer_body && !x->is_chunked && x->answer_left == HTTP_LENGTH_UNKNOWN;
    x->is_answered = x->is_muted = x->is_close = true;
    http_conn_touch(c);
}

/* A body that nobody will read is worth waiting for only when it is short. */
static bool must_close(struct http_exchange *x, bool is_whole)
{
    const struct http_server *s = server_of(x);
    if (!x->is_keep_alive || s->is_draining || x->is_expecting_100)
        return true;
    if (x->is_received || (!is_whole && x->is_reading))
        return false;
    return x->body == HTTP_BODY_LENGTH && x->body_left > s->tuning.discard_bytes;
}

/* Queues the head of an answer that was checked. */
bool http_exchange_put_head(struct http_exchange *x, struct http_answer *a, bool is_whole)
{
    struct http_server *s = server_of(x);
    struct http_conn *c = http_conn_of(x);
    a->date = http_server_date(s);
    a->server_name = s->options.server_name;
    a->request_id = x->request_id;
    a->is_http10 = x->request.is_http10;
    a->is_head = x->request.is_head;
    a->is_keep_alive = x->is_keep_alive;
    a->is_close = x->is_close || must_close(x, is_whole);
    x->has_head = true;
    if (http_answer_head(a, &c->out) != HOB_OK) {
        cut(x);
        return false;
    }
    x->is_close = a->is_close;
    x->is_chunked = a->is_chunked;
    x->has_answer_body = a->has_body;
    x->answer_left = a->body_bytes;
    http_conn_touch(c);
    return true;
}

static void answer_whole(struct http_exchange *x, struct http_answer *a, struct hob_str body)
{
    a->body_bytes = (int64_t)body.n;
    if (!http_exchange_put_head(x, a, true))
        return;
    if (x->has_answer_body && hob_buf_add_str(&http_conn_of(x)->out, body) != HOB_OK)
        cut(x);
    x->is_answered = true;
}

/* `retry_after_s` 0: none. */
static void answer_problem(struct http_exchange *x, int status, const struct hob_err *err,
                           const struct http_field *more, size_t more_n)
{
    enum { BODY_BYTES_MAX = 4096 };
    hob_auto_buf struct hob_buf body = {0};
    hob_buf_init(&body, BODY_BYTES_MAX);
    struct http_field *fields = hob_arena_alloc(&x->arena, (more_n + 2) * sizeof *fields);
    size_t n = 0;
    if (fields) {
        fields[n++] = (struct http_field){HOB_STR("Content-Type"), HOB_STR("application/problem+json")};
        fields[n++] = (struct http_field){HOB_STR("Cache-Control"), HOB_STR("no-store")};
        for (size_t i = 0; i < more_n; i++)
            fields[n++] = more[i];
    }
    if (http_problem_body(status, err, x->request_id, &body) != HOB_OK)
        hob_buf_clear(&body);
    struct http_answer a = {.status = status, .fields = fields, .fields_n = n};
    answer_whole(x, &a, hob_buf_str(&body));
}

void http_exchange_fail(struct http_exchange *x, const struct http_refusal *r)
{
    if (x->is_answered)
        return;
    x->is_close = true;
    if (x->has_head)
        cut(x);
    else
        answer_problem(x, r->status, &r->err, NULL, 0);
    server_of(x)->stats.refused_total++;
    x->failure = r->err;
    x->has_failed = x->is_muted = true;
}

/* The handler said something that cannot be sent; it is told through on_abort. */
bool http_exchange_check(struct http_exchange *x, const struct http_answer *a)
{
    const char *why;
    if (http_answer_check(a, &why))
        return true;
    struct http_refusal r = {.status = 502};
    (void)hob_fail_reason(&r.err, HOB_E_FUNCTION, "bad_answer", "the answer cannot be sent: %s", why);
    http_exchange_fail(x, &r);
    return false;
}

void http_respond(struct http_exchange *x, int status, const struct http_field *fields, size_t n,
                  struct hob_str body)
{
    if (x->is_muted)
        return;
    HOB_ASSERT(x->is_open && !x->has_head);
    struct http_answer a = {.status = status, .fields = fields, .fields_n = n};
    if (http_exchange_check(x, &a))
        answer_whole(x, &a, body);
}

void http_problem_with(struct http_exchange *x, const struct hob_err *err, const struct http_field *fields,
                       size_t n)
{
    if (x->is_muted)
        return;
    HOB_ASSERT(x->is_open && !x->has_head);
    struct http_answer a = {.status = hob_code_info(err->code)->http_status, .fields = fields, .fields_n = n};
    if (http_exchange_check(x, &a))
        answer_problem(x, a.status, err, fields, n);
}

void http_problem(struct http_exchange *x, const struct hob_err *err, unsigned retry_after_s)
{
    char seconds[16];
    int n = snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    struct http_field field = {HOB_STR("Retry-After"), {seconds, (size_t)n}};
    http_problem_with(x, err, &field, retry_after_s ? 1 : 0);
}

void http_head(struct http_exchange *x, int status, const struct http_field *fields, size_t n,
               int64_t body_bytes)
{
    if (x->is_muted)
        return;
    HOB_ASSERT(x->is_open && !x->has_head && body_bytes >= HTTP_LENGTH_UNKNOWN);
    struct http_answer a = {.status = status, .fields = fields, .fields_n = n, .body_bytes = body_bytes};
    if (http_exchange_check(x, &a))
        (void)http_exchange_put_head(x, &a, false);
}

size_t http_write(struct http_exchange *x, struct hob_str data)
{
    if (x->is_muted)
        return 0;
    HOB_ASSERT(x->has_head && !x->is_answered && !x->is_ended);
    struct http_conn *c = http_conn_of(x);
    if (data.n && x->has_answer_body) {
        bool is_over = x->answer_left >= 0 && data.n > (uint64_t)x->answer_left;
        enum hob_code code = is_over         ? HOB_E_TOO_LARGE
                             : x->is_chunked ? http_answer_chunk(data, &c->out)
                                             : hob_buf_add_str(&c->out, data);
        if (code != HOB_OK) {
            cut(x);
            return 0;
        }
        if (x->answer_left >= 0)
            x->answer_left -= (int64_t)data.n;
        if (x->is_raw)
            c->since_ms = uv_now(c->server->loop);
        http_conn_touch(c);
    }
    size_t queued = http_conn_queued(c);
    x->wants_drain = queued >= c->server->tuning.out_bytes;
    return queued;
}

void http_end(struct http_exchange *x, const struct http_field *trailers, size_t n)
{
    if (x->is_muted)
        return;
    HOB_ASSERT(x->has_head && !x->is_answered);
    struct http_conn *c = http_conn_of(x);
    if (x->is_raw) {
        x->is_ended = true;
        http_upgrade_settle(x);
        http_conn_touch(c);
        return;
    }
    bool is_short = x->has_answer_body && x->answer_left > 0;
    if (is_short || (x->is_chunked && http_answer_end(trailers, n, &c->out) != HOB_OK)) {
        cut(x);
        return;
    }
    x->is_answered = true;
    http_conn_touch(c);
}

void http_abort(struct http_exchange *x)
{
    if (x->is_muted || x->is_answered)
        return;
    HOB_ASSERT(x->is_open);
    if (x->has_head) {
        cut(x);
        return;
    }
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_FUNCTION, "the request was given up before an answer began");
    answer_problem(x, 502, &err, NULL, 0);
}

/* --- begin and end ------------------------------------------------------------------------------------------ */

enum { ARENA_BYTES_MAX = 1 << 20 };

/* Only what the last exchange left behind is cleared; the arena keeps its first chunk. */
static void reset(struct http_exchange *x)
{
    struct hob_arena arena = x->arena;
    http_chunked_done(&x->chunked);
    if (arena.cap == 0)
        hob_arena_init(&arena, ARENA_BYTES_MAX);
    memset(x, 0, offsetof(struct http_exchange, failure));
    memset(&x->body, 0, offsetof(struct http_exchange, request_id) - offsetof(struct http_exchange, body));
    x->arena = arena;
}

static void answer_asterisk(struct http_exchange *x)
{
    static const struct http_field allow = {{"Allow", 5},
                                            {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", 44}};
    struct http_answer a = {.status = 204, .fields = &allow, .fields_n = 1};
    answer_whole(x, &a, HOB_STR(""));
}

void http_exchange_begin_refused(struct http_exchange *x, const struct http_refusal *r)
{
    reset(x);
    http_request_id((struct hob_str){NULL, 0}, x->request_id);
    x->is_received = true; /* whatever follows is nobody's body */
    http_exchange_fail(x, r);
}

/* What the parser found becomes the exchange. */
static void adopt(struct http_exchange *x, const struct http_head *head)
{
    const struct http_conn *c = http_conn_of(x);
    x->request = head->request;
    http_request_id(head->client_request_id, x->request_id);
    http_traceparent(head->client_traceparent, x->traceparent);
    x->request.request_id = x->request_id;
    x->request.traceparent = x->traceparent;
    x->request.remote = c->remote;
    x->request.remote_port = c->remote_port;
    x->request.received_us = hob_now_us();
    x->body = head->body;
    x->body_left = head->body == HTTP_BODY_LENGTH ? (uint64_t)head->request.body_bytes : 0;
    x->is_received = head->body == HTTP_BODY_NONE;
    x->is_keep_alive = head->is_keep_alive;
    x->is_expecting_100 = head->is_expecting_100;
    if (x->body == HTTP_BODY_CHUNKED)
        http_chunked_init(&x->chunked);
}

void http_exchange_begin(struct http_exchange *x, struct hob_str bytes, unsigned fields_n)
{
    struct http_server *s = server_of(x);
    struct http_refusal r;
    struct http_head head;
    reset(x);
    s->stats.requests_total++;
    char *copy = hob_arena_strndup(&x->arena, bytes.at, bytes.n);
    HOB_ASSERT(copy); /* the scanner allows far less than the arena holds */
    if (!http_head_parse(copy, bytes.n, fields_n, &x->arena, &head, &r)) {
        http_exchange_begin_refused(x, &r);
        return;
    }
    adopt(x, &head);
    if (head.is_asterisk) {
        answer_asterisk(x);
        return;
    }
    x->is_open = true;
    s->options.on_request(s->options.ctx, x);
}

void http_exchange_lost(struct http_exchange *x, const char *why)
{
    if (x->is_answered)
        return;
    (void)hob_fail_reason(&x->failure, HOB_E_CANCELLED, "client_gone", "%s", why);
    x->has_failed = x->is_muted = x->is_answered = true;
}

void http_exchange_settle(struct http_exchange *x)
{
    if (x->has_failed) {
        x->has_failed = false;
        if (x->is_open && x->events.on_abort)
            x->events.on_abort(x->ctx, &x->failure);
    }
    if (!x->is_answered)
        return;
    if (x->is_open) {
        x->is_open = false;
        if (x->events.on_close)
            x->events.on_close(x->ctx);
    }
    hob_arena_reset(&x->arena);
}

/* --- the request's body ---------------------------------------------------------------------------------------- */

static enum http_chunk next_piece(struct http_exchange *x, struct hob_str *in, size_t data_max,
                                  struct hob_str *data, struct http_refusal *r)
{
    if (x->is_raw) {
        size_t raw_n = in->n < data_max ? in->n : data_max;
        *data = (struct hob_str){in->at, raw_n};
        in->at += raw_n;
        in->n -= raw_n;
        return raw_n ? HTTP_CHUNK_DATA : http_conn_of(x)->is_half_closed ? HTTP_CHUNK_END : HTTP_CHUNK_MORE;
    }
    if (x->body == HTTP_BODY_CHUNKED)
        return http_chunked_next(&x->chunked, in, data_max, data, r);
    if (x->body_left == 0)
        return HTTP_CHUNK_END;
    size_t n = in->n < data_max ? in->n : data_max;
    n = x->body_left < n ? (size_t)x->body_left : n;
    if (n == 0)
        return HTTP_CHUNK_MORE;
    *data = (struct hob_str){in->at, n};
    in->at += n;
    in->n -= n;
    x->body_left -= n;
    return HTTP_CHUNK_DATA;
}

static void fail_too_large(struct http_exchange *x)
{
    char text[80];
    struct http_refusal r;
    (void)snprintf(text, sizeof text, "the body is larger than the %llu bytes allowed here",
                   (unsigned long long)x->body_max);
    http_refuse(&r, 413, "body_too_large", text);
    http_exchange_fail(x, &r);
}

static void on_piece(struct http_exchange *x, struct hob_str data)
{
    struct http_conn *c = http_conn_of(x);
    x->body_seen += data.n;
    c->stall_bytes += data.n;
    if (x->is_raw)
        c->since_ms = uv_now(c->server->loop);
    if (x->body_max && x->body_seen > x->body_max) {
        fail_too_large(x);
        return;
    }
    x->window_used += data.n;
    if (x->events.on_body)
        x->events.on_body(x->ctx, data);
}

static void tell_end(struct http_exchange *x)
{
    size_t n = 0;
    const struct http_field *trailers = NULL;
    if (x->body == HTTP_BODY_CHUNKED && !x->is_raw)
        trailers = http_chunked_trailers(&x->chunked, &x->arena, &n);
    x->is_end_told = true;
    if (x->events.on_body_end)
        x->events.on_body_end(x->ctx, trailers, n);
}

bool http_exchange_body(struct http_exchange *x, struct hob_str *in)
{
    struct http_refusal r;
    struct hob_str data;
    if (x->is_answered || !x->is_reading || x->is_end_told)
        return false;
    size_t window = server_of(x)->tuning.window_bytes;
    if (!x->is_received && x->window_used >= window)
        return false;
    switch (x->is_received ? HTTP_CHUNK_END : next_piece(x, in, window - x->window_used, &data, &r)) {
    case HTTP_CHUNK_DATA:
        on_piece(x, data);
        return true;
    case HTTP_CHUNK_END:
        x->is_received = true;
        tell_end(x);
        http_upgrade_settle(x);
        return true;
    case HTTP_CHUNK_BAD:
        x->is_received = true; /* nothing behind it can be trusted; the connection closes */
        http_exchange_fail(x, &r);
        return true;
    case HTTP_CHUNK_MORE:
        break;
    }
    return false;
}

bool http_exchange_discard(struct http_exchange *x, struct hob_str *in, bool *ret_is_bad)
{
    struct http_refusal r;
    struct hob_str data;
    for (;;) {
        switch (next_piece(x, in, SIZE_MAX, &data, &r)) {
        case HTTP_CHUNK_DATA:
            continue;
        case HTTP_CHUNK_END:
            return true;
        case HTTP_CHUNK_BAD:
            *ret_is_bad = true;
            return false;
        case HTTP_CHUNK_MORE:
            return false;
        }
    }
}

void http_body_read(struct http_exchange *x, uint64_t bytes_max)
{
    struct http_conn *c = http_conn_of(x);
    if (x->is_muted || x->is_answered || x->is_reading)
        return;
    x->is_reading = true;
    x->body_max = bytes_max;
    if (bytes_max && x->request.body_bytes > 0 && (uint64_t)x->request.body_bytes > bytes_max) {
        fail_too_large(x);
        return;
    }
    if (x->is_expecting_100 && !x->has_head &&
        hob_buf_add_str(&c->out, HOB_STR("HTTP/1.1 100 Continue\r\n\r\n")) != HOB_OK)
        cut(x);
    x->is_expecting_100 = false;
    c->since_ms = uv_now(c->server->loop);
    c->stall_bytes = 0;
    http_conn_touch(c);
}

void http_consumed(struct http_exchange *x, size_t n)
{
    if (!x->is_open || x->is_muted)
        return;
    HOB_ASSERT(n <= x->window_used);
    x->window_used -= n;
    http_upgrade_settle(x);
    http_conn_touch(http_conn_of(x));
}

/* --- what the handler looks at ---------------------------------------------------------------------------------- */

const struct http_request *http_request(const struct http_exchange *x)
{
    return &x->request;
}

struct hob_arena *http_arena(struct http_exchange *x)
{
    return &x->arena;
}

struct hob_str http_field(const struct http_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->request.fields_n; i++)
        if (hob_str_is(x->request.fields[i].name, name))
            return x->request.fields[i].value;
    return (struct hob_str){NULL, 0};
}

void http_listen(struct http_exchange *x, const struct http_events *events, void *ctx)
{
    x->events = *events;
    x->ctx = ctx;
}
