/* Flow: OPEN -> LOST -> CLOSING, or OPEN -> CLOSING. A failure inside a call only notes the error and shuts the socket
 * down, so that the loop finds it and reports it. */
#include "base/msgsock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"

enum { MESSAGES_A_TURN = 64 };

enum msgsock_state { MSGSOCK_OPEN, MSGSOCK_LOST, MSGSOCK_CLOSING };

struct hob_msgsock {
    uv_poll_t poll;
    int fd;
    enum msgsock_state state;
    bool wants_write;
    struct hob_err err; /* the first failure; code HOB_OK: none */
    struct hob_list queue;
    size_t queued_bytes, queue_bytes_max;
    struct hob_msgsock_events events;
    void *ctx;
    char in[HOB_FDMSG_BYTES_MAX];
};

struct waiting { /* one message that waits for the peer */
    struct hob_node node;
    int fds[HOB_FDMSG_FDS_MAX];
    size_t fds_n, n;
    char bytes[];
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- steps ---- */

static void close_fds(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
}

static void waiting_free(struct hob_msgsock *s, struct waiting *w)
{
    hob_list_remove(&w->node);
    s->queued_bytes -= w->n;
    close_fds(w->fds, w->fds_n);
    free(w);
}

static void watch(struct hob_msgsock *s, bool wants_write)
{
    s->wants_write = wants_write;
    int rc = uv_poll_start(&s->poll, UV_READABLE | (wants_write ? UV_WRITABLE : 0), on_poll);
    HOB_ASSERT(rc == 0); /* only fails on a closing handle */
}

/* Notes the first failure; the loop reports it. */
static void break_off(struct hob_msgsock *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    watch(s, true); /* a socket that is shut down is always writable: the loop comes back at once */
}

static void flush(struct hob_msgsock *s)
{
    HOB_LIST_EACH(&s->queue, node, tmp)
    {
        struct waiting *w = HOB_CONTAINER_OF(node, struct waiting, node);
        int rc = hob_fdmsg_send(s->fd, hob_str_n(w->bytes, w->n), w->fds, w->fds_n);
        if (rc == 0)
            return;
        if (rc < 0) {
            (void)hob_fail_errno(&s->err, errno, "sending %zu bytes", w->n);
            return;
        }
        waiting_free(s, w);
    }
    watch(s, false);
}

static void enqueue(struct hob_msgsock *s, struct hob_str msg, const int *fds, size_t fds_n)
{
    struct waiting *w = hob_calloc(1, sizeof *w + msg.n);
    memcpy(w->bytes, msg.at, msg.n);
    w->n = msg.n;
    w->fds_n = fds_n;
    if (fds_n)
        memcpy(w->fds, fds, fds_n * sizeof *fds);
    hob_list_push_back(&s->queue, &w->node);
    s->queued_bytes += msg.n;
    if (!s->wants_write)
        watch(s, true);
}

static void read_messages(struct hob_msgsock *s)
{
    for (int i = 0; i < MESSAGES_A_TURN && s->state == MSGSOCK_OPEN; i++) {
        int fds[HOB_FDMSG_FDS_MAX];
        size_t fds_n;
        ssize_t n = hob_fdmsg_recv(s->fd, s->in, sizeof s->in, fds, HOB_FDMSG_FDS_MAX, &fds_n);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            (void)hob_fail_errno(&s->err, errno, "receiving");
        else if (n == 0 && s->err.code == HOB_OK)
            (void)hob_fail(&s->err, HOB_E_UNAVAILABLE, "the other side closed");
        if (n <= 0)
            return;
        s->events.on_message(s->ctx, hob_str_n(s->in, (size_t)n), fds, fds_n);
    }
}

static void report_loss(struct hob_msgsock *s)
{
    HOB_ASSERT(s->state == MSGSOCK_OPEN && s->err.code != HOB_OK);
    s->state = MSGSOCK_LOST;
    int rc = uv_poll_stop(&s->poll);
    HOB_ASSERT(rc == 0);
    s->events.on_lost(s->ctx, &s->err);
}

static void turn(struct hob_msgsock *s, int events)
{
    if (s->err.code == HOB_OK && (events & UV_WRITABLE))
        flush(s);
    /* What the peer said before it went is still heard, also when writing to it failed. */
    if (events & UV_READABLE || s->err.code != HOB_OK)
        read_messages(s);
    if (s->state == MSGSOCK_OPEN && s->err.code != HOB_OK)
        report_loss(s);
}

/* ---- callbacks ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct hob_msgsock *s = poll->data;
    /* A hang-up may come as an error: reading then tells what it was. */
    turn(s, status < 0 ? UV_READABLE : events);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* ---- door ---- */

struct hob_msgsock *hob_msgsock_start(uv_loop_t *loop, int fd, size_t queue_bytes_max,
                                      const struct hob_msgsock_events *events, void *ctx, struct hob_err *err)
{
    HOB_ASSERT(fd >= 0 && events->on_message && events->on_lost);
    struct hob_msgsock *s = hob_new(struct hob_msgsock);
    s->fd = fd;
    s->queue_bytes_max = queue_bytes_max;
    s->events = *events;
    s->ctx = ctx;
    hob_list_init(&s->queue);
    int rc = uv_poll_init(loop, &s->poll, fd);
    if (rc < 0) {
        (void)hob_fail_errno(err, -rc, "watching a socket");
        (void)close(fd);
        free(s);
        return NULL;
    }
    s->poll.data = s;
    watch(s, false);
    return s;
}

void hob_msgsock_send(struct hob_msgsock *s, struct hob_str msg, const int *fds, size_t fds_n)
{
    HOB_ASSERT(fds_n <= HOB_FDMSG_FDS_MAX && msg.n > 0 && msg.n <= HOB_FDMSG_BYTES_MAX);
    int rc = s->state != MSGSOCK_OPEN || s->err.code != HOB_OK ? -1
             : hob_list_is_empty(&s->queue)                    ? hob_fdmsg_send(s->fd, msg, fds, fds_n)
                                                               : 0;
    if (rc == 0 && s->queued_bytes + msg.n <= s->queue_bytes_max) {
        enqueue(s, msg, fds, fds_n);
        return;
    }
    close_fds(fds, fds_n);
    if (rc == 1 || s->state != MSGSOCK_OPEN || s->err.code != HOB_OK)
        return;
    if (rc == 0)
        (void)hob_fail(&s->err, HOB_E_TOO_LARGE, "%zu bytes wait for a peer that does not read; at most %zu",
                       s->queued_bytes + msg.n, s->queue_bytes_max);
    else
        (void)hob_fail_errno(&s->err, errno, "sending %zu bytes", msg.n);
    break_off(s);
}

size_t hob_msgsock_queued(const struct hob_msgsock *s)
{
    return s->queued_bytes;
}

void hob_msgsock_close(struct hob_msgsock *s)
{
    if (!s)
        return;
    HOB_ASSERT(s->state != MSGSOCK_CLOSING);
    s->state = MSGSOCK_CLOSING;
    HOB_LIST_EACH(&s->queue, node, tmp)
    waiting_free(s, HOB_CONTAINER_OF(node, struct waiting, node));
    uv_close((uv_handle_t *)&s->poll, on_closed);
    (void)close(s->fd);
}
