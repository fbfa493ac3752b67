/* Judging a `where` and building its conditions. What is here has no idea of SQL: sql.c makes SQL of it, match.c runs it
 * on a document. Words of the failures are those of parse-server. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { WHERE_MEM_MAX = 32 * 1024 * 1024, PATH_BYTES_MAX = 512 };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool path_is_valid(struct hob_str path)
{
    if (path.n == 0 || path.n > PATH_BYTES_MAX || !is_letter(path.at[0]) || path.at[path.n - 1] == '.')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.at[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_' && (c != '.' || path.at[i - 1] == '.'))
            return false;
    }
    return true;
}

static enum hob_code is_full(struct hob_err *err)
{
    return hob_fail_parse(err, HOB_E_TOO_LARGE, 102, "the query is too large");
}

struct cond *where_cond(struct where *w, enum cond_op op, struct hob_str path, struct hob_err *err)
{
    if (++w->conditions > HOB_MAX_DATA_WHERE_CONDITIONS) {
        (void)hob_fail_parse(err, HOB_E_INVALID, 102, "the query has more than %d conditions",
                             HOB_MAX_DATA_WHERE_CONDITIONS);
        return NULL;
    }
    struct cond *c = hob_arena_alloc(&w->mem, sizeof *c);
    char *copy = hob_arena_strndup(&w->mem, path.at ? path.at : "", path.n);
    if (!c || !copy) {
        (void)is_full(err);
        return NULL;
    }
    c->op = op;
    c->path = hob_str_n(copy, path.n);
    return c;
}

/* --- values --- */

/* A date that is none would match nothing for no visible reason. */
static enum hob_code judge_value(const json_t *value, struct hob_err *err)
{
    int64_t ms;
    const char *type = json_string_value(json_object_get(value, "__type"));
    const json_t *iso = json_object_get(value, "iso");
    if (type && strcmp(type, "Date") == 0 &&
        !data_date_parse(hob_str_n(json_string_value(iso), json_string_length(iso)), &ms))
        return hob_fail_parse(err, HOB_E_INVALID, 107,
                              "bad date in the query: iso must be like "
                              "2020-01-01T00:00:00.000Z");
    if (type && strcmp(type, "Pointer") == 0 &&
        (!json_is_string(json_object_get(value, "className")) ||
         !json_is_string(json_object_get(value, "objectId"))))
        return hob_fail_parse(err, HOB_E_INVALID, 111, "This is not a valid Pointer");
    return HOB_OK;
}

enum hob_code where_key(struct where *w, const json_t *value, struct key *ret_key, struct hob_err *err)
{
    struct hob_buf text;
    struct hob_jw jw;
    if (++w->values > HOB_MAX_DATA_WHERE_VALUES)
        return hob_fail_parse(err, HOB_E_INVALID, 102, "the query has more than %d values",
                              HOB_MAX_DATA_WHERE_VALUES);
    if (json_is_object(value) && judge_value(value, err) != HOB_OK)
        return err->code;
    hob_buf_init(&text, KEY_BYTES_MAX);
    hob_jw_init(&jw, &text);
    hob_jw_json(&jw, value);
    struct key k = {.kind = KEY_NULL};
    enum hob_code rc = hob_jw_end(&jw, err);
    if (rc == HOB_OK)
        k = key_of(hob_buf_str(&text), &w->scratch);
    if (rc == HOB_OK && (k.kind == KEY_TEXT || k.kind == KEY_BLOB)) {
        const char *copy = hob_arena_strndup(&w->mem, k.s.at, k.s.n);
        rc = copy ? HOB_OK : is_full(err);
        k.s.at = copy;
    }
    hob_buf_done(&text);
    if (rc == HOB_OK)
        *ret_key = k;
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return key_cmp(a, b);
}

static enum hob_code count_values(const json_t *array, size_t *n, unsigned depth)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *e = json_array_get(array, i);
        if (json_is_array(e) && depth < HOB_MAX_JSON_DEPTH)
            (void)count_values(e, n, depth + 1);
        else
            ++*n;
    }
    return HOB_OK;
}

/* Nested arrays are flattened, as parse-server does. */
static enum hob_code add_keys(struct where *w, struct cond *c, const json_t *array, unsigned depth,
                              struct hob_err *err)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *e = json_array_get(array, i);
        if (json_is_array(e) && depth < HOB_MAX_JSON_DEPTH) {
            if (add_keys(w, c, e, depth + 1, err) != HOB_OK)
                return err->code;
            continue;
        }
        struct key k;
        if (where_key(w, e, &k, err) != HOB_OK)
            return err->code;
        if (k.kind == KEY_NULL)
            c->has_null = true;
        else
            c->keys[c->keys_n++] = k;
    }
    return HOB_OK;
}

enum hob_code where_keys(struct where *w, struct cond *c, const json_t *array, struct hob_err *err)
{
    size_t n = 0, kept = 0;
    (void)count_values(array, &n, 0);
    if (n > HOB_MAX_DATA_WHERE_VALUES)
        return hob_fail_parse(err, HOB_E_INVALID, 102, "the query has more than %d values",
                              HOB_MAX_DATA_WHERE_VALUES);
    c->keys = hob_arena_alloc(&w->mem, (n + 1) * sizeof *c->keys);
    if (!c->keys)
        return is_full(err);
    if (add_keys(w, c, array, 0, err) != HOB_OK)
        return err->code;
    if (c->keys_n > 1)
        qsort(c->keys, c->keys_n, sizeof *c->keys, by_key);
    for (size_t i = 0; i < c->keys_n; i++)
        if (i == 0 || key_cmp(&c->keys[kept - 1], &c->keys[i]) != 0)
            c->keys[kept++] = c->keys[i];
    c->keys_n = kept;
    return HOB_OK;
}

