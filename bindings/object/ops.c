/* Operations: what a save makes of each member. Sets, takings-out, Increment, Add, AddUnique, Remove, SetOnInsert, relation
 * operations and batches of them; dotted names reach into objects and arrays. Works on the stored text: only members that
 * an operation needs are parsed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { DOTS_MAX = 16 };

struct seen { /* elements by their canonical text */
    char *text;
    UT_hash_handle hh;
};

void changes_done(struct changes *ch)
{
    for (size_t i = 0; i < ch->n; i++) {
        json_decref(ch->list[i].value);
        free(ch->list[i].owned_name);
    }
    free(ch->list);
    free(ch->relations);
    json_decref(ch->told_paths);
    *ch = (struct changes){.n = 0};
}

struct change *changes_find(const struct changes *ch, const char *name)
{
    for (size_t i = 0; i < ch->n; i++)
        if (strcmp(ch->list[i].name, name) == 0)
            return &ch->list[i];
    return NULL;
}

static struct change *change_add(struct changes *ch, const char *name)
{
    if (ch->n == ch->max) {
        ch->max = ch->max ? ch->max * 2 : 16;
        ch->list = hob_realloc(ch->list, ch->max, sizeof *ch->list);
    }
    struct change *c = &ch->list[ch->n++];
    *c = (struct change){.name = name};
    return c;
}

enum hob_code changes_set(struct changes *ch, const char *name, json_t *value, bool is_told,
                          struct hob_err *err)
{
    struct change *c = changes_find(ch, name);
    if (!c)
        c = change_add(ch, name);
    json_decref(c->value);
    c->is_told |= is_told;
    enum hob_code rc = value_type_of(value, &c->type, err);
    c->value = value;
    if (rc == HOB_OK && json_is_null(value)) {
        json_decref(value);
        c->value = NULL;
    }
    return rc;
}

static void relation_add(struct changes *ch, const char *field, const json_t *pointer, bool is_add)
{
    if (ch->relations_n == ch->relations_max) {
        ch->relations_max = ch->relations_max ? ch->relations_max * 2 : 16;
        ch->relations = hob_realloc(ch->relations, ch->relations_max, sizeof *ch->relations);
    }
    const json_t *id = json_object_get(pointer, "objectId");
    ch->relations[ch->relations_n++] =
        (struct relation_change){.field = field,
                                 .target = json_string_value(json_object_get(pointer, "className")),
                                 .related = hob_str_n(json_string_value(id), json_string_length(id)),
                                 .is_add = is_add};
}

/* --- single operations -------------------------------------------------------------------------------------------- */

static json_t *add_numbers(const json_t *a, const json_t *b)
{
    double sum = json_number_value(a) + json_number_value(b);
    if (json_is_integer(a) && json_is_integer(b) && fabs(sum) <= 9007199254740992.0)
        return json_integer(json_integer_value(a) + json_integer_value(b));
    return isfinite(sum) ? json_real(sum) : NULL;
}

static json_t *op_increment(const json_t *was, const json_t *op, const char *name, struct hob_err *err)
{
    const json_t *amount = json_object_get(op, "amount");
    if (!json_is_number(amount)) {
        (void)parse_fail(err, PARSE_INVALID_JSON, "bad number for the increment of %.80s", name);
        return NULL;
    }
    if (was && !json_is_null(was) && !json_is_number(was)) {
        (void)parse_fail(err, PARSE_INCORRECT_TYPE, "cannot increment %.80s: it is no number", name);
        return NULL;
    }
    json_t *sum =
        was && json_is_number(was) ? add_numbers(was, amount) : json_incref((json_t *)(uintptr_t)amount);
    if (!sum)
        (void)parse_fail(err, PARSE_INCORRECT_TYPE, "%.80s would be larger than a number can be", name);
    return sum;
}

static char *canonical(const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    HOB_ASSERT(text);
    return text;
}

static bool seen_has(struct seen *set, const json_t *v)
{
    hob_auto_free char *text = canonical(v);
    struct seen *found = NULL;
    HASH_FIND_STR(set, text, found);
    return found != NULL;
}

static void seen_add(struct seen **set, const json_t *v)
{
    struct seen *s = hob_new(struct seen), *found = NULL;
    s->text = canonical(v);
    HASH_FIND_STR(*set, s->text, found);
    if (found) {
        free(s->text);
        free(s);
        return;
    }
    HASH_ADD_KEYPTR(hh, *set, s->text, strlen(s->text), s);
}

