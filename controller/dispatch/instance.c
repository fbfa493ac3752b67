/* One instance's life, driven from outside: a full table of state and event.
 *
 *   STARTING -> INITIALISING -> READY <-> BUSY -> DRAINING -> STOPPING -> GONE
 *                       ^         `-> FROZEN -> BUSY or DRAINING
 *                       `- READY or FROZEN, when its configuration changed (reconfig.c)
 *
 * Everything may jump to STOPPING (violation, time-outs) or, when the process ends by itself, to GONE. Its invocations
 * are told once: at once when we kill it, and with the process's own end when it leaves by itself, because only then
 * is it known why. */
#include <stdio.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum { HANGUP_GRACE_MS = 200, START_MS = 30000 /* from asking the node to its answer */, FIELD_SHOWN = 180 };

static const char *const state_names[INSTANCE_STATES_] = {
    "starting", "initialising", "ready", "busy", "frozen", "draining", "stopping", "gone",
};

const char *instance_state_name(enum instance_state s)
{
    return state_names[s];
}

/* ---- what follows from the state ---- */

static bool is_up(enum instance_state s)
{
    return s == INSTANCE_READY || s == INSTANCE_BUSY || s == INSTANCE_FROZEN;
}

static bool is_coming(enum instance_state s)
{
    return s == INSTANCE_STARTING || s == INSTANCE_INITIALISING;
}

bool instance_has_slot(const struct instance *i)
{
    return is_up(i->state) && i->in_flight < i->slots && !i->is_leaving && !i->is_worn && !i->is_stale &&
           i->overdue == 0;
}

bool instance_is_idle(const struct instance *i)
{
    return (i->state == INSTANCE_READY || i->state == INSTANCE_FROZEN) && !i->is_leaving;
}

static void set_state(struct instance *i, enum instance_state to)
{
    struct pool *p = i->pool;
    p->ready_n = p->ready_n - is_up(i->state) + is_up(to);
    p->starting_n = p->starting_n - is_coming(i->state) + is_coming(to);
    if (i->is_worn)
        p->worn_n = p->worn_n - is_up(i->state) + is_up(to);
    else if (i->is_stale)
        p->stale_n = p->stale_n - is_up(i->state) + is_up(to);
    /* to be told anew is no start: it takes no place of the node's, and gives none back */
    if (is_coming(i->state) && !is_coming(to) && !i->is_reconfiguring)
        pool_start_over(p);
    i->state = to;
}

static void relist(struct instance *i)
{
    bool has = instance_has_slot(i);
    if (has && !hob_node_is_linked(&i->in_ready))
        hob_list_push_front(&i->pool->ready, &i->in_ready);
    else if (!has)
        hob_list_remove(&i->in_ready);
}

static void wake_by_us(struct instance *i, uint64_t at_us)
{
    dispatcher_wake(i->pool->d, &i->pool->wake, at_us);
}

/* ---- endings of its invocations ---- */

static void fail_invocations(struct instance *i)
{
    struct channel_stream *s;
    calls_drop(i);
    if (i->channel)
        for (unsigned slot = 0; (s = channel_next_stream(i->channel, &slot)) != NULL;)
            invocation_orphaned(invocation_of(s));
    HOB_ASSERT(i->in_flight == 0);
}

static void close_channel(struct instance *i)
{
    calls_drop(i);
    if (i->channel)
        channel_close(i->channel);
    i->channel = NULL;
}

/* A server finishes connections and files in its own time; adapters have nothing to finish. */
static uint32_t leave_ms(const struct instance *i)
{
    return i->pool->config->kind == FUNCTION_HTTP ? HOB_MAX_SERVER_GRACE_MS : HOB_MAX_STOP_GRACE_MS;
}

static void stop_node(struct instance *i, uint32_t grace_ms)
{
    i->is_exit_expected = true;
    node_stop(i->pool->d->o.nodes, i->id, grace_ms);
}

/* ---- actions ---- */

typedef void (*action_fn)(struct instance *i);

static void bug(struct instance *i)
{
    hob_log(HOB_LOG_ERROR, "instance.bug", "id=%llu state=%s", (unsigned long long)i->id,
            state_names[i->state]);
    HOB_ASSERT(!"an event that cannot happen in this state");
}

