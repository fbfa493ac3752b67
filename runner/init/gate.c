#include "runner/init/gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runner/init/gate_priv.h"
#include "runner/init/json_text.h"

enum {
    BACKLOG = 128,
    ACCEPTS_MAX = 16, /* a turn */
    FILES_OF_OURS = 32,
    READ_BYTES = 16384,
    IN_KEPT_BYTES = 4096,
    HEAD_OUT_BYTES = 65536,
    REQUEST_MS = 30000, /* from a request's first byte to its last */
    TAKE_MS = 60000,    /* without a byte of an answer being taken */
    PART_MS = 1000,
    IDLE_MS = 200, /* who was just let in, or just answered, is not let go */
    AGAIN_MS = 50, /* when no descriptor was left for a connection */
    PART_BYTES_MAX = 4 << 20,
};

static void on_conn(struct proxy *p, struct source *s, uint32_t events);

/* ---- connections ---- */

static void listen_again(struct gate *g)
{
    g->again_ms = UINT64_MAX;
    proxy_watch(g->p, &g->listener, EPOLLIN);
}

/* No room, or no descriptor: whoever wants to connect waits in the kernel's queue. */
static void listen_later(struct gate *g)
{
    g->again_ms = hob_now_ms() + AGAIN_MS;
    proxy_watch(g->p, &g->listener, 0);
}

static void forget_call(struct gate *g, const struct gate_conn *c)
{
    for (size_t i = 0; i < GATE_CALLS_MAX; i++)
        if (g->calls[i].conn == c)
            g->calls[i].conn = NULL; /* its answer will be thrown away */
}

void gate_conn_close(struct gate *g, struct gate_conn *c)
{
    if (c->source.fd < 0)
        return;
    hob_list_remove(&c->node);
    hob_list_remove(&c->waiting);
    forget_call(g, c);
    proxy_watch(g->p, &c->source, 0);
    (void)close(c->source.fd);
    c->source.fd = -1;
    gate_release(g, c);
    g->out_bytes -= c->out.n;
    g->conns_n--;
    hob_list_push_back(&g->graves, &c->node); /* an event of this turn may still name it */
    if (g->again_ms != UINT64_MAX)
        listen_again(g);
}

static void bury(struct gate *g)
{
    struct hob_node *first;
    while ((first = hob_list_first(&g->graves)) != NULL) {
        struct gate_conn *c = HOB_CONTAINER_OF(first, struct gate_conn, node);
        hob_list_remove(first);
        hob_buf_done(&c->in);
        hob_buf_done(&c->body);
        hob_buf_done(&c->out);
        answer_done(&c->request);
        free(c);
    }
}

static bool is_idle(const struct gate_conn *c)
{
    return c->state == GATE_READING && c->in.n == 0 && c->request.state == ANSWER_HEAD;
}

static void conn_open(struct gate *g, int fd)
{
    int one = 1;
    struct gate_conn *c = hob_new(struct gate_conn);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->source = (struct source){.ready = on_conn, .fd = fd};
    c->due_ms = UINT64_MAX;
    c->since_ms = hob_now_ms();
    hob_buf_init(&c->in, CONN_IN_MAX);
    hob_buf_init(&c->body, HOB_MAX_CALL_BYTES);
    hob_buf_init(&c->out, HOB_MAX_CALL_ANSWER_BYTES + HEAD_OUT_BYTES);
    answer_init(&c->request);
    answer_begin_request(&c->request);
    hob_list_push_back(&g->conns, &c->node);
    g->conns_n++;
    proxy_watch(g->p, &c->source, EPOLLIN);
}

