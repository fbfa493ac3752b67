/* Flow of a run: WAITING (for the engine, its image, its app's network holder) -> MAKING (a container) -> RUNNING -> gone.
 * A spare, when one fits, takes a run from WAITING to RUNNING at once. Behind each start one spare is made ahead.
 * runs_step looks at all that wait, whenever something changed; nothing is told from inside start. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum {
    LAST_WORD_MS = 50,
    KILL_PATIENCE_MS = 2000, /* from 'K' to the end, before Docker is asked to remove it */
    THAW_TRIES_MAX = 40,
    THAW_RETRY_MS = 25,
    HOLDER_TRIES_MAX = 2,
};

enum run_state { RUN_WAITING, RUN_MAKING, RUN_RUNNING };

struct engine_run {
    struct hob_node node; /* in docker->runs */
    struct docker *e;
    enum run_state state;
    struct engine_spec spec; /* its strings are ours; its descriptors until they are handed over */
    char *runtime, *digest, *strings, *app, *image;
    struct box *box;
    uint64_t asked_us;
    uint32_t grace_ms;
    bool is_stopped, is_killed, is_frozen, wants_frozen, wants_spare;
    unsigned tries, thaw_tries;
    struct docker_call *call; /* a pause or unpause */
    uv_timer_t timer;         /* grace, patience; before that the next try of a thaw */
    bool has_timer;
    unsigned handles;
    struct engine_listener listener;
    void *ctx;
};

static void on_timer(uv_timer_t *timer);
static void run_pause(struct engine_run *r);

/* ---- steps: the end of a run ---- */

static void on_run_closed(uv_handle_t *handle)
{
    struct engine_run *r = handle->data;
    struct docker *e = r->e;
    free(r->runtime);
    free(r->digest);
    free(r->strings);
    free(r->app);
    free(r->image);
    free(r);
    docker_ended(e);
}

static void close_descriptors(struct engine_spec *s)
{
    int *fds[] = {&s->channel_fd, &s->stdout_fd, &s->stderr_fd, &s->stdin_fd};
    for (size_t i = 0; i < HOB_COUNT(fds); i++)
        hob_close_p(fds[i]);
}

static void run_forget(struct engine_run *r)
{
    hob_list_remove(&r->node);
    docker_call_cancel(r->call);
    r->call = NULL;
    close_descriptors(&r->spec);
    uv_close((uv_handle_t *)&r->timer, on_run_closed);
}

static void run_fail(struct engine_run *r, const struct hob_err *err)
{
    struct engine_listener listener = r->listener;
    void *ctx = r->ctx;
    if (r->box)
        box_drop(r->box);
    run_forget(r);
    listener.failed(ctx, err);
}

static void run_exit(struct engine_run *r, const struct engine_exit *exit)
{
    struct engine_listener listener = r->listener;
    void *ctx = r->ctx;
    run_forget(r);
    listener.exited(ctx, exit);
}

/* ---- steps: a run ---- */

static void run_hand(struct engine_run *r)
{
    struct engine_spec *s = &r->spec;
    int fds[] = {s->channel_fd, s->stdout_fd, s->stderr_fd, s->stdin_fd};
    r->state = RUN_RUNNING;
    box_hand(r->box, fds, s->stdin_fd >= 0 ? 4 : 3);
    s->channel_fd = s->stdout_fd = s->stderr_fd = s->stdin_fd = -1;
    r->listener.launched(r->ctx, r->box->pid, hob_now_us() - r->asked_us);
}

enum { NETWORK_BYTES = 16 + DOCKER_ID_CHARS };

/* Two servers on one loopback would fight for their port: each gets its own. */
static bool is_server(const struct engine_run *r)
{
    return strcmp(r->strings, "--http") == 0;
}

static struct container_spec run_container(const struct engine_run *r, const struct image *i,
                                           const struct holder *h, char network[NETWORK_BYTES])
{
    bool is_own = strncmp(r->image, "runtime:", 8) != 0;
    (void)snprintf(network, NETWORK_BYTES, "%s%s", h ? "container:" : "none", h ? h->box->id : "");
    return (struct container_spec){.image_id = i->found.id,
                                   .app = r->app,
                                   .role = "instance",
                                   .image = is_own ? &i->found : NULL,
                                   .spec = &r->spec,
                                   .network = network};
}

