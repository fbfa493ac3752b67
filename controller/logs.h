/* Logs of functions: one JSON-lines file each (dir/APP/FUNCTION.log) with one older behind it (.log.1), and readers
 * that get the last lines and, when they follow, every line as it comes. Appending never blocks the loop: lines are
 * batched and written by a worker thread, one job at a time, so that a reading sees whole lines and misses none.
 * What the disk or a slow reader cannot take is dropped, counted, and the loss is said in the log itself.
 * Loop's thread only. Lines are not fsynced: a crash of the machine may lose the last ones. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct logs;
struct log_reader;

struct log_line {
    int64_t utc_ms;
    uint8_t level; /* enum hob_channel_log */
    const char
        *stream; /* "stdout", "stderr", "log" (by the channel) or "platform" (Hob about the function) */
    uint32_t version;
    uint64_t instance;
    struct hob_str request_id, text; /* request_id may be empty */
};
HOB_MUST_USE struct logs *logs_start(uv_loop_t *loop, const char *dir, struct hob_err *err);
/* Writes what waits, ends every reader with HOB_E_UNAVAILABLE, then `closed`. */
void logs_close(struct logs *l, void (*closed)(void *ctx), void *ctx);
/* `app` and `function` are valid names: they become file names. A text longer than log.line_bytes is cut. */
void logs_append(struct logs *l, const char *app, const char *function, const struct log_line *line);
/* The function is gone: its files are removed and its followers ended. */
void logs_remove(struct logs *l, const char *app, const char *function);

struct log_query {
    const char *app, *function;
    uint32_t tail;       /* newest matching lines first of all; at most log.tail_lines */
    int64_t since_ms;    /* UTC; 0: no bound */
    uint8_t level_min;   /* enum hob_channel_log; 0: all */
    const char *request; /* only this request's lines; NULL: all */
    bool is_following;
};
struct log_events {
    /* Whole lines, each ended by '\n', oldest first, borrowed for the call. They are always taken; false asks for a
     * pause until log_reader_resume. */
    bool (*on_lines)(void *ctx, struct hob_str lines);
    /* Final; the reader is dead. `err` is NULL when all was read or the function was removed. */
    void (*on_end)(void *ctx, const struct hob_err *err);
};
/* No event comes from inside. HOB_E_BUSY when log.readers are at work. `events` is borrowed for the reader's life. */
HOB_MUST_USE struct log_reader *logs_read(struct logs *l, const struct log_query *q,
                                          const struct log_events *events, void *ctx, struct hob_err *err);
void log_reader_resume(struct log_reader *r);
void log_reader_close(struct log_reader *r); /* no event comes any more */

struct logs_stats {
    uint64_t lines_total, dropped_total, write_errors_total;
    uint64_t pending_bytes, readers;
};
void logs_stats(const struct logs *l, struct logs_stats *ret_stats);

/* One line as it stands in the file, ended by '\n'. */
struct hob_buf;
HOB_MUST_USE enum hob_code log_line_write(const struct log_line *line, struct hob_buf *out);
/* "debug", "info", "warn", "error" and back; 0 for an unknown name. */
const char *log_level_name(uint8_t level);
uint8_t log_level_of(struct hob_str name);
