#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

static enum hob_code remove_app(struct cli *c, const struct args *a, struct hob_err *err)
{
    char app[65];
    if (target_app(args_at(a, 0), app, err) != HOB_OK)
        return err->code;
    hob_auto_free char *question =
        hob_asprintf("Remove the app '%s' with all its functions, versions and secrets?", app);
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_free char *path = url_path("/v1/apps/%s", app);
    hob_auto_json json_t *answer = client_call(c, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed %s\n", app);
    return HOB_OK;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (args_has(a, "all"))
        return remove_app(c, a, err);
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    if (t.qualifier[0])
        return hob_fail(
            err, HOB_E_INVALID,
            "'%.80s' names a version or an alias; rm removes a whole function (`hob alias rm` an alias)",
            args_at(a, 0));
    hob_auto_free char *question = hob_asprintf("Remove '%s/%s' with all its versions?", t.app, t.function);
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "DELETE", "", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Removed %s/%s\n", t.app, t.function);
    return HOB_OK;
}

static const struct option options[] = {
    OPTION_APP,
    OPTION_YES,
    {0, "all", NULL, "the argument is an app: remove it whole"},
    {0},
};
const struct command cmd_rm = {
    .name = "rm",
    .usage = "FUNCTION | --all APP",
    .summary = "Remove a function, or a whole app.",
    .details = "Asks on a terminal; elsewhere --yes is needed.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
