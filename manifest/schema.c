#include "manifest/manifest_priv.h"

#include <stdio.h>

#include "base/banned.h"

/* The JSON Schema (draft 2020-12) and the reference page, both from the key table. */

static void schema_object(struct hob_jw *w, const struct key_table *t, bool is_single);

static void schema_text(struct hob_jw *w, const struct key *k)
{
    hob_jw_kcstr(w, "type", "string");
    if (k->min)
        hob_jw_kint(w, "minLength", k->min);
    if (k->max)
        hob_jw_kint(w, "maxLength", k->max);
    if (k->shape)
        hob_jw_kcstr(w, "pattern", k->shape);
}

static void schema_choices(struct hob_jw *w, const struct key *k)
{
    hob_jw_key(w, "enum");
    hob_jw_array(w);
    for (size_t i = 0; k->choices[i]; i++)
        hob_jw_cstr(w, k->choices[i]);
    hob_jw_array_end(w);
}

static void schema_list(struct hob_jw *w, const struct key *k)
{
    hob_jw_kcstr(w, "type", "array");
    hob_jw_kint(w, "maxItems", k->max);
    hob_jw_key(w, "items");
    hob_jw_object(w);
    if (k->type == KEY_OBJECTS)
        schema_object(w, k->of, false);
    else if (k->choices)
        schema_choices(w, k);
    else
        hob_jw_kcstr(w, "type", "string");
    hob_jw_object_end(w);
    if (k->type == KEY_STRINGS)
        hob_jw_kbool(w, "uniqueItems", true);
}

static void schema_map(struct hob_jw *w, const struct key *k)
{
    hob_jw_kcstr(w, "type", "object");
    if (k->min)
        hob_jw_kint(w, "minProperties", k->min);
    hob_jw_kint(w, "maxProperties", k->max);
    hob_jw_key(w, "propertyNames");
    hob_jw_object(w);
    hob_jw_kcstr(w, "pattern", k->type == KEY_VARS ? "^[A-Za-z][A-Za-z0-9_]{0,127}$" : k->shape);
    hob_jw_object_end(w);
    hob_jw_key(w, "additionalProperties");
    hob_jw_object(w);
    if (k->type == KEY_VARS)
        hob_jw_kcstr(w, "type", "string");
    else
        schema_object(w, k->of, false);
    hob_jw_object_end(w);
}

static void schema_key(struct hob_jw *w, const struct key *k)
{
    hob_jw_kcstr(w, "description", k->help);
    switch (k->type) {
    case KEY_STRING:
        schema_text(w, k);
        break;
    case KEY_INT:
        hob_jw_kcstr(w, "type", "integer");
        hob_jw_kint(w, "minimum", k->min);
        hob_jw_kint(w, "maximum", k->max);
        hob_jw_kint(w, "default", k->fallback);
        break;
    case KEY_BOOL:
        hob_jw_kcstr(w, "type", "boolean");
        hob_jw_kbool(w, "default", false);
        break;
    case KEY_CHOICE:
        schema_choices(w, k);
        hob_jw_kcstr(w, "default", k->choices[k->fallback]);
        break;
    case KEY_STRINGS:
    case KEY_OBJECTS:
        schema_list(w, k);
        break;
    case KEY_OBJECT:
        schema_object(w, k->of, k->is_single);
        break;
    case KEY_VARS:
    case KEY_MAP:
        schema_map(w, k);
        break;
    case KEY_LATER:
    default:
        break;
    }
}

static void schema_object(struct hob_jw *w, const struct key_table *t, bool is_single)
{
    hob_jw_kcstr(w, "type", "object");
    hob_jw_kbool(w, "additionalProperties", false);
    hob_jw_key(w, "properties");
    hob_jw_object(w);
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        if (k->type == KEY_LATER || (is_single && !is_single_value(k->type)))
            continue;
        hob_jw_key(w, k->name);
        hob_jw_object(w);
        schema_key(w, k);
        hob_jw_object_end(w);
    }
    hob_jw_object_end(w);
    hob_jw_key(w, "required");
    hob_jw_array(w);
    for (size_t i = 0; i < t->n; i++)
        if (t->keys[i].is_required)
            hob_jw_cstr(w, t->keys[i].name);
    hob_jw_array_end(w);
}

void manifest_schema_write(struct hob_jw *w)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    hob_jw_kcstr(w, "$id", "https://hob.invalid/hob.schema.json");
    hob_jw_kcstr(w, "title", "hob.json");
    schema_object(w, &root_keys, false);
    hob_jw_object_end(w);
}

/* The reference -------------------------------------------------------------------------------------------------- */

static void type_text(const struct key *k, char *out, size_t n)
{
    switch (k->type) {
    case KEY_STRING:
        (void)snprintf(out, n, "string");
        break;
    case KEY_INT:
        (void)snprintf(out, n, "%u to %u", k->min, k->max);
        break;
    case KEY_BOOL:
        (void)snprintf(out, n, "true or false");
        break;
    case KEY_CHOICE: {
        size_t used = 0;
        for (size_t i = 0; k->choices[i] && used < n; i++)
            used += (size_t)snprintf(out + used, n - used, "%s`\"%s\"`", i ? ", " : "", k->choices[i]);
        break;
    }
    case KEY_STRINGS:
        (void)snprintf(out, n, "list of strings, up to %u", k->max);
        break;
    case KEY_OBJECTS:
        (void)snprintf(out, n, "list of objects, up to %u", k->max);
        break;
    case KEY_VARS:
        (void)snprintf(out, n, "NAME: string, up to %u", k->max);
        break;
    case KEY_MAP:
        (void)snprintf(out, n, "NAME: object, up to %u", k->max);
        break;
    case KEY_OBJECT:
    case KEY_LATER:
    default:
        (void)snprintf(out, n, "object");
    }
}

