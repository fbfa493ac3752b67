/* The pool: queues by app, and the door. What its threads do stands in appdb_work.c, the files behind the apps in
 * appdb_file.c. */
#include "store/appdb.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/appdb_priv.h"

enum {
    OPEN_MAX = 64, /* databases */
    STACK_BYTES = 1024 * 1024,
};

/* --- queues (with the lock) --- */

struct app_job *app_job_pop(struct hob_list *list)
{
    struct hob_node *node = hob_list_first(list);
    if (!node)
        return NULL;
    hob_list_remove(node);
    return HOB_CONTAINER_OF(node, struct app_job, job.node);
}

static bool has_waiting_writes(const struct app *app)
{
    return !app->is_writing && !hob_list_is_empty(&app->writes) && !hob_node_is_linked(&app->ready_write);
}

static void wake_readers(struct app *app)
{
    struct appdbs *a = app->pool;
    if (app->is_blocked || hob_list_is_empty(&app->reads))
        return;
    if (!hob_node_is_linked(&app->ready_read))
        hob_list_push_back(&a->ready_reads, &app->ready_read);
    if (a->idle_readers)
        uv_cond_signal(&a->has_read);
}

/* Puts the app where the threads look, when it has work that nobody does; wakes one when there is one asleep. */
void app_wake(struct app *app)
{
    struct appdbs *a = app->pool;
    if (has_waiting_writes(app)) {
        hob_list_push_back(&a->ready_writes, &app->ready_write);
        if (a->idle_writers)
            uv_cond_signal(&a->has_write);
    }
    wake_readers(app);
}

void app_written(struct app *app)
{
    app->is_writing = false;
    if (has_waiting_writes(app)) /* for the thread that is here: it looks there next */
        hob_list_push_back(&app->pool->ready_writes, &app->ready_write);
    wake_readers(app);
}

void app_job_finish(struct appdbs *a, struct app_job *j)
{
    a->stats.jobs_failed += j->job.err.code != HOB_OK;
    if (j->job.err.code != HOB_OK)
        app_explain(j->app, &j->job.err);
    if (--a->pending == 0 && a->is_closing) {
        uv_cond_broadcast(&a->has_write);
        uv_cond_broadcast(&a->has_read);
    }
    if (!j->done) {
        if (j->kind == APP_JOB_INDEX)
            app_index_is_made(j->app);
        else if (j->kind == APP_JOB_SLOW)
            app_slow_is_stored(j->app);
        free(j);
        return;
    }
    bool was_empty = hob_list_is_empty(&a->finished);
    hob_list_push_back(&a->finished, &j->job.node);
    if (was_empty)
        (void)uv_async_send(&a->wake);
}

void app_job_queue(struct app *app, struct hob_list *list, struct app_job *j)
{
    j->app = app;
    j->ticket = ++app->pool->ticket;
    j->job.ctx = j;
    app->waiting++;
    app->pool->pending++;
    hob_list_push_back(list, &j->job.node);
    app_wake(app);
}

/* --- on the loop --- */

static void on_closed(uv_handle_t *handle)
{
    struct appdbs *a = handle->data;
    void (*closed)(void *ctx) = a->closed;
    void *ctx = a->closed_ctx;
    apps_free(a);
    uv_cond_destroy(&a->has_write);
    uv_cond_destroy(&a->has_read);
    uv_cond_destroy(&a->is_quiet);
    uv_mutex_destroy(&a->lock);
    free(a->writers);
    free(a->readers);
    free(a->dir);
    free(a);
    if (closed)
        closed(ctx);
}

static void join_threads(struct appdbs *a)
{
    for (unsigned i = 0; i < a->writers_n; i++)
        (void)uv_thread_join(&a->writers[i].thread);
    for (unsigned i = 0; i < a->readers_n; i++)
        (void)uv_thread_join(&a->readers[i].thread);
}

