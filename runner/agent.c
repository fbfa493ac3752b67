/* Flow: WARMING (the engine gets a moment to come up) -> DIALING -> SERVING -> ENDED. */
#include "runner/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "runner/asks.h"
#include "runner/docker/docker.h"
#include "runner/engine.h"
#include "runner/files.h"
#include "runner/instance.h"
#include "runner/stems.h"
#include "runner/uplink.h"

enum {
    WARM_MS = 3000, /* hobd shall not hear of this node before it can start something, within reason */
    DIAL_MS = 30000,
    GRACE_MS_MAX = 600000,
    STEMS_MAX = 64,
};

enum agent_state { AGENT_WARMING, AGENT_DIALING, AGENT_SERVING, AGENT_ENDED };

struct entry {
    UT_hash_handle hh;
    uint64_t id;
    struct instance *instance;
};

struct agent {
    uv_loop_t *loop;
    struct agent_options o;
    enum agent_state state;
    uv_timer_t warm;
    struct engine *engine;   /* sandbox */
    struct engine *docker;   /* NULL: not given */
    struct stems *stems;     /* of the sandbox engine */
    struct zygotes *zygotes; /* of the same */
    struct uplink *uplink;
    struct asks *asks; /* with the uplink */
    struct entry *instances;
    uint64_t started_n;
    struct files files;
    int exit_code;
};

static void on_up(void *ctx);
static void on_message(void *ctx, uint32_t type, const struct hob_pairs *pairs, const int *fds, size_t fds_n);
static void on_down(void *ctx, const struct hob_err *err);
static void on_ended(void *ctx, struct instance *i);

/* ---- steps ---- */

static void agent_dial(struct agent *a)
{
    static const struct uplink_events events = {.up = on_up, .message = on_message, .down = on_down};
    if (a->state != AGENT_WARMING)
        return;
    a->state = AGENT_DIALING;
    a->uplink = uplink_start(a->loop, a->o.link_path, DIAL_MS, &events, a);
    a->asks = asks_new(a->uplink, a->engine, a->docker);
}

static void agent_hello(struct agent *a)
{
    const char *probe = a->engine->ops->probe(a->engine);
    bool is_up = a->engine->ops->is_up(a->engine),
         is_docker_up = a->docker && a->docker->ops->is_up(a->docker);
    char engines[64];
    (void)snprintf(engines, sizeof engines, "%s%s%s", is_up ? a->engine->name : "",
                   is_up && is_docker_up ? "," : "", is_docker_up ? a->docker->name : "");
    struct hob_pairs_writer *w = uplink_begin(a->uplink, HOB_LINK_HELLO);
    hob_pairs_add_u64(w, "protocol", HOB_LINK_PROTOCOL);
    hob_pairs_add(w, HOB_STR("node"), hob_str(a->o.node));
    hob_pairs_add(w, HOB_STR("version"), HOB_STR(HOB_VERSION));
    hob_pairs_add(w, HOB_STR("engines"), hob_str(engines));
    hob_pairs_add_u64(w, "rootless", strstr(probe, " rootless:") != NULL);
    hob_pairs_add(w, HOB_STR("probe"), hob_str(probe));
    uplink_send(a->uplink, NULL, 0);
}

static struct entry *entry_find(struct agent *a, uint64_t id)
{
    struct entry *e;
    HASH_FIND(hh, a->instances, &id, sizeof id, e);
    return e;
}

static bool is_full(struct agent *a)
{
    a->files.stems_n = stems_count(a->stems) + zygotes_count(a->zygotes);
    return !files_can_start(&a->files);
}

static struct engine *engine_find(const struct agent *a, struct hob_str name)
{
    if (!name.at || hob_str_is(name, a->engine->name))
        return a->engine;
    return a->docker && hob_str_is(name, a->docker->name) ? a->docker : NULL;
}

static void agent_start_instance(struct agent *a, const struct hob_pairs *pairs, int stdin_fd)
{
    hob_auto_close int stdin_own = stdin_fd;
    uint64_t id = hob_pairs_u64(pairs, "instance", 0);
    struct hob_str engine_name = hob_pairs_get(pairs, "engine");
    struct engine *engine = engine_find(a, engine_name);
    struct hob_err err;
    if (id == 0 || entry_find(a, id)) { /* an answer would be taken for the other one's */
        hob_log(HOB_LOG_ERROR, "link.start", "instance=%llu: not a new id; ignored", (unsigned long long)id);
        return;
    }
    struct instance_options o = {.loop = a->loop,
                                 .uplink = a->uplink,
                                 .engine = engine,
                                 .stems = engine == a->engine ? a->stems : NULL,
                                 .zygotes = engine == a->engine ? a->zygotes : NULL,
                                 .files = &a->files,
                                 .ended = on_ended,
                                 .ctx = a};
    struct instance *i = NULL;
    if (is_full(a))
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "node_full",
                              "node '%.64s' has %u instances, as many as its limit of open files allows",
                              a->o.node, HASH_COUNT(a->instances));
    else if (!engine && hob_str_is(engine_name, "docker"))
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "engine_unavailable",
                              "the docker engine is switched off on this node (hobd --docker off)");
    else if (!engine)
        (void)hob_fail_reason(&err, HOB_E_UNSUPPORTED, "engine_unknown", "engine '%.*s': this node has '%s'",
                              (int)(engine_name.n < 40 ? engine_name.n : 40), engine_name.at,
                              a->engine ? a->engine->name : "none");
    else
        i = instance_start(&o, pairs, hob_steal_fd(&stdin_own), &err);
    if (!i) {
        instance_send_failed(a->uplink, id, &err);
        return;
    }
    struct entry *e = hob_new(struct entry);
    e->id = id;
    e->instance = i;
    HASH_ADD(hh, a->instances, id, sizeof e->id, e);
    a->files.instances_n = HASH_COUNT(a->instances);
    a->started_n++;
}

