/* Finds the newest matching lines in one function's log files, from the end backwards. Blocking: worker threads
 * only; touches nothing shared. */
#pragma once

#include "base/buf.h"

struct log_match {
    uint8_t level_min;   /* 0: all */
    const char *request; /* NULL: all */
    char since[25];      /* as hob_utc_format; "" no bound */
};
/* Whether a written line (with or without its '\n') matches; a torn or foreign line never does. */
bool log_line_matches(struct hob_str line, const struct log_match *m);
/* Appends at most `lines_max` lines of `path` and, when more are wanted, of `path`.1 to *out, oldest first; older
 * lines that do not fit *out are left out. Missing files are empty. */
HOB_MUST_USE enum hob_code log_scan(const char *path, const struct log_match *m, uint32_t lines_max,
                                    struct hob_buf *out, struct hob_err *err);
