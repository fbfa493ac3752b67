/* load: a small open-loop HTTP/1.1 client for benches. Requests are due at fixed times whatever the server does, and
 * latency counts from when a request was due, so a stalled server cannot hide its stalls (coordinated omission).
 *
 *   load rate  TARGET PATH RATE SECONDS CONNECTIONS    requests/s spread over keep-alive connections
 *   load each  TARGET PATTERN COUNT GAP_US             one request each to PATTERN with %d = 0..COUNT-1, one after
 *                                                      another on one connection, GAP_US apart
 *   load burst TARGET PATTERN COUNT                    all at once, one connection each
 *   load echo  SOCKET                                  a Unix-socket server that answers every request at once
 *
 * TARGET is ADDR:PORT or unix:PATH. Prints one JSON line: n, errors, seconds, p50_us, p90_us, p99_us, p999_us, max_us. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNS_MAX = 2048, BUF = 16384 };

struct conn {
    int fd;
    bool is_busy;
    uint64_t due_us;
    char in[BUF];
    size_t in_n;
};
static struct conn conns[CONNS_MAX];
static uint32_t *samples;
static size_t samples_n, samples_max, errors_n;
static const char *target;

static uint64_t now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %m\n", what);
    exit(1);
}

static int dial(void)
{
    if (strncmp(target, "unix:", 5) == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", target + 5);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
            die(target);
        return fd;
    }
    char host[64];
    const char *colon = strrchr(target, ':');
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - target), target);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die("numeric address wanted");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die(target);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_request(struct conn *c, const char *path, uint64_t due)
{
    char text[512];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
    c->is_busy = true;
    c->due_us = due;
    c->in_n = 0;
    if (write(c->fd, text, (size_t)n) != n)
        die("write");
}

/* Bytes of the whole answer once its head is in `in`, else 0. Answers here carry a Content-Length or are chunked. */
static bool is_answer_complete(const struct conn *c)
{
    const char *head_end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
    if (!head_end)
        return false;
    size_t head_n = (size_t)(head_end - c->in) + 4;
    char head[2048];
    (void)snprintf(head, sizeof head, "%.*s", (int)head_n, c->in);
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (length)
        return c->in_n >= head_n + strtoul(length + 17, NULL, 10);
    return c->in_n >= head_n + 5 && memcmp(c->in + c->in_n - 5, "0\r\n\r\n", 5) == 0;
}

static void note(struct conn *c)
{
    if (c->in_n < 12 || memcmp(c->in + 9, "200", 3) != 0)
        errors_n++;
    if (samples_n < samples_max)
        samples[samples_n++] = (uint32_t)(now_us() - c->due_us);
    c->is_busy = false;
}

static void read_some(struct conn *c)
{
    ssize_t n = read(c->fd, c->in + c->in_n, BUF - c->in_n);
    if (n <= 0)
        die("the server closed the connection");
    c->in_n += (size_t)n;
    if (is_answer_complete(c))
        note(c);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds)
{
    qsort(samples, samples_n, sizeof *samples, by_value);
    const double at[] = {0.5, 0.9, 0.99, 0.999};
    const char *const name[] = {"p50_us", "p90_us", "p99_us", "p999_us"};
    printf("{\"n\":%zu,\"errors\":%zu,\"seconds\":%.3f", samples_n, errors_n, seconds);
    for (int i = 0; i < 4; i++)
        printf(",\"%s\":%u", name[i], samples_n ? samples[(size_t)((double)(samples_n - 1) * at[i])] : 0);
    printf(",\"max_us\":%u}\n", samples_n ? samples[samples_n - 1] : 0);
}

static void room_for(size_t n)
{
    samples_max = n;
    samples = calloc(n, sizeof *samples);
    if (!samples)
        die("memory");
}

