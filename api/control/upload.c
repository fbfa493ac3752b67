#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/control/control_priv.h"
#include "api/server/answer.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

/* Flow of a deploy:
 *
 *   RECEIVING -> DEPLOYING -> over
 *
 * RECEIVING: the body goes to a nameless file in HOME/tmp through a worker; bytes are given back to the server's
 * window only when they are on the file, so memory stays at that window. DEPLOYING: the deployer has the file; what it
 * says on the way begins a stream of JSON lines for clients that asked for one, whose last line is the answer. A
 * failure or the client's leaving jumps to `over`, which frees once no write and no deploy is under way. */
enum upload_state { UPLOAD_RECEIVING, UPLOAD_DEPLOYING, UPLOAD_OVER };
enum {
    UPLOAD_BUFFER_BYTES = 1024 * 1024, /* the server's window is smaller */
    LINE_BYTES_MAX = 4 << 20,
};

struct upload {
    struct call *call;
    enum upload_state state;
    int fd;
    uv_fs_t write;
    bool is_writing, is_complete;
    struct hob_buf waiting, writing;
    uint64_t bytes;
    struct deploy *deploy;
    char *env_name;
    bool is_dry_run;
    bool takes_lines, is_streaming;
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void upload_free_when_idle(struct upload *u)
{
    if (u->state != UPLOAD_OVER || u->is_writing || u->deploy)
        return;
    struct call *c = u->call;
    c->control->uploads--;
    (void)close(u->fd);
    hob_buf_done(&u->waiting);
    hob_buf_done(&u->writing);
    free(u->env_name);
    free(u);
    call_release(c);
}

static void upload_over(struct upload *u)
{
    u->state = UPLOAD_OVER;
    upload_free_when_idle(u);
}

/* {"NAME":TEXT} and a line's end; `text` is JSON. */
static void stream_line(struct upload *u, const char *name, struct hob_str text)
{
    hob_auto_buf struct hob_buf line;
    hob_buf_init(&line, LINE_BYTES_MAX);
    if (hob_buf_addf(&line, "{\"%s\":", name) == HOB_OK && hob_buf_add_str(&line, text) == HOB_OK &&
        hob_buf_add_str(&line, HOB_STR("}\n")) == HOB_OK)
        (void)http_write(u->call->x, hob_buf_str(&line));
}

static void stream_end(struct upload *u, const char *name, struct hob_str text)
{
    stream_line(u, name, text);
    http_end(u->call->x, NULL, 0);
    call_streamed(u->call);
}

static void upload_fail(struct upload *u, const struct hob_err *err)
{
    struct call *c = u->call;
    hob_auto_buf struct hob_buf body;
    hob_buf_init(&body, LINE_BYTES_MAX);
    c->control->stats.deploys_failed_total++;
    c->stream = NULL;
    if (u->is_streaming && http_problem_body(hob_code_info(err->code)->http_status, err,
                                             http_request(c->x)->request_id, &body) == HOB_OK)
        stream_end(u, "failed", hob_buf_str(&body));
    else if (u->is_streaming)
        http_abort(c->x);
    else
        call_fail(c, err);
    upload_over(u);
}

/* --- deploying ---------------------------------------------------------------------------------------------------- */

static void answer_deployed(struct upload *u, const struct deploy_result *r)
{
    struct call *c = u->call;
    struct hob_err err;
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_kcstr(w, "app", r->app);
    hob_jw_kcstr(w, "digest", r->digest);
    hob_jw_kint(w, "files", (int64_t)r->files);
    hob_jw_kint(w, "bytes", (int64_t)r->bytes);
    hob_jw_key(w, "functions");
    hob_jw_array(w);
    for (size_t i = 0; i < r->functions_n; i++) {
        const struct deploy_function *f = &r->functions[i];
        hob_auto_free char *url = call_url(c, r->app, f->name);
        hob_jw_object(w);
        hob_jw_kcstr(w, "name", f->name);
        hob_jw_kint(w, "version", f->version);
        hob_jw_kbool(w, "is_new", f->is_new);
        hob_jw_kcstr(w, "url", url);
        hob_jw_key(w, "routes");
        view_routes(w, f->config->routes, f->config->routes_n);
        if (f->config->image_id)
            hob_jw_kcstr(w, "image_id", f->config->image_id);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    if (!u->is_streaming)
        call_finish(c);
    else if (call_is_open(c) && hob_jw_end(w, &err) == HOB_OK)
        stream_end(u, "deployed", hob_buf_str(&c->out));
}

/* A slow reader misses lines, not the end. */
static void on_progress(void *ctx, struct hob_str text)
{
    static const struct http_field fields[] = {{{"content-type", 12}, {"application/x-ndjson", 20}},
                                               {{"cache-control", 13}, {"no-store", 8}}};
    struct upload *u = ctx;
    struct call *c = u->call;
    hob_auto_buf struct hob_buf quoted;
    struct hob_jw w;
    hob_buf_init(&quoted, LINE_BYTES_MAX);
    if (!u->takes_lines || u->state != UPLOAD_DEPLOYING || !call_is_open(c))
        return;
    hob_jw_init(&w, &quoted);
    hob_jw_str(&w, text);
    if (hob_jw_end(&w, NULL) != HOB_OK)
        return;
    if (!u->is_streaming)
        http_head(c->x, 200, fields, HOB_COUNT(fields), HTTP_LENGTH_UNKNOWN);
    u->is_streaming = true;
    stream_line(u, "progress", hob_buf_str(&quoted));
}

static void on_deployed(void *ctx, const struct deploy_result *r, const struct hob_err *err)
{
    struct upload *u = ctx;
    struct call *c = u->call;
    u->deploy = NULL;
    if (err && u->state != UPLOAD_OVER) {
        upload_fail(u, err);
        return;
    }
    if (!err) {
        /* who took the name is worth a line even when the client is gone */
        hob_log(HOB_LOG_INFO, "deploy.done", "app=%s digest=%.12s functions=%zu by=%s dry_run=%d", r->app,
                r->digest, r->functions_n, c->token_name, u->is_dry_run);
        c->control->stats.deploys_total++;
        c->stream = NULL;
        answer_deployed(u, r);
    }
    upload_over(u);
}

static void upload_deploy(struct upload *u)
{
    struct deploy_spec spec = {.app = u->call->copies[0],
                               .env_name = u->env_name,
                               .is_dry_run = u->is_dry_run,
                               .archive_fd = u->fd,
                               .progress = on_progress};
    struct hob_err err = {0};
    HOB_ASSERT(u->state == UPLOAD_RECEIVING);
    if (u->bytes == 0) {
        (void)hob_fail_reason(&err, HOB_E_INVALID, "bad_archive",
                              "the body is empty: send a tar, tar.gz or zip with hob.json at its root");
        upload_fail(u, &err);
        return;
    }
    if (lseek(u->fd, 0, SEEK_SET) < 0) {
        (void)hob_fail_errno(&err, errno, "reading the upload");
        upload_fail(u, &err);
        return;
    }
    u->state = UPLOAD_DEPLOYING;
    u->deploy = deploy_start(u->call->control->o.deployer, &spec, on_deployed, u);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static void on_written(uv_fs_t *write);

static void upload_write(struct upload *u)
{
    struct hob_str part = hob_buf_str(&u->writing);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)part.at, (unsigned)part.n);
    u->is_writing = true;
    u->write.data = u;
    HOB_ASSERT(
        uv_fs_write(u->call->control->o.loop, &u->write, u->fd, &buf, 1, (int64_t)u->bytes, on_written) == 0);
}

static void upload_step(struct upload *u)
{
    if (u->state != UPLOAD_RECEIVING || u->is_writing)
        return;
    if (u->waiting.n) {
        hob_buf_clear(&u->writing);
        HOB_ASSERT(hob_buf_add_str(&u->writing, hob_buf_str(&u->waiting)) == HOB_OK);
        hob_buf_clear(&u->waiting);
        upload_write(u);
    } else if (u->is_complete) {
        upload_deploy(u);
    }
}

/* A short write goes on with the rest; only a whole one gives its bytes back to the window. */
static void upload_wrote(struct upload *u, ssize_t n)
{
    struct hob_err err = {0};
    u->is_writing = false;
    if (u->state == UPLOAD_OVER) {
        upload_free_when_idle(u);
        return;
    }
    if (n <= 0) {
        (void)hob_fail_errno(&err, n ? (int)-n : EIO, "storing the upload in HOME/tmp, %llu bytes were there",
                             (unsigned long long)u->bytes);
        upload_fail(u, &err);
        return;
    }
    u->bytes += (uint64_t)n;
    hob_buf_consume(&u->writing, (size_t)n);
    if (call_is_open(u->call))
        http_consumed(u->call->x, (size_t)n);
    if (u->writing.n)
        upload_write(u);
    else
        upload_step(u);
}

static void on_written(uv_fs_t *write)
{
    struct upload *u = write->data;
    ssize_t n = write->result;
    uv_fs_req_cleanup(write);
    upload_wrote(u, n);
}

static void on_body(void *ctx, struct hob_str data)
{
    struct upload *u = ctx;
    /* the server's window keeps this far below the buffer's limit */
    if (u->state != UPLOAD_RECEIVING)
        return;
    HOB_ASSERT(hob_buf_add_str(&u->waiting, data) == HOB_OK);
    upload_step(u);
}

static void on_body_end(void *ctx)
{
    struct upload *u = ctx;
    u->is_complete = true;
    upload_step(u);
}

static void on_gone(void *ctx)
{
    struct upload *u = ctx;
    if (u->deploy)
        deploy_cancel(u->deploy);
    upload_over(u);
}

static const struct call_stream upload_stream = {
    .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone};

/* --- door --------------------------------------------------------------------------------------------------------- */

static enum hob_code judge_upload(const struct call *c, bool *ret_is_dry, struct hob_err *err)
{
    const struct http_request *rq = http_request(c->x);
    struct hob_str dry = call_query(c, "dry_run");
    if (dry.at && !hob_str_is(dry, "1") && !hob_str_is(dry, "0"))
        return hob_fail(err, HOB_E_INVALID, "the query: dry_run must be 1 or 0");
    if (rq->body_bytes > HOB_MAX_ARCHIVE_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE, "the archive has %lld bytes; deploy.archive_bytes allows %d",
                        (long long)rq->body_bytes, HOB_MAX_ARCHIVE_BYTES);
    if (c->control->uploads >= HOB_MAX_DEPLOYS)
        return hob_fail_reason(err, HOB_E_BUSY, "too_many_deploys",
                               "%d deploys are under way (deploy.concurrent); try again in a moment",
                               HOB_MAX_DEPLOYS);
    *ret_is_dry = dry.at && hob_str_is(dry, "1");
    return HOB_OK;
}

void handle_deploy(struct call *c)
{
    struct hob_err err = {0};
    bool is_dry = false;
    int fd = -1;
    if (judge_upload(c, &is_dry, &err) != HOB_OK || (fd = hob_open_nameless(c->control->tmp_dir, &err)) < 0) {
        call_fail(c, &err);
        return;
    }
    struct upload *u = hob_new(struct upload);
    struct hob_str env = call_query(c, "env");
    u->call = c;
    u->fd = fd;
    u->is_dry_run = is_dry;
    u->takes_lines = hob_str_is(http_field(c->x, "accept"), "application/x-ndjson");
    u->env_name = env.n ? hob_strndup(env.at, env.n) : NULL;
    hob_buf_init(&u->waiting, UPLOAD_BUFFER_BYTES);
    hob_buf_init(&u->writing, UPLOAD_BUFFER_BYTES);
    c->control->uploads++;
    call_hold(c);
    call_stream_begin(c, &upload_stream, u);
    http_body_read(c->x, HOB_MAX_ARCHIVE_BYTES);
}
