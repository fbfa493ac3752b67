/* Sign-up and change of a user. Flow: JUDGED (shape, rights, policy) -> [identities asked] -> READING (who has them; what
 * the user has now) -> known identity at sign-up: enter.c; else [HASHING] -> saved by the objects' flow, whose job
 * takes names, identities, sessions and mail with it. A sign-up whose identity somebody else took meanwhile goes back to
 * READING, once. */
#include <stdlib.h>

#include "bindings/auth/mfa.h"
#include "bindings/auth/policy.h"
#include "bindings/auth/user_flow.h"
#include "bindings/mail/mail.h"

#include "base/banned.h"

enum { MADE_USERNAME_CHARS = 25 };

/* --- the job of the save --- */
static enum hob_code keep_name(struct data_tx *tx, enum user_index which, const char *member,
                               const struct object_save *s, struct hob_err *err)
{
    struct hob_str now = member_str(s->object, member), was = member_str(s->original, member);
    struct hob_str id = member_str(s->object, "objectId");
    enum hob_code rc = HOB_OK;
    if (was.n && !(now.n && hob_str_eq(now, was)))
        rc = user_index_release(tx, which, was, id, err);
    if (rc == HOB_OK && now.n)
        rc = user_index_claim(tx, which, now, id, err);
    return rc;
}

static enum hob_code keep_second_factor(struct backend_call *c, const struct object_save *s, json_t *hidden,
                                        struct hob_err *err)
{
    struct user_flow *f = c->state;
    const json_t *given = f->identities.mfa, *stored_now = json_object_get(s->original_hidden, "mfa");
    json_t *stored = NULL;
    if (json_is_null(given))
        (void)json_object_set_new(hidden, "mfa", json_null());
    if (!json_is_object(given) || !json_object_get(given, "secret"))
        return HOB_OK; /* {status} and {token} change nothing */
    if (!mfa_is_on(c))
        return parse_fail(err, PARSE_UNSUPPORTED_SERVICE, "This authentication method is unsupported.");
    json_t *shown = NULL;
    enum hob_code rc =
        mfa_set_up(c, member_str(s->object, "objectId"), given, stored_now, &stored, &shown, err);
    if (rc != HOB_OK)
        return rc;
    (void)json_object_set_new(hidden, "mfa", stored);
    json_decref(f->response);
    f->response = json_pack("{s:o}", "mfa", shown);
    return HOB_OK;
}

static enum hob_code keep_identities(struct backend_call *c, struct data_tx *tx, const struct object_save *s,
                                     json_t *hidden, struct hob_err *err)
{
    const struct user_flow *f = c->state;
    json_t *auth_data = NULL;
    if (json_object_size(f->identities.kept) == 0)
        return HOB_OK;
    enum hob_code rc = identities_store(&f->identities, tx, member_str(s->object, "objectId"),
                                        json_object_get(s->original_hidden, "authData"), &auth_data, err);
    if (rc == HOB_OK)
        (void)json_object_set_new(hidden, "authData", auth_data);
    return rc;
}

static enum hob_code keep_sessions(struct backend_call *c, struct data_tx *tx, const struct object_save *s,
                                   struct hob_err *err)
{
    struct user_flow *f = c->state;
    struct hob_str id = member_str(s->object, "objectId");
    enum hob_code rc = HOB_OK;
    f->token[0] = '\0';
    bool is_revoking =
        !f->is_create && f->has_new_password && ask_bool(c, SETTING_REVOKE_SESSION_ON_PASSWORD_RESET);
    if (is_revoking)
        rc = session_end_all(c, tx, id, (struct hob_str){0}, err);
    if (rc != HOB_OK || !f->is_session_wanted || (!f->is_create && !is_revoking))
        return rc;
    struct session_new n = {.user_id = id,
                            .installation_id = c->request.installation_id,
                            .action = f->is_create ? "signup" : "login",
                            .provider = f->provider};
    return session_create(c, tx, &n, f->token, err);
}

static enum hob_code store(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                           struct hob_err *err)
{
    const struct user_flow *f = c->state;
    json_t *hidden = json_object();
    json_decref(s->hidden);
    s->hidden = hidden;
    session_note(c, "_User", member_str(s->object, "objectId"));
    enum hob_code rc = keep_name(tx, USER_BY_NAME, "username", s, err);
    if (rc == HOB_OK)
        rc = keep_name(tx, USER_BY_EMAIL, "email", s, err);
    if (rc == HOB_OK)
        rc = keep_identities(c, tx, s, hidden, err);
    if (rc == HOB_OK)
        rc = keep_second_factor(c, s, hidden, err);
    if (rc == HOB_OK && f->new_hash[0])
        user_password_members(c, s->original_hidden, hidden);
    if (rc == HOB_OK && f->has_new_email)
        rc = mail_ask_verification(c, tx, s->object, err);
    return rc == HOB_OK ? keep_sessions(c, tx, s, err) : rc;
}

