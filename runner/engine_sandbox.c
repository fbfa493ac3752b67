/* The sandbox engine: runs behind hob-launcher (base/launch.h).
 *
 * Flow of the engine: DOWN (dials with back-off) -> PROBING -> UP, and back to DOWN whenever the connection is lost or
 * the launcher stops answering; then every run is reported. CLOSING ends it from anywhere.
 * Flow of a run: LAUNCHING -> RUNNING -> gone, or LAUNCHING -> gone, or REFUSED -> gone (started while not UP);
 * a stem: LAUNCHING -> RUNNING -> ASSIGNING -> RUNNING, or ASSIGNING -> LEFT (told as failed, being stopped) -> gone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/launch.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/msgsock.h"
#include "runner/egress/egress.h"
#include "runner/engine.h"
#include "runner/engine_message.h"

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 2000,
    QUIET_MS = 400,
    ANSWER_MS = 10000, /* a launcher that owes an answer this long counts as gone */
    WATCH_MS = 1000,
    QUEUE_BYTES_MAX = 8 * 1024 * 1024,
    FDS_MAX = HOB_FDMSG_FDS_MAX,
    OPS_MAX = 8, /* questions that may be open about one run */
};

enum engine_state { ENGINE_DOWN, ENGINE_PROBING, ENGINE_UP, ENGINE_CLOSING };
enum run_state { RUN_LAUNCHING, RUN_RUNNING, RUN_REFUSED, RUN_ASSIGNING, RUN_LEFT };

struct sandbox {
    struct engine base;
    uv_loop_t *loop;
    char *path;
    enum engine_state state;
    struct hob_msgsock *sock;
    uv_timer_t dial, watch, refuse;
    unsigned handles;
    uint64_t backoff_ms, asked_ms, last_id;
    bool is_failing; /* a failure was logged and no success since */
    char probe[sizeof((struct hob_launch_reply *)0)->text + 1];
    struct engine_run *runs; /* by id */
    struct hob_list refused;
    struct engine_events events;
    void *ctx;
};

struct engine_run {
    UT_hash_handle hh;
    struct hob_node node; /* in refused */
    struct sandbox *engine;
    uint64_t id;
    enum run_state state;
    bool is_frozen, is_fork;
    uint32_t memory_mb;
    uint64_t asked_us;
    uint8_t ops[OPS_MAX]; /* questions in the order in which they will be answered */
    unsigned ops_n;
    int64_t pid;
    struct engine_listener listener;
    void *ctx;
};

static void on_dial(uv_timer_t *timer);
static void on_watch(uv_timer_t *timer);
static void on_refuse(uv_timer_t *timer);
static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n);
static void on_lost(void *ctx, const struct hob_err *err);
static void engine_ask(struct sandbox *e, unsigned op, uint64_t id, uint32_t grace_ms);

/* ---- steps: runs ---- */

static void run_free(struct engine_run *r)
{
    hob_list_remove(&r->node);
    if (r->state != RUN_REFUSED)
        HASH_DEL(r->engine->runs, r);
    free(r);
}

static void run_fail(struct engine_run *r, const struct hob_err *err)
{
    struct engine_listener listener = r->listener;
    void *ctx = r->ctx;
    run_free(r);
    listener.failed(ctx, err);
}

/* The listener has heard its last; the sandbox's end is still to come. */
static void run_leave(struct engine_run *r, const struct hob_err *err)
{
    struct engine_listener listener = r->listener;
    void *ctx = r->ctx;
    r->state = RUN_LEFT;
    engine_ask(r->engine, HOB_LAUNCH_STOP, r->id, 0);
    listener.failed(ctx, err);
}

static void run_exit(struct engine_run *r, const struct engine_exit *exit)
{
    if (r->state == RUN_LEFT) {
        run_free(r);
        return;
    }
    if (r->state == RUN_ASSIGNING) {
        struct hob_err err;
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "stem_died", "the sandbox made ahead ended: %s",
                              exit->message);
        run_fail(r, &err);
        return;
    }
    struct engine_listener listener = r->listener;
    void *ctx = r->ctx;
    run_free(r);
    listener.exited(ctx, exit);
}

