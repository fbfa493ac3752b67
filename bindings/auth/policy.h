/* The password policy and the account lockout of an app, as Parse Server's options have them. Policy: any thread while
 * the call lives; lockout: inside jobs. */
#pragma once

#include "bindings/auth/auth_priv.h"

enum { PASSWORD_HISTORY_MAX = 20 };

/* validatorPattern (142, or the app's validationError), doNotAllowUsername (142), auth.password_bytes (116 is too
 * much to say: 142). */
HOB_MUST_USE enum hob_code policy_judge_password(const struct backend_call *c, struct hob_str password,
                                                 struct hob_str username, struct hob_err *err);
/* How many former passwords may not come again; 0: any may. */
size_t policy_history(const struct backend_call *c);
/* Is the password, set at `set_ms` (0: unknown), older than maxPasswordAge? */
bool policy_is_expired(const struct backend_call *c, int64_t set_ms);
/* Seconds that a reset token lives; 0: for ever is not offered: a day. */
int64_t policy_reset_token_s(const struct backend_call *c);
bool policy_reuses_reset_token(const struct backend_call *c);
/* May who asks for a reset hear that nobody has the address? */
bool policy_tells_strangers(const struct backend_call *c);

/* What is guessed at: the password (the app's accountLockout, off by default) or the second factor (the same, else 10
 * failures in 15 minutes, always: a code has 6 digits). */
enum lockout { LOCKOUT_PASSWORD, LOCKOUT_MFA };
bool lockout_is_on(const struct backend_call *c);
/* `account`: the user's id, or the folded name that nobody has. 101 while it is locked. */
HOB_MUST_USE enum hob_code lockout_judge(struct backend_call *c, struct data_tx *tx, enum lockout what,
                                         struct hob_str account, struct hob_err *err);
/* Counts a failure, locks at the threshold. */
HOB_MUST_USE enum hob_code lockout_failed(struct backend_call *c, struct data_tx *tx, enum lockout what,
                                          struct hob_str account, struct hob_err *err);
HOB_MUST_USE enum hob_code lockout_clear(struct data_tx *tx, enum lockout what, struct hob_str account,
                                         struct hob_err *err);
