/* The worker: one epoll loop, one thread.
 *
 *   listener   accept, only from the uid that is served
 *   connection one request at a time, one answer each; while answers wait to be sent, nothing more is read
 *   signals    SIGTERM ends everything; SIGCHLD: a sandbox's pid 1 is gone, and with it (the kernel waits for
 *              them) every process of its pid namespace
 *   calls      system calls of sandboxes that wait for an answer
 *   forks      what zygotes and their forks say
 *   oom        v1 tells that some group ran out of memory: find it, end all of it
 *   timers     grace periods of STOP, cgroups that are still busy, shelves to fill
 *
 * A sandbox:  LIVE -> (STOP) STOPPING -> (grace over) killed, and again until it is -> reaped: EXITED is sent, its groups are removed
 * when they can be. A connection's end kills what it launched. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "sandbox/conn.h"
#include "sandbox/fork/forks.h"
#include "sandbox/frozen.h"
#include "sandbox/launch.h"
#include "sandbox/launcher.h"
#include "sandbox/notify/calls.h"
#include "sandbox/request.h"

#include "base/banned.h"

enum {
    EVENTS_MAX = 32,
    TICK_MS = 10,     /* busy cgroups are tried again */
    RESTOCK_MS = 1,   /* idle for so long, the shelves are filled, one thing after another */
    OOM_SCANS = 4,    /* the kernel tells before it counts the kill: look again */
    REMOVE_BATCH = 8, /* cgroup sets at a time, when quiet, or when there are more than: */
    BUSY_MAX = 256,
    PARTS_LIVE_MAX = 1000, /* sandboxes whose parts are held for the next one: six descriptors each */
    END_MS = 5000,         /* at most, from SIGTERM */
    KILL_AGAIN_MS = 500,   /* what is not gone so long after it was killed */
};

struct sandbox_key {
    uint64_t conn, id;
};
struct sandbox {
    struct sandbox_key key;
    struct conn *conn; /* NULL when it has closed */
    struct hob_node in_stopping;
    struct frozen frozen;
    uint64_t kill_at_ms;
    struct cgroup_set set;
    pid_t pid;
    uint16_t slot;
    int mnt;   /* of a stem that waits for ASSIGN, owned; else -1 */
    int netns; /* owned, or -1 */
    struct shelf_tenant tenant;
    struct walls walls;
    struct calls *calls;   /* NULL: none of them are seen */
    struct zygote *zygote; /* NULL: it is none */
    bool is_killed;
    UT_hash_handle by_key, by_pid;
};

struct server {
    struct launcher *l;
    int epoll, listener, signals;
    struct calls_desk calls; /* system calls that wait for an answer */
    struct forks forks;      /* instances within a zygote's sandbox */
    struct hob_list conns, stopping, frozen;
    struct sandbox *by_key, *by_pid;
    size_t live, conns_n;
    uint64_t serial;
    uint16_t free_slots[LAUNCHER_SANDBOXES_MAX];
    uint16_t generations[LAUNCHER_SANDBOXES_MAX];
    size_t free_n;
    unsigned oom_scans;
    uint64_t oom_at_ms;
    bool is_ending;
    uint64_t end_at_ms;
    _Alignas(8) char message[HOB_FDMSG_BYTES_MAX];
};

static void watch(struct server *s, int fd, void *what)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};
    HOB_ASSERT(epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == 0);
}

/* --- sandboxes --------------------------------------------------------------------------------------------------- */
static unsigned slot_uid(const struct server *s, uint16_t slot)
{
    if (!s->l->has_uid_range)
        return geteuid();
    return LAUNCHER_UID_BASE + slot + LAUNCHER_UID_STRIDE * (unsigned)s->generations[slot];
}

/* A frozen process of v1 takes a signal only when thawed. */
static void sandbox_thaw(struct server *s, struct sandbox *b)
{
    if (frozen_set(s->l, &b->set, b->pid, false) == 0)
        frozen_note(&s->frozen, &b->frozen, &b->set, false);
}

