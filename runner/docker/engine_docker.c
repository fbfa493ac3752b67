/* Flow of the engine: DOWN (asks with back-off) -> PROBING (ping, version, info) -> SWEEPING (what an earlier runner left
 * goes) -> UP (its events are listened to, it is pinged), and back to DOWN when it breaks off, hangs or refuses us.
 * CLOSING ends it from anywhere: containers are told to go, and what Docker still owes gets a moment.
 *
 * Runs that serve are not touched by DOWN: they end when their hob-init ends, and that needs no Docker to be seen. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum {
    BACKOFF_FIRST_MS = 200,
    BACKOFF_MAX_MS = 5000,
    BACKOFF_ABSENT_MS = 10000, /* nobody configured it and it is not there */
    WATCH_MS = 2000,
    PINGS_MISSED_MAX = 2,
    SWEEP_EVERY = 15, /* of WATCH_MS */
    SPARE_IDLE_MS = 120000,
    CLOSE_MS = 3000,
    AHEAD_MS = 50,
    HOME_CHARS = 12,
};

static void docker_probe(struct docker *e);
static void on_retry(uv_timer_t *timer);
static void on_watch(uv_timer_t *timer);
static void on_kick(uv_timer_t *timer);
static void on_ahead(uv_timer_t *timer);

/* ---- steps: down ---- */

void docker_fail_unavailable(const struct docker *e, struct hob_err *err)
{
    (void)hob_fail_reason(err, HOB_E_UNAVAILABLE, "engine_unavailable",
                          "the docker engine is not available: %.160s; see `hob doctor`", e->why);
}

/* What to do about it, for people. */
static const char *advice(const struct docker *e)
{
    if (e->errnum == EACCES || e->errnum == EPERM)
        return "; to allow it: usermod -aG docker hob, and restart hobd (docs/docker.md says what that means)";
    if (e->errnum == ENOENT || e->errnum == ECONNREFUSED)
        return "; to have it: apt-get install docker.io, and start it";
    return "";
}

static void write_probe_down(struct docker *e)
{
    bool is_absent = e->errnum == ENOENT && !e->is_asked_for;
    (void)snprintf(e->probe, sizeof e->probe, "%s docker: %s%.300s (%.200s)%s", is_absent ? "ok" : "warn",
                   is_absent ? "not used: " : "", e->why, e->host, advice(e));
}

static void docker_down(struct docker *e, const char *why, int errnum)
{
    bool was_up = e->state == DOCKER_UP, is_absent = errnum == ENOENT && !e->is_asked_for;
    char copy[DOCKER_TEXT];
    (void)snprintf(copy, sizeof copy, "%s", why); /* `why` may be e->why */
    memcpy(e->why, copy, sizeof e->why);
    e->errnum = errnum;
    if (was_up || (!e->is_failing && !is_absent))
        hob_log(was_up || e->is_asked_for ? HOB_LOG_ERROR : HOB_LOG_WARN, "docker.lost", "host=%s %s",
                e->host, e->why);
    e->is_failing = true;
    e->state = DOCKER_DOWN;
    docker_call_cancel(e->asking);
    docker_call_cancel(e->listening);
    e->asking = e->listening = NULL;
    (void)uv_timer_stop(&e->watch);
    write_probe_down(e);
    (void)uv_timer_start(&e->retry, on_retry, is_absent ? BACKOFF_ABSENT_MS : e->backoff_ms, 0);
    e->backoff_ms = e->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : e->backoff_ms * 2;
    runs_lose(e, e->why);
    asks_fail_all(e);
    fetches_fail_all(e);
    gc_fail(e);
    spares_free_all(e);
    images_forget_all(e);
    if (was_up && e->state != DOCKER_CLOSING)
        e->events.changed(e->ctx);
}

/* A call failed in a way that says something about the whole engine. */
void docker_lost(struct docker *e, const struct hob_err *err)
{
    bool is_transport = (err->code == HOB_E_UNAVAILABLE && !err->reason) || err->code == HOB_E_TIMEOUT;
    if (is_transport && (e->state == DOCKER_UP || e->state == DOCKER_SWEEPING))
        docker_down(e, err->msg, err->errnum);
}

