#include "bindings/apps.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/seal.h"
#include "bindings/apps_priv.h"
#include "store/rows.h"

enum { HASH_BYTES = crypto_hash_sha256_BYTES, ID_CHARS_MAX = 128, KEY_CHARS_MIN = 8, KEY_CHARS_MAX = 128 };
enum { SETTINGS_BYTES_MAX = 65536, KEY_BYTES_MADE = 32 };

const char *const backend_key_names[BACKEND_KEYS_] = {
    "master", "read-only-master", "maintenance", "client", "javascript", "rest", "dotnet", "webhook"};

struct backend_app {
    char *name, *application_id;
    int64_t row_id, created_ms;
    bool has_key[BACKEND_KEYS_];
    unsigned char hashes[BACKEND_KEYS_][HASH_BYTES];
    struct hob_buf webhook;          /* sealed */
    json_t *settings;                /* what was set; never changed in place: jobs hold references */
    const json_t *values[SETTINGS_]; /* into settings, or the default */
    UT_hash_handle by_name, by_id;
};

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

struct backend_apps {
    struct store *store;
    struct hob_seal *seal;
    struct backend_app *by_name, *by_id;
    struct hob_list changes;
    bool is_changing;
};

/* --- one app ------------------------------------------------------------------------------------------------------ */

static void app_free(struct backend_app *app)
{
    if (!app)
        return;
    json_decref(app->settings);
    hob_buf_done(&app->webhook);
    free(app->name);
    free(app->application_id);
    free(app);
}

static void settle_values(struct backend_app *app)
{
    for (unsigned i = 0; i < SETTINGS_; i++) {
        const json_t *set = json_object_get(app->settings, backend_setting_name((enum backend_setting)i));
        app->values[i] = set ? set : setting_default((enum backend_setting)i);
    }
}

static struct backend_app *app_new(const char *name, const char *application_id)
{
    struct backend_app *app = hob_new(struct backend_app);
    app->name = hob_strdup(name);
    app->application_id = hob_strdup(application_id);
    app->settings = json_object();
    hob_buf_init(&app->webhook, 4096);
    settle_values(app);
    return app;
}

static void set_hash(struct backend_app *app, enum backend_key which, const char *key)
{
    app->has_key[which] = key != NULL;
    if (key)
        (void)crypto_hash_sha256(app->hashes[which], (const unsigned char *)key, strlen(key));
}

static void enter(struct backend_apps *a, struct backend_app *app)
{
    HASH_ADD_KEYPTR(by_name, a->by_name, app->name, strlen(app->name), app);
    HASH_ADD_KEYPTR(by_id, a->by_id, app->application_id, strlen(app->application_id), app);
}

static void leave(struct backend_apps *a, struct backend_app *app)
{
    HASH_DELETE(by_name, a->by_name, app);
    HASH_DELETE(by_id, a->by_id, app);
    app_free(app);
}

static struct backend_app *find(const struct backend_apps *a, const char *name)
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
    unsigned char hash[HASH_BYTES];
    (void)crypto_hash_sha256(hash, (const unsigned char *)key.at, key.n);
    return app->has_key[which] && sodium_memcmp(hash, app->hashes[which], HASH_BYTES) == 0;
}

bool backend_app_needs_client_key(const struct backend_app *app)
{
    return app->has_key[BACKEND_KEY_CLIENT] || app->has_key[BACKEND_KEY_JAVASCRIPT] ||
           app->has_key[BACKEND_KEY_REST] || app->has_key[BACKEND_KEY_DOTNET];
}

static char *webhook_label(const char *name)
{
    return hob_asprintf("backend:%s/webhook", name);
}

enum hob_code backend_app_webhook_key(const struct backend_apps *a, const struct backend_app *app,
                                      struct hob_buf *out, struct hob_err *err)
{
    if (!app->has_key[BACKEND_KEY_WEBHOOK])
        return HOB_OK;
    hob_auto_free char *label = webhook_label(app->name);
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

void backend_app_settings(const struct backend_app *app, struct hob_jw *w)
{
    for (unsigned i = 0; i < SETTINGS_; i++) {
        hob_jw_key(w, backend_setting_name((enum backend_setting)i));
        hob_jw_json(w, app->values[i]);
    }
}

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
    settle_values(c->made);
    return HOB_OK;
}

