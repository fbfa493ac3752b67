#include "controller/dispatch/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "controller/dispatch/channel_priv.h"

#include "base/banned.h"

/* ---- the mux ---- */

static void flush(struct channel *c);

void channel_mux_flush(struct channel_mux *m)
{
    struct hob_node *n;
    while ((n = hob_list_first(&m->dirty)) != NULL) {
        hob_list_remove(n);
        flush(HOB_CONTAINER_OF(n, struct channel, dirty));
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct channel_mux *m = h->data;
    if (m->before)
        m->before(m->before_ctx);
    channel_mux_flush(m);
}

struct channel_mux *channel_mux_new(uv_loop_t *loop)
{
    struct channel_mux *m = hob_new(struct channel_mux);
    hob_list_init(&m->dirty);
    m->in = hob_calloc(1, READ_BYTES);
    HOB_ASSERT(uv_prepare_init(loop, &m->prepare) == 0);
    m->prepare.data = m;
    HOB_ASSERT(uv_prepare_start(&m->prepare, on_prepare) == 0);
    uv_unref((uv_handle_t *)&m->prepare);
    return m;
}

void channel_mux_hook(struct channel_mux *m, void (*before)(void *ctx), void *ctx)
{
    m->before = before;
    m->before_ctx = ctx;
}

static void on_mux_closed(uv_handle_t *h)
{
    struct channel_mux *m = h->data;
    void (*closed)(void *ctx) = m->closed;
    void *ctx = m->closed_ctx;
    free(m->in);
    free(m);
    if (closed)
        closed(ctx);
}

void channel_mux_close(struct channel_mux *m, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(hob_list_is_empty(&m->dirty));
    m->closed = closed;
    m->closed_ctx = ctx;
    uv_close((uv_handle_t *)&m->prepare, on_mux_closed);
}

/* ---- the socket ---- */

static void on_poll(uv_poll_t *h, int status, int events);

static void watch(struct channel *c)
{
    int want =
        (c->is_reading ? UV_READABLE : 0) | (c->out.n && !hob_node_is_linked(&c->dirty) ? UV_WRITABLE : 0);
    if (c->is_dead)
        want = 0;
    if (want == c->polled)
        return;
    c->polled = want;
    if (want)
        HOB_ASSERT(uv_poll_start(&c->poll, want, on_poll) == 0);
    else
        HOB_ASSERT(uv_poll_stop(&c->poll) == 0);
}

static void die(struct channel *c)
{
    c->is_dead = true;
    hob_list_remove(&c->dirty);
    watch(c);
}

void channel_violate(struct channel *c, const char *why)
{
    if (c->is_dead)
        return;
    die(c);
    c->events->on_violation(c->ctx, why);
}

static void hang_up(struct channel *c)
{
    if (c->is_dead)
        return;
    die(c);
    c->events->on_hangup(c->ctx);
}

/* What could not be written yet waits for the socket. A broken pipe is no event of its own: the reading side sees
 * the end after the last frames, and the unsent bytes stay for channel_unsent. */
static void flush(struct channel *c)
{
    while (c->out.n && !c->is_dead) {
        ssize_t n = send(c->fd, hob_buf_data(&c->out), c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        c->sent += (uint64_t)n;
        hob_buf_consume(&c->out, (size_t)n);
    }
    if (c->is_dead)
        return;
    if (c->out.n == 0 && c->out.cap > OUT_KEEP_BYTES)
        hob_buf_done(&c->out);
    c->is_reading = c->out.n < OUT_PAUSE_BYTES;
    if (c->out.n && errno != EAGAIN && errno != EWOULDBLOCK)
        c->is_reading = true; /* broken: read on to the end, write no more */
    watch(c);
}

/* One read into `to`; 0 at the end, -1 when nothing is there now. */
static ssize_t read_some(struct channel *c, void *to, size_t n)
{
    ssize_t got;
    do
        got = recv(c->fd, to, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return 0;
    return got;
}

/* The common case: nothing is left over, frames are taken straight from the shared buffer. */
static ssize_t read_fresh(struct channel *c)
{
    const char *at = (const char *)c->mux->in;
    ssize_t got = read_some(c, c->mux->in, READ_BYTES);
    if (got <= 0)
        return got;
    size_t n = (size_t)got, taken = channel_take(c, hob_str_n(at, n));
    if (!c->is_dead && taken < n)
        HOB_ASSERT(hob_buf_add(&c->in, at + taken, n - taken) == HOB_OK);
    return got;
}

static ssize_t read_more(struct channel *c)
{
    char *room = hob_buf_room(&c->in, READ_BYTES);
    HOB_ASSERT(room != NULL);
    ssize_t got = read_some(c, room, READ_BYTES);
    if (got <= 0)
        return got;
    hob_buf_grew(&c->in, (size_t)got);
    size_t taken = channel_take(c, hob_buf_str(&c->in));
    hob_buf_consume(&c->in, taken);
    if (c->in.n == 0)
        hob_buf_done(&c->in);
    return got;
}

/* Bytes read; 0 when the instance closed its end, -1 when nothing is there now. */
static ssize_t read_once(struct channel *c)
{
    ssize_t got = c->in.n ? read_more(c) : read_fresh(c);
    if (got > 0)
        c->is_heard = true;
    return got;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct channel *c = h->data;
    if (status >= 0 && (events & UV_WRITABLE))
        flush(c);
    if (c->is_dead || c->is_closed || (status >= 0 && !(events & UV_READABLE)))
        return;
    if (status < 0 || read_once(c) == 0) {
        hang_up(c);
    } else if (c->is_reading && !c->is_dead && c->out.n >= OUT_PAUSE_BYTES) {
        c->is_reading = false;
        watch(c);
    }
}

void channel_read_rest(struct channel *c)
{
    while (!c->is_dead && !c->is_closed) {
        ssize_t got = read_once(c);
        if (got <= 0)
            break; /* the peer is dead: nothing comes later */
    }
}

bool channel_was_heard(const struct channel *c)
{
    return c->is_heard;
}

/* ---- life ---- */

struct channel *channel_open(struct channel_mux *m, int fd, const struct channel_events *e, void *ctx)
{
    struct channel *c = hob_new(struct channel);
    c->mux = m;
    c->fd = fd;
    c->events = e;
    c->ctx = ctx;
    c->send_credit = c->recv_window = CHANNEL_WINDOW;
    hob_list_init(&c->blocked);
    hob_buf_init(&c->out, OUT_BYTES_MAX);
    hob_buf_init(&c->in, (size_t)HOB_FRAME_HEADER_BYTES + (1u << 20) + READ_BYTES);
    HOB_ASSERT(uv_poll_init(m->prepare.loop, &c->poll, fd) == 0);
    c->poll.data = c;
    c->is_reading = true;
    watch(c);
    return c;
}

static void on_closed(uv_handle_t *h)
{
    struct channel *c = h->data;
    (void)close(c->fd);
    hob_buf_done(&c->out);
    hob_buf_done(&c->in);
    free(c->free_slots);
    free(c->generations);
    free(c->streams);
    free(c);
}

void channel_close(struct channel *c)
{
    HOB_ASSERT(!c->is_closed);
    c->is_closed = true;
    if (!c->is_dead)
        die(c);
    uv_close((uv_handle_t *)&c->poll, on_closed);
}

void channel_trim(struct channel *c)
{
    if (c->out.n == 0)
        hob_buf_done(&c->out);
    if (c->in.n == 0)
        hob_buf_done(&c->in);
}

/* ---- streams ---- */

void channel_set_streams(struct channel *c, unsigned n)
{
    HOB_ASSERT(!c->streams && n >= 1 && n <= CHANNEL_STREAMS_MAX);
    c->streams_max = c->free_n = n;
    c->streams = hob_new_n(struct channel_stream *, n);
    c->generations = hob_new_n(uint32_t, n);
    c->free_slots = hob_new_n(uint16_t, n);
    for (unsigned i = 0; i < n; i++)
        c->free_slots[i] = (uint16_t)(n - 1 - i);
}

static unsigned slot_of(uint32_t id)
{
    return (id >> 1) & ((1u << SLOT_BITS) - 1);
}

struct channel_stream *channel_find(struct channel *c, uint32_t id)
{
    unsigned slot = slot_of(id);
    if (!(id & 1) || slot >= c->streams_max || !c->streams[slot] || c->streams[slot]->id != id)
        return NULL;
    return c->streams[slot];
}

struct channel_stream *channel_next_stream(struct channel *c, unsigned *slot)
{
    while (*slot < c->streams_max) {
        struct channel_stream *s = c->streams[(*slot)++];
        if (s)
            return s;
    }
    return NULL;
}

static void open_stream(struct channel *c, struct channel_stream *s)
{
    HOB_ASSERT(c->free_n > 0);
    unsigned slot = c->free_slots[--c->free_n];
    uint32_t generation = ++c->generations[slot];
    *s = (struct channel_stream){
        .id = (generation << (SLOT_BITS + 1)) | (slot << 1) | 1,
        .send_credit = CHANNEL_STREAM_WINDOW,
        .recv_window = CHANNEL_STREAM_WINDOW,
    };
    c->streams[slot] = s;
    c->streams_n++;
}

/* The connection's window bounds what is on its way, not what listeners hold: that is the streams' windows' part. Else
 * some slow clients would hold up all others of their instance. */
void channel_renew(struct channel *c, uint32_t n)
{
    c->recv_renew += n;
    if (c->recv_renew < CHANNEL_WINDOW / 2 || c->is_dead)
        return;
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_CREDIT, .arg = c->recv_renew}, HOB_STR(""));
    c->recv_window += c->recv_renew;
    c->recv_renew = 0;
}

void channel_end_stream(struct channel *c, struct channel_stream *s)
{
    unsigned slot = slot_of(s->id);
    HOB_ASSERT(c->streams[slot] == s);
    c->streams[slot] = NULL;
    c->free_slots[c->free_n++] = (uint16_t)slot;
    c->streams_n--;
    hob_list_remove(&s->blocked);
    s->recv_held = 0;
    s->id = 0;
}

/* ---- writing ---- */

static void mark_dirty(struct channel *c)
{
    if (!hob_node_is_linked(&c->dirty) && !(c->polled & UV_WRITABLE))
        hob_list_push_back(&c->mux->dirty, &c->dirty);
}

void channel_write(struct channel *c, struct hob_frame f, struct hob_str payload)
{
    if (c->is_dead)
        return;
    if (hob_frame_add(&c->out, f, payload) == HOB_OK)
        mark_dirty(c);
    else
        channel_violate(c, "does not read what is written to it");
}

void channel_hello(struct channel *c, struct hob_str pairs)
{
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_HELLO}, pairs);
}

