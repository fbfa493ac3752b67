#include "base/clock.h"

#include <string.h>
#include <time.h>

#include "base/str.h"

uint64_t hob_now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t hob_now_ms(void)
{
    return hob_now_us() / 1000u;
}

int64_t hob_utc_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t real_now(void *ctx)
{
    (void)ctx;
    return hob_now_us();
}

const struct hob_clock hob_clock_real = {real_now, NULL};

static uint64_t virtual_now(void *ctx)
{
    return *(const uint64_t *)ctx;
}

struct hob_clock hob_clock_virtual(uint64_t *now_us)
{
    return (struct hob_clock){virtual_now, now_us};
}

/* Most calls are about the second that the one before was about. */
void hob_utc_format(int64_t utc_ms, char out[25])
{
    static _Thread_local int64_t kept_seconds = INT64_MIN;
    static _Thread_local char kept[20] = "0000-00-00T00:00:00";
    int64_t ms = utc_ms % 1000, seconds = utc_ms / 1000 - (ms < 0); /* before 1970, too */
    if (seconds != kept_seconds) {
        struct tm tm;
        time_t time = (time_t)seconds;
        (void)gmtime_r(&time, &tm);
        (void)hob_digits_put(kept + 4, (unsigned)(tm.tm_year + 1900) % 10000, 4);
        (void)hob_digits_put(kept + 7, (unsigned)tm.tm_mon + 1, 2);
        (void)hob_digits_put(kept + 10, (unsigned)tm.tm_mday, 2);
        (void)hob_digits_put(kept + 13, (unsigned)tm.tm_hour, 2);
        (void)hob_digits_put(kept + 16, (unsigned)tm.tm_min, 2);
        (void)hob_digits_put(kept + 19, (unsigned)tm.tm_sec, 2);
        kept_seconds = seconds;
    }
    memcpy(out, kept, 19);
    out[19] = '.';
    (void)hob_digits_put(out + 23, (unsigned)(ms < 0 ? ms + 1000 : ms), 3);
    memcpy(out + 23, "Z", 2);
}