static void sandbox_stop(struct server *s, struct sandbox *b, uint64_t kill_at_ms)
{
    b->kill_at_ms = kill_at_ms;
    if (!hob_node_is_linked(&b->in_stopping))
        hob_list_push_back(&s->stopping, &b->in_stopping);
}

/* Final: it is frozen no more, and killed until it is gone. */
static void sandbox_kill(struct server *s, struct sandbox *b)
{
    if (b->frozen.is_frozen || b->is_killed)
        sandbox_thaw(s, b);
    b->is_killed = true;
    zygote_kill_forks(b->zygote);
    (void)kill(b->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
    sandbox_stop(s, b, hob_now_ms() + KILL_AGAIN_MS);
}

static struct sandbox *sandbox_add(struct server *s, struct conn *c, uint64_t id,
                                   const struct launched *launched)
{
    struct sandbox *b = hob_new(struct sandbox);
    b->key = (struct sandbox_key){c->serial, id};
    b->conn = c;
    b->pid = launched->pid;
    b->set = launched->set;
    b->mnt = launched->mnt;
    b->netns = launched->netns;
    b->walls = launched->walls;
    if (launched->listener >= 0)
        b->calls = calls_new(&s->calls, launched->listener, &launched->walls.filter, b);
    b->slot = s->free_slots[--s->free_n];
    HASH_ADD(by_key, s->by_key, key, sizeof b->key, b);
    HASH_ADD(by_pid, s->by_pid, pid, sizeof b->pid, b);
    s->live++;
    return b;
}

static struct sandbox *sandbox_find(struct server *s, const struct conn *c, uint64_t id)
{
    struct sandbox_key key = {c->serial, id};
    struct sandbox *b;
    HASH_FIND(by_key, s->by_key, &key, sizeof key, b);
    return b;
}

static uint64_t rusage_us(const struct rusage *r)
{
    return (uint64_t)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(r->ru_utime.tv_usec + r->ru_stime.tv_usec);
}

static void sandbox_reaped(struct server *s, struct sandbox *b, int status, const struct rusage *rusage)
{
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_EXITED, .id = b->key.id, .wait_status = status};
    cgroup_usage(&s->l->cgroups, &b->set, &reply.usage);
    if (reply.usage.cpu_us == 0) /* no accounting group: pid 1's with all it reaped */
        reply.usage.cpu_us = rusage_us(rusage);
    HASH_DELETE(by_key, s->by_key, b);
    HASH_DELETE(by_pid, s->by_pid, b);
    hob_list_remove(&b->in_stopping);
    hob_list_remove(&b->frozen.in_all);
    s->generations[b->slot] = (uint16_t)((s->generations[b->slot] + 1U) % s->l->uid_generations);
    s->free_slots[s->free_n++] = b->slot;
    s->live--;
    zygote_free(b->zygote);
    if (b->frozen.is_frozen || b->frozen.is_swapped ||
        !shelf_give_set(&s->l->shelf, &s->l->cgroups, &b->set, &reply.usage))
        shelf_drop(&s->l->shelf, &s->l->cgroups, &b->set);
    if (b->conn)
        conn_answer(b->conn, &reply);
    hob_close_p(&b->mnt);
    calls_free(b->calls);
    shelf_end_netns(&s->l->shelf, &b->tenant, b->netns, s->l->proc, s->l->own_net);
    free(b);
}

static void reap(struct server *s)
{
    int status;
    struct rusage rusage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &rusage)) > 0) {
        struct sandbox *b;
        HASH_FIND(by_pid, s->by_pid, &pid, sizeof pid, b);
        if (b) /* else: one that failed before it was a sandbox */
            sandbox_reaped(s, b, status, &rusage);
    }
}

/* v1 kills one process of the group that ran out of memory; the instance is then ended whole. */
static void oom_scan(struct server *s)
{
    struct sandbox *b, *next;
    HASH_ITER(by_key, s->by_key, b, next)
    {
        if (cgroup_oom_was(&s->l->cgroups, &b->set))
            sandbox_kill(s, b);
    }
    forks_oom_scan(&s->forks);
}

