/* A job: WAITING in its app's lane -> RUNNING on a thread -> DONE (list of the finished) -> told on the loop.
 * Lanes that have jobs stand in a ring: a thread takes the first job of the first lane and puts the lane behind the
 * others. */
#include "bindings/auth/hasher.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#include "base/banned.h"

enum { THREADS_MAX = 8, NICE = 10, STACK_BYTES = 512 * 1024 };

struct lane { /* the waiting jobs of one app */
    struct hob_node node;
    struct hob_list jobs;
    unsigned jobs_n;
    char *app;
};

struct job {
    struct hob_node node;
    char *password;
    size_t password_n;
    char stored[HASHER_STORED_MAX][HASH_TEXT_BYTES];
    size_t stored_n;
    bool wants_new, is_upgrade;
    unsigned hashed;
    struct hasher_answer answer;
    char hash[HASH_TEXT_BYTES];
    struct hob_err err;
    hasher_cb done;
    void *ctx;
};

struct hasher {
    uv_async_t wake;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct hob_list lanes, finished; /* under lock, with the counters */
    struct hasher_stats stats;
    bool is_closing;
    pthread_t threads[THREADS_MAX];
    unsigned threads_n;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- a job, on a thread --- */
static void job_run(struct job *j)
{
    struct hob_str password = hob_str_n(j->password, j->password_n);
    j->answer.match = -1;
    for (size_t i = 0; i < j->stored_n && j->answer.match < 0; i++) {
        j->hashed += hash_is_known(hob_str(j->stored[i]));
        if (hash_matches(j->stored[i], password))
            j->answer.match = (int)i;
    }
    bool is_found = j->answer.match >= 0;
    bool is_wanted = is_found ? j->is_upgrade && hash_is_old(j->stored[j->answer.match]) : j->wants_new;
    j->hashed += is_wanted;
    if (is_wanted && hash_make(password, j->hash, &j->err) == HOB_OK)
        j->answer.hash = j->hash;
}

static void job_free(struct job *j)
{
    sodium_memzero(j->password, j->password_n);
    free(j->password);
    free(j);
}

/* --- under the lock --- */
static struct lane *lane_of(struct hasher *h, const char *app)
{
    HOB_LIST_EACH(&h->lanes, node, tmp)
    {
        struct lane *l = HOB_CONTAINER_OF(node, struct lane, node);
        if (strcmp(l->app, app) == 0)
            return l;
    }
    return NULL;
}

static struct lane *lane_new(struct hasher *h, const char *app)
{
    struct lane *l = hob_new(struct lane);
    l->app = hob_strdup(app);
    hob_list_init(&l->jobs);
    hob_list_push_back(&h->lanes, &l->node);
    return l;
}

static struct job *next_job(struct hasher *h)
{
    struct hob_node *first = hob_list_first(&h->lanes);
    if (!first)
        return NULL;
    struct lane *l = HOB_CONTAINER_OF(first, struct lane, node);
    struct job *j = HOB_CONTAINER_OF(hob_list_first(&l->jobs), struct job, node);
    hob_list_remove(&j->node);
    hob_list_remove(&l->node);
    h->stats.waiting--;
    if (--l->jobs_n) {
        hob_list_push_back(&h->lanes, &l->node);
        return j;
    }
    free(l->app);
    free(l);
    return j;
}

static void *thread_main(void *ctx)
{
    struct hasher *h = ctx;
    /* Of this thread alone, on Linux; when it is refused hashing only competes as an equal. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    (void)pthread_mutex_lock(&h->lock);
    for (;;) {
        struct job *j = h->is_closing ? NULL : next_job(h);
        if (!j && h->is_closing)
            break;
        if (!j) {
            (void)pthread_cond_wait(&h->work, &h->lock);
            continue;
        }
        h->stats.running++;
        (void)pthread_mutex_unlock(&h->lock);
        job_run(j);
        (void)pthread_mutex_lock(&h->lock);
        h->stats.running--;
        h->stats.done++;
        h->stats.hashed += j->hashed;
        hob_list_push_back(&h->finished, &j->node);
        (void)uv_async_send(&h->wake);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* --- on the loop --- */
static void tell(struct job *j)
{
    j->done(j->ctx, j->err.code == HOB_OK ? &j->answer : NULL, j->err.code == HOB_OK ? NULL : &j->err);
    job_free(j);
}

static void tell_finished(struct hasher *h)
{
    for (;;) {
        (void)pthread_mutex_lock(&h->lock);
        struct hob_node *node = hob_list_first(&h->finished);
        if (node)
            hob_list_remove(node);
        (void)pthread_mutex_unlock(&h->lock);
        if (!node)
            return;
        tell(HOB_CONTAINER_OF(node, struct job, node));
    }
}

static void on_wake(uv_async_t *wake)
{
    tell_finished(wake->data);
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct hasher *h = handle->data;
    void (*closed)(void *ctx) = h->closed;
    void *ctx = h->closed_ctx;
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->work);
    free(h);
    closed(ctx);
}

static unsigned threads_wanted(unsigned asked)
{
    if (asked)
        return asked < THREADS_MAX ? asked : THREADS_MAX;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n < THREADS_MAX ? (unsigned)n : THREADS_MAX;
}

struct hasher *hasher_new(uv_loop_t *loop, unsigned threads)
{
    struct hasher *h = hob_new(struct hasher);
    pthread_attr_t attr;
    HOB_ASSERT(sodium_init() >= 0);
    HOB_ASSERT(pthread_mutex_init(&h->lock, NULL) == 0 && pthread_cond_init(&h->work, NULL) == 0);
    HOB_ASSERT(uv_async_init(loop, &h->wake, on_wake) == 0);
    h->wake.data = h;
    hob_list_init(&h->lanes);
    hob_list_init(&h->finished);
    HOB_ASSERT(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    h->threads_n = h->stats.threads = threads_wanted(threads);
    for (unsigned i = 0; i < h->threads_n; i++)
        HOB_ASSERT(pthread_create(&h->threads[i], &attr, thread_main, h) == 0);
    (void)pthread_attr_destroy(&attr);
    return h;
}

static void fail_waiting(struct hasher *h)
{
    struct job *j;
    while ((j = next_job(h))) {
        (void)hob_fail(&j->err, HOB_E_UNAVAILABLE, "the server is stopping: try again");
        hob_list_push_back(&h->finished, &j->node);
    }
}

void hasher_close(struct hasher *h, void (*closed)(void *ctx), void *ctx)
{
    h->closed = closed;
    h->closed_ctx = ctx;
    (void)pthread_mutex_lock(&h->lock);
    h->is_closing = true;
    fail_waiting(h);
    (void)pthread_cond_broadcast(&h->work);
    (void)pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->threads_n; i++) /* each has one hash to finish at most */
        (void)pthread_join(h->threads[i], NULL);
    tell_finished(h);
    uv_close((uv_handle_t *)&h->wake, on_wake_closed);
}

static struct job *job_new(const struct hasher_ask *ask, hasher_cb done, void *ctx)
{
    struct job *j = hob_new(struct job);
    HOB_ASSERT(ask->stored_n <= HASHER_STORED_MAX);
    j->password = hob_strndup(ask->password.at, ask->password.n);
    j->password_n = ask->password.n;
    for (size_t i = 0; i < ask->stored_n; i++)
        (void)snprintf(j->stored[i], sizeof j->stored[i], "%s", ask->stored[i]);
    j->stored_n = ask->stored_n;
    j->wants_new = ask->wants_new;
    j->is_upgrade = ask->is_upgrade;
    j->done = done;
    j->ctx = ctx;
    return j;
}

void hasher_start(struct hasher *h, const struct hasher_ask *ask, hasher_cb done, void *ctx)
{
    struct job *j = job_new(ask, done, ctx);
    (void)pthread_mutex_lock(&h->lock);
    struct lane *l = lane_of(h, ask->app);
    bool is_full = h->stats.waiting >= HOB_MAX_HASH_QUEUE || (l && l->jobs_n >= HOB_MAX_HASH_QUEUE_PER_APP);
    if (is_full || h->is_closing) {
        h->stats.refused++;
        (void)hob_fail_reason(&j->err, h->is_closing ? HOB_E_UNAVAILABLE : HOB_E_BUSY, "hashing_busy",
                              "too many passwords are being checked now: try again in a moment");
        hob_list_push_back(&h->finished, &j->node);
        (void)uv_async_send(&h->wake);
    } else {
        l = l ? l : lane_new(h, ask->app);
        hob_list_push_back(&l->jobs, &j->node);
        l->jobs_n++;
        h->stats.waiting++;
        (void)pthread_cond_signal(&h->work);
    }
    (void)pthread_mutex_unlock(&h->lock);
}

struct hasher_stats hasher_stats(struct hasher *h)
{
    (void)pthread_mutex_lock(&h->lock);
    struct hasher_stats s = h->stats;
    (void)pthread_mutex_unlock(&h->lock);
    return s;
}
