/* The databases of the apps: one SQLite file an app, HOME/data/APP.db, opened when it is first used and closed again
 * when it is among the longest unused (so that 1,000 apps cost bounded descriptors and memory).
 *
 * Jobs are blocking code that runs on a thread of this pool, never on the loop. Write jobs of one app run one after
 * another, many in one transaction (group commit), a failing one is undone alone (then the others may run twice); `done`
 * comes on the loop after the commit reached the disk: what was acknowledged survives kill -9. Read jobs run beside
 * them on a snapshot; a read that starts after a write's `done` sees that write. Apps do not wait for each other
 * beyond the number of threads. A full disk fails the jobs with HOB_E_NO_SPACE, a damaged file those of that app
 * only; both stay usable after repair.
 * Inside a job: store/data.h (objects) and store/kv.h (small facts by name). Owner: the daemon. Loop's thread. */
#pragma once

#include <uv.h>

#include "base/err.h"

struct appdbs;
struct data_tx; /* one job's view of one app's database; valid inside the work function only */

struct appdbs_options {
    uv_loop_t *loop;
    const char *dir;           /* made when it is not there (0700) */
    unsigned readers, writers; /* threads; 0: chosen by the number of processors */
    unsigned open_max;         /* databases open at a time; 0: 64 */
};
HOB_MUST_USE struct appdbs *appdbs_open(const struct appdbs_options *o, struct hob_err *err);
/* Runs what is queued, ends the threads, closes the files; then `closed` once on the loop. */
void appdbs_close(struct appdbs *a, void (*closed)(void *ctx), void *ctx);

/* On a thread of the pool: touches nothing but *ctx and *tx, does not log. Failing rolls this job back. A write may be
 * run twice when a commit of many jobs failed: it must not depend on what it left in *ctx. */
typedef enum hob_code (*data_work_cb)(void *ctx, struct data_tx *tx, struct hob_err *err);
/* On the loop, exactly once, never from inside the call that queued it. `err` is NULL when all went well. */
typedef void (*data_done_cb)(void *ctx, const struct hob_err *err);
/* `app`: [a-z0-9-]{1,63}, as the catalogue has it (asserted); the file is made by the first write, a read before it
 * sees an empty database. */
void appdb_write(struct appdbs *a, const char *app, data_work_cb work, data_done_cb done, void *ctx);
void appdb_read(struct appdbs *a, const char *app, data_work_cb work, data_done_cb done, void *ctx);

/* Removes an app's database with all its files, after what is queued for it. */
void appdb_remove(struct appdbs *a, const char *app, data_done_cb done, void *ctx);
/* A consistent snapshot into a new file at `path` (0600), fsynced, while everything goes on. */
void appdb_backup(struct appdbs *a, const char *app, const char *path, data_done_cb done, void *ctx);

/* Is a connection to it open? Then looking after it costs no descriptor. */
bool appdb_is_open(struct appdbs *a, const char *app);

/* Called on the loop after every commit that changed objects of an app, with the newest sequence number of its change
 * log: live queries and caches wait for it. One listener. */
void appdbs_watch(struct appdbs *a, void (*changed)(void *ctx, const char *app, int64_t sequence), void *ctx);

struct appdbs_stats {
    uint64_t jobs, jobs_failed, commits, reads, opened, closed;
    unsigned open, queued;
};
struct appdbs_stats appdbs_stats(struct appdbs *a);