static void tell(struct appdbs *a, struct app_job *j)
{
    if (--a->queued == 0 && !a->is_closing)
        uv_unref((uv_handle_t *)&a->wake);
    j->done(j->ctx, j->job.err.code == HOB_OK ? NULL : &j->job.err);
    free(j);
}

static void tell_changes(struct appdbs *a)
{
    for (;;) {
        uv_mutex_lock(&a->lock);
        struct hob_node *node = hob_list_first(&a->changed);
        struct app *app = node ? HOB_CONTAINER_OF(node, struct app, changed) : NULL;
        int64_t to = app ? app->changed_to : 0;
        if (node)
            hob_list_remove(node);
        uv_mutex_unlock(&a->lock);
        if (!app)
            return;
        if (a->watch) /* apps are never freed before the pool is */
            a->watch(a->watch_ctx, app->name, to);
    }
}

/* Takes all that is finished at once: one lock for many jobs. */
static void on_wake(uv_async_t *async)
{
    struct appdbs *a = async->data;
    struct hob_list done;
    struct app_job *j;
    hob_list_init(&done);
    uv_mutex_lock(&a->lock);
    while ((j = app_job_pop(&a->finished)))
        hob_list_push_back(&done, &j->job.node);
    uv_mutex_unlock(&a->lock);
    while ((j = app_job_pop(&done)))
        tell(a, j);
    tell_changes(a);
    uv_mutex_lock(&a->lock);
    bool is_end = a->is_ended && hob_list_is_empty(&a->finished) && a->queued == 0;
    uv_mutex_unlock(&a->lock);
    if (is_end && !uv_is_closing((uv_handle_t *)async)) {
        join_threads(a);
        uv_close((uv_handle_t *)async, on_closed);
    }
}

static void refuse(struct appdbs *a, struct app_job *j)
{
    if (a->is_closing)
        (void)hob_fail(&j->job.err, HOB_E_UNAVAILABLE, "the store is closing; try again after the restart");
    else
        (void)hob_fail(&j->job.err, HOB_E_BUSY, "%d reads and writes of the app wait already; try again",
                       HOB_MAX_DATA_QUEUE);
    hob_list_push_back(&a->finished, &j->job.node);
    (void)uv_async_send(&a->wake);
}

static void queue(struct appdbs *a, const char *name, bool is_write, const struct app_job *spec)
{
    HOB_ASSERT(spec->done);
    struct app_job *j = hob_new(struct app_job);
    *j = *spec;
    if (a->queued++ == 0)
        uv_ref((uv_handle_t *)&a->wake);
    uv_mutex_lock(&a->lock);
    struct app *app = app_need(a, name);
    j->app = app;
    if (a->is_closing || app->waiting >= HOB_MAX_DATA_QUEUE)
        refuse(a, j);
    else
        app_job_queue(app, is_write ? &app->writes : &app->reads, j);
    uv_mutex_unlock(&a->lock);
}

/* --- opening and the door --- */

static struct pool_thread *start_threads(struct appdbs *a, unsigned n, uv_thread_cb entry)
{
    uv_thread_options_t o = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    struct pool_thread *list = hob_new_n(struct pool_thread, n);
    for (unsigned i = 0; i < n; i++) {
        list[i].pool = a;
        HOB_ASSERT(uv_thread_create_ex(&list[i].thread, &o, entry, &list[i]) == 0);
    }
    return list;
}

static void init(struct appdbs *a, uv_loop_t *loop)
{
    struct hob_list *const lists[] = {&a->ready_writes, &a->ready_reads, &a->finished, &a->used, &a->changed};
    for (size_t i = 0; i < HOB_COUNT(lists); i++)
        hob_list_init(lists[i]);
    HOB_ASSERT(uv_mutex_init(&a->lock) == 0 && uv_cond_init(&a->has_write) == 0);
    HOB_ASSERT(uv_cond_init(&a->has_read) == 0 && uv_cond_init(&a->is_quiet) == 0);
    HOB_ASSERT(uv_async_init(loop, &a->wake, on_wake) == 0);
    a->wake.data = a;
    uv_unref((uv_handle_t *)&a->wake);
    (void)hob_hash("", 0); /* chooses its key before there are threads */
}

