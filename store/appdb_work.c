/* What the threads of the pool do. A writer takes all that waits for one app and runs it as one group commit; a reader
 * keeps its read transaction for as long as the jobs it finds were queued before that began. All of it runs with the
 * lock held, but for the jobs themselves, commits and files. */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "store/appdb_priv.h"

enum {
    GROUP_MAX = 512,         /* jobs of one transaction */
    READS_AT_ONCE = 64,      /* of one app, before another app has its turn */
    CHECKPOINT_PAGES = 4000, /* 16 MiB of log: random pages meet there before they are written */
    CHECKPOINT_MUST_PAGES = 16000,
};

/* --- inner jobs: what reading found that must be written --- */

/* May run twice: what it stores leaves the list when it has ended. */
static enum hob_code store_slow(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct app *app = ctx;
    struct slow_query list[SLOW_MAX];
    uv_mutex_lock(&app->pool->lock);
    size_t n = app->slow_n;
    memcpy(list, app->slow, sizeof list);
    app->slow_storing = n;
    uv_mutex_unlock(&app->pool->lock);
    return slow_store(tx, list, n, err);
}

static enum hob_code make_text_index(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct app *app = ctx;
    uv_mutex_lock(&app->pool->lock);
    struct text_wish wish = app->text;
    uv_mutex_unlock(&app->pool->lock);
    return data_text_index_add(tx, wish.class_name, wish.field, err);
}

void app_slow_is_stored(struct app *app)
{
    app->slow_n -= app->slow_storing;
    memmove(app->slow, app->slow + app->slow_storing, app->slow_n * sizeof *app->slow);
    app->slow_storing = 0;
    app->is_slow_queued = false;
}

static void queue_inner(struct app *app, enum app_job_kind kind, data_work_cb work)
{
    struct app_job *j = hob_new(struct app_job);
    j->kind = kind;
    j->work = work;
    j->ctx = app;
    j->job.work = NULL;
    app_job_queue(app, &app->writes, j);
}

/* Takes over what a connection remembered of slow queries. */
static void take_slow(struct app *app, struct conn *c)
{
    for (size_t i = 0; i < c->slow_n && app->slow_n < SLOW_MAX; i++)
        app->slow[app->slow_n++] = c->slow[i];
    c->slow_n = 0;
    if (app->slow_n && !app->is_slow_queued && !app->pool->is_closing) {
        app->is_slow_queued = true;
        queue_inner(app, APP_JOB_SLOW, store_slow);
    }
}

/* --- writing --- */

static enum hob_code run_write(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct app_job *j = ctx;
    struct conn *conn = HOB_CONTAINER_OF(tx->db, struct conn, db);
    struct data_tx d = {.s = *tx, .conn = conn};
    if (HOB_FAULT("appdb.job"))
        return hob_fail(err, HOB_E_UNAVAILABLE, "a fault was asked for before a job");
    enum hob_code rc = j->work(j->ctx, &d, err);
    if (rc != HOB_OK)
        conn->is_catalogue_known = false; /* what it changed goes back */
    return rc;
}

static void checkpoint(struct conn *c)
{
    if (HOB_FAULT("appdb.checkpoint") || c->db.wal_pages < CHECKPOINT_PAGES)
        return;
    int mode =
        c->db.wal_pages < CHECKPOINT_MUST_PAGES ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
    (void)sqlite3_wal_checkpoint_v2(c->db.h, NULL, mode, NULL, NULL);
    c->db.wal_pages = 0;
}

static size_t take_group(struct app *app, struct app_job **jobs)
{
    size_t n = 0;
    while (n < GROUP_MAX) {
        struct hob_node *node = hob_list_first(&app->writes);
        struct app_job *j = node ? HOB_CONTAINER_OF(node, struct app_job, job.node) : NULL;
        if (!j || (j->kind == APP_JOB_REMOVE && n > 0))
            break;
        hob_list_remove(node);
        app->waiting--;
        jobs[n++] = j;
        if (j->kind == APP_JOB_REMOVE)
            break;
    }
    return n;
}

