/* Flow of a collection, which takes images away that Hob made or pulled and that nobody needs any more:
 *
 *   WAITING (for the engine) -> LISTING (its images) -> ASKING (which have containers) -> REMOVING (one name after the
 *   other, then the image) -> told
 *
 * One at a time, GC_MAX images at most. A deploy that asks for an image meanwhile ends it early: what the deploy finds,
 * and may have been told before anything was judged, shall stay.
 * What has a container, of whomever, is never touched; Docker itself refuses it once more. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { GC_MAX = 100, ANSWER_BYTES_MAX = 64 * 1024, REMOVE_MS = 60000 };

enum gc_state { GC_WAITING, GC_LISTING, GC_ASKING, GC_REMOVING };

struct docker_gc {
    struct docker *e;
    enum gc_state state;
    char *keep;
    bool is_dry;
    bool must_stop; /* an image was asked for that `keep` does not know of */
    struct docker_call *call;
    json_t *images, *containers;
    bool *is_garbage;   /* of each, as it was judged before anything was removed */
    size_t at, name_at; /* the image that is looked at, and the next of its names */
    struct marked image;
    bool is_kept; /* one of its names could not be taken away */
    unsigned removed_n, left_n, failed_n;
    uint64_t bytes;
    struct hob_buf out;
    struct hob_jw w;
    docker_told_cb cb;
    void *ctx;
};

/* ---- steps: the end ---- */

static void gc_tell(struct docker_gc *g, const struct hob_err *err)
{
    struct docker *e = g->e;
    struct hob_err own;
    e->gc = NULL;
    docker_call_cancel(g->call);
    if (!err) {
        hob_jw_array_end(&g->w);
        hob_jw_kbool(&g->w, "dry_run", g->is_dry);
        hob_jw_kint(&g->w, "removed", g->removed_n);
        hob_jw_kint(&g->w, "failed", g->failed_n);
        hob_jw_kint(&g->w, "left", g->left_n);
        hob_jw_kint(&g->w, "bytes", (int64_t)g->bytes);
        hob_jw_object_end(&g->w);
        if (hob_jw_end(&g->w, &own) != HOB_OK)
            err = &own;
    }
    if (g->removed_n && !g->is_dry)
        hob_log(HOB_LOG_INFO, "docker.gc", "images=%u failed=%u left=%u bytes=%llu", g->removed_n,
                g->failed_n, g->left_n, (unsigned long long)g->bytes);
    g->cb(g->ctx, err ? (struct hob_str){"", 0} : hob_buf_str(&g->out), err);
    json_decref(g->images);
    json_decref(g->containers);
    hob_buf_done(&g->out);
    free(g->is_garbage);
    free(g->keep);
    free(g);
    runs_kick(e); /* who waited for the end */
}

/* ---- steps: removing ---- */

static void gc_next(struct docker_gc *g);
static void gc_remove(struct docker_gc *g);

static void gc_note(struct docker_gc *g, const char *what)
{
    static const char *const kinds[] = {
        [MARK_NONE] = "", [MARK_BUILT] = "built", [MARK_PULLED] = "pulled", [MARK_RUNTIME] = "runtime"};
    const char *name = g->image.runtime;
    for (size_t k = 0; k < g->image.names_n && !*name; k++)
        name = g->image.is_mark[k] ? name : g->image.names[k];
    hob_jw_object(&g->w);
    hob_jw_kcstr(&g->w, "image", g->image.id);
    hob_jw_kcstr(&g->w, "kind", kinds[g->image.kind]);
    hob_jw_kcstr(&g->w, "name", name);
    hob_jw_kint(&g->w, "bytes", (int64_t)g->image.bytes);
    hob_jw_kcstr(&g->w, "state", what);
    hob_jw_object_end(&g->w);
}

/* What has other names loses only Hob's: it is somebody else's now. */
static void gc_over(struct docker_gc *g, bool is_gone)
{
    bool is_freed = is_gone && g->image.others_n == 0;
    gc_note(g, !is_gone ? "in use" : g->is_dry ? "unneeded" : is_freed ? "removed" : "released");
    g->removed_n += is_gone;
    g->failed_n += !is_gone;
    g->bytes += is_freed ? g->image.bytes : 0;
    g->at++;
}

static void on_removed(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker_gc *g = ctx;
    bool was_image = g->name_at > g->image.names_n;
    bool is_fine = !err || err->code == HOB_E_NOT_FOUND;
    (void)a;
    g->call = NULL;
    if (err && (err->code == HOB_E_TIMEOUT || err->code == HOB_E_UNAVAILABLE)) {
        struct docker *e = g->e;
        struct hob_err copy = *err;
        gc_tell(g, &copy);
        docker_lost(e, &copy);
        return;
    }
    g->is_kept = g->is_kept || !is_fine;
    if (was_image || g->is_kept) {
        gc_over(g, !g->is_kept);
        gc_next(g);
    } else {
        gc_remove(g);
    }
}

/* Names that others gave, and with them the image, stay. */
static bool is_to_go(const struct marked *i, size_t k)
{
    return i->is_mark[k] || (i->is_pulled[k] && i->others_n == 0);
}

static void gc_remove(struct docker_gc *g)
{
    const struct marked *i = &g->image;
    while (g->name_at < i->names_n && !is_to_go(i, g->name_at))
        g->name_at++;
    bool has_name = g->name_at < i->names_n;
    if (!has_name && i->others_n) {
        gc_over(g, true);
        gc_next(g);
        return;
    }
    hob_auto_free char *path = hob_asprintf("/images/%s", has_name ? i->names[g->name_at] : i->id);
    g->name_at = has_name ? g->name_at + 1 : i->names_n + 1;
    g->call = docker_call_start(
        g->e->api, &(struct docker_request){.method = "DELETE", .path = path, .timeout_ms = REMOVE_MS},
        on_removed, g);
}

