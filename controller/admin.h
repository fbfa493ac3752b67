/* The control verbs that change something: each is durable before its callback comes, and in the catalogue by then.
 * Strings are copied. Callbacks come exactly once, on the loop, never from inside the call; `err` is NULL when it
 * worked. What asks only (lists, describe) reads the catalogue and vault_each. Loop's thread. */
#pragma once

#include <uv.h>

#include "controller/catalog.h"
#include "controller/code_store.h"
#include "controller/vault.h"
#include "store/store.h"

struct admin;
struct admin_options {
    uv_loop_t *loop;
    struct store *store;
    struct catalog *catalog;
    struct code_store *code;
    struct vault *vault;
    /* the function is gone: its logs may go too; may be NULL */
    void (*removed)(void *ctx, const char *app, const char *function);
    void *removed_ctx;
};
HOB_MUST_USE struct admin *admin_new(const struct admin_options *o);
/* Waits for what runs; then `closed`. */
void admin_close(struct admin *a, void (*closed)(void *ctx), void *ctx);

struct admin_result {
    uint32_t version;  /* now live (rollback, env), or what the alias names */
    uint32_t previous; /* was live before (rollback, env) */
    int64_t updated_ms;
};
typedef void (*admin_done_cb)(void *ctx, const struct admin_result *r, const struct hob_err *err);

void admin_function_remove(struct admin *a, struct hob_str app, struct hob_str function, admin_done_cb done,
                           void *ctx);
void admin_app_remove(struct admin *a, struct hob_str app, admin_done_cb done, void *ctx);
struct admin_target { /* a function */
    struct hob_str app, function;
};
/* `version` 0: the one that was live before. */
void admin_rollback(struct admin *a, struct admin_target t, uint32_t version, admin_done_cb done, void *ctx);
void admin_alias_set(struct admin *a, struct admin_target t, struct hob_str alias, uint32_t version,
                     admin_done_cb done, void *ctx);
void admin_alias_remove(struct admin *a, struct admin_target t, struct hob_str alias, admin_done_cb done,
                        void *ctx);
struct admin_env_patch {
    const struct env_var *set;
    size_t set_n;
    const char *const *unset;
    size_t unset_n;
};
/* A new version with the same code. What `hob env` set stays over later deploys; unset gives hob.json's value back.
 * No change keeps the version. */
void admin_env_patch(struct admin *a, struct admin_target t, const struct admin_env_patch *patch,
                     admin_done_cb done, void *ctx);
/* An app that is not there yet is made, so that secrets can be set before the first deploy. Instances that use the
 * secret are replaced. */
void admin_secret_set(struct admin *a, struct hob_str app, struct hob_str name, struct hob_str value,
                      admin_done_cb done, void *ctx);
void admin_secret_remove(struct admin *a, struct hob_str app, struct hob_str name, admin_done_cb done,
                         void *ctx);
