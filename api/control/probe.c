#include <stdlib.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/mem.h"

/* Flow: IDLE -> ASKING (worker) -> IDLE. Who asks while it runs waits for the same answer; an answer is good for a
 * while, so that nobody can keep the workers busy with starting interpreters. Each runtime gets 2 s. */
enum { PROBE_EACH_MS = 2000, PROBE_GOOD_MS = 60000 };

struct probe_waiter {
    struct hob_node link;
    probe_done_cb done;
    void *ctx;
};
struct probe {
    struct control *control;
    const struct runtimes *runtimes;
    uv_work_t work;
    bool is_asking;
    uint64_t asked_ms; /* 0: never */
    char **versions;
    struct hob_list waiters;
};

static void probe_answer(struct probe *p)
{
    p->is_asking = false;
    HOB_LIST_EACH(&p->waiters, node, next)
    {
        struct probe_waiter *waiter = HOB_CONTAINER_OF(node, struct probe_waiter, link);
        hob_list_remove(node);
        waiter->done(waiter->ctx, p->versions);
        free(waiter);
    }
}

static void on_work(uv_work_t *work)
{
    struct probe *p = work->data;
    for (size_t i = 0; i < runtimes_count(p->runtimes); i++) {
        free(p->versions[i]);
        p->versions[i] = runtime_version(runtimes_at(p->runtimes, i), PROBE_EACH_MS);
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct probe *p = work->data;
    HOB_ASSERT(status == 0);
    p->asked_ms = hob_now_ms();
    probe_answer(p);
}

struct probe *probe_new(struct control *c)
{
    struct probe *p = hob_new(struct probe);
    p->control = c;
    p->runtimes = c->o.runtimes;
    p->versions = hob_new_n(char *, runtimes_count(p->runtimes));
    p->work.data = p;
    hob_list_init(&p->waiters);
    return p;
}

void probe_free(struct probe *p)
{
    HOB_ASSERT(!p->is_asking && hob_list_is_empty(&p->waiters));
    for (size_t i = 0; i < runtimes_count(p->runtimes); i++)
        free(p->versions[i]);
    free(p->versions);
    free(p);
}

bool probe_is_running(const struct probe *p)
{
    return p->is_asking;
}

void probe_ask(struct probe *p, probe_done_cb done, void *ctx)
{
    if (!p->is_asking && p->asked_ms && hob_now_ms() - p->asked_ms < PROBE_GOOD_MS) {
        done(ctx, p->versions);
        return;
    }
    struct probe_waiter *waiter = hob_new(struct probe_waiter);
    waiter->done = done;
    waiter->ctx = ctx;
    hob_list_push_back(&p->waiters, &waiter->link);
    if (p->is_asking)
        return;
    p->is_asking = true;
    HOB_ASSERT(uv_queue_work(p->control->o.loop, &p->work, on_work, on_worked) == 0);
}
