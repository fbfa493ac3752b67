/* Flow of one request: QUEUED -> RUNNING -> ANSWERED -> (recycled); REFUSED and CANCELLED beside it.
 * The listener is told its end exactly once, by whoever comes first: the answer, the function's error, the instance's
 * end, a deadline. The slot comes back with DONE, or with the end of the instance.
 * An upgraded one (HEAD 101) stays RUNNING, without a deadline, until DONE: each direction has its own end before. */
#include "controller/invocation.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum { FREE_MAX = 512, KEEP_BYTES = 4096, SPEC_BYTES_MAX = 1 << 20 };

/* ---- making and recycling ---- */

static struct invocation *take_free(struct dispatcher *d)
{
    struct hob_node *n = hob_list_first(&d->free_invocations);
    d->invocations_n++;
    if (n) {
        hob_list_remove(n);
        d->free_invocations_n--;
        return HOB_CONTAINER_OF(n, struct invocation, node);
    }
    struct invocation *i = hob_new(struct invocation);
    hob_buf_init(&i->spec, SPEC_BYTES_MAX);
    hob_buf_init(&i->body, BODY_HELD_MAX);
    hob_buf_init(&i->trailers, SPEC_BYTES_MAX);
    return i;
}

static void free_invocation(struct invocation *i)
{
    hob_buf_done(&i->spec);
    hob_buf_done(&i->body);
    hob_buf_done(&i->trailers);
    free(i);
}

static void keep_or_drop(struct hob_buf *b)
{
    if (b->cap > KEEP_BYTES)
        hob_buf_done(b);
    else
        hob_buf_clear(b);
}

static void recycle(struct invocation *i)
{
    struct dispatcher *d = i->pool->d;
    HOB_ASSERT(!i->is_listening && !hob_node_is_linked(&i->stream.blocked));
    hob_list_remove(&i->node);
    d->invocations_n--;
    free(i->refusal);
    free(hob_steal(&i->caller));
    if (d->free_invocations_n >= FREE_MAX) {
        free_invocation(i);
        return;
    }
    keep_or_drop(&i->spec);
    keep_or_drop(&i->body);
    keep_or_drop(&i->trailers);
    i->refusal = NULL;
    i->instance = NULL;
    i->pool = NULL;
    d->free_invocations_n++;
    hob_list_push_front(&d->free_invocations, &i->node);
}

void invocation_free_all(struct dispatcher *d)
{
    struct hob_node *n;
    while ((n = hob_list_first(&d->free_invocations)) != NULL) {
        hob_list_remove(n);
        free_invocation(HOB_CONTAINER_OF(n, struct invocation, node));
    }
}

/* ---- what it asked for, kept while it waits ---- */

static void keep_request_id(struct invocation *i, struct hob_str id)
{
    hob_buf_clear(&i->spec);
    i->request_id_n = id.n;
    HOB_ASSERT(hob_buf_add_str(&i->spec, id) == HOB_OK);
}

static void keep_spec(struct invocation *i, const struct hob_invoke_meta *m)
{
    i->method_n = m->method.n;
    i->target_n = m->target.n;
    i->fields_n = m->fields.n;
    i->extras_n = m->extras.n;
    const struct hob_str parts[] = {m->method, m->target, m->fields, m->extras};
    for (size_t n = 0; n < HOB_COUNT(parts); n++)
        HOB_ASSERT(hob_buf_add_str(&i->spec, parts[n]) == HOB_OK); /* their sum was judged at the door */
}

static struct hob_str cut(const char **at, size_t n)
{
    struct hob_str s = {*at, n};
    *at += n;
    return s;
}

static struct hob_invoke_meta kept_spec(const struct invocation *i)
{
    const char *at = hob_buf_str(&i->spec).at;
    struct hob_invoke_meta m = {.kind = i->kind};
    m.request_id = cut(&at, i->request_id_n);
    m.method = cut(&at, i->method_n);
    m.target = cut(&at, i->target_n);
    m.fields = cut(&at, i->fields_n);
    m.extras = cut(&at, i->extras_n);
    return m;
}

struct hob_str invocation_request_id(const struct invocation *i)
{
    return hob_str_n(hob_buf_str(&i->spec).at, i->request_id_n);
}

/* ---- the end ---- */

