/* Flow of a fork: ASKED -> LIVE -> OVER (its first process is gone; what it left in its groups is killed) -> told, freed.
 *                       `-> LATE (told as failed; kept, and killed should it enter after all) -> freed
 * The end of its zygote ends it from anywhere. A zygote with one that is LATE makes no more, and is killed when it has no
 * others: those are not to pay for it. */
#include "sandbox/fork/forks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "sandbox/frozen.h"

#include "base/banned.h"

enum {
    STREAMS = 3,
    ENTER_MS = 9000, /* a zygote that was just started has to load first; the runner waits twice as long */
    KILL_AGAIN_MS = 500,
    KILLS_MAX = 16, /* whose end is not told after so many belongs to a zygote that does not do its work */
    TICK_MS = 10,
    FORKS_EVENTS_MAX = 16,
};

enum fork_state { FORK_ASKED, FORK_LIVE, FORK_OVER, FORK_LATE };

struct fork_key {
    uint64_t conn, id;
};
struct fork {
    struct fork_key key;
    uint64_t serial;
    struct conn *conn; /* NULL when it has closed, or nothing is left to be told */
    struct zygote *zygote;
    struct hob_node in_zygote, in_due;
    enum fork_state state;
    struct cgroup_set set;
    struct frozen frozen;
    pid_t pid;
    int pidfd; /* of its first process, owned, or -1 */
    int status;
    uint64_t due_ms;
    unsigned kills;
    UT_hash_handle by_key, by_serial;
};
struct zygote {
    struct forks *all;
    struct hob_list forks;
    int control;
    struct walls walls;
    bool is_late;
    void *owner;
};

/* --- one fork ----------------------------------------------------------------------------------------------------- */
static void fork_due(struct fork *k, uint64_t due_ms)
{
    k->due_ms = due_ms;
    if (!hob_node_is_linked(&k->in_due))
        hob_list_push_back(&k->zygote->all->due, &k->in_due);
}

static struct fork *fork_new(struct zygote *z, struct conn *c, uint64_t id, const struct cgroup_set *set)
{
    struct forks *f = z->all;
    struct fork *k = hob_new(struct fork);
    *k = (struct fork){
        .key = {c->serial, id}, .serial = ++f->serial, .conn = c, .zygote = z, .set = *set, .pidfd = -1};
    HASH_ADD(by_key, f->by_key, key, sizeof k->key, k);
    HASH_ADD(by_serial, f->by_serial, serial, sizeof k->serial, k);
    hob_list_push_back(&z->forks, &k->in_zygote);
    f->n++;
    fork_due(k, hob_now_ms() + ENTER_MS);
    return k;
}

/* Its groups are not given to others: a door to them was in the sandbox. */
static void fork_free(struct fork *k)
{
    struct forks *f = k->zygote->all;
    HASH_DELETE(by_key, f->by_key, k);
    HASH_DELETE(by_serial, f->by_serial, k);
    hob_list_remove(&k->in_zygote);
    hob_list_remove(&k->in_due);
    hob_list_remove(&k->frozen.in_all);
    f->n--;
    shelf_drop(&f->l->shelf, &f->l->cgroups, &k->set);
    hob_close_p(&k->pidfd);
    free(k);
}

static void fork_fail(struct fork *k, int errnum, const char *why)
{
    struct hob_err err = {0};
    (void)hob_fail_errno(&err, errnum, "%s", why);
    if (k->conn)
        conn_fail(k->conn, k->key.id, &err);
    cgroup_kill(&k->zygote->all->l->cgroups, &k->set);
    fork_free(k);
}

/* A program that was killed is told as pid 1 would tell it. */
static int status_of(int status)
{
    return WIFSIGNALED(status) ? (128 + WTERMSIG(status)) << 8 : status;
}

static void fork_tell_end(struct fork *k, int status)
{
    struct forks *f = k->zygote->all;
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_EXITED, .id = k->key.id, .wait_status = status};
    cgroup_usage(&f->l->cgroups, &k->set, &reply.usage);
    if (k->conn)
        conn_answer(k->conn, &reply);
    fork_free(k);
}

static void fork_thaw(struct fork *k)
{
    struct forks *f = k->zygote->all;
    if (frozen_set(f->l, &k->set, k->pid, false) == 0)
        frozen_note(f->frozen, &k->frozen, &k->set, false);
}

