/* Small facts of an app by (space, key): sessions by token hash, third-party identities, idempotency keys, env.cache,
 * configuration, hooks, jobs. Called inside the jobs of store/appdb.h. A pair may end: expired ones are as if they were
 * not there, and are swept. Every put gives the pair a new revision. */
#pragma once

#include "base/buf.h"
#include "store/appdb.h"

struct kv_row {
    struct hob_str key, value; /* bytes */
    struct hob_str meta;       /* a JSON text, or empty */
    int64_t expires_ms;        /* UTC; 0: never */
    int64_t revision;          /* of this database; only grows */
};
/* Borrowed until the callback returns. Returning a failure ends the walk with it. */
typedef enum hob_code (*kv_cb)(void *ctx, const struct kv_row *row, struct hob_err *err);

/* HOB_E_NOT_FOUND when there is none (the message names neither key nor value). `cb` gets the row. */
HOB_MUST_USE enum hob_code kv_get(struct data_tx *tx, const char *space, struct hob_str key, int64_t now_ms,
                                  kv_cb cb, void *ctx, struct hob_err *err);
/* Inserts or replaces. */
HOB_MUST_USE enum hob_code kv_put(struct data_tx *tx, const char *space, const struct kv_row *row,
                                  struct hob_err *err);
/* HOB_E_CONFLICT when a living pair with that key exists. */
HOB_MUST_USE enum hob_code kv_insert(struct data_tx *tx, const char *space, const struct kv_row *row,
                                     int64_t now_ms, struct hob_err *err);
/* Replaces only the given revision (0: only when there is none); HOB_E_CONFLICT otherwise. */
HOB_MUST_USE enum hob_code kv_swap(struct data_tx *tx, const char *space, const struct kv_row *row,
                                   int64_t revision, int64_t now_ms, struct hob_err *err);
/* Adds to an integer written in decimal (absent: 0); HOB_E_INVALID when the value is none or would overflow. */
HOB_MUST_USE enum hob_code kv_add(struct data_tx *tx, const char *space, struct hob_str key, int64_t amount,
                                  int64_t now_ms, int64_t *ret_value, struct hob_err *err);
/* No error when there is none. *ret_was may be NULL. */
HOB_MUST_USE enum hob_code kv_drop(struct data_tx *tx, const char *space, struct hob_str key, bool *ret_was,
                                   struct hob_err *err);
/* The newest revision of this database: a later put gets a larger one. */
HOB_MUST_USE enum hob_code kv_revision(struct data_tx *tx, int64_t *ret_revision, struct hob_err *err);
/* All whose key begins with `prefix`, by key, behind `after` (empty: from the start), at most `limit`. */
HOB_MUST_USE enum hob_code kv_each(struct data_tx *tx, const char *space, struct hob_str prefix,
                                   struct hob_str after, uint64_t limit, int64_t now_ms, kv_cb cb, void *ctx,
                                   struct hob_err *err);
