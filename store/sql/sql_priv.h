/* Inside of store/sql/: one connection (guard.c), the statements of one call (statements.c). On threads of the pool. */
#pragma once

#include <sqlite3.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store/sql.h"

struct sql_db {
    sqlite3 *h; /* NULL: not open */
    uint64_t deadline_us;
    uint32_t time_ms;
    int64_t memory_max;               /* of all of SQLite; a call that takes it there is stopped */
    bool is_late, is_hungry, is_ours; /* ours: the statement is the platform's own */
    const char *denied;               /* static: what the authorizer refused */
};

HOB_MUST_USE enum hob_code sql_db_open(struct sql_db *db, const char *path, struct hob_err *err);
void sql_db_close(struct sql_db *db);
/* The statement that the platform itself needs (BEGIN, COMMIT). */
HOB_MUST_USE enum hob_code sql_db_own(struct sql_db *db, const char *sql, struct hob_err *err);
/* Fills *err from the connection's last error. */
HOB_COLD enum hob_code sql_db_fail(struct sql_db *db, int rc, struct hob_err *err);
/* The clock of one call. */
void sql_db_arm(struct sql_db *db);

/* copy.c: a consistent copy into a new file, fsynced. */
HOB_MUST_USE enum hob_code sql_db_copy(struct sql_db *db, const char *path, struct hob_err *err);
/* Is the file a whole database as this room makes them? A stranger's otherwise: it is opened as guarded as any. */
HOB_MUST_USE enum hob_code sql_file_judge(const char *path, struct hob_err *err);

HOB_MUST_USE enum hob_code sql_statements_run(struct sql_db *db, const json_t *statements, bool is_script,
                                              struct hob_buf *out, struct hob_err *err);