static void seen_free(struct seen *set)
{
    struct seen *s, *tmp;
    HASH_ITER(hh, set, s, tmp)
    {
        HASH_DEL(set, s); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        free(s->text);
        free(s);
    }
}

/* The elements of `was` without those of `objects` (Remove), or with those of them that are new (AddUnique). */
static json_t *op_set(const json_t *was, const json_t *objects, bool is_remove)
{
    json_t *out = json_array();
    struct seen *set = NULL;
    size_t n = json_array_size(was), more = json_array_size(objects);
    if (is_remove)
        for (size_t i = 0; i < more; i++)
            seen_add(&set, json_array_get(objects, i));
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(was, i);
        if (is_remove && seen_has(set, v))
            continue;
        (void)json_array_append(out, v);
        if (!is_remove)
            seen_add(&set, v);
    }
    for (size_t i = 0; i < more && !is_remove; i++) {
        json_t *v = json_array_get(objects, i);
        if (!seen_has(set, v))
            (void)json_array_append(out, v);
        seen_add(&set, v);
    }
    seen_free(set);
    return out;
}

static json_t *op_array(const json_t *was, const json_t *op, const char *kind, const char *name,
                        struct hob_err *err)
{
    const json_t *given = json_object_get(op, "objects");
    if (!json_is_array(given)) {
        (void)parse_fail(err, PARSE_INVALID_JSON, "objects to %s to %.80s must be an array", kind, name);
        return NULL;
    }
    if (was && !json_is_null(was) && !json_is_array(was)) {
        (void)parse_fail(err, PARSE_INCORRECT_TYPE, "cannot %s to %.80s: it is no array", kind, name);
        return NULL;
    }
    if (json_array_size(was) + json_array_size(given) > HOB_MAX_BACKEND_ARRAY) {
        (void)parse_fail(err, PARSE_OBJECT_TOO_LARGE, "%.80s would have more than %d elements", name,
                         HOB_MAX_BACKEND_ARRAY);
        return NULL;
    }
    json_t *objects hob_auto_json = value_copy(given, err);
    if (!objects)
        return NULL;
    if (strcmp(kind, "Remove") == 0 || strcmp(kind, "AddUnique") == 0)
        return op_set(was, objects, kind[0] == 'R');
    json_t *out = json_array();
    if (was)
        (void)json_array_extend(out, (json_t *)(uintptr_t)was);
    (void)json_array_extend(out, objects);
    return out;
}

static enum hob_code op_relation(struct changes *ch, const char *field, const json_t *op, bool is_add,
                                 struct hob_err *err)
{
    const json_t *objects = json_object_get(op, "objects");
    const char *target = NULL;
    struct value_type type;
    if (!json_is_array(objects))
        return parse_fail(err, PARSE_INVALID_JSON, "the objects of a relation operation must be an array");
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *p = json_array_get(objects, i);
        if (value_type_of(p, &type, err) != HOB_OK)
            return err->code;
        if (!type.is_some || type.type != DATA_POINTER || (target && strcmp(target, type.target) != 0))
            return parse_fail(err, PARSE_INCORRECT_TYPE,
                              "a relation holds pointers to objects of one class: %.80s", field);
        target = type.target;
        relation_add(ch, field, p, is_add);
    }
    if (!target)
        return HOB_OK;
    struct change *c = changes_find(ch, field);
    if (!c)
        c = change_add(ch, field);
    c->type = (struct value_type){true, DATA_RELATION, target};
    return HOB_OK;
}

/* Makes the new value of one member, or the relation changes; *ret_value NULL: taken out. */
static enum hob_code apply(const char *field, const json_t *was, bool is_create, const json_t *op,
                           json_t **ret_value, bool *ret_is_told, struct hob_err *err)
{
    const char *kind = value_op(op);
    *ret_value = NULL;
    *ret_is_told = true;
    if (strcmp(kind, "Increment") == 0) {
        *ret_value = op_increment(was, op, field, err);
        return *ret_value ? HOB_OK : err->code;
    }
    if (strcmp(kind, "Add") == 0 || strcmp(kind, "AddUnique") == 0 || strcmp(kind, "Remove") == 0) {
        *ret_value = op_array(was, op, kind, field, err);
        return *ret_value ? HOB_OK : err->code;
    }
    *ret_is_told = false;
    if (strcmp(kind, "Delete") == 0)
        return HOB_OK;
    if (strcmp(kind, "SetOnInsert") == 0) {
        const json_t *value = is_create ? json_object_get(op, "amount") : was;
        *ret_value = value ? json_incref((json_t *)(uintptr_t)value) : NULL;
        return HOB_OK;
    }
    return parse_fail(err, PARSE_COMMAND_UNAVAILABLE, "The %.40s operator is not supported yet.", kind);
}

