/* Flow: one deploy.
 *
 *   UNPACKING    the sandboxed unpacker turns the upload into records; a worker writes them below the staging folder,
 *   |            then reads hob.json; the loop judges it (a dry run ends here)
 *   PUBLISHING   a worker makes the tree durable and renames it to its digest
 *   RESOLVING    each image in turn becomes an ID: the node looks, pulls, or builds it of the tree
 *   LEARNING     cloud code (kind parse) runs once, to tell what it registers
 *   COMMITTING   one transaction: new versions, live pointers; then the catalogue follows
 *   CLOSING      waits for the unpacker's end and the worker, cleans up, tells
 *
 * Failure, deadline and cancel jump to CLOSING; the first failure wins. Until the commit nothing that serves has
 * changed: whatever happens before leaves only a staging folder or an unreferenced tree, which the next start sweeps. */
#include "controller/deploy.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/deploy/deploy_priv.h"

enum {
    DEPLOYS_MAX = 8, /* at once; each has a thread of its own while it unpacks */
    RECEIVE_STACK_BYTES = 1024 * 1024,
    UNPACK_MEMORY_MB = 256,
    UNPACK_PIDS = 16,
    UNPACK_GRACE_MS = 100,
};

struct deployer {
    struct deployer_options o;
    struct hob_list running;
    size_t running_n;
    bool is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

const struct deployer_options *deploy_options(const struct deploy *dp)
{
    return &dp->deployer->o;
}

static void try_finish(struct deploy *dp);
static void publish(struct deploy *dp);
static void resolve(struct deploy *dp);
static void learn(struct deploy *dp);
static void commit(struct deploy *dp);

/* --- steps --- */

/* Wakes a worker that reads, ends an unpacker that writes. */
static void stop_unpacking(struct deploy *dp)
{
    if (dp->records_fd >= 0)
        (void)shutdown(dp->records_fd, SHUT_RDWR);
    if (dp->has_unpacker && dp->deployer->o.nodes)
        node_stop(dp->deployer->o.nodes, dp->instance, UNPACK_GRACE_MS);
}

static void close_deploy(struct deploy *dp)
{
    dp->state = DEPLOY_CLOSING;
    (void)uv_timer_stop(&dp->deadline);
    if (dp->question)
        node_engine_forget(dp->deployer->o.nodes, dp->question);
    dp->question = 0;
    deploy_learn_cancel(dp);
    stop_unpacking(dp);
    try_finish(dp);
}

static void abort_deploy(struct deploy *dp, const struct hob_err *err)
{
    HOB_ASSERT(err->code != HOB_OK);
    if (dp->err.code == HOB_OK)
        dp->err = *err;
    close_deploy(dp);
}

static void receive_main(void *arg)
{
    struct deploy *dp = arg;
    struct hob_err *err = &dp->work_err;
    *err = (struct hob_err){0};
    enum hob_code rc = code_store_receive(dp->deployer->o.code, dp->records_fd, &dp->staged, err);
    if (rc == HOB_E_INVALID && !err->reason)
        err->reason = "bad_archive";
    if (rc == HOB_OK)
        rc = deploy_read_manifest(dp, err);
    HOB_ASSERT(rc == err->code || rc == HOB_OK);
    if (rc == HOB_OK)
        *err = (struct hob_err){0};
    (void)uv_async_send(&dp->received);
}

static void judge(struct deploy *dp)
{
    struct hob_err err = {0};
    HOB_ASSERT(dp->state == DEPLOY_UNPACKING);
    if (HOB_FAULT("deploy.judge"))
        (void)hob_fail(&err, HOB_E_INTERNAL, "judging hob.json failed");
    else if (deploy_judge(dp, &dp->deployer->o, &err) == HOB_OK)
        err = (struct hob_err){0};
    if (err.code != HOB_OK)
        abort_deploy(dp, &err);
    else if (dp->is_dry_run)
        close_deploy(dp);
    else
        publish(dp);
}

static void on_received(uv_async_t *async)
{
    struct deploy *dp = async->data;
    if (uv_thread_join(&dp->thread) != 0)
        HOB_ASSERT(!"the receiving thread is not there");
    dp->is_working = false;
    (void)uv_timer_stop(&dp->deadline);
    if (dp->state == DEPLOY_CLOSING)
        try_finish(dp);
    else if (dp->work_err.code != HOB_OK)
        abort_deploy(dp, &dp->work_err);
    else
        judge(dp);
}

/* A thread of its own, not one of libuv's few workers: an unpacker that stalls holds it until the deadline. */
static void receive(struct deploy *dp)
{
    uv_thread_options_t o = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = RECEIVE_STACK_BYTES};
    struct hob_err err;
    int rc = uv_thread_create_ex(&dp->thread, &o, receive_main, dp);
    dp->is_working = rc == 0;
    if (rc == 0)
        return;
    (void)hob_fail(&err, HOB_E_UNAVAILABLE, "no thread for the deploy: %s; try again", uv_strerror(rc));
    abort_deploy(dp, &err);
}