/* --- the answer --- */
static void answer_more(struct backend_call *c, const char *name, const json_t *value)
{
    struct hob_jw w;
    HOB_ASSERT(c->out.n >= 2 && hob_buf_data(&c->out)[c->out.n - 1] == '}');
    c->out.n--;
    hob_jw_init(&w, &c->out);
    w.needs_comma = c->out.n > 1;
    hob_jw_key(&w, name);
    hob_jw_json(&w, value);
    if (hob_jw_end(&w, NULL) != HOB_OK || hob_buf_add(&c->out, "}", 1) != HOB_OK)
        hob_buf_clear(&c->out); /* at its limit of 128 MiB: cannot come from a user */
}

static void saved(struct backend_call *c, struct object_save *s)
{
    struct user_flow *f = c->state;
    if (f->token[0]) {
        json_t *token hob_auto_json = json_string(f->token);
        answer_more(c, "sessionToken", token);
    }
    if (f->is_create && f->username.n == 0)
        answer_more(c, "username", json_object_get(s->object, "username"));
    if (f->response)
        answer_more(c, "authDataResponse", f->response);
    if (f->has_new_email)
        mailer_wake(backend_auth(c->backend)->mailer, c->request.app);
    ask_finish(c);
}

/* --- steps --- */
static enum hob_code find_owner(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = identities_owner(&f->identities, tx, f->id, err);
    return rc == HOB_OK ? user_flow_read(c, tx, err) : rc;
}

static void enter_owner(struct backend_call *c)
{
    struct user_flow *f = c->state;
    f->action = "login";
    f->new_hash[0] = '\0'; /* of the user that is not made */
    user_enter(c);
}

static void owner_looked_for(struct backend_call *c)
{
    const struct user_flow *f = c->state;
    if (f->user)
        enter_owner(c);
    else
        ask_fail(c); /* with what the save failed with */
}

/* Somebody with the same identity may have been made meanwhile: then this is a log-in, as it were a moment later. */
static void create_failed(struct backend_call *c)
{
    int code = hob_err_parse_code(&c->err);
    if (code == PARSE_ACCOUNT_ALREADY_LINKED || code == PARSE_USERNAME_TAKEN || code == PARSE_EMAIL_TAKEN)
        ask_read(c, find_owner, owner_looked_for);
    else
        ask_fail(c);
}

static void save(struct backend_call *c)
{
    struct user_flow *f = c->state;
    struct object_save s = {.class_name = HOB_STR("_User"),
                            .id = hob_str(f->id),
                            .is_create = f->is_create,
                            .data = call_json(c, json_incref(f->shown)),
                            .flags = OBJECT_AS_SERVER,
                            .store = store,
                            .done = saved};
    if (f->is_create && identities_has_links(&f->identities) && !c->batch) /* a batch keeps its order */
        c->failed = create_failed;
    object_save_start(c, &s);
}

static void on_hashed(void *ctx, const struct hasher_answer *a, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    struct user_flow *f = c->state;
    if (!err && a->match >= 0) {
        (void)parse_fail(&c->err, PARSE_VALIDATION_ERROR,
                         "New password should not be the same as last %zu passwords.", policy_history(c));
        ask_fail(c);
        return;
    }
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    (void)snprintf(f->new_hash, sizeof f->new_hash, "%s", a->hash);
    f->hashed(c);
}

void user_password_members(struct backend_call *c, const json_t *was_hidden, json_t *hidden)
{
    const struct user_flow *f = c->state;
    json_t *was = json_object_get(was_hidden, "password");
    size_t n = policy_history(c);
    json_t *history = json_array(), *old;
    size_t i;
    if (was && n > 1)
        (void)json_array_append(history, was);
    json_array_foreach(json_object_get(was_hidden, "history"), i, old)
    {
        if (json_array_size(history) + 1 < n)
            (void)json_array_append(history, old);
    }
    (void)json_object_set_new(hidden, "password", json_string(f->new_hash));
    (void)json_object_set_new(hidden, "passwordAt", json_integer(c->now_ms));
    (void)json_object_set_new(hidden, "history", history);
    (void)json_object_set_new(hidden, "reset", json_null()); /* a link to set it is good no more */
}

