/* Apps with a backend: made, listed, shown, set, removed. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

/* --- settings: NAME=VALUE, the value JSON, else a text ---------------------------------------------------------------- */

static enum hob_code setting_add(json_t *settings, const char *text, struct hob_err *err)
{
    struct hob_err ignored;
    struct hob_str value, name = hob_str_cut(hob_str(text), '=', &value);
    if (!value.at || name.n == 0)
        return hob_fail(err, HOB_E_INVALID, "setting '%.80s': write NAME=VALUE, for example maxLimit=500",
                        text);
    hob_auto_free char *key = hob_strndup(name.at, name.n);
    json_t *parsed = hob_json_parse(value, "the value", &ignored);
    if (!parsed && value.n && strchr("{[", value.at[0]))
        return hob_fail(err, HOB_E_INVALID, "setting '%s': the value is no JSON: %s", key, ignored.msg);
    (void)json_object_set_new(settings, key, parsed ? parsed : json_stringn(value.at, value.n));
    return HOB_OK;
}

static enum hob_code take_settings(json_t *settings, const struct args *a, size_t from, struct hob_err *err)
{
    for (size_t i = from; i < a->positionals_n; i++)
        if (setting_add(settings, a->positionals[i], err) != HOB_OK)
            return err->code;
    return HOB_OK;
}

/* --- app create ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *option, *kind;
} key_options[] = {{"master-key", "master"},           {"read-only-master-key", "read-only-master"},
                   {"maintenance-key", "maintenance"}, {"client-key", "client"},
                   {"javascript-key", "javascript"},   {"rest-key", "rest"},
                   {"dotnet-key", "dotnet"},           {"webhook-key", "webhook"}};

static enum hob_code new_body(const struct args *a, json_t *body, struct hob_err *err)
{
    json_t *keys = json_object(), *settings = json_object();
    (void)json_object_set_new(body, "keys", keys);
    (void)json_object_set_new(body, "settings", settings);
    for (size_t i = 0; i < HOB_COUNT(key_options); i++) {
        const char *key = args_get(a, key_options[i].option);
        if (key)
            (void)json_object_set_new(keys, key_options[i].kind, json_string(key));
    }
    if (args_get(a, "app-id"))
        (void)json_object_set_new(body, "application_id", json_string(args_get(a, "app-id")));
    return take_settings(settings, a, 1, err);
}

static enum hob_code run_create(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    hob_auto_json json_t *body = json_object();
    if (app_path(args_at(a, 0), "/backend", &path, err) != HOB_OK || new_body(a, body, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "POST", path, body, err);
    if (!answer)
        return err->code;
    if (c->is_json) {
        print_json(c, answer);
        return HOB_OK;
    }
    (void)fprintf(c->out,
                  "Created %s\n  server URL      %s/parse\n  application id  %s\n  master key      %s\n",
                  args_at(a, 0), client_url(c->client), text_of(answer, "application_id"),
                  text_of(answer, "master_key"));
    note(
        c,
        "The master key is shown this once: keep it where only servers can read it. "
        "Apps need the server URL and the application id; `hob key create %s javascript` makes a client key.",
        args_at(a, 0));
    return HOB_OK;
}

/* --- app ls, show ---------------------------------------------------------------------------------------------------- */

static void keys_text(const json_t *keys, struct hob_buf *out)
{
    hob_buf_clear(out);
    for (size_t i = 0; i < json_array_size(keys); i++)
        (void)!hob_buf_addf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(keys, i)));
    (void)!hob_buf_add(out, "", 1);
}

static void print_backends(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"APP", "APPLICATION ID", "KEYS", "AGE"};
    hob_auto_buf struct hob_buf keys;
    struct table t;
    hob_buf_init(&keys, 1024);
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        int64_t created = time_of(json_object_get(one, "created_at"));
        char age[24] = "-";
        if (created >= 0)
            age_text(hob_utc_ms() - created, age);
        keys_text(json_object_get(one, "keys"), &keys);
        table_cell(&t, text_of(one, "app"));
        table_cell(&t, text_of(one, "application_id"));
        table_cell(&t, hob_buf_data(&keys));
        table_cell(&t, age);
    }
    table_print(c, &t);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    (void)a;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/backends", NULL, err);
    if (!answer)
        return err->code;
    const json_t *list = json_object_get(answer, "backends");
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(list) == 0)
        note(c, "No app has a backend: `hob app create NAME` makes one.");
    else
        print_backends(c, list);
    return HOB_OK;
}

static void print_backend(struct cli *c, const json_t *b)
{
    static const char *const heads[] = {"SETTING", "VALUE"};
    const char *name;
    json_t *value;
    hob_auto_buf struct hob_buf keys;
    struct table t;
    hob_buf_init(&keys, 1024);
    keys_text(json_object_get(b, "keys"), &keys);
    (void)fprintf(c->out, "%s\n  server URL      %s/parse\n  application id  %s\n  keys            %s\n\n",
                  text_of(b, "app"), client_url(c->client), text_of(b, "application_id"),
                  hob_buf_data(&keys));
    table_init(&t, HOB_COUNT(heads), heads);
    json_object_foreach(json_object_get(b, "settings"), name, value)
    {
        hob_auto_buf struct hob_buf text;
        struct hob_jw w;
        hob_buf_init(&text, 65536);
        hob_jw_init(&w, &text);
        hob_jw_json(&w, value);
        (void)!hob_buf_add(&text, "", 1);
        table_cell(&t, name);
        table_cell(&t, hob_buf_data(&text));
    }
    table_print(c, &t);
}

