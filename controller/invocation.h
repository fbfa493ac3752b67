/* One invocation: from "this version shall answer that request" to the end of its story. The flow in between
 * (queue, slot, frames, deadline, retries of a start) is the dispatcher's; the caller sees only these events.
 * Loop's thread. */
#pragma once

#include <uv.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/rules/syscalls.h"
#include "bindings/serve/serve.h"
#include "controller/catalog.h"
#include "controller/logs.h"
#include "controller/node.h"
#include "controller/runtimes.h"
#include "controller/vault.h"

struct store;
struct dispatcher; /* all versions' pools, queues and instances */
struct invocation;
struct invocation_failure;
struct trace_event;

struct dispatcher_options {
    uv_loop_t *loop;
    struct catalog *catalog;
    struct node_hub *nodes;
    struct logs *logs;
    struct vault *vault;
    const struct runtimes *runtimes;
    struct store *store;                   /* keeps what the autoscaler learns; NULL: nothing is kept */
    const struct hob_clock *clock;         /* NULL: the real one */
    uint64_t memory_limit_mb;              /* memory_mb of all instances together; 0: no bound */
    uint64_t (*memory_free_mb)(void *ctx); /* NULL: what the system says */
    void *memory_ctx;
    uint32_t freeze_ms; /* an instance that is idle for so long is frozen; 0: never */
};
HOB_MUST_USE struct dispatcher *dispatcher_start(const struct dispatcher_options *o);
/* What its functions' bindings reach; before the first invocation. NULL: every call is refused. */
void dispatcher_serve(struct dispatcher *d, struct serve *s);
/* No new invocations (503 shutting_down); running ones get grace_ms; then every instance is stopped; then `closed`. */
void dispatcher_drain(struct dispatcher *d, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx);

enum start_kind {               /* where the instance of an invocation came from */
                  START_NONE,   /* it never had one */
                  START_WARM,   /* it was there and ready */
                  START_COLD,   /* built from nothing for this request */
                  START_POOLED, /* likewise, but out of a pool of prepared processes */
                  START_THAWED, /* it was there, frozen */
                  START_KINDS_
};
extern const char *const start_kind_names[START_KINDS_];

struct invocation_times { /* microseconds; a phase that did not happen is 0 */
    uint64_t queue_us, start_us, init_us, run_us;
    bool is_cold; /* waited for a new instance: COLD or POOLED */
    enum start_kind kind;
};
struct invocation_events {
    /* `fields` is a pairs block of names and values, not yet judged as HTTP (the gateway does that). */
    void (*on_head)(void *ctx, unsigned status, const struct hob_pairs *fields, int64_t body_bytes);
    void (*on_data)(void *ctx, struct hob_str data); /* borrowed; give it back by invocation_consumed */
    void (*on_end)(void *ctx, const struct hob_pairs *trailers); /* trailers may be NULL; answer complete */
    /* Final instead of on_end. The function's own error has code HOB_E_FUNCTION; its details are in `failure` (may be
     * NULL): for logs and authenticated callers only. After on_head it means: break off. */
    void (*on_fail)(void *ctx, const struct hob_err *err, const struct invocation_failure *failure,
                    unsigned retry_after_s);
    void (*on_body_window)(void *ctx, size_t n); /* the instance took n more body bytes */
    /* Upgraded only (on_head said 101): the function will send no more; what the client sends still reaches it. */
    void (*on_data_end)(void *ctx);
};
struct invocation_failure {
    struct hob_str type, message, stack;
};
/* Whom an invocation's bindings act for. */
struct invocation_caller {
    enum backend_role role;
    struct hob_str session_token, user_id; /* one of them, or none */
    struct hob_str installation_id, remote;
    unsigned depth; /* of cloud code that calls cloud code */
};
struct invocation_spec {
    struct version *version; /* borrowed; the invocation keeps its own reference */
    uint8_t kind;            /* enum hob_invoke_kind */
    struct hob_str method, target, request_id;
    struct hob_str fields, extras; /* pairs blocks, copied */
    int64_t body_bytes;            /* -1: not known yet */
    uint64_t received_us;
    const struct invocation_caller *caller; /* copied; NULL: nobody */
    /* The answer may be 101 (extras name the protocol). From then on timeout_ms no longer counts, on_data and
     * invocation_body carry raw bytes, and the slot stays taken until both directions have ended. */
    bool may_upgrade;
};
/* Exactly one of on_end and on_fail comes, never from inside invocation_start. After it, or after
 * invocation_cancel, no event comes and the pointer is dead. */
HOB_MUST_USE struct invocation *invocation_start(struct dispatcher *d, const struct invocation_spec *spec,
                                                 const struct invocation_events *events, void *ctx);
/* Body bytes, copied; before a slot is found at most 64 KiB are kept, on_body_window asks for more. */
void invocation_body(struct invocation *i, struct hob_str data, bool is_end,
                     const struct hob_pairs *trailers);
void invocation_consumed(struct invocation *i, size_t n); /* the client took n answer bytes */
void invocation_cancel(struct invocation *i, enum hob_cancel_reason why);
/* An upgraded one shall come to its end: its instance gets nothing new and is told to stop, with function.drain_ms. */
void invocation_shutdown(struct invocation *i);
const struct invocation_times *invocation_times(const struct invocation *i); /* valid in every event */