static void fail_unavailable(struct hob_err *err, const char *why)
{
    (void)hob_fail_reason(err, HOB_E_UNAVAILABLE, "engine_unavailable",
                          "the sandbox engine is not available: %s; see `hob doctor`", why);
}

/* The launcher is gone, and with it all that it launched. */
static void runs_lose(struct sandbox *e)
{
    for (struct engine_run *r = e->runs, *next; r; r = next) {
        next = r->hh.next;
        if (r->state == RUN_LAUNCHING) {
            struct hob_err err;
            fail_unavailable(&err, "hob-launcher went away during the start");
            run_fail(r, &err);
        } else {
            struct engine_exit lost = {.exit_code = -1, .signal = 9};
            (void)snprintf(lost.message, sizeof lost.message, "killed: hob-launcher went away");
            run_exit(r, &lost);
        }
    }
}

static void take_usage(struct engine_usage *to, const struct hob_launch_usage *from)
{
    *to = (struct engine_usage){.cpu_us = from->cpu_us,
                                .memory_bytes = from->memory_bytes,
                                .memory_peak_bytes = from->memory_peak_bytes,
                                .pids = from->pids,
                                .pids_denied = from->pids_denied};
}

static void run_answer_failed(struct engine_run *r, unsigned op, const struct hob_launch_reply *a)
{
    if (r->state == RUN_LEFT)
        return;
    if (r->state == RUN_LAUNCHING || (r->state == RUN_ASSIGNING && op == HOB_LAUNCH_ASSIGN)) {
        struct hob_err err;
        (void)hob_fail_reason(&err, engine_code_of(a->errnum), "launch_failed", "%.200s",
                              a->text[0] ? a->text : hob_errno_text(a->errnum));
        err.errnum = a->errnum;
        if (r->state == RUN_LAUNCHING)
            run_fail(r, &err);
        else
            run_leave(r, &err);
        return;
    }
    hob_log(HOB_LOG_WARN, "sandbox.refused", "run=%llu errno=%d %.200s", (unsigned long long)r->id, a->errnum,
            a->text);
    if (op == HOB_LAUNCH_FREEZE || op == HOB_LAUNCH_THAW)
        r->listener.frozen(r->ctx, r->is_frozen); /* as it was */
}

static void run_tell_walls(struct engine_run *r, const struct hob_launch_reply *a)
{
    if (r->listener.walls)
        r->listener.walls(r->ctx, a->text);
}

static void run_answer_done(struct engine_run *r, unsigned op, const struct hob_launch_reply *a)
{
    struct engine_usage usage;
    if (op == HOB_LAUNCH_ASSIGN && r->state == RUN_ASSIGNING) {
        r->state = RUN_RUNNING;
        r->listener.launched(r->ctx, r->pid, hob_now_us() - r->asked_us);
        run_tell_walls(r, a);
        return;
    }
    if (r->state != RUN_RUNNING)
        return;
    if (op == HOB_LAUNCH_FREEZE || op == HOB_LAUNCH_THAW) {
        r->is_frozen = op == HOB_LAUNCH_FREEZE;
        r->listener.frozen(r->ctx, r->is_frozen);
    } else if (op == HOB_LAUNCH_STATS) {
        take_usage(&usage, &a->usage);
        r->listener.stats(r->ctx, &usage);
    }
}

/* fds: pidfd and, with egress, the listener and the socket for names. */
static void run_launched(struct engine_run *r, const struct hob_launch_reply *a, int fds[FDS_MAX])
{
    r->state = RUN_RUNNING;
    uint64_t launch_us = hob_now_us() - r->asked_us;
    r->pid = fds[0] >= 0 ? engine_pid_of(fds[0]) : 0;
    if (fds[1] >= 0 && fds[2] >= 0 && r->listener.egress)
        r->listener.egress(r->ctx, hob_steal_fd(&fds[1]), hob_steal_fd(&fds[2]));
    r->listener.launched(r->ctx, r->pid, launch_us);
    run_tell_walls(r, a);
}

