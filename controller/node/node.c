/* Flow of the hub: EMPTY -> GREETED (a runner dialled in) -> UP (its HELLO was good) -> EMPTY (lost) ...; CLOSING ends
 * it from anywhere. An instance: asked for -> started -> exited, or asked for -> failed; losing the runner ends all.
 * What cannot be sent fails from a timer of zero, so that no event comes from inside node_start. */
#include "controller/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/node/node_priv.h"

enum {
    HELLO_MS = 5000,
    QUEUE_BYTES_MAX = 16 * 1024 * 1024, /* a runner that does not read so much counts as lost */
    CPU_WEIGHT = 100,
};

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n);
static void on_lost(void *ctx, const struct hob_err *err);
static void on_hello_late(uv_timer_t *timer);
static void on_later(uv_timer_t *timer);

/* ---- steps: the link ---- */

struct hob_pairs_writer *node_begin(struct node_hub *h, uint32_t type)
{
    hob_buf_clear(&h->out);
    hob_link_start(&h->writer, &h->out, type);
    return &h->writer;
}

void node_send(struct node_hub *h, const int *fds, size_t fds_n)
{
    HOB_ASSERT(h->sock && !h->writer.is_full);
    struct hob_err err;
    enum hob_code code = hob_pairs_end(&h->writer, &err);
    HOB_ASSERT(code == HOB_OK);
    hob_msgsock_send(h->sock, hob_buf_str(&h->out), fds, fds_n);
}

void node_up(struct node_hub *h)
{
    HOB_ASSERT(h->state == NODE_GREETED);
    h->state = NODE_UP;
    (void)uv_timer_stop(&h->hello_timer);
    hob_pairs_add_u64(node_begin(h, HOB_LINK_WELCOME), "protocol", HOB_LINK_PROTOCOL);
    node_send(h, NULL, 0);
}

static void fail_no_runner(struct hob_err *err)
{
    (void)hob_fail_reason(err, HOB_E_UNAVAILABLE, "engine_unavailable",
                          "no hob-runner is connected; instances cannot be started now");
}

/* Every instance that the runner had ends here, and nothing else hears of it. New starts made by a listener have no
 * runner to go to, so this comes to an end. */
static void end_all(struct node_hub *h)
{
    struct node_instance *i;
    struct hob_node *first;
    struct hob_err err;
    fail_no_runner(&err);
    while ((i = h->instances)) {
        struct node_exit lost = {.exit_code = -1, .is_lost = true, .message = "hob-runner went away"};
        if (i->is_started)
            node_instance_exit(h, i, &lost);
        else
            node_instance_fail(h, i, &err);
    }
    while ((first = hob_list_first(&h->questions)))
        node_question_answer(HOB_CONTAINER_OF(first, struct node_question, node), NULL, 0, &err);
    node_engine_fail_all(h, &err);
}

static void runner_drop(struct node_hub *h, const char *why)
{
    HOB_ASSERT(h->state == NODE_GREETED || h->state == NODE_UP);
    hob_log(HOB_LOG_ERROR, "runner.lost", "instances=%u %s", HASH_COUNT(h->instances), why);
    h->state = NODE_EMPTY;
    (void)uv_timer_stop(&h->hello_timer);
    hob_msgsock_close(h->sock);
    h->sock = NULL;
    end_all(h);
}

static void runner_take(struct node_hub *h, struct hob_str msg, const int *fds, size_t fds_n)
{
    const char *why;
    char text[128];
    struct hob_msgsock *sock = h->sock;
    for (size_t i = 1; i < fds_n; i++)
        (void)close(fds[i]);
    bool is_good = node_take(h, msg, fds_n ? fds[0] : -1, &why);
    if (is_good || h->sock != sock ||
        h->state == NODE_CLOSING) /* a listener may have closed the hub meanwhile */
        return;
    (void)snprintf(text, sizeof text, "closed: it sent %s", why);
    runner_drop(h, text);
}

