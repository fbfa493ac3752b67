/* Connections to the program: a pool, last used first. A connection carries one exchange at a time and is used again
 * only after an answer whose end was clear to both sides. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runner/init/proxy_priv.h"

enum {
    READ_BYTES = 16384,
    READ_BYTES_BODY = 65536,
    IN_KEPT_BYTES = 32768,
    FRESH_MS = 1000, /* idle for less: no server gives up on a connection so soon */
};

static void on_conn(struct proxy *p, struct source *s, uint32_t events);

/* ---- opening and closing ---- */

static socklen_t make_address(const struct proxy *p, struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){0};
    if (p->family == AF_INET6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)ret;
        *a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(p->port)};
        a->sin6_addr = in6addr_loopback;
        return sizeof *a;
    }
    struct sockaddr_in *a = (struct sockaddr_in *)ret;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(p->port)};
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *a;
}

/* A connecting or connected socket, or -1 and errno. */
int conn_dial(const struct proxy *p)
{
    struct sockaddr_storage to;
    socklen_t to_n = make_address(p, &to);
    int fd = socket(p->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, to_n) == 0 || errno == EINPROGRESS)
        return fd;
    int errnum = errno;
    (void)close(fd);
    errno = errnum;
    return -1;
}

/* A port that nobody listens on can be given to the very socket that dials it: then it speaks with itself. */
static bool is_to_itself(int fd)
{
    struct sockaddr_storage own = {0}, other = {0};
    socklen_t own_n = sizeof own, other_n = sizeof other;
    return getsockname(fd, (struct sockaddr *)&own, &own_n) < 0 ||
           getpeername(fd, (struct sockaddr *)&other, &other_n) < 0 ||
           ((struct sockaddr_in *)&own)->sin_port == ((struct sockaddr_in *)&other)->sin_port;
}

static struct conn *conn_new(int fd)
{
    struct conn *c = hob_new(struct conn);
    c->source = (struct source){.ready = on_conn, .fd = fd};
    hob_buf_init(&c->in, CONN_IN_MAX);
    answer_init(&c->answer);
    return c;
}