/* The next of its like is made when this one has begun to serve: beside it, it would slow it down. */
static void run_make_spare(const struct engine_run *r)
{
    char network[NETWORK_BYTES], key[65];
    struct image *i;
    struct holder *h;
    HASH_FIND_STR(r->e->images, r->image, i);
    HASH_FIND_STR(r->e->holders, r->app, h);
    if (!i || i->state != IMAGE_READY || (!is_server(r) && (!h || !h->is_ready)))
        return;
    struct container_spec c = run_container(r, i, is_server(r) ? NULL : h, network);
    container_key(&c, key);
    spare_make(r->e, &c, key);
}

static void on_box_ready(void *ctx)
{
    struct engine_run *r = ctx;
    run_hand(r);
    r->wants_spare = true;
    spares_later(r->e);
}

void runs_make_spares(struct docker *e)
{
    HOB_LIST_EACH(&e->runs, node, tmp)
    {
        struct engine_run *r = HOB_CONTAINER_OF(node, struct engine_run, node);
        if (r->wants_spare)
            run_make_spare(r);
        r->wants_spare = false;
    }
}

static bool is_holder_gone(const struct hob_err *err)
{
    return strstr(err->msg, "cannot join network") || strstr(err->msg, "No such container") ||
           strstr(err->msg, "non running container") || strstr(err->msg, "lookup network of container");
}

/* What Docker says of a start, in the words of ours: an image that went away, a lost engine, or its refusal. */
static void judge_failure(struct engine_run *r, const struct hob_err *why, struct hob_err *ret_err)
{
    *ret_err = *why;
    if (docker_is_full(why->msg, ret_err))
        return;
    if (strstr(why->msg, "No such image") || strstr(why->msg, "no such image"))
        (void)hob_fail_reason(ret_err, HOB_E_UNAVAILABLE, "image_missing",
                              "the image '%.120s' is not in this machine's Docker any more", r->image);
    else if (why->code == HOB_E_TIMEOUT || (why->code == HOB_E_UNAVAILABLE && !why->reason))
        (void)hob_fail_reason(ret_err, HOB_E_UNAVAILABLE, "engine_unavailable",
                              "the docker engine is not available: %.120s; see `hob doctor`", why->msg);
    else if (!why->reason)
        (void)hob_fail_reason(ret_err, HOB_E_UNAVAILABLE, "launch_failed", "%.200s", why->msg);
}

static void on_box_failed(void *ctx, const struct hob_err *why)
{
    struct engine_run *r = ctx;
    struct docker *e = r->e;
    struct hob_err err;
    r->box = NULL;
    if (fall_back_to_runc(e, why)) {
        r->state = RUN_WAITING;
        runs_kick(e);
        return;
    }
    if (is_holder_gone(why) && ++r->tries < HOLDER_TRIES_MAX) {
        holder_drop(e, r->app);
        r->state = RUN_WAITING;
        runs_kick(e);
        return;
    }
    struct image *i;
    HASH_FIND_STR(e->images, r->image, i);
    judge_failure(r, why, &err);
    if (i && hob_str_is(hob_str(hob_err_reason(&err)), "image_missing"))
        image_forget(i); /* asked, or built, anew by the next */
    run_fail(r, &err);
    docker_lost(e, why);
}

static void on_box_ended(void *ctx, const struct hand_end *end)
{
    struct engine_run *r = ctx;
    struct engine_exit x = {.exit_code = -1, .signal = 9};
    if (end) {
        engine_exit_describe(&x, W_EXITCODE(end->exit_code & 0xff, 0), (uint32_t)r->box->oom_kills,
                             r->spec.memory_mb);
    } else if (r->box->oom_kills || r->box->has_usage) {
        engine_exit_describe(&x, W_EXITCODE(0, 9), (uint32_t)r->box->oom_kills, r->spec.memory_mb);
    } else {
        (void)snprintf(x.message, sizeof x.message, "%s",
                       r->is_killed ? "killed by signal 9 (SIGKILL)" : "the container went away");
    }
    if (end && end->word == HAND_UNWELL)
        (void)snprintf(x.message, sizeof x.message, "the health check of its image failed, time after time");
    x.usage = r->box->usage;
    if (end && !r->box->has_usage)
        x.usage = (struct engine_usage){.cpu_us = end->cpu_us, .memory_peak_bytes = end->memory_kib * 1024};
    r->box = NULL;
    run_exit(r, &x);
}

static const struct box_events run_events = {
    .ready = on_box_ready, .failed = on_box_failed, .ended = on_box_ended};

