/* The runner's end of the link to hobd (base/link.h): dials with back-off, sends, hands out messages.
 *
 * Lives on the loop's thread. Control messages are never dropped: a hobd that does not take them counts as lost. Log
 * lines are dropped (and counted by the caller) as soon as too much waits: 256 KiB for an instance that writes a lot,
 * 2 MiB for one that does not, so that a flood takes no neighbour's lines away. */
#pragma once

#include <uv.h>

#include "base/link.h"

struct uplink;
struct uplink_events {
    void (*up)(void *ctx); /* once: connected */
    /* Borrowed for the call; descriptors are the listener's: takes. */
    void (*message)(void *ctx, uint32_t type, const struct hob_pairs *pairs, const int *fds, size_t fds_n);
    /* Once, at the end: never reached (HOB_E_TIMEOUT), malformed (HOB_E_INVALID), or closed. */
    void (*down)(void *ctx, const struct hob_err *err);
};
/* Dials `path` until `patience_ms` are over. */
struct uplink *uplink_start(uv_loop_t *loop, const char *path, uint64_t patience_ms,
                            const struct uplink_events *events, void *ctx);
/* A message is built by uplink_begin, hob_pairs_add..., uplink_send; one at a time. Not up: it goes nowhere. */
struct hob_pairs_writer *uplink_begin(struct uplink *u, uint32_t type);
void uplink_send(struct uplink *u, const int *fds, size_t fds_n); /* takes the descriptors */
/* False when logs must be dropped now. */
bool uplink_can_log(const struct uplink *u, bool is_modest);
void uplink_close(struct uplink *u);
