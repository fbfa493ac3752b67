#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include "base/banned.h"

/* v1's names of our parts; v2 has no freezer and cpuacct controllers, every group can do both. */
static const struct {
    enum cgroup_part part;
    const char *name;
} part_names[] = {
    {CGROUP_MEMORY, "memory"},   {CGROUP_CPU, "cpu"},         {CGROUP_PIDS, "pids"},
    {CGROUP_FREEZER, "freezer"}, {CGROUP_CPUACCT, "cpuacct"},
};

/* --- small files ------------------------------------------------------------------------------------------- */
static int set_file(int base, const char *name, const char *file, int flags)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", name, file);
    return openat(base, path, flags | O_CLOEXEC);
}

int cgroup_write(int base, const char *name, const char *file, const char *value)
{
    hob_auto_close int fd = set_file(base, name, file, O_WRONLY);
    if (fd < 0)
        return -1;
    return write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

int cgroup_write_u64(const struct cgroup_tree *t, const char *name, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return cgroup_write(t->base, name, file, text);
}

uint64_t cgroup_read(int base, const char *name, const char *file, const char *key)
{
    hob_auto_close int fd = set_file(base, name, file, O_RDONLY);
    char text[2048];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (!key)
        return strtoull(text, NULL, 10);
    size_t key_n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_n) == 0 && line[key_n] == ' ')
            return strtoull(line + key_n, NULL, 10);
    }
    return 0;
}

/* A set's folder in a tree. */
struct name {
    char text[24];
};
static struct name set_name(const struct cgroup_set *set)
{
    struct name name;
    (void)snprintf(name.text, sizeof name.text, "i%" PRIu64, set->number);
    return name;
}

/* --- finding the hierarchies ------------------------------------------------------------------------------- */
static bool list_has(struct hob_str list, const char *name)
{
    while (list.at) {
        struct hob_str one = hob_str_cut(list, ',', &list);
        if (hob_str_is(one, name))
            return true;
    }
    return false;
}

static unsigned parts_of(struct hob_str list)
{
    unsigned parts = 0;
    for (size_t i = 0; i < HOB_COUNT(part_names); i++)
        if (list_has(list, part_names[i].name))
            parts |= part_names[i].part;
    return parts;
}

/* Our own group in a hierarchy, from /proc/self/cgroup ("4:memory:/a/b"; v2 is "0::/a/b"); "/" if unknown. */
static void own_path(struct hob_str controllers, bool is_v2, char out[256])
{
    (void)snprintf(out, 256, "/");
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[512];
    while (f && fgets(line, sizeof line, f)) {
        struct hob_str rest, list, path = {0};
        (void)hob_str_cut(hob_str_n(line, strcspn(line, "\n")), ':', &rest);
        list = hob_str_cut(rest, ':', &path);
        bool is_it =
            is_v2 ? list.n == 0
                  : hob_str_eq(list, controllers) || (list.n && (parts_of(list) & parts_of(controllers)));
        if (path.at && is_it && !strstr(line, "/..")) {
            size_t leaf_n =
                strlen("/" CGROUP_V2_LEAF); /* an earlier launcher moved us there: see cgroup_v2.c */
            if (is_v2 && path.n >= leaf_n &&
                memcmp(path.at + path.n - leaf_n, "/" CGROUP_V2_LEAF, leaf_n) == 0)
                path.n -= leaf_n;
            (void)snprintf(out, 256, "%.*s", HOB_STR_ARG(path));
            break;
        }
    }
    if (f)
        (void)fclose(f);
}

