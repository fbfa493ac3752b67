/* Flow: OPEN (writes, one at a time) -> ENDING (the last ones) -> SYNCING -> DONE. A failure is kept until it can be told.
 * spool_free at any time: what is under way ends first. */
#include "bindings/files/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bindings/parse.h"

enum spool_state { SPOOL_OPEN, SPOOL_ENDING, SPOOL_SYNCING, SPOOL_DONE };
enum { WAITING_BYTES_MAX = 64 << 20 };

struct spool {
    uv_loop_t *loop;
    enum spool_state state;
    bool is_busy, is_freed; /* a request of libuv is under way; the owner has let go */
    int fd;
    char *path;
    uint64_t bytes, bytes_max, written;
    struct hob_buf waiting, writing;
    uv_fs_t request;
    crypto_hash_sha256_state hash;
    char digest[HOB_DIGEST_CHARS + 1];
    struct hob_err err;
    void (*took)(void *ctx, size_t n);
    void *took_ctx;
    spool_done_cb done;
    void *ctx;
};

static void spool_step(struct spool *s);

static void spool_destroy(struct spool *s)
{
    (void)close(s->fd);
    (void)unlink(s->path);
    hob_buf_done(&s->waiting);
    hob_buf_done(&s->writing);
    free(s->path);
    free(s);
}

static void give_back(struct spool *s, size_t n)
{
    if (s->took && !s->is_freed && n)
        s->took(s->took_ctx, n);
}

static void spool_wrote(struct spool *s, ssize_t n)
{
    if (n <= 0 && s->err.code == HOB_OK)
        (void)hob_fail_errno(&s->err, n ? (int)-n : EIO, "storing the file");
    if (s->err.code != HOB_OK) {
        n = (ssize_t)(s->writing.n + s->waiting.n);
        hob_buf_clear(&s->writing);
        hob_buf_clear(&s->waiting);
    } else {
        s->written += (uint64_t)n;
        hob_buf_consume(&s->writing, (size_t)n);
    }
    give_back(s, (size_t)n);
    spool_step(s);
}

/* --- callbacks --- */

static void on_written(uv_fs_t *r)
{
    struct spool *s = r->data;
    ssize_t n = r->result;
    uv_fs_req_cleanup(r);
    s->is_busy = false;
    spool_wrote(s, n);
}

static void on_synced(uv_fs_t *r)
{
    struct spool *s = r->data;
    if (r->result < 0 && s->err.code == HOB_OK)
        (void)hob_fail_errno(&s->err, (int)-r->result, "storing the file");
    uv_fs_req_cleanup(r);
    s->is_busy = false;
    spool_step(s);
}

/* --- steps --- */

static void spool_write(struct spool *s)
{
    if (!s->writing.n) {
        struct hob_buf empty = s->writing;
        s->writing = s->waiting;
        s->waiting = empty;
    }
    uv_buf_t buf = uv_buf_init(hob_buf_data(&s->writing), (unsigned)s->writing.n);
    s->is_busy = true;
    HOB_ASSERT(uv_fs_write(s->loop, &s->request, s->fd, &buf, 1, (int64_t)s->written, on_written) == 0);
}

static void spool_finish(struct spool *s)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_final(&s->hash, digest);
    hob_hex(s->digest, digest, sizeof digest);
    s->state = SPOOL_DONE;
    s->done(s->ctx, s->err.code == HOB_OK ? NULL : &s->err);
}

static void spool_step(struct spool *s)
{
    if (s->is_busy)
        return;
    if (s->is_freed) {
        spool_destroy(s);
        return;
    }
    if (s->err.code == HOB_OK && (s->writing.n || s->waiting.n)) {
        spool_write(s);
    } else if (s->state == SPOOL_ENDING) {
        s->state = SPOOL_SYNCING;
        s->is_busy = true;
        HOB_ASSERT(uv_fs_fsync(s->loop, &s->request, s->fd, on_synced) == 0);
    } else if (s->state == SPOOL_SYNCING) {
        spool_finish(s);
    }
}

/* --- door --- */

struct spool *spool_new(uv_loop_t *loop, const char *dir, uint64_t bytes_max, struct hob_err *err)
{
    struct spool *s = hob_new(struct spool);
    s->loop = loop;
    s->bytes_max = bytes_max;
    s->request.data = s;
    s->path = hob_asprintf("%s/upload-XXXXXX", dir);
    hob_buf_init(&s->waiting, WAITING_BYTES_MAX);
    hob_buf_init(&s->writing, WAITING_BYTES_MAX);
    (void)crypto_hash_sha256_init(&s->hash);
    s->fd = mkostemp(s->path, O_CLOEXEC);
    if (s->fd >= 0)
        return s;
    (void)hob_fail_errno(err, errno, "creating a file for the upload in %s", dir);
    free(s->path);
    free(s);
    return NULL;
}

void spool_on_written(struct spool *s, void (*took)(void *ctx, size_t n), void *ctx)
{
    s->took = took;
    s->took_ctx = ctx;
}

void spool_add(struct spool *s, struct hob_str data)
{
    HOB_ASSERT(s->state == SPOOL_OPEN);
    s->bytes += data.n;
    if (s->err.code == HOB_OK && (s->bytes > s->bytes_max || hob_buf_add_str(&s->waiting, data) != HOB_OK))
        (void)parse_fail(&s->err, PARSE_FILE_TOO_LARGE, "the file has more than %llu bytes (maxUploadSize)",
                         (unsigned long long)s->bytes_max);
    if (s->err.code != HOB_OK) {
        give_back(s, data.n);
        return;
    }
    (void)crypto_hash_sha256_update(&s->hash, (const unsigned char *)data.at, data.n);
    spool_step(s);
}

void spool_end(struct spool *s, spool_done_cb done, void *ctx)
{
    HOB_ASSERT(s->state == SPOOL_OPEN);
    s->done = done;
    s->ctx = ctx;
    s->state = SPOOL_ENDING;
    spool_step(s);
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    s->is_freed = true;
    spool_step(s);
}

uint64_t spool_bytes(const struct spool *s)
{
    return s->bytes;
}

const char *spool_digest(const struct spool *s)
{
    HOB_ASSERT(s->state == SPOOL_DONE);
    return s->digest;
}

const char *spool_path(const struct spool *s)
{
    return s->path;
}
