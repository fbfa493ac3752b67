#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

/* Flow of a recording: HEAD -> lines, gathered for a tenth of a second -> END (its time is over, or the daemon drains),
 * or the client goes. A client that is slow loses lines and is told how many. */
enum { GATHER_MS = 100, PENDING_BYTES_MAX = 1024 * 1024, SECONDS_MAX = 86400 };

struct recording {
    struct call *call;
    struct trace_listener listener;
    uv_timer_t timer;
    struct hob_buf pending;
    uint64_t dropped, end_ms; /* end_ms 0: when the client leaves */
    struct hob_str app, function;
    bool is_over, is_full; /* is_full: the client has enough for now */
};

static void on_timer_closed(uv_handle_t *h)
{
    struct recording *r = h->data;
    struct call *c = r->call;
    hob_buf_done(&r->pending);
    free(r);
    call_release(c);
}

static void recording_over(struct recording *r)
{
    r->is_over = true;
    trace_stop(&r->listener);
    call_streamed(r->call);
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

static void flush(struct recording *r)
{
    if (r->dropped &&
        hob_buf_addf(&r->pending, "{\"dropped\":%llu}\n", (unsigned long long)r->dropped) == HOB_OK)
        r->dropped = 0;
    if (r->pending.n && !r->is_full) {
        r->is_full = http_write(r->call->x, hob_buf_str(&r->pending)) >= HOB_MAX_HTTP_CONN_BUFFER_BYTES;
        hob_buf_clear(&r->pending);
    }
}

static void recording_end(struct recording *r)
{
    if (r->pending.n)
        (void)http_write(r->call->x, hob_buf_str(&r->pending));
    http_end(r->call->x, NULL, 0);
    recording_over(r);
}

static void on_timer(uv_timer_t *t)
{
    struct recording *r = t->data;
    flush(r);
    if (r->end_ms && hob_now_ms() >= r->end_ms)
        recording_end(r);
}

static void on_ended(void *ctx, const struct trace_event *e)
{
    struct recording *r = ctx;
    if ((r->app.n && !hob_str_is(r->app, e->app)) || (r->function.n && !hob_str_is(r->function, e->function)))
        return;
    if (!e->is_dispatched) /* it had no service: there is nothing to replay */
        return;
    if (hob_buf_addf(
            &r->pending,
            "{\"t_ms\":%lld,\"fn\":\"%s/%s\",\"service_ms\":%.3f,\"wait_ms\":%.3f,\"cold_ms\":%.3f}\n",
            (long long)e->utc_ms, e->app, e->function, (double)e->service_us / 1e3, (double)e->wait_us / 1e3,
            (double)e->cold_us / 1e3) != HOB_OK)
        r->dropped++;
}

static void on_gone(void *ctx)
{
    recording_over(ctx);
}

static void on_drain(void *ctx)
{
    struct recording *r = ctx;
    r->is_full = false;
}

static const struct call_stream recording_stream = {.on_drain = on_drain, .on_gone = on_gone};

void trace_streams_end(struct control *control)
{
    HOB_LIST_EACH(&control->calls, node, next)
    {
        struct call *c = HOB_CONTAINER_OF(node, struct call, link);
        struct recording *r = c->stream_ctx;
        if (c->stream == &recording_stream && !r->is_over)
            recording_end(r);
    }
}

void handle_trace(struct call *c)
{
    struct hob_err err = {0};
    struct hob_str seconds = call_query(c, "seconds");
    uint64_t n = 0;
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/x-ndjson")},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")}};
    if (seconds.at && (!hob_str_u64(seconds, &n) || n < 1 || n > SECONDS_MAX)) {
        (void)hob_fail(&err, HOB_E_INVALID, "the query: seconds must be a number from 1 to %d", SECONDS_MAX);
        call_fail(c, &err);
        return;
    }
    struct recording *r = hob_new(struct recording);
    *r = (struct recording){.call = c,
                            .listener = {.on_ended = on_ended},
                            .end_ms = n ? hob_now_ms() + n * 1000 : 0,
                            .app = call_query(c, "app"),
                            .function = call_query(c, "function")};
    r->listener.ctx = r;
    hob_buf_init(&r->pending, PENDING_BYTES_MAX);
    HOB_ASSERT(uv_timer_init(c->control->o.loop, &r->timer) == 0);
    r->timer.data = r;
    call_hold(c);
    call_stream_begin(c, &recording_stream, r);
    http_head(c->x, c->route->status, fields, HOB_COUNT(fields), HTTP_LENGTH_UNKNOWN);
    dispatcher_trace(c->control->o.dispatcher, &r->listener);
    HOB_ASSERT(uv_timer_start(&r->timer, on_timer, GATHER_MS, GATHER_MS) == 0);
}
