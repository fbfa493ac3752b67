#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/catalog_change.h"
#include "controller/deploy/deploy_priv.h"

/* --- on the writer's thread: everything in one transaction; may run twice --- */

struct live_seen {
    struct deploy *dp;
    struct deploy_step *step;
    bool is_same;
};

static enum hob_code on_live(void *ctx, const struct version_row *row, struct hob_err *err)
{
    struct live_seen *seen = ctx;
    (void)err;
    seen->is_same = strcmp(row->digest, seen->dp->staged.digest) == 0 &&
                    strcmp(row->config_json, seen->step->config_json) == 0;
    seen->step->made.env_json = hob_strdup(row->env_json);
    return HOB_OK;
}

static enum hob_code insert_version(struct deploy *dp, struct deploy_step *step, struct store_tx *tx,
                                    struct hob_err *err)
{
    struct version_row made, row = {.function_id = step->made.function_id,
                                    .created_ms = dp->now_ms,
                                    .digest = dp->staged.digest,
                                    .config_json = step->config_json,
                                    .env_json = step->made.env_json ? step->made.env_json : "{}",
                                    .why = "deploy",
                                    .has_routes = step->has_routes,
                                    .cloud_json = step->cloud_json};
    if (store_version_insert(tx, &row, &made, err) != HOB_OK ||
        store_function_set_live(tx, row.function_id, made.number, err) != HOB_OK)
        return err->code;
    step->made.version_id = made.id;
    step->made.number = made.number;
    step->made.is_new = true;
    return HOB_OK;
}

static enum hob_code put_function(struct deploy *dp, size_t i, struct store_tx *tx, struct hob_err *err)
{
    struct deploy_step *step = &dp->steps[i];
    struct function_row f;
    if (store_function_ensure(tx, dp->app_id, dp->manifest->functions[i].name, dp->now_ms, &f, err) != HOB_OK)
        return err->code;
    free(step->made.env_json); /* of a first run that was rolled back */
    memset(&step->made, 0, sizeof step->made);
    step->made.function_id = f.id;
    step->made.created_ms = f.created_ms;
    step->made.number = f.live;
    step->made.previous_live = f.previous_live;
    struct live_seen seen = {.dp = dp, .step = step};
    if (f.live && store_version_get(tx, f.id, f.live, on_live, &seen, err) != HOB_OK)
        return err->code;
    if (seen.is_same)
        return HOB_OK;
    step->made.previous_live = f.live;
    return insert_version(dp, step, tx, err);
}

enum hob_code deploy_transaction(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct deploy *dp = ctx;
    struct app_row app;
    struct code_row code = {.digest = dp->staged.digest,
                            .files = dp->staged.files,
                            .bytes = dp->staged.bytes,
                            .created_ms = dp->now_ms};
    if (store_code_put(tx, &code, err) != HOB_OK ||
        store_app_ensure(tx, dp->app, dp->now_ms, &app, err) != HOB_OK)
        return err->code;
    dp->app_id = app.id;
    dp->app_created_ms = app.created_ms;
    for (size_t i = 0; i < dp->manifest->functions_n; i++) {
        if (put_function(dp, i, tx, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* --- on the loop, after the commit: cannot fail --- */

static void apply_function(struct deploy *dp, struct catalog *c, struct app *app, size_t i)
{
    struct deploy_step *step = &dp->steps[i];
    struct function_row row = {.id = step->made.function_id,
                               .app_id = app->id,
                               .created_ms = step->made.created_ms,
                               .name = dp->manifest->functions[i].name};
    struct function *f = catalog_function_ensure(c, app, &row);
    HOB_ASSERT(f->id == row.id);
    dp->functions[i].version = step->made.number;
    dp->functions[i].is_new = step->made.is_new;
    if (!step->made.is_new)
        return;
    struct version_row vr = {.id = step->made.version_id,
                             .function_id = row.id,
                             .created_ms = dp->now_ms,
                             .number = step->made.number,
                             .digest = dp->staged.digest,
                             .config_json = step->config_json,
                             .env_json = step->made.env_json ? step->made.env_json : "{}",
                             .why = "deploy",
                             .has_routes = step->has_routes,
                             .cloud_json = step->cloud_json};
    struct version *v = catalog_version_add(c, f, &vr);
    catalog_set_live(c, f, v, step->made.previous_live);
}

void deploy_apply(struct deploy *dp, struct catalog *c)
{
    struct app_row row = {.id = dp->app_id, .created_ms = dp->app_created_ms, .name = dp->app};
    struct app *app = catalog_app_ensure(c, &row);
    HOB_ASSERT(app->id == row.id);
    for (size_t i = 0; i < dp->manifest->functions_n; i++)
        apply_function(dp, c, app, i);
}

static void on_prepared(void *ctx, struct hob_str json, const struct hob_err *err)
{
    (void)ctx;
    (void)json;
    if (err) /* no failure of the deploy: a start says it, too, and tries again */
        hob_log(HOB_LOG_DEBUG, "deploy.image", "%s", err->msg);
}

void deploy_prepare(const struct deploy *dp, struct node_hub *nodes)
{
    for (size_t i = 0; i < dp->manifest->functions_n && nodes; i++) {
        const struct function_config *f = &dp->manifest->functions[i];
        if (f->engine == ENGINE_DOCKER && !function_has_image(f))
            node_engine(nodes, "build", f->runtime, on_prepared, NULL);
    }
}
