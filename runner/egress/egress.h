/* Egress of one instance: answers its connect() calls and its questions for names.
 *
 * The instance lives in an empty network. hob-launcher hands on each connect() (base/launch.h, CONNECT): the address as
 * copied from the caller's memory and a duplicate of its socket. Here the address is judged; if it is allowed, a socket
 * of our network is connected to exactly that address and put in the place of the caller's. The call is never let
 * through to be done by the kernel ("continue"): between our look and the kernel's, the caller could change address and
 * descriptor. And no socket leaves before it is connected: a connected one can be turned to no other peer but by
 * connect(), which comes here.
 *
 *   own network    loopback, UDP: done on the caller's socket, in its network, where nobody else is
 *   elsewhere      TCP to what policy allows
 *   refused        everything else, also Unix sockets by name: EACCES, and a line in the function's log
 *
 * Lives on the loop's thread; one per instance with egress. */
#pragma once

#include <uv.h>

#include "runner/egress/policy.h"

struct egress;
/* A line for the function's log, borrowed. */
typedef void (*egress_note_cb)(void *ctx, const char *text);
struct egress_call {
    uint64_t id; /* of the notification */
    int fd;      /* the caller's number */
    int socket;  /* takes: a duplicate of it */
    struct hob_str address;
};

/* Takes the policy and both descriptors. */
struct egress *egress_start(uv_loop_t *loop, struct policy *policy, int listener, int dns,
                            egress_note_cb note, void *ctx);
void egress_take(struct egress *e, const struct egress_call *call);
/* Breaks off what is under way; no note comes any more; frees itself when libuv is done. NULL is fine. */
void egress_close(struct egress *e);
