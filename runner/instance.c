/* Life of an instance, a table of state and event with every cell written (below):
 *
 *   START -> LAUNCHING -> RUNNING <-> FROZEN     (LAUNCHING: a stem is assigned, or a zygote forks; should that fail, a cold
 *               |  \         |          |
 *            FAILED  `----> STOPPING <--'      every state but LAUNCHING ends in EXITED
 *
 * hobd hears STARTED or FAILED once, and after STARTED exactly one EXITED, behind the last LOG. */
#include "runner/instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/egress/egress.h"
#include "runner/init/await.h"
#include "runner/instance_spec.h"
#include "runner/logpump.h"
#include "runner/streams.h"

enum state { LAUNCHING, RUNNING, FROZEN, STOPPING, STATES };
enum event {
    LAUNCHED,
    FAILED,
    EXITED,
    FROZE,
    THAWED,
    COUNTED,
    WALLED,
    DENIED,
    ASKED_STOP,
    ASKED_FREEZE,
    ASKED_THAW,
    ASKED_STATS,
    EVENTS
};

struct instance {
    struct instance_options o;
    uint64_t id;
    enum state state;
    struct engine_run *run;
    struct log_pump *logs;      /* NULL: not wanted */
    struct instance_spec *spec; /* until STARTED */
    struct egress *egress;      /* NULL: it has none */
    enum stems_answer pool;
    bool is_from_stem;
    struct zygote *zygote; /* that it is a fork of, or NULL */
    int channel_fd;        /* hobd's end, until STARTED */
    bool is_stop_asked;    /* while LAUNCHING */
    bool may_be_frozen;    /* a FREEZE is out and no THAWED came since */
    uint32_t grace_ms;
};

struct happening { /* what came with the event; the field that its row names */
    union {
        struct { /* LAUNCHED */
            int64_t pid;
            uint64_t launch_us;
        };
        const struct hob_err *err;        /* FAILED */
        const struct engine_exit *exit;   /* EXITED */
        const struct engine_usage *usage; /* COUNTED */
        const char *walls;                /* WALLED */
        struct {                          /* DENIED */
            const char *call;
            uint32_t nth;
            bool is_last;
        };
        uint32_t grace_ms; /* ASKED_STOP */
    };
};

static const char *const pool_words[] = {[STEMS_NONE] = "none", [STEMS_MISS] = "miss", [STEMS_HIT] = "hit"};

static enum hob_code start_cold(struct instance *i, int stdin_fd, struct hob_err *err);

/* ---- steps ---- */

/* From here on it is no more among those that start. */
static void forget_spec(struct instance *i)
{
    if (i->spec) {
        instance_spec_done(i->spec);
        i->o.files->starting_n--;
    }
    free(i->spec);
    i->spec = NULL;
}

static void forget_streams(struct instance *i)
{
    if (i->logs)
        log_pump_close(i->logs);
    egress_close(i->egress);
    i->logs = NULL;
    hob_close_p(&i->channel_fd);
    i->channel_fd = -1;
}

static void instance_free(struct instance *i)
{
    forget_streams(i);
    forget_spec(i);
    zygote_leave(i->zygote);
    free(i);
}

static struct hob_pairs_writer *begin(struct instance *i, uint32_t type)
{
    struct hob_pairs_writer *w = uplink_begin(i->o.uplink, type);
    hob_pairs_add_u64(w, "instance", i->id);
    return w;
}

static void finish(struct instance *i)
{
    void (*ended)(void *ctx, struct instance *i) = i->o.ended;
    ended(i->o.ctx, i);
    instance_free(i);
}

static void wake_logs(struct instance *i)
{
    if (i->logs)
        log_pump_wake(i->logs);
}

static void ask_stop(struct instance *i, const struct happening *h)
{
    i->state = STOPPING;
    wake_logs(i);
    if (i->may_be_frozen) /* a frozen process takes no signal */
        i->o.engine->ops->thaw(i->run);
    i->may_be_frozen = false;
    i->o.engine->ops->stop(i->run, h->grace_ms);
}