void user_password_hash(struct backend_call *c, void (*hashed)(struct backend_call *c))
{
    struct user_flow *f = c->state;
    f->hashed = hashed;
    const char *stored[HASHER_STORED_MAX];
    size_t n = 0, i;
    json_t *old, *now = json_object_get(f->hidden, "password");
    if (policy_history(c) && now)
        stored[n++] = json_string_value(now);
    json_array_foreach(json_object_get(f->hidden, "history"), i, old)
    {
        if (n < policy_history(c) && json_is_string(old))
            stored[n++] = json_string_value(old);
    }
    struct hasher_ask ask = {
        .app = c->request.app, .password = f->password, .stored = stored, .stored_n = n, .wants_new = true};
    hasher_start(backend_auth(c->backend)->hasher, &ask, on_hashed, c);
}

static struct hob_str username_of(const struct user_flow *f)
{
    return f->username.n ? f->username : member_str(f->user, "username");
}

static bool is_new_email(const struct user_flow *f)
{
    struct hob_str was = member_str(f->user, "email");
    return f->email.n && !(was.n && hob_str_eq(was, f->email));
}

/* Everything is known: what is missing is made, the password judged. */
static void prepare(struct backend_call *c)
{
    struct user_flow *f = c->state;
    f->has_new_email = is_new_email(f) && ask_bool(c, SETTING_VERIFY_USER_EMAILS);
    if (f->has_new_email && !json_object_get(f->shown, "emailVerified"))
        (void)json_object_set_new(f->shown, "emailVerified", json_false());
    f->has_new_email = f->has_new_email && !json_is_true(json_object_get(f->shown, "emailVerified"));
    bool is_unverified = f->is_create && ask_bool(c, SETTING_VERIFY_USER_EMAILS) &&
                         ask_bool(c, SETTING_PREVENT_LOGIN_WITH_UNVERIFIED_EMAIL) &&
                         !identities_has_links(&f->identities);
    f->is_session_wanted = c->who.role == BACKEND_CLIENT && !is_unverified;
    if (!f->has_new_password)
        save(c);
    else if (policy_judge_password(c, f->password, username_of(f), &c->err) != HOB_OK)
        ask_fail(c);
    else
        user_password_hash(c, save);
}

static void make_username(struct user_flow *f)
{
    char name[3 * OBJECT_ID_CHARS + 1];
    for (size_t i = 0; i < 3; i++)
        object_id_make(name + i * OBJECT_ID_CHARS);
    name[MADE_USERNAME_CHARS] = '\0';
    (void)json_object_set_new(f->shown, "username", json_string(name));
}

static void default_acl(struct backend_call *c)
{
    struct user_flow *f = c->state;
    const json_t *given = json_object_get(f->shown, "ACL");
    json_t *acl = json_is_object(given) ? json_copy((json_t *)(uintptr_t)given) : json_object();
    if (!json_is_object(given) && !ask_bool(c, SETTING_ENFORCE_PRIVATE_USERS))
        (void)json_object_set_new(acl, "*", json_pack("{s:b}", "read", 1));
    (void)json_object_set_new(acl, f->id, json_pack("{s:b,s:b}", "read", 1, "write", 1));
    (void)json_object_set_new(f->shown, "ACL", acl);
}

static void create_new(struct backend_call *c)
{
    struct user_flow *f = c->state;
    object_id_make(f->id);
    if (!f->username.n)
        make_username(f);
    if (!identity_is_master(&c->who) || !json_object_get(f->shown, "ACL"))
        default_acl(c);
    prepare(c);
}

static void owner_found(struct backend_call *c)
{
    const struct user_flow *f = c->state;
    if (f->user)
        enter_owner(c);
    else
        create_new(c);
}

static void create_identified(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (identities_has_links(&f->identities))
        ask_read(c, find_owner, owner_found);
    else if (!f->username.n)
        fail_now(c, PARSE_USERNAME_MISSING, "bad or missing username");
    else if (!f->has_new_password)
        fail_now(c, PARSE_PASSWORD_MISSING, "password is required");
    else
        create_new(c);
}

static void update_read(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (!f->user)
        fail_now(c, PARSE_OBJECT_NOT_FOUND, "Object not found.");
    else
        prepare(c);
}

static void update_identified(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (json_is_object(json_object_get(f->shown, "ACL")) && !identity_is_master(&c->who))
        default_acl(c);
    if (f->has_new_password || f->email.n)
        ask_read(c, user_flow_read, update_read);
    else
        prepare(c);
}

/* --- judging --- */
static bool is_email(struct hob_str s)
{
    const char *at = s.n > 2 ? memchr(s.at + 1, '@', s.n - 2) : NULL;
    return at && s.n <= 320 && !memchr(s.at, '\n', s.n) && !memchr(s.at, '\r', s.n);
}

