/* cgroups behind one door: v1, v2, or some controllers on either (hybrid machines).
 *
 *   find        every hierarchy in mountinfo that serves a part we want; v1 first, v2 for what is left
 *   base        one folder hob-NAME in each hierarchy, below our own group: enclosing limits go on holding
 *   set         one folder per sandbox in each. A v1 group keeps nothing but counters and limits: once empty it serves
 *               again, under the limits of the next sandbox. Not one whose record is not clean (a limit was met), nor
 *               one still charged with memory: the next sandbox shall not pay for what the last one left
 *               (CGROUP_LEFT_BYTES_MAX). v2's one group is used once
 *   enter       v1: the new process writes "0" to `tasks` itself; v2: it is cloned into the folder.
 *               Nobody writes another task's pid to cgroup.procs on the request path: that waits milliseconds
 *               for an RCU grace period on an idle machine
 *   limits      memory (swap included), cpu ceiling and weight, processes
 *   usage, freeze, thaw, kill, remove, sweep
 *
 * Owned by the launcher's worker (the guard keeps a copy to sweep with). Not thread-safe. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/launch.h"

enum {
    CGROUP_TREES_MAX = 6,
    CGROUP_NAME_MAX = 32,
    CGROUP_LEFT_BYTES_MAX =
        256 * 1024, /* the kernel's own rests: it charges ahead, and frees some things late */
};

#define CGROUP_V2_LEAF "hob-main" /* where v2 makes the daemon's own processes live */

enum cgroup_part {
    CGROUP_MEMORY = 1,
    CGROUP_CPU = 2,
    CGROUP_PIDS = 4,
    CGROUP_FREEZER = 8,
    CGROUP_CPUACCT = 16,
    CGROUP_PARTS_ALL = 31,
};

struct cgroup_limits {
    uint64_t memory_bytes;
    uint32_t cpu_percent, cpu_weight, pids_max; /* cpu_percent 0: no ceiling */
};

struct cgroup_tree;
/* Each writes to one small file or a few: 0, or -1 with errno. */
struct cgroup_ops {
    const char *version;
    /* Once: takes our own group, returns (owned) the one below which the base folder shall be made. */
    int (*settle)(int own);
    /* Once, after the base folder was made: 0, or -1 with errno. */
    int (*prepare)(struct cgroup_tree *t);
    /* `old_bytes`: the limit that stands, 0 for none yet. */
    int (*limit_memory)(const struct cgroup_tree *t, const char *name, uint64_t bytes, uint64_t old_bytes);
    int (*limit_cpu)(const struct cgroup_tree *t, const char *name, uint32_t percent, uint32_t weight);
    const char *door; /* the file by which a process enters; "" for the folder itself (CLONE_INTO_CGROUP) */
    int (*freeze)(const struct cgroup_tree *t, const char *name, bool is_frozen);
    void (*reclaim)(const struct cgroup_tree *t, const char *name, uint64_t limit_bytes); /* best effort */
    int (*reset)(const struct cgroup_tree *t,
                 const char *name); /* for the next sandbox; NULL: it is used once */
    void (*usage)(const struct cgroup_tree *t, const char *name, struct hob_launch_usage *u);
    void (*kill)(const struct cgroup_tree *t, const char *name); /* everything in it */
};
extern const struct cgroup_ops cgroup_v1, cgroup_v2;

struct cgroup_tree {
    const struct cgroup_ops *ops;
    unsigned parts;  /* enum cgroup_part that it serves for us */
    int own, base;   /* descriptors of the group we settled in and of hob-NAME below it */
    int oom_eventfd; /* v1 memory: signalled at an OOM in any set, and when a set is removed */
    char mount[256];
};

struct cgroups {
    struct cgroup_tree trees[CGROUP_TREES_MAX];
    size_t n;
    unsigned parts;     /* over all trees */
    uint64_t next;      /* number of the next set */
    uint64_t oom_noise; /* signals that removed groups will still give to oom_eventfd */
    char base_name[CGROUP_NAME_MAX + 8];
};

/* A folder in every tree, with the open doors; number 0 is "none". */
struct cgroup_set {
    uint64_t number;
    struct cgroup_limits limits; /* in force */
    uint64_t cpu_us;             /* of all that were here before */
    int doors[CGROUP_TREES_MAX]; /* -1: closed */
};