static void work_publish(uv_work_t *work)
{
    struct deploy *dp = work->data;
    dp->work_err = (struct hob_err){0};
    if (code_store_publish(&dp->staged, &dp->work_err) == HOB_OK)
        dp->work_err = (struct hob_err){0};
}

static void on_published(uv_work_t *work, int status)
{
    struct deploy *dp = work->data;
    (void)status;
    dp->is_working = false;
    if (dp->state == DEPLOY_CLOSING)
        try_finish(dp);
    else if (dp->work_err.code != HOB_OK)
        abort_deploy(dp, &dp->work_err);
    else
        resolve(dp);
}

static void on_resolved(void *ctx, struct hob_str json, const struct hob_err *why)
{
    struct deploy *dp = ctx;
    struct hob_err err;
    HOB_ASSERT(dp->state == DEPLOY_RESOLVING);
    dp->question = 0;
    if (deploy_image_take(dp, dp->resolved_n, json, why, &err) != HOB_OK ||
        deploy_judge_again(dp, &dp->deployer->o, dp->resolved_n, &err) != HOB_OK) {
        abort_deploy(dp, &err);
        return;
    }
    dp->resolved_n++;
    resolve(dp);
}

static void resolve(struct deploy *dp)
{
    struct hob_err err;
    const struct manifest *m = dp->manifest;
    dp->state = DEPLOY_RESOLVING;
    while (dp->resolved_n < m->functions_n && !function_has_image(&m->functions[dp->resolved_n]))
        dp->resolved_n++;
    if (dp->resolved_n == m->functions_n || !dp->deployer->o.nodes)
        learn(dp);
    else if (deploy_image_ask(dp, dp->resolved_n, on_resolved, &err) != HOB_OK)
        abort_deploy(dp, &err);
}

static void on_learnt(struct deploy *dp, const struct hob_err *err)
{
    HOB_ASSERT(dp->state == DEPLOY_LEARNING);
    if (err) {
        abort_deploy(dp, err);
        return;
    }
    dp->learnt_n++;
    learn(dp);
}

static void learn(struct deploy *dp)
{
    dp->state = DEPLOY_LEARNING;
    while (dp->learnt_n < dp->manifest->functions_n) {
        if (deploy_learn(dp, on_learnt))
            return;
        dp->learnt_n++;
    }
    commit(dp);
}

static void publish(struct deploy *dp)
{
    HOB_ASSERT(dp->state == DEPLOY_UNPACKING);
    dp->state = DEPLOY_PUBLISHING;
    dp->is_working = true;
    int rc = uv_queue_work(dp->deployer->o.loop, &dp->work, work_publish, on_published);
    HOB_ASSERT(rc == 0);
}