static void fork_kill(struct fork *k)
{
    struct forks *f = k->zygote->all;
    if (k->frozen.is_frozen)
        fork_thaw(k);
    cgroup_kill(&f->l->cgroups, &k->set);
    fork_due(k, hob_now_ms() + KILL_AGAIN_MS);
    if (++k->kills == KILLS_MAX)
        f->kill(f->ctx, k->zygote->owner);
}

/* Behind its first process everything else of it goes, too. */
static void fork_bury(struct fork *k)
{
    struct hob_launch_usage usage;
    struct forks *f = k->zygote->all;
    cgroup_usage(&f->l->cgroups, &k->set, &usage);
    if (usage.pids == 0) {
        fork_tell_end(k, k->status);
        return;
    }
    cgroup_kill(&f->l->cgroups, &k->set);
    fork_due(k, hob_now_ms() + TICK_MS);
}

static bool fork_is_dead(const struct fork *k)
{
    struct pollfd end = {.fd = k->pidfd, .events = POLLIN};
    return k->pidfd >= 0 && poll(&end, 1, 0) == 1;
}

/* 0: it is in its groups. ESRCH: it has died since it spoke (its memory ran out, others of its sandbox killed it), which
 * is no lie. EPERM: it lives elsewhere. */
static int fork_judge(const struct fork *k)
{
    bool is_in = k->pidfd >= 0 && cgroup_holds(&k->zygote->all->l->cgroups, &k->set, k->pid);
    return is_in ? 0 : fork_is_dead(k) ? ESRCH : EPERM;
}

static void fork_entered(struct fork *k, pid_t pid)
{
    struct forks *f = k->zygote->all;
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_LAUNCHED, .id = k->key.id};
    k->pid = pid;
    k->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    int errnum = pid > 0 && k->pidfd < 0 ? errno : fork_judge(k);
    if (k->state == FORK_LATE) {
        cgroup_kill(&f->l->cgroups, &k->set);
        if (errnum == EPERM)
            f->kill(f->ctx, k->zygote->owner);
        return;
    }
    if (errnum) {
        void *owner = k->zygote->owner;
        fork_fail(k, errnum,
                  errnum == EPERM ? "a fork that is not in its groups" : "a fork that was lost at once");
        if (errnum == EPERM)
            f->kill(f->ctx, owner);
        return;
    }
    k->state = FORK_LIVE;
    hob_list_remove(&k->in_due);
    if (!k->conn) {
        fork_kill(k);
        return;
    }
    walls_text(f->l, &k->zygote->walls, &k->set.limits, reply.text, sizeof reply.text);
    int fds[1] = {fcntl(k->pidfd, F_DUPFD_CLOEXEC, 10)};
    conn_answer_fds(k->conn, &reply, fds, fds[0] >= 0 ? 1 : 0);
}

static void fork_ended(struct fork *k, int status)
{
    if (k->state == FORK_ASKED) {
        fork_fail(k, ECHILD, "it ended before it was in its groups");
        return;
    }
    if (k->state == FORK_OVER)
        return;
    k->state = FORK_OVER;
    k->status = status_of(status);
    if (k->frozen.is_frozen)
        fork_thaw(k);
    fork_bury(k);
}

static void fork_stop(struct fork *k, uint32_t grace_ms)
{
    uint64_t kill_at_ms = hob_now_ms() + grace_ms;
    if (k->state != FORK_LIVE || k->kills)
        return;
    if (grace_ms == 0) {
        fork_kill(k);
        return;
    }
    if (k->frozen.is_frozen)
        fork_thaw(k);
    (void)syscall(SYS_pidfd_send_signal, k->pidfd, SIGTERM, NULL, 0);
    /* a second STOP may only shorten the grace */
    if (!hob_node_is_linked(&k->in_due) || kill_at_ms < k->due_ms)
        fork_due(k, kill_at_ms);
}

/* 0, or an errno */
static int fork_freeze(struct fork *k, bool is_freeze)
{
    struct forks *f = k->zygote->all;
    if (k->state != FORK_LIVE || (is_freeze && k->kills))
        return ESRCH;
    if (frozen_set(f->l, &k->set, k->pid, is_freeze) < 0)
        return errno;
    frozen_note(f->frozen, &k->frozen, &k->set, is_freeze);
    return 0;
}

