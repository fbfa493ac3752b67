/* authData of one request: each provider asked in turn, then what shall be kept. Lives in the state of a user's flow.
 * Loop's thread. */
#pragma once

#include "bindings/auth/auth_priv.h"

struct identities {
    struct backend_call *call;
    json_t *names; /* of the providers, owned by the call like what follows */
    size_t at;
    const json_t *given;
    json_t *kept;      /* provider -> {"id",...}, or null: unlink */
    const json_t *mfa; /* authData.mfa as it came; NULL: none; null: take it away */
    void (*next)(struct backend_call *c);
    void (*unknown)(struct backend_call *c); /* NULL: a refusal is told as it is */
};
/* `given` NULL or empty: nothing to do. `next` may come from inside; a refusal ends the call. */
void identities_check(struct backend_call *c, struct identities *i, const json_t *given,
                      void (*next)(struct backend_call *c));
/* The same for who only wants to be found: whatever is wrong, `unknown` is all that is told. */
void identities_recognize(struct backend_call *c, struct identities *i, const json_t *given,
                          void (*next)(struct backend_call *c), void (*unknown)(struct backend_call *c));
bool identities_has_links(const struct identities *i); /* any that is kept and not unlinked */
/* The user who has one of them, "" when none; 208 when they are of several. Inside a job. */
HOB_MUST_USE enum hob_code identities_owner(const struct identities *i, struct data_tx *tx, char *id,
                                            struct hob_err *err);
/* Inside a write job: claims them for the user, releases what is unlinked, and gives authData as it is to be kept (owned;
 * `before` may be NULL). */
HOB_MUST_USE enum hob_code identities_store(const struct identities *i, struct data_tx *tx,
                                            struct hob_str user_id, const json_t *before,
                                            json_t **ret_auth_data, struct hob_err *err);