static void check_add(struct hob_pairs_writer *w, struct hob_str line)
{
    bool has_verdict = hob_str_starts(line, HOB_STR("ok ")) || hob_str_starts(line, HOB_STR("warn ")) ||
                       hob_str_starts(line, HOB_STR("fail "));
    if (has_verdict)
        hob_pairs_add(w, HOB_STR("check"), line);
}

static void checks_add(struct hob_pairs_writer *w, const char *lines)
{
    struct hob_str rest = hob_str(lines);
    while (rest.at) {
        struct hob_str line = hob_str_cut(rest, '\n', &rest);
        if (line.n)
            check_add(w, line);
    }
}

static void agent_doctor(struct agent *a)
{
    char own[160], pool[512];
    (void)snprintf(own, sizeof own,
                   "ok runner: hob-runner %s on node %.64s, %u instances now, %llu since start", HOB_VERSION,
                   a->o.node, HASH_COUNT(a->instances), (unsigned long long)a->started_n);
    struct hob_pairs_writer *w = uplink_begin(a->uplink, HOB_LINK_DOCTOR);
    check_add(w, hob_str(own));
    memcpy(pool, "ok ", 3);
    stems_describe(a->stems, pool + 3, sizeof pool - 3);
    check_add(w, hob_str(pool));
    zygotes_describe(a->zygotes, pool + 3, sizeof pool - 3);
    check_add(w, hob_str(pool));
    if (a->engine->ops->is_up(a->engine))
        check_add(w, HOB_STR("ok launcher: connected"));
    checks_add(w, a->engine->ops->probe(a->engine));
    if (a->docker)
        checks_add(w, a->docker->ops->probe(a->docker));
    uplink_send(a->uplink, NULL, 0);
}

static void agent_end(struct agent *a, int exit_code)
{
    if (a->state == AGENT_ENDED)
        return;
    a->state = AGENT_ENDED;
    a->exit_code = exit_code;
    uv_close((uv_handle_t *)&a->warm, NULL);
    asks_close(a->asks);
    if (a->uplink)
        uplink_close(a->uplink);
    struct entry *e = a->instances, *next;
    HASH_CLEAR(hh, a->instances);
    for (; e; e = next) {
        next = e->hh.next;
        instance_abandon(e->instance);
        free(e);
    }
    zygotes_close(a->zygotes);
    stems_close(a->stems);
    a->engine->ops->close(a->engine); /* the launcher kills and removes what it launched for us */
    if (a->docker)
        a->docker->ops->close(a->docker);
}

/* Messages about one instance. One that is gone is no error: its EXITED and this crossed. */
static void agent_instance_message(struct agent *a, uint32_t type, const struct hob_pairs *pairs)
{
    struct entry *e = entry_find(a, hob_pairs_u64(pairs, "instance", 0));
    if (!e)
        return;
    uint64_t grace_ms = hob_pairs_u64(pairs, "grace_ms", 0);
    if (type == HOB_LINK_STOP)
        instance_stop(e->instance, (uint32_t)(grace_ms < GRACE_MS_MAX ? grace_ms : GRACE_MS_MAX));
    else if (type == HOB_LINK_FREEZE)
        instance_freeze(e->instance);
    else if (type == HOB_LINK_THAW)
        instance_thaw(e->instance);
    else
        instance_ask_stats(e->instance);
}

static void agent_take(struct agent *a, uint32_t type, const struct hob_pairs *pairs, const int *fds,
                       size_t fds_n)
{
    hob_auto_close int fd = fds_n ? fds[0] : -1;
    for (size_t i = 1; i < fds_n; i++)
        (void)close(fds[i]);
    switch (type) {
    case HOB_LINK_WELCOME:
        hob_log(HOB_LOG_INFO, "link.up", "node=%s", a->o.node);
        break;
    case HOB_LINK_START:
        agent_start_instance(a, pairs, hob_steal_fd(&fd));
        break;
    case HOB_LINK_STOP:
    case HOB_LINK_FREEZE:
    case HOB_LINK_THAW:
    case HOB_LINK_STATS:
        agent_instance_message(a, type, pairs);
        break;
    case HOB_LINK_DOCTOR:
        agent_doctor(a);
        break;
    case HOB_LINK_ENGINE:
        asks_take(a->asks, pairs);
        break;
    default:
        hob_log(HOB_LOG_ERROR, "link.malformed", "hobd sent a message of type %u", type);
        agent_end(a, 1);
    }
}

