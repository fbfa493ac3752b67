/* Password hashes as text: argon2id (RFC 9106, at the parameters OWASP names: 19 MiB, 2 passes) for new ones; bcrypt
 * ($2a$, $2b$, $2x$, $2y$) is verified, so that imported users keep their passwords. Blocking, tens of milliseconds: runs
 * on the threads of hasher.h. Any thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { HASH_TEXT_BYTES = 128 }; /* with NUL */

/* HOB_E_UNAVAILABLE when there is no memory for it. */
HOB_MUST_USE enum hob_code hash_make(struct hob_str password, char out[HASH_TEXT_BYTES], struct hob_err *err);
/* False for anything else than a hash of that password, also for text that is no hash at all. */
HOB_MUST_USE bool hash_matches(const char *hash, struct hob_str password);
/* Made by an older method or with other parameters: to be made anew at the next log-in. */
bool hash_is_old(const char *hash);
/* Does it look like a hash that hash_matches understands? (imports) */
bool hash_is_known(struct hob_str text);
