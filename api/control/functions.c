#include <stdio.h>
#include <stdlib.h>

#include "api/control/control_priv.h"
#include "base/mem.h"
#include "bindings/apps.h"

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

/* Its data does not go by the way: that is said by itself. */
void handle_app_remove(struct call *c)
{
    struct hob_err err;
    if (c->control->o.backends && backend_app_by_name(c->control->o.backends, c->params[0])) {
        (void)hob_fail_reason(&err, HOB_E_CONFLICT, "has_backend",
                              "app '%s' has a backend with data: remove that first with `hob app rm %s`",
                              c->copies[0], c->copies[0]);
        call_fail(c, &err);
        return;
    }
    call_hold(c);
    admin_app_remove(c->control->o.admin, c->params[0], call_on_removed, c);
}

/* --- lists ---------------------------------------------------------------------------------------------------------
 * Flow: NAMES (all at once) -> SLICES (some functions a turn of the loop, so that ten thousand hold nobody up) -> answer.
 * What is removed meanwhile is left out. */
enum { SLICE = 50 };

struct list_name {
    char app[65], function[65];
};
struct list {
    struct call *call;
    uv_idle_t idle;
    struct list_name *names;
    size_t n, at;
};

static void on_list_closed(uv_handle_t *handle)
{
    struct list *l = handle->data;
    struct call *c = l->call;
    free(l->names);
    free(l);
    call_release(c);
}

static void list_step(struct list *l)
{
    struct call *c = l->call;
    for (size_t i = 0; i < SLICE && l->at < l->n && call_is_open(c); i++, l->at++) {
        const struct list_name *name = &l->names[l->at];
        const struct function *f =
            catalog_function_find(c->control->o.catalog, hob_str(name->app), hob_str(name->function));
        if (f && f->live)
            view_function(c, f, false);
    }
    if (l->at < l->n && call_is_open(c))
        return;
    hob_jw_array_end(&c->w);
    hob_jw_object_end(&c->w);
    call_finish(c);
    uv_close((uv_handle_t *)&l->idle, on_list_closed);
}

static void on_list_turn(uv_idle_t *idle)
{
    list_step(idle->data);
}

static void list_add(struct list *l, const struct app *a)
{
    for (const struct function *f = a->functions; f; f = f->hh.next) {
        struct list_name *name = &l->names[l->n++];
        (void)snprintf(name->app, sizeof name->app, "%s", a->name);
        (void)snprintf(name->function, sizeof name->function, "%s", f->name);
    }
}

/* `one`: only of that app; NULL: of all. */
static void list_start(struct call *c, const struct app *one)
{
    struct catalog *catalog = c->control->o.catalog;
    struct list *l = hob_new(struct list);
    struct hob_jw *w = call_start(c);
    l->call = c;
    l->names =
        hob_new_n(struct list_name, one ? HASH_COUNT(one->functions) : catalog_functions_count(catalog));
    if (one)
        list_add(l, one);
    else
        for (const struct app *a = catalog_apps(catalog); a; a = a->hh.next)
            list_add(l, a);
    hob_jw_object(w);
    hob_jw_key(w, "functions");
    hob_jw_array(w);
    call_hold(c);
    l->idle.data = l;
    HOB_ASSERT(uv_idle_init(c->control->o.loop, &l->idle) == 0 && uv_idle_start(&l->idle, on_list_turn) == 0);
}

/* Of all apps, or of {app}. */
void handle_functions(struct call *c)
{
    struct hob_err err = {0};
    struct catalog *catalog = c->control->o.catalog;
    const struct app *one = c->params[0].at ? catalog_app_find(catalog, c->params[0]) : NULL;
    if (!c->params[0].at || one)
        list_start(c, one);
    else if (!catalog_resolve(catalog, c->params[0], HOB_STR("x"), HOB_STR(""),
                              &err)) /* says what is missing */
        call_fail(c, &err);
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
    admin_function_remove(c->control->o.admin, c->params[0], c->params[1], call_on_removed, c);
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
