/* Between appdb.c (queues and threads) and appdb_file.c (the databases behind them). All of it stands under the lock of
 * struct appdbs, but for a connection, which belongs to the thread that took it. */
#pragma once

#include "store/data/data_priv.h"

struct app;
struct text_wish {
    char class_name[128], field[128];
};
enum app_job_kind { APP_JOB, APP_JOB_REMOVE, APP_JOB_INDEX, APP_JOB_SLOW };
struct app_job {
    struct job job; /* first: its ctx is this very struct */
    enum app_job_kind kind;
    data_work_cb work;
    data_done_cb done; /* NULL: an inner job, nobody waits for it */
    void *ctx;
    struct app *app;
    uint64_t ticket; /* in the order of queueing */
    bool has_waited; /* for a full-text index: not a second time */
};

/* A connection at rest, or at work for one thread. */
struct app_conn {
    struct hob_node node;
    struct conn c;
};

struct app {
    struct appdbs *pool;
    char *name, *path;
    struct hob_list writes, reads;           /* waiting */
    struct hob_node ready_write, ready_read; /* in the pool's lists, when there is work nobody does */
    struct hob_node used, changed; /* among the open ones, the longest unused first; news for the loop */
    struct app_conn *writer;
    struct hob_list idle_readers;
    size_t waiting;              /* jobs in both lists */
    unsigned reading, opened;    /* read jobs that run; connections that are open */
    bool is_writing, is_opening; /* somebody has its writes, somebody opens its writing connection */
    bool is_blocked, is_lost;    /* no reads may start; to be closed, because its file is damaged */
    struct catalogue *catalogue; /* the newest that is on disk */
    int64_t changed_to;
    struct slow_query slow[SLOW_MAX];
    size_t slow_n, slow_storing; /* the first of them are being stored */
    bool is_slow_queued;
    struct text_wish text;           /* a full-text index that is being made; class empty: none */
    struct hob_list waits_for_index; /* reads that wanted it */
    UT_hash_handle hh;
};

struct pool_thread {
    struct appdbs *pool;
    uv_thread_t thread;
    bool is_ended;
    struct app_conn empty; /* what a read sees before the first write; of readers */
    bool has_empty;
};

struct appdbs {
    uv_async_t wake;
    uv_mutex_t lock;
    uv_cond_t has_write, has_read, is_quiet; /* quiet: a read ended */
    char *dir;
    struct app *apps;
    struct hob_list ready_writes, ready_reads, finished, used, changed;
    struct pool_thread *writers, *readers;
    unsigned writers_n, readers_n, idle_writers, idle_readers, open_max;
    size_t queued;  /* jobs whose owners were not told; of the loop */
    size_t pending; /* jobs that are not finished, inner ones too */
    uint64_t ticket;
    bool is_closing, is_ended;
    struct appdbs_stats stats;
    void (*closed)(void *ctx);
    void *closed_ctx;
    void (*watch)(void *ctx, const char *app, int64_t sequence);
    void *watch_ctx;
};

/* appdb.c: puts the app where the threads look, when it has work that nobody does. */
void app_wake(struct app *app);
/* A writer thread has done with it and takes more work now: wakes no other for what the app has left. */
void app_written(struct app *app);
struct app_job *app_job_pop(struct hob_list *list); /* NULL: empty */
void app_job_queue(struct app *app, struct hob_list *list, struct app_job *j);
void app_job_finish(struct appdbs *a, struct app_job *j);

/* appdb_work.c */
void app_writer_main(void *thread);
void app_reader_main(void *thread);
void app_index_is_made(struct app *app);  /* what waited for it runs again */
void app_slow_is_stored(struct app *app); /* under the lock */

/* appdb_file.c; those with `lock` are called with the lock held and may let it go meanwhile. */
struct app *app_need(struct appdbs *a, const char *name);
/* The connection of a thread that has the app to itself for writing; opens it when needed. */
HOB_MUST_USE struct app_conn *app_take_writer(struct app *app, struct hob_err *err);
/* One of the readers at rest, or a new one; *ret_c NULL when there is no file yet. */
HOB_MUST_USE enum hob_code app_take_reader(struct app *app, struct app_conn **ret_c, struct hob_err *err);
void app_give_reader(struct app *app, struct app_conn *c);
/* Closes what is at rest; the app must not be read or written. */
void app_close(struct app *app);
void app_touch(struct app *app); /* it is used now */
/* Closes the longest unused ones that do nothing, until there is room. */
void apps_make_room(struct appdbs *a);
HOB_MUST_USE enum hob_code app_remove_files(struct app *app, struct hob_err *err);
/* Puts what SQLite says about a damaged file into words that name the app. */
void app_explain(const struct app *app, struct hob_err *err);
void apps_free(struct appdbs *a);
