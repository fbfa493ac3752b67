/* A pool and its scaler: what it is told, what it decides, how that is carried out. Starts are asked for here and granted
 * by turns between the apps (dispatcher_grant_starts); instances go by their own idle clock, and never while they work. */
#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"
#include "controller/scale/learned.h"

#include "base/banned.h"

enum {
    GRANT_AGAIN_US = 100 * 1000, /* while the node has no memory */
    AWAY_AGAIN_US = 20 * 1000,   /* while there is no node */
};

void pool_scale_init(struct pool *p)
{
    const struct function_config *f = p->config;
    scaler_init(&p->scaler, prior_cold_us(p->d, f->runtime));
    windows_init(&p->windows, f->windows, f->windows_n);
    starts_join(&p->d->starts, &p->entry, p->version->app_name, f->priority);
    p->has_worn = f->single_use || f->recycle_invocations || f->recycle_age_s;
    p->active_n = 1;
    recall_give(p);
}

void pool_scale_done(struct pool *p)
{
    starts_leave(&p->d->starts, &p->entry);
    windows_done(&p->windows);
}

/* ---- what it is told ---- */

void pool_inherit(struct pool *p, const struct pool *before)
{
    uint64_t now = dispatcher_now(p->d);
    unsigned live = before->ready_n + before->starting_n, by_rate = before->active_n;
    if (p->scaler.arrivals == 0) /* one that was live before knows itself better */
        learned_inherit(&p->scaler, &before->scaler, by_rate < live ? by_rate : live, now);
    else
        scaler_hold(&p->scaler, by_rate < live ? by_rate : live, now);
}

void pool_arrived(struct pool *p, uint64_t now_us)
{
    scaler_note_arrival(&p->scaler, now_us);
    if (p->tick_us == 0) {
        p->tick_us = now_us + SCALER_TICK_US;
        dispatcher_wake(p->d, &p->wake, p->tick_us);
    }
    recall_soon(p->d);
}

void pool_quiet(struct pool *p)
{
    if (p->queued_n == 0 && p->in_flight_n == 0)
        scaler_note_quiet(&p->scaler, dispatcher_now(p->d));
}

static int64_t utc_ms(const struct dispatcher *d, uint64_t now_us)
{
    return d->utc_offset_ms + (int64_t)(now_us / 1000);
}

/* Windows are looked at again only when one of them begins or ends. */
static unsigned floor_now(struct pool *p, uint64_t now_us)
{
    if (p->windows.n && utc_ms(p->d, now_us) >= p->windows_until_ms)
        p->windows_min = windows_min(&p->windows, utc_ms(p->d, now_us), &p->windows_until_ms);
    return p->windows_min > p->config->scale_min ? p->windows_min : p->config->scale_min;
}

static unsigned most_of(const struct pool *p)
{
    return p->config->scale_max ? p->config->scale_max : 1;
}

static unsigned live_of(const struct pool *p)
{
    return p->ready_n - p->worn_n + p->starting_n;
}

bool pool_has_room(const struct pool *p)
{
    return live_of(p) < most_of(p);
}

bool pool_is_crowded(const struct pool *p)
{
    return live_of(p) > most_of(p);
}

