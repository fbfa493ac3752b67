#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

enum {
    BUSY_MS = 5000, /* how long another process may hold the lock */
};

enum hob_code db_fail(struct db *db, int rc, const char *doing, struct hob_err *err)
{
    int errnum = db->h ? sqlite3_system_errno(db->h) : 0;
    const char *text = db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return hob_fail(err, HOB_E_NO_SPACE, "%s: the disk is full; free some space and try again", doing);
    case SQLITE_IOERR:
        if (errnum == ENOSPC || errnum == EDQUOT)
            return hob_fail(err, HOB_E_NO_SPACE, "%s: the disk is full; free some space and try again",
                            doing);
        return hob_fail(err, HOB_E_INTERNAL, "%s: %s (%s)", doing, text, hob_errno_text(errnum));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return hob_fail_reason(
            err, HOB_E_UNAVAILABLE, "store_locked",
            "%s: another process holds the database; is a second hobd or sqlite3 running on it?", doing);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return hob_fail_reason(
            err, HOB_E_INTERNAL, "store_damaged",
            "%s: the database is damaged (%s); stop hobd, move hob.db* aside and put a copy made by "
            "`hob backup` in place of hob.db",
            doing, text);
    case SQLITE_CONSTRAINT:
        if (sqlite3_extended_errcode(db->h) == SQLITE_CONSTRAINT_FOREIGNKEY)
            return hob_fail(err, HOB_E_NOT_FOUND, "%s: what it refers to is not there", doing);
        return hob_fail(err, HOB_E_CONFLICT, "%s: exists already (%s)", doing, text);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "store_unwritable", "%s: %s (%s)", doing, text,
                               hob_errno_text(errnum));
    case SQLITE_TOOBIG:
        return hob_fail(err, HOB_E_TOO_LARGE, "%s: %s", doing, text);
    default:
        return hob_fail(err, HOB_E_INTERNAL, "%s: %s (%d)", doing, text, rc);
    }
}

enum hob_code db_exec(struct db *db, const char *sql, struct hob_err *err)
{
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, "using the store", err);
    return HOB_OK;
}

static int on_wal(void *ctx, sqlite3 *h, const char *name, int pages)
{
    struct db *db = ctx;
    (void)h;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

/* SQLite would create the file world-readable; its -wal and -shm take over the file's mode. */
static enum hob_code create_private(const char *path, struct hob_err *err)
{
    hob_auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return hob_fail_errno(err, errno, "opening the store %s", path);
    return HOB_OK;
}

/* The pragmas that read or write the file: each may meet a damaged or locked one. */
static enum hob_code set_up(struct db *db, enum db_mode mode, struct hob_err *err)
{
    if (mode == DB_MEMORY)
        return db_exec(db, "PRAGMA trusted_schema=OFF", err);
    const char *pragmas = mode == DB_WRITE
                              ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=16777216;"
                                "PRAGMA cache_size=-2048; PRAGMA trusted_schema=OFF;"
                              : "PRAGMA query_only=ON; PRAGMA cache_size=-512; PRAGMA trusted_schema=OFF;";
    return db_exec(db, pragmas, err);
}

/* What a savepoint must be able to take back is kept in memory up to so much; SQLite's own 64 KiB are less than a batch of
 * ten objects touches, and beyond it every page goes to a temporary file for good. */
enum { SAVEPOINT_BYTES = 16 * 1024 * 1024 };

static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, SAVEPOINT_BYTES);
}

enum hob_code db_open(struct db *db, const char *path, enum db_mode mode, struct hob_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *db = (struct db){0};
    (void)pthread_once(&once, configure);
    if (mode == DB_WRITE && create_private(path, err) != HOB_OK)
        return err->code;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
    int rc = HOB_FAULT("store.open") ? SQLITE_CANTOPEN : sqlite3_open_v2(path, &db->h, flags, NULL);
    if (rc != SQLITE_OK) {
        (void)db_fail(db, rc, "opening the store", err);
        db_close(db);
        return hob_err_wrap(err, "%s", path);
    }
    (void)sqlite3_busy_timeout(db->h, BUSY_MS);
    if (set_up(db, mode, err) != HOB_OK) {
        db_close(db);
        return hob_err_wrap(err, "%s", path);
    }
    if (mode == DB_WRITE)
        (void)sqlite3_wal_hook(db->h, on_wal, db);
    return HOB_OK;
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < db->cache_n; i++)
        (void)sqlite3_finalize(db->cache[i].stmt);
    db->cache_n = 0;
    if (db->h && sqlite3_close(db->h) != SQLITE_OK)
        HOB_ASSERT(!"a statement outlived its connection");
    db->h = NULL;
}

static int first_int(void *ctx, int n, char **values, char **names)
{
    (void)names;
    uint64_t v = 0;
    if (n > 0 && values[0] && hob_str_u64(hob_str(values[0]), &v))
        *(int64_t *)ctx = (int64_t)v;
    return 0;
}

struct check_text {
    char text[120];
};

static int first_text(void *ctx, int n, char **values, char **names)
{
    struct check_text *t = ctx;
    (void)names;
    if (n > 0 && !t->text[0])
        (void)snprintf(t->text, sizeof t->text, "%s", values[0] ? values[0] : "");
    return 0;
}

enum hob_code db_mark(struct db *db, const char *path, enum db_purpose purpose, struct hob_err *err)
{
    int64_t id = 0, objects = 0;
    int rc = sqlite3_exec(db->h, "PRAGMA application_id", first_int, &id, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->h, "SELECT count(*) FROM sqlite_master", first_int, &objects, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, path, err);
    if (id == (int64_t)purpose)
        return HOB_OK;
    if (id != 0 || objects != 0)
        return hob_fail(err, HOB_E_CONFLICT, "%s is a database of another program; choose another --home",
                        path);
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d", (int)purpose);
    return db_exec(db, sql, err);
}

enum hob_code db_check(struct db *db, const char *path, struct hob_err *err)
{
    if (db_mark(db, path, DB_OF_HOB, err) != HOB_OK)
        return err->code;
    struct check_text t = {""};
    int rc = sqlite3_exec(db->h, "PRAGMA quick_check(1)", first_text, &t, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, path, err);
    if (strcmp(t.text, "ok") != 0)
        return hob_fail_reason(
            err, HOB_E_INTERNAL, "store_damaged",
            "%s is damaged (%.60s); stop hobd, move hob.db* aside and put a copy made by `hob "
            "backup` in place of hob.db",
            path, t.text);
    return HOB_OK;
}