static bool has_container(const struct docker_gc *g, const char *id)
{
    for (size_t i = 0; i < json_array_size(g->containers); i++) {
        const char *used = json_string_value(json_object_get(json_array_get(g->containers, i), "ImageID"));
        if (used && strcmp(used, id) == 0)
            return true;
    }
    return false;
}

static const char *current_of(const struct docker *e, const char *runtime)
{
    hob_auto_free char *name = hob_asprintf("runtime:%s", runtime);
    struct image *i;
    HASH_FIND_STR(e->images, name, i);
    return i && i->state == IMAGE_READY ? i->found.id : "";
}

static bool is_garbage(const struct docker_gc *g, const json_t *image)
{
    struct marked i;
    return marked_read(g->e->home_id, image, &i) && i.kind != MARK_NONE &&
           !marked_is_needed(&i, hob_str(g->keep), current_of(g->e, i.runtime)) && !has_container(g, i.id);
}

static void gc_judge(struct docker_gc *g)
{
    size_t n = json_array_size(g->images);
    g->is_garbage = hob_new_n(bool, n + 1);
    for (size_t i = 0; i < n && i < DOCKER_LIST_MAX; i++)
        g->is_garbage[i] = is_garbage(g, json_array_get(g->images, i));
}

/* To the next image that may go; the end when there is none, or a deploy waits. */
static void gc_next(struct docker_gc *g)
{
    size_t n = json_array_size(g->images);
    bool must_stop = g->must_stop || g->e->state != DOCKER_UP || !hob_list_is_empty(&g->e->fetches);
    while (g->at < n) {
        bool is_it =
            g->is_garbage[g->at] && marked_read(g->e->home_id, json_array_get(g->images, g->at), &g->image);
        bool is_left = is_it && (must_stop || g->removed_n + g->failed_n >= GC_MAX);
        if (is_it && !is_left && !g->is_dry)
            break;
        g->left_n += is_left;
        if (is_it && !is_left)
            gc_over(g, true);
        else
            g->at++;
    }
    g->name_at = 0;
    g->is_kept = false;
    if (g->at < n)
        gc_remove(g);
    else
        gc_tell(g, NULL);
}

/* ---- steps: looking ---- */

static void on_containers(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker_gc *g = ctx;
    g->call = NULL;
    if (err || !json_is_array(a->json)) { /* without knowing what is in use nothing goes */
        struct hob_err own = {0};
        if (!err)
            (void)hob_fail(&own, HOB_E_INVALID, "Docker's list of containers is malformed");
        gc_tell(g, err ? err : &own);
        return;
    }
    g->containers = json_incref((json_t *)(uintptr_t)a->json);
    g->state = GC_REMOVING;
    gc_judge(g);
    gc_next(g);
}

static void on_images(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker_gc *g = ctx;
    g->call = NULL;
    if (err) {
        gc_tell(g, err);
        return;
    }
    g->images = json_incref((json_t *)(uintptr_t)a->json);
    g->state = GC_ASKING;
    g->call = docker_call_start(g->e->api,
                                &(struct docker_request){.method = "GET",
                                                         .path = "/containers/json?all=1",
                                                         .timeout_ms = DOCKER_CALL_MS},
                                on_containers, g);
}

/* ---- door ---- */

char *gc_mark_path(const struct docker *e, enum mark_kind kind, const char *what, const char *id)
{
    char tag[MARK_TAG_BYTES];
    mark_tag(kind, what, id, tag);
    return hob_asprintf("/images/%s/tag?repo=hob-%s&tag=%s", id, e->home_id, tag);
}

bool gc_is_removing(const struct docker *e)
{
    return e->gc && e->gc->state == GC_REMOVING;
}

void gc_stop(struct docker *e)
{
    if (e->gc)
        e->gc->must_stop = true;
}

void gc_step(struct docker *e)
{
    struct docker_gc *g = e->gc;
    struct hob_err err;
    if (!g || g->state != GC_WAITING)
        return;
    if (e->state == DOCKER_DOWN) {
        docker_fail_unavailable(e, &err);
        gc_tell(g, &err);
    } else if (e->state == DOCKER_UP) {
        g->state = GC_LISTING;
        g->call = docker_call_start(
            e->api,
            &(struct docker_request){.method = "GET", .path = "/images/json", .timeout_ms = DOCKER_CALL_MS},
            on_images, g);
    }
}

void gc_fail(struct docker *e)
{
    struct hob_err err;
    if (!e->gc)
        return;
    docker_fail_unavailable(e, &err);
    gc_tell(e->gc, &err);
}

void engine_docker_gc(struct engine *base, const char *keep, bool is_dry, docker_told_cb cb, void *ctx)
{
    struct docker *e = HOB_CONTAINER_OF(base, struct docker, base);
    struct hob_err err;
    if (e->gc) {
        (void)hob_fail(&err, HOB_E_CONFLICT,
                       "images are being collected already; try again when that is over");
        cb(ctx, (struct hob_str){"", 0}, &err);
        return;
    }
    struct docker_gc *g = hob_new(struct docker_gc);
    *g = (struct docker_gc){.e = e, .keep = hob_strdup(keep), .is_dry = is_dry, .cb = cb, .ctx = ctx};
    hob_buf_init(&g->out, ANSWER_BYTES_MAX);
    hob_jw_init(&g->w, &g->out);
    hob_jw_object(&g->w);
    hob_jw_key(&g->w, "images");
    hob_jw_array(&g->w);
    e->gc = g;
    runs_kick(e);
}
