/* Flow of a box: CREATING (the container) -> STARTING (it; hob-init dials) -> READY -> USED -> gone. The connection of
 * hob-init is what makes it ready and what ends it; Docker's own answers only tell why it came to nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { DIAL_MS = 5000, QUEUE_BYTES_MAX = 65536 };

static void on_deadline(uv_timer_t *timer);

/* ---- steps ---- */

static void stop_listening(struct box *b);

static void on_handle_closed(uv_handle_t *handle)
{
    struct box *b = handle->data;
    if (--b->handles > 0)
        return;
    struct docker *e = b->e;
    free(b->socket_path);
    free(b);
    docker_ended(e);
}

static void stop_listening(struct box *b)
{
    if (!b->is_listening)
        return;
    b->is_listening = false;
    uv_close((uv_handle_t *)&b->listener, on_handle_closed);
    (void)close(b->listen_fd);
    (void)unlink(b->socket_path);
}

/* It was made after its box had gone: a removal by name, sent meanwhile, would have come too early. */
static void on_created_for_nobody(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    const char *id = err ? NULL : docker_created_id(a->json);
    if (id && docker_container_id_is_valid(id))
        docker_remove(e, id);
    docker_ended(e);
}

/* Lets go of everything; the container is removed when `is_there`. The box is gone for its owner. */
static void box_end(struct box *b, bool is_there)
{
    struct docker *e = b->e;
    if (b->call && b->state == BOX_CREATING) {
        docker_call_redirect(b->call, on_created_for_nobody, e);
        is_there = false;
    } else {
        docker_call_cancel(b->call);
    }
    b->call = NULL;
    stop_listening(b);
    hob_msgsock_close(b->conn); /* hob-init ends when it sees this */
    b->conn = NULL;
    hob_list_remove(&b->node);
    if (is_there && e->api)
        docker_remove(e, b->id[0] ? b->id : b->name);
    uv_close((uv_handle_t *)&b->deadline, on_handle_closed);
}

static void box_fail(struct box *b, const struct hob_err *err)
{
    struct box_events events = b->events;
    void *ctx = b->ctx;
    box_end(b, true);
    events.failed(ctx, err);
}

static void box_over(struct box *b, const struct hand_end *end)
{
    struct box_events events = b->events;
    if (b->state == BOX_USED) /* while hob-init waits for us its cgroup is still there */
        b->has_usage = usage_read(b->pid, &b->usage, &b->oom_kills);
    b->oom_kills = b->oom_kills ? b->oom_kills : b->oom_events;
    void *ctx = b->ctx;
    box_end(b, !end); /* one that took its leave removes itself */
    events.ended(ctx, end);
}

static void on_started(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct box *b = ctx;
    (void)a;
    b->call = NULL;
    if (!err) {
        if (b->state == BOX_STARTING)
            (void)uv_timer_start(&b->deadline, on_deadline, DIAL_MS, 0);
        return;
    }
    if (b->state == BOX_STARTING) {
        struct hob_err copy = *err;
        (void)hob_err_wrap(&copy, "starting a container");
        box_fail(b, &copy);
    }
}

static void on_created(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct box *b = ctx;
    b->call = NULL;
    const char *id = err ? NULL : docker_created_id(a->json);
    if (!id || !docker_container_id_is_valid(id)) {
        struct hob_err own = {0};
        if (err)
            own = *err;
        else
            (void)hob_fail(&own, HOB_E_INVALID, "Docker's answer names no container");
        (void)hob_err_wrap(&own, "making a container");
        box_fail(b, &own);
        return;
    }
    (void)snprintf(b->id, sizeof b->id, "%s", id);
    b->state = BOX_STARTING;
    hob_auto_free char *path = hob_asprintf("/containers/%s/start", b->id);
    b->call = docker_call_start(
        b->e->api, &(struct docker_request){.method = "POST", .path = path, .timeout_ms = DOCKER_START_MS},
        on_started, b);
}

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n)
{
    struct box *b = ctx;
    struct hand_end end;
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
    if (msg.n != sizeof end || b->state != BOX_USED)
        return;
    memcpy(&end, msg.at, sizeof end);
    if (end.word == HAND_END || end.word == HAND_UNWELL)
        box_over(b, &end);
}

static void on_lost(void *ctx, const struct hob_err *err)
{
    (void)err;
    box_over(ctx, NULL);
}

