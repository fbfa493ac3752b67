#include "bindings/cloud/cloud.h"

#include <stdlib.h>

#include "base/log.h"
#include "bindings/cloud/cloud_priv.h"
#include "bindings/cloud/webhook.h"
#include "store/rows.h"

#include "base/banned.h"

enum { NAME_BYTES = 256 }; /* of a function, or a trigger and its class */

/* --- apps and entries --- */

static struct cloud_app *app_find(const struct cloud *c, const char *name)
{
    struct cloud_app *a;
    HASH_FIND_STR(c->apps, name, a);
    return a;
}

struct cloud_app *cloud_app_ensure(struct cloud *c, const char *name)
{
    struct cloud_app *a = app_find(c, name);
    if (a)
        return a;
    a = hob_new(struct cloud_app);
    a->name = hob_strdup(name);
    HASH_ADD_KEYPTR(hh, c->apps, a->name, strlen(a->name), a);
    return a;
}

static size_t key_of(char key[NAME_BYTES + 1], enum cloud_kind kind, struct hob_str name)
{
    static const char letters[CLOUD_KINDS_] = {'f', 'j', 't'};
    if (name.n == 0 || name.n >= NAME_BYTES)
        return 0;
    key[0] = letters[kind];
    memcpy(key + 1, name.at, name.n);
    return name.n + 1;
}

static struct cloud_entry *entry_by_key(const struct cloud_app *a, struct hob_str key)
{
    struct cloud_entry *e = NULL;
    if (a && key.n)
        HASH_FIND(hh, a->entries, key.at, key.n, e);
    return e;
}

static struct cloud_entry *entry_find(const struct cloud_app *a, enum cloud_kind kind, struct hob_str name)
{
    char key[NAME_BYTES + 1];
    return entry_by_key(a, hob_str_n(key, key_of(key, kind, name)));
}

static struct cloud_entry *entry_add(struct cloud_app *a, struct hob_str key)
{
    struct cloud_entry *e = hob_new(struct cloud_entry);
    e->key = hob_strndup(key.at, key.n);
    HASH_ADD_KEYPTR(hh, a->entries, e->key, key.n, e);
    return e;
}

static struct cloud_entry *entry_ensure(struct cloud_app *a, enum cloud_kind kind, struct hob_str name)
{
    char key[NAME_BYTES + 1];
    size_t n = key_of(key, kind, name);
    struct cloud_entry *e = entry_find(a, kind, name);
    return e || !n ? e : entry_add(a, hob_str_n(key, n));
}

static void entry_free(struct cloud_app *a, struct cloud_entry *e)
{
    HASH_DEL(a->entries, e); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    free(e->key);
    free(e->function);
    free(e->url);
    free(e);
}

static void source_free(struct cloud_source *s)
{
    free(s->function);
    json_decref(s->registered);
    free(s);
}

static void app_free(struct cloud *c, struct cloud_app *a)
{
    struct cloud_entry *e = NULL, *tmp = NULL;
    HASH_ITER(hh, a->entries, e, tmp)
    {
        entry_free(a, e);
    }
    while (a->sources) {
        struct cloud_source *s = a->sources;
        a->sources = s->next;
        source_free(s);
    }
    HASH_DEL(c->apps, a); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    free(a->name);
    free(a);
}

/* --- what the functions register --- */

static void register_names(struct cloud_app *a, const struct cloud_source *s, enum cloud_kind kind,
                           const char *member)
{
    const json_t *names = json_object_get(s->registered, member);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct cloud_entry *e = name ? entry_ensure(a, kind, hob_str(name)) : NULL;
        if (!e)
            continue;
        if (e->function && strcmp(e->function, s->function) != 0)
            hob_log(HOB_LOG_WARN, "cloud.twice", "app=%s name=\"%.100s\" function=%s over=%s", a->name, name,
                    s->function, e->function);
        free(e->function);
        e->function = hob_strdup(s->function);
    }
}

static void rebuild(struct cloud_app *a)
{
    struct cloud_entry *e = NULL, *tmp = NULL;
    HASH_ITER(hh, a->entries, e, tmp)
    {
        free(hob_steal(&e->function));
    }
    for (const struct cloud_source *s = a->sources; s; s = s->next) {
        register_names(a, s, CLOUD_FUNCTION, "functions");
        register_names(a, s, CLOUD_JOB, "jobs");
        register_names(a, s, CLOUD_TRIGGER, "triggers");
    }
    HASH_ITER(hh, a->entries, e, tmp)
    {
        if (!e->function && !e->url)
            entry_free(a, e);
    }
}

void cloud_set_function(struct cloud *c, const char *app, const char *function, const json_t *registered,
                        int64_t order)
{
    struct cloud_app *a = registered ? cloud_app_ensure(c, app) : app_find(c, app);
    if (!a)
        return;
    struct cloud_source **at = &a->sources;
    while (*at && strcmp((*at)->function, function) != 0)
        at = &(*at)->next;
    if (*at) {
        struct cloud_source *old = *at;
        *at = old->next;
        source_free(old);
    }
    if (registered) {
        struct cloud_source *s = hob_new(struct cloud_source);
        *s = (struct cloud_source){
            .function = hob_strdup(function), .order = order, .registered = json_deep_copy(registered)};
        for (at = &a->sources; *at && (*at)->order <= order;)
            at = &(*at)->next;
        s->next = *at;
        *at = s;
    }
    rebuild(a);
}

/* --- webhooks: durable first, then here --- */

