#include "manifest/manifest_priv.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

/* The table's offsets make untyped memory typed; the types are those that enum key_type names. */
#define AT(type, base, offset) ((type *)(void *)((char *)(base) + (offset)))
#define AT_CONST(type, base, offset) ((type const *)(const void *)((const char *)(base) + (offset)))

void fields_defaults(void *base, const struct key_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        if (k->type == KEY_OBJECT)
            fields_defaults(base, k->of);
        else if (k->has_field && (k->type == KEY_INT || k->type == KEY_CHOICE))
            *AT(uint32_t, base, k->at) = k->fallback;
    }
}

static void fill_strings(void *base, const struct key *k, const json_t *v)
{
    size_t n = json_array_size(v);
    char **list = hob_new_n(char *, n);
    for (size_t i = 0; i < n; i++)
        list[i] = hob_strdup(json_string_value(json_array_get(v, i)));
    *AT(char **, base, k->at) = list;
    *AT(size_t, base, k->at_n) = n;
}

static void fill_objects(void *base, const struct key *k, const json_t *v)
{
    size_t n = json_array_size(v);
    char *list = hob_calloc(n, k->of_bytes);
    for (size_t i = 0; i < n; i++) {
        fields_defaults(list + i * k->of_bytes, k->of);
        fields_fill(list + i * k->of_bytes, k->of, json_array_get(v, i));
    }
    *AT(char *, base, k->at) = list;
    *AT(size_t, base, k->at_n) = n;
}

static void fill_vars(void *base, const struct key *k, const json_t *v)
{
    struct env_var *list = hob_new_n(struct env_var, json_object_size(v));
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
    {
        list[n].name = hob_strdup(name);
        list[n++].value = hob_strdup(json_string_value(value));
    }
    *AT(struct env_var *, base, k->at) = list;
    *AT(size_t, base, k->at_n) = n;
}

static void fill_choice(void *base, const struct key *k, const char *value)
{
    for (uint32_t i = 0; k->choices[i]; i++)
        if (strcmp(k->choices[i], value) == 0)
            *AT(uint32_t, base, k->at) = i;
}

static void fill_one(void *base, const struct key *k, const json_t *v)
{
    switch (k->type) {
    case KEY_STRING:
        *AT(char *, base, k->at) = hob_strdup(json_string_value(v));
        break;
    case KEY_INT:
        *AT(uint32_t, base, k->at) = (uint32_t)json_integer_value(v);
        break;
    case KEY_BOOL:
        *AT(bool, base, k->at) = json_is_true(v);
        break;
    case KEY_CHOICE:
        fill_choice(base, k, json_string_value(v));
        break;
    case KEY_STRINGS:
        fill_strings(base, k, v);
        break;
    case KEY_OBJECTS:
        fill_objects(base, k, v);
        break;
    case KEY_VARS:
        fill_vars(base, k, v);
        break;
    case KEY_OBJECT:
    case KEY_MAP:
    case KEY_LATER:
    default:
        break;
    }
}

void fields_fill(void *base, const struct key_table *t, const json_t *value)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        const json_t *v = json_object_get(value, k->name);
        if (v && k->type == KEY_OBJECT && !k->is_single)
            fields_fill(base, k->of, v);
        else if (v && k->has_field)
            fill_one(base, k, v);
    }
}

static void write_vars(const struct env_var *vars, size_t n, struct hob_jw *w)
{
    hob_jw_object(w);
    for (size_t i = 0; i < n; i++)
        hob_jw_kcstr(w, vars[i].name, vars[i].value);
    hob_jw_object_end(w);
}

