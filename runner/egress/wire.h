/* Sockets and the kernel's notifications, for egress: system calls and nothing that decides. Not thread-bound. */
#pragma once

#include <sys/socket.h>

#include "base/rules/egress.h"

struct wire_target {
    uint8_t address[HOB_ADDRESS_BYTES];
    uint16_t port;
};
/* A socket address as connect() is given it. 0, or the errno that connect() gives for it on a socket of `domain`. */
int wire_target_read(const void *address, size_t n, int domain, struct wire_target *ret_target);
/* Addresses that mean the caller's own network: loopback and "any". */
bool wire_is_own(const struct wire_target *t);
/* The machine itself would take this address: asked of its routes. */
bool wire_is_local(const struct wire_target *t);
/* Is the socket of our own network namespace? Errors count as yes: nothing is done with such a one. */
bool wire_is_ours(int sock);

struct wire_options {           /* what a caller set before connect(), as far as it is carried over */
    int flags;                  /* as of F_GETFL */
    int values[8];              /* one for each row of the table; 0: not set */
    struct timeval timeouts[2]; /* SO_RCVTIMEO, SO_SNDTIMEO */
};
void wire_options_read(int sock, struct wire_options *ret_options);
/* A socket that connects: non-blocking. Returns owned, or -1 with errno; *ret_is_done: connected already. */
int wire_connect(int domain, const struct wire_target *t, const struct wire_options *o, bool *ret_is_done);
/* Of a socket that wire_connect left on its way and that can be written now: 0, or why it came to nothing. Behind 0 the
 * kernel holds it for connected for good: neither a reset nor shutdown() makes it one that could listen or turn to
 * another peer. */
int wire_connected(int sock, int domain, const struct wire_target *t);

/* The call `id` of `listener` returns 0 (errnum 0) or -1 with errnum. False: the caller is gone. */
bool wire_answer(int listener, uint64_t id, int errnum);
/* Puts `sock` in the place of the caller's descriptor `fd`; with the caller's blocking mode. False: errno. */
bool wire_replace(int listener, uint64_t id, int sock, int fd, const struct wire_options *o);
