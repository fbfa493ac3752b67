/* Changes of the registry. Flow of each: queued -> judged -> in the store -> in the maps -> told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "bindings/apps_priv.h"
#include "store/rows.h"

enum { ID_CHARS_MAX = 128, KEY_CHARS_MIN = 8, KEY_CHARS_MAX = 128, KEY_BYTES_MADE = 32 };

/* One change on its way. They run one after another, each from what the one before left. */
struct change {
    struct hob_node node;
    struct backend_apps *apps;
    enum { CHANGE_CREATE, CHANGE_SETTINGS, CHANGE_KEY, CHANGE_REMOVE } kind;
    char *name, *application_id;
    char *keys[BACKEND_KEYS_]; /* to be set */
    enum backend_key which;    /* of CHANGE_KEY; keys[which] NULL: removed */
    json_t *settings;
    struct backend_app *made;                /* what will stand when the store has taken it */
    struct hob_buf keys_json, settings_json; /* texts with NUL */
    struct app_row app_row;
    struct hob_err err;
    backend_app_made_cb made_cb;
    backend_app_done_cb done;
    void *ctx;
};

/* --- judging a change --------------------------------------------------------------------------------------------- */

static enum hob_code check_key(enum backend_key which, const char *key, struct hob_err *err)
{
    size_t n = strlen(key);
    bool is_visible = true;
    for (const char *c = key; *c; c++)
        is_visible = is_visible && *c > ' ' && *c < 0x7f;
    if (n < KEY_CHARS_MIN || n > KEY_CHARS_MAX || !is_visible)
        return hob_fail(err, HOB_E_INVALID,
                        "the %s key: use %d to %d visible ASCII characters without blanks",
                        backend_key_names[which], KEY_CHARS_MIN, KEY_CHARS_MAX);
    return HOB_OK;
}

static enum hob_code check_application_id(const char *id, struct hob_err *err)
{
    size_t n = strlen(id);
    bool is_good = n >= 1 && n <= ID_CHARS_MAX;
    for (const char *c = id; *c; c++)
        is_good = is_good && ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                              (*c >= 'A' && *c <= 'Z') || strchr("-_.", *c));
    if (!is_good)
        return hob_fail(err, HOB_E_INVALID,
                        "application id '%.64s': use a-z, A-Z, 0-9, '-', '_' and '.', 1 to %d characters", id,
                        ID_CHARS_MAX);
    return HOB_OK;
}

/* What was set before, with `patch` over it: owned, or NULL. */
static json_t *merge_settings(const json_t *before, const json_t *patch, struct hob_err *err)
{
    json_t *merged = json_copy((json_t *)(uintptr_t)before);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, name, value)
    {
        enum backend_setting which = setting_find(name, err);
        if (which == SETTINGS_ || (!json_is_null(value) && setting_check(which, value, err) != HOB_OK)) {
            json_decref(merged);
            return NULL;
        }
        if (json_is_null(value))
            (void)json_object_del(merged, name);
        else
            (void)json_object_set_new(merged, name, json_deep_copy(value));
    }
    return merged;
}

static enum hob_code take_settings(struct change *c, const json_t *before, struct hob_err *err)
{
    json_t *merged = merge_settings(before, c->settings, err);
    if (!merged)
        return err->code;
    json_decref(c->made->settings);
    c->made->settings = merged;
    backend_app_settle(c->made);
    return HOB_OK;
}