/* --- the zygote ---------------------------------------------------------------------------------------------------- */
/* Sends FORK with what the child is to become and its doors. 0, or an errno. */
static int zygote_tell(const struct zygote *z, const struct fork *k, const int streams[STREAMS])
{
    int fds[STREAMS + CGROUP_TREES_MAX];
    memcpy(fds, streams, STREAMS * sizeof fds[0]);
    int doors_n = cgroup_open_entries(&z->all->l->cgroups, &k->set, fds + STREAMS);
    if (doors_n < 0)
        return errno;
    struct forks_message m = {.type = FORKS_FORK, .serial = k->serial};
    struct iovec part = {&m, sizeof m};
    size_t fds_n = STREAMS + (size_t)doors_n;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(fds_n * sizeof fds[0])};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds_n * sizeof fds[0]);
    memcpy(CMSG_DATA(head), fds, fds_n * sizeof fds[0]);
    ssize_t sent = sendmsg(z->control, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    int errnum = sent == (ssize_t)sizeof m ? 0 : errno;
    for (int i = 0; i < doors_n; i++)
        hob_close_p(&fds[STREAMS + i]);
    return errnum;
}

/* One message and, by the kernel's word, who sent it. False: there is none; *ret_is_over when there will be none. */
static bool zygote_hear(const struct zygote *z, struct forks_message *ret_m, pid_t *ret_pid,
                        bool *ret_is_over)
{
    struct iovec part = {ret_m, sizeof *ret_m};
    _Alignas(struct cmsghdr) char control[256];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(z->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_pid = 0;
    *ret_is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n < 0)
        return false;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET)
            continue;
        if (h->cmsg_type == SCM_CREDENTIALS && h->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(h), sizeof who);
            *ret_pid = who.pid;
        }
        if (h->cmsg_type == SCM_RIGHTS) { /* nobody asked for any */
            int fd;
            for (size_t at = 0; at + sizeof fd <= h->cmsg_len - CMSG_LEN(0); at += sizeof fd) {
                memcpy(&fd, CMSG_DATA(h) + at, sizeof fd);
                (void)close(fd);
            }
        }
    }
    if (n != (ssize_t)sizeof *ret_m || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        *ret_is_over = true;
    return !*ret_is_over;
}

static void zygote_mute(struct zygote *z)
{
    if (z->control >= 0)
        (void)epoll_ctl(z->all->epoll, EPOLL_CTL_DEL, z->control, NULL);
    hob_close_p(&z->control);
    z->control = -1;
}

static void zygote_take(struct zygote *z)
{
    struct forks_message m;
    struct forks *f = z->all;
    pid_t pid;
    bool is_over;
    struct fork *k = NULL;
    if (zygote_hear(z, &m, &pid, &is_over))
        HASH_FIND(by_serial, f->by_serial, &m.serial, sizeof m.serial, k);
    if (is_over || (k && k->zygote != z)) { /* gone, or not what it should be */
        zygote_mute(z);
        f->kill(f->ctx, z->owner);
        return;
    }
    bool may_enter = k && (k->state == FORK_ASKED || (k->state == FORK_LATE && k->pidfd < 0));
    if (may_enter && m.type == FORKS_ENTERED)
        fork_entered(k, pid);
    else if (k && m.type == FORKS_ENDED)
        fork_ended(k, m.status);
}

/* --- door ---------------------------------------------------------------------------------------------------------- */
void forks_open(struct forks *f, struct launcher *l, int outer, struct hob_list *frozen,
                void (*kill)(void *ctx, void *owner), void *ctx)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = f};
    *f = (struct forks){
        .l = l, .epoll = epoll_create1(EPOLL_CLOEXEC), .frozen = frozen, .kill = kill, .ctx = ctx};
    hob_list_init(&f->due);
    HOB_ASSERT(f->epoll >= 0 && epoll_ctl(outer, EPOLL_CTL_ADD, f->epoll, &e) == 0);
}

int forks_control(int *ret_theirs)
{
    int ends[2], on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    if (setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
        hob_close_p(&ends[0]);
        hob_close_p(&ends[1]);
        return -1;
    }
    *ret_theirs = ends[1];
    return ends[0];
}

