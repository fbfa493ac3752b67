/* env.sql's databases: what a stranger's statements may do, and what they may not. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "home.h"
#include "store/sql.h"

struct fixture {
    struct home *h;
    struct sqls *s;
    struct hob_buf out;
    struct hob_err err;
    unsigned done;
};

static void on_done(void *ctx, const struct hob_err *err)
{
    struct fixture *f = ctx;
    f->err = err ? *err : (struct hob_err){0};
    f->done++;
}

static void set_up(struct fixture *f, void **state)
{
    struct hob_err err;
    *f = (struct fixture){.h = *state};
    hob_buf_init(&f->out, 8 << 20);
    f->s = sqls_open(
        &(struct sqls_options){
            .loop = &f->h->loop, .dir = home_path(f->h, "data"), .open_max = 2, .time_ms = 700},
        &err);
    assert_non_null(f->s);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void tear_down(struct fixture *f)
{
    bool is_closed = false;
    sqls_close(f->s, on_closed, &is_closed);
    (void)uv_run(&f->h->loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    hob_buf_done(&f->out);
}

static void wait_done(struct fixture *f, unsigned n)
{
    while (f->done < n)
        (void)uv_run(&f->h->loop, UV_RUN_ONCE);
}

static enum hob_code ask_json(struct fixture *f, const char *app, const char *text, bool is_script)
{
    struct hob_err err;
    json_t *statements = hob_json_parse(hob_str(text), "statements", &err);
    assert_non_null(statements);
    unsigned before = f->done;
    hob_buf_clear(&f->out);
    sql_ask(f->s, app, statements, is_script, &f->out, on_done, f);
    json_decref(statements);
    assert_int_equal(f->done, before);
    wait_done(f, before + 1);
    return f->err.code;
}

static enum hob_code ask(struct fixture *f, const char *sql)
{
    json_t *one = json_pack("[{s:s}]", "sql", sql);
    hob_auto_free char *text = json_dumps(one, 0);
    json_decref(one);
    return ask_json(f, "shop", text, false);
}

static void need(struct fixture *f, const char *sql)
{
    if (ask(f, sql) != HOB_OK)
        fail_msg("%s: %s", sql, f->err.msg);
}

static void refuse(struct fixture *f, const char *sql, enum hob_code code)
{
    enum hob_code got = ask(f, sql);
    if (got != code)
        fail_msg("%s: %d, not %d: %s", sql, got, code, got ? f->err.msg : "it worked");
}

static void rows_and_parameters_come_back_as_they_went(void **state)
{
    struct fixture f;
    set_up(&f, state);
    need(&f, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e)");
    assert_int_equal(ask_json(&f, "shop",
                              "[{\"sql\":\"INSERT INTO t (a,b,c,d,e) VALUES (?,?,?,?,?)\",\"params\":"
                              "[null,9007199254740993,1.5,\"h\\u00e9\\u0001\",{\"$blob\":\"AP8=\"}]},"
                              "{\"sql\":\"SELECT a,b,c,d,e,typeof(e) FROM t\"}]",
                              false),
                     HOB_OK);
    assert_contains(hob_buf_data(&f.out), "\"rows\":[[null,9007199254740993,1.5,\"h");
    hob_auto_free char *text = hob_buf_take(&f.out);
    assert_contains(text, "{\"$blob\":\"AP8=\"},\"blob\"]]");
    assert_contains(text, "\"changes\":1,\"last_row_id\":1");
    tear_down(&f);
}

static void a_call_is_all_or_nothing(void **state)
{
    struct fixture f;
    set_up(&f, state);
    need(&f, "CREATE TABLE t (a UNIQUE)");
    assert_int_equal(
        ask_json(&f, "shop",
                 "[{\"sql\":\"INSERT INTO t VALUES (1)\"},{\"sql\":\"INSERT INTO t VALUES (1)\"}]", false),
        HOB_E_CONFLICT);
    assert_contains(f.err.msg, "statement 2");
    need(&f, "SELECT count(*) FROM t");
    assert_non_null(memmem(hob_buf_data(&f.out), f.out.n, "[[0]]", 5));
    assert_int_equal(
        ask_json(&f, "shop",
                 "[{\"sql\":\"INSERT INTO t VALUES (1);; -- x\\nINSERT INTO t VALUES (2); /* y */\"}]", true),
        HOB_OK);
    assert_non_null(memmem(hob_buf_data(&f.out), f.out.n, "\"count\":2", 9));
    tear_down(&f);
}

