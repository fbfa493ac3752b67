/* The log pump of one instance: reads its stdout and stderr pipes and hands out lines (runner/loglines.h).
 *
 * Lives on the loop's thread; owns the pipes. Memory is bounded by two half lines. A flood is read, counted and
 * dropped, and its pipe is then left alone for some milliseconds, so that a flooding instance waits for itself and
 * costs its neighbours nothing. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct files;
struct log_pump;
/* One line, borrowed; `dropped` lines of that stream were lost before it. False: not taken, counts as dropped. */
typedef bool (*log_pump_line_cb)(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped);

/* Takes the non-blocking read ends, also on failure. */
HOB_MUST_USE struct log_pump *log_pump_start(uv_loop_t *loop, int stdout_fd, int stderr_fd,
                                             log_pump_line_cb cb, void *ctx, struct hob_err *err);
/* Begins to read: nothing is handed out before, so that no line comes ahead of STARTED. */
void log_pump_go(struct log_pump *p);
/* It has most of its log rate left. */
bool log_pump_is_modest(const struct log_pump *p);
/* Its writers stand still: what is there is handed out, and where descriptors are short (`files`, borrowed until it is
 * awake or closed) both pipes are held as one until it is woken up. */
void log_pump_rest(struct log_pump *p, struct files *files);
/* They may write again. Reads a moment later when there is no room for its descriptors yet. */
void log_pump_wake(struct log_pump *p);
/* The writers are gone: hands out what is still in the pipes and what has no line's end, at once. */
void log_pump_finish(struct log_pump *p);
/* No line comes any more; frees itself when libuv is done. NULL is fine. */
void log_pump_close(struct log_pump *p);
