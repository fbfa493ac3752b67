/* Flow of a stem: LAUNCHING -> WARMING -> READY -> taken; DYING (asked to stop) and the engine's exited or failed end it
 * from anywhere. */
#include "runner/stems.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/memory.h"

enum {
    SHELVES_MAX = 32,
    WANT_FIRST = 2,
    BOOTING_MAX = 2,
    BOOT_WEIGHT = 20, /* of 100: real requests go first */
    BOOT_MS = 10000,  /* one that is not ready after so long never will be */
    PAUSE_MS = 2,     /* before the next boot, plus a random part up to: */
    JITTER_MS = 8,
    KEEP_MS = 1000, /* between looks at what is too much */
    SHRINK_MS = 60 * 1000,
    FORGET_MS = 600 * 1000,
    RETRY_MS = 1000, /* after a failed boot; doubles */
    RETRY_MAX_MS = 60 * 1000,
    PRESSURE_MS = 10 * 1000, /* none is made for so long after memory was short */
    AVAILABLE_MIN_PERCENT = 10,
    AVAILABLE_PLENTY_PERCENT = 50,
    PLENTY_KB = 512 * 1024, /* of the machine's memory for each one that is made without a miss */
    PING_ARG = 0x686f62,
};

enum stem_state { STEM_LAUNCHING, STEM_WARMING, STEM_READY, STEM_DYING };

struct stem {
    struct hob_node node; /* in its shelf, or in the dying */
    struct shelf *shelf;  /* NULL when it is dying */
    struct stems *all;
    enum stem_state state;
    struct engine_run *run;
    struct streams streams;
    uv_poll_t *poll; /* while WARMING; frees itself */
    uint64_t since_ms;
    bool is_launched;
};

struct shelf {
    struct hob_node node;
    char runtime[32];
    struct hob_buf strings;
    struct engine_spec spec; /* points to the two above */
    bool wants_logs, is_native;
    struct hob_list stems;
    unsigned ready_n, stems_n, want, max, failures;
    uint64_t asked_ms, missed_ms, not_before_ms;
};

struct stems {
    uv_loop_t *loop;
    struct engine *engine;
    unsigned stems_max, stems_n, booting_n, handles;
    struct hob_list shelves, dying;
    size_t shelves_n;
    uv_timer_t refill, keep;
    uint64_t short_until_ms; /* of memory */
    unsigned plenty;         /* so many are no burden on this machine */
    uint64_t hits, misses, made, died;
    bool is_closing;
};

static void on_refill(uv_timer_t *timer);
static void on_keep(uv_timer_t *timer);
static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- steps: one stem ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void poll_end(struct stem *t)
{
    if (t->poll)
        uv_close((uv_handle_t *)t->poll, on_poll_closed);
    t->poll = NULL;
}

static bool is_booting(const struct stem *t)
{
    return t->state == STEM_LAUNCHING || t->state == STEM_WARMING;
}

/* Out of its shelf: it is taken, or dies. */
static void shelf_leave(struct stem *t)
{
    struct stems *s = t->all;
    if (!t->shelf)
        return;
    s->booting_n -= is_booting(t);
    t->shelf->ready_n -= t->state == STEM_READY;
    t->shelf->stems_n--;
    s->stems_n--;
    hob_list_remove(&t->node);
    t->shelf = NULL;
}

static void refill_soon(struct stems *s, uint64_t pause_ms)
{
    if (!s->is_closing && !uv_is_active((uv_handle_t *)&s->refill))
        (void)uv_timer_start(&s->refill, on_refill, pause_ms + hob_id64() % JITTER_MS, 0);
}

static void stem_free(struct stem *t)
{
    poll_end(t);
    hob_list_remove(&t->node);
    streams_close(&t->streams);
    free(t);
}

static void stem_discard(struct stem *t)
{
    HOB_ASSERT(t->state != STEM_DYING);
    shelf_leave(t);
    poll_end(t);
    streams_close(&t->streams);
    t->state = STEM_DYING;
    hob_list_push_back(&t->all->dying, &t->node);
    if (t->is_launched)
        t->all->engine->ops->stop(t->run, 0);
}

