#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

static void print_engines(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"ENGINE", "STATE", "WHAT"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        table_cell(&t, text_of(e, "name"));
        table_cell(&t, text_of(e, "state"));
        if (*text_of(e, "version"))
            table_cellf(&t, "Docker %s, API %s, %s, %s", text_of(e, "version"), text_of(e, "api"),
                        text_of(e, "runtime"), text_of(e, "host"));
        else
            table_cell(&t, text_of(e, "reason"));
    }
    table_print(c, &t);
}

static enum hob_code run_ls(struct cli *c, const struct args *a, struct hob_err *err)
{
    (void)a;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/engines", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        print_engines(c, json_object_get(answer, "engines"));
    return HOB_OK;
}

static enum hob_code run_test(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *name = args_at(a, 0);
    hob_auto_free char *path = url_path("/v1/engines/%s/test", name ? name : "docker");
    hob_auto_json json_t *answer = client_call(c, "POST", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json) {
        print_json(c, answer);
        return HOB_OK;
    }
    (void)fprintf(c->out, "%s works", text_of(answer, "name"));
    const json_t *took = json_object_get(answer, "start_ms");
    if (took)
        (void)fprintf(c->out, ": a container started in %lld ms", (long long)json_integer_value(took));
    (void)fputc('\n', c->out);
    return HOB_OK;
}

static void print_images(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"IMAGE", "KIND", "NAME", "MB", "STATE"};
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        table_cellf(&t, "%.19s", text_of(one, "image"));
        table_cell(&t, text_of(one, "kind"));
        table_cell(&t, text_of(one, "name"));
        table_cellf(&t, "%.1f", (double)json_integer_value(json_object_get(one, "bytes")) / 1e6);
        table_cell(&t, text_of(one, "state"));
    }
    table_print(c, &t);
}

static void print_collected(struct cli *c, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "images");
    bool is_dry = json_is_true(json_object_get(answer, "dry_run"));
    long long removed = (long long)json_integer_value(json_object_get(answer, "removed"));
    long long left = (long long)json_integer_value(json_object_get(answer, "left"));
    if (json_array_size(list))
        print_images(c, list);
    note(c, "%lld images %s.", removed,
         is_dry ? "would be removed; a dry run: nothing was changed" : "removed");
    if (left)
        note(c, "%lld more are left: run it again.", left);
}

static enum hob_code run_gc(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_json json_t *answer = client_call(
        c, "POST", args_has(a, "dry-run") ? "/v1/engines/docker/gc?dry_run=1" : "/v1/engines/docker/gc", NULL,
        err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        print_collected(c, answer);
    return HOB_OK;
}

static enum hob_code run_build(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = url_path("/v1/runtimes/%s/image", args_at(a, 0));
    note(c, "looking at this machine's files for runtime '%s' ...", args_at(a, 0));
    hob_auto_json json_t *answer = client_call(c, "POST", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s %s\n", text_of(answer, "image"),
                      json_is_true(json_object_get(answer, "built")) ? "built" : "was there");
    return HOB_OK;
}

const struct command cmd_engine_ls = {
    .name = "engine ls",
    .usage = "",
    .summary = "List what isolates functions on the server, and what is missing.",
    .options = NO_OPTIONS,
    .run = run_ls,
};
const struct command cmd_engine_test = {
    .name = "engine test",
    .usage = "[NAME]",
    .summary = "Start something in an engine (docker without NAME) and remove it again.",
    .options = NO_OPTIONS,
    .positionals_max = 1,
    .run = run_test,
};
static const struct option gc_options[] = {
    {0, "dry-run", NULL, "only say which"},
    {0},
};
const struct command cmd_engine_gc = {
    .name = "engine gc",
    .usage = "[--dry-run]",
    .summary = "Remove the images that Hob made or pulled and that no version needs any more.",
    .details =
        "The server does it by itself every hour. Images of others, with a container, or with a name of others stay.",
    .options = gc_options,
    .run = run_gc,
};
const struct command cmd_runtime_build = {
    .name = "runtime build",
    .usage = "RUNTIME",
    .summary = "Make the docker engine's image of a runtime from the server's own files.",
    .details =
        "The first start of a function in a container does it by itself; ahead, nobody has to wait for it.",
    .options = NO_OPTIONS,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_build,
};
