#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_priv.h"

enum {
    GROUP_MAX = 256,   /* jobs of one transaction */
    QUEUE_MAX = 10000, /* jobs waiting; beyond is "busy" */
    READERS = 2,       /* started when first needed */
    STACK_BYTES = 512 * 1024,
    CHECKPOINT_PAGES = 1000,      /* 4 MiB of log, as SQLite would by itself */
    CHECKPOINT_MUST_PAGES = 8000, /* readers kept the log from shrinking: wait for them */
};

struct worker {
    struct store *store;
    uv_thread_t thread;
    bool is_started, is_ended;
};

struct store {
    uv_loop_t *loop;
    char *path;
    uv_async_t wake; /* jobs are done, or a thread ended */
    uv_mutex_t lock; /* over everything below */
    uv_cond_t has_work, has_waited;
    struct hob_list writes, reads, finished;
    size_t queued; /* not yet told to their owners, waited ones apart */
    bool is_closing;
    struct store_stats stats;
    struct worker writer, readers[READERS];
    unsigned idle_readers;
    struct db db; /* the writer thread's */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- on the threads --- */

static void finish(struct store *s, struct job **jobs, size_t n, unsigned commits)
{
    uv_mutex_lock(&s->lock);
    s->stats.commits += commits;
    s->stats.commits_failed += commits == 0;
    for (size_t i = 0; i < n; i++) {
        s->stats.jobs_failed += jobs[i]->err.code != HOB_OK;
        jobs[i]->is_finished = true;
        if (jobs[i]->done)
            hob_list_push_back(&s->finished, &jobs[i]->node);
    }
    s->stats.jobs += n;
    uv_cond_broadcast(&s->has_waited);
    uv_mutex_unlock(&s->lock);
    (void)uv_async_send(&s->wake);
}

/* After the answers, so that no caller waits for it. A failing checkpoint loses nothing: the log stays and the next
 * commit tries again. */
static void checkpoint(struct db *db)
{
    if (HOB_FAULT("store.checkpoint") || db->wal_pages < CHECKPOINT_PAGES)
        return;
    int mode = db->wal_pages < CHECKPOINT_MUST_PAGES ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
    (void)sqlite3_wal_checkpoint_v2(db->h, NULL, mode, NULL, NULL);
    db->wal_pages = 0;
}

static struct job *take_job(struct hob_list *queue)
{
    struct hob_node *node = hob_list_first(queue);
    if (!node)
        return NULL;
    hob_list_remove(node);
    return HOB_CONTAINER_OF(node, struct job, node);
}

static size_t take_group(struct store *s, struct job **jobs)
{
    size_t n = 0;
    uv_mutex_lock(&s->lock);
    while (hob_list_is_empty(&s->writes) && !s->is_closing)
        uv_cond_wait(&s->has_work, &s->lock);
    while (n < GROUP_MAX && (jobs[n] = take_job(&s->writes)))
        n++;
    uv_mutex_unlock(&s->lock);
    return n;
}

static void end_worker(struct worker *w)
{
    uv_mutex_lock(&w->store->lock);
    w->is_ended = true;
    uv_mutex_unlock(&w->store->lock);
    (void)uv_async_send(&w->store->wake);
}

static void writer_main(void *arg)
{
    struct worker *w = arg;
    struct store *s = w->store;
    struct job *jobs[GROUP_MAX];
    size_t n;
    while ((n = take_group(s, jobs)) > 0) {
        unsigned commits = group_run(&s->db, jobs, n);
        finish(s, jobs, n, commits);
        checkpoint(&s->db);
    }
    db_close(&s->db); /* the last connection: folds the log into the file */
    end_worker(w);
}

/* One snapshot for the whole job. */
static void run_read(struct db *db, struct job *job)
{
    struct store_tx tx = {db, false};
    struct hob_err ignored;
    job->err = (struct hob_err){0};
    if (db_exec(db, "BEGIN", &job->err) != HOB_OK)
        return;
    if (job->work(job->ctx, &tx, &job->err) == HOB_OK)
        job->err = (struct hob_err){0};
    if (!sqlite3_get_autocommit(db->h))
        (void)!db_exec(db, "ROLLBACK", &ignored);
}

static struct job *wait_read(struct store *s)
{
    uv_mutex_lock(&s->lock);
    s->idle_readers++;
    while (hob_list_is_empty(&s->reads) && !s->is_closing)
        uv_cond_wait(&s->has_work, &s->lock);
    s->idle_readers--;
    struct job *job = take_job(&s->reads);
    s->stats.reads += job != NULL;
    uv_mutex_unlock(&s->lock);
    return job;
}

static void finish_read(struct store *s, struct job *job)
{
    uv_mutex_lock(&s->lock);
    hob_list_push_back(&s->finished, &job->node);
    uv_mutex_unlock(&s->lock);
    (void)uv_async_send(&s->wake);
}

static void reader_main(void *arg)
{
    struct worker *w = arg;
    struct db db = {0};
    struct job *job;
    while ((job = wait_read(w->store))) {
        if (db.h || db_open(&db, w->store->path, DB_READ, &job->err) == HOB_OK)
            run_read(&db, job);
        finish_read(w->store, job);
    }
    db_close(&db);
    end_worker(w);
}

static void worker_start(struct store *s, struct worker *w, uv_thread_cb entry)
{
    w->store = s;
    w->is_started = true;
    uv_thread_options_t o = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
    int rc = uv_thread_create_ex(&w->thread, &o, entry, w);
    HOB_ASSERT(rc == 0);
}

/* --- on the loop --- */

static bool is_all_ended(struct store *s)
{
    bool is_ended = s->writer.is_ended;
    for (size_t i = 0; i < READERS; i++)
        is_ended = is_ended && (!s->readers[i].is_started || s->readers[i].is_ended);
    return is_ended;
}

static void on_closed(uv_handle_t *handle)
{
    struct store *s = handle->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    uv_cond_destroy(&s->has_work);
    uv_cond_destroy(&s->has_waited);
    uv_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
    if (closed)
        closed(ctx);
}

static void join_threads(struct store *s)
{
    (void)uv_thread_join(&s->writer.thread);
    for (size_t i = 0; i < READERS; i++) {
        if (s->readers[i].is_started)
            (void)uv_thread_join(&s->readers[i].thread);
    }
}

static void tell(struct store *s, struct job *job)
{
    if (--s->queued == 0 && !s->is_closing)
        uv_unref((uv_handle_t *)&s->wake);
    job->done(job->ctx, job->err.code == HOB_OK ? NULL : &job->err);
    free(job);
}

static void on_wake(uv_async_t *async)
{
    struct store *s = async->data;
    for (;;) {
        uv_mutex_lock(&s->lock);
        struct job *job = take_job(&s->finished);
        bool is_end = !job && s->is_closing && s->queued == 0 && is_all_ended(s);
        uv_mutex_unlock(&s->lock);
        if (job) {
            tell(s, job);
            continue;
        }
        if (is_end && !uv_is_closing((uv_handle_t *)async)) {
            join_threads(s);
            uv_close((uv_handle_t *)async, on_closed);
        }
        return;
    }
}

/* A third reader is never needed: reads are short and rare beside the catalogue. */
static void start_reader(struct store *s)
{
    for (size_t i = 0; i < READERS; i++) {
        if (!s->readers[i].is_started) {
            worker_start(s, &s->readers[i], reader_main);
            return;
        }
    }
}

static void queue(struct store *s, struct hob_list *list, const struct job *spec)
{
    struct job *job = hob_new(struct job);
    *job = *spec;
    if (s->queued++ == 0)
        uv_ref((uv_handle_t *)&s->wake);
    uv_mutex_lock(&s->lock);
    if (s->is_closing || s->queued > QUEUE_MAX) {
        (void)(s->is_closing
                   ? hob_fail(&job->err, HOB_E_UNAVAILABLE,
                              "the store is closing; try again after the restart")
                   : hob_fail(&job->err, HOB_E_BUSY, "%d writes wait already; try again", QUEUE_MAX));
        hob_list_push_back(&s->finished, &job->node);
        (void)uv_async_send(&s->wake);
    } else {
        hob_list_push_back(list, &job->node);
    }
    bool needs_reader = list == &s->reads && s->idle_readers == 0;
    uv_cond_broadcast(&s->has_work);
    uv_mutex_unlock(&s->lock);
    if (needs_reader && !s->is_closing)
        start_reader(s);
}

/* --- opening --- */

static enum hob_code prepare(struct store *s, struct hob_err *err)
{
    if (db_open(&s->db, s->path, DB_WRITE, err) != HOB_OK)
        return err->code;
    if (db_check(&s->db, s->path, err) == HOB_OK &&
        db_migrate(&s->db, migrations, migrations_n, err) == HOB_OK) {
        s->db.is_always_careful = true; /* its writes are few */
        return HOB_OK;
    }
    db_close(&s->db);
    return err->code;
}

static void init(struct store *s, uv_loop_t *loop)
{
    s->loop = loop;
    hob_list_init(&s->writes);
    hob_list_init(&s->reads);
    hob_list_init(&s->finished);
    HOB_ASSERT(uv_mutex_init(&s->lock) == 0);
    HOB_ASSERT(uv_cond_init(&s->has_work) == 0 && uv_cond_init(&s->has_waited) == 0);
    HOB_ASSERT(uv_async_init(loop, &s->wake, on_wake) == 0);
    s->wake.data = s;
    uv_unref((uv_handle_t *)&s->wake);
    s->stats.schema_version = (uint32_t)migrations_n;
}

/* --- the door --- */

struct store *store_open(uv_loop_t *loop, const char *path, struct hob_err *err)
{
    HOB_ASSERT(sqlite3_threadsafe());
    struct store *s = hob_new(struct store);
    s->path = hob_strdup(path);
    if (prepare(s, err) != HOB_OK) {
        free(s->path);
        free(s);
        return NULL;
    }
    init(s, loop);
    worker_start(s, &s->writer, writer_main);
    return s;
}

void store_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!s->is_closing);
    s->closed = closed;
    s->closed_ctx = ctx;
    uv_ref((uv_handle_t *)&s->wake);
    uv_mutex_lock(&s->lock);
    s->is_closing = true;
    uv_cond_broadcast(&s->has_work);
    uv_mutex_unlock(&s->lock);
}

