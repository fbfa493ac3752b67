/* Flow: RUNNING (an invocation) -> ENDED (told) -> gone, when its timer has closed. A function that is not there is told by
 * the timer, too, so that nothing is told from inside of the start. */
#include "controller/event.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

struct event_run {
    struct invocation *invocation; /* NULL: it has ended, or never began */
    uv_timer_t timer;
    struct hob_buf answer;
    struct hob_err err;
    uint32_t timeout_ms;
    bool is_told;
    event_done_cb done;
    void *ctx;
};

/* --- steps --- */

static void on_closed(uv_handle_t *h)
{
    struct event_run *r = h->data;
    hob_buf_done(&r->answer);
    free(r);
}

static void tell(struct event_run *r, const struct hob_err *err)
{
    HOB_ASSERT(!r->is_told);
    r->is_told = true;
    r->done(r->ctx, err, err ? HOB_STR("") : hob_buf_str(&r->answer));
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

static void stop(struct event_run *r, enum hob_cancel_reason why)
{
    if (r->invocation)
        invocation_cancel(r->invocation, why);
    r->invocation = NULL;
}

/* --- callbacks of the invocation and the clock --- */

static void on_data(void *ctx, struct hob_str data)
{
    struct event_run *r = ctx;
    invocation_consumed(r->invocation, data.n);
    if (hob_buf_add_str(&r->answer, data) == HOB_OK)
        return;
    stop(r, HOB_CANCEL_CLIENT_GONE);
    (void)hob_fail(&r->err, HOB_E_TOO_LARGE,
                   "the function's answer has more than %d bytes (invoke.answer_bytes)",
                   HOB_MAX_ANSWER_BYTES);
    tell(r, &r->err);
}

static void on_end(void *ctx, const struct hob_pairs *trailers)
{
    struct event_run *r = ctx;
    (void)trailers;
    r->invocation = NULL;
    tell(r, NULL);
}

static void on_fail(void *ctx, const struct hob_err *err, const struct invocation_failure *f,
                    unsigned retry_s)
{
    struct event_run *r = ctx;
    (void)retry_s;
    r->invocation = NULL;
    r->err = *err;
    if (f && f->message.n && err->code == HOB_E_FUNCTION)
        (void)hob_fail_reason(&r->err, HOB_E_FUNCTION, "function_failed", "%.*s",
                              (int)(f->message.n < 200 ? f->message.n : 200), f->message.at);
    tell(r, &r->err);
}

static const struct invocation_events events = {.on_data = on_data, .on_end = on_end, .on_fail = on_fail};

static void on_timer(uv_timer_t *t)
{
    struct event_run *r = t->data;
    if (r->is_told)
        return;
    stop(r, HOB_CANCEL_DEADLINE);
    if (!r->err.code)
        (void)hob_fail_reason(&r->err, HOB_E_TIMEOUT, "function_timeout",
                              "the function did not answer within %u ms", r->timeout_ms);
    tell(r, &r->err);
}

/* --- door --- */

static void start_invocation(struct dispatcher *d, struct event_run *r, const struct event_spec *s,
                             struct version *v)
{
    static const unsigned char no_pairs[4] = {0};
    char id[HOB_UUID_CHARS + 1];
    struct hob_str request_id = s->request_id;
    if (!request_id.n) {
        hob_uuid7(id);
        request_id = hob_str(id);
    }
    r->invocation = invocation_start(d,
                                     &(struct invocation_spec){.version = v,
                                                               .kind = HOB_INVOKE_EVENT,
                                                               .request_id = request_id,
                                                               .fields = hob_str_n(no_pairs, sizeof no_pairs),
                                                               .extras = hob_str_n(no_pairs, sizeof no_pairs),
                                                               .body_bytes = (int64_t)s->payload.n,
                                                               .received_us = hob_now_us(),
                                                               .caller = &s->caller},
                                     &events, r);
    if (s->payload.n)
        invocation_body(r->invocation, s->payload, true, NULL);
}

struct event_run *event_start(struct dispatcher *d, const struct event_spec *s, event_done_cb done, void *ctx)
{
    struct event_run *r = hob_new(struct event_run);
    r->done = done;
    r->ctx = ctx;
    r->timeout_ms = s->timeout_ms;
    hob_buf_init(&r->answer, HOB_MAX_ANSWER_BYTES);
    HOB_ASSERT(uv_timer_init(d->o.loop, &r->timer) == 0);
    r->timer.data = r;
    struct version *v = s->version;
    if (!v)
        v = catalog_resolve(d->o.catalog, hob_str(s->app), hob_str(s->function), s->qualifier, &r->err);
    if (v)
        r->err = (struct hob_err){0};
    if (!v || s->timeout_ms)
        HOB_ASSERT(uv_timer_start(&r->timer, on_timer, v ? s->timeout_ms : 0, 0) == 0);
    if (v)
        start_invocation(d, r, s, v);
    return r;
}

void event_cancel(struct event_run *r)
{
    HOB_ASSERT(!r->is_told);
    r->is_told = true;
    stop(r, HOB_CANCEL_CLIENT_GONE);
    uv_close((uv_handle_t *)&r->timer, on_closed);
}
