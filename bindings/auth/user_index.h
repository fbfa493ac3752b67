/* Who has a name, an e-mail address or an identity of a provider: small facts beside the rows of _User (store/kv.h),
 * compared without regard to case, unique. A fact whose user is gone or has another name by now is as good as none, so
 * that nothing is lost when rows were removed behind its back. Blocking, inside jobs. */
#pragma once

#include "base/json.h"
#include "store/kv.h"

enum user_index { USER_BY_NAME, USER_BY_EMAIL, USER_BY_IDENTITY };
enum { USER_ID_CHARS_MAX = 64, USER_NAME_BYTES_MAX = 512 };

/* Lower case of every letter of Unicode that has one. Returns owned. */
HOB_MUST_USE char *user_fold(struct hob_str text);
/* "provider\nid": the key of an identity. Returns owned. */
HOB_MUST_USE char *user_identity_key(const char *provider, struct hob_str id);

/* `key`: a name or address as it was typed, or user_identity_key. `id` gets "" when there is none. */
HOB_MUST_USE enum hob_code user_index_find(struct data_tx *tx, enum user_index which, struct hob_str key,
                                           char id[USER_ID_CHARS_MAX + 1], struct hob_err *err);
/* Takes it for that user: 202, 203 or 208 when somebody else has it. */
HOB_MUST_USE enum hob_code user_index_claim(struct data_tx *tx, enum user_index which, struct hob_str key,
                                            struct hob_str user_id, struct hob_err *err);
/* Gives it back, when it is that user's. */
HOB_MUST_USE enum hob_code user_index_release(struct data_tx *tx, enum user_index which, struct hob_str key,
                                              struct hob_str user_id, struct hob_err *err);
/* Does the user's row hold that key? */
HOB_MUST_USE bool user_holds(enum user_index which, const json_t *doc, const json_t *hidden, const char *key);