static void ignore(struct instance *i)
{
    (void)i;
}

/* Stop it and let its end say why. */
static void stop(struct instance *i)
{
    stop_node(i, 0);
}

/* A process that ends closes its channel a moment before its end is known. Killing it in that moment would hide its exit
 * code, so that it gets one; a process that only closed the channel is ended by it. */
static void hung_up(struct instance *i)
{
    stop_node(i, HANGUP_GRACE_MS);
}

/* Its invocations are answered now; the process's end only frees the rest. */
static void kill_now(struct instance *i)
{
    fail_invocations(i);
    close_channel(i);
    stop_node(i, 0);
}

static void kill_gently(struct instance *i)
{
    fail_invocations(i);
    close_channel(i);
    stop_node(i, leave_ms(i));
}

static void configure(struct instance *i)
{
    i->init_us = i->started_us;
    wake_by_us(i, instance_wake_us(i));
}

/* A used-up one is never told: it goes. So does one in whose place another came meanwhile. */
static void tell_stale(struct instance *i)
{
    if (i->is_stale && !i->is_worn)
        instance_event(i, pool_is_crowded(i->pool) ? INSTANCE_DRAIN : INSTANCE_RECONFIG);
}

static void become_ready(struct instance *i)
{
    i->idle_us = dispatcher_now(i->pool->d);
    if (i->is_reconfiguring) {
        reconfig_done(i);
    } else {
        i->pool->has_lost_pooled = false;
        i->ready_us = i->idle_us;
        pool_started(i->pool, i);
    }
    wake_by_us(i, instance_wake_us(i));
    tell_stale(i);
}

/* A start that fails counts against the function; a configuration that was not taken costs this instance alone. */
static void init_over(struct instance *i, bool is_deterministic)
{
    if (i->is_reconfiguring)
        reconfig_failed(i);
    else
        pool_start_failed(i->pool, &i->why, is_deterministic);
}

static void init_failed(struct instance *i)
{
    close_channel(i);
    stop_node(i, leave_ms(i));
    init_over(i, true);
}

static void init_violated(struct instance *i)
{
    kill_now(i);
    init_over(i, true);
}

/* One that breaks the protocol before it served anyone would be started again and again: that counts as failing. */
static void violated(struct instance *i)
{
    struct hob_err why = i->why;
    kill_now(i);
    if (i->invocations == 0)
        pool_start_failed(i->pool, &why, true);
}

static void start_too_long(struct instance *i)
{
    (void)hob_fail_reason(&i->why, HOB_E_UNAVAILABLE, "start_failed",
                          "no node started the function's instance within %d s", START_MS / 1000);
    stop_node(i, 0);
    pool_start_failed(i->pool, &i->why, false);
}

static void init_too_long(struct instance *i)
{
    const struct function_config *f = i->pool->config;
    (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "init_timeout",
                          "the function was not ready within init_timeout_ms (%u ms)", f->init_timeout_ms);
    kill_now(i);
    init_over(i, true);
}

/* What was started ahead may have been killed before it was ours, without anybody having heard of it yet: that is not
 * the function's doing, and another one is started. Once: the next one may be the function's. */
static bool forgive(struct instance *i)
{
    struct pool *p = i->pool;
    bool is_forgiven = i->is_pooled && i->was_killed && !p->has_lost_pooled;
    p->has_lost_pooled = is_forgiven;
    return is_forgiven;
}

static void init_exited(struct instance *i)
{
    close_channel(i);
    if (!i->is_reconfiguring && forgive(i))
        return;
    /* killed from outside: that says nothing of the next one */
    init_over(i, i->why.code == HOB_E_FUNCTION && !i->was_killed);
}

/* Trying again at once cannot help when the node itself says what is not there: an image, a limit. An engine comes back
 * by itself, in a moment when only its node was started anew: the breaker ends that waiting. */
static void start_failed(struct instance *i)
{
    const char *reason = hob_err_reason(&i->why);
    bool is_passing = strcmp(reason, "start_failed") == 0 || strcmp(reason, "engine_unavailable") == 0;
    pool_start_failed(i->pool, &i->why, !is_passing);
}

static void become_busy(struct instance *i)
{
    i->pings_missed = 0;
    i->ping_us = 0;
}

