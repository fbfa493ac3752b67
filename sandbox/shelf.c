#include "sandbox/shelf.h"

#include <unistd.h>

#include "base/clock.h"
#include "sandbox/netns.h"

#include "base/banned.h"

enum { SHRINK_MS = 60 * 1000 };

static size_t wanted(const struct shelf *s)
{
    return s->want ? s->want : SHELF_MIN;
}

static void missed(struct shelf *s)
{
    s->want = wanted(s) * 2 < SHELF_MAX ? wanted(s) * 2 : SHELF_MAX;
    s->missed_ms = hob_now_ms();
}

bool shelf_take_set(struct shelf *s, struct cgroups *cg, const struct cgroup_limits *limits,
                    struct cgroup_set *ret_set)
{
    bool is_first = s->limits.pids_max == 0; /* nothing can be on the shelf yet: no miss */
    s->limits = *limits;
    if (s->sets_n == 0) {
        if (!is_first)
            missed(s);
        return cgroup_make(cg, limits, ret_set);
    }
    *ret_set = s->sets[--s->sets_n];
    return cgroup_limit(cg, ret_set, limits) && cgroup_open_doors(cg, ret_set);
}

bool shelf_give_set(struct shelf *s, struct cgroups *cg, struct cgroup_set *set,
                    const struct hob_launch_usage *last)
{
    if (s->sets_n == SHELF_MAX || !cgroup_reset(cg, set, last))
        return false;
    s->sets[s->sets_n++] = *set;
    return true;
}

int shelf_take_netns(struct shelf *s, int own_net)
{
    if (s->netns_n)
        return s->netns[--s->netns_n];
    return netns_make(own_net);
}

static bool drop_set(struct shelf *s, struct cgroups *cg)
{
    struct cgroup_set *set = &s->sets[--s->sets_n];
    cgroup_close_doors(cg, set);
    return cgroup_remove(cg, set); /* the guard sweeps what is left */
}

bool shelf_restock(struct shelf *s, struct cgroups *cg, int own_net)
{
    if (wanted(s) > SHELF_MIN && hob_now_ms() - s->missed_ms >= SHRINK_MS) {
        s->want = wanted(s) / 2;
        s->missed_ms = hob_now_ms();
    }
    if (s->sets_n > wanted(s))
        return drop_set(s, cg);
    if (s->netns_n > wanted(s))
        return close(s->netns[--s->netns_n]) == 0;
    if (s->sets_n < wanted(s) && s->limits.pids_max && cgroup_make(cg, &s->limits, &s->sets[s->sets_n])) {
        s->sets_n++;
        return true;
    }
    if (s->netns_n < wanted(s) && (s->netns[s->netns_n] = netns_make(own_net)) >= 0) {
        s->netns_n++;
        return true;
    }
    return false;
}

int64_t shelf_due_ms(const struct shelf *s)
{
    if (wanted(s) == SHELF_MIN)
        return -1;
    uint64_t past_ms = hob_now_ms() - s->missed_ms;
    return past_ms < SHRINK_MS ? (int64_t)(SHRINK_MS - past_ms) + 1 : 1;
}

void shelf_clear(struct shelf *s, struct cgroups *cg)
{
    while (s->sets_n)
        (void)drop_set(s, cg);
    while (s->netns_n)
        (void)close(s->netns[--s->netns_n]);
}
