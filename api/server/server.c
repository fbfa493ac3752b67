/* The listening side: accepting with its limits, the list of touched connections, the sweep of times, draining.
 *
 *   start -> listening -> draining (no new connections, idle ones closed, the others until grace_ms) -> closed
 */
#include "api/server/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"

#include "base/banned.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    LINGER_MS = 2000,
    SWEEP_MS = 1000,
    CLOSE_SWEEP_MS = 50,
    DRAIN_SWEEP_MS = 20
};

struct http_peer {
    unsigned char address[16];
    unsigned count;
    UT_hash_handle hh;
};

struct http_tuning http_tuning_default(void)
{
    return (struct http_tuning){
        .head = http_head_limits_default(),
        .head_ms = HOB_MAX_HTTP_HEAD_MS,
        .idle_ms = HOB_MAX_HTTP_IDLE_MS,
        .body_stall_ms = HOB_MAX_HTTP_BODY_STALL_MS,
        .write_stall_ms = HOB_MAX_HTTP_WRITE_STALL_MS,
        .linger_ms = LINGER_MS,
        .sweep_ms = SWEEP_MS,
        .pipeline_bytes = HOB_MAX_HTTP_PIPELINE_BYTES,
        .window_bytes = HOB_MAX_HTTP_BODY_WINDOW_BYTES,
        .out_bytes = HOB_MAX_HTTP_CONN_BUFFER_BYTES,
        .discard_bytes = HOB_MAX_HTTP_DISCARD_BYTES,
        .body_bytes_min = HOB_MAX_HTTP_BODY_BYTES_MIN,
        .connections = HOB_MAX_HTTP_CONNECTIONS,
        .connections_per_address = HOB_MAX_HTTP_CONNECTIONS_PER_IP,
    };
}

const char *http_server_date(struct http_server *s)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != s->date_s) {
        s->date_s = now.tv_sec;
        http_date((int64_t)now.tv_sec * 1000, s->date);
    }
    return s->date;
}

/* --- connections of one address ------------------------------------------------------------------------------------- */