static unsigned processors(void)
{
    unsigned n = uv_available_parallelism();
    return n < 2 ? 2 : n > 16 ? 16 : n;
}

struct appdbs *appdbs_open(const struct appdbs_options *o, struct hob_err *err)
{
    HOB_ASSERT(sqlite3_threadsafe());
    if (hob_mkdirs(o->dir, 0700, err) != HOB_OK)
        return NULL;
    struct appdbs *a = hob_new(struct appdbs);
    a->dir = hob_strdup(o->dir);
    a->open_max = o->open_max ? o->open_max : OPEN_MAX;
    init(a, o->loop);
    uv_mutex_lock(&a->lock); /* the threads look at the counts */
    a->writers_n = o->writers ? o->writers : processors();
    a->readers_n = o->readers ? o->readers : processors();
    a->writers = start_threads(a, a->writers_n, app_writer_main);
    a->readers = start_threads(a, a->readers_n, app_reader_main);
    uv_mutex_unlock(&a->lock);
    return a;
}

void appdbs_close(struct appdbs *a, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!a->is_closing);
    a->closed = closed;
    a->closed_ctx = ctx;
    uv_ref((uv_handle_t *)&a->wake);
    uv_mutex_lock(&a->lock);
    a->is_closing = true;
    uv_cond_broadcast(&a->has_write);
    uv_cond_broadcast(&a->has_read);
    uv_mutex_unlock(&a->lock);
}

void appdb_write(struct appdbs *a, const char *app, data_work_cb work, data_done_cb done, void *ctx)
{
    queue(a, app, true, &(struct app_job){.work = work, .done = done, .ctx = ctx});
}

void appdb_read(struct appdbs *a, const char *app, data_work_cb work, data_done_cb done, void *ctx)
{
    queue(a, app, false, &(struct app_job){.work = work, .done = done, .ctx = ctx});
}

void appdb_remove(struct appdbs *a, const char *app, data_done_cb done, void *ctx)
{
    queue(a, app, true, &(struct app_job){.kind = APP_JOB_REMOVE, .done = done, .ctx = ctx});
}

void appdbs_watch(struct appdbs *a, void (*changed)(void *ctx, const char *app, int64_t sequence), void *ctx)
{
    a->watch = changed;
    a->watch_ctx = ctx;
}

bool appdb_is_open(struct appdbs *a, const char *name)
{
    struct app *app = NULL;
    uv_mutex_lock(&a->lock);
    HASH_FIND_STR(a->apps, name, app);
    bool is_open = app && app->opened > 0;
    uv_mutex_unlock(&a->lock);
    return is_open;
}

struct appdbs_stats appdbs_stats(struct appdbs *a)
{
    uv_mutex_lock(&a->lock);
    struct appdbs_stats copy = a->stats;
    copy.queued = (unsigned)a->pending;
    uv_mutex_unlock(&a->lock);
    return copy;
}

/* --- backup: a job like any other --- */

struct app_backup {
    char *path;
    data_done_cb done;
    void *ctx;
};

static enum hob_code backup_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    return db_backup(&tx->conn->db, ((struct app_backup *)ctx)->path, err);
}

static void on_backup_done(void *ctx, const struct hob_err *err)
{
    struct app_backup *b = ctx;
    b->done(b->ctx, err);
    free(b->path);
    free(b);
}

void appdb_backup(struct appdbs *a, const char *app, const char *path, data_done_cb done, void *ctx)
{
    struct app_backup *b = hob_new(struct app_backup);
    *b = (struct app_backup){.path = hob_strdup(path), .done = done, .ctx = ctx};
    appdb_read(a, app, backup_work, on_backup_done, b);
}
