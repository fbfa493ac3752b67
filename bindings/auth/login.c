/* Log-in by password. Flow: JUDGED -> [identities: second factor, further providers] -> READING (who has the name) ->
 * HASHING (somebody's hash, or the dummy's for nobody: the same time) -> right: enter.c; wrong: COUNTING (lockout) ->
 * refused. */
#include <stdlib.h>

#include "bindings/auth/policy.h"
#include "bindings/auth/user_flow.h"

#include "base/banned.h"

static const char wrong_words[] = "Invalid username/password.";

/* --- jobs --- */
static enum hob_code find_user(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    char by_email[USER_ID_CHARS_MAX + 1];
    enum hob_code rc = HOB_OK;
    f->id[0] = '\0';
    if (f->username.n)
        rc = user_index_find(tx, USER_BY_NAME, f->username, f->id, err);
    if (rc == HOB_OK && f->username.n && !f->email.n && !f->id[0]) /* a name may be an address, too */
        rc = user_index_find(tx, USER_BY_EMAIL, f->username, f->id, err);
    if (rc == HOB_OK && f->email.n) {
        rc = user_index_find(tx, USER_BY_EMAIL, f->email, by_email, err);
        if (rc == HOB_OK && f->username.n && strcmp(f->id, by_email) != 0)
            by_email[0] = '\0'; /* both are given: both must fit */
        memcpy(f->id, by_email, sizeof by_email);
    }
    if (rc == HOB_OK)
        rc = user_flow_read(c, tx, err);
    free(f->account);
    f->account = f->user ? hob_strdup(f->id) : user_fold(f->username.n ? f->username : f->email);
    return rc == HOB_OK ? lockout_judge(c, tx, LOCKOUT_PASSWORD, hob_str(f->account), err) : rc;
}

static enum hob_code count_failure(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct user_flow *f = c->state;
    return lockout_failed(c, tx, LOCKOUT_PASSWORD, hob_str(f->account), err);
}

/* --- steps --- */
static void refuse(struct backend_call *c)
{
    fail_now(c, PARSE_OBJECT_NOT_FOUND, wrong_words);
}

static void wrong(struct backend_call *c)
{
    if (lockout_is_on(c))
        ask_write(c, count_failure, refuse);
    else
        refuse(c);
}

static bool is_locked_out(const struct backend_call *c, const struct user_flow *f)
{
    const json_t *acl = json_object_get(f->user, "ACL");
    return !identity_is_master(&c->who) && json_is_object(acl) && json_object_size(acl) == 0;
}

static bool says_true(const struct backend_call *c, const char *name)
{
    const json_t *j = ask_param(c, name);
    return json_is_true(j) || hob_str_is(member_str(c->request.params, name), "true");
}

/* The password is right: may this user come in? */
static void right(struct backend_call *c)
{
    struct user_flow *f = c->state;
    bool is_verified = json_is_true(json_object_get(f->user, "emailVerified"));
    bool must_be =
        ask_bool(c, SETTING_VERIFY_USER_EMAILS) && ask_bool(c, SETTING_PREVENT_LOGIN_WITH_UNVERIFIED_EMAIL);
    bool may_ignore = (c->who.role == BACKEND_MASTER || c->who.role == BACKEND_MAINTENANCE) &&
                      says_true(c, "ignoreEmailVerification");
    if (is_locked_out(c, f))
        refuse(c);
    else if (must_be && !is_verified && !may_ignore)
        fail_now(c, PARSE_EMAIL_NOT_FOUND, "User email is not verified.");
    else if (!f->is_verify_only && policy_is_expired(c, member_int(f->hidden, "passwordAt", 0)))
        fail_now(c, PARSE_OBJECT_NOT_FOUND, "Your password has expired. Please reset your password.");
    else if (f->verified)
        f->verified(c);
    else
        user_enter(c);
}

static void on_hashed(void *ctx, const struct hasher_answer *a, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    struct user_flow *f = c->state;
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    bool is_right = a->match == 0 && f->user && member_str(f->hidden, "password").n;
    if (is_right)
        (void)snprintf(f->checked_hash, sizeof f->checked_hash, "%s",
                       json_string_value(json_object_get(f->hidden, "password")));
    if (is_right && a->hash)
        (void)snprintf(f->new_hash, sizeof f->new_hash, "%s", a->hash);
    if (is_right)
        right(c);
    else
        wrong(c);
}

static void hash(struct backend_call *c)
{
    struct user_flow *f = c->state;
    struct auth *a = backend_auth(c->backend);
    const char *kept = f->user ? json_string_value(json_object_get(f->hidden, "password")) : NULL;
    const char *stored[] = {kept ? kept : a->dummy_hash};
    struct hasher_ask ask = {.app = c->request.app,
                             .password = f->password,
                             .stored = stored,
                             .stored_n = 1,
                             .is_upgrade = kept != NULL};
    hasher_start(a->hasher, &ask, on_hashed, c);
}

static void identified(struct backend_call *c)
{
    ask_read(c, find_user, hash);
}

/* A text of the parameters. */
static bool take_text(struct backend_call *c, const char *name, struct hob_str *ret_text)
{
    const json_t *j = ask_param(c, name);
    *ret_text = (struct hob_str){0};
    if (json_is_string(j))
        *ret_text = hob_str_n(json_string_value(j), json_string_length(j));
    return !j || json_is_null(j) || json_is_string(j);
}

static void start(struct backend_call *c, struct user_flow *f)
{
    bool is_text = take_text(c, "username", &f->username);
    is_text = take_text(c, "email", &f->email) && is_text;
    is_text = take_text(c, "password", &f->password) && is_text;
    f->is_password_login = true;
    f->action = "login";
    f->provider = "password";
    if (is_text && !f->username.n && !f->email.n)
        fail_now(c, PARSE_USERNAME_MISSING, "username/email is required.");
    else if (is_text && !f->password.n)
        fail_now(c, PARSE_PASSWORD_MISSING, "password is required.");
    else if (!is_text || f->username.n > USER_NAME_BYTES_MAX || f->email.n > USER_NAME_BYTES_MAX)
        refuse(c);
    else
        identities_check(c, &f->identities, f->is_verify_only ? NULL : ask_param(c, "authData"), identified);
}

void login_serve(struct backend_call *c)
{
    start(c, user_flow_new(c));
}

void verify_serve(struct backend_call *c)
{
    struct user_flow *f = user_flow_new(c);
    f->is_verify_only = true;
    start(c, f);
}

void login_verify(struct backend_call *c, void (*verified)(struct backend_call *c))
{
    struct user_flow *f = c->state;
    f->is_verify_only = true;
    f->verified = verified;
    start(c, f);
}
