/* Instances that are forks: processes of one sandbox, that of their version's zygote, with groups, limits, a life and an
 * end of their own.
 *
 * A zygote is a program that never runs a tenant's code: it waits at a control socket (its stdin), forks when it is told,
 * and says how its children ended. The launcher hands it the new instance's descriptors and an open door to each of its
 * groups; the child enters by itself (moving another process waits milliseconds, sandbox/cgroup.h), says so, closes the
 * socket, and only then becomes the function. Who has entered is not believed but looked up: the kernel names the sender,
 * and the groups must hold that process first. A door can only be used for processes that its user sees, so nothing
 * outside the sandbox can be moved by it; what a fork has used of groups is never used again.
 *
 *   messages   to the zygote   FORK serial, descriptors: channel, stdout, stderr, doors
 *              from a child    ENTERED serial, with its credentials by the kernel
 *              from the zygote ENDED serial and waitpid's status
 *
 * Owned by the worker's loop; single-threaded. */
#pragma once

#include "sandbox/conn.h"
#include "sandbox/launcher.h"
#include "sandbox/walls.h"

enum forks_message_type { FORKS_FORK = 1, FORKS_ENTERED = 2, FORKS_ENDED = 3 };
struct forks_message {
    uint32_t type;
    int32_t status;
    uint64_t serial;
};

struct fork;
struct zygote;
struct forks {
    struct launcher *l;
    int epoll;
    struct hob_list due;     /* those for which something is to be done at some time */
    struct hob_list *frozen; /* the loop's, borrowed */
    struct fork *by_key, *by_serial;
    uint64_t serial;
    size_t n;
    void (*kill)(void *ctx, void *owner); /* a zygote does not do its work: its sandbox must end */
    void *ctx;
};

/* `outer` becomes readable with `f` as its data when forks_take has something to do. */
void forks_open(struct forks *f, struct launcher *l, int outer, struct hob_list *frozen,
                void (*kill)(void *ctx, void *owner), void *ctx);
/* The control socket of a zygote to be: ours, or -1 with errno; theirs is its stdin. */
HOB_MUST_USE int forks_control(int *ret_theirs);
/* Takes `control`. Returns owned; NULL when there is no room. */
HOB_MUST_USE struct zygote *zygote_new(struct forks *f, int control, const struct walls *walls, void *owner);
/* It is being killed, and they with it: a frozen fork would keep its pid namespace from ending. */
void zygote_kill_forks(struct zygote *z);
/* Which of its forks a process belongs to, by its id; `id` for the zygote itself, for none, or when z is NULL. */
uint64_t zygote_caller(const struct zygote *z, pid_t pid, uint64_t id);
/* Its sandbox's last process is gone: its forks' ends are told. */
void zygote_free(struct zygote *z);
/* FORK, judged; borrows fds. The answer comes when the child is in its groups, or never will be. */
void forks_start(struct forks *f, struct conn *c, const struct hob_launch_request *head, struct zygote *z,
                 const int fds[3]);
bool forks_has(const struct forks *f, const struct conn *c, uint64_t id);
/* Any other request about a fork. False: there is none of that id. */
bool forks_ask(struct forks *f, struct conn *c, const struct hob_launch_request *head);
void forks_forget(struct forks *f,
                  const struct conn *c); /* the connection closes: its zygotes are killed, too */
void forks_take(struct forks *f);
/* Ends those whose memory ran out (v1 ends one process of a group). */
void forks_oom_scan(struct forks *f);
/* Kills what has had its grace, buries what is gone. Returns when it must be called again, in ms from now; -1: never. */
int64_t forks_deadlines(struct forks *f);
