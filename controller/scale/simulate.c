/* Flow: the earliest of the next arrival, start, end and look is taken; the clock jumps there; then as in a pool: dispatch
 * what can be, ask the scaler, start, let go. */
#include "controller/scale/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

#include "base/banned.h"

enum { PATIENCE_US = 5 * 1000 * 1000, MAX_DEFAULT = 100, SETTLE_MAX_US = 30ll * 60 * 1000 * 1000 };
enum { STARTS_PER_CORE = 2, STARTS_MIN = 4 }; /* as the dispatcher grants them; one place is another app's */
enum {
    PREPARED_PART = 20
}; /* what is left of a start when its sandbox was prepared: measured, Node 1.4 of 28 ms */

struct sim_instance {
    struct hob_node in_free; /* with a free slot, most recently used first */
    uint64_t asked_us, ready_us, idle_us;
    unsigned in_flight;
    bool is_live;
};
struct start { /* that shares the cores */
    unsigned instance;
    double done_at; /* by s->worked_us */
};
struct event { /* a start or a run that ends */
    uint64_t at_us, order;
    unsigned instance;
    uint32_t service_us; /* of a run */
    bool is_start;
};
struct sim {
    const struct sim_arrival *arrivals;
    size_t n, next; /* next: the arrival to come */
    struct sim_options o;
    const struct sim_watch *watch;
    struct sim_result *r;
    struct scaler scaler;
    uint64_t now_us, look_us, tick_us, ticked, orders, last_end_us;
    struct sim_instance *instances;
    struct hob_list free;
    struct event *heap; /* from 1 */
    size_t heap_n;
    size_t *queue; /* arrivals that wait */
    size_t head, tail;
    struct start *sharing; /* with o.cores */
    size_t sharing_n;
    unsigned prepared;
    double worked_us; /* what each start that was there all the time has got of a core */
    uint32_t *waits;
    size_t waits_n;
    unsigned ready, starting, in_flight;
    int direction;
};

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct sim *s, struct event e)
{
    e.order = s->orders++;
    size_t i = ++s->heap_n;
    for (; i > 1 && is_before(&e, &s->heap[i / 2]); i /= 2)
        s->heap[i] = s->heap[i / 2];
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[1], last = s->heap[s->heap_n--];
    size_t i = 1;
    for (size_t child; (child = 2 * i) <= s->heap_n; i = child) {
        if (child < s->heap_n && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

/* ---- starts that share cores ---- */

static double share(const struct sim *s)
{
    return s->sharing_n > s->o.cores ? (double)s->o.cores / (double)s->sharing_n : 1;
}

static size_t share_first(const struct sim *s)
{
    size_t first = 0;
    for (size_t i = 1; i < s->sharing_n; i++)
        if (s->sharing[i].done_at < s->sharing[first].done_at)
            first = i;
    return first;
}

static uint64_t share_next_us(const struct sim *s)
{
    if (s->sharing_n == 0)
        return UINT64_MAX;
    double left = s->sharing[share_first(s)].done_at - s->worked_us;
    return s->now_us + (left > 0 ? (uint64_t)ceil(left / share(s)) : 0);
}

static void share_begin(struct sim *s, unsigned instance)
{
    double work_us = (double)s->o.cold_us / (s->prepared ? PREPARED_PART : 1);
    s->prepared -= s->prepared > 0;
    s->sharing[s->sharing_n++] = (struct start){instance, s->worked_us + work_us};
}

static struct event share_end(struct sim *s)
{
    size_t first = share_first(s);
    struct event e = {.at_us = s->now_us, .instance = s->sharing[first].instance, .is_start = true};
    memmove(&s->sharing[first], &s->sharing[first + 1], (--s->sharing_n - first) * sizeof *s->sharing);
    return e;
}

static unsigned may_start(const struct sim *s, unsigned wanted)
{
    unsigned by_cores = s->o.cores * STARTS_PER_CORE;
    unsigned most = (by_cores > STARTS_MIN ? by_cores : STARTS_MIN) - 1;
    if (s->o.cores == 0)
        return wanted;
    unsigned room = most > s->starting ? most - s->starting : 0;
    return wanted < room ? wanted : room;
}

/* ---- what the scaler sees ---- */

static struct scaler_view view(const struct sim *s)
{
    unsigned queued = (unsigned)(s->tail - s->head);
    return (struct scaler_view){
        .now_us = s->now_us,
        .oldest_wait_us = queued ? s->now_us - s->arrivals[s->queue[s->head]].at_us : 0,
        .queued = queued,
        .in_flight = s->in_flight,
        .ready = s->ready,
        .starting = s->starting,
        .concurrency = s->o.concurrency,
        .min = s->o.min,
        .max = s->o.max,
        .mode = s->o.mode,
        .keep_us = s->o.keep_us,
    };
}

static void turn(struct sim *s, int direction)
{
    s->r->reversals += s->direction && s->direction != direction;
    s->direction = direction;
}

/* ---- steps ---- */

static void start_one(struct sim *s)
{
    unsigned i = 0;
    while (s->instances[i].is_live)
        i++;
    HOB_ASSERT(i < s->o.max);
    s->instances[i] = (struct sim_instance){.asked_us = s->now_us, .is_live = true};
    s->starting++;
    s->r->starts++;
    turn(s, 1);
    if (s->ready + s->starting > s->r->peak)
        s->r->peak = s->ready + s->starting;
    if (s->o.cores)
        share_begin(s, i);
    else
        push(s, (struct event){.at_us = s->now_us + s->o.cold_us, .instance = i, .is_start = true});
}

static void stop_one(struct sim *s, struct sim_instance *i)
{
    if (s->watch && s->watch->on_stop)
        s->watch->on_stop(s->watch->ctx, i->in_flight, s->now_us - i->idle_us);
    hob_list_remove(&i->in_free);
    i->is_live = false;
    s->ready--;
    s->r->instance_s += (double)(s->now_us - i->asked_us) / 1e6;
    turn(s, -1);
    s->r->zero_us = s->now_us - s->last_end_us;
}

static void dispatch(struct sim *s, const struct sim_arrival *a, struct sim_instance *i)
{
    uint64_t wait = s->now_us - a->at_us;
    if (s->watch && s->watch->on_dispatch)
        s->watch->on_dispatch(s->watch->ctx, s->now_us, wait);
    scaler_note_wait(&s->scaler, wait);
    s->waits[s->waits_n++] = wait > UINT32_MAX ? UINT32_MAX : (uint32_t)wait;
    s->r->cold += wait > 0 && i->in_flight == 0 && i->idle_us == s->now_us && i->ready_us == s->now_us;
    s->r->busy_s += (double)a->service_us / 1e6;
    s->in_flight++;
    if (++i->in_flight >= s->o.concurrency)
        hob_list_remove(&i->in_free);
    push(s, (struct event){.at_us = s->now_us + a->service_us,
                           .instance = (unsigned)(i - s->instances),
                           .service_us = a->service_us});
}

static void give_up(struct sim *s)
{
    while (s->head < s->tail && s->now_us - s->arrivals[s->queue[s->head]].at_us >= s->o.patience_us) {
        s->head++;
        s->r->refused++;
    }
}

static void dispatch_all(struct sim *s)
{
    struct hob_node *n;
    while (s->head < s->tail && (n = hob_list_first(&s->free)) != NULL)
        dispatch(s, &s->arrivals[s->queue[s->head++]], HOB_CONTAINER_OF(n, struct sim_instance, in_free));
}

static struct sim_instance *longest_idle(struct sim *s)
{
    struct sim_instance *longest = NULL;
    HOB_LIST_EACH(&s->free, n, tmp)
    {
        struct sim_instance *i = HOB_CONTAINER_OF(n, struct sim_instance, in_free);
        if (i->in_flight == 0 && (!longest || i->idle_us < longest->idle_us))
            longest = i;
    }
    return longest;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Lets go, and says when the next one would go. */
static uint64_t let_go(struct sim *s)
{
    struct sim_instance *i;
    while ((i = longest_idle(s)) != NULL) {
        struct scaler_view v = view(s);
        uint64_t expiry = i->idle_us + scaler_expiry_us(&s->scaler, &v);
        if (!scaler_expires(&s->scaler, &v, s->now_us - i->idle_us))
            return expiry > s->now_us ? expiry : s->now_us + SCALER_RECENT_US;
        stop_one(s, i);
    }
    return UINT64_MAX;
}

static void act(struct sim *s)
{
    give_up(s);
    dispatch_all(s);
    struct scaler_view v = view(s);
    if (s->watch && s->watch->on_step)
        s->watch->on_step(s->watch->ctx, &s->scaler, &v);
    struct scaler_decision d = scaler_decide(&s->scaler, &v);
    if (d.starts && s->watch && s->watch->on_start)
        s->watch->on_start(s->watch->ctx, &v, &d);
    for (unsigned i = may_start(s, d.starts); i > 0; i--)
        start_one(s);
    if (s->tick_us && s->now_us >= s->tick_us) {
        bool has_traffic = s->scaler.arrivals != s->ticked || s->head < s->tail;
        s->ticked = s->scaler.arrivals;
        s->tick_us = has_traffic ? s->now_us + SCALER_TICK_US : 0;
    }
    s->look_us = earlier(d.ask_again_us, s->tick_us ? s->tick_us : UINT64_MAX);
    if (s->head < s->tail)
        s->look_us = earlier(s->look_us, s->arrivals[s->queue[s->head]].at_us + s->o.patience_us);
    else
        s->look_us = earlier(s->look_us, let_go(s));
}

static void arrive(struct sim *s)
{
    s->queue[s->tail++] = s->next++;
    scaler_note_arrival(&s->scaler, s->now_us);
    if (!s->tick_us)
        s->tick_us = s->now_us + SCALER_TICK_US;
}

static void finish(struct sim *s, const struct event *e)
{
    struct sim_instance *i = &s->instances[e->instance];
    if (e->is_start) {
        s->starting--;
        s->ready++;
        i->ready_us = s->now_us;
        scaler_note_cold(&s->scaler, s->now_us - i->asked_us);
    } else {
        i->in_flight--;
        s->in_flight--;
        s->last_end_us = s->now_us;
    }
    if (i->in_flight == 0)
        i->idle_us = s->now_us;
    if (!hob_node_is_linked(&i->in_free))
        hob_list_push_front(&s->free, &i->in_free);
    if (!e->is_start && s->in_flight == 0 && s->head == s->tail)
        scaler_note_quiet(&s->scaler, s->now_us);
}

static bool step(struct sim *s)
{
    uint64_t arrival = s->next < s->n ? s->arrivals[s->next].at_us : UINT64_MAX;
    uint64_t event = s->heap_n ? s->heap[1].at_us : UINT64_MAX;
    uint64_t shared = share_next_us(s), at = earlier(earlier(arrival, event), earlier(s->look_us, shared));
    bool is_over = s->next >= s->n && s->head == s->tail && s->in_flight == 0 &&
                   (s->ready + s->starting == 0 || at > s->last_end_us + SETTLE_MAX_US);
    if (at == UINT64_MAX || is_over)
        return false;
    if (at > s->now_us) {
        s->worked_us += (double)(at - s->now_us) * share(s);
        s->now_us = at;
    }
    if (shared == at) {
        struct event e = share_end(s);
        finish(s, &e);
    } else if (event == at) {
        struct event e = pop(s);
        if (!e.is_start)
            scaler_note_service(&s->scaler, e.service_us);
        finish(s, &e);
    } else if (arrival == at) {
        arrive(s);
    }
    act(s);
    return true;
}

static int compare_waits(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void conclude(struct sim *s)
{
    struct sim_result *r = s->r;
    for (unsigned i = 0; i < s->o.max; i++)
        if (s->instances[i].is_live) {
            r->instance_s += (double)(s->now_us - s->instances[i].asked_us) / 1e6;
            r->left++;
        }
    r->requests = s->n;
    if (s->waits_n == 0)
        return;
    qsort(s->waits, s->waits_n, sizeof *s->waits, compare_waits);
    r->wait_p50_us = s->waits[s->waits_n / 2];
    r->wait_p99_us = s->waits[s->waits_n - 1 - s->waits_n / 100];
    r->wait_max_us = s->waits[s->waits_n - 1];
}

void simulate(const struct sim_arrival *arrivals, size_t n, const struct sim_options *o,
              const struct sim_watch *watch, struct sim_result *ret)
{
    struct sim s = {.arrivals = arrivals, .n = n, .o = *o, .watch = watch, .r = ret, .look_us = UINT64_MAX};
    *ret = (struct sim_result){0};
    s.o.concurrency = o->concurrency ? o->concurrency : 1;
    s.o.max = o->max ? o->max : MAX_DEFAULT;
    s.o.patience_us = o->patience_us ? o->patience_us : PATIENCE_US;
    scaler_init(&s.scaler, o->cold_us);
    hob_list_init(&s.free);
    s.instances = hob_new_n(struct sim_instance, s.o.max + 1);
    s.heap = hob_new_n(struct event, (size_t)s.o.max * (s.o.concurrency + 1) + 2);
    s.sharing = hob_new_n(struct start, s.o.max + 1);
    s.prepared = o->prepared;
    s.queue = hob_new_n(size_t, n + 1);
    s.waits = hob_new_n(uint32_t, n + 1);
    s.now_us = s.last_end_us = n ? arrivals[0].at_us : 0;
    act(&s);
    while (step(&s))
        ;
    conclude(&s);
    free(s.instances);
    free(s.heap);
    free(s.sharing);
    free(s.queue);
    free(s.waits);
}