struct zygote *zygote_new(struct forks *f, int control, const struct walls *walls, void *owner)
{
    struct zygote *z = hob_new(struct zygote);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = z};
    *z = (struct zygote){.all = f, .control = control, .walls = *walls, .owner = owner};
    z->walls.is_fork = z->walls.has_code = true;
    hob_list_init(&z->forks);
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, control, &e) == 0)
        return z;
    hob_close_p(&control);
    free(z);
    return NULL;
}

void zygote_kill_forks(struct zygote *z)
{
    if (!z)
        return;
    HOB_LIST_EACH(&z->forks, node, next)
    {
        struct fork *k = HOB_CONTAINER_OF(node, struct fork, in_zygote);
        if (k->frozen.is_frozen)
            fork_thaw(k);
        cgroup_kill(&z->all->l->cgroups, &k->set);
    }
}

/* By its groups: threads and children of a fork are in the same. */
uint64_t zygote_caller(const struct zygote *z, pid_t pid, uint64_t id)
{
    char path[32], text[2048], name[32];
    if (!z)
        return id;
    (void)snprintf(path, sizeof path, "%d/cgroup", (int)pid);
    hob_auto_close int fd = openat(z->all->l->proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    HOB_LIST_EACH(&z->forks, node, next)
    {
        const struct fork *k = HOB_CONTAINER_OF(node, const struct fork, in_zygote);
        (void)snprintf(name, sizeof name, "/i%llu\n", (unsigned long long)k->set.number);
        if (strstr(text, name))
            return k->key.id;
    }
    return id;
}

void zygote_free(struct zygote *z)
{
    if (!z)
        return;
    HOB_LIST_EACH(&z->forks, node, next)
    {
        struct fork *k = HOB_CONTAINER_OF(node, struct fork, in_zygote);
        if (k->state == FORK_ASKED)
            fork_fail(k, ESRCH, "the process that it was to be forked from ended");
        else
            fork_tell_end(k, k->state == FORK_OVER ? k->status : status_of(SIGKILL));
    }
    zygote_mute(z);
    free(z);
}

void forks_start(struct forks *f, struct conn *c, const struct hob_launch_request *head, struct zygote *z,
                 const int fds[STREAMS])
{
    struct hob_err err = {0};
    struct cgroup_set set = {0};
    struct cgroup_limits limits = {.memory_bytes = (uint64_t)head->memory_mb << 20,
                                   .cpu_percent = head->cpu_percent,
                                   .cpu_weight = head->cpu_weight,
                                   .pids_max = head->pids_max};
    unsigned needed = CGROUP_MEMORY | CGROUP_PIDS;
    if (z && z->is_late) {
        (void)hob_fail_errno(&err, ETIMEDOUT, "the zygote has not forked in time before");
        conn_fail(c, head->id, &err);
        return;
    }
    if (!z || z->control < 0 || (f->l->cgroups.parts & needed) != needed || f->n >= LAUNCHER_SANDBOXES_MAX) {
        (void)hob_fail_errno(&err, EOPNOTSUPP,
                             z ? "no groups, or no room, for a fork's limits"
                               : "no zygote of that id that has its code");
        conn_fail(c, head->id, &err);
        return;
    }
    if (!shelf_take_set(&f->l->shelf, &f->l->cgroups, &limits, &set)) {
        (void)hob_fail_errno(&err, errno, "its cgroups");
        conn_fail(c, head->id, &err);
        if (set.number)
            shelf_drop(&f->l->shelf, &f->l->cgroups, &set);
        return;
    }
    cgroup_close_doors(&f->l->cgroups, &set);
    struct fork *k = fork_new(z, c, head->id, &set);
    int errnum = zygote_tell(z, k, fds);
    if (errnum)
        fork_fail(k, errnum, "telling the zygote to fork");
}

static struct fork *fork_find(const struct forks *f, const struct conn *c, uint64_t id)
{
    struct fork_key key = {c->serial, id};
    struct fork *k;
    HASH_FIND(by_key, f->by_key, &key, sizeof key, k);
    return k;
}

bool forks_has(const struct forks *f, const struct conn *c, uint64_t id)
{
    return fork_find(f, c, id) != NULL;
}

bool forks_ask(struct forks *f, struct conn *c, const struct hob_launch_request *head)
{
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_DONE, .id = head->id};
    struct hob_err err = {0};
    struct fork *k = fork_find(f, c, head->id);
    int errnum = 0;
    if (!k)
        return false;
    if (head->op == HOB_LAUNCH_STATS)
        cgroup_usage(&f->l->cgroups, &k->set, &reply.usage);
    else if (head->op == HOB_LAUNCH_STOP)
        fork_stop(k, head->grace_ms);
    else if (head->op == HOB_LAUNCH_ASSIGN)
        errnum = EALREADY;
    else
        errnum = fork_freeze(k, head->op == HOB_LAUNCH_FREEZE);
    if (errnum) {
        (void)hob_fail_errno(&err, errnum, "id %llu is a fork", (unsigned long long)head->id);
        conn_fail(c, head->id, &err);
    } else {
        conn_answer(c, &reply);
    }
    return true;
}

