/* Tokens of the control API: 32 random bytes as "hob_" and 64 hexadecimal digits, shown once, remembered only as a
 * SHA-256 hash, compared in constant time. Loop's thread. */
#pragma once

#include "base/str.h"
#include "store/store.h"

enum { TOKEN_CHARS = 68 };

struct tokens;
/* Loads the hashes; on the first start makes the admin token and writes it to `admin_path` (0600). Blocking. */
HOB_MUST_USE struct tokens *tokens_open(struct store *s, const char *admin_path, struct hob_err *err);
void tokens_free(struct tokens *t);
/* The name of that token ("admin"), or NULL when there is none such. Borrowed. */
const char *tokens_check(const struct tokens *t, struct hob_str bearer);