/* --- members ------------------------------------------------------------------------------------------------------ */

/* The value of a member as it is so far: changed already, else stored. Returns owned; NULL: none. */
static json_t *current(const struct changes *ch, struct hob_str original, const char *name)
{
    const struct change *c = changes_find(ch, name);
    if (c)
        return json_incref(c->value);
    struct hob_str text = doc_find(original, hob_str(name));
    return text.at ? json_loadb(text.at, text.n, JSON_DECODE_ANY, NULL) : NULL;
}

static bool needs_value(const char *kind)
{
    return strcmp(kind, "Delete") != 0;
}

static enum hob_code resolve_op(struct changes *ch, const char *name, const json_t *op,
                                struct hob_str original, struct hob_err *err)
{
    const char *kind = value_op(op);
    bool is_told;
    json_t *value;
    if (strcmp(kind, "AddRelation") == 0 || strcmp(kind, "RemoveRelation") == 0)
        return op_relation(ch, name, op, kind[0] == 'A', err);
    if (strcmp(kind, "Batch") == 0) {
        const json_t *ops = json_object_get(op, "ops");
        if (!json_is_array(ops))
            return parse_fail(err, PARSE_INVALID_JSON, "the ops of a Batch must be an array");
        for (size_t i = 0; i < json_array_size(ops); i++) {
            const json_t *one = json_array_get(ops, i);
            const char *inner = value_op(one);
            if (!inner || strcmp(inner, "Batch") == 0)
                return parse_fail(err, PARSE_INVALID_JSON, "a Batch holds operations, and no Batch");
            enum hob_code rc = resolve_op(ch, name, one, original, err);
            if (rc != HOB_OK)
                return rc;
        }
        return HOB_OK;
    }
    json_t *was hob_auto_json = needs_value(kind) ? current(ch, original, name) : NULL;
    enum hob_code rc = apply(name, was, !original.at, op, &value, &is_told, err);
    if (rc != HOB_OK)
        return rc;
    return changes_set(ch, name, value ? value : json_null(), is_told && original.at, err);
}

/* The place that a path means, made on the way; *ret_last is the last segment. NULL with *err: not an object or array. */
static json_t *walk_path(json_t *root, char *path, const char *name, char **ret_last, struct hob_err *err)
{
    json_t *at = root;
    for (unsigned depth = 0;; depth++) {
        char *dot = strchr(path, '.');
        uint64_t index;
        if (!dot) {
            *ret_last = path;
            return at;
        }
        *dot = '\0';
        json_t *next = json_is_array(at)
                           ? (hob_str_u64(hob_str(path), &index) ? json_array_get(at, index) : NULL)
                           : json_object_get(at, path);
        if (!next && json_is_object(at)) {
            next = json_object();
            (void)json_object_set_new(at, path, next);
        }
        if (depth > DOTS_MAX || (!json_is_object(next) && !json_is_array(next))) {
            (void)parse_fail(err, PARSE_INCORRECT_TYPE, "%.80s does not lead into an object or array", name);
            return NULL;
        }
        at = next;
        path = dot + 1;
    }
}

static enum hob_code put_at(json_t *at, const char *last, json_t *value, const char *name,
                            struct hob_err *err)
{
    uint64_t index;
    if (!json_is_array(at)) {
        if (value)
            (void)json_object_set_new(at, last, value);
        else
            (void)json_object_del(at, last);
        return HOB_OK;
    }
    if (!hob_str_u64(hob_str(last), &index) || index > json_array_size(at)) {
        json_decref(value);
        return parse_fail(err, PARSE_INCORRECT_TYPE,
                          "%.80s: an array's elements have numbers, up to its length", name);
    }
    json_t *stored = value ? value : json_null();
    if (index == json_array_size(at))
        (void)json_array_append_new(at, stored);
    else
        (void)json_array_set_new(at, index, stored);
    return HOB_OK;
}

