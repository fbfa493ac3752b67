/* Flow of a fetch, which makes a name or a Dockerfile an image's ID:
 *
 *   WAITING (for the engine) -> LOOKING -> told                                          it is there
 *                 `-> LISTING (what is there) -> PULLING -> LOOKING -> MARKING -> told     it was not, or is asked for always
 *   WAITING -> PACKING (worker) -> BUILDING -> LOOKING -> MARKING -> told                  of a Dockerfile
 *
 * What a pull brought, and was not there before, and what was built gets a name of Hob's (marks.h), by which it goes again.
 * The end of the engine ends it from anywhere. What Docker says on the way is told as lines for people, some a second. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum {
    PULL_MS = 10 * 60 * 1000,
    BUILD_MS = 10 * 60 * 1000,
    BUILD_MEMORY_MB = 1024,
    TOLD_EVERY_MS = 250,
    LINES_MAX = 2000, /* of a build, told to people */
    TEXT_BYTES = 512,
    LAYERS_MAX = 128,
    MARKS_MAX = 8, /* of one pull: names that it gave to one image */
};

enum fetch_state {
    FETCH_WAITING,
    FETCH_LOOKING,
    FETCH_LISTING,
    FETCH_PULLING,
    FETCH_MARKING,
    FETCH_PACKING,
    FETCH_BUILDING
};

struct layer {
    char id[16];
    uint64_t bytes, total;
    bool is_done;
};

struct fetch {
    struct hob_node node; /* in docker->fetches */
    struct docker *e;
    enum fetch_state state;
    char *image, *pull, *auth, *dockerfile, *digest, *app;
    bool was_pulled, is_lost; /* is_lost: told already; only the worker still holds it */
    int context_fd;
    uv_work_t work;
    struct hob_err work_err;
    struct docker_call *call;
    json_t *before;         /* the images that were there before the pull */
    char *marks[MARKS_MAX]; /* paths of POST */
    unsigned marks_n;
    char found[8 + DOCKER_ID_CHARS];
    char built[DOCKER_TEXT]; /* the ID that a build named */
    char error[DOCKER_TEXT]; /* the first that Docker told on the way */
    struct layer layers[LAYERS_MAX];
    unsigned layers_n, lines_n;
    uint64_t told_ms;
    void (*progress)(void *ctx, const char *text);
    docker_told_cb cb;
    void *ctx;
};

/* ---- steps: the end ---- */

static void fetch_free(struct fetch *f)
{
    if (f->context_fd >= 0)
        (void)close(f->context_fd);
    json_decref(f->before);
    while (f->marks_n)
        free(f->marks[--f->marks_n]);
    free(f->image);
    free(f->pull);
    free(f->auth);
    free(f->dockerfile);
    free(f->digest);
    free(f->app);
    free(f);
}

static void fetch_tell(struct fetch *f, struct hob_str json, const struct hob_err *err)
{
    docker_told_cb cb = f->cb;
    void *ctx = f->ctx;
    hob_list_remove(&f->node);
    docker_call_cancel(f->call);
    f->call = NULL;
    if (f->state == FETCH_PACKING)
        f->is_lost = true;
    else
        fetch_free(f);
    cb(ctx, json, err);
}

static void fetch_fail(struct fetch *f, const struct hob_err *err)
{
    fetch_tell(f, (struct hob_str){"", 0}, err);
}

static void say(struct fetch *f, const char *text)
{
    if (f->progress)
        f->progress(f->ctx, text);
}

static const char *name_of(const struct fetch *f)
{
    return f->dockerfile ? f->dockerfile : f->image;
}

/* ---- steps: looking ---- */

static void fetch_list(struct fetch *f);
static void fetch_mark(struct fetch *f);

static void fetch_done(struct fetch *f)
{
    char text[TEXT_BYTES];
    int n = snprintf(text, sizeof text, "{\"image\":\"%s\",\"pulled\":%s}", f->found,
                     f->was_pulled ? "true" : "false");
    fetch_tell(f, hob_str_n(text, (size_t)n), NULL);
}

static void add_mark(struct fetch *f, enum mark_kind kind, const char *what)
{
    if (f->marks_n < MARKS_MAX)
        f->marks[f->marks_n++] = gc_mark_path(f->e, kind, what, f->found);
}