void channel_reconfig(struct channel *c, struct hob_str pairs)
{
    HOB_ASSERT(c->has_ready && c->streams_n == 0);
    c->has_ready = false;
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_RECONFIG}, pairs);
}

/* Header, u32 meta_n, meta, data: written in place, because this is every request's path. */
static enum hob_code add_invoke(struct hob_buf *out, struct hob_frame f, const struct hob_invoke_meta *m,
                                struct hob_str data)
{
    size_t meta_n =
        HOB_INVOKE_META_BYTES + m->method.n + m->target.n + m->request_id.n + m->fields.n + m->extras.n;
    size_t n = 4 + meta_n + data.n;
    unsigned char *to = NULL;
    if (n <= hob_frame_payload_max(f.type))
        to = (unsigned char *)hob_buf_room(out, HOB_FRAME_HEADER_BYTES + n);
    if (!to)
        return HOB_E_TOO_LARGE;
    f.len = (uint32_t)n;
    hob_frame_encode(&f, to);
    hob_put_u32(to + HOB_FRAME_HEADER_BYTES, (uint32_t)meta_n);
    hob_buf_grew(out, HOB_FRAME_HEADER_BYTES + 4);
    HOB_ASSERT(hob_invoke_meta_add(out, m) == HOB_OK);
    return hob_buf_add_str(out, data);
}

