#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

/* The function and the path of one alias of it; *ret_path is owned. */
static enum hob_code alias_path(const struct args *a, struct target *t, char **ret_path, struct hob_err *err)
{
    const char *alias = args_at(a, 1);
    if (target_parse(args_at(a, 0), args_get(a, "app"), t, err) != HOB_OK)
        return err->code;
    if (!hob_name_is_valid(hob_str(alias)))
        return hob_fail(err, HOB_E_INVALID,
                        "alias '%.70s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first", alias);
    *ret_path = url_path("/aliases/%s", alias);
    return HOB_OK;
}

static enum hob_code run_set(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    uint64_t version;
    hob_auto_free char *path = NULL;
    if (alias_path(a, &t, &path, err) != HOB_OK)
        return err->code;
    if (!hob_str_u64(hob_str(args_at(a, 2)), &version) || version == 0 || version > UINT32_MAX)
        return hob_fail(err, HOB_E_INVALID,
                        "version '%.40s': give its number; `hob versions %s/%s` lists them", args_at(a, 2),
                        t.app, t.function);
    hob_auto_json json_t *body = json_pack("{s:I}", "version", (json_int_t)version);
    hob_auto_json json_t *answer = target_call(c, &t, "PUT", path, body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s/%s:%s is version %llu\n", t.app, t.function, args_at(a, 1),
                      (unsigned long long)version);
    return HOB_OK;
}

static enum hob_code run_rm(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    hob_auto_free char *path = NULL;
    if (alias_path(a, &t, &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed %s/%s:%s\n", t.app, t.function, args_at(a, 1));
    return HOB_OK;
}

/* {"aliases":[{"alias","version"}]}; an object of names is understood, too */
static void print_aliases(struct cli *c, const json_t *aliases)
{
    static const char *const heads[] = {"ALIAS", "VERSION"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        const json_t *one = json_array_get(aliases, i);
        table_cell(&t, *text_of(one, "alias") ? text_of(one, "alias") : text_of(one, "name"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(one, "version")));
    }
    const char *name;
    json_t *version;
    json_object_foreach((json_t *)(uintptr_t)aliases, name, version)
    {
        table_cell(&t, name);
        table_cellf(&t, "%lld", (long long)json_integer_value(version));
    }
    table_print(c, &t);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "GET", "/aliases", NULL, err);
    if (!answer)
        return err->code;
    const json_t *aliases = json_object_get(answer, "aliases");
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(aliases) + json_object_size(aliases) == 0)
        note(c, "No aliases: `hob alias set %s/%s prod VERSION` makes one.", t.app, t.function);
    else
        print_aliases(c, aliases);
    return HOB_OK;
}

static const struct option options[] = {
    OPTION_APP,
    {0},
};
const struct command cmd_alias_set = {
    .name = "alias set",
    .usage = "FUNCTION ALIAS VERSION",
    .summary = "Give a version a name, or move the name.",
    .options = options,
    .positionals_min = 3,
    .positionals_max = 3,
    .run = run_set,
};
const struct command cmd_alias_ls = {
    .name = "alias ls",
    .usage = "FUNCTION",
    .summary = "List a function's aliases.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_ls,
};
const struct command cmd_alias_rm = {
    .name = "alias rm",
    .usage = "FUNCTION ALIAS",
    .summary = "Remove an alias.",
    .options = options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_rm,
};