/* One that never got ready: whoever tries at once again would fail again. */
static void shelf_failed(struct shelf *h)
{
    uint64_t wait_ms = (uint64_t)RETRY_MS << (h->failures < 6 ? h->failures : 6);
    h->failures++;
    h->not_before_ms = hob_now_ms() + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
}

static void stem_ended(struct stem *t, const char *why)
{
    struct stems *s = t->all;
    struct shelf *h = t->shelf;
    if (h) {
        s->died++;
        hob_log(HOB_LOG_WARN, "stem.ended", "runtime=%s ready=%d %s", h->runtime, t->state == STEM_READY,
                why);
        if (is_booting(t))
            shelf_failed(h);
    }
    shelf_leave(t);
    stem_free(t);
    refill_soon(s, PAUSE_MS);
}

static void stem_launched(struct stem *t)
{
    static const struct hob_frame ping = {.type = HOB_FRAME_PING, .arg = PING_ARG};
    unsigned char frame[HOB_FRAME_HEADER_BYTES];
    t->is_launched = true;
    if (t->state == STEM_DYING) {
        t->all->engine->ops->stop(t->run, 0);
        return;
    }
    hob_frame_encode(&ping, frame);
    t->state = STEM_WARMING;
    t->poll = hob_new(uv_poll_t);
    t->poll->data = t;
    if (uv_poll_init(t->all->loop, t->poll, t->streams.channel) < 0) {
        free(t->poll);
        t->poll = NULL;
        stem_discard(t);
        return;
    }
    (void)uv_poll_start(t->poll, UV_READABLE, on_poll);
    if (send(t->streams.channel, frame, sizeof frame, MSG_NOSIGNAL) != (ssize_t)sizeof frame)
        stem_discard(t);
}

/* The first thing it may say is the PONG; a stem has nothing else to say. */
static void stem_heard(struct stem *t)
{
    unsigned char bytes[HOB_FRAME_HEADER_BYTES];
    struct hob_frame frame;
    ssize_t n = recv(t->streams.channel, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof bytes || !hob_frame_decode(bytes, &frame) || frame.type != HOB_FRAME_PONG ||
        frame.arg != PING_ARG || frame.len) {
        if (n != 0) { /* its end is told by the engine */
            shelf_failed(t->shelf);
            stem_discard(t);
        } else {
            poll_end(t);
        }
        return;
    }
    poll_end(t);
    t->state = STEM_READY;
    t->all->booting_n--;
    t->shelf->ready_n++;
    t->shelf->failures = 0;
    refill_soon(t->all, PAUSE_MS);
}

/* ---- steps: shelves ---- */

static void on_launched(void *ctx, int64_t pid, uint64_t launch_us)
{
    (void)pid, (void)launch_us;
    stem_launched(ctx);
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    stem_ended(ctx, err->msg);
}

static void on_exited(void *ctx, const struct engine_exit *exit)
{
    stem_ended(ctx, exit->message);
}

static void on_frozen(void *ctx, bool is_frozen)
{
    (void)ctx, (void)is_frozen; /* nobody asks */
}

static void on_stats(void *ctx, const struct engine_usage *usage)
{
    (void)ctx, (void)usage;
}

static void stem_start(struct stems *s, struct shelf *h)
{
    static const struct engine_listener listener = {.launched = on_launched,
                                                    .failed = on_failed,
                                                    .exited = on_exited,
                                                    .frozen = on_frozen,
                                                    .stats = on_stats};
    struct hob_err err;
    struct streams streams;
    if (streams_open(&streams, h->wants_logs, &err) != HOB_OK) {
        shelf_failed(h);
        return;
    }
    struct stem *t = hob_new(struct stem);
    *t = (struct stem){.shelf = h, .all = s, .streams = streams, .since_ms = hob_now_ms()};
    h->spec.channel_fd = hob_steal_fd(&t->streams.their_channel);
    h->spec.stdout_fd = hob_steal_fd(&t->streams.their_out);
    h->spec.stderr_fd = hob_steal_fd(&t->streams.their_err);
    h->spec.stdin_fd = -1;
    hob_list_push_back(&h->stems, &t->node);
    h->stems_n++;
    s->stems_n++;
    s->booting_n++;
    s->made++;
    t->run = s->engine->ops->start(s->engine, &h->spec, &listener, t);
}

