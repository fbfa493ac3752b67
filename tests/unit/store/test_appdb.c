#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "data_home.h"

/* --- helpers --- */

static enum hob_code count_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    (void)row;
    (void)err;
    ++*(int *)ctx;
    return HOB_OK;
}

static enum hob_code work_count(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct data_query q = {.class_name = "Thing", .limit = -1};
    *(int *)ctx = 0;
    return data_find(tx, &q, count_row, ctx, err);
}

static int count_of(struct pool *p, const char *app)
{
    int n = -1;
    assert_job(p, pool_run_on(p, false, app, work_count, &n));
    return n;
}

static enum hob_code put_to(struct pool *p, const char *app, const char *id, const char *doc)
{
    struct put put = {.class_name = "Thing", .id = id, .doc = doc, .created_ms = 1};
    return pool_run_on(p, true, app, work_put, &put);
}

struct many {
    char id[24];
    bool fails;
    int told, runs;
    enum hob_code code;
    int *left;
};

static enum hob_code work_many(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct many *m = ctx;
    struct put put = {.class_name = "Thing", .id = m->id, .doc = "{\"n\":1}", .created_ms = 1};
    m->runs++;
    if (work_put(&put, tx, err) != HOB_OK)
        return err->code;
    return m->fails ? hob_fail(err, HOB_E_CANCELLED, "on purpose") : HOB_OK;
}

static void on_many(void *ctx, const struct hob_err *err)
{
    struct many *m = ctx;
    m->told++;
    m->code = err ? err->code : HOB_OK;
    --*m->left;
}

static void queue_many(struct pool *p, const char *app, struct many *list, int n, int *left)
{
    *left += n;
    for (int i = 0; i < n; i++) {
        list[i].left = left;
        (void)snprintf(list[i].id, sizeof list[i].id, "m%d", i);
        appdb_write(p->a, app, work_many, on_many, &list[i]);
        assert_int_equal(list[i].told, 0); /* never from inside the call */
    }
}

static void wait_until(struct pool *p, const int *left)
{
    while (*left > 0)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
}

/* --- jobs --- */

static enum hob_code work_wait(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)tx;
    (void)err;
    uv_sem_wait(ctx);
    return HOB_OK;
}

static void a_failing_job_rolls_back_alone_in_its_group(void **state)
{
    struct pool *p = *state;
    enum { N = 100 };
    static struct many jobs[N];
    int left = 0;
    uv_sem_t all_queued;
    struct waited first = {false, &p->err};
    assert_int_equal(uv_sem_init(&all_queued, 0), 0);
    struct wrapped wait = {first, work_wait, &all_queued};
    appdb_write(p->a, APP, pool_work, pool_on_done, &wait);
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < N; i++)
        jobs[i].fails = i % 3 == 1;
    queue_many(p, APP, jobs, N, &left);
    uv_sem_post(&all_queued);
    uv_sem_post(&all_queued); /* others may have come into its group: then it runs again with them */
    wait_until(p, &left);
    uv_sem_destroy(&all_queued);
    int good = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(jobs[i].told, 1);
        assert_int_equal(jobs[i].code, jobs[i].fails ? HOB_E_CANCELLED : HOB_OK);
        good += !jobs[i].fails;
    }
    assert_int_equal(count_of(p, APP), good);
    struct appdbs_stats s = appdbs_stats(p->a);
    assert_true(s.commits == 1 || s.commits == 2); /* all together, but for the one that waited */
    assert_int_equal(s.jobs_failed, N - good);
}

/* A job of three parts: the middle one fails, before or behind its write. */
struct parts {
    int left;
    bool fails_behind, fails_itself;
    char id[32];
    enum hob_code told;
    int runs;
};

static enum hob_code work_part(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct parts *p = ctx;
    struct put put = {.class_name = "Thing", .id = p->id, .doc = "{\"n\":1}", .created_ms = 1};
    bool is_middle = p->id[0] == 'b';
    if (is_middle && !p->fails_behind)
        return hob_fail(err, HOB_E_CANCELLED, "before its write");
    if (work_put(&put, tx, err) != HOB_OK)
        return err->code;
    return is_middle ? hob_fail(err, HOB_E_CANCELLED, "behind its write") : HOB_OK;
}