static void on_oom(struct server *s)
{
    if (cgroup_oom_take(&s->l->cgroups))
        s->oom_scans = OOM_SCANS;
}

static void on_calls(struct server *s)
{
    struct calls_event e;
    if (!calls_take(&s->calls, &e))
        return;
    const struct sandbox *b = e.owner;
    calls_tell(&e, b->conn, zygote_caller(b->zygote, e.pid, b->key.id));
}

/* --- requests ----------------------------------------------------------------------------------------------------- */
static void say_launched(struct server *s, struct conn *c, struct sandbox *b, const struct launched *launched)
{
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_LAUNCHED, .id = b->key.id};
    walls_text(s->l, &launched->walls, &launched->set.limits, reply.text, sizeof reply.text);
    int fds[CONN_FDS_MAX] = {launched->pidfd, -1, launched->dns};
    if (launched->dns >= 0 && b->calls)
        fds[1] = fcntl(calls_listener(b->calls), F_DUPFD_CLOEXEC, 10);
    if (launched->dns >= 0 && fds[1] < 0) { /* short of descriptors: nobody could answer it */
        sandbox_kill(s, b);
        hob_close_p(&fds[2]);
    }
    conn_answer_fds(c, &reply, fds, fds[1] >= 0 ? CONN_FDS_MAX : 1);
}

static bool id_is_free(struct server *s, struct conn *c, uint64_t id)
{
    struct hob_err err = {0};
    if (!sandbox_find(s, c, id) && !forks_has(&s->forks, c, id))
        return true;
    (void)hob_fail(&err, HOB_E_CONFLICT, "id %llu is in use on this connection", (unsigned long long)id);
    conn_fail(c, id, &err);
    return false;
}

static void do_fork(struct server *s, struct conn *c, const struct hob_launch_request *head, const int fds[4])
{
    struct sandbox *b = sandbox_find(s, c, head->of);
    bool can_fork = b && b->zygote && b->walls.has_code && !b->is_killed;
    if (id_is_free(s, c, head->id))
        forks_start(&s->forks, c, head, can_fork ? b->zygote : NULL, fds);
}

static void do_launch(struct server *s, struct conn *c, const struct request *r, const int fds[4])
{
    struct hob_err err = {0};
    struct launched launched = {.pid = -1};
    uint64_t id = r->head->id;
    hob_auto_close int control = -1, theirs = -1;
    if (!id_is_free(s, c, id))
        return;
    if (s->free_n == 0) {
        (void)hob_fail(&err, HOB_E_BUSY, "%d sandboxes are live, no more fit", LAUNCHER_SANDBOXES_MAX);
        conn_fail(c, id, &err);
        return;
    }
    unsigned uid = slot_uid(s, s->free_slots[s->free_n - 1]);
    bool is_zygote = r->head->flags & HOB_LAUNCH_ZYGOTE;
    if (is_zygote && (control = forks_control(&theirs)) < 0) {
        (void)hob_fail_errno(&err, errno, "a zygote's control socket");
        conn_fail(c, id, &err);
        return;
    }
    const int all[4] = {fds[0], fds[1], fds[2], is_zygote ? theirs : fds[3]};
    if (launch(s->l, r, all, uid, &launched, &err) != HOB_OK) {
        if (launched.set.number)
            shelf_drop(&s->l->shelf, &s->l->cgroups, &launched.set);
        conn_fail(c, id, &err);
        return;
    }
    struct sandbox *b = sandbox_add(s, c, id, &launched);
    launch_tenant(r->head, &b->tenant);
    if (s->live > PARTS_LIVE_MAX) {
        cgroup_close_doors(&s->l->cgroups, &b->set);
        hob_close_p(&b->netns);
        b->netns = -1;
    }
    if (control >= 0)
        b->zygote = zygote_new(&s->forks, hob_steal_fd(&control), &launched.walls, b);
    say_launched(s, c, b, &launched);
}

