/* Mails that users ask for, and the links in them. What an unknown address gets is what a known one gets, after the same
 * kind of work. The routes below /pages are for the pages of the HTTP face (verify, reset): who has the token of a mail
 * needs nothing else. */
#include <stdlib.h>

#include "bindings/auth/policy.h"
#include "bindings/auth/user_flow.h"
#include "bindings/mail/mail.h"
#include "bindings/trigger.h"
#include "store/kv.h"

#include "base/banned.h"

enum { ADDRESS_BYTES_MAX = 320, TOKEN_BYTES_MAX = 128 };

/* --- asking for a mail --- */
static enum hob_code find_address(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = user_index_find(tx, USER_BY_EMAIL, f->email, f->id, err);
    return rc == HOB_OK ? user_flow_read(c, tx, err) : rc;
}

/* For an address that nobody has: a write as for one that somebody has. */
static enum hob_code note_stranger(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    hob_auto_free char *key = user_fold(f->email);
    struct kv_row row = {.key = hob_str(key), .value = HOB_STR("1"), .expires_ms = c->now_ms + 1000};
    return kv_put(tx, "mail_rate", &row, err);
}

static enum hob_code queue_mail(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct user_flow *f = c->state;
    if (!f->user)
        return note_stranger(c, tx, err);
    return f->is_verify_only ? mail_ask_verification(c, tx, f->user, err)
                             : mail_ask_reset(c, tx, f->user, err);
}

static void queued(struct backend_call *c)
{
    mailer_wake(backend_auth(c->backend)->mailer, c->request.app);
    ask_finish(c);
}

static void on_before_reset(struct backend_call *c, const struct hob_err *err, json_t *ignored)
{
    (void)ignored;
    if (!err) {
        ask_write(c, queue_mail, queued);
        return;
    }
    c->err = *err;
    ask_fail(c);
}

/* Whether an address is known is told only where the app says so. */
static bool is_refused(struct backend_call *c, const struct user_flow *f)
{
    bool is_verified = json_is_true(json_object_get(f->user, "emailVerified"));
    bool tells =
        f->is_verify_only ? !ask_bool(c, SETTING_EMAIL_VERIFY_SUCCESS_ON_INVALID) : policy_tells_strangers(c);
    if (!tells || (f->user && !(f->is_verify_only && is_verified)))
        return false;
    if (f->user)
        (void)parse_fail(&c->err, PARSE_OTHER_CAUSE, "Email %.*s is already verified.",
                         HOB_STR_ARG(f->email));
    else if (f->is_verify_only)
        (void)parse_fail(&c->err, PARSE_EMAIL_NOT_FOUND, "No user found with email %.*s",
                         HOB_STR_ARG(f->email));
    else
        (void)parse_fail(&c->err, PARSE_OBJECT_NOT_FOUND, "A user with that email does not exist.");
    ask_fail(c);
    return true;
}

static void address_found(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (is_refused(c, f))
        return;
    if (f->is_verify_only && json_is_true(json_object_get(f->user, "emailVerified")))
        ask_finish(c);
    else if (f->is_verify_only || !f->user ||
             !user_trigger(c, TRIGGER_BEFORE_PASSWORD_RESET, f->user, on_before_reset))
        ask_write(c, queue_mail, queued);
}

static void ask_for(struct backend_call *c, bool is_verification)
{
    struct user_flow *f = user_flow_new(c);
    const json_t *email = ask_param(c, "email");
    f->is_verify_only = is_verification;
    f->email = member_str(c->request.params, "email");
    if (!email || json_is_null(email) || (json_is_string(email) && !f->email.n))
        fail_now(c, PARSE_EMAIL_MISSING, "you must provide an email");
    else if (!f->email.n || f->email.n > ADDRESS_BYTES_MAX)
        fail_now(c, PARSE_INVALID_EMAIL_ADDRESS, "you must provide a valid email string");
    else if (!mail_is_on(c))
        fail_now(
            c, PARSE_COMMAND_UNAVAILABLE,
            "The app sends no mail yet: its settings mail (server, from) and publicServerURL are needed.");
    else
        ask_read(c, find_address, address_found);
}

static void request_reset(struct backend_call *c)
{
    ask_for(c, false);
}

static void request_verification(struct backend_call *c)
{
    ask_for(c, true);
}

/* --- the links --- */
static struct hob_str token_of(const struct backend_call *c)
{
    struct hob_str token = member_str(c->request.params, "token");
    return token.n <= TOKEN_BYTES_MAX ? token : (struct hob_str){0};
}