static void peer_key(const struct sockaddr_storage *address, unsigned char key[16])
{
    memset(key, 0, 16);
    if (address->ss_family == AF_INET6)
        memcpy(key, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    else
        memcpy(key, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
}

/* NULL when the address has as many as it may. */
static struct http_peer *peer_arrived(struct http_server *s, const struct sockaddr_storage *address)
{
    unsigned char key[16];
    struct http_peer *peer;
    peer_key(address, key);
    HASH_FIND(hh, s->peers, key, sizeof key, peer);
    if (!peer) {
        peer = hob_new(struct http_peer);
        memcpy(peer->address, key, sizeof key);
        HASH_ADD(hh, s->peers, address, sizeof key, peer);
    }
    if (peer->count >= s->tuning.connections_per_address)
        return NULL;
    peer->count++;
    return peer;
}

void http_server_peer_left(struct http_server *s, struct http_peer *peer)
{
    HOB_ASSERT(peer->count > 0);
    if (--peer->count > 0)
        return;
    HASH_DEL(s->peers, peer);
    free(peer);
}

/* --- accepting ---------------------------------------------------------------------------------------------------------- */

/* Writes the whole 503 of a client that cannot be served to `out`. */
static enum hob_code put_too_many(struct http_server *s, struct hob_buf *out)
{
    static const struct http_field fields[] = {{{"Content-Type", 12}, {"application/problem+json", 24}},
                                               {{"Retry-After", 11}, {"1", 1}}};
    hob_auto_buf struct hob_buf body = {0};
    char request_id[HTTP_REQUEST_ID_MAX + 1];
    struct hob_err err;
    hob_buf_init(&body, out->max);
    http_request_id((struct hob_str){NULL, 0}, request_id);
    (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "too_many_connections",
                          "the server has as many connections as it can take; try again soon");
    enum hob_code code = http_problem_body(503, &err, request_id, &body);
    struct http_answer a = {.status = 503,
                            .fields = fields,
                            .fields_n = HOB_COUNT(fields),
                            .body_bytes = (int64_t)body.n,
                            .date = http_server_date(s),
                            .server_name = s->options.server_name,
                            .request_id = request_id,
                            .is_close = true};
    if (code == HOB_OK)
        code = http_answer_head(&a, out);
    return code == HOB_OK ? hob_buf_add_str(out, hob_buf_str(&body)) : code;
}

/* A 503, then away: nothing of the request is read beyond what is there. */
static void turn_away(struct http_server *s, int fd, const char *why)
{
    char dropped[4096];
    hob_auto_buf struct hob_buf out = {0};
    hob_buf_init(&out, sizeof dropped);
    s->stats.refused_total++;
    if (put_too_many(s, &out) == HOB_OK)
        (void)send(fd, hob_buf_data(&out), out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    /* unread bytes would turn the close into a reset that overtakes the answer */
    while (recv(fd, dropped, sizeof dropped, MSG_DONTWAIT) > 0)
        ;
    (void)close(fd);
    hob_log(HOB_LOG_DEBUG, "http.turned_away", "why=%s", why);
}

static int accept_one(struct http_server *s, struct sockaddr_storage *address)
{
    socklen_t n = sizeof *address;
    return accept4(s->listen_fd, (struct sockaddr *)address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* All descriptors are in use: the reserve lets one client at a time hear so instead of waiting for ever. */
static void accept_with_reserve(struct http_server *s)
{
    struct sockaddr_storage address;
    if (s->reserve_fd >= 0)
        (void)close(s->reserve_fd);
    s->reserve_fd = -1;
    int fd = accept_one(s, &address);
    if (fd >= 0)
        turn_away(s, fd, "descriptors");
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* False when nothing more can be accepted now. */
static bool accept_next(struct http_server *s)
{
    struct sockaddr_storage address = {0};
    int fd = accept_one(s, &address);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        accept_with_reserve(s);
        if (s->reserve_fd < 0) { /* not even the reserve came back: without this the loop would spin */
            s->is_deaf = true;
            (void)uv_poll_stop(&s->listener);
        }
        return !s->is_deaf;
    }
    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR;
    s->stats.connections_total++;
    struct http_peer *peer =
        s->stats.connections_open < s->tuning.connections ? peer_arrived(s, &address) : NULL;
    if (!peer) {
        turn_away(s, fd, "connections");
        return true;
    }
    s->stats.connections_open++;
    http_conn_open(s, fd, &address, peer);
    return true;
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
    (void)events;
    struct http_server *s = handle->data;
    for (unsigned n = 0; status == 0 && n < ACCEPTS_PER_TURN && accept_next(s); n++)
        ;
}

/* --- turns ----------------------------------------------------------------------------------------------------------- */

static void finish_drain(struct http_server *s);

static void take_turns(struct http_server *s)
{
    struct hob_list batch;
    if (hob_list_is_empty(&s->touched))
        return;
    hob_list_init(&batch);
    while (!hob_list_is_empty(&s->touched)) {
        struct hob_node *node = hob_list_first(&s->touched);
        hob_list_remove(node);
        hob_list_push_back(&batch, node);
    }
    while (!hob_list_is_empty(&batch)) {
        struct hob_node *node = hob_list_first(&batch);
        hob_list_remove(node);
        http_conn_turn(HOB_CONTAINER_OF(node, struct http_conn, in_touched));
    }
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle; /* its being there is enough: the loop does not sleep */
}

static void watch_touched(struct http_server *s)
{
    if (s->is_closing)
        return;
    int status = hob_list_is_empty(&s->touched) ? uv_idle_stop(&s->idle) : uv_idle_start(&s->idle, on_idle);
    HOB_ASSERT(status == 0);
}

/* Before the loop sleeps: what timers and closing callbacks have touched. */
static void on_prepare(uv_prepare_t *handle)
{
    struct http_server *s = handle->data;
    take_turns(s);
    watch_touched(s);
}

/* After the loop's events: what this turn has read and answered. */
static void on_check(uv_check_t *handle)
{
    take_turns(handle->data);
}

static void listen_again(struct http_server *s)
{
    if (s->reserve_fd < 0)
        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->is_deaf = s->reserve_fd < 0 || uv_poll_start(&s->listener, UV_READABLE, on_acceptable) != 0;
}

static void sweep_times(struct http_server *s, uint64_t now)
{
    bool is_late = s->is_draining && now >= s->drain_deadline_ms;
    s->swept_ms = now;
    HOB_LIST_EACH(&s->conns, node, tmp)
    {
        struct http_conn *c = HOB_CONTAINER_OF(node, struct http_conn, in_conns);
        http_conn_sweep(c, now);
        if (is_late)
            http_conn_drain(c, true);
    }
    if (s->is_deaf && !s->is_draining)
        listen_again(s);
}

static unsigned sweep_ms(const struct http_server *s)
{
    unsigned ms = s->is_draining ? DRAIN_SWEEP_MS : s->tuning.sweep_ms;
    return s->is_watching_closely && ms > CLOSE_SWEEP_MS ? CLOSE_SWEEP_MS : ms;
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    uint64_t now = uv_now(s->loop);
    bool is_paused = false;
    if (s->is_draining || now - s->swept_ms >= s->tuning.sweep_ms)
        sweep_times(s, now);
    HOB_LIST_EACH(&s->conns, node, tmp)
    is_paused |= http_conn_check_paused(HOB_CONTAINER_OF(node, struct http_conn, in_conns));
    s->is_watching_closely = is_paused;
    uv_timer_set_repeat(timer, sweep_ms(s));
}

void http_server_watch_closely(struct http_server *s)
{
    if (s->is_watching_closely || s->is_closing)
        return;
    s->is_watching_closely = true;
    int status = uv_timer_start(&s->sweep, on_sweep, sweep_ms(s), sweep_ms(s));
    HOB_ASSERT(status == 0);
}

/* --- draining -------------------------------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    if (--s->handles_open > 0)
        return;
    void (*closed)(void *) = s->closed;
    void *ctx = s->closed_ctx;
    if (s->reserve_fd >= 0)
        (void)close(s->reserve_fd);
    free(s->read_buffer);
    free(s);
    if (closed)
        closed(ctx);
}

/* Only now may the descriptor's number be used again: closing the handle takes it out of epoll. */
static void on_listener_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    (void)close(s->listen_fd);
    on_handle_closed(handle);
}

static void close_handles(struct http_server *s)
{
    if (s->is_closing)
        return;
    s->is_closing = true;
    uv_handle_t *const handles[] = {(uv_handle_t *)&s->listener, (uv_handle_t *)&s->sweep,
                                    (uv_handle_t *)&s->prepare, (uv_handle_t *)&s->check,
                                    (uv_handle_t *)&s->idle};
    for (size_t i = 0; i < HOB_COUNT(handles); i++)
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], on_handle_closed);
}

static void finish_drain(struct http_server *s)
{
    if (s->is_draining && s->stats.connections_open == 0)
        close_handles(s);
}

void http_server_conn_closed(struct http_server *s)
{
    s->stats.connections_open--;
    finish_drain(s);
}

void http_server_drain(struct http_server *s, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!s->is_draining);
    s->is_draining = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    uv_update_time(s->loop);
    s->drain_deadline_ms = uv_now(s->loop) + grace_ms;
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
    HOB_LIST_EACH(&s->conns, node, tmp)
    http_conn_drain(HOB_CONTAINER_OF(node, struct http_conn, in_conns), false);
    int status = uv_timer_start(&s->sweep, on_sweep, DRAIN_SWEEP_MS, DRAIN_SWEEP_MS);
    HOB_ASSERT(status == 0);
    uv_ref((uv_handle_t *)&s->sweep); /* paused connections do not keep the loop alive; the drain must */
    finish_drain(s);
}

/* --- door -------------------------------------------------------------------------------------------------------------------- */

static enum hob_code listen_on(const struct http_server_options *o, int *ret_fd, uint16_t *ret_port,
                               struct hob_err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof(struct sockaddr_in);
    if (uv_ip4_addr(o->host, o->port, (struct sockaddr_in *)(void *)&address) != 0) {
        n = sizeof(struct sockaddr_in6);
        if (uv_ip6_addr(o->host, o->port, (struct sockaddr_in6 *)(void *)&address) != 0)
            return hob_fail(err, HOB_E_INVALID, "listen address '%s': give a numeric IPv4 or IPv6 address",
                            o->host);
    }
    hob_auto_close int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hob_fail_errno(err, errno, "making a socket");
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, BACKLOG) != 0)
        return errno == EADDRINUSE
                   ? hob_fail_reason(
                         err, HOB_E_CONFLICT, "address_in_use",
                         "another program listens on %s port %u already; stop it, or choose another "
                         "port (0 takes a free one)",
                         o->host, o->port)
                   : hob_fail_errno(err, errno, "listening on %s port %u", o->host, o->port);
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return hob_fail_errno(err, errno, "asking for the port");
    *ret_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                                                    : ((struct sockaddr_in *)(void *)&address)->sin_port);
    *ret_fd = hob_steal_fd(&fd);
    return HOB_OK;
}

