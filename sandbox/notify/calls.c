#include "sandbox/notify/calls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/launch.h"
#include "base/mem.h"
#include "sandbox/conn.h"

#include "base/banned.h"

/* The kernel's structs may have grown since this was compiled: it copies its own size. */
enum { NOTIF_BYTES = 512, TICK_MS = 10, CALLS_PER_TICK = 200 };
union notice {
    char bytes[NOTIF_BYTES];
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
};

struct calls {
    void *owner;
    int epoll, listener; /* listener -1: closed, the kernel answers */
    bool is_egress, is_learning;
    unsigned n;
    int numbers[DENIED_MAX]; /* of the denied calls so far */
    struct hob_syscalls used;
};

/* --- the desk ------------------------------------------------------------------------------------------------------ */
static void desk_watch(struct calls_desk *d, int op, bool is_on)
{
    struct epoll_event e = {.events = is_on ? EPOLLIN : 0, .data.ptr = d};
    HOB_ASSERT(epoll_ctl(d->outer, op, d->epoll, &e) == 0);
    d->is_paused = !is_on;
}

void calls_open(struct calls_desk *d, int outer)
{
    *d = (struct calls_desk){.outer = outer, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    HOB_ASSERT(d->epoll >= 0);
    desk_watch(d, EPOLL_CTL_ADD, true);
}

int64_t calls_pace(struct calls_desk *d)
{
    uint64_t passed = hob_now_ms() - d->since_ms;
    if (passed >= TICK_MS) {
        d->since_ms += passed;
        d->taken = 0;
        if (d->is_paused)
            desk_watch(d, EPOLL_CTL_MOD, true);
    }
    return d->is_paused ? (int64_t)(TICK_MS - passed) : -1;
}

/* --- one sandbox's -------------------------------------------------------------------------------------------------- */
struct calls *calls_new(const struct calls_desk *d, int listener, const struct seccomp_kind *kind,
                        void *owner)
{
    struct calls *c = hob_new(struct calls);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    *c = (struct calls){.owner = owner,
                        .epoll = d->epoll,
                        .listener = listener,
                        .is_egress = kind->is_egress,
                        .is_learning = kind->is_learning};
    if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, listener, &e) == 0)
        return c;
    (void)close(listener);
    free(c);
    return NULL;
}

static void unwatch(struct calls *c)
{
    /* The runner may have a duplicate, which would keep it watched. */
    if (c->listener >= 0)
        (void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->listener, NULL);
    hob_close_p(&c->listener);
    c->listener = -1;
}

void calls_free(struct calls *c)
{
    if (!c)
        return;
    unwatch(c);
    free(c);
}

int calls_listener(const struct calls *c)
{
    return c->listener;
}

static void name_call(struct calls_event *e, int number)
{
    const char *name = seccomp_name(number);
    if (name)
        (void)snprintf(e->name, sizeof e->name, "%s", name);
    else
        (void)snprintf(e->name, sizeof e->name, "number %d", number);
}

static void note_denied(struct calls *c, int number, struct calls_event *e)
{
    e->is_denied = c->n < DENIED_MAX;
    if (!e->is_denied)
        return;
    e->nth = 1;
    for (unsigned i = 0; i < c->n; i++)
        e->nth += c->numbers[i] == number;
    c->numbers[c->n++] = number;
    e->is_last = c->n == DENIED_MAX;
    name_call(e, number);
}

static void note_used(struct calls *c, int number, int index, struct calls_event *e)
{
    if (hob_syscalls_has(&c->used, (size_t)index))
        return;
    hob_syscalls_add(&c->used, (size_t)index);
    e->is_used = true;
    name_call(e, number);
}

/* It fails when the caller was killed meanwhile. */
static void answer(const struct calls *c, union notice *u, uint64_t id, int errnum)
{
    memset(u, 0, sizeof *u);
    u->answer.id = id;
    u->answer.error = -errnum;
    u->answer.flags = errnum ? 0 : (uint32_t)SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)ioctl(c->listener, SECCOMP_IOCTL_NOTIF_SEND, u);
}

/* Left unanswered when it is for the runner. */
static void take_connect(const struct calls *c, union notice *u, struct calls_event *e)
{
    uint64_t id = u->call.id;
    int errnum = egress_copy_call(&u->call, &e->connect);
    /* Still the same call? Else its pid may have been another's when we looked. */
    e->is_connect = ioctl(c->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0 && errnum == 0;
    if (e->is_connect)
        return;
    hob_close_p(&e->connect.socket);
    answer(c, u, id, errnum ? errnum : EACCES);
}

static void judge(struct calls *c, union notice *u, struct calls_event *e)
{
    int number = u->call.data.nr, index = c->is_learning ? seccomp_index(number) : -1;
    uint64_t id = u->call.id;
    if (index >= 0)
        note_used(c, number, index, e);
    if (c->is_egress && number == SYS_connect) {
        take_connect(c, u, e);
        return;
    }
    if (index < 0)
        note_denied(c, number, e);
    answer(c, u, id, index < 0 ? ENOSYS : 0);
    if (e->is_last && !c->is_egress && !c->is_learning)
        unwatch(c);
}

bool calls_take(struct calls_desk *d, struct calls_event *ret_event)
{
    struct epoll_event event;
    union notice u;
    (void)calls_pace(d);
    if (d->taken++ == CALLS_PER_TICK) {
        desk_watch(d, EPOLL_CTL_MOD, false);
        return false;
    }
    if (epoll_wait(d->epoll, &event, 1, 0) != 1)
        return false;
    struct calls *c = event.data.ptr;
    memset(&u, 0, sizeof u);
    if (!(event.events & EPOLLIN) || ioctl(c->listener, SECCOMP_IOCTL_NOTIF_RECV, &u) < 0) {
        /* ENOENT: the caller was killed */
        if (!(event.events & EPOLLIN) || (errno != ENOENT && errno != EINTR))
            unwatch(c); /* nobody is left who could call */
        return false;
    }
    *ret_event = (struct calls_event){.owner = c->owner, .pid = (pid_t)u.call.pid, .connect.socket = -1};
    judge(c, &u, ret_event);
    return ret_event->is_denied || ret_event->is_used || ret_event->is_connect;
}

static void tell(const struct calls_event *e, struct conn *c, uint64_t id, unsigned what)
{
    struct hob_launch_reply reply = {.answer = what, .id = id, .nth = e->nth, .is_last = e->is_last};
    (void)snprintf(reply.text, sizeof reply.text, "%s", e->name);
    if (c)
        conn_answer(c, &reply);
}

static void tell_connect(const struct egress_call *call, struct conn *c, uint64_t id)
{
    struct hob_launch_reply reply = {.answer = HOB_LAUNCH_CONNECT,
                                     .id = id,
                                     .call = call->id,
                                     .address_n = (uint32_t)call->address_n,
                                     .fd = call->fd};
    memcpy(reply.text, call->address, call->address_n);
    if (c)
        conn_answer_fds(c, &reply, &call->socket, 1);
    else
        (void)close(call->socket); /* it is about to be killed */
}

void calls_tell(const struct calls_event *e, struct conn *c, uint64_t id)
{
    if (e->is_denied)
        tell(e, c, id, HOB_LAUNCH_DENIED);
    if (e->is_used)
        tell(e, c, id, HOB_LAUNCH_USED);
    if (e->is_connect)
        tell_connect(&e->connect, c, id);
}
