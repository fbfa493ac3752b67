/* Flow of a zygote: STARTING (launched or assigned; forks may be asked for already) -> LIVE -> GONE. Whoever is GONE is
 * freed when its last fork has left. */
#include "runner/zygotes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/launch.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "runner/logpump.h"

enum {
    /* Of the zygote itself, and for each fork: its page tables, and pages that it alone still has because the zygote has
     * written to its own (about 1 MiB in all). */
    MEMORY_MB = 64,
    MEMORY_FORK_MB = 2,
    FORKS_MADE_MAX = 1000,
    KEEP_MS = 60 * 1000,
    LOOK_MS = 1000,
    EARLY_MS = 10 * 1000, /* one that ends so soon is not tried again for: */
    RETRY_MS = 30 * 1000,
    EARLY_MAX = 32,
};

enum state { STARTING, LIVE, GONE };

struct zygote {
    struct hob_node node;
    struct zygotes *all;
    enum state state;
    struct instance_spec spec; /* with argv for a zygote; owns its strings */
    struct engine_run *run;
    struct streams streams;
    struct log_pump *logs;
    unsigned forks_n, made;
    uint64_t since_ms, idle_ms;
    bool is_stopping;
};

/* Versions whose zygote ended early: an instance can end it, and that shall cost nobody else. */
struct early {
    uint64_t until_ms;
    unsigned version; /* as a hash: one that meets another's waits with it */
};

struct zygotes {
    uv_loop_t *loop;
    struct engine *engine;
    struct stems *stems;
    uv_timer_t look;
    struct hob_list list;
    unsigned zygotes_n;
    struct early early[EARLY_MAX]; /* the last of them, round and round */
    unsigned early_n;
    uint64_t made, forks, died;
};

static void on_look(uv_timer_t *timer);

/* ---- steps ---- */

static unsigned version_hash(const struct instance_spec *spec)
{
    char name[160];
    int n = snprintf(name, sizeof name, "%s/%s@%u", spec->app, spec->function, spec->version);
    return hob_hash(name, n > 0 ? (size_t)n : 0);
}

static bool is_early(const struct zygotes *all, const struct instance_spec *spec)
{
    unsigned hash = version_hash(spec);
    for (size_t i = 0; i < EARLY_MAX; i++)
        if (all->early[i].version == hash && hob_now_ms() < all->early[i].until_ms)
            return true;
    return false;
}

static void zygote_free(struct zygote *z)
{
    hob_list_remove(&z->node);
    if (--z->all->zygotes_n == 0)
        (void)uv_timer_stop(&z->all->look);
    if (z->logs)
        log_pump_close(z->logs);
    streams_close(&z->streams);
    instance_spec_done(&z->spec);
    free(z);
}

static void zygote_ended(struct zygote *z, const char *why)
{
    struct zygotes *all = z->all;
    if (z->logs)
        log_pump_finish(z->logs);
    if (!z->is_stopping) {
        all->died++;
        hob_log(HOB_LOG_WARN, "zygote.ended", "fn=%s/%s@%u forks=%u %s", z->spec.app, z->spec.function,
                z->spec.version, z->forks_n, why);
        if (hob_now_ms() - z->since_ms < EARLY_MS)
            all->early[all->early_n++ % EARLY_MAX] =
                (struct early){hob_now_ms() + RETRY_MS, version_hash(&z->spec)};
    }
    z->state = GONE;
    if (z->forks_n == 0)
        zygote_free(z);
}

static void zygote_stop(struct zygote *z)
{
    if (z->is_stopping || z->state != LIVE)
        return;
    z->is_stopping = true;
    z->all->engine->ops->stop(z->run, 0);
}

static void zygotes_look(struct zygotes *all)
{
    uint64_t now_ms = hob_now_ms();
    HOB_LIST_EACH(&all->list, node, next)
    {
        struct zygote *z = HOB_CONTAINER_OF(node, struct zygote, node);
        bool is_used_up = z->made >= FORKS_MADE_MAX;
        if (z->forks_n == 0 && (is_used_up || now_ms - z->idle_ms > KEEP_MS))
            zygote_stop(z);
    }
}

