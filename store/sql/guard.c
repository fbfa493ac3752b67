/* What a stranger's SQL may not do. The authorizer judges while a statement is prepared; limits of the connection bound what
 * one step can take; the progress handler ends what takes too long or too much memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/sql/sql_priv.h"

#include "base/banned.h"

enum {
    PAGE_BYTES = 4096,
    VALUE_BYTES_MAX = 1 << 20,     /* of one text or blob */
    MEMORY_MORE_BYTES = 192 << 20, /* one call may take this much more than SQLite held before */
    OPS_BETWEEN_LOOKS = 20,        /* a step may make a value of VALUE_BYTES_MAX */
};

/* --- the authorizer --- */

static bool is_in(const char *s, const char *const *list)
{
    for (size_t i = 0; s && list[i]; i++) {
        if (sqlite3_stricmp(s, list[i]) == 0)
            return true;
    }
    return false;
}

static int deny(struct sql_db *db, const char *what)
{
    db->denied = what;
    return SQLITE_DENY;
}

static int judge_pragma(struct sql_db *db, const char *name, const char *value)
{
    static const char *const reads[] = {"table_info",       "table_xinfo",       "table_list",
                                        "index_list",       "index_info",        "index_xinfo",
                                        "foreign_key_list", "foreign_key_check", "quick_check",
                                        "function_list",    "compile_options",   NULL};
    static const char *const plain[] = {"data_version", "page_size", "page_count",
                                        NULL}; /* FTS5 asks for them */
    static const char *const switches[] = {"foreign_keys", "defer_foreign_keys", "case_sensitive_like",
                                           "optimize",     "user_version",       NULL};
    if (is_in(name, reads) || is_in(name, switches) || (!value && is_in(name, plain)))
        return SQLITE_OK;
    return deny(db, "this PRAGMA");
}

static int judge_function(struct sql_db *db, const char *name)
{
    static const char *const refused[] = {"load_extension", "fts3_tokenizer", "sqlite_log", NULL};
    return is_in(name, refused) ? deny(db, "this function") : SQLITE_OK;
}

static int judge_table(struct sql_db *db, const char *table)
{
    static const char *const refused[] = {"sqlite_dbpage", "dbstat",      "sqlite_stmt",
                                          "bytecode",      "tables_used", NULL};
    return is_in(table, refused) ? deny(db, "this table") : SQLITE_OK;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c, const char *d)
{
    static const char *const modules[] = {"fts5", "fts5vocab", "json_each", "json_tree", NULL};
    struct sql_db *db = ctx;
    (void)c, (void)d;
    if (db->is_ours)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return deny(db, "ATTACH, DETACH and VACUUM");
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return deny(db, "BEGIN, COMMIT, ROLLBACK and SAVEPOINT (use batch: it is one transaction)");
    case SQLITE_PRAGMA:
        return judge_pragma(db, a, b);
    case SQLITE_FUNCTION:
        return judge_function(db, b);
    case SQLITE_CREATE_VTABLE:
        return is_in(b, modules) ? SQLITE_OK : deny(db, "this kind of virtual table");
    case SQLITE_READ:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        return judge_table(db, a);
    default:
        return SQLITE_OK;
    }
}

/* --- time and memory --- */

static int on_progress(void *ctx)
{
    struct sql_db *db = ctx;
    if (hob_now_us() > db->deadline_us)
        db->is_late = true;
    else if (sqlite3_memory_used() > db->memory_max)
        db->is_hungry = true;
    return db->is_late || db->is_hungry;
}

void sql_db_arm(struct sql_db *db)
{
    db->deadline_us = hob_now_us() + db->time_ms * 1000u;
    db->memory_max = sqlite3_memory_used() + MEMORY_MORE_BYTES;
    db->is_late = db->is_hungry = false;
    db->denied = NULL;
}

/* --- errors --- */

