/* The apps that have a backend: application id, keys and settings, kept in hob.db and held in memory, so that a request
 * is judged without a read. Keys are kept as SHA-256 and compared in constant time; they are shown once, when made.
 * Settings are those that users of Parse Server know (docs/backend.md lists them), one table with types and defaults.
 * Owner: the daemon. Loop's thread. */
#pragma once

#include "base/json.h"
#include "store/store.h"

struct backend_apps;
struct backend_app; /* borrowed until it is changed or removed; never held over a turn of the loop */

/* Blocking. `key_path`: HOME/master.key, which seals the webhook keys. */
HOB_MUST_USE struct backend_apps *backend_apps_load(struct store *s, const char *key_path,
                                                    struct hob_err *err);
void backend_apps_free(struct backend_apps *a);

enum backend_key {
    BACKEND_KEY_MASTER,
    BACKEND_KEY_READ_ONLY_MASTER,
    BACKEND_KEY_MAINTENANCE,
    BACKEND_KEY_CLIENT,
    BACKEND_KEY_JAVASCRIPT,
    BACKEND_KEY_REST,
    BACKEND_KEY_DOTNET,
    BACKEND_KEY_WEBHOOK, /* sent to webhooks, hence kept sealed, not hashed */
    BACKEND_KEYS_
};
extern const char *const backend_key_names[BACKEND_KEYS_]; /* "master", "read-only-master", ... */

const struct backend_app *backend_app_by_id(const struct backend_apps *a, struct hob_str application_id);
const struct backend_app *backend_app_by_name(const struct backend_apps *a, struct hob_str name);
typedef void (*backend_app_cb)(void *ctx, const struct backend_app *app);
void backend_app_each(const struct backend_apps *a, backend_app_cb cb, void *ctx); /* by name */
const char *backend_app_name(const struct backend_app *app);
const char *backend_app_application_id(const struct backend_app *app);
bool backend_app_has_key(const struct backend_app *app, enum backend_key which);
/* Constant time; false when there is no such key. */
bool backend_app_check_key(const struct backend_app *app, enum backend_key which, struct hob_str key);
/* Appends the key that webhooks are called with; nothing when there is none. */
HOB_MUST_USE enum hob_code backend_app_webhook_key(const struct backend_apps *a,
                                                   const struct backend_app *app, struct hob_buf *out,
                                                   struct hob_err *err);
/* Does any of the client keys exist? Then one of them must be sent. */
bool backend_app_needs_client_key(const struct backend_app *app);