static void no_other_file_and_no_setting_can_be_reached(void **state)
{
    struct fixture f;
    set_up(&f, state);
    need(&f, "CREATE TABLE t (a)");
    static const char *const denied[] = {
        "ATTACH '/tmp/x.db' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '/tmp/hob-stolen.db'",
        " /* a */ -- b\n ;vacuum into '/tmp/hob-stolen.db'",
        "PRAGMA writable_schema=1",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA max_page_count=1000000000",
        "PRAGMA database_list",
        "PRAGMA temp_store_directory='/tmp'",
        "PRAGMA mmap_size=100000000",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT fts3_tokenizer('simple')",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "SELECT * FROM sqlite_dbpage",
        "CREATE VIRTUAL TABLE v USING rtree(id, a, b)",
        "CREATE VIRTUAL TABLE v USING csv(filename='/etc/passwd')",
    };
    for (size_t i = 0; i < HOB_COUNT(denied); i++) {
        enum hob_code got = ask(&f, denied[i]);
        if (got != HOB_E_FORBIDDEN && got != HOB_E_INVALID)
            fail_msg("%s: %d %s", denied[i], got, f.err.msg);
    }
    refuse(&f, "UPDATE sqlite_master SET sql='x'", HOB_E_INVALID);
    refuse(&f, "DELETE FROM sqlite_schema", HOB_E_INVALID);
    struct stat st;
    assert_int_equal(stat("/tmp/hob-stolen.db", &st), -1);
    need(&f, "PRAGMA table_info(t)");
    need(&f, "SELECT name FROM sqlite_master");
    need(&f, "CREATE VIRTUAL TABLE docs USING fts5(body)");
    need(&f, "INSERT INTO docs VALUES ('warm plate')");
    need(&f, "SELECT rank FROM docs WHERE docs MATCH 'plate'");
    tear_down(&f);
}

static void what_takes_too_long_or_too_much_is_stopped(void **state)
{
    struct fixture f;
    set_up(&f, state);
    refuse(&f, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT max(x) FROM c",
           HOB_E_TIMEOUT);
    enum hob_code much = ask(
        &f,
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT zeroblob(1000000) FROM c ORDER BY 1");
    assert_true(much == HOB_E_TOO_LARGE || much == HOB_E_TIMEOUT); /* a slow machine meets the time first */
    refuse(&f, "SELECT randomblob(1048577)", HOB_E_TOO_LARGE);
    refuse(&f, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 10001) SELECT x FROM c",
           HOB_E_TOO_LARGE);
    need(&f, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 10000) SELECT x FROM c");
    refuse(
        &f,
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 9) SELECT hex(randomblob(400000)) FROM c",
        HOB_E_TOO_LARGE);
    need(&f, "SELECT 1");
    tear_down(&f);
}

