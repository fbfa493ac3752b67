/* Connections: bytes in, bytes out, times. The life of one:
 *
 *   accepted -> IDLE -> HEAD -> BUSY -> IDLE ...              keep-alive; pipelined requests wait in `in`
 *                        |       |`---> DISCARD -> IDLE       a short rest of a body that nobody read
 *                        `-refused-> BUSY -> LINGER -> CLOSING -> freed
 *
 * BUSY may be an upgraded connection (upgrade.c): raw bytes both ways, each direction with its own end.
 *
 * LINGER: the last answer goes out, our side is shut down, and what the client still sends is dropped for a while;
 * closing at once would make the kernel send a reset that can overtake the answer. A lost client (end of file, reset,
 * write error) makes every state go to CLOSING, after the handler was told. A half-closed client counts as gone, unless
 * the connection is upgraded.
 *
 * Callbacks of libuv only take bytes in and touch the connection; http_conn_turn takes the steps. */
#include "api/server/server_priv.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#include "base/banned.h"

enum {
    EXCHANGES_PER_TURN = 32, /* of one connection, before the others have their turn */
    SHED_MS = 1000,          /* idle for so long, a connection gives its memory back */
    KEEPALIVE_S = 60,        /* the kernel asks silent clients whether they are still there */
    KEPT_BYTES = 16384,      /* a buffer larger than this is given back when it is empty */
    OUT_BYTES_MAX = 1 << 30,
};

size_t http_conn_queued(const struct http_conn *c)
{
    const uv_stream_t *stream = (const uv_stream_t *)&c->tcp;
    return c->out.n + (c->is_sending ? uv_stream_get_write_queue_size(stream) : 0);
}

void http_conn_touch(struct http_conn *c)
{
    if (!hob_node_is_linked(&c->in_touched))
        hob_list_push_back(&c->server->touched, &c->in_touched);
}

static uint64_t now_ms(const struct http_conn *c)
{
    return uv_now(c->server->loop);
}

static void enter(struct http_conn *c, enum http_conn_state state)
{
    HOB_ASSERT(c->state != CONN_CLOSING);
    c->state = state;
    c->since_ms = now_ms(c);
}

/* Frees a large buffer that is empty; small ones stay for the next request. */
static void trim(struct hob_buf *b)
{
    if (b->n == 0 && b->cap > KEPT_BYTES)
        hob_buf_done(b);
}

/* --- closing ---------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_server *s = c->server;
    http_server_peer_left(s, c->peer);
    hob_list_remove(&c->in_conns);
    hob_list_remove(&c->in_touched);
    hob_buf_done(&c->in);
    hob_buf_done(&c->out);
    hob_buf_done(&c->sending);
    http_chunked_done(&c->x.chunked);
    hob_arena_done(&c->x.arena);
    free(c);
    http_server_conn_closed(s);
}

static void close_now(struct http_conn *c)
{
    HOB_ASSERT(!c->x.is_open);
    enter(c, CONN_CLOSING);
    if (!c->is_reset || c->is_lost || uv_tcp_close_reset(&c->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void lose(struct http_conn *c, const char *why)
{
    if (c->is_lost || c->state == CONN_CLOSING)
        return;
    c->is_lost = true;
    if (c->state == CONN_BUSY)
        http_exchange_lost(&c->x, why);
    http_conn_touch(c);
}

/* --- bytes out ---------------------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->data;
    c->is_sending = false;
    hob_buf_clear(&c->sending);
    trim(&c->sending);
    if (c->state == CONN_CLOSING)
        return;
    c->sent_ms = now_ms(c);
    if (status < 0)
        lose(c, "the client closed the connection while its answer was sent");
    http_conn_touch(c);
}

/* What the kernel does not take now, libuv sends when it can. */
static int send_later(struct http_conn *c)
{
    struct hob_buf empty = c->sending;
    c->sending = c->out;
    c->out = empty;
    c->write.data = c;
    c->is_sending = true;
    c->sent_ms = now_ms(c);
    c->sent_mark = c->sending.n;
    uv_buf_t buf = uv_buf_init(hob_buf_data(&c->sending), (unsigned)c->sending.n);
    return uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
}

static void flush(struct http_conn *c)
{
    if (c->is_sending || c->is_lost || c->out.n == 0)
        return;
    uv_buf_t buf = uv_buf_init(hob_buf_data(&c->out), (unsigned)c->out.n);
    c->server->stats.bytes_out += c->out.n;
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n >= 0)
        hob_buf_consume(&c->out, (size_t)n);
    int status = n < 0 && n != UV_EAGAIN ? n : c->out.n ? send_later(c) : 0;
    if (status < 0) {
        c->is_sending = false;
        lose(c, "the client closed the connection while its answer was sent");
    }
    trim(&c->out);
}