void store_write(struct store *s, store_work_cb work, store_done_cb done, void *ctx)
{
    HOB_ASSERT(done);
    queue(s, &s->writes, &(struct job){.work = work, .done = done, .ctx = ctx});
}

void store_read(struct store *s, store_work_cb work, store_done_cb done, void *ctx)
{
    HOB_ASSERT(done);
    queue(s, &s->reads, &(struct job){.work = work, .done = done, .ctx = ctx});
}

enum hob_code store_write_now(struct store *s, store_work_cb work, void *ctx, struct hob_err *err)
{
    struct job job = {.work = work, .ctx = ctx};
    HOB_ASSERT(!s->is_closing);
    uv_mutex_lock(&s->lock);
    hob_list_push_back(&s->writes, &job.node);
    uv_cond_broadcast(&s->has_work);
    while (!job.is_finished)
        uv_cond_wait(&s->has_waited, &s->lock);
    uv_mutex_unlock(&s->lock);
    if (job.err.code != HOB_OK)
        *err = job.err;
    return job.err.code;
}

enum hob_code store_read_now(struct store *s, store_work_cb work, void *ctx, struct hob_err *err)
{
    struct db db;
    struct job job = {.work = work, .ctx = ctx};
    if (db_open(&db, s->path, DB_READ, err) != HOB_OK)
        return err->code;
    run_read(&db, &job);
    db_close(&db);
    if (job.err.code != HOB_OK)
        *err = job.err;
    return job.err.code;
}

struct store_stats store_stats(struct store *s)
{
    uv_mutex_lock(&s->lock);
    struct store_stats copy = s->stats;
    uv_mutex_unlock(&s->lock);
    return copy;
}