/* Takes a stranger in, or turns it away: the wrong user, or a second runner. */
static void runner_greet(struct node_hub *h, int fd)
{
    static const struct hob_msgsock_events events = {.on_message = on_message, .on_lost = on_lost};
    struct hob_err err = {0};
    unsigned uid = hob_peer_uid(fd);
    if (uid != h->owner_uid)
        (void)hob_fail(&err, HOB_E_FORBIDDEN, "uid %u may not be this node's runner; uid %u may", uid,
                       h->owner_uid);
    else if (h->state != NODE_EMPTY)
        (void)hob_fail(&err, HOB_E_CONFLICT, "there is a runner already");
    if (err.code != HOB_OK)
        (void)close(fd);
    else
        h->sock = hob_msgsock_start(h->loop, fd, QUEUE_BYTES_MAX, &events, h, &err);
    if (err.code != HOB_OK) {
        hob_log(HOB_LOG_WARN, "runner.refused", "%s", err.msg);
        return;
    }
    h->state = NODE_GREETED;
    (void)uv_timer_start(&h->hello_timer, on_hello_late, HELLO_MS, 0);
}

static void runner_accept(struct node_hub *h)
{
    int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        runner_greet(h, fd);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        hob_log(HOB_LOG_ERROR, "runner.accept", "%s", hob_errno_text(errno));
}

/* ---- steps: instances ---- */

static void start_later_fail(struct node_hub *h, struct node_instance *i)
{
    HOB_ASSERT(i->err.code != HOB_OK);
    hob_list_push_back(&h->later, &i->node);
    (void)uv_timer_start(&h->later_timer, on_later, 0, 0);
}

static void later_run(struct node_hub *h)
{
    struct hob_list now; /* only what is there: a listener that starts again at once must not keep us here */
    struct hob_node *first;
    hob_list_init(&now);
    while ((first = hob_list_first(&h->later))) {
        hob_list_remove(first);
        hob_list_push_back(&now, first);
    }
    while ((first = hob_list_first(&now))) {
        struct node_instance *i = HOB_CONTAINER_OF(first, struct node_instance, node);
        struct hob_err err = i->err;
        node_instance_fail(h, i, &err);
    }
    if (h->state == NODE_CLOSING)
        return;
    while (h->state != NODE_UP && h->state != NODE_CLOSING && (first = hob_list_first(&h->questions))) {
        struct hob_err err;
        fail_no_runner(&err);
        node_question_answer(HOB_CONTAINER_OF(first, struct node_question, node), NULL, 0, &err);
    }
    if (h->state != NODE_UP && !hob_list_is_empty(&h->asks)) {
        struct hob_err err;
        fail_no_runner(&err);
        node_engine_fail_all(h, &err);
    }
}

void node_later(struct node_hub *h)
{
    if (h->state != NODE_CLOSING)
        (void)uv_timer_start(&h->later_timer, on_later, 0, 0);
}

static void add_strings(struct hob_pairs_writer *w, const struct node_start_spec *s)
{
    for (const char *const *a = s->argv; *a; a++)
        hob_pairs_add(w, HOB_STR("arg"), hob_str(*a));
    for (const char *const *e = s->env; e && *e; e++) {
        char name[256];
        struct hob_str value, key = hob_str_cut(hob_str(*e), '=', &value);
        HOB_ASSERT(value.at && key.n > 0); /* platform variables only: never a stranger's */
        int n = snprintf(name, sizeof name, "env.%.*s", HOB_STR_ARG(key));
        HOB_ASSERT(n > 0 && (size_t)n < sizeof name);
        hob_pairs_add(w, hob_str_n(name, (size_t)n), value);
    }
}