static void count(struct invocation *i, enum hob_code code)
{
    struct dispatcher_stats *s = &i->pool->d->stats;
    struct pool_stats *own = &i->pool->stats;
    const struct invocation_times *t = &i->times;
    s->ended[code]++;
    s->cold += t->is_cold;
    own->ended++;
    own->failed += i->dispatched_us && code != HOB_OK && code != HOB_E_CANCELLED;
    own->refused += !i->dispatched_us;
    if (!hob_list_is_empty(&i->pool->d->traces))
        trace_ended(i);
    if (!i->dispatched_us)
        return;
    s->kinds[t->kind]++;
    own->kinds[t->kind]++;
    if (!i->is_upgraded)
        stats_add(&s->run, t->run_us);
    stats_add(&s->queue, i->dispatched_us > i->received_us ? i->dispatched_us - i->received_us : 0);
}

static void note_run(struct invocation *i)
{
    uint64_t now = dispatcher_now(i->pool->d);
    if (i->dispatched_us)
        i->times.run_us = now - i->dispatched_us;
    else
        i->times.queue_us = now > i->received_us ? now - i->received_us : 0;
}

/* Tells the listener; the caller decides what becomes of the invocation. */
static void tell_failure(struct invocation *i, const struct hob_err *err, const struct invocation_failure *f,
                         unsigned retry_s)
{
    if (!i->is_listening)
        return;
    i->is_listening = false;
    note_run(i);
    count(i, err->code);
    invocation_report(i, hob_err_reason(err));
    if (i->events.on_fail)
        i->events.on_fail(i->ctx, err, f, retry_s);
}

static void leave_queue(struct invocation *i)
{
    hob_list_remove(&i->node);
    if (i->state == INVOCATION_QUEUED)
        i->pool->queued_n--;
}

/* One that waits. */
void invocation_fail(struct invocation *i, const struct hob_err *err, const struct invocation_failure *f,
                     unsigned retry_s)
{
    HOB_ASSERT(i->state == INVOCATION_QUEUED || i->state == INVOCATION_REFUSED);
    struct pool *p = i->pool;
    leave_queue(i);
    tell_failure(i, err, f, retry_s);
    recycle(i);
    pool_quiet(p);
}

void invocation_refused(struct invocation *i)
{
    HOB_ASSERT(i->state == INVOCATION_REFUSED && i->refusal);
    struct invocation_failure f = {hob_str(i->pool->failure_type), hob_str(i->pool->failure_detail),
                                   HOB_STR("")};
    bool is_start = i->pool->scaler.failures > 0;
    invocation_fail(i, i->refusal, is_start ? &f : NULL, i->retry_s);
}

/* ---- dispatch ---- */

static void note_cold(struct invocation *i, struct instance *inst)
{
    uint64_t waited = i->dispatched_us > i->received_us ? i->dispatched_us - i->received_us : 0;
    i->times =
        (struct invocation_times){.queue_us = waited, .kind = inst->was_thawed ? START_THAWED : START_WARM};
    inst->was_thawed = false;
    if (inst->invocations > 1 || inst->ready_us < i->queued_us)
        return;
    i->times.is_cold = true;
    i->times.kind = inst->is_pooled ? START_POOLED : START_COLD;
    i->times.start_us = inst->started_us - inst->asked_us;
    i->times.init_us = inst->ready_us - inst->started_us;
    uint64_t cold = i->times.start_us + i->times.init_us;
    i->times.queue_us = waited > cold ? waited - cold : 0;
}

static void push_body(struct invocation *i)
{
    struct hob_str data = hob_buf_str(&i->body);
    size_t n =
        channel_body(i->instance->channel, &i->stream, data, i->has_body_end, hob_buf_str(&i->trailers));
    hob_buf_consume(&i->body, n);
    if (n && i->is_listening && i->events.on_body_window)
        i->events.on_body_window(i->ctx, n);
}

