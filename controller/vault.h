/* Secrets: sealed by libsodium (XChaCha20-Poly1305, the app and the name as associated data) with HOME/master.key;
 * plain only in memory while an instance is being configured. Values are never logged and never answered.
 * Loop's thread. */
#pragma once

#include "base/buf.h"
#include "store/store.h"

struct vault;
/* Reads or makes the key (0600), loads the sealed secrets. Refuses a key that does not open them. Blocking. */
HOB_MUST_USE struct vault *vault_open(struct store *s, const char *key_path, struct hob_err *err);
void vault_free(struct vault *v);
/* Opens one secret into *out (append). HOB_E_NOT_FOUND says how to set it. */
HOB_MUST_USE enum hob_code vault_get(struct vault *v, const char *app, const char *name, struct hob_buf *out,
                                     struct hob_err *err);
typedef void (*vault_each_cb)(void *ctx, const char *name, int64_t updated_ms);
void vault_each(struct vault *v, struct hob_str app, vault_each_cb cb, void *ctx); /* by name */
size_t vault_count(struct vault *v, struct hob_str app);

/* For controller/admin/: seal, remember in memory what the store has taken, forget. */
HOB_MUST_USE enum hob_code vault_seal(struct vault *v, const char *app, const char *name,
                                      struct hob_str value, struct hob_buf *ret_sealed);
void vault_put(struct vault *v, const char *app, const char *name, struct hob_str sealed, int64_t updated_ms);
void vault_drop(struct vault *v, const char *app, const char *name); /* name NULL: all of the app */
/* As in hob.json: A-Z, a-z, 0-9, '_', a letter first, 1 to 128 characters. */
HOB_MUST_USE enum hob_code vault_name_check(struct hob_str name, struct hob_err *err);