static bool is_damage(const struct hob_err *err)
{
    return err->code == HOB_E_INTERNAL && err->reason && strcmp(err->reason, "store_damaged") == 0;
}

/* What the group left: the newest catalogue, news for the listener. */
static void note_group(struct app *app, struct conn *c, unsigned commits)
{
    struct appdbs *a = app->pool;
    if (c->catalogue && c->is_catalogue_known && c->catalogue != app->catalogue) {
        catalogue_unref(app->catalogue);
        app->catalogue = catalogue_ref(c->catalogue);
    }
    if (commits && c->changed_to > app->changed_to) {
        app->changed_to = c->changed_to;
        if (!hob_node_is_linked(&app->changed))
            hob_list_push_back(&a->changed, &app->changed);
        (void)uv_async_send(&a->wake);
    }
    c->changed_to = 0;
    a->stats.commits += commits;
}

/* What a job that was rolled back had noted does not count: the table knows. */
static void find_changed(struct conn *c, unsigned commits)
{
    struct hob_err ignored; /* then the next group tells */
    struct data_tx tx = {.s = {&c->db, true}, .conn = c};
    if (!commits || !c->changed_to || data_change_last(&tx, &c->changed_to, &ignored) != HOB_OK)
        c->changed_to = 0;
}

static void run_group(struct app *app, struct app_job **jobs, size_t n)
{
    struct appdbs *a = app->pool;
    struct hob_err err = {0};
    struct job *group[GROUP_MAX];
    unsigned commits = 0;
    struct app_conn *w = app_take_writer(app, &err);
    uv_mutex_unlock(&a->lock);
    for (size_t i = 0; i < n; i++) {
        group[i] = &jobs[i]->job;
        group[i]->work = run_write;
        group[i]->err = err;
    }
    if (w)
        commits = group_run(&w->c.db, group, n);
    if (w)
        find_changed(&w->c, commits);
    uv_mutex_lock(&a->lock);
    if (w)
        note_group(app, &w->c, commits);
    a->stats.jobs += n;
    for (size_t i = 0; i < n; i++) {
        app->is_lost |= is_damage(&jobs[i]->job.err);
        app_job_finish(a, jobs[i]);
    }
    if (w) {
        take_slow(app, &w->c);
        uv_mutex_unlock(&a->lock);
        checkpoint(&w->c); /* after the answers: nobody waits for it */
        uv_mutex_lock(&a->lock);
    }
}

static void wait_for_reads(struct app *app, uint64_t ticket)
{
    struct appdbs *a = app->pool;
    for (;;) {
        struct hob_node *node = hob_list_first(&app->reads);
        bool is_behind = !node || HOB_CONTAINER_OF(node, struct app_job, job.node)->ticket > ticket;
        if (is_behind && app->reading == 0)
            return;
        app->is_blocked = is_behind;
        app_wake(app);
        uv_cond_wait(&a->is_quiet, &a->lock);
    }
}

static void run_remove(struct app *app, struct app_job *j)
{
    wait_for_reads(app, j->ticket);
    app->is_blocked = true;
    app_close(app);
    app->changed_to = 0;
    uv_mutex_unlock(&app->pool->lock);
    j->job.err = (struct hob_err){0};
    if (app_remove_files(app, &j->job.err) == HOB_OK)
        j->job.err = (struct hob_err){0};
    uv_mutex_lock(&app->pool->lock);
    app->is_blocked = false;
    app_job_finish(app->pool, j);
}

/* A damaged file is let go, so that the one that is put in its place is opened. */
static void let_go(struct app *app)
{
    if (!app->is_lost || app->is_blocked)
        return;
    app->is_blocked = true;
    while (app->reading)
        uv_cond_wait(&app->pool->is_quiet, &app->pool->lock);
    app_close(app);
    app->is_blocked = false;
}

static void serve_writes(struct appdbs *a, struct app_job **jobs)
{
    struct app *app = HOB_CONTAINER_OF(hob_list_first(&a->ready_writes), struct app, ready_write);
    hob_list_remove(&app->ready_write);
    app->is_writing = true;
    size_t n = take_group(app, jobs);
    if (n == 1 && jobs[0]->kind == APP_JOB_REMOVE)
        run_remove(app, jobs[0]);
    else if (n)
        run_group(app, jobs, n);
    let_go(app);
    app_written(app);
}