static void malformed_calls_are_refused(void **state)
{
    struct fixture f;
    set_up(&f, state);
    static const char *const bad[] = {
        "[{}]",
        "[1]",
        "[{\"sql\":1}]",
        "[{\"sql\":\"\"}]",
        "[{\"sql\":\"SELECT 1; SELECT 2\"}]",
        "[{\"sql\":\"SELECT ?\"}]",
        "[{\"sql\":\"SELECT 1\",\"params\":[1]}]",
        "[{\"sql\":\"SELECT ?\",\"params\":[[1]]}]",
        "[{\"sql\":\"SELECT ?\",\"params\":[{\"$blob\":\"%%%\"}]}]",
        "[{\"sql\":\"SELEC 1\"}]",
        "[{\"sql\":\"SELECT \\\"no such\\\"\"}]",
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        if (ask_json(&f, "shop", bad[i], false) != HOB_E_INVALID)
            fail_msg("%s: %d %s", bad[i], f.err.code, f.err.msg);
    }
    assert_int_equal(ask_json(&f, "shop", "[]", false), HOB_E_TOO_LARGE);
    tear_down(&f);
}

static void apps_have_files_of_their_own_and_few_stay_open(void **state)
{
    struct fixture f;
    set_up(&f, state);
    static const char make[] =
        "[{\"sql\":\"CREATE TABLE t (a)\"},{\"sql\":\"INSERT INTO t VALUES ('mine')\"}]";
    char app[16];
    for (int i = 0; i < 8; i++) {
        (void)snprintf(app, sizeof app, "app-%d", i);
        assert_int_equal(ask_json(&f, app, make, false), HOB_OK);
    }
    assert_int_equal(ask_json(&f, "other", "[{\"sql\":\"SELECT a FROM t\"}]", false), HOB_E_INVALID);
    assert_int_equal(ask_json(&f, "app-0", "[{\"sql\":\"SELECT a FROM t\"}]", false), HOB_OK);
    struct stat st;
    assert_int_equal(stat(home_path(f.h, "data/app-0.sql.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unsigned before = f.done;
    sql_remove(f.s, "app-0", on_done, &f);
    wait_done(&f, before + 1);
    assert_int_equal(stat(home_path(f.h, "data/app-0.sql.db"), &st), -1);
    assert_int_equal(ask_json(&f, "app-0", "[{\"sql\":\"SELECT a FROM t\"}]", false), HOB_E_INVALID);
    tear_down(&f);
}

static void a_full_line_refuses_and_a_stop_tells_who_waits(void **state)
{
    struct fixture f;
    set_up(&f, state);
    json_t *slow = json_pack(
        "[{s:s}]", "sql",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 3000000) SELECT max(x) FROM c");
    json_t *quick = json_pack("[{s:s}]", "sql", "SELECT 1");
    sql_ask(f.s, "shop", slow, false, &f.out, on_done, &f);
    struct hob_buf outs[HOB_MAX_SQL_WAITING + 1];
    for (int i = 0; i <= HOB_MAX_SQL_WAITING; i++) {
        hob_buf_init(&outs[i], 65536);
        sql_ask(f.s, "shop", quick, false, &outs[i], on_done, &f);
    }
    wait_done(&f, 1); /* the one too many, or the slow one if a thread took it at once */
    tear_down(&f);
    assert_int_equal(f.done, HOB_MAX_SQL_WAITING + 2);
    for (int i = 0; i <= HOB_MAX_SQL_WAITING; i++)
        hob_buf_done(&outs[i]);
    json_decref(slow);
    json_decref(quick);
}

/* --- the file as a whole --- */

static enum hob_code copy_out(struct fixture *f, const char *app, const char *path)
{
    sql_backup(f->s, app, path, on_done, f);
    wait_done(f, f->done + 1);
    return f->err.code;
}

static enum hob_code put_in(struct fixture *f, const char *app, const char *path)
{
    sql_replace(f->s, app, path, on_done, f);
    wait_done(f, f->done + 1);
    return f->err.code;
}

static bool has(struct fixture *f, const char *part)
{
    return memmem(hob_buf_data(&f->out), f->out.n, part, strlen(part)) != NULL;
}

static void a_copy_of_the_file_takes_the_place_of_another_while_that_is_open(void **state)
{
    struct fixture f;
    struct stat st;
    char path[100];
    set_up(&f, state);
    (void)snprintf(path, sizeof path, "%s/copy", f.h->dir);
    assert_int_equal(copy_out(&f, "shop", path), HOB_E_NOT_FOUND);
    assert_int_equal(stat(path, &st), -1);
    need(&f, "CREATE TABLE t (a)");
    need(&f, "INSERT INTO t VALUES ('kept')");
    assert_ok(copy_out(&f, "shop", path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(copy_out(&f, "shop", path), HOB_E_CONFLICT);
    assert_ok(ask_json(&f, "other", "[{\"sql\":\"CREATE TABLE mine (a)\"},{\"sql\":\"CREATE TABLE t (b)\"}]",
                       false));
    assert_ok(put_in(&f, "other", path));
    assert_int_equal(stat(path, &st), -1);
    assert_ok(ask_json(
        &f, "other", "[{\"sql\":\"SELECT a FROM t\"},{\"sql\":\"SELECT name FROM sqlite_schema\"}]", false));
    assert_true(has(&f, "kept"));
    assert_false(has(&f, "mine"));
    assert_ok(ask_json(&f, "other", "[{\"sql\":\"INSERT INTO t VALUES (2)\"}]", false));
    need(&f, "INSERT INTO t VALUES (3)");
    need(&f, "SELECT count(*) FROM t");
    assert_true(has(&f, "[[2]]"));
    tear_down(&f);
}

static void a_file_that_is_no_whole_database_is_not_put_in_place(void **state)
{
    static const char *const bad[] = {"", "hello", "SQLite format 3",
                                      "SQLite format 3\0\x10\0garbage behind the head"};
    static const size_t bytes[] = {0, 5, 15, 40};
    struct fixture f;
    struct hob_err err;
    char path[100];
    set_up(&f, state);
    (void)snprintf(path, sizeof path, "%s/file", f.h->dir);
    need(&f, "CREATE TABLE t (a, b)");
    need(&f, "CREATE INDEX by_a ON t (a)");
    need(&f, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
             " INSERT INTO t SELECT i, hex(randomblob(20)) FROM n");
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        assert_ok(hob_write_file(path, hob_str_n(bad[i], bytes[i]), 0600, &err));
        assert_int_equal(put_in(&f, "shop", path), HOB_E_INVALID);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(put_in(&f, "shop", path), HOB_E_NOT_FOUND);
    assert_ok(copy_out(&f, "shop", path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    hob_auto_free char *noise = hob_calloc(1, 8192);
    memset(noise, 'Z', 8192);
    assert_int_equal(pwrite(fd, noise, 8192, 16384), 8192);
    (void)close(fd);
    assert_int_equal(put_in(&f, "shop", path), HOB_E_INVALID);
    assert_contains(f.err.msg, "damaged");
    need(&f, "SELECT count(*) FROM t");
    assert_true(has(&f, "[[2000]]")); /* what was there stays */
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_and_parameters_come_back_as_they_went, home_make, home_drop),
        cmocka_unit_test_setup_teardown(a_call_is_all_or_nothing, home_make, home_drop),
        cmocka_unit_test_setup_teardown(no_other_file_and_no_setting_can_be_reached, home_make, home_drop),
        cmocka_unit_test_setup_teardown(what_takes_too_long_or_too_much_is_stopped, home_make, home_drop),
        cmocka_unit_test_setup_teardown(malformed_calls_are_refused, home_make, home_drop),
        cmocka_unit_test_setup_teardown(apps_have_files_of_their_own_and_few_stay_open, home_make, home_drop),
        cmocka_unit_test_setup_teardown(a_copy_of_the_file_takes_the_place_of_another_while_that_is_open,
                                        home_make, home_drop),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_whole_database_is_not_put_in_place, home_make,
                                        home_drop),
        cmocka_unit_test_setup_teardown(a_full_line_refuses_and_a_stop_tells_who_waits, home_make, home_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
