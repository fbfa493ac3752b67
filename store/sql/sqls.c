/* The threads: apps that have work stand in one line; a thread takes the first, runs its oldest call, and puts it behind the
 * others when it has more. An app's connection is touched only by the thread that has it. */
#include "store/sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/map.h"
#include "store/sql/sql_priv.h"

#include "base/banned.h"

enum { THREADS = 2, OPEN_MAX = 32, STACK_BYTES = 2 << 20 };
enum work { WORK_ASK, WORK_CLOSE, WORK_BACKUP, WORK_REPLACE, WORK_REMOVE };

struct job {
    struct hob_node node; /* of the app's line, then of the finished ones */
    struct sql_app *app;
    enum work work;
    json_t *statements;
    bool is_script;
    struct hob_buf *out;
    char *path; /* of a backup, of a replacement */
    struct hob_err err;
    const char *dir;  /* the pool's */
    sql_done_cb done; /* NULL: nobody asked (a close) */
    void *ctx;
};

struct sql_app {
    char *name, *path;
    struct hob_node turn; /* in the line of apps with work */
    struct hob_list jobs; /* waiting */
    unsigned waiting;
    bool is_running; /* a thread has it */
    struct sql_db db;
    bool is_open;  /* as the loop knows it */
    uint64_t used; /* the turn of its last use */
    UT_hash_handle hh;
};

struct sqls {
    struct sqls_options o;
    char *dir;
    uv_mutex_t lock; /* line, finished, every app's jobs and is_running */
    uv_cond_t more;
    struct hob_list line, finished;
    uv_thread_t threads[8];
    unsigned threads_n;
    bool is_ending;
    uv_async_t wake;
    struct sql_app *apps; /* the loop's */
    unsigned open_n;
    uint64_t uses;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- on a thread --- */

/* `from` 1: the file itself stays. */
static void remove_files(struct sql_app *a, size_t from)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    sql_db_close(&a->db);
    for (size_t i = from; i < HOB_COUNT(tails); i++) {
        hob_auto_free char *path = hob_asprintf("%s%s", a->path, tails[i]);
        (void)unlink(path);
    }
}

static void work_ask(struct job *j)
{
    struct sql_db *db = &j->app->db;
    if (!db->h && sql_db_open(db, j->app->path, &j->err) != HOB_OK)
        return;
    if (sql_statements_run(db, j->statements, j->is_script, j->out, &j->err) == HOB_OK)
        j->err.code = HOB_OK;
}

static void work_backup(struct job *j)
{
    struct sql_db *db = &j->app->db;
    if (access(j->app->path, F_OK) < 0 && errno == ENOENT)
        (void)hob_fail(&j->err, HOB_E_NOT_FOUND, "the app has no database of env.sql");
    else if ((db->h || sql_db_open(db, j->app->path, &j->err) == HOB_OK) &&
             sql_db_copy(db, j->path, &j->err) == HOB_OK)
        j->err.code = HOB_OK;
}

static void work_replace(struct job *j)
{
    if (sql_file_judge(j->path, &j->err) != HOB_OK)
        return;
    remove_files(j->app, 1); /* its log is folded in, or is of what goes */
    if (rename(j->path, j->app->path) < 0)
        (void)hob_fail_errno(&j->err, errno, "putting the app's SQL database in place");
    else if (hob_fsync_dir(j->dir, &j->err) == HOB_OK)
        j->err.code = HOB_OK;
}

static void work(struct job *j)
{
    j->err = (struct hob_err){0};
    if (j->work == WORK_ASK)
        work_ask(j);
    else if (j->work == WORK_CLOSE)
        sql_db_close(&j->app->db);
    else if (j->work == WORK_BACKUP)
        work_backup(j);
    else if (j->work == WORK_REPLACE)
        work_replace(j);
    else
        remove_files(j->app, 0);
}

static void thread_main(void *arg)
{
    struct sqls *s = arg;
    uv_mutex_lock(&s->lock);
    for (;;) {
        while (hob_list_is_empty(&s->line) && !s->is_ending)
            uv_cond_wait(&s->more, &s->lock);
        struct hob_node *n = hob_list_first(&s->line);
        if (!n)
            break;
        struct sql_app *a = HOB_CONTAINER_OF(n, struct sql_app, turn);
        struct job *j = HOB_CONTAINER_OF(hob_list_first(&a->jobs), struct job, node);
        hob_list_remove(&a->turn);
        hob_list_remove(&j->node);
        a->waiting--;
        a->is_running = true;
        uv_mutex_unlock(&s->lock);
        work(j);
        uv_mutex_lock(&s->lock);
        a->is_running = false;
        if (!hob_list_is_empty(&a->jobs))
            hob_list_push_back(&s->line, &a->turn);
        hob_list_push_back(&s->finished, &j->node);
        (void)uv_async_send(&s->wake);
    }
    uv_mutex_unlock(&s->lock);
}