/* `m` lacks what only the moment of dispatch knows: the deadline and the body's length. */
static void dispatch(struct invocation *i, struct instance *inst, struct hob_invoke_meta *m)
{
    struct pool *p = i->pool;
    struct hob_str data = hob_buf_str(&i->body);
    if (data.n > CHANNEL_FREE_BODY)
        data.n = CHANNEL_FREE_BODY;
    bool is_end = i->has_body_end && data.n == i->body.n && i->trailers.n == 0;
    i->instance = inst;
    i->dispatched_us = dispatcher_now(p->d);
    i->state = INVOCATION_RUNNING;
    hob_list_push_back(&p->running, &i->node);
    p->in_flight_n++;
    scaler_note_wait(&p->scaler, i->dispatched_us > i->received_us ? i->dispatched_us - i->received_us : 0);
    dispatcher_wake(p->d, &p->wake, i->dispatched_us + (uint64_t)p->config->timeout_ms * 1000u);
    instance_slot_taken(inst);
    note_cold(i, inst);
    m->deadline_ms = (uint64_t)hob_utc_ms() + p->config->timeout_ms;
    m->body_n = i->body_bytes < 0 ? UINT64_MAX : (uint64_t)i->body_bytes;
    channel_invoke(inst->channel, &i->stream, m, p->config->timeout_ms, data, is_end);
    i->stream.may_upgrade = i->may_upgrade;
    hob_buf_consume(&i->body, data.n);
    if (data.n && i->events.on_body_window)
        i->events.on_body_window(i->ctx, data.n);
    if (i->state == INVOCATION_RUNNING && !is_end && (i->body.n || i->has_body_end))
        push_body(i);
}

void invocation_dispatch(struct invocation *i, struct instance *inst)
{
    HOB_ASSERT(i->state == INVOCATION_QUEUED);
    leave_queue(i);
    struct hob_invoke_meta m = kept_spec(i);
    dispatch(i, inst, &m);
}

/* ---- what the instance says ---- */

static void upgrade(struct invocation *i)
{
    i->is_upgraded = true;
    i->has_body_end = false;
    i->instance->upgraded_n++;
    hob_list_remove(&i->node);
    hob_list_push_back(&i->pool->upgraded, &i->node);
    pool_mark(i->pool);
}

void invocation_head(struct invocation *i, unsigned status, const struct hob_pairs *fields,
                     int64_t body_bytes)
{
    i->status = (uint16_t)status;
    if (!i->is_listening)
        return;
    if (i->stream.is_raw)
        upgrade(i);
    note_run(i);
    if (i->events.on_head)
        i->events.on_head(i->ctx, status, fields, body_bytes);
}

void invocation_data(struct invocation *i, struct hob_str data)
{
    if (i->is_listening && i->events.on_data)
        i->events.on_data(i->ctx, data);
    else
        channel_consumed(i->instance->channel, &i->stream, data.n);
}

/* Nobody listens any more; what the client had not taken yet is given back with the stream. */
static void settle(struct invocation *i)
{
    i->is_listening = false;
    if (i->state == INVOCATION_RUNNING)
        i->state = INVOCATION_ANSWERED;
    hob_list_remove(&i->stream.blocked);
    hob_buf_clear(&i->body);
}

static void finish(struct invocation *i, const struct hob_pairs *trailers)
{
    char status[8];
    (void)snprintf(status, sizeof status, "%u", i->status);
    note_run(i);
    count(i, HOB_OK);
    invocation_report(i, status);
    settle(i);
    if (i->events.on_end)
        i->events.on_end(i->ctx, trailers);
}

void invocation_end(struct invocation *i, const struct hob_pairs *trailers)
{
    if (!i->is_listening)
        return;
    if (i->is_upgraded) {
        if (i->events.on_data_end)
            i->events.on_data_end(i->ctx);
        return;
    }
    finish(i, trailers);
}

void invocation_error(struct invocation *i, const struct hob_pairs *pairs)
{
    struct invocation_failure f = {
        hob_pairs_get(pairs, "errorType"),
        hob_pairs_get(pairs, "errorMessage"),
        hob_pairs_get(pairs, "stackTrace"),
    };
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_FUNCTION, "the function failed; its logs say why");
    if (!i->is_listening)
        return;
    tell_failure(i, &err, &f, 0);
    settle(i);
}

static void settle_overdue(struct invocation *i, struct instance *inst)
{
    if (i->is_overdue)
        instance_overdue(inst, -1);
    i->is_overdue = false;
}

void invocation_done(struct invocation *i)
{
    struct instance *inst = i->instance;
    struct pool *p = i->pool;
    if (i->is_upgraded && i->is_listening)
        finish(i, NULL);
    HOB_ASSERT(i->state != INVOCATION_RUNNING);
    if (i->state == INVOCATION_ANSWERED && !i->is_upgraded) /* that took as long as its client liked */
        scaler_note_service(&p->scaler, dispatcher_now(p->d) - i->dispatched_us);
    settle_overdue(i, inst);
    inst->upgraded_n -= i->is_upgraded;
    recycle(i);
    p->in_flight_n--;
    instance_slot_freed(inst);
    pool_quiet(p);
    if (p->queued_n || inst->upgraded_n)
        pool_mark(p);
}

