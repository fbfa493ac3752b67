/* Flow: ADMITTING (second factor, hash made anew, what a failure costs) -> [beforeLogin] -> OPENING (session) ->
 * [afterLogin] -> answered. Without beforeLogin admitting and opening are one job. */
#include <stdlib.h>

#include "bindings/auth/mfa.h"
#include "bindings/auth/policy.h"
#include "bindings/auth/user_flow.h"
#include "bindings/trigger.h"

#include "base/banned.h"

static void user_flow_done(void *p)
{
    struct user_flow *f = p;
    json_decref(f->user);
    json_decref(f->hidden);
    json_decref(f->shown);
    json_decref(f->response);
    json_decref(f->auth_data);
    free(f->account);
}

struct user_flow *user_flow_new(struct backend_call *c)
{
    struct user_flow *f = call_alloc(c, sizeof *f);
    ask_defer(c, user_flow_done, f);
    c->state = f;
    return f;
}

enum hob_code user_flow_read(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_decref(f->user);
    json_decref(f->hidden);
    f->user = f->hidden = NULL;
    if (!f->id[0])
        return HOB_OK;
    return object_get(c, tx, "_User", hob_str(f->id), OBJECT_AS_MASTER, &f->user, &f->hidden, err);
}

json_t *user_shown(const json_t *user, const json_t *hidden)
{
    json_t *shown = json_copy((json_t *)(uintptr_t)user);
    json_t *identities = json_object_get(hidden, "authData"), *mfa = json_object_get(hidden, "mfa");
    if (!json_object_size(identities) && !mfa)
        return shown;
    json_t *auth_data = identities ? json_copy(identities) : json_object();
    if (mfa)
        (void)json_object_set_new(auth_data, "mfa", json_pack("{s:s}", "status", "enabled"));
    (void)json_object_set_new(shown, "authData", auth_data);
    return shown;
}

enum hob_code user_write(struct backend_call *c, struct data_tx *tx, struct hob_str id, json_t *data,
                         json_t *hidden, struct hob_err *err)
{
    struct object_save s = {.class_name = HOB_STR("_User"),
                            .id = id,
                            .data = data,
                            .hidden = hidden,
                            .flags = OBJECT_AS_MASTER | OBJECT_AS_SERVER | OBJECT_NO_TRIGGERS};
    session_note(c, "_User", id);
    enum hob_code rc = object_save_now(c, tx, &s, err);
    object_save_done(&s);
    return rc;
}

bool user_trigger(struct backend_call *c, int kind, json_t *user,
                  void (*done)(struct backend_call *c, const struct hob_err *err, json_t *answer))
{
    if (!trigger_exists(c->backend, c->request.app, HOB_STR("_User"), (enum trigger_kind)kind))
        return false;
    json_t *object = call_json(c, json_copy(user));
    (void)json_object_set_new(object, "className", json_string("_User"));
    struct trigger_event e = {
        .kind = (enum trigger_kind)kind, .class_name = HOB_STR("_User"), .object = object};
    trigger_run(c, &e, done);
    return true;
}

/* --- jobs --- */
static bool is_second_factor_due(const struct backend_call *c, const struct user_flow *f)
{
    return !f->is_verify_only && json_object_get(f->hidden, "mfa") != NULL && mfa_is_on(c);
}

/* Notes what a wrong code costs and lets the job commit it. */
static enum hob_code pass_second_factor(struct backend_call *c, struct data_tx *tx, json_t *hidden,
                                        struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_t *stored = NULL;
    struct hob_str account = hob_str(f->id);
    if (!is_second_factor_due(c, f))
        return HOB_OK;
    if (!json_is_object(f->identities.mfa))
        return parse_fail(err, PARSE_OTHER_CAUSE, "Missing additional authData mfa");
    enum hob_code rc = lockout_judge(c, tx, LOCKOUT_MFA, account, err);
    if (rc != HOB_OK)
        return rc;
    rc = mfa_pass(c, account, json_object_get(f->hidden, "mfa"), member_str(f->identities.mfa, "token"),
                  &stored, &f->refusal);
    if (rc != HOB_OK)
        return lockout_failed(c, tx, LOCKOUT_MFA, account, err);
    (void)json_object_set_new(hidden, "mfa", stored);
    return lockout_clear(tx, LOCKOUT_MFA, account, err);
}

