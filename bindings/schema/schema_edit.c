/* Changes of classes: fields, permissions, indexes. All of one request or nothing. */
#include <string.h>

#include "bindings/schema/schema_priv.h"

#include "base/banned.h"

enum { DEFAULT_BYTES_MAX = 65536 };

enum data_type type_find(const char *name)
{
    for (unsigned i = 0; i < DATA_TYPES_; i++)
        if (strcmp(name, data_type_names[i]) == 0)
            return (enum data_type)i;
    return DATA_TYPES_;
}

static bool is_delete(const json_t *v)
{
    const char *op = value_op(v);
    return op && strcmp(op, "Delete") == 0;
}

static bool is_default_column(const char *name)
{
    return strcmp(name, "objectId") == 0 || strcmp(name, "createdAt") == 0 ||
           strcmp(name, "updatedAt") == 0 || strcmp(name, "ACL") == 0;
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static enum hob_code read_type(const json_t *spec, struct data_field *f, struct hob_err *err)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const json_t *target = json_object_get(spec, "targetClass");
    if (!type)
        return parse_fail(err, PARSE_INVALID_JSON, "invalid JSON");
    f->type = type_find(type);
    if (f->type == DATA_TYPES_)
        return parse_fail(err, PARSE_INCORRECT_TYPE, "invalid field type: %.60s", type);
    if (f->type != DATA_POINTER && f->type != DATA_RELATION)
        return HOB_OK;
    if (!target)
        return parse_fail(err, PARSE_MISSING_REQUIRED, "type %s needs a class name", type);
    if (!json_is_string(target))
        return parse_fail(err, PARSE_INVALID_JSON, "invalid JSON");
    f->target = json_string_value(target);
    if (!class_name_is_valid(hob_str(f->target)))
        return parse_fail(
            err, PARSE_INVALID_CLASS_NAME,
            "Invalid classname: %.60s, classnames can only have alphanumeric characters and _, and must "
            "start with an alpha character ",
            f->target);
    return HOB_OK;
}

static enum hob_code read_default(const json_t *value, struct data_field *f, struct hob_buf *text,
                                  struct hob_err *err)
{
    struct value_type type;
    struct hob_jw w;
    char expected[96], got[96];
    if (f->type == DATA_RELATION)
        return parse_fail(err, PARSE_INCORRECT_TYPE,
                          "The 'default value' option is not applicable for Relation");
    enum hob_code rc = value_type_of(value, &type, err);
    if (rc == HOB_OK && (!type.is_some || type.type != f->type ||
                         (f->target && (!type.target || strcmp(f->target, type.target) != 0))))
        rc = parse_fail(err, PARSE_INCORRECT_TYPE,
                        "schema mismatch for %.60s default value; expected %s but got %s", f->name,
                        value_type_text(f->type, f->target, expected),
                        type.is_some ? value_type_text(type.type, type.target, got) : "null");
    if (rc != HOB_OK)
        return rc;
    hob_jw_init(&w, text);
    rc = value_write(value, &w, err);
    if (rc == HOB_OK)
        rc = hob_jw_end(&w, err);
    if (rc == HOB_OK && hob_buf_add(text, "", 1) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "a default value is at most %d bytes", DEFAULT_BYTES_MAX);
    f->default_json = rc == HOB_OK ? hob_buf_data(text) : NULL;
    return rc;
}

static enum hob_code judge_field_name(const char *class_name, const char *name, const char *doing,
                                      struct hob_err *err)
{
    if (!field_name_is_valid(hob_str(name)))
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "invalid field name: %.80s", name);
    if (is_default_column(name) || system_field(class_name, name))
        return parse_fail(err, PARSE_FIELD_FIXED, "field %.80s cannot be %s", name, doing);
    return HOB_OK;
}

static const struct data_field *geo_field(const struct data_class *class)
{
    for (size_t i = 0; class && i < class->fields_n; i++)
        if (class->fields[i].type == DATA_GEO_POINT)
            return &class->fields[i];
    return NULL;
}

static enum hob_code judge_existing(const struct data_class *class, const struct data_field *f,
                                    struct hob_err *err)
{
    const struct data_field *was = data_field_find(class, f->name);
    if (was && (was->type != f->type || (f->target && was->target && strcmp(f->target, was->target) != 0)))
        return parse_fail(err, PARSE_INVALID_SCHEMA_OPERATION, "Field %.80s exists, cannot update.", f->name);
    const struct data_field *geo = f->type == DATA_GEO_POINT && !was ? geo_field(class) : NULL;
    if (geo)
        return parse_fail(
            err, PARSE_INCORRECT_TYPE,
            "currently, only one GeoPoint field may exist in an object. Adding %.60s when %.60s already "
            "exists.",
            f->name, geo->name);
    if (!was && class->fields_n >= FIELDS_MAX)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "a class has at most %d fields", FIELDS_MAX);
    return HOB_OK;
}