bool docker_is_full(const char *said, struct hob_err *err)
{
    if (!strcasestr(said, "no space left") && !strcasestr(said, "disk quota exceeded"))
        return false;
    (void)hob_fail_reason(
        err, HOB_E_NO_SPACE, "engine_full",
        "the docker engine has no space left on its disk: remove images, or give it more: %.100s", said);
    return true;
}

static void ask(struct docker *e, const char *path, uint32_t timeout_ms, bool is_unversioned,
                docker_done_cb done)
{
    e->asking = docker_call_start(
        e->api,
        &(struct docker_request){
            .method = "GET", .path = path, .timeout_ms = timeout_ms, .is_unversioned = is_unversioned},
        done, e);
}

/* ---- steps: up ---- */

static void write_probe_up(struct docker *e)
{
    const struct docker_facts *f = &e->facts;
    int n =
        snprintf(e->probe, sizeof e->probe, "ok docker: version %s, API %s, storage %s, runtime %s, at %s",
                 f->version, f->api_version, f->storage,
                 f->has_crun ? "crun"
                             : "runc (crun starts faster: apt-get install crun, and name it "
                               "in /etc/docker/daemon.json)",
                 e->host);
    const struct {
        bool is_there;
        const char *text;
    } needs[] = {{f->has_seccomp, "warn docker.seccomp: this Docker filters no system calls"},
                 {f->has_memory_limit, "warn docker.memory: this Docker cannot limit memory"},
                 {f->has_swap_limit, "warn docker.swap: this Docker cannot limit swap; functions may use it"},
                 {f->has_pids_limit, "warn docker.pids: this Docker cannot limit processes"}};
    for (size_t i = 0; i < HOB_COUNT(needs); i++)
        if (!needs[i].is_there && n > 0 && (size_t)n < sizeof e->probe)
            n += snprintf(e->probe + n, sizeof e->probe - (size_t)n, "\n%s", needs[i].text);
}

/* The kernel tells it, too (usage.c), unless its group is gone before we look. */
static void note_oom(struct docker *e, const char *id)
{
    HOB_LIST_EACH(&e->boxes, node, tmp)
    {
        struct box *b = HOB_CONTAINER_OF(node, struct box, node);
        b->oom_events += b->id[0] && strcmp(b->id, id) == 0;
    }
}

static void on_event(void *ctx, const json_t *line)
{
    struct docker *e = ctx;
    struct docker_event v;
    docker_event_read(line, &v);
    if (strcmp(v.action, "oom") == 0)
        note_oom(e, v.id);
    else if (strcmp(v.action, "delete") == 0) /* of an image: names and IDs may lead nowhere now */
        images_forget_all(e);
}

static void on_events_over(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    (void)a;
    e->listening = NULL;
    docker_down(e, err ? err->msg : "Docker closed its stream of events: it stops or restarts",
                err ? err->errnum : 0);
}

static void docker_up(struct docker *e)
{
    bool was_failing = e->is_failing;
    e->state = DOCKER_UP;
    e->backoff_ms = BACKOFF_FIRST_MS;
    e->is_failing = false;
    e->pings_missed = 0;
    write_probe_up(e);
    hob_log(HOB_LOG_INFO, "docker.up", "host=%s version=%s api=%s crun=%d%s", e->host, e->facts.version,
            e->facts.api_version, e->facts.has_crun, was_failing ? " again=1" : "");
    /* "type" image: deletions; containers of ours only, by label, would need a stream of their own: hob-init tells */
    e->listening = docker_call_start(
        e->api,
        &(struct docker_request){.method = "GET",
                                 .path = "/events?filters=%7B%22event%22%3A%5B%22oom%22%2C%22delete%22%5D%7D",
                                 .line = on_event},
        on_events_over, e);
    (void)uv_timer_start(&e->watch, on_watch, WATCH_MS, WATCH_MS);
    e->events.changed(e->ctx);
    runs_kick(e);
}