enum hob_code sql_db_fail(struct sql_db *db, int rc, struct hob_err *err)
{
    const char *text = db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc);
    if (db->is_late)
        return hob_fail(err, HOB_E_TIMEOUT, "the statements took longer than %u ms (sql.ms)", db->time_ms);
    if (db->is_hungry)
        return hob_fail_reason(err, HOB_E_TOO_LARGE, "sql_memory", "the statement needs too much memory");
    switch (rc & 0xff) {
    case SQLITE_AUTH:
        return hob_fail(err, HOB_E_FORBIDDEN, "env.sql does not allow %s",
                        db->denied ? db->denied : "what the statement does");
    case SQLITE_CONSTRAINT:
        return hob_fail_reason(err, HOB_E_CONFLICT, "sql_constraint", "%s", text);
    case SQLITE_FULL:
        return hob_fail(err, HOB_E_NO_SPACE, "the database is full: it may have %d bytes (sql.file_bytes)",
                        HOB_MAX_SQL_FILE_BYTES);
    case SQLITE_TOOBIG:
        return hob_fail(err, HOB_E_TOO_LARGE, "a value or a statement is too large");
    case SQLITE_NOMEM:
        return hob_fail(err, HOB_E_TOO_LARGE, "the statement needs too much memory");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return hob_fail_reason(err, HOB_E_INTERNAL, "store_damaged", "the app's SQL database is damaged: %s",
                               text);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (db->h && (sqlite3_system_errno(db->h) == ENOSPC || sqlite3_system_errno(db->h) == EDQUOT))
            return hob_fail(err, HOB_E_NO_SPACE, "the disk is full");
        return hob_fail(err, HOB_E_INTERNAL, "the app's SQL database: %s", text);
    default:
        return hob_fail_reason(err, HOB_E_INVALID, "sql_error", "%s", text);
    }
}

/* --- opening --- */

static void set_limits(sqlite3 *h)
{
    static const struct {
        int id, value;
    } limits[] = {{SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX},
                  {SQLITE_LIMIT_SQL_LENGTH, 100 * 1024},
                  {SQLITE_LIMIT_COLUMN, 500},
                  {SQLITE_LIMIT_EXPR_DEPTH, 100},
                  {SQLITE_LIMIT_COMPOUND_SELECT, 50},
                  {SQLITE_LIMIT_VDBE_OP, 250000},
                  {SQLITE_LIMIT_FUNCTION_ARG, 32},
                  {SQLITE_LIMIT_ATTACHED, 0},
                  {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
                  {SQLITE_LIMIT_VARIABLE_NUMBER, 1000},
                  {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
                  {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < HOB_COUNT(limits); i++)
        (void)sqlite3_limit(h, limits[i].id, limits[i].value);
}

static void set_switches(sqlite3 *h)
{
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
}

enum hob_code sql_db_own(struct sql_db *db, const char *sql, struct hob_err *err)
{
    db->is_ours = true;
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
    db->is_ours = false;
    return rc == SQLITE_OK ? HOB_OK : sql_db_fail(db, rc, err);
}

static enum hob_code set_up(struct sql_db *db, struct hob_err *err)
{
    char pragmas[320];
    (void)snprintf(
        pragmas, sizeof pragmas,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096;"
        "PRAGMA journal_size_limit=16777216; PRAGMA max_page_count=%d; PRAGMA mmap_size=0;",
        HOB_MAX_SQL_FILE_BYTES / PAGE_BYTES);
    return sql_db_own(db, pragmas, err);
}

enum hob_code sql_db_open(struct sql_db *db, const char *path, struct hob_err *err)
{
    /* SQLite would make the file world-readable */
    hob_auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return hob_fail_errno(err, errno, "opening the app's SQL database");
    sql_db_arm(db);
    int rc = sqlite3_open_v2(path, &db->h,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                                 SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW,
                             NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_busy_timeout(db->h, 1000);
        set_switches(db->h);
        set_limits(db->h);
        (void)sqlite3_set_authorizer(db->h, authorize, db);
        sqlite3_progress_handler(db->h, OPS_BETWEEN_LOOKS, on_progress, db);
    }
    enum hob_code code = rc == SQLITE_OK ? set_up(db, err) : sql_db_fail(db, rc, err);
    if (code != HOB_OK)
        sql_db_close(db);
    return code;
}

void sql_db_close(struct sql_db *db)
{
    if (db->h)
        (void)sqlite3_close(db->h);
    db->h = NULL;
}
