/* Mails to users: written in the transaction of what they are about (kv space "mail"), sent by the mailer of the backend,
 * tried again with growing pauses, given up after two days. Tokens of the links: 32 random bytes, only their SHA-256 is
 * kept, each good once. Templates are the app's (setting mail.templates) or ours. */
#pragma once

#include "bindings/auth/auth_priv.h"

/* Inside a write job: a token and the mail with its link. `user`: the row as JSON, with e-mail. HOB_OK and no mail when
 * the app has no mail server. */
HOB_MUST_USE enum hob_code mail_ask_verification(struct backend_call *c, struct data_tx *tx,
                                                 const json_t *user, struct hob_err *err);
HOB_MUST_USE enum hob_code mail_ask_reset(struct backend_call *c, struct data_tx *tx, const json_t *user,
                                          struct hob_err *err);
/* Does the app have a mail server? */
bool mail_is_on(const struct backend_call *c);

enum mail_token { MAIL_TOKEN_VERIFY, MAIL_TOKEN_RESET };
struct mail_token_row {
    char user_id[65], email[321];
};
/* Inside a job: whose it is. 101 when it is unknown, used up or too old; `ret` is as empty then. Taking it away:
 * mail_token_drop. */
HOB_MUST_USE enum hob_code mail_token_find(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                                           struct hob_str token, struct mail_token_row *ret,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code mail_token_drop(struct data_tx *tx, enum mail_token which, struct hob_str token,
                                           struct hob_err *err);

/* mailer.c: loop */
struct mailer *mailer_new(struct auth *a);
void mailer_close(struct mailer *m, void (*closed)(void *ctx), void *ctx);
void mailer_wake(struct mailer *m, const char *app); /* there is a mail in that app's queue */
struct mail_stats {
    uint64_t sent, failed, given_up;
};
struct mail_stats mailer_stats(const struct mailer *m);