static void run_rate(const char *path, double rate, double seconds, int connections)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < connections; i++) {
        conns[i].fd = dial();
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e) < 0)
            die("epoll");
    }
    room_for((size_t)(rate * seconds) + 16);
    uint64_t began = now_us(), end = began + (uint64_t)(seconds * 1e6);
    uint64_t k = 0;
    for (;;) {
        uint64_t now = now_us(), due = began + (uint64_t)((double)k * 1e6 / rate);
        while (due <= now && due < end) {
            struct conn *free_one = NULL;
            for (int i = 0; i < connections && !free_one; i++)
                free_one = conns[(k + (uint64_t)i) % (uint64_t)connections].is_busy
                               ? NULL
                               : &conns[(k + (uint64_t)i) % (uint64_t)connections];
            if (!free_one)
                break;
            send_request(free_one, path, due);
            due = began + (uint64_t)((double)++k * 1e6 / rate);
        }
        if (due >= end && now >= end)
            break;
        struct epoll_event got[64];
        struct timespec wait = {0, due > now ? (long)((due - now) * 1000) % 1000000000L : 0};
        int n = epoll_pwait2(ep, got, 64, &wait, NULL);
        for (int i = 0; i < n; i++)
            read_some(got[i].data.ptr);
    }
    for (int i = 0; i < connections; i++)
        while (conns[i].is_busy)
            read_some(&conns[i]);
    report((double)(now_us() - began) / 1e6);
}

static void run_each(const char *pattern, int count, unsigned gap_us)
{
    room_for((size_t)count);
    conns[0].fd = dial();
    uint64_t began = now_us();
    for (int i = 0; i < count; i++) {
        char path[256];
        char number[16];
        (void)snprintf(number, sizeof number, "%d", i);
        const char *mark = strstr(pattern, "%d");
        (void)snprintf(path, sizeof path, "%.*s%s%s", mark ? (int)(mark - pattern) : (int)strlen(pattern),
                       pattern, mark ? number : "", mark ? mark + 2 : "");
        if (gap_us)
            (void)usleep(gap_us);
        send_request(&conns[0], path, now_us());
        while (conns[0].is_busy)
            read_some(&conns[0]);
    }
    report((double)(now_us() - began) / 1e6);
}

static void run_burst(const char *pattern, int count)
{
    room_for((size_t)count);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        conns[i].fd = dial();
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e) < 0)
            die("epoll");
    }
    uint64_t began = now_us();
    for (int i = 0; i < count; i++) {
        char path[256], number[16];
        (void)snprintf(number, sizeof number, "%d", i);
        const char *mark = strstr(pattern, "%d");
        (void)snprintf(path, sizeof path, "%.*s%s%s", mark ? (int)(mark - pattern) : (int)strlen(pattern),
                       pattern, mark ? number : "", mark ? mark + 2 : "");
        send_request(&conns[i], path, began);
    }
    while (samples_n < (size_t)count) {
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, 30000);
        if (n == 0)
            die("no answer for 30 s");
        for (int i = 0; i < n; i++)
            read_some(got[i].data.ptr);
    }
    report((double)(now_us() - began) / 1e6);
}

static void run_echo(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    (void)unlink(path);
    int ls = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = ls};
    if (ls < 0 || bind(ls, (struct sockaddr *)&a, sizeof a) < 0 || listen(ls, 128) < 0 ||
        epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e) < 0)
        die(path);
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    for (;;) {
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, -1);
        for (int i = 0; i < n; i++) {
            char buf[4096];
            if (got[i].data.fd == ls) {
                int fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
                e = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                (void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            } else if (read(got[i].data.fd, buf, sizeof buf) <= 0) {
                (void)close(got[i].data.fd);
            } else if (write(got[i].data.fd, answer, sizeof answer - 1) < 0) {
                (void)close(got[i].data.fd);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc >= 3)
        target = argv[2];
    if (argc == 7 && strcmp(argv[1], "rate") == 0)
        run_rate(argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL), (int)strtol(argv[6], NULL, 10));
    else if (argc == 6 && strcmp(argv[1], "each") == 0)
        run_each(argv[3], (int)strtol(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10));
    else if (argc == 5 && strcmp(argv[1], "burst") == 0)
        run_burst(argv[3], (int)strtol(argv[4], NULL, 10));
    else if (argc == 3 && strcmp(argv[1], "echo") == 0)
        run_echo(argv[2]);
    else
        return fprintf(stderr, "usage: see the head of bench/load.c\n"), 2;
    return 0;
}
