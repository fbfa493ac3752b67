/* One version's pool: its queue, its instances, when to start and when to let go. */
#include "controller/dispatch/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum { SLOT_CHOICES_MAX = 32 };

bool bucket_take(struct bucket *b, uint64_t now_us, uint64_t per_s, uint64_t burst, uint64_t n)
{
    uint64_t passed = b->at_us ? now_us - b->at_us : UINT64_MAX / 2;
    uint64_t gained = passed > 60000000u ? burst : passed * per_s / 1000000u;
    if (gained || !b->at_us) {
        b->level = b->level + gained > burst ? burst : b->level + gained;
        b->at_us = now_us;
    }
    if (b->level < n)
        return false;
    b->level -= n;
    return true;
}

struct pool *pool_of(struct dispatcher *d, struct version *v)
{
    if (v->pool)
        return v->pool;
    struct pool *p = hob_new(struct pool);
    p->d = d;
    p->version = version_ref(v);
    p->config = version_config(v);
    hob_list_init(&p->queue);
    hob_list_init(&p->running);
    hob_list_init(&p->cancelled);
    hob_list_init(&p->upgraded);
    hob_list_init(&p->instances);
    hob_list_init(&p->ready);
    wake_init(&p->wake);
    pool_scale_init(p);
    hob_list_push_back(&d->pools, &p->in_pools);
    d->pools_n++;
    v->pool = p;
    return p;
}

void pool_free(struct pool *p)
{
    HOB_ASSERT(hob_list_is_empty(&p->instances) && p->queued_n == 0);
    wake_set(&p->d->wakes, &p->wake, UINT64_MAX);
    pool_scale_done(p);
    learn_free(p);
    hob_list_remove(&p->in_pools);
    hob_list_remove(&p->in_dirty);
    p->d->pools_n--;
    p->version->pool = NULL;
    version_unref(p->version);
    free(p);
}

static bool is_needless(const struct pool *p)
{
    return p->is_gone && p->queued_n == 0 && hob_list_is_empty(&p->instances) &&
           hob_list_is_empty(&p->running) && hob_list_is_empty(&p->cancelled) &&
           hob_list_is_empty(&p->upgraded);
}

void pool_mark(struct pool *p)
{
    if (!hob_node_is_linked(&p->in_dirty))
        hob_list_push_back(&p->d->dirty, &p->in_dirty);
}

void pool_instance_changed(struct pool *p)
{
    pool_mark(p);
}

void pool_platform_log(struct pool *p, uint8_t level, const struct instance *inst, struct hob_str request_id,
                       struct hob_str text)
{
    if (p->is_gone) /* its log was removed with it */
        return;
    struct log_line line = {
        .utc_ms = hob_utc_ms(),
        .level = level,
        .stream = "platform",
        .version = p->version->number,
        .instance = inst ? inst->id : 0,
        .request_id = request_id,
        .text = text,
    };
    logs_append(p->d->o.logs, p->version->app_name, p->version->function_name, &line);
}

/* ---- the queue ---- */

static struct invocation *first_in(const struct hob_list *l)
{
    struct hob_node *n = hob_list_first(l);
    return n ? HOB_CONTAINER_OF(n, struct invocation, node) : NULL;
}

static uint64_t queue_deadline(const struct pool *p, const struct invocation *i)
{
    return i->queued_us + (uint64_t)p->config->queue_timeout_ms * 1000u;
}

static uint64_t run_deadline(const struct pool *p, const struct invocation *i)
{
    return i->dispatched_us + (uint64_t)p->config->timeout_ms * 1000u;
}

static uint64_t cancel_deadline(const struct invocation *i)
{
    return i->cancelled_us + HOB_MAX_CANCEL_MS * 1000u;
}

void pool_push(struct pool *p, struct invocation *i)
{
    i->state = INVOCATION_QUEUED;
    hob_list_push_back(&p->queue, &i->node);
    p->queued_n++;
    dispatcher_wake(p->d, &p->wake, queue_deadline(p, i));
    pool_mark(p);
}

void pool_push_front(struct pool *p, struct invocation *i)
{
    i->state = INVOCATION_QUEUED;
    hob_list_push_front(&p->queue, &i->node);
    p->queued_n++;
    dispatcher_wake(p->d, &p->wake, queue_deadline(p, i));
    pool_mark(p);
}

/* The most recently used; of instances that take several at a time, the less busy of two among those that the rate asks
 * for, so that the load is even and whoever is not needed becomes idle. */
struct instance *pool_slot(const struct pool *p)
{
    struct hob_node *n = hob_list_first(&p->ready), *chosen[2] = {n, n};
    if (!n)
        return NULL;
    unsigned active = p->slots_seen > 1 ? p->active_n : 1, seen = 0;
    uint32_t *rng = &p->d->rng;
    for (; n != &p->ready.head && seen < active && seen < SLOT_CHOICES_MAX; n = n->next, seen++)
        for (unsigned k = 0; k < 2 && seen; k++) { /* each of those seen so far is chosen alike often */
            *rng = *rng * 1664525u + 1013904223u;
            if ((*rng >> 8) % (seen + 1) == 0)
                chosen[k] = n;
        }
    struct instance *a = HOB_CONTAINER_OF(chosen[0], struct instance, in_ready);
    struct instance *b = HOB_CONTAINER_OF(chosen[1], struct instance, in_ready);
    return b->in_flight < a->in_flight ? b : a;
}

