#include "bindings/apps_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/rows.h"

const char *const backend_key_names[BACKEND_KEYS_] = {
    "master", "read-only-master", "maintenance", "client", "javascript", "rest", "dotnet", "webhook"};

/* --- one app ------------------------------------------------------------------------------------------------------ */

void backend_app_free(struct backend_app *app)
{
    if (!app)
        return;
    json_decref(app->settings);
    hob_buf_done(&app->webhook);
    free(app->name);
    free(app->application_id);
    free(app);
}

void backend_app_settle(struct backend_app *app)
{
    for (unsigned i = 0; i < SETTINGS_; i++) {
        const json_t *set = json_object_get(app->settings, backend_setting_name((enum backend_setting)i));
        app->values[i] = set ? set : setting_default((enum backend_setting)i);
    }
}

struct backend_app *backend_app_new_empty(const char *name, const char *application_id)
{
    struct backend_app *app = hob_new(struct backend_app);
    app->name = hob_strdup(name);
    app->application_id = hob_strdup(application_id);
    app->settings = json_object();
    hob_buf_init(&app->webhook, APP_WEBHOOK_BYTES_MAX);
    backend_app_settle(app);
    return app;
}

void backend_app_set_hash(struct backend_app *app, enum backend_key which, const char *key)
{
    app->has_key[which] = key != NULL;
    if (key)
        (void)crypto_hash_sha256(app->hashes[which], (const unsigned char *)key, strlen(key));
}

void backend_apps_enter(struct backend_apps *a, struct backend_app *app)
{
    HASH_ADD_KEYPTR(by_name, a->by_name, app->name, strlen(app->name), app);
    HASH_ADD_KEYPTR(by_id, a->by_id, app->application_id, strlen(app->application_id), app);
}

void backend_apps_leave(struct backend_apps *a, struct backend_app *app)
{
    HASH_DELETE(by_name, a->by_name, app);
    HASH_DELETE(by_id, a->by_id, app);
    backend_app_free(app);
}