/* Opens our own group of the hierarchy mounted at `mount`, of which the mount shows the part below `root`. */
static int own_open(const char *mount, const char *root, const char *own)
{
    size_t root_n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(own, root, root_n) == 0 ? own + root_n : "";
    char path[640];
    (void)snprintf(path, sizeof path, "%s%s", mount, below);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void tree_add(struct cgroups *cg, unsigned parts, const char *mount, int own, bool is_v2)
{
    const struct cgroup_ops *ops = is_v2 ? &cgroup_v2 : &cgroup_v1;
    if (own >= 0)
        own = ops->settle(own);
    if (cg->n == CGROUP_TREES_MAX || own < 0 || (mkdirat(own, cg->base_name, 0755) < 0 && errno != EEXIST)) {
        if (own >= 0)
            (void)close(own);
        return;
    }
    struct cgroup_tree *t = &cg->trees[cg->n];
    *t = (struct cgroup_tree){.ops = ops, .parts = parts, .own = own, .oom_eventfd = -1};
    (void)snprintf(t->mount, sizeof t->mount, "%s", mount);
    t->base = openat(own, cg->base_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->base < 0 || t->ops->prepare(t) < 0 || t->parts == 0) {
        (void)unlinkat(own, cg->base_name, AT_REMOVEDIR);
        if (t->base >= 0)
            (void)close(t->base);
        (void)close(own);
        return;
    }
    cg->parts |= t->parts;
    cg->n++;
}

/* mountinfo(5): id parent dev root mountpoint options [optional...] - type source superoptions */
static void mounts_scan(struct cgroups *cg, bool want_v2)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[1024], root[256], mount[256], type[32], super[256], own[256];
    while (f && fgets(line, sizeof line, f)) {
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %255s %255s", root, mount) != 2 ||
            sscanf(tail, " - %31s %*s %255s", type, super) != 2)
            continue;
        bool is_v2 = strcmp(type, "cgroup2") == 0;
        if (is_v2 != want_v2 || (!is_v2 && strcmp(type, "cgroup") != 0))
            continue;
        unsigned parts = (is_v2 ? CGROUP_PARTS_ALL : parts_of(hob_str(super))) & ~cg->parts;
        if (!parts)
            continue;
        own_path(hob_str(super), is_v2, own);
        tree_add(cg, parts, mount, own_open(mount, root, own), is_v2);
    }
    if (f)
        (void)fclose(f);
}