static void write_start(struct node_hub *h, const struct node_start_spec *s)
{
    struct hob_pairs_writer *w = node_begin(h, HOB_LINK_START);
    hob_pairs_add_u64(w, "instance", s->instance);
    hob_pairs_add(w, HOB_STR("engine"), s->engine ? hob_str(s->engine) : HOB_STR("sandbox"));
    if (s->image)
        hob_pairs_add(w, HOB_STR("image"), hob_str(s->image));
    hob_pairs_add(w, HOB_STR("app"), hob_str(s->app));
    hob_pairs_add(w, HOB_STR("function"), hob_str(s->function));
    hob_pairs_add_u64(w, "version", s->version);
    hob_pairs_add(w, HOB_STR("runtime"), hob_str(s->runtime));
    hob_pairs_add(w, HOB_STR("digest"), s->digest ? hob_str(s->digest) : HOB_STR(""));
    add_strings(w, s);
    hob_pairs_add_u64(w, "memory_mb", s->memory_mb);
    hob_pairs_add_u64(w, "cpu_percent", s->cpu_percent);
    hob_pairs_add_u64(w, "cpu_weight", CPU_WEIGHT);
    hob_pairs_add_u64(w, "pids_max", s->pids_max);
    hob_pairs_add_u64(w, "nofile_max", HOB_MAX_NOFILE);
    hob_pairs_add_u64(w, "tmp_bytes", s->tmp_bytes);
    hob_pairs_add_u64(w, "tmp_inodes", HOB_MAX_TMP_INODES);
    hob_pairs_add_u64(w, "fsize_bytes", s->tmp_bytes);
    hob_pairs_add_u64(w, "log_lines", 1);
    for (size_t i = 0; i < s->egress_n; i++)
        hob_pairs_add(w, HOB_STR("egress"), hob_str(s->egress[i]));
    for (size_t i = 0; i < s->syscalls_n && !s->is_learning; i++)
        hob_pairs_add(w, HOB_STR("syscall"), hob_str(s->syscalls[i]));
    if (s->is_learning)
        hob_pairs_add_u64(w, "learn", 1);
    hob_pairs_add_u64(w, "pool_max", s->pool_max);
    hob_pairs_add_u64(w, "forks_max", s->forks_max);
}

