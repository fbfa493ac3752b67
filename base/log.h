/* Logs: a dotted event name and key=value pairs, one line each, to stderr.
 * Text on a terminal, JSON lines otherwise (HOB_LOG_FORMAT=text|json overrides). No payloads, no secrets.
 * Thread-safe: one write(2) a line. */
#pragma once

#include "base/compiler.h"

enum hob_log_level { HOB_LOG_DEBUG, HOB_LOG_INFO, HOB_LOG_WARN, HOB_LOG_ERROR };

/* Reads HOB_LOG_FORMAT and HOB_LOG_LEVEL (debug, info, warn, error); `program` is borrowed for ever. */
void hob_log_init(const char *program);
/* `event` is dotted and greppable ("instance.start"); `fmt` gives "key=value key=value". */
HOB_PRINTF(3, 4) void hob_log(enum hob_log_level level, const char *event, const char *fmt, ...);