/* Before hobd's first frame. Should it not arrive, the stem has died and its end is told. */
static void tell_program(const struct instance *i)
{
    const struct engine_spec *e = &i->spec->engine;
    const uint32_t counts[] = {e->argc, e->envc};
    struct hob_frame f = {.type = AWAIT_PROGRAM, .len = (uint32_t)(sizeof counts + e->strings.n)};
    unsigned char head[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&f, head);
    struct iovec parts[] = {{head, sizeof head},
                            {(void *)(uintptr_t)counts, sizeof counts},
                            {(void *)(uintptr_t)e->strings.at, e->strings.n}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = HOB_COUNT(parts)};
    if (sendmsg(i->channel_fd, &m, MSG_NOSIGNAL) != (ssize_t)(sizeof head + f.len))
        hob_log(HOB_LOG_WARN, "stem.program", "instance=%llu %s", (unsigned long long)i->id,
                hob_errno_text(errno));
}

static void say_started(struct instance *i, const struct happening *h)
{
    if (i->is_from_stem && instance_spec_is_native(i->spec))
        tell_program(i);
    struct hob_pairs_writer *w = begin(i, HOB_LINK_STARTED);
    hob_pairs_add_u64(w, "pid", (uint64_t)h->pid);
    hob_pairs_add_u64(w, "launch_us", h->launch_us);
    hob_pairs_add(w, HOB_STR("pool"), hob_str(pool_words[i->pool]));
    forget_spec(i);
    int fd = hob_steal_fd(&i->channel_fd);
    uplink_send(i->o.uplink, &fd, 1);
    i->state = RUNNING;
    if (i->logs)
        log_pump_go(i->logs);
    hob_log(HOB_LOG_DEBUG, "instance.started", "instance=%llu pid=%lld launch_us=%llu",
            (unsigned long long)i->id, (long long)h->pid, (unsigned long long)h->launch_us);
    if (i->is_stop_asked)
        ask_stop(i, &(struct happening){.grace_ms = i->grace_ms});
}

/* What goes wrong with a stem or a zygote is not the function's doing: it gets a sandbox made from nothing. */
static bool start_again(struct instance *i, const struct hob_err *why)
{
    struct hob_err err;
    if ((!i->is_from_stem && !i->zygote) || i->is_stop_asked)
        return false;
    hob_log(HOB_LOG_WARN, "stem.lost", "instance=%llu %s", (unsigned long long)i->id, why->msg);
    i->is_from_stem = false;
    if (i->zygote && why->errnum == ETIMEDOUT)
        zygote_shun(i->zygote);
    zygote_leave(hob_steal(&i->zygote));
    i->pool = STEMS_MISS;
    forget_streams(i);
    return start_cold(i, -1, &err) == HOB_OK;
}

static void say_failed(struct instance *i, const struct happening *h)
{
    if (start_again(i, h->err))
        return;
    instance_send_failed(i->o.uplink, i->id, h->err);
    finish(i);
}

static void say_exited(struct instance *i, const struct happening *h)
{
    if (i->logs)
        log_pump_finish(i->logs);
    const struct engine_exit *e = h->exit;
    char exit_code[16];
    int n = snprintf(exit_code, sizeof exit_code, "%d", e->exit_code);
    struct hob_pairs_writer *w = begin(i, HOB_LINK_EXITED);
    hob_pairs_add(w, HOB_STR("exit_code"), hob_str_n(exit_code, (size_t)n));
    hob_pairs_add_u64(w, "signal", (uint64_t)e->signal);
    hob_pairs_add_u64(w, "oom", e->is_oom);
    hob_pairs_add_u64(w, "cpu_us", e->usage.cpu_us);
    hob_pairs_add_u64(w, "memory_peak", e->usage.memory_peak_bytes);
    hob_pairs_add_u64(w, "pids_denied", e->usage.pids_denied);
    hob_pairs_add(w, HOB_STR("message"), hob_str(e->message));
    uplink_send(i->o.uplink, NULL, 0);
    hob_log(HOB_LOG_DEBUG, "instance.exited", "instance=%llu %s", (unsigned long long)i->id, e->message);
    finish(i);
}

static void say_state(struct instance *i, bool is_frozen)
{
    i->may_be_frozen = is_frozen;
    struct hob_pairs_writer *w = begin(i, HOB_LINK_STATE);
    hob_pairs_add(w, HOB_STR("state"), is_frozen ? HOB_STR("frozen") : HOB_STR("running"));
    uplink_send(i->o.uplink, NULL, 0);
}

