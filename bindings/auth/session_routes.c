/* The routes of sessions: one's own are read, changed and ended like objects; who is in one may look at it, and make
 * another for a device that cannot log in itself. */
#include <stdlib.h>

#include "bindings/auth/user_flow.h"

#include "base/banned.h"

static const char *const fixed[] = {
    "user", "sessionToken", "installationId", "expiresAt", "createdWith", "restricted", "ACL"};

static bool is_somebody(struct backend_call *c)
{
    if (identity_is_master(&c->who) || c->who.user_id.n)
        return true;
    fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Session token required.");
    return false;
}

static void find(struct backend_call *c)
{
    if (is_somebody(c))
        object_serve_find(c, HOB_STR("_Session"));
}

static void get(struct backend_call *c)
{
    if (is_somebody(c))
        object_serve_get(c, HOB_STR("_Session"), c->params[0]);
}

static void drop(struct backend_call *c)
{
    if (is_somebody(c))
        object_serve_remove(c, HOB_STR("_Session"), c->params[0], NULL);
}

/* --- the session of the token --- */
static enum hob_code read_own(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_decref(f->shown);
    f->shown = NULL;
    return session_row(c, tx, c->who.session_token, &f->shown, err);
}

static void tell_session(struct backend_call *c)
{
    struct user_flow *f = c->state;
    struct hob_str token = f->token[0] ? hob_str(f->token) : c->who.session_token;
    if (!f->shown) {
        fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Session token not found.");
        return;
    }
    (void)json_object_set_new(f->shown, "sessionToken", json_stringn(token.at, token.n));
    answer_finish(c, f->shown);
}

static void me(struct backend_call *c)
{
    (void)user_flow_new(c);
    if (c->who.session_id.n && own_is_asked(c))
        own_serve(c, "/sessions", c->who.session_id);
    else if (c->who.session_id.n)
        ask_read(c, read_own, tell_session);
    else
        fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Session token required.");
}

/* --- another one --- */
static enum hob_code open_another(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    bool is_upgrade = strcmp(f->action, "upgrade") == 0;
    struct session_new n = {.user_id = c->who.user_id, .action = f->action, .custom = f->user};
    if (is_upgrade)
        n.installation_id = c->request.installation_id;
    json_decref(f->shown);
    f->shown = NULL;
    enum hob_code rc = session_create(c, tx, &n, f->token, err);
    return rc == HOB_OK ? session_row(c, tx, hob_str(f->token), &f->shown, err) : rc;
}

static void tell_another(struct backend_call *c)
{
    const struct user_flow *f = c->state;
    c->status = strcmp(f->action, "create") == 0 ? 201 : 200;
    tell_session(c);
}

/* Those members, or parts of them ("createdWith.action"). */
static const char *find_fixed(json_t *members)
{
    const char *name;
    json_t *ignored;
    json_object_foreach(members, name, ignored)
    {
        struct hob_str behind, root = hob_str_cut(hob_str(name), '.', &behind);
        for (size_t i = 0; i < HOB_COUNT(fixed); i++)
            if (hob_str_is(root, fixed[i]))
                return fixed[i];
    }
    return NULL;
}

static bool has_fixed(struct backend_call *c)
{
    const char *name = find_fixed(c->request.params);
    if (!name)
        return false;
    if (strcmp(name, "ACL") == 0)
        (void)parse_fail(&c->err, PARSE_INVALID_KEY_NAME, "Cannot set ACL on a Session.");
    else
        (void)parse_fail(&c->err, PARSE_INVALID_KEY_NAME, "Invalid key name: %s", name);
    ask_fail(c);
    return true;
}

static void open_for(struct backend_call *c, const char *action, json_t *custom)
{
    struct user_flow *f = user_flow_new(c);
    f->action = action;
    f->user = json_incref(custom);
    if (c->who.user_id.n)
        ask_write(c, open_another, tell_another);
    else
        fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Session token required.");
}

static void create(struct backend_call *c)
{
    if (!has_fixed(c))
        open_for(c, "create", c->request.params);
}

static void upgrade(struct backend_call *c)
{
    open_for(c, "upgrade", NULL);
}

static void update(struct backend_call *c)
{
    if (!is_somebody(c) || (c->who.role != BACKEND_MASTER && has_fixed(c)))
        return;
    struct object_save s = {.class_name = HOB_STR("_Session"), .id = c->params[0], .data = c->request.params};
    object_save_start(c, &s);
}

const struct backend_route session_routes[] = {
    {"GET", "/sessions", ROUTE_FLOW, NEED_NOTHING, NULL, find},
    {"GET", "/sessions/me", ROUTE_FLOW, NEED_NOTHING, NULL, me},
    {"GET", "/sessions/:id", ROUTE_FLOW, NEED_NOTHING, NULL, get},
    {"POST", "/sessions", ROUTE_FLOW, NEED_NOTHING, NULL, create},
    {"PUT", "/sessions/:id", ROUTE_FLOW, NEED_NOTHING, NULL, update},
    {"DELETE", "/sessions/:id", ROUTE_FLOW, NEED_NOTHING, NULL, drop},
    {"POST", "/upgradeToRevocableSession", ROUTE_FLOW, NEED_NOTHING, NULL, upgrade},
    {0},
};
