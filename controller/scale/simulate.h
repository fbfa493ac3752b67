/* One version's queue and instances under a virtual clock: the scaler's own code decides, arrivals and service times come
 * from a trace, and cost is set against waiting. A model: starts take as long as they are said to take however many start
 * at once, unless the cores are named that they share, and an instance is never frozen. Nothing shared is touched, so it
 * may run in a worker. */
#pragma once

#include "base/json.h"
#include "controller/scale/scaler.h"

struct sim_arrival {
    uint64_t at_us;
    uint32_t service_us, function; /* function: index, for traces of several */
};
struct sim_options {
    enum scale_mode mode;
    unsigned concurrency, min, max; /* 0: 1, 0, 100 */
    uint64_t cold_us;               /* of every start */
    uint64_t patience_us;           /* longest wait; 0: 5 s */
    uint64_t keep_us;               /* scale.keep_s; 0: by the rule */
    /* That starts share, each a whole one while alone, as many at a time as a node grants one app; 0: any number starts
     * at once, and none slows another down. With cores: so many of the first starts find a prepared sandbox. */
    unsigned cores, prepared;
};
struct sim_result {
    uint64_t requests, refused, cold; /* refused: waited too long; cold: waited while an instance started */
    uint64_t starts;
    double instance_s, busy_s;
    uint64_t wait_p50_us, wait_p99_us, wait_max_us;
    unsigned left; /* instances that are still there half an hour after the last answer */
    unsigned peak,
        reversals; /* most instances at once; times their number turned from growing to shrinking and back */
    uint64_t zero_us; /* when the last instance went, counted from the last answer */
};
/* What happens, as it happens; for tests. May be NULL. */
struct sim_watch {
    void (*on_step)(void *ctx, const struct scaler *s, const struct scaler_view *v);
    void (*on_start)(void *ctx, const struct scaler_view *v, const struct scaler_decision *d);
    void (*on_stop)(void *ctx, unsigned in_flight, uint64_t idle_us);
    void (*on_dispatch)(void *ctx, uint64_t at_us, uint64_t wait_us);
    void *ctx;
};

/* `arrivals` are in order of time. */
void simulate(const struct sim_arrival *arrivals, size_t n, const struct sim_options *o,
              const struct sim_watch *watch, struct sim_result *ret);

enum { SIM_TRACE_BYTES_MAX = 32 << 20, SIM_FUNCTIONS_MAX = 1000 };
/* Replays a recorded trace (lines of JSON with t_ms, fn, service_ms and, where there was a start, cold_ms) for each
 * function and mode (all three, or the one of `o` when `is_one_mode`) and writes one JSON object. A cold_us of 0: what
 * the trace measured, else 25 ms. HOB_E_INVALID names the line. */
HOB_MUST_USE enum hob_code simulate_trace(struct hob_str trace, const struct sim_options *o, bool is_one_mode,
                                          struct hob_jw *w, struct hob_err *err);
