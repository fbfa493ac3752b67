#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/appdb.h"

/* Flow of a backup:
 *
 *   SNAPSHOT -> READING <-> WAITING -> over
 *
 * SNAPSHOT: the store writes its copy to HOME/tmp, which loses its name as soon as it is open here. READING: a worker
 * reads the next piece. WAITING: the client has enough for now. The client's leaving jumps to `over`. */
enum backup_state { BACKUP_SNAPSHOT, BACKUP_READING, BACKUP_WAITING, BACKUP_OVER };
enum { PIECE_BYTES = 64 * 1024 };

struct backup {
    struct call *call;
    enum backup_state state;
    char *path;
    int fd;
    uv_fs_t read;
    bool is_reading;
    int64_t at, size;
    char piece[PIECE_BYTES];
};

static void backup_over(struct backup *b)
{
    struct call *c = b->call;
    b->state = BACKUP_OVER;
    if (b->is_reading)
        return;
    if (b->fd >= 0)
        (void)close(b->fd);
    free(b->path);
    free(b);
    call_release(c);
}

static void on_read(uv_fs_t *read);

static void backup_read(struct backup *b)
{
    uv_buf_t buf = uv_buf_init(b->piece, PIECE_BYTES);
    b->state = BACKUP_READING;
    b->is_reading = true;
    b->read.data = b;
    HOB_ASSERT(uv_fs_read(b->call->control->o.loop, &b->read, b->fd, &buf, 1, b->at, on_read) == 0);
}

static void backup_give(struct backup *b, ssize_t n)
{
    struct call *c = b->call;
    b->is_reading = false;
    if (b->state == BACKUP_OVER) {
        backup_over(b);
        return;
    }
    if (n <= 0) { /* shorter than it was, or unreadable: the client must not take it for whole */
        call_streamed(c);
        http_abort(c->x);
        backup_over(b);
        return;
    }
    b->at += n;
    size_t queued = http_write(c->x, hob_str_n(b->piece, (size_t)n));
    if (b->at >= b->size) {
        call_streamed(c);
        http_end(c->x, NULL, 0);
        backup_over(b);
    } else if (queued >= HOB_MAX_HTTP_CONN_BUFFER_BYTES) {
        b->state = BACKUP_WAITING;
    } else {
        backup_read(b);
    }
}

static void on_read(uv_fs_t *read)
{
    struct backup *b = read->data;
    ssize_t n = read->result;
    uv_fs_req_cleanup(read);
    backup_give(b, n);
}

static void on_drain(void *ctx)
{
    struct backup *b = ctx;
    if (b->state == BACKUP_WAITING)
        backup_read(b);
}

static void on_gone(void *ctx)
{
    struct backup *b = ctx;
    if (b->state != BACKUP_SNAPSHOT)
        backup_over(b);
    else
        b->state = BACKUP_OVER; /* on_snapshot lets go */
}

static const struct call_stream backup_stream = {.on_drain = on_drain, .on_gone = on_gone};

static enum hob_code open_snapshot(struct backup *b, struct hob_err *err)
{
    struct stat st;
    b->fd = open(b->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (b->fd < 0 || unlink(b->path) < 0 || fstat(b->fd, &st) < 0)
        return hob_fail_errno(err, errno, "opening the snapshot %s", b->path);
    b->size = st.st_size;
    return HOB_OK;
}

static void backup_head(struct backup *b)
{
    char name[80], day[25];
    hob_utc_format(hob_utc_ms(), day);
    int n = snprintf(name, sizeof name, "attachment; filename=\"hob-%.10s.db\"", day);
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/vnd.sqlite3")},
                                        {HOB_STR("content-disposition"), hob_str_n(name, (size_t)n)}};
    http_head(b->call->x, b->call->route->status, fields, HOB_COUNT(fields), b->size);
}

static void on_snapshot(void *ctx, const struct hob_err *err)
{
    struct backup *b = ctx;
    struct call *c = b->call;
    struct hob_err own = {0};
    enum hob_code rc = err ? err->code : open_snapshot(b, &own);
    if (b->state == BACKUP_SNAPSHOT && rc == HOB_OK) {
        backup_head(b);
        backup_read(b);
        return;
    }
    c->stream = NULL;
    if (rc != HOB_OK)
        call_fail(c, err ? err : &own);
    backup_over(b);
}

static struct backup *backup_new(struct call *c)
{
    char id[17];
    struct backup *b = hob_new(struct backup);
    hob_random_hex(id, 8);
    b->call = c;
    b->fd = -1;
    b->path = hob_asprintf("%s/backup-%s.db", c->control->tmp_dir, id);
    call_hold(c);
    call_stream_begin(c, &backup_stream, b);
    return b;
}

void handle_backup(struct call *c)
{
    struct backup *b = backup_new(c);
    store_backup(c->control->o.store, b->path, on_snapshot, b);
}

void handle_data_backup(struct call *c)
{
    struct backup *b = backup_new(c);
    appdb_backup(c->control->o.dbs, c->copies[0], b->path, on_snapshot, b);
}
