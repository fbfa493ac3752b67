/* cgroup v1: one tree per controller; what each part is called there. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/cgroup.h"
#include "sandbox/sweep.h"

#include "base/banned.h"

enum { PERIOD_US = 100000, SHARES_USUAL = 1024, SHARES_MIN = 2 };

static int v1_settle(int own)
{
    return own; /* any group may have both processes and folders */
}

static int v1_prepare(struct cgroup_tree *t)
{
    if (t->parts & CGROUP_MEMORY) {
        (void)cgroup_write(t->base, ".", "memory.use_hierarchy", "1"); /* kernels before 5.11 */
        t->oom_eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return 0;
}

/* memsw may never be below memory: the larger one first when growing. No memsw file: no swap accounting, so
 * nothing of this group shall be swapped. */
static int limit_memory(const struct cgroup_tree *t, const char *name, uint64_t bytes, uint64_t old_bytes)
{
    static const char memory[] = "memory.limit_in_bytes", memsw[] = "memory.memsw.limit_in_bytes";
    bool is_growing = old_bytes && bytes > old_bytes;
    int swap = is_growing ? cgroup_write_u64(t, name, memsw, bytes) : 0;
    if (cgroup_write_u64(t, name, memory, bytes) < 0)
        return -1;
    if (!is_growing)
        swap = cgroup_write_u64(t, name, memsw, bytes);
    return swap == 0 ? 0 : cgroup_write(t->base, name, "memory.swappiness", "0");
}

static int limit_cpu(const struct cgroup_tree *t, const char *name, uint32_t percent, uint32_t weight)
{
    uint64_t shares = (uint64_t)weight * SHARES_USUAL / 100;
    if (cgroup_write_u64(t, name, "cpu.shares", shares < SHARES_MIN ? SHARES_MIN : shares) < 0)
        return -1;
    /* a kernel without CFS bandwidth control has no such file: the ceiling is then not held */
    int quota = percent ? cgroup_write_u64(t, name, "cpu.cfs_quota_us", percent * (PERIOD_US / 100))
                        : cgroup_write(t->base, name, "cpu.cfs_quota_us", "-1");
    /* EINVAL: a group around us has a lower ceiling (a container's, a service's), and that one holds */
    if (quota < 0 && errno == EINVAL)
        quota = cgroup_write(t->base, name, "cpu.cfs_quota_us", "-1");
    return quota < 0 && errno != ENOENT ? -1 : 0;
}

/* FROZEN is an order: the kernel reports FREEZING until the last task has stopped. */
static int v1_freeze(const struct cgroup_tree *t, const char *name, bool is_frozen)
{
    return cgroup_write(t->base, name, "freezer.state", is_frozen ? "FROZEN" : "THAWED");
}

/* The limit includes swap, where that is counted; where it is not, nothing is swapped (limit_memory). */
static void v1_reclaim(const struct cgroup_tree *t, const char *name, uint64_t limit_bytes)
{
    (void)limit_bytes;
    (void)cgroup_write(t->base, name, "memory.force_empty", "0");
}

/* What cannot be reset is counted on from where it stands (cpu), or bars the group from serving again. */
static int v1_reset(const struct cgroup_tree *t, const char *name)
{
    return t->parts & CGROUP_MEMORY ? cgroup_write(t->base, name, "memory.max_usage_in_bytes", "0") : 0;
}

static void v1_usage(const struct cgroup_tree *t, const char *name, struct hob_launch_usage *u)
{
    if (t->parts & CGROUP_MEMORY) {
        u->memory_bytes = cgroup_read(t->base, name, "memory.usage_in_bytes", NULL);
        u->memory_peak_bytes = cgroup_read(t->base, name, "memory.max_usage_in_bytes", NULL);
        u->oom_kills = (uint32_t)cgroup_read(t->base, name, "memory.oom_control", "oom_kill");
    }
    if (t->parts & CGROUP_CPUACCT)
        u->cpu_us = cgroup_read(t->base, name, "cpuacct.usage", NULL) / 1000;
    if (t->parts & CGROUP_PIDS) {
        u->pids = (uint32_t)cgroup_read(t->base, name, "pids.current", NULL);
        u->pids_denied = (uint32_t)cgroup_read(t->base, name, "pids.events", "max");
    }
}

/* A frozen task does not die on v1: thaw first. */
static void v1_kill(const struct cgroup_tree *t, const char *name)
{
    if (t->parts & CGROUP_FREEZER)
        (void)v1_freeze(t, name, false);
    sweep_kill(t->base, name);
}

const struct cgroup_ops cgroup_v1 = {
    .version = "v1",
    .settle = v1_settle,
    .prepare = v1_prepare,
    .limit_memory = limit_memory,
    .limit_cpu = limit_cpu,
    .door = "tasks",
    .freeze = v1_freeze,
    .reclaim = v1_reclaim,
    .reset = v1_reset,
    .usage = v1_usage,
    .kill = v1_kill,
};
