#include "controller/scale/scaler.h"

#include <math.h>

#include "base/banned.h"

enum {
    COLD_MIN_US = 10 * 1000,
    SERVICE_RUNS = 64, /* whose mean counts: fewer, and chance moves the number of instances */
    COLD_HALF_LIFE = 64,
    SERVICE_HALF_LIFE = 512,
    CHEAP_COLD_US = 50 * 1000,
    HEAD_MIN_US = 2 * 60 * 1000 * 1000, /* a next request that is further away is not waited for */
    COLD_CREDIT = 200, /* an idle instance may live so many times as long as a new one takes to start */
};
static const uint64_t KEEP_FIXED_US = 2ull * 60 * 1000 * 1000,
                      KEEP_FIXED_LATENCY_US = 10ull * 60 * 1000 * 1000,
                      KEEP_MAX_US = 20ull * 60 * 1000 * 1000, LAST_EXPECTED_US = 60ull * 1000 * 1000;
static const double LOAD_MIN = 0.05; /* below, nothing is kept by rate */

static uint64_t at_most(uint64_t v, uint64_t max)
{
    return v < max ? v : max;
}

static uint64_t at_least(uint64_t v, uint64_t min)
{
    return v > min ? v : min;
}

static uint64_t since(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

void scaler_init(struct scaler *s, uint64_t cold_prior_us)
{
    *s = (struct scaler){.cold_prior_us = cold_prior_us};
    sketch_init(&s->service, SERVICE_HALF_LIFE);
    sketch_init(&s->waits, SERVICE_HALF_LIFE);
    sketch_init(&s->cold, COLD_HALF_LIFE);
}

/* ---- by rate ---- */

static double faded(double lam, double seconds, double tau)
{
    return seconds > 40 * tau ? 0 : lam * exp(-seconds / tau);
}

double scaler_rate_10s(const struct scaler *s, uint64_t now_us)
{
    return faded(s->lam10, (double)since(now_us, s->rate_at_us) / 1e6, 10);
}

double scaler_rate(const struct scaler *s, uint64_t now_us)
{
    double lam1 = faded(s->lam1, (double)since(now_us, s->rate_at_us) / 1e6, 1);
    return fmax(lam1, scaler_rate_10s(s, now_us));
}

/* Little's law: rate times service time is how many work at a time; the root beside it is for chance. A few requests
 * after a pause look like a high rate: never more instances than requests came in the last seconds. */
unsigned scaler_want(const struct scaler *s, const struct scaler_view *v)
{
    static const double betas[] = {[SCALE_COST] = 0.5, [SCALE_BALANCED] = 1, [SCALE_LATENCY] = 2};
    double load = scaler_rate(s, v->now_us) * (double)s->service_us / 1e6 / v->concurrency;
    if (load < LOAD_MIN)
        return 0;
    double want = fmin(ceil(load + betas[v->mode] * sqrt(load)), ceil(10 * scaler_rate_10s(s, v->now_us)));
    return want > v->max ? v->max : (unsigned)want;
}

/* ---- by backlog ---- */

uint64_t scaler_cold95_us(const struct scaler *s)
{
    if (s->cold95_us)
        return s->cold95_us;
    return s->cold_prior_us ? s->cold_prior_us : SCALER_COLD_UNKNOWN_US;
}

/* How long a request may wait for a busy instance: as long as a new one would take to start. */
static uint64_t horizon_us(const struct scaler *s)
{
    return at_least(scaler_cold95_us(s), COLD_MIN_US);
}

/* Requests that ready instances finish anyway while a new one starts. Once somebody has waited that long already the
 * average has lied (one hangs, say), and nothing counts as absorbed. */
static uint64_t absorbed(const struct scaler *s, const struct scaler_view *v)
{
    if (v->mode == SCALE_LATENCY || !s->service_us || v->oldest_wait_us >= horizon_us(s))
        return 0;
    return (uint64_t)v->ready * v->concurrency * horizon_us(s) / s->service_us;
}

unsigned scaler_backlog(const struct scaler *s, const struct scaler_view *v)
{
    if (v->queued == 0)
        return 0;
    bool is_first = v->ready + v->starting == 0;
    uint64_t away = absorbed(s, v);
    uint64_t left = v->queued > away ? v->queued - away : 0;
    uint64_t k = (left + v->concurrency - 1) / v->concurrency;
    k = k > v->starting ? k - v->starting : 0;
    return is_first && k == 0 ? 1 : (unsigned)k;
}

/* ---- floors ---- */

/* How long before a call that is known to come its instance is started. */
static uint64_t lead_us(const struct scaler *s)
{
    return scaler_cold95_us(s) + scaler_cold95_us(s) / 5;
}

static bool is_due(const struct scaler *s, uint64_t now_us)
{
    return s->expect_us && now_us + lead_us(s) >= s->expect_us && now_us < s->expect_us + LAST_EXPECTED_US;
}

static bool has_habit(const struct scaler *s)
{
    return s->keep.is_usable && s->keep.head_us >= HEAD_MIN_US && scaler_cold95_us(s) >= CHEAP_COLD_US;
}

static uint64_t habit_from_us(const struct scaler *s)
{
    return s->quiet_us + s->keep.head_us - at_most(lead_us(s), s->keep.head_us);
}

static uint64_t habit_until_us(const struct scaler *s)
{
    return s->quiet_us + at_most(s->keep.tail_us, s->keep.head_us + KEEP_MAX_US);
}

static bool is_habit(const struct scaler *s, uint64_t now_us)
{
    return s->quiet_us && has_habit(s) && now_us >= habit_from_us(s) && now_us < habit_until_us(s);
}

unsigned scaler_floor(const struct scaler *s, const struct scaler_view *v, enum scaler_why *ret_why)
{
    unsigned floor = v->min;
    *ret_why = floor && !v->is_retired ? SCALER_BY_FLOOR : SCALER_NOTHING;
    if (v->is_retired)
        return 0;
    if (floor == 0 && is_due(s, v->now_us)) {
        floor = 1;
        *ret_why = SCALER_BY_SCHEDULE;
    } else if (floor == 0 && v->keep_us == 0 && is_habit(s, v->now_us)) {
        floor = 1;
        *ret_why = SCALER_BY_HABIT;
    }
    if (s->hold > floor && v->now_us < s->hold_until_us) {
        floor = s->hold;
        *ret_why = SCALER_BY_HOLD;
    }
    return floor < v->max ? floor : v->max;
}

/* ---- the decision ---- */

static uint64_t next_change_us(const struct scaler *s, const struct scaler_view *v)
{
    uint64_t at = UINT64_MAX;
    if (v->queued && v->oldest_wait_us < horizon_us(s))
        at = at_most(at, v->now_us + horizon_us(s) - v->oldest_wait_us);
    if (s->expect_us && v->now_us + lead_us(s) < s->expect_us)
        at = at_most(at, s->expect_us - lead_us(s));
    if (s->quiet_us && v->keep_us == 0 && has_habit(s) && v->now_us < habit_from_us(s))
        at = at_most(at, habit_from_us(s));
    return at;
}

struct scaler_decision scaler_decide(const struct scaler *s, const struct scaler_view *v)
{
    struct scaler_decision d = {.want = scaler_want(s, v), .backlog = scaler_backlog(s, v)};
    unsigned live = v->ready + v->starting, k = d.backlog;
    d.floor = scaler_floor(s, v, &d.why);
    d.why = d.floor > live ? d.why : SCALER_NOTHING;
    if (k)
        d.why = SCALER_BY_BACKLOG;
    /* a rate that fades only keeps what is there: to start for it would bring back what just went; and who came to a
     * version that is retired goes to another one now */
    bool is_recent = !v->is_retired && since(v->now_us, s->last_arrival_us) <= SCALER_RECENT_US;
    if (is_recent && d.want > live && d.want - live > k) {
        k = d.want - live;
        d.why = SCALER_BY_RATE;
    }
    if (d.floor > live && d.floor - live > k) {
        k = d.floor - live;
        (void)scaler_floor(s, v, &d.why);
    }
    unsigned most = v->max + v->stale, room = most > live ? most - live : 0;
    if (k > room) {
        k = room;
        d.bound = SCALER_AT_MAX;
    }
    d.ask_again_us = next_change_us(s, v);
    if (k && v->now_us < s->not_before_us) {
        k = 0;
        d.bound = SCALER_BACKING_OFF;
        d.ask_again_us = at_most(d.ask_again_us, s->not_before_us);
    } else if (s->failures &&
               (k > 1 || (k && v->starting))) { /* after a failing start one probe, not a herd */
        k = v->starting ? 0 : 1;
        d.bound = SCALER_PROBING;
    }
    d.starts = k;
    return d;
}

unsigned scaler_active(const struct scaler *s, const struct scaler_view *v)
{
    unsigned want = scaler_want(s, v);
    unsigned least = v->min ? v->min : 1;
    return want > least ? want : least;
}

/* The optimist's answer: refusing somebody who would have been served is worse than a wait that was foreseeable. */
uint64_t scaler_predict_us(const struct scaler *s, const struct scaler_view *v, bool can_start)
{
    unsigned live = v->ready + v->starting;
    unsigned most = can_start && v->max > live ? v->max : live;
    if (!s->service_us || most == 0)
        return 0;
    /* those in flight are half done, on average; then everyone waits for the slots to come round */
    uint64_t before = (uint64_t)v->queued + 1;
    uint64_t slots = (uint64_t)most * v->concurrency;
    return before <= slots && most > live ? 0 : before * s->service_us / slots - s->service_us / 2 / slots;
}

/* ---- letting go ---- */

uint64_t scaler_idle_us(const struct scaler *s, const struct scaler_view *v)
{
    uint64_t by_cost = at_least(COLD_CREDIT * scaler_cold95_us(s), 10 * s->service_us);
    uint64_t us = at_most(at_least(by_cost, SCALER_IDLE_MIN_US), SCALER_IDLE_MAX_US);
    return at_most(us, scaler_keep_us(s, v, NULL));
}

uint64_t scaler_keep_us(const struct scaler *s, const struct scaler_view *v, const char **ret_why)
{
    const char *ignored = NULL, **why = ret_why ? ret_why : &ignored;
    *why = "hob.json says how long (scale.keep_s)";
    if (v->keep_us)
        return v->keep_us;
    *why = "its next scheduled call is more than a minute away";
    if (s->is_scheduled && s->expect_us > v->now_us + LAST_EXPECTED_US)
        return 0;
    *why = "it starts so fast that keeping it longer costs more memory than it saves time";
    if (scaler_cold95_us(s) < CHEAP_COLD_US)
        return SCALER_KEEP_CHEAP_US;
    *why = "its requests came at such distances before";
    if (has_habit(s))
        return SCALER_IDLE_MIN_US;
    if (s->keep.is_usable)
        return at_most(at_least(s->keep.tail_us, SCALER_KEEP_CHEAP_US), KEEP_MAX_US);
    *why = "too few requests came to learn their rhythm";
    return v->mode == SCALE_LATENCY ? KEEP_FIXED_LATENCY_US : KEEP_FIXED_US;
}

bool scaler_expires(const struct scaler *s, const struct scaler_view *v, uint64_t idle_us)
{
    enum scaler_why why;
    unsigned live = v->ready + v->starting, floor = scaler_floor(s, v, &why), want = scaler_want(s, v);
    if (v->queued || live <= floor)
        return false;
    if (v->keep_us) /* whoever chose the time knows better than the fading rate */
        return idle_us >= v->keep_us;
    unsigned kept = want > floor ? want : floor;
    if (live > (kept ? kept : 1))
        return idle_us >= scaler_idle_us(s, v);
    return live == 1 && idle_us >= scaler_keep_us(s, v, NULL);
}

uint64_t scaler_expiry_us(const struct scaler *s, const struct scaler_view *v)
{
    return v->ready + v->starting > 1 ? scaler_idle_us(s, v) : scaler_keep_us(s, v, NULL);
}

/* ---- what happened ---- */

void scaler_note_arrival(struct scaler *s, uint64_t now_us)
{
    double seconds = (double)since(now_us, s->rate_at_us) / 1e6;
    s->lam1 = faded(s->lam1, seconds, 1) + 1;
    s->lam10 = faded(s->lam10, seconds, 10) + 0.1;
    s->rate_at_us = at_least(now_us, s->rate_at_us);
    s->last_arrival_us = now_us;
    if (s->quiet_us)
        keep_note(&s->keep, since(now_us, s->quiet_us));
    s->quiet_us = 0;
    s->arrivals++;
}

void scaler_note_quiet(struct scaler *s, uint64_t now_us)
{
    s->quiet_us = now_us;
}

void scaler_note_wait(struct scaler *s, uint64_t us)
{
    sketch_add(&s->waits, us);
}

void scaler_note_service(struct scaler *s, uint64_t us)
{
    us = at_least(us, 1);
    sketch_add(&s->service, us);
    double n = s->service.samples < SERVICE_RUNS ? (double)s->service.samples : SERVICE_RUNS;
    s->service_mean += ((double)us - s->service_mean) / n;
    s->service_us = at_least((uint64_t)s->service_mean, 1);
}

static void note_outcome(struct scaler *s, bool is_failure)
{
    s->outcomes = (s->outcomes << 1 | is_failure) & ((1u << SCALER_OUTCOMES) - 1);
}

void scaler_note_cold(struct scaler *s, uint64_t us)
{
    sketch_add(&s->cold, at_least(us, 1));
    s->cold95_us = sketch_quantile(&s->cold, 0.95);
    s->failures = 0;
    s->not_before_us = 0;
    note_outcome(s, false);
    if (s->is_open) /* the probe came through: what was before does not count */
        s->outcomes = 0;
    s->is_open = false;
}

void scaler_note_failure(struct scaler *s, uint64_t now_us)
{
    uint64_t wait = SCALER_BACKOFF_FIRST_US;
    for (unsigned i = 0; i < s->failures && wait < SCALER_BACKOFF_MAX_US; i++)
        wait *= 2;
    s->failures++;
    s->not_before_us = now_us + at_most(wait, SCALER_BACKOFF_MAX_US);
    note_outcome(s, true);
    s->is_open = s->is_open || __builtin_popcount(s->outcomes) >= SCALER_FAILURES_OPEN;
}

void scaler_hold(struct scaler *s, unsigned instances, uint64_t now_us)
{
    s->hold = instances;
    s->hold_until_us = now_us + SCALER_HOLD_US;
}

void scaler_expect(struct scaler *s, uint64_t at_us, bool is_only)
{
    s->expect_us = at_us;
    s->is_scheduled = is_only && at_us;
}

bool scaler_is_open(const struct scaler *s)
{
    return s->is_open;
}
