/* The store: everything Hob must remember, in one database behind one door. No SQL and no SQLite type crosses it:
 * callers give jobs, jobs use the typed row functions of store/rows.h.
 *
 * Writes: queued from the loop, run by one writer thread, many jobs in one transaction (group commit), each in a
 * savepoint so that a failing job rolls back alone. `done` comes on the loop's thread after the commit reached the
 * disk: what was acknowledged survives kill -9. Reads: run by a few reader threads on connections of their own; a read
 * started after a write's `done` sees that write. A full disk fails the jobs with HOB_E_NO_SPACE; the store stays
 * usable.
 * Owner: the daemon. Loop's thread, but for the work functions. */
#pragma once

#include <uv.h>

#include "base/err.h"

struct store;
struct store_tx; /* one job's view of the database; valid inside the work function only */

/* Opens or creates the database, judges it (damaged, newer than this program, in use by another), migrates it.
 * Blocking. Returns owned, or NULL with a message that says what to do. */
HOB_MUST_USE struct store *store_open(uv_loop_t *loop, const char *path, struct hob_err *err);
/* Runs what is queued, then ends the threads; `closed` comes once on the loop and the pointer is dead. */
void store_close(struct store *s, void (*closed)(void *ctx), void *ctx);

/* On a thread of the store: touches nothing but *ctx and *tx, does not log. Failing rolls this job back. A write
 * may be run twice when a commit of many jobs failed: it must not depend on what it left in *ctx. */
typedef enum hob_code (*store_work_cb)(void *ctx, struct store_tx *tx, struct hob_err *err);
/* On the loop, exactly once, never from inside the call that queued it. `err` is NULL when all went well. */
typedef void (*store_done_cb)(void *ctx, const struct hob_err *err);
void store_write(struct store *s, store_work_cb work, store_done_cb done, void *ctx);
void store_read(struct store *s, store_work_cb work, store_done_cb done, void *ctx);
/* The same, waited for: for the daemon's start, before the loop runs. */
HOB_MUST_USE enum hob_code store_write_now(struct store *s, store_work_cb work, void *ctx,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code store_read_now(struct store *s, store_work_cb work, void *ctx,
                                          struct hob_err *err);

/* A consistent snapshot while everything goes on, written to a new file at `path` (0600) and fsynced. An existing
 * file is refused with HOB_E_CONFLICT; a failed backup leaves none. */
void store_backup(struct store *s, const char *path, store_done_cb done, void *ctx);

struct store_stats {
    uint64_t jobs, jobs_failed, commits, commits_failed, reads;
    uint32_t schema_version;
};
struct store_stats store_stats(struct store *s);