struct scaler_view pool_scaler_view(struct pool *p, uint64_t now_us)
{
    struct hob_node *first = hob_list_first(&p->queue);
    const struct invocation *oldest = first ? HOB_CONTAINER_OF(first, struct invocation, node) : NULL;
    unsigned declared = p->config->concurrency ? p->config->concurrency : 1;
    return (struct scaler_view){
        .now_us = now_us,
        .oldest_wait_us = oldest && now_us > oldest->queued_us ? now_us - oldest->queued_us : 0,
        .queued = p->queued_n,
        .in_flight = p->in_flight_n,
        .ready = p->ready_n - p->worn_n,
        .starting = p->starting_n,
        .stale = p->stale_n,
        .concurrency = p->slots_seen ? p->slots_seen : declared,
        .min = floor_now(p, now_us),
        .max = most_of(p),
        .mode = p->config->scale_mode,
        .keep_us = (uint64_t)p->config->scale_keep_s * 1000000u,
        .is_retired = p->is_gone || p->retired_us || p->d->is_draining,
    };
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t window_edge_us(const struct pool *p, uint64_t now_us)
{
    if (p->windows.n == 0 || p->windows_until_ms == INT64_MAX)
        return UINT64_MAX;
    int64_t left_ms = p->windows_until_ms - utc_ms(p->d, now_us);
    return now_us + (left_ms > 0 ? (uint64_t)left_ms * 1000u : 0) + 1000u;
}

/* ---- starting ---- */

/* What is wanted replaces what was wanted before: a start that waits for its turn and is no longer needed never comes. */
void pool_scale(struct pool *p)
{
    uint64_t now = dispatcher_now(p->d);
    struct scaler_view v = pool_scaler_view(p, now);
    struct scaler_decision made = {.ask_again_us = UINT64_MAX};
    if (!p->d->is_stopping)
        made = scaler_decide(&p->scaler, &v);
    p->decisions.bound = made.bound;
    if (made.starts > p->entry.wanted)
        decisions_started(&p->decisions, &p->scaler, &v, &made);
    starts_want(&p->d->starts, &p->entry, made.starts, scaler_cold95_us(&p->scaler), now);
    dispatcher_wake(p->d, &p->wake, earlier(made.ask_again_us, window_edge_us(p, now)));
}

void pool_start_one(struct pool *p)
{
    starts_began(&p->d->starts, &p->entry);
    p->d->memory.promised_mb += p->config->memory_mb;
    instance_start(p);
}

void pool_start_over(struct pool *p)
{
    starts_ended(&p->d->starts, &p->entry);
    dispatcher_grant_soon(p->d);
}

void pool_buried(struct pool *p)
{
    HOB_ASSERT(p->d->memory.promised_mb >= p->config->memory_mb);
    p->d->memory.promised_mb -= p->config->memory_mb;
    if (p->d->memory.leaving_n)
        p->d->memory.leaving_n--;
    recall_soon(p->d);
    dispatcher_grant_soon(p->d);
}

void pool_started(struct pool *p, const struct instance *i)
{
    uint64_t us = i->ready_us - i->asked_us;
    struct dispatcher_stats *stats = &p->d->stats;
    enum start_kind kind = i->is_pooled ? START_POOLED : START_COLD;
    stats->starts[kind]++;
    stats_add(&stats->launch, i->started_us - i->asked_us);
    stats_add(&stats->init, i->ready_us - i->started_us);
    scaler_note_cold(&p->scaler, us);
    prior_note(p->d, p->config->runtime, us);
}

void dispatcher_grant_starts(struct dispatcher *d)
{
    struct starts_entry *e;
    uint64_t now = dispatcher_now(d), again;
    d->grant_at_us = UINT64_MAX;
    if (hob_list_is_empty(&d->starts.ring)) {
        d->memory.is_full = false;                 /* nobody waits for memory any more */
    } else if (!node_hub_has_runner(d->o.nodes)) { /* to ask nobody would count as failing starts */
        dispatcher_grant_at(d, now + AWAY_AGAIN_US);
        return;
    }
    while ((e = starts_next(&d->starts, now, &again)) != NULL) {
        struct pool *p = HOB_CONTAINER_OF(e, struct pool, entry);
        if (!memory_has_room(d, p->config->memory_mb, now)) {
            memory_make_room(d, now);
            again = now + GRANT_AGAIN_US;
            break;
        }
        pool_start_one(p);
    }
    if (again != UINT64_MAX)
        dispatcher_grant_at(d, again);
}

/* Waiting requests are answered when the function itself says that it cannot start and nothing else runs, or when
 * starts failed several times in a row; a missing runner alone is waited for until the queue's deadline. */
void pool_start_failed(struct pool *p, const struct hob_err *why, bool is_deterministic)
{
    uint64_t now = dispatcher_now(p->d);
    p->failure = *why;
    p->d->stats.starts_failed++;
    scaler_note_failure(&p->scaler, now);
    unsigned retry_ms = (unsigned)((p->scaler.not_before_us - now) / 1000u);
    hob_log(HOB_LOG_WARN, "instance.start_failed",
            "app=%s fn=%s version=%u failures=%u retry_ms=%u reason=%s", p->version->app_name,
            p->version->function_name, p->version->number, p->scaler.failures, retry_ms, hob_err_reason(why));
    bool is_node_away = !is_deterministic && !node_hub_has_runner(p->d->o.nodes);
    if (p->ready_n == 0 && !is_node_away && (is_deterministic || scaler_is_open(&p->scaler))) {
        struct invocation_failure f = {hob_str(p->failure_type), hob_str(p->failure_detail), HOB_STR("")};
        pool_fail_queued(p, why, &f, (retry_ms + 999) / 1000 ? (retry_ms + 999) / 1000 : 1);
    }
    pool_mark(p);
}

/* ---- letting go ---- */

bool pool_wears(const struct pool *p, const struct instance *i)
{
    const struct function_config *f = p->config;
    return p->has_worn &&
           (f->single_use || (f->recycle_invocations && i->invocations >= f->recycle_invocations));
}

static bool is_too_old(const struct pool *p, const struct instance *i, uint64_t now_us)
{
    uint64_t age_us = (uint64_t)p->config->recycle_age_s * 1000000u;
    return age_us && now_us - i->asked_us >= age_us;
}

static bool is_outlived(const struct pool *p, const struct instance *i)
{
    return p->queued_n == 0 &&
           (p->d->is_draining || p->is_gone || (p->retired_us && i->asked_us < p->retired_us));
}

struct instance *pool_longest_idle(const struct pool *p)
{
    struct instance *longest = NULL;
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        if (instance_is_idle(i) && !i->is_worn && (!longest || i->idle_us < longest->idle_us))
            longest = i;
    }
    return longest;
}

