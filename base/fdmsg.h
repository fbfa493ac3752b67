/* One message with descriptors over a SOCK_SEQPACKET Unix socket: the transport of the link (hobd and runner) and
 * of the launcher's protocol. Never blocks on a non-blocking socket. Not thread-bound. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { HOB_FDMSG_FDS_MAX = 4, HOB_FDMSG_BYTES_MAX = 128 * 1024 };

/* 1 sent; 0 would block, try again when writable; -1 failed (errno). Borrows the descriptors. */
HOB_MUST_USE int hob_fdmsg_send(int sock, struct hob_str msg, const int *fds, size_t fds_n);
/* > 0 message bytes; 0 the peer closed; -1 errno (EAGAIN: nothing there; EMSGSIZE: truncated, thrown away).
 * Received descriptors are close-on-exec and owned by the caller; more than `fds_max` of them are closed and the
 * message refused with EMSGSIZE. */
HOB_MUST_USE ssize_t hob_fdmsg_recv(int sock, void *buf, size_t buf_bytes, int *ret_fds, size_t fds_max,
                                    size_t *ret_fds_n);
/* Connects to, or listens on, a SOCK_SEQPACKET socket at a path. Returns owned descriptor, non-blocking, or -1. */
HOB_MUST_USE int hob_seqpacket_connect(const char *path, struct hob_err *err);
HOB_MUST_USE int hob_seqpacket_listen(const char *path, unsigned mode, struct hob_err *err);
/* The peer's uid by SO_PEERCRED, or (unsigned)-1. */
unsigned hob_peer_uid(int sock);
