#include "controller/catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "controller/catalog/routes.h"
#include "controller/catalog_change.h"
#include "controller/code_store.h"

struct catalog {
    struct app *apps;
    struct routes *routes;
    struct code_store *code; /* borrowed; may be NULL */
    size_t functions_n;
    catalog_event_cb on_event;
    catalog_cloud_cb on_cloud;
    void *cloud_ctx;
    void *event_ctx;
    catalog_replace_cb on_replace;
    void *replace_ctx;
};

/* --- versions --- */

/* `f` NULL: a draft, which no function has. */
static struct version *version_new(struct catalog *c, const char *app, const char *function,
                                   struct function *f, const struct version_row *row)
{
    struct version *v = hob_new(struct version);
    v->function = f;
    v->app_name = hob_strdup(app);
    v->function_name = hob_strdup(function);
    v->id = row->id;
    v->created_ms = row->created_ms;
    v->number = row->number;
    v->refs = 1;
    (void)snprintf(v->digest, sizeof v->digest, "%s", row->digest);
    v->why = strcmp(row->why, "env set") == 0 ? "env set" : "deploy";
    v->config_json = hob_strdup(row->config_json);
    v->env_json = row->env_json[0] && strcmp(row->env_json, "{}") != 0 ? hob_strdup(row->env_json) : NULL;
    v->cloud_json = row->cloud_json && *row->cloud_json ? hob_strdup(row->cloud_json) : NULL;
    v->has_routes = row->has_routes;
    v->code = c->code;
    if (v->code)
        code_store_ref(v->code, v->digest);
    return v;
}

struct version *version_ref(struct version *v)
{
    HOB_ASSERT(v->refs > 0 && v->refs < UINT32_MAX);
    v->refs++;
    return v;
}

void version_unref(struct version *v)
{
    if (!v)
        return;
    HOB_ASSERT(v->refs > 0);
    if (--v->refs > 0)
        return;
    if (v->code)
        code_store_unref(v->code, v->digest);
    function_config_free(v->config);
    free(v->app_name);
    free(v->function_name);
    free(v->config_json);
    free(v->env_json);
    free(v->cloud_json);
    free(v);
}

static void set_var(struct function_config *config, const char *name, const char *value)
{
    for (size_t i = 0; i < config->vars_n; i++) {
        if (strcmp(config->vars[i].name, name) == 0) {
            free(config->vars[i].value);
            config->vars[i].value = hob_strdup(value);
            return;
        }
    }
    config->vars = hob_realloc(config->vars, config->vars_n + 1, sizeof *config->vars);
    config->vars[config->vars_n++] = (struct env_var){hob_strdup(name), hob_strdup(value)};
}

enum hob_code config_merge_env(struct function_config *config, struct hob_str env_json, struct hob_err *err)
{
    hob_auto_json json_t *env = hob_json_parse(env_json, "the environment", err);
    const char *name;
    json_t *value;
    if (!env)
        return err->code;
    json_object_foreach(env, name, value)
    {
        if (!json_is_string(value))
            return hob_fail(err, HOB_E_INVALID, "the environment's '%s' is not a string", name);
        set_var(config, name, json_string_value(value));
    }
    return HOB_OK;
}

const struct function_config *version_config(struct version *v)
{
    struct hob_err err;
    if (v->config)
        return v->config;
    v->config = function_config_read(hob_str(v->config_json), &err);
    HOB_ASSERT(v->config); /* what is stored was judged at deploy */
    if (v->env_json) {
        enum hob_code rc = config_merge_env(v->config, hob_str(v->env_json), &err);
        HOB_ASSERT(rc == HOB_OK);
    }
    return v->config;
}

struct version *function_version_find(const struct function *f, uint32_t number)
{
    struct version *v = f->versions;
    while (v && v->number != number)
        v = v->older;
    return v;
}

bool version_is_named(const struct version *v)
{
    if (!v->function)
        return false;
    for (const struct alias *a = v->function->aliases; a; a = a->next) {
        if (a->version == v)
            return true;
    }
    return v->function->live == v;
}

/* --- finding --- */

struct app *catalog_app_find(struct catalog *c, struct hob_str name)
{
    struct app *app;
    HASH_FIND(hh, c->apps, name.at, name.n, app);
    return app;
}

struct app *catalog_apps(struct catalog *c)
{
    return c->apps;
}

static struct function *find_in_app(struct app *app, struct hob_str name)
{
    struct function *f;
    HASH_FIND(hh, app->functions, name.at, name.n, f);
    return f;
}

struct function *catalog_function_find(struct catalog *c, struct hob_str app, struct hob_str function)
{
    struct app *a = catalog_app_find(c, app);
    return a ? find_in_app(a, function) : NULL;
}

size_t catalog_functions_count(const struct catalog *c)
{
    return c->functions_n;
}

/* What a stranger sent, short enough for a message. */
static int shown(struct hob_str s)
{
    return (int)(s.n < 64 ? s.n : 64);
}

