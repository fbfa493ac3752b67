/* The dispatcher: every version's pool, the one timer behind all their deadlines, and the end of the day. */
#include <stdlib.h>

#include "base/id.h"
#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"
#include "controller/dispatch/pool.h"

#include "base/banned.h"

enum { STARTS_PER_CORE = 2, STARTS_MIN = 4, STARTS_PER_CORE_S = 1000, STARTS_BURST = 64 };

uint64_t dispatcher_now(const struct dispatcher *d)
{
    return hob_clock_us(&d->clock);
}

/* ---- the timer ---- */

static void on_timer(uv_timer_t *t)
{
    struct dispatcher *d = t->data;
    d->timer_at_us = UINT64_MAX;
    dispatcher_tick(d);
}

static void arm(struct dispatcher *d)
{
    const struct wake *first = wake_first(&d->wakes);
    uint64_t at = first ? first->at_us : UINT64_MAX;
    if (d->is_draining && !d->is_stopping && d->stop_at_us < at)
        at = d->stop_at_us;
    if (d->grant_at_us < at)
        at = d->grant_at_us;
    if (d->recall.save_at_us < at)
        at = d->recall.save_at_us;
    if (at >= d->timer_at_us || d->is_closed || d->o.clock)
        return;
    uint64_t now = dispatcher_now(d);
    d->timer_at_us = at;
    uint64_t ms = at > now ? (at - now + 999) / 1000 : 0;
    HOB_ASSERT(uv_timer_start(&d->timer, on_timer, ms, 0) == 0);
}

void dispatcher_wake(struct dispatcher *d, struct wake *w, uint64_t at_us)
{
    if (at_us >= w->at_us)
        return;
    wake_by(&d->wakes, w, at_us);
    arm(d);
}

void dispatcher_grant_at(struct dispatcher *d, uint64_t at_us)
{
    d->grant_at_us = at_us;
    arm(d);
}

void dispatcher_save_at(struct dispatcher *d, uint64_t at_us)
{
    d->recall.save_at_us = at_us;
    arm(d);
}

/* Every turn of the loop grants; a turn that nothing else brings about is asked for. */
void dispatcher_grant_soon(struct dispatcher *d)
{
    if (!hob_list_is_empty(&d->starts.ring))
        dispatcher_grant_at(d, dispatcher_now(d));
}

/* ---- once a turn ---- */

static void bury_dead(struct dispatcher *d)
{
    struct hob_node *n;
    while ((n = hob_list_first(&d->graves)) != NULL) {
        hob_list_remove(n);
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        free(i->walls);
        free(i);
    }
}

static void on_handle_closed(void *ctx)
{
    struct dispatcher *d = ctx;
    if (--d->closing)
        return;
    void (*closed)(void *ctx) = d->closed;
    void *closed_ctx = d->closed_ctx;
    wake_heap_done(&d->wakes);
    isolation_done(d);
    invocation_free_all(d);
    priors_free(d);
    recall_done(d);
    free(d);
    if (closed)
        closed(closed_ctx);
}

static void on_timer_closed(uv_handle_t *h)
{
    on_handle_closed(h->data);
}

