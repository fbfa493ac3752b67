#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

static void print_functions(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"FUNCTION", "VERSION", "STATE", "INSTANCES", "RUNTIME", "AGE", "URL"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        int64_t created = time_of(json_object_get(f, "created_at"));
        char age[24] = "-";
        if (created >= 0)
            age_text(hob_utc_ms() - created, age);
        table_cellf(&t, "%s/%s", text_of(f, "app"), text_of(f, "name"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "version")));
        table_cell(&t, text_of(f, "state"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "instances")));
        table_cell(&t, text_of(f, "runtime"));
        table_cell(&t, age);
        const char *url = text_of(f, "url");
        hob_auto_free char *full = hob_asprintf("%s%s", *url == '/' ? client_url(c->client) : "", url);
        table_cell(&t, full);
    }
    table_print(c, &t);
}

static void print_instances(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"INSTANCE",  "FUNCTION", "VERSION", "STATE",
                                        "IN FLIGHT", "AGE",      "IDLE",    "INVOCATIONS"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i), *id = json_object_get(f, "id");
        char age[24], idle[24];
        age_text(json_integer_value(json_object_get(f, "age_ms")), age);
        age_text(json_integer_value(json_object_get(f, "idle_ms")), idle);
        if (json_is_string(id))
            table_cell(&t, json_string_value(id));
        else
            table_cellf(&t, "%llu", (unsigned long long)json_integer_value(id));
        table_cellf(&t, "%s/%s", text_of(f, "app"), text_of(f, "function"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "version")));
        table_cell(&t, text_of(f, "state"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "in_flight")));
        table_cell(&t, age);
        table_cell(&t, idle);
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "invocations")));
    }
    table_print(c, &t);
}

static void print_apps(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"APP", "FUNCTIONS"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *app = json_array_get(list, i);
        table_cell(&t, text_of(app, "name"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(app, "functions")));
    }
    table_print(c, &t);
}

struct listing {
    const char *key, *none;
    void (*print)(struct cli *c, const json_t *list);
};

static enum hob_code list(struct cli *c, const char *path, const struct listing *l, struct hob_err *err)
{
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, err);
    if (!answer)
        return err->code;
    const json_t *rows = json_object_get(answer, l->key);
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(rows) == 0)
        note(c, "%s", l->none);
    else
        l->print(c, rows);
    return HOB_OK;
}

static enum hob_code run_instances(struct cli *c, const struct args *a, struct hob_err *err)
{
    static const struct listing l = {"instances", "No instances: nothing was called lately.",
                                     print_instances};
    const char *app = args_get(a, "app"), *name = args_at(a, 0);
    struct target t = {0};
    if (name && !strchr(name, '/') && !app) { /* an app's name */
        app = name;
        name = NULL;
    }
    if (name && target_parse(name, app, &t, err) != HOB_OK)
        return err->code;
    hob_auto_free char *path = name  ? url_path("/v1/instances?app=%s&function=%s", t.app, t.function)
                               : app ? url_path("/v1/instances?app=%s", app)
                                     : hob_strdup("/v1/instances");
    return list(c, path, &l, err);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    static const struct listing functions = {
        "functions", "No functions yet: `hob init hello && cd hello && hob deploy` makes one.",
        print_functions};
    static const struct listing apps = {
        "apps", "No apps yet: `hob init hello && cd hello && hob deploy` makes one.", print_apps};
    const char *app = args_at(a, 0) ? args_at(a, 0) : args_get(a, "app");
    if (args_has(a, "instances"))
        return run_instances(c, a, err);
    if (args_has(a, "apps"))
        return list(c, "/v1/apps", &apps, err);
    hob_auto_free char *path = app ? url_path("/v1/apps/%s/functions", app) : hob_strdup("/v1/functions");
    return list(c, path, &functions, err);
}

static const struct option ls_options[] = {
    {'a', "app", "NAME", "only this app's"},
    {'i', "instances", NULL, "instances instead of functions"},
    {0, "apps", NULL, "apps instead of functions"},
    {0},
};
const struct command cmd_ls = {
    .name = "ls",
    .usage = "[APP]",
    .summary = "List functions, apps or instances.",
    .options = ls_options,
    .positionals_max = 1,
    .run = run_ls,
};

static const struct option instances_options[] = {
    {'a', "app", "NAME", "only this app's"},
    {0},
};
const struct command cmd_instances = {
    .name = "instances",
    .usage = "[APP | APP/FUNCTION]",
    .summary = "List running instances.",
    .options = instances_options,
    .positionals_max = 1,
    .run = run_instances,
};