static enum hob_code add_equal(struct where *w, struct hob_str path, const json_t *value, struct cond **tail,
                               struct hob_err *err)
{
    struct cond *c = where_cond(w, COND_IN, path, err);
    if (!c)
        return err->code;
    c->keys = hob_arena_alloc(&w->mem, sizeof *c->keys);
    if (!c->keys)
        return is_full(err);
    if (where_key(w, value, &c->keys[0], err) != HOB_OK)
        return err->code;
    c->has_null = c->keys[0].kind == KEY_NULL;
    c->keys_n = !c->has_null;
    (*tail)->next = c;
    *tail = c;
    return HOB_OK;
}

/* --- logic --- */

static enum hob_code add_choice(struct where *w, const char *word, const json_t *list, struct cond **tail,
                                struct hob_err *err)
{
    enum cond_op op = strcmp(word, "$or") == 0 ? COND_OR : strcmp(word, "$and") == 0 ? COND_AND : COND_NOR;
    if (!json_is_array(list) || (op == COND_NOR && json_array_size(list) == 0))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "Bad %s format - use an array %s", word,
                              op == COND_NOR ? "of at least 1 value." : "value.");
    struct cond *c = where_cond(w, op, HOB_STR(""), err), **at = c ? &c->first : NULL;
    for (size_t i = 0; c && i < json_array_size(list); i++) {
        if (where_object(w, json_array_get(list, i), at, err) != HOB_OK)
            return err->code;
        at = &(*at)->next;
    }
    if (!c)
        return err->code;
    (*tail)->next = c;
    *tail = c;
    return HOB_OK;
}

static enum hob_code add_related(struct where *w, const json_t *value, struct cond **tail,
                                 struct hob_err *err)
{
    const json_t *object = json_object_get(value, "object"), *key = json_object_get(value, "key");
    const char *class_name = json_string_value(json_object_get(object, "className"));
    if (!class_name || !json_is_string(json_object_get(object, "objectId")) || !json_is_string(key))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "improper usage of $relatedTo");
    struct cond *c = where_cond(w, COND_RELATED, HOB_STR(""), err);
    if (!c)
        return err->code;
    const json_t *id = json_object_get(object, "objectId");
    c->class_name = hob_arena_strndup(&w->mem, class_name, strlen(class_name));
    c->field = hob_str_n(hob_arena_strndup(&w->mem, json_string_value(key), json_string_length(key)),
                         json_string_length(key));
    c->text = hob_str_n(hob_arena_strndup(&w->mem, json_string_value(id), json_string_length(id)),
                        json_string_length(id));
    if (!c->class_name || !c->field.at || !c->text.at)
        return is_full(err);
    (*tail)->next = c;
    *tail = c;
    return HOB_OK;
}

static bool is_operators(const json_t *value)
{
    const char *name;
    json_t *ignored;
    json_object_foreach((json_t *)(uintptr_t)value, name, ignored)
    {
        if (name[0] == '$')
            return true;
    }
    return false;
}

static enum hob_code add_member(struct where *w, struct hob_str name, const json_t *value, struct cond **tail,
                                struct hob_err *err)
{
    if (hob_str_is(name, "$or") || hob_str_is(name, "$and") || hob_str_is(name, "$nor"))
        return add_choice(w, name.at, value, tail, err);
    if (hob_str_is(name, "$relatedTo"))
        return add_related(w, value, tail, err);
    if (hob_str_is(name, "ACL"))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "Cannot query on ACL.");
    if (!path_is_valid(name))
        return hob_fail_parse(err, HOB_E_INVALID, 105, "Invalid key name: %.100s", name.at);
    if (json_is_object(value) && is_operators(value))
        return where_operators(w, name, value, tail, err);
    return add_equal(w, name, value, tail, err);
}

/* One object: all of its members must hold. */
enum hob_code where_object(struct where *w, const json_t *where, struct cond **ret_c, struct hob_err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(where))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "bad query: a where must be an object");
    if (++w->depth > HOB_MAX_DATA_WHERE_DEPTH)
        return hob_fail_parse(err, HOB_E_INVALID, 102, "the query is nested deeper than %d levels",
                              HOB_MAX_DATA_WHERE_DEPTH);
    struct cond head = {.next = NULL}, *tail = &head;
    json_object_foreach((json_t *)(uintptr_t)where, name, value)
    {
        if (add_member(w, hob_str(name), value, &tail, err) != HOB_OK)
            return err->code;
    }
    struct cond *c = where_cond(w, COND_AND, HOB_STR(""), err);
    if (!c)
        return err->code;
    c->first = head.next;
    *ret_c = c;
    w->depth--;
    return HOB_OK;
}

enum hob_code where_init(struct where *w, const json_t *where, struct hob_err *err)
{
    *w = (struct where){.root = NULL};
    hob_arena_init(&w->mem, WHERE_MEM_MAX);
    hob_buf_init(&w->scratch, KEY_BYTES_MAX);
    if (!where || json_is_null(where))
        return HOB_OK;
    return where_object(w, where, &w->root, err);
}

void where_done(struct where *w)
{
    for (size_t i = 0; i < w->held_n; i++)
        regex_free(w->held[i]);
    free(w->held);
    hob_buf_done(&w->scratch);
    hob_arena_done(&w->mem);
}
