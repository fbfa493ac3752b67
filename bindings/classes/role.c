/* Roles: named sets of users and of other roles. The name is unique and never changes, an access list is required. Who is in
 * which role is asked by sessions (bindings/auth/session.h), which are told of every write. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { NAME_BYTES_MAX = 128 };
#define ROLE HOB_STR("_Role")

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '-' || s[i] == '_' || s[i] == ' '))
            return false;
    return n > 0 && n <= NAME_BYTES_MAX;
}

static enum hob_code judge_new(const struct object_save *s, struct hob_err *err)
{
    const json_t *name = json_object_get(s->data, "name");
    if (!name || json_is_null(name))
        return parse_fail(err, PARSE_INCORRECT_TYPE, "name is required.");
    if (!json_is_object(json_object_get(s->data, "ACL")))
        return parse_fail(err, PARSE_INCORRECT_TYPE, "ACL is required.");
    if (json_is_string(name) && !is_name(json_string_value(name)))
        return parse_fail(err, PARSE_INVALID_ROLE_NAME,
                          "A role's name can be only contain alphanumeric characters, _, -, and spaces.");
    return HOB_OK;
}

static enum hob_code judge(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                           struct hob_err *err)
{
    const json_t *name = json_object_get(s->data, "name");
    (void)c;
    (void)tx;
    if (s->is_create)
        return judge_new(s, err);
    if (name && !json_equal(name, json_object_get(s->original, "name")))
        return parse_fail(err, PARSE_FIELD_FIXED, "A role's name cannot be changed.");
    if (json_object_get(s->data, "ACL") && !json_is_object(json_object_get(s->data, "ACL")))
        return parse_fail(err, PARSE_INCORRECT_TYPE, "ACL is required.");
    return HOB_OK;
}

static void start_find(struct backend_call *c)
{
    object_serve_find(c, ROLE);
}

static void start_get(struct backend_call *c)
{
    object_serve_get(c, ROLE, c->params[0]);
}

static void start_create(struct backend_call *c)
{
    object_save_start(c,
                      &(struct object_save){
                          .class_name = ROLE, .is_create = true, .data = c->request.params, .judge = judge});
}

static void start_update(struct backend_call *c)
{
    object_save_start(c,
                      &(struct object_save){
                          .class_name = ROLE, .id = c->params[0], .data = c->request.params, .judge = judge});
}

static void start_remove(struct backend_call *c)
{
    object_serve_remove(c, ROLE, c->params[0], NULL);
}

const struct backend_route role_routes[] = {
    {"GET", "/roles", ROUTE_FLOW, NEED_NOTHING, NULL, start_find},
    {"POST", "/roles", ROUTE_FLOW, NEED_NOTHING, NULL, start_create},
    {"GET", "/roles/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_get},
    {"PUT", "/roles/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_update},
    {"DELETE", "/roles/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_remove},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