static void default_text(const struct key *k, char *out, size_t n)
{
    if (k->is_required)
        (void)snprintf(out, n, "needed");
    else if (k->type == KEY_INT)
        (void)snprintf(out, n, "%u", k->fallback);
    else if (k->type == KEY_BOOL)
        (void)snprintf(out, n, "false");
    else if (k->type == KEY_CHOICE)
        (void)snprintf(out, n, "`\"%s\"`", k->choices[k->fallback]);
    else
        (void)snprintf(out, n, "-");
}

static enum hob_code reference_table(struct hob_buf *out, const char *prefix, const struct key_table *t)
{
    enum hob_code code = hob_buf_addf(out, "| key | value | default | |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < t->n && code == HOB_OK; i++) {
        const struct key *k = &t->keys[i];
        char type[160], initial[64];
        if (k->type == KEY_LATER)
            continue;
        type_text(k, type, sizeof type);
        default_text(k, initial, sizeof initial);
        code = hob_buf_addf(out, "| `%s%s` | %s | %s | %s%s%s%s |\n", prefix, k->name, type, initial, k->help,
                            k->example ? " Example: `" : "", k->example ? k->example : "",
                            k->example ? "`" : "");
        if (code == HOB_OK && k->type == KEY_OBJECT && !k->is_single) {
            for (size_t c = 0; c < k->of->n && code == HOB_OK; c++) {
                const struct key *child = &k->of->keys[c];
                if (child->type == KEY_LATER)
                    continue;
                type_text(child, type, sizeof type);
                default_text(child, initial, sizeof initial);
                code = hob_buf_addf(out, "| `%s%s.%s` | %s | %s | %s |\n", prefix, k->name, child->name, type,
                                    initial, child->help);
            }
        }
    }
    return code;
}

static enum hob_code reference_later(struct hob_buf *out, const char *where, const struct key_table *t)
{
    enum hob_code code = HOB_OK;
    bool is_first = true;
    for (size_t i = 0; i < t->n && code == HOB_OK; i++) {
        const struct key *k = &t->keys[i];
        if (k->type == KEY_LATER) {
            code = hob_buf_addf(out, "%s`%s`", is_first ? where : ", ", k->name);
            is_first = false;
        }
    }
    return code == HOB_OK && !is_first ? hob_buf_addf(out, "\n") : code;
}

enum hob_code manifest_reference_write(struct hob_buf *out)
{
    static const char head[] =
        "# The manifest: hob.json\n\n"
        "One file at the root of a project says what is deployed. It is JSON in UTF-8; `//` and `/* */` comments and trailing\n"
        "commas are allowed. Unknown keys are refused. This page is written from the table that judges the file\n"
        "(`hob help --markdown manifest`); `hob schema` prints a JSON Schema for editors. Only a name and an entry are needed:\n\n"
        "```json\n{ \"app\": \"shop\", \"functions\": { \"hello\": { \"entry\": \"index.mjs\" } } }\n```\n\n## The file\n\n";
    static const char tail[] =
        "\n## What wins\n\n"
        "From weakest to strongest: the table's default, `defaults`, `env.NAME.defaults`, the function, the function in\n"
        "`env.NAME.functions`. Objects are laid over each other key by key; lists and single values are replaced. The result is\n"
        "judged, not the parts. Two routes of one file may not take the same requests.\n\n"
        "## Reserved names\n\n"
        "Variables may not start with `_`, `HOB_` or `LD_`, nor be one of those that the platform sets (`AWS_REGION`,\n"
        "`AWS_ACCESS_KEY_ID`, `AWS_LAMBDA_FUNCTION_NAME`, `NODE_OPTIONS`, ...). The first segment of a route may not be `fn`, `v1`,\n"
        "`2015-03-31`, `parse`, `metrics`, `healthz`, `readyz` or `dashboard`.\n";
    enum hob_code code = hob_buf_add(out, head, sizeof head - 1);
    code = code == HOB_OK ? reference_table(out, "", &root_keys) : code;
    code = code == HOB_OK ? hob_buf_addf(out, "\n## A function\n\n`functions.NAME.KEY`.\n\n") : code;
    code = code == HOB_OK ? reference_table(out, "", &function_keys) : code;
    code = code == HOB_OK ? hob_buf_addf(out, "\n## A route\n\n`functions.NAME.routes[N].KEY`.\n\n") : code;
    code = code == HOB_OK ? reference_table(out, "", &route_keys) : code;
    code = code == HOB_OK
               ? hob_buf_addf(
                     out, "\n## A window\n\n`functions.NAME.scale.windows[N].KEY`; docs/autoscaling.md says "
                          "what windows are for.\n\n")
               : code;
    code = code == HOB_OK ? reference_table(out, "", &window_keys) : code;
    code = code == HOB_OK ? hob_buf_add(out, tail, sizeof tail - 1) : code;
    code =
        code == HOB_OK
            ? hob_buf_addf(
                  out,
                  "\n## Known, not supported yet\n\nRefused with an error that says so, never ignored.\n\n")
            : code;
    code = code == HOB_OK ? reference_later(out, "- The file: ", &root_keys) : code;
    code = code == HOB_OK ? reference_later(out, "- A function: ", &function_keys) : code;
    return code == HOB_OK ? reference_later(out, "- A route: ", &route_keys) : code;
}