static enum hob_code take_key(struct change *c, enum backend_key which, const char *key, struct hob_err *err)
{
    if (key && check_key(which, key, err) != HOB_OK)
        return err->code;
    backend_app_set_hash(c->made, which, key);
    if (which != BACKEND_KEY_WEBHOOK)
        return HOB_OK;
    hob_buf_clear(&c->made->webhook);
    hob_auto_free char *label = backend_webhook_label(c->name);
    if (key && hob_seal_shut(c->apps->seal, label, hob_str(key), &c->made->webhook) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the webhook key does not fit");
    return HOB_OK;
}

static enum hob_code judge_create(struct change *c, struct hob_err *err)
{
    if (backend_apps_find(c->apps, c->name))
        return hob_fail(err, HOB_E_CONFLICT, "app '%s' has a backend already", c->name);
    if (backend_app_by_id(c->apps, hob_str(c->application_id)))
        return hob_fail(err, HOB_E_CONFLICT, "application id '%.64s' is another app's", c->application_id);
    if (check_application_id(c->application_id, err) != HOB_OK)
        return err->code;
    c->made = backend_app_new_empty(c->name, c->application_id);
    c->made->created_ms = hob_utc_ms();
    for (unsigned i = 0; i < BACKEND_KEYS_; i++)
        if (c->keys[i] && take_key(c, (enum backend_key)i, c->keys[i], err) != HOB_OK)
            return err->code;
    return take_settings(c, c->made->settings, err);
}

/* A copy of what stands, to be changed. */
static enum hob_code judge_change(struct change *c, struct hob_err *err)
{
    const struct backend_app *now = backend_apps_find(c->apps, c->name);
    if (!now)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_backend",
                               "app '%s' has no backend: `hob app create %s` makes one", c->name, c->name);
    c->made = backend_app_new_empty(now->name, now->application_id);
    c->made->row_id = now->row_id;
    c->made->created_ms = now->created_ms;
    memcpy(c->made->has_key, now->has_key, sizeof now->has_key);
    memcpy(c->made->hashes, now->hashes, sizeof now->hashes);
    if (hob_buf_add_str(&c->made->webhook, hob_buf_str(&now->webhook)) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "the webhook key of app '%s' is too large", c->name);
    if (c->kind == CHANGE_KEY && c->which == BACKEND_KEY_MASTER && !c->keys[c->which])
        return hob_fail(err, HOB_E_INVALID, "the master key cannot be removed; a new one replaces it");
    if (c->kind == CHANGE_KEY && take_key(c, c->which, c->keys[c->which], err) != HOB_OK)
        return err->code;
    return take_settings(c, now->settings, err);
}

/* --- into the store ----------------------------------------------------------------------------------------------- */

static enum hob_code write_texts(struct change *c, struct hob_err *err)
{
    struct hob_jw keys, settings;
    hob_jw_init(&keys, &c->keys_json);
    hob_jw_object(&keys);
    for (unsigned i = 0; i < BACKEND_KEYS_; i++) {
        char hex[2 * APP_HASH_BYTES + 1];
        hob_hex(hex, c->made->hashes[i], APP_HASH_BYTES);
        if (c->made->has_key[i])
            hob_jw_kcstr(&keys, backend_key_names[i], hex);
    }
    hob_jw_object_end(&keys);
    hob_jw_init(&settings, &c->settings_json);
    hob_jw_json(&settings, c->made->settings);
    if (hob_jw_end(&keys, err) != HOB_OK || hob_jw_end(&settings, err) != HOB_OK ||
        hob_buf_add(&c->keys_json, "", 1) != HOB_OK || hob_buf_add(&c->settings_json, "", 1) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the settings of app '%s' have more than %d bytes", c->name,
                        APP_SETTINGS_BYTES_MAX);
    return HOB_OK;
}

static enum hob_code work(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct change *c = ctx;
    struct backend_row row = {.app = c->name};
    if (c->kind == CHANGE_REMOVE)
        return store_backend_remove(tx, c->made->row_id, err);
    row.application_id = c->application_id;
    row.keys_json = hob_buf_data(&c->keys_json);
    row.settings_json = hob_buf_data(&c->settings_json);
    row.webhook_key = hob_buf_str(&c->made->webhook);
    row.created_ms = c->made->created_ms;
    row.app_id = c->made->row_id;
    if (c->kind != CHANGE_CREATE)
        return store_backend_replace(tx, &row, err);
    if (store_app_ensure(tx, c->name, row.created_ms, &c->app_row, err) != HOB_OK)
        return err->code;
    row.app_id = c->app_row.id;
    return store_backend_add(tx, &row, err);
}

/* --- the flow of changes: queued -> judged -> in the store -> in the maps -> told ---------------------------------- */

static void next_change(struct backend_apps *a);

static void change_free(struct change *c)
{
    backend_app_free(c->made);
    for (unsigned i = 0; i < BACKEND_KEYS_; i++) {
        if (c->keys[i])
            sodium_memzero(c->keys[i], strlen(c->keys[i]));
        free(c->keys[i]);
    }
    json_decref(c->settings);
    hob_buf_done(&c->keys_json);
    hob_buf_done(&c->settings_json);
    free(c->name);
    free(c->application_id);
    free(c);
}