/* Names that the pull gave. */
static void add_pulled_marks(struct fetch *f, const json_t *image)
{
    const json_t *names = json_object_get(image, "RepoTags");
    bool is_nameless = json_array_size(names) == 0; /* pulled by its digest */
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name && mark_is_due(f->e->home_id, f->before, f->found, name))
            add_mark(f, MARK_PULLED, name);
    }
    if (is_nameless && mark_is_due(f->e->home_id, f->before, f->found, f->image))
        add_mark(f, MARK_PULLED, f->image);
}

static void on_looked(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct fetch *f = ctx;
    struct docker_image found;
    struct hob_err own;
    f->call = NULL;
    bool may_pull =
        f->image && !f->was_pulled && strcmp(f->pull, "never") != 0 && !docker_image_id_is_valid(f->image);
    if (err && err->code == HOB_E_NOT_FOUND && may_pull) {
        fetch_list(f);
    } else if (err && err->code == HOB_E_NOT_FOUND) {
        (void)hob_fail_reason(&own, HOB_E_INVALID, "image_missing",
                              "the image '%.120s' is not in this machine's Docker%s", name_of(f),
                              f->image && !f->was_pulled ? ", and may not be pulled" : "");
        fetch_fail(f, &own);
    } else if (err) {
        fetch_fail(f, err);
    } else if (docker_image_read(a->json, &found, &own) != HOB_OK) {
        fetch_fail(f, &own);
    } else {
        memcpy(f->found, found.id, sizeof f->found);
        docker_image_done(&found);
        if (f->was_pulled)
            add_pulled_marks(f, a->json);
        else if (f->built[0])
            add_mark(f, MARK_BUILT, "");
        fetch_mark(f);
    }
}

