/* A real server and a raw client in one process and one loop: what the client sends is bytes, nothing helps it.
 * Every step runs the loop without blocking, so the tests see the server between any two bytes. */
#pragma once

#include "check.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include "api/server/server_priv.h"
#include "base/clock.h"
#include "base/limits.h"

struct bed {
    uv_loop_t loop;
    struct http_server *server;
    bool is_closed;
};

static void bed_open(struct bed *bed, const struct http_tuning *tuning, http_request_cb on_request, void *ctx)
{
    struct hob_err err;
    struct http_server_options options = {.host = "127.0.0.1", .on_request = on_request, .ctx = ctx};
    memset(bed, 0, sizeof *bed);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as hobd does: libuv writes without MSG_NOSIGNAL */
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    bed->server = http_server_start_tuned(&bed->loop, &options, tuning, &err);
    assert_non_null(bed->server);
}

static void bed_turn(struct bed *bed)
{
    (void)uv_run(&bed->loop, UV_RUN_NOWAIT);
}

HOB_UNUSED static void bed_run_ms(struct bed *bed, unsigned ms)
{
    uint64_t end = hob_now_ms() + ms;
    while (hob_now_ms() < end) {
        bed_turn(bed);
        usleep(500);
    }
}

static void bed_on_closed(void *ctx)
{
    struct bed *bed = ctx;
    bed->is_closed = true;
}

/* Everything must be gone afterwards: no handle is left in the loop. */
static void bed_close(struct bed *bed)
{
    http_server_drain(bed->server, 0, bed_on_closed, bed);
    for (int i = 0; i < 5000 && !bed->is_closed; i++) {
        bed_turn(bed);
        usleep(1000);
    }
    assert_true(bed->is_closed);
    bed_turn(bed);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
}

/* --- the client ------------------------------------------------------------------------------------------------ */

struct raw {
    struct bed *bed;
    int fd;
    bool is_ended; /* the server closed or reset */
    bool is_reset;
    struct hob_buf got;
};