static void on_committed(void *ctx, const struct hob_err *err)
{
    struct deploy *dp = ctx;
    HOB_ASSERT(dp->state == DEPLOY_COMMITTING);
    dp->is_writing = false;
    if (err) {
        abort_deploy(dp, err);
        return;
    }
    (void)HOB_FAULT("deploy.committed"); /* nothing can fail here: for the sweep that kills */
    deploy_apply(dp, dp->deployer->o.catalog);
    deploy_prepare(dp, dp->deployer->o.nodes);
    close_deploy(dp);
}

static void commit(struct deploy *dp)
{
    struct hob_err err;
    HOB_ASSERT(dp->state == DEPLOY_LEARNING);
    if (HOB_FAULT("deploy.published")) {
        (void)hob_fail(&err, HOB_E_INTERNAL, "the deploy was interrupted before its commit");
        abort_deploy(dp, &err);
        return;
    }
    dp->state = DEPLOY_COMMITTING;
    dp->is_writing = true;
    dp->now_ms = hob_utc_ms();
    store_write(dp->deployer->o.store, deploy_transaction, on_committed, dp);
}

/* --- closing --- */

static void tell_and_free(struct deploy *dp)
{
    struct deployer *d = dp->deployer;
    struct deploy_result r = {.app = dp->app,
                              .digest = dp->staged.digest,
                              .files = dp->staged.files,
                              .bytes = dp->staged.bytes,
                              .functions = dp->functions,
                              .functions_n = dp->manifest ? dp->manifest->functions_n : 0};
    hob_list_remove(&dp->node);
    d->running_n--;
    dp->done(dp->ctx, dp->err.code == HOB_OK ? &r : NULL, dp->err.code == HOB_OK ? NULL : &dp->err);
    for (size_t i = 0; dp->steps && i < r.functions_n; i++) {
        free(dp->steps[i].config_json);
        free(dp->steps[i].made.env_json);
        free(dp->steps[i].cloud_json);
    }
    free(dp->steps);
    free(dp->functions);
    manifest_free(dp->manifest);
    hob_buf_done(&dp->manifest_text);
    free(dp->app);
    free(dp->env_name);
    free(dp);
    if (d->is_closing && hob_list_is_empty(&d->running)) {
        void (*closed)(void *ctx) = d->closed;
        void *ctx = d->closed_ctx;
        free(d);
        if (closed)
            closed(ctx);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct deploy *dp = handle->data;
    if (--dp->handles_open == 0)
        tell_and_free(dp);
}

/* Removing a tree takes its time: off the loop. What was published but not committed is collected at once. */
static void work_clean(uv_work_t *work)
{
    struct deploy *dp = work->data;
    struct hob_err ignored; /* what stays is swept at the next start */
    bool is_orphan = dp->staged.has_ref && dp->err.code != HOB_OK;
    struct code_staged copy = dp->staged;
    dp->staged.store = NULL; /* digest and sums are still to be told */
    code_staged_done(&copy);
    if (is_orphan)
        (void)!code_store_collect(dp->deployer->o.code, NULL, &ignored);
}

static void on_cleaned(uv_work_t *work, int status)
{
    struct deploy *dp = work->data;
    (void)status;
    dp->is_working = false;
    dp->is_cleaned = true;
    try_finish(dp);
}

static void try_finish(struct deploy *dp)
{
    HOB_ASSERT(dp->state == DEPLOY_CLOSING);
    if (dp->has_unpacker || dp->is_working || dp->is_writing || uv_is_closing((uv_handle_t *)&dp->deadline))
        return;
    hob_close_p(&dp->records_fd);
    dp->records_fd = -1;
    if (dp->is_cleaned || !dp->staged.store) {
        uv_close((uv_handle_t *)&dp->received, on_closed);
        uv_close((uv_handle_t *)&dp->deadline, on_closed);
        return;
    }
    dp->is_working = true;
    int rc = uv_queue_work(dp->deployer->o.loop, &dp->work, work_clean, on_cleaned);
    HOB_ASSERT(rc == 0);
}

/* --- callbacks of the unpacker and the clock --- */

static void on_unpacker_started(void *ctx, int channel_fd, uint64_t launch_us)
{
    struct deploy *dp = ctx;
    (void)launch_us;
    dp->records_fd = channel_fd;
    if (dp->state == DEPLOY_UNPACKING)
        receive(dp);
    else
        stop_unpacking(dp);
}

static void on_unpacker_failed(void *ctx, const struct hob_err *err)
{
    struct deploy *dp = ctx;
    struct hob_err copy = *err;
    dp->has_unpacker = false;
    (void)hob_err_wrap(&copy, "starting the unpacker");
    abort_deploy(dp, &copy);
}

/* A stream that broke off has its cause here, when the kernel ended the unpacker. */
static void on_unpacker_exited(void *ctx, const struct node_exit *e)
{
    struct deploy *dp = ctx;
    dp->has_unpacker = false;
    bool is_cut = dp->err.reason && strcmp(dp->err.reason, "bad_archive") == 0;
    if (is_cut && e->is_oom)
        (void)hob_fail_reason(&dp->err, HOB_E_TOO_LARGE, "bad_archive",
                              "unpacking the archive needs more than %d MiB of memory", UNPACK_MEMORY_MB);
    else if (is_cut && e->is_lost)
        (void)hob_fail(&dp->err, HOB_E_UNAVAILABLE, "the runner went away while unpacking; try again");
    if (dp->state == DEPLOY_CLOSING)
        try_finish(dp);
}

static void on_unpacker_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    const struct deploy *dp = ctx;
    (void)is_stderr;
    (void)dropped;
    hob_log(HOB_LOG_WARN, "deploy.unpacker", "app=%s text=%.*s", dp->app, (int)(text.n < 200 ? text.n : 200),
            text.at);
}