void forks_forget(struct forks *f, const struct conn *c)
{
    struct fork *k, *next;
    HASH_ITER(by_key, f->by_key, k, next)
    {
        if (k->conn == c)
            k->conn = NULL;
    }
}

void forks_take(struct forks *f)
{
    struct epoll_event e;
    /* one at a time: what it brings may free any other */
    if (epoll_wait(f->epoll, &e, 1, 0) == 1)
        zygote_take(e.data.ptr);
}

void forks_oom_scan(struct forks *f)
{
    struct fork *k, *next;
    HASH_ITER(by_key, f->by_key, k, next)
    {
        if (k->state == FORK_LIVE && !k->kills && cgroup_oom_was(&f->l->cgroups, &k->set))
            fork_kill(k);
    }
}

/* Who hangs tells no ends: those of its others are looked for. */
static void zygote_look(struct zygote *z)
{
    bool has_others = false;
    HOB_LIST_EACH(&z->forks, node, next)
    {
        struct fork *k = HOB_CONTAINER_OF(node, struct fork, in_zygote);
        has_others = has_others || k->state != FORK_LATE;
        if (k->state == FORK_LIVE && fork_is_dead(k))
            fork_due(k, hob_now_ms());
    }
    if (!has_others)
        z->all->kill(z->all->ctx, z->owner);
}

/* Again and again until the zygote is gone. */
static void fork_is_late(struct fork *k)
{
    struct hob_err err = {0};
    if (k->state == FORK_ASKED && k->conn) {
        (void)hob_fail_errno(&err, ETIMEDOUT, "the zygote has not forked in time");
        conn_fail(k->conn, k->key.id, &err);
        k->conn = NULL;
    }
    k->state = FORK_LATE;
    k->zygote->is_late = true;
    cgroup_kill(&k->zygote->all->l->cgroups, &k->set);
    fork_due(k, hob_now_ms() + KILL_AGAIN_MS);
    zygote_look(k->zygote);
}

static void fork_is_due(struct fork *k)
{
    bool is_untold = k->state == FORK_LIVE && k->zygote->is_late && fork_is_dead(k);
    if (is_untold) {
        if (k->frozen.is_frozen)
            fork_thaw(k);
        cgroup_kill(&k->zygote->all->l->cgroups, &k->set);
        fork_tell_end(k, status_of(SIGKILL)); /* what it was, only its parent can ask */
    } else if (k->state == FORK_LIVE) {
        fork_kill(k);
    } else if (k->state == FORK_OVER) {
        fork_bury(k);
    } else {
        fork_is_late(k);
    }
}

int64_t forks_deadlines(struct forks *f)
{
    int64_t due = -1;
    bool has_acted = false; /* what was due may be so again soon, whatever the others' times are */
    uint64_t now = hob_list_is_empty(&f->due) ? 0 : hob_now_ms();
    HOB_LIST_EACH(&f->due, node, next)
    {
        struct fork *k = HOB_CONTAINER_OF(node, struct fork, in_due);
        if (k->due_ms <= now) {
            fork_is_due(k);
            has_acted = true;
        } else if (due < 0 || (int64_t)(k->due_ms - now) < due) {
            due = (int64_t)(k->due_ms - now);
        }
    }
    return has_acted && (due < 0 || due > TICK_MS) ? TICK_MS : due;
}