/* What a stem does before it is assigned is nobody's business. */
static void run_denied(struct engine_run *r, const struct hob_launch_reply *a)
{
    if (r->state == RUN_RUNNING && r->listener.denied)
        r->listener.denied(r->ctx, a->text, a->nth, a->is_last != 0);
}

static void run_used(struct engine_run *r, const struct hob_launch_reply *a)
{
    if (r->state == RUN_RUNNING && r->listener.used)
        r->listener.used(r->ctx, a->text);
}

static void run_connects(struct engine_run *r, const struct hob_launch_reply *a, int *fd)
{
    if (r->state != RUN_RUNNING || !r->listener.connect || a->address_n > sizeof a->text)
        return;
    r->listener.connect(r->ctx, &(struct egress_call){.id = a->call,
                                                      .fd = a->fd,
                                                      .socket = hob_steal_fd(fd),
                                                      .address = hob_str_n(a->text, a->address_n)});
}

static void run_ended(struct engine_run *r, const struct hob_launch_reply *a)
{
    struct engine_exit end = {0};
    engine_exit_describe(&end, a->wait_status, a->usage.oom_kills, r->memory_mb);
    take_usage(&end.usage, &a->usage);
    run_exit(r, &end);
}

/* ---- steps: the connection ---- */

static void engine_down(struct sandbox *e, const char *why)
{
    bool was_up = e->state == ENGINE_UP;
    /* While both start it is merely not there yet. */
    bool is_news = !e->is_failing && (e->state != ENGINE_DOWN || e->backoff_ms >= QUIET_MS);
    if (is_news)
        hob_log(HOB_LOG_ERROR, "launcher.lost", "path=%s %s", e->path, why);
    e->is_failing = e->is_failing || is_news;
    e->state = ENGINE_DOWN;
    hob_msgsock_close(e->sock);
    e->sock = NULL;
    (void)uv_timer_stop(&e->watch);
    (void)snprintf(e->probe, sizeof e->probe, "fail launcher: %.400s", why);
    (void)uv_timer_start(&e->dial, on_dial, e->backoff_ms, 0);
    e->backoff_ms = e->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : e->backoff_ms * 2;
    runs_lose(e);
    if (was_up && e->state != ENGINE_CLOSING)
        e->events.changed(e->ctx);
}

static void engine_ask(struct sandbox *e, unsigned op, uint64_t id, uint32_t grace_ms)
{
    struct hob_launch_request q = {.magic = HOB_LAUNCH_MAGIC, .op = op, .id = id, .grace_ms = grace_ms};
    hob_msgsock_send(e->sock, hob_str_n(&q, sizeof q), NULL, 0);
}

static void engine_dial(struct sandbox *e)
{
    static const struct hob_msgsock_events events = {.on_message = on_message, .on_lost = on_lost};
    HOB_ASSERT(e->state == ENGINE_DOWN);
    struct hob_err err;
    int fd = hob_seqpacket_connect(e->path, &err);
    if (fd >= 0)
        e->sock = hob_msgsock_start(e->loop, fd, QUEUE_BYTES_MAX, &events, e, &err);
    if (!e->sock) {
        engine_down(e, err.msg);
        return;
    }
    e->state = ENGINE_PROBING;
    e->asked_ms = hob_now_ms();
    engine_ask(e, HOB_LAUNCH_PROBE, ++e->last_id, 0);
    (void)uv_timer_start(&e->watch, on_watch, WATCH_MS, WATCH_MS);
}

static void engine_probed(struct sandbox *e, const struct hob_launch_reply *a)
{
    (void)snprintf(e->probe, sizeof e->probe, "%.*s", (int)strnlen(a->text, sizeof a->text), a->text);
    if (e->state != ENGINE_PROBING)
        return;
    e->state = ENGINE_UP;
    e->backoff_ms = BACKOFF_FIRST_MS;
    e->is_failing = false;
    e->events.changed(e->ctx);
}

