/* Saving a _User: sign-up and change, with everything that is special about it (password, e-mail, third-party
 * identities, sessions). The routes of objects hand the class _User to these two flows (POST /classes/_User, PUT
 * /classes/_User/:id, and inside batches); POST /users and PUT /users/:id are routes of user_routes.
 * Both end the call by ask_finish or ask_fail. Loop's thread. */
#pragma once

#include "bindings/auth/auth.h"

/* c->request.params: the fields. Answers 201 {objectId, createdAt, sessionToken} (no token for master), or with authData
 * of somebody known 200 and the user. */
void user_create(struct backend_call *c);
/* Answers {updatedAt} with the results of operations, and sessionToken when the password was changed. */
void user_update(struct backend_call *c, struct hob_str id);

/* Inside a write job, before a row of _User is removed by others: its names and identities become free. Without it
 * they become free as well, when somebody asks for them and the row is not there. */
HOB_MUST_USE enum hob_code user_removed(struct data_tx *tx, const struct data_row *row, struct hob_err *err);
/* Inside a write job, after an import or a restore wrote rows of _User: writes the index of names, addresses and
 * identities anew, from the rows. */
HOB_MUST_USE enum hob_code user_reindex(struct data_tx *tx, struct hob_err *err);
