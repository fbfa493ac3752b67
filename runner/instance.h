/* One instance on this node: from START to FAILED or EXITED. Makes the channel and the log pipes, has an engine run
 * it, and tells hobd. Its life is a table of state and event in instance.c.
 *
 * Lives on the loop's thread, owned by the agent until `ended`, which comes exactly once and never from inside
 * instance_start; the instance is freed behind it. */
#pragma once

#include "base/map.h"
#include "runner/engine.h"
#include "runner/files.h"
#include "runner/stems.h"
#include "runner/uplink.h"
#include "runner/zygotes.h"

struct instance;
struct instance_options {
    uv_loop_t *loop;
    struct uplink *uplink;   /* borrows */
    struct engine *engine;   /* borrows */
    struct stems *stems;     /* borrows; NULL: the engine keeps its own */
    struct zygotes *zygotes; /* borrows; NULL: none */
    struct files *files;     /* borrows; counts in it those that start, and what they hold */
    void (*ended)(void *ctx, struct instance *i);
    void *ctx;
};
/* Reads START's pairs; takes `stdin_fd` (-1: none). NULL when they make no sense or descriptors are short: then nothing
 * was started, and the caller says so. */
HOB_MUST_USE struct instance *instance_start(const struct instance_options *o, const struct hob_pairs *start,
                                             int stdin_fd, struct hob_err *err);
uint64_t instance_id(const struct instance *i);
void instance_stop(struct instance *i, uint32_t grace_ms);
void instance_freeze(struct instance *i);
void instance_thaw(struct instance *i);
void instance_ask_stats(struct instance *i);
/* Without `ended`, without a word to hobd: the link is gone and the engine is closed. */
void instance_abandon(struct instance *i);
/* Sends FAILED for a START that became no instance. */
void instance_send_failed(struct uplink *u, uint64_t id, const struct hob_err *err);