static struct stem *shelf_oldest(const struct shelf *h, bool is_ready)
{
    HOB_LIST_EACH(&h->stems, node, next)
    {
        struct stem *t = HOB_CONTAINER_OF(node, struct stem, node);
        if (!is_ready || t->state == STEM_READY)
            return t;
    }
    return NULL;
}

/* The shelf that lacks most, or NULL; *ret_wait_ms when one must wait. */
static struct shelf *shelf_poorest(struct stems *s, uint64_t now_ms, uint64_t *ret_wait_ms)
{
    struct shelf *poorest = NULL;
    unsigned most = 0;
    *ret_wait_ms = 0;
    HOB_LIST_EACH(&s->shelves, node, next)
    {
        struct shelf *h = HOB_CONTAINER_OF(node, struct shelf, node);
        unsigned lacking = h->want > h->stems_n ? h->want - h->stems_n : 0;
        if (lacking && h->not_before_ms > now_ms)
            *ret_wait_ms = h->not_before_ms - now_ms;
        else if (lacking > most) {
            most = lacking;
            poorest = h;
        }
    }
    return poorest;
}

static void stems_refill(struct stems *s)
{
    uint64_t now_ms = hob_now_ms(), wait_ms;
    struct shelf *h = shelf_poorest(s, now_ms, &wait_ms);
    if (wait_ms)
        refill_soon(s, wait_ms);
    if (!h || s->booting_n >= BOOTING_MAX || s->stems_n >= s->stems_max || now_ms < s->short_until_ms)
        return; /* a stem that gets ready, ends or is taken, or the keeper, comes back here */
    if (!s->engine->ops->is_up(s->engine))
        return;
    struct memory memory = memory_read();
    if (memory_is_below(&memory, AVAILABLE_MIN_PERCENT)) {
        s->short_until_ms = now_ms + PRESSURE_MS;
        return;
    }
    stem_start(s, h);
    refill_soon(s, PAUSE_MS);
}

static void shelf_empty(struct shelf *h, unsigned keep)
{
    struct stem *t;
    while (h->stems_n > keep && (t = shelf_oldest(h, false)))
        stem_discard(t);
}

static void shelf_free(struct stems *s, struct shelf *h)
{
    shelf_empty(h, 0);
    hob_list_remove(&h->node);
    s->shelves_n--;
    hob_buf_done(&h->strings);
    free(h);
}

static unsigned stems_wanted(const struct stems *s)
{
    unsigned n = 0;
    HOB_LIST_EACH(&s->shelves, node, next)
    n += HOB_CONTAINER_OF(node, const struct shelf, node)->want;
    return n;
}

/* A miss is somebody who waits: where memory is plenty and nothing is under way, one more is made ahead at each look, of
 * the kind that was asked for last. */
static void stems_grow(struct stems *s, const struct memory *m)
{
    struct shelf *last = NULL;
    uint64_t plenty = memory_is_below(m, AVAILABLE_PLENTY_PERCENT) ? 0 : m->total_kb / PLENTY_KB;
    s->plenty = plenty < s->stems_max ? (unsigned)plenty : s->stems_max;
    if (s->booting_n || stems_wanted(s) >= s->plenty)
        return;
    HOB_LIST_EACH(&s->shelves, node, next)
    {
        struct shelf *h = HOB_CONTAINER_OF(node, struct shelf, node);
        if (h->want < h->max && h->ready_n == h->want && (!last || h->asked_ms > last->asked_ms))
            last = h;
    }
    if (last)
        last->want++;
}

