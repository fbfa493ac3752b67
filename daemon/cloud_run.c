/* Cloud code runs as an invocation of the function's live version, like an event: the payload is its body, what it answers
 * comes back as one text. Flow: asked -> running -> told; a deadline of the backend cancels it. */
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "daemon/backend.h"

struct cloud_call {
    struct invocation *invocation;
    uv_timer_t timer;
    struct hob_buf answer;
    struct hob_err err;
    uint32_t timeout_ms;
    void (*done)(void *ctx, const struct hob_err *err, struct hob_str answer);
    void *done_ctx;
};

static void on_closed(uv_handle_t *timer)
{
    struct cloud_call *c = timer->data;
    c->done(c->done_ctx, c->err.code == HOB_OK ? NULL : &c->err, hob_buf_str(&c->answer));
    hob_buf_done(&c->answer);
    free(c);
}

static void finish(struct cloud_call *c)
{
    c->invocation = NULL;
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_head(void *ctx, unsigned status, const struct hob_pairs *fields, int64_t body_bytes)
{
    (void)ctx;
    (void)status; /* the protocol tells failure in the body */
    (void)fields;
    (void)body_bytes;
}

static void on_data(void *ctx, struct hob_str data)
{
    struct cloud_call *c = ctx;
    if (hob_buf_add_str(&c->answer, data) != HOB_OK && c->err.code == HOB_OK)
        (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "cloud code answered more than %d bytes",
                       HOB_MAX_ANSWER_BYTES);
    invocation_consumed(c->invocation, data.n);
}

static void on_end(void *ctx, const struct hob_pairs *trailers)
{
    (void)trailers;
    finish(ctx);
}

static void on_fail(void *ctx, const struct hob_err *err, const struct invocation_failure *failure,
                    unsigned retry_after_s)
{
    struct cloud_call *c = ctx;
    (void)failure;
    (void)retry_after_s;
    c->err = *err;
    finish(c);
}

static void on_body_window(void *ctx, size_t n)
{
    (void)ctx; /* the payload was given whole */
    (void)n;
}

static void on_timer(uv_timer_t *timer)
{
    struct cloud_call *c = timer->data;
    if (!c->invocation) {
        finish(c); /* it could not even be asked for */
        return;
    }
    invocation_cancel(c->invocation, HOB_CANCEL_DEADLINE);
    (void)hob_fail(&c->err, HOB_E_TIMEOUT, "cloud code took longer than %u ms", c->timeout_ms);
    finish(c);
}

void cloud_run_function(void *ctx, const struct backend_run *r,
                        void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                        void *done_ctx)
{
    static const struct invocation_events events = {.on_head = on_head,
                                                    .on_data = on_data,
                                                    .on_end = on_end,
                                                    .on_fail = on_fail,
                                                    .on_body_window = on_body_window};
    struct backend_parts *p = ctx;
    struct cloud_call *c = hob_new(struct cloud_call);
    c->done = done;
    c->done_ctx = done_ctx;
    c->timeout_ms = r->timeout_ms;
    c->timer.data = c;
    hob_buf_init(&c->answer, HOB_MAX_ANSWER_BYTES);
    HOB_ASSERT(uv_timer_init(p->loop, &c->timer) == 0);
    struct version *v =
        catalog_resolve(p->catalog, hob_str(r->app), hob_str(r->function), HOB_STR(""), &c->err);
    if (!v) {
        (void)uv_timer_start(&c->timer, on_timer, 0, 0);
        return;
    }
    c->invocation = invocation_start(p->dispatcher,
                                     &(struct invocation_spec){.version = v,
                                                               .kind = HOB_INVOKE_EVENT,
                                                               .method = HOB_STR("POST"),
                                                               .target = HOB_STR("/"),
                                                               .request_id = r->request_id,
                                                               .body_bytes = (int64_t)r->payload.n,
                                                               .received_us = hob_now_us()},
                                     &events, c);
    invocation_body(c->invocation, r->payload, true, NULL);
    if (r->timeout_ms)
        (void)uv_timer_start(&c->timer, on_timer, r->timeout_ms, 0);
}