/* --- on the loop --- */

/* Locked. */
static void push(struct sqls *s, struct sql_app *a, struct job *j)
{
    hob_list_push_back(&a->jobs, &j->node);
    a->waiting++;
    if (!a->is_running && !hob_node_is_linked(&a->turn)) {
        hob_list_push_back(&s->line, &a->turn);
        uv_cond_signal(&s->more);
    }
}

static struct sql_app *app_ensure(struct sqls *s, const char *name)
{
    struct sql_app *a;
    HASH_FIND_STR(s->apps, name, a);
    if (a)
        return a;
    a = hob_new(struct sql_app);
    a->name = hob_strdup(name);
    a->path = hob_asprintf("%s/%s.sql.db", s->dir, name);
    hob_list_init(&a->jobs);
    a->db.time_ms = s->o.time_ms;
    HASH_ADD_KEYPTR(hh, s->apps, a->name, strlen(a->name), a);
    return a;
}

static void app_free(struct sqls *s, struct sql_app *a)
{
    HASH_DEL(s->apps, a);
    sql_db_close(&a->db);
    free(a->name);
    free(a->path);
    free(a);
}

static bool is_idle(struct sqls *s, const struct sql_app *a)
{
    uv_mutex_lock(&s->lock);
    bool idle = !a->is_running && a->waiting == 0;
    uv_mutex_unlock(&s->lock);
    return idle;
}

/* Too many are open: the one that was unused for the longest is closed, by a thread. */
static void close_one(struct sqls *s)
{
    struct sql_app *a = NULL, *tmp = NULL, *oldest = NULL;
    HASH_ITER(hh, s->apps, a, tmp)
    {
        if (a->is_open && (!oldest || a->used < oldest->used) && is_idle(s, a))
            oldest = a;
    }
    if (!oldest)
        return;
    struct job *j = hob_new(struct job);
    *j = (struct job){.app = oldest, .work = WORK_CLOSE};
    oldest->is_open = false;
    s->open_n--;
    uv_mutex_lock(&s->lock);
    push(s, oldest, j);
    uv_mutex_unlock(&s->lock);
}

static void note_use(struct sqls *s, struct sql_app *a)
{
    a->used = ++s->uses;
    if (a->is_open)
        return;
    a->is_open = true;
    if (++s->open_n > s->o.open_max)
        close_one(s);
}

static void finish(struct sqls *s, struct job *j)
{
    struct sql_app *a = j->app;
    enum work what = j->work;
    json_decref(j->statements);
    free(j->path);
    if (j->done)
        j->done(j->ctx, j->err.code == HOB_OK ? NULL : &j->err);
    free(j);
    if (what == WORK_REMOVE && is_idle(s, a)) {
        if (a->is_open)
            s->open_n--;
        app_free(s, a);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct sqls *s = wake->data;
    struct hob_node *n;
    for (;;) {
        uv_mutex_lock(&s->lock);
        if ((n = hob_list_first(&s->finished)) != NULL)
            hob_list_remove(n);
        uv_mutex_unlock(&s->lock);
        if (!n)
            return;
        finish(s, HOB_CONTAINER_OF(n, struct job, node));
    }
}

/* --- door --- */

static struct job *job_new(struct sql_app *a, enum work what, sql_done_cb done, void *ctx)
{
    struct job *j = hob_new(struct job);
    *j = (struct job){.app = a, .work = what, .done = done, .ctx = ctx};
    return j;
}

void sql_ask(struct sqls *s, const char *app, json_t *statements, bool is_script, struct hob_buf *out,
             sql_done_cb done, void *ctx)
{
    struct sql_app *a = app_ensure(s, app);
    struct job *j = job_new(a, WORK_ASK, done, ctx);
    j->statements = json_incref(statements);
    j->is_script = is_script;
    j->out = out;
    note_use(s, a);
    uv_mutex_lock(&s->lock);
    bool is_full = a->waiting >= HOB_MAX_SQL_WAITING;
    if (!is_full)
        push(s, a, j);
    else
        hob_list_push_back(&s->finished, &j->node);
    uv_mutex_unlock(&s->lock);
    if (!is_full)
        return;
    (void)hob_fail(&j->err, HOB_E_BUSY, "%d calls of env.sql wait already for this app (sql.waiting)",
                   HOB_MAX_SQL_WAITING);
    (void)uv_async_send(&s->wake);
}

void sql_remove(struct sqls *s, const char *app, sql_done_cb done, void *ctx)
{
    struct sql_app *a = app_ensure(s, app);
    uv_mutex_lock(&s->lock);
    push(s, a, job_new(a, WORK_REMOVE, done, ctx));
    uv_mutex_unlock(&s->lock);
}

static void push_file(struct sqls *s, const char *app, struct job *j, const char *path)
{
    j->path = hob_strdup(path);
    j->dir = s->dir;
    note_use(s, app_ensure(s, app));
    uv_mutex_lock(&s->lock);
    push(s, j->app, j);
    uv_mutex_unlock(&s->lock);
}

void sql_backup(struct sqls *s, const char *app, const char *path, sql_done_cb done, void *ctx)
{
    push_file(s, app, job_new(app_ensure(s, app), WORK_BACKUP, done, ctx), path);
}

void sql_replace(struct sqls *s, const char *app, const char *path, sql_done_cb done, void *ctx)
{
    push_file(s, app, job_new(app_ensure(s, app), WORK_REPLACE, done, ctx), path);
}

static enum hob_code start_threads(struct sqls *s, unsigned n, struct hob_err *err)
{
    uv_thread_options_t o = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    for (; s->threads_n < n; s->threads_n++) {
        int rc = uv_thread_create_ex(&s->threads[s->threads_n], &o, thread_main, s);
        if (rc != 0)
            return hob_fail(err, HOB_E_UNAVAILABLE, "no thread for env.sql: %s", uv_strerror(rc));
    }
    return HOB_OK;
}

static void end_threads(struct sqls *s)
{
    uv_mutex_lock(&s->lock);
    s->is_ending = true;
    uv_cond_broadcast(&s->more);
    uv_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->threads_n; i++)
        (void)uv_thread_join(&s->threads[i]);
}