void invocation_window(struct invocation *i)
{
    if (i->state == INVOCATION_RUNNING && i->body.n)
        push_body(i);
}

/* ---- cancel, deadline, the instance's end ---- */

static void cancel_running(struct invocation *i, enum hob_cancel_reason why)
{
    struct pool *p = i->pool;
    i->state = INVOCATION_CANCELLED;
    i->cancelled_us = dispatcher_now(p->d);
    hob_list_remove(&i->node);
    hob_list_push_back(&p->cancelled, &i->node);
    dispatcher_wake(p->d, &p->wake, i->cancelled_us + HOB_MAX_CANCEL_MS * 1000u);
    hob_buf_clear(&i->body);
    /* what the client will never take is given back, so that the instance can come to its end */
    if (i->stream.recv_held)
        channel_consumed(i->instance->channel, &i->stream, i->stream.recv_held);
    channel_cancel(i->instance->channel, &i->stream, why);
}

void invocation_timeout(struct invocation *i)
{
    struct hob_err err;
    uint32_t timeout_ms = i->pool->config->timeout_ms;
    (void)hob_fail_reason(&err, HOB_E_TIMEOUT, "function_timeout",
                          "the function did not answer within timeout_ms (%u ms)", timeout_ms);
    if (i->is_listening)
        pool_platform_log(i->pool, HOB_CHLOG_ERROR, i->instance, invocation_request_id(i), hob_str(err.msg));
    i->is_overdue = true;
    instance_overdue(i->instance, 1);
    cancel_running(i, HOB_CANCEL_DEADLINE);
    tell_failure(i, &err, NULL, 0);
}

static bool wait_again(struct invocation *i)
{
    struct hob_invoke_meta m;
    struct hob_str data;
    if (i->state != INVOCATION_RUNNING || i->pool->d->is_stopping ||
        !channel_unsent(i->instance->channel, &i->stream, &m, &data))
        return false;
    hob_buf_clear(&i->body);
    keep_request_id(i, hob_str_n(m.request_id.at, m.request_id.n));
    keep_spec(i, &m);
    HOB_ASSERT(hob_buf_add_str(&i->body, data) == HOB_OK);
    return true;
}

void invocation_orphaned(struct invocation *i)
{
    struct instance *inst = i->instance;
    struct pool *p = i->pool;
    bool waits = wait_again(i);
    hob_list_remove(&i->node);
    hob_list_remove(&i->stream.blocked);
    HOB_ASSERT(inst->in_flight > 0);
    settle_overdue(i, inst);
    inst->upgraded_n -= i->is_upgraded;
    inst->in_flight--;
    p->in_flight_n--;
    if (waits) {
        inst->invocations--; /* it served nobody */
        i->instance = NULL;
        i->dispatched_us = 0;
        pool_push_front(p, i);
        return;
    }
    struct hob_err err = inst->why;
    if (!err.code)
        (void)hob_fail_reason(&err, HOB_E_FUNCTION, "function_crashed",
                              "the function ended before it answered");
    tell_failure(i, &err, NULL, 0);
    recycle(i);
    pool_quiet(p);
}

/* ---- door ---- */

static void refuse(struct dispatcher *d, struct invocation *i, const struct hob_err *err, unsigned retry_s)
{
    i->state = INVOCATION_REFUSED;
    i->refusal = hob_new(struct hob_err);
    *i->refusal = *err;
    i->retry_s = retry_s;
    hob_list_push_back(&d->refused, &i->node);
}

static void fill(struct invocation *i, struct pool *p, const struct invocation_spec *spec,
                 const struct invocation_events *events, void *ctx)
{
    i->pool = p;
    i->events = *events;
    i->ctx = ctx;
    i->is_listening = true;
    i->has_body_end = spec->body_bytes == 0;
    i->kind = spec->kind;
    i->status = 0;
    i->may_upgrade = spec->may_upgrade;
    i->is_upgraded = false;
    i->times = (struct invocation_times){0};
    i->dispatched_us = 0;
    i->received_us = spec->received_us;
    i->body_bytes = spec->body_bytes;
    i->stream = (struct channel_stream){0};
    i->caller = spec->caller ? caller_new(spec->caller) : NULL;
    keep_request_id(i, spec->request_id);
}

