/* Secrets: sealed by libsodium (XChaCha20-Poly1305, the app and the name as associated data) with HOME/master.key;
 * plain only in memory while an instance is being configured. Values are never logged and never answered.
 * Loop's thread. */
#pragma once

#include "base/buf.h"

struct vault;
/* Opens one secret into *out (append). HOB_E_NOT_FOUND says how to set it. */
HOB_MUST_USE enum hob_code vault_get(struct vault *v, const char *app, const char *name, struct hob_buf *out,
                                     struct hob_err *err);