/* Finds the hierarchies ("auto", "v1", "v2" or "none") and makes the base folders. A part that the machine
 * does not give is missing in cg->parts and no error; a name that is not [a-z0-9-], 1 to 32 bytes, is one. */
HOB_MUST_USE enum hob_code cgroups_open(struct cgroups *cg, const char *name, const char *which,
                                        struct hob_err *err);
/* Whether the base folders that are open still have their names: another launcher may have removed them. */
bool cgroups_are_there(const struct cgroups *cg);
/* Closes the descriptors; the folders stay. */
void cgroups_close(struct cgroups *cg);
/* Kills what runs in any set of our base folder and removes the sets; waits at most `wait_ms`. Returns how
 * many sets are left. */
unsigned cgroups_sweep(struct cgroups *cg, unsigned wait_ms);
/* Removes the base folders, which must be empty. */
void cgroups_remove_base(struct cgroups *cg);

/* False with errno: no such group could be made. */
HOB_MUST_USE bool cgroup_make(struct cgroups *cg, const struct cgroup_limits *limits,
                              struct cgroup_set *ret_set);
HOB_MUST_USE bool cgroup_limit(struct cgroups *cg, struct cgroup_set *set,
                               const struct cgroup_limits *limits);
/* In the new process: enters every v1 folder. 0, or -1 with errno. System calls only. */
HOB_MUST_USE int cgroup_enter(const struct cgroups *cg, const struct cgroup_set *set);
/* For a process that is there already and enters by writing "0" to each: owned descriptors of every tree's file, at most
 * CGROUP_TREES_MAX of them. How many, or -1 with errno. */
int cgroup_open_entries(const struct cgroups *cg, const struct cgroup_set *set,
                        int ret_fds[CGROUP_TREES_MAX]);
/* Whether every folder has `pid`, in our pid namespace, as its first process. */
bool cgroup_holds(const struct cgroups *cg, const struct cgroup_set *set, pid_t pid);
/* Thaws, and kills every process in it. */
void cgroup_kill(const struct cgroups *cg, const struct cgroup_set *set);
/* The v2 folder to clone into, borrowed, or -1 when no v2 tree is used. */
int cgroup_clone_into(const struct cgroups *cg, const struct cgroup_set *set);
void cgroup_close_doors(const struct cgroups *cg, struct cgroup_set *set);
/* 0, or -1 with errno (ENOSYS: nothing here can freeze). */
HOB_MUST_USE int cgroup_freeze(const struct cgroups *cg, const struct cgroup_set *set, bool is_frozen);
/* Lets the kernel swap out what it holds, which shall be frozen. */
void cgroup_reclaim(const struct cgroups *cg, const struct cgroup_set *set);
/* All zero for what no tree counts. */
void cgroup_usage(const struct cgroups *cg, const struct cgroup_set *set, struct hob_launch_usage *ret_usage);
/* Makes the set of a sandbox that has ended ready for the next one; `last` is its usage at the end. False: it cannot
 * serve again. */
HOB_MUST_USE bool cgroup_reset(const struct cgroups *cg, struct cgroup_set *set,
                               const struct hob_launch_usage *last);
/* Opens the doors that are closed. False with errno. */
HOB_MUST_USE bool cgroup_open_doors(const struct cgroups *cg, struct cgroup_set *set);
/* True when every folder is gone; false: still busy, try again later. */
HOB_MUST_USE bool cgroup_remove(struct cgroups *cg, const struct cgroup_set *set);
/* The descriptor that becomes readable at an OOM (see oom_eventfd), or -1. */
int cgroup_oom_fd(const struct cgroups *cg);
/* Whether it was readable for an OOM: what removed groups give is taken off. */
bool cgroup_oom_take(struct cgroups *cg);
/* Whether the kernel has killed a process of the set for want of memory, where oom_eventfd tells of it. */
bool cgroup_oom_was(const struct cgroups *cg, const struct cgroup_set *set);

/* For the back ends: one small file of a set. */
int cgroup_write(int base, const char *name, const char *file, const char *value);
int cgroup_write_u64(const struct cgroup_tree *t, const char *name, const char *file, uint64_t value);
/* The number in `file`, or behind `key` and a space at a line's start; 0 when it is not there. */
uint64_t cgroup_read(int base, const char *name, const char *file, const char *key);