/* --- bytes in ------------------------------------------------------------------------------------------------------ */

static void drop_front(struct hob_str *in, size_t n)
{
    in->at += n;
    in->n -= n;
}

/* Looks for a complete head; true when an exchange began. */
static bool take_head(struct http_conn *c, struct hob_str *in)
{
    struct http_refusal r;
    size_t head_bytes = 0;
    if (in->n && c->state == CONN_IDLE)
        enter(c, CONN_HEAD);
    if (c->scan.seen == 0) {
        drop_front(in, http_head_skip(*in));
        if (in->n == 0 || (in->n == 1 && in->at[0] == '\r'))
            return false;
    }
    c->is_blocked = http_conn_queued(c) > c->server->tuning.out_bytes;
    if (c->is_blocked)
        return false;
    enum http_scan outcome = http_head_scan(&c->scan, *in, &c->server->tuning.head, &head_bytes, &r);
    if (outcome == HTTP_SCAN_MORE)
        return false;
    struct http_head_scan scan = c->scan;
    c->scan = (struct http_head_scan){0};
    enter(c, CONN_BUSY);
    if (outcome == HTTP_SCAN_BAD) {
        http_exchange_begin_refused(&c->x, &r);
        return true;
    }
    struct hob_str head = {in->at, head_bytes};
    drop_front(in, head_bytes);
    http_exchange_begin(&c->x, head, scan.lines - 1);
    return true;
}

/* Drops the rest of a body whose request is answered; true when the next request may come. */
static bool discard(struct http_conn *c, struct hob_str *in)
{
    bool is_bad = false;
    size_t before = in->n;
    bool is_done = http_exchange_discard(&c->x, in, &is_bad);
    c->discarded += before - in->n;
    if (is_done)
        enter(c, CONN_IDLE);
    else if (is_bad || c->discarded > c->server->tuning.discard_bytes)
        enter(c, CONN_LINGER);
    return is_done;
}

/* Uses up as much of *in as can be used now. */
static void use_input(struct http_conn *c, struct hob_str *in)
{
    bool has_moved = true;
    while (has_moved) {
        switch (c->state) {
        case CONN_IDLE:
        case CONN_HEAD:
            has_moved = take_head(c, in);
            break;
        case CONN_BUSY:
            has_moved = http_exchange_body(&c->x, in);
            break;
        case CONN_DISCARD:
            has_moved = discard(c, in);
            break;
        case CONN_LINGER:
        case CONN_CLOSING:
            drop_front(in, in->n);
            has_moved = false;
            break;
        }
    }
}

static void use_buffered(struct http_conn *c)
{
    struct hob_str in = hob_buf_str(&c->in);
    size_t before = in.n;
    use_input(c, &in);
    hob_buf_consume(&c->in, before - in.n);
    trim(&c->in);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->server->read_buffer, HTTP_READ_BYTES);
}

/* Bytes are used where they are; only what must wait is copied. */
static void take_bytes(struct http_conn *c, struct hob_str in)
{
    c->server->stats.bytes_in += in.n;
    if (c->in.n == 0) {
        use_input(c, &in);
        if (hob_buf_add_str(&c->in, in) != HOB_OK)
            lose(c, "more was sent than can wait");
        return;
    }
    if (hob_buf_add_str(&c->in, in) != HOB_OK)
        lose(c, "more was sent than can wait");
    use_buffered(c);
}

/* Whether more bytes could be used or may wait. While a handler works, reading goes on (within pipeline_bytes), so
 * that a client that leaves is noticed. */
static bool wants_bytes(const struct http_conn *c)
{
    const struct http_tuning *t = &c->server->tuning;
    if (c->is_lost || c->is_half_closed || c->state == CONN_CLOSING)
        return false;
    if (c->state == CONN_BUSY && c->x.is_reading && !c->x.is_received && !c->x.is_answered)
        return c->in.n == 0 && c->x.window_used < t->window_bytes;
    return c->in.n <= t->pipeline_bytes;
}

static void pause_reading(struct http_conn *c)
{
    c->is_reading = false;
    (void)uv_read_stop((uv_stream_t *)&c->tcp); /* cannot fail */
    http_server_watch_closely(c->server);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;
    if (n > 0)
        take_bytes(c, (struct hob_str){buf->base, (size_t)n});
    else if (n == UV_EOF && c->state == CONN_BUSY && c->x.is_raw)
        c->is_half_closed = true;
    else if (n < 0)
        lose(c, n == UV_EOF ? "the client closed the connection" : "the connection to the client broke");
    if (n == 0)
        return;
    http_conn_touch(c);
    if (!wants_bytes(c)) /* now: libuv reads several times in a turn */
        pause_reading(c);
}