static void write_list(const void *base, const struct key *k, struct hob_jw *w)
{
    size_t n = *AT_CONST(size_t, base, k->at_n);
    hob_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        if (k->type == KEY_STRINGS) {
            hob_jw_cstr(w, (*AT_CONST(char **, base, k->at))[i]);
            continue;
        }
        hob_jw_object(w);
        fields_write(*AT_CONST(char *, base, k->at) + i * k->of_bytes, k->of, w);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

static void write_one(const void *base, const struct key *k, struct hob_jw *w)
{
    switch (k->type) {
    case KEY_STRING:
        hob_jw_cstr(w, *AT_CONST(char *, base, k->at));
        break;
    case KEY_INT:
        hob_jw_int(w, *AT_CONST(uint32_t, base, k->at));
        break;
    case KEY_BOOL:
        hob_jw_bool(w, *AT_CONST(bool, base, k->at));
        break;
    case KEY_CHOICE:
        hob_jw_cstr(w, k->choices[*AT_CONST(uint32_t, base, k->at)]);
        break;
    case KEY_STRINGS:
    case KEY_OBJECTS:
        write_list(base, k, w);
        break;
    case KEY_VARS:
        write_vars(*AT_CONST(struct env_var *, base, k->at), *AT_CONST(size_t, base, k->at_n), w);
        break;
    case KEY_OBJECT:
        hob_jw_object(w);
        fields_write(base, k->of, w);
        hob_jw_object_end(w);
        break;
    case KEY_MAP:
    case KEY_LATER:
    default:
        break;
    }
}

void fields_write(const void *base, const struct key_table *t, struct hob_jw *w)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        bool is_absent = k->type == KEY_STRING && k->has_field && !*AT_CONST(char *, base, k->at);
        if (is_absent || (!k->has_field && (k->type != KEY_OBJECT || k->is_single)))
            continue;
        hob_jw_key(w, k->name);
        write_one(base, k, w);
    }
}

static void copy_list(void *to, const void *from, const struct key *k)
{
    size_t n = *AT_CONST(size_t, from, k->at_n);
    *AT(size_t, to, k->at_n) = n;
    if (k->type == KEY_STRINGS) {
        char *const *old = *AT_CONST(char **, from, k->at);
        char **list = *AT(char **, to, k->at) = hob_new_n(char *, n);
        for (size_t i = 0; i < n; i++)
            list[i] = hob_strdup(old[i]);
    } else if (k->type == KEY_OBJECTS) {
        const char *old = *AT_CONST(char *, from, k->at);
        char *list = *AT(char *, to, k->at) = hob_calloc(n, k->of_bytes);
        for (size_t i = 0; i < n; i++)
            fields_copy(list + i * k->of_bytes, old + i * k->of_bytes, k->of);
    } else {
        const struct env_var *old = *AT_CONST(struct env_var *, from, k->at);
        struct env_var *list = *AT(struct env_var *, to, k->at) = hob_new_n(struct env_var, n);
        for (size_t i = 0; i < n; i++)
            list[i] = (struct env_var){hob_strdup(old[i].name), hob_strdup(old[i].value)};
    }
}

void fields_copy(void *to, const void *from, const struct key_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        if (k->type == KEY_OBJECT && !k->is_single) {
            fields_copy(to, from, k->of);
        } else if (k->has_field && k->type == KEY_STRING) {
            const char *s = *AT_CONST(char *, from, k->at);
            *AT(char *, to, k->at) = s ? hob_strdup(s) : NULL;
        } else if (k->has_field && k->type == KEY_BOOL) {
            *AT(bool, to, k->at) = *AT_CONST(bool, from, k->at);
        } else if (k->has_field && (k->type == KEY_INT || k->type == KEY_CHOICE)) {
            *AT(uint32_t, to, k->at) = *AT_CONST(uint32_t, from, k->at);
        } else if (k->has_field) {
            copy_list(to, from, k);
        }
    }
}

static void free_list(void *base, const struct key *k)
{
    size_t n = *AT(size_t, base, k->at_n);
    for (size_t i = 0; i < n; i++) {
        if (k->type == KEY_STRINGS) {
            free((*AT(char **, base, k->at))[i]);
        } else if (k->type == KEY_OBJECTS) {
            fields_free(*AT(char *, base, k->at) + i * k->of_bytes, k->of);
        } else {
            free((*AT(struct env_var *, base, k->at))[i].name);
            free((*AT(struct env_var *, base, k->at))[i].value);
        }
    }
    free(*AT(void *, base, k->at));
    *AT(void *, base, k->at) = NULL;
    *AT(size_t, base, k->at_n) = 0;
}

void fields_free(void *base, const struct key_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct key *k = &t->keys[i];
        if (k->type == KEY_OBJECT && !k->is_single)
            fields_free(base, k->of);
        if (!k->has_field)
            continue;
        if (k->type == KEY_STRING) {
            free(*AT(char *, base, k->at));
            *AT(char *, base, k->at) = NULL;
        } else if (k->type == KEY_STRINGS || k->type == KEY_OBJECTS || k->type == KEY_VARS) {
            free_list(base, k);
        }
    }
}
