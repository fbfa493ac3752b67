/* The routes of users: small handlers; sign-up and change are user_save.c, log-in is login.c. */
#include <stdlib.h>

#include "bindings/auth/user_flow.h"
#include "bindings/trigger.h"

#include "base/banned.h"

/* --- who am I --- */
static const char *const view_names[] = {"keys", "excludeKeys", "include", "includeAll"};

bool own_is_asked(const struct backend_call *c)
{
    bool is_asked = false;
    for (size_t i = 0; i < HOB_COUNT(view_names); i++)
        is_asked |= ask_param(c, view_names[i]) != NULL;
    return is_asked;
}

static void on_own(void *ctx, const struct backend_answer *a)
{
    struct backend_call *c = ctx;
    json_t *row = call_json(c, hob_json_parse(a->json, "the row", &c->err));
    struct hob_str token = c->who.session_token;
    if (!row) {
        ask_fail(c);
        return;
    }
    if (a->status >= 400) {
        int code = (int)json_integer_value(json_object_get(row, "code"));
        const char *words = json_string_value(json_object_get(row, "error"));
        bool is_gone = code == PARSE_OBJECT_NOT_FOUND;
        fail_now(c, is_gone ? PARSE_INVALID_SESSION_TOKEN : (enum parse_code)code,
                 is_gone ? "Invalid session token" : words);
        return;
    }
    if (token.n)
        (void)json_object_set_new(row, "sessionToken", json_stringn(token.at, token.n));
    answer_finish(c, row);
}

void own_serve(struct backend_call *c, const char *route, struct hob_str id)
{
    json_t *params = call_json(c, json_object());
    for (size_t i = 0; i < HOB_COUNT(view_names); i++)
        if (ask_param(c, view_names[i]))
            (void)json_object_set(params, view_names[i], ask_param(c, view_names[i]));
    hob_auto_free char *path = hob_asprintf("%s/%.*s", route, HOB_STR_ARG(id));
    struct backend_request r = {
        .method = HOB_STR("GET"), .path = hob_str(path), .params = params, .role = c->who.role};
    (void)ask_again(c, &r, on_own, c);
}

static void me(struct backend_call *c)
{
    if (c->who.user && own_is_asked(c)) {
        own_serve(c, "/users", c->who.user_id);
        return;
    }
    if (!c->who.user) {
        fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Invalid session token");
        return;
    }
    json_t *shown = call_json(c, json_copy(c->who.user));
    if (c->who.session_token.n)
        (void)json_object_set_new(shown, "sessionToken",
                                  json_stringn(c->who.session_token.at, c->who.session_token.n));
    answer_finish(c, shown);
}

/* --- objects --- */
static void create(struct backend_call *c)
{
    user_create(c);
}

static void update(struct backend_call *c)
{
    user_update(c, c->params[0]);
}

static void find(struct backend_call *c)
{
    object_serve_find(c, HOB_STR("_User"));
}

static void get(struct backend_call *c)
{
    object_serve_get(c, HOB_STR("_User"), c->params[0]);
}

struct removing {
    struct data_tx *tx;
};

static enum hob_code release_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    const struct removing *r = ctx;
    return user_removed(r->tx, row, err);
}

static enum hob_code release(struct backend_call *c, struct data_tx *tx, struct hob_str id,
                             struct hob_err *err)
{
    struct removing r = {tx};
    bool is_found = false;
    enum hob_code rc = data_get(tx, "_User", id, NULL, release_row, &r, &is_found, err);
    session_note(c, "_User", id);
    return rc == HOB_OK ? session_end_all(c, tx, id, (struct hob_str){0}, err) : rc;
}

static void drop(struct backend_call *c)
{
    if (identity_is_master(&c->who) || (c->who.user_id.n && hob_str_eq(c->who.user_id, c->params[0])))
        object_serve_remove(c, HOB_STR("_User"), c->params[0], release);
    else
        fail_now(c, PARSE_SESSION_MISSING, "Insufficient auth to delete user");
}

