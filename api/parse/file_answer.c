/* Flow: HEAD sent -> (READING a piece on a worker -> sent; WAITING while the client is slow)* -> ENDED. When the client
 * goes, the piece under way is waited for, then everything is freed. */
#include "api/parse/file_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum { PIECE_BYTES = 65536, FIELDS_MAX = 16 };

struct part { /* what is sent of the file */
    int fd;
    uint64_t at, left;
};

struct stream {
    uv_loop_t *loop;
    struct http_exchange *x; /* NULL once closed */
    uv_fs_t read;
    bool is_reading, is_full, is_ended;
    struct part part;
    char piece[PIECE_BYTES];
};

/* --- ranges --- */

static bool take_number(struct hob_str *s, uint64_t *ret_value, bool *ret_is_there)
{
    size_t n = 0;
    while (n < s->n && s->at[n] >= '0' && s->at[n] <= '9')
        n++;
    *ret_is_there = n > 0;
    if (n > 0 && !hob_str_u64(hob_str_n(s->at, n), ret_value))
        return false;
    *s = hob_str_n(s->at + n, s->n - n);
    return true;
}

enum file_range file_range_parse(struct hob_str field, uint64_t bytes, uint64_t *ret_from,
                                 uint64_t *ret_bytes)
{
    static const struct hob_str unit = {"bytes=", 6};
    uint64_t first = 0, last = 0;
    bool has_first, has_last;
    if (!field.at || !hob_str_starts(field, unit))
        return FILE_RANGE_ALL;
    struct hob_str rest = hob_str_trim(hob_str_n(field.at + unit.n, field.n - unit.n));
    if (!take_number(&rest, &first, &has_first) || !rest.n || rest.at[0] != '-')
        return FILE_RANGE_ALL;
    rest = hob_str_n(rest.at + 1, rest.n - 1);
    if (!take_number(&rest, &last, &has_last) || rest.n || (!has_first && !has_last) ||
        (has_first && has_last && last < first))
        return FILE_RANGE_ALL;
    if (!has_first) { /* the last so many */
        first = last < bytes ? bytes - last : 0;
        last = last ? bytes : 0;
    } else {
        last = has_last && last < bytes ? last + 1 : bytes;
    }
    if (first >= bytes || last <= first)
        return FILE_RANGE_NONE;
    *ret_from = first;
    *ret_bytes = last - first;
    return FILE_RANGE_PART;
}

/* --- steps --- */

static void on_read(uv_fs_t *read);

static void stream_free_when_idle(struct stream *s)
{
    if (s->x || s->is_reading)
        return;
    (void)close(s->part.fd);
    free(s);
}

static void stream_step(struct stream *s)
{
    if (!s->x || s->is_reading || s->is_full || s->is_ended)
        return;
    if (s->part.left == 0) {
        s->is_ended = true;
        http_end(s->x, NULL, 0);
        return;
    }
    uv_buf_t buf = uv_buf_init(s->piece, (unsigned)(s->part.left < PIECE_BYTES ? s->part.left : PIECE_BYTES));
    s->is_reading = true;
    HOB_ASSERT(uv_fs_read(s->loop, &s->read, s->part.fd, &buf, 1, (int64_t)s->part.at, on_read) == 0);
}

static void stream_got(struct stream *s, ssize_t n)
{
    if (!s->x) {
        stream_free_when_idle(s);
        return;
    }
    if (n <= 0) { /* shorter than it was said to be: the client must see that */
        s->is_ended = true;
        http_abort(s->x);
        return;
    }
    s->part.at += (uint64_t)n;
    s->part.left -= (uint64_t)n;
    s->is_full = http_write(s->x, hob_str_n(s->piece, (size_t)n)) >= HOB_MAX_HTTP_CONN_BUFFER_BYTES;
    stream_step(s);
}

/* --- callbacks --- */

static void on_read(uv_fs_t *read)
{
    struct stream *s = read->data;
    ssize_t n = read->result;
    uv_fs_req_cleanup(read);
    s->is_reading = false;
    stream_got(s, n);
}

static void on_drain(void *ctx)
{
    struct stream *s = ctx;
    s->is_full = false;
    stream_step(s);
}

static void on_abort(void *ctx, const struct hob_err *err)
{
    (void)err;
    ((struct stream *)ctx)->is_ended = true;
}

static void on_close(void *ctx)
{
    struct stream *s = ctx;
    s->x = NULL;
    stream_free_when_idle(s);
}

static const struct http_events stream_events = {
    .on_drain = on_drain, .on_abort = on_abort, .on_close = on_close};

/* --- door --- */

struct answer_head {
    struct http_field fields[FIELDS_MAX];
    size_t n;
};
static void add_field(struct answer_head *h, const char *name, const char *value)
{
    HOB_ASSERT(h->n < FIELDS_MAX);
    h->fields[h->n++] = (struct http_field){hob_str(name), hob_str(value)};
}

static bool tag_matches(struct hob_str field, const char *quoted)
{
    while (field.n) {
        struct hob_str one = hob_str_trim(hob_str_cut(field, ',', &field));
        if (hob_str_is(one, "*") || hob_str_is(one, quoted) ||
            (one.n > 2 && one.at[0] == 'W' && hob_str_is(hob_str_n(one.at + 2, one.n - 2), quoted)))
            return true;
        if (!field.at)
            break;
    }
    return false;
}

static void send_stream(uv_loop_t *loop, struct http_exchange *x, int status, const struct answer_head *h,
                        const struct part *part)
{
    struct stream *s = hob_new(struct stream);
    s->loop = loop;
    s->x = x;
    s->part = *part;
    s->read.data = s;
    http_listen(x, &stream_events, s);
    http_head(x, status, h->fields, h->n, (int64_t)s->part.left);
    if (http_request(x)->is_head)
        s->part.left = 0;
    stream_step(s);
}

void file_answer_start(uv_loop_t *loop, struct http_exchange *x, const struct file_answer *a)
{
    struct answer_head h = {.n = 0};
    struct part part = {.fd = a->fd, .left = a->bytes};
    char range[80];
    hob_auto_free char *tag = hob_asprintf("\"%s\"", a->etag);
    struct hob_str if_range = http_field(x, "if-range");
    bool takes_part = !if_range.at || hob_str_is(if_range, tag);
    enum file_range kind = takes_part
                               ? file_range_parse(http_field(x, "range"), a->bytes, &part.at, &part.left)
                               : FILE_RANGE_ALL;
    for (size_t i = 0; i < a->fields_n && h.n < FIELDS_MAX - 6; i++)
        h.fields[h.n++] = a->fields[i];
    add_field(&h, "ETag", tag);
    add_field(&h, "Accept-Ranges", "bytes");
    if (tag_matches(http_field(x, "if-none-match"), tag) || kind == FILE_RANGE_NONE) {
        bool is_same = kind != FILE_RANGE_NONE;
        (void)snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)a->bytes);
        if (!is_same)
            add_field(&h, "Content-Range", range);
        (void)close(a->fd);
        http_respond(x, is_same ? 304 : 416, h.fields, h.n, HOB_STR(""));
        return;
    }
    add_field(&h, "Content-Type", a->type);
    (void)snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)part.at,
                   (unsigned long long)(part.at + part.left - 1), (unsigned long long)a->bytes);
    if (kind == FILE_RANGE_PART)
        add_field(&h, "Content-Range", range);
    send_stream(loop, x, kind == FILE_RANGE_PART ? 206 : 200, &h, &part);
}
