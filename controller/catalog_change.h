/* Inside controller/ only: how the catalogue follows the store. Called on the loop after the store said that the change
 * is durable, by deploy.c, admin*.c and catalog_load. Listeners are told by these functions. */
#pragma once

#include "controller/catalog.h"
#include "store/rows.h"

struct app *catalog_app_ensure(struct catalog *c, const struct app_row *row);
struct function *catalog_function_ensure(struct catalog *c, struct app *app, const struct function_row *row);
/* Returns borrowed; the function holds it. A number that is there already is returned as it is. */
struct version *catalog_version_add(struct catalog *c, struct function *f, const struct version_row *row);
struct version *function_version_find(const struct function *f, uint32_t number);
void catalog_set_live(struct catalog *c, struct function *f, struct version *v, uint32_t previous_live);
void catalog_alias_put(struct catalog *c, struct function *f, const char *name, struct version *v);
void catalog_alias_drop(struct catalog *c, struct function *f, const char *name);
void catalog_function_drop(struct catalog *c, struct function *f);
void catalog_app_drop(struct catalog *c, struct app *app);
void catalog_secret_changed(struct catalog *c, struct hob_str app, const char *name);
/* A version that no function has: for running code before its deploy is committed. Returns owned. Only digest, config_json,
 * env_json and why of the row count. */
struct version *catalog_draft(struct catalog *c, const char *app, const char *function,
                              const struct version_row *row);
/* Its instances drain; the reference is given back. */
void catalog_draft_drop(struct catalog *c, struct version *v);
/* Puts `hob env`'s {"NAME":"value"} over the configuration's variables. */
HOB_MUST_USE enum hob_code config_merge_env(struct function_config *config, struct hob_str env_json,
                                            struct hob_err *err);
/* Versions made from now on hold a reference to their digest there. */
void catalog_use_code(struct catalog *c, struct code_store *code);
/* Number and bytes of the variables against their limits. */
HOB_MUST_USE enum hob_code config_env_check(const struct function_config *config, struct hob_err *err);
/* HOB_E_CONFLICT with reason route_taken when another function's live version has one of `config`'s routes. */
HOB_MUST_USE enum hob_code catalog_routes_check(struct catalog *c, const char *app,
                                                const struct function_config *config, struct hob_err *err);
