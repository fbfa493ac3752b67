#include "sandbox/notify/denied.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/seccomp.h"

#include "base/banned.h"

/* The kernel's structs may have grown since this was compiled: it copies its own size. */
enum { NOTIF_BYTES = 512 };

struct denied {
    void *owner;
    int listener; /* -1: closed, the kernel answers */
    unsigned n;
    int numbers[DENIED_MAX]; /* of the calls so far */
};

struct denied *denied_new(int epoll, int listener, void *owner)
{
    struct denied *d = hob_new(struct denied);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = d};
    *d = (struct denied){.owner = owner, .listener = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) == 0)
        return d;
    (void)close(listener);
    free(d);
    return NULL;
}

void denied_free(struct denied *d)
{
    if (!d)
        return;
    hob_close_p(&d->listener);
    free(d);
}

static void note(struct denied *d, int number, struct denied_event *ret_event)
{
    const char *name = seccomp_name(number);
    ret_event->owner = d->owner;
    ret_event->nth = 1;
    for (unsigned i = 0; i < d->n; i++)
        ret_event->nth += d->numbers[i] == number;
    d->numbers[d->n++] = number;
    ret_event->is_last = d->n == DENIED_MAX;
    if (name)
        (void)snprintf(ret_event->name, sizeof ret_event->name, "%s", name);
    else
        (void)snprintf(ret_event->name, sizeof ret_event->name, "number %d", number);
}

bool denied_take(int epoll, struct denied_event *ret_event)
{
    struct epoll_event e;
    union {
        char bytes[NOTIF_BYTES];
        struct seccomp_notif call;
        struct seccomp_notif_resp answer;
    } u;
    if (epoll_wait(epoll, &e, 1, 0) != 1)
        return false;
    struct denied *d = e.data.ptr;
    memset(&u, 0, sizeof u);
    if (!(e.events & EPOLLIN) || ioctl(d->listener, SECCOMP_IOCTL_NOTIF_RECV, &u) < 0) {
        if (!(e.events & EPOLLIN) || (errno != ENOENT && errno != EINTR)) /* ENOENT: the caller was killed */
            hob_close_p(&d->listener);                                    /* nobody is left who could call */
        return false;
    }
    uint64_t id = u.call.id;
    note(d, u.call.data.nr, ret_event);
    memset(&u, 0, sizeof u);
    u.answer.id = id;
    u.answer.error = -ENOSYS;
    (void)ioctl(d->listener, SECCOMP_IOCTL_NOTIF_SEND,
                &u); /* it fails when the caller was killed meanwhile */
    if (ret_event->is_last)
        hob_close_p(&d->listener);
    return true;
}