static void fail_function(struct app *app, struct hob_str name, struct hob_err *err)
{
    const char *names[HOB_MAX_FUNCTIONS_PER_APP];
    size_t n = 0;
    struct function *f, *tmp;
    HASH_ITER(hh, app->functions, f, tmp)
    {
        if (n < HOB_COUNT(names))
            names[n++] = f->name;
    }
    hob_auto_free char *word = hob_strndup(name.at, (size_t)shown(name));
    const char *near = hob_nearest(word, names, n);
    (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_function", "app '%s' has no function '%s'%s%s%s",
                          app->name, word, near ? "; did you mean '" : "", near ? near : "",
                          near ? "'?" : "");
}

static struct version *resolve_number(struct function *f, struct hob_str qualifier, struct hob_err *err)
{
    uint64_t number = 0;
    struct version *v = hob_str_u64(qualifier, &number) && number > 0 && number <= UINT32_MAX
                            ? function_version_find(f, (uint32_t)number)
                            : NULL;
    if (!v)
        (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_version",
                              "function '%s/%s' has no version %.*s; the newest is %u", f->app->name, f->name,
                              shown(qualifier), qualifier.at, f->versions ? f->versions->number : 0);
    return v;
}

static struct version *resolve_alias(struct function *f, struct hob_str qualifier, struct hob_err *err)
{
    const char *names[64];
    size_t n = 0;
    for (struct alias *a = f->aliases; a; a = a->next) {
        if (hob_str_is(qualifier, a->name))
            return a->version;
        if (n < HOB_COUNT(names))
            names[n++] = a->name;
    }
    hob_auto_free char *word = hob_strndup(qualifier.at, (size_t)shown(qualifier));
    const char *near = hob_nearest(word, names, n);
    (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_alias", "function '%s/%s' has no alias '%s'%s%s%s",
                          f->app->name, f->name, word, near ? "; did you mean '" : "", near ? near : "",
                          near ? "'?" : "");
    return NULL;
}

/* Of apps no nearest name is told: an app's name is its owner's, and who asks may be a stranger. */
struct version *catalog_resolve(struct catalog *c, struct hob_str app_name, struct hob_str function_name,
                                struct hob_str qualifier, struct hob_err *err)
{
    struct app *app = catalog_app_find(c, app_name);
    if (!app) {
        (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_app", "there is no app '%.*s'", shown(app_name),
                              app_name.at);
        return NULL;
    }
    struct function *f = find_in_app(app, function_name);
    if (!f) {
        fail_function(app, function_name, err);
        return NULL;
    }
    if (qualifier.n == 0)
        return f->live;
    if (qualifier.at[0] >= '0' && qualifier.at[0] <= '9')
        return resolve_number(f, qualifier, err);
    return resolve_alias(f, qualifier, err);
}

bool catalog_route(struct catalog *c, struct hob_str host, struct hob_str method, struct hob_str path,
                   struct route_match *ret_match)
{
    return routes_match(c->routes, host, method, path, ret_match);
}

enum hob_code catalog_routes_check(struct catalog *c, const char *app, const struct function_config *config,
                                   struct hob_err *err)
{
    for (size_t i = 0; i < config->routes_n; i++) {
        const struct route_config *route = &config->routes[i];
        const struct version *v = routes_clash(c->routes, app, config->name, route);
        bool is_same_app = v && strcmp(v->app_name, app) == 0;
        if (v)
            return hob_fail_reason(err, HOB_E_CONFLICT, "route_taken",
                                   "function '%s': the route %.64s%.100s belongs to %s%s already",
                                   config->name, route->host ? route->host : "", route->path,
                                   is_same_app ? "function " : "another app",
                                   is_same_app ? v->function_name : "");
    }
    return HOB_OK;
}

/* --- changing --- */

void catalog_listen(struct catalog *c, catalog_event_cb cb, void *ctx)
{
    c->on_event = cb;
    c->event_ctx = ctx;
}

void catalog_listen_replace(struct catalog *c, catalog_replace_cb cb, void *ctx)
{
    c->on_replace = cb;
    c->replace_ctx = ctx;
}

void catalog_listen_cloud(struct catalog *c, catalog_cloud_cb cb, void *ctx)
{
    c->on_cloud = cb;
    c->cloud_ctx = ctx;
}

static void tell(struct catalog *c, struct version *v, bool is_gone)
{
    if (c->on_event)
        c->on_event(c->event_ctx, v, is_gone);
}

static void tell_cloud(struct catalog *c, const char *app, const char *function, const struct version *live)
{
    if (c->on_cloud)
        c->on_cloud(c->cloud_ctx, app, function, live);
}

struct version *catalog_draft(struct catalog *c, const char *app, const char *function,
                              const struct version_row *row)
{
    return version_new(c, app, function, NULL, row);
}

void catalog_draft_drop(struct catalog *c, struct version *v)
{
    HOB_ASSERT(!v->function);
    tell(c, v, true);
    version_unref(v);
}

struct app *catalog_app_ensure(struct catalog *c, const struct app_row *row)
{
    struct app *app = catalog_app_find(c, hob_str(row->name));
    if (app)
        return app;
    app = hob_new(struct app);
    app->name = hob_strdup(row->name);
    app->id = row->id;
    app->created_ms = row->created_ms;
    HASH_ADD_KEYPTR(hh, c->apps, app->name, strlen(app->name), app);
    return app;
}