static void read_or_pause(struct http_conn *c)
{
    bool wants = wants_bytes(c);
    if (wants == c->is_reading)
        return;
    if (!wants) {
        pause_reading(c);
        return;
    }
    c->is_reading = true;
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        lose(c, "the connection to the client broke");
}

/* --- the steps of a turn --------------------------------------------------------------------------------------------- */

/* The answer is complete: what becomes of the connection. */
static void finish_exchange(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    c->discarded = 0;
    if (x->is_close || c->is_cut || c->is_lost || c->server->is_draining)
        enter(c, CONN_LINGER);
    else
        enter(c, x->is_received ? CONN_IDLE : CONN_DISCARD);
}

static void settle(struct http_conn *c)
{
    if (c->state != CONN_BUSY)
        return;
    http_exchange_settle(&c->x);
    if (c->x.is_answered)
        finish_exchange(c);
}

static void tell_drain(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    if (c->state != CONN_BUSY || !x->wants_drain || x->is_answered ||
        http_conn_queued(c) >= c->server->tuning.out_bytes / 2)
        return;
    x->wants_drain = false;
    if (x->events.on_drain)
        x->events.on_drain(x->ctx);
}

/* The last answer is out: the client reads the end and hangs up, or the sweep does it. */
static void linger(struct http_conn *c)
{
    int fd;
    if (c->is_lost || ((c->is_reset || c->is_half_closed) && http_conn_queued(c) == 0)) {
        close_now(c);
        return;
    }
    if (c->is_shut || http_conn_queued(c) > 0)
        return;
    c->is_shut = true;
    enter(c, CONN_LINGER);
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0)
        close_now(c);
}

/* The handler has ended its direction of an upgraded connection, and all of it is out. */
static void end_direction(struct http_conn *c)
{
    int fd;
    if (c->state != CONN_BUSY || !c->x.is_ended || c->is_shut || c->is_lost || http_conn_queued(c) > 0)
        return;
    c->is_shut = true;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0)
        lose(c, "the connection to the client broke");
}

void http_conn_turn(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    for (unsigned n = 0; n < EXCHANGES_PER_TURN; n++) {
        settle(c);
        if (c->is_lost)
            break;
        use_buffered(c);
        if (c->state != CONN_BUSY || !(c->x.is_answered || c->x.has_failed))
            break;
    }
    flush(c);
    end_direction(c);
    settle(c); /* the flush may have found the client gone */
    tell_drain(c);
    if (c->state == CONN_LINGER || (c->is_lost && c->state != CONN_BUSY))
        linger(c);
    if (c->state == CONN_CLOSING)
        return;
    read_or_pause(c);
    bool can_go_on = c->is_blocked && http_conn_queued(c) <= c->server->tuning.out_bytes;
    bool has_more = c->state == CONN_IDLE && c->in.n > 0;
    if (can_go_on || has_more || c->is_lost || (c->state == CONN_BUSY && c->x.is_answered))
        http_conn_touch(c);
}

/* --- times ------------------------------------------------------------------------------------------------------------- */

/* A client that takes nothing of its answer. libuv tells how much it still has, which is progress enough. */
static bool is_write_stalled(struct http_conn *c, uint64_t now)
{
    if (!c->is_sending)
        return false;
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (left != c->sent_mark) {
        c->sent_mark = left;
        c->sent_ms = now;
    }
    return now - c->sent_ms > c->server->tuning.write_stall_ms;
}

static void judge_head_time(struct http_conn *c, uint64_t waited)
{
    struct http_refusal r;
    if (waited <= c->server->tuning.head_ms || c->is_blocked)
        return;
    http_refuse(&r, 408, "head_timeout", "the head of the request did not come within http.head_ms");
    enter(c, CONN_BUSY);
    hob_buf_clear(&c->in);
    http_exchange_begin_refused(&c->x, &r);
    http_conn_touch(c);
}

static void judge_body_time(struct http_conn *c, uint64_t waited)
{
    struct http_refusal r;
    struct http_exchange *x = &c->x;
    const struct http_tuning *t = &c->server->tuning;
    bool is_expected =
        x->is_reading && !x->is_received && !x->is_answered && x->window_used < t->window_bytes;
    if (!is_expected) {
        c->since_ms += waited;
        c->stall_bytes = 0;
        return;
    }
    if (waited <= t->body_stall_ms)
        return;
    c->since_ms += waited;
    bool is_slow = c->stall_bytes < t->body_bytes_min;
    c->stall_bytes = 0;
    if (!is_slow)
        return;
    http_refuse(&r, 408, "body_timeout", "the body of the request stopped coming for http.body_stall_ms");
    http_exchange_fail(x, &r);
    http_conn_touch(c);
}