/* --- log-out --- */
static enum hob_code end_session(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_decref(f->shown);
    f->shown = NULL;
    enum hob_code rc = session_row(c, tx, c->request.session_token, &f->shown, err);
    if (rc != HOB_OK || !f->shown)
        return rc;
    struct hob_str id = member_str(f->shown, "objectId");
    session_note(c, "_Session", id);
    return object_remove(c, tx, "_Session", id, OBJECT_AS_MASTER, err);
}

static void logged_out(struct backend_call *c, const struct hob_err *err, json_t *ignored)
{
    (void)err;
    (void)ignored;
    ask_finish(c);
}

static void tell_logout(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (!f->shown || !trigger_exists(c->backend, c->request.app, HOB_STR("_Session"), TRIGGER_AFTER_LOGOUT)) {
        ask_finish(c);
        return;
    }
    (void)json_object_set_new(f->shown, "className", json_string("_Session"));
    struct trigger_event e = {
        .kind = TRIGGER_AFTER_LOGOUT, .class_name = HOB_STR("_Session"), .object = f->shown};
    trigger_run(c, &e, logged_out);
}

static void logout(struct backend_call *c)
{
    (void)user_flow_new(c);
    if (c->request.session_token.n)
        ask_write(c, end_session, tell_logout);
    else
        ask_finish(c);
}

/* --- log in as somebody, by master --- */
static enum hob_code open_as(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = user_flow_read(c, tx, err);
    if (rc != HOB_OK)
        return rc;
    if (!f->user)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "user not found");
    struct session_new n = {.user_id = hob_str(f->id),
                            .installation_id = c->request.installation_id,
                            .action = "login",
                            .provider = "masterkey"};
    json_decref(f->shown);
    f->shown = user_shown(f->user, f->hidden);
    return session_create(c, tx, &n, f->token, err);
}

static void tell_as(struct backend_call *c)
{
    struct user_flow *f = c->state;
    (void)json_object_set_new(f->shown, "sessionToken", json_string(f->token));
    answer_finish(c, f->shown);
}

static void login_as(struct backend_call *c)
{
    struct user_flow *f = user_flow_new(c);
    const json_t *id = ask_param(c, "userId");
    if (c->who.role != BACKEND_MASTER) { /* with a number, as an SDK wants it */
        fail_now(c, PARSE_OPERATION_FORBIDDEN,
                 c->who.role == BACKEND_READ_ONLY_MASTER
                     ? "read-only masterKey isn't allowed to login as another user."
                     : "master key is required");
        return;
    }
    if (!json_is_string(id) || json_string_length(id) == 0 || json_string_length(id) > USER_ID_CHARS_MAX) {
        fail_now(c, PARSE_INVALID_VALUE, "userId must not be empty, null, or undefined");
        return;
    }
    memcpy(f->id, json_string_value(id), json_string_length(id));
    ask_write(c, open_as, tell_as);
}

const struct backend_route user_routes[] = {
    {"POST", "/users", ROUTE_FLOW, NEED_NOTHING, NULL, create},
    {"GET", "/users", ROUTE_FLOW, NEED_NOTHING, NULL, find},
    {"GET", "/users/me", ROUTE_FLOW, NEED_NOTHING, NULL, me},
    {"GET", "/users/:id", ROUTE_FLOW, NEED_NOTHING, NULL, get},
    {"PUT", "/users/:id", ROUTE_FLOW, NEED_NOTHING, NULL, update},
    {"DELETE", "/users/:id", ROUTE_FLOW, NEED_NOTHING, NULL, drop},
    {"GET", "/login", ROUTE_FLOW, NEED_NO_SESSION, NULL, login_serve},
    {"POST", "/login", ROUTE_FLOW, NEED_NO_SESSION, NULL, login_serve},
    {"GET", "/verifyPassword", ROUTE_FLOW, NEED_NO_SESSION, NULL, verify_serve},
    {"POST", "/verifyPassword", ROUTE_FLOW, NEED_NO_SESSION, NULL, verify_serve},
    {"POST", "/loginAs", ROUTE_FLOW, NEED_NO_SESSION, NULL, login_as},
    {"POST", "/logout", ROUTE_FLOW, NEED_NO_SESSION, NULL, logout},
    {"POST", "/challenge", ROUTE_FLOW, NEED_NO_SESSION, NULL, challenge_serve},
    {0},
};
