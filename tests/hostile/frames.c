/* A native function that speaks the channel itself, and wrongly: the path says in which way. docs/channel.md. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HELLO = 1,
    CREDIT = 2,
    PING = 3,
    INVOKE = 16,
    BODY = 17,
    CANCEL = 18,
    DRAIN = 19,
    READY = 32,
    HEAD = 34,
    DATA = 35,
    ERROR = 36,
    DONE = 37,
    CALL = 38,
    LOG = 39
};
enum { END = 1, META = 2, FD = 4 };

static unsigned char payload[2 << 20];

static void put32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> (8 * i));
}
static uint32_t get32(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void all(const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t w = write(3, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            exit(4);
        at += w;
        n -= (size_t)w;
    }
}

static void head(unsigned char h[16], uint32_t len, unsigned type, unsigned flags, uint32_t stream,
                 uint32_t arg)
{
    memset(h, 0, 16);
    put32(h, len);
    h[4] = (unsigned char)type;
    h[5] = (unsigned char)flags;
    put32(h + 8, stream);
    put32(h + 12, arg);
}

static void frame(unsigned type, unsigned flags, uint32_t stream, uint32_t arg, const void *data, uint32_t n)
{
    unsigned char h[16];
    head(h, n, type, flags, stream, arg);
    all(h, 16);
    all(data, n);
}

static int whole(unsigned char *to, size_t n)
{
    while (n) {
        ssize_t r = read(3, to, n);
        if (r <= 0)
            return 0;
        to += r;
        n -= (size_t)r;
    }
    return 1;
}

static size_t pair(unsigned char *at, const char *name, const char *value, size_t value_n)
{
    size_t name_n = strlen(name);
    put32(at, (uint32_t)name_n);
    put32(at + 4, (uint32_t)value_n);
    memcpy(at + 8, name, name_n);
    memcpy(at + 8 + name_n, value, value_n);
    return 8 + name_n + value_n;
}

/* HEAD with `fields` of name and value, body "ok", END. */
static void answer(uint32_t stream, unsigned status, unsigned flags, const char *const *fields)
{
    static unsigned char p[1 << 16];
    size_t n = 4 + 4;
    unsigned count = 0;
    p[4] = (unsigned char)status;
    p[5] = (unsigned char)(status >> 8);
    p[6] = p[7] = 0;
    n += 4;
    for (; fields && fields[2 * count]; count++)
        n += pair(p + n, fields[2 * count], fields[2 * count + 1], strlen(fields[2 * count + 1]));
    put32(p + 8, count);
    put32(p, (uint32_t)(n - 4));
    memcpy(p + n, "ok", 2);
    frame(HEAD, META | flags, stream, 0, p, (uint32_t)n + 2);
}
static void done(uint32_t stream)
{
    frame(DONE, 0, stream, 0, "", 0);
}
static void data(uint32_t stream, unsigned flags, const void *p, size_t n)
{
    frame(DATA, flags, stream, 0, p, (uint32_t)n);
}
static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL, NULL})

static int is(const char *path, size_t n, const char *what)
{
    return n == strlen(what) && !memcmp(path, what, n);
}