static void apply(struct change *c)
{
    struct backend_app *old = backend_apps_find(c->apps, c->name);
    if (old)
        backend_apps_leave(c->apps, old);
    if (c->kind == CHANGE_REMOVE)
        return;
    if (c->kind == CHANGE_CREATE)
        c->made->row_id = c->app_row.id;
    backend_apps_enter(c->apps, c->made);
    c->made = NULL;
}

static void tell(struct change *c, const struct hob_err *err)
{
    struct backend_app_made made = {{0}, {0}};
    if (c->done) {
        c->done(c->ctx, err);
    } else if (err) {
        c->made_cb(c->ctx, err, NULL);
    } else {
        (void)snprintf(made.application_id, sizeof made.application_id, "%s", c->application_id);
        (void)snprintf(made.master_key, sizeof made.master_key, "%s", c->keys[BACKEND_KEY_MASTER]);
        c->made_cb(c->ctx, NULL, &made);
        sodium_memzero(&made, sizeof made);
    }
}

static void on_stored(void *ctx, const struct hob_err *err)
{
    struct change *c = ctx;
    struct backend_apps *a = c->apps;
    const struct hob_err *why = c->err.code != HOB_OK ? &c->err : err;
    if (!why)
        apply(c);
    tell(c, why);
    change_free(c);
    a->is_changing = false;
    next_change(a);
}

/* A refusal takes the way through the store, too: so the callback never comes from inside. */
static enum hob_code work_refused(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)tx;
    *err = ((struct change *)ctx)->err;
    return err->code;
}

static void next_change(struct backend_apps *a)
{
    if (a->is_changing || hob_list_is_empty(&a->changes))
        return;
    struct change *c = HOB_CONTAINER_OF(hob_list_first(&a->changes), struct change, node);
    hob_list_remove(&c->node);
    a->is_changing = true;
    enum hob_code rc = c->kind == CHANGE_CREATE ? judge_create(c, &c->err) : judge_change(c, &c->err);
    if (rc == HOB_OK)
        rc = write_texts(c, &c->err);
    if (rc == HOB_OK)
        store_write(a->store, work, on_stored, c);
    else
        store_read(a->store, work_refused, on_stored, c);
}

static struct change *change_new(struct backend_apps *a, int kind, const char *name)
{
    struct change *c = hob_new(struct change);
    c->apps = a;
    c->kind = kind;
    c->name = hob_strdup(name);
    hob_buf_init(&c->keys_json, APP_SETTINGS_BYTES_MAX);
    hob_buf_init(&c->settings_json, APP_SETTINGS_BYTES_MAX);
    hob_list_push_back(&a->changes, &c->node);
    return c;
}

void backend_app_create(struct backend_apps *a, const struct backend_app_new *n, backend_app_made_cb done,
                        void *ctx)
{
    struct change *c = change_new(a, CHANGE_CREATE, n->name);
    c->application_id = hob_strdup(n->application_id ? n->application_id : n->name);
    for (unsigned i = 0; i < BACKEND_KEYS_; i++)
        c->keys[i] = n->keys[i] ? hob_strdup(n->keys[i]) : NULL;
    if (!c->keys[BACKEND_KEY_MASTER]) {
        c->keys[BACKEND_KEY_MASTER] = hob_new_n(char, 2 * KEY_BYTES_MADE + 1);
        hob_random_hex(c->keys[BACKEND_KEY_MASTER], KEY_BYTES_MADE);
    }
    c->settings = n->settings ? json_deep_copy(n->settings) : json_object();
    c->made_cb = done;
    c->ctx = ctx;
    next_change(a);
}

void backend_app_set(struct backend_apps *a, const char *name, const json_t *settings,
                     backend_app_done_cb done, void *ctx)
{
    struct change *c = change_new(a, CHANGE_SETTINGS, name);
    c->settings = json_deep_copy(settings);
    c->done = done;
    c->ctx = ctx;
    next_change(a);
}

void backend_app_set_key(struct backend_apps *a, const char *name, enum backend_key which, const char *key,
                         backend_app_done_cb done, void *ctx)
{
    struct change *c = change_new(a, CHANGE_KEY, name);
    c->which = which;
    c->keys[which] = key ? hob_strdup(key) : NULL;
    c->settings = json_object();
    c->done = done;
    c->ctx = ctx;
    next_change(a);
}

void backend_app_remove(struct backend_apps *a, const char *name, backend_app_done_cb done, void *ctx)
{
    struct change *c = change_new(a, CHANGE_REMOVE, name);
    c->settings = json_object();
    c->done = done;
    c->ctx = ctx;
    next_change(a);
}