static void became_frozen(struct instance *i, const struct happening *h)
{
    (void)h;
    i->state = FROZEN;
    if (i->logs)
        log_pump_rest(i->logs, i->o.files);
    say_state(i, true);
}

static void became_running(struct instance *i, const struct happening *h)
{
    (void)h;
    i->state = RUNNING;
    wake_logs(i); /* an answer to a freeze that crossed with the thaw may have let them rest again */
    say_state(i, false);
}

static void say_stats(struct instance *i, const struct happening *h)
{
    struct hob_pairs_writer *w = begin(i, HOB_LINK_STATS);
    hob_pairs_add_u64(w, "cpu_us", h->usage->cpu_us);
    hob_pairs_add_u64(w, "memory_bytes", h->usage->memory_bytes);
    hob_pairs_add_u64(w, "memory_peak", h->usage->memory_peak_bytes);
    hob_pairs_add_u64(w, "pids", h->usage->pids);
    uplink_send(i->o.uplink, NULL, 0);
}

static void say_walls(struct instance *i, const struct happening *h)
{
    struct hob_pairs_writer *w = begin(i, HOB_LINK_WALLS);
    hob_pairs_add(w, HOB_STR("text"), hob_str(h->walls));
    uplink_send(i->o.uplink, NULL, 0);
}

static void say_denied(struct instance *i, const struct happening *h)
{
    struct hob_pairs_writer *w = begin(i, HOB_LINK_DENIED);
    hob_pairs_add(w, HOB_STR("call"), hob_str(h->call));
    hob_pairs_add_u64(w, "nth", h->nth);
    hob_pairs_add_u64(w, "last", h->is_last);
    uplink_send(i->o.uplink, NULL, 0);
}

static void remember_stop(struct instance *i, const struct happening *h)
{
    i->grace_ms = i->is_stop_asked && i->grace_ms < h->grace_ms ? i->grace_ms : h->grace_ms;
    i->is_stop_asked = true;
}

static void ask_freeze(struct instance *i, const struct happening *h)
{
    (void)h;
    i->may_be_frozen = true;
    i->o.engine->ops->freeze(i->run);
}

static void ask_thaw(struct instance *i, const struct happening *h)
{
    (void)h;
    wake_logs(i);
    i->o.engine->ops->thaw(i->run);
}

static void ask_stats(struct instance *i, const struct happening *h)
{
    (void)h;
    i->o.engine->ops->stats(i->run);
}

static void ignore(struct instance *i, const struct happening *h)
{
    (void)i;
    (void)h;
}

static void never(struct instance *i, const struct happening *h)
{
    (void)i;
    (void)h;
    HOB_ASSERT(!"the engine broke its promise: an event that this state cannot have");
}

/* clang-format off */
static void (*const table[STATES][EVENTS])(struct instance *i, const struct happening *h) = {
    [LAUNCHING] = {[LAUNCHED] = say_started,    [FAILED] = say_failed,  [EXITED] = never,
                   [FROZE] = never,             [THAWED] = never,       [COUNTED] = never,
                   [WALLED] = never,            [DENIED] = never,
                   [ASKED_STOP] = remember_stop,[ASKED_FREEZE] = ignore,[ASKED_THAW] = ignore,  [ASKED_STATS] = ignore},
    [RUNNING]   = {[LAUNCHED] = never,          [FAILED] = never,       [EXITED] = say_exited,
                   [FROZE] = became_frozen,     [THAWED] = became_running, [COUNTED] = say_stats,
                   [WALLED] = say_walls,        [DENIED] = say_denied,
                   [ASKED_STOP] = ask_stop,     [ASKED_FREEZE] = ask_freeze, [ASKED_THAW] = ask_thaw, [ASKED_STATS] = ask_stats},
    [FROZEN]    = {[LAUNCHED] = never,          [FAILED] = never,       [EXITED] = say_exited,
                   [FROZE] = became_frozen,     [THAWED] = became_running, [COUNTED] = say_stats,
                   [WALLED] = say_walls,        [DENIED] = say_denied,
                   [ASKED_STOP] = ask_stop,     [ASKED_FREEZE] = ask_freeze, [ASKED_THAW] = ask_thaw, [ASKED_STATS] = ask_stats},
    [STOPPING]  = {[LAUNCHED] = never,          [FAILED] = never,       [EXITED] = say_exited,
                   [FROZE] = ignore,            [THAWED] = ignore,      [COUNTED] = say_stats,
                   [WALLED] = say_walls,        [DENIED] = say_denied,
                   [ASKED_STOP] = ask_stop,     [ASKED_FREEZE] = ignore,[ASKED_THAW] = ignore,  [ASKED_STATS] = ask_stats},
};
/* clang-format on */