void channel_invoke(struct channel *c, struct channel_stream *s, const struct hob_invoke_meta *meta,
                    uint32_t run_ms, struct hob_str data, bool is_end)
{
    HOB_ASSERT(data.n <= CHANNEL_FREE_BODY && c->has_ready);
    open_stream(c, s);
    s->is_event = meta->kind == HOB_INVOKE_EVENT;
    s->has_body_end = is_end;
    s->invoke_at = c->sent + c->out.n;
    if (c->is_dead)
        return;
    struct hob_frame f = {.type = HOB_FRAME_INVOKE, .stream = s->id, .arg = run_ms};
    f.flags = (uint8_t)(HOB_FRAME_META | (is_end ? HOB_FRAME_END : 0));
    /* every slot's INVOKE together is less than the buffer may hold */
    HOB_ASSERT(add_invoke(&c->out, f, meta, data) == HOB_OK);
    mark_dirty(c);
}

size_t channel_body(struct channel *c, struct channel_stream *s, struct hob_str data, bool is_end,
                    struct hob_str trailers)
{
    HOB_ASSERT(s->id && !s->has_body_end);
    size_t taken = 0;
    struct hob_frame f = {.type = HOB_FRAME_BODY, .stream = s->id};
    size_t credit = s->send_credit < c->send_credit ? s->send_credit : c->send_credit;
    size_t whole = data.n < credit ? data.n : credit;
    while (taken < whole) {
        size_t n = whole - taken < 32768 ? whole - taken : 32768;
        taken += n;
        bool is_last = is_end && taken == data.n && trailers.n == 0;
        f.flags = is_last ? HOB_FRAME_END : 0;
        channel_write(c, f, hob_str_n(data.at + taken - n, n));
        s->has_body_end = is_last;
    }
    s->send_credit -= (uint32_t)taken;
    c->send_credit -= (uint32_t)taken;
    if (taken < data.n && s->send_credit && !hob_node_is_linked(&s->blocked))
        hob_list_push_back(&c->blocked, &s->blocked);
    if (taken < data.n || !is_end || s->has_body_end)
        return taken;
    s->has_body_end = true;
    f.flags = HOB_FRAME_END;
    if (trailers.n == 0)
        channel_write(c, f, HOB_STR(""));
    else if (!c->is_dead && hob_frame_add_meta(&c->out, f, trailers, HOB_STR("")) == HOB_OK)
        mark_dirty(c);
    return taken;
}

