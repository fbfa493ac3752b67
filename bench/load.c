/* load: a small open-loop HTTP/1.1 client for benches. Requests are due at fixed times whatever the server does, and
 * latency counts from when a request was due, so a stalled server cannot hide its stalls (coordinated omission). Where it
 * was this client that came late (it sleeps between requests, and shares the machine), latency counts from when it came,
 * and how late it was is told beside it.
 *
 *   load rate  TARGET PATH RATE SECONDS CONNECTIONS    requests/s spread over keep-alive connections
 *   load pair  TARGET PATH RATE SECONDS CONNECTIONS TARGET2 PATH2
 *                                                      the same at two servers, SLICE_MS each in turn: what the machine
 *                                                      does to one it does to the other
 *   load each  TARGET PATTERN COUNT GAP_US             one request each to PATTERN with %d = 0..COUNT-1, one after
 *                                                      another on one connection, GAP_US apart
 *   load burst TARGET PATTERN COUNT                    all at once, one connection each
 *   load echo  SOCKET                                  a Unix-socket server that answers every request at once
 *
 * TARGET is ADDR:PORT or unix:PATH. Prints one JSON line: n, errors, seconds, p50_us, p90_us, p99_us, p999_us, max_us
 * (pair: {"first":{...},"second":{...}}); rate and pair also late_p50_us and late_p99_us. */
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNS_MAX = 2048, BUF = 16384, SLICE_MS = 50 };

struct samples {
    uint32_t *at;
    size_t n, max;
};
struct series { /* one server's answers */
    struct samples took, late;
    size_t errors;
};
struct conn {
    int fd;
    bool is_busy;
    uint64_t due_us;
    char in[BUF];
    size_t in_n;
    struct series *series;
};
static struct conn conns[CONNS_MAX];
static struct series first, second;
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

static void add(struct samples *s, uint64_t us)
{
    if (s->n < s->max)
        s->at[s->n++] = (uint32_t)us;
}

static void note(struct conn *c)
{
    if (c->in_n < 12 || memcmp(c->in + 9, "200", 3) != 0)
        c->series->errors++;
    add(&c->series->took, now_us() - c->due_us);
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

static uint32_t quantile(const struct samples *s, double q)
{
    return s->n ? s->at[(size_t)((double)(s->n - 1) * q)] : 0;
}

static void print_series(struct series *s, double seconds)
{
    struct samples *t = &s->took, *l = &s->late;
    if (t->n)
        qsort(t->at, t->n, sizeof *t->at, by_value);
    if (l->n)
        qsort(l->at, l->n, sizeof *l->at, by_value);
    printf(
        "{\"n\":%zu,\"errors\":%zu,\"seconds\":%.3f,\"p50_us\":%u,\"p90_us\":%u,\"p99_us\":%u,\"p999_us\":%u,"
        "\"max_us\":%u,\"late_p50_us\":%u,\"late_p99_us\":%u}",
        t->n, s->errors, seconds, quantile(t, 0.5), quantile(t, 0.9), quantile(t, 0.99), quantile(t, 0.999),
        quantile(t, 1), quantile(l, 0.5), quantile(l, 0.99));
}

static void report(double seconds)
{
    print_series(&first, seconds);
    printf("\n");
}

static void room_for(struct series *s, size_t n)
{
    s->took = (struct samples){.at = calloc(n, sizeof(uint32_t)), .max = n};
    s->late = (struct samples){.at = calloc(n, sizeof(uint32_t)), .max = n};
    if (!s->took.at || !s->late.at)
        die("memory");
}

static void dial_all(int ep, struct conn *from, int n, struct series *series)
{
    for (int i = 0; i < n; i++) {
        from[i].fd = dial();
        from[i].series = series;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &from[i]};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, from[i].fd, &e) < 0)
            die("epoll");
    }
}

struct run { /* of rate and pair */
    double rate;
    int connections, ep;
    uint64_t began, end, k; /* k: requests sent */
    bool is_blocked; /* no connection was free when one was due: the server is to blame for what follows */
    const char *paths[2];
    int servers;
};

static uint64_t due_at(const struct run *r)
{
    return r->began + (uint64_t)((double)r->k * 1e6 / r->rate);
}