static void instance_event(struct instance *i, enum event event, struct happening h)
{
    HOB_ASSERT(i->state < STATES && event < EVENTS && table[i->state][event]);
    table[i->state][event](i, &h);
}

/* ---- callbacks ---- */

static void on_launched(void *ctx, int64_t pid, uint64_t launch_us)
{
    instance_event(ctx, LAUNCHED, (struct happening){.pid = pid, .launch_us = launch_us});
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    instance_event(ctx, FAILED, (struct happening){.err = err});
}

static void on_exited(void *ctx, const struct engine_exit *exit)
{
    instance_event(ctx, EXITED, (struct happening){.exit = exit});
}

static void on_frozen(void *ctx, bool is_frozen)
{
    instance_event(ctx, is_frozen ? FROZE : THAWED, (struct happening){0});
}

static void on_stats(void *ctx, const struct engine_usage *usage)
{
    instance_event(ctx, COUNTED, (struct happening){.usage = usage});
}

static void on_walls(void *ctx, const char *text)
{
    instance_event(ctx, WALLED, (struct happening){.walls = text});
}

static void on_denied(void *ctx, const char *call, uint32_t nth, bool is_last)
{
    instance_event(ctx, DENIED, (struct happening){.call = call, .nth = nth, .is_last = is_last});
}

static void on_used(void *ctx, const char *call)
{
    struct instance *i = ctx;
    struct hob_pairs_writer *w = begin(i, HOB_LINK_USED);
    hob_pairs_add(w, HOB_STR("call"), hob_str(call));
    uplink_send(i->o.uplink, NULL, 0);
}

static void on_note(void *ctx, const char *text)
{
    struct instance *i = ctx;
    struct hob_pairs_writer *w = begin(i, HOB_LINK_NOTE);
    hob_pairs_add(w, HOB_STR("text"), hob_str(text));
    uplink_send(i->o.uplink, NULL, 0);
}

static void on_egress(void *ctx, int listen_fd, int dns_fd)
{
    struct instance *i = ctx;
    HOB_ASSERT(i->spec && i->spec->policy);
    i->egress = egress_start(i->o.loop, hob_steal(&i->spec->policy), listen_fd, dns_fd, on_note, i);
}

static void on_connect(void *ctx, const struct egress_call *call)
{
    struct instance *i = ctx;
    if (i->egress)
        egress_take(i->egress, call);
    else if (call->socket >= 0)
        (void)close(call->socket);
}

static bool on_log_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    struct instance *i = ctx;
    if (!uplink_can_log(i->o.uplink, log_pump_is_modest(i->logs)))
        return false;
    struct hob_pairs_writer *w = begin(i, HOB_LINK_LOG);
    hob_pairs_add(w, HOB_STR("stream"), is_stderr ? HOB_STR("stderr") : HOB_STR("stdout"));
    hob_pairs_add(w, HOB_STR("text"), text);
    hob_pairs_add_u64(w, "dropped", dropped);
    uplink_send(i->o.uplink, NULL, 0);
    return true;
}

/* ---- door ---- */

static const struct engine_listener listener = {.launched = on_launched,
                                                .failed = on_failed,
                                                .exited = on_exited,
                                                .frozen = on_frozen,
                                                .stats = on_stats,
                                                .walls = on_walls,
                                                .denied = on_denied,
                                                .used = on_used,
                                                .egress = on_egress,
                                                .connect = on_connect};

/* Takes our ends. */
static enum hob_code take_streams(struct instance *i, struct streams *s, struct hob_err *err)
{
    i->channel_fd = hob_steal_fd(&s->channel);
    if (s->out < 0)
        return HOB_OK;
    i->logs = log_pump_start(i->o.loop, hob_steal_fd(&s->out), hob_steal_fd(&s->err), on_log_line, i, err);
    return i->logs ? HOB_OK : err->code;
}