static enum hob_code put_field(struct data_tx *tx, const char *class_name, const char *name,
                               const json_t *spec, struct hob_err *err)
{
    struct data_field f = {.name = name};
    struct hob_buf text hob_auto_buf;
    const json_t *value = json_object_get(spec, "defaultValue");
    hob_buf_init(&text, DEFAULT_BYTES_MAX);
    enum hob_code rc = json_is_object(spec) ? HOB_OK : parse_fail(err, PARSE_INVALID_JSON, "invalid JSON");
    if (rc == HOB_OK)
        rc = read_type(spec, &f, err);
    if (rc == HOB_OK)
        rc = judge_existing(data_class_find(tx, class_name), &f, err);
    f.is_required = json_is_true(json_object_get(spec, "required"));
    if (rc == HOB_OK && f.is_required && f.type == DATA_RELATION)
        rc = parse_fail(err, PARSE_INCORRECT_TYPE, "The 'required' option is not applicable for Relation");
    if (rc == HOB_OK && value && !json_is_null(value))
        rc = read_default(value, &f, &text, err);
    return rc == HOB_OK ? data_field_add(tx, class_name, &f, err) : rc;
}

static enum hob_code drop_field(struct data_tx *tx, const char *class_name, const char *name,
                                struct hob_err *err)
{
    if (!data_field_find(data_class_find(tx, class_name), name))
        return parse_fail(err, PARSE_INVALID_SCHEMA_OPERATION, "Field %.80s does not exist, cannot delete.",
                          name);
    return data_field_drop(tx, class_name, name, err);
}

/* A client that sends back what it got names default columns, too: those as they are are no change. */
static bool is_same_default(const char *class_name, const char *name, const json_t *spec)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const struct data_field *f = system_field(class_name, name);
    if (!type)
        return false;
    if (f)
        return strcmp(type, data_type_names[f->type]) == 0;
    return (strcmp(name, "objectId") == 0 && strcmp(type, "String") == 0) ||
           (strcmp(name, "ACL") == 0 && strcmp(type, "ACL") == 0) ||
           ((strcmp(name, "createdAt") == 0 || strcmp(name, "updatedAt") == 0) && strcmp(type, "Date") == 0);
}

static enum hob_code put_fields(struct data_tx *tx, const char *class_name, const json_t *fields, bool is_new,
                                struct hob_err *err)
{
    const char *name;
    json_t *spec;
    if (fields && !json_is_object(fields) && !json_is_null(fields))
        return parse_fail(err, PARSE_INVALID_JSON, "fields must be an object");
    for (unsigned pass = 0; pass < 2; pass++) { /* what goes first makes room for what comes */
        json_object_foreach((json_t *)(uintptr_t)fields, name, spec)
        {
            bool is_drop = is_delete(spec);
            if (is_drop != (pass == 0) || (!is_drop && is_same_default(class_name, name, spec)))
                continue;
            enum hob_code rc = judge_field_name(class_name, name, is_new ? "added" : "changed", err);
            if (rc == HOB_OK)
                rc = is_drop ? drop_field(tx, class_name, name, err)
                             : put_field(tx, class_name, name, spec, err);
            if (rc != HOB_OK)
                return rc;
        }
    }
    return HOB_OK;
}

/* --- indexes ------------------------------------------------------------------------------------------------------ */

static const struct data_index *index_find(const struct data_class *class, const char *name)
{
    for (size_t i = 0; i < class->indexes_n; i++)
        if (strcmp(class->indexes[i].name, name) == 0)
            return &class->indexes[i];
    return NULL;
}

static enum hob_code judge_index(const struct data_class *class, const char *name, const json_t *keys,
                                 struct hob_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(keys) || !json_object_size(keys))
        return parse_fail(err, PARSE_INVALID_QUERY, "Index %.60s needs an object of its fields", name);
    if (!field_name_is_valid(hob_str(name)) && name[0] != '_')
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid index name: %.60s", name);
    json_object_foreach((json_t *)(uintptr_t)keys, key, value)
    {
        struct hob_str rest, root = hob_str_cut(hob_str(key), '.', &rest);
        char field[160];
        if (root.n >= sizeof field)
            return parse_fail(err, PARSE_INVALID_QUERY, "Field %.60s does not exist, cannot add index.", key);
        memcpy(field, root.at, root.n);
        field[root.n] = '\0';
        if (!is_default_column(field) && !data_field_find(class, field) && strncmp(field, "_p_", 3) != 0)
            return parse_fail(err, PARSE_INVALID_QUERY, "Field %.60s does not exist, cannot add index.", key);
    }
    return HOB_OK;
}

