#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/mem.h"

void view_time(struct hob_jw *w, const char *key, int64_t utc_ms)
{
    char text[25];
    hob_utc_format(utc_ms, text);
    hob_jw_kcstr(w, key, text);
}

void view_routes(struct hob_jw *w, const struct route_config *routes, size_t n)
{
    hob_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "host", routes[i].host);
        hob_jw_kcstr(w, "path", routes[i].path);
        hob_jw_key(w, "methods");
        hob_jw_array(w);
        for (size_t m = 0; m < routes[i].methods_n; m++)
            hob_jw_cstr(w, routes[i].methods[m]);
        hob_jw_array_end(w);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

void view_env(struct hob_jw *w, const struct function_config *f)
{
    hob_jw_object(w);
    for (size_t i = 0; i < f->vars_n; i++)
        hob_jw_kcstr(w, f->vars[i].name, f->vars[i].value);
    hob_jw_object_end(w);
}

static const char *state_of(const struct version_view *v)
{
    if (v->is_failing)
        return "failing";
    if (v->instances > v->starting)
        return "warm";
    return v->starting ? "starting" : "idle";
}

void view_aliases(struct hob_jw *w, const struct function *f)
{
    hob_jw_key(w, "aliases");
    hob_jw_array(w);
    for (const struct alias *a = f->aliases; a; a = a->next) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "alias", a->name);
        hob_jw_kint(w, "version", a->version->number);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

static void view_details(struct call *c, const struct function *f, const struct function_config *config,
                         const struct version_view *view)
{
    struct hob_jw *w = &c->w;
    hob_jw_key(w, "config");
    function_config_write(config, w);
    hob_jw_key(w, "env");
    view_env(w, config);
    hob_jw_key(w, "secrets");
    hob_jw_array(w);
    for (size_t i = 0; i < config->secrets_n; i++)
        hob_jw_cstr(w, config->secrets[i]);
    hob_jw_array_end(w);
    hob_jw_key(w, "instance_list");
    view_instances(c, hob_str(f->app->name), hob_str(f->name));
    view_aliases(w, f);
    hob_jw_key(w, "crash");
    if (!view->is_failing) {
        hob_jw_null(w);
        return;
    }
    hob_jw_object(w);
    hob_jw_kcstr(w, "message", view->failure);
    hob_jw_kint(w, "retry_ms", (int64_t)view->retry_ms);
    hob_jw_object_end(w);
}

void view_function(struct call *c, const struct function *f, bool is_complete)
{
    struct hob_jw *w = &c->w;
    struct version *live = f->live;
    struct version_view view = {0};
    hob_auto_free char *url = call_url(c, f->app->name, f->name);
    /* a list of thousands must not leave thousands of parsed configurations in memory */
    struct function_config *own =
        live->config || is_complete ? NULL : function_config_read(hob_str(live->config_json), NULL);
    const struct function_config *config = own ? own : version_config(live);
    dispatcher_version_view(c->control->o.dispatcher, live, &view);
    hob_jw_object(w);
    hob_jw_kcstr(w, "app", f->app->name);
    hob_jw_kcstr(w, "name", f->name);
    hob_jw_kcstr(w, "runtime", config->runtime);
    hob_jw_kint(w, "version", live->number);
    hob_jw_kcstr(w, "url", url);
    view_time(w, "created_at", f->created_ms);
    hob_jw_kcstr(w, "state", state_of(&view));
    hob_jw_kint(w, "instances", view.instances);
    hob_jw_key(w, "routes");
    view_routes(w, config->routes, config->routes_n);
    if (is_complete)
        view_details(c, f, config, &view);
    hob_jw_object_end(w);
    if (own)
        function_config_free(own);
}

struct instance_filter {
    struct hob_jw *w;
    struct hob_str app, function;
};

static void on_instance(void *ctx, const struct instance_view *v)
{
    const struct instance_filter *filter = ctx;
    struct hob_jw *w = filter->w;
    char id[17];
    if ((filter->app.n && !hob_str_is(filter->app, v->app)) ||
        (filter->function.n && !hob_str_is(filter->function, v->function)))
        return;
    (void)snprintf(id, sizeof id, "%016llx", (unsigned long long)v->id);
    hob_jw_object(w);
    hob_jw_kcstr(w, "id", id);
    hob_jw_kcstr(w, "app", v->app);
    hob_jw_kcstr(w, "function", v->function);
    hob_jw_kint(w, "version", v->version);
    hob_jw_kcstr(w, "state", v->state);
    hob_jw_kint(w, "in_flight", v->in_flight);
    hob_jw_kint(w, "age_ms", (int64_t)v->age_ms);
    hob_jw_kint(w, "idle_ms", (int64_t)v->idle_ms);
    hob_jw_kint(w, "invocations", (int64_t)v->invocations);
    hob_jw_object_end(w);
}

void view_instances(struct call *c, struct hob_str app, struct hob_str function)
{
    struct instance_filter filter = {&c->w, app, function};
    hob_jw_array(&c->w);
    dispatcher_each_instance(c->control->o.dispatcher, on_instance, &filter);
    hob_jw_array_end(&c->w);
}