static enum hob_code fail_link(struct hob_err *err)
{
    return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "The link is not valid any more: ask for another one.");
}

static enum hob_code take_user(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                               struct hob_err *err)
{
    struct user_flow *f = c->state;
    struct mail_token_row row;
    char digest[HOB_DIGEST_CHARS + 1];
    enum hob_code rc = mail_token_find(c, tx, which, token_of(c), &row, err);
    if (rc != HOB_OK)
        return rc;
    (void)snprintf(f->id, sizeof f->id, "%s", row.user_id);
    rc = user_flow_read(c, tx, err);
    if (rc != HOB_OK)
        return rc;
    token_digest(token_of(c), digest);
    bool is_newest = which != MAIL_TOKEN_RESET || hob_str_is(member_str(f->hidden, "reset"), digest);
    if (!f->user || !is_newest || !hob_str_is(member_str(f->user, "email"), row.email))
        return fail_link(err); /* another address by now, or a later link */
    return HOB_OK;
}

static enum hob_code verify(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = take_user(c, tx, MAIL_TOKEN_VERIFY, err);
    if (rc == HOB_OK)
        rc = mail_token_drop(tx, MAIL_TOKEN_VERIFY, token_of(c), err);
    if (rc == HOB_OK)
        rc = user_write(c, tx, hob_str(f->id), json_pack("{s:b}", "emailVerified", 1), NULL, err);
    return rc;
}

static void verify_email(struct backend_call *c)
{
    (void)user_flow_new(c);
    ask_write(c, verify, ask_finish);
}

static enum hob_code see_link(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return take_user(c, tx, MAIL_TOKEN_RESET, err);
}

static void tell_name(struct backend_call *c)
{
    struct user_flow *f = c->state;
    json_t *name = json_object_get(f->user, "username");
    f->shown = json_pack("{s:O?}", "username", name);
    answer_finish(c, f->shown);
}

static void check_reset(struct backend_call *c)
{
    (void)user_flow_new(c);
    ask_read(c, see_link, tell_name);
}

static enum hob_code set_password(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = take_user(c, tx, MAIL_TOKEN_RESET, err);
    if (rc == HOB_OK)
        rc = mail_token_drop(tx, MAIL_TOKEN_RESET, token_of(c), err);
    if (rc != HOB_OK)
        return rc;
    json_t *hidden = json_object();
    user_password_members(c, f->hidden, hidden);
    rc = user_write(c, tx, hob_str(f->id), json_object(), hidden, err);
    if (rc == HOB_OK && ask_bool(c, SETTING_REVOKE_SESSION_ON_PASSWORD_RESET))
        rc = session_end_all(c, tx, hob_str(f->id), (struct hob_str){0}, err);
    if (rc == HOB_OK &&
        json_is_true(json_object_get(ask_json(c, SETTING_ACCOUNT_LOCKOUT), "unlockOnPasswordReset")))
        rc = lockout_clear(tx, LOCKOUT_PASSWORD, hob_str(f->id), err);
    return rc;
}

static void password_hashed(struct backend_call *c)
{
    ask_write(c, set_password, ask_finish);
}

static void link_seen(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (policy_judge_password(c, f->password, member_str(f->user, "username"), &c->err) == HOB_OK)
        user_password_hash(c, password_hashed);
    else
        ask_fail(c);
}

static void reset_password(struct backend_call *c)
{
    struct user_flow *f = user_flow_new(c);
    f->password = member_str(c->request.params, "new_password");
    if (f->password.n)
        ask_read(c, see_link, link_seen);
    else
        fail_now(c, PARSE_PASSWORD_MISSING, "Missing password");
}

const struct backend_route mail_routes[] = {
    {"POST", "/requestPasswordReset", ROUTE_FLOW, NEED_NO_SESSION, NULL, request_reset},
    {"POST", "/verificationEmailRequest", ROUTE_FLOW, NEED_NO_SESSION, NULL, request_verification},
    {"POST", "/pages/verify_email", ROUTE_FLOW, NEED_NO_SESSION, NULL, verify_email},
    {"POST", "/pages/check_reset", ROUTE_FLOW, NEED_NO_SESSION, NULL, check_reset},
    {"POST", "/pages/reset_password", ROUTE_FLOW, NEED_NO_SESSION, NULL, reset_password},
    {0},
};