static void run_take_box(struct engine_run *r, const struct container_spec *c)
{
    char key[65];
    unsigned n;
    struct hob_err err;
    container_key(c, key);
    struct box *b = spare_find(r->e, key, &n);
    if (b) { /* perhaps still on its way: then it is as far as a new one could be, or further */
        b->key[0] = '\0';
        b->events = run_events;
        b->ctx = r;
    } else {
        b = box_make(r->e, &run_events, r, c, &err);
    }
    if (!b) {
        run_fail(r, &err);
        return;
    }
    r->box = b;
    r->state = RUN_MAKING;
    if (b->state == BOX_READY)
        on_box_ready(r);
}

static void run_step(struct engine_run *r)
{
    struct docker *e = r->e;
    struct hob_err err = {0};
    if (e->state == DOCKER_DOWN) {
        docker_fail_unavailable(e, &err);
        run_fail(r, &err);
        return;
    }
    if (e->state != DOCKER_UP)
        return;
    struct image *i = image_get(e, r->image);
    if (i->state == IMAGE_ASKING)
        return;
    if (i->state == IMAGE_FAILED) {
        err = i->err;
        run_fail(r, &err);
        return;
    }
    struct holder *h = is_server(r) ? NULL : holder_get(e, r->app, i->found.id, &err);
    if (err.code != HOB_OK) {
        run_fail(r, &err);
        return;
    }
    if (!h && !is_server(r))
        return;
    char network[NETWORK_BYTES];
    struct container_spec c = run_container(r, i, h, network);
    run_take_box(r, &c);
}

void runs_step(struct docker *e)
{
    struct hob_node *first;
    struct hob_list now; /* a listener may start and end others while we look */
    hob_list_init(&now);
    while ((first = hob_list_first(&e->runs))) {
        hob_list_remove(first);
        hob_list_push_back(&now, first);
    }
    while ((first = hob_list_first(&now))) {
        struct engine_run *r = HOB_CONTAINER_OF(first, struct engine_run, node);
        hob_list_remove(first);
        hob_list_push_back(&e->runs, first);
        if (r->state == RUN_WAITING)
            run_step(r);
    }
}

bool runs_use_app(const struct docker *e, const char *app)
{
    HOB_LIST_EACH(&e->runs, node, tmp)
    {
        if (strcmp(HOB_CONTAINER_OF(node, struct engine_run, node)->app, app) == 0)
            return true;
    }
    return false;
}

void runs_fail_app(struct docker *e, const char *app, const struct hob_err *err)
{
    HOB_LIST_EACH(&e->runs, node, tmp)
    {
        struct engine_run *r = HOB_CONTAINER_OF(node, struct engine_run, node);
        if (r->state == RUN_WAITING && strcmp(r->app, app) == 0 && e->state != DOCKER_CLOSING)
            run_fail(r, err);
    }
}

/* ---- steps: freeze and thaw. Docker may say 500 and leave it as it was, so what is true is asked ---- */

static void on_paused_seen(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct engine_run *r = ctx;
    r->call = NULL;
    bool is_paused =
        err ? r->is_frozen : json_is_true(json_object_get(json_object_get(a->json, "State"), "Paused"));
    r->is_frozen = is_paused;
    if (is_paused == r->wants_frozen || (err && err->code == HOB_E_NOT_FOUND)) {
        r->thaw_tries = 0;
        r->listener.frozen(r->ctx, is_paused);
    } else if (++r->thaw_tries >= THAW_TRIES_MAX) {
        hob_log(HOB_LOG_ERROR, "docker.pause", "container=%s cannot be %s", r->box->name,
                r->wants_frozen ? "paused" : "unpaused");
        r->thaw_tries = 0;
        r->wants_frozen = is_paused;
        r->listener.frozen(r->ctx, is_paused);
    } else if (!r->is_stopped) {
        (void)uv_timer_start(&r->timer, on_timer, r->thaw_tries > 1 ? THAW_RETRY_MS : 0, 0);
    } else {
        run_pause(r);
    }
}

