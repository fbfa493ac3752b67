/* Protected fields: each list that applies to the caller (public, authenticated, his roles, himself, and per row those
 * pointer fields that hold him) names what he must not see; what all of them name stays hidden. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { LISTS_MAX = 256 };

struct lists {
    const json_t *list[LISTS_MAX];
    size_t n;
};

static bool names(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *other = json_string_value(json_array_get(list, i));
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static void add(struct lists *lists, const json_t *list)
{
    if (json_is_array(list) && lists->n < LISTS_MAX)
        lists->list[lists->n++] = list;
}

static void add_applying(const struct backend_call *c, const json_t *rules, struct lists *lists)
{
    add(lists, json_object_get(rules, "*"));
    if (!c->who.user_id.n)
        return;
    add(lists, json_object_get(rules, "authenticated"));
    for (size_t i = 0; i < c->who.subjects_n; i++)
        if (!hob_str_is(c->who.subjects[i], "*"))
            add(lists, json_object_getn(rules, c->who.subjects[i].at, c->who.subjects[i].n));
}

/* What the class says, and what the app's settings say for the class. Public lists of both count as one, as there. */
static enum hob_code intersect(struct backend_call *c, const struct lists *lists, struct protect *p,
                               struct hob_err *err)
{
    const json_t *first = lists->n ? lists->list[0] : NULL;
    size_t n = json_array_size(first);
    p->has_names = lists->n > 0;
    p->names = n ? hob_arena_alloc(&c->arena, n * sizeof *p->names) : NULL;
    if (n && !p->names)
        return hob_fail(err, HOB_E_TOO_LARGE, "too many protected fields");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(first, i));
        bool is_everywhere = name != NULL;
        for (size_t k = 1; k < lists->n && is_everywhere; k++)
            is_everywhere = names(lists->list[k], name);
        if (is_everywhere)
            p->names[p->names_n++] = name;
    }
    return HOB_OK;
}

static bool has_user_fields(const json_t *rules)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)rules, key, value)
    {
        if (strncmp(key, "userField:", 10) == 0)
            return true;
    }
    return false;
}

enum hob_code protect_start(struct backend_call *c, const struct data_class *class, const char *name,
                            unsigned flags, struct protect *p, struct hob_err *err)
{
    struct lists lists = {.n = 0};
    *p = (struct protect){.class_name = name, .user_id = c->who.user_id};
    if (permit_is_master(c, flags))
        return HOB_OK;
    const json_t *own = class ? json_object_get(class->permissions, "protectedFields") : NULL;
    const json_t *app = json_object_get(ask_json(c, SETTING_PROTECTED_FIELDS), name);
    if (!own && !app)
        return HOB_OK;
    add_applying(c, own, &lists);
    if (!json_object_get(own, "*")) /* the class's own public list stands for the app's */
        add_applying(c, app, &lists);
    p->user_fields = has_user_fields(own) ? own : NULL;
    enum hob_code rc = intersect(c, &lists, p, err);
    p->is_on = p->names_n > 0 || p->user_fields;
    return rc;
}

bool protect_hides(const struct protect *p, struct hob_str name)
{
    for (size_t i = 0; i < p->names_n; i++)
        if (hob_str_is(name, p->names[i]))
            return true;
    return false;
}

/* Does that member of the row hold the caller: a pointer to him, or an array with one? */
static bool holds_caller(const struct protect *p, struct hob_str value)
{
    struct hob_str class_name, id;
    if (doc_pointer(value, &class_name, &id))
        return hob_str_eq(id, p->user_id);
    if (!value.n || value.at[0] != '[')
        return false;
    json_t *list hob_auto_json = json_loadb(value.at, value.n, JSON_DECODE_ANY, NULL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *other = json_object_get(json_array_get(list, i), "objectId");
        if (other && hob_str_eq(hob_str_n(json_string_value(other), json_string_length(other)), p->user_id))
            return true;
    }
    return false;
}

void protect_row(struct backend_call *c, const struct protect *p, struct hob_str id, struct hob_str doc,
                 const char ***ret_names, size_t *ret_n)
{
    const char *key;
    json_t *list;
    *ret_names = p->names;
    *ret_n = p->names_n;
    if (p->user_id.n && strcmp(p->class_name, "_User") == 0 && hob_str_eq(id, p->user_id)) {
        *ret_n = 0;
        return;
    }
    if (!p->user_fields || !p->user_id.n)
        return;
    bool has_list = p->has_names;
    const char **left = NULL;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)p->user_fields, key, list)
    {
        if (strncmp(key, "userField:", 10) != 0 || !holds_caller(p, doc_find(doc, hob_str(key + 10))))
            continue;
        size_t max = has_list ? *ret_n : json_array_size(list);
        left = hob_arena_alloc(&c->arena, (max + 1) * sizeof *left);
        if (!left)
            return; /* then rather too much stays hidden */
        n = 0;
        for (size_t i = 0; i < max; i++) {
            const char *name = has_list ? (*ret_names)[i] : json_string_value(json_array_get(list, i));
            if (name && (!has_list || names(list, name)))
                left[n++] = name;
        }
        *ret_names = left;
        *ret_n = n;
        has_list = true;
    }
}