static void send_start(struct node_hub *h, const struct node_start_spec *s, struct hob_err *ret_err)
{
    hob_auto_close int stdin_fd = -1;
    if (h->state != NODE_UP) {
        fail_no_runner(ret_err);
        return;
    }
    if (s->stdin_fd >= 0 && (stdin_fd = fcntl(s->stdin_fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        (void)hob_fail_errno(ret_err, errno, "handing stdin to the runner");
        return;
    }
    write_start(h, s);
    if (h->writer.is_full) {
        (void)hob_fail(ret_err, HOB_E_TOO_LARGE,
                       "arguments and environment of an instance: more than %d bytes", HOB_FDMSG_BYTES_MAX);
        return;
    }
    int fd = hob_steal_fd(&stdin_fd);
    node_send(h, &fd, fd >= 0 ? 1 : 0);
}

static void send_word(struct node_hub *h, uint32_t type, uint64_t instance, int64_t grace_ms)
{
    if (h->state != NODE_UP || !node_instance_find(h, instance))
        return;
    struct hob_pairs_writer *w = node_begin(h, type);
    hob_pairs_add_u64(w, "instance", instance);
    if (grace_ms >= 0)
        hob_pairs_add_u64(w, "grace_ms", (uint64_t)grace_ms);
    node_send(h, NULL, 0);
}

static void hub_closed(struct node_hub *h)
{
    later_run(h);
    end_all(h);
    later_run(h); /* what a listener started in the meantime */
    HOB_ASSERT(!h->instances && hob_list_is_empty(&h->later));
    void (*closed)(void *ctx) = h->closed;
    void *ctx = h->closed_ctx;
    (void)unlink(h->path);
    hob_buf_done(&h->out);
    free(h->path);
    free(h);
    if (closed)
        closed(ctx);
}

/* ---- callbacks ---- */

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n)
{
    runner_take(ctx, msg, fds, fds_n);
}

static void on_lost(void *ctx, const struct hob_err *err)
{
    runner_drop(ctx, err->msg);
}

static void on_hello_late(uv_timer_t *timer)
{
    runner_drop(timer->data, "closed: no HELLO within 5 s");
}

static void on_later(uv_timer_t *timer)
{
    later_run(timer->data);
}

static void on_dialled(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error shows in accept */
    (void)events;
    runner_accept(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
    struct node_hub *h = handle->data;
    if (--h->handles == 0)
        hub_closed(h);
}

/* ---- door ---- */

struct node_hub *node_hub_start(uv_loop_t *loop, const char *socket_path, unsigned owner_uid,
                                struct hob_err *err)
{
    int fd = hob_seqpacket_listen(socket_path, 0600, err);
    if (fd < 0)
        return NULL;
    struct node_hub *h = hob_new(struct node_hub);
    h->loop = loop;
    h->path = hob_strdup(socket_path);
    h->owner_uid = owner_uid;
    h->listen_fd = fd;
    hob_buf_init(&h->out, HOB_FDMSG_BYTES_MAX);
    hob_list_init(&h->later);
    hob_list_init(&h->questions);
    hob_list_init(&h->asks);
    int rc = uv_poll_init(loop, &h->listener, fd);
    if (rc < 0) {
        (void)hob_fail_errno(err, -rc, "listening on '%s'", socket_path);
        (void)close(fd);
        free(h->path);
        free(h);
        return NULL;
    }
    (void)uv_timer_init(loop, &h->later_timer);
    (void)uv_timer_init(loop, &h->hello_timer);
    h->listener.data = h->later_timer.data = h->hello_timer.data = h;
    h->handles = 3;
    (void)uv_poll_start(&h->listener, UV_READABLE, on_dialled);
    return h;
}

void node_hub_close(struct node_hub *h, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(h->state != NODE_CLOSING);
    h->state = NODE_CLOSING;
    h->closed = closed;
    h->closed_ctx = ctx;
    hob_msgsock_close(h->sock); /* the runner stops what it has */
    h->sock = NULL;
    uv_close((uv_handle_t *)&h->listener, on_closed);
    (void)close(h->listen_fd);
    uv_close((uv_handle_t *)&h->later_timer, on_closed);
    uv_close((uv_handle_t *)&h->hello_timer, on_closed);
}

bool node_hub_has_runner(const struct node_hub *h)
{
    return h->state == NODE_UP;
}

void node_start(struct node_hub *h, const struct node_start_spec *spec, const struct node_events *events,
                void *ctx)
{
    HOB_ASSERT(spec->instance && events->started && events->failed && events->exited);
    HOB_ASSERT(!node_instance_find(h, spec->instance));
    struct node_instance *i = hob_new(struct node_instance);
    i->id = spec->instance;
    i->events = *events;
    i->ctx = ctx;
    send_start(h, spec, &i->err);
    if (i->err.code == HOB_OK)
        HASH_ADD(hh, h->instances, id, sizeof i->id, i);
    else
        start_later_fail(h, i);
}

void node_stop(struct node_hub *h, uint64_t instance, uint32_t grace_ms)
{
    send_word(h, HOB_LINK_STOP, instance, grace_ms);
}

void node_freeze(struct node_hub *h, uint64_t instance)
{
    send_word(h, HOB_LINK_FREEZE, instance, -1);
}

void node_thaw(struct node_hub *h, uint64_t instance)
{
    send_word(h, HOB_LINK_THAW, instance, -1);
}

bool node_can_freeze(const struct node_hub *h)
{
    return h->state == NODE_UP && !h->cannot_freeze;
}

void node_doctor(struct node_hub *h, node_doctor_cb cb, void *ctx)
{
    struct node_question *q = hob_new(struct node_question);
    q->cb = cb;
    q->ctx = ctx;
    hob_list_push_back(&h->questions, &q->node);
    if (h->state == NODE_UP) {
        (void)node_begin(h, HOB_LINK_DOCTOR);
        node_send(h, NULL, 0);
    } else if (h->state != NODE_CLOSING) {
        (void)uv_timer_start(&h->later_timer, on_later, 0, 0);
    }
}
