/* Egress, the launcher's part: an instance that may reach out has an empty network like every other. Its filter hands
 * each connect() to the worker, which copies the address out of the caller's memory and takes a duplicate of the
 * caller's socket; both go to the runner, which judges, connects and answers (runner/egress/). The worker decides
 * nothing and makes no connection.
 *
 * The caller is the one that the kernel names, never one that a message names. Owned and called by the worker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EGRESS_ADDRESS_MAX = 128 };

struct seccomp_notif;
struct egress_call {
    uint64_t id; /* of the notification: who answers names it */
    int fd;      /* the caller's descriptor */
    int socket;  /* a duplicate of the caller's, owned */
    size_t address_n;
    unsigned char address[EGRESS_ADDRESS_MAX]; /* a struct sockaddr of some family, as the caller had it */
};

/* Fills *ret_call: 0, or the errno that connect() shall give. */
int egress_copy_call(const struct seccomp_notif *n, struct egress_call *ret_call);
/* A UDP socket at 127.0.0.53:53 inside the network namespace `netns`: the runner answers names there. Returns owned,
 * or -1 with errno. */
int egress_dns_socket(int netns, int own_net);