/* {"a":{"b":value}} for the answer. */
static void tell_path(struct changes *ch, const char *name, json_t *value)
{
    hob_auto_free char *path = hob_strdup(name);
    char *last = NULL;
    if (!ch->told_paths)
        ch->told_paths = json_object();
    json_t *at = walk_path(ch->told_paths, path, name, &last, NULL);
    if (at && json_is_object(at))
        (void)json_object_set(at, last, value);
}

static bool path_is_valid(const char *path)
{
    if (!*path || *path == '.' || path[strlen(path) - 1] == '.' || strstr(path, "..") || strchr(path, '$') ||
        strncmp(path, "__", 2) == 0 || strstr(path, ".__") || strstr(path, "constructor"))
        return false; /* "__type" and "__op" would make another value of what is around them */
    return true;
}

static bool is_system_member(const char *name)
{
    return strcmp(name, "objectId") == 0 || strcmp(name, "createdAt") == 0 || strcmp(name, "updatedAt") == 0;
}

static enum hob_code resolve_dotted(struct changes *ch, const char *name, const json_t *given,
                                    struct hob_str original, struct hob_err *err)
{
    hob_auto_free char *root = hob_strndup(name, (size_t)(strchr(name, '.') - name));
    hob_auto_free char *path = hob_strdup(strchr(name, '.') + 1);
    char *last;
    /* what is judged as a whole has no parts that can be set */
    bool is_whole = is_system_member(root) || strcmp(root, "ACL") == 0;
    if (is_whole || !field_name_is_valid(hob_str(root)) || !path_is_valid(path))
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "Invalid field name: %.80s.", name);
    struct change *known = changes_find(ch, root);
    json_t *value hob_auto_json = known ? json_deep_copy(known->value) : current(ch, original, root);
    if (!value || json_is_null(value)) {
        json_decref(value);
        value = json_object();
    }
    if ((!json_is_object(value) || value_typed(value)) && !json_is_array(value))
        return parse_fail(err, PARSE_INCORRECT_TYPE, "%.80s does not lead into an object or array", name);
    json_t *at = walk_path(value, path, name, &last, err), *result = NULL;
    if (!at)
        return err->code;
    bool is_told = false;
    if (value_op(given)) {
        uint64_t index;
        json_t *was = json_is_array(at)
                          ? (hob_str_u64(hob_str(last), &index) ? json_array_get(at, index) : NULL)
                          : json_object_get(at, last);
        enum hob_code rc = apply(name, was, false, given, &result, &is_told, err);
        if (rc != HOB_OK)
            return rc;
    } else {
        result = json_incref((json_t *)(uintptr_t)given);
    }
    if (is_told && result)
        tell_path(ch, name, result);
    enum hob_code rc = put_at(at, last, result, name, err);
    if (rc != HOB_OK)
        return rc;
    struct change *c = known ? known : change_add(ch, NULL);
    if (!known) {
        c->name = c->owned_name = hob_steal(&root);
    }
    json_decref(c->value);
    c->value = hob_steal(&value);
    return value_type_of(c->value, &c->type, err);
}

enum hob_code changes_resolve(const json_t *data, struct hob_str original, struct changes *ch,
                              struct hob_err *err)
{
    const char *name;
    json_t *value;
    *ch = (struct changes){.n = 0};
    if (json_object_size(data) > FIELDS_MAX)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "an object has at most %d fields", FIELDS_MAX);
    json_object_foreach((json_t *)(uintptr_t)data, name, value)
    {
        enum hob_code rc;
        const char *op = value_op(value);
        if (is_system_member(name))
            continue;
        if (strcmp(name, "ACL") == 0) {
            ch->has_acl = true;
            ch->acl = op ? NULL : value;
            if (op && strcmp(op, "Delete") != 0)
                return parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL.");
            continue;
        }
        if (value_key_judge(name, err) != HOB_OK)
            return err->code;
        if (strchr(name, '.'))
            rc = resolve_dotted(ch, name, value, original, err);
        else if (!field_name_is_valid(hob_str(name)))
            rc = parse_fail(err, PARSE_INVALID_KEY_NAME, "Invalid field name: %.80s.", name);
        else if (op)
            rc = resolve_op(ch, name, value, original, err);
        else
            rc = changes_set(ch, name, json_incref(value), false, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}
