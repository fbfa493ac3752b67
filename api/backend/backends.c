/* The backends of apps over the control API: made, described, set, keys, removed with their data. */
#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "bindings/apps.h"
#include "bindings/auth/session.h"
#include "bindings/cloud/cloud.h"
#include "bindings/files/files.h"
#include "store/appdb.h"
#include "store/sql.h"

enum { KEY_BYTES_MADE = 24 };

const struct backend_app *call_backend(struct call *c)
{
    struct hob_err err;
    const struct backend_app *app = backend_app_by_name(c->control->o.backends, c->params[0]);
    if (app)
        return app;
    (void)hob_fail_reason(&err, HOB_E_NOT_FOUND, "unknown_backend",
                          "app '%.*s' has no backend: `hob app create %.*s` makes one",
                          HOB_STR_ARG(c->params[0]), HOB_STR_ARG(c->params[0]));
    call_fail(c, &err);
    return NULL;
}

/* --- describing --------------------------------------------------------------------------------------------------- */

static void write_backend(struct hob_jw *w, const struct backend_app *app, bool is_complete)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "app", backend_app_name(app));
    hob_jw_kcstr(w, "application_id", backend_app_application_id(app));
    view_time(w, "created_at", backend_app_created_ms(app));
    hob_jw_key(w, "keys");
    hob_jw_array(w);
    for (unsigned i = 0; i < BACKEND_KEYS_; i++)
        if (backend_app_has_key(app, (enum backend_key)i))
            hob_jw_cstr(w, backend_key_names[i]);
    hob_jw_array_end(w);
    if (is_complete) {
        hob_jw_key(w, "settings");
        hob_jw_object(w);
        backend_app_settings(app, w);
        hob_jw_object_end(w);
    }
    hob_jw_object_end(w);
}

static void on_backend(void *ctx, const struct backend_app *app)
{
    write_backend(ctx, app, false);
}

void handle_backends(struct call *c)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "backends");
    hob_jw_array(w);
    backend_app_each(c->control->o.backends, on_backend, w);
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_backend(struct call *c)
{
    const struct backend_app *app = call_backend(c);
    if (!app)
        return;
    write_backend(call_start(c), app, true);
    call_finish(c);
}

/* --- making and setting ------------------------------------------------------------------------------------------- */

static enum hob_code find_key(struct hob_str name, enum backend_key *ret_key, struct hob_err *err)
{
    for (unsigned i = 0; i < BACKEND_KEYS_; i++) {
        if (hob_str_is(name, backend_key_names[i])) {
            *ret_key = (enum backend_key)i;
            return HOB_OK;
        }
    }
    return hob_fail(
        err, HOB_E_INVALID,
        "there is no kind of key '%.*s': use master, read-only-master, maintenance, client, javascript, "
        "rest, dotnet or webhook",
        (int)(name.n < 64 ? name.n : 64), name.at);
}

static void on_made(void *ctx, const struct hob_err *err, const struct backend_app_made *made)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kstr(w, "app", c->params[0]);
        hob_jw_kcstr(w, "application_id", made->application_id);
        hob_jw_kcstr(w, "master_key", made->master_key);
        hob_jw_object_end(w);
        call_finish(c);
    }
    call_release(c);
}

static enum hob_code judge_new(const struct call *c, struct backend_app_new *n, struct hob_err *err)
{
    const char *name;
    json_t *key;
    n->name = c->copies[0];
    n->application_id = json_string_value(json_object_get(c->json, "application_id"));
    n->settings = json_object_get(c->json, "settings");
    json_object_foreach(json_object_get(c->json, "keys"), name, key)
    {
        enum backend_key which;
        if (find_key(hob_str(name), &which, err) != HOB_OK)
            return err->code;
        n->keys[which] = json_string_value(key);
    }
    if (!hob_name_is_valid(c->params[0]))
        return hob_fail(err, HOB_E_INVALID,
                        "app name '%.*s': use a-z, 0-9, '-', 1 to 64 characters, a letter first, no '-' last",
                        (int)(c->params[0].n < 64 ? c->params[0].n : 64), c->params[0].at);
    return HOB_OK;
}

void handle_backend_create(struct call *c)
{
    struct hob_err err = {0};
    struct backend_app_new n = {.name = NULL};
    if (judge_new(c, &n, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    call_hold(c);
    backend_app_create(c->control->o.backends, &n, on_made, c);
}

static void on_set(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err)
        call_fail(c, err);
    else
        handle_backend(c);
    call_release(c);
}

void handle_backend_set(struct call *c)
{
    if (!call_backend(c))
        return;
    call_hold(c);
    backend_app_set(c->control->o.backends, c->copies[0], json_object_get(c->json, "settings"), on_set, c);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void on_key(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kstr(w, "key", c->params[1]);
        hob_jw_kcstr(w, "value", json_string_value(json_object_get(c->json, "value")));
        hob_jw_object_end(w);
        call_finish(c);
    }
    call_release(c);
}

/* Without a value one is made: into the judged body, from where it is told. */
void handle_backend_key_set(struct call *c)
{
    struct hob_err err = {0};
    enum backend_key which;
    if (find_key(c->params[1], &which, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    if (!call_backend(c))
        return;
    if (!json_object_get(c->json, "value")) {
        char made[2 * KEY_BYTES_MADE + 1];
        hob_random_hex(made, KEY_BYTES_MADE);
        (void)json_object_set_new(c->json, "value", json_string(made));
    }
    call_hold(c);
    backend_app_set_key(c->control->o.backends, c->copies[0], which,
                        json_string_value(json_object_get(c->json, "value")), on_key, c);
}

static void on_done(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err)
        call_fail(c, err);
    else
        call_finish_empty(c);
    call_release(c);
}

void handle_backend_key_remove(struct call *c)
{
    struct hob_err err = {0};
    enum backend_key which;
    if (find_key(c->params[1], &which, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    call_hold(c);
    backend_app_set_key(c->control->o.backends, c->copies[0], which, NULL, on_done, c);
}

/* --- removing: first nobody can reach it any more, then the data goes, webhooks, env.sql's tables, then the files ------- */

static bool has_failed(struct call *c, const struct hob_err *err)
{
    if (!err)
        return false;
    call_fail(c, err);
    call_release(c);
    return true;
}

static void on_sql_removed(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (has_failed(c, err))
        return;
    session_forget_app(backend_auth(c->control->o.backend), c->copies[0]);
    files_remove_app(backend_files(c->control->o.backend), c->copies[0], on_done, c);
}

static void on_hooks_removed(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (has_failed(c, err))
        return;
    if (c->control->o.sqls)
        sql_remove(c->control->o.sqls, c->copies[0], on_sql_removed, c);
    else
        on_sql_removed(c, NULL);
}

static void on_data_removed(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (!has_failed(c, err))
        cloud_drop_hooks(backend_cloud(c->control->o.backend), c->copies[0], on_hooks_removed, c);
}

static void on_backend_removed(void *ctx, const struct hob_err *err)
{
    struct call *c = ctx;
    if (!has_failed(c, err))
        appdb_remove(c->control->o.dbs, c->copies[0], on_data_removed, c);
}

void handle_backend_remove(struct call *c)
{
    if (!call_backend(c))
        return;
    call_hold(c);
    backend_app_remove(c->control->o.backends, c->copies[0], on_backend_removed, c);
}
