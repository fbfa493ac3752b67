/* Class-level permissions, judged before they are kept. */
#include <string.h>

#include "bindings/schema/schema_priv.h"

#include "base/banned.h"

static bool is_op(const char *name)
{
    static const char *const ops[] = {"find", "count", "get", "create", "update", "delete", "addField"};
    for (size_t i = 0; i < HOB_COUNT(ops); i++)
        if (strcmp(name, ops[i]) == 0)
            return true;
    return false;
}

static bool is_id(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '-' || s[i] == '_'))
            return false;
    return n > 0 && n <= 128;
}

/* Who a permission can be given to. */
static bool is_entity(const char *name)
{
    return strcmp(name, "*") == 0 || strcmp(name, "requiresAuthentication") == 0 ||
           (strncmp(name, "role:", 5) == 0 && name[5]) || is_id(name);
}

static enum hob_code judge_columns(const json_t *columns, const char *op, const struct data_class *class,
                                   struct hob_err *err)
{
    if (!json_is_array(columns))
        return parse_fail(err, PARSE_INVALID_JSON,
                          "this is not a valid value for class level permissions %s - must be an array", op);
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        const struct data_field *f = name && class ? data_field_find(class, name) : NULL;
        if (!f && name && class)
            f = system_field(class->name, name);
        bool fits = f && ((f->type == DATA_POINTER && f->target && strcmp(f->target, "_User") == 0) ||
                          f->type == DATA_ARRAY);
        if (!fits)
            return parse_fail(err, PARSE_INVALID_JSON,
                              "'%.60s' is not a valid column for class level pointer permissions %s",
                              name ? name : "?", op);
    }
    return HOB_OK;
}

static enum hob_code judge_op(const char *op, const json_t *grants, const struct data_class *class,
                              struct hob_err *err)
{
    const char *entity;
    json_t *value;
    if (!json_is_object(grants))
        return parse_fail(err, PARSE_INVALID_JSON,
                          "this is not a valid value for class level permissions %s - must be an object", op);
    json_object_foreach((json_t *)(uintptr_t)grants, entity, value)
    {
        if (strcmp(entity, "pointerFields") == 0) {
            enum hob_code rc = judge_columns(value, op, class, err);
            if (rc != HOB_OK)
                return rc;
        } else if (!is_entity(entity)) {
            return parse_fail(err, PARSE_INVALID_JSON,
                              "'%.60s' is not a valid key for class level permissions", entity);
        } else if (!json_is_true(value)) {
            return parse_fail(err, PARSE_INVALID_JSON,
                              "this is not a valid value for class level permissions %s:%.60s: only true is",
                              op, entity);
        }
    }
    return HOB_OK;
}

static bool is_default_column(const char *name)
{
    return strcmp(name, "objectId") == 0 || strcmp(name, "createdAt") == 0 ||
           strcmp(name, "updatedAt") == 0 || strcmp(name, "ACL") == 0;
}

static enum hob_code judge_protected_list(const char *entity, const json_t *list,
                                          const struct data_class *class, struct hob_err *err)
{
    if (!json_is_array(list))
        return parse_fail(err, PARSE_INVALID_JSON,
                          "this is not a valid value for protectedFields[%.60s] - expected an array.",
                          entity);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return parse_fail(err, PARSE_INVALID_JSON, "protectedFields:%.60s holds names of fields", entity);
        if (is_default_column(name))
            return parse_fail(err, PARSE_INVALID_JSON, "Default field '%s' can not be protected", name);
        if (class && !data_field_find(class, name) && !system_field(class->name, name))
            return parse_fail(err, PARSE_INVALID_JSON,
                              "Field '%.60s' in protectedFields:%.60s does not exist", name, entity);
    }
    return HOB_OK;
}

static enum hob_code judge_protected(const json_t *rules, const struct data_class *class, struct hob_err *err)
{
    const char *entity;
    json_t *list;
    if (!json_is_object(rules))
        return parse_fail(
            err, PARSE_INVALID_JSON,
            "this is not a valid value for class level permissions protectedFields - must be an object");
    json_object_foreach((json_t *)(uintptr_t)rules, entity, list)
    {
        bool fits = strcmp(entity, "authenticated") == 0 || strncmp(entity, "userField:", 10) == 0 ||
                    is_entity(entity);
        if (!fits || strcmp(entity, "requiresAuthentication") == 0)
            return parse_fail(err, PARSE_INVALID_JSON,
                              "'%.60s' is not a valid key for class level permissions", entity);
        enum hob_code rc = judge_protected_list(entity, list, class, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static enum hob_code judge_acl(const json_t *acl, struct hob_err *err)
{
    struct hob_arena arena;
    struct hob_str readers, writers;
    hob_arena_init(&arena, 1024 * 1024);
    enum hob_code rc = json_is_object(acl) ? acl_split(&arena, acl, &readers, &writers, err)
                                           : parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL.");
    hob_arena_done(&arena);
    return rc;
}

enum hob_code permissions_judge(const json_t *permissions, const struct data_class *class,
                                struct hob_err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(permissions))
        return parse_fail(err, PARSE_INVALID_JSON, "class level permissions must be an object");
    json_object_foreach((json_t *)(uintptr_t)permissions, name, value)
    {
        enum hob_code rc;
        if (is_op(name))
            rc = judge_op(name, value, class, err);
        else if (strcmp(name, "readUserFields") == 0 || strcmp(name, "writeUserFields") == 0)
            rc = judge_columns(value, name, class, err);
        else if (strcmp(name, "protectedFields") == 0)
            rc = judge_protected(value, class, err);
        else if (strcmp(name, "ACL") == 0)
            rc = judge_acl(value, err);
        else
            rc = parse_fail(err, PARSE_INVALID_JSON,
                            "%.60s is not a valid operation for class level permissions", name);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}
