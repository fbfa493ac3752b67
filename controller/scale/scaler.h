/* The autoscaler's rule, as pure functions of state and time: nothing here reads a clock, holds a handle or starts
 * anything, so the same code runs live, under a virtual clock in tests, and in the simulator (simulate.h).
 * docs/autoscaling.md says why it is what it is. One struct scaler a version; owned by its pool. Not thread-bound.
 *
 * The caller tells what happens (scaler_note_...), asks for a decision whenever something changed or the time has come
 * that the last one named, and carries it out. Every number is in microseconds unless its name says otherwise. */
#pragma once

#include "controller/scale/keep.h"
#include "controller/scale/sketch.h"
#include "manifest/manifest.h"

enum {
    SCALER_TICK_US = 100 * 1000,        /* between two looks at a version that has traffic */
    SCALER_RECENT_US = 1000 * 1000,     /* by rate, one is started only so soon after a request */
    SCALER_COLD_UNKNOWN_US = 50 * 1000, /* a start that nobody has measured */
    SCALER_BACKOFF_FIRST_US = 100 * 1000,
    SCALER_BACKOFF_MAX_US = 30 * 1000 * 1000,
    SCALER_OUTCOMES = 10,     /* the last starts that the breaker looks at */
    SCALER_FAILURES_OPEN = 3, /* failing ones among them that open it */
    SCALER_IDLE_MIN_US = 10 * 1000 * 1000,
    SCALER_IDLE_MAX_US = 120 * 1000 * 1000,
    SCALER_KEEP_CHEAP_US = 60 * 1000 * 1000, /* the last one, when a start costs little */
    SCALER_HOLD_US = 60 * 1000 * 1000,       /* a count that was taken over is held so long */
};

struct scaler {
    double lam1, lam10; /* arrivals a second, fading over 1 s and 10 s; as of rate_at_us */
    uint64_t rate_at_us, arrivals, last_arrival_us;
    uint64_t service_us;                /* mean of the last runs, dispatch to DONE; 0: none measured */
    double service_mean;                /* the same, with its fraction */
    struct sketch service, cold, waits; /* waits: arrival to dispatch */
    uint64_t cold_prior_us;             /* what others of its runtime take; 0: unknown */
    uint64_t cold95_us;                 /* of `cold`; 0: none measured */
    uint64_t not_before_us;             /* back-off: no start before */
    unsigned failures;                  /* consecutive failing starts */
    uint32_t outcomes;                  /* the last starts, newest lowest; 1: failed */
    bool is_open;                       /* the breaker: too many of them failed */
    uint64_t quiet_us;                  /* since then nothing waits or runs; 0: something does */
    struct keep keep;
    uint64_t expect_us; /* a schedule's next call; 0: none known */
    bool is_scheduled;  /* its calls come from schedules only */
    unsigned hold;      /* instances to keep until hold_until_us, whatever the rate says */
    uint64_t hold_until_us;
};

struct scaler_view { /* one version at one moment */
    uint64_t now_us;
    uint64_t oldest_wait_us; /* how long the head of the queue waits already */
    unsigned queued, in_flight;
    unsigned ready, starting; /* ready: up, busy or not; draining ones do not count */
    unsigned stale;       /* of ready: takes nothing new for a while, and another may be there in its place */
    unsigned concurrency; /* invocations in one instance at a time */
    unsigned min, max;    /* min: scale.min and windows */
    enum scale_mode mode;
    uint64_t keep_us; /* scale.keep_s: how long the last idle one stays; 0: by the rule */
    bool is_retired;  /* no longer live: nobody is expected, and nothing is kept for anybody */
};

enum scaler_why { /* what asks for the instances of a decision */
                  SCALER_NOTHING,
                  SCALER_BY_RATE,
                  SCALER_BY_BACKLOG,
                  SCALER_BY_FLOOR,    /* scale.min or a window */
                  SCALER_BY_SCHEDULE, /* a call is due */
                  SCALER_BY_HABIT,    /* the next request is due, by the gaps before */
                  SCALER_BY_HOLD,
                  SCALER_WHYS_
};
enum scaler_bound { /* what keeps it from more */
                    SCALER_FREE,
                    SCALER_AT_MAX,
                    SCALER_BACKING_OFF,
                    SCALER_PROBING, /* one start at a time after a failing one */
                    SCALER_BOUNDS_
};
struct scaler_decision {
    unsigned starts; /* instances to start now, beside those that are starting */
    unsigned want;   /* by rate, `backlog` beside what is starting, `floor` */
    unsigned backlog, floor;
    enum scaler_why why;
    enum scaler_bound bound;
    uint64_t ask_again_us; /* ask again then, though nothing happened; UINT64_MAX: no need */
};

void scaler_init(struct scaler *s, uint64_t cold_prior_us);
/* The decision. Depends on nothing but its arguments. */
struct scaler_decision scaler_decide(const struct scaler *s, const struct scaler_view *v);
/* Whether an instance that is idle for `idle_us` goes. The caller counts it in v->ready and begins with the one that was
 * idle longest. Never asked of a busy one. */
bool scaler_expires(const struct scaler *s, const struct scaler_view *v, uint64_t idle_us);
/* Idle for less than this, none goes. */
uint64_t scaler_expiry_us(const struct scaler *s, const struct scaler_view *v);
/* How many of the ready ones take the work; the rest is left to become idle. */
unsigned scaler_active(const struct scaler *s, const struct scaler_view *v);
/* How long one more request would wait at least. */
uint64_t scaler_predict_us(const struct scaler *s, const struct scaler_view *v, bool can_start);

/* --- what the decision is made of, for people and tests --- */
double scaler_rate(const struct scaler *s, uint64_t now_us); /* the larger of the two, a second */
double scaler_rate_10s(const struct scaler *s, uint64_t now_us);
unsigned scaler_want(const struct scaler *s, const struct scaler_view *v);
unsigned scaler_backlog(const struct scaler *s, const struct scaler_view *v);
unsigned scaler_floor(const struct scaler *s, const struct scaler_view *v, enum scaler_why *ret_why);
uint64_t scaler_cold95_us(const struct scaler *s); /* measured, or the prior */
uint64_t scaler_idle_us(const struct scaler *s,
                        const struct scaler_view *v); /* a surplus one's time to live */
uint64_t scaler_keep_us(const struct scaler *s, const struct scaler_view *v,
                        const char **ret_why); /* the last one's */

/* --- what happened --- */
void scaler_note_arrival(struct scaler *s, uint64_t now_us);
void scaler_note_quiet(struct scaler *s, uint64_t now_us); /* nothing waits or runs any more */
void scaler_note_wait(struct scaler *s, uint64_t us);
void scaler_note_service(struct scaler *s, uint64_t us);
void scaler_note_cold(struct scaler *s, uint64_t us); /* a start succeeded: ends the back-off */
void scaler_note_failure(struct scaler *s, uint64_t now_us);
/* So many instances were there before (a restart, a new version): they stay so long. */
void scaler_hold(struct scaler *s, unsigned instances, uint64_t now_us);
/* A schedule calls at that time; 0: no schedule knows a time. `is_only`: nobody else calls. */
void scaler_expect(struct scaler *s, uint64_t at_us, bool is_only);
/* The breaker is open: requests that no instance can take are answered at once instead of waiting for the next try. */
bool scaler_is_open(const struct scaler *s);
