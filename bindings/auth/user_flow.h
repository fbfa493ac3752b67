/* What the flows of a user share: the state of one (c->state), how a user is shown to itself, and entering: everything
 * between "is who it says" and a new session. Loop's thread, but for what takes a tx. */
#pragma once

#include "bindings/auth/identities.h"
#include "bindings/auth/session_rows.h"
#include "bindings/auth/user.h"
#include "bindings/auth/user_index.h"

struct user_flow {
    struct identities identities;
    /* whose, and what was read of it */
    char id[USER_ID_CHARS_MAX + 1];
    json_t *user, *hidden; /* owned */
    /* log-in */
    struct hob_str username, email, password; /* as given */
    char *account;                            /* what the lockout counts for; owned */
    bool is_verify_only, is_password_login;
    void (*verified)(struct backend_call *c); /* instead of entering */
    const char *action, *provider;            /* createdWith of the session */
    char checked_hash[HASH_TEXT_BYTES];       /* what the password was found right by */
    char new_hash[HASH_TEXT_BYTES];           /* "": the kept one stays */
    struct hob_err refusal;                   /* told after what it costs is written down */
    json_t *shown;                            /* the answer; owned */
    char token[SESSION_TOKEN_CHARS + 1];
    /* saving */
    struct object_save *save;
    bool is_create, has_new_password, has_new_email, is_session_wanted;
    void (*hashed)(struct backend_call *c);
    json_t *response;  /* authDataResponse; owned */
    json_t *auth_data; /* as kept before; owned */
    struct challenge *challenge;
};
struct user_flow *user_flow_new(struct backend_call *c); /* into c->state */

/* Reads f->id into f->user and f->hidden; NULL when there is none. Inside a job. */
HOB_MUST_USE enum hob_code user_flow_read(struct backend_call *c, struct data_tx *tx, struct hob_err *err);
/* The user as itself and master see it: with authData. Returns owned. */
json_t *user_shown(const json_t *user, const json_t *hidden);
/* Writes members of a user's row as the server: both taken; hidden may be NULL. Inside a write job. */
HOB_MUST_USE enum hob_code user_write(struct backend_call *c, struct data_tx *tx, struct hob_str id,
                                      json_t *data, json_t *hidden, struct hob_err *err);
/* f->user and f->hidden have been read, and who asks is that user: second factor, beforeLogin, session, afterLogin, the
 * answer. */
void user_enter(struct backend_call *c);
/* Runs a trigger of _User; `done` as trigger_run has it. False, with nothing started, when there is none. */
bool user_trigger(struct backend_call *c, int kind, json_t *user,
                  void (*done)(struct backend_call *c, const struct hob_err *err, json_t *answer));

/* user_routes.c: the caller's own row at ROUTE/ID as the parameters (keys, include, ...) want it, with the token of its
 * session; asked for only when there are such parameters. */
bool own_is_asked(const struct backend_call *c);
void own_serve(struct backend_call *c, const char *route, struct hob_str id);

/* login.c: GET and POST /login, /verifyPassword */
void login_serve(struct backend_call *c);
void verify_serve(struct backend_call *c);
/* Checks name and password of the parameters, into c->state: `verified`, with the user read, or the call has failed. */
void login_verify(struct backend_call *c, void (*verified)(struct backend_call *c));

/* challenge.c: POST /challenge */
void challenge_serve(struct backend_call *c);

/* user_save.c: makes f->new_hash of f->password, which has been judged and is none of f->hidden's former ones (142), then
 * `hashed`. */
void user_password_hash(struct backend_call *c, void (*hashed)(struct backend_call *c));
/* Sets the hidden members that a new password (f->new_hash) changes. */
void user_password_members(struct backend_call *c, const json_t *was_hidden, json_t *hidden);
