/* Flow: DIALING (back-off) -> UP -> DOWN -> CLOSING. `down` comes once, from the loop. */
#include "runner/uplink.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msgsock.h"

enum {
    BACKOFF_FIRST_MS = 20,
    BACKOFF_MAX_MS = 1000,
    LOG_QUEUE_BYTES = 256 * 1024,
    LOG_QUEUE_MODEST_BYTES = 2 * 1024 * 1024,
    QUEUE_BYTES_MAX = 16 * 1024 * 1024, /* control messages of a hobd that asks and never listens */
};

enum uplink_state { UPLINK_DIALING, UPLINK_UP, UPLINK_DOWN, UPLINK_CLOSING };

struct uplink {
    uv_loop_t *loop;
    uv_timer_t timer;
    enum uplink_state state;
    char *path;
    uint64_t give_up_ms, backoff_ms;
    struct hob_msgsock *sock;
    struct hob_buf out;
    struct hob_pairs_writer writer;
    struct uplink_events events;
    void *ctx;
};

static void on_timer(uv_timer_t *timer);
static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n);
static void on_lost(void *ctx, const struct hob_err *err);

/* ---- steps ---- */

static void uplink_down(struct uplink *u, const struct hob_err *err)
{
    HOB_ASSERT(u->state == UPLINK_DIALING || u->state == UPLINK_UP);
    u->state = UPLINK_DOWN;
    u->events.down(u->ctx, err);
}

static void uplink_wait(struct uplink *u, const struct hob_err *why)
{
    if (hob_now_ms() >= u->give_up_ms) {
        struct hob_err err;
        (void)hob_fail(&err, HOB_E_TIMEOUT, "hobd cannot be reached: %s", why->msg);
        uplink_down(u, &err);
        return;
    }
    (void)uv_timer_start(&u->timer, on_timer, u->backoff_ms, 0);
    u->backoff_ms = u->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : u->backoff_ms * 2;
}

static void uplink_dial(struct uplink *u)
{
    static const struct hob_msgsock_events events = {.on_message = on_message, .on_lost = on_lost};
    HOB_ASSERT(u->state == UPLINK_DIALING);
    struct hob_err err;
    int fd = hob_seqpacket_connect(u->path, &err);
    if (fd >= 0)
        u->sock = hob_msgsock_start(u->loop, fd, QUEUE_BYTES_MAX, &events, u, &err);
    if (!u->sock) {
        uplink_wait(u, &err);
        return;
    }
    u->state = UPLINK_UP;
    u->events.up(u->ctx);
}

static void uplink_take(struct uplink *u, struct hob_str msg, const int *fds, size_t fds_n)
{
    uint32_t type;
    struct hob_pairs pairs;
    HOB_ASSERT(u->state == UPLINK_UP);
    if (hob_link_parse(msg, &type, &pairs)) {
        u->events.message(u->ctx, type, &pairs, fds, fds_n);
        return;
    }
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_INVALID, "malformed message of %zu bytes from hobd", msg.n);
    uplink_down(u, &err);
}

/* ---- callbacks ---- */

static void on_timer(uv_timer_t *timer)
{
    uplink_dial(timer->data);
}

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n)
{
    uplink_take(ctx, msg, fds, fds_n);
}

static void on_lost(void *ctx, const struct hob_err *err)
{
    uplink_down(ctx, err);
}

static void on_closed(uv_handle_t *handle)
{
    struct uplink *u = handle->data;
    hob_buf_done(&u->out);
    free(u->path);
    free(u);
}

/* ---- door ---- */

struct uplink *uplink_start(uv_loop_t *loop, const char *path, uint64_t patience_ms,
                            const struct uplink_events *events, void *ctx)
{
    struct uplink *u = hob_new(struct uplink);
    u->loop = loop;
    u->path = hob_strdup(path);
    u->give_up_ms = hob_now_ms() + patience_ms;
    u->backoff_ms = BACKOFF_FIRST_MS;
    u->events = *events;
    u->ctx = ctx;
    hob_buf_init(&u->out, HOB_FDMSG_BYTES_MAX);
    (void)uv_timer_init(loop, &u->timer);
    u->timer.data = u;
    (void)uv_timer_start(&u->timer, on_timer, 0, 0);
    return u;
}

struct hob_pairs_writer *uplink_begin(struct uplink *u, uint32_t type)
{
    hob_buf_clear(&u->out);
    hob_link_start(&u->writer, &u->out, type);
    return &u->writer;
}

void uplink_send(struct uplink *u, const int *fds, size_t fds_n)
{
    struct hob_err err;
    bool is_whole = hob_pairs_end(&u->writer, &err) == HOB_OK;
    HOB_ASSERT(is_whole); /* every message of ours is bounded far below the limit */
    if (u->state == UPLINK_UP) {
        hob_msgsock_send(u->sock, hob_buf_str(&u->out), fds, fds_n);
        return;
    }
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
}

bool uplink_can_log(const struct uplink *u, bool is_modest)
{
    size_t bytes_max = is_modest ? LOG_QUEUE_MODEST_BYTES : LOG_QUEUE_BYTES;
    return u->state == UPLINK_UP && hob_msgsock_queued(u->sock) < bytes_max;
}

void uplink_close(struct uplink *u)
{
    HOB_ASSERT(u->state != UPLINK_CLOSING);
    u->state = UPLINK_CLOSING;
    hob_msgsock_close(u->sock);
    u->sock = NULL;
    uv_close((uv_handle_t *)&u->timer, on_closed);
}