static void on_deadline(uv_timer_t *timer)
{
    struct deploy *dp = timer->data;
    struct hob_err err = dp->err;
    if (err.code == HOB_OK)
        (void)hob_fail(&err, HOB_E_TIMEOUT, "unpacking took longer than %d ms (deploy.unpack_ms)",
                       HOB_MAX_UNPACK_MS);
    abort_deploy(dp, &err);
}

/* --- the door --- */

static const char *const unpack_argv[] = {"/hob/unpack", "unpack", NULL};
static const char *const unpack_env[] = {NULL};
static const struct node_events unpack_events = {
    .started = on_unpacker_started,
    .failed = on_unpacker_failed,
    .exited = on_unpacker_exited,
    .log_line = on_unpacker_line,
};

static void start_unpacker(struct deploy *dp)
{
    dp->instance = hob_id64();
    dp->has_unpacker = true;
    (void)lseek(dp->archive_fd, 0, SEEK_SET); /* a pipe is read as it comes */
    struct node_start_spec spec = {.instance = dp->instance,
                                   .app = dp->app,
                                   .function = "unpack",
                                   .runtime = "unpack",
                                   .digest = "",
                                   .argv = unpack_argv,
                                   .env = unpack_env,
                                   .memory_mb = UNPACK_MEMORY_MB,
                                   .pids_max = UNPACK_PIDS,
                                   .tmp_bytes = HOB_MAX_TMP_BYTES,
                                   .stdin_fd = dp->archive_fd};
    node_start(dp->deployer->o.nodes, &spec, &unpack_events, dp);
}

static enum hob_code admit(struct deployer *d, const char *app, struct hob_err *err)
{
    if (d->is_closing)
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "shutting_down",
                               "the daemon is stopping; deploy again later");
    if (!hob_name_is_valid(hob_str(app)))
        return hob_fail(
            err, HOB_E_INVALID,
            "app name '%.64s': use a-z, 0-9, '-', 1 to 64 characters, a letter first, no '-' last", app);
    if (d->running_n >= DEPLOYS_MAX)
        return hob_fail(err, HOB_E_BUSY, "%d deploys run already; try again in a moment", DEPLOYS_MAX);
    HOB_LIST_EACH(&d->running, node, tmp)
    {
        const struct deploy *other = HOB_CONTAINER_OF(node, struct deploy, node);
        if (strcmp(other->app, app) == 0 && other->err.code == HOB_OK)
            return hob_fail_reason(err, HOB_E_CONFLICT, "deploy_in_progress",
                                   "a deploy of app '%s' is running; try again when it is done", app);
    }
    return HOB_OK;
}

