/* One client's connection: its answers, sent in order, with their descriptors. While some wait to be sent, no request is
 * read, so a client that never reads holds up only itself. Owned and called by the worker's loop. */
#pragma once

#include "base/err.h"
#include "base/launch.h"
#include "base/list.h"

enum { CONN_FDS_MAX = 3 };

struct conn {
    struct hob_node in_all;
    struct hob_list answers; /* unsent */
    int fd, epoll;
    bool is_blocked; /* answers wait; requests are not read */
    uint64_t serial;
};

/* Takes `fd`, which becomes readable in `epoll` with the conn as its data; borrows `epoll`. Returns owned. */
struct conn *conn_new(int epoll, int fd, uint64_t serial);
void conn_free(struct conn *c);
/* Sends what waits. False: the peer is gone. */
bool conn_flush(struct conn *c);
/* Takes the descriptors. What cannot be sent now waits; a peer that is gone is noticed by its connection's event. */
void conn_answer_fds(struct conn *c, const struct hob_launch_reply *reply, const int *fds, size_t fds_n);
void conn_answer(struct conn *c, const struct hob_launch_reply *reply);
void conn_fail(struct conn *c, uint64_t id, const struct hob_err *err);