enum backend_setting {
    SETTING_ALLOW_CLIENT_CLASS_CREATION,         /* bool, true here; parse-server: false */
    SETTING_ALLOW_CUSTOM_OBJECT_ID,              /* bool, false */
    SETTING_ENFORCE_PRIVATE_USERS,               /* bool, true */
    SETTING_DEFAULT_LIMIT,                       /* int, 100 */
    SETTING_MAX_LIMIT,                           /* int, 1000; 0: none */
    SETTING_SESSION_LENGTH_S,                    /* int, 31536000 */
    SETTING_EXPIRE_INACTIVE_SESSIONS,            /* bool, true */
    SETTING_EXTEND_SESSION_ON_USE,               /* bool, false */
    SETTING_REVOKE_SESSION_ON_PASSWORD_RESET,    /* bool, true: password change too */
    SETTING_VERIFY_USER_EMAILS,                  /* bool, false */
    SETTING_PREVENT_LOGIN_WITH_UNVERIFIED_EMAIL, /* bool, false */
    SETTING_EMAIL_VERIFY_TOKEN_VALIDITY_S,       /* int, 86400 */
    SETTING_EMAIL_VERIFY_TOKEN_REUSE,            /* bool, false: another mail has the same link */
    SETTING_EMAIL_VERIFY_SUCCESS_ON_INVALID,     /* bool, true: strangers hear nothing else */
    SETTING_PUBLIC_SERVER_URL,                   /* string, "" */
    SETTING_APP_DISPLAY_NAME,                    /* string, "" (the app's name) */
    SETTING_PASSWORD_POLICY, /* object: validatorPattern, doNotAllowUsername, maxPasswordAge, maxPasswordHistory,
                                             resetTokenValidityDuration, resetTokenReuseIfValid */
    SETTING_ACCOUNT_LOCKOUT,        /* object: threshold, duration (minutes) */
    SETTING_AUTH,                   /* object: provider -> options */
    SETTING_ENABLE_ANONYMOUS_USERS, /* bool, true */
    SETTING_MAIL,                   /* object: smtp URL, from, secret name, templates */
    SETTING_FILE_UPLOAD,      /* object: enableForPublic, enableForAnonymousUser, enableForAuthenticatedUser,
                                             fileExtensions */
    SETTING_MAX_UPLOAD_BYTES, /* int, 20 MiB */
    SETTING_FILES,            /* object: store "local" or "s3" with its options */
    SETTING_IDEMPOTENCY,      /* object: paths, ttl */
    SETTING_LIVE_QUERY,       /* object: classNames */
    SETTING_MASTER_KEY_IPS,   /* array of addresses or networks */
    SETTING_READ_ONLY_MASTER_KEY_IPS,
    SETTING_MAINTENANCE_KEY_IPS,
    SETTING_ALLOW_ORIGIN,       /* string or array, "*" */
    SETTING_ALLOW_HEADERS,      /* array, [] */
    SETTING_PROTECTED_FIELDS,   /* object, {"_User":{"*":["email"]}} */
    SETTING_SANITIZE_ERRORS,    /* bool, false: error texts of parse-server 9 */
    SETTING_REQUEST_COMPLEXITY, /* object: includeDepth, includeCount, subqueryDepth, conditionDepth, batchSize,
                                             regex */
    SETTING_RATE_LIMIT,    /* array of {requestPath, requestMethods, requestTimeWindow, requestCount, zone} */
    SETTING_AUTO_INDEX,    /* bool, false: apply what the advisor proposes */
    SETTING_QUERY_TIME_MS, /* int, 5000 */
    SETTING_SLOW_QUERY_MS, /* int, 100: from then on the advisor hears of it */
    SETTING_TRIGGER_TIME_MS, /* int, 10000 */
    SETTING_CHANGE_LOG_DAYS, /* int, 7 */
    SETTINGS_
};
const char *backend_setting_name(enum backend_setting which); /* camelCase, as in Parse Server's options */
/* Appends all settings as members of an object that is open: what was set, and the defaults of the rest. */
struct hob_jw;
void backend_app_settings(const struct backend_app *app, struct hob_jw *w);
/* Those that were set, without defaults. Like backend_app_json. */
const json_t *backend_app_chosen(const struct backend_app *app);
int64_t backend_app_created_ms(const struct backend_app *app);
bool backend_app_bool(const struct backend_app *app, enum backend_setting which);
int64_t backend_app_int(const struct backend_app *app, enum backend_setting which);
/* Never NULL for strings; for objects and arrays what was set, else the default. Borrowed like the app; a job gets a
 * copy (json_deep_copy) or a reference taken on the loop (json_incref; it is never changed in place). */
const char *backend_app_text(const struct backend_app *app, enum backend_setting which);
const json_t *backend_app_json(const struct backend_app *app, enum backend_setting which);

/* --- changes: durable when `done` comes --- */
struct backend_app_new {
    const char *name, *application_id; /* application_id NULL: the name */
    const char *keys[BACKEND_KEYS_];   /* NULL: master is made, the others are absent */
    const json_t *settings;            /* NULL: defaults; judged like backend_app_set */
};
struct backend_app_made { /* shown once */
    char application_id[129], master_key[129];
};
typedef void (*backend_app_made_cb)(void *ctx, const struct hob_err *err,
                                    const struct backend_app_made *made);
/* HOB_E_CONFLICT when the name or the id is taken. */
void backend_app_create(struct backend_apps *a, const struct backend_app_new *n, backend_app_made_cb done,
                        void *ctx);
typedef void (*backend_app_done_cb)(void *ctx, const struct hob_err *err);
/* Merges; null takes a setting back to its default; unknown names are refused with a suggestion. */
void backend_app_set(struct backend_apps *a, const char *name, const json_t *settings,
                     backend_app_done_cb done, void *ctx);
/* `key` NULL: removed (the master key cannot be). */
void backend_app_set_key(struct backend_apps *a, const char *name, enum backend_key which, const char *key,
                         backend_app_done_cb done, void *ctx);
void backend_app_remove(struct backend_apps *a, const char *name, backend_app_done_cb done, void *ctx);