static void raw_connect(struct raw *raw, struct bed *bed)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(bed->server))};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *raw = (struct raw){.bed = bed};
    hob_buf_init(&raw->got, (size_t)1 << 30);
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(raw->fd >= 0);
    assert_int_equal(setsockopt(raw->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    assert_true(connect(raw->fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
    bed_turn(bed);
}

static void raw_close(struct raw *raw)
{
    if (raw->fd >= 0)
        (void)close(raw->fd);
    raw->fd = -1;
    hob_buf_done(&raw->got);
}

/* Takes what is there; true when something came. */
static bool raw_take(struct raw *raw)
{
    static char bytes[65536];
    ssize_t n = raw->is_ended ? 0 : recv(raw->fd, bytes, sizeof bytes, 0);
    if (n > 0) {
        assert_int_equal(hob_buf_add(&raw->got, bytes, (size_t)n), HOB_OK);
        char *end = hob_buf_room(&raw->got, 1);
        assert_non_null(end);
        *end = '\0'; /* not counted: for those who search in it */
        return true;
    }
    if (!raw->is_ended && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
        raw->is_ended = true;
        raw->is_reset = n < 0;
        return true;
    }
    return false;
}

/* As much as the kernel takes now. */
static size_t raw_try_send(struct raw *raw, const char *bytes, size_t n)
{
    ssize_t sent = send(raw->fd, bytes, n, MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

/* Sends all of it, while the loop runs and answers are taken. */
HOB_UNUSED static void raw_send(struct raw *raw, const char *bytes, size_t n)
{
    size_t at = 0;
    for (int idle = 0; at < n && !raw->is_ended && idle < 4000;) {
        size_t sent = raw_try_send(raw, bytes + at, n - at);
        at += sent;
        bed_turn(raw->bed);
        bool has_moved = raw_take(raw) || sent > 0;
        idle = has_moved ? 0 : idle + 1;
        if (!has_moved)
            usleep(500);
    }
}

/* Runs until nothing has come for a while, or the server has ended the connection. */
static void raw_settle(struct raw *raw)
{
    for (int quiet = 0; quiet < 12 && !raw->is_ended;) {
        bed_turn(raw->bed);
        quiet = raw_take(raw) ? 0 : quiet + 1;
        if (quiet > 4)
            usleep(200);
    }
}

/* Runs until `n` bytes have come, the connection has ended, or `ms` have passed. */
HOB_UNUSED static void raw_wait(struct raw *raw, size_t n, unsigned ms)
{
    uint64_t end = hob_now_ms() + ms;
    while (raw->got.n < n && !raw->is_ended && hob_now_ms() < end) {
        bed_turn(raw->bed);
        if (!raw_take(raw))
            usleep(200);
    }
}

HOB_UNUSED static void raw_wait_end(struct raw *raw, unsigned ms)
{
    raw_wait(raw, SIZE_MAX, ms);
}

HOB_UNUSED static bool raw_has(const struct raw *raw, const char *text)
{
    return raw->got.n && memmem(hob_buf_data(&raw->got), raw->got.n, text, strlen(text));
}

/* --- answers, judged strictly ------------------------------------------------------------------------------------ */

struct answer {
    int status;
    struct hob_str head, body; /* body: as framed, chunks still in it when is_chunked */
    bool is_chunked, is_closing;
};

/* Value of a field, or at == NULL; *ret_count: how often it stands there. */
static struct hob_str answer_field(const struct answer *a, const char *name, unsigned *ret_count)
{
    struct hob_str rest = a->head, found = {NULL, 0};
    unsigned count = 0;
    while (rest.at) {
        struct hob_str value, line = hob_str_cut(rest, '\n', &rest);
        struct hob_str key = hob_str_cut(line, ':', &value);
        if (!value.at || !hob_str_ieq(key, hob_str(name)))
            continue;
        value.n -= value.n > 0; /* CR */
        if (count++ == 0)
            found = hob_str_trim(value);
    }
    if (ret_count)
        *ret_count = count;
    return found;
}

/* Length of a chunked body with its end, or SIZE_MAX when it is not complete. */
static size_t chunked_length(struct hob_str in)
{
    struct http_chunked chunked;
    struct http_refusal r;
    struct hob_str left = in, data;
    enum http_chunk outcome;
    http_chunked_init(&chunked);
    do
        outcome = http_chunked_next(&chunked, &left, SIZE_MAX, &data, &r);
    while (outcome == HTTP_CHUNK_DATA);
    http_chunked_done(&chunked);
    assert_int_not_equal(outcome, HTTP_CHUNK_BAD);
    return outcome == HTTP_CHUNK_END ? in.n - left.n : SIZE_MAX;
}

/* The next answer in *in; false when it is not complete. What RFC 9112 says about framing is asserted. */
static bool answer_next(struct hob_str *in, bool is_bodiless, struct answer *ret_answer)
{
    struct answer a = {0};
    unsigned lengths, codings, dates;
    const char *end = in->n ? memmem(in->at, in->n, "\r\n\r\n", 4) : NULL;
    if (!end)
        return false;
    a.head = (struct hob_str){in->at, (size_t)(end - in->at) + 2};
    assert_true(hob_str_starts(a.head, HOB_STR("HTTP/1.1 ")));
    a.status = (int)strtol(a.head.at + 9, NULL, 10);
    struct hob_str rest = {end + 4, in->n - a.head.n - 2};
    struct hob_str length = answer_field(&a, "content-length", &lengths);
    (void)answer_field(&a, "transfer-encoding", &codings);
    (void)answer_field(&a, "date", &dates);
    struct hob_str connection = answer_field(&a, "connection", NULL);
    a.is_closing = connection.at && hob_str_ieq(connection, HOB_STR("close"));
    bool is_lengthless = a.status < 200 || a.status == 204 || a.status == 304;
    assert_int_equal(dates, a.status < 200 ? 0 : 1);
    assert_true(is_lengthless ? lengths + codings == 0 : lengths + codings <= 1);
    uint64_t n = 0;
    if (lengths)
        assert_true(hob_str_u64(length, &n));
    if (is_lengthless || is_bodiless)
        n = 0;
    else if (codings)
        n = chunked_length(rest);
    else if (!lengths)
        n = rest.n; /* until the end of the connection */
    a.is_chunked = codings > 0;
    if (n > rest.n)
        return false;
    a.body = (struct hob_str){rest.at, (size_t)n};
    *in = (struct hob_str){rest.at + n, rest.n - (size_t)n};
    *ret_answer = a;
    return true;
}

/* The one answer that has come; nothing may follow it. */
HOB_UNUSED static struct answer raw_answer(const struct raw *raw)
{
    struct hob_str in = hob_buf_str(&raw->got);
    struct answer a;
    assert_true(answer_next(&in, false, &a));
    assert_int_equal(in.n, 0);
    return a;
}

HOB_UNUSED static bool answer_has(const struct answer *a, const char *text)
{
    return (a->head.n && memmem(a->head.at, a->head.n, text, strlen(text))) ||
           (a->body.n && memmem(a->body.at, a->body.n, text, strlen(text)));
}