struct function *catalog_function_ensure(struct catalog *c, struct app *app, const struct function_row *row)
{
    struct function *f = find_in_app(app, hob_str(row->name));
    if (f)
        return f;
    f = hob_new(struct function);
    f->app = app;
    f->name = hob_strdup(row->name);
    f->id = row->id;
    f->created_ms = row->created_ms;
    HASH_ADD_KEYPTR(hh, app->functions, f->name, strlen(f->name), f);
    c->functions_n++;
    return f;
}

struct version *catalog_version_add(struct catalog *c, struct function *f, const struct version_row *row)
{
    struct version *v = function_version_find(f, row->number);
    if (v)
        return v;
    HOB_ASSERT(!f->versions || f->versions->number < row->number);
    v = version_new(c, f->app->name, f->name, f, row);
    v->older = f->versions;
    f->versions = v;
    return v;
}

void catalog_set_live(struct catalog *c, struct function *f, struct version *v, uint32_t previous_live)
{
    struct version *old = f->live;
    HOB_ASSERT(v && v->function == f);
    f->previous_live = previous_live;
    if (old == v)
        return;
    if (old && old->has_routes)
        routes_remove(c->routes, old);
    f->live = version_ref(v);
    if (v->has_routes)
        routes_add(c->routes, v);
    if (old)
        tell(c, old, false);
    tell(c, v, false);
    tell_cloud(c, f->app->name, f->name, v);
    version_unref(old);
}

void catalog_alias_put(struct catalog *c, struct function *f, const char *name, struct version *v)
{
    struct alias **at = &f->aliases;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    struct alias *a = *at;
    if (!a || strcmp(a->name, name) != 0) {
        a = hob_new(struct alias);
        a->name = hob_strdup(name);
        a->next = *at;
        *at = a;
    }
    struct version *old = a->version;
    if (old == v)
        return;
    a->version = version_ref(v);
    if (old)
        tell(c, old, false);
    tell(c, v, false);
    version_unref(old);
}

static void alias_free(struct alias *a)
{
    version_unref(a->version);
    free(a->name);
    free(a);
}

void catalog_alias_drop(struct catalog *c, struct function *f, const char *name)
{
    struct alias **at = &f->aliases;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct alias *a = *at;
    if (!a)
        return;
    *at = a->next;
    tell(c, a->version, false);
    alias_free(a);
}

static void function_free(struct function *f)
{
    while (f->aliases) {
        struct alias *next = f->aliases->next;
        alias_free(f->aliases);
        f->aliases = next;
    }
    version_unref(f->live);
    while (f->versions) {
        struct version *older = f->versions->older;
        f->versions->function = NULL;
        f->versions->older = NULL;
        version_unref(f->versions);
        f->versions = older;
    }
    free(f->name);
    free(f);
}

/* Nobody finds the function any more when its versions' listeners are told. */
void catalog_function_drop(struct catalog *c, struct function *f)
{
    if (f->live && f->live->has_routes)
        routes_remove(c->routes, f->live);
    HASH_DEL(f->app->functions, f); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    c->functions_n--;
    for (struct version *v = f->versions; v; v = v->older)
        tell(c, v, true);
    tell_cloud(c, f->app->name, f->name, NULL);
    function_free(f);
}

static void app_free(struct app *app)
{
    HOB_ASSERT(!app->functions);
    free(app->name);
    free(app);
}

void catalog_app_drop(struct catalog *c, struct app *app)
{
    struct function *f, *tmp;
    HASH_DEL(c->apps, app); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    HASH_ITER(hh, app->functions, f, tmp)
    catalog_function_drop(c, f);
    app_free(app);
}

static bool uses_secret(struct version *v, const char *name)
{
    const struct function_config *config = version_config(v);
    for (size_t i = 0; i < config->secrets_n; i++) {
        if (strcmp(config->secrets[i], name) == 0)
            return true;
    }
    return false;
}

/* Only versions that ran have a pool, and only they can have instances to replace. */
void catalog_secret_changed(struct catalog *c, struct hob_str app_name, const char *name)
{
    struct app *app = catalog_app_find(c, app_name);
    struct function *f, *tmp;
    if (!app || !c->on_replace)
        return;
    HASH_ITER(hh, app->functions, f, tmp)
    {
        for (struct version *v = f->versions; v; v = v->older) {
            if (v->pool && uses_secret(v, name))
                c->on_replace(c->replace_ctx, v);
        }
    }
}

/* --- the whole --- */

struct catalog *catalog_new(void)
{
    struct catalog *c = hob_new(struct catalog);
    c->routes = routes_new();
    return c;
}

void catalog_free(struct catalog *c)
{
    struct app *app, *tmp;
    if (!c)
        return;
    c->on_event = NULL;
    c->on_replace = NULL;
    HASH_ITER(hh, c->apps, app, tmp)
    catalog_app_drop(c, app);
    routes_free(c->routes);
    free(c);
}

void catalog_use_code(struct catalog *c, struct code_store *code)
{
    HOB_ASSERT(!c->apps);
    c->code = code;
}