/* ---- steps: the sweep ---- */

static bool is_ours_now(const struct docker *e, const json_t *container)
{
    const char *id = json_string_value(json_object_get(container, "Id"));
    const json_t *names = json_object_get(container, "Names");
    HOB_LIST_EACH(&e->boxes, node, tmp)
    {
        const struct box *b = HOB_CONTAINER_OF(node, struct box, node);
        if (id && b->id[0] && strcmp(b->id, id) == 0)
            return true;
        for (size_t i = 0; i < json_array_size(names); i++) {
            const char *name = json_string_value(json_array_get(names, i));
            if (name && name[0] == '/' && strcmp(name + 1, b->name) == 0)
                return true;
        }
    }
    return false;
}

static void on_swept(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    unsigned n = 0;
    e->asking = NULL;
    if (err) {
        docker_lost(e, err);
        return;
    }
    for (size_t i = 0; i < json_array_size(a->json) && i < DOCKER_LIST_MAX; i++) {
        const json_t *one = json_array_get(a->json, i);
        const char *id = docker_created_id(one);
        if (!id || !docker_container_id_is_valid(id) || is_ours_now(e, one))
            continue;
        docker_remove(e, id);
        n++;
    }
    if (n)
        hob_log(HOB_LOG_INFO, "docker.swept", "containers=%u", n);
    if (e->state == DOCKER_SWEEPING)
        docker_up(e);
}

static void docker_sweep(struct docker *e)
{
    hob_auto_free char *path = hob_asprintf(
        "/containers/json?all=1&filters=%%7B%%22label%%22%%3A%%5B%%22hob.home%%3D%s%%22%%5D%%7D", e->home_id);
    ask(e, path, DOCKER_CALL_MS, false, on_swept);
}

/* ---- steps: probing ---- */

static void on_info(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    struct hob_err own;
    e->asking = NULL;
    if (!err && docker_info_read(a->json, &e->facts, &own) != HOB_OK)
        err = &own;
    if (err) {
        docker_down(e, err->msg, err->errnum);
        return;
    }
    e->state = DOCKER_SWEEPING;
    docker_sweep(e);
}

static void on_version(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    struct hob_err own;
    e->asking = NULL;
    if (!err && docker_version_read(a->json, &e->facts, &own) != HOB_OK)
        err = &own;
    if (err) {
        docker_down(e, err->msg, err->errnum);
        return;
    }
    docker_api_set_version(e->api, e->facts.api_version);
    ask(e, "/info", DOCKER_CALL_MS, false, on_info);
}

static void docker_probe(struct docker *e)
{
    HOB_ASSERT(e->state == DOCKER_DOWN);
    e->state = DOCKER_PROBING;
    ask(e, "/version", DOCKER_PING_MS, true, on_version);
}

/* ---- steps: watching ---- */

static void on_pinged(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    (void)a;
    e->asking = NULL;
    if (!err)
        e->pings_missed = 0;
    else if (err->code != HOB_E_TIMEOUT || ++e->pings_missed >= PINGS_MISSED_MAX)
        docker_down(e, err->code == HOB_E_TIMEOUT ? "Docker does not answer: it hangs" : err->msg,
                    err->errnum);
}

static void docker_watch(struct docker *e)
{
    if (e->asking)
        return;
    spares_trim(e, SPARE_IDLE_MS);
    if (++e->sweep_ticks >= SWEEP_EVERY) {
        e->sweep_ticks = 0;
        docker_sweep(e);
        return;
    }
    ask(e, "/_ping", DOCKER_PING_MS, true, on_pinged);
}

/* ---- steps: the end ---- */

static void on_api_closed(void *ctx)
{
    struct docker *e = ctx;
    docker_target_done(&e->target);
    free(e->host);
    free(e->sockets_dir);
    free(e->code_dir);
    free(e->runtimes_dir);
    free(e->init_path);
    free(e->tmp_dir);
    free(e->build_network);
    free(e->registries);
    free(e);
}