/* Which question an answer belongs to: the launcher answers those about one sandbox in order. */
static unsigned take_op(struct engine_run *r)
{
    if (r->ops_n == 0)
        return 0;
    unsigned op = r->ops[0];
    r->ops_n--;
    memmove(r->ops, r->ops + 1, r->ops_n);
    return op;
}

static bool engine_answer(struct sandbox *e, const struct hob_launch_reply *a, int fds[FDS_MAX])
{
    if (a->answer == HOB_LAUNCH_PROBED) {
        engine_probed(e, a);
        return true;
    }
    struct engine_run *r;
    HASH_FIND(hh, e->runs, &a->id, sizeof a->id, r);
    if (!r) /* an answer that crossed with an end */
        return a->answer == HOB_LAUNCH_DONE || a->answer == HOB_LAUNCH_FAILED ||
               a->answer == HOB_LAUNCH_DENIED || a->answer == HOB_LAUNCH_USED ||
               a->answer == HOB_LAUNCH_CONNECT;
    bool is_launching = r->state == RUN_LAUNCHING;
    if (a->answer == HOB_LAUNCH_LAUNCHED && is_launching)
        run_launched(r, a, fds);
    else if (a->answer == HOB_LAUNCH_EXITED && !is_launching)
        run_ended(r, a);
    else if (a->answer == HOB_LAUNCH_DENIED && !is_launching)
        run_denied(r, a);
    else if (a->answer == HOB_LAUNCH_USED && !is_launching)
        run_used(r, a);
    else if (a->answer == HOB_LAUNCH_CONNECT && !is_launching)
        run_connects(r, a, &fds[0]);
    else if (a->answer == HOB_LAUNCH_DONE && !is_launching)
        run_answer_done(r, take_op(r), a);
    else if (a->answer == HOB_LAUNCH_FAILED)
        run_answer_failed(r, take_op(r), a);
    else
        return false;
    return true;
}

static void engine_take(struct sandbox *e, struct hob_str msg, const int *fds, size_t fds_n)
{
    struct hob_launch_reply a = {0};
    bool is_whole = msg.n == sizeof a;
    if (is_whole)
        memcpy(&a, msg.at, sizeof a);
    bool is_good = is_whole && a.magic == HOB_LAUNCH_MAGIC;
    int own[FDS_MAX] = {-1, -1, -1, -1};
    memcpy(own, fds, fds_n * sizeof fds[0]);
    if (is_good) {
        a.text[sizeof a.text - 1] = '\0';
        is_good = engine_answer(e, &a, own);
    }
    for (size_t i = 0; i < FDS_MAX; i++)
        hob_close_p(&own[i]);
    if (!is_good && e->state != ENGINE_CLOSING)
        engine_down(e, "hob-launcher sent what its protocol does not know");
}

/* Only launches and the probe are watched: nothing else can hang a caller. What a zygote owes is the launcher's to judge. */
static void engine_watch(struct sandbox *e)
{
    bool is_late = e->state == ENGINE_PROBING && hob_now_ms() - e->asked_ms > ANSWER_MS;
    uint64_t now_us = hob_now_us();
    for (struct engine_run *r = e->runs; r && !is_late; r = r->hh.next)
        is_late = (r->state == RUN_LAUNCHING || r->state == RUN_ASSIGNING) &&
                  now_us - r->asked_us > (uint64_t)ANSWER_MS * (r->is_fork ? 2000 : 1000);
    if (is_late)
        engine_down(e, "hob-launcher does not answer");
}

static void engine_refuse(struct sandbox *e)
{
    struct hob_node *first;
    while (e->state != ENGINE_CLOSING && (first = hob_list_first(&e->refused))) {
        struct hob_err err;
        fail_unavailable(&err, e->state == ENGINE_PROBING ? "hob-launcher has not answered yet"
                                                          : "hob-launcher is not there");
        run_fail(HOB_CONTAINER_OF(first, struct engine_run, node), &err);
    }
}

