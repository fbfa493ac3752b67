/* Flow: ASKING (a socket per try) -> TOLD. Late, wrong or failed answers go to the next try; cancel ends it. */
#include "runner/egress/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"

#include "base/banned.h"

enum { TRY_MS = 2000, ROUNDS = 2, SERVERS_MAX = 3, CONF_BYTES_MAX = 65536, PORT = 53 };

struct lookup {
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_poll_t *poll; /* of this try; frees itself */
    int sock;
    uint16_t id;
    unsigned tries;
    bool is_told;
    struct sockaddr_storage servers[SERVERS_MAX];
    size_t servers_n;
    struct dns_question question;
    lookup_cb cb;
    void *ctx;
};

static void on_late(uv_timer_t *timer);
static void on_answer(uv_poll_t *poll, int status, int events);
static void on_poll_closed(uv_handle_t *handle);
static void on_timer_closed(uv_handle_t *handle);

/* ---- steps ---- */

static bool server_read(struct hob_str text, struct sockaddr_storage *to)
{
    char address[64];
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    if (text.n == 0 || text.n >= sizeof address)
        return false;
    (void)snprintf(address, sizeof address, "%.*s", HOB_STR_ARG(text));
    return uv_ip4_addr(address, PORT, v4) == 0 || uv_ip6_addr(address, PORT, v6) == 0;
}

static void servers_read(struct lookup *l)
{
    struct hob_buf hob_auto_buf text = {0};
    hob_buf_init(&text, CONF_BYTES_MAX);
    if (hob_read_file("/etc/resolv.conf", &text, NULL) == HOB_OK)
        for (struct hob_str rest = hob_buf_str(&text); rest.at && l->servers_n < SERVERS_MAX;) {
            struct hob_str line = hob_str_trim(hob_str_cut(rest, '\n', &rest));
            if (!hob_str_starts(line, HOB_STR("nameserver")))
                continue;
            struct hob_str address = hob_str_trim(hob_str_n(line.at + 10, line.n - 10));
            l->servers_n += server_read(address, &l->servers[l->servers_n]);
        }
    if (l->servers_n == 0) /* as resolv.conf(5) has it */
        l->servers_n = server_read(HOB_STR("127.0.0.1"), &l->servers[0]);
}

static void try_end(struct lookup *l)
{
    if (l->poll) {
        (void)uv_poll_stop(l->poll);
        uv_close((uv_handle_t *)l->poll, on_poll_closed);
    }
    if (l->sock >= 0)
        (void)close(l->sock);
    l->poll = NULL;
    l->sock = -1;
}

static void lookup_end(struct lookup *l)
{
    l->is_told = true;
    try_end(l);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void lookup_tell(struct lookup *l, const struct dns_result *result)
{
    lookup_cb cb = l->cb;
    void *ctx = l->ctx;
    lookup_end(l);
    cb(ctx, result);
}

/* Connected: an answer from anybody else does not arrive. */
static bool try_send(struct lookup *l)
{
    uint8_t msg[DNS_ANSWER_BYTES_MAX];
    const struct sockaddr_storage *to = &l->servers[(l->tries - 1) % l->servers_n];
    hob_random(&l->id, sizeof l->id);
    size_t n = dns_question_write(l->id, &l->question, msg);
    l->sock = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t to_n = to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (l->sock < 0 || connect(l->sock, (const struct sockaddr *)to, to_n) < 0 ||
        send(l->sock, msg, n, 0) != (ssize_t)n)
        return false;
    l->poll = hob_new(uv_poll_t);
    if (uv_poll_init(l->loop, l->poll, l->sock) < 0) {
        free(l->poll);
        l->poll = NULL;
        return false;
    }
    l->poll->data = l;
    return uv_poll_start(l->poll, UV_READABLE, on_answer) == 0;
}

static void lookup_try(struct lookup *l)
{
    try_end(l);
    if (l->tries++ == ROUNDS * l->servers_n) {
        lookup_tell(l, &(struct dns_result){.code = DNS_SERVER_FAILURE});
        return;
    }
    bool is_sent = try_send(l); /* else the next try is due at once, but not from in here */
    (void)uv_timer_start(&l->timer, on_late, is_sent ? TRY_MS : 0, 0);
}

static void lookup_take(struct lookup *l)
{
    uint8_t msg[DNS_BYTES_MAX];
    struct dns_result result;
    ssize_t n = recv(l->sock, msg, sizeof msg, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) /* ECONNREFUSED: no server there */
        lookup_try(l);
    else if (dns_answer_read(msg, (size_t)n, l->id, &l->question, &result)) {
        bool is_final = result.code == DNS_OK || result.code == DNS_NO_SUCH_NAME;
        if (is_final)
            lookup_tell(l, &result);
        else
            lookup_try(l);
    }
}

/* ---- callbacks ---- */

static void on_late(uv_timer_t *timer)
{
    lookup_try(timer->data);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    struct lookup *l = poll->data;
    (void)events;
    (void)status; /* an error is read from the socket */
    lookup_take(l);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* ---- door ---- */

struct lookup *lookup_start(uv_loop_t *loop, const struct dns_question *q, lookup_cb cb, void *ctx)
{
    struct lookup *l = hob_new(struct lookup);
    *l = (struct lookup){.loop = loop, .sock = -1, .question = *q, .cb = cb, .ctx = ctx};
    servers_read(l);
    HOB_ASSERT(uv_timer_init(loop, &l->timer) == 0);
    l->timer.data = l;
    (void)uv_timer_start(&l->timer, on_late, 0, 0);
    return l;
}

void lookup_cancel(struct lookup *l)
{
    if (!l->is_told)
        lookup_end(l);
}