static void do_stop(struct server *s, struct sandbox *b, uint32_t grace_ms)
{
    uint64_t kill_at_ms = hob_now_ms() + grace_ms;
    if (b->is_killed)
        return;
    if (grace_ms == 0) {
        sandbox_kill(s, b);
        return;
    }
    if (b->frozen.is_frozen)
        sandbox_thaw(s, b);
    (void)kill(b->pid, SIGTERM);
    /* a second STOP may only shorten the grace */
    bool is_second = hob_node_is_linked(&b->in_stopping);
    sandbox_stop(s, b, is_second && b->kill_at_ms < kill_at_ms ? b->kill_at_ms : kill_at_ms);
}

/* Once, and a second try after a failure neither: what the first one did is not undone. */
static enum hob_code do_assign(struct server *s, struct sandbox *b, const struct hob_launch_request *head,
                               struct hob_err *err)
{
    if (b->mnt < 0) {
        (void)hob_fail(err, HOB_E_CONFLICT, "id %llu is no stem, or was assigned already",
                       (unsigned long long)head->id);
        err->errnum = EALREADY;
        return err->code;
    }
    enum hob_code code = launch_assign(s->l, head, b->mnt, &b->set, err);
    hob_close_p(&b->mnt);
    b->mnt = -1;
    return code;
}

static void do_known(struct server *s, struct conn *c, const struct hob_launch_request *head)
{
    struct hob_err err = {0};
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_DONE, .id = head->id};
    struct sandbox *b = sandbox_find(s, c, head->id);
    if (!b && forks_ask(&s->forks, c, head))
        return;
    if (!b) {
        (void)hob_fail(&err, HOB_E_NOT_FOUND, "id %llu is not live on this connection",
                       (unsigned long long)head->id);
        err.errnum = ESRCH;
        conn_fail(c, head->id, &err);
        return;
    }
    bool is_freeze = head->op == HOB_LAUNCH_FREEZE;
    if (head->op == HOB_LAUNCH_STATS)
        cgroup_usage(&s->l->cgroups, &b->set, &reply.usage);
    else if (head->op == HOB_LAUNCH_STOP)
        do_stop(s, b, head->grace_ms);
    else if (head->op == HOB_LAUNCH_ASSIGN) {
        if (do_assign(s, b, head, &err) != HOB_OK) {
            conn_fail(c, head->id, &err);
            return;
        }
        b->walls.has_code = true;
        launch_tenant(head, &b->tenant);
        walls_text(s->l, &b->walls, &b->set.limits, reply.text, sizeof reply.text);
    } else if (is_freeze && b->is_killed) { /* on v1 it would live on, frozen */
        (void)hob_fail(&err, HOB_E_CONFLICT, "id %llu is being killed", (unsigned long long)head->id);
        err.errnum = ESRCH;
        conn_fail(c, head->id, &err);
        return;
    } else if (frozen_set(s->l, &b->set, b->pid, is_freeze) < 0) {
        (void)hob_fail_errno(&err, errno, "%s: the freezer group", is_freeze ? "freeze" : "thaw");
        conn_fail(c, head->id, &err);
        return;
    } else
        frozen_note(&s->frozen, &b->frozen, &b->set, is_freeze);
    conn_answer(c, &reply);
}

static void do_request(struct server *s, struct conn *c, size_t n, int *fds, size_t fds_n)
{
    static struct request r;
    struct hob_err err = {0};
    const struct hob_launch_request *head = (const void *)s->message;
    if (request_judge(s->message, n, &r, &err) != HOB_OK ||
        request_judge_fds(&r, fds, fds_n, &err) != HOB_OK) {
        conn_fail(c, n >= sizeof *head ? head->id : 0, &err);
    } else if (head->op == HOB_LAUNCH_LAUNCH) {
        do_launch(s, c, &r, fds);
    } else if (head->op == HOB_LAUNCH_FORK) {
        do_fork(s, c, head, fds);
    } else if (head->op == HOB_LAUNCH_PROBE) {
        struct hob_launch_reply reply = {.answer = HOB_LAUNCH_PROBED, .id = head->id};
        probe_report(s->l, reply.text, sizeof reply.text);
        conn_answer(c, &reply);
    } else {
        do_known(s, c, head);
    }
}