static enum hob_code start_cold(struct instance *i, int stdin_fd, struct hob_err *err)
{
    struct streams s;
    struct engine_spec *spec = &i->spec->engine;
    if (streams_open(&s, i->spec->wants_logs, err) != HOB_OK)
        return err->code;
    if (take_streams(i, &s, err) != HOB_OK) {
        streams_close(&s);
        return err->code;
    }
    spec->channel_fd = s.their_channel;
    spec->stdout_fd = s.their_out;
    spec->stderr_fd = s.their_err;
    spec->stdin_fd = stdin_fd;
    i->run = i->o.engine->ops->start(i->o.engine, spec, &listener, i);
    return HOB_OK;
}

/* False: it cannot be one, now. */
static bool start_forked(struct instance *i)
{
    struct hob_err err;
    struct streams s;
    struct engine_spec *spec = &i->spec->engine;
    bool can_be = i->o.zygotes && i->spec->forks_max && spec->digest[0] && !spec->has_profile;
    if (!can_be || streams_open(&s, i->spec->wants_logs, &err) != HOB_OK)
        return false;
    spec->channel_fd = s.their_channel;
    spec->stdout_fd = s.their_out;
    spec->stderr_fd = s.their_err;
    spec->stdin_fd = -1;
    i->run = take_streams(i, &s, &err) == HOB_OK
                 ? zygotes_fork(i->o.zygotes, i->spec, &listener, i, &i->zygote)
                 : NULL;
    if (i->run) {
        i->pool = STEMS_HIT;
        return true;
    }
    streams_close(&s);
    forget_streams(i);
    return false;
}

/* False: there is none to take. */
static bool start_from_stem(struct instance *i)
{
    struct hob_err err;
    struct streams s;
    struct engine_run *run;
    i->pool = i->o.stems ? stems_take(i->o.stems, i->spec, &run, &s) : STEMS_NONE;
    if (i->pool != STEMS_HIT)
        return false;
    if (take_streams(i, &s, &err) != HOB_OK) { /* short of descriptors: a cold start will say so */
        streams_close(&s);
        i->o.engine->ops->stop(run, 0);
        return false;
    }
    i->run = run;
    i->is_from_stem = true;
    i->o.engine->ops->assign(run, &i->spec->engine, &listener, i);
    return true;
}

struct instance *instance_start(const struct instance_options *o, const struct hob_pairs *start, int stdin_fd,
                                struct hob_err *err)
{
    hob_auto_close int stdin_own = stdin_fd;
    struct instance_spec *spec = hob_new(struct instance_spec);
    if (instance_spec_read(spec, start, err) != HOB_OK) {
        free(spec);
        return NULL;
    }
    struct instance *i = hob_new(struct instance);
    i->o = *o;
    i->id = hob_pairs_u64(start, "instance", 0);
    i->channel_fd = -1;
    i->spec = spec;
    i->o.files->starting_n++;
    bool can_be_stem = stdin_own < 0 && !spec->engine.has_egress && !spec->engine.is_learning;
    if (can_be_stem && (start_forked(i) || start_from_stem(i)))
        return i;
    if (start_cold(i, stdin_own, err) != HOB_OK) {
        instance_free(i);
        return NULL;
    }
    (void)hob_steal_fd(&stdin_own);
    return i;
}

uint64_t instance_id(const struct instance *i)
{
    return i->id;
}

void instance_stop(struct instance *i, uint32_t grace_ms)
{
    instance_event(i, ASKED_STOP, (struct happening){.grace_ms = grace_ms});
}

void instance_freeze(struct instance *i)
{
    instance_event(i, ASKED_FREEZE, (struct happening){0});
}

void instance_thaw(struct instance *i)
{
    instance_event(i, ASKED_THAW, (struct happening){0});
}

void instance_ask_stats(struct instance *i)
{
    instance_event(i, ASKED_STATS, (struct happening){0});
}

void instance_abandon(struct instance *i)
{
    instance_free(i);
}

void instance_send_failed(struct uplink *u, uint64_t id, const struct hob_err *err)
{
    struct hob_pairs_writer *w = uplink_begin(u, HOB_LINK_FAILED);
    hob_pairs_add_u64(w, "instance", id);
    hob_pairs_add_u64(w, "code", err->code);
    hob_pairs_add(w, HOB_STR("reason"), hob_str(hob_err_reason(err)));
    hob_pairs_add(w, HOB_STR("message"), hob_str(err->msg));
    uplink_send(u, NULL, 0);
}
