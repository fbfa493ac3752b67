#include "api/control/control_priv.h"
#include "base/mem.h"

/* For verbs that answer {}. */
static void on_removed(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    (void)r;
    if (err)
        call_fail(c, err);
    else
        call_finish_empty(c);
    call_release(c);
}

void handle_apps(struct call *c)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "apps");
    hob_jw_array(w);
    for (const struct app *a = catalog_apps(c->control->o.catalog); a; a = a->hh.next) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "name", a->name);
        hob_jw_kint(w, "functions", HASH_COUNT(a->functions));
        view_time(w, "created_at", a->created_ms);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_app_remove(struct call *c)
{
    call_hold(c);
    admin_app_remove(c->control->o.admin, c->params[0], on_removed, c);
}

static void view_functions(struct call *c, const struct app *a)
{
    for (const struct function *f = a->functions; f; f = f->hh.next)
        if (f->live)
            view_function(c, f, false);
}

/* Of all apps, or of {app}. */
void handle_functions(struct call *c)
{
    struct hob_err err = {0};
    struct catalog *catalog = c->control->o.catalog;
    const struct app *one = c->params[0].at ? catalog_app_find(catalog, c->params[0]) : NULL;
    if (c->params[0].at && !one) {
        /* the catalogue knows what is near */
        if (!catalog_resolve(catalog, c->params[0], HOB_STR("x"), HOB_STR(""), &err))
            call_fail(c, &err);
        return;
    }
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "functions");
    hob_jw_array(w);
    if (one)
        view_functions(c, one);
    else
        for (const struct app *a = catalog_apps(catalog); a; a = a->hh.next)
            view_functions(c, a);
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_function(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    (void)call_start(c);
    view_function(c, f, true);
    call_finish(c);
}

void handle_function_remove(struct call *c)
{
    call_hold(c);
    admin_function_remove(c->control->o.admin, c->params[0], c->params[1], on_removed, c);
}

void handle_instances(struct call *c)
{
    struct hob_err err = {0};
    struct hob_str app = call_query(c, "app"), function = call_query(c, "function");
    if (function.n && !app.n) {
        (void)hob_fail(&err, HOB_E_INVALID,
                       "the query has 'function' but no 'app': a function's name is only unique in its app");
        call_fail(c, &err);
        return;
    }
    hob_jw_object(call_start(c));
    hob_jw_key(&c->w, "instances");
    view_instances(c, app, function);
    hob_jw_object_end(&c->w);
    call_finish(c);
}
