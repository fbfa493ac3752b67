/* Network: every sandbox has its own network namespace with nothing but a loopback device.
 *
 *   make    unshare, bring lo up, keep the namespace's descriptor, go back to our own (~0.35 ms)
 *   maker   a child of the worker that does nothing else, at the same time as the worker does the rest: for each byte
 *           that it is sent it sends back one namespace. What it made waits in the socket
 *   join    by setns in the new process
 *   again   one whose sandbox has ended may serve another of the same app with the same code, and nobody else, if no
 *           socket is left in it, not even in TIME_WAIT (shelf.h keeps it)
 *
 * Worker only. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Returns an owned descriptor, or -1 with errno. `own_net` is where the caller lives and goes back to. */
int netns_make(int own_net);
/* Whether there is no socket in it. */
bool netns_is_empty(int fd, int proc, int own_net);
struct netns_maker {
    int sock; /* non-blocking; -1: there is none */
    pid_t pid;
};
/* Starts it; it ends with the caller. */
struct netns_maker netns_maker_start(int own_net);
/* With what it made ahead; waits for it. */
void netns_maker_end(struct netns_maker *m);