static enum hob_code put_index(struct data_tx *tx, const char *class_name, const char *name,
                               const json_t *keys, struct hob_err *err)
{
    const struct data_class *class = data_class_find(tx, class_name);
    bool is_there = index_find(class, name) || strcmp(name, "_id_") == 0;
    if (is_delete(keys))
        return is_there
                   ? data_index_drop(tx, class_name, name, err)
                   : parse_fail(err, PARSE_INVALID_QUERY, "Index %.60s does not exist, cannot delete.", name);
    if (is_there)
        return strcmp(name, "_id_") == 0
                   ? HOB_OK
                   : parse_fail(err, PARSE_INVALID_QUERY, "Index %.60s exists, cannot update.", name);
    enum hob_code rc = judge_index(class, name, keys, err);
    if (rc != HOB_OK)
        return rc;
    char *text hob_auto_free = json_dumps(keys, JSON_COMPACT);
    HOB_ASSERT(text);
    return data_index_add(tx, class_name, &(struct data_index){name, text}, false, err);
}

static enum hob_code put_indexes(struct data_tx *tx, const char *class_name, const json_t *indexes,
                                 struct hob_err *err)
{
    const char *name;
    json_t *keys;
    if (indexes && !json_is_object(indexes) && !json_is_null(indexes))
        return parse_fail(err, PARSE_INVALID_QUERY, "indexes must be an object");
    json_object_foreach((json_t *)(uintptr_t)indexes, name, keys)
    {
        enum hob_code rc = put_index(tx, class_name, name, keys, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

/* --- the two calls ------------------------------------------------------------------------------------------------ */

static enum hob_code apply(struct backend_call *c, struct data_tx *tx, const char *name, bool is_new,
                           struct hob_err *err)
{
    const json_t *permissions = ask_param(c, "classLevelPermissions");
    struct hob_jw w;
    enum hob_code rc = put_fields(tx, name, ask_param(c, "fields"), is_new, err);
    if (rc == HOB_OK && permissions && !json_is_null(permissions)) {
        rc = permissions_judge(permissions, data_class_find(tx, name), err);
        if (rc == HOB_OK)
            rc = data_class_permit(tx, name, permissions, err);
    }
    if (rc == HOB_OK)
        rc = put_indexes(tx, name, ask_param(c, "indexes"), err);
    if (rc != HOB_OK)
        return rc;
    hob_jw_init(&w, &c->out);
    class_write(&w, name, data_class_find(tx, name));
    return hob_jw_end(&w, err);
}

/* The name in the path, or in the body; both must be one. */
static enum hob_code class_of(struct backend_call *c, const char **ret_name, struct hob_err *err)
{
    const char *path = c->params[0].n ? ask_text_of(c, c->params[0]) : NULL;
    const char *body = json_string_value(ask_param(c, "className"));
    if (path && body && strcmp(path, body) != 0)
        return parse_fail(err, PARSE_INVALID_CLASS_NAME, "Class name mismatch between %.80s and %.80s.", body,
                          path);
    *ret_name = path ? path : body;
    if (!*ret_name)
        return parse_fail(err, PARSE_MISSING_REQUIRED, "POST /schemas needs a class name.");
    if (!class_name_is_valid(hob_str(*ret_name)))
        return parse_fail(
            err, PARSE_INVALID_CLASS_NAME,
            "Invalid classname: %.80s, classnames can only have alphanumeric characters and _, and must "
            "start with an alpha character ",
            *ret_name);
    return HOB_OK;
}

enum hob_code schema_create_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const char *name = NULL;
    enum hob_code rc = class_of(c, &name, err);
    if (rc != HOB_OK)
        return rc;
    if (data_class_find(tx, name))
        return parse_fail(err, PARSE_INVALID_CLASS_NAME, "Class %.80s already exists.", name);
    rc = object_class_need(tx, name, err);
    return rc == HOB_OK ? apply(c, tx, name, true, err) : rc;
}

enum hob_code schema_update_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const char *name = NULL;
    enum hob_code rc = class_of(c, &name, err);
    if (rc != HOB_OK)
        return rc;
    if (!data_class_find(tx, name)) {
        if (strcmp(name, "_User") != 0 && strcmp(name, "_Role") != 0)
            return parse_fail(err, PARSE_INVALID_CLASS_NAME, "Class %.80s does not exist.", name);
        rc = object_class_need(tx, name, err);
    }
    return rc == HOB_OK ? apply(c, tx, name, false, err) : rc;
}
