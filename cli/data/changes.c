/* An app's log of changes, and the way back to a point in it. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { CALL_MS = 10 * 60 * 1000 };

static bool on_change(void *ctx, struct hob_str data)
{
    struct cli *c = ctx;
    return fwrite(data.at, 1, data.n, c->out) == data.n;
}

static enum hob_code run_changes(struct cli *c, const struct args *a, struct hob_err *err)
{
    uint64_t after, limit;
    hob_auto_free char *path = NULL;
    if (args_number(a, "after", 0, INT64_MAX, &after, err) != HOB_OK ||
        args_number(a, "limit", 100, 1000, &limit, err) != HOB_OK ||
        app_path(args_at(a, 0), "/data/changes", &path, err) != HOB_OK)
        return err->code;
    hob_auto_free char *full =
        hob_asprintf("%s?after=%llu&limit=%llu", path, (unsigned long long)after, (unsigned long long)limit);
    struct request q = {.method = "GET", .path = full, .timeout_ms = CALL_MS, .on_data = on_change, .ctx = c};
    struct response r;
    response_init(&r);
    enum hob_code rc = client_send(c, &q, &r, err);
    response_done(&r);
    return rc;
}

static enum hob_code run_restore(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *to = args_at(a, 1);
    uint64_t sequence;
    hob_auto_free char *path = NULL;
    hob_auto_json json_t *body = json_object();
    if (app_path(args_at(a, 0), "/data/restore", &path, err) != HOB_OK)
        return err->code;
    if (hob_str_u64(hob_str(to), &sequence))
        (void)json_object_set_new(body, "sequence", json_integer((json_int_t)sequence));
    else
        (void)json_object_set_new(body, "at", json_string(to));
    hob_auto_free char *question = hob_asprintf(
        "Take all objects of '%s' back to %s? What was written since is undone.", args_at(a, 0), to);
    if (confirm(c, a, question, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "POST", path, body, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "%s is where it was after change %.0f\n", args_at(a, 0),
                      json_number_value(json_object_get(answer, "sequence")));
    return HOB_OK;
}

/* --- rows --- */

static const struct option changes_options[] = {
    {0, "after", "N", "only behind this sequence number"},
    {'n', "limit", "N", "at most so many; 100 when absent"},
    {0},
};
const struct command cmd_data_changes = {
    .name = "data changes",
    .usage = "APP",
    .summary = "Print the log of changes, a JSON line each: sequence, at, op, class, id.",
    .options = changes_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_changes,
};
static const struct option restore_options[] = {OPTION_YES, {0}};
const struct command cmd_data_restore = {
    .name = "data restore",
    .usage = "APP TIME|SEQUENCE",
    .summary = "Take an app's objects back to a point in its log of changes.",
    .details =
        "hob data restore shop 2026-11-20T05:22:00.000Z\nThe restore is logged, too: it can be taken back.",
    .options = restore_options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_restore,
};
