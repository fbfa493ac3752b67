#include "manifest/manifest_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

enum { NAMES_MAX = 64 };

size_t judge_enter(struct judge *j, const char *name)
{
    size_t before = j->path_n;
    int n = snprintf(j->path + before, sizeof j->path - before, "%s%s", before ? "." : "", show(name).text);
    j->path_n = before + (size_t)n < sizeof j->path ? before + (size_t)n : sizeof j->path - 1;
    return before;
}

size_t judge_enter_index(struct judge *j, size_t i)
{
    size_t before = j->path_n;
    int n = snprintf(j->path + before, sizeof j->path - before, "[%zu]", i);
    j->path_n = before + (size_t)n < sizeof j->path ? before + (size_t)n : sizeof j->path - 1;
    return before;
}

void judge_leave(struct judge *j, size_t path_n)
{
    j->path_n = path_n;
    j->path[path_n] = 0;
}

struct shown show(const char *value)
{
    struct shown s;
    size_t n = strnlen(value, sizeof s.text - 4);
    for (size_t i = 0; i < n; i++)
        s.text[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i];
    if (value[n]) {
        /* do not cut inside a UTF-8 sequence */
        while (n && ((unsigned char)value[n] & 0xc0) == 0x80)
            n--;
        memcpy(s.text + n, "...", 3);
        n += 3;
    }
    s.text[n] = 0;
    return s;
}

struct shown show_json(const json_t *value)
{
    struct hob_buf b;
    hob_buf_init(&b, 65536);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    struct shown s;
    if (json_is_object(value))
        s = show("an object");
    else if (json_is_array(value))
        s = show("a list");
    else {
        hob_jw_json(&w, value);
        char *text = hob_buf_take(&b);
        s = show(text);
        free(text);
    }
    hob_buf_done(&b);
    return s;
}

bool is_single_value(enum key_type type)
{
    return type == KEY_STRING || type == KEY_INT || type == KEY_BOOL || type == KEY_CHOICE;
}

static const struct key *key_find(const struct key_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->keys[i].name, name) == 0)
            return &t->keys[i];
    return NULL;
}

static enum hob_code fail_unknown(struct judge *j, const struct key_table *t, bool is_single)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < t->n && n < NAMES_MAX; i++)
        if (t->keys[i].type != KEY_LATER && (!is_single || is_single_value(t->keys[i].type)))
            names[n++] = t->keys[i].name;
    const char *dot = strrchr(j->path, '.');
    const char *word = dot ? dot + 1 : j->path;
    const char *best = hob_nearest(word, names, n);
    if (!best && (strcmp(word, "env") == 0 || strcmp(word, "environment") == 0) && key_find(t, "vars"))
        best = "vars"; /* what others call it, and `hob env` too */
    if (best)
        return hob_fail_reason(j->err, HOB_E_INVALID, "unknown_key", "%s: unknown key; did you mean '%s'?",
                               j->path, best);
    return hob_fail_reason(j->err, HOB_E_INVALID, "unknown_key",
                           "%s: unknown key; see docs/manifest.md for those there are", j->path);
}

static enum hob_code fail_type(struct judge *j, const json_t *value, const char *right)
{
    return hob_fail(j->err, HOB_E_INVALID, "%s: %s is not right here; give %s", j->path,
                    show_json(value).text, right);
}