enum hob_code cgroups_open(struct cgroups *cg, const char *name, const char *which, struct hob_err *err)
{
    *cg = (struct cgroups){.next = 1};
    size_t n = strlen(name);
    if (n < 1 || n > CGROUP_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
        return hob_fail(err, HOB_E_INVALID, "cgroup name '%s': use a-z, 0-9, '-', 1 to %d characters", name,
                        CGROUP_NAME_MAX);
    bool is_auto = strcmp(which, "auto") == 0;
    if (!is_auto && strcmp(which, "v1") != 0 && strcmp(which, "v2") != 0 && strcmp(which, "none") != 0)
        return hob_fail(err, HOB_E_INVALID, "cgroups '%s': use auto, v1, v2 or none", which);
    (void)snprintf(cg->base_name, sizeof cg->base_name, "hob-%s", name);
    if (is_auto || strcmp(which, "v1") == 0)
        mounts_scan(cg, false);
    if ((is_auto && cg->parts != CGROUP_PARTS_ALL) || strcmp(which, "v2") == 0)
        mounts_scan(cg, true);
    return HOB_OK;
}

/* --- one set ----------------------------------------------------------------------------------------------- */
/* An OOM anywhere wakes the one eventfd of the tree; who it was is then read from the counters. */
static void oom_watch(const struct cgroup_tree *t, const char *name)
{
    hob_auto_close int control = set_file(t->base, name, "memory.oom_control", O_RDONLY);
    char text[32];
    (void)snprintf(text, sizeof text, "%d %d", t->oom_eventfd, control);
    (void)cgroup_write(t->base, name, "cgroup.event_control", text);
}

/* Writes what differs from `old`. */
static bool tree_limit(const struct cgroup_tree *t, const char *name, const struct cgroup_limits *now,
                       const struct cgroup_limits *old)
{
    bool has_memory = t->parts & CGROUP_MEMORY && old->memory_bytes != now->memory_bytes;
    bool has_cpu =
        t->parts & CGROUP_CPU && (old->cpu_percent != now->cpu_percent || old->cpu_weight != now->cpu_weight);
    bool has_pids = t->parts & CGROUP_PIDS && old->pids_max != now->pids_max;
    return (!has_memory || t->ops->limit_memory(t, name, now->memory_bytes, old->memory_bytes) == 0) &&
           (!has_cpu || t->ops->limit_cpu(t, name, now->cpu_percent, now->cpu_weight) == 0) &&
           (!has_pids || cgroup_write_u64(t, name, "pids.max", now->pids_max) == 0);
}

static bool tree_make(const struct cgroup_tree *t, const struct cgroup_set *set)
{
    static const struct cgroup_limits none = {.cpu_weight = 100}; /* the kernel's own: not to be written */
    struct name name = set_name(set);
    if (mkdirat(t->base, name.text, 0755) < 0 || !tree_limit(t, name.text, &set->limits, &none))
        return false;
    if (t->oom_eventfd >= 0)
        oom_watch(t, name.text);
    return true;
}

bool cgroup_open_doors(const struct cgroups *cg, struct cgroup_set *set)
{
    struct name name = set_name(set);
    for (size_t i = 0; i < cg->n; i++) {
        const struct cgroup_tree *t = &cg->trees[i];
        if (set->doors[i] < 0)
            set->doors[i] = set_file(t->base, name.text, t->ops->door,
                                     t->ops->door[0] ? O_WRONLY : O_RDONLY | O_DIRECTORY);
        if (set->doors[i] < 0)
            return false;
    }
    return true;
}

bool cgroup_make(struct cgroups *cg, const struct cgroup_limits *limits, struct cgroup_set *ret_set)
{
    struct cgroup_set set = {.number = cg->next++, .limits = *limits};
    bool is_made = true;
    for (size_t i = 0; i < CGROUP_TREES_MAX; i++)
        set.doors[i] = -1;
    for (size_t i = 0; i < cg->n && is_made; i++)
        is_made = tree_make(&cg->trees[i], &set);
    if (!is_made || !cgroup_open_doors(cg, &set)) {
        int errnum = errno;
        cgroup_close_doors(cg, &set);
        errno = cgroup_remove(cg, &set) ? errnum : EBUSY;
        return false;
    }
    *ret_set = set;
    return true;
}

bool cgroup_limit(struct cgroups *cg, struct cgroup_set *set, const struct cgroup_limits *limits)
{
    for (size_t i = 0; i < cg->n; i++) {
        struct name name = set_name(set);
        if (!tree_limit(&cg->trees[i], name.text, limits, &set->limits))
            return false;
    }
    set->limits = *limits;
    return true;
}

int cgroup_enter(const struct cgroups *cg, const struct cgroup_set *set)
{
    for (size_t i = 0; i < cg->n; i++)
        if (cg->trees[i].ops == &cgroup_v1 && write(set->doors[i], "0", 1) != 1)
            return -1;
    return 0;
}

int cgroup_open_entries(const struct cgroups *cg, const struct cgroup_set *set, int ret_fds[CGROUP_TREES_MAX])
{
    struct name name = set_name(set);
    for (size_t i = 0; i < cg->n; i++) {
        const struct cgroup_tree *t = &cg->trees[i];
        const char *file = t->ops->door[0] ? t->ops->door : "cgroup.procs";
        if ((ret_fds[i] = set_file(t->base, name.text, file, O_WRONLY)) >= 0)
            continue;
        while (i > 0)
            hob_close_p(&ret_fds[--i]);
        return -1;
    }
    return (int)cg->n;
}

bool cgroup_holds(const struct cgroups *cg, const struct cgroup_set *set, pid_t pid)
{
    struct name name = set_name(set);
    for (size_t i = 0; i < cg->n; i++)
        if (pid <= 0 || cgroup_read(cg->trees[i].base, name.text, "cgroup.procs", NULL) != (uint64_t)pid)
            return false;
    return cg->n > 0;
}

void cgroup_kill(const struct cgroups *cg, const struct cgroup_set *set)
{
    struct name name = set_name(set);
    if (cgroup_freeze(cg, set, false) < 0)
        hob_log(HOB_LOG_DEBUG, "cgroup.thaw", "%s",
                hob_errno_text(errno)); /* no freezer: nothing stands still */
    for (size_t i = 0; i < cg->n; i++)
        cg->trees[i].ops->kill(&cg->trees[i], name.text);
}

int cgroup_clone_into(const struct cgroups *cg, const struct cgroup_set *set)
{
    for (size_t i = 0; i < cg->n; i++)
        if (cg->trees[i].ops == &cgroup_v2)
            return set->doors[i];
    return -1;
}

void cgroup_close_doors(const struct cgroups *cg, struct cgroup_set *set)
{
    for (size_t i = 0; i < cg->n; i++)
        hob_close_p(&set->doors[i]);
    for (size_t i = 0; i < CGROUP_TREES_MAX; i++)
        set->doors[i] = -1;
}

int cgroup_freeze(const struct cgroups *cg, const struct cgroup_set *set, bool is_frozen)
{
    for (size_t i = 0; i < cg->n; i++) {
        const struct cgroup_tree *t = &cg->trees[i];
        struct name name = set_name(set);
        if (t->parts & CGROUP_FREEZER)
            return t->ops->freeze(t, name.text, is_frozen);
    }
    errno = ENOSYS;
    return -1;
}

void cgroup_reclaim(const struct cgroups *cg, const struct cgroup_set *set)
{
    for (size_t i = 0; i < cg->n; i++) {
        const struct cgroup_tree *t = &cg->trees[i];
        struct name name = set_name(set);
        if (t->parts & CGROUP_MEMORY)
            t->ops->reclaim(t, name.text, set->limits.memory_bytes);
    }
}

void cgroup_usage(const struct cgroups *cg, const struct cgroup_set *set, struct hob_launch_usage *ret_usage)
{
    *ret_usage = (struct hob_launch_usage){0};
    for (size_t i = 0; i < cg->n; i++) {
        struct name name = set_name(set);
        cg->trees[i].ops->usage(&cg->trees[i], name.text, ret_usage);
    }
    ret_usage->cpu_us -= ret_usage->cpu_us < set->cpu_us ? ret_usage->cpu_us : set->cpu_us;
}

bool cgroup_reset(const struct cgroups *cg, struct cgroup_set *set, const struct hob_launch_usage *last)
{
    struct name name = set_name(set);
    if (last->pids || last->pids_denied || last->oom_kills || last->memory_bytes > CGROUP_LEFT_BYTES_MAX)
        return false;
    for (size_t i = 0; i < cg->n; i++)
        if (!cg->trees[i].ops->reset || cg->trees[i].ops->reset(&cg->trees[i], name.text) < 0)
            return false;
    set->cpu_us += cg->parts & CGROUP_CPUACCT ? last->cpu_us : 0;
    return true;
}

bool cgroup_remove(struct cgroups *cg, const struct cgroup_set *set)
{
    bool is_gone = true;
    struct name name = set_name(set);
    for (size_t i = 0; i < cg->n; i++) {
        const struct cgroup_tree *t = &cg->trees[i];
        if (unlinkat(t->base, name.text, AT_REMOVEDIR) == 0)
            cg->oom_noise += t->oom_eventfd >= 0;
        else if (errno != ENOENT)
            is_gone = false;
    }
    return is_gone;
}

bool cgroup_oom_take(struct cgroups *cg)
{
    uint64_t n = 0;
    if (read(cgroup_oom_fd(cg), &n, sizeof n) != (ssize_t)sizeof n)
        return false;
    uint64_t noise = n < cg->oom_noise ? n : cg->oom_noise;
    cg->oom_noise -= noise;
    return n > noise;
}

bool cgroup_oom_was(const struct cgroups *cg, const struct cgroup_set *set)
{
    struct name name = set_name(set);
    for (size_t i = 0; i < cg->n; i++)
        if (cg->trees[i].oom_eventfd >= 0)
            return cgroup_read(cg->trees[i].base, name.text, "memory.oom_control", "oom_kill") > 0;
    return false;
}

int cgroup_oom_fd(const struct cgroups *cg)
{
    for (size_t i = 0; i < cg->n; i++)
        if (cg->trees[i].oom_eventfd >= 0)
            return cg->trees[i].oom_eventfd;
    return -1;
}
