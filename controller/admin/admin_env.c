/* `hob env`: a new version with the same code. What it set is kept apart from hob.json's variables, so that a later
 * deploy brings hob.json's new ones and keeps these. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/admin/admin_priv.h"

void admin_env_patch_free(struct admin_env_patch *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->set_n; i++) {
        free(p->set[i].name);
        free(p->set[i].value);
    }
    free((void *)(uintptr_t)p->set);
    for (size_t i = 0; i < p->unset_n; i++)
        free((void *)(uintptr_t)p->unset[i]);
    free((void *)(uintptr_t)p->unset);
    free(p);
}

static struct admin_env_patch *patch_copy(const struct admin_env_patch *from)
{
    struct admin_env_patch *p = hob_new(struct admin_env_patch);
    struct env_var *set = hob_new_n(struct env_var, from->set_n);
    const char **unset = hob_new_n(const char *, from->unset_n);
    for (size_t i = 0; i < from->set_n; i++)
        set[i] = (struct env_var){hob_strdup(from->set[i].name), hob_strdup(from->set[i].value)};
    for (size_t i = 0; i < from->unset_n; i++)
        unset[i] = hob_strdup(from->unset[i]);
    *p = (struct admin_env_patch){set, from->set_n, unset, from->unset_n};
    return p;
}

/* --- on the writer's thread --- */

static bool is_in_config(const struct function_config *config, const char *name)
{
    for (size_t i = 0; i < config->vars_n; i++) {
        if (strcmp(config->vars[i].name, name) == 0)
            return true;
    }
    return false;
}

static enum hob_code unset_one(json_t *env, const struct function_config *config, const char *name,
                               struct hob_err *err)
{
    if (json_object_del(env, name) == 0)
        return HOB_OK;
    if (is_in_config(config, name))
        return hob_fail_reason(err, HOB_E_CONFLICT, "set_by_manifest",
                               "variable '%.100s' is set by hob.json's \"vars\": remove it there and deploy",
                               name);
    return hob_fail(err, HOB_E_NOT_FOUND, "function '%s' has no variable '%.100s'", config->name, name);
}

static enum hob_code patch_env(json_t *env, const struct function_config *config,
                               const struct admin_env_patch *p, struct hob_err *err)
{
    for (size_t i = 0; i < p->unset_n; i++) {
        if (unset_one(env, config, p->unset[i], err) != HOB_OK)
            return err->code;
    }
    for (size_t i = 0; i < p->set_n; i++) {
        if (json_object_set_new(env, p->set[i].name, json_string(p->set[i].value)) != 0)
            return hob_fail(err, HOB_E_INVALID, "variable '%.100s': its value is not UTF-8 text",
                            p->set[i].name);
    }
    return HOB_OK;
}

/* *ret_json: sorted and compact, so that equal environments are equal texts. */
static enum hob_code make_env(const struct version_row *row, struct function_config *config,
                              const struct admin_env_patch *p, char **ret_json, struct hob_err *err)
{
    hob_auto_json json_t *env = hob_json_parse(hob_str(row->env_json), "the environment", err);
    if (!env || patch_env(env, config, p, err) != HOB_OK)
        return err->code;
    hob_auto_free char *json = json_dumps(env, JSON_COMPACT | JSON_SORT_KEYS);
    HOB_ASSERT(json);
    if (config_merge_env(config, hob_str(json), err) != HOB_OK || config_env_check(config, err) != HOB_OK)
        return err->code;
    *ret_json = hob_steal(&json);
    return HOB_OK;
}

static enum hob_code on_live(void *ctx, const struct version_row *row, struct hob_err *err)
{
    struct admin_op *op = ctx;
    char *env_json = NULL;
    struct function_config *config = function_config_read(hob_str(row->config_json), err);
    if (!config)
        return hob_err_wrap(err, "reading version %u", row->number);
    enum hob_code rc = make_env(row, config, op->patch, &env_json, err);
    function_config_free(config);
    if (rc != HOB_OK)
        return rc;
    HOB_ASSERT(env_json);
    hob_free_p(&op->made.digest); /* of a first run that was rolled back */
    hob_free_p(&op->made.config_json);
    hob_free_p(&op->made.env_json);
    hob_free_p(&op->made.cloud_json);
    op->is_unchanged = strcmp(env_json, row->env_json) == 0;
    op->made = (struct version_row){.function_id = row->function_id,
                                    .created_ms = hob_utc_ms(),
                                    .digest = hob_strdup(row->digest),
                                    .config_json = hob_strdup(row->config_json),
                                    .env_json = env_json,
                                    .why = "env set",
                                    .cloud_json = hob_strdup(row->cloud_json),
                                    .has_routes = row->has_routes};
    return HOB_OK;
}

static enum hob_code work_env(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct function_row f;
    if (store_function_get(tx, op->app, op->function, &f, err) != HOB_OK ||
        store_version_get(tx, f.id, f.live, on_live, op, err) != HOB_OK)
        return err->code;
    op->result.version = op->result.previous = f.live;
    if (op->is_unchanged)
        return HOB_OK;
    if (store_version_insert(tx, &op->made, &op->made, err) != HOB_OK ||
        store_function_set_live(tx, f.id, op->made.number, err) != HOB_OK)
        return err->code;
    op->result.version = op->made.number;
    return HOB_OK;
}

/* --- on the loop --- */

static void apply_env(struct admin_op *op)
{
    struct function *f = admin_op_function(op);
    struct catalog *c = admin_options_of(op->admin)->catalog;
    if (op->is_unchanged)
        return;
    catalog_set_live(c, f, catalog_version_add(c, f, &op->made), op->result.previous);
}

static enum hob_code check_patch(const struct admin_env_patch *p, struct hob_err *err)
{
    if (p->set_n + p->unset_n > (size_t)2 * HOB_MAX_ENV_VARS)
        return hob_fail(err, HOB_E_TOO_LARGE, "%zu variables at once; %d are allowed", p->set_n + p->unset_n,
                        2 * HOB_MAX_ENV_VARS);
    for (size_t i = 0; i < p->set_n; i++) {
        if (env_var_check(p->set[i].name, p->set[i].value, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

void admin_env_patch(struct admin *a, struct admin_target t, const struct admin_env_patch *patch,
                     admin_done_cb done, void *ctx)
{
    struct admin_op *op = admin_op_new(a, t.app, t.function, HOB_STR(""));
    struct hob_err err;
    op->work = work_env;
    op->apply = apply_env;
    op->patch = patch_copy(patch);
    if (!catalog_resolve(admin_options_of(a)->catalog, t.app, t.function, HOB_STR(""), &err) ||
        check_patch(patch, &err) != HOB_OK)
        op->err = err;
    admin_op_run(op, done, ctx);
}