static void misbehave(const char *p, size_t n, uint32_t s)
{
    unsigned char h[16];
    if (is(p, n, "/good"))
        answer(s, 200, END, FIELDS("content-type", "text/plain"));
    else if (is(p, n, "/two-heads")) {
        answer(s, 200, 0, NULL);
        answer(s, 201, END, NULL);
    } else if (is(p, n, "/two-ends")) {
        answer(s, 200, END, NULL);
        data(s, END, "again", 5);
    } else if (is(p, n, "/two-dones")) {
        answer(s, 200, END, NULL);
        done(s);
    } else if (is(p, n, "/data-first"))
        data(s, END, "no head", 7);
    else if (is(p, n, "/done-only"))
        ;
    else if (is(p, n, "/foreign-stream")) {
        answer(s + 2, 200, END, NULL);
        answer(s, 200, END, NULL);
    } else if (is(p, n, "/stream-zero"))
        answer(0, 200, END, NULL);
    else if (is(p, n, "/even-stream"))
        answer(2, 200, END, NULL);
    else if (is(p, n, "/huge-stream"))
        answer(0xffffffff, 200, END, NULL);
    else if (is(p, n, "/unknown-type"))
        frame(99, 0, s, 0, "x", 1);
    else if (is(p, n, "/type-zero"))
        frame(0, 0, s, 0, "", 0);
    else if (is(p, n, "/optional-type")) {
        frame(222, 0, s, 0, "x", 1);
        answer(s, 200, END, NULL);
    } else if (is(p, n, "/their-type"))
        frame(INVOKE, META, s + 2, 0, payload, 100);
    else if (is(p, n, "/hello"))
        frame(HELLO, 0, 0, 0, payload, 4);
    else if (is(p, n, "/ready-again"))
        frame(READY, 0, 0, 0, payload, 4);
    else if (is(p, n, "/drain"))
        frame(DRAIN, 0, 0, 0, "", 0);
    else if (is(p, n, "/bad-flags"))
        frame(DATA, 0xf0, s, 0, "x", 1);
    else if (is(p, n, "/fd-flag"))
        frame(HEAD, META | FD | END, s, 0, payload, 12);
    else if (is(p, n, "/meta-lies")) {
        unsigned char lie[16] = {0xff, 0xff, 0xff, 0x7f};
        frame(HEAD, META | END, s, 0, lie, sizeof lie);
    } else if (is(p, n, "/pairs-lie")) {
        unsigned char lie[12] = {8, 0, 0, 0, 200, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f};
        frame(HEAD, META | END, s, 0, lie, sizeof lie);
    } else if (is(p, n, "/length-lies")) {
        head(h, 0x7fffffff, DATA, 0, s, 0);
        all(h, 16);
    } else if (is(p, n, "/short-frame")) {
        head(h, 60000, DATA, 0, s, 0);
        all(h, 16);
        all(payload, 100);
        sleep_ms(100);
        exit(0);
    } else if (is(p, n, "/half-header")) {
        all("\1\2\3", 3);
        exit(0);
    } else if (is(p, n, "/random")) {
        unsigned seed = 1;
        for (size_t i = 0; i < 65536; i++)
            payload[i] = (unsigned char)(rand_r(&seed) >> 7);
        all(payload, 65536);
    } else if (is(p, n, "/credit-flood"))
        for (int i = 0; i < 1000; i++)
            frame(CREDIT, 0, s, 0xffffffff, "", 0);
    else if (is(p, n, "/ping-flood"))
        for (int i = 0; i < 100000; i++)
            frame(PING, 0, 0, (uint32_t)i, "", 0);
    else if (is(p, n, "/log-frames")) {
        memset(payload, 'L', 60000);
        for (int i = 0; i < 2000; i++)
            frame(LOG, 0, 0, s, payload, 60000);
        answer(s, 200, END, NULL);
    } else if (is(p, n, "/calls"))
        for (uint32_t i = 0; i < 5000; i++)
            frame(CALL, 0, 2 + 2 * i, s, "{}", 2);
    else if (is(p, n, "/overrun"))
        for (int i = 0; i < 64; i++)
            data(s, 0, payload, 65536);
    else if (is(p, n, "/overrun-head-first")) {
        answer(s, 200, 0, NULL);
        for (int i = 0; i < 64; i++)
            data(s, 0, payload, 65536);
    } else if (is(p, n, "/status-0"))
        answer(s, 0, END, NULL);
    else if (is(p, n, "/status-99"))
        answer(s, 99, END, NULL);
    else if (is(p, n, "/status-101"))
        answer(s, 101, END, FIELDS("upgrade", "evil", "connection", "upgrade"));
    else if (is(p, n, "/status-1000"))
        answer(s, 1000, END, NULL);
    else if (is(p, n, "/status-65535"))
        answer(s, 65535, END, NULL);
    else if (is(p, n, "/status-204-body"))
        answer(s, 204, END, NULL);
    else if (is(p, n, "/status-304-body"))
        answer(s, 304, END, NULL);
    else if (is(p, n, "/crlf-value"))
        answer(s, 200, END, FIELDS("x-evil", "a\r\nset-cookie: b=c"));
    else if (is(p, n, "/crlf-name"))
        answer(s, 200, END, FIELDS("x-evil: a\r\nset-cookie", "b=c"));
    else if (is(p, n, "/nul-value"))
        answer(s, 200, END, FIELDS("x-evil", "a\1b\x7f"));
    else if (is(p, n, "/empty-name"))
        answer(s, 200, END, FIELDS("", "x"));
    else if (is(p, n, "/space-name"))
        answer(s, 200, END, FIELDS("content length", "5"));
    else if (is(p, n, "/pseudo-name"))
        answer(s, 200, END, FIELDS(":status", "500"));
    else if (is(p, n, "/smuggle-length"))
        answer(s, 200, END, FIELDS("content-length", "500"));
    else if (is(p, n, "/smuggle-two-lengths"))
        answer(s, 200, END, FIELDS("content-length", "2", "content-length", "200"));
    else if (is(p, n, "/smuggle-chunked"))
        answer(s, 200, END, FIELDS("transfer-encoding", "chunked", "content-length", "2"));
    else if (is(p, n, "/hop-by-hop"))
        answer(s, 200, END,
               FIELDS("connection", "close, x-kept", "keep-alive", "timeout=1", "trailer", "x", "te",
                      "trailers"));
    else if (is(p, n, "/giant-header") || is(p, n, "/endless-headers")) {
        int is_giant = is(p, n, "/giant-header");
        static char value[1000000];
        memset(value, 'v', sizeof value);
        unsigned char *at = payload + 12;
        unsigned count = 0;
        if (is_giant)
            at += pair(at, "x-big", value, sizeof value), count++;
        while (!is_giant && at - payload < 900000)
            at += pair(at, "x-many", value, 10), count++;
        put32(payload, (uint32_t)(at - payload - 4));
        put32(payload + 4, 200);
        put32(payload + 8, count);
        frame(HEAD, META | END, s, 0, payload, (uint32_t)(at - payload));
    } else if (is(p, n, "/drip")) {
        answer(s, 200, 0, NULL);
        for (;;) {
            data(s, 0, ".", 1);
            sleep_ms(50);
        }
    } else if (is(p, n, "/never-reads")) {
        answer(s, 200, END, NULL);
        done(s);
        for (;;)
            pause();
    } else if (is(p, n, "/exit-after-head")) {
        answer(s, 200, 0, NULL);
        exit(0);
    } else if (is(p, n, "/late-answer")) { /* its caller was told long ago; another one waits behind it */
        sleep_ms(1700);
        answer(s, 200, END, FIELDS("x-late", "1"));
    } else if (is(p, n, "/next-answer")) { /* and now in the name of the one that comes next */
        answer(s, 200, END, NULL);
        done(s);
        answer(s + 2, 200, END, FIELDS("x-early", "1"));
        done(s + 2);
    } else if (is(p, n, "/error-after-head")) {
        answer(s, 200, 0, NULL);
        frame(ERROR, 0, s, 0, payload, 4);
    }
}

int main(void)
{
    static unsigned char in[2 << 20];
    unsigned char h[16];
    while (whole(h, 16)) {
        uint32_t n = get32(h), stream = get32(h + 8);
        if (n > sizeof in || !whole(in, n))
            return 2;
        if (h[4] == HELLO) {
            size_t at = 4;
            at += pair(payload + at, "protocol", "1", 1);
            at += pair(payload + at, "kind", "raw", 3);
            at += pair(payload + at, "concurrency", "1", 1);
            put32(payload, 3);
            frame(READY, 0, 0, 0, payload, (uint32_t)at);
            memset(payload, 0, 256);
        } else if (h[4] == PING) {
            frame(4, 0, 0, get32(h + 12), "", 0);
        } else if (h[4] == DRAIN) {
            return 0;
        } else if (h[4] == INVOKE) {
            const unsigned char *meta = in + 4;
            size_t method_n = meta[2] | (size_t)meta[3] << 8, target_n = get32(meta + 4);
            const char *target = (const char *)meta + 40 + method_n;
            const char *query = memchr(target, '?', target_n);
            misbehave(target, query ? (size_t)(query - target) : target_n, stream);
            done(stream);
        }
    }
    return 0;
}
