/* Rows of _Session: made, found and ended inside jobs. What is written is noted for the cache (session.h). */
#pragma once

#include "bindings/auth/auth_priv.h"

enum { SESSION_TOKEN_CHARS = 34, SESSION_TOKEN_CHARS_MAX = 256, SESSION_ID_CHARS = OBJECT_ID_CHARS };

/* The objectId that a token's row has. */
void session_id_of(struct hob_str token, char out[SESSION_ID_CHARS + 1]);

struct session_new {
    struct hob_str user_id, installation_id; /* installation_id empty: none */
    const char *action, *provider; /* createdWith: "login", "signup", "create", "upgrade"; "password" */
    json_t *custom;                /* members of the row besides; may be NULL */
};
/* Ends the other sessions of that user and installation, makes a row; `token` gets "r:..." with NUL. */
HOB_MUST_USE enum hob_code session_create(struct backend_call *c, struct data_tx *tx,
                                          const struct session_new *n, char token[SESSION_TOKEN_CHARS + 1],
                                          struct hob_err *err);
/* All sessions of a user but `except_id` (empty: all). */
HOB_MUST_USE enum hob_code session_end_all(struct backend_call *c, struct data_tx *tx, struct hob_str user_id,
                                           struct hob_str except_id, struct hob_err *err);
/* The row of a token as JSON, or NULL when there is none. Returns owned. An expired one is found as well. */
HOB_MUST_USE enum hob_code session_row(struct backend_call *c, struct data_tx *tx, struct hob_str token,
                                       json_t **ret_session, struct hob_err *err);
/* objectId of the user that a row points at. */
struct hob_str session_user_of(const json_t *session);
