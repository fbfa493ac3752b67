/* Indexes of an app's data: what the advisor proposes, what there are; made and dropped. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { FIELDS_BYTES_MAX = 4096 };

/* {"total":1,"at":-1,"place":"2dsphere"} as "total, -at, place:2dsphere". */
static void fields_text(const json_t *keys, struct hob_buf *out)
{
    const char *name, *between = "";
    json_t *value;
    hob_buf_clear(out);
    json_object_foreach((json_t *)(uintptr_t)keys, name, value)
    {
        if (json_is_string(value))
            (void)!hob_buf_addf(out, "%s%s:%s", between, name, json_string_value(value));
        else
            (void)!hob_buf_addf(out, "%s%s%s", between, json_number_value(value) < 0 ? "-" : "", name);
        between = ", ";
    }
    (void)!hob_buf_add(out, "", 1);
}

/* The other way round, without spaces. */
static enum hob_code keys_of(struct hob_str text, json_t *keys, struct hob_err *err)
{
    while (text.at && text.n) {
        struct hob_str kind, one = hob_str_trim(hob_str_cut(text, ',', &text));
        struct hob_str field = hob_str_cut(one, ':', &kind);
        bool is_down = field.n && field.at[0] == '-';
        hob_auto_free char *name = hob_strndup(field.at + is_down, field.n - is_down);
        json_t *value = kind.at ? json_stringn(kind.at, kind.n) : json_integer(is_down ? -1 : 1);
        if (!*name || json_object_get(keys, name)) {
            json_decref(value);
            return hob_fail(err, HOB_E_INVALID, "'%.*s': write fields like total,-at or place:2dsphere",
                            one.n > 60 ? 60 : (int)one.n, one.at);
        }
        (void)json_object_set_new(keys, name, value);
    }
    return json_object_size(keys) ? HOB_OK : hob_fail(err, HOB_E_INVALID, "name at least one field");
}

/* --- making ---------------------------------------------------------------------------------------------------------- */

static enum hob_code make(struct cli *c, const char *app, const json_t *body, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    char took[24];
    if (app_path(app, "/data/indexes", &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *made = client_call(c, "POST", path, body, err);
    if (!made)
        return hob_err_wrap(err, "the index on %s", text_of(body, "class"));
    millis_text(json_number_value(json_object_get(made, "took_ms")), took);
    if (c->is_json)
        print_json(c, made);
    else
        (void)fprintf(c->out, "Made %s on %s in %s\n", text_of(made, "name"), text_of(made, "class"), took);
    return HOB_OK;
}

/* --- data advise ----------------------------------------------------------------------------------------------------- */

static void print_advice(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"CLASS", "FIELDS", "SLOW QUERIES", "AVERAGE",
                                        "WORST", "IN ALL", "OBJECTS"};
    hob_auto_buf struct hob_buf fields;
    struct table t;
    hob_buf_init(&fields, FIELDS_BYTES_MAX);
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        static const char *const times[] = {"average_ms", "worst_ms", "total_ms"};
        const json_t *one = json_array_get(list, i);
        fields_text(json_object_get(one, "keys"), &fields);
        table_cell(&t, text_of(one, "class"));
        table_cell(&t, hob_buf_data(&fields));
        table_cellf(&t, "%.0f", json_number_value(json_object_get(one, "queries")));
        for (size_t k = 0; k < HOB_COUNT(times); k++) {
            char text[24];
            millis_text(json_number_value(json_object_get(one, times[k])), text);
            table_cell(&t, text);
        }
        table_cellf(&t, "%.0f", json_number_value(json_object_get(one, "objects")));
    }
    table_print(c, &t);
}