/* A paused connection does not hear that its client hung up, but the kernel knows. */
static bool is_hung_up(const struct http_conn *c)
{
    int fd, errnum = 0;
    struct tcp_info info;
    socklen_t n = sizeof info, errnum_n = sizeof errnum;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0)
        return false;
    if (c->x.is_raw) /* only a reset is an end of both directions */
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &errnum_n) == 0 && errnum != 0;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_state != TCP_ESTABLISHED;
}

bool http_conn_check_paused(struct http_conn *c)
{
    if (c->state != CONN_BUSY || c->is_reading || c->is_lost)
        return false;
    if (is_hung_up(c))
        lose(c, "the client closed the connection");
    return true;
}

/* Thousands of idle connections shall cost little more than their handles. */
static void shed(struct http_conn *c)
{
    if (c->in.n == 0 && c->out.n == 0 && !c->is_sending) {
        hob_buf_done(&c->in);
        hob_buf_done(&c->out);
        hob_buf_done(&c->sending);
        hob_arena_done(&c->x.arena);
    }
}

void http_conn_sweep(struct http_conn *c, uint64_t now)
{
    const struct http_tuning *t = &c->server->tuning;
    uint64_t waited = now > c->since_ms ? now - c->since_ms : 0;
    if (c->state == CONN_CLOSING)
        return;
    if (is_write_stalled(c, now)) {
        lose(c, "the client took nothing of its answer for http.write_stall_ms");
        return;
    }
    switch (c->state) {
    case CONN_IDLE:
        if (waited > t->idle_ms)
            lose(c, "idle");
        else if (waited > SHED_MS)
            shed(c);
        break;
    case CONN_HEAD:
        judge_head_time(c, waited);
        break;
    case CONN_BUSY:
        if (c->x.is_raw)
            http_upgrade_sweep(&c->x, c->since_ms, now);
        else
            judge_body_time(c, waited);
        break;
    case CONN_DISCARD:
    case CONN_LINGER:
        if (waited > t->linger_ms && http_conn_queued(c) == 0)
            lose(c, "lingered");
        break;
    case CONN_CLOSING:
        break;
    }
}

void http_conn_drain(struct http_conn *c, bool is_forced)
{
    if (is_forced || c->state == CONN_IDLE)
        lose(c, "the server is stopping");
    else if (c->state == CONN_BUSY && c->x.is_raw && !c->x.is_muted && c->x.events.on_shutdown)
        c->x.events.on_shutdown(c->x.ctx);
}

/* --- door ---------------------------------------------------------------------------------------------------------------- */

static void name_remote(struct http_conn *c, const struct sockaddr_storage *address)
{
    enum { MAPPED_CHARS = sizeof "::ffff:" - 1 }; /* an IPv4 client of a socket for both */
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
        (void)uv_ip6_name(six, c->remote, sizeof c->remote);
        c->remote_port = ntohs(six->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
            memmove(c->remote, c->remote + MAPPED_CHARS, strlen(c->remote + MAPPED_CHARS) + 1);
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        (void)uv_ip4_name(four, c->remote, sizeof c->remote);
        c->remote_port = ntohs(four->sin_port);
    }
}

void http_conn_open(struct http_server *s, int fd, const struct sockaddr_storage *address,
                    struct http_peer *peer)
{
    struct http_conn *c = hob_new(struct http_conn);
    c->server = s;
    c->peer = peer;
    hob_buf_init(&c->in, s->tuning.pipeline_bytes + (size_t)2 * HTTP_READ_BYTES);
    hob_buf_init(&c->out, OUT_BYTES_MAX);
    hob_buf_init(&c->sending, OUT_BYTES_MAX);
    name_remote(c, address);
    hob_list_push_back(&s->conns, &c->in_conns);
    int status = uv_tcp_init(s->loop, &c->tcp);
    HOB_ASSERT(status == 0); /* makes no descriptor */
    c->tcp.data = c;
    enter(c, CONN_IDLE);
    status = uv_tcp_open(&c->tcp, fd);
    if (status < 0)
        (void)close(fd);
    if (status < 0 || uv_tcp_nodelay(&c->tcp, 1) < 0 || uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S) < 0) {
        hob_log(HOB_LOG_WARN, "http.accept", "error=\"%s\"", uv_strerror(status));
        c->is_lost = true;
    }
    http_conn_touch(c);
}