void pool_fail_queued(struct pool *p, const struct hob_err *err, const struct invocation_failure *f,
                      unsigned retry_s)
{
    struct invocation *i;
    while ((i = first_in(&p->queue)) != NULL)
        invocation_fail(i, err, f, retry_s);
}

/* ---- letting go ---- */

void pool_retire(struct pool *p, bool is_gone)
{
    p->is_gone = p->is_gone || is_gone;
    p->retired_us = dispatcher_now(p->d) + 1;
    pool_mark(p);
}

void pool_replace(struct pool *p)
{
    bool has_hook = reconfig_has_hook(p);
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        if (i->state != INSTANCE_STARTING) /* that one gets the new configuration */
            instance_event(i, has_hook && !i->is_worn ? INSTANCE_RECONFIG : INSTANCE_DRAIN);
    }
}

void pool_stop_all(struct pool *p)
{
    struct hob_err err;
    (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "shutting_down", "the server is shutting down; try again");
    pool_fail_queued(p, &err, NULL, 1);
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        i->why = err;
        instance_event(i, INSTANCE_STOP);
    }
}

/* ---- turns ---- */

void pool_run(struct pool *p)
{
    struct instance *inst;
    struct invocation *i;
    while ((inst = pool_slot(p)) != NULL && (i = first_in(&p->queue)) != NULL)
        invocation_dispatch(i, inst);
    if (p->retired_us || p->is_gone || p->d->is_draining || p->has_worn)
        pool_let_go(p, dispatcher_now(p->d));
    pool_scale(p);
    if (is_needless(p))
        pool_free(p);
}

static void expire_queued(struct pool *p, uint64_t now_us)
{
    struct invocation *i;
    struct hob_err err;
    while ((i = first_in(&p->queue)) != NULL && queue_deadline(p, i) <= now_us) {
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "queue_timeout",
                              "no instance of the function was free within queue_timeout_ms (%u ms)",
                              p->config->queue_timeout_ms);
        if (p->scaler.failures && p->ready_n == 0)
            err = p->failure;
        else if (p->ready_n == 0 && !node_hub_has_runner(p->d->o.nodes))
            (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "no_runner",
                                  "no node is connected that could start the function; try again");
        invocation_fail(i, &err, NULL, 1);
    }
}

static void expire_running(struct pool *p, uint64_t now_us)
{
    struct invocation *i;
    while ((i = first_in(&p->running)) != NULL && run_deadline(p, i) <= now_us)
        invocation_timeout(i);
    while ((i = first_in(&p->cancelled)) != NULL && cancel_deadline(i) <= now_us) {
        struct instance *inst = i->instance;
        if (inst->state == INSTANCE_STOPPING) {
            i->cancelled_us = now_us; /* its exit is on the way */
            hob_list_remove(&i->node);
            hob_list_push_back(&p->cancelled, &i->node);
            continue;
        }
        pool_platform_log(
            p, HOB_CHLOG_ERROR, inst, invocation_request_id(i),
            HOB_STR("the invocation was cancelled and did not end within 1 s; its instance is stopped"));
        (void)hob_fail_reason(&inst->why, HOB_E_FUNCTION, "function_crashed",
                              "the function's instance was stopped because an invocation would not end");
        instance_event(inst, INSTANCE_CANCEL_LATE);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_wake(struct pool *p, uint64_t now_us)
{
    uint64_t at = UINT64_MAX;
    const struct invocation *i;
    if ((i = first_in(&p->queue)) != NULL)
        at = earlier(at, queue_deadline(p, i));
    if ((i = first_in(&p->running)) != NULL)
        at = earlier(at, run_deadline(p, i));
    if ((i = first_in(&p->cancelled)) != NULL)
        at = earlier(at, cancel_deadline(i));
    HOB_LIST_EACH(&p->instances, n, tmp)
    at = earlier(at, instance_wake_us(HOB_CONTAINER_OF(n, struct instance, in_pool)));
    return earlier(at, earlier(learn_wake_us(p), pool_scale_wake_us(p, now_us)));
}

void pool_tick(struct pool *p, uint64_t now_us)
{
    expire_queued(p, now_us);
    expire_running(p, now_us);
    HOB_LIST_EACH(&p->instances, n, tmp)
    instance_tick(HOB_CONTAINER_OF(n, struct instance, in_pool), now_us);
    learn_tick(p, now_us);
    pool_let_go(p, now_us);
    pool_mark(p);
    wake_set(&p->d->wakes, &p->wake, next_wake(p, now_us));
}