/* None of these fails but for a wrong argument; the poll handle can. */
static int start_handles(struct http_server *s)
{
    int status = uv_poll_init(s->loop, &s->listener, s->listen_fd);
    if (status < 0)
        return status;
    s->handles_open = 5;
    (void)uv_timer_init(s->loop, &s->sweep);
    (void)uv_prepare_init(s->loop, &s->prepare);
    (void)uv_check_init(s->loop, &s->check);
    (void)uv_idle_init(s->loop, &s->idle);
    s->listener.data = s->sweep.data = s->prepare.data = s->check.data = s->idle.data = s;
    s->swept_ms = uv_now(s->loop);
    (void)uv_timer_start(&s->sweep, on_sweep, s->tuning.sweep_ms, s->tuning.sweep_ms);
    (void)uv_prepare_start(&s->prepare, on_prepare);
    (void)uv_check_start(&s->check, on_check);
    uv_unref((uv_handle_t *)&s->sweep);
    uv_unref((uv_handle_t *)&s->prepare);
    uv_unref((uv_handle_t *)&s->check);
    return uv_poll_start(&s->listener, UV_READABLE, on_acceptable);
}

struct http_server *http_server_start_tuned(uv_loop_t *loop, const struct http_server_options *o,
                                            const struct http_tuning *tuning, struct hob_err *err)
{
    int fd = -1;
    uint16_t port = 0;
    if (listen_on(o, &fd, &port, err) != HOB_OK)
        return NULL;
    struct http_server *s = hob_new(struct http_server);
    s->loop = loop;
    s->options = *o;
    s->tuning = *tuning;
    s->listen_fd = fd;
    s->port = port;
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->read_buffer = hob_calloc(1, HTTP_READ_BYTES);
    hob_list_init(&s->conns);
    hob_list_init(&s->touched);
    int status = start_handles(s);
    HOB_ASSERT(status == 0); /* a fresh listening socket can be polled */
    return s;
}

struct http_server *http_server_start(uv_loop_t *loop, const struct http_server_options *o,
                                      struct hob_err *err)
{
    struct http_tuning tuning = http_tuning_default();
    return http_server_start_tuned(loop, o, &tuning, err);
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_stats(const struct http_server *s, struct http_stats *ret_stats)
{
    *ret_stats = s->stats;
}
