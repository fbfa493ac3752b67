/* Inside of the registry of apps: the structs, and the table of settings. Included in bindings/apps*.c and their tests only.
 * apps.c asks and loads, apps_change.c changes, apps_settings.c has the table. */
#pragma once

#include <sodium.h>

#include "base/list.h"
#include "base/map.h"
#include "base/seal.h"
#include "bindings/apps.h"

enum {
    APP_HASH_BYTES = crypto_hash_sha256_BYTES,
    APP_SETTINGS_BYTES_MAX = 65536,
    APP_WEBHOOK_BYTES_MAX = 4096
};

struct backend_app {
    char *name, *application_id;
    int64_t row_id, created_ms;
    bool has_key[BACKEND_KEYS_];
    unsigned char hashes[BACKEND_KEYS_][APP_HASH_BYTES];
    struct hob_buf webhook;          /* sealed */
    json_t *settings;                /* what was set; never changed in place: jobs hold references */
    const json_t *values[SETTINGS_]; /* into settings, or the default */
    UT_hash_handle by_name, by_id;
};

struct backend_apps {
    struct store *store;
    struct hob_seal *seal;
    struct backend_app *by_name, *by_id;
    struct hob_list changes;
    bool is_changing;
};

/* apps.c */
struct backend_app *backend_app_new_empty(const char *name, const char *application_id);
void backend_app_free(struct backend_app *app);
void backend_app_settle(struct backend_app *app); /* values from settings and defaults */
void backend_app_set_hash(struct backend_app *app, enum backend_key which, const char *key);
void backend_apps_enter(struct backend_apps *a, struct backend_app *app);
void backend_apps_leave(struct backend_apps *a, struct backend_app *app);
struct backend_app *backend_apps_find(const struct backend_apps *a, const char *name);
char *backend_webhook_label(const char *name); /* returns owned */

/* apps_settings.c */
/* Judges one setting that shall be `value`: its type, bounds and, of objects with a closed list, the members. */
HOB_MUST_USE enum hob_code setting_check(enum backend_setting which, const json_t *value,
                                         struct hob_err *err);
/* SETTINGS_ with "did you mean" in *err when there is none of that name. */
enum backend_setting setting_find(const char *name, struct hob_err *err);
/* The parsed default; borrowed for ever. */
const json_t *setting_default(enum backend_setting which);