static enum hob_code work_parts(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct parts *p = ctx;
    struct hob_err part;
    p->runs++;
    for (char c = 'a'; c <= 'c'; c++) {
        p->id[0] = c;
        enum hob_code rc = data_step(tx, work_part, p, &part);
        assert_int_equal(rc, c == 'b' ? HOB_E_CANCELLED : HOB_OK);
    }
    return p->fails_itself ? hob_fail(err, HOB_E_CANCELLED, "after all") : HOB_OK;
}

static void on_parts(void *ctx, const struct hob_err *err)
{
    struct parts *p = ctx;
    p->told = err ? err->code : HOB_OK;
    p->left = 0;
}

static void a_part_that_fails_leaves_nothing_and_the_others_stay(void **state)
{
    struct pool *p = *state;
    for (int round = 0; round < 40; round++) {
        struct parts list[6];
        int before = round ? count_of(p, APP) : 0, good = 0;
        for (int i = 0; i < 6; i++) {
            list[i] = (struct parts){
                .left = 1, .fails_behind = (round + i) % 3 == 0, .fails_itself = (round + i) % 4 == 3};
            (void)snprintf(list[i].id, sizeof list[i].id, "x-%d-%d", round, i);
            good += list[i].fails_itself ? 0 : 2;
            appdb_write(p->a, APP, work_parts, on_parts, &list[i]);
        }
        for (int i = 0; i < 6; i++) {
            wait_until(p, &list[i].left);
            assert_int_equal(list[i].told, list[i].fails_itself ? HOB_E_CANCELLED : HOB_OK);
            assert_in_range(list[i].runs, 1, 2);
        }
        assert_int_equal(count_of(p, APP), before + good);
    }
}