struct backend_app *backend_apps_find(const struct backend_apps *a, const char *name)
{
    struct backend_app *app = NULL;
    HASH_FIND(by_name, a->by_name, name, strlen(name), app);
    return app;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

const struct backend_app *backend_app_by_name(const struct backend_apps *a, struct hob_str name)
{
    struct backend_app *app = NULL;
    HASH_FIND(by_name, a->by_name, name.at, name.n, app);
    return app;
}

const struct backend_app *backend_app_by_id(const struct backend_apps *a, struct hob_str application_id)
{
    struct backend_app *app = NULL;
    HASH_FIND(by_id, a->by_id, application_id.at, application_id.n, app);
    return app;
}

static int order_by_name(const void *a, const void *b)
{
    const struct backend_app *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void backend_app_each(const struct backend_apps *a, backend_app_cb cb, void *ctx)
{
    size_t n = 0;
    hob_auto_free const struct backend_app **list =
        hob_new_n(const struct backend_app *, HASH_CNT(by_name, a->by_name) + 1);
    for (const struct backend_app *app = a->by_name; app; app = app->by_name.next)
        list[n++] = app;
    qsort(list, n, sizeof(struct backend_app *), order_by_name);
    for (size_t i = 0; i < n; i++)
        cb(ctx, list[i]);
}

const char *backend_app_name(const struct backend_app *app)
{
    return app->name;
}

const char *backend_app_application_id(const struct backend_app *app)
{
    return app->application_id;
}

int64_t backend_app_created_ms(const struct backend_app *app)
{
    return app->created_ms;
}

bool backend_app_has_key(const struct backend_app *app, enum backend_key which)
{
    return app->has_key[which];
}

bool backend_app_check_key(const struct backend_app *app, enum backend_key which, struct hob_str key)
{
    unsigned char hash[APP_HASH_BYTES];
    (void)crypto_hash_sha256(hash, (const unsigned char *)key.at, key.n);
    return app->has_key[which] && sodium_memcmp(hash, app->hashes[which], APP_HASH_BYTES) == 0;
}

bool backend_app_needs_client_key(const struct backend_app *app)
{
    return app->has_key[BACKEND_KEY_CLIENT] || app->has_key[BACKEND_KEY_JAVASCRIPT] ||
           app->has_key[BACKEND_KEY_REST] || app->has_key[BACKEND_KEY_DOTNET];
}

char *backend_webhook_label(const char *name)
{
    return hob_asprintf("backend:%s/webhook", name);
}

enum hob_code backend_app_webhook_key(const struct backend_apps *a, const struct backend_app *app,
                                      struct hob_buf *out, struct hob_err *err)
{
    if (!app->has_key[BACKEND_KEY_WEBHOOK])
        return HOB_OK;
    hob_auto_free char *label = backend_webhook_label(app->name);
    return hob_seal_open(a->seal, label, hob_buf_str(&app->webhook), out, err);
}

bool backend_app_bool(const struct backend_app *app, enum backend_setting which)
{
    return json_is_true(app->values[which]);
}

int64_t backend_app_int(const struct backend_app *app, enum backend_setting which)
{
    return (int64_t)json_number_value(app->values[which]);
}

const char *backend_app_text(const struct backend_app *app, enum backend_setting which)
{
    const char *text = json_string_value(app->values[which]);
    return text ? text : "";
}

const json_t *backend_app_json(const struct backend_app *app, enum backend_setting which)
{
    return app->values[which];
}

const json_t *backend_app_chosen(const struct backend_app *app)
{
    return app->settings;
}

void backend_app_settings(const struct backend_app *app, struct hob_jw *w)
{
    for (unsigned i = 0; i < SETTINGS_; i++) {
        hob_jw_key(w, backend_setting_name((enum backend_setting)i));
        hob_jw_json(w, app->values[i]);
    }
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static enum hob_code read_hash(struct backend_app *app, enum backend_key which, const char *hex,
                               struct hob_err *err)
{
    size_t n = 0;
    if (!hex)
        return HOB_OK;
    if (sodium_hex2bin(app->hashes[which], APP_HASH_BYTES, hex, strlen(hex), NULL, &n, NULL) != 0 ||
        n != APP_HASH_BYTES)
        return hob_fail(err, HOB_E_INTERNAL, "the store's %s key of app '%s' is damaged",
                        backend_key_names[which], app->name);
    app->has_key[which] = true;
    return HOB_OK;
}

static enum hob_code fill(struct backend_app *app, const struct backend_row *row, struct hob_err *err)
{
    hob_auto_json json_t *keys = hob_json_parse(hob_str(row->keys_json), "the keys of an app", err);
    json_t *settings = hob_json_parse(hob_str(row->settings_json), "the settings of an app", err);
    if (!keys || !settings) {
        json_decref(settings);
        return hob_err_wrap(err, "app '%s' in the store", row->app);
    }
    json_decref(app->settings);
    app->settings = settings;
    backend_app_settle(app);
    app->row_id = row->app_id;
    app->created_ms = row->created_ms;
    for (unsigned i = 0; i < BACKEND_KEYS_; i++)
        if (read_hash(app, (enum backend_key)i,
                      json_string_value(json_object_get(keys, backend_key_names[i])), err) != HOB_OK)
            return err->code;
    if (hob_buf_add_str(&app->webhook, row->webhook_key) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "the store's webhook key of app '%s' is damaged", app->name);
    return HOB_OK;
}

static enum hob_code on_row(void *ctx, const struct backend_row *row, struct hob_err *err)
{
    struct backend_app *app = backend_app_new_empty(row->app, row->application_id);
    if (fill(app, row, err) != HOB_OK) {
        backend_app_free(app);
        return err->code;
    }
    backend_apps_enter(ctx, app);
    return HOB_OK;
}

static enum hob_code load(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_backend_each(tx, on_row, ctx, err);
}

struct backend_apps *backend_apps_load(struct store *s, const char *key_path, struct hob_err *err)
{
    struct backend_apps *a = hob_new(struct backend_apps);
    a->store = s;
    hob_list_init(&a->changes);
    if ((a->seal = hob_seal_load(key_path, true, err)) && store_read_now(s, load, a, err) == HOB_OK)
        return a;
    backend_apps_free(a);
    return NULL;
}

void backend_apps_free(struct backend_apps *a)
{
    struct backend_app *app, *next;
    if (!a)
        return;
    HASH_ITER(by_name, a->by_name, app, next)
    backend_apps_leave(a, app);
    hob_seal_free(a->seal);
    free(a);
}