static void finish(struct docker *e)
{
    struct docker_api *api = e->api;
    if (!api || !hob_list_is_empty(&e->boxes) || e->workers || e->handles)
        return;
    e->api = NULL;
    docker_api_close(api, on_api_closed, e);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct docker *e = handle->data;
    e->handles--;
    finish(e);
}

static void on_close_late(uv_timer_t *timer)
{
    if (!uv_is_closing((uv_handle_t *)timer))
        uv_close((uv_handle_t *)timer, on_timer_closed);
}

void docker_ended(struct docker *e)
{
    if (e->state == DOCKER_CLOSING && docker_api_calls(e->api) == 0)
        on_close_late(&e->retry);
}

/* ---- callbacks ---- */

static void on_retry(uv_timer_t *timer)
{
    docker_probe(timer->data);
}

static void on_watch(uv_timer_t *timer)
{
    docker_watch(timer->data);
}

static void on_kick(uv_timer_t *timer)
{
    runs_step(timer->data);
    asks_step(timer->data);
    fetches_step(timer->data);
    gc_step(timer->data);
}

static void on_ahead(uv_timer_t *timer)
{
    runs_make_spares(timer->data);
}

/* ---- door ---- */

/* Not beside the first answer: Docker's work would slow it down. */
void spares_later(struct docker *e)
{
    if (e->state != DOCKER_CLOSING && !uv_is_active((uv_handle_t *)&e->ahead))
        (void)uv_timer_start(&e->ahead, on_ahead, AHEAD_MS, 0);
}

void runs_kick(struct docker *e)
{
    if (e->state != DOCKER_CLOSING)
        (void)uv_timer_start(&e->kick, on_kick, 0, 0);
}

static struct docker *docker_of(struct engine *e)
{
    return HOB_CONTAINER_OF(e, struct docker, base);
}

static const struct docker *peek(const struct engine *e)
{
    _Static_assert(offsetof(struct docker, base) == 0, "a pointer to one is a pointer to the other");
    return (const struct docker *)(const void *)e;
}

static struct engine_run *op_start(struct engine *base, const struct engine_spec *spec,
                                   const struct engine_listener *l, void *ctx)
{
    HOB_ASSERT(!spec->is_stem);
    return run_start(docker_of(base), spec, l, ctx);
}

static void op_assign(struct engine_run *r, const struct engine_spec *spec, const struct engine_listener *l,
                      void *ctx)
{
    (void)r;
    (void)spec;
    (void)l;
    (void)ctx;
    HOB_ASSERT(!"the docker engine keeps its spares itself and is given no stems");
}

static bool op_is_up(const struct engine *base)
{
    return peek(base)->state == DOCKER_UP;
}

static const char *op_probe(const struct engine *base)
{
    return peek(base)->probe;
}

static void op_close(struct engine *base)
{
    struct docker *e = docker_of(base);
    HOB_ASSERT(e->state != DOCKER_CLOSING);
    bool is_there = e->state == DOCKER_UP || e->state == DOCKER_SWEEPING;
    e->state = DOCKER_CLOSING;
    docker_call_cancel(e->asking);
    docker_call_cancel(e->listening);
    e->asking = e->listening = NULL;
    images_forget_all(e);
    asks_fail_all(e);
    fetches_fail_all(e);
    gc_fail(e);
    runs_free_all(e);
    spares_free_all(e);
    holders_free_all(e);
    uv_close((uv_handle_t *)&e->watch, on_timer_closed);
    uv_close((uv_handle_t *)&e->kick, on_timer_closed);
    uv_close((uv_handle_t *)&e->ahead, on_timer_closed);
    (void)uv_timer_start(&e->retry, on_close_late, is_there && docker_api_calls(e->api) ? CLOSE_MS : 0, 0);
}

