#include "base/limits.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"
#include "manifest/manifest.h"

#include "base/banned.h"

/* Limits ---------------------------------------------------------------------------------------------------------- */

static json_t *own_limits(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < HOB_LIMIT_COUNT_; i++) {
        const struct hob_limit *l = &hob_limits[i];
        (void)json_array_append_new(list, json_pack("{s:s,s:I,s:s,s:s,s:s}", "name", l->name, "value",
                                                    (json_int_t)l->value, "unit", l->unit, "why", l->why,
                                                    "error", hob_code_info(l->code)->reason));
    }
    return json_pack("{s:o}", "limits", list);
}

/* docs/limits.md: of this program, so that the page does not depend on a server. */
static void limits_page(FILE *to)
{
    (void)fprintf(
        to,
        "# Limits\n\nEverything that a client or a function can size is bounded. This page is printed by "
        "`hob limits --markdown` from the\ntable that the code uses (`base/limits.h`); `hob limits` asks the "
        "server.\n\n| limit | value | unit | error beyond it | what |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < HOB_LIMIT_COUNT_; i++) {
        const struct hob_limit *l = &hob_limits[i];
        (void)fprintf(to, "| `%s` | %llu | %s | %s | %s |\n", l->name, (unsigned long long)l->value, l->unit,
                      hob_code_info(l->code)->reason, l->why);
    }
}

static enum hob_code run_limits(struct cli *c, const struct args *a, struct hob_err *err)
{
    static const char *const heads[] = {"LIMIT", "VALUE", "UNIT", "WHY"};
    if (args_has(a, "markdown")) {
        limits_page(c->out);
        return HOB_OK;
    }
    struct hob_err away;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/limits", NULL, &away);
    if (!answer && away.code != HOB_E_UNAVAILABLE && away.code != HOB_E_UNAUTHORIZED) {
        *err = away;
        return err->code;
    }
    if (!answer) {
        note(c, "No server asked (%s): these are the limits that this program was built with.", away.msg);
        answer = own_limits();
    }
    if (c->is_json) {
        print_json(c, answer);
        return HOB_OK;
    }
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    const json_t *list = json_object_get(answer, "limits");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *l = json_array_get(list, i);
        table_cell(&t, text_of(l, "name"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(l, "value")));
        table_cell(&t, text_of(l, "unit"));
        table_cell(&t, text_of(l, "why"));
    }
    table_print(c, &t);
    return HOB_OK;
}

static const struct option limits_options[] = {
    {0, "markdown", NULL, "this program's own, as a page (docs/limits.md)"},
    {0},
};
const struct command cmd_limits = {
    .name = "limits",
    .usage = "",
    .summary = "Print every limit that a client can meet.",
    .details = "The server's; without one, those that this program was built with.",
    .options = limits_options,
    .run = run_limits,
};

/* Schema ---------------------------------------------------------------------------------------------------------- */

static enum hob_code run_schema(struct cli *c, const struct args *a, struct hob_err *err)
{
    (void)a;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    manifest_schema_write(&w);
    if (hob_jw_end(&w, err) != HOB_OK)
        return err->code;
    (void)fprintf(c->out, "%.*s\n", HOB_STR_ARG(hob_buf_str(&b)));
    return HOB_OK;
}

const struct command cmd_schema = {
    .name = "schema",
    .usage = "",
    .summary = "Print the JSON Schema of hob.json, for editors.",
    .options = NO_OPTIONS,
    .run = run_schema,
};

/* Version --------------------------------------------------------------------------------------------------------- */

static enum hob_code run_version(struct cli *c, const struct args *a, struct hob_err *err)
{
    (void)a;
    struct hob_err away;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/version", NULL, &away);
    if (!c->client) { /* the address itself is wrong */
        *err = away;
        return err->code;
    }
    if (c->is_json) {
        hob_auto_json json_t *j = json_pack("{s:s,s:s,s:O*}", "version", HOB_VERSION, "url",
                                            client_url(c->client), "server", answer);
        if (j)
            print_json(c, j);
        return HOB_OK;
    }
    (void)fprintf(c->out, "hob %s\n", HOB_VERSION);
    if (answer) {
        (void)fprintf(c->out, "server ");
        print_safe(c->out, hob_str(text_of(answer, "version")), "");
        (void)fprintf(c->out, " at %s\n", client_url(c->client));
    } else {
        note(c, "server: %s", away.msg);
    }
    return HOB_OK;
}

const struct command cmd_version = {
    .name = "version",
    .usage = "",
    .summary = "Print the version of this program and of the server.",
    .options = NO_OPTIONS,
    .run = run_version,
};
