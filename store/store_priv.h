/* Inside store/ only: the connection, its statements, and the small verbs that the row files are written with. A
 * PostgreSQL driver will stand behind the same names: SQL is kept in the common subset ($1 places in order, RETURNING,
 * ON CONFLICT). A connection belongs to one thread. */
#pragma once

#include <sqlite3.h>

#include "base/list.h"
#include "base/str.h"
#include "store/store.h"

enum { DB_STATEMENTS_MAX = 64 };

struct db { /* one connection */
    sqlite3 *h;
    struct {
        const char *sql; /* static: compared by address */
        sqlite3_stmt *stmt;
        bool is_running;
    } cache[DB_STATEMENTS_MAX];
    size_t cache_n;
    int wal_pages;               /* after the last commit */
    int64_t ddl_n;               /* statements that SQLite does not count as changes */
    bool is_careful, wants_care; /* of the running group: savepoints are set; it must run again with them */
    unsigned careful_left;       /* groups */
    bool is_always_careful;      /* no job runs twice because another failed */
};

struct store_tx {
    struct db *db;
    bool is_write;
};

/* db.c */
enum db_mode { DB_WRITE, DB_READ, DB_MEMORY };
HOB_MUST_USE enum hob_code db_open(struct db *db, const char *path, enum db_mode mode, struct hob_err *err);
void db_close(struct db *db);
/* Runs statements without places or results ("BEGIN"). */
HOB_MUST_USE enum hob_code db_exec(struct db *db, const char *sql, struct hob_err *err);
/* Fills *err from the connection's last error. `doing` is for people: "writing to the store". */
HOB_COLD enum hob_code db_fail(struct db *db, int rc, const char *doing, struct hob_err *err);
/* Ours by its mark, or empty and marked now. */
enum db_purpose { DB_OF_HOB = 0x686f6201, DB_OF_APP = 0x686f6202 };
HOB_MUST_USE enum hob_code db_mark(struct db *db, const char *path, enum db_purpose purpose,
                                   struct hob_err *err);
HOB_MUST_USE enum hob_code db_check(struct db *db, const char *path, struct hob_err *err);

/* backup.c: a consistent copy into a new file (0600), fsynced; leaves none when it fails. */
HOB_MUST_USE enum hob_code db_backup(struct db *from, const char *path, struct hob_err *err);

/* query.c: start, bind in order, step until there is no row, end. `sql` must be static and unique by address. */
struct query {
    struct db *db;
    sqlite3_stmt *stmt;
    size_t slot;
    int place;
    bool has_failed_bind;
};
HOB_MUST_USE enum hob_code query_start(struct query *q, struct store_tx *tx, const char *sql,
                                       struct hob_err *err);
void query_int(struct query *q, int64_t v);
void query_text(struct query *q, const char *s);   /* borrowed until query_end; NULL gives NULL */
void query_str(struct query *q, struct hob_str s); /* text that is not ended by NUL */
void query_blob(struct query *q, struct hob_str s);
/* *ret_has_row false at the end. */
HOB_MUST_USE enum hob_code query_step(struct query *q, bool *ret_has_row, struct hob_err *err);
int64_t query_col_int(const struct query *q, int col);
const char *query_col_text(const struct query *q, int col); /* "" for NULL */
struct hob_str query_col_blob(const struct query *q, int col);
void query_end(struct query *q);
/* Walks all rows: true with the next one; false, with the query ended, when there is none left, when *rc (what the
 * walker made of the row before) is a failure, or when the step fails, which then stands in *rc. */
HOB_MUST_USE bool query_next(struct query *q, enum hob_code *rc, struct hob_err *err);
/* Steps once more and ends; *ret_has_row may be NULL. For statements that give one row or none. */
HOB_MUST_USE enum hob_code query_once(struct query *q, bool *ret_has_row, struct hob_err *err);
/* For statements that give nothing: runs, ends; *ret_changes may be NULL. */
HOB_MUST_USE enum hob_code query_run(struct query *q, uint64_t *ret_changes, struct hob_err *err);

/* migrate.c */
struct migration {
    const char *sql;
};
extern const struct migration migrations[];
extern const size_t migrations_n;
/* Brings the database to the newest of `list`; refuses a newer one and one whose migrations differ. */
HOB_MUST_USE enum hob_code db_migrate(struct db *db, const struct migration *list, size_t n,
                                      struct hob_err *err);

/* group.c */
struct job {
    struct hob_node node;
    store_work_cb work;
    store_done_cb done; /* NULL: waited for */
    void *ctx;
    bool is_finished;
    struct hob_err err; /* code HOB_OK when it worked */
};
/* Runs the jobs in one transaction; what a failing one wrote is undone. When the transaction as a whole fails and there are
 * several, each is tried in a transaction of its own. A job may run twice. Fills every job's err. Returns how many
 * transactions ended well. */
unsigned group_run(struct db *db, struct job **jobs, size_t n);
/* A part of a job: what it wrote is undone when it fails, at once or by running the whole group again. */
typedef enum hob_code (*group_step_cb)(void *ctx, struct hob_err *err);
HOB_MUST_USE enum hob_code group_step(struct db *db, group_step_cb work, void *ctx, struct hob_err *err);
/* Grows with everything that is written. */
int64_t db_written(const struct db *db);