void engine_docker_describe(const struct engine *base, struct hob_buf *out)
{
    const struct docker *e = peek(base);
    struct hob_jw w;
    struct hob_err err;
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "name", "docker");
    hob_jw_kcstr(&w, "state", e->state == DOCKER_UP ? "up" : e->state == DOCKER_DOWN ? "down" : "asking");
    hob_jw_kcstr(&w, "host", e->host);
    if (e->state == DOCKER_UP) {
        hob_jw_kcstr(&w, "version", e->facts.version);
        hob_jw_kcstr(&w, "api", e->facts.api_version);
        hob_jw_kcstr(&w, "runtime", e->facts.has_crun ? "crun" : "runc");
        hob_jw_kcstr(&w, "storage", e->facts.storage);
        hob_jw_kint(&w, "instances", runs_count(e));
    } else {
        hob_auto_free char *why = hob_asprintf("%s%s", e->why, advice(e));
        hob_jw_kcstr(&w, "reason", why);
    }
    hob_jw_object_end(&w);
    enum hob_code code = hob_jw_end(&w, &err);
    HOB_ASSERT(code == HOB_OK);
}

static void timer_init(struct docker *e, uv_timer_t *timer)
{
    int rc = uv_timer_init(e->loop, timer);
    HOB_ASSERT(rc == 0);
    timer->data = e;
    e->handles++;
}

struct engine *engine_docker_new(uv_loop_t *loop, const struct engine_docker_options *o,
                                 const struct engine_events *events, void *ctx, struct hob_err *err)
{
    static const struct engine_ops ops = {.start = op_start,
                                          .assign = op_assign,
                                          .stop = run_stop,
                                          .freeze = run_freeze,
                                          .thaw = run_thaw,
                                          .stats = run_stats,
                                          .is_up = op_is_up,
                                          .probe = op_probe,
                                          .close = op_close};
    struct docker_target target;
    char digest[HOB_DIGEST_CHARS + 1];
    if (docker_target_parse(&target, o->host, o->cert_dir, err) != HOB_OK)
        return NULL;
    hob_auto_free char *filter =
        hob_asprintf("%s/seccomp.json", o->sockets_dir); /* Podman takes it as a file */
    if (hob_mkdirs(o->sockets_dir, 0700, err) != HOB_OK ||
        hob_write_file(filter, hob_str(container_seccomp()), 0600, err) != HOB_OK) {
        docker_target_done(&target);
        return NULL;
    }
    struct docker *e = hob_new(struct docker);
    e->base = (struct engine){.ops = &ops, .name = "docker"};
    e->loop = loop;
    e->target = target;
    e->host = hob_strdup(o->host);
    e->sockets_dir = hob_strdup(o->sockets_dir);
    e->code_dir = hob_strdup(o->code_dir);
    e->runtimes_dir = hob_strdup(o->runtimes_dir);
    e->init_path = hob_strdup(o->init_path);
    e->tmp_dir = hob_strdup(o->tmp_dir);
    e->is_asked_for = o->is_asked_for;
    e->backoff_ms = BACKOFF_FIRST_MS;
    e->events = *events;
    e->ctx = ctx;
    hob_sha256_hex(o->sockets_dir, strlen(o->sockets_dir), digest);
    (void)snprintf(e->home_id, sizeof e->home_id, "%.*s", HOME_CHARS, digest);
    hob_random_hex(e->own_id, 8);
    hob_list_init(&e->boxes);
    hob_list_init(&e->runs);
    hob_list_init(&e->asks);
    hob_list_init(&e->fetches);
    e->registries = o->registries ? hob_strdup(o->registries) : NULL;
    e->build_network = hob_strdup(o->build_network && o->build_network[0] ? o->build_network : "none");
    timer_init(e, &e->retry);
    timer_init(e, &e->watch);
    timer_init(e, &e->kick);
    timer_init(e, &e->ahead);
    e->api = docker_api_new(loop, &e->target);
    (void)snprintf(e->why, sizeof e->why, "it was not asked yet");
    write_probe_down(e);
    (void)uv_timer_start(&e->retry, on_retry, 0, 0);
    return &e->base;
}
