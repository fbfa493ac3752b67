/* Lines out of the bytes that an instance writes: split, cut, made harmless, and held to a rate.
 *
 * Pure: no descriptors, no clock of its own. One `log_rate` per instance, shared by its streams; one `log_lines` per
 * stream. Memory: at most log.line_bytes per stream, and none while no line is half-written.
 *
 * A line longer than log.line_bytes is cut there and marked; the rest of it is thrown away. Bytes that are no valid
 * UTF-8, and control characters but tab, become \xNN. A line that the rate does not allow is dropped and counted; the
 * next one that passes brings the count. */
#pragma once

#include "base/buf.h"

struct log_rate { /* token bucket over log.bytes_per_second and log.burst_bytes */
    uint64_t tokens, filled_us;
};
void log_rate_init(struct log_rate *r, uint64_t now_us);
/* Takes the price of a line of `n` bytes; false when there is not enough. */
bool log_rate_take(struct log_rate *r, size_t n, uint64_t now_us);

struct log_sink {
    /* One line, borrowed for the call; false when it could not be taken: it counts as dropped. */
    bool (*line)(void *ctx, struct hob_str text, uint64_t dropped);
    void *ctx;
};
struct log_lines {
    struct hob_buf partial; /* the beginning of a line whose end has not come */
    bool is_skipping;       /* behind a cut: everything up to the line's end is thrown away */
    uint64_t dropped;       /* lines since the last that passed */
};
void log_lines_init(struct log_lines *l);
void log_lines_done(struct log_lines *l);
/* Takes in bytes and hands out the lines that they complete. Returns how many of them were dropped. */
uint64_t log_lines_feed(struct log_lines *l, struct hob_str bytes, struct log_rate *rate, uint64_t now_us,
                        const struct log_sink *sink);
/* The stream ended: hands out the last line without end, and tells of lines dropped since. */
void log_lines_finish(struct log_lines *l, struct log_rate *rate, uint64_t now_us,
                      const struct log_sink *sink);