static struct deploy *deploy_new(struct deployer *d, const struct deploy_spec *spec, deploy_done_cb done,
                                 void *ctx)
{
    struct deploy *dp = hob_new(struct deploy);
    dp->deployer = d;
    dp->app = hob_strdup(spec->app);
    dp->env_name = spec->env_name ? hob_strdup(spec->env_name) : NULL;
    dp->is_dry_run = spec->is_dry_run;
    dp->progress = spec->progress;
    dp->archive_fd = spec->archive_fd;
    dp->records_fd = -1;
    dp->staged.dir_fd = -1;
    dp->done = done;
    dp->ctx = ctx;
    dp->work.data = dp;
    hob_buf_init(&dp->manifest_text, HOB_MAX_MANIFEST_BYTES);
    HOB_ASSERT(uv_timer_init(d->o.loop, &dp->deadline) == 0);
    HOB_ASSERT(uv_async_init(d->o.loop, &dp->received, on_received) == 0);
    dp->deadline.data = dp->received.data = dp;
    dp->handles_open = 2;
    enum hob_code rc = admit(d, dp->app, &dp->err);
    hob_list_push_back(&d->running, &dp->node);
    d->running_n++;
    /* a refusal is told from the loop, as every other end */
    HOB_ASSERT(uv_timer_start(&dp->deadline, on_deadline, rc == HOB_OK ? HOB_MAX_UNPACK_MS : 0, 0) == 0);
    return dp;
}

struct deploy *deploy_start(struct deployer *d, const struct deploy_spec *spec, deploy_done_cb done,
                            void *ctx)
{
    struct deploy *dp = deploy_new(d, spec, done, ctx);
    if (dp->err.code == HOB_OK)
        start_unpacker(dp);
    return dp;
}

struct deploy *deploy_start_from_records(struct deployer *d, const struct deploy_spec *spec, int records_fd,
                                         deploy_done_cb done, void *ctx)
{
    struct deploy *dp = deploy_new(d, spec, done, ctx);
    dp->records_fd = records_fd;
    if (dp->err.code == HOB_OK)
        receive(dp);
    return dp;
}

void deploy_cancel(struct deploy *dp)
{
    struct hob_err err;
    if (dp->state >= DEPLOY_COMMITTING)
        return;
    (void)hob_fail(&err, HOB_E_CANCELLED, "the deploy was cancelled");
    abort_deploy(dp, &err);
}

struct deployer *deployer_new(const struct deployer_options *o)
{
    struct deployer *d = hob_new(struct deployer);
    d->o = *o;
    hob_list_init(&d->running);
    return d;
}

static void on_nothing_to_close(uv_handle_t *handle)
{
    struct deployer *d = handle->data;
    free(handle);
    if (d->closed)
        d->closed(d->closed_ctx);
    free(d);
}

bool deployer_is_idle(const struct deployer *d)
{
    return hob_list_is_empty(&d->running);
}

void deployer_close(struct deployer *d, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!d->is_closing);
    d->is_closing = true;
    d->closed = closed;
    d->closed_ctx = ctx;
    if (hob_list_is_empty(&d->running)) { /* told from the loop all the same */
        uv_timer_t *timer = hob_new(uv_timer_t);
        HOB_ASSERT(uv_timer_init(d->o.loop, timer) == 0);
        timer->data = d;
        uv_close((uv_handle_t *)timer, on_nothing_to_close);
        return;
    }
    HOB_LIST_EACH(&d->running, node, tmp)
    deploy_cancel(HOB_CONTAINER_OF(node, struct deploy, node));
}