/* ---- callbacks ---- */

static void on_dial(uv_timer_t *timer)
{
    engine_dial(timer->data);
}

static void on_watch(uv_timer_t *timer)
{
    engine_watch(timer->data);
}

static void on_refuse(uv_timer_t *timer)
{
    engine_refuse(timer->data);
}

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n)
{
    engine_take(ctx, msg, fds, fds_n);
}

static void on_lost(void *ctx, const struct hob_err *err)
{
    engine_down(ctx, err->msg);
}

static void on_closed(uv_handle_t *handle)
{
    struct sandbox *e = handle->data;
    if (--e->handles > 0)
        return;
    free(e->path);
    free(e);
}

/* ---- door ---- */

static struct sandbox *sandbox_of(struct engine *e)
{
    return HOB_CONTAINER_OF(e, struct sandbox, base);
}

static const struct sandbox *peek(const struct engine *e)
{
    _Static_assert(offsetof(struct sandbox, base) == 0, "a pointer to one is a pointer to the other");
    return (const struct sandbox *)(const void *)e;
}

/* `of`: the zygote's id, or 0. */
static bool send_start(struct sandbox *e, const struct engine_run *r, uint64_t of,
                       const struct engine_spec *spec)
{
    hob_auto_buf struct hob_buf msg;
    hob_buf_init(&msg, sizeof(struct hob_launch_request) + HOB_LAUNCH_STRINGS_MAX);
    if ((of ? engine_fork_message(r->id, of, spec, &msg) : engine_launch_message(r->id, spec, &msg)) !=
        HOB_OK)
        return false;
    int fds[] = {spec->channel_fd, spec->stdout_fd, spec->stderr_fd, spec->stdin_fd};
    hob_msgsock_send(e->sock, hob_buf_str(&msg), fds, spec->stdin_fd >= 0 ? 4 : 3);
    return true;
}

static struct engine_run *run_start(struct sandbox *e, uint64_t of, const struct engine_spec *spec,
                                    const struct engine_listener *l, void *ctx)
{
    struct engine_run *r = hob_new(struct engine_run);
    *r = (struct engine_run){.engine = e,
                             .id = ++e->last_id,
                             .is_fork = of != 0,
                             .memory_mb = spec->memory_mb,
                             .asked_us = hob_now_us(),
                             .listener = *l,
                             .ctx = ctx};
    if (e->state == ENGINE_UP && send_start(e, r, of, spec)) {
        r->state = RUN_LAUNCHING;
        HASH_ADD(hh, e->runs, id, sizeof r->id, r);
        return r;
    }
    r->state = RUN_REFUSED;
    engine_spec_close(spec);
    hob_list_push_back(&e->refused, &r->node);
    (void)uv_timer_start(&e->refuse, on_refuse, 0, 0);
    return r;
}

static struct engine_run *sandbox_start(struct engine *base, const struct engine_spec *spec,
                                        const struct engine_listener *l, void *ctx)
{
    return run_start(sandbox_of(base), 0, spec, l, ctx);
}

static struct engine_run *sandbox_fork(struct engine_run *zygote, const struct engine_spec *spec,
                                       const struct engine_listener *l, void *ctx)
{
    return run_start(zygote->engine, zygote->id, spec, l, ctx);
}

/* Places are kept for STOP and THAW: when even those are taken, enough of them are on their way. */
static void run_ask(struct engine_run *r, unsigned op, uint32_t grace_ms)
{
    if (r->state != RUN_RUNNING)
        return;
    bool is_vital = op == HOB_LAUNCH_STOP || op == HOB_LAUNCH_THAW;
    if (r->ops_n >= (is_vital ? OPS_MAX : OPS_MAX / 2)) {
        hob_log(HOB_LOG_WARN, "sandbox.busy", "run=%llu op=%u: %u questions are open",
                (unsigned long long)r->id, op, r->ops_n);
        return;
    }
    r->ops[r->ops_n++] = (uint8_t)op;
    engine_ask(r->engine, op, r->id, grace_ms);
}