/* ---- callbacks ---- */

static void on_launched(void *ctx, int64_t pid, uint64_t launch_us)
{
    struct zygote *z = ctx;
    (void)launch_us;
    z->state = LIVE;
    if (z->logs)
        log_pump_go(z->logs);
    hob_log(HOB_LOG_DEBUG, "zygote.started", "fn=%s/%s@%u pid=%lld", z->spec.app, z->spec.function,
            z->spec.version, (long long)pid);
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    zygote_ended(ctx, err->msg);
}

static void on_exited(void *ctx, const struct engine_exit *exit)
{
    zygote_ended(ctx, exit->message);
}

static void on_frozen(void *ctx, bool is_frozen)
{
    (void)ctx, (void)is_frozen; /* nobody asks */
}

static void on_stats(void *ctx, const struct engine_usage *usage)
{
    (void)ctx, (void)usage;
}

/* It runs our code only: what it says is for the operator. */
static bool on_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    const struct zygote *z = ctx;
    (void)is_stderr, (void)dropped;
    hob_log(HOB_LOG_WARN, "zygote.says", "fn=%s/%s@%u %.*s", z->spec.app, z->spec.function, z->spec.version,
            (int)(text.n < 200 ? text.n : 200), text.at);
    return true;
}

static void on_look(uv_timer_t *timer)
{
    zygotes_look(timer->data);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* ---- making one ---- */

/* The instance's spec with "--zygote" behind its arguments, and its limits without what is a fork's. */
static bool spec_make(struct instance_spec *ret_spec, const struct instance_spec *from)
{
    static const char flag[] = "--zygote";
    const char *at = from->engine.strings.at, *end = at;
    for (uint32_t i = 0; i < from->engine.argc; i++)
        end += strlen(end) + 1;
    size_t args_n = (size_t)(end - at);
    *ret_spec = *from;
    ret_spec->policy = NULL;
    hob_buf_init(&ret_spec->strings, HOB_LAUNCH_STRINGS_MAX);
    if (hob_buf_add(&ret_spec->strings, at, args_n) != HOB_OK ||
        hob_buf_add(&ret_spec->strings, flag, sizeof flag) != HOB_OK ||
        hob_buf_add(&ret_spec->strings, end, from->engine.strings.n - args_n) != HOB_OK) {
        hob_buf_done(&ret_spec->strings);
        return false;
    }
    return true;
}

static void spec_settle(struct zygote *z)
{
    struct engine_spec *e = &z->spec.engine;
    e->runtime = z->spec.runtime;
    e->digest = z->spec.digest;
    e->app = z->spec.app;
    e->image = "";
    e->strings = hob_buf_str(&z->spec.strings);
    e->argc++;
    e->is_zygote = true;
    e->memory_mb = MEMORY_MB + MEMORY_FORK_MB * z->spec.forks_max;
    e->cpu_percent = 0;
    e->stdin_fd = -1;
    z->spec.wants_logs = true;
}

/* Its run, of a stem or from nothing. */
static bool zygote_start(struct zygote *z)
{
    static const struct engine_listener listener = {.launched = on_launched,
                                                    .failed = on_failed,
                                                    .exited = on_exited,
                                                    .frozen = on_frozen,
                                                    .stats = on_stats};
    struct zygotes *all = z->all;
    struct engine_spec *e = &z->spec.engine;
    struct hob_err err;
    bool is_stem = stems_take(all->stems, &z->spec, &z->run, &z->streams) == STEMS_HIT;
    if (!is_stem && streams_open(&z->streams, true, &err) != HOB_OK)
        return false;
    z->logs = log_pump_start(all->loop, hob_steal_fd(&z->streams.out), hob_steal_fd(&z->streams.err), on_line,
                             z, &err);
    if (is_stem) {
        all->engine->ops->assign(z->run, e, &listener, z);
        return true;
    }
    e->channel_fd = hob_steal_fd(&z->streams.their_channel);
    e->stdout_fd = hob_steal_fd(&z->streams.their_out);
    e->stderr_fd = hob_steal_fd(&z->streams.their_err);
    z->run = all->engine->ops->start(all->engine, e, &listener, z);
    return true;
}

static struct zygote *zygote_new(struct zygotes *all, const struct instance_spec *spec)
{
    struct zygote *z = hob_new(struct zygote);
    *z = (struct zygote){.all = all, .streams = {-1, -1, -1, -1, -1, -1}};
    z->since_ms = z->idle_ms = hob_now_ms();
    if (!spec_make(&z->spec, spec)) {
        free(z);
        return NULL;
    }
    spec_settle(z);
    hob_list_push_back(&all->list, &z->node);
    if (all->zygotes_n++ == 0)
        (void)uv_timer_start(&all->look, on_look, LOOK_MS, LOOK_MS);
    if (!zygote_start(z)) {
        zygote_free(z);
        return NULL;
    }
    all->made++;
    return z;
}

static bool is_of(const struct zygote *z, const struct instance_spec *spec)
{
    const struct engine_spec *a = &z->spec.engine, *b = &spec->engine;
    return z->state != GONE && !z->is_stopping && z->made < FORKS_MADE_MAX && z->forks_n < spec->forks_max &&
           z->spec.version == spec->version && strcmp(z->spec.function, spec->function) == 0 &&
           strcmp(z->spec.app, spec->app) == 0 && strcmp(z->spec.digest, spec->digest) == 0 &&
           strcmp(z->spec.runtime, spec->runtime) == 0 && a->argc == b->argc + 1 && a->envc == b->envc &&
           a->nofile_max == b->nofile_max && a->tmp_bytes == b->tmp_bytes && a->tmp_inodes == b->tmp_inodes &&
           a->fsize_bytes == b->fsize_bytes;
}

/* Without groups a fork would have no limits of its own. */
static bool can_fork(const struct engine *e)
{
    const char *probe = e->ops->fork && e->ops->is_up(e) ? e->ops->probe(e) : "fail memory";
    return !strstr(probe, "fail memory") && !strstr(probe, "fail pids");
}

/* ---- door ---- */

struct zygotes *zygotes_new(uv_loop_t *loop, struct engine *engine, struct stems *stems)
{
    struct zygotes *all = hob_new(struct zygotes);
    *all = (struct zygotes){.loop = loop, .engine = engine, .stems = stems};
    hob_list_init(&all->list);
    (void)uv_timer_init(loop, &all->look);
    all->look.data = all;
    return all;
}

struct engine_run *zygotes_fork(struct zygotes *all, const struct instance_spec *spec,
                                const struct engine_listener *l, void *ctx, struct zygote **ret_zygote)
{
    struct zygote *z = NULL;
    if (!can_fork(all->engine))
        return NULL;
    HOB_LIST_EACH(&all->list, node, next)
    {
        struct zygote *one = HOB_CONTAINER_OF(node, struct zygote, node);
        if (!z && is_of(one, spec))
            z = one;
    }
    if (!z && !is_early(all, spec))
        z = zygote_new(all, spec);
    if (!z)
        return NULL;
    z->forks_n++;
    z->made++;
    all->forks++;
    *ret_zygote = z;
    return all->engine->ops->fork(z->run, &spec->engine, l, ctx);
}

void zygote_leave(struct zygote *z)
{
    if (!z)
        return;
    HOB_ASSERT(z->forks_n > 0);
    z->idle_ms = hob_now_ms();
    if (--z->forks_n == 0 && z->state == GONE)
        zygote_free(z);
}

void zygote_shun(struct zygote *z)
{
    z->made = FORKS_MADE_MAX;
}

unsigned zygotes_count(const struct zygotes *all)
{
    return all->zygotes_n;
}

void zygotes_describe(const struct zygotes *all, char *text, size_t text_bytes)
{
    (void)snprintf(text, text_bytes, "zygotes: %u live; %llu made, %llu forks, %llu died", all->zygotes_n,
                   (unsigned long long)all->made, (unsigned long long)all->forks,
                   (unsigned long long)all->died);
}

void zygotes_close(struct zygotes *all)
{
    HOB_LIST_EACH(&all->list, node, next)
    zygote_free(HOB_CONTAINER_OF(node, struct zygote, node));
    uv_close((uv_handle_t *)&all->look, on_closed);
}
