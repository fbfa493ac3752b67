/* Standing still: by the freezer group, or, on a machine that has none, by stopping each process with a signal (which its
 * parent can see). And giving back the memory of what stands still, to swap; a machine without swap keeps it. Worker
 * only. */
#pragma once

#include <sys/types.h>

#include "base/list.h"
#include "sandbox/cgroup.h"

struct launcher;

/* The sandbox whose first process is `pid`, in our pid namespace. 0, or -1 with errno. */
HOB_MUST_USE int frozen_set(const struct launcher *l, const struct cgroup_set *set, pid_t pid,
                            bool is_frozen);
/* Whether there is swap, looked up at most every ten seconds, and a group that can be told to use it. */
bool frozen_can_reclaim(const struct launcher *l);
struct frozen {
    struct hob_node in_all; /* until its memory was given back */
    uint64_t since_ms;
    const struct cgroup_set *set;
    bool is_frozen, is_swapped; /* now; once */
};
void frozen_note(struct hob_list *all, struct frozen *f, const struct cgroup_set *set, bool is_frozen);
/* When idle: one that has been frozen for long gives its memory back, once, which takes some milliseconds. Returns in how
 * many ms the next is due; -1: none. */
int64_t frozen_reclaim(const struct launcher *l, struct hob_list *all, bool is_quiet);
