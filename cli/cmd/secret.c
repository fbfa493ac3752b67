#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

static enum hob_code secret_path(const struct args *a, const char *name, char **ret_path, struct hob_err *err)
{
    char app[65];
    bool is_name = isalpha((unsigned char)name[0]) != 0;
    for (const char *ch = name; *ch; ch++)
        is_name = is_name && (isalnum((unsigned char)*ch) || *ch == '_');
    if (!is_name || strlen(name) > 128)
        return hob_fail(
            err, HOB_E_INVALID,
            "secret name '%.60s': use A-Z, a-z, 0-9 and '_', a letter first, at most 128 characters", name);
    if (target_app(args_get(a, "app"), app, err) != HOB_OK)
        return err->code;
    *ret_path = url_path("/v1/apps/%s/secrets/%s", app, name);
    return HOB_OK;
}

static enum hob_code value_read(struct cli *c, const struct args *a, struct hob_buf *value,
                                struct hob_err *err)
{
    const char *given = args_get(a, "value");
    if (!given)
        return read_secret(c, "Value (not shown): ", value, err);
    warn(
        c,
        "--value is seen by others in the list of processes and kept in the shell's history; better: hob secret set NAME < FILE");
    if (hob_buf_add(value, given, strlen(given)) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "--value has %zu bytes, at most %zu are allowed", strlen(given),
                        value->max);
    return HOB_OK;
}

static enum hob_code run_set(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (secret_path(a, args_at(a, 0), &path, err) != HOB_OK)
        return err->code;
    hob_auto_buf struct hob_buf value;
    hob_buf_init(&value, HOB_MAX_SECRET_BYTES + 1); /* one more for the line end that is cut off */
    if (value_read(c, a, &value, err) != HOB_OK)
        return err->code;
    if (value.n == 0)
        return hob_fail(err, HOB_E_INVALID, "the value of '%s' is empty; `hob secret rm %s` removes it",
                        args_at(a, 0), args_at(a, 0));
    if (value.n > HOB_MAX_SECRET_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE, "the value of '%s' has more than %d bytes", args_at(a, 0),
                        HOB_MAX_SECRET_BYTES);
    bool is_text = hob_utf8_is_valid(hob_buf_str(&value)) && !memchr(hob_buf_data(&value), 0, value.n);
    if (!is_text)
        return hob_fail(err, HOB_E_INVALID, "the value of '%s' is not UTF-8 text; encode it as base64",
                        args_at(a, 0));
    hob_auto_json json_t *body = json_object();
    (void)json_object_set_new(body, "value", json_stringn(hob_buf_data(&value), value.n));
    hob_auto_json json_t *answer = client_call(c, "PUT", path, body, err);
    explicit_bzero(hob_buf_data(&value), value.n);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Set %s\n", args_at(a, 0));
    return HOB_OK;
}

static enum hob_code run_rm(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (secret_path(a, args_at(a, 0), &path, err) != HOB_OK)
        return err->code;
    hob_auto_free char *question = hob_asprintf("Remove the secret '%s'?", args_at(a, 0));
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed %s\n", args_at(a, 0));
    return HOB_OK;
}

static void print_secrets(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"SECRET", "AGE"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        int64_t updated = time_of(json_object_get(one, "updated_at"));
        char age[24] = "-";
        if (updated >= 0)
            age_text(hob_utc_ms() - updated, age);
        table_cell(&t, json_is_string(one) ? json_string_value(one) : text_of(one, "name"));
        table_cell(&t, age);
    }
    table_print(c, &t);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    char app[65];
    if (target_app(args_at(a, 0) ? args_at(a, 0) : args_get(a, "app"), app, err) != HOB_OK)
        return err->code;
    hob_auto_free char *path = url_path("/v1/apps/%s/secrets", app);
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, err);
    if (!answer)
        return err->code;
    const json_t *list = json_object_get(answer, "secrets");
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(list) == 0)
        note(c, "No secrets in %s: `hob secret set NAME --app %s` sets one.", app, app);
    else
        print_secrets(c, list);
    return HOB_OK;
}

static const struct option set_options[] = {
    {'a', "app", "NAME", "the app; without it, that of the nearest hob.json"},
    {0, "value", "VALUE", "the value itself; others can see it, so better give it on stdin"},
    {0},
};
const struct command cmd_secret_set = {
    .name = "secret set",
    .usage = "NAME",
    .summary = "Set a secret; the value comes from stdin, or is asked for without echo.",
    .details =
        "hob secret set PAY_KEY < key.txt\nOne line end behind the value is cut off. Values never come back from the server.",
    .options = set_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_set,
};
static const struct option rm_options[] = {
    {'a', "app", "NAME", "the app; without it, that of the nearest hob.json"},
    OPTION_YES,
    {0},
};
const struct command cmd_secret_rm = {
    .name = "secret rm",
    .usage = "NAME",
    .summary = "Remove a secret.",
    .options = rm_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_rm,
};
static const struct option ls_options[] = {
    {'a', "app", "NAME", "the app; without it, that of the nearest hob.json"},
    {0},
};
const struct command cmd_secret_ls = {
    .name = "secret ls",
    .usage = "[APP]",
    .summary = "List the names of an app's secrets.",
    .options = ls_options,
    .positionals_max = 1,
    .run = run_ls,
};
