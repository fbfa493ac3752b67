/* Group commit: many jobs in one transaction, one fsync for all of them.
 *
 *   plainly:   BEGIN, all jobs, COMMIT. A job that fails before it wrote anything (most failures are such) needs no undoing.
 *   carefully: when one failed behind a write, everything goes back and runs again, each job in a savepoint.
 *   alone:     when the transaction as a whole is lost (full disk), each job in a transaction of its own.
 *
 * A savepoint copies each page that it touches, so the few groups that need them shall pay for them. */
#include "store/store_priv.h"

#include "base/fault.h"

/* So many groups run carefully after one that had to run twice: who keeps failing does not keep doubling the work. */
enum { CAREFUL_GROUPS = 16 };

static const char sql_begin[] = "BEGIN IMMEDIATE", sql_commit[] = "COMMIT", sql_savepoint[] = "SAVEPOINT job",
                  sql_release[] = "RELEASE job", sql_back[] = "ROLLBACK TO job";
static const char step_savepoint[] = "SAVEPOINT step", step_release[] = "RELEASE step",
                  step_back[] = "ROLLBACK TO step";

/* Kept statements: these few words run several times a job. */
static enum hob_code run_words(struct db *db, const char *sql, struct hob_err *err)
{
    struct store_tx tx = {db, true};
    struct query q;
    if (query_start(&q, &tx, sql, err) != HOB_OK)
        return err->code;
    int rc = sqlite3_step(q.stmt);
    if (rc != SQLITE_DONE)
        (void)db_fail(db, rc, "writing to the store", err);
    query_end(&q);
    return rc == SQLITE_DONE ? HOB_OK : err->code;
}

static enum hob_code begin(struct db *db, struct hob_err *err)
{
    if (HOB_FAULT("store.begin"))
        return db_fail(db, SQLITE_FULL, "writing to the store", err);
    return run_words(db, sql_begin, err);
}

static enum hob_code commit(struct db *db, struct hob_err *err)
{
    if (HOB_FAULT("store.commit"))
        return db_fail(db, SQLITE_FULL, "writing to the store", err);
    return run_words(db, sql_commit, err);
}

static void rollback(struct db *db)
{
    struct hob_err ignored; /* the failure that led here is told */
    if (!sqlite3_get_autocommit(db->h))
        (void)!db_exec(db, "ROLLBACK", &ignored);
}

int64_t db_written(const struct db *db)
{
    return sqlite3_total_changes64(db->h) + db->ddl_n;
}

enum hob_code group_step(struct db *db, group_step_cb work, void *ctx, struct hob_err *err)
{
    struct hob_err undo;
    int64_t before = db_written(db);
    if (db->is_careful && run_words(db, step_savepoint, err) != HOB_OK)
        return err->code;
    enum hob_code rc = work(ctx, err);
    if (rc == HOB_OK)
        return db->is_careful ? run_words(db, step_release, err) : HOB_OK;
    if (sqlite3_get_autocommit(db->h))
        return hob_fail(err, HOB_E_INTERNAL, "a step that failed could not be undone");
    if (!db->is_careful)
        db->wants_care |= db_written(db) != before;
    else if (run_words(db, step_back, &undo) != HOB_OK || run_words(db, step_release, &undo) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "a step that failed could not be undone");
    return rc;
}

static enum hob_code work_on(struct db *db, struct job *job)
{
    struct store_tx tx = {db, true};
    job->err = (struct hob_err){0};
    if (job->work(job->ctx, &tx, &job->err) == HOB_OK)
        job->err = (struct hob_err){0};
    else
        HOB_ASSERT(job->err.code != HOB_OK);
    return job->err.code;
}

/* Both: false when the whole transaction is lost, since SQLite rolls back by itself on a full disk and on I/O errors. */
static bool run_carefully(struct db *db, struct job *job)
{
    struct hob_err err = {0};
    if (run_words(db, sql_savepoint, &job->err) != HOB_OK)
        return false;
    if (work_on(db, job) == HOB_OK && run_words(db, sql_release, &job->err) == HOB_OK)
        return true;
    return !sqlite3_get_autocommit(db->h) && run_words(db, sql_back, &err) == HOB_OK &&
           run_words(db, sql_release, &err) == HOB_OK;
}

static bool run_plainly(struct db *db, struct job *job)
{
    int64_t before = db_written(db);
    if (work_on(db, job) != HOB_OK)
        db->wants_care |= db_written(db) != before;
    return !sqlite3_get_autocommit(db->h);
}

/* True when the transaction reached the disk; else *err says why not, unless care is wanted. */
static bool run_together(struct db *db, struct job **jobs, size_t n, struct hob_err *err)
{
    bool is_whole = begin(db, err) == HOB_OK;
    db->wants_care = false;
    for (size_t i = 0; i < n && is_whole && !db->wants_care; i++) {
        is_whole = db->is_careful ? run_carefully(db, jobs[i]) : run_plainly(db, jobs[i]);
        if (!is_whole)
            *err = jobs[i]->err;
    }
    db->wants_care &= is_whole;
    if (is_whole && !db->wants_care && commit(db, err) == HOB_OK)
        return true;
    rollback(db);
    HOB_ASSERT(sqlite3_get_autocommit(db->h));
    return false;
}

/* For tests (make again): a group may run twice, so every job must bear it. */
static void rehearse(struct db *db, struct job **jobs, size_t n)
{
    struct hob_err err = {0};
    bool is_whole = begin(db, &err) == HOB_OK;
    db->is_careful = false;
    for (size_t i = 0; i < n && is_whole; i++)
        is_whole = run_plainly(db, jobs[i]);
    rollback(db);
}

unsigned group_run(struct db *db, struct job **jobs, size_t n)
{
    struct hob_err err = {0};
    unsigned commits = 0;
    if (!db->is_always_careful && HOB_FAULT("store.again"))
        rehearse(db, jobs, n);
    db->is_careful = db->careful_left > 0 || db->is_always_careful;
    db->careful_left -= db->careful_left > 0;
    if (run_together(db, jobs, n, &err))
        return 1;
    if (db->wants_care && n == 1 && jobs[0]->err.code != HOB_OK)
        return 1; /* all of it went back: nothing is left to be done with care */
    if (db->wants_care) {
        db->careful_left = CAREFUL_GROUPS;
        return group_run(db, jobs, n);
    }
    if (n == 1) {
        /* The job's own failure says more than that of the transaction around it. */
        if (jobs[0]->err.code == HOB_OK)
            jobs[0]->err = err;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        commits += group_run(db, &jobs[i], 1);
    return commits;
}