static struct conn *free_conn(const struct run *r, struct conn *from)
{
    for (int i = 0; i < r->connections; i++) {
        struct conn *c = &from[(r->k + (uint64_t)i) % (uint64_t)r->connections];
        if (!c->is_busy)
            return c;
    }
    return NULL;
}

/* Sends what is due. */
static void send_due(struct run *r, uint64_t now)
{
    uint64_t due;
    for (; (due = due_at(r)) <= now && due < r->end; r->k++) {
        int server = r->servers == 2 ? (int)((due - r->began) / (SLICE_MS * 1000) % 2) : 0;
        struct conn *c = free_conn(r, conns + server * r->connections);
        if (!c) {
            r->is_blocked = true;
            return;
        }
        add(&c->series->late, now - due);
        send_request(c, r->paths[server], r->is_blocked ? due : now);
    }
    r->is_blocked = false;
}

static void run_rate(struct run *r, double seconds)
{
    r->began = now_us();
    r->end = r->began + (uint64_t)(seconds * 1e6);
    (void)prctl(PR_SET_TIMERSLACK, 1000);
    for (;;) {
        uint64_t now = now_us();
        send_due(r, now);
        uint64_t due = due_at(r);
        if (due >= r->end && now >= r->end)
            break;
        struct epoll_event got[64];
        struct timespec wait = {0, due > now       ? (long)((due - now) * 1000) % 1000000000L
                                   : r->is_blocked ? 1000000
                                                   : 0};
        int n = epoll_pwait2(r->ep, got, 64, &wait, NULL);
        for (int i = 0; i < n; i++)
            read_some(got[i].data.ptr);
    }
    for (int i = 0; i < r->connections * r->servers; i++)
        while (conns[i].is_busy)
            read_some(&conns[i]);
}

static void run_one(const char *path, double rate, double seconds, int connections)
{
    struct run r = {.rate = rate, .connections = connections, .servers = 1, .paths = {path}};
    r.ep = epoll_create1(EPOLL_CLOEXEC);
    room_for(&first, (size_t)(rate * seconds) + 16);
    dial_all(r.ep, conns, connections, &first);
    run_rate(&r, seconds);
    report((double)(now_us() - r.began) / 1e6);
}

static void run_pair(char **argv, double rate, double seconds, int connections)
{
    struct run r = {.rate = rate, .connections = connections, .servers = 2, .paths = {argv[3], argv[8]}};
    if (connections * 2 > CONNS_MAX)
        die("too many connections");
    r.ep = epoll_create1(EPOLL_CLOEXEC);
    room_for(&first, (size_t)(rate * seconds) + 16);
    room_for(&second, (size_t)(rate * seconds) + 16);
    dial_all(r.ep, conns, connections, &first);
    target = argv[7];
    dial_all(r.ep, conns + connections, connections, &second);
    run_rate(&r, seconds);
    double took = (double)(now_us() - r.began) / 1e6;
    printf("{\"first\":");
    print_series(&first, took);
    printf(",\"second\":");
    print_series(&second, took);
    printf("}\n");
}

static void run_each(const char *pattern, int count, unsigned gap_us)
{
    room_for(&first, (size_t)count);
    conns[0].fd = dial();
    conns[0].series = &first;
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
    room_for(&first, (size_t)count);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    dial_all(ep, conns, count, &first);
    uint64_t began = now_us();
    for (int i = 0; i < count; i++) {
        char path[256], number[16];
        (void)snprintf(number, sizeof number, "%d", i);
        const char *mark = strstr(pattern, "%d");
        (void)snprintf(path, sizeof path, "%.*s%s%s", mark ? (int)(mark - pattern) : (int)strlen(pattern),
                       pattern, mark ? number : "", mark ? mark + 2 : "");
        send_request(&conns[i], path, began);
    }
    while (first.took.n < (size_t)count) {
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
        run_one(argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL), (int)strtol(argv[6], NULL, 10));
    else if (argc == 9 && strcmp(argv[1], "pair") == 0)
        run_pair(argv, strtod(argv[4], NULL), strtod(argv[5], NULL), (int)strtol(argv[6], NULL, 10));
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
