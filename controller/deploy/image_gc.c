#include "controller/image_gc.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    AGAIN_MS = 60000,           /* a deploy was under way, or there is no Docker */
    KEEP_BYTES_MAX = 96 * 1024, /* fits a message to the node */
    SHORT_CHARS = 16,           /* of an ID, as runner/docker/marks.h wants it */
};

struct image_gc {
    struct image_gc_options o;
    uv_timer_t timer;
};

/* ---- what is needed ---- */

struct word {
    UT_hash_handle hh;
    char text[];
};
struct words {
    struct word *all;
    struct hob_buf out;
    bool is_full;
};

static void add_word(struct words *w, char sign, const char *text, size_t n, const char *end)
{
    struct word *old, *fresh = hob_calloc(1, sizeof *fresh + n + strlen(end) + 2);
    size_t at = 0;
    if (sign)
        fresh->text[at++] = sign;
    memcpy(fresh->text + at, text, n);
    memcpy(fresh->text + at + n, end, strlen(end) + 1);
    HASH_FIND_STR(w->all, fresh->text, old);
    if (old) {
        free(fresh);
        return;
    }
    HASH_ADD_STR(w->all, text, fresh);
    w->is_full = w->is_full || hob_buf_addf(&w->out, "%s%s", w->out.n ? " " : "", fresh->text) != HOB_OK;
}

static bool has_tag(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strchr(slash ? slash : name, ':') || strchr(name, '@');
}

static void add_version(struct words *w, const struct version *v)
{
    struct hob_err err;
    if (!strstr(v->config_json, "\"docker\"")) /* spares parsing thousands */
        return;
    hob_auto_json json_t *j = hob_json_parse(hob_str(v->config_json), "a configuration", &err);
    const char *engine = json_string_value(json_object_get(j, "engine"));
    const char *id = json_string_value(json_object_get(j, "image_id"));
    const char *name = json_string_value(json_object_get(j, "image"));
    const char *runtime = json_string_value(json_object_get(j, "runtime"));
    if (!engine || strcmp(engine, "docker") != 0)
        return;
    if (id && strlen(id) > 7 + SHORT_CHARS) /* behind "sha256:" */
        add_word(w, 0, id + 7, SHORT_CHARS, "");
    else if (name)
        add_word(w, '=', name, strlen(name), has_tag(name) ? "" : ":latest");
    else if (runtime)
        add_word(w, '@', runtime, strlen(runtime), "");
}

static void add_versions(struct words *w, struct catalog *c)
{
    for (const struct app *a = catalog_apps(c); a; a = a->hh.next)
        for (const struct function *f = a->functions; f; f = f->hh.next)
            for (const struct version *v = f->versions; v; v = v->older)
                add_version(w, v);
}

/* Returns owned; NULL with err when it is more than the node could be told. */
static char *needed(struct catalog *c, struct hob_err *err)
{
    struct words w = {0};
    struct word *one, *next;
    hob_buf_init(&w.out, KEEP_BYTES_MAX);
    add_versions(&w, c);
    HASH_ITER(hh, w.all, one, next)
    {
        HASH_DEL(w.all, one);
        free(one);
    }
    char *text = w.is_full ? NULL : hob_strndup(w.out.n ? hob_buf_data(&w.out) : "", w.out.n);
    hob_buf_done(&w.out);
    if (!text)
        (void)hob_fail(err, HOB_E_TOO_LARGE,
                       "more images are needed than could be named: nothing is removed");
    return text;
}

/* ---- door ---- */

struct refusal { /* told on the next turn of the loop */
    uv_timer_t timer;
    struct hob_err err;
    node_engine_cb cb;
    void *ctx;
};

static void on_refusal_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_refusal(uv_timer_t *t)
{
    struct refusal *r = t->data;
    r->cb(r->ctx, (struct hob_str){"", 0}, &r->err);
    uv_close((uv_handle_t *)t, on_refusal_closed);
}

static void refuse(struct image_gc *g, const struct hob_err *err, node_engine_cb cb, void *ctx)
{
    struct refusal *r = hob_new(struct refusal);
    *r = (struct refusal){.err = *err, .cb = cb, .ctx = ctx};
    HOB_ASSERT(uv_timer_init(g->o.loop, &r->timer) == 0);
    r->timer.data = r;
    HOB_ASSERT(uv_timer_start(&r->timer, on_refusal, 0, 0) == 0);
}

void image_gc_run(struct image_gc *g, bool is_dry, node_engine_cb cb, void *ctx)
{
    struct hob_err err;
    hob_auto_free char *keep = NULL;
    if (!deployer_is_idle(g->o.deployer)) {
        (void)hob_fail_reason(
            &err, HOB_E_CONFLICT, "deploy_in_progress",
            "a deploy is under way: its images are not to be told from others yet; try again");
        refuse(g, &err, cb, ctx);
    } else if (!(keep = needed(g->o.catalog, &err))) {
        refuse(g, &err, cb, ctx);
    } else {
        (void)node_engine_ask(g->o.nodes,
                              &(struct node_engine_question){
                                  .verb = "gc", .name = "docker", .keep = keep, .dry = is_dry ? "1" : "0"},
                              cb, ctx);
    }
}

static void on_timer(uv_timer_t *timer);

/* The node logs what it removed; a node without Docker is no news. */
static void on_collected(void *ctx, struct hob_str json, const struct hob_err *err)
{
    (void)ctx, (void)json;
    if (err && err->code == HOB_E_TOO_LARGE)
        hob_log(HOB_LOG_WARN, "image.gc", "%s", err->msg);
}

static void arm(struct image_gc *g)
{
    uint64_t ms = (uint64_t)g->o.every_s * 1000u;
    bool is_soon = !deployer_is_idle(g->o.deployer) && ms > AGAIN_MS;
    HOB_ASSERT(uv_timer_start(&g->timer, on_timer, is_soon ? AGAIN_MS : ms, 0) == 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct image_gc *g = timer->data;
    arm(g);
    if (deployer_is_idle(g->o.deployer))
        image_gc_run(g, false, on_collected, NULL);
}

struct image_gc *image_gc_new(const struct image_gc_options *o)
{
    struct image_gc *g = hob_new(struct image_gc);
    g->o = *o;
    HOB_ASSERT(uv_timer_init(o->loop, &g->timer) == 0);
    g->timer.data = g;
    if (o->every_s)
        arm(g);
    return g;
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

void image_gc_close(struct image_gc *g)
{
    uv_close((uv_handle_t *)&g->timer, on_closed);
}