static void become_idle(struct instance *i)
{
    i->idle_us = dispatcher_now(i->pool->d);
    wake_by_us(i, instance_wake_us(i));
    tell_stale(i);
}

static void drain(struct instance *i)
{
    uint32_t grace_ms = i->in_flight ? HOB_MAX_DRAIN_MS : leave_ms(i);
    i->is_exit_expected = true;
    i->drain_by_us = dispatcher_now(i->pool->d) + (uint64_t)grace_ms * 1000u;
    channel_drain(i->channel, grace_ms);
    wake_by_us(i, i->drain_by_us);
}

static void drained(struct instance *i)
{
    i->drain_by_us = dispatcher_now(i->pool->d) + (uint64_t)leave_ms(i) * 1000u;
    wake_by_us(i, i->drain_by_us);
}

/* It leaves by itself: as drain, but nobody needs to tell it. */
static void said_bye(struct instance *i)
{
    uint32_t grace_ms = i->in_flight ? HOB_MAX_DRAIN_MS : leave_ms(i);
    i->drain_by_us = dispatcher_now(i->pool->d) + (uint64_t)grace_ms * 1000u;
    wake_by_us(i, i->drain_by_us);
}

/* A process that ends soon after it became ready, without having served anyone, fails to start in truth. */
static void exited(struct instance *i)
{
    bool is_crash = !i->is_exit_expected && i->invocations == 0 && !i->is_reconfiguring;
    struct hob_err why = i->why;
    fail_invocations(i);
    close_channel(i);
    if (is_crash)
        pool_start_failed(i->pool, &why, false);
}

static void stopped(struct instance *i)
{
    fail_invocations(i);
    close_channel(i);
}

/* What was sent to it waits in its socket; the node thaws before it does anything else that we ask for. */
static void freeze(struct instance *i)
{
    channel_trim(i->channel);
    node_freeze(i->pool->d->o.nodes, i->id);
    wake_by_us(i, instance_wake_us(i));
}

static void thaw(struct instance *i)
{
    node_thaw(i->pool->d->o.nodes, i->id);
}

static void tell_later(struct instance *i)
{
    reconfig_later(i);
    relist(i);
}

static void thaw_tell(struct instance *i)
{
    thaw(i); /* leaves before RECONFIG does */
    reconfig_begin(i);
}

static void thaw_busy(struct instance *i)
{
    thaw(i); /* leaves before the INVOKE does */
    i->was_thawed = true;
    become_busy(i);
}

static void thaw_drain(struct instance *i)
{
    thaw(i);
    drain(i);
}

static void thaw_bye(struct instance *i)
{
    thaw(i);
    said_bye(i);
}

/* ---- the table ---- */

