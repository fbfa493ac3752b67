/* Images by name: "runtime:node" is made from this machine's files when Docker has none that fits; anything else is looked
 * up, never pulled here. Flow of one: ASKING -> READY | FAILED; a runtime's ASKING is
 * survey (worker) -> list by label -> write (worker) -> load -> inspect. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"
#include "runner/docker/image_tar.h"

#include "base/banned.h"

enum { NAME_LIVES_MS = 10000, FAILURE_LIVES_MS = 1000 };

static const struct hob_str runtime_prefix = {"runtime:", 8};

struct image_work { /* what the worker touches: nothing of the loop's */
    uv_work_t req;
    struct docker *e;
    struct image *image; /* NULL: forgotten meanwhile */
    char *runtimes_dir, *runtime, *tmp_dir;
    struct tree tree;
    char key[IMAGE_KEY_CHARS + 1], id[IMAGE_ID_CHARS + 1];
    int fd;
    bool is_write;
    struct hob_err err;
};

static void image_inspect(struct image *i, const char *name);

/* ---- steps ---- */

static void work_free(struct image_work *w)
{
    tree_done(&w->tree);
    if (w->fd >= 0)
        (void)close(w->fd);
    free(w->runtimes_dir);
    free(w->runtime);
    free(w->tmp_dir);
    free(w);
}

static void image_fail(struct image *i, const struct hob_err *err)
{
    i->state = IMAGE_FAILED;
    i->err = *err;
    i->since_ms = hob_now_ms();
    if (i->work)
        work_free(i->work);
    i->work = NULL;
    runs_kick(i->e);
}

static void on_marked(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    (void)a;
    if (err)
        hob_log(HOB_LOG_WARN, "docker.mark", "%s", err->msg); /* then it is never removed */
    docker_ended(ctx);
}