static void fetch_look(struct fetch *f, const char *name)
{
    hob_auto_free char *path = hob_asprintf("/images/%s/json", name);
    f->state = FETCH_LOOKING;
    f->call = docker_call_start(
        f->e->api, &(struct docker_request){.method = "GET", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_looked, f);
}

/* ---- steps: marking ---- */

static void on_marked(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct fetch *f = ctx;
    (void)a;
    f->call = NULL;
    if (err)
        hob_log(HOB_LOG_WARN, "docker.mark", "id=%s %s", f->found, err->msg); /* then it is never removed */
    fetch_mark(f);
}

static void fetch_mark(struct fetch *f)
{
    if (f->marks_n == 0) {
        fetch_done(f);
        return;
    }
    hob_auto_free char *path = f->marks[--f->marks_n];
    f->state = FETCH_MARKING;
    f->call = docker_call_start(
        f->e->api, &(struct docker_request){.method = "POST", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_marked, f);
}

/* ---- steps: pulling ---- */

static void fetch_pull(struct fetch *f);

static void on_before(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct fetch *f = ctx;
    f->call = NULL;
    if (err) {
        fetch_fail(f, err);
        return;
    }
    f->before = json_incref((json_t *)(uintptr_t)a->json);
    fetch_pull(f);
}

static void fetch_list(struct fetch *f)
{
    f->state = FETCH_LISTING;
    f->call = docker_call_start(
        f->e->api,
        &(struct docker_request){.method = "GET", .path = "/images/json", .timeout_ms = DOCKER_CALL_MS},
        on_before, f);
}

static struct layer *layer_of(struct fetch *f, const char *id)
{
    for (unsigned i = 0; i < f->layers_n; i++)
        if (strcmp(f->layers[i].id, id) == 0)
            return &f->layers[i];
    if (f->layers_n == LAYERS_MAX || strlen(id) != 12)
        return NULL;
    struct layer *l = &f->layers[f->layers_n++];
    *l = (struct layer){0};
    memcpy(l->id, id, 12);
    return l;
}

static void tell_pull(struct fetch *f, bool is_last)
{
    char text[TEXT_BYTES];
    uint64_t now = hob_now_ms(), bytes = 0, total = 0;
    unsigned done = 0;
    if (!is_last && now - f->told_ms < TOLD_EVERY_MS)
        return;
    f->told_ms = now;
    for (unsigned i = 0; i < f->layers_n; i++) {
        done += f->layers[i].is_done;
        bytes += f->layers[i].bytes;
        total += f->layers[i].total;
    }
    (void)snprintf(text, sizeof text, "pulling %.120s: %u of %u layers, %.1f of %.1f MB", f->image, done,
                   f->layers_n, (double)bytes / 1e6, (double)total / 1e6);
    say(f, text);
}

static void note_error(struct fetch *f, const char *error)
{
    size_t n = 0;
    if (f->error[0])
        return;
    for (; error[n] && n < sizeof f->error - 1; n++)
        f->error[n] = (unsigned char)error[n] < 0x20 ? ' ' : error[n];
    f->error[n] = '\0';
}

static void on_pull_line(void *ctx, const json_t *line)
{
    struct fetch *f = ctx;
    struct docker_line l;
    docker_line_read(line, &l);
    if (l.error)
        note_error(f, l.error);
    struct layer *layer = l.id && l.status ? layer_of(f, l.id) : NULL;
    if (!layer)
        return;
    if (strcmp(l.status, "Downloading") == 0) {
        layer->bytes = l.current;
        layer->total = l.total > layer->total ? l.total : layer->total;
    } else if (strcmp(l.status, "Pull complete") == 0 || strcmp(l.status, "Already exists") == 0) {
        layer->is_done = true;
        layer->bytes = layer->total;
    }
    tell_pull(f, false);
}

/* What a registry says, in one of three words: it is not there, it is not for us, or nobody could ask. */
static void judge_pull(const struct fetch *f, const struct docker_answer *a, const struct hob_err *why,
                       struct hob_err *ret_err)
{
    static const char *const refusals[] = {"unauthorized", "authentication required", "no basic auth",
                                           "denied", "incorrect username"};
    static const char *const absences[] = {"not found", "manifest unknown", "name unknown", "does not exist"};
    const char *said = f->error[0] ? f->error : why ? why->msg : "";
    bool is_refused = a && (a->status == 401 || a->status == 403), is_absent = a && a->status == 404;
    for (size_t i = 0; i < HOB_COUNT(refusals); i++)
        is_refused = is_refused || strcasestr(said, refusals[i]);
    for (size_t i = 0; i < HOB_COUNT(absences); i++)
        is_absent = is_absent || strcasestr(said, absences[i]);
    if (why &&
        (why->code == HOB_E_TIMEOUT || (why->code == HOB_E_UNAVAILABLE && !why->reason && !f->error[0])))
        *ret_err = *why;
    else if (docker_is_full(said, ret_err))
        return;
    else if (is_refused)
        (void)hob_fail_reason(ret_err, HOB_E_INVALID, "pull_refused",
                              "the registry does not give '%.80s' to us%s: %.100s", f->image,
                              f->auth ? " with this secret" : " without registry_secret", said);
    else if (is_absent)
        (void)hob_fail_reason(ret_err, HOB_E_INVALID, "image_missing", "the registry has no '%.90s': %.100s",
                              f->image, said);
    else
        (void)hob_fail_reason(ret_err, HOB_E_UNAVAILABLE, "pull_failed", "pulling '%.90s' failed: %.110s",
                              f->image, said);
}

static void on_pulled(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct fetch *f = ctx;
    struct docker *e = f->e;
    struct hob_err own;
    f->call = NULL;
    if (err || f->error[0]) {
        judge_pull(f, a, err, &own);
        fetch_fail(f, &own);
        if (err)
            docker_lost(e, err);
        return;
    }
    tell_pull(f, true);
    fetch_look(f, f->image);
}

/* "app" would be every tag there is: the usual one is meant. */
static bool has_tag(const char *image)
{
    const char *slash = strrchr(image, '/');
    return strchr(slash ? slash : image, ':') || strchr(image, '@');
}

/* The administrator may have said where from. "docker.io" stands for names without a host. */
static bool may_pull_from(const struct docker *e, const char *image)
{
    struct hob_str rest, host = hob_str_cut(hob_str(image), '/', &rest),
                         list = hob_str(e->registries ? e->registries : "");
    bool is_host = rest.at && (memchr(host.at, '.', host.n) || memchr(host.at, ':', host.n) ||
                               hob_str_is(host, "localhost"));
    bool is_listed = !e->registries;
    while (list.at && !is_listed)
        is_listed =
            hob_str_eq(hob_str_trim(hob_str_cut(list, ',', &list)), is_host ? host : HOB_STR("docker.io"));
    return is_listed;
}

static void fetch_pull(struct fetch *f)
{
    struct hob_err err;
    if (!may_pull_from(f->e, f->image)) {
        (void)hob_fail_reason(&err, HOB_E_INVALID, "pull_refused",
                              "this node does not pull from where '%.100s' is (HOB_DOCKER_REGISTRIES)",
                              f->image);
        fetch_fail(f, &err);
        return;
    }
    hob_auto_free char *path =
        hob_asprintf("/images/create?fromImage=%s%s", f->image, has_tag(f->image) ? "" : ":latest");
    f->state = FETCH_PULLING;
    f->was_pulled = true;
    f->call = docker_call_start(f->e->api,
                                &(struct docker_request){.method = "POST",
                                                         .path = path,
                                                         .timeout_ms = PULL_MS,
                                                         .registry_auth = f->auth,
                                                         .line = on_pull_line},
                                on_pulled, f);
}

/* ---- steps: building ---- */

static void on_build_line(void *ctx, const json_t *line)
{
    struct fetch *f = ctx;
    struct docker_line l;
    char text[TEXT_BYTES];
    docker_line_read(line, &l);
    if (l.error)
        note_error(f, l.error);
    if (l.image_id)
        (void)snprintf(f->built, sizeof f->built, "%s", l.image_id);
    const char *said = l.stream ? l.stream : l.status;
    size_t n = said ? strcspn(said, "\r\n") : 0;
    if (n == 0 || f->lines_n++ >= LINES_MAX)
        return;
    (void)snprintf(text, sizeof text, "%.*s", (int)(n < 300 ? n : 300), said);
    say(f, text);
}

static void on_built(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct fetch *f = ctx;
    struct docker *e = f->e;
    struct hob_err own;
    (void)a;
    f->call = NULL;
    if (err && !f->error[0] && (err->code == HOB_E_UNAVAILABLE || err->code == HOB_E_TIMEOUT)) {
        struct hob_err copy = *err;
        fetch_fail(f, &copy);
        docker_lost(e, &copy);
    } else if (err || f->error[0] || !f->built[0]) {
        const char *said = f->error[0] ? f->error : err ? err->msg : "Docker names no image";
        if (!docker_is_full(said, &own))
            (void)hob_fail_reason(&own, HOB_E_INVALID, "image_build_failed",
                                  "building '%.60s' failed: %.150s", f->dockerfile, said);
        fetch_fail(f, &own);
    } else {
        hob_log(HOB_LOG_INFO, "docker.built", "app=%s dockerfile=%s id=%s", f->app, f->dockerfile, f->built);
        fetch_look(f, f->built);
    }
}

/* Percent-encodes what a path may hold beside the plainest characters. */
static char *encoded(const char *text)
{
    char *out = hob_calloc(3, strlen(text) + 1), *to = out;
    for (const char *c = text; *c; c++) {
        bool is_plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                        strchr("-._~/", *c);
        to += is_plain ? snprintf(to, 2, "%c", *c) : snprintf(to, 4, "%%%02X", (unsigned char)*c);
    }
    return out;
}

static void fetch_build(struct fetch *f)
{
    hob_auto_free char *file = encoded(f->dockerfile), *network = encoded(f->e->build_network);
    hob_auto_free char *path = hob_asprintf(
        "/build?dockerfile=%s&rm=1&forcerm=1&networkmode=%s&memory=%llu&memswap=%llu", file, network,
        (unsigned long long)BUILD_MEMORY_MB << 20, (unsigned long long)BUILD_MEMORY_MB << 20);
    f->state = FETCH_BUILDING;
    f->call = docker_call_start(f->e->api,
                                &(struct docker_request){.method = "POST",
                                                         .path = path,
                                                         .body_fd = f->context_fd,
                                                         .timeout_ms = BUILD_MS,
                                                         .line = on_build_line},
                                on_built, f);
}

static void on_work(uv_work_t *req)
{
    struct fetch *f = req->data;
    hob_auto_free char *dir = hob_asprintf("%s/%s", f->e->code_dir, f->digest);
    f->context_fd = context_write(dir, f->e->tmp_dir, &f->work_err);
}

static void on_worked(uv_work_t *req, int status)
{
    struct fetch *f = req->data;
    struct docker *e = f->e;
    (void)status;
    e->workers--;
    if (f->is_lost) {
        fetch_free(f);
        docker_ended(e);
    } else {
        f->state = FETCH_WAITING;
        if (f->context_fd < 0)
            fetch_fail(f, &f->work_err);
        else
            runs_kick(e);
    }
}

static void fetch_pack(struct fetch *f)
{
    f->state = FETCH_PACKING;
    f->work.data = f;
    f->e->workers++;
    int rc = uv_queue_work(f->e->loop, &f->work, on_work, on_worked);
    HOB_ASSERT(rc == 0);
}

/* ---- steps: the beginning ---- */

static void fetch_step(struct fetch *f)
{
    struct docker *e = f->e;
    struct hob_err err;
    if (f->state != FETCH_WAITING || gc_is_removing(e))
        return;
    if (e->state == DOCKER_DOWN) {
        docker_fail_unavailable(e, &err);
        fetch_fail(f, &err);
    } else if (e->state != DOCKER_UP) {
        return;
    } else if (f->dockerfile && f->context_fd < 0) {
        fetch_pack(f);
    } else if (f->dockerfile) {
        fetch_build(f);
    } else if (strcmp(f->pull, "always") == 0 && !docker_image_id_is_valid(f->image)) {
        fetch_list(f);
    } else {
        fetch_look(f, f->image);
    }
}

void fetches_step(struct docker *e)
{
    HOB_LIST_EACH(&e->fetches, node, tmp)
    fetch_step(HOB_CONTAINER_OF(node, struct fetch, node));
}

void fetches_fail_all(struct docker *e)
{
    struct hob_node *first;
    struct hob_err err;
    docker_fail_unavailable(e, &err);
    while ((first = hob_list_first(&e->fetches)))
        fetch_fail(HOB_CONTAINER_OF(first, struct fetch, node), &err);
}

/* ---- door ---- */

static char *copy(const char *text)
{
    return text && *text ? hob_strdup(text) : NULL;
}

static bool is_digest(const char *text)
{
    return text && strlen(text) == HOB_DIGEST_CHARS && strspn(text, "0123456789abcdef") == HOB_DIGEST_CHARS;
}

static enum hob_code judge(const struct docker_fetch *f, struct hob_err *err)
{
    if (f->image && docker_image_name_is_valid(f->image))
        return HOB_OK;
    bool is_build = f->dockerfile && is_digest(f->digest) && f->app && hob_name_is_valid(hob_str(f->app));
    return is_build ? HOB_OK
                    : hob_fail_reason(err, HOB_E_INVALID, "image_missing", "'%.100s' names no image",
                                      f->image ? f->image : "");
}

void engine_docker_fetch(struct engine *base, const struct docker_fetch *spec, docker_told_cb cb, void *ctx)
{
    struct docker *e = HOB_CONTAINER_OF(base, struct docker, base);
    struct hob_err err = {0};
    if (judge(spec, &err) != HOB_OK) {
        cb(ctx, (struct hob_str){"", 0}, &err);
        return;
    }
    struct fetch *f = hob_new(struct fetch);
    f->e = e;
    f->context_fd = -1;
    f->image = copy(spec->image);
    f->pull = hob_strdup(spec->pull && *spec->pull ? spec->pull : "missing");
    f->auth = copy(spec->auth);
    f->dockerfile = spec->image ? NULL : copy(spec->dockerfile);
    f->digest = copy(spec->digest);
    f->app = copy(spec->app);
    f->progress = spec->progress;
    f->cb = cb;
    f->ctx = ctx;
    hob_list_push_back(&e->fetches, &f->node);
    gc_stop(e);
    runs_kick(e);
}