static enum hob_code apply(struct cli *c, const char *app, const json_t *list, struct hob_err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        hob_auto_json json_t *body = json_object();
        static const char *const members[] = {"class", "keys", "name"};
        for (size_t k = 0; k < HOB_COUNT(members); k++)
            (void)json_object_set(body, members[k], json_object_get(one, members[k]));
        if (make(c, app, body, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code run_advise(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *app = args_at(a, 0);
    hob_auto_free char *path = NULL;
    if (app_path(app, "/data/advice", &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, err);
    if (!answer)
        return err->code;
    const json_t *list = json_object_get(answer, "advice");
    if (args_has(a, "apply"))
        return apply(c, app, list, err);
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(list) == 0)
        note(c, "No index would have helped: no query that one could serve was slow (setting slowQueryMs).");
    else
        print_advice(c, list);
    if (json_array_size(list) && !c->is_json)
        note(
            c,
            "With such an index, a query that took the average takes about a millisecond. `hob data advise %s "
            "--apply` makes them; the app's writes wait 1 to 2 seconds for each million objects.",
            app);
    return HOB_OK;
}

/* --- data indexes ---------------------------------------------------------------------------------------------------- */

static void print_indexes(struct cli *c, const json_t *list)
{
    static const char *const heads[] = {"CLASS", "NAME", "FIELDS", "UNIQUE", "SIZE"};
    hob_auto_buf struct hob_buf fields;
    struct table t;
    hob_buf_init(&fields, FIELDS_BYTES_MAX);
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *bytes = json_object_get(one, "bytes");
        char size[24] = "-";
        if (bytes)
            bytes_text((uint64_t)json_number_value(bytes), size);
        fields_text(json_object_get(one, "keys"), &fields);
        table_cell(&t, text_of(one, "class"));
        table_cell(&t, text_of(one, "name"));
        table_cell(&t, hob_buf_data(&fields));
        table_cell(&t, json_is_true(json_object_get(one, "unique")) ? "yes" : "");
        table_cell(&t, size);
    }
    table_print(c, &t);
}

/* CLASS/REST of an option's value. */
static enum hob_code split(const char *text, const char *what, char **ret_class, const char **ret_rest,
                           struct hob_err *err)
{
    const char *slash = strchr(text, '/');
    if (!slash || slash == text || !slash[1])
        return hob_fail(err, HOB_E_INVALID, "'%.80s': write %s", text, what);
    *ret_class = hob_strndup(text, (size_t)(slash - text));
    *ret_rest = slash + 1;
    return HOB_OK;
}

static enum hob_code make_one(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *class_name = NULL;
    hob_auto_json json_t *body = json_object();
    json_t *keys = json_object();
    const char *fields = "";
    (void)json_object_set_new(body, "keys", keys);
    if (split(args_get(a, "make"), "CLASS/FIELD,-FIELD", &class_name, &fields, err) != HOB_OK ||
        keys_of(hob_str(fields), keys, err) != HOB_OK)
        return err->code;
    (void)json_object_set_new(body, "class", json_string(class_name));
    if (args_has(a, "unique"))
        (void)json_object_set_new(body, "unique", json_true());
    return make(c, args_at(a, 0), body, err);
}

static enum hob_code drop_one(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *class_name = NULL, *path = NULL;
    const char *name = "";
    if (split(args_get(a, "drop"), "CLASS/NAME", &class_name, &name, err) != HOB_OK)
        return err->code;
    hob_auto_free char *below = url_path("/data/indexes?class=%s&name=%s", class_name, name);
    if (app_path(args_at(a, 0), below, &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "DELETE", path, NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        (void)fprintf(c->out, "Dropped %s of %s\n", name, class_name);
    return HOB_OK;
}

static enum hob_code run_indexes(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_free char *path = NULL;
    if (args_has(a, "make") && args_has(a, "drop"))
        return hob_fail(err, HOB_E_INVALID, "either --make or --drop");
    if (args_has(a, "make"))
        return make_one(c, a, err);
    if (args_has(a, "drop"))
        return drop_one(c, a, err);
    if (app_path(args_at(a, 0), "/data/indexes", &path, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, err);
    if (!answer)
        return err->code;
    const json_t *list = json_object_get(answer, "indexes");
    if (c->is_json)
        print_json(c, answer);
    else if (json_array_size(list) == 0)
        note(c, "No class has an index of its own (each has those of objectId and createdAt).");
    else
        print_indexes(c, list);
    return HOB_OK;
}

static const struct option advise_options[] = {{0, "apply", NULL, "make them, one after another"}, {0}};
const struct command cmd_data_advise = {
    .name = "data advise",
    .usage = "APP",
    .summary = "Print the indexes that would have helped an app's slow queries, what cost most first.",
    .details =
        "hob data advise shop\nhob data advise shop --apply\n"
        "A query is slow from the setting slowQueryMs on. The setting autoIndex makes them without being asked.",
    .options = advise_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_advise,
};
static const struct option indexes_options[] = {
    {0, "make", "CLASS/FIELDS", "make one, for example Order/customer,-total or Shop/place:2dsphere"},
    {0, "unique", NULL, "with --make: no two objects may have the same value"},
    {0, "drop", "CLASS/NAME", "drop one"},
    {0},
};
const struct command cmd_data_indexes = {
    .name = "data indexes",
    .usage = "APP",
    .summary = "List the indexes of an app's classes with their size; make or drop one.",
    .details =
        "hob data indexes shop\nhob data indexes shop --make Order/customer,-total\n"
        "hob data indexes shop --drop Order/auto_customer_1_total_-1\n"
        "Behind a field: ci folds case, text is full text, 2dsphere places. While one is made the app's writes wait.",
    .options = indexes_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_indexes,
};