static enum hob_code take_key(struct change *c, enum backend_key which, const char *key, struct hob_err *err)
{
    if (key && check_key(which, key, err) != HOB_OK)
        return err->code;
    set_hash(c->made, which, key);
    if (which != BACKEND_KEY_WEBHOOK)
        return HOB_OK;
    hob_buf_clear(&c->made->webhook);
    hob_auto_free char *label = webhook_label(c->name);
    if (key && hob_seal_shut(c->apps->seal, label, hob_str(key), &c->made->webhook) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the webhook key does not fit");
    return HOB_OK;
}

static enum hob_code judge_create(struct change *c, struct hob_err *err)
{
    if (find(c->apps, c->name))
        return hob_fail(err, HOB_E_CONFLICT, "app '%s' has a backend already", c->name);
    if (backend_app_by_id(c->apps, hob_str(c->application_id)))
        return hob_fail(err, HOB_E_CONFLICT, "application id '%.64s' is another app's", c->application_id);
    if (check_application_id(c->application_id, err) != HOB_OK)
        return err->code;
    c->made = app_new(c->name, c->application_id);
    c->made->created_ms = hob_utc_ms();
    for (unsigned i = 0; i < BACKEND_KEYS_; i++)
        if (c->keys[i] && take_key(c, (enum backend_key)i, c->keys[i], err) != HOB_OK)
            return err->code;
    return take_settings(c, c->made->settings, err);
}

/* A copy of what stands, to be changed. */
static enum hob_code judge_change(struct change *c, struct hob_err *err)
{
    const struct backend_app *now = find(c->apps, c->name);
    if (!now)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_backend",
                               "app '%s' has no backend: `hob app create %s` makes one", c->name, c->name);
    c->made = app_new(now->name, now->application_id);
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
        char hex[2 * HASH_BYTES + 1];
        hob_hex(hex, c->made->hashes[i], HASH_BYTES);
        if (c->made->has_key[i])
            hob_jw_kcstr(&keys, backend_key_names[i], hex);
    }
    hob_jw_object_end(&keys);
    hob_jw_init(&settings, &c->settings_json);
    hob_jw_json(&settings, c->made->settings);
    if (hob_jw_end(&keys, err) != HOB_OK || hob_jw_end(&settings, err) != HOB_OK ||
        hob_buf_add(&c->keys_json, "", 1) != HOB_OK || hob_buf_add(&c->settings_json, "", 1) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the settings of app '%s' have more than %d bytes", c->name,
                        SETTINGS_BYTES_MAX);
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
    app_free(c->made);
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
    struct backend_app *old = find(c->apps, c->name);
    if (old)
        leave(c->apps, old);
    if (c->kind == CHANGE_REMOVE)
        return;
    if (c->kind == CHANGE_CREATE)
        c->made->row_id = c->app_row.id;
    enter(c->apps, c->made);
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
    hob_buf_init(&c->keys_json, SETTINGS_BYTES_MAX);
    hob_buf_init(&c->settings_json, SETTINGS_BYTES_MAX);
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

/* --- loading ------------------------------------------------------------------------------------------------------ */

static enum hob_code read_hash(struct backend_app *app, enum backend_key which, const char *hex,
                               struct hob_err *err)
{
    size_t n = 0;
    if (!hex)
        return HOB_OK;
    if (sodium_hex2bin(app->hashes[which], HASH_BYTES, hex, strlen(hex), NULL, &n, NULL) != 0 ||
        n != HASH_BYTES)
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
    settle_values(app);
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
    struct backend_app *app = app_new(row->app, row->application_id);
    if (fill(app, row, err) != HOB_OK) {
        app_free(app);
        return err->code;
    }
    enter(ctx, app);
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
    leave(a, app);
    hob_seal_free(a->seal);
    free(a);
}
