#include "store/store_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"

static const char doing[] = "using the store";

/* Places are "$1", "$2", … in the order of their first appearance, so that binding by position is right for SQLite
 * (which numbers them so) and for PostgreSQL (which goes by the name). */
static void check_places(sqlite3_stmt *stmt)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(stmt); i++) {
        char want[12];
        (void)snprintf(want, sizeof want, "$%d", i);
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        HOB_ASSERT(name && strcmp(name, want) == 0);
    }
}

static enum hob_code find_slot(struct db *db, const char *sql, size_t *ret_slot, struct hob_err *err)
{
    for (size_t i = 0; i < db->cache_n; i++) {
        if (db->cache[i].sql == sql) {
            *ret_slot = i;
            return HOB_OK;
        }
    }
    HOB_ASSERT(db->cache_n < DB_STATEMENTS_MAX);
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, doing, err);
    check_places(stmt);
    *ret_slot = db->cache_n++;
    db->cache[*ret_slot].sql = sql;
    db->cache[*ret_slot].stmt = stmt;
    return HOB_OK;
}

enum hob_code query_start(struct query *q, struct store_tx *tx, const char *sql, struct hob_err *err)
{
    *q = (struct query){.db = tx->db};
    if (find_slot(tx->db, sql, &q->slot, err) != HOB_OK)
        return err->code;
    HOB_ASSERT(!tx->db->cache[q->slot].is_running); /* a callback must not run the query it was called from */
    tx->db->cache[q->slot].is_running = true;
    q->stmt = tx->db->cache[q->slot].stmt;
    return HOB_OK;
}

void query_int(struct query *q, int64_t v)
{
    if (sqlite3_bind_int64(q->stmt, ++q->place, v) != SQLITE_OK)
        q->has_failed_bind = true;
}

void query_text(struct query *q, const char *s)
{
    if (sqlite3_bind_text(q->stmt, ++q->place, s, -1, SQLITE_STATIC) != SQLITE_OK)
        q->has_failed_bind = true;
}

void query_str(struct query *q, struct hob_str s)
{
    if (sqlite3_bind_text64(q->stmt, ++q->place, s.n ? s.at : "", s.n, SQLITE_STATIC, SQLITE_UTF8) !=
        SQLITE_OK)
        q->has_failed_bind = true;
}

void query_blob(struct query *q, struct hob_str s)
{
    if (sqlite3_bind_blob64(q->stmt, ++q->place, s.n ? s.at : "", s.n, SQLITE_STATIC) != SQLITE_OK)
        q->has_failed_bind = true;
}

enum hob_code query_step(struct query *q, bool *ret_has_row, struct hob_err *err)
{
    HOB_ASSERT(q->place == sqlite3_bind_parameter_count(q->stmt));
    if (q->has_failed_bind)
        return db_fail(q->db, sqlite3_errcode(q->db->h), doing, err);
    int rc = HOB_FAULT("store.step") ? SQLITE_FULL : sqlite3_step(q->stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return db_fail(q->db, rc, doing, err);
    *ret_has_row = rc == SQLITE_ROW;
    return HOB_OK;
}

int64_t query_col_int(const struct query *q, int col)
{
    return sqlite3_column_int64(q->stmt, col);
}

const char *query_col_text(const struct query *q, int col)
{
    const unsigned char *s = sqlite3_column_text(q->stmt, col);
    return s ? (const char *)s : "";
}

struct hob_str query_col_blob(const struct query *q, int col)
{
    const void *at = sqlite3_column_blob(q->stmt, col);
    return hob_str_n(at ? at : "", at ? (size_t)sqlite3_column_bytes(q->stmt, col) : 0);
}

void query_end(struct query *q)
{
    if (!q->stmt)
        return;
    /* reset repeats the error of the last step, which was told already */
    (void)sqlite3_reset(q->stmt);
    (void)sqlite3_clear_bindings(q->stmt);
    q->db->cache[q->slot].is_running = false;
    q->stmt = NULL;
}

bool query_next(struct query *q, enum hob_code *rc, struct hob_err *err)
{
    bool has_row = false;
    if (*rc == HOB_OK)
        *rc = query_step(q, &has_row, err);
    if (*rc == HOB_OK && has_row)
        return true;
    query_end(q);
    return false;
}

enum hob_code query_once(struct query *q, bool *ret_has_row, struct hob_err *err)
{
    bool has_row = false, has_more = false;
    enum hob_code rc = query_step(q, &has_row, err);
    if (rc == HOB_OK && has_row)
        rc = query_step(q, &has_more, err);
    HOB_ASSERT(!has_more);
    query_end(q);
    if (rc == HOB_OK && ret_has_row)
        *ret_has_row = has_row;
    return rc;
}

enum hob_code query_run(struct query *q, uint64_t *ret_changes, struct hob_err *err)
{
    enum hob_code rc = query_once(q, NULL, err);
    if (rc == HOB_OK && ret_changes)
        *ret_changes = (uint64_t)sqlite3_changes64(q->db->h);
    return rc;
}