void conn_close(struct proxy *p, struct conn *c, bool is_abrupt)
{
    struct linger abrupt = {.l_onoff = 1};
    if (hob_node_is_linked(&c->node))
        p->idle_n--;
    hob_list_remove(&c->node);
    proxy_watch(p, &c->source, 0);
    if (is_abrupt)
        (void)setsockopt(c->source.fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
    (void)close(c->source.fd);
    c->source.fd = -1;
    c->x = NULL;
    hob_list_push_back(&p->graves, &c->node); /* an event of this turn may still name it */
}

void conn_close_idle(struct proxy *p)
{
    struct hob_node *first;
    while ((first = hob_list_first(&p->idle)) != NULL)
        conn_close(p, HOB_CONTAINER_OF(first, struct conn, node), false);
}

void conn_bury(struct proxy *p)
{
    struct hob_node *first;
    while ((first = hob_list_first(&p->graves)) != NULL) {
        struct conn *c = HOB_CONTAINER_OF(first, struct conn, node);
        hob_list_remove(first);
        hob_buf_done(&c->in);
        answer_done(&c->answer);
        free(c);
    }
}

static void keep(struct proxy *p, struct conn *c)
{
    c->x = NULL;
    c->is_reused = true;
    c->idle_ms = hob_now_ms();
    if (c->in.cap > IN_KEPT_BYTES)
        hob_buf_done(&c->in);
    hob_list_push_front(&p->idle, &c->node);
    p->idle_n++;
    proxy_watch(p, &c->source, EPOLLIN);
    if (p->idle_n > p->slots || p->state == PROXY_ENDING)
        conn_close(p, HOB_CONTAINER_OF(p->idle.head.prev, struct conn, node), false);
}

/* ---- giving a connection to an exchange ---- */

/* Closed by the program, or it speaks without having been asked. */
static bool is_stale(const struct conn *c)
{
    char byte;
    return recv(c->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static struct conn *take_idle(struct proxy *p, bool is_idempotent)
{
    struct hob_node *first;
    while ((first = hob_list_first(&p->idle)) != NULL) {
        struct conn *c = HOB_CONTAINER_OF(first, struct conn, node);
        bool is_old = !is_idempotent && hob_now_ms() - c->idle_ms > FRESH_MS;
        if (!is_old && !is_stale(c)) {
            hob_list_remove(first);
            p->idle_n--;
            return c;
        }
        conn_close(p, c, false);
    }
    return NULL;
}

static bool is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && !is_to_itself(fd);
}

static struct conn *open_fresh(const struct proxy *p)
{
    int fd = conn_dial(p);
    struct conn *c = fd < 0 ? NULL : conn_new(fd);
    if (c)
        c->is_connecting = !is_connected(fd); /* on the loopback it mostly is at once */
    return c;
}

static void attach(struct proxy *p, struct conn *c, struct exchange *x)
{
    c->x = x;
    x->conn = c;
    c->is_broken = c->has_end = false;
    answer_begin(&c->answer, x->is_head, x->may_switch);
    x->may_repeat = c->is_reused && x->is_idempotent && x->has_request_end;
    conn_send(p, c);
}

static void fail_refused(struct proxy *p, struct exchange *x, int errnum)
{
    exchange_lose(p, x, "Runtime.ConnectionRefused",
                  errnum == ECONNREFUSED ? "nothing listens on the function's port any more"
                                         : "the function's port could not be connected to");
}

static void give_fresh(struct proxy *p, struct exchange *x)
{
    struct conn *c = open_fresh(p);
    if (c)
        attach(p, c, x);
    else
        fail_refused(p, x, errno);
}

void conn_give(struct proxy *p, struct exchange *x)
{
    struct conn *c = take_idle(p, x->is_idempotent);
    if (c)
        attach(p, c, x);
    else
        give_fresh(p, x);
}

/* ---- sending ---- */

static void set_mask(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    bool wants_out = c->is_connecting || (!c->is_broken && x->request.n > x->sent);
    bool wants_in = !c->is_connecting && !c->has_end && !hob_node_is_linked(&x->blocked);
    proxy_watch(p, &c->source, (wants_in ? EPOLLIN : 0u) | (wants_out ? EPOLLOUT : 0u));
}

static void finish(struct proxy *p, struct conn *c);

/* The client has ended its direction: so does ours to the program, behind its last byte. True when that was the last
 * thing to do. */
static bool end_raw(struct conn *c)
{
    struct exchange *x = c->x;
    if (!x->is_raw || (!c->is_broken && (!x->has_request_end || x->request.n > x->sent)))
        return false;
    if (!x->is_shut && !c->is_broken)
        (void)shutdown(c->source.fd, SHUT_WR); /* when it is gone, reading tells */
    x->is_shut = true;
    return c->answer.state == ANSWER_DONE;
}

void conn_send(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    while (!c->is_connecting && !c->is_broken && x->request.n > x->sent) {
        ssize_t n =
            send(c->source.fd, hob_buf_data(&x->request) + x->sent, x->request.n - x->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            c->is_broken = true; /* it may have answered before it closed: reading will tell */
        else if (x->may_repeat)
            x->sent += (size_t)n;
        else
            hob_buf_consume(&x->request, (size_t)n);
    }
    if (c->is_broken && !x->may_repeat)
        hob_buf_clear(&x->request);
    exchange_sent(p, x);
    if (end_raw(c))
        finish(p, c);
    else
        set_mask(p, c);
}

/* ---- the answer ---- */

static void let_go(struct proxy *p, struct conn *c, bool may_keep)
{
    c->x->conn = NULL;
    if (may_keep)
        keep(p, c);
    else
        conn_close(p, c, false);
}

static void finish(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    bool is_request_out = x->has_request_end && x->request.n == x->sent;
    let_go(p, c, c->answer.is_keep_alive && is_request_out && c->in.n == 0 && !c->has_end && !c->is_broken);
    exchange_end(p, x);
}

static void refuse(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    conn_close(p, c, true);
    x->conn = NULL;
    exchange_fail(p, x, "Runtime.BadAnswer", c->answer.problem);
}

/* The program closed a connection that was kept, just when it was used again: no byte of an answer came. */
static bool try_again(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    if (!x->may_repeat || answer_has_head(&c->answer) || c->in.n)
        return false;
    conn_close(p, c, true);
    x->sent = 0;
    x->conn = NULL;
    give_fresh(p, x);
    return true;
}

static void judge_end_of_input(struct proxy *p, struct conn *c)
{
    if (try_again(p, c))
        return;
    answer_end_of_input(&c->answer);
    if (c->answer.state == ANSWER_BAD) {
        struct exchange *x = c->x;
        conn_close(p, c, true);
        x->conn = NULL;
        exchange_lose(p, x, "Runtime.BadAnswer", c->answer.problem);
        return;
    }
    hob_buf_clear(&p->body);
    exchange_pass(p, c->x, &c->answer);
    if (c->x->is_raw && !end_raw(c) && !p->has_exited)
        set_mask(p, c); /* the program may go on reading */
    else
        finish(p, c);
}

void conn_take(struct proxy *p, struct conn *c)
{
    struct exchange *x = c->x;
    size_t used;
    hob_list_remove(&x->blocked);
    do {
        if (p->out.n > OUT_PAUSE_BYTES)
            break;
        hob_buf_clear(&p->body);
        used = answer_take(&c->answer, hob_buf_str(&c->in), &p->body, exchange_window(p, x));
        hob_buf_consume(&c->in, used);
        if (c->answer.state == ANSWER_BAD) {
            refuse(p, c);
            return;
        }
        exchange_pass(p, x, &c->answer);
        if (c->answer.state == ANSWER_DONE) {
            finish(p, c);
            return;
        }
    } while (used > 0 && c->in.n > 0);
    if (c->in.n &&
        (p->out.n > OUT_PAUSE_BYTES || (answer_has_head(&c->answer) && exchange_window(p, x) == 0)))
        hob_list_push_back(&p->blocked, &x->blocked);
    else if (c->has_end) {
        judge_end_of_input(p, c);
        return;
    }
    set_mask(p, c);
}

void conn_read(struct proxy *p, struct conn *c)
{
    size_t want = answer_has_head(&c->answer) ? READ_BYTES_BODY : READ_BYTES;
    if (want > c->in.max - c->in.n)
        want = c->in.max - c->in.n;
    char *to = hob_buf_room(&c->in, want);
    HOB_ASSERT(to && want); /* a head or line this long was refused, a body is passed on or blocked */
    ssize_t n = recv(c->source.fd, to, want, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        hob_buf_grew(&c->in, (size_t)n);
        c->x->may_repeat = false;
    } else {
        c->has_end = true;
        if (n < 0 && c->answer.state == ANSWER_UNENDED) { /* a reset is no end */
            c->answer.state = ANSWER_LENGTH;
            c->answer.left = UINT64_MAX;
        }
    }
    conn_take(p, c);
}

/* ---- callbacks ---- */

static void connected(struct proxy *p, struct conn *c)
{
    int errnum = 0;
    socklen_t n = sizeof errnum;
    (void)getsockopt(c->source.fd, SOL_SOCKET, SO_ERROR, &errnum, &n);
    if (errnum == 0 && !is_to_itself(c->source.fd)) {
        c->is_connecting = false;
        conn_send(p, c);
        return;
    }
    struct exchange *x = c->x;
    conn_close(p, c, true);
    x->conn = NULL;
    fail_refused(p, x, errnum ? errnum : ECONNREFUSED);
}

static void busy(struct proxy *p, struct conn *c, uint32_t events)
{
    bool is_blocked = hob_node_is_linked(&c->x->blocked), is_over = events & (EPOLLHUP | EPOLLERR);
    if (is_over && (is_blocked || c->has_end))
        c->is_broken = true; /* what it had said is read when there is credit */
    if ((events & EPOLLOUT) || c->is_broken)
        conn_send(p, c);
    if (!c->x)
        return; /* that was its end */
    if (!is_blocked && !c->has_end && ((events & EPOLLIN) || is_over))
        conn_read(p, c);
}

static void on_conn(struct proxy *p, struct source *s, uint32_t events)
{
    struct conn *c = HOB_CONTAINER_OF(s, struct conn, source);
    if (s->fd < 0)
        return; /* closed earlier in this turn */
    if (!c->x)
        conn_close(p, c, false); /* idle, and it speaks or is gone */
    else if (c->is_connecting)
        connected(p, c);
    else
        busy(p, c, events);
}

/* ---- readiness ---- */

bool conn_probe(struct proxy *p)
{
    static const int families[] = {AF_INET, AF_INET6}; /* "localhost" may be either */
    for (size_t i = 0; i < HOB_COUNT(families); i++) {
        p->family = families[i];
        int fd = conn_dial(p);
        if (fd >= 0 && is_connected(fd)) {
            keep(p, conn_new(fd));
            return true;
        }
        if (fd >= 0)
            (void)close(fd);
    }
    return false;
}