static enum hob_code run_show(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (app_path(args_at(a, 0), "/backend", &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        print_backend(c, answer);
    return HOB_OK;
}

/* --- app set, rm ------------------------------------------------------------------------------------------------------ */

static enum hob_code run_set(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    hob_auto_json json_t *body = json_object();
    json_t *settings = json_object();
    (void)json_object_set_new(body, "settings", settings);
    if (app_path(args_at(a, 0), "/backend", &path, err) != HOB_OK ||
        take_settings(settings, a, 1, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "PATCH", path, body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Set %zu of %s; in force now\n", json_object_size(settings), args_at(a, 0));
    return HOB_OK;
}

static enum hob_code run_rm(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (app_path(args_at(a, 0), "/backend", &path, err) != HOB_OK)
        return err->code;
    hob_auto_free char *question =
        hob_asprintf("Remove the backend of '%s' with ALL its data, users and files? (Its functions stay.)",
                     args_at(a, 0));
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed the backend of %s\n", args_at(a, 0));
    return HOB_OK;
}

/* --- keys ------------------------------------------------------------------------------------------------------------- */

static enum hob_code key_path(const struct args *a, char **ret_path, struct hob_err *err)
{
    hob_auto_free char *below = url_path("/backend/keys/%s", args_at(a, 1));
    return app_path(args_at(a, 0), below, ret_path, err);
}

static enum hob_code run_key_create(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    hob_auto_json json_t *body = json_object();
    if (key_path(a, &path, err) != HOB_OK)
        return err->code;
    if (args_get(a, "value"))
        (void)json_object_set_new(body, "value", json_string(args_get(a, "value")));
    hob_auto_json json_t *answer = client_call(c, "PUT", path, body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s\n", text_of(answer, "value"));
    note(c, "That is the %s key of %s from now on; it is not shown again.", args_at(a, 1), args_at(a, 0));
    return HOB_OK;
}

static enum hob_code run_key_rm(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (key_path(a, &path, err) != HOB_OK)
        return err->code;
    hob_auto_free char *question = hob_asprintf(
        "Remove the %s key of '%s'? Clients that send it are refused.", args_at(a, 1), args_at(a, 0));
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed the %s key of %s\n", args_at(a, 1), args_at(a, 0));
    return HOB_OK;
}

/* --- rows ------------------------------------------------------------------------------------------------------------- */

static const struct option create_options[] = {
    {0, "app-id", "ID", "the application id that clients send; the app's name when absent"},
    {0, "master-key", "KEY", "of a server that moves here; made when absent"},
    {0, "read-only-master-key", "KEY", "reads everything, writes nothing"},
    {0, "maintenance-key", "KEY", "may also change fields of the system"},
    {0, "client-key", "KEY", "with any client key set, clients must send one"},
    {0, "javascript-key", "KEY", "likewise"},
    {0, "rest-key", "KEY", "likewise"},
    {0, "dotnet-key", "KEY", "likewise"},
    {0, "webhook-key", "KEY", "sent to webhooks as X-Parse-Webhook-Key"},
    {0},
};
const struct command cmd_app_create = {
    .name = "app create",
    .usage = "NAME [SETTING=VALUE...]",
    .summary = "Give an app a backend: data, users, files and cloud code by the Parse protocol.",
    .details =
        "hob app create shop\nhob app create shop --app-id myAppId --master-key KEY maxLimit=500\n"
        "Keys given as options are seen by others in the list of processes; those made here are shown once.",
    .options = create_options,
    .positionals_min = 1,
    .positionals_max = ARG_POSITIONALS_MAX,
    .run = run_create,
};
const struct command cmd_app_ls = {
    .name = "app ls",
    .usage = "",
    .summary = "List the apps that have a backend.",
    .options = NO_OPTIONS,
    .run = run_ls,
};
const struct command cmd_app_show = {
    .name = "app show",
    .usage = "NAME",
    .summary = "Show an app's backend: server URL, application id, keys, settings.",
    .options = NO_OPTIONS,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_show,
};
const struct command cmd_app_set = {
    .name = "app set",
    .usage = "NAME SETTING=VALUE...",
    .summary = "Change settings of an app's backend.",
    .details =
        "hob app set shop allowClientClassCreation=false 'accountLockout={\"threshold\":5,\"duration\":10}'\n"
        "A value is JSON, else a text; null takes a setting back to its default. docs/backend.md lists them.",
    .options = NO_OPTIONS,
    .positionals_min = 2,
    .positionals_max = ARG_POSITIONALS_MAX,
    .run = run_set,
};
static const struct option rm_options[] = {OPTION_YES, {0}};
const struct command cmd_app_rm = {
    .name = "app rm",
    .usage = "NAME",
    .summary = "Remove an app's backend with all its data.",
    .options = rm_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_rm,
};
static const struct option key_create_options[] = {
    {0, "value", "KEY", "the key itself; made when absent"},
    {0},
};
const struct command cmd_key_create = {
    .name = "key create",
    .usage = "APP KIND",
    .summary =
        "Make or replace a key: master, read-only-master, maintenance, client, javascript, rest, dotnet, webhook.",
    .options = key_create_options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_key_create,
};
const struct command cmd_key_rm = {
    .name = "key rm",
    .usage = "APP KIND",
    .summary = "Remove a key; clients that send it are refused.",
    .options = rm_options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_key_rm,
};