static void shelf_keep(struct stems *s, struct shelf *h, bool is_burden, uint64_t now_ms)
{
    HOB_LIST_EACH(&h->stems, node, next)
    {
        struct stem *t = HOB_CONTAINER_OF(node, struct stem, node);
        if (is_booting(t) && now_ms - t->since_ms > BOOT_MS) {
            shelf_failed(h);
            stem_discard(t);
        }
    }
    if (now_ms - h->asked_ms > FORGET_MS) {
        shelf_free(s, h);
        return;
    }
    if (h->want > 1 && is_burden && now_ms - h->missed_ms > SHRINK_MS) {
        h->want--;
        h->missed_ms = now_ms;
    }
    shelf_empty(h, now_ms < s->short_until_ms ? 0 : h->want);
}

static void stems_keep(struct stems *s)
{
    uint64_t now_ms = hob_now_ms();
    struct memory memory = memory_read();
    if (s->stems_n && memory_is_below(&memory, AVAILABLE_MIN_PERCENT)) {
        if (now_ms >= s->short_until_ms)
            hob_log(HOB_LOG_WARN, "stems.memory", "stems=%u: given back, the machine is short of memory",
                    s->stems_n);
        s->short_until_ms = now_ms + PRESSURE_MS;
    }
    stems_grow(s, &memory);
    bool is_burden = stems_wanted(s) > s->plenty;
    HOB_LIST_EACH(&s->shelves, node, next)
    shelf_keep(s, HOB_CONTAINER_OF(node, struct shelf, node), is_burden, now_ms);
    refill_soon(s, PAUSE_MS);
    if (s->shelves_n == 0)
        (void)uv_timer_stop(&s->keep);
}

static bool is_kind(const struct shelf *h, const struct instance_spec *spec)
{
    const struct engine_spec *a = &h->spec, *b = &spec->engine;
    bool is_native = instance_spec_is_native(spec);
    bool is_program =
        is_native || (a->argc == b->argc && a->envc == b->envc &&
                      hob_str_eq(a->strings, b->strings)); /* native: told when it is assigned */
    return strcmp(h->runtime, spec->runtime) == 0 && h->is_native == is_native && is_program &&
           a->nofile_max == b->nofile_max && a->tmp_inodes == b->tmp_inodes && a->tmp_bytes == b->tmp_bytes &&
           a->fsize_bytes == b->fsize_bytes && a->has_profile == b->has_profile &&
           memcmp(&a->calls, &b->calls, sizeof a->calls) == 0 && h->wants_logs == spec->wants_logs;
}

static struct shelf *shelf_find(struct stems *s, const struct instance_spec *spec)
{
    HOB_LIST_EACH(&s->shelves, node, next)
    {
        struct shelf *h = HOB_CONTAINER_OF(node, struct shelf, node);
        if (is_kind(h, spec))
            return h;
    }
    return NULL;
}

static void shelf_make(struct stems *s, const struct instance_spec *spec)
{
    static const struct hob_str await = {"--await", sizeof "--await"};
    bool is_native = instance_spec_is_native(spec);
    struct hob_str strings = is_native ? await : spec->engine.strings;
    struct shelf *h = hob_new(struct shelf);
    hob_buf_init(&h->strings, strings.n);
    if (s->shelves_n >= SHELVES_MAX || hob_buf_add_str(&h->strings, strings) != HOB_OK) {
        hob_buf_done(&h->strings);
        free(h);
        return;
    }
    memcpy(h->runtime, spec->runtime, sizeof h->runtime);
    h->spec = spec->engine;
    h->spec.is_stem = true;
    h->spec.app = NULL; /* nobody's yet, and `spec` goes before the shelf does */
    h->spec.cpu_weight = BOOT_WEIGHT;
    h->spec.runtime = h->runtime;
    h->spec.digest = "";
    h->spec.strings = hob_buf_str(&h->strings);
    if (is_native) {
        h->spec.argc = 1;
        h->spec.envc = 0;
    }
    h->is_native = is_native;
    h->wants_logs = spec->wants_logs;
    h->max = spec->pool_max;
    h->want = h->max < WANT_FIRST ? h->max : WANT_FIRST;
    h->asked_ms = h->missed_ms = hob_now_ms();
    hob_list_init(&h->stems);
    hob_list_push_back(&s->shelves, &h->node);
    if (s->shelves_n++ == 0)
        (void)uv_timer_start(&s->keep, on_keep, KEEP_MS, KEEP_MS);
}