static bool is_over(const struct appdbs *a)
{
    return a->is_closing && a->pending == 0;
}

static bool is_all_ended(const struct appdbs *a)
{
    for (unsigned i = 0; i < a->writers_n; i++)
        if (!a->writers[i].is_ended)
            return false;
    for (unsigned i = 0; i < a->readers_n; i++)
        if (!a->readers[i].is_ended)
            return false;
    return true;
}

/* The last one closes the databases, so that the loop need not. */
static void end_thread(struct pool_thread *t)
{
    struct appdbs *a = t->pool;
    struct app *app, *tmp;
    t->is_ended = true;
    if (!is_all_ended(a))
        return;
    HASH_ITER(hh, a->apps, app, tmp) app_close(app);
    a->is_ended = true;
    (void)uv_async_send(&a->wake);
}

void app_writer_main(void *arg)
{
    struct pool_thread *t = arg;
    struct appdbs *a = t->pool;
    hob_auto_free struct app_job **jobs = hob_new_n(struct app_job *, GROUP_MAX);
    uv_mutex_lock(&a->lock);
    while (!hob_list_is_empty(&a->ready_writes) || !is_over(a)) {
        if (!hob_list_is_empty(&a->ready_writes)) {
            serve_writes(a, jobs);
            continue;
        }
        a->idle_writers++;
        uv_cond_wait(&a->has_write, &a->lock);
        a->idle_writers--;
    }
    end_thread(t);
    uv_mutex_unlock(&a->lock);
}

/* --- reading --- */

static void run_read(struct app_job *j, struct conn *c)
{
    struct data_tx d = {.s = {&c->db, false}, .conn = c};
    j->job.err = (struct hob_err){0};
    if (j->work(j->ctx, &d, &j->job.err) == HOB_OK)
        j->job.err = (struct hob_err){0};
    else
        HOB_ASSERT(j->job.err.code != HOB_OK);
}

/* An empty database of this thread's own, for apps that nothing was written to. */
static enum hob_code take_empty(struct pool_thread *t, struct app_conn **ret_c, struct hob_err *err)
{
    if (!t->has_empty && conn_open(&t->empty.c, ":memory:", false, err) != HOB_OK)
        return err->code;
    t->has_empty = true;
    *ret_c = &t->empty;
    return HOB_OK;
}

static struct app_job *next_read(struct app *app, uint64_t ticket)
{
    struct hob_node *node = hob_list_first(&app->reads);
    struct app_job *j = node ? HOB_CONTAINER_OF(node, struct app_job, job.node) : NULL;
    if (!j || app->is_blocked || j->ticket > ticket)
        return NULL;
    hob_list_remove(node);
    app->waiting--;
    app->pool->stats.reads++;
    app->pool->stats.jobs++;
    return j;
}

/* A query wanted a full-text index: it is made, then the job runs again. */
static bool waits_for_index(struct app *app, struct app_job *j, struct conn *c)
{
    bool is_wanted =
        c->wants_text_class[0] && j->job.err.reason && strcmp(j->job.err.reason, "needs_text_index") == 0;
    struct text_wish wish;
    (void)snprintf(wish.class_name, sizeof wish.class_name, "%s", c->wants_text_class);
    (void)snprintf(wish.field, sizeof wish.field, "%s", c->wants_text_field);
    c->wants_text_class[0] = '\0';
    bool is_other = app->text.class_name[0] && (strcmp(app->text.class_name, wish.class_name) != 0 ||
                                                strcmp(app->text.field, wish.field) != 0);
    if (!is_wanted || j->has_waited || is_other) /* one index at a time: the caller may try again */
        return false;
    j->has_waited = true;
    hob_list_push_back(&app->waits_for_index, &j->job.node);
    if (!app->text.class_name[0]) {
        app->text = wish;
        queue_inner(app, APP_JOB_INDEX, make_text_index);
    }
    return true;
}