static void on_pause_answered(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct engine_run *r = ctx;
    r->call = NULL;
    (void)a;
    if (!err && r->thaw_tries == 0 && r->wants_frozen) {
        r->is_frozen = true;
        r->listener.frozen(r->ctx, true);
        return;
    }
    hob_auto_free char *path = hob_asprintf("/containers/%s/json", r->box->id);
    r->call = docker_call_start(
        r->e->api, &(struct docker_request){.method = "GET", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_paused_seen, r);
}

static void run_pause(struct engine_run *r)
{
    if (r->call) /* its answer looks at what is wanted then */
        return;
    hob_auto_free char *path =
        hob_asprintf("/containers/%s/%s", r->box->id, r->wants_frozen ? "pause" : "unpause");
    r->call = docker_call_start(
        r->e->api, &(struct docker_request){.method = "POST", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_pause_answered, r);
}

/* ---- callbacks ---- */

static void on_timer(uv_timer_t *timer)
{
    struct engine_run *r = timer->data;
    if (!r->box)
        return;
    if (!r->is_stopped) {
        run_pause(r);
        return;
    }
    if (!r->is_killed) {
        r->is_killed = true;
        box_say(r->box, HAND_KILL);
        (void)uv_timer_start(&r->timer, on_timer, KILL_PATIENCE_MS, 0);
        return;
    }
    docker_remove(r->e, r->box->id); /* frozen, or its hob-init does not run: Docker kills it */
    (void)uv_timer_start(&r->timer, on_timer, KILL_PATIENCE_MS, 0);
}

/* ---- door ---- */

struct engine_run *run_start(struct docker *e, const struct engine_spec *spec,
                             const struct engine_listener *l, void *ctx)
{
    struct engine_run *r = hob_new(struct engine_run);
    r->e = e;
    r->spec = *spec;
    r->spec.runtime = r->runtime = hob_strdup(spec->runtime);
    r->spec.digest = r->digest = hob_strdup(spec->digest);
    r->strings = hob_calloc(1, spec->strings.n + 1);
    if (spec->strings.n)
        memcpy(r->strings, spec->strings.at, spec->strings.n);
    r->spec.strings.at = r->strings;
    r->app = hob_strdup(spec->app && spec->app[0] ? spec->app : "none");
    bool is_own = spec->image && spec->image[0];
    r->image = is_own ? hob_strdup(spec->image) : hob_asprintf("runtime:%s", spec->runtime);
    r->spec.app = r->app;
    r->spec.image = r->image;
    r->asked_us = hob_now_us();
    r->listener = *l;
    r->ctx = ctx;
    HOB_ASSERT(uv_timer_init(e->loop, &r->timer) == 0);
    r->timer.data = r;
    hob_list_push_back(&e->runs, &r->node);
    runs_kick(e);
    return r;
}

void runs_lose(struct docker *e, const char *why)
{
    struct hob_node *first;
    struct hob_list waiting;
    hob_list_init(&waiting);
    HOB_LIST_EACH(&e->runs, node, tmp)
    {
        if (HOB_CONTAINER_OF(node, struct engine_run, node)->state == RUN_RUNNING)
            continue;
        hob_list_remove(node);
        hob_list_push_back(&waiting, node);
    }
    while ((first = hob_list_first(&waiting))) {
        struct hob_err err;
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "engine_unavailable",
                              "the docker engine is not available: %.150s; see `hob doctor`", why);
        run_fail(HOB_CONTAINER_OF(first, struct engine_run, node), &err);
    }
}

void runs_free_all(struct docker *e)
{
    struct hob_node *first;
    while ((first = hob_list_first(&e->runs))) {
        struct engine_run *r = HOB_CONTAINER_OF(first, struct engine_run, node);
        if (r->box)
            box_drop(r->box);
        run_forget(r);
    }
}

unsigned runs_count(const struct docker *e)
{
    unsigned n = 0;
    HOB_LIST_EACH(&e->runs, node, tmp)
    n++;
    return n;
}

void run_stop(struct engine_run *r, uint32_t grace_ms)
{
    if (r->state != RUN_RUNNING)
        return;
    bool is_first = !r->is_stopped;
    r->is_stopped = true;
    if (grace_ms && is_first)
        box_say(r->box, HAND_TERM);
    if (r->is_killed || (!is_first && grace_ms >= r->grace_ms))
        return;
    r->grace_ms = grace_ms;
    /* One that ends by itself closes its channel first, which makes hobd stop it: its status shall be heard still. */
    (void)uv_timer_start(&r->timer, on_timer, grace_ms > LAST_WORD_MS ? grace_ms : LAST_WORD_MS, 0);
}

void run_freeze(struct engine_run *r)
{
    if (r->state != RUN_RUNNING || r->is_stopped)
        return;
    r->wants_frozen = true;
    run_pause(r);
}

void run_thaw(struct engine_run *r)
{
    if (r->state != RUN_RUNNING)
        return;
    r->wants_frozen = false;
    run_pause(r);
}

void run_stats(struct engine_run *r)
{
    struct engine_usage usage;
    if (r->state == RUN_RUNNING && usage_read(r->box->pid, &usage, NULL))
        r->listener.stats(r->ctx, &usage);
}
