#include "controller/scale/starts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

enum { QUANTUM_US = 20 * 1000, COST_MIN_US = 1000, COST_MAX_US = 2 * 1000 * 1000 };

void starts_init(struct starts *s, unsigned running_max, double per_s, double burst)
{
    *s = (struct starts){.running_max = running_max, .per_s = per_s, .burst = burst, .tokens = burst};
    hob_list_init(&s->ring);
}

void starts_join(struct starts *s, struct starts_entry *e, const char *app, enum priority priority)
{
    struct starts_app *a = NULL;
    HASH_FIND(hh, s->by_name, app, strlen(app), a);
    if (!a) {
        a = hob_new(struct starts_app);
        a->name = hob_strdup(app);
        for (unsigned p = 0; p <= PRIORITY_HIGH; p++)
            hob_list_init(&a->entries[p]);
        HASH_ADD_KEYPTR(hh, s->by_name, a->name, strlen(a->name), a);
    }
    a->refs++;
    *e = (struct starts_entry){.app = a, .priority = priority};
}

static bool has_entries(const struct starts_app *a)
{
    for (unsigned p = 0; p <= PRIORITY_HIGH; p++)
        if (!hob_list_is_empty(&a->entries[p]))
            return true;
    return false;
}

static void unlist(struct starts_entry *e)
{
    hob_list_remove(&e->node);
    if (has_entries(e->app))
        return;
    hob_list_remove(&e->app->node);
    e->app->deficit_us = 0; /* who wants nothing saves nothing up */
}

void starts_leave(struct starts *s, struct starts_entry *e)
{
    struct starts_app *a = e->app;
    unlist(e);
    e->app = NULL;
    if (--a->refs)
        return;
    HOB_ASSERT(a->running == 0);
    HASH_DEL(s->by_name, a);
    free(a->name);
    free(a);
}

void starts_want(struct starts *s, struct starts_entry *e, unsigned n, uint64_t cost_us, uint64_t now_us)
{
    e->cost_us = cost_us < COST_MIN_US ? COST_MIN_US : cost_us > COST_MAX_US ? COST_MAX_US : cost_us;
    if (n && !e->wanted)
        e->since_us = now_us;
    e->wanted = n;
    if (n == 0) {
        unlist(e);
        return;
    }
    if (!hob_node_is_linked(&e->node))
        hob_list_push_back(&e->app->entries[e->priority], &e->node);
    if (!hob_node_is_linked(&e->app->node))
        hob_list_push_back(&s->ring, &e->app->node);
}

static void fill(struct starts *s, uint64_t now_us)
{
    if (now_us > s->at_us && s->at_us)
        s->tokens += (double)(now_us - s->at_us) * s->per_s / 1e6;
    if (s->tokens > s->burst)
        s->tokens = s->burst;
    s->at_us = now_us;
}

static struct starts_entry *first_entry(const struct starts_app *a)
{
    for (unsigned p = PRIORITY_HIGH + 1; p-- > 0;) {
        struct hob_node *n = hob_list_first(&a->entries[p]);
        if (n)
            return HOB_CONTAINER_OF(n, struct starts_entry, node);
    }
    HOB_ASSERT(!"an app in the ring that wants nothing");
    return NULL;
}

/* All places but one at most. */
static bool has_enough(const struct starts *s, const struct starts_app *a)
{
    return s->running_max > 1 && a->running + 1 >= s->running_max;
}

/* The ring turns until somebody's deficit covers the start; whoever has enough running is passed by. Every turn adds a
 * quantum to at least one, so it ends. */
static struct starts_entry *choose(struct starts *s)
{
    unsigned passed = 0, apps = HASH_COUNT(s->by_name);
    for (struct hob_node *n; (n = hob_list_first(&s->ring)) != NULL && passed < apps;) {
        struct starts_app *a = HOB_CONTAINER_OF(n, struct starts_app, node);
        struct starts_entry *e = first_entry(a);
        if (!has_enough(s, a) && a->deficit_us >= (int64_t)e->cost_us)
            return e;
        hob_list_remove(n);
        hob_list_push_back(&s->ring, n);
        passed = has_enough(s, a) ? passed + 1 : 0;
        if (!has_enough(s, a))
            a->deficit_us += QUANTUM_US;
    }
    return NULL;
}

struct starts_entry *starts_next(struct starts *s, uint64_t now_us, uint64_t *ret_again_us)
{
    *ret_again_us = UINT64_MAX;
    if (hob_list_is_empty(&s->ring) || s->running >= s->running_max)
        return NULL;
    fill(s, now_us);
    if (s->tokens < 1) {
        *ret_again_us = now_us + (uint64_t)((1 - s->tokens) * 1e6 / s->per_s) + 1;
        return NULL;
    }
    return choose(s);
}

unsigned starts_wanted(const struct starts *s, unsigned max)
{
    unsigned n = 0;
    HOB_LIST_EACH(&s->ring, an, atmp)
    {
        const struct starts_app *a = HOB_CONTAINER_OF(an, struct starts_app, node);
        for (unsigned p = 0; p <= PRIORITY_HIGH; p++)
            HOB_LIST_EACH(&a->entries[p], en, etmp)
            {
                n += HOB_CONTAINER_OF(en, struct starts_entry, node)->wanted;
                if (n >= max)
                    return max;
            }
    }
    return n;
}

/* Its app's turn goes on until its deficit is spent; within the app its entries take turns. */
void starts_began(struct starts *s, struct starts_entry *e)
{
    struct starts_app *a = e->app;
    s->tokens -= 1;
    s->running++;
    a->running++;
    if (hob_node_is_linked(&e->node))
        a->deficit_us -= (int64_t)e->cost_us;
    if (e->wanted && --e->wanted == 0) {
        unlist(e);
    } else if (hob_node_is_linked(&e->node)) {
        hob_list_remove(&e->node);
        hob_list_push_back(&a->entries[e->priority], &e->node);
    }
}

void starts_ended(struct starts *s, struct starts_entry *e)
{
    HOB_ASSERT(s->running > 0 && e->app->running > 0);
    s->running--;
    e->app->running--;
}
