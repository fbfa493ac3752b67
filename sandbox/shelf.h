/* What a launch can take instead of making it: cgroup sets and network namespaces, made ahead.
 *
 *   how many   SHELF_MIN of each; twice as many when a launch found none, up to SHELF_MAX (a network namespace is
 *              225 KiB of kernel memory); half as many after each minute in which none did
 *
 * Cgroup sets are made, or made ready again, by the worker when it has nothing else to do; network namespaces by a
 * process of their own (netns.h), which has as many under way as are wanted.
 *
 * A network namespace whose sandbox has ended waits some seconds for the next sandbox of the same tenant, as struct
 * shelf_tenant understands it.
 *
 * And what a sandbox has left behind: sets to be removed, which can take some time.
 * Owned by the launcher's worker. */
#pragma once

#include "base/list.h"
#include "sandbox/cgroup.h"
#include "sandbox/netns.h"

enum { SHELF_MIN = 16, SHELF_MAX = 128, SHELF_KEPT_MAX = 32 };

/* For whom something may serve again: instances of this app with this code. */
struct shelf_tenant {
    char app[65], digest[65]; /* "": nobody */
};
struct shelf_kept {
    struct shelf_tenant tenant;
    uint64_t since_ms;
    int netns; /* owned */
};

struct shelf_level {
    size_t want;        /* 0: as SHELF_MIN */
    uint64_t missed_ms; /* the last time that a launch found none, or that `want` shrank */
};
struct shelf {
    struct cgroup_set sets[SHELF_MAX];
    size_t sets_n;
    struct netns_maker maker;
    size_t netns_n; /* ready there or being made */
    struct shelf_level sets_level, netns_level;
    struct shelf_kept
        kept[SHELF_KEPT_MAX]; /* network namespaces of sandboxes that have ended, the oldest first */
    size_t kept_n;
    struct cgroup_limits limits; /* the last asked for: the next will likely ask the same */
    struct hob_list busy;        /* sets to be removed */
    size_t busy_n;
};

/* Once, of one that is all zero. */
void shelf_open(struct shelf *s);
/* With its doors open. False with errno; what is in *ret_set is to be removed. */
HOB_MUST_USE bool shelf_take_set(struct shelf *s, struct cgroups *cg, const struct cgroup_limits *limits,
                                 struct cgroup_set *ret_set);
/* Takes the set of a sandbox that has ended, whose usage was `last`. False: it cannot serve again and is to be removed. */
HOB_MUST_USE bool shelf_give_set(struct shelf *s, struct cgroups *cg, struct cgroup_set *set,
                                 const struct hob_launch_usage *last);
/* A network namespace, owned, or -1 with errno. */
HOB_MUST_USE int shelf_take_netns(struct shelf *s, const struct shelf_tenant *tenant, int own_net);
/* Takes that of a sandbox that has ended, or -1: kept when it is empty and was somebody's, else closed. */
void shelf_end_netns(struct shelf *s, const struct shelf_tenant *tenant, int netns, int proc, int own_net);
/* One thing more, or one too many less; false: nothing is to be done. Call when idle. */
bool shelf_restock(struct shelf *s, struct cgroups *cg);
/* In how many ms it may have to shrink; -1: not at all. */
int64_t shelf_due_ms(const struct shelf *s);
void shelf_clear(struct shelf *s, struct cgroups *cg);
/* Is to be removed, when it can be. */
void shelf_drop(struct shelf *s, const struct cgroups *cg, struct cgroup_set *set);
/* Tries at most `most` of those. */
void shelf_remove(struct shelf *s, struct cgroups *cg, unsigned most);
