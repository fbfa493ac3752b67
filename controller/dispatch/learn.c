/* Learning which system calls a version makes: its instances are replaced by ones whose every call is noted, until it is
 * ended or its time is over; then these are replaced again. What was learnt stays until it is learnt anew, or the version
 * is gone. In memory only: it is for whoever is driving the function right now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

struct learning {
    bool is_on;
    uint64_t until_us;
    struct learning_view seen;
};

static void replace(struct pool *p, bool is_learning_only)
{
    HOB_LIST_EACH(&p->instances, n, tmp)
    {
        struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
        if (i->is_learning || !is_learning_only)
            instance_event(i, INSTANCE_DRAIN);
    }
}

static void learn_end(struct pool *p)
{
    if (!p->learning || !p->learning->is_on)
        return;
    p->learning->is_on = false;
    replace(p, true);
    pool_mark(p);
}

void dispatcher_learn(struct dispatcher *d, struct version *v, uint64_t ms)
{
    struct pool *p = pool_of(d, v);
    if (!p->learning)
        p->learning = hob_new(struct learning);
    *p->learning = (struct learning){.is_on = true, .until_us = dispatcher_now(d) + ms * 1000};
    replace(p, false);
    dispatcher_wake(d, &p->wake, p->learning->until_us);
    pool_mark(p);
}

void dispatcher_learn_end(struct dispatcher *d, struct version *v)
{
    (void)d;
    if (v->pool)
        learn_end(v->pool);
}

bool dispatcher_learnt(const struct dispatcher *d, const struct version *v, struct learning_view *ret_view)
{
    const struct pool *p = v->pool;
    const struct learning *l = p ? p->learning : NULL;
    if (!l)
        return false;
    *ret_view = l->seen;
    uint64_t now = dispatcher_now(d);
    ret_view->left_ms = l->is_on && l->until_us > now ? (l->until_us - now + 999) / 1000 : 0;
    return true;
}

bool learn_begins(struct instance *i)
{
    struct learning *l = i->pool->learning;
    i->is_learning = l && l->is_on;
    if (i->is_learning)
        l->seen.instances++;
    return i->is_learning;
}

void learn_used(void *ctx, struct hob_str call)
{
    struct instance *i = ctx;
    int index = hob_syscall_find(call);
    if (i->is_learning && i->pool->learning && index >= 0)
        hob_syscalls_add(&i->pool->learning->seen.used, (size_t)index);
}

void learn_denied(struct instance *i, struct hob_str call)
{
    if (!i->is_learning || !i->pool->learning)
        return;
    struct learning_view *seen = &i->pool->learning->seen;
    size_t n = 0;
    while (n < seen->denied_n && !hob_str_is(call, seen->denied[n].name))
        n++;
    if (n == LEARNING_DENIED_MAX)
        return;
    if (n == seen->denied_n) {
        seen->denied_n++;
        (void)snprintf(seen->denied[n].name, sizeof seen->denied[n].name, "%.*s", (int)call.n, call.at);
    }
    seen->denied[n].n++;
}

void learn_tick(struct pool *p, uint64_t now_us)
{
    if (p->learning && now_us >= p->learning->until_us)
        learn_end(p);
}

uint64_t learn_wake_us(const struct pool *p)
{
    return p->learning && p->learning->is_on ? p->learning->until_us : UINT64_MAX;
}

void learn_free(struct pool *p)
{
    free(p->learning);
    p->learning = NULL;
}
