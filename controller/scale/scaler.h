/* The autoscaler's decisions, as pure functions of state and time: nothing here reads a clock, holds a handle or
 * starts anything, so the same code runs under a virtual clock. Today's rule is reactive (start for the backlog that
 * will not drain by itself, let surplus expire by its own idle clock); a fuller rule replaces the bodies, not the door.
 * One struct scaler a version; owned by its pool. Not thread-bound. */
#pragma once

#include "base/compiler.h"

enum {
    SCALER_KEEP_ALIVE_US = 60 * 1000 * 1000,
    SCALER_BACKOFF_FIRST_US = 100 * 1000,
    SCALER_BACKOFF_MAX_US = 30 * 1000 * 1000,
    SCALER_FAILURES_OPEN = 3, /* consecutive failing starts after which waiting requests are answered */
};

struct scaler {
    uint64_t service_us;    /* moving average: dispatch to DONE; 0: none measured */
    uint64_t cold_us;       /* moving average: start asked to READY; 0: none measured */
    uint64_t not_before_us; /* back-off: no start before */
    unsigned failures;      /* consecutive failing starts */
};

struct scaler_view {                        /* one version at one moment */
    uint64_t now_us, oldest_wait_us;        /* how long the head of the queue waits already */
    unsigned queued, ready, starting, live; /* live: ready + starting; draining ones do not count */
    unsigned concurrency, min, max;
    unsigned starting_max; /* starts at a time: more would only slow each other down on the same cores */
};
/* How many instances to start now. */
unsigned scaler_starts(const struct scaler *s, const struct scaler_view *v);
/* When to ask again though nothing happens; UINT64_MAX: no need. */
uint64_t scaler_ask_again_us(const struct scaler *s, const struct scaler_view *v);
/* Whether an instance that is idle for `idle_us` goes; `live` counts it. */
bool scaler_expires(const struct scaler *s, const struct scaler_view *v, uint64_t idle_us);
uint64_t scaler_keep_alive_us(const struct scaler *s);

void scaler_note_service(struct scaler *s, uint64_t us);
void scaler_note_cold(struct scaler *s, uint64_t us); /* a start succeeded: ends the back-off */
void scaler_note_failure(struct scaler *s, uint64_t now_us);
/* Failing for so long that requests are answered at once instead of waiting for the next try. */
bool scaler_is_open(const struct scaler *s);