/* Credit came from the instance; whoever waited for it is told. */
void channel_take_credit(struct channel *c, struct channel_stream *s, uint32_t n)
{
    uint32_t *credit = s ? &s->send_credit : &c->send_credit;
    if (n > INT32_MAX || *credit > INT32_MAX - n) {
        channel_violate(c, "gives more credit than it can mean");
        return;
    }
    *credit += n;
    if (s) {
        if (!s->has_body_end && c->send_credit)
            c->events->on_window(c->ctx, s);
        return;
    }
    struct hob_node *node;
    while (!c->is_dead && c->send_credit && (node = hob_list_first(&c->blocked)) != NULL) {
        hob_list_remove(node);
        c->events->on_window(c->ctx, HOB_CONTAINER_OF(node, struct channel_stream, blocked));
    }
}

void channel_consumed(struct channel *c, struct channel_stream *s, size_t n)
{
    HOB_ASSERT(s->id && n <= s->recv_held);
    s->recv_held -= (uint32_t)n;
    s->recv_renew += (uint32_t)n;
    if (s->recv_renew >= CHANNEL_STREAM_WINDOW / 2 && !s->has_end && !c->is_dead) {
        channel_write(c, (struct hob_frame){.type = HOB_FRAME_CREDIT, .stream = s->id, .arg = s->recv_renew},
                      HOB_STR(""));
        s->recv_window += s->recv_renew;
        s->recv_renew = 0;
    }
}

void channel_cancel(struct channel *c, struct channel_stream *s, enum hob_cancel_reason why)
{
    HOB_ASSERT(s->id);
    s->is_cancelled = s->has_body_end = true;
    hob_list_remove(&s->blocked);
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_CANCEL, .stream = s->id, .code = (uint16_t)why},
                  HOB_STR(""));
}

void channel_drain(struct channel *c, uint32_t grace_ms)
{
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_DRAIN, .arg = grace_ms}, HOB_STR(""));
}

void channel_ping(struct channel *c)
{
    c->is_heard = false;
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_PING}, HOB_STR(""));
}

/* The parts of a long reply: u32 meta_n, meta and data as one text, cut where a frame is full. */
static void reply_parts(struct channel *c, struct hob_frame f, struct hob_str meta, struct hob_str data)
{
    hob_auto_buf struct hob_buf whole;
    unsigned char n[4];
    size_t max = hob_frame_payload_max(HOB_FRAME_REPLY);
    hob_buf_init(&whole, sizeof n + meta.n + data.n);
    hob_put_u32(n, (uint32_t)meta.n);
    HOB_ASSERT(hob_buf_add(&whole, n, sizeof n) == HOB_OK && hob_buf_add_str(&whole, meta) == HOB_OK &&
               hob_buf_add_str(&whole, data) == HOB_OK);
    struct hob_str left = hob_buf_str(&whole);
    f.flags = HOB_FRAME_META;
    while (left.n > max) {
        channel_write(c, f, hob_str_n(left.at, max));
        left = hob_str_n(left.at + max, left.n - max);
    }
    f.flags = HOB_FRAME_META | HOB_FRAME_END;
    channel_write(c, f, left);
}

void channel_reply(struct channel *c, uint32_t call, uint16_t error, struct hob_str meta, struct hob_str data)
{
    HOB_ASSERT(c->calls_open > 0);
    c->calls_open--;
    struct hob_frame f = {.type = HOB_FRAME_REPLY, .flags = HOB_FRAME_END, .code = error, .stream = call};
    if (data.n || meta.n > hob_frame_payload_max(HOB_FRAME_REPLY))
        reply_parts(c, f, meta, data);
    else
        channel_write(c, f, meta);
}

bool channel_unsent(const struct channel *c, const struct channel_stream *s, struct hob_invoke_meta *ret_meta,
                    struct hob_str *ret_data)
{
    if (!s->id || s->invoke_at < c->sent || s->invoke_at - c->sent >= c->out.n)
        return false;
    size_t at = (size_t)(s->invoke_at - c->sent);
    struct hob_frame f;
    struct hob_str meta;
    if (!hob_frame_decode((const unsigned char *)hob_buf_data(&c->out) + at, &f) ||
        !(f.flags & HOB_FRAME_END))
        return false;
    struct hob_str payload = hob_str_n(hob_buf_data(&c->out) + at + HOB_FRAME_HEADER_BYTES, f.len);
    return hob_frame_split_meta(payload, &meta, ret_data) && hob_invoke_meta_parse(meta, ret_meta);
}
