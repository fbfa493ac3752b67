#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

static void print_versions(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"VERSION", "", "AGE", "DIGEST", "ALIASES", "WHY"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i), *aliases = json_object_get(v, "aliases");
        int64_t created = time_of(json_object_get(v, "created_at"));
        char age[24] = "-", names[200] = "";
        if (created >= 0)
            age_text(hob_utc_ms() - created, age);
        for (size_t k = 0, used = 0; k < json_array_size(aliases) && used < sizeof names; k++) {
            const char *name = json_string_value(json_array_get(aliases, k));
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", k ? ", " : "", name ? name : "");
        }
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(v, "version")));
        table_cell(&t, json_is_true(json_object_get(v, "is_live")) ? "live" : "");
        table_cell(&t, age);
        table_cellf(&t, "%.12s", text_of(v, "digest"));
        table_cell(&t, names);
        table_cell(&t, text_of(v, "why"));
    }
    table_print(c, &t);
}

static enum hob_code run_versions(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "GET", "/versions", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        print_versions(c, json_object_get(answer, "versions"));
    return HOB_OK;
}

static enum hob_code run_rollback(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    const char *text = args_at(a, 1);
    uint64_t version = 0;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    text = text ? text : t.qualifier[0] ? t.qualifier : NULL; /* rollback checkout@7 */
    if (text && (!hob_str_u64(hob_str(text), &version) || version == 0 || version > UINT32_MAX))
        return hob_fail(err, HOB_E_INVALID,
                        "version '%.40s': give its number; `hob versions %s/%s` lists them", text, t.app,
                        t.function);
    hob_auto_json json_t *body = json_object();
    if (version)
        (void)json_object_set_new(body, "version", json_integer((json_int_t)version));
    hob_auto_json json_t *answer = target_call(c, &t, "POST", "/rollback", body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s/%s: version %lld is live (before: %lld)\n", t.app, t.function,
                      (long long)json_integer_value(json_object_get(answer, "version")),
                      (long long)json_integer_value(json_object_get(answer, "previous")));
    return HOB_OK;
}

static const struct option options[] = {
    OPTION_APP,
    {0},
};
const struct command cmd_versions = {
    .name = "versions",
    .usage = "FUNCTION",
    .summary = "List a function's versions, newest first.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_versions,
};
const struct command cmd_rollback = {
    .name = "rollback",
    .usage = "FUNCTION [VERSION]",
    .summary = "Make an older version live again; without VERSION the one before.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 2,
    .run = run_rollback,
};
