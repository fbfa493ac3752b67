/* A SOCK_SEQPACKET socket on a libuv loop: whole messages with descriptors in and out, with a bounded queue behind a
 * peer that reads slowly. Carries the link (both ends) and the runner's side of the launcher's protocol.
 *
 * Owns the descriptor and what is queued. Lives on the loop's thread. `on_lost` comes at most once and only from the
 * loop, never from inside a call; after it, or after hob_msgsock_close, no event comes. The owner calls
 * hob_msgsock_close in every case; it may do so from inside an event. */
#pragma once

#include <uv.h>

#include "base/fdmsg.h"

struct hob_msgsock;
struct hob_msgsock_events {
    /* `msg` is borrowed for the call; the descriptors are the listener's now: takes. */
    void (*on_message)(void *ctx, struct hob_str msg, const int *fds, size_t fds_n);
    /* The peer closed (HOB_E_UNAVAILABLE), or reading, writing or the queue's limit failed. */
    void (*on_lost)(void *ctx, const struct hob_err *err);
};
/* Takes the non-blocking `fd` (closed on failure too). `queue_bytes_max`: beyond it the socket counts as lost. */
HOB_MUST_USE struct hob_msgsock *hob_msgsock_start(uv_loop_t *loop, int fd, size_t queue_bytes_max,
                                                   const struct hob_msgsock_events *events, void *ctx,
                                                   struct hob_err *err);
/* Sends now or queues a copy. Takes the descriptors: they are closed here once sent, or when the socket is lost. */
void hob_msgsock_send(struct hob_msgsock *s, struct hob_str msg, const int *fds, size_t fds_n);
size_t hob_msgsock_queued(const struct hob_msgsock *s); /* bytes that wait for the peer */
/* Sends nothing more, closes the descriptor at once, frees itself when libuv is done. NULL is fine. */
void hob_msgsock_close(struct hob_msgsock *s);