static int64_t peer_pid(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 ? who.pid : 0;
}

/* hob-init is there: nobody else may dial any more. */
static void box_dialled(struct box *b)
{
    static const struct hob_msgsock_events events = {.on_message = on_message, .on_lost = on_lost};
    struct hob_err err;
    int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    b->pid = peer_pid(fd);
    b->conn = hob_msgsock_start(b->e->loop, fd, QUEUE_BYTES_MAX, &events, b, &err);
    if (!b->conn) {
        box_fail(b, &err);
        return;
    }
    stop_listening(b);
    (void)uv_timer_stop(&b->deadline);
    b->state = BOX_READY;
    b->idle_since_ms = hob_now_ms();
    b->events.ready(b->ctx);
}

/* ---- callbacks ---- */

static void on_dialled(uv_poll_t *poll, int status, int events)
{
    struct box *b = poll->data;
    (void)status;
    (void)events;
    if (b->is_listening)
        box_dialled(b);
}

static void on_deadline(uv_timer_t *timer)
{
    struct box *b = timer->data;
    struct hob_err err;
    (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "launch_failed",
                          "the container started, but hob-init in it did not answer within %d ms", DIAL_MS);
    box_fail(b, &err);
}

static void on_removed(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct docker *e = ctx;
    bool is_news = err && a->status != 404 && a->status != 409 && e->state == DOCKER_UP;
    if (is_news)
        hob_log(HOB_LOG_WARN, "docker.remove", "%s", err->msg); /* the sweep comes by */
    docker_ended(e);
}

/* ---- door ---- */

void docker_remove(struct docker *e, const char *id)
{
    hob_auto_free char *path = hob_asprintf("/containers/%s?force=1&v=1", id);
    (void)docker_call_start(
        e->api, &(struct docker_request){.method = "DELETE", .path = path, .timeout_ms = DOCKER_CALL_MS},
        on_removed, e);
}

struct box *box_new(struct docker *e, const struct box_events *events, void *ctx)
{
    struct box *b = hob_new(struct box);
    b->e = e;
    b->events = *events;
    b->ctx = ctx;
    b->listen_fd = -1;
    e->last_box++;
    (void)snprintf(b->name, sizeof b->name, "hob-%.6s-%.6s-%llu", e->home_id, e->own_id,
                   (unsigned long long)e->last_box);
    b->socket_path = hob_asprintf("%s/%llu", e->sockets_dir, (unsigned long long)e->last_box);
    HOB_ASSERT(uv_timer_init(e->loop, &b->deadline) == 0);
    b->deadline.data = b;
    b->handles = 1;
    hob_list_push_back(&e->boxes, &b->node);
    return b;
}

/* Whoever may connect is decided by the folder, which is ours alone, and by the bind mount. */
enum hob_code box_listen(struct box *b, struct hob_err *err)
{
    (void)unlink(b->socket_path);
    b->listen_fd = hob_seqpacket_listen(b->socket_path, 0666, err);
    if (b->listen_fd < 0)
        return err->code;
    int rc = uv_poll_init(b->e->loop, &b->listener, b->listen_fd);
    if (rc < 0) {
        (void)close(b->listen_fd);
        return hob_fail_errno(err, -rc, "listening for a container");
    }
    b->listener.data = b;
    b->handles++;
    b->is_listening = true;
    (void)uv_poll_start(&b->listener, UV_READABLE, on_dialled);
    return HOB_OK;
}

void box_create(struct box *b, struct hob_str body)
{
    hob_auto_free char *path = hob_asprintf("/containers/create?name=%s", b->name);
    b->call = docker_call_start(
        b->e->api,
        &(struct docker_request){.method = "POST", .path = path, .body = body, .timeout_ms = DOCKER_CALL_MS},
        on_created, b);
}

void box_hand(struct box *b, const int *fds, size_t fds_n)
{
    HOB_ASSERT(b->state == BOX_READY);
    b->state = BOX_USED;
    char word = HAND_START;
    hob_msgsock_send(b->conn, hob_str_n(&word, 1), fds, fds_n);
}

void box_say(struct box *b, int word)
{
    char byte = (char)word;
    if (b->conn)
        hob_msgsock_send(b->conn, hob_str_n(&byte, 1), NULL, 0);
}

void box_drop(struct box *b)
{
    box_end(b, true);
}