/* What people ask about. */
struct instance_view {
    uint64_t id;
    const char *app, *function, *state;
    uint32_t version, in_flight;
    uint64_t age_ms, idle_ms, invocations;
    const char *walls; /* the account of its isolation, "name: what" lines; NULL while it starts */
};
typedef void (*instance_view_cb)(void *ctx, const struct instance_view *v);
void dispatcher_each_instance(struct dispatcher *d, instance_view_cb cb, void *ctx);
/* System calls that sandboxes denied, counted by name since the start. */
typedef void (*denied_call_cb)(void *ctx, const char *name, uint64_t n);
void dispatcher_each_denied(const struct dispatcher *d, denied_call_cb cb, void *ctx);
/* Learning which system calls a version makes (learn.c). */
enum { LEARNING_DENIED_MAX = 64, LEARNING_NAME_BYTES = 32 };
struct learning_view {
    uint64_t left_ms; /* 0: it is over */
    unsigned instances;
    struct hob_syscalls used;
    size_t denied_n;
    struct {
        char name[LEARNING_NAME_BYTES];
        uint64_t n;
    } denied[LEARNING_DENIED_MAX];
};
/* Forgets what was learnt before and begins, for so long; its instances are replaced, the busy ones when they are done. */
void dispatcher_learn(struct dispatcher *d, struct version *v, uint64_t ms);
void dispatcher_learn_end(struct dispatcher *d, struct version *v);
/* False: nothing was learnt from it since it is here. */
HOB_MUST_USE bool dispatcher_learnt(const struct dispatcher *d, const struct version *v,
                                    struct learning_view *ret_view);
struct version_view {
    unsigned instances, starting, queued;
    bool is_failing; /* starts fail: backing off */
    char failure[240];
    uint64_t retry_ms;
};
void dispatcher_version_view(struct dispatcher *d, const struct version *v, struct version_view *ret_view);
/* Why a version has the instances it has, as members of an object that is open (controller/scale/decisions.h). */
struct hob_jw;
void dispatcher_explain(struct dispatcher *d, struct version *v, struct hob_jw *w);
/* What happens now, a row for every version that was called since the start. */
enum { TOP_STATES_MAX = 12 };
struct top_row {
    const char *app, *function;
    uint32_t version;
    double rate; /* requests a second, over ten seconds */
    unsigned in_flight, queued;
    unsigned states[TOP_STATES_MAX]; /* instances, by top_state_name */
    uint64_t run_p50_us, run_p99_us, wait_p99_us;
    uint64_t ended, failed, refused, cold, pooled, thawed;
};
typedef void (*top_cb)(void *ctx, const struct top_row *row);
void dispatcher_each_top(struct dispatcher *d, top_cb cb, void *ctx);
const char *top_state_name(unsigned state); /* NULL: there is no such state */
struct node_view {
    size_t instances;
    unsigned starting, starts_waiting;
    uint64_t memory_promised_mb, memory_limit_mb;
    bool is_full;
};
void dispatcher_node_view(struct dispatcher *d, struct node_view *ret_view);
/* A schedule calls that version then (0: no longer): an instance is warm in time, and is let go in between when nobody
 * else calls it. */
void dispatcher_expect(struct dispatcher *d, struct version *v, int64_t utc_ms, bool is_only);
/* Reads what the autoscaler knew, and makes pools for versions that shall have instances without being called (scale.min,
 * windows, those that were at work when the daemon ended). After loading; blocking. */
void dispatcher_warm(struct dispatcher *d);
/* Every end of an invocation, as it happens. The listener lives until it is removed. */
struct trace_listener {
    struct hob_node node;
    void (*on_ended)(void *ctx, const struct trace_event *e);
    void *ctx;
};
struct trace_event {
    int64_t utc_ms; /* of its arrival */
    const char *app, *function;
    uint64_t service_us, wait_us, cold_us; /* cold: of the start that it waited for; 0: none */
    bool is_dispatched;
};
void dispatcher_trace(struct dispatcher *d, struct trace_listener *l);
void trace_stop(struct trace_listener *l);
/* Counted at the end of every invocation's story. A histogram's bucket holds times of at most its bound. */
enum { DISPATCHER_BUCKETS = 12 };
extern const uint64_t dispatcher_bucket_us[DISPATCHER_BUCKETS]; /* the last has no bound: UINT64_MAX */
struct dispatcher_times {                                       /* a histogram */
    uint64_t n, sum_us, buckets[DISPATCHER_BUCKETS];
};
struct dispatcher_stats {
    uint64_t ended[HOB_E_COUNT_];         /* by what became of it; HOB_OK: answered */
    uint64_t cold;                        /* waited for a new instance */
    uint64_t kinds[START_KINDS_];         /* dispatched invocations by where their instance came from */
    uint64_t starts[START_KINDS_];        /* instances that became ready: COLD or POOLED */
    uint64_t starts_failed, shed;         /* shed: answered 503 overloaded at once */
    struct dispatcher_times run, queue;   /* queue: from arrival to dispatch */
    struct dispatcher_times launch, init; /* of starts: until the process is there; until it is ready */
};
const struct dispatcher_stats *dispatcher_stats(const struct dispatcher *d);