struct cell {
    enum instance_state next;
    action_fn act;
};
#define S INSTANCE_STARTING
#define N INSTANCE_INITIALISING
#define R INSTANCE_READY
#define B INSTANCE_BUSY
#define F INSTANCE_FROZEN
#define D INSTANCE_DRAINING
#define X INSTANCE_STOPPING
#define G INSTANCE_GONE
/* clang-format off */
static const struct cell table[INSTANCE_EVENTS_][INSTANCE_STATES_] = {
/*                       STARTING           INITIALISING        READY             BUSY              FROZEN            DRAINING          STOPPING          GONE */
[INSTANCE_STARTED]    = {{N, configure},    {N, bug},           {R, bug},         {B, bug},         {F, bug},         {D, bug},         {X, stop},        {G, bug}},
[INSTANCE_START_FAILED]={{G, start_failed}, {N, bug},           {R, bug},         {B, bug},         {F, bug},         {D, bug},         {G, stopped},     {G, bug}},
[INSTANCE_INIT_DONE]  = {{S, bug},          {R, become_ready},  {R, bug},         {B, bug},         {F, bug},         {D, bug},         {X, ignore},      {G, bug}},
[INSTANCE_INIT_ERROR] = {{S, bug},          {X, init_failed},   {R, bug},         {B, bug},         {F, bug},         {D, bug},         {X, ignore},      {G, bug}},
[INSTANCE_INIT_TIMEOUT]={{X, start_too_long},{X, init_too_long}, {R, bug},         {B, bug},         {F, bug},         {D, bug},         {X, ignore},      {G, bug}},
[INSTANCE_SLOT_TAKEN] = {{S, bug},          {N, bug},           {B, become_busy}, {B, bug},         {B, thaw_busy},   {D, bug},         {X, bug},         {G, bug}},
[INSTANCE_SLOTS_FREE] = {{S, bug},          {N, bug},           {R, bug},         {R, become_idle}, {F, bug},         {D, drained},     {X, ignore},      {G, bug}},
[INSTANCE_DRAIN]      = {{X, stop},         {X, kill_gently},   {D, drain},       {D, drain},       {D, thaw_drain},  {D, ignore},      {X, ignore},      {G, bug}},
[INSTANCE_BYE]        = {{S, bug},          {N, ignore},        {D, said_bye},    {D, said_bye},    {D, thaw_bye},    {D, ignore},      {X, ignore},      {G, bug}},
[INSTANCE_HANGUP]     = {{S, bug},          {N, hung_up},       {X, hung_up},     {X, hung_up},     {X, hung_up},     {X, hung_up},     {X, ignore},      {G, bug}},
[INSTANCE_VIOLATION]  = {{S, bug},          {X, init_violated}, {X, violated},    {X, violated},    {X, violated},    {X, violated},    {X, ignore},      {G, bug}},
[INSTANCE_CANCEL_LATE]= {{S, bug},          {N, bug},           {R, bug},         {X, kill_now},    {F, bug},         {X, kill_now},    {X, ignore},      {G, bug}},
[INSTANCE_PING_LOST]  = {{S, bug},          {N, bug},           {X, kill_now},    {B, ignore},      {F, ignore},      {D, ignore},      {X, ignore},      {G, bug}},
[INSTANCE_DRAIN_LATE] = {{S, bug},          {N, bug},           {R, bug},         {B, bug},         {F, bug},         {X, kill_gently}, {X, ignore},      {G, bug}},
[INSTANCE_STOP]       = {{X, stop},         {X, kill_gently},   {X, kill_gently}, {X, kill_gently}, {X, kill_gently}, {X, kill_gently}, {X, ignore},      {G, bug}},
[INSTANCE_EXITED]     = {{G, init_exited},  {G, init_exited},   {G, exited},      {G, exited},      {G, exited},      {G, exited},      {G, exited},      {G, bug}},
[INSTANCE_FREEZE]     = {{S, bug},          {N, bug},           {F, freeze},      {B, bug},         {F, bug},         {D, bug},         {X, bug},         {G, bug}},
[INSTANCE_RECONFIG]   = {{S, ignore},       {N, tell_later},    {N, reconfig_begin},{B, tell_later},  {N, thaw_tell},   {D, ignore},      {X, ignore},      {G, bug}},
};
/* clang-format on */
#undef S
#undef N
#undef R
#undef B
#undef F
#undef D
#undef X
#undef G

static void bury(struct instance *i)
{
    struct dispatcher *d = i->pool->d;
    hob_list_remove(&i->in_ready);
    hob_list_remove(&i->in_pool);
    hob_list_push_back(&d->graves, &i->in_pool);
    d->instances_n--;
    pool_buried(i->pool);
}

/* The state changes before the action, so that what the action sets off sees the new one. */
void instance_event(struct instance *i, enum instance_event e)
{
    const struct cell *cell = &table[e][i->state];
    struct pool *p = i->pool;
    if (cell->act == bug)
        bug(i);
    if (cell->next != i->state)
        set_state(i, cell->next);
    relist(i);
    cell->act(i);
    if (i->state == INSTANCE_GONE)
        bury(i);
    pool_instance_changed(p);
}

/* ---- slots ---- */

void instance_slot_taken(struct instance *i)
{
    HOB_ASSERT(instance_has_slot(i));
    i->invocations++;
    if (pool_wears(i->pool, i))
        instance_wear(i);
    if (i->in_flight++ == 0)
        instance_event(i, INSTANCE_SLOT_TAKEN);
    else
        relist(i);
}

/* It gets nothing new; the pool lets it go once it is idle. */
void instance_wear(struct instance *i)
{
    if (i->is_worn || !is_up(i->state))
        return;
    i->is_worn = true;
    i->pool->worn_n++;
    if (i->is_stale)
        i->pool->stale_n--;
    relist(i);
}

