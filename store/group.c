/* Group commit: many jobs in one transaction, one fsync for all of them. */
#include "store/store_priv.h"

#include "base/fault.h"

static const char sql_begin[] = "BEGIN IMMEDIATE", sql_commit[] = "COMMIT", sql_savepoint[] = "SAVEPOINT job",
                  sql_release[] = "RELEASE job", sql_back[] = "ROLLBACK TO job";

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

/* False when the whole transaction is lost: SQLite rolls back by itself on a full disk and on I/O errors. */
static bool run_one(struct db *db, struct job *job)
{
    struct store_tx tx = {db, true};
    struct hob_err err = {0};
    job->err = (struct hob_err){0};
    if (run_words(db, sql_savepoint, &job->err) != HOB_OK)
        return false;
    if (job->work(job->ctx, &tx, &job->err) == HOB_OK) {
        job->err = (struct hob_err){0};
        if (run_words(db, sql_release, &job->err) == HOB_OK)
            return true;
    }
    HOB_ASSERT(job->err.code != HOB_OK);
    return !sqlite3_get_autocommit(db->h) && run_words(db, sql_back, &err) == HOB_OK &&
           run_words(db, sql_release, &err) == HOB_OK;
}

/* True when the transaction reached the disk; else *err says why not. */
static bool run_together(struct db *db, struct job **jobs, size_t n, struct hob_err *err)
{
    bool is_whole = begin(db, err) == HOB_OK;
    for (size_t i = 0; i < n && is_whole; i++) {
        is_whole = run_one(db, jobs[i]);
        if (!is_whole)
            *err = jobs[i]->err;
    }
    if (is_whole && commit(db, err) == HOB_OK)
        return true;
    rollback(db);
    HOB_ASSERT(sqlite3_get_autocommit(db->h));
    return false;
}

unsigned group_run(struct db *db, struct job **jobs, size_t n)
{
    struct hob_err err = {0};
    unsigned commits = 0;
    if (run_together(db, jobs, n, &err))
        return 1;
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
