/* cgroup v2: one tree for everything. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/cgroup.h"
#include "sandbox/sweep.h"

#include "base/banned.h"

enum { PERIOD_US = 100000, DEPTH_MAX = 16 };

static const struct {
    enum cgroup_part part;
    const char *name, *enable;
} controllers[] = {
    {CGROUP_MEMORY, "memory", "+memory"}, {CGROUP_CPU, "cpu", "+cpu"}, {CGROUP_PIDS, "pids", "+pids"}};

static bool has_word(int dir, const char *file, const char *word)
{
    char text[512], *at = text, *one;
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    while ((one = strsep(&at, " \n")))
        if (strcmp(one, word) == 0)
            return true;
    return false;
}

/* How many processes are in this very group, and how many of them are we and the daemon that started us. */
static unsigned count_processes(int dir, unsigned *ret_ours)
{
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    char line[32];
    unsigned n = 0;
    *ret_ours = 0;
    for (; f && fgets(line, sizeof line, f); n++) {
        long pid = strtol(line, NULL, 10);
        *ret_ours += pid == getpid() || pid == getppid();
    }
    if (f)
        (void)fclose(f);
    return n;
}

/* Hands every controller there is down to this group's folders; some may be missing. False: it has processes, and
 * is not the top one, which alone may have both. (The kernel would let it hand down some controllers, but then as
 * the root of a threaded subtree, in which no sandbox could live.) */
static bool enable_all(int dir)
{
    unsigned ours;
    if (faccessat(dir, "cgroup.type", F_OK, 0) == 0 && count_processes(dir, &ours) > 0)
        return false;
    for (size_t i = 0; i < HOB_COUNT(controllers); i++)
        if (has_word(dir, "cgroup.controllers", controllers[i].name) &&
            !has_word(dir, "cgroup.subtree_control", controllers[i].name))
            (void)cgroup_write(dir, ".", "cgroup.subtree_control", controllers[i].enable);
    return true;
}

/* The group around this one, owned, or -1 at the mount's top. */
static int open_parent(int dir)
{
    int parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0 && faccessat(parent, "cgroup.procs", F_OK, 0) < 0) {
        (void)close(parent);
        return -1;
    }
    return parent;
}

/* From the top down, so that our group has something to hand on. Best effort; only root may, mostly. */
static void enable_above(int dir, int depth)
{
    int parent = depth ? open_parent(dir) : -1;
    if (parent < 0)
        return;
    enable_above(parent, depth - 1);
    (void)enable_all(parent);
    (void)close(parent);
}

/* So that our group may hand controllers down, we two move to a leaf of it. At start only. */
static int make_room(int dir)
{
    char pid[16];
    if (mkdirat(dir, CGROUP_V2_LEAF, 0755) < 0 && errno != EEXIST)
        return -1;
    (void)snprintf(pid, sizeof pid, "%d", (int)getppid());
    (void)cgroup_write(dir, CGROUP_V2_LEAF, "cgroup.procs", pid);
    return cgroup_write(dir, CGROUP_V2_LEAF, "cgroup.procs", "0");
}

/* Our own group when it is ours alone (systemd's Delegate=yes, a container). Root in a shared one (a login session)
 * settles in the nearest group around it that can hand controllers down; others keep what needs none. */
static int v2_settle(int own)
{
    enable_above(own, DEPTH_MAX);
    for (int depth = 0; depth < DEPTH_MAX && !enable_all(own); depth++) {
        unsigned ours, all = count_processes(own, &ours);
        if (all == ours && make_room(own) == 0 && enable_all(own))
            break;
        int parent = geteuid() == 0 ? open_parent(own) : -1;
        if (parent < 0)
            break;
        (void)close(own);
        own = parent;
    }
    return own;
}

/* Keeps in t->parts what really reaches the sandboxes' groups. */
static int v2_prepare(struct cgroup_tree *t)
{
    for (size_t i = 0; i < HOB_COUNT(controllers); i++)
        if (!has_word(t->base, "cgroup.controllers", controllers[i].name) ||
            cgroup_write(t->base, ".", "cgroup.subtree_control", controllers[i].enable) < 0)
            t->parts &= ~(unsigned)controllers[i].part;
    return 0;
}

static int limit_memory(const struct cgroup_tree *t, const char *name, uint64_t bytes, uint64_t old_bytes)
{
    if (cgroup_write_u64(t, name, "memory.max", bytes) < 0)
        return -1;
    if (old_bytes)
        return 0;
    if (cgroup_write(t->base, name, "memory.swap.max", "0") < 0 && errno != ENOENT)
        return -1;
    return cgroup_write(t->base, name, "memory.oom.group", "1");
}

static int limit_cpu(const struct cgroup_tree *t, const char *name, uint32_t percent, uint32_t weight)
{
    char text[32];
    if (percent)
        (void)snprintf(text, sizeof text, "%u %d", percent * (PERIOD_US / 100), PERIOD_US);
    else
        (void)snprintf(text, sizeof text, "max %d", PERIOD_US);
    if (cgroup_write(t->base, name, "cpu.max", text) < 0 && errno != ENOENT)
        return -1;
    return cgroup_write_u64(t, name, "cpu.weight", weight);
}

static int v2_freeze(const struct cgroup_tree *t, const char *name, bool is_frozen)
{
    return cgroup_write(t->base, name, "cgroup.freeze", is_frozen ? "1" : "0");
}

/* Swap is open to it for this moment only: awake, it gets none. What was swapped out stays so until it is needed. */
static void v2_reclaim(const struct cgroup_tree *t, const char *name, uint64_t limit_bytes)
{
    if (cgroup_write_u64(t, name, "memory.swap.max", limit_bytes) < 0)
        return;
    (void)cgroup_write_u64(t, name, "memory.reclaim", cgroup_read(t->base, name, "memory.current", NULL));
    (void)cgroup_write(t->base, name, "memory.swap.max", "0");
}

static void v2_usage(const struct cgroup_tree *t, const char *name, struct hob_launch_usage *u)
{
    if (t->parts & CGROUP_MEMORY) {
        u->memory_bytes = cgroup_read(t->base, name, "memory.current", NULL);
        u->memory_peak_bytes = cgroup_read(t->base, name, "memory.peak", NULL);
        u->oom_kills = (uint32_t)cgroup_read(t->base, name, "memory.events", "oom_kill");
    }
    if (t->parts & CGROUP_CPUACCT)
        u->cpu_us = cgroup_read(t->base, name, "cpu.stat", "usage_usec");
    if (t->parts & CGROUP_PIDS) {
        u->pids = (uint32_t)cgroup_read(t->base, name, "pids.current", NULL);
        u->pids_denied = (uint32_t)cgroup_read(t->base, name, "pids.events", "max");
    }
}

static void v2_kill(const struct cgroup_tree *t, const char *name)
{
    if (cgroup_write(t->base, name, "cgroup.kill", "1") < 0) /* kernels before 5.14 */
        sweep_kill(t->base, name);
}

const struct cgroup_ops cgroup_v2 = {
    .version = "v2",
    .settle = v2_settle,
    .prepare = v2_prepare,
    .limit_memory = limit_memory,
    .limit_cpu = limit_cpu,
    .door = "",
    .freeze = v2_freeze,
    .reclaim = v2_reclaim,
    .usage = v2_usage,
    .kill = v2_kill,
};
