/* Logs of functions: one JSON-lines file each with one older behind it, followers, and a ring in memory per followed
 * function. Appending never blocks the loop: lines are batched and written by a worker thread. Loop's thread only. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct logs;
struct log_line {
    int64_t utc_ms;
    uint8_t level;      /* enum hob_channel_log */
    const char *stream; /* "stdout", "stderr", "log" (by the channel) or "platform" (Hob about the function) */
    uint32_t version;
    uint64_t instance;
    struct hob_str request_id, text; /* request_id may be empty */
};
HOB_MUST_USE struct logs *logs_start(uv_loop_t *loop, const char *dir, struct hob_err *err);
void logs_close(struct logs *l, void (*closed)(void *ctx), void *ctx); /* flushes first */
void logs_append(struct logs *l, const char *app, const char *function, const struct log_line *line);
void logs_remove(struct logs *l, const char *app, const char *function); /* the function is gone */