static void sandbox_assign(struct engine_run *r, const struct engine_spec *spec,
                           const struct engine_listener *l, void *ctx)
{
    HOB_ASSERT(r->state == RUN_RUNNING && r->ops_n < OPS_MAX && strlen(spec->digest) == 64);
    struct hob_launch_request q;
    engine_assign_message(r->id, spec, &q);
    r->listener = *l;
    r->ctx = ctx;
    r->memory_mb = spec->memory_mb;
    r->asked_us = hob_now_us();
    r->state = RUN_ASSIGNING;
    r->ops[r->ops_n++] = HOB_LAUNCH_ASSIGN;
    hob_msgsock_send(r->engine->sock, hob_str_n(&q, sizeof q), NULL, 0);
}

static void sandbox_stop(struct engine_run *r, uint32_t grace_ms)
{
    run_ask(r, HOB_LAUNCH_STOP, grace_ms);
}

static void sandbox_freeze(struct engine_run *r)
{
    run_ask(r, HOB_LAUNCH_FREEZE, 0);
}

static void sandbox_thaw(struct engine_run *r)
{
    run_ask(r, HOB_LAUNCH_THAW, 0);
}

static void sandbox_stats(struct engine_run *r)
{
    run_ask(r, HOB_LAUNCH_STATS, 0);
}

static bool sandbox_is_up(const struct engine *base)
{
    return peek(base)->state == ENGINE_UP;
}

static const char *sandbox_probe(const struct engine *base)
{
    return peek(base)->probe;
}

static void sandbox_close(struct engine *base)
{
    struct sandbox *e = sandbox_of(base);
    HOB_ASSERT(e->state != ENGINE_CLOSING);
    e->state = ENGINE_CLOSING;
    hob_msgsock_close(e->sock);
    e->sock = NULL;
    for (struct engine_run *r = e->runs, *next; r; r = next) {
        next = r->hh.next;
        run_free(r);
    }
    HOB_LIST_EACH(&e->refused, node, tmp)
    run_free(HOB_CONTAINER_OF(node, struct engine_run, node));
    uv_close((uv_handle_t *)&e->dial, on_closed);
    uv_close((uv_handle_t *)&e->watch, on_closed);
    uv_close((uv_handle_t *)&e->refuse, on_closed);
}

static void timer_init(struct sandbox *e, uv_timer_t *timer)
{
    int rc = uv_timer_init(e->loop, timer);
    HOB_ASSERT(rc == 0);
    timer->data = e;
    e->handles++;
}

struct engine *engine_sandbox_new(uv_loop_t *loop, const char *launcher_path,
                                  const struct engine_events *events, void *ctx)
{
    static const struct engine_ops ops = {.start = sandbox_start,
                                          .assign = sandbox_assign,
                                          .fork = sandbox_fork,
                                          .stop = sandbox_stop,
                                          .freeze = sandbox_freeze,
                                          .thaw = sandbox_thaw,
                                          .stats = sandbox_stats,
                                          .is_up = sandbox_is_up,
                                          .probe = sandbox_probe,
                                          .close = sandbox_close};
    struct sandbox *e = hob_new(struct sandbox);
    e->base = (struct engine){.ops = &ops, .name = "sandbox"};
    e->loop = loop;
    e->path = hob_strdup(launcher_path);
    e->backoff_ms = BACKOFF_FIRST_MS;
    e->events = *events;
    e->ctx = ctx;
    hob_list_init(&e->refused);
    timer_init(e, &e->dial);
    timer_init(e, &e->watch);
    timer_init(e, &e->refuse);
    (void)uv_timer_start(&e->dial, on_dial, 0, 0);
    return &e->base;
}
