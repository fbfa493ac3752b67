/* Containers kept for others: an app's network holder, made with its first instance; and spares, made ahead behind each
 * start, complete but for their descriptors. Flow of both: on the way -> READY -> used, or dropped when idle. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { SPARES_MAX = 16, BODY_BYTES_MAX = 1 << 20 };

/* ---- steps: spares ---- */

static void on_spare_ready(void *ctx)
{
    (void)ctx; /* it waits */
}

static void on_spare_failed(void *ctx, const struct hob_err *err)
{
    (void)ctx;
    hob_log(HOB_LOG_DEBUG, "docker.spare", "%s", err->msg); /* the next start will meet it and tell */
}

static void on_spare_ended(void *ctx, const struct hand_end *end)
{
    (void)ctx;
    (void)end;
}

static const struct box_events spare_events = {
    .ready = on_spare_ready, .failed = on_spare_failed, .ended = on_spare_ended};

static bool is_spare(const struct box *b)
{
    return b->key[0] != '\0';
}

struct box *spare_find(struct docker *e, const char *key, unsigned *ret_n)
{
    struct box *found = NULL;
    *ret_n = 0;
    HOB_LIST_EACH(&e->boxes, node, tmp)
    {
        struct box *b = HOB_CONTAINER_OF(node, struct box, node);
        *ret_n += is_spare(b);
        if (is_spare(b) && strcmp(b->key, key) == 0 && (!found || b->state == BOX_READY))
            found = b;
    }
    return found;
}

struct box *box_make(struct docker *e, const struct box_events *events, void *ctx,
                     const struct container_spec *c, struct hob_err *err)
{
    hob_auto_buf struct hob_buf body;
    hob_buf_init(&body, BODY_BYTES_MAX);
    struct box *b = box_new(e, events, ctx);
    if (box_listen(b, err) != HOB_OK || container_write(e, b, c, &body, err) != HOB_OK) {
        box_drop(b);
        return NULL;
    }
    box_create(b, hob_buf_str(&body));
    return b;
}

void spare_make(struct docker *e, const struct container_spec *c, const char *key)
{
    struct hob_err err;
    unsigned n;
    if (spare_find(e, key, &n) || n >= SPARES_MAX || e->state != DOCKER_UP)
        return;
    struct box *b = box_make(e, &spare_events, e, c, &err);
    if (b)
        (void)snprintf(b->key, sizeof b->key, "%s", key);
}

void spares_trim(struct docker *e, uint64_t idle_ms)
{
    uint64_t now_ms = hob_now_ms();
    HOB_LIST_EACH(&e->boxes, node, tmp)
    {
        struct box *b = HOB_CONTAINER_OF(node, struct box, node);
        if (is_spare(b) && b->state == BOX_READY && now_ms - b->idle_since_ms >= idle_ms)
            box_drop(b);
    }
    for (struct holder *h = e->holders, *next; h; h = next) {
        bool is_used = runs_use_app(e, h->app);
        next = h->hh.next;
        if (is_used)
            h->used_ms = now_ms;
        if (is_used || now_ms - h->used_ms < idle_ms * 2) /* its spares are gone before */
            continue;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer loses track of uthash's neighbours */
        HASH_DEL(e->holders, h);
        box_drop(h->box);
        free(h);
    }
}

void spares_free_all(struct docker *e)
{
    HOB_LIST_EACH(&e->boxes, node, tmp)
    {
        struct box *b = HOB_CONTAINER_OF(node, struct box, node);
        if (is_spare(b))
            box_drop(b);
    }
}

/* A crun that cannot work on this machine (in hybrid cgroups, say) is found out by the first start: then runc it is. */
bool fall_back_to_runc(struct docker *e, const struct hob_err *err)
{
    bool is_runtimes = strstr(err->msg, "OCI runtime") || strstr(err->msg, "shim task");
    if (!e->facts.has_crun || !is_runtimes)
        return false;
    hob_log(HOB_LOG_WARN, "docker.crun", "starting by runc from now on: %s", err->msg);
    e->facts.has_crun = false;
    return true;
}

/* ---- steps: holders ---- */

static void holder_forget(struct holder *h)
{
    HASH_DEL(h->e->holders, h);
    free(h);
}

static void on_holder_ready(void *ctx)
{
    struct holder *h = ctx;
    h->is_ready = true;
    runs_kick(h->e);
}

/* Everyone who waits for it hears why. */
static void on_holder_failed(void *ctx, const struct hob_err *err)
{
    struct holder *h = ctx;
    struct docker *e = h->e;
    char app[65];
    struct hob_err copy = *err;
    memcpy(app, h->app, sizeof app);
    holder_forget(h);
    if (fall_back_to_runc(e, err)) {
        runs_kick(e);
        return;
    }
    docker_lost(e, err);
    runs_fail_app(e, app, &copy);
}

static void on_holder_ended(void *ctx, const struct hand_end *end)
{
    (void)end;
    holder_forget(ctx);
}

/* NULL with err->code HOB_OK: not yet. */
struct holder *holder_get(struct docker *e, const char *app, const char *image_id, struct hob_err *err)
{
    static const struct box_events events = {
        .ready = on_holder_ready, .failed = on_holder_failed, .ended = on_holder_ended};
    struct holder *h;
    err->code = HOB_OK;
    HASH_FIND_STR(e->holders, app, h);
    if (h) {
        h->used_ms = hob_now_ms();
        return h->is_ready ? h : NULL;
    }
    h = hob_new(struct holder);
    h->e = e;
    (void)snprintf(h->app, sizeof h->app, "%s", app);
    struct container_spec c = {.image_id = image_id, .app = app, .role = "holder", .network = "none"};
    h->box = box_make(e, &events, h, &c, err);
    if (!h->box) {
        free(h);
        return NULL;
    }
    h->used_ms = hob_now_ms();
    HASH_ADD_STR(e->holders, app, h);
    return NULL;
}

void holder_drop(struct docker *e, const char *app)
{
    struct holder *h;
    HASH_FIND_STR(e->holders, app, h);
    if (!h)
        return;
    struct box *b = h->box;
    holder_forget(h);
    box_drop(b);
}

void holders_free_all(struct docker *e)
{
    for (struct holder *h = e->holders, *next; h; h = next) {
        next = h->hh.next;
        struct box *b = h->box;
        holder_forget(h);
        box_drop(b);
    }
}