/* Upgraded connections have no end that could be waited for: when nothing else is left, they are asked to end. */
static bool has_only_upgraded(const struct instance *i)
{
    return i->state == INSTANCE_BUSY && i->upgraded_n == i->in_flight && !i->is_leaving;
}

static void let_worn_go(struct pool *p, uint64_t now_us)
{
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        if (is_too_old(p, i, now_us))
            instance_wear(i);
        bool is_over = (instance_is_idle(i) || has_only_upgraded(i)) && (i->is_worn || is_outlived(p, i));
        if (is_over && !reconfig_hand_over(i))
            instance_event(i, INSTANCE_DRAIN);
    }
}

void pool_let_go(struct pool *p, uint64_t now_us)
{
    struct instance *i;
    if (p->has_worn || p->retired_us || p->is_gone || p->d->is_draining)
        let_worn_go(p, now_us);
    while (p->queued_n == 0 && (i = pool_longest_idle(p)) != NULL) {
        struct scaler_view v = pool_scaler_view(p, now_us);
        if (!scaler_expires(&p->scaler, &v, now_us - i->idle_us))
            break;
        decisions_stopped(&p->decisions, &p->scaler, &v);
        instance_event(i, INSTANCE_DRAIN);
    }
}

/* ---- time ---- */

static uint64_t oldest_age_us(const struct pool *p)
{
    uint64_t at = UINT64_MAX;
    if (p->config->recycle_age_s == 0)
        return at;
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        const struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        if (!i->is_worn)
            at = earlier(at, i->asked_us + (uint64_t)p->config->recycle_age_s * 1000000u);
    }
    return at;
}

/* After a tick: when the next one is due. A version that got nothing since the last one needs no ticks: by rate it can
 * only need less, and letting go has its own clocks. */
uint64_t pool_scale_wake_us(struct pool *p, uint64_t now_us)
{
    if (p->tick_us && p->tick_us <= now_us) {
        struct scaler_view v = pool_scaler_view(p, now_us);
        bool has_traffic = p->scaler.arrivals != p->ticked || p->queued_n;
        p->active_n = scaler_active(&p->scaler, &v);
        p->ticked = p->scaler.arrivals;
        p->tick_us = has_traffic ? now_us + SCALER_TICK_US : 0;
    }
    struct scaler_view v = pool_scaler_view(p, now_us);
    uint64_t at = earlier(scaler_decide(&p->scaler, &v).ask_again_us, p->tick_us ? p->tick_us : UINT64_MAX);
    return earlier(at, earlier(window_edge_us(p, now_us), oldest_age_us(p)));
}
