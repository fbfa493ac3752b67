/* What people ask about: instances, versions, what the scaler thinks, what happens now. Nothing here changes anything. */
#include <assert.h>
#include <stdio.h>

#include "controller/dispatch/dispatch_priv.h"
#include "controller/dispatch/pool.h"

#include "base/banned.h"

const char *const start_kind_names[START_KINDS_] = {"none", "warm", "cold", "pooled", "thawed"};

const uint64_t dispatcher_bucket_us[DISPATCHER_BUCKETS] = {
    1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000, UINT64_MAX};

void stats_add(struct dispatcher_times *t, uint64_t us)
{
    unsigned bucket = 0;
    while (bucket < DISPATCHER_BUCKETS - 1 && us > dispatcher_bucket_us[bucket])
        bucket++;
    t->buckets[bucket]++;
    t->n++;
    t->sum_us += us;
}

const struct dispatcher_stats *dispatcher_stats(const struct dispatcher *d)
{
    return &d->stats;
}

void dispatcher_each_instance(struct dispatcher *d, instance_view_cb cb, void *ctx)
{
    uint64_t now = dispatcher_now(d);
    HOB_LIST_EACH(&d->pools, pn, ptmp)
    {
        const struct pool *p = HOB_CONTAINER_OF(pn, struct pool, in_pools);
        HOB_LIST_EACH(&p->instances, n, tmp)
        {
            const struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
            struct instance_view v = {
                .id = i->id,
                .app = p->version->app_name,
                .function = p->version->function_name,
                .state = instance_state_name(i->state),
                .version = p->version->number,
                .in_flight = i->in_flight,
                .age_ms = (now - i->asked_us) / 1000u,
                .idle_ms = i->state == INSTANCE_READY || i->state == INSTANCE_FROZEN
                               ? (now - i->idle_us) / 1000u
                               : 0,
                .invocations = i->invocations,
                .walls = i->walls,
            };
            cb(ctx, &v);
        }
    }
}

void dispatcher_version_view(struct dispatcher *d, const struct version *v, struct version_view *ret_view)
{
    (void)d;
    if (v->pool)
        pool_view(v->pool, ret_view);
    else
        *ret_view = (struct version_view){0};
}

void pool_view(const struct pool *p, struct version_view *ret_view)
{
    uint64_t now = dispatcher_now(p->d);
    *ret_view = (struct version_view){
        .instances = p->ready_n,
        .starting = p->starting_n,
        .queued = p->queued_n,
        .is_failing = p->scaler.failures > 0,
        .retry_ms = p->scaler.not_before_us > now ? (p->scaler.not_before_us - now) / 1000u : 0,
    };
    if (!ret_view->is_failing)
        return;
    (void)snprintf(ret_view->failure, sizeof ret_view->failure, "%s%s%.150s", p->failure_type,
                   *p->failure_type ? ": " : "", *p->failure_detail ? p->failure_detail : p->failure.msg);
}

static const char *failure_of(const struct pool *p)
{
    return *p->failure_detail ? p->failure_detail : p->failure.msg;
}

static unsigned frozen_of(const struct pool *p)
{
    unsigned n = 0;
    HOB_LIST_EACH(&p->instances, node, tmp)
    n += HOB_CONTAINER_OF(node, struct instance, in_pool)->state == INSTANCE_FROZEN;
    return n;
}

void dispatcher_explain(struct dispatcher *d, struct version *v, struct hob_jw *w)
{
    struct pool *p = pool_of(d, v);
    struct scaler_view view = pool_scaler_view(p, dispatcher_now(d));
    const struct explain_node node = {
        .frozen = frozen_of(p),
        .is_away = !node_hub_has_runner(d->o.nodes),
        .is_full = d->memory.is_full,
        .waiting = p->entry.wanted,
        .failure = p->scaler.failures ? failure_of(p) : "",
    };
    explain_write(w, &p->scaler, &view, &p->decisions, &node);
}

static void count_states(const struct pool *p, struct top_row *row)
{
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        const struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        row->states[i->state]++;
    }
}

void dispatcher_each_top(struct dispatcher *d, top_cb cb, void *ctx)
{
    static_assert((int)TOP_STATES_MAX >= (int)INSTANCE_STATES_, "every state has its count");
    uint64_t now = dispatcher_now(d);
    HOB_LIST_EACH(&d->pools, n, tmp)
    {
        const struct pool *p = HOB_CONTAINER_OF(n, struct pool, in_pools);
        struct top_row row = {
            .app = p->version->app_name,
            .function = p->version->function_name,
            .version = p->version->number,
            .rate = scaler_rate_10s(&p->scaler, now),
            .in_flight = p->in_flight_n,
            .queued = p->queued_n,
            .run_p50_us = sketch_quantile(&p->scaler.service, 0.5),
            .run_p99_us = sketch_quantile(&p->scaler.service, 0.99),
            .wait_p99_us = sketch_quantile(&p->scaler.waits, 0.99),
            .ended = p->stats.ended,
            .failed = p->stats.failed,
            .refused = p->stats.refused,
            .cold = p->stats.kinds[START_COLD],
            .pooled = p->stats.kinds[START_POOLED],
            .thawed = p->stats.kinds[START_THAWED],
        };
        count_states(p, &row);
        cb(ctx, &row);
    }
}

const char *top_state_name(unsigned state)
{
    return state < INSTANCE_GONE ? instance_state_name((enum instance_state)state) : NULL;
}

void dispatcher_node_view(struct dispatcher *d, struct node_view *ret_view)
{
    unsigned waiting = 0;
    HOB_LIST_EACH(&d->pools, n, tmp)
    waiting += HOB_CONTAINER_OF(n, struct pool, in_pools)->entry.wanted;
    *ret_view = (struct node_view){
        .instances = d->instances_n,
        .starting = d->starts.running,
        .starts_waiting = waiting,
        .memory_promised_mb = d->memory.promised_mb,
        .memory_limit_mb = d->memory.limit_mb,
        .is_full = d->memory.is_full,
    };
}

/* ---- hints from others ---- */

void dispatcher_expect(struct dispatcher *d, struct version *v, int64_t utc_ms, bool is_only)
{
    struct pool *p = pool_of(d, v);
    int64_t at_ms = utc_ms - d->utc_offset_ms;
    scaler_expect(&p->scaler, utc_ms > 0 && at_ms > 0 ? (uint64_t)at_ms * 1000u : 0, is_only);
    pool_mark(p);
    dispatcher_wake(d, &p->wake, dispatcher_now(d));
}