/* ---- callbacks ---- */

static void on_warm(uv_timer_t *timer)
{
    agent_dial(timer->data);
}

static void on_engine_changed(void *ctx)
{
    struct agent *a = ctx;
    if (a->state == AGENT_WARMING)
        agent_dial(a);
    else if (a->state == AGENT_SERVING)
        agent_hello(a); /* hobd learns what this node can do now */
}

static void on_docker_changed(void *ctx)
{
    struct agent *a = ctx;
    if (a->state == AGENT_SERVING)
        agent_hello(a);
}

static void on_up(void *ctx)
{
    struct agent *a = ctx;
    a->state = AGENT_SERVING;
    agent_hello(a);
}

static void on_message(void *ctx, uint32_t type, const struct hob_pairs *pairs, const int *fds, size_t fds_n)
{
    agent_take(ctx, type, pairs, fds, fds_n);
}

static void on_down(void *ctx, const struct hob_err *err)
{
    bool was_closed = err->code == HOB_E_UNAVAILABLE;
    hob_log(was_closed ? HOB_LOG_INFO : HOB_LOG_ERROR, "link.down", "%s", err->msg);
    agent_end(ctx, was_closed ? 0 : 1);
}

static void on_ended(void *ctx, struct instance *i)
{
    struct agent *a = ctx;
    struct entry *e = entry_find(a, instance_id(i));
    HOB_ASSERT(e && e->instance == i);
    HASH_DEL(a->instances, e);
    a->files.instances_n = HASH_COUNT(a->instances);
    free(e);
}

/* HOB_POOL in the environment: how many sandboxes are kept ahead at most; 0: none. */
static unsigned count_stems_max(void)
{
    const char *text =
        getenv("HOB_POOL"); /* NOLINT(concurrency-mt-unsafe): nothing changes the environment */
    uint64_t n = STEMS_MAX;
    if (text && !hob_str_u64(hob_str(text), &n))
        hob_log(HOB_LOG_WARN, "runner.pool", "HOB_POOL='%.40s': a number from 0 to %d", text, STEMS_MAX);
    return (unsigned)(n < STEMS_MAX ? n : STEMS_MAX);
}

/* Beside the sandbox engine, never instead of it: whatever is wrong with it concerns its own functions only. */
static struct engine *docker_new(struct agent *a)
{
    static const struct engine_events events = {.changed = on_docker_changed};
    const struct agent_options *o = &a->o;
    struct hob_err err;
    if (!o->docker_host || !o->home || !o->runtimes_dir || !o->init_path)
        return NULL;
    hob_auto_free char *sockets = hob_asprintf("%s/run/docker", o->home),
                       *code = hob_asprintf("%s/code", o->home), *tmp = hob_asprintf("%s/tmp", o->home);
    struct engine *e =
        engine_docker_new(a->loop,
                          &(struct engine_docker_options){.host = o->docker_host,
                                                          .cert_dir = o->docker_certs,
                                                          .is_asked_for = o->is_docker_asked_for,
                                                          .build_network = o->docker_build_network,
                                                          .registries = o->docker_registries,
                                                          .sockets_dir = sockets,
                                                          .code_dir = code,
                                                          .runtimes_dir = o->runtimes_dir,
                                                          .init_path = o->init_path,
                                                          .tmp_dir = tmp},
                          &events, a, &err);
    if (!e)
        hob_log(HOB_LOG_ERROR, "docker.off", "%s", err.msg);
    return e;
}

/* ---- door ---- */

struct agent *agent_start(uv_loop_t *loop, const struct agent_options *o)
{
    static const struct engine_events events = {.changed = on_engine_changed};
    struct agent *a = hob_new(struct agent);
    a->loop = loop;
    a->o = *o;
    struct rlimit files;
    a->files.max = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
    (void)uv_timer_init(loop, &a->warm);
    a->warm.data = a;
    (void)uv_timer_start(&a->warm, on_warm, WARM_MS, 0);
    a->engine = engine_sandbox_new(loop, o->launcher_path, &events, a);
    a->stems = stems_new(loop, a->engine, count_stems_max());
    a->zygotes = zygotes_new(loop, a->engine, a->stems);
    a->docker = docker_new(a);
    return a;
}

void agent_stop(struct agent *a)
{
    agent_end(a, 0);
}

int agent_finish(struct agent *a)
{
    HOB_ASSERT(a->state == AGENT_ENDED);
    int exit_code = a->exit_code;
    free(a);
    return exit_code;
}
