/* What this machine gives: read by `hob doctor`. "fail": a promise of the sandbox does not hold here. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/landlock.h"
#include "sandbox/launcher.h"
#include "sandbox/seccomp.h"

#include "base/banned.h"

struct text {
    char *at;
    size_t n, max;
};

HOB_PRINTF(2, 3) static void line(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->at + t->n, t->max - t->n, fmt, args);
    va_end(args);
    t->n = n < 0 || t->n + (size_t)n >= t->max ? t->max - 1 : t->n + (size_t)n;
}

static void report_cgroups(const struct cgroups *cg, struct text *t)
{
    static const struct {
        enum cgroup_part part;
        const char *name, *without;
    } parts[] = {
        {CGROUP_MEMORY, "memory", "fail memory: no group limits it; see docs/sandbox.md, cgroups\n"},
        {CGROUP_PIDS, "pids", "fail pids: no group limits processes, only a limit by uid\n"},
        {CGROUP_CPU, "cpu", "fail cpu: no group shares it out\n"},
        {CGROUP_FREEZER, "freezer", "warn freezer: idle instances cannot be frozen\n"},
        {CGROUP_CPUACCT, "cpuacct", "warn cpuacct: cpu time only at an instance's end\n"},
    };
    for (size_t i = 0; i < cg->n; i++) {
        line(t, i ? "; %s" : "ok cgroup: %s", cg->trees[i].ops->version);
        for (size_t p = 0; p < HOB_COUNT(parts); p++)
            if (cg->trees[i].parts & parts[p].part)
                line(t, " %s", parts[p].name);
    }
    line(t, cg->n ? "\n" : "fail cgroup: none is ours to use\n");
    for (size_t p = 0; p < HOB_COUNT(parts); p++)
        if (!(cg->parts & parts[p].part))
            line(t, "%s", parts[p].without);
}

void probe_report(const struct launcher *l, char *text, size_t text_bytes)
{
    struct text t = {.at = text, .max = text_bytes};
    int abi = landlock_abi();
    report_cgroups(&l->cgroups, &t);
    line(&t,
         l->is_rootless ? "warn rootless: runs as uid %u in a user namespace\n" : "ok root: runs as uid %u\n",
         geteuid());
    if (l->has_uid_range)
        line(&t, "ok uids: one of its own for each, from %d\n", LAUNCHER_UID_BASE);
    else
        line(&t, "warn uids: all share one; install uidmap, list us in /etc/subuid\n");
    line(&t,
         abi >= 6 ? "ok landlock: ABI %d\n"
         : abi    ? "warn landlock: ABI %d, 6 does all\n"
                  : "warn landlock: ABI %d, none\n",
         abi);
    line(&t, "ok seccomp: %u instructions\n", seccomp_program(&(struct seccomp_kind){0}).len);
    line(&t, "ok netns: empty, %zu ahead\n", l->shelf.netns_n);
}