struct invocation *invocation_start(struct dispatcher *d, const struct invocation_spec *spec,
                                    const struct invocation_events *events, void *ctx)
{
    struct pool *p = pool_of(d, spec->version);
    struct invocation *i = take_free(d);
    struct hob_err err;
    unsigned retry_s;
    fill(i, p, spec, events, ctx);
    struct hob_invoke_meta m = {
        .kind = spec->kind,
        .method = spec->method,
        .target = spec->target,
        .request_id = spec->request_id,
        .fields = spec->fields,
        .extras = spec->extras,
    };
    size_t bytes = m.method.n + m.target.n + m.request_id.n + m.fields.n + m.extras.n;
    pool_arrived(p, spec->received_us);
    struct instance *inst = p->queued_n == 0 && i->has_body_end && !d->is_draining ? pool_slot(p) : NULL;
    if (bytes > CHANNEL_INVOKE_BYTES) {
        (void)hob_fail(&err, HOB_E_TOO_LARGE,
                       "the request's head has %zu bytes, more than the %d a function is given", bytes,
                       CHANNEL_INVOKE_BYTES);
        refuse(d, i, &err, 0);
    } else if (inst) { /* nothing to wait for: no copy of the request is made */
        i->queued_us = spec->received_us;
        dispatch(i, inst, &m);
    } else if (pool_admit(p, &retry_s, &err) != HOB_OK) {
        refuse(d, i, &err, retry_s);
    } else {
        keep_spec(i, &m);
        i->queued_us = dispatcher_now(d);
        pool_push(p, i);
    }
    return i;
}

void invocation_body(struct invocation *i, struct hob_str data, bool is_end, const struct hob_pairs *trailers)
{
    if (!i->is_listening || i->has_body_end || i->state == INVOCATION_REFUSED)
        return;
    i->has_body_end = is_end;
    if (is_end && trailers && trailers->count) {
        struct hob_pairs_writer w;
        struct hob_pairs_iter it = hob_pairs_walk(trailers);
        struct hob_str name, value;
        hob_pairs_start(&w, &i->trailers);
        while (hob_pairs_next(&it, &name, &value))
            hob_pairs_add(&w, name, value);
        if (hob_pairs_end(&w, NULL) != HOB_OK)
            hob_buf_clear(&i->trailers);
    }
    size_t taken = 0;
    if (i->state == INVOCATION_RUNNING && i->body.n == 0)
        taken = channel_body(i->instance->channel, &i->stream, data, is_end, hob_buf_str(&i->trailers));
    if (taken < data.n)
        HOB_ASSERT(hob_buf_add(&i->body, data.at + taken, data.n - taken) == HOB_OK);
    if (taken && i->events.on_body_window)
        i->events.on_body_window(i->ctx, taken);
    if (i->state == INVOCATION_QUEUED)
        pool_mark(i->pool);
}

void invocation_consumed(struct invocation *i, size_t n)
{
    if (i->is_listening && i->instance && i->stream.id)
        channel_consumed(i->instance->channel, &i->stream, n);
}

void invocation_cancel(struct invocation *i, enum hob_cancel_reason why)
{
    HOB_ASSERT(i->is_listening);
    if (i->is_upgraded && i->stream.has_end &&
        i->stream.has_body_end) { /* both ended; only DONE is missing */
        i->events.on_end = NULL;
        finish(i, NULL);
        return;
    }
    i->is_listening = false;
    note_run(i);
    count(i, HOB_E_CANCELLED);
    invocation_report(i, "cancelled");
    if (i->state == INVOCATION_RUNNING) {
        cancel_running(i, why);
        return;
    }
    struct pool *p = i->pool;
    leave_queue(i);
    recycle(i);
    pool_quiet(p);
    pool_mark(p); /* a start that only it needed is needed no more */
}

void invocation_shutdown(struct invocation *i)
{
    HOB_ASSERT(i->is_listening);
    if (i->is_upgraded && i->instance)
        instance_event(i->instance, INSTANCE_DRAIN);
}

const struct invocation_times *invocation_times(const struct invocation *i)
{
    return &i->times;
}
