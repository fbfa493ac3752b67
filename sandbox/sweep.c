#include "sandbox/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sandbox/cgroup.h"

#include "base/banned.h"

void sweep_kill(int base, const char *name)
{
    char path[96], line[32];
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", name);
    int fd = openat(base, path, O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        long pid = strtol(line, NULL, 10);
        if (pid > 1 && pid != getpid()) /* 0: in a pid namespace that we do not see */
            (void)kill((pid_t)pid, SIGKILL);
    }
    (void)fclose(f);
}

/* One pass over the sets of one tree. Returns how many are left. */
static unsigned sweep_tree(const struct cgroup_tree *t)
{
    unsigned left = 0;
    int fd = openat(t->base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        t->ops->kill(t, e->d_name);
        if (unlinkat(t->base, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            left++;
    }
    if (dir)
        (void)closedir(dir);
    return left;
}

unsigned cgroups_sweep(struct cgroups *cg, unsigned wait_ms)
{
    uint64_t end_ms = hob_now_ms() + wait_ms;
    for (;;) {
        unsigned left = 0;
        /* the freezer's tree thaws: so every tree is gone through before any is looked at again */
        for (size_t i = 0; i < cg->n; i++)
            left += sweep_tree(&cg->trees[i]);
        if (left == 0 || hob_now_ms() >= end_ms)
            return left;
        (void)nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
}

void cgroups_remove_base(struct cgroups *cg)
{
    for (size_t i = 0; i < cg->n; i++)
        (void)unlinkat(cg->trees[i].own, cg->base_name, AT_REMOVEDIR);
}

bool cgroups_are_there(const struct cgroups *cg)
{
    for (size_t i = 0; i < cg->n; i++) {
        struct stat open_one, named;
        if (fstat(cg->trees[i].base, &open_one) < 0 ||
            fstatat(cg->trees[i].own, cg->base_name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
            open_one.st_ino != named.st_ino)
            return false;
    }
    return true;
}

void cgroups_close(struct cgroups *cg)
{
    for (size_t i = 0; i < cg->n; i++) {
        hob_close_p(&cg->trees[i].oom_eventfd);
        hob_close_p(&cg->trees[i].base);
        hob_close_p(&cg->trees[i].own);
    }
    cg->n = 0;
    cg->parts = 0;
}
