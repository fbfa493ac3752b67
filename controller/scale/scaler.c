#include "controller/scale/scaler.h"

#include "base/banned.h"

enum { COLD_MIN_US = 10 * 1000, COLD_UNKNOWN_US = 50 * 1000, AVERAGE_WEIGHT = 8 };

static uint64_t averaged(uint64_t old, uint64_t sample)
{
    if (sample == 0)
        sample = 1;
    return old == 0 ? sample : old + sample / AVERAGE_WEIGHT - old / AVERAGE_WEIGHT;
}

void scaler_note_service(struct scaler *s, uint64_t us)
{
    s->service_us = averaged(s->service_us, us);
}

void scaler_note_cold(struct scaler *s, uint64_t us)
{
    s->cold_us = averaged(s->cold_us, us);
    s->failures = 0;
    s->not_before_us = 0;
}

void scaler_note_failure(struct scaler *s, uint64_t now_us)
{
    uint64_t wait = SCALER_BACKOFF_FIRST_US;
    for (unsigned i = 0; i < s->failures && wait < SCALER_BACKOFF_MAX_US; i++)
        wait *= 2;
    if (wait > SCALER_BACKOFF_MAX_US)
        wait = SCALER_BACKOFF_MAX_US;
    s->failures++;
    s->not_before_us = now_us + wait;
}

bool scaler_is_open(const struct scaler *s)
{
    return s->failures >= SCALER_FAILURES_OPEN;
}

/* How long a request may wait for a busy instance: as long as a new one would take to boot. */
static uint64_t horizon_us(const struct scaler *s)
{
    uint64_t cold = s->cold_us ? s->cold_us : COLD_UNKNOWN_US;
    return cold < COLD_MIN_US ? COLD_MIN_US : cold;
}

/* Requests that ready instances finish anyway while a new one boots. Once somebody has waited that long already the
 * average has lied (one hangs, say), and nothing counts as absorbed. */
static uint64_t absorbed(const struct scaler *s, const struct scaler_view *v)
{
    if (!s->service_us || v->oldest_wait_us >= horizon_us(s))
        return 0;
    return (uint64_t)v->ready * v->concurrency * horizon_us(s) / s->service_us;
}

static unsigned wanted_for_backlog(const struct scaler *s, const struct scaler_view *v)
{
    uint64_t away = absorbed(s, v);
    if (v->queued <= away)
        return v->queued && v->live == 0 ? 1 : 0;
    uint64_t k = (v->queued - away + v->concurrency - 1) / v->concurrency;
    return k > v->starting ? (unsigned)(k - v->starting) : 0;
}

unsigned scaler_starts(const struct scaler *s, const struct scaler_view *v)
{
    if (v->now_us < s->not_before_us)
        return 0;
    unsigned k = wanted_for_backlog(s, v);
    if (v->min > v->live && k < v->min - v->live)
        k = v->min - v->live;
    unsigned room = v->max > v->live ? v->max - v->live : 0;
    if (k > room)
        k = room;
    unsigned at_a_time = v->starting_max > v->starting ? v->starting_max - v->starting : 0;
    if (k > at_a_time)
        k = at_a_time;
    if (s->failures && k > 1) /* after a failing start one probe, not a herd */
        k = v->starting ? 0 : 1;
    return k;
}

uint64_t scaler_ask_again_us(const struct scaler *s, const struct scaler_view *v)
{
    bool is_wanted = v->queued > 0 || v->live < v->min;
    if (!is_wanted || v->live >= v->max)
        return UINT64_MAX;
    if (v->now_us < s->not_before_us)
        return s->not_before_us;
    if (v->queued && v->oldest_wait_us < horizon_us(s))
        return v->now_us + horizon_us(s) - v->oldest_wait_us;
    return UINT64_MAX;
}

uint64_t scaler_keep_alive_us(const struct scaler *s)
{
    (void)s;
    return SCALER_KEEP_ALIVE_US;
}

bool scaler_expires(const struct scaler *s, const struct scaler_view *v, uint64_t idle_us)
{
    return v->queued == 0 && v->live > v->min && idle_us >= scaler_keep_alive_us(s);
}