/* The index was made, or could not be: then the jobs say so when they run again. */
void app_index_is_made(struct app *app)
{
    struct app_job *j;
    app->text.class_name[0] = '\0';
    while ((j = app_job_pop(&app->waits_for_index))) {
        app->pool->pending--; /* enqueue counts it again */
        app_job_queue(app, &app->reads, j);
    }
}

/* Takes the newer of two over. */
static void share_catalogue(struct catalogue **from, struct catalogue **to)
{
    HOB_ASSERT(from && to);
    if (!*from || (*to && (*to)->revision >= (*from)->revision))
        return;
    catalogue_unref(*to);
    *to = catalogue_ref(*from);
}

/* One read transaction and the jobs that may share it. */
static void read_batch(struct pool_thread *t, struct app *app, struct app_conn *c)
{
    struct appdbs *a = t->pool;
    struct app_job *j;
    struct hob_err err = {0};
    uint64_t ticket = a->ticket;
    if (c != &t->empty)
        share_catalogue(&app->catalogue, &c->c.catalogue);
    uv_mutex_unlock(&a->lock);
    enum hob_code rc = conn_begin_read(&c->c, &err);
    uv_mutex_lock(&a->lock);
    for (unsigned i = 0; i < READS_AT_ONCE && (j = next_read(app, ticket)); i++) {
        uv_mutex_unlock(&a->lock);
        if (rc == HOB_OK)
            run_read(j, &c->c);
        else
            j->job.err = err;
        uv_mutex_lock(&a->lock);
        app->is_lost |= is_damage(&j->job.err);
        if (!waits_for_index(app, j, &c->c))
            app_job_finish(a, j);
    }
    uv_mutex_unlock(&a->lock);
    conn_end_read(&c->c);
    uv_mutex_lock(&a->lock);
    if (c != &t->empty) /* it may have had to read one that no writer left behind */
        share_catalogue(&c->c.catalogue, &app->catalogue);
    take_slow(app, &c->c);
}

static void fail_reads(struct app *app, const struct hob_err *err)
{
    struct app_job *j;
    while ((j = next_read(app, UINT64_MAX))) {
        j->job.err = *err;
        app_job_finish(app->pool, j);
    }
}

static void serve_reads(struct pool_thread *t)
{
    struct appdbs *a = t->pool;
    struct app *app = HOB_CONTAINER_OF(hob_list_first(&a->ready_reads), struct app, ready_read);
    struct app_conn *c = NULL;
    struct hob_err err = {0};
    hob_list_remove(&app->ready_read);
    if (app->is_blocked || hob_list_is_empty(&app->reads))
        return;
    app->reading++;
    enum hob_code rc = app_take_reader(app, &c, &err);
    bool is_empty = rc == HOB_OK && !c;
    if (is_empty)
        rc = take_empty(t, &c, &err);
    app_wake(app); /* others may read it beside us */
    if (rc == HOB_OK)
        read_batch(t, app, c);
    else
        fail_reads(app, &err);
    if (rc == HOB_OK && !is_empty)
        app_give_reader(app, c);
    app->reading--;
    if (app->is_lost && !app->is_writing && app->reading == 0) {
        app->is_writing = true;
        let_go(app);
        app->is_writing = false;
    }
    uv_cond_broadcast(&a->is_quiet);
    app_wake(app);
}

void app_reader_main(void *arg)
{
    struct pool_thread *t = arg;
    struct appdbs *a = t->pool;
    uv_mutex_lock(&a->lock);
    while (!hob_list_is_empty(&a->ready_reads) || !is_over(a)) {
        if (!hob_list_is_empty(&a->ready_reads)) {
            serve_reads(t);
            continue;
        }
        a->idle_readers++;
        uv_cond_wait(&a->has_read, &a->lock);
        a->idle_readers--;
    }
    uv_mutex_unlock(&a->lock);
    if (t->has_empty)
        conn_close(&t->empty.c);
    uv_mutex_lock(&a->lock);
    end_thread(t);
    uv_mutex_unlock(&a->lock);
}