static void close_if_done(struct dispatcher *d)
{
    struct hob_node *n;
    if (!d->is_draining || d->is_closed || d->instances_n || d->invocations_n || d->recall.is_saving)
        return;
    d->is_closed = true;
    while ((n = hob_list_first(&d->pools)) != NULL)
        pool_free(HOB_CONTAINER_OF(n, struct pool, in_pools));
    catalog_listen(d->o.catalog, NULL, NULL);
    catalog_listen_replace(d->o.catalog, NULL, NULL);
    channel_mux_flush(d->mux);
    d->closing = 2;
    channel_mux_close(d->mux, on_handle_closed, d);
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static void before_flush(void *ctx)
{
    struct dispatcher *d = ctx;
    struct hob_node *n;
    while ((n = hob_list_first(&d->refused)) != NULL)
        invocation_refused(HOB_CONTAINER_OF(n, struct invocation, node));
    do {
        while ((n = hob_list_first(&d->dirty)) != NULL) {
            hob_list_remove(n);
            pool_run(HOB_CONTAINER_OF(n, struct pool, in_dirty));
        }
        if (!d->is_stopping)
            dispatcher_grant_starts(d);
    } while (!hob_list_is_empty(&d->dirty));
    bury_dead(d);
    close_if_done(d);
}

static void stop_everything(struct dispatcher *d)
{
    d->is_stopping = true;
    HOB_LIST_EACH(&d->pools, n, tmp)
    pool_stop_all(HOB_CONTAINER_OF(n, struct pool, in_pools));
}

void dispatcher_tick(struct dispatcher *d)
{
    uint64_t now = dispatcher_now(d);
    struct wake *w;
    while ((w = wake_first(&d->wakes)) != NULL && w->at_us <= now)
        pool_tick(HOB_CONTAINER_OF(w, struct pool, wake), now);
    if (d->is_draining && !d->is_stopping && d->stop_at_us <= now)
        stop_everything(d);
    if (d->grant_at_us <= now) /* the turn that goes on now grants */
        d->grant_at_us = UINT64_MAX;
    if (d->recall.save_at_us <= now)
        recall_save(d, false);
    arm(d);
}

/* ---- the catalogue ---- */

static void turn_soon(struct dispatcher *d)
{
    if (d->o.clock || d->is_closed)
        return;
    d->timer_at_us = 0;
    HOB_ASSERT(uv_timer_start(&d->timer, on_timer, 0, 0) == 0);
}

/* The version of the same function that has the most instances, or NULL when none has. */
static const struct pool *warm_sibling(const struct version *v)
{
    const struct pool *most = NULL;
    for (const struct version *o = v->function ? v->function->versions : NULL; o; o = o->older) {
        const struct pool *p = o->pool;
        if (o != v && p && p->ready_n > (most ? most->ready_n : 0))
            most = p;
    }
    return most;
}

/* A version that is live or has an alias. When the one before was warm, this one is warmed too, and as far as the rate
 * asks for, so that nobody pays for the deploy. */
static void on_named(struct dispatcher *d, struct version *v)
{
    const struct pool *before = v->function && v->function->live == v ? warm_sibling(v) : NULL;
    if (!v->pool && !before && version_config(v)->scale_min == 0 && version_config(v)->windows_n == 0)
        return;
    struct pool *p = pool_of(d, v);
    p->retired_us = 0;
    if (before)
        pool_inherit(p, before);
    if (before && reconfig_has_hook(p))
        reconfig_take_over(p);
    if (before && p->ready_n + p->starting_n == 0)
        pool_start_one(p);
    pool_mark(p);
}

static void on_catalog(void *ctx, struct version *v, bool is_gone)
{
    struct dispatcher *d = ctx;
    if (d->is_draining)
        return;
    if (!is_gone && version_is_named(v))
        on_named(d, v);
    else if (v->pool)
        pool_retire(v->pool, is_gone);
    turn_soon(d);
}

static void on_replace(void *ctx, struct version *v)
{
    struct dispatcher *d = ctx;
    if (v->pool)
        pool_replace(v->pool);
    turn_soon(d);
}

/* ---- door ---- */

struct dispatcher *dispatcher_start(const struct dispatcher_options *o)
{
    struct dispatcher *d = hob_new(struct dispatcher);
    d->o = *o;
    d->clock = o->clock ? *o->clock : hob_clock_real;
    d->timer_at_us = UINT64_MAX;
    unsigned cores = uv_available_parallelism();
    unsigned at_a_time = cores * STARTS_PER_CORE > STARTS_MIN ? cores * STARTS_PER_CORE : STARTS_MIN;
    starts_init(&d->starts, at_a_time, (double)cores * STARTS_PER_CORE_S, STARTS_BURST);
    d->grant_at_us = d->recall.save_at_us = UINT64_MAX;
    d->memory.limit_mb = o->memory_limit_mb;
    d->utc_offset_ms = hob_utc_ms() - (int64_t)(dispatcher_now(d) / 1000);
    d->rng = (uint32_t)hob_id64();
    hob_list_init(&d->traces);
    hob_list_init(&d->pools);
    hob_list_init(&d->dirty);
    hob_list_init(&d->graves);
    hob_list_init(&d->refused);
    hob_list_init(&d->free_invocations);
    d->mux = channel_mux_new(o->loop);
    channel_mux_hook(d->mux, before_flush, d);
    HOB_ASSERT(uv_timer_init(o->loop, &d->timer) == 0);
    d->timer.data = d;
    catalog_listen(o->catalog, on_catalog, d);
    catalog_listen_replace(o->catalog, on_replace, d);
    return d;
}

void dispatcher_serve(struct dispatcher *d, struct serve *s)
{
    d->serve = s;
}

void dispatcher_drain(struct dispatcher *d, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!d->is_draining);
    recall_save(d, true); /* what there is now is held after a restart, so before it goes */
    d->is_draining = true;
    d->stop_at_us = dispatcher_now(d) + (uint64_t)grace_ms * 1000u;
    d->closed = closed;
    d->closed_ctx = ctx;
    HOB_LIST_EACH(&d->pools, n, tmp)
    pool_mark(HOB_CONTAINER_OF(n, struct pool, in_pools));
    turn_soon(d);
}
