/* Sealing what must lie encrypted on the disk: XChaCha20-Poly1305 with one key of the machine (HOME/master.key, 32
 * bytes, 0600), a random nonce, and a label as associated data, so that a sealed value opens only under its own name.
 * The key stays in guarded memory. Not changed after it is loaded: every thread may seal and open. */
#pragma once

#include "base/buf.h"

struct hob_seal;
/* Reads the key at `path`; makes it when it is not there and `may_make`, else HOB_E_UNAVAILABLE. Blocking. Returns
 * owned, or NULL. */
HOB_MUST_USE struct hob_seal *hob_seal_load(const char *path, bool may_make, struct hob_err *err);
void hob_seal_free(struct hob_seal *s);
/* Appends nonce and box; HOB_E_TOO_LARGE when the buffer is full. */
HOB_MUST_USE enum hob_code hob_seal_shut(const struct hob_seal *s, const char *label, struct hob_str plain,
                                         struct hob_buf *out);
/* Appends the plain text; HOB_E_INTERNAL when it was sealed by another key or under another label, or is damaged. */
HOB_MUST_USE enum hob_code hob_seal_open(const struct hob_seal *s, const char *label, struct hob_str sealed,
                                         struct hob_buf *out, struct hob_err *err);