static void free_all(struct sqls *s)
{
    struct sql_app *a = NULL, *tmp = NULL;
    HASH_ITER(hh, s->apps, a, tmp)
    {
        app_free(s, a);
    }
    uv_cond_destroy(&s->more);
    uv_mutex_destroy(&s->lock);
    free(s->dir);
    free(s);
}

struct sqls *sqls_open(const struct sqls_options *o, struct hob_err *err)
{
    if (mkdir(o->dir, 0700) < 0 && errno != EEXIST) {
        (void)hob_fail_errno(err, errno, "making %s", o->dir);
        return NULL;
    }
    struct sqls *s = hob_new(struct sqls);
    s->o = *o;
    s->o.open_max = o->open_max ? o->open_max : OPEN_MAX;
    s->o.time_ms = o->time_ms ? o->time_ms : HOB_MAX_SQL_MS;
    s->dir = hob_strdup(o->dir);
    hob_list_init(&s->line);
    hob_list_init(&s->finished);
    HOB_ASSERT(uv_mutex_init(&s->lock) == 0 && uv_cond_init(&s->more) == 0);
    unsigned n = o->threads ? o->threads : THREADS;
    HOB_ASSERT(n <= HOB_COUNT(s->threads));
    if (start_threads(s, n, err) != HOB_OK) {
        end_threads(s);
        free_all(s);
        return NULL;
    }
    HOB_ASSERT(uv_async_init(o->loop, &s->wake, on_wake) == 0);
    s->wake.data = s;
    return s;
}

/* What waits is failed, so that only what runs is waited for. */
static void cancel_waiting(struct sqls *s)
{
    struct sql_app *a = NULL, *tmp = NULL;
    struct hob_node *n;
    uv_mutex_lock(&s->lock);
    HASH_ITER(hh, s->apps, a, tmp)
    {
        while ((n = hob_list_first(&a->jobs)) != NULL) {
            struct job *j = HOB_CONTAINER_OF(n, struct job, node);
            hob_list_remove(n);
            a->waiting--;
            (void)hob_fail(&j->err, HOB_E_CANCELLED, "the daemon is stopping");
            hob_list_push_back(&s->finished, n);
        }
        hob_list_remove(&a->turn);
    }
    uv_mutex_unlock(&s->lock);
}

static void on_closed(uv_handle_t *h)
{
    struct sqls *s = h->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    free_all(s);
    closed(ctx);
}

void sqls_close(struct sqls *s, void (*closed)(void *ctx), void *ctx)
{
    s->closed = closed;
    s->closed_ctx = ctx;
    cancel_waiting(s);
    end_threads(s);
    on_wake(&s->wake);
    uv_close((uv_handle_t *)&s->wake, on_closed);
}