/* The row as it is now; what was checked must still be so. */
static enum hob_code read_again(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = user_flow_read(c, tx, err);
    if (rc != HOB_OK)
        return rc;
    bool is_same = !f->is_password_login || hob_str_is(member_str(f->hidden, "password"), f->checked_hash);
    const json_t *acl = json_object_get(f->user, "ACL"); /* {}: locked out by the administrator */
    bool is_locked = json_is_object(acl) && json_object_size(acl) == 0 && !identity_is_master(&c->who);
    if (!f->user || !is_same || is_locked)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "Invalid username/password.");
    return HOB_OK;
}

static enum hob_code admit(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_t *hidden hob_auto_json = json_object(), *auth_data = NULL;
    memset(&f->refusal, 0, sizeof f->refusal);
    enum hob_code rc = read_again(c, tx, err);
    if (rc == HOB_OK && f->is_password_login)
        rc = lockout_judge(c, tx, LOCKOUT_PASSWORD, hob_str(f->account), err);
    if (rc == HOB_OK)
        rc = pass_second_factor(c, tx, hidden, err);
    if (rc != HOB_OK || f->refusal.code != HOB_OK)
        return rc;
    if (f->new_hash[0])
        (void)json_object_set_new(hidden, "password", json_string(f->new_hash));
    if (identities_has_links(&f->identities)) {
        rc = identities_store(&f->identities, tx, hob_str(f->id), json_object_get(f->hidden, "authData"),
                              &auth_data, err);
        if (rc == HOB_OK && !json_equal(auth_data, json_object_get(f->hidden, "authData")))
            (void)json_object_set(hidden, "authData", auth_data);
        json_decref(auth_data);
    }
    if (rc == HOB_OK && json_object_size(hidden))
        rc = user_write(c, tx, hob_str(f->id), json_object(), json_incref(hidden), err);
    (void)json_object_update(f->hidden, hidden);
    if (rc == HOB_OK && f->is_password_login && lockout_is_on(c))
        rc = lockout_clear(tx, LOCKOUT_PASSWORD, hob_str(f->account), err);
    return rc;
}

static enum hob_code open_session(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    json_decref(f->shown);
    f->shown = user_shown(f->user, f->hidden);
    if (f->is_verify_only)
        return HOB_OK;
    struct session_new n = {.user_id = hob_str(f->id),
                            .installation_id = c->request.installation_id,
                            .action = f->action,
                            .provider = f->provider};
    return session_create(c, tx, &n, f->token, err);
}

static enum hob_code admit_and_open(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct user_flow *f = c->state;
    enum hob_code rc = admit(c, tx, err);
    return rc == HOB_OK && f->refusal.code == HOB_OK ? open_session(c, tx, err) : rc;
}

/* --- steps --- */
static bool refused(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (f->refusal.code == HOB_OK)
        return false;
    c->err = f->refusal;
    ask_fail(c);
    return true;
}

static void answer(struct backend_call *c, const struct hob_err *err, json_t *ignored)
{
    struct user_flow *f = c->state;
    (void)err; /* afterLogin comes too late to refuse */
    (void)ignored;
    if (f->token[0])
        (void)json_object_set_new(f->shown, "sessionToken", json_string(f->token));
    answer_finish(c, f->shown);
}

static void opened(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (refused(c))
        return;
    if (f->is_verify_only || !user_trigger(c, TRIGGER_AFTER_LOGIN, f->shown, answer))
        answer(c, NULL, NULL);
}

static void on_before_login(struct backend_call *c, const struct hob_err *err, json_t *ignored)
{
    (void)ignored;
    if (!err) {
        ask_write(c, open_session, opened);
        return;
    }
    c->err = *err;
    ask_fail(c);
}

static void admitted(struct backend_call *c)
{
    struct user_flow *f = c->state;
    if (refused(c))
        return;
    json_t *shown = call_json(c, user_shown(f->user, f->hidden));
    if (!user_trigger(c, TRIGGER_BEFORE_LOGIN, shown, on_before_login))
        ask_write(c, open_session, opened);
}

void user_enter(struct backend_call *c)
{
    struct user_flow *f = c->state;
    bool has_trigger = !f->is_verify_only &&
                       trigger_exists(c->backend, c->request.app, HOB_STR("_User"), TRIGGER_BEFORE_LOGIN);
    if (has_trigger)
        ask_write(c, admit, admitted);
    else
        ask_write(c, admit_and_open, opened);
}
