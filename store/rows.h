/* The rows that Hob remembers and the verbs on them, one file a table: apps.c, functions.c, versions.c, aliases.c,
 * secrets.c, tokens.c, code.c, learned.c, hooks.c, meta.c (store/rows/). Called inside the work functions of store/store.h only (hence on the store's
 * threads). Strings given to callbacks are borrowed until the callback returns. Verbs that name one row fail with
 * HOB_E_NOT_FOUND when it is not there, inserting what exists fails with HOB_E_CONFLICT. */
#pragma once

#include "base/str.h"
#include "store/store.h"

/* --- apps --- */
struct app_row {
    int64_t id, created_ms;
    const char *name;
};
/* Makes it when it is not there; either way returns its id. */
HOB_MUST_USE enum hob_code store_app_ensure(struct store_tx *tx, const char *name, int64_t now_ms,
                                            struct app_row *ret_row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_app_id(struct store_tx *tx, const char *name, int64_t *ret_id,
                                        struct hob_err *err);
/* With its functions, versions, aliases and secrets. */
HOB_MUST_USE enum hob_code store_app_remove(struct store_tx *tx, const char *name, struct hob_err *err);
typedef enum hob_code (*app_row_cb)(void *ctx, const struct app_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_app_each(struct store_tx *tx, app_row_cb cb, void *ctx, struct hob_err *err);

/* --- functions --- */
struct function_row {
    int64_t id, app_id, created_ms;
    const char *name;
    uint32_t live, previous_live; /* version numbers; 0: none */
};
HOB_MUST_USE enum hob_code store_function_ensure(struct store_tx *tx, int64_t app_id, const char *name,
                                                 int64_t now_ms, struct function_row *ret_row,
                                                 struct hob_err *err);
/* `ret_row->name` is NULL. */
HOB_MUST_USE enum hob_code store_function_get(struct store_tx *tx, const char *app, const char *name,
                                              struct function_row *ret_row, struct hob_err *err);
/* The one that was live becomes previous_live. */
HOB_MUST_USE enum hob_code store_function_set_live(struct store_tx *tx, int64_t function_id, uint32_t live,
                                                   struct hob_err *err);
HOB_MUST_USE enum hob_code store_function_remove(struct store_tx *tx, int64_t function_id,
                                                 struct hob_err *err);
typedef enum hob_code (*function_row_cb)(void *ctx, const struct function_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_function_each(struct store_tx *tx, function_row_cb cb, void *ctx,
                                               struct hob_err *err); /* by id */

/* --- versions: immutable --- */
struct version_row {
    int64_t id, function_id, created_ms;
    uint32_t number;                  /* given by the store on insert: one more than the newest ever */
    const char *digest, *config_json; /* the configuration as hob.json had it */
    const char *env_json;             /* what `hob env` set over it: {"NAME":"value"} */
    const char *why;                  /* "deploy", "env set" */
    bool has_routes;                  /* so that a start need not parse every configuration */
    const char *cloud_json; /* what it registers as cloud code, learned at deploy; "" or NULL: nothing */
};
HOB_MUST_USE enum hob_code store_version_insert(struct store_tx *tx, const struct version_row *row,
                                                struct version_row *ret_row, struct hob_err *err);
typedef enum hob_code (*version_row_cb)(void *ctx, const struct version_row *row, struct hob_err *err);
/* One version through `cb`. */
HOB_MUST_USE enum hob_code store_version_get(struct store_tx *tx, int64_t function_id, uint32_t number,
                                             version_row_cb cb, void *ctx, struct hob_err *err);
HOB_MUST_USE enum hob_code store_version_each(struct store_tx *tx, version_row_cb cb, void *ctx,
                                              struct hob_err *err); /* by function, oldest first */

/* --- aliases --- */
struct alias_row {
    int64_t function_id;
    const char *name;
    uint32_t version;
};
HOB_MUST_USE enum hob_code store_alias_put(struct store_tx *tx, const struct alias_row *row,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code store_alias_remove(struct store_tx *tx, int64_t function_id, const char *name,
                                              struct hob_err *err);
typedef enum hob_code (*alias_row_cb)(void *ctx, const struct alias_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_alias_each(struct store_tx *tx, alias_row_cb cb, void *ctx,
                                            struct hob_err *err);

/* --- secrets: sealed by the vault, opaque here --- */
struct secret_row {
    int64_t app_id, updated_ms;
    const char *app, *name;
    struct hob_str sealed;
};
HOB_MUST_USE enum hob_code store_secret_put(struct store_tx *tx, const struct secret_row *row,
                                            struct hob_err *err);
HOB_MUST_USE enum hob_code store_secret_remove(struct store_tx *tx, int64_t app_id, const char *name,
                                               struct hob_err *err);
typedef enum hob_code (*secret_row_cb)(void *ctx, const struct secret_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_secret_each(struct store_tx *tx, secret_row_cb cb, void *ctx,
                                             struct hob_err *err);

/* --- tokens: only their hashes --- */
struct token_row {
    int64_t created_ms;
    const char *name, *hash; /* hexadecimal */
};
HOB_MUST_USE enum hob_code store_token_put(struct store_tx *tx, const struct token_row *row,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code store_token_remove(struct store_tx *tx, const char *name, struct hob_err *err);
typedef enum hob_code (*token_row_cb)(void *ctx, const struct token_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_token_each(struct store_tx *tx, token_row_cb cb, void *ctx,
                                            struct hob_err *err);

/* --- code: what is known of a digest --- */
struct code_row {
    const char *digest;
    uint64_t files, bytes;
    int64_t created_ms;
};
HOB_MUST_USE enum hob_code store_code_put(struct store_tx *tx, const struct code_row *row,
                                          struct hob_err *err);
/* Forgets digests that no version refers to. */
HOB_MUST_USE enum hob_code store_code_prune(struct store_tx *tx, struct hob_err *err);

/* --- hooks: webhooks of cloud code --- */
struct hook_row {
    const char *app, *name; /* name: as the registry of cloud code writes it (bindings/cloud/) */
    const char *url;
};
HOB_MUST_USE enum hob_code store_hook_put(struct store_tx *tx, const struct hook_row *row,
                                          struct hob_err *err); /* HOB_E_NOT_FOUND: no such app */
/* No error when there is none; `name` NULL: all of the app. */
HOB_MUST_USE enum hob_code store_hook_remove(struct store_tx *tx, const char *app, const char *name,
                                             struct hob_err *err);
typedef enum hob_code (*hook_row_cb)(void *ctx, const struct hook_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_hook_each(struct store_tx *tx, hook_row_cb cb, void *ctx,
                                           struct hob_err *err);

/* --- learned: what the autoscaler knows about a version, opaque here --- */
struct learned_row {
    int64_t version_id, saved_ms;
    struct hob_str state;
};
/* A version that is not there any more is passed over. */
HOB_MUST_USE enum hob_code store_learned_put(struct store_tx *tx, const struct learned_row *row,
                                             struct hob_err *err);
typedef enum hob_code (*learned_row_cb)(void *ctx, const struct learned_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_learned_each(struct store_tx *tx, learned_row_cb cb, void *ctx,
                                              struct hob_err *err); /* by version */
/* Forgets what was saved before. */
HOB_MUST_USE enum hob_code store_learned_prune(struct store_tx *tx, int64_t before_ms, struct hob_err *err);

/* --- backends: the apps that have one --- */
struct backend_row {
    int64_t app_id, created_ms;
    const char *app, *application_id;
    const char *keys_json;      /* {"master":"<SHA-256, hexadecimal>", ...} */
    const char *settings_json;  /* what was set */
    struct hob_str webhook_key; /* sealed; empty: none */
};
/* HOB_E_CONFLICT when the app has one, or the application id is taken. */
HOB_MUST_USE enum hob_code store_backend_add(struct store_tx *tx, const struct backend_row *row,
                                             struct hob_err *err);
/* Keys, settings and webhook key of that app_id. */
HOB_MUST_USE enum hob_code store_backend_replace(struct store_tx *tx, const struct backend_row *row,
                                                 struct hob_err *err);
HOB_MUST_USE enum hob_code store_backend_remove(struct store_tx *tx, int64_t app_id, struct hob_err *err);
typedef enum hob_code (*backend_row_cb)(void *ctx, const struct backend_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code store_backend_each(struct store_tx *tx, backend_row_cb cb, void *ctx,
                                              struct hob_err *err);

/* --- meta: small facts by name --- */
HOB_MUST_USE enum hob_code store_meta_put(struct store_tx *tx, const char *name, const char *value,
                                          struct hob_err *err);
typedef enum hob_code (*meta_row_cb)(void *ctx, const char *value, struct hob_err *err);
HOB_MUST_USE enum hob_code store_meta_get(struct store_tx *tx, const char *name, meta_row_cb cb, void *ctx,
                                          struct hob_err *err);