static enum hob_code judge_choice(struct judge *j, const char *value, const struct key *k)
{
    for (size_t i = 0; k->choices[i]; i++)
        if (strcmp(k->choices[i], value) == 0)
            return HOB_OK;
    for (size_t i = 0; k->later && k->later[i]; i++)
        if (strcmp(k->later[i], value) == 0)
            return hob_fail(j->err, HOB_E_UNSUPPORTED, "%s \"%s\" is not supported yet", j->path, value);
    char list[96] = "";
    size_t n = 0, used = 0;
    for (; k->choices[n]; n++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s\"%s\"", n ? ", " : "", k->choices[n]);
    const char *best = hob_nearest(value, k->choices, n);
    return hob_fail(j->err, HOB_E_INVALID, "%s: \"%s\" is not one of %s%s%s%s", j->path, show(value).text,
                    list, best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

static enum hob_code judge_string(struct judge *j, const json_t *value, const struct key *k)
{
    if (!json_is_string(value))
        return fail_type(j, value, "a string");
    const char *s = json_string_value(value);
    if (k->choices)
        return judge_choice(j, s, k);
    size_t n = json_string_length(value);
    if (n < k->min)
        return hob_fail(j->err, HOB_E_INVALID, "%s: \"%s\" is too short; give at least %u characters",
                        j->path, show(s).text, k->min);
    if (k->max && n > k->max)
        return hob_fail(j->err, HOB_E_INVALID, "%s: %zu bytes are too many; give at most %u", j->path, n,
                        k->max);
    return k->check ? k->check(j, s) : HOB_OK;
}

static enum hob_code judge_int(struct judge *j, const json_t *value, const struct key *k)
{
    json_int_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < (json_int_t)k->min || v > (json_int_t)k->max)
        return hob_fail(j->err, HOB_E_INVALID, "%s: %s is not right here; give a whole number from %u to %u",
                        j->path, show_json(value).text, k->min, k->max);
    return HOB_OK;
}

static enum hob_code judge_list(struct judge *j, const json_t *value, const struct key *k)
{
    bool is_objects = k->type == KEY_OBJECTS;
    if (!json_is_array(value))
        return fail_type(j, value, is_objects ? "a list of objects" : "a list of strings");
    size_t n = json_array_size(value);
    if (n > k->max)
        return hob_fail(j->err, HOB_E_TOO_LARGE, "%s: %zu entries are too many; give at most %u", j->path, n,
                        k->max);
    for (size_t i = 0; i < n; i++) {
        size_t before = judge_enter_index(j, i);
        const json_t *item = json_array_get(value, i);
        struct key one = {.min = 1, .check = k->check, .choices = k->choices, .later = k->later, .max = 1024};
        enum hob_code code = is_objects ? judge_object(j, item, k->of) : judge_string(j, item, &one);
        if (code != HOB_OK)
            return code;
        for (size_t e = 0; e < i && !is_objects; e++)
            if (strcmp(json_string_value(json_array_get(value, e)), json_string_value(item)) == 0)
                return hob_fail(j->err, HOB_E_INVALID, "%s: \"%s\" is there twice", j->path,
                                show(json_string_value(item)).text);
        judge_leave(j, before);
    }
    return HOB_OK;
}

static enum hob_code judge_vars(struct judge *j, const json_t *value, const struct key *k)
{
    if (!json_is_object(value))
        return fail_type(j, value, "an object of NAME: \"value\"");
    if (json_object_size(value) > k->max)
        return hob_fail(j->err, HOB_E_TOO_LARGE, "%s: %zu variables are too many; give at most %u", j->path,
                        json_object_size(value), k->max);
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)value, name, v)
    {
        size_t before = judge_enter(j, name);
        if (!json_is_string(v))
            return fail_type(j, v, "a string (numbers, too, in quotes)");
        struct hob_err e;
        if (env_var_check(name, json_string_value(v), &e) != HOB_OK)
            return hob_fail(j->err, e.code, "%s: %s", j->path, e.msg);
        judge_leave(j, before);
    }
    return HOB_OK;
}

static enum hob_code judge_map(struct judge *j, const json_t *value, const struct key *k)
{
    if (!json_is_object(value))
        return fail_type(j, value, "an object of NAME: {...}");
    size_t n = json_object_size(value);
    if (n < k->min)
        return hob_fail(j->err, HOB_E_INVALID, "%s: name at least %u", j->path, k->min);
    if (n > k->max)
        return hob_fail(j->err, HOB_E_TOO_LARGE, "%s: %zu are too many; give at most %u", j->path, n, k->max);
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)value, name, v)
    {
        size_t before = judge_enter(j, name);
        enum hob_code code = k->check_name(j, name);
        if (code == HOB_OK)
            code = judge_object(j, v, k->of);
        if (code != HOB_OK)
            return code;
        judge_leave(j, before);
    }
    return HOB_OK;
}

static enum hob_code judge_keys(struct judge *j, const json_t *value, const struct key_table *t,
                                bool is_single);

static enum hob_code judge_value(struct judge *j, const json_t *value, const struct key *k)
{
    switch (k->type) {
    case KEY_STRING:
    case KEY_CHOICE:
        return judge_string(j, value, k);
    case KEY_INT:
        return judge_int(j, value, k);
    case KEY_BOOL:
        return json_is_boolean(value) ? HOB_OK : fail_type(j, value, "true or false");
    case KEY_STRINGS:
    case KEY_OBJECTS:
        return judge_list(j, value, k);
    case KEY_OBJECT:
        return judge_keys(j, value, k->of, k->is_single);
    case KEY_VARS:
        return judge_vars(j, value, k);
    case KEY_MAP:
        return judge_map(j, value, k);
    case KEY_LATER:
    default:
        return hob_fail(j->err, HOB_E_UNSUPPORTED, "%s is not supported yet", j->path);
    }
}

static enum hob_code judge_keys(struct judge *j, const json_t *value, const struct key_table *t,
                                bool is_single)
{
    if (!json_is_object(value))
        return fail_type(j, value, "an object");
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)value, name, v)
    {
        size_t before = judge_enter(j, name);
        const struct key *k = key_find(t, name);
        if (!k)
            return fail_unknown(j, t, is_single);
        if (is_single && !is_single_value(k->type) && k->type != KEY_LATER)
            return hob_fail(j->err, HOB_E_INVALID,
                            "%s: only single values can be a default; give it to each function", j->path);
        enum hob_code code = judge_value(j, v, k);
        if (code != HOB_OK)
            return code;
        judge_leave(j, before);
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->keys[i].is_required && !json_object_get(value, t->keys[i].name)) {
            (void)judge_enter(j, t->keys[i].name);
            return hob_fail(j->err, HOB_E_INVALID, "%s is missing; for example: \"%s\": %s", j->path,
                            t->keys[i].name, t->keys[i].example);
        }
    return HOB_OK;
}

enum hob_code judge_object(struct judge *j, const json_t *value, const struct key_table *t)
{
    return judge_keys(j, value, t, false);
}
