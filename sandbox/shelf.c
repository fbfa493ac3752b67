#include "sandbox/shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/mem.h"
#include "sandbox/netns.h"

#include "base/banned.h"

enum { SHRINK_MS = 60 * 1000, KEEP_MS = 10 * 1000 };

struct busy_set {
    struct hob_node in_busy;
    struct cgroup_set set;
};

void shelf_open(struct shelf *s)
{
    hob_list_init(&s->busy);
}

static size_t wanted(const struct shelf_level *level)
{
    return level->want ? level->want : SHELF_MIN;
}

static void missed(struct shelf_level *level)
{
    level->want = wanted(level) * 2 < SHELF_MAX ? wanted(level) * 2 : SHELF_MAX;
    level->missed_ms = hob_now_ms();
}

static void shrink(struct shelf_level *level)
{
    if (wanted(level) == SHELF_MIN || hob_now_ms() - level->missed_ms < SHRINK_MS)
        return;
    level->want = wanted(level) / 2;
    level->missed_ms = hob_now_ms();
}

/* In how many ms it may have to shrink; -1: not at all. */
static int64_t due_ms(const struct shelf_level *level)
{
    if (wanted(level) == SHELF_MIN)
        return -1;
    uint64_t past_ms = hob_now_ms() - level->missed_ms;
    return past_ms < SHRINK_MS ? (int64_t)(SHRINK_MS - past_ms) + 1 : 1;
}

bool shelf_take_set(struct shelf *s, struct cgroups *cg, const struct cgroup_limits *limits,
                    struct cgroup_set *ret_set)
{
    bool is_first = s->limits.pids_max == 0; /* nothing can be on the shelf yet: no miss */
    s->limits = *limits;
    if (s->sets_n == 0) {
        if (!is_first)
            missed(&s->sets_level);
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

/* One that is ready, or -1. */
static int netns_ready(struct shelf *s)
{
    char byte;
    int fd = -1;
    size_t n = 0;
    ssize_t got = s->maker.sock < 0 ? -1 : hob_fdmsg_recv(s->maker.sock, &byte, 1, &fd, 1, &n);
    bool is_dead = s->maker.sock >= 0 && (got == 0 || (got < 0 && (errno == EPIPE || errno == ECONNRESET)));
    bool is_lost = got == 1 ? n == 0 : got < 0 && errno == EMSGSIZE; /* there was no number free for it */
    if (is_dead) {                                                   /* from now on they are made here */
        netns_maker_end(&s->maker);
        s->netns_n = 0;
    } else if ((got == 1 && n == 1) || is_lost) {
        s->netns_n--;
    }
    return fd;
}

static bool netns_order(struct shelf *s)
{
    if (s->maker.sock < 0 || hob_fdmsg_send(s->maker.sock, HOB_STR("n"), NULL, 0) != 1)
        return false;
    s->netns_n++;
    return true;
}

static int kept_take(struct shelf *s, size_t i)
{
    int fd = s->kept[i].netns;
    s->kept_n--;
    memmove(&s->kept[i], &s->kept[i + 1], (s->kept_n - i) * sizeof s->kept[0]);
    return fd;
}

void shelf_end_netns(struct shelf *s, const struct shelf_tenant *tenant, int netns, int proc, int own_net)
{
    hob_auto_close int own = netns;
    if (netns < 0 || !tenant->app[0] || !tenant->digest[0] || !netns_is_empty(netns, proc, own_net))
        return;
    if (s->kept_n == SHELF_KEPT_MAX)
        (void)close(kept_take(s, 0));
    s->kept[s->kept_n++] = (struct shelf_kept){*tenant, hob_now_ms(), hob_steal_fd(&own)};
}

int shelf_take_netns(struct shelf *s, const struct shelf_tenant *tenant, int own_net)
{
    for (size_t i = s->kept_n; tenant->app[0] && i-- > 0;)
        if (strcmp(s->kept[i].tenant.app, tenant->app) == 0 &&
            strcmp(s->kept[i].tenant.digest, tenant->digest) == 0)
            return kept_take(s, i);
    int fd = netns_ready(s);
    if (fd < 0 && s->maker.sock >= 0)
        missed(&s->netns_level);
    if (s->netns_n < (fd >= 0 ? wanted(&s->netns_level) : SHELF_MIN)) /* more, after a miss, when idle */
        (void)netns_order(s);
    return fd >= 0 ? fd : netns_make(own_net);
}

static bool drop_set(struct shelf *s, struct cgroups *cg)
{
    struct cgroup_set *set = &s->sets[--s->sets_n];
    cgroup_close_doors(cg, set);
    return cgroup_remove(cg, set); /* the guard sweeps what is left */
}

bool shelf_restock(struct shelf *s, struct cgroups *cg)
{
    size_t sets = wanted(&s->sets_level), netns = wanted(&s->netns_level);
    shrink(&s->sets_level);
    shrink(&s->netns_level);
    if (s->kept_n && hob_now_ms() - s->kept[0].since_ms >= KEEP_MS)
        return close(kept_take(s, 0)) == 0;
    if (s->sets_n > sets)
        return drop_set(s, cg);
    if (s->netns_n > netns)
        return close(netns_ready(s)) == 0;
    if (s->sets_n < sets && s->limits.pids_max && cgroup_make(cg, &s->limits, &s->sets[s->sets_n])) {
        s->sets_n++;
        return true;
    }
    return s->netns_n < netns && netns_order(s);
}

int64_t shelf_due_ms(const struct shelf *s)
{
    int64_t all[] = {due_ms(&s->sets_level), due_ms(&s->netns_level), s->kept_n ? KEEP_MS : -1},
            first_ms = -1;
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        if (all[i] >= 0 && (first_ms < 0 || all[i] < first_ms))
            first_ms = all[i];
    return first_ms;
}

void shelf_clear(struct shelf *s, struct cgroups *cg)
{
    while (s->sets_n)
        (void)drop_set(s, cg);
    while (s->kept_n)
        (void)close(kept_take(s, 0));
    netns_maker_end(&s->maker);
}

void shelf_drop(struct shelf *s, const struct cgroups *cg, struct cgroup_set *set)
{
    struct busy_set *b = hob_new(struct busy_set);
    cgroup_close_doors(cg, set);
    b->set = *set;
    hob_list_push_back(&s->busy, &b->in_busy);
    s->busy_n++;
}

void shelf_remove(struct shelf *s, struct cgroups *cg, unsigned most)
{
    HOB_LIST_EACH(&s->busy, node, next)
    {
        struct busy_set *b = HOB_CONTAINER_OF(node, struct busy_set, in_busy);
        if (most-- == 0)
            return;
        hob_list_remove(node);
        if (!cgroup_remove(cg, &b->set)) {
            hob_list_push_back(&s->busy, node);
            continue;
        }
        s->busy_n--;
        free(b);
    }
}