static void put_hook(struct cloud *c, const char *app, struct hob_str key, const char *url)
{
    struct cloud_app *a = cloud_app_ensure(c, app);
    struct cloud_entry *e = entry_by_key(a, key);
    if (!e && !url)
        return;
    if (!e)
        e = entry_add(a, key);
    free(e->url);
    e->url = url ? hob_strdup(url) : NULL;
    if (!e->function && !e->url)
        entry_free(a, e);
}

static void drop_hooks(struct cloud *c, const char *app)
{
    struct cloud_app *a = app_find(c, app);
    struct cloud_entry *e = NULL, *tmp = NULL;
    if (!a)
        return;
    HASH_ITER(hh, a->entries, e, tmp)
    {
        free(hob_steal(&e->url));
        if (!e->function)
            entry_free(a, e);
    }
}

struct hook_change { /* key NULL: all of the app */
    struct cloud *cloud;
    char *app, *key, *url;
    cloud_hook_cb done;
    void *ctx;
};

static enum hob_code hook_work(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct hook_change *h = ctx;
    struct hook_row row = {.app = h->app, .name = h->key, .url = h->url};
    return h->url && h->key ? store_hook_put(tx, &row, err) : store_hook_remove(tx, h->app, h->key, err);
}

static void hook_done(void *ctx, const struct hob_err *err)
{
    struct hook_change *h = ctx;
    if (!err && h->key)
        put_hook(h->cloud, h->app, hob_str(h->key), h->url);
    else if (!err)
        drop_hooks(h->cloud, h->app);
    h->done(h->ctx, err);
    free(h->app);
    free(h->key);
    free(h->url);
    free(h);
}

void cloud_set_hook(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name,
                    const char *url, cloud_hook_cb done, void *ctx)
{
    char key[NAME_BYTES + 1];
    struct hook_change *h = hob_new(struct hook_change);
    size_t n = key_of(key, kind, name);
    HOB_ASSERT(n > 0); /* the route judged the name */
    *h = (struct hook_change){.cloud = c,
                              .app = hob_strdup(app),
                              .key = hob_strndup(key, n),
                              .url = url ? hob_strdup(url) : NULL,
                              .done = done,
                              .ctx = ctx};
    store_write(c->o.store, hook_work, hook_done, h);
}

void cloud_drop_hooks(struct cloud *c, const char *app, cloud_hook_cb done, void *ctx)
{
    struct hook_change *h = hob_new(struct hook_change);
    *h = (struct hook_change){.cloud = c, .app = hob_strdup(app), .done = done, .ctx = ctx};
    store_write(c->o.store, hook_work, hook_done, h);
}

static enum hob_code on_hook(void *ctx, const struct hook_row *row, struct hob_err *err)
{
    (void)err;
    put_hook(ctx, row->app, hob_str(row->name), row->url);
    return HOB_OK;
}

static enum hob_code load_hooks(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_hook_each(tx, on_hook, ctx, err);
}

/* --- asking --- */

static struct cloud_target target_of(const struct cloud_entry *e)
{
    return (struct cloud_target){.function = e->url ? NULL : e->function, .url = e->url};
}

bool cloud_find(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name,
                struct cloud_target *ret_target)
{
    const struct cloud_entry *e = entry_find(app_find(c, app), kind, name);
    if (e)
        *ret_target = target_of(e);
    return e != NULL;
}

const char *cloud_hook(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name)
{
    const struct cloud_entry *e = entry_find(app_find(c, app), kind, name);
    return e ? e->url : NULL;
}

static int by_key(const struct cloud_entry *a, const struct cloud_entry *b)
{
    return strcmp(a->key, b->key);
}

bool cloud_has_some(struct cloud *c, const char *app)
{
    const struct cloud_app *a = app_find(c, app);
    return a && a->entries;
}

void cloud_each(struct cloud *c, const char *app, enum cloud_kind kind, cloud_each_cb cb, void *ctx)
{
    char first[NAME_BYTES + 1];
    struct cloud_app *a = app_find(c, app);
    if (!a)
        return;
    (void)key_of(first, kind, HOB_STR("x"));
    HASH_SORT(a->entries, by_key);
    struct cloud_entry *e = NULL, *tmp = NULL;
    HASH_ITER(hh, a->entries, e, tmp)
    {
        struct cloud_target t = target_of(e);
        if (e->key[0] == first[0])
            cb(ctx, hob_str(e->key + 1), &t);
    }
}

/* --- life --- */

static void free_all(struct cloud *c)
{
    struct cloud_app *a = NULL, *tmp = NULL;
    HASH_ITER(hh, c->apps, a, tmp)
    {
        app_free(c, a);
    }
    free(c);
}

struct cloud *cloud_new(const struct backend_options *o, struct backend *b, struct hob_err *err)
{
    struct cloud *c = hob_new(struct cloud);
    c->o = *o;
    c->backend = b;
    if (store_read_now(o->store, load_hooks, c, err) != HOB_OK) {
        free_all(c);
        return NULL;
    }
    c->webhooks = webhooks_new(o->loop, o->may_reach_private);
    return c;
}

static void on_webhooks_closed(void *ctx)
{
    struct cloud *c = ctx;
    void (*closed)(void *) = c->closed;
    void *closed_ctx = c->closed_ctx;
    free_all(c);
    closed(closed_ctx);
}

void cloud_stop(struct cloud *c)
{
    webhooks_cancel(c->webhooks);
}

void cloud_close(struct cloud *c, void (*closed)(void *ctx), void *ctx)
{
    c->closed = closed;
    c->closed_ctx = ctx;
    webhooks_close(c->webhooks, on_webhooks_closed, c);
}
