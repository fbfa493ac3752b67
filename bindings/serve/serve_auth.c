/* env.auth: who calls, other users, tokens; with auth:admin also making, changing and removing users. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bindings/login/id_token.h"
#include "bindings/serve/serve_priv.h"

#include "base/banned.h"

enum { PATH_BYTES = 200, ID_BYTES = 64, SESSIONS_MAX = 1000 };

/* --- judging --- */

static bool is_id(const char *id)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)id[i] <= ' ' || strchr("/?#%\\\x7f", id[i]))
            return false;
    }
    return n > 0 && n <= ID_BYTES;
}

static enum hob_code need_path(const struct serve_call *c, char path[PATH_BYTES], struct hob_err *err)
{
    const char *id = serve_need_text(c, "id", err);
    if (!id)
        return err->code;
    if (!is_id(id))
        return hob_fail_parse(err, HOB_E_INVALID, PARSE_MISSING_OBJECT_ID, "%s: this is no user's id", c->op);
    (void)snprintf(path, PATH_BYTES, "/users/%s", id);
    return HOB_OK;
}

static enum hob_code need_admin(const struct serve_call *c, struct hob_err *err)
{
    return serve_need(c, HOB_GRANT_AUTH_ADMIN, HOB_STR(""), 0, err);
}

/* --- shapes --- */

/* A user, without what only the owner's client may have; null when there is none or the session is over. */
static void shape_user(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_int_t code = json_integer_value(json_object_get(json, "code"));
    if (a->status == 404 || code == PARSE_INVALID_SESSION_TOKEN || code == PARSE_OBJECT_NOT_FOUND) {
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
        return;
    }
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    (void)json_object_del(json, "sessionToken");
    serve_answer_json(c, json);
}

/* What was given, without the password, and over it what the backend answered. */
static void shape_saved(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *user hob_auto_json = json_copy(json_object_get(c->args, "user"));
    const char *id = json_string_value(json_object_get(c->args, "id"));
    if (id)
        (void)json_object_set_new(user, "objectId", json_string(id));
    (void)json_object_update(user, json);
    (void)json_object_del(user, "password");
    (void)json_object_del(user, "sessionToken");
    serve_answer_json(c, user);
}

static void shape_list(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *none hob_auto_json = json_array();
    const json_t *results = json_object_get(json, "results");
    serve_answer_json(c, results ? results : none);
}

static void shape_nothing(struct serve_call *c, const struct backend_answer *a)
{
    if (a->status >= 400)
        serve_fail_answer(c, a);
    else
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
}

static void ask(struct serve_call *c, const char *method, const char *path, struct backend_request as,
                void (*shape)(struct serve_call *c, const struct backend_answer *a))
{
    as.method = hob_str(method);
    as.path = hob_str(path);
    serve_ask(c, &as, shape);
}

/* --- who calls --- */

