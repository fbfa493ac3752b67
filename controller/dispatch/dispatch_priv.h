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
#include "controller/scale/decisions.h"
#include "controller/scale/starts.h"
#include "controller/scale/windows.h"

enum {
    BODY_WAITING_BYTES = 64 * 1024, /* kept for a request that has no slot */
    BODY_HELD_MAX = 256 * 1024,     /* that and the HTTP server's own window */
    PING_EVERY_US = 5 * 1000 * 1000,
    PING_MISSES_MAX = 3,
    REPORTS_PER_S = 50, /* platform lines about finished invocations, a version */
    REPORTS_BURST = 200,
};

struct node_memory {                /* whether one more instance fits: memory.c */
    uint64_t promised_mb, limit_mb; /* memory_mb of all instances, and what they may come to; 0: no bound */
    uint64_t looked_us, free_mb;    /* what the system says is available */
    bool is_full;                   /* a start waits for memory */
    uint64_t full_us;               /* since then */
    unsigned leaving_n;             /* let go for it and not gone yet: no more than a few at a time */
    uint64_t evict_again_us;        /* those that do not go are not waited for any longer */
};

struct recall {                  /* what the scalers know, beyond the process's life: recall.c */
    struct recalled *by_version; /* read at the start, taken by pools as they are made */
    uint64_t save_at_us;         /* UINT64_MAX: nothing new */
    bool is_saving, has_failed;
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
    struct starts starts; /* whose turn it is to start an instance */
    uint64_t grant_at_us; /* when one may again */
    struct node_memory memory;
    struct hob_list traces;       /* who listens to ends of invocations */
    struct runtime_prior *priors; /* what starts of a runtime take, by its name */
    struct recall recall;
    int64_t utc_offset_ms; /* UTC less the clock */
    uint32_t rng;
    unsigned closing; /* handles under way to being closed */
    bool is_draining, is_stopping, is_closed;
    uint64_t stop_at_us;
    struct dispatcher_stats stats;
    struct denied_call *denied; /* isolation.c */
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct serve *serve; /* bindings; NULL: there are none */
};

struct bucket { /* token bucket: a rate and a burst */
    uint64_t at_us, level;
};
bool bucket_take(struct bucket *b, uint64_t now_us, uint64_t per_s, uint64_t burst, uint64_t n);

struct pool_stats {
    uint64_t ended, failed, refused; /* failed: by the function or its instance; refused: never dispatched */
    uint64_t kinds[START_KINDS_];    /* by the start that they had */
};

struct pool {
    struct dispatcher *d;
    struct version *version; /* counted */
    const struct function_config *config;
    struct hob_node in_pools, in_dirty;
    struct wake wake;
    struct hob_list queue;   /* QUEUED, by age: the head's deadline is the first */
    struct hob_list running; /* RUNNING and ANSWERED, by dispatch: likewise */
    struct hob_list cancelled;
    struct hob_list upgraded; /* RUNNING too, without a deadline */
    unsigned queued_n;
    struct hob_list instances, ready; /* ready: with a free slot, most recently used first */
    unsigned ready_n, starting_n;     /* by state; instances that drain or stop are in neither */
    unsigned slots_seen; /* of the last instance that became ready: it may take less than `concurrency` */
    struct scaler scaler;
    struct decisions decisions;
    struct starts_entry entry;
    struct windows windows;         /* scale.windows */
    unsigned in_flight_n, active_n; /* active: instances that the rate asks for */
    uint64_t tick_us, ticked;       /* the next look at the rate; arrivals up to the last one */
    unsigned worn_n;                /* ready ones that get nothing new, ever */
    unsigned stale_n;               /* ready ones that get nothing new before they were told; no worn ones */
    bool has_worn;                  /* instances of it are replaced after some use (recycle, single_use) */
    struct pool_stats stats;
    int64_t windows_until_ms; /* nothing changes in them before */
    unsigned windows_min;
    struct hob_err failure;                     /* why the last start failed, as strangers may know it */
    char failure_type[64], failure_detail[240]; /* and as its owner may */
    bool has_lost_pooled;                       /* the last start was killed: the next is no pooled one */
    bool is_gone;                               /* no new request can name this version */
    uint64_t retired_us;     /* instances asked for before this go as soon as they are idle */
    uint64_t saved_arrivals; /* as of the last time its scaler was written down */
    unsigned saved_live;
    struct bucket reports;
    uint64_t reports_skipped;
    struct learning *learning; /* NULL: nobody asked */
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
    INSTANCE_FREEZE,   /* it was idle long enough */
    INSTANCE_RECONFIG, /* what it was told at its start has changed, and its hook takes that */
    INSTANCE_EVENTS_
};