/* A stem that has said something, or whose channel has ended, is none. */
static bool is_silent(const struct stem *t)
{
    char byte;
    return recv(t->streams.channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* ---- callbacks ---- */

static void on_refill(uv_timer_t *timer)
{
    stems_refill(timer->data);
}

static void on_keep(uv_timer_t *timer)
{
    stems_keep(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    stem_heard(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
    struct stems *s = handle->data;
    if (--s->handles == 0)
        free(s);
}

/* ---- door ---- */

struct stems *stems_new(uv_loop_t *loop, struct engine *engine, unsigned stems_max)
{
    struct stems *s = hob_new(struct stems);
    *s = (struct stems){.loop = loop, .engine = engine, .stems_max = stems_max, .handles = 2};
    hob_list_init(&s->shelves);
    hob_list_init(&s->dying);
    (void)uv_timer_init(loop, &s->refill);
    (void)uv_timer_init(loop, &s->keep);
    s->refill.data = s->keep.data = s;
    return s;
}

enum stems_answer stems_take(struct stems *s, const struct instance_spec *spec, struct engine_run **ret_run,
                             struct streams *ret_streams)
{
    struct stem *t;
    if (!s->stems_max || !spec->pool_max || !spec->digest[0])
        return STEMS_NONE;
    uint64_t now_ms = hob_now_ms();
    struct shelf *h = shelf_find(s, spec);
    refill_soon(s, PAUSE_MS);
    if (!h) {
        shelf_make(s, spec);
        s->misses++;
        return STEMS_MISS;
    }
    h->asked_ms = now_ms;
    h->max = spec->pool_max;
    while ((t = shelf_oldest(h, true))) {
        if (!is_silent(t)) {
            stem_discard(t);
            continue;
        }
        shelf_leave(t);
        *ret_run = t->run;
        *ret_streams = t->streams;
        free(t);
        s->hits++;
        return STEMS_HIT;
    }
    s->misses++;
    h->missed_ms = now_ms;
    h->want = h->want * 2 < h->max ? h->want * 2 : h->max;
    return STEMS_MISS;
}

unsigned stems_count(const struct stems *s)
{
    return s->stems_n;
}

void stems_describe(const struct stems *s, char *text, size_t text_bytes)
{
    int n =
        snprintf(text, text_bytes,
                 "pool: %u sandboxes ready ahead or booting; %llu hits, %llu misses, %llu made, %llu died",
                 s->stems_n, (unsigned long long)s->hits, (unsigned long long)s->misses,
                 (unsigned long long)s->made, (unsigned long long)s->died);
    HOB_LIST_EACH(&s->shelves, node, next)
    {
        const struct shelf *h = HOB_CONTAINER_OF(node, const struct shelf, node);
        if (n > 0 && (size_t)n < text_bytes)
            n += snprintf(text + n, text_bytes - (size_t)n, "; %s %u of %u ready", h->runtime, h->ready_n,
                          h->want);
    }
}

void stems_close(struct stems *s)
{
    s->is_closing = true;
    HOB_LIST_EACH(&s->shelves, shelf_node, shelf_next)
    {
        struct shelf *h = HOB_CONTAINER_OF(shelf_node, struct shelf, node);
        HOB_LIST_EACH(&h->stems, node, next)
        stem_free(HOB_CONTAINER_OF(node, struct stem, node));
        hob_list_remove(&h->node);
        hob_buf_done(&h->strings);
        free(h);
    }
    HOB_LIST_EACH(&s->dying, node, next)
    stem_free(HOB_CONTAINER_OF(node, struct stem, node));
    uv_close((uv_handle_t *)&s->refill, on_closed);
    uv_close((uv_handle_t *)&s->keep, on_closed);
}
