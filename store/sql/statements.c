/* The statements of one call: bound, stepped, and their rows written as JSON. */
#include <ctype.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/sql/sql_priv.h"

#include "base/banned.h"

/* --- parameters --- */

static enum hob_code bind_blob(struct sql_db *db, sqlite3_stmt *st, int place, const json_t *text,
                               struct hob_err *err)
{
    size_t chars = json_string_length(text), n = 0;
    hob_auto_free unsigned char *bytes = hob_calloc(1, chars / 4 * 3 + 4);
    if (!json_is_string(text) || sodium_base642bin(bytes, chars / 4 * 3 + 4, json_string_value(text), chars,
                                                   NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return hob_fail(err, HOB_E_INVALID, "parameter %d: '$blob' is no base64", place);
    int rc = sqlite3_bind_blob(st, place, bytes, (int)n, SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? HOB_OK : sql_db_fail(db, rc, err);
}

static enum hob_code bind_one(struct sql_db *db, sqlite3_stmt *st, int place, const json_t *v,
                              struct hob_err *err)
{
    int rc = SQLITE_OK;
    switch (json_typeof(v)) {
    case JSON_NULL:
        rc = sqlite3_bind_null(st, place);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        rc = sqlite3_bind_int(st, place, json_is_true(v));
        break;
    case JSON_INTEGER:
        rc = sqlite3_bind_int64(st, place, json_integer_value(v));
        break;
    case JSON_REAL:
        rc = sqlite3_bind_double(st, place, json_real_value(v));
        break;
    case JSON_STRING:
        rc = sqlite3_bind_text(st, place, json_string_value(v), (int)json_string_length(v), SQLITE_TRANSIENT);
        break;
    case JSON_OBJECT:
    case JSON_ARRAY:
    default:
        if (json_object_get(v, "$blob"))
            return bind_blob(db, st, place, json_object_get(v, "$blob"), err);
        return hob_fail(err, HOB_E_INVALID, "parameter %d: give null, a number, a text, true, false or bytes",
                        place);
    }
    return rc == SQLITE_OK ? HOB_OK : sql_db_fail(db, rc, err);
}

static enum hob_code bind_all(struct sql_db *db, sqlite3_stmt *st, const json_t *params, struct hob_err *err)
{
    int want = sqlite3_bind_parameter_count(st);
    size_t n = json_array_size(params);
    if ((size_t)want != n)
        return hob_fail(err, HOB_E_INVALID, "the statement has %d places for parameters, %zu were given",
                        want, n);
    for (size_t i = 0; i < n; i++) {
        if (bind_one(db, st, (int)i + 1, json_array_get(params, i), err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* --- rows --- */

static void write_blob(struct hob_jw *w, const void *bytes, size_t n)
{
    size_t chars = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    hob_auto_free char *text = hob_calloc(1, chars);
    (void)sodium_bin2base64(text, chars, bytes ? bytes : (const void *)"", n, sodium_base64_VARIANT_ORIGINAL);
    hob_jw_object(w);
    hob_jw_kcstr(w, "$blob", text);
    hob_jw_object_end(w);
}

static void write_value(struct hob_jw *w, sqlite3_stmt *st, int col)
{
    switch (sqlite3_column_type(st, col)) {
    case SQLITE_INTEGER:
        hob_jw_int(w, sqlite3_column_int64(st, col));
        break;
    case SQLITE_FLOAT:
        hob_jw_double(w, sqlite3_column_double(st, col));
        break;
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(st, col);
        hob_jw_str(w, hob_str_n(text, (size_t)sqlite3_column_bytes(st, col)));
        break;
    }
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_column_blob(st, col);
        write_blob(w, bytes, (size_t)sqlite3_column_bytes(st, col));
        break;
    }
    default:
        hob_jw_null(w);
    }
}

static void write_row(struct hob_jw *w, sqlite3_stmt *st)
{
    int n = sqlite3_data_count(st);
    hob_jw_array(w);
    for (int i = 0; i < n; i++)
        write_value(w, st, i);
    hob_jw_array_end(w);
}

static void write_columns(struct hob_jw *w, sqlite3_stmt *st)
{
    int n = sqlite3_column_count(st);
    hob_jw_key(w, "columns");
    hob_jw_array(w);
    for (int i = 0; i < n; i++)
        hob_jw_cstr(w, sqlite3_column_name(st, i));
    hob_jw_array_end(w);
}

static enum hob_code write_rows(struct sql_db *db, sqlite3_stmt *st, struct hob_jw *w, uint64_t *ret_n,
                                struct hob_err *err)
{
    int rc;
    uint64_t n = 0;
    hob_jw_key(w, "rows");
    hob_jw_array(w);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (++n > HOB_MAX_SQL_ROWS)
            return hob_fail(err, HOB_E_TOO_LARGE,
                            "a statement gives back at most %d rows (sql.rows): add a LIMIT",
                            HOB_MAX_SQL_ROWS);
        write_row(w, st);
        if (w->is_full || w->out->n > HOB_MAX_SQL_BYTES)
            return hob_fail(err, HOB_E_TOO_LARGE,
                            "the rows have more than %d bytes (sql.bytes): ask for less", HOB_MAX_SQL_BYTES);
    }
    hob_jw_array_end(w);
    *ret_n = n;
    return rc == SQLITE_DONE ? HOB_OK : sql_db_fail(db, rc, err);
}

static void write_meta(struct sql_db *db, sqlite3_stmt *st, struct hob_jw *w, uint64_t rows, int64_t changes,
                       uint64_t started_us)
{
    int scanned = sqlite3_stmt_status(st, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0);
    hob_jw_key(w, "meta");
    hob_jw_object(w);
    hob_jw_key(w, "duration");
    hob_jw_double(w, (double)(hob_now_us() - started_us) / 1000.0);
    hob_jw_kint(w, "changes", changes);
    hob_jw_kint(w, "last_row_id", sqlite3_last_insert_rowid(db->h));
    hob_jw_kbool(w, "changed_db", changes > 0 || !sqlite3_stmt_readonly(st));
    hob_jw_kint(w, "rows_read", (int64_t)rows > scanned ? (int64_t)rows : scanned);
    hob_jw_kint(w, "rows_written", changes);
    hob_jw_object_end(w);
}

/* --- statements --- */

/* VACUUM INTO would write a file of any name; the authorizer is not asked about all of it. */
static bool is_vacuum(const char *sql)
{
    return sqlite3_strnicmp(sql, "VACUUM", 6) == 0;
}

static const char *skip_blank(const char *s)
{
    for (;;) {
        while (isspace((unsigned char)*s) || *s == ';')
            s++;
        if (s[0] == '-' && s[1] == '-') {
            while (*s && *s != '\n')
                s++;
        } else if (s[0] == '/' && s[1] == '*') {
            const char *end = strstr(s + 2, "*/");
            s = end ? end + 2 : s + strlen(s);
        } else {
            return s;
        }
    }
}

static enum hob_code prepare(struct sql_db *db, const char *sql, sqlite3_stmt **ret_st, const char **ret_rest,
                             struct hob_err *err)
{
    sql = skip_blank(sql);
    if (is_vacuum(sql))
        return hob_fail(err, HOB_E_FORBIDDEN, "env.sql does not allow ATTACH, DETACH and VACUUM");
    int rc = sqlite3_prepare_v2(db->h, sql, -1, ret_st, ret_rest);
    return rc == SQLITE_OK ? HOB_OK : sql_db_fail(db, rc, err);
}

static enum hob_code run_one(struct sql_db *db, const json_t *one, struct hob_jw *w, struct hob_err *err)
{
    const char *sql = json_string_value(json_object_get(one, "sql")), *rest = "";
    sqlite3_stmt *st = NULL;
    uint64_t rows = 0, started = hob_now_us();
    if (!sql)
        return hob_fail(err, HOB_E_INVALID, "each statement has a text 'sql'");
    enum hob_code code = prepare(db, sql, &st, &rest, err);
    if (code == HOB_OK && !st)
        code = hob_fail(err, HOB_E_INVALID, "the statement is empty");
    if (code == HOB_OK && *skip_blank(rest))
        code = hob_fail(err, HOB_E_INVALID, "one statement at a time: use batch, or exec for a script");
    if (code == HOB_OK)
        code = bind_all(db, st, json_object_get(one, "params"), err);
    if (code == HOB_OK) {
        int64_t before = sqlite3_total_changes64(db->h);
        hob_jw_object(w);
        write_columns(w, st);
        code = write_rows(db, st, w, &rows, err);
        if (code == HOB_OK)
            write_meta(db, st, w, rows, sqlite3_total_changes64(db->h) - before, started);
        hob_jw_object_end(w);
    }
    (void)sqlite3_finalize(st);
    return code;
}

/* A script gives only how many statements it had. */
static enum hob_code run_script(struct sql_db *db, const json_t *one, struct hob_jw *w, struct hob_err *err)
{
    const char *sql = json_string_value(json_object_get(one, "sql"));
    uint64_t n = 0, started = hob_now_us();
    if (!sql)
        return hob_fail(err, HOB_E_INVALID, "a script has a text 'sql'");
    while (*(sql = skip_blank(sql))) {
        sqlite3_stmt *st = NULL;
        if (prepare(db, sql, &st, &sql, err) != HOB_OK)
            return err->code;
        int rc = SQLITE_ROW;
        while (st && rc == SQLITE_ROW)
            rc = sqlite3_step(st);
        (void)sqlite3_finalize(st);
        if (st && rc != SQLITE_DONE)
            return sql_db_fail(db, rc, err);
        n += st != NULL;
    }
    hob_jw_object(w);
    hob_jw_kint(w, "count", (int64_t)n);
    hob_jw_key(w, "duration");
    hob_jw_double(w, (double)(hob_now_us() - started) / 1000.0);
    hob_jw_object_end(w);
    return HOB_OK;
}

static enum hob_code run_all(struct sql_db *db, const json_t *statements, bool is_script, struct hob_jw *w,
                             struct hob_err *err)
{
    const json_t *one;
    size_t i;
    json_array_foreach(statements, i, one)
    {
        enum hob_code code = is_script ? run_script(db, one, w, err) : run_one(db, one, w, err);
        if (code != HOB_OK)
            return json_array_size(statements) > 1 ? hob_err_wrap(err, "statement %zu", i + 1) : code;
    }
    return HOB_OK;
}

enum hob_code sql_statements_run(struct sql_db *db, const json_t *statements, bool is_script,
                                 struct hob_buf *out, struct hob_err *err)
{
    struct hob_jw w;
    size_t n = json_array_size(statements);
    if (n < 1 || n > HOB_MAX_SQL_STATEMENTS)
        return hob_fail(err, HOB_E_TOO_LARGE, "a call has 1 to %d statements (sql.statements)",
                        HOB_MAX_SQL_STATEMENTS);
    hob_buf_clear(out);
    hob_jw_init(&w, out);
    hob_jw_array(&w);
    sql_db_arm(db);
    if (sql_db_own(db, "BEGIN", err) != HOB_OK)
        return err->code;
    enum hob_code code = run_all(db, statements, is_script, &w, err);
    if (code == HOB_OK)
        code = sql_db_own(db, "COMMIT", err);
    if (code != HOB_OK && !sqlite3_get_autocommit(db->h)) {
        struct hob_err ignored; /* the first failure is told */
        sql_db_arm(db);
        (void)!sql_db_own(db, "ROLLBACK", &ignored);
    }
    if (code != HOB_OK)
        return code;
    hob_jw_array_end(&w);
    return hob_jw_end(&w, err);
}
