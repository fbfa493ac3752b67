/* Class-level permissions: may this caller do that with objects of the class, and which rows must admit him. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

static const char *const op_names[] = {"get", "find", "count", "create", "update", "delete", "addField"};

bool permit_is_master(const struct backend_call *c, unsigned flags)
{
    return (flags & (OBJECT_AS_MASTER | OBJECT_AS_SERVER)) || identity_is_master(&c->who);
}

static bool is_granted(const struct backend_call *c, const json_t *grants)
{
    if (json_is_true(json_object_get(grants, "*")))
        return true;
    for (size_t i = 0; i < c->who.subjects_n; i++)
        if (json_is_true(json_object_getn(grants, c->who.subjects[i].at, c->who.subjects[i].n)))
            return true;
    return false;
}

static void add_fields(const char **fields, size_t *n, size_t max, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && *n < max; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        bool is_known = !name;
        for (size_t k = 0; k < *n && !is_known; k++)
            is_known = strcmp(fields[k], name) == 0;
        if (!is_known)
            fields[(*n)++] = name;
    }
}

/* Rows whose pointers hold the caller; without a user there are none. */
static enum hob_code by_pointers(struct backend_call *c, const json_t *mine, const json_t *group,
                                 struct permit *p, struct hob_err *err)
{
    size_t max = json_array_size(mine) + json_array_size(group), n = 0;
    if (!max)
        return HOB_OK;
    if (!c->who.user_id.n) {
        p->is_nothing = true;
        return HOB_OK;
    }
    const char **fields = hob_arena_alloc(&c->arena, max * sizeof *fields);
    if (!fields)
        return hob_fail(err, HOB_E_TOO_LARGE, "too many pointer permissions");
    add_fields(fields, &n, max, mine);
    add_fields(fields, &n, max, group);
    p->access.pointer_fields = fields;
    p->access.pointer_fields_n = n;
    return HOB_OK;
}

static enum hob_code denied(const char *name, enum object_op op, struct hob_err *err)
{
    return parse_fail(err, PARSE_OPERATION_FORBIDDEN, "Permission denied for action %s on class %s.",
                      op_names[op], name);
}

enum hob_code permit_class(struct backend_call *c, const struct data_class *class, const char *name,
                           enum object_op op, unsigned flags, struct permit *ret_permit, struct hob_err *err)
{
    *ret_permit = (struct permit){.is_nothing = false};
    if (permit_is_master(c, flags))
        return HOB_OK;
    ret_permit->access = (struct data_access){.subjects = c->who.subjects,
                                              .subjects_n = c->who.subjects_n,
                                              .is_write = op == OP_UPDATE || op == OP_DELETE,
                                              .user_id = c->who.user_id};
    HOB_ASSERT(c->who.subjects_n > 0);
    const json_t *all = class ? class->permissions : NULL;
    if (!json_object_size(all))
        return HOB_OK;
    const json_t *grants = json_object_get(all, op_names[op]);
    if (is_granted(c, grants))
        return HOB_OK;
    bool is_read = op == OP_GET || op == OP_FIND || op == OP_COUNT;
    const json_t *group = json_object_get(all, is_read ? "readUserFields" : "writeUserFields");
    const json_t *mine = json_object_get(grants, "pointerFields");
    if (json_is_true(json_object_get(grants, "requiresAuthentication"))) {
        if (!c->who.user_id.n)
            return parse_fail(err, PARSE_OBJECT_NOT_FOUND,
                              "Permission denied, user needs to be authenticated.");
        return by_pointers(c, mine, group, ret_permit, err);
    }
    if (op == OP_CREATE || (!json_array_size(mine) && !json_array_size(group)))
        return denied(name, op, err);
    return by_pointers(c, mine, group, ret_permit, err);
}