static void apps_do_not_see_each_other(void **state)
{
    struct pool *p = *state;
    assert_int_equal(put_to(p, "one", "a", "{}"), HOB_OK);
    assert_int_equal(put_to(p, "two", "b", "{}"), HOB_OK);
    assert_int_equal(put_to(p, "two", "c", "{}"), HOB_OK);
    assert_int_equal(count_of(p, "one"), 1);
    assert_int_equal(count_of(p, "two"), 2);
    assert_int_equal(count_of(p, "three"), 0);
    struct stat st;
    assert_int_equal(stat(home_path(p->h, "data/one.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(home_path(p->h, "data"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(home_path(p->h, "data/three.db"), &st), -1); /* reading makes no file */
}

static void a_read_after_a_writes_answer_sees_the_write(void **state)
{
    struct pool *p = *state;
    for (int i = 0; i < 60; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "n%d", i);
        assert_int_equal(put_to(p, APP, id, "{}"), HOB_OK);
        assert_int_equal(count_of(p, APP), i + 1);
    }
}

/* A read that stands on an old snapshot, and one queued behind a newer write on the same (only) thread. */
struct held_read {
    uv_sem_t has_begun, may_end;
};

static enum hob_code work_hold(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct held_read *held = ctx;
    int n = 0;
    if (work_count(&n, tx, err) != HOB_OK)
        return err->code;
    uv_sem_post(&held->has_begun);
    uv_sem_wait(&held->may_end);
    return HOB_OK;
}

static void a_read_does_not_join_a_snapshot_that_is_older_than_itself(void **state)
{
    struct pool *p = *state;
    struct held_read held;
    struct hob_err first_err, second_err, err = {0};
    int n = -1;
    char dir[100];
    pool_close(p->h, p->a);
    (void)snprintf(dir, sizeof dir, "%s/data", p->h->dir);
    p->a = appdbs_open(&(struct appdbs_options){.loop = &p->h->loop, .dir = dir, .readers = 1, .writers = 1},
                       &err);
    assert_non_null(p->a);
    assert_int_equal(put_to(p, APP, "before", "{}"), HOB_OK);
    assert_int_equal(uv_sem_init(&held.has_begun, 0) + uv_sem_init(&held.may_end, 0), 0);
    struct wrapped first = {{false, &first_err}, work_hold, &held},
                   second = {{false, &second_err}, work_count, &n};
    appdb_read(p->a, APP, pool_work, pool_on_done, &first);
    uv_sem_wait(&held.has_begun);
    assert_int_equal(put_to(p, APP, "after", "{}"), HOB_OK);
    appdb_read(p->a, APP, pool_work, pool_on_done, &second);
    uv_sem_post(&held.may_end);
    while (!first.waited.is_done || !second.waited.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    assert_int_equal(second_err.code, HOB_OK);
    assert_int_equal(n, 2);
    uv_sem_destroy(&held.has_begun);
    uv_sem_destroy(&held.may_end);
}

static void what_is_queued_before_close_is_done_and_what_comes_after_is_refused(void **state)
{
    struct pool *p = *state;
    static struct many before[50], after;
    int left = 0;
    bool is_closed = false;
    memset(before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    queue_many(p, APP, before, 50, &left);
    appdbs_close(p->a, pool_on_closed, &is_closed);
    queue_many(p, APP, &after, 1, &left);
    while (!is_closed)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    assert_int_equal(left, 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(before[i].code, HOB_OK);
    assert_int_equal(after.code, HOB_E_UNAVAILABLE);
    p->a = pool_open(p->h, 0);
    assert_int_equal(count_of(p, APP), 50);
}

static void a_full_queue_is_told_as_busy(void **state)
{
    struct pool *p = *state;
    enum { N = HOB_MAX_DATA_QUEUE + 2000 };
    struct many *jobs = hob_new_n(struct many, N);
    int left = 0, busy = 0;
    queue_many(p, APP, jobs, N, &left); /* the loop does not run meanwhile, but the threads do */
    wait_until(p, &left);
    for (int i = 0; i < N; i++) {
        assert_int_equal(jobs[i].told, 1);
        assert_true(jobs[i].code == HOB_OK || jobs[i].code == HOB_E_BUSY);
        busy += jobs[i].code == HOB_E_BUSY;
    }
    assert_int_equal(count_of(p, APP), N - busy);
    free(jobs);
}

/* --- open and closed databases --- */

static int count_open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void many_apps_need_few_open_files(void **state)
{
    struct pool *p = *state;
    pool_close(p->h, p->a);
    int before = count_open_files();
    p->a = pool_open(p->h, 8);
    enum { APPS = 60 };
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < APPS; i++) {
            char app[16], id[16];
            (void)snprintf(app, sizeof app, "app-%d", i);
            (void)snprintf(id, sizeof id, "r%d", round);
            assert_int_equal(put_to(p, app, id, "{}"), HOB_OK);
            assert_int_equal(count_of(p, app), round + 1);
            assert_true(appdbs_stats(p->a).open <= 9);
        }
    }
    struct appdbs_stats s = appdbs_stats(p->a);
    assert_true(s.opened >= 2 * APPS - 8 && s.closed >= s.opened - 9);
    assert_true(count_open_files() - before < 9 * 16 + 16);
}

static void apps_are_worked_on_side_by_side(void **state)
{
    struct pool *p = *state;
    enum { APPS = 20, N = 30 };
    static struct many jobs[APPS][N];
    int left = 0;
    memset(jobs, 0, sizeof jobs);
    pool_close(p->h, p->a);
    p->a = pool_open(p->h, 4); /* they are also pushed out while they work */
    for (int i = 0; i < APPS; i++) {
        char app[16];
        (void)snprintf(app, sizeof app, "app-%d", i);
        queue_many(p, app, jobs[i], N, &left);
    }
    wait_until(p, &left);
    for (int i = 0; i < APPS; i++) {
        char app[16];
        (void)snprintf(app, sizeof app, "app-%d", i);
        assert_int_equal(count_of(p, app), N);
    }
}

static void a_removed_app_leaves_nothing_and_begins_anew(void **state)
{
    struct pool *p = *state;
    static struct many jobs[20];
    int left = 0;
    struct hob_err gone_err = {.code = HOB_E_INTERNAL};
    struct waited gone = {false, &gone_err};
    memset(jobs, 0, sizeof jobs);
    queue_many(p, APP, jobs, 20, &left);
    appdb_remove(p->a, APP, pool_on_done, &gone); /* behind what is queued */
    wait_until(p, &left);
    while (!gone.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    assert_int_equal(gone_err.code, HOB_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(jobs[i].code, HOB_OK);
    assert_int_equal(access(home_path(p->h, "data/shop.db"), F_OK), -1);
    assert_int_equal(access(home_path(p->h, "data/shop.db-wal"), F_OK), -1);
    assert_int_equal(count_of(p, APP), 0);
    assert_int_equal(put_to(p, APP, "new", "{}"), HOB_OK);
    assert_int_equal(count_of(p, APP), 1);
    gone.is_done = false;
    appdb_remove(p->a, "never-was", pool_on_done, &gone);
    while (!gone.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    assert_int_equal(gone_err.code, HOB_OK);
}

/* --- news --- */

struct news {
    int64_t last;
    int calls;
};

static void on_changed(void *ctx, const char *app, int64_t sequence)
{
    struct news *n = ctx;
    assert_string_equal(app, APP);
    assert_true(sequence > n->last);
    n->last = sequence;
    n->calls++;
}

static void the_listener_hears_of_every_change(void **state)
{
    struct pool *p = *state;
    struct news n = {0};
    appdbs_watch(p->a, on_changed, &n);
    for (int i = 1; i <= 10; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "n%d", i);
        assert_int_equal(put_to(p, APP, id, "{}"), HOB_OK);
        while (n.last < i)
            (void)uv_run(&p->h->loop, UV_RUN_ONCE);
        assert_int_equal(n.last, i);
    }
    assert_int_not_equal(put_to(p, APP, "n1", "{}"), HOB_OK); /* a failed one is no news */
    (void)uv_run(&p->h->loop, UV_RUN_NOWAIT);
    assert_int_equal(n.calls, 10);
}

/* --- backup --- */

static void backup_to(struct pool *p, const char *path)
{
    struct waited w = {false, &p->err};
    appdb_backup(p->a, APP, path, pool_on_done, &w);
    while (!w.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
}

static void a_backup_is_a_whole_database_and_never_overwrites(void **state)
{
    struct pool *p = *state;
    char copy[160];
    (void)snprintf(copy, sizeof copy, "%s/copy.db", p->h->dir);
    assert_int_equal(put_to(p, APP, "a", "{}"), HOB_OK);
    backup_to(p, copy);
    assert_int_equal(p->err.code, HOB_OK);
    assert_int_equal(put_to(p, APP, "b", "{}"), HOB_OK);
    backup_to(p, copy);
    assert_int_equal(p->err.code, HOB_E_CONFLICT);
    backup_to(p, "/nonexistent/copy.db");
    assert_int_not_equal(p->err.code, HOB_OK);
    char place[160];
    (void)snprintf(place, sizeof place, "%s/data/restored.db", p->h->dir);
    assert_int_equal(rename(copy, place), 0);
    assert_int_equal(count_of(p, "restored"), 1);
    assert_int_equal(count_of(p, APP), 2);
}

/* --- damage and full disks --- */

static void damage(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof junk)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), (ssize_t)sizeof junk);
    assert_int_equal(close(fd), 0);
}

static void a_damaged_file_fails_its_app_only_and_a_repaired_one_works_at_once(void **state)
{
    struct pool *p = *state;
    char copy[160], place[160];
    (void)snprintf(copy, sizeof copy, "%s/copy.db", p->h->dir);
    (void)snprintf(place, sizeof place, "%s/data/shop.db", p->h->dir);
    assert_int_equal(put_to(p, APP, "a", "{}"), HOB_OK);
    assert_int_equal(put_to(p, "other", "a", "{}"), HOB_OK);
    backup_to(p, copy);
    pool_close(p->h, p->a);
    damage(place);
    p->a = pool_open(p->h, 0);
    int n = 0;
    assert_int_equal(pool_read(p, work_count, &n), HOB_E_INTERNAL);
    assert_string_equal(hob_err_reason(&p->err), "app_database_damaged");
    assert_contains(p->err.msg, "data/shop.db");
    assert_int_equal(put_to(p, APP, "b", "{}"), HOB_E_INTERNAL);
    assert_int_equal(count_of(p, "other"), 1);
    assert_int_equal(put_to(p, "other", "b", "{}"), HOB_OK);
    assert_int_equal(rename(copy, place), 0);
    assert_int_equal(count_of(p, APP), 1);
    assert_int_equal(put_to(p, APP, "b", "{}"), HOB_OK);
}

static void a_foreign_file_is_left_alone(void **state)
{
    struct pool *p = *state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/data/shop.db", p->h->dir);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(put_to(p, APP, "a", "{}"), HOB_E_CONFLICT);
    assert_contains(p->err.msg, "another program");
}

static void a_full_disk_is_told_and_the_app_goes_on_when_there_is_room(void **state)
{
    struct pool *p = *state;
    char dir[128], filler[160];
    (void)snprintf(dir, sizeof dir, "%s/data", p->h->dir);
    (void)snprintf(filler, sizeof filler, "%s/filler", dir);
    pool_close(p->h, p->a);
    p->a = NULL;
    if (mount("none", dir, "tmpfs", 0, "size=3m") < 0) {
        print_message("SKIPPED: a full disk needs root to mount a small tmpfs (%s)\n", strerror(errno));
        skip();
    }
    p->a = pool_open(p->h, 0);
    assert_int_equal(put_to(p, APP, "first", "{}"), HOB_OK);
    int fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static char block[4096];
    while (write(fd, block, sizeof block) > 0)
        ;
    char *big = hob_calloc(300000, 1);
    memset(big, 'x', 299990);
    memcpy(big, "{\"a\":\"", 6);
    (void)snprintf(big + 299000, 10, "\"}");
    assert_int_equal(put_to(p, APP, "big", big), HOB_E_NO_SPACE);
    assert_contains(p->err.msg, "disk is full");
    assert_int_equal(count_of(p, APP), 1);
    static struct many jobs[30];
    int left = 0, good = 0;
    memset(jobs, 0, sizeof jobs);
    queue_many(p, APP, jobs, 30, &left); /* in one group, and each again alone */
    wait_until(p, &left);
    for (int i = 0; i < 30; i++)
        good += jobs[i].code == HOB_OK;
    assert_int_equal(count_of(p, APP), 1 + good);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(put_to(p, APP, "big", big), HOB_OK);
    assert_int_equal(count_of(p, APP), 2 + good);
    pool_close(p->h, p->a);
    p->a = pool_open(p->h, 0);
    assert_int_equal(count_of(p, APP), 2 + good);
    pool_close(p->h, p->a);
    p->a = NULL;
    free(big);
    assert_int_equal(umount(dir), 0);
}

/* --- crash: pairs of objects are written in one job each; whatever was acknowledged is there, and a pair is whole --- */

struct pair_job {
    uint32_t n;
};
static struct {
    struct appdbs *a;
    int ack;
    uint32_t next;
    struct pair_job slots[8];
} writing;

static enum hob_code work_pair(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    uint32_t n = ((struct pair_job *)ctx)->n;
    char a[24], b[24], doc[64];
    (void)snprintf(a, sizeof a, "a%u", n);
    (void)snprintf(b, sizeof b, "b%u", n);
    (void)snprintf(doc, sizeof doc, "{\"n\":%u,\"pad\":\"some bytes more\"}", n);
    struct data_row row = {.id = hob_str(a), .created_ms = n, .updated_ms = n, .doc = hob_str(doc)};
    if (pool_make_class(tx, "Thing", err) != HOB_OK || data_insert(tx, "Thing", &row, err) != HOB_OK)
        return err->code;
    row.id = hob_str(b);
    row.doc = HOB_STR("{}");
    if (data_insert(tx, "Thing", &row, err) != HOB_OK)
        return err->code;
    row.doc = HOB_STR("{\"done\":true}");
    return data_replace(tx, "Thing", &row, err);
}

static void on_pair(void *ctx, const struct hob_err *err);

static void write_next(struct pair_job *slot)
{
    slot->n = writing.next++;
    appdb_write(writing.a, APP, work_pair, on_pair, slot);
}

static void on_pair(void *ctx, const struct hob_err *err)
{
    struct pair_job *slot = ctx;
    if (err || write(writing.ack, &slot->n, sizeof slot->n) != sizeof slot->n)
        _exit(3);
    write_next(slot);
}

/* The child: writes for ever, eight at a time, and tells each number only when acknowledged. */
static void write_for_ever(const char *dir, int ack, uint32_t from)
{
    struct hob_err err;
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0)
        _exit(2);
    writing.a = appdbs_open(&(struct appdbs_options){.loop = &loop, .dir = dir}, &err);
    if (!writing.a)
        _exit(2);
    writing.ack = ack;
    writing.next = from;
    for (size_t i = 0; i < HOB_COUNT(writing.slots); i++)
        write_next(&writing.slots[i]);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    _exit(4);
}

enum { ROUNDS = 12, ACKS_MAX = 100000 };
struct crash {
    uint32_t acks[ACKS_MAX];
    size_t n;
    int64_t last_sequence;
    size_t creates, updates;
};

/* Reads as many acknowledgements as the round wants, kills, and reads what was told until then. */
static void crash_once(struct home *h, struct crash *c, unsigned round)
{
    int fds[2];
    char dir[100];
    (void)snprintf(dir, sizeof dir, "%s/data", h->dir);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0)
        write_for_ever(dir, fds[1], round * 1000000);
    (void)close(fds[1]);
    unsigned wanted = round * round * 37 % 400;
    uint32_t number;
    for (unsigned i = 0; i < wanted && read(fds[0], &number, sizeof number) == sizeof number; i++)
        c->acks[c->n++] = number;
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    while (c->n < ACKS_MAX && read(fds[0], &number, sizeof number) == sizeof number)
        c->acks[c->n++] = number;
    (void)close(fds[0]);
}

static enum hob_code on_logged(void *ctx, const struct data_change *change, struct hob_err *err)
{
    struct crash *c = ctx;
    want(change->sequence == c->last_sequence + 1); /* no gap: every number is one change */
    c->last_sequence = change->sequence;
    c->creates += change->op == 'c';
    c->updates += change->op == 'u';
    return HOB_OK;
}

static enum hob_code work_check(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct crash *c = ctx;
    int rows = 0;
    for (size_t i = 0; i < c->n; i++) {
        char a[24], b[24];
        bool has_a = false, has_b = false;
        (void)snprintf(a, sizeof a, "a%u", c->acks[i]);
        (void)snprintf(b, sizeof b, "b%u", c->acks[i]);
        want(data_get(tx, "Thing", hob_str(a), NULL, NULL, NULL, &has_a, err) == HOB_OK);
        want(data_get(tx, "Thing", hob_str(b), NULL, NULL, NULL, &has_b, err) == HOB_OK);
        if (!has_a || !has_b)
            return hob_fail(err, HOB_E_INTERNAL, "%u was acknowledged and is lost", c->acks[i]);
    }
    hob_auto_json json_t *done = json_pack("{s:b}", "done", 1),
                         *first = json_pack("{s:{s:b}}", "n", "$exists", 1);
    uint64_t with_done = 0, with_n = 0;
    struct data_query q = {.class_name = "Thing", .where = done, .limit = -1};
    want(data_count(tx, &q, &with_done, err) == HOB_OK);
    q.where = first;
    want(data_count(tx, &q, &with_n, err) == HOB_OK);
    want(work_count(&rows, tx, err) == HOB_OK);
    want(with_done == with_n && (uint64_t)rows == with_done + with_n && with_n >= c->n); /* pairs are whole */
    want(data_changes(tx, 0, UINT64_MAX, on_logged, c, err) == HOB_OK);
    want(c->creates == (size_t)rows && c->updates == (size_t)with_done);
    return HOB_OK;
}

static void kill_9_at_any_moment_loses_nothing_and_halves_nothing(void **state)
{
    struct home *h = *state;
    struct crash *c = hob_new(struct crash);
    for (unsigned round = 0; round < ROUNDS; round++)
        crash_once(h, c, round);
    assert_true(c->n > 100);
    struct pool p = {.h = h, .a = pool_open(h, 0)};
    assert_job(&p, pool_read(&p, work_check, c));
    pool_close(h, p.a);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(a_failing_job_rolls_back_alone_in_its_group),
        T(a_part_that_fails_leaves_nothing_and_the_others_stay),
        T(apps_do_not_see_each_other),
        T(a_read_after_a_writes_answer_sees_the_write),
        T(a_read_does_not_join_a_snapshot_that_is_older_than_itself),
        T(what_is_queued_before_close_is_done_and_what_comes_after_is_refused),
        T(a_full_queue_is_told_as_busy),
        T(many_apps_need_few_open_files),
        T(apps_are_worked_on_side_by_side),
        T(a_removed_app_leaves_nothing_and_begins_anew),
        T(the_listener_hears_of_every_change),
        T(a_backup_is_a_whole_database_and_never_overwrites),
        T(a_damaged_file_fails_its_app_only_and_a_repaired_one_works_at_once),
        T(a_foreign_file_is_left_alone),
        T(a_full_disk_is_told_and_the_app_goes_on_when_there_is_room),
        cmocka_unit_test_setup_teardown(kill_9_at_any_moment_loses_nothing_and_halves_nothing, home_make,
                                        home_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
