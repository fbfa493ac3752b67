#include "sandbox/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sandbox/launcher.h"

#include "base/banned.h"

enum {
    TREE_MAX = 512, /* processes of one sandbox that are told; a pids limit above it is not usual */
    TEXT_BYTES = 4096,
    PASSES = 2, /* the second finds what was being forked during the first */
    SWAP_FRESH_MS = 10000,
    RECLAIM_MS = 10000, /* frozen for so long, its memory goes to swap */
};

/* --- without a freezer ----------------------------------------------------------------------------------------- */
/* By numbers as the host's /proc has them: rootless, ours are others. */
struct tree {
    int proc;
    pid_t pids[TREE_MAX];
    size_t n;
};

static size_t read_text(int dir, const char *path, char text[TEXT_BYTES])
{
    hob_auto_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* The number of our child `pid` in the host's /proc; 0: it is gone. */
static pid_t number_of(int proc, pid_t pid)
{
    char path[64], text[TEXT_BYTES];
    hob_auto_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    (void)snprintf(path, sizeof path, "self/fdinfo/%d", fd);
    if (fd < 0 || !read_text(proc, path, text))
        return 0;
    const char *line = strstr(text, "\nPid:");
    long number = line ? strtol(line + 5, NULL, 10) : 0;
    return number > 0 ? (pid_t)number : 0;
}

static void add_children(struct tree *t, pid_t pid)
{
    char path[64], text[TEXT_BYTES];
    /* of its first thread: the children of others are found as those of pid 1 or, with luck, not at all */
    (void)snprintf(path, sizeof path, "%d/task/%d/children", (int)pid, (int)pid);
    if (!read_text(t->proc, path, text))
        return;
    for (char *at = text, *end; t->n < TREE_MAX; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at)
            return;
        t->pids[t->n++] = (pid_t)child;
    }
}

static int signal_number(int proc, pid_t number, int signal)
{
    char path[16];
    (void)snprintf(path, sizeof path, "%d", (int)number);
    hob_auto_close int dir = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : (int)syscall(SYS_pidfd_send_signal, dir, signal, NULL, 0);
}

static int signal_tree(const struct launcher *l, pid_t pid, int signal)
{
    struct tree t = {.proc = l->proc, .pids = {number_of(l->proc, pid)}, .n = 1};
    if (t.pids[0] == 0) {
        errno = ESRCH;
        return -1;
    }
    for (size_t i = 0; i < t.n; i++) { /* a parent that stands makes no more children */
        if (signal_number(t.proc, t.pids[i], signal) < 0 && i == 0)
            return -1;
        add_children(&t, t.pids[i]);
    }
    return 0;
}

/* --- door -------------------------------------------------------------------------------------------------------- */
int frozen_set(const struct launcher *l, const struct cgroup_set *set, pid_t pid, bool is_frozen)
{
    if (l->cgroups.parts & CGROUP_FREEZER)
        return cgroup_freeze(&l->cgroups, set, is_frozen);
    for (int i = 0; i < (is_frozen ? PASSES : 1); i++)
        if (signal_tree(l, pid, is_frozen ? SIGSTOP : SIGCONT) < 0)
            return -1;
    return 0;
}

bool frozen_can_reclaim(const struct launcher *l)
{
    static uint64_t looked_ms;
    static bool has_swap;
    char text[TEXT_BYTES];
    if (!(l->cgroups.parts & CGROUP_MEMORY))
        return false;
    if (looked_ms == 0 || hob_now_ms() - looked_ms >= SWAP_FRESH_MS) {
        looked_ms = hob_now_ms();
        size_t n = read_text(l->proc, "swaps", text);
        const char *second = n ? strchr(text, '\n') : NULL; /* the first line is the heading */
        has_swap = second && second[1] != '\0';
    }
    return has_swap;
}

void frozen_note(struct hob_list *all, struct frozen *f, const struct cgroup_set *set, bool is_frozen)
{
    hob_list_remove(&f->in_all);
    f->is_frozen = is_frozen;
    f->set = set;
    f->since_ms = hob_now_ms();
    if (is_frozen)
        hob_list_push_back(all, &f->in_all);
}

int64_t frozen_reclaim(const struct launcher *l, struct hob_list *all, bool is_quiet)
{
    struct hob_node *first = hob_list_first(all);
    if (!first || !frozen_can_reclaim(l))
        return first ? RECLAIM_MS : -1; /* there may be swap one day */
    struct frozen *f = HOB_CONTAINER_OF(first, struct frozen, in_all);
    uint64_t past_ms = hob_now_ms() - f->since_ms;
    if (past_ms < RECLAIM_MS)
        return (int64_t)(RECLAIM_MS - past_ms);
    if (is_quiet) {
        hob_list_remove(first);
        cgroup_reclaim(&l->cgroups, f->set);
        f->is_swapped = true;
    }
    return 1;
}
