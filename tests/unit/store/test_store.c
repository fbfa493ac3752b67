#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "home.h"
#include "store/rows.h"

/* --- helpers --- */

static struct store *open_store(struct home *h)
{
    struct hob_err err = {0};
    struct store *s = store_open(&h->loop, home_path(h, "hob.db"), &err);
    if (!s)
        print_error("%s\n", err.msg);
    assert_non_null(s);
    return s;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_store(struct home *h, struct store *s)
{
    bool is_closed = false;
    store_close(s, on_closed, &is_closed);
    assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
    assert_true(is_closed);
}

static void refuse_open(struct home *h, const char *reason, const char *part)
{
    struct hob_err err = {0};
    assert_null(store_open(&h->loop, home_path(h, "hob.db"), &err));
    assert_string_equal(hob_err_reason(&err), reason);
    assert_contains(err.msg, part);
}

/* Straight to the file, as an operator with a database shell would. */
static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *msg = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &msg);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", sql, msg);
    assert_int_equal(rc, SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct put {
    char name[32];
    size_t value_n; /* > 0: that many bytes of value */
    bool fails;
    enum hob_code code; /* told */
    int told;
    int *counter;
};

static enum hob_code work_put(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct put *p = ctx;
    hob_auto_free char *value = hob_calloc(p->value_n + 2, 1);
    memset(value, 'x', p->value_n + 1);
    if (store_meta_put(tx, p->name, value, err) != HOB_OK)
        return err->code;
    return p->fails ? hob_fail(err, HOB_E_CONFLICT, "wanted") : HOB_OK;
}

static void on_put(void *ctx, const struct hob_err *err)
{
    struct put *p = ctx;
    p->code = err ? err->code : HOB_OK;
    p->told++;
    if (p->counter)
        (*p->counter)++;
}

static enum hob_code ignore_value(void *ctx, const char *value, struct hob_err *err)
{
    (void)value;
    (void)err;
    *(bool *)ctx = true;
    return HOB_OK;
}

struct look {
    const char *name;
    bool is_there;
    int told;
};

static enum hob_code work_look(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct look *l = ctx;
    enum hob_code rc = store_meta_get(tx, l->name, ignore_value, &l->is_there, err);
    return rc == HOB_E_NOT_FOUND ? HOB_OK : rc;
}

static void on_look(void *ctx, const struct hob_err *err)
{
    assert_null(err);
    ((struct look *)ctx)->told++;
}

static bool has(struct store *s, const char *name)
{
    struct hob_err err;
    struct look l = {.name = name};
    assert_ok(store_read_now(s, work_look, &l, &err));
    return l.is_there;
}

static enum hob_code put_now(struct store *s, const char *name, size_t value_n, struct hob_err *err)
{
    struct put p = {.value_n = value_n};
    (void)snprintf(p.name, sizeof p.name, "%s", name);
    return store_write_now(s, work_put, &p, err);
}

/* --- life --- */

static void an_empty_folder_gets_a_private_database_that_opens_again_with_what_was_written(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    struct store *s = open_store(h);
    struct stat st;
    assert_int_equal(stat(home_path(h, "hob.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(home_path(h, "hob.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(store_stats(s).schema_version >= 1);
    assert_ok(put_now(s, "kept", 0, &err));
    close_store(h, s);
    assert_int_equal(stat(home_path(h, "hob.db-wal"), &st), -1); /* folded into the file */
    s = open_store(h);
    assert_true(has(s, "kept"));
    assert_false(has(s, "never"));
    close_store(h, s);
}

static void what_is_queued_before_close_is_done_and_what_comes_after_is_refused(void **state)
{
    struct home *h = *state;
    struct store *s = open_store(h);
    struct put before = {.name = "before"}, after = {.name = "after"};
    bool is_closed = false;
    store_write(s, work_put, on_put, &before);
    store_close(s, on_closed, &is_closed);
    store_write(s, work_put, on_put, &after);
    assert_int_equal(before.told + after.told, 0); /* never from inside the call */
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    assert_int_equal(before.told, 1);
    assert_int_equal(before.code, HOB_OK);
    assert_int_equal(after.told, 1);
    assert_int_equal(after.code, HOB_E_UNAVAILABLE);
    s = open_store(h);
    assert_true(has(s, "before"));
    assert_false(has(s, "after"));
    close_store(h, s);
}

static void a_read_after_a_writes_answer_sees_the_write(void **state)
{
    struct home *h = *state;
    struct store *s = open_store(h);
    for (int i = 0; i < 50; i++) {
        struct put p = {.told = 0};
        (void)snprintf(p.name, sizeof p.name, "n%d", i);
        struct look l = {.name = p.name};
        store_write(s, work_put, on_put, &p);
        while (!p.told)
            (void)uv_run(&h->loop, UV_RUN_ONCE);
        store_read(s, work_look, on_look, &l);
        while (!l.told)
            (void)uv_run(&h->loop, UV_RUN_ONCE);
        assert_true(l.is_there);
    }
    close_store(h, s);
}

/* --- groups --- */

static void a_failing_job_rolls_back_alone_in_its_group(void **state)
{
    struct home *h = *state;
    struct store *s = open_store(h);
    enum { N = 40 };
    struct put puts[N];
    for (int i = 0; i < N; i++) {
        puts[i] = (struct put){.fails = i % 4 == 1};
        (void)snprintf(puts[i].name, sizeof puts[i].name, "n%d", i);
        store_write(s, work_put, on_put, &puts[i]);
    }
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < N; i++) {
        assert_int_equal(puts[i].told, 1);
        assert_int_equal(puts[i].code, i % 4 == 1 ? HOB_E_CONFLICT : HOB_OK);
        assert_int_equal(has(s, puts[i].name), i % 4 != 1);
    }
    assert_int_equal(store_stats(s).jobs_failed, N / 4);
    close_store(h, s);
}

static void many_waiting_jobs_share_few_commits(void **state)
{
    struct home *h = *state;
    struct store *s = open_store(h);
    enum { N = 1000 };
    struct put *puts = hob_new_n(struct put, N);
    for (int i = 0; i < N; i++) {
        (void)snprintf(puts[i].name, sizeof puts[i].name, "n%d", i);
        store_write(s, work_put, on_put, &puts[i]);
    }
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    struct store_stats st = store_stats(s);
    assert_int_equal(st.jobs, N);
    assert_in_range(st.commits, 4, N / 10); /* 256 a group */
    for (int i = 0; i < N; i++)
        assert_int_equal(puts[i].code, HOB_OK);
    assert_true(has(s, "n999"));
    free(puts);
    close_store(h, s);
}

static void the_log_does_not_grow_without_bound(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    struct store *s = open_store(h);
    struct stat st;
    for (int i = 0; i < 300; i++)
        assert_ok(put_now(s, "same", 200000, &err)); /* 60 MB through the log */
    assert_int_equal(stat(home_path(h, "hob.db-wal"), &st), 0);
    assert_in_range(st.st_size, 1, 24 << 20);
    close_store(h, s);
}

/* --- what is not ours, or not well --- */

static void a_database_of_a_newer_program_is_refused(void **state)
{
    struct home *h = *state;
    close_store(h, open_store(h));
    run_sql(home_path(h, "hob.db"), "INSERT INTO schema_migrations VALUES (99, 'x', 0)");
    refuse_open(h, "store_newer", "newer Hob");
}

static void a_database_whose_migrations_differ_is_refused(void **state)
{
    struct home *h = *state;
    close_store(h, open_store(h));
    run_sql(home_path(h, "hob.db"), "UPDATE schema_migrations SET checksum = 'other' WHERE version = 1");
    refuse_open(h, "store_differs", "differs");
}

static void a_database_of_another_program_is_refused_and_left_alone(void **state)
{
    struct home *h = *state;
    run_sql(home_path(h, "hob.db"), "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    refuse_open(h, "conflict", "another program");
    run_sql(home_path(h, "hob.db"), "UPDATE theirs SET x = 2");
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    assert_ok(hob_write_file(home_path(h, "hob.db"), hob_str_n(junk, sizeof junk), 0600, &err));
    refuse_open(h, "store_damaged", "hob backup");
}

static void damaged_pages_are_found_at_start_and_the_message_says_what_to_do(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    struct store *s = open_store(h);
    char name[16];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        assert_ok(put_now(s, name, 500, &err));
    }
    close_store(h, s);
    int fd = open(home_path(h, "hob.db"), O_RDWR | O_CLOEXEC);
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 4 * 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    assert_int_equal(close(fd), 0);
    refuse_open(h, "store_damaged", "hob backup");
}

static void a_folder_that_cannot_be_written_is_told(void **state)
{
    struct home *h = *state;
    struct hob_err err = {0};
    assert_null(store_open(&h->loop, "/nonexistent/hob.db", &err));
    assert_contains(err.msg, "/nonexistent/hob.db");
}

static void a_database_held_by_another_process_is_told_not_waited_for_for_ever(void **state)
{
    struct home *h = *state;
    int ready[2];
    close_store(h, open_store(h));
    assert_int_equal(pipe(ready), 0);
    const char *path = home_path(h, "hob.db");
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db = NULL;
        (void)sqlite3_open(path, &db);
        (void)sqlite3_exec(db,
                           "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO meta VALUES('x','y')",
                           NULL, NULL, NULL);
        (void)!write(ready[1], "r", 1);
        (void)pause();
        _exit(0);
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    uint64_t before = hob_now_ms();
    refuse_open(h, "store_locked", "another process");
    assert_in_range(hob_now_ms() - before, 0, 20000);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* --- backup --- */

static void a_backup_taken_while_writing_is_whole_private_and_opens(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    struct store *s = open_store(h);
    struct put puts[100], backup = {.name = "backup"}, again = {.name = "again"};
    assert_ok(put_now(s, "before", 100000, &err));
    char copy[160];
    (void)snprintf(copy, sizeof copy, "%s/copy.db", h->dir);
    store_backup(s, copy, on_put, &backup);
    for (int i = 0; i < 100; i++) {
        puts[i] = (struct put){.value_n = 1000};
        (void)snprintf(puts[i].name, sizeof puts[i].name, "n%d", i);
        store_write(s, work_put, on_put, &puts[i]);
    }
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(backup.code, HOB_OK);
    store_backup(s, copy, on_put, &again);
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(again.code, HOB_E_CONFLICT);
    close_store(h, s);
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    s = store_open(&h->loop, copy, &err);
    assert_non_null(s);
    assert_true(has(s, "before"));
    close_store(h, s);
}

static void a_backup_to_nowhere_fails_and_the_store_goes_on(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    struct store *s = open_store(h);
    struct put backup = {.name = "backup"};
    store_backup(s, "/nonexistent/copy.db", on_put, &backup);
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_not_equal(backup.code, HOB_OK);
    assert_ok(put_now(s, "after", 0, &err));
    close_store(h, s);
}

/* --- crash --- */

struct writer_state {
    struct store *s;
    int ack;
    uint32_t next;
    struct put slots[8];
    uint32_t numbers[8];
};

static struct writer_state writing;

static void on_written(void *ctx, const struct hob_err *err);

static void write_next(size_t slot)
{
    struct put *p = &writing.slots[slot];
    writing.numbers[slot] = writing.next;
    (void)snprintf(p->name, sizeof p->name, "w%u", writing.next++);
    store_write(writing.s, work_put, on_written, p);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    size_t slot = (size_t)((struct put *)ctx - writing.slots);
    if (err || write(writing.ack, &writing.numbers[slot], sizeof(uint32_t)) != sizeof(uint32_t))
        _exit(3);
    write_next(slot);
}

/* The child of the test below: writes for ever, eight at a time, and tells each number only when acknowledged. */
static void write_for_ever(const char *path, int ack, uint32_t from)
{
    struct hob_err err;
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0 || !(writing.s = store_open(&loop, path, &err)))
        _exit(2);
    writing.ack = ack;
    writing.next = from;
    for (size_t i = 0; i < HOB_COUNT(writing.slots); i++)
        write_next(i);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    _exit(4);
}

static void kill_9_at_any_moment_loses_nothing_acknowledged(void **state)
{
    struct home *h = *state;
    enum { ROUNDS = 25 };
    static uint32_t acknowledged[1 << 20];
    size_t n = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fds[2];
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        const char *path = home_path(h, "hob.db");
        pid_t child = fork();
        if (child == 0)
            write_for_ever(path, fds[1], round * 1000000);
        (void)close(fds[1]);
        struct pollfd first = {.fd = fds[0], .events = POLLIN}; /* it has begun, however slow the machine */
        assert_int_equal(poll(&first, 1, 60000), 1);
        (void)usleep((round * 7919) % 60000);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (n < HOB_COUNT(acknowledged) &&
               read(fds[0], &acknowledged[n], sizeof(uint32_t)) == sizeof(uint32_t))
            n++;
        (void)close(fds[0]);
    }
    assert_true(n >= ROUNDS);
    struct store *s = open_store(h);
    struct hob_err err;
    for (size_t i = 0; i < n; i += 1 + n / 5000) { /* a sample of the many, and every last one of a round */
        char name[16];
        (void)snprintf(name, sizeof name, "w%u", acknowledged[i]);
        struct look l = {.name = name};
        assert_ok(store_read_now(s, work_look, &l, &err));
        if (!l.is_there)
            fail_msg("%s was acknowledged and is lost", name);
    }
    close_store(h, s);
}

/* --- full disk --- */

static void a_full_disk_is_told_and_the_store_goes_on_when_there_is_room(void **state)
{
    struct home *h = *state;
    char dir[128], path[160], filler[160];
    (void)snprintf(dir, sizeof dir, "%s/small", h->dir);
    (void)snprintf(path, sizeof path, "%s/hob.db", dir);
    (void)snprintf(filler, sizeof filler, "%s/filler", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    if (mount("none", dir, "tmpfs", 0, "size=3m") < 0) {
        print_message("SKIPPED: a full disk needs root to mount a small tmpfs (%s)\n", strerror(errno));
        skip();
    }
    struct hob_err err = {0};
    struct store *s = store_open(&h->loop, path, &err);
    assert_non_null(s);
    assert_ok(put_now(s, "first", 1000, &err));
    int fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static char block[4096];
    while (write(fd, block, sizeof block) > 0)
        ;
    struct put puts[20];
    for (int i = 0; i < 20; i++) { /* too large for what is left, in one group and alone */
        puts[i] = (struct put){.value_n = 100000};
        (void)snprintf(puts[i].name, sizeof puts[i].name, "big%d", i);
        store_write(s, work_put, on_put, &puts[i]);
    }
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(put_now(s, "big", 200000, &err), HOB_E_NO_SPACE);
    assert_contains(err.msg, "disk is full");
    assert_true(has(s, "first"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(close(fd), 0);
    assert_ok(put_now(s, "after", 200000, &err));
    for (int i = 0; i < 20; i++)
        assert_int_equal(has(s, puts[i].name), puts[i].code == HOB_OK);
    close_store(h, s);
    s = store_open(&h->loop, path, &err);
    assert_non_null(s);
    assert_true(has(s, "first") && has(s, "after"));
    assert_false(has(s, "big"));
    close_store(h, s);
    assert_int_equal(umount(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_make, home_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_folder_gets_a_private_database_that_opens_again_with_what_was_written),
        TEST(what_is_queued_before_close_is_done_and_what_comes_after_is_refused),
        TEST(a_read_after_a_writes_answer_sees_the_write),
        TEST(a_failing_job_rolls_back_alone_in_its_group),
        TEST(many_waiting_jobs_share_few_commits),
        TEST(the_log_does_not_grow_without_bound),
        TEST(a_database_of_a_newer_program_is_refused),
        TEST(a_database_whose_migrations_differ_is_refused),
        TEST(a_database_of_another_program_is_refused_and_left_alone),
        TEST(a_file_that_is_no_database_is_refused),
        TEST(damaged_pages_are_found_at_start_and_the_message_says_what_to_do),
        TEST(a_folder_that_cannot_be_written_is_told),
        TEST(a_database_held_by_another_process_is_told_not_waited_for_for_ever),
        TEST(a_backup_taken_while_writing_is_whole_private_and_opens),
        TEST(a_backup_to_nowhere_fails_and_the_store_goes_on),
        TEST(kill_9_at_any_moment_loses_nothing_acknowledged),
        TEST(a_full_disk_is_told_and_the_store_goes_on_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
