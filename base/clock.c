#include "base/clock.h"

#include <stdio.h>
#include <time.h>

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

void hob_utc_format(int64_t utc_ms, char out[25])
{
    time_t seconds = (time_t)(utc_ms / 1000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    char day[20];
    (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, 25, "%.19s.%03uZ", day, (unsigned)(utc_ms % 1000) % 1000u);
}
