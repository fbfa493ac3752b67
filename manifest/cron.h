/* Points in time that come again: the five fields of cron (minute, hour, day of the month, month, day of the week),
 * in UTC, and spans like "8h". Pure: no clock is read. POSIX.1 crontab(1); lists, ranges, steps ("* / 5" without the
 * blanks) and English names of three letters beside numbers; Sunday is 0 or 7. When day of the month and day of the
 * week are both restricted, either is enough, as cron has it. Not thread-bound. */
#pragma once

#include "base/err.h"

struct hob_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* one bit a value */
    bool has_days, has_weekdays;            /* restricted, not '*' */
};

/* HOB_E_INVALID names the field, what stands there and what would be right. */
HOB_MUST_USE enum hob_code hob_cron_parse(const char *text, struct hob_cron *ret_cron, struct hob_err *err);
/* The first time that is later than `utc_ms`, on a whole minute; INT64_MAX when none comes within nine years. */
int64_t hob_cron_next(const struct hob_cron *c, int64_t utc_ms);

/* "90s", "30m", "8h", "2d": whole seconds, at least 1 and at most a year. */
HOB_MUST_USE enum hob_code hob_span_parse(const char *text, uint32_t *ret_s, struct hob_err *err);