/* "authData.x" would be a part of what is kept elsewhere, or judged as a whole. */
static enum hob_code judge_dotted(json_t *members, struct hob_err *err)
{
    static const char *const whole[] = {"username",      "password", "email",
                                        "emailVerified", "authData", "sessionToken"};
    const char *name;
    json_t *ignored;
    json_object_foreach(members, name, ignored)
    {
        const char *dot = strchr(name, '.');
        for (size_t i = 0; dot && i < HOB_COUNT(whole); i++)
            if (hob_str_is(hob_str_n(name, (size_t)(dot - name)), whole[i]))
                return parse_fail(err, PARSE_INVALID_KEY_NAME, "Invalid field name: %.80s.", name);
    }
    return HOB_OK;
}

static enum hob_code judge_members(struct backend_call *c, struct user_flow *f, struct hob_err *err)
{
    const json_t *password = json_object_get(f->shown, "password"),
                 *email = json_object_get(f->shown, "email");
    const json_t *username = json_object_get(f->shown, "username");
    f->username = member_str(f->shown, "username");
    f->email = member_str(f->shown, "email");
    if (username && (!f->username.n || f->username.n > USER_NAME_BYTES_MAX))
        return parse_fail(err, PARSE_USERNAME_MISSING, "bad or missing username");
    if (password && (!json_is_string(password) || json_string_length(password) == 0))
        return parse_fail(err, PARSE_PASSWORD_MISSING, "password is required");
    if (json_is_string(email) && f->email.n && !is_email(f->email))
        return parse_fail(err, PARSE_INVALID_EMAIL_ADDRESS, "Email address format is invalid.");
    if (json_object_get(f->shown, "emailVerified") && !identity_is_master(&c->who))
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "Clients aren't allowed to manually update email verification.");
    return judge_dotted(f->shown, err);
}

/* The members that objects shall see: without password, authData and what only looks like a member. The texts stay
 * alive in the parameters. */
static enum hob_code take_members(struct backend_call *c, struct user_flow *f, struct hob_err *err)
{
    static const char *const made[] = {"objectId", "id", "createdAt", "updatedAt"};
    f->shown = c->request.params ? json_copy(c->request.params) : json_object();
    enum hob_code rc = judge_members(c, f, err);
    f->password = member_str(f->shown, "password");
    f->has_new_password = f->password.n > 0;
    f->provider = f->has_new_password ? "password" : NULL;
    (void)json_object_del(f->shown, "password");
    (void)json_object_del(f->shown, "authData");
    (void)json_object_del(f->shown, "sessionToken");
    for (size_t i = 0; i < HOB_COUNT(made); i++) /* the save below has the server's right to set them */
        (void)json_object_del(f->shown, made[i]);
    return rc;
}

static const char *first_provider(const json_t *auth_data)
{
    return json_is_object(auth_data) ? json_object_iter_key(json_object_iter((json_t *)(uintptr_t)auth_data))
                                     : NULL;
}

void user_create(struct backend_call *c)
{
    struct user_flow *f = user_flow_new(c);
    const json_t *auth_data = ask_param(c, "authData");
    f->is_create = true;
    if (take_members(c, f, &c->err) != HOB_OK) {
        ask_fail(c);
        return;
    }
    if (!f->provider)
        f->provider = first_provider(auth_data);
    identities_check(c, &f->identities, auth_data, create_identified);
}

void user_update(struct backend_call *c, struct hob_str id)
{
    struct user_flow *f = user_flow_new(c);
    if (c->who.role == BACKEND_READ_ONLY_MASTER) {
        fail_now(c, PARSE_OPERATION_FORBIDDEN,
                 "read-only masterKey isn't allowed to perform the update operation.");
        return;
    }
    if (!identity_is_master(&c->who) && !(c->who.user_id.n && hob_str_eq(c->who.user_id, id))) {
        (void)parse_fail(&c->err, PARSE_SESSION_MISSING, "Cannot modify user %.*s.",
                         (int)(id.n < 64 ? id.n : 64), id.at);
        ask_fail(c);
        return;
    }
    if (id.n > USER_ID_CHARS_MAX) {
        fail_now(c, PARSE_OBJECT_NOT_FOUND, "Object not found.");
        return;
    }
    memcpy(f->id, id.at, id.n);
    if (take_members(c, f, &c->err) == HOB_OK)
        identities_check(c, &f->identities, ask_param(c, "authData"), update_identified);
    else
        ask_fail(c);
}