static void start_user(struct serve_call *c)
{
    struct hob_err err;
    char path[PATH_BYTES];
    if (serve_need(c, HOB_GRANT_AUTH, HOB_STR(""), 0, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    struct backend_request as = {.session_token = c->caller.session_token, .user_id = c->caller.user_id};
    if (as.user_id.n) {
        (void)snprintf(path, sizeof path, "/users/%.*s",
                       (int)(as.user_id.n < ID_BYTES ? as.user_id.n : ID_BYTES), as.user_id.at);
        ask(c, "GET", path, as, shape_user);
    } else if (as.session_token.n) {
        ask(c, "GET", "/users/me", as, shape_user);
    } else {
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
    }
}

static void start_get_user(struct serve_call *c)
{
    struct hob_err err;
    char path[PATH_BYTES] = "/users/me";
    const char *token = json_string_value(json_object_get(c->args, "token"));
    struct backend_request as = {.session_token = hob_str(token)};
    if (serve_need(c, HOB_GRANT_AUTH, HOB_STR(""), 0, &err) != HOB_OK ||
        (!token && (need_path(c, path, &err) != HOB_OK || serve_identity(c, &as, &err) != HOB_OK)))
        serve_fail(c, &err);
    else
        ask(c, "GET", path, as, shape_user);
}

/* --- tokens --- */

/* What the token says of itself, before it is judged; NULL: it is none. */
static json_t *said_by(const char *token)
{
    struct hob_err bad;
    struct hob_str rest, payload;
    (void)hob_str_cut(hob_str(token), '.', &rest);
    payload = hob_str_cut(rest, '.', &rest);
    hob_auto_free char *text = hob_calloc(1, payload.n + 4);
    size_t n = 0;
    if (!payload.at || payload.n > ID_TOKEN_BYTES_MAX ||
        sodium_base642bin((unsigned char *)text, payload.n + 4, payload.at, payload.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return NULL;
    return hob_json_parse(hob_str_n(text, n), "the token", &bad);
}

/* The keys are this app's alone: a token that one of them has signed is one that this backend has issued. */
static void shape_claims(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err err;
    const char *token = json_string_value(json_object_get(c->args, "token"));
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *keys hob_auto_json = hob_json_parse(a->json, "the backend's answer", &err);
    json_t *claims hob_auto_json = NULL;
    json_t *said hob_auto_json = said_by(token);
    const json_t *audience = json_object_get(c->args, "audience");
    const char *issuer = json_string_value(json_object_get(said, "iss"));
    struct id_token_rules rules = {.issuer = issuer ? issuer : "",
                                   .audiences = audience ? audience : json_object_get(said, "aud"),
                                   .now_ms = hob_utc_ms()};
    if (said && rules.audiences &&
        id_token_judge(hob_str(token), keys, &rules, &claims, &err) == ID_TOKEN_GOOD) {
        serve_answer_json(c, claims);
        return;
    }
    (void)hob_fail_parse(&err, HOB_E_UNAUTHORIZED, PARSE_INVALID_SESSION_TOKEN, "the token is not valid");
    serve_fail(c, &err);
}

static void start_verify(struct serve_call *c)
{
    struct hob_err err;
    if (serve_need(c, HOB_GRANT_AUTH, HOB_STR(""), 0, &err) != HOB_OK || !serve_need_text(c, "token", &err))
        serve_fail(c, &err);
    else
        ask(c, "GET", "/auth/jwks", (struct backend_request){0}, shape_claims);
}

static void shape_token(struct serve_call *c, const struct backend_answer *a)
{
    if (a->status >= 400)
        serve_fail_answer(c, a);
    else
        serve_answer(c, a->json, HOB_STR(""));
}

/* --- administration --- */

static void start_mint(struct serve_call *c)
{
    struct hob_err err;
    const char *id = NULL;
    char path[PATH_BYTES];
    enum hob_code rc = need_admin(c, &err);
    if (rc == HOB_OK)
        rc = need_path(c, path, &err);
    if (rc == HOB_OK && json_object_size(json_object_get(c->args, "claims")))
        rc = hob_fail(&err, HOB_E_UNSUPPORTED, "auth.mint: claims of your own are not supported yet");
    if (rc != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    id = json_string_value(json_object_get(c->args, "id"));
    json_t *ttl = json_object_get(c->args, "ttl"), *audience = json_object_get(c->args, "audience");
    json_t *params hob_auto_json = json_object();
    if (ttl)
        (void)json_object_set(params, "expiresIn", ttl);
    if (audience)
        (void)json_object_set(params, "audience", audience);
    ask(c, "POST", "/auth/token", (struct backend_request){.user_id = hob_str(id), .params = params},
        shape_token);
}

static void start_save(struct serve_call *c, const char *method, bool has_id)
{
    struct hob_err err;
    char path[PATH_BYTES] = "/users";
    json_t *user = json_object_get(c->args, "user");
    enum hob_code rc = need_admin(c, &err);
    if (rc == HOB_OK && has_id)
        rc = need_path(c, path, &err);
    if (rc == HOB_OK && !json_is_object(user))
        rc = hob_fail(&err, HOB_E_INVALID, "%s: 'user' is missing or no object", c->op);
    if (rc == HOB_OK)
        ask(c, method, path, (struct backend_request){.role = BACKEND_MASTER, .params = user}, shape_saved);
    else
        serve_fail(c, &err);
}

static void start_create(struct serve_call *c)
{
    start_save(c, "POST", false);
}

static void start_update(struct serve_call *c)
{
    start_save(c, "PUT", true);
}

static void start_delete(struct serve_call *c)
{
    struct hob_err err;
    char path[PATH_BYTES];
    if (need_admin(c, &err) != HOB_OK || need_path(c, path, &err) != HOB_OK)
        serve_fail(c, &err);
    else
        ask(c, "DELETE", path, (struct backend_request){.role = BACKEND_MASTER}, shape_nothing);
}

static void start_list(struct serve_call *c)
{
    static const char *const names[] = {"where", "limit", "skip", "order"};
    struct hob_err err;
    if (need_admin(c, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    json_t *params hob_auto_json = json_object();
    for (size_t i = 0; i < HOB_COUNT(names); i++) {
        json_t *value = json_object_get(c->args, names[i]);
        if (value && !json_is_null(value))
            (void)json_object_set(params, names[i], value);
    }
    ask(c, "GET", "/users", (struct backend_request){.role = BACKEND_MASTER, .params = params}, shape_list);
}

/* Of a batch: its first failure is the call's. */
static void shape_removed(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err err, bad;
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    const json_t *one;
    size_t i;
    json_array_foreach(json, i, one)
    {
        const json_t *error = json_object_get(one, "error");
        int code = (int)json_integer_value(json_object_get(error, "code"));
        const char *text = json_string_value(json_object_get(error, "error"));
        if (!error || code == PARSE_OBJECT_NOT_FOUND) /* it has ended meanwhile */
            continue;
        (void)hob_fail_parse(&err, HOB_E_INVALID, code, "%.200s", text ? text : "a session cannot be ended");
        serve_fail(c, &err);
        return;
    }
    shape_nothing(c, a);
}

/* The user's sessions were found: they are removed in one batch. */
static void shape_sessions(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *requests = json_array();
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(json, "results"), i, one)
    {
        char path[PATH_BYTES];
        const char *id = json_string_value(json_object_get(one, "objectId"));
        (void)snprintf(path, sizeof path, "/parse/sessions/%s", id ? id : "");
        (void)json_array_append_new(requests, json_pack("{s:s,s:s}", "method", "DELETE", "path", path));
    }
    json_t *params hob_auto_json = json_pack("{s:o}", "requests", requests);
    if (json_array_size(requests))
        ask(c, "POST", "/batch", (struct backend_request){.role = BACKEND_MASTER, .params = params},
            shape_removed);
    else
        serve_answer(c, HOB_STR("null"), HOB_STR(""));
}

static void start_revoke(struct serve_call *c)
{
    struct hob_err err;
    char path[PATH_BYTES];
    if (need_admin(c, &err) != HOB_OK || need_path(c, path, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    const char *id = json_string_value(json_object_get(c->args, "id"));
    json_t *params hob_auto_json =
        json_pack("{s:{s:{s:s,s:s,s:s}},s:i,s:s}", "where", "user", "__type", "Pointer", "className", "_User",
                  "objectId", id, "limit", SESSIONS_MAX, "keys", "objectId");
    ask(c, "GET", "/sessions", (struct backend_request){.role = BACKEND_MASTER, .params = params},
        shape_sessions);
}

const struct serve_op serve_auth_ops[] = {
    {"auth.user", start_user},         {"auth.getUser", start_get_user},
    {"auth.verify", start_verify},     {"auth.mint", start_mint},
    {"auth.createUser", start_create}, {"auth.updateUser", start_update},
    {"auth.deleteUser", start_delete}, {"auth.listUsers", start_list},
    {"auth.revoke", start_revoke},     {0},
};
