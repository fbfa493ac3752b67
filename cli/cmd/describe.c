#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

/* One value as people read it: text without quotes, everything else as JSON. */
static void print_value(struct cli *c, const json_t *v)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    if (json_is_string(v)) {
        print_safe(c->out, hob_str_n(json_string_value(v), json_string_length(v)), "");
        return;
    }
    if (v)
        hob_jw_json(&w, v);
    print_safe(c->out, hob_buf_str(&b), "");
}

static void print_row(struct cli *c, const char *name, const json_t *v)
{
    (void)fprintf(c->out, "%s%-18s%s", colour_on(c->has_colour_out, COLOUR_DIM), name,
                  colour_off(c->has_colour_out));
    print_value(c, v);
    (void)fputc('\n', c->out);
}

/* The members of an object, one a line. */
static void print_section(struct cli *c, const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_object_size(object))
        return;
    (void)fprintf(c->out, "\n%s%s%s\n", colour_on(c->has_colour_out, COLOUR_BOLD), title,
                  colour_off(c->has_colour_out));
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        (void)fprintf(c->out, "  ");
        print_safe(c->out, hob_str(key), "");
        (void)fprintf(c->out, " = ");
        print_value(c, value);
        (void)fputc('\n', c->out);
    }
}

static void print_function(struct cli *c, const json_t *f)
{
    static const char *const rows[] = {"url",    "version", "state",   "runtime", "created_at",
                                       "routes", "aliases", "secrets", "crash"};
    (void)fprintf(c->out, "%s", colour_on(c->has_colour_out, COLOUR_BOLD));
    print_safe(c->out, hob_str(text_of(f, "app")), "");
    (void)fputc('/', c->out);
    print_safe(c->out, hob_str(text_of(f, "name")), "");
    (void)fprintf(c->out, "%s\n", colour_off(c->has_colour_out));
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        const json_t *v = json_object_get(f, rows[i]);
        bool is_empty = !v || json_is_null(v) || (json_is_array(v) && !json_array_size(v)) ||
                        (json_is_object(v) && !json_object_size(v));
        if (!is_empty)
            print_row(c, rows[i], v);
    }
    const json_t *instances = json_object_get(f, "instances");
    if (json_is_integer(instances))
        print_row(c, "instances", instances);
    for (size_t i = 0; i < json_array_size(instances); i++)
        print_row(c, i ? "" : "instances", json_array_get(instances, i));
    print_section(c, "Environment", json_object_get(f, "env"));
    print_section(c, "Configuration", json_object_get(f, "config"));
}

static void print_isolation(struct cli *c, const json_t *answer)
{
    const json_t *instances = json_object_get(answer, "instances");
    if (!json_array_size(instances))
        (void)fprintf(c->out, "no instance runs: call the function, then ask again\n");
    for (size_t i = 0; i < json_array_size(instances); i++) {
        const json_t *in = json_array_get(instances, i), *walls = json_object_get(in, "walls");
        (void)fprintf(c->out, "%s%sinstance ", i ? "\n" : "", colour_on(c->has_colour_out, COLOUR_BOLD));
        print_safe(c->out, hob_str(text_of(in, "id")), "");
        (void)fprintf(c->out, ", version ");
        print_value(c, json_object_get(in, "version"));
        (void)fprintf(c->out, "%s\n", colour_off(c->has_colour_out));
        for (size_t k = 0; k < json_array_size(walls); k++)
            print_row(c, text_of(json_array_get(walls, k), "name"),
                      json_object_get(json_array_get(walls, k), "what"));
    }
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    bool is_isolation = args_has(a, "isolation");
    hob_auto_json json_t *answer = target_call(c, &t, "GET", is_isolation ? "/isolation" : "", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else if (is_isolation)
        print_isolation(c, answer);
    else
        print_function(c, answer);
    return HOB_OK;
}

static const struct option options[] = {
    OPTION_APP,
    {'\0', "isolation", NULL, "the walls in force around each running instance instead"},
    {0},
};
const struct command cmd_describe = {
    .name = "describe",
    .usage = "FUNCTION",
    .summary = "Show all about a function: configuration, environment, aliases, instances.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
