/* Denied system calls, seen: the filter hands a call that the policy does not list to the launcher, which notes its
 * name and answers ENOSYS. Calls that are allowed, and those that libraries try as a habit (POLICY_QUIET), never come
 * here and cost nothing.
 *
 * A sandbox has DENIED_MAX calls noted; then its listener is closed, and the kernel itself answers ENOSYS from there
 * on: a flood costs the launcher DENIED_MAX short turns, and the attacker the rest. Without a listener (the kernel
 * gave none, the launcher died) the answer is the same. Owned and called by the worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DENIED_MAX = 64 };

struct denied;
struct denied_event {
    void *owner;
    char name[32]; /* "mount", or "number 1234" */
    unsigned nth;  /* the how manieth call of that name */
    bool is_last;  /* further ones are not noted */
};

/* Takes `listener`; its calls become readable in `epoll`, which holds nothing else. NULL: it could not be watched. */
struct denied *denied_new(int epoll, int listener, void *owner);
void denied_free(struct denied *d); /* NULL is fine */
/* Answers one call of those that wait in `epoll`; false: there was none to tell of. */
bool denied_take(int epoll, struct denied_event *ret_event);