/* --- connections --------------------------------------------------------------------------------------------------- */
static void conn_close(struct server *s, struct conn *c)
{
    struct sandbox *b, *next;
    HASH_ITER(by_key, s->by_key, b, next)
    {
        if (b->conn != c)
            continue;
        b->conn = NULL;
        sandbox_kill(s, b);
    }
    forks_forget(&s->forks, c);
    conn_free(c);
    s->conns_n--;
}

static void on_listener(struct server *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    unsigned uid = hob_peer_uid(fd);
    if (uid != s->l->options->uid || s->conns_n == LAUNCHER_CONNECTIONS_MAX || s->is_ending) {
        hob_log(HOB_LOG_WARN, "conn.refuse", "uid=%u connections=%zu", uid, s->conns_n);
        (void)close(fd);
        return;
    }
    struct conn *c = conn_new(s->epoll, fd, ++s->serial);
    hob_list_push_back(&s->conns, &c->in_all);
    s->conns_n++;
}

static void on_conn(struct server *s, struct conn *c, uint32_t events)
{
    if ((events & EPOLLOUT) && !conn_flush(c)) {
        conn_close(s, c);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    int fds[4] = {-1, -1, -1, -1};
    size_t fds_n = 0;
    ssize_t n = hob_fdmsg_recv(c->fd, s->message, sizeof s->message, fds, HOB_COUNT(fds), &fds_n);
    if (n > 0 && !s->is_ending)
        do_request(s, c, (size_t)n, fds, fds_n);
    else if (n < 0 && errno == EMSGSIZE) {
        struct hob_err err = {0};
        (void)hob_fail(&err, HOB_E_TOO_LARGE, "a message of more than %d bytes or 4 descriptors",
                       HOB_FDMSG_BYTES_MAX);
        conn_fail(c, 0, &err);
    } else if (n == 0 || (n < 0 && errno != EAGAIN))
        conn_close(s, c);
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
}

/* --- the loop ------------------------------------------------------------------------------------------------------ */
static void end_begin(struct server *s)
{
    struct sandbox *b, *next;
    s->is_ending = true;
    s->end_at_ms = hob_now_ms() + END_MS;
    HASH_ITER(by_key, s->by_key, b, next)
    sandbox_kill(s, b);
}

static void on_signals(struct server *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD && !s->is_ending)
            end_begin(s);
    reap(s);
}

/* Kills what has had its grace, and what should be gone and is not. Returns when the next one is due, in ms from now; -1: none. */
static int64_t deadlines(struct server *s)
{
    int64_t due = -1;
    uint64_t now = hob_list_is_empty(&s->stopping) ? 0 : hob_now_ms();
    HOB_LIST_EACH(&s->stopping, node, next)
    {
        struct sandbox *b = HOB_CONTAINER_OF(node, struct sandbox, in_stopping);
        if (b->kill_at_ms <= now)
            sandbox_kill(s, b);
        if (due < 0 || (int64_t)(b->kill_at_ms - now) < due)
            due = (int64_t)(b->kill_at_ms - now);
    }
    return due;
}

/* What can wait until nothing else is to do. Returns for how long, in ms, nothing here needs doing; -1: for ever. */
static int64_t idle(struct server *s, bool is_quiet)
{
    if (s->oom_scans && hob_now_ms() >= s->oom_at_ms) {
        s->oom_scans--;
        s->oom_at_ms = hob_now_ms() + TICK_MS;
        oom_scan(s);
    }
    if (is_quiet || s->l->shelf.busy_n > BUSY_MAX)
        shelf_remove(&s->l->shelf, &s->l->cgroups, REMOVE_BATCH);
    if (s->l->shelf.busy_n == 0 && s->live == 0 && is_quiet)
        s->l->cgroups.oom_noise = 0; /* nobody is left whose signal it could hide */
    if (!s->is_ending && s->conns_n && (!is_quiet || shelf_restock(&s->l->shelf, &s->l->cgroups)))
        return is_quiet ? 0 : RESTOCK_MS;
    if (s->oom_scans || s->l->shelf.busy_n)
        return TICK_MS;
    int64_t shelf_ms = shelf_due_ms(&s->l->shelf), reclaim_ms = frozen_reclaim(s->l, &s->frozen, is_quiet);
    return shelf_ms < 0 || (reclaim_ms >= 0 && reclaim_ms < shelf_ms) ? reclaim_ms : shelf_ms;
}

