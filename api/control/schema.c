#include "api/control/schema.h"

#include <string.h>

#include "base/str.h"

/* --- judging a body ---------------------------------------------------------------------------------------------- */

static bool is_string(const json_t *j)
{
    /* a NUL inside would cut it short wherever C reads it */
    return json_is_string(j) && strlen(json_string_value(j)) == json_string_length(j);
}

static bool is_list_of_strings(const json_t *j)
{
    for (size_t i = 0; i < json_array_size(j); i++)
        if (!is_string(json_array_get(j, i)))
            return false;
    return json_is_array(j);
}

static bool is_map_of_strings(const json_t *j)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (!is_string(value))
            return false;
    }
    return json_is_object(j);
}

static bool has_type(const json_t *j, const char *type)
{
    if (strcmp(type, "string") == 0)
        return is_string(j);
    if (strcmp(type, "integer") == 0)
        return json_is_integer(j) && json_integer_value(j) >= 0;
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(j);
    if (strcmp(type, "string[]") == 0)
        return is_list_of_strings(j);
    if (strcmp(type, "object") == 0)
        return json_is_object(j);
    HOB_ASSERT(strcmp(type, "map") == 0);
    return is_map_of_strings(j);
}

static const char *type_in_words(const char *type)
{
    static const char *const words[][2] = {
        {"string", "a string"},       {"integer", "a whole number that is not negative"},
        {"boolean", "true or false"}, {"string[]", "a list of strings"},
        {"object", "an object"},      {"map", "an object whose values are strings"}};
    for (size_t i = 0; i < HOB_COUNT(words); i++)
        if (strcmp(words[i][0], type) == 0)
            return words[i][1];
    return type;
}

static const struct schema_member *member_find(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->members_n; i++)
        if (strcmp(s->members[i].name, name) == 0)
            return &s->members[i];
    return NULL;
}

static enum hob_code fail_unknown(const struct schema *s, const char *name, struct hob_err *err)
{
    const char *names[16];
    HOB_ASSERT(s->members_n <= HOB_COUNT(names));
    for (size_t i = 0; i < s->members_n; i++)
        names[i] = s->members[i].name;
    const char *near = hob_nearest(name, names, s->members_n);
    if (near)
        return hob_fail_reason(err, HOB_E_INVALID, "unknown_member",
                               "the body: unknown member '%.60s'; did you mean '%s'?", name, near);
    return hob_fail_reason(err, HOB_E_INVALID, "unknown_member", "the body: unknown member '%.60s'", name);
}

enum hob_code schema_judge(const struct schema *s, const json_t *body, struct hob_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return hob_fail(err, HOB_E_INVALID, "the body must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        const struct schema_member *m = member_find(s, key);
        if (!m)
            return fail_unknown(s, key, err);
        if (!has_type(value, m->type))
            return hob_fail(err, HOB_E_INVALID, "the body: '%s' must be %s", key, type_in_words(m->type));
    }
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i].is_needed && !json_object_get(body, s->members[i].name))
            return hob_fail(err, HOB_E_INVALID, "the body: '%s' is missing (%s)", s->members[i].name,
                            s->members[i].help);
    return HOB_OK;
}

/* --- writing JSON Schema ----------------------------------------------------------------------------------------- */

static void base_type_write(struct hob_jw *w, struct hob_str type)
{
    hob_jw_object(w);
    if (hob_str_is(type, "map")) {
        hob_jw_kcstr(w, "type", "object");
        hob_jw_key(w, "additionalProperties");
        hob_jw_raw(w, HOB_STR("{\"type\":\"string\"}"));
    } else if (hob_str_is(type, "string") || hob_str_is(type, "integer") || hob_str_is(type, "boolean") ||
               hob_str_is(type, "number") || hob_str_is(type, "object")) {
        hob_jw_kstr(w, "type", type);
    } else {
        char ref[80];
        (void)snprintf(ref, sizeof ref, "#/components/schemas/%.*s", HOB_STR_ARG(type));
        hob_jw_kcstr(w, "$ref", ref);
    }
    hob_jw_object_end(w);
}

void schema_type_write(struct hob_jw *w, const char *type)
{
    struct hob_str t = hob_str(type);
    if (t.n > 2 && strcmp(type + t.n - 2, "[]") == 0) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "type", "array");
        hob_jw_key(w, "items");
        base_type_write(w, hob_str_n(type, t.n - 2));
        hob_jw_object_end(w);
    } else if (t.n > 1 && type[t.n - 1] == '?') {
        hob_jw_object(w);
        hob_jw_key(w, "anyOf");
        hob_jw_array(w);
        base_type_write(w, hob_str_n(type, t.n - 1));
        hob_jw_raw(w, HOB_STR("{\"type\":\"null\"}"));
        hob_jw_array_end(w);
        hob_jw_object_end(w);
    } else {
        base_type_write(w, t);
    }
}

void schema_write(struct hob_jw *w, const struct schema *s)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "type", "object");
    hob_jw_key(w, "properties");
    hob_jw_object(w);
    for (size_t i = 0; i < s->members_n; i++) {
        hob_jw_key(w, s->members[i].name);
        schema_type_write(w, s->members[i].type);
    }
    hob_jw_object_end(w);
    hob_jw_key(w, "required");
    hob_jw_array(w);
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i].is_needed)
            hob_jw_cstr(w, s->members[i].name);
    hob_jw_array_end(w);
    hob_jw_object_end(w);
}