/* Also one that another home made: each has its own name on it. */
static void mark_runtime(const struct image *i)
{
    hob_auto_free char *path = gc_mark_path(i->e, MARK_RUNTIME, i->name + runtime_prefix.n, i->found.id);
    (void)docker_call_start(
        i->e->api, &(struct docker_request){.method = "POST", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_marked, i->e);
}

static void image_ready(struct image *i, struct docker_image *found)
{
    docker_image_done(&i->found);
    i->found = *found;
    i->state = IMAGE_READY;
    i->since_ms = hob_now_ms();
    if (hob_str_starts(hob_str(i->name), runtime_prefix))
        mark_runtime(i);
    if (i->work)
        work_free(i->work);
    i->work = NULL;
    runs_kick(i->e);
}

static void fail_missing(const struct image *i, const struct hob_err *why, struct hob_err *ret_err)
{
    *ret_err = *why;
    if (why->code == HOB_E_NOT_FOUND)
        (void)hob_fail_reason(ret_err, HOB_E_UNAVAILABLE, "image_missing",
                              "the image '%.120s' is not in this machine's Docker; pull or load it there",
                              i->name);
}

static void on_inspected(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct image *i = ctx;
    struct docker_image found;
    struct hob_err own;
    i->call = NULL;
    if (err) {
        fail_missing(i, err, &own);
        image_fail(i, &own);
    } else if (docker_image_read(a->json, &found, &own) != HOB_OK) {
        image_fail(i, &own);
    } else {
        image_ready(i, &found);
    }
}

static void image_inspect(struct image *i, const char *name)
{
    hob_auto_free char *path = hob_asprintf("/images/%s/json", name);
    i->call = docker_call_start(
        i->e->api, &(struct docker_request){.method = "GET", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_inspected, i);
}

static void on_loaded(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct image *i = ctx;
    struct hob_err own;
    i->call = NULL;
    (void)a;
    if (err) {
        own = *err;
        if (!docker_is_full(err->msg, &own))
            (void)hob_err_wrap(&own, "loading the image of runtime '%.40s'", i->work->runtime);
        image_fail(i, &own);
        return;
    }
    i->was_built = true;
    hob_log(HOB_LOG_INFO, "docker.image", "runtime=%s id=%s files=%u bytes=%llu", i->work->runtime,
            i->work->id, HASH_COUNT(i->work->tree.entries), (unsigned long long)i->work->tree.bytes);
    image_inspect(i, i->work->id);
}

static void image_load(struct image *i)
{
    i->call = docker_call_start(i->e->api,
                                &(struct docker_request){.method = "POST",
                                                         .path = "/images/load?quiet=1",
                                                         .body_fd = i->work->fd,
                                                         .timeout_ms = DOCKER_LOAD_MS},
                                on_loaded, i);
}

/* ---- steps on a worker ---- */

static void on_work(uv_work_t *req)
{
    struct image_work *w = req->data;
    enum hob_code code;
    if (!w->is_write) {
        code = image_survey(w->runtimes_dir, w->runtime, &w->tree, w->key, &w->err);
    } else {
        w->fd = hob_open_nameless(w->tmp_dir, &w->err);
        code = w->fd < 0 ? w->err.code : image_write(&w->tree, w->runtime, w->key, w->fd, w->id, &w->err);
    }
    HOB_ASSERT(code == w->err.code);
}

static void image_list(struct image *i);

static void on_worked(uv_work_t *req, int status)
{
    struct image_work *w = req->data;
    struct docker *e = w->e;
    struct image *i = w->image;
    (void)status;
    e->workers--;
    if (!i || e->state == DOCKER_CLOSING) {
        if (i)
            i->work = NULL;
        work_free(w);
        docker_ended(e);
    } else if (w->err.code != HOB_OK) {
        image_fail(i, &w->err);
    } else if (e->state == DOCKER_DOWN) {
        struct hob_err err;
        docker_fail_unavailable(e, &err);
        image_fail(i, &err);
    } else if (w->is_write) {
        image_load(i);
    } else {
        image_list(i);
    }
}

static void image_work_start(struct image *i, bool is_write)
{
    i->work->is_write = is_write;
    i->work->req.data = i->work;
    i->e->workers++;
    int rc = uv_queue_work(i->e->loop, &i->work->req, on_work, on_worked);
    HOB_ASSERT(rc == 0);
}

/* ---- steps: is there one already? ---- */

static void on_listed(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct image *i = ctx;
    i->call = NULL;
    if (err) {
        image_fail(i, err);
        return;
    }
    const char *id = docker_created_id(json_array_get(a->json, 0));
    if (id)
        image_inspect(i, id);
    else
        image_work_start(i, true);
}

static void image_list(struct image *i)
{
    hob_auto_free char *path = hob_asprintf(
        "/images/json?filters=%%7B%%22label%%22%%3A%%5B%%22hob.key%%3D%s%%22%%5D%%7D", i->work->key);
    i->call = docker_call_start(
        i->e->api, &(struct docker_request){.method = "GET", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_listed, i);
}

static void image_ask(struct image *i)
{
    struct hob_str name = hob_str(i->name);
    i->state = IMAGE_ASKING;
    i->err = (struct hob_err){0};
    if (!hob_str_starts(name, runtime_prefix)) {
        image_inspect(i, i->name);
        return;
    }
    struct image_work *w = i->work = hob_new(struct image_work);
    w->e = i->e;
    w->image = i;
    w->fd = -1;
    w->runtimes_dir = hob_strdup(i->e->runtimes_dir);
    w->tmp_dir = hob_strdup(i->e->tmp_dir);
    w->runtime = hob_strdup(i->name + runtime_prefix.n);
    image_work_start(i, false);
}

/* ---- door ---- */

/* An ID means the same for ever, a name may come to mean something else. */
static bool is_stale(const struct image *i, uint64_t now_ms)
{
    if (i->state == IMAGE_FAILED)
        return now_ms - i->since_ms >= FAILURE_LIVES_MS;
    bool is_fixed = hob_str_starts(hob_str(i->name), runtime_prefix) || docker_image_id_is_valid(i->name);
    return i->state == IMAGE_READY && !is_fixed && now_ms - i->since_ms >= NAME_LIVES_MS;
}

struct image *image_get(struct docker *e, const char *name)
{
    struct image *i;
    HASH_FIND_STR(e->images, name, i);
    if (i && is_stale(i, hob_now_ms()))
        image_ask(i);
    if (i)
        return i;
    i = hob_new(struct image);
    i->e = e;
    i->name = hob_strdup(name);
    HASH_ADD_KEYPTR(hh, e->images, i->name, strlen(i->name), i);
    image_ask(i);
    return i;
}

void image_forget(struct image *i)
{
    HASH_DEL(i->e->images, i);
    docker_call_cancel(i->call);
    docker_image_done(&i->found);
    if (i->work) {
        /* A worker that runs frees it itself; with none running it is ours. */
        bool is_running = i->call == NULL && i->state == IMAGE_ASKING;
        i->work->image = NULL;
        if (!is_running)
            work_free(i->work);
    }
    free(i->name);
    free(i);
}

void images_forget_all(struct docker *e)
{
    struct image *i, *next;
    for (i = e->images; i; i = next) {
        next = i->hh.next;
        image_forget(i);
    }
}
