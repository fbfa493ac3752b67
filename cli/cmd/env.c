#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"
#include "manifest/manifest.h"

#include "base/banned.h"

static void print_env(struct cli *c, const json_t *env)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)env, name, value)
    {
        print_safe(c->out, hob_str(name), "");
        (void)fputc('=', c->out);
        struct hob_str s = hob_str_n(json_string_value(value), json_string_length(value));
        if (c->is_out_terminal)
            print_safe(c->out, s, "");
        else
            (void)fwrite(s.at, 1, s.n, c->out);
        (void)fputc('\n', c->out);
    }
}

static enum hob_code patch(struct cli *c, const struct target *t, json_t *set, json_t *unset,
                           struct hob_err *err)
{
    hob_auto_json json_t *body = json_pack("{s:O,s:O}", "set", set, "unset", unset);
    hob_auto_json json_t *answer = target_call(c, t, "PATCH", "/env", body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s/%s: version %lld is live with it\n", t->app, t->function,
                      (long long)json_integer_value(json_object_get(answer, "version")));
    return HOB_OK;
}

static enum hob_code run_set(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *set = json_object(), *unset = json_array();
    for (size_t i = 1; i < a->positionals_n; i++) {
        const char *equals = strchr(a->positionals[i], '=');
        if (!equals)
            return hob_fail(err, HOB_E_INVALID, "'%.60s': give NAME=VALUE", a->positionals[i]);
        hob_auto_free char *name = hob_strndup(a->positionals[i], (size_t)(equals - a->positionals[i]));
        if (env_var_check(name, equals + 1, err) != HOB_OK)
            return err->code;
        if (json_object_set_new(set, name, json_string(equals + 1)) != 0)
            return hob_fail(err, HOB_E_INVALID, "value of '%s' is not UTF-8", name);
    }
    return patch(c, &t, set, unset, err);
}

static enum hob_code run_unset(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *set = json_object(), *unset = json_array();
    for (size_t i = 1; i < a->positionals_n; i++)
        if (env_var_check(a->positionals[i], "", err) != HOB_OK ||
            json_array_append_new(unset, json_string(a->positionals[i])) != 0)
            return err->code;
    return patch(c, &t, set, unset, err);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "GET", "/env", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        print_env(c, json_object_get(answer, "env"));
    return HOB_OK;
}

static const struct option options[] = {
    OPTION_APP,
    {0},
};
const struct command cmd_env_set = {
    .name = "env set",
    .usage = "FUNCTION NAME=VALUE...",
    .summary = "Set environment variables: a new version with the same code.",
    .details =
        "They stay over later deploys and go before hob.json's \"vars\". For what is secret there is `hob secret set`.",
    .options = options,
    .positionals_min = 2,
    .positionals_max = ARG_POSITIONALS_MAX,
    .run = run_set,
};
const struct command cmd_env_unset = {
    .name = "env unset",
    .usage = "FUNCTION NAME...",
    .summary = "Take variables back; hob.json's value counts again.",
    .options = options,
    .positionals_min = 2,
    .positionals_max = ARG_POSITIONALS_MAX,
    .run = run_unset,
};
const struct command cmd_env_ls = {
    .name = "env ls",
    .usage = "FUNCTION",
    .summary = "Print a function's environment variables.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_ls,
};
