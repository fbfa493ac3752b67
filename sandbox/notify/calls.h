/* System calls that wait for the worker's answer: the filter hands them over (seccomp_unotify(2)).
 *
 *   denied    not listed, or not in the instance's profile: noted by name, answered ENOSYS
 *   connect   of an instance with egress: handed on to the runner, which answers (sandbox/notify/egress.h)
 *   used      of an instance that is learnt from: noted once each, and let pass. Numbers and registers were judged by the
 *             filter before, and cannot change any more; nothing that lies in memory is judged at all
 *
 * Calls that are allowed otherwise, and those that libraries try as a habit (POLICY_QUIET), never come here and cost
 * nothing. DENIED_MAX denied calls of a sandbox are noted; then, where nothing else needs it, its listener is closed and
 * the kernel itself answers ENOSYS: a flood costs the worker DENIED_MAX short turns, and the attacker the rest. Without a
 * listener (the kernel gave none, the launcher died) the answer is the same. Of all sandboxes together so many calls are
 * taken in a tick; those beyond wait in the kernel, and their callers too: a flood is not the worker's only work. Owned and
 * called by the worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/notify/egress.h"
#include "sandbox/seccomp.h"

enum { DENIED_MAX = 64 };

struct conn;
struct calls; /* of one sandbox */
struct calls_desk {
    int outer, epoll;
    unsigned taken;
    uint64_t since_ms;
    bool is_paused;
};
struct calls_event {
    void *owner;
    pid_t pid;                           /* whose call it is, a thread's */
    bool is_denied, is_used, is_connect; /* is_used may come with is_connect */
    char name[32];                       /* of what was denied or used: "mount", or "number 1234" */
    unsigned nth;                        /* denied: the how manieth call of that name */
    bool is_last;                        /* denied: further ones are not noted */
    struct egress_call connect;
};

/* Calls become readable in `outer`, borrowed, with the desk as their data. */
void calls_open(struct calls_desk *d, int outer);
/* Takes up again what had to wait. For how long it still has to, in ms; -1: nothing waits. */
int64_t calls_pace(struct calls_desk *d);
/* Takes `listener`. NULL: it could not be watched, and is closed. */
struct calls *calls_new(const struct calls_desk *d, int listener, const struct seccomp_kind *kind,
                        void *owner);
void calls_free(struct calls *c); /* NULL is fine; closes the listener */
int calls_listener(const struct calls *c);
/* Takes up one of the calls that wait; false: there is nothing to tell of. */
bool calls_take(struct calls_desk *d, struct calls_event *ret_event);
/* Tells whoever launched the sandbox `id` (NULL: it is gone). Takes the event's socket. */
void calls_tell(const struct calls_event *e, struct conn *c, uint64_t id);
