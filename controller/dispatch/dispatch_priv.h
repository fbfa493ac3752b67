/* Inside of the data plane, shared by dispatch.c (the dispatcher and its clock), pool.c (one version: queue, starts,
 * scaling), instance.c (one instance's life) and invocation.c (one request). */
#pragma once

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "controller/dispatch/channel.h"
#include "controller/dispatch/wake.h"
#include "controller/invocation.h"
#include "controller/scale/scaler.h"

enum {
    BODY_WAITING_BYTES = 64 * 1024, /* kept for a request that has no slot */
    BODY_HELD_MAX = 256 * 1024,     /* that and the HTTP server's own window */
    PING_EVERY_US = 5 * 1000 * 1000,
    PING_MISSES_MAX = 3,
    REPORTS_PER_S = 50, /* platform lines about finished invocations, a version */
    REPORTS_BURST = 200,
};

struct dispatcher {
    struct dispatcher_options o;
    struct hob_clock clock;
    struct channel_mux *mux;
    uv_timer_t timer;
    uint64_t timer_at_us;
    struct wake_heap wakes;
    struct hob_list pools, dirty; /* dirty: queues to look at before the loop sleeps */
    struct hob_list refused;      /* invocations that are told on the next turn that they cannot be */
    struct hob_list free_invocations;
    unsigned free_invocations_n;
    size_t invocations_n;
    struct hob_list graves; /* instances that are gone; freed once no event of theirs is on the stack */
    size_t pools_n, instances_n;
    unsigned starting_max; /* a version */
    unsigned closing;      /* handles under way to being closed */
    bool is_draining, is_stopping, is_closed;
    uint64_t stop_at_us;
    struct dispatcher_stats stats;
    struct denied_call *denied; /* isolation.c */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct bucket { /* token bucket: a rate and a burst */
    uint64_t at_us, level;
};
bool bucket_take(struct bucket *b, uint64_t now_us, uint64_t per_s, uint64_t burst, uint64_t n);

struct pool {
    struct dispatcher *d;
    struct version *version; /* counted */
    const struct function_config *config;
    struct hob_node in_pools, in_dirty;
    struct wake wake;
    struct hob_list queue;   /* QUEUED, by age: the head's deadline is the first */
    struct hob_list running; /* RUNNING and ANSWERED, by dispatch: likewise */
    struct hob_list cancelled;
    unsigned queued_n;
    struct hob_list instances, ready; /* ready: with a free slot, most recently used first */
    unsigned ready_n, starting_n;     /* by state; instances that drain or stop are in neither */
    unsigned slots_seen; /* of the last instance that became ready: it may take less than `concurrency` */
    struct scaler scaler;
    struct hob_err failure;                     /* why the last start failed, as strangers may know it */
    char failure_type[64], failure_detail[240]; /* and as its owner may */
    bool is_gone;                               /* no new request can name this version */
    uint64_t retired_us; /* instances asked for before this go as soon as they are idle */
    struct bucket reports;
    uint64_t reports_skipped;
};

enum instance_state {
    INSTANCE_STARTING,     /* the node was asked */
    INSTANCE_INITIALISING, /* HELLO is out */
    INSTANCE_READY,        /* no invocation */
    INSTANCE_BUSY,         /* one or more, perhaps with free slots */
    INSTANCE_FROZEN,       /* no invocation, and not running; thawed by the next */
    INSTANCE_DRAINING,     /* finishes what it has, gets nothing new */
    INSTANCE_STOPPING,     /* the node was told to stop it */
    INSTANCE_GONE,
    INSTANCE_STATES_
};
enum instance_event {
    INSTANCE_STARTED,
    INSTANCE_START_FAILED,
    INSTANCE_INIT_DONE,
    INSTANCE_INIT_ERROR,
    INSTANCE_INIT_TIMEOUT,
    INSTANCE_SLOT_TAKEN, /* the first */
    INSTANCE_SLOTS_FREE, /* the last one came back */
    INSTANCE_DRAIN,
    INSTANCE_BYE,
    INSTANCE_HANGUP,
    INSTANCE_VIOLATION,
    INSTANCE_CANCEL_LATE,
    INSTANCE_PING_LOST,
    INSTANCE_DRAIN_LATE,
    INSTANCE_STOP, /* at once */
    INSTANCE_EXITED,
    INSTANCE_FREEZE, /* it was idle long enough */
    INSTANCE_EVENTS_
};

struct instance {
    uint64_t id;
    struct pool *pool; /* holds a count on it by being in pool->instances */
    enum instance_state state;
    struct hob_node in_pool, in_ready;
    struct channel *channel; /* NULL before STARTED and after GONE */
    unsigned slots, in_flight;
    unsigned overdue; /* invocations past their deadline that still owe DONE: no new work meanwhile */
    uint64_t asked_us, started_us, launch_us, ready_us, idle_us, drain_by_us, ping_us;
    unsigned pings_missed;
    uint64_t invocations;
    bool is_pooled;  /* its process came out of a pool */
    bool was_thawed; /* for the invocation that comes next; whoever dispatches that takes it back */
    bool is_exit_expected; /* we asked for it */
    bool is_leaving;       /* its process is gone or going: no new invocation */
    struct hob_err why;    /* what its invocations are told when it ends before them */
    struct bucket logs;
    uint64_t logs_dropped;
    char *walls; /* the account of its isolation; NULL: none came */
};

enum invocation_state {
    INVOCATION_REFUSED, /* never queued; its failure is told on the next turn */
    INVOCATION_QUEUED,
    INVOCATION_RUNNING,
    INVOCATION_ANSWERED,  /* the listener was told; the slot is not free yet */
    INVOCATION_CANCELLED, /* likewise, and DONE is due within function.cancel_ms */
};

struct invocation {
    struct hob_node node; /* in one of the pool's lists */
    struct channel_stream stream;
    struct pool *pool;
    struct instance *instance; /* while it has a slot */
    enum invocation_state state;
    struct invocation_events events;
    void *ctx;
    struct hob_err *refusal; /* owned */
    unsigned retry_s;
    bool is_listening, has_body_end, is_overdue;
    uint8_t kind;
    uint16_t status;
    struct invocation_times times;
    uint64_t received_us, queued_us, dispatched_us, cancelled_us;
    int64_t body_bytes;
    struct hob_buf spec; /* the strings below, back to back */
    size_t method_n, target_n, request_id_n, fields_n,
        extras_n;            /* request id first, the rest only when it waited */
    struct hob_buf body;     /* taken in, not yet written */
    struct hob_buf trailers; /* pairs block */
};

uint64_t dispatcher_now(const struct dispatcher *d);
/* Does everything that is due; the timer calls it, and tests under a virtual clock. */
void dispatcher_tick(struct dispatcher *d);
void dispatcher_wake(struct dispatcher *d, struct wake *w, uint64_t at_us);

HOB_MUST_USE struct pool *pool_of(struct dispatcher *d, struct version *v);
void pool_push(struct pool *p, struct invocation *i);
void pool_push_front(struct pool *p, struct invocation *i);
void pool_mark(struct pool *p); /* look at it before the loop sleeps */
void pool_run(struct pool *p);  /* dispatches what can be, asks the scaler */
void pool_tick(struct pool *p, uint64_t now_us);
struct instance *pool_slot(const struct pool *p); /* the most recently used with a free slot, or NULL */
void pool_fail_queued(struct pool *p, const struct hob_err *err, const struct invocation_failure *f,
                      unsigned retry_s);
void pool_stop_all(struct pool *p); /* the daemon ends: nobody is waited for */
void pool_free(struct pool *p);
/* A start failed; waiting requests are told when there is no hope. */
void pool_start_failed(struct pool *p, const struct hob_err *why, bool is_deterministic);
void pool_instance_changed(struct pool *p); /* counts or slots changed */
void pool_retire(struct pool *p, bool is_gone);
void pool_replace(struct pool *p); /* its configuration changed: every configured instance drains */
void pool_platform_log(struct pool *p, uint8_t level, const struct instance *inst, struct hob_str request_id,
                       struct hob_str text);
/* Room for one more request? Else *err and *ret_retry_s say why not. */
HOB_MUST_USE enum hob_code pool_admit(struct pool *p, unsigned *ret_retry_s, struct hob_err *err);

void instance_start(struct pool *p);
void instance_event(struct instance *i, enum instance_event e);
void instance_tick(struct instance *i, uint64_t now_us);
uint64_t instance_wake_us(const struct instance *i);
bool instance_has_slot(const struct instance *i);
void instance_slot_taken(struct instance *i);
void instance_slot_freed(struct instance *i);
void instance_overdue(struct instance *i, int change); /* +1 or -1 */
const char *instance_state_name(enum instance_state s);
bool instance_is_idle(const struct instance *i);
extern const struct channel_events instance_channel_events; /* ctx: struct instance */

/* hello.c */
/* isolation.c: two events of the node, what an end says about limits, and the counters' end */
void isolation_walls(void *ctx, struct hob_str text);
void isolation_denied(void *ctx, struct hob_str call, uint64_t nth, bool is_last);
void isolation_limits_met(struct instance *i, const struct node_exit *e);
void isolation_done(struct dispatcher *d);
void hello_start(struct instance *i, const struct node_events *events); /* asks the node */
HOB_MUST_USE enum hob_code hello_write(struct instance *i, struct hob_buf *out, struct hob_err *err);

/* invocation.c */
void invocation_dispatch(struct invocation *i, struct instance *inst);
void invocation_fail(struct invocation *i, const struct hob_err *err, const struct invocation_failure *f,
                     unsigned retry_s);
void invocation_timeout(struct invocation *i);
void invocation_head(struct invocation *i, unsigned status, const struct hob_pairs *fields,
                     int64_t body_bytes);
void invocation_data(struct invocation *i, struct hob_str data);
void invocation_end(struct invocation *i, const struct hob_pairs *trailers);
void invocation_error(struct invocation *i, const struct hob_pairs *pairs);
void invocation_done(struct invocation *i);
void invocation_window(struct invocation *i);
/* Its instance ended. Fails with the instance's reason, or waits again when INVOKE never left. */
void invocation_orphaned(struct invocation *i);
struct hob_str invocation_request_id(const struct invocation *i);
void invocation_refused(struct invocation *i);  /* tells it */
void invocation_free_all(struct dispatcher *d); /* the recycled ones */
static inline struct invocation *invocation_of(struct channel_stream *s)
{
    return HOB_CONTAINER_OF(s, struct invocation, stream);
}