struct instance {
    uint64_t id;
    struct pool *pool; /* holds a count on it by being in pool->instances */
    enum instance_state state;
    struct hob_node in_pool, in_ready;
    struct channel *channel; /* NULL before STARTED and after GONE */
    unsigned slots, in_flight;
    unsigned upgraded_n; /* of those in flight */
    unsigned overdue;    /* invocations past their deadline that still owe DONE: no new work meanwhile */
    uint64_t asked_us, started_us, launch_us, ready_us, idle_us, drain_by_us, ping_us;
    uint64_t init_us; /* HELLO, or RECONFIG, went out */
    unsigned pings_missed;
    uint64_t invocations;
    bool is_pooled;   /* its process came out of a pool */
    bool was_killed;  /* it ended by SIGKILL, and not for want of memory */
    bool is_learning; /* each system call that it makes is noted */
    bool is_stale;    /* its configuration changed; it is told when it is idle, and gets nothing new before */
    bool is_reconfiguring; /* INITIALISING again */
    bool is_worn;          /* used up: it gets nothing new and goes when it is idle */
    bool was_thawed;       /* for the invocation that comes next; whoever dispatches that takes it back */
    bool is_exit_expected; /* we asked for it */
    bool is_leaving;       /* its process is gone or going: no new invocation */
    struct hob_err why;    /* what its invocations are told when it ends before them */
    struct bucket logs;
    uint64_t logs_dropped;
    char *walls;         /* the account of its isolation; NULL: none came */
    struct calls *calls; /* calls of its bindings; NULL until the first */
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
    bool may_upgrade, is_upgraded;
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
    struct caller *caller;   /* owned: whom its calls act for; NULL: nobody */
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
struct instance *pool_longest_idle(const struct pool *p);
void pool_free(struct pool *p);

/* pool_scale.c: what the scaler is told, and what it decides */
void pool_scale_init(struct pool *p);
void pool_scale_done(struct pool *p);
struct scaler_view pool_scaler_view(struct pool *p, uint64_t now_us);
void pool_scale(struct pool *p);
void pool_let_go(struct pool *p, uint64_t now_us);
uint64_t pool_scale_wake_us(struct pool *p, uint64_t now_us);
/* It becomes live in the place of `before`. */
void pool_inherit(struct pool *p, const struct pool *before);
void pool_arrived(struct pool *p, uint64_t now_us);              /* a request, admitted or not */
void pool_quiet(struct pool *p);                                 /* perhaps nothing waits or runs any more */
bool pool_wears(const struct pool *p, const struct instance *i); /* after the invocation that it just got */
void pool_started(struct pool *p, const struct instance *i);     /* it is ready */
/* By scale.max; used-up ones and those that leave do not count. Crowded: more than that are there. */
bool pool_has_room(const struct pool *p);
bool pool_is_crowded(const struct pool *p);
void pool_start_over(struct pool *p); /* one is no longer starting: ready, or it failed */
void pool_buried(struct pool *p);     /* one is gone */
void dispatcher_grant_starts(struct dispatcher *d);
void dispatcher_grant_at(struct dispatcher *d, uint64_t at_us);
void dispatcher_save_at(struct dispatcher *d, uint64_t at_us);
void dispatcher_grant_soon(struct dispatcher *d); /* before the loop sleeps */
/* At once, out of turn: a deploy warms its version. */
void pool_start_one(struct pool *p);

/* memory.c */
bool memory_has_room(struct dispatcher *d, uint32_t memory_mb, uint64_t now_us);
void memory_make_room(struct dispatcher *d, uint64_t now_us); /* lets idle instances go */

/* priors.c */
uint64_t prior_cold_us(const struct dispatcher *d, const char *runtime); /* p95, or 0 */
void prior_note(struct dispatcher *d, const char *runtime, uint64_t us);
void priors_free(struct dispatcher *d);

void stats_add(struct dispatcher_times *t, uint64_t us); /* people.c */

/* recall.c */
void recall_load(struct dispatcher *d); /* blocking: at the start */
void recall_give(struct pool *p);       /* one that was just made takes what is known of it */
bool recall_holds(const struct dispatcher *d, const struct version *v); /* it had instances a moment ago */
void recall_soon(struct dispatcher *d);                                 /* something was learned */
void recall_save(struct dispatcher *d, bool is_all); /* a batch of what is new, or all of it */
void recall_done(struct dispatcher *d);

/* trace.c */
void trace_ended(struct invocation *i);
void invocation_report(struct invocation *i, const char *status); /* a line of the function's log */
/* learn.c: one event of the node, the others' hooks */
struct learning;
bool learn_begins(struct instance *i); /* whether it is learnt from, as it is started */
void learn_used(void *ctx, struct hob_str call);
void learn_denied(struct instance *i, struct hob_str call);
void learn_tick(struct pool *p, uint64_t now_us);
uint64_t learn_wake_us(const struct pool *p);
void learn_free(struct pool *p);
/* A start failed; waiting requests are told when there is no hope. */
void pool_start_failed(struct pool *p, const struct hob_err *why, bool is_deterministic);
void pool_instance_changed(struct pool *p); /* counts or slots changed */
void pool_retire(struct pool *p, bool is_gone);
/* Its configuration changed: every configured instance drains, or its hook is told. */
void pool_replace(struct pool *p);
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
void instance_wear(struct instance *i);
void instance_overdue(struct instance *i, int change); /* +1 or -1 */
const char *instance_state_name(enum instance_state s);
bool instance_is_idle(const struct instance *i);
extern const struct channel_events instance_channel_events; /* ctx: struct instance */

/* calls.c: the bindings of a function, CALL and REPLY. A call belongs to an invocation and is forgotten with it; `parent` NULL:
 * it named none that is running. */
void calls_take(struct instance *i, struct invocation *parent, uint32_t call, struct hob_str meta,
                struct hob_str data);
void calls_end(struct instance *i, const struct invocation *parent); /* answers what it has open */
void calls_drop(struct instance *i);                                 /* the channel is gone */
HOB_MUST_USE struct caller *caller_new(const struct invocation_caller *c);

/* reconfig.c */
bool reconfig_has_hook(const struct pool *p);
void reconfig_begin(struct instance *i);  /* INITIALISING: RECONFIG goes out */
void reconfig_later(struct instance *i);  /* as soon as it is idle */
void reconfig_done(struct instance *i);   /* READY came */
void reconfig_failed(struct instance *i); /* anything else did */
bool reconfig_hand_over(
    struct instance *i); /* idle, of a version that is not live: true: the live one has it now */
void reconfig_take_over(struct pool *p); /* of the live version: takes all that it may */

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
