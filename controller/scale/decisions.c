#include "controller/scale/decisions.h"

#include <stdio.h>

#include "base/banned.h"

const char *const scaler_why_names[SCALER_WHYS_] = {"nothing",  "rate",  "backlog", "floor",
                                                    "schedule", "habit", "hold"};
static const char *const mode_names[] = {"cost", "balanced", "latency"};

static uint16_t short_of(unsigned v)
{
    return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static uint32_t word_of(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static struct decision *next(struct decisions *d, const struct scaler *s, const struct scaler_view *v)
{
    struct decision *one = &d->kept[d->n++ % DECISIONS_KEPT];
    *one = (struct decision){
        .at_us = v->now_us,
        .ready = short_of(v->ready),
        .starting = short_of(v->starting),
        .queued = v->queued,
        .rate = (float)scaler_rate(s, v->now_us),
        .service_us = word_of(s->service_us),
        .cold_us = word_of(scaler_cold95_us(s)),
    };
    return one;
}

void decisions_started(struct decisions *d, const struct scaler *s, const struct scaler_view *v,
                       const struct scaler_decision *made)
{
    struct decision *one = next(d, s, v);
    one->started = short_of(made->starts);
    one->want = short_of(made->want);
    one->backlog = short_of(made->backlog);
    one->floor = short_of(made->floor);
    one->why = (uint8_t)made->why;
    one->bound = (uint8_t)made->bound;
    d->started_by[made->why] += made->starts;
}

/* Those that expire within one look are told together when nothing came in between. */
void decisions_stopped(struct decisions *d, const struct scaler *s, const struct scaler_view *v)
{
    struct decision *last = d->n ? &d->kept[(d->n - 1) % DECISIONS_KEPT] : NULL;
    d->stopped++;
    if (last && last->stopped && v->now_us - last->at_us < SCALER_TICK_US && last->stopped < UINT16_MAX) {
        last->stopped++;
        return;
    }
    struct decision *one = next(d, s, v);
    one->stopped = 1;
    one->want = short_of(scaler_want(s, v));
}

/* ---- in words ---- */

struct span_text {
    char at[24];
};

static struct span_text span(uint64_t us)
{
    struct span_text t;
    if (us < 1000)
        (void)snprintf(t.at, sizeof t.at, "%u us", (unsigned)us);
    else if (us < 10000)
        (void)snprintf(t.at, sizeof t.at, "%.1f ms", (double)us / 1e3);
    else if (us < 1000000)
        (void)snprintf(t.at, sizeof t.at, "%.0f ms", (double)us / 1e3);
    else if (us < 10000000)
        (void)snprintf(t.at, sizeof t.at, "%.1f s", (double)us / 1e6);
    else if (us < 600ull * 1000 * 1000)
        (void)snprintf(t.at, sizeof t.at, "%.0f s", (double)us / 1e6);
    else
        (void)snprintf(t.at, sizeof t.at, "%.0f min", (double)us / 60e6);
    return t;
}

static HOB_PRINTF(2, 3) void sentence(struct hob_jw *w, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    hob_jw_cstr(w, text);
}

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

static void say_state(struct hob_jw *w, const struct scaler_view *v, unsigned frozen)
{
    char idle[48] = "";
    if (frozen)
        (void)snprintf(idle, sizeof idle, " (%u frozen: idle, and using no CPU)", frozen);
    sentence(w, "%u instance%s up%s, %u starting; %u request%s in work, %u waiting.", v->ready,
             v->ready == 1 ? " is" : "s are", idle, v->starting, v->in_flight, plural(v->in_flight),
             v->queued);
}

static void say_rate(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v)
{
    double rate = scaler_rate(s, v->now_us);
    unsigned want = scaler_want(s, v);
    if (s->last_arrival_us == 0) {
        sentence(w, "No request came since it was made: none is needed by rate.");
        return;
    }
    if (want == 0) {
        sentence(
            w,
            "By rate none is needed: the last request came %s ago, and %.2g requests a second of %s each "
            "would keep less than a twentieth of an instance busy.",
            span(v->now_us - s->last_arrival_us).at, rate, span(s->service_us).at);
        return;
    }
    if (v->now_us - s->last_arrival_us > SCALER_RECENT_US) {
        sentence(
            w,
            "By rate none is started: the last request came %s ago. The rate that fades (%.3g a second of %s "
            "each) keeps at most %u of those that are up.",
            span(v->now_us - s->last_arrival_us).at, rate, span(s->service_us).at, want);
        return;
    }
    double load = rate * (double)s->service_us / 1e6 / v->concurrency;
    sentence(
        w,
        "By rate %u: %.3g requests a second of %s each keep %.2f instances busy (concurrency %u), and mode "
        "%s adds room for chance.",
        want, rate, span(s->service_us).at, load, v->concurrency, mode_names[v->mode]);
}

static void say_backlog(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v)
{
    unsigned k = scaler_backlog(s, v);
    const char *cold = s->cold95_us ? "takes" : "is expected to take";
    if (v->queued && k)
        sentence(w, "By backlog %u more: %u wait, the first for %s, and a start %s %s.", k, v->queued,
                 span(v->oldest_wait_us).at, cold, span(scaler_cold95_us(s)).at);
    else if (v->queued)
        sentence(w,
                 "The %u that wait are served by instances that are up or starting before one more could "
                 "start (%s).",
                 v->queued, span(scaler_cold95_us(s)).at);
}

static void say_floor(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v)
{
    enum scaler_why why;
    unsigned floor = scaler_floor(s, v, &why);
    if (why == SCALER_BY_FLOOR)
        sentence(w, "At least %u: scale.min or a window of scale.windows says so.", floor);
    else if (why == SCALER_BY_SCHEDULE)
        sentence(w, "At least 1: a scheduled call is due.");
    else if (why == SCALER_BY_HABIT)
        sentence(w, "At least 1: by the distances of its requests so far, the next is due.");
    else if (why == SCALER_BY_HOLD)
        sentence(w, "At least %u for another %s: so many were there before the restart or the deploy.", floor,
                 span(s->hold_until_us - v->now_us).at);
}

static void say_bounds(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v,
                       const struct explain_node *node)
{
    if (v->ready + v->starting >= v->max + v->stale)
        sentence(w, "No more than %u: scale.max.", v->max);
    if (s->failures)
        sentence(w, "Starts fail (%u in a row): %.200s%s Next try in %s, one at a time.", s->failures,
                 node->failure ? node->failure : "", node->failure && *node->failure ? "." : "",
                 span(s->not_before_us > v->now_us ? s->not_before_us - v->now_us : 0).at);
    if (s->is_open)
        sentence(w,
                 "The breaker is open: %u of the last %u starts failed; requests that no instance can take "
                 "are answered at once.",
                 (unsigned)__builtin_popcount(s->outcomes), (unsigned)SCALER_OUTCOMES);
    if (node->is_away)
        sentence(w, "No node is connected (hob-runner): nothing can be started until one is.");
    if (node->is_full)
        sentence(w, "The node has no memory for one more instance; idle ones of others are being let go.");
    if (node->waiting)
        sentence(w, "%u start%s for a turn: the node starts a few at a time, apps in turn.", node->waiting,
                 node->waiting == 1 ? " waits" : "s wait");
}

static void say_idle(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v)
{
    const char *why;
    uint64_t keep = scaler_keep_us(s, v, &why);
    enum scaler_why by;
    if (v->ready > 1)
        sentence(w, "One that is not needed goes after %s without work (a start %s %s).",
                 span(scaler_idle_us(s, v)).at, s->cold95_us ? "takes" : "is expected to take",
                 span(scaler_cold95_us(s)).at);
    if (v->ready && scaler_floor(s, v, &by) == 0)
        sentence(w, "The last one goes after %s without work: %s.", span(keep).at, why);
}

static void write_decisions(struct hob_jw *w, const struct scaler_view *v, const struct decisions *d)
{
    uint64_t kept = d->n < DECISIONS_KEPT ? d->n : DECISIONS_KEPT;
    hob_jw_key(w, "decisions");
    hob_jw_array(w);
    for (uint64_t i = 0; i < kept; i++) {
        const struct decision *one = &d->kept[(d->n - 1 - i) % DECISIONS_KEPT];
        hob_jw_object(w);
        hob_jw_kint(w, "ago_ms", (int64_t)((v->now_us - one->at_us) / 1000));
        hob_jw_kint(w, "started", one->started);
        hob_jw_kint(w, "stopped", one->stopped);
        hob_jw_kcstr(w, "why", one->stopped ? "idle" : scaler_why_names[one->why]);
        hob_jw_kint(w, "want", one->want);
        hob_jw_kint(w, "backlog", one->backlog);
        hob_jw_kint(w, "floor", one->floor);
        hob_jw_kint(w, "ready", one->ready);
        hob_jw_kint(w, "starting", one->starting);
        hob_jw_kint(w, "queued", one->queued);
        hob_jw_key(w, "rate");
        hob_jw_double(w, (double)one->rate);
        hob_jw_kint(w, "service_us", one->service_us);
        hob_jw_kint(w, "cold_us", one->cold_us);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

void explain_write(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v,
                   const struct decisions *d, const struct explain_node *node)
{
    const char *why;
    enum scaler_why by;
    hob_jw_kcstr(w, "mode", mode_names[v->mode]);
    hob_jw_kint(w, "ready", v->ready);
    hob_jw_kint(w, "starting", v->starting);
    hob_jw_kint(w, "queued", v->queued);
    hob_jw_kint(w, "in_flight", v->in_flight);
    hob_jw_kint(w, "want", scaler_want(s, v));
    hob_jw_kint(w, "backlog", scaler_backlog(s, v));
    hob_jw_kint(w, "floor", scaler_floor(s, v, &by));
    hob_jw_kint(w, "max", v->max);
    hob_jw_key(w, "rate");
    hob_jw_double(w, scaler_rate(s, v->now_us));
    hob_jw_kint(w, "service_us", (int64_t)s->service_us);
    hob_jw_kint(w, "cold_us", (int64_t)scaler_cold95_us(s));
    hob_jw_kint(w, "idle_ms", (int64_t)(scaler_idle_us(s, v) / 1000));
    hob_jw_kint(w, "keep_ms", (int64_t)(scaler_keep_us(s, v, &why) / 1000));
    hob_jw_key(w, "because");
    hob_jw_array(w);
    say_state(w, v, node->frozen);
    say_rate(w, s, v);
    say_backlog(w, s, v);
    say_floor(w, s, v);
    say_bounds(w, s, v, node);
    say_idle(w, s, v);
    hob_jw_array_end(w);
    write_decisions(w, v, d);
}