void instance_slot_freed(struct instance *i)
{
    HOB_ASSERT(i->in_flight > 0);
    if (--i->in_flight == 0)
        instance_event(i, INSTANCE_SLOTS_FREE);
    else
        relist(i);
}

/* One that does not react to a deadline hangs, and is stopped soon: whoever came to it now would be lost with it. */
void instance_overdue(struct instance *i, int change)
{
    HOB_ASSERT(change > 0 || i->overdue > 0);
    i->overdue += (unsigned)change;
    relist(i);
}

/* ---- time ---- */

static uint64_t freeze_at_us(const struct instance *i)
{
    const struct dispatcher *d = i->pool->d;
    bool can_freeze = d->o.freeze_ms && node_can_freeze(d->o.nodes);
    return can_freeze ? i->idle_us + (uint64_t)d->o.freeze_ms * 1000u : UINT64_MAX;
}

uint64_t instance_wake_us(const struct instance *i)
{
    uint64_t init_us = (uint64_t)i->pool->config->init_timeout_ms * 1000u;
    struct scaler_view v = pool_scaler_view(i->pool, dispatcher_now(i->pool->d));
    uint64_t expiry = i->idle_us + scaler_expiry_us(&i->pool->scaler, &v);
    uint64_t ping = (i->ping_us ? i->ping_us : i->idle_us) + PING_EVERY_US;
    switch (i->state) {
    case INSTANCE_STARTING:
        return i->asked_us + START_MS * 1000u;
    case INSTANCE_INITIALISING:
        return i->init_us + init_us;
    case INSTANCE_READY:
        /* one kept by scale_min is past its expiry for good: only its pings count */
        if (freeze_at_us(i) < ping)
            ping = freeze_at_us(i);
        return expiry > ping || expiry <= dispatcher_now(i->pool->d) ? ping : expiry;
    case INSTANCE_FROZEN: /* asked nothing; looked at now and then, should it be kept */
        return expiry > dispatcher_now(i->pool->d) ? expiry : dispatcher_now(i->pool->d) + PING_EVERY_US;
    case INSTANCE_DRAINING:
        return i->drain_by_us;
    case INSTANCE_BUSY:
        return i->is_stale ? i->drain_by_us : UINT64_MAX;
    case INSTANCE_STOPPING:
    case INSTANCE_GONE:
    case INSTANCE_STATES_:
        break;
    }
    return UINT64_MAX;
}

/* Only idle instances are asked: a busy loop in user code is legal until its own deadline. */
static void ping(struct instance *i, uint64_t now_us)
{
    if (now_us < (i->ping_us ? i->ping_us : i->idle_us) + PING_EVERY_US)
        return;
    i->pings_missed = i->ping_us && !channel_was_heard(i->channel) ? i->pings_missed + 1 : 0;
    if (i->pings_missed >= PING_MISSES_MAX) {
        (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "function_crashed",
                              "the function's instance no longer answered");
        pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""),
                          HOB_STR("the instance did not answer three PINGs in a row and is stopped"));
        instance_event(i, INSTANCE_PING_LOST);
        return;
    }
    i->ping_us = now_us;
    channel_trim(i->channel);
    channel_ping(i->channel);
}

void instance_tick(struct instance *i, uint64_t now_us)
{
    switch (i->state) {
    case INSTANCE_STARTING:
    case INSTANCE_INITIALISING:
        if (now_us >= instance_wake_us(i))
            instance_event(i, INSTANCE_INIT_TIMEOUT);
        break;
    case INSTANCE_READY:
        if (now_us >= freeze_at_us(i))
            instance_event(i, INSTANCE_FREEZE);
        else
            ping(i, now_us);
        break;
    case INSTANCE_DRAINING:
        if (now_us >= i->drain_by_us)
            instance_event(i, INSTANCE_DRAIN_LATE);
        break;
    case INSTANCE_BUSY:
        if (i->is_stale && now_us >= i->drain_by_us)
            instance_event(i, INSTANCE_DRAIN);
        break;
    case INSTANCE_FROZEN:
    case INSTANCE_STOPPING:
    case INSTANCE_GONE:
    case INSTANCE_STATES_:
        break;
    }
}