/* Something came that was not read yet. */
static bool has_input(const struct gate_conn *c)
{
    char byte;
    return recv(c->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The one that nobody has asked on for longest makes room for who wants to ask. */
static void drop_idle(struct gate *g)
{
    HOB_LIST_EACH(&g->conns, node, tmp)
    {
        struct gate_conn *c = HOB_CONTAINER_OF(node, struct gate_conn, node);
        if (hob_now_ms() - c->since_ms < IDLE_MS)
            return; /* so are those behind it */
        if (is_idle(c) && !has_input(c)) {
            gate_conn_close(g, c);
            return;
        }
    }
}

static void on_listener(struct proxy *p, struct source *s, uint32_t events)
{
    struct gate *g = p->gate;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        if (g->conns_n >= g->conns_max)
            drop_idle(g);
        int fd = g->conns_n < g->conns_max ? accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
        if (fd >= 0) {
            conn_open(g, fd);
            continue;
        }
        if (g->conns_n >= g->conns_max || (errno != EAGAIN && errno != ECONNABORTED))
            listen_later(g);
        return;
    }
}

/* ---- answering ---- */

/* Kept connections are taken in the order in which they were last used. */
static void begin_again(struct gate *g, struct gate_conn *c)
{
    c->state = GATE_READING;
    c->due_ms = UINT64_MAX;
    c->has_continued = false;
    if (c->in.cap > IN_KEPT_BYTES && c->in.n == 0)
        hob_buf_done(&c->in);
    hob_buf_done(&c->out);
    answer_begin_request(&c->request);
    c->since_ms = hob_now_ms();
    hob_list_remove(&c->node);
    hob_list_push_back(&g->conns, &c->node);
}

static void part(struct gate *g, struct gate_conn *c)
{
    (void)shutdown(c->source.fd, SHUT_WR);
    if (c->has_end) {
        gate_conn_close(g, c);
        return;
    }
    c->state = GATE_PARTING;
    c->due_ms = hob_now_ms() + PART_MS;
    hob_buf_done(&c->in);
    proxy_watch(g->p, &c->source, EPOLLIN);
}

bool gate_add(struct gate *g, struct gate_conn *c, struct hob_str bytes)
{
    if (g->out_bytes + bytes.n > GATE_OUT_BYTES_MAX || hob_buf_add_str(&c->out, bytes) != HOB_OK) {
        gate_conn_close(g, c);
        return false;
    }
    g->out_bytes += bytes.n;
    return true;
}

/* What of its next request has come already is read by whoever called, not in here. */
void gate_conn_write(struct gate *g, struct gate_conn *c)
{
    while (c->out.n) {
        ssize_t n = send(c->source.fd, hob_buf_data(&c->out), c->out.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            gate_conn_close(g, c);
            return;
        }
        c->due_ms = hob_now_ms() + TAKE_MS;
        hob_buf_consume(&c->out, (size_t)n);
        g->out_bytes -= (size_t)n;
    }
    if (c->due_ms == UINT64_MAX && c->out.n)
        c->due_ms = hob_now_ms() + TAKE_MS;
    if (c->out.n) {
        proxy_watch(g->p, &c->source, EPOLLOUT);
    } else if (c->state != GATE_ANSWERING) {
        c->due_ms = UINT64_MAX; /* hobd owes the rest */
        proxy_watch(g->p, &c->source, 0);
    } else if (c->is_last) {
        part(g, c);
    } else {
        begin_again(g, c);
        /* writable at once: what of the next request is here already is read in the next turn */
        proxy_watch(g->p, &c->source, c->in.n ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

static const char *phrase_of(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

static enum hob_code write_problem(struct hob_buf *json, const struct gate_problem *why)
{
    enum hob_code code = hob_buf_addf(json, "{\"code\":%d,\"error\":", why->code);
    if (code == HOB_OK)
        code = json_text_add(json, why->message);
    if (code == HOB_OK && why->reason.n)
        code = hob_buf_add_str(json, HOB_STR(",\"reason\":"));
    if (code == HOB_OK && why->reason.n)
        code = json_text_add(json, why->reason);
    return code == HOB_OK ? hob_buf_add(json, "}", 1) : code;
}

void gate_refuse(struct gate *g, struct gate_conn *c, const struct gate_problem *why)
{
    hob_auto_buf struct hob_buf json, head;
    hob_buf_init(&json, HEAD_OUT_BYTES / 2);
    hob_buf_init(&head, HEAD_OUT_BYTES);
    c->is_last |= why->is_last;
    gate_release(g, c);
    enum hob_code code = write_problem(&json, why);
    if (code == HOB_OK)
        code = hob_buf_addf(&head,
                            "HTTP/1.1 %u %s\r\nContent-Type: application/json; charset=utf-8\r\n"
                            "Content-Length: %zu\r\n%s\r\n",
                            why->status, phrase_of(why->status), json.n,
                            c->is_last ? "Connection: close\r\n" : "");
    bool has_body = !hob_str_is(answer_method(&c->request), "HEAD");
    if (code == HOB_OK && has_body)
        code = hob_buf_add_str(&head, hob_buf_str(&json));
    c->state = GATE_ANSWERING;
    c->due_ms = UINT64_MAX; /* that of the request may be past: who was late has time to hear so */
    if (code != HOB_OK)
        gate_conn_close(g, c);
    else if (gate_add(g, c, hob_buf_str(&head)))
        gate_conn_write(g, c);
}

/* ---- reading ---- */

static void refuse_with(struct gate *g, struct gate_conn *c, unsigned status, const char *message)
{
    gate_refuse(g, c, &(struct gate_problem){status, 1, HOB_STR(""), hob_str(message), true});
}

/* "Expect: 100-continue": told once, when the body is wanted. */
static void tell_to_continue(struct gate_conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!c->request.wants_continue || c->has_continued || c->request.is_http10)
        return;
    c->has_continued = true;
    if (send(c->source.fd, text, sizeof text - 1, MSG_NOSIGNAL) != (ssize_t)sizeof text - 1)
        c->is_last = true; /* who takes not even that is let go behind the answer */
}

static void whole(struct gate *g, struct gate_conn *c)
{
    c->is_last = !c->request.is_keep_alive;
    c->state = GATE_WAITING;
    c->due_ms = UINT64_MAX;
    proxy_watch(g->p, &c->source, 0);
    if (!gate_judge(g, c))
        return;
    hob_list_push_back(&g->waiting, &c->waiting);
    gate_ask(g);
}

/* Room for a body before a byte of it is read, so that what was begun can be ended. */
static bool reserve(struct gate *g, struct gate_conn *c)
{
    size_t need = c->request.state == ANSWER_LENGTH ? (size_t)c->request.left : c->body.max;
    bool has_room = g->bodies_bytes + need <= GATE_BODIES_BYTES_MAX;
    g->held_n = g->held_n - c->is_held + !has_room;
    c->is_held = !has_room;
    if (!has_room)
        return false;
    c->reserved_n = need;
    g->bodies_bytes += need;
    tell_to_continue(c);
    return true;
}

void gate_release(struct gate *g, struct gate_conn *c)
{
    g->bodies_bytes -= c->reserved_n;
    c->reserved_n = 0;
    g->held_n -= c->is_held;
    c->is_held = false;
    hob_buf_done(&c->body);
}

static bool is_too_large(const struct gate_conn *c)
{
    const struct answer *a = &c->request;
    return (a->state == ANSWER_LENGTH && a->left > c->body.max - c->body.n) ||
           (a->state == ANSWER_CHUNK_DATA && c->body.n == c->body.max);
}

/* True when more of what has come can be looked at. */
static bool read_on(struct gate *g, struct gate_conn *c)
{
    const struct answer *a = &c->request;
    size_t used = answer_take(&c->request, hob_buf_str(&c->in), &c->body, c->reserved_n ? c->body.max : 0);
    hob_buf_consume(&c->in, used);
    if (a->state == ANSWER_BAD) {
        bool is_long = strstr(a->problem, "too large") || strstr(a->problem, "larger");
        refuse_with(g, c, is_long ? 431 : 400, a->problem);
    } else if (a->state == ANSWER_DONE) {
        whole(g, c);
    } else if (is_too_large(c)) {
        refuse_with(g, c, 413, "a request has at most 1 MiB (call.bytes)");
    } else if (answer_has_head(a) && !c->reserved_n) {
        return reserve(g, c) && c->in.n > 0;
    }
    return used > 0 && c->source.fd >= 0 && c->state == GATE_READING && c->in.n > 0;
}

static void go_on(struct gate *g, struct gate_conn *c)
{
    while (c->state == GATE_READING && read_on(g, c))
        ;
    if (c->source.fd < 0 || c->state != GATE_READING)
        return;
    if (c->has_end) {
        gate_conn_close(g, c); /* in the middle of a request, or between two */
        return;
    }
    if (is_idle(c))
        c->due_ms = UINT64_MAX;
    else if (c->due_ms == UINT64_MAX)
        c->due_ms = hob_now_ms() + REQUEST_MS;
    proxy_watch(g->p, &c->source, c->is_held ? 0 : EPOLLIN);
}

void gate_resume(struct gate *g)
{
    if (g->held_n == 0)
        return;
    HOB_LIST_EACH(&g->conns, node, tmp)
    {
        struct gate_conn *c = HOB_CONTAINER_OF(node, struct gate_conn, node);
        if (c->is_held && reserve(g, c)) /* what is here already is read in the next turn */
            proxy_watch(g->p, &c->source, EPOLLIN | EPOLLOUT);
    }
}

static void take_bytes(struct gate *g, struct gate_conn *c)
{
    size_t want = c->in.max - c->in.n < READ_BYTES ? c->in.max - c->in.n : READ_BYTES;
    char *to = hob_buf_room(&c->in, want);
    HOB_ASSERT(to && want); /* a head or line this long was refused, a body was taken */
    ssize_t n = recv(c->source.fd, to, want, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        go_on(g, c);
        return;
    }
    if (n < 0) {
        gate_conn_close(g, c);
        return;
    }
    hob_buf_grew(&c->in, (size_t)n);
    c->has_end |= n == 0;
    go_on(g, c);
}

static void throw_away(struct gate *g, struct gate_conn *c)
{
    char bytes[READ_BYTES / 4];
    ssize_t n = recv(c->source.fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    c->parted_n += n > 0 ? (size_t)n : 0;
    if (n <= 0 || c->parted_n > PART_BYTES_MAX)
        gate_conn_close(g, c);
}

/* ---- callbacks ---- */

static void on_conn(struct proxy *p, struct source *s, uint32_t events)
{
    struct gate_conn *c = HOB_CONTAINER_OF(s, struct gate_conn, source);
    if (s->fd < 0)
        return; /* closed earlier in this turn */
    if (c->state == GATE_READING)
        take_bytes(p->gate, c);
    else if (c->state == GATE_PARTING)
        throw_away(p->gate, c);
    else if (events & (EPOLLHUP | EPOLLERR))
        gate_conn_close(p->gate, c);
    else
        gate_conn_write(p->gate, c);
}

/* ---- door ---- */

/* Descriptors are the program's connections' first. */
static unsigned conns_max(const struct proxy *p)
{
    struct rlimit files = {.rlim_cur = 0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    rlim_t taken = p->slots + FILES_OF_OURS, left = files.rlim_cur > taken ? files.rlim_cur - taken : 0;
    return left > GATE_CONNS_MAX ? GATE_CONNS_MAX : left < GATE_CONNS_MIN ? GATE_CONNS_MIN : (unsigned)left;
}

struct gate *gate_new(struct proxy *p, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return NULL;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0) {
        int errnum = errno;
        (void)close(fd);
        errno = errnum;
        return NULL;
    }
    struct gate *g = hob_new(struct gate);
    g->p = p;
    g->conns_max = conns_max(p);
    g->again_ms = UINT64_MAX;
    g->listener = (struct source){.ready = on_listener, .fd = fd};
    hob_list_init(&g->conns);
    hob_list_init(&g->waiting);
    hob_list_init(&g->graves);
    listen_again(g);
    return g;
}

void gate_tick(struct gate *g, uint64_t now_ms)
{
    HOB_LIST_EACH(&g->conns, node, tmp)
    {
        struct gate_conn *c = HOB_CONTAINER_OF(node, struct gate_conn, node);
        if (now_ms < c->due_ms)
            continue;
        if (c->state == GATE_READING)
            refuse_with(g, c, c->is_held ? 503 : 408, "the request did not come to its end in time");
        else
            gate_conn_close(g, c);
    }
    if (now_ms >= g->again_ms)
        listen_again(g);
    bury(g);
}

uint64_t gate_wake_ms(const struct gate *g)
{
    uint64_t at = g->again_ms;
    HOB_LIST_EACH(&g->conns, node, tmp)
    {
        const struct gate_conn *c = HOB_CONTAINER_OF(node, struct gate_conn, node);
        at = c->due_ms < at ? c->due_ms : at;
    }
    return at;
}
