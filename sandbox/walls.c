#include "sandbox/walls.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/frozen.h"
#include "sandbox/landlock.h"
#include "sandbox/launcher.h"
#include "sandbox/rlimits.h"
#include "sandbox/seccomp.h"

#include "base/banned.h"

struct text {
    char *at;
    size_t n, max;
};

HOB_PRINTF(2, 3) static void add(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->at + t->n, t->max - t->n, fmt, args);
    va_end(args);
    t->n = n < 0 || t->n + (size_t)n >= t->max ? t->max - 1 : t->n + (size_t)n;
}

static const char *version_of(const struct launcher *l, enum cgroup_part part)
{
    for (size_t i = 0; i < l->cgroups.n; i++)
        if (l->cgroups.trees[i].parts & part)
            return l->cgroups.trees[i].ops->version;
    return NULL;
}

uint32_t walls_nproc(const struct launcher *l, uint32_t pids_max)
{
    if (l->cgroups.parts & CGROUP_PIDS)
        return 0;
    return l->has_uid_range ? pids_max : RLIMITS_NPROC_SHARED;
}

static void add_groups(const struct launcher *l, const struct cgroup_limits *limits, struct text *t)
{
    const char *memory = version_of(l, CGROUP_MEMORY), *pids = version_of(l, CGROUP_PIDS),
               *cpu = version_of(l, CGROUP_CPU);
    if (memory)
        add(t, "memory: %llu bytes, swap included, cgroup %s\n", (unsigned long long)limits->memory_bytes,
            memory);
    else
        add(t, "memory: no limit\n");
    if (pids)
        add(t, "processes: %u, threads included, cgroup %s\n", limits->pids_max, pids);
    else
        add(t, "processes: %u, threads included, %s\n", walls_nproc(l, limits->pids_max),
            l->has_uid_range ? "by its uid" : "all instances together");
    if (cpu && limits->cpu_percent)
        add(t, "cpu: %u %% of a core, weight %u, cgroup %s\n", limits->cpu_percent, limits->cpu_weight, cpu);
    else if (cpu)
        add(t, "cpu: no ceiling, weight %u, cgroup %s\n", limits->cpu_weight, cpu);
    else
        add(t, "cpu: no limit, nice %d\n", WALLS_NICE);
}

static void add_filter(const struct walls *w, struct text *t)
{
    static unsigned long long hashes[2][2]; /* of those without a profile: they never change */
    struct sock_fprog program = seccomp_program(&w->filter);
    unsigned long long own = 0, *hash = w->filter.has_profile
                                            ? &own
                                            : &hashes[w->filter.is_learning][w->filter.is_egress];
    if (*hash == 0)
        *hash = seccomp_hash(&program);
    add(t, "seccomp: filter %016llx, %u instructions, ", *hash, program.len);
    if (w->filter.has_profile)
        add(t, "profile of %zu calls, ", hob_syscalls_size(&w->filter.calls));
    add(t, "%s are %s\n", w->filter.is_learning ? "learning: all calls" : "denied calls",
        w->has_listener ? "told" : "not told");
}

void walls_text(const struct launcher *l, const struct walls *w, const struct cgroup_limits *limits,
                char *text, size_t text_bytes)
{
    struct text t = {.at = text, .max = text_bytes};
    add(&t, "namespaces: mnt pid ipc uts cgroup net%s\n", l->is_rootless ? " user" : "");
    add(&t, "ids: uid %u gid %u, %s\n", w->uid, w->uid,
        !l->has_uid_range ? "shared by all instances"
        : w->is_fork      ? "its version's, no groups"
                          : "its own, no groups");
    add(&t, "capabilities: none, none to be gained, no_new_privs\n");
    add_filter(w, &t);
    add(&t, "landlock: ABI %d:%s%s%s\n", w->landlock_abi, w->landlock_abi >= 1 ? " files" : " none",
        w->landlock_abi >= 4 ? ", no tcp" : "",
        w->landlock_abi >= 6 ? ", no outside sockets or signals" : "");
    add_groups(l, limits, &t);
    add(&t, "mounts: / ro%s, /tmp %llu bytes %u inodes nosuid nodev, /proc subset=pid hidepid=2\n",
        w->has_code ? ", /app ro nosuid nodev" : "", (unsigned long long)w->tmp_bytes, w->tmp_inodes);
    add(&t, "rlimits: nofile %u, fsize %llu, core %d, memlock %d, msgqueue 0, sigpending %d, stack %d\n",
        w->nofile, (unsigned long long)w->fsize_bytes, RLIMITS_CORE, RLIMITS_MEMLOCK, RLIMITS_SIGPENDING,
        RLIMITS_STACK);
    add(&t, w->filter.is_egress
                ? "network: none; connect() is made by the runner, as far as egress lists it\n"
                : "network: none\n");
    if (w->is_fork)
        add(&t,
            "shared: uid, /tmp and namespaces with its version's instances; not memory, groups, limits\n");
}

/* --- what the machine gives: read by `hob doctor`; "fail": a promise of the sandbox does not hold here ------------- */
static void report_cgroups(const struct cgroups *cg, struct text *t)
{
    static const struct {
        enum cgroup_part part;
        const char *name, *without;
    } parts[] = {
        {CGROUP_MEMORY, "memory", "fail memory: no group limits it; see docs/sandbox.md, cgroups\n"},
        {CGROUP_PIDS, "pids", "fail pids: no group limits processes, only a limit by uid\n"},
        {CGROUP_CPU, "cpu", "fail cpu: no group shares it out\n"},
        {CGROUP_FREEZER, "freezer", "warn frozen: no freezer group; idle instances are stopped by signals\n"},
        {CGROUP_CPUACCT, "cpuacct", "warn cpuacct: cpu time only at an instance's end\n"},
    };
    for (size_t i = 0; i < cg->n; i++) {
        add(t, i ? "; %s" : "ok cgroup: %s", cg->trees[i].ops->version);
        for (size_t p = 0; p < HOB_COUNT(parts); p++)
            if (cg->trees[i].parts & parts[p].part)
                add(t, " %s", parts[p].name);
    }
    add(t, cg->n ? "\n" : "fail cgroup: none is ours to use\n");
    for (size_t p = 0; p < HOB_COUNT(parts); p++)
        if (!(cg->parts & parts[p].part))
            add(t, "%s", parts[p].without);
}

void probe_report(const struct launcher *l, char *text, size_t text_bytes)
{
    struct text t = {.at = text, .max = text_bytes};
    int abi = landlock_abi();
    report_cgroups(&l->cgroups, &t);
    add(&t,
        l->is_rootless ? "warn rootless: runs as uid %u in a user namespace\n" : "ok root: runs as uid %u\n",
        geteuid());
    if (l->has_uid_range)
        add(&t, "ok uids: one of its own for each, from %d\n", LAUNCHER_UID_BASE);
    else
        add(&t, "warn uids: all share one; install uidmap, list us in /etc/subuid\n");
    add(&t,
        abi >= 6 ? "ok landlock: ABI %d\n"
        : abi    ? "warn landlock: ABI %d, 6 does all\n"
                 : "warn landlock: ABI %d, none\n",
        abi);
    add(&t, "ok seccomp: %u instructions\n", seccomp_program(&(struct seccomp_kind){0}).len);
    add(&t, frozen_can_reclaim(l) ? "ok reclaim: frozen instances go to swap\n"
                                  : "warn reclaim: no swap, frozen instances keep their memory\n");
    add(&t, "ok netns: empty, %zu ahead\n", l->shelf.netns_n);
}
