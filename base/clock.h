/* Time behind one door, so that schedulers run unchanged under a virtual clock.
 * Monotonic for durations and deadlines, UTC for what people see. */
#pragma once

#include "base/compiler.h"

struct hob_clock {
    uint64_t (*now_us)(void *ctx); /* monotonic microseconds */
    void *ctx;
};

extern const struct hob_clock hob_clock_real;
/* A clock that moves only when told; ctx is a uint64_t of microseconds. */
struct hob_clock hob_clock_virtual(uint64_t *now_us);
static inline uint64_t hob_clock_us(const struct hob_clock *c)
{
    return c->now_us(c->ctx);
}
uint64_t hob_now_us(void); /* monotonic, real */
uint64_t hob_now_ms(void);
int64_t hob_utc_ms(void); /* since 1970-01-01T00:00:00Z */
/* "2026-11-20T05:22:00.123Z" (24 characters and NUL). */
void hob_utc_format(int64_t utc_ms, char out[25]);
