/* The second factor: authData.mfa = {secret, token} sets it up, {old, secret, token} replaces it, {token} passes it: a
 * code of the time (each once) or a recovery code (each once). The secret is sealed, recovery codes are hashed; both stand
 * in the user's hidden members. Any thread while the call lives. */
#pragma once

#include "bindings/auth/auth_priv.h"

/* Is the second factor offered by the app (auth.mfa)? */
bool mfa_is_on(const struct backend_call *c);
/* `stored` (may be NULL): what the user has now; then data.old must pass it, unless master asks. *ret_stored: what to keep;
 * *ret_response: {recovery} to be shown once. Both owned. 141 "Invalid MFA data" or "Invalid MFA token". */
HOB_MUST_USE enum hob_code mfa_set_up(struct backend_call *c, struct hob_str user_id, const json_t *data,
                                      const json_t *stored, json_t **ret_stored, json_t **ret_response,
                                      struct hob_err *err);
/* *ret_stored: what to keep instead, owned; kept in the same transaction as what the code opened. */
HOB_MUST_USE enum hob_code mfa_pass(struct backend_call *c, struct hob_str user_id, const json_t *stored,
                                    struct hob_str code, json_t **ret_stored, struct hob_err *err);
