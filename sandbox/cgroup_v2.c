/* cgroup v2: one tree for everything. Below the group that we were started in, which systemd (Delegate=yes) or
 * an administrator has handed to us, or below the root group. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/cgroup.h"
#include "sandbox/sweep.h"

#include "base/banned.h"

enum { PERIOD_US = 100000 };

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

/* A group with processes may not hand controllers down (except the root): so the launcher, and the daemon that
 * started it, move to a leaf of their own. At start only. */
static int make_room(const struct cgroup_tree *t)
{
    char pid[16];
    if (mkdirat(t->own, CGROUP_V2_LEAF + 1, 0755) < 0 && errno != EEXIST)
        return -1;
    (void)snprintf(pid, sizeof pid, "%d", (int)getppid());
    (void)cgroup_write(t->own, CGROUP_V2_LEAF + 1, "cgroup.procs", pid);
    return cgroup_write(t->own, CGROUP_V2_LEAF + 1, "cgroup.procs", "0");
}

static int enable(const struct cgroup_tree *t, const char *what)
{
    if (cgroup_write(t->own, ".", "cgroup.subtree_control", what) == 0)
        return 0;
    if (errno != EBUSY || make_room(t) < 0)
        return -1;
    return cgroup_write(t->own, ".", "cgroup.subtree_control", what);
}

/* Keeps in t->parts what really reaches the sandboxes' groups. */
static int v2_prepare(struct cgroup_tree *t)
{
    for (size_t i = 0; i < HOB_COUNT(controllers); i++) {
        if (!(t->parts & controllers[i].part))
            continue;
        bool is_given = has_word(t->own, "cgroup.controllers", controllers[i].name) &&
                        (has_word(t->own, "cgroup.subtree_control", controllers[i].name) ||
                         enable(t, controllers[i].enable) == 0) &&
                        cgroup_write(t->base, ".", "cgroup.subtree_control", controllers[i].enable) == 0;
        if (!is_given)
            t->parts &= ~(unsigned)controllers[i].part;
    }
    return 0;
}

static int write_u64(const struct cgroup_tree *t, const char *name, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return cgroup_write(t->base, name, file, text);
}

static int limit_memory(const struct cgroup_tree *t, const char *name, uint64_t bytes)
{
    if (write_u64(t, name, "memory.max", bytes) < 0)
        return -1;
    if (cgroup_write(t->base, name, "memory.swap.max", "0") < 0 && errno != ENOENT)
        return -1;
    return cgroup_write(t->base, name, "memory.oom.group", "1");
}

static int limit_cpu(const struct cgroup_tree *t, const char *name, const struct cgroup_limits *now)
{
    char text[32];
    if (now->cpu_percent)
        (void)snprintf(text, sizeof text, "%u %d", now->cpu_percent * (PERIOD_US / 100), PERIOD_US);
    else
        (void)snprintf(text, sizeof text, "max %d", PERIOD_US);
    if (cgroup_write(t->base, name, "cpu.max", text) < 0 && errno != ENOENT)
        return -1;
    return write_u64(t, name, "cpu.weight", now->cpu_weight);
}

static int v2_limit(const struct cgroup_tree *t, const char *name, const struct cgroup_limits *now,
                    const struct cgroup_limits *old)
{
    if ((t->parts & CGROUP_MEMORY) && (!old || old->memory_bytes != now->memory_bytes) &&
        limit_memory(t, name, now->memory_bytes) < 0)
        return -1;
    if ((t->parts & CGROUP_CPU) &&
        (!old || old->cpu_percent != now->cpu_percent || old->cpu_weight != now->cpu_weight) &&
        limit_cpu(t, name, now) < 0)
        return -1;
    if ((t->parts & CGROUP_PIDS) && (!old || old->pids_max != now->pids_max) &&
        write_u64(t, name, "pids.max", now->pids_max) < 0)
        return -1;
    return 0;
}

static int v2_freeze(const struct cgroup_tree *t, const char *name, bool is_frozen)
{
    return cgroup_write(t->base, name, "cgroup.freeze", is_frozen ? "1" : "0");
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
    .prepare = v2_prepare,
    .limit = v2_limit,
    .door = "",
    .freeze = v2_freeze,
    .usage = v2_usage,
    .kill = v2_kill,
};