static bool is_over(const struct server *s)
{
    return s->is_ending && ((s->live == 0 && s->l->shelf.busy_n == 0) || hob_now_ms() >= s->end_at_ms);
}

static void dispatch(struct server *s, const struct epoll_event *e)
{
    if (e->data.ptr == &s->listener)
        on_listener(s);
    else if (e->data.ptr == &s->signals)
        on_signals(s);
    else if (e->data.ptr == &s->oom_scans)
        on_oom(s);
    else if (e->data.ptr == &s->calls)
        on_calls(s);
    else if (e->data.ptr == &s->forks)
        forks_take(&s->forks);
    else
        on_conn(s, e->data.ptr, e->events);
}

static void serve(struct server *s)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t wait_ms = 0;
    while (!is_over(s)) {
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, (int)wait_ms);
        for (int i = 0; i < n; i++)
            dispatch(s, &events[i]);
        int64_t idle_ms = idle(s, n == 0), due_ms = deadlines(s);
        wait_ms = idle_ms < 0 || (due_ms >= 0 && due_ms < idle_ms) ? due_ms : idle_ms;
        int64_t pause_ms = calls_pace(&s->calls);
        if (pause_ms >= 0 && (wait_ms < 0 || pause_ms < wait_ms))
            wait_ms = pause_ms;
        int64_t forks_ms = forks_deadlines(&s->forks);
        if (forks_ms >= 0 && (wait_ms < 0 || forks_ms < wait_ms))
            wait_ms = forks_ms;
        if (s->is_ending)
            wait_ms = TICK_MS;
    }
}

static void on_zygote_bad(void *ctx, void *owner)
{
    sandbox_kill(ctx, owner);
}

static void open_server(struct server *s, int listener)
{
    sigset_t mask;
    (void)sigfillset(&mask);
    HOB_ASSERT(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigaddset(&mask, SIGCHLD);
    s->listener = listener;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    HOB_ASSERT(s->epoll >= 0 && s->signals >= 0);
    calls_open(&s->calls, s->epoll);
    watch(s, listener, &s->listener);
    watch(s, s->signals, &s->signals);
    if (cgroup_oom_fd(&s->l->cgroups) >= 0)
        watch(s, cgroup_oom_fd(&s->l->cgroups), &s->oom_scans);
    hob_list_init(&s->conns);
    hob_list_init(&s->stopping);
    shelf_open(&s->l->shelf);
    hob_list_init(&s->frozen);
    forks_open(&s->forks, s->l, s->epoll, &s->frozen, on_zygote_bad, s);
    unsigned seed = hob_hash("generation", 10); /* two launchers of one machine should not meet */
    for (size_t i = 0; i < LAUNCHER_SANDBOXES_MAX; i++) {
        s->free_slots[s->free_n++] = (uint16_t)(LAUNCHER_SANDBOXES_MAX - 1 - i);
        s->generations[i] = (uint16_t)(seed % s->l->uid_generations);
    }
}

int server_run(struct launcher *l, int listener)
{
    struct server *s = hob_new(struct server);
    s->l = l;
    open_server(s, listener);
    serve(s);
    HOB_LIST_EACH(&s->conns, node, next)
    conn_close(s, HOB_CONTAINER_OF(node, struct conn, in_all));
    shelf_clear(&l->shelf, &l->cgroups);
    free(s);
    return 0;
}
