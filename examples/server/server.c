/* An HTTP server as anybody would write it, without a word about Hob: a thread for each connection, kept alive.
 * GET / says hello, POST /echo sends the body back. Listens on PORT, or on 8080. */
#define _GNU_SOURCE /* strcasestr */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, PIECE = 65536 };

struct client {
    int fd;
    char head[HEAD_MAX + 1];
    size_t n; /* bytes read: the head, and what came with it */
};

static int write_all(int fd, const char *at, size_t n)
{
    while (n) {
        ssize_t wrote = send(fd, at, n, MSG_NOSIGNAL);
        if (wrote <= 0)
            return -1;
        at += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

/* The bytes of the head, or 0 when the client is gone. */
static size_t read_head(struct client *c)
{
    for (;;) {
        c->head[c->n] = '\0';
        char *end = strstr(c->head, "\r\n\r\n");
        if (end)
            return (size_t)(end - c->head) + 4;
        ssize_t n = c->n < HEAD_MAX ? recv(c->fd, c->head + c->n, HEAD_MAX - c->n, 0) : 0;
        if (n <= 0)
            return 0;
        c->n += (size_t)n;
    }
}

static unsigned long long length_of(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line ? strtoull(line + 17, NULL, 10) : 0;
}

static int answer(struct client *c, const char *status, const char *text)
{
    char out[512];
    int n =
        snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                 status, strlen(text), text);
    return write_all(c->fd, out, (size_t)n);
}

/* Sends the body back while it comes; what came with the head stands behind it. */
static int echo(struct client *c, size_t head_n, unsigned long long left)
{
    static _Thread_local char piece[PIECE];
    char out[128];
    int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", left);
    size_t first = c->n - head_n < left ? c->n - head_n : (size_t)left;
    if (write_all(c->fd, out, (size_t)n) < 0 || write_all(c->fd, c->head + head_n, first) < 0)
        return -1;
    for (left -= first; left;) {
        ssize_t got = recv(c->fd, piece, left < PIECE ? (size_t)left : PIECE, 0);
        if (got <= 0 || write_all(c->fd, piece, (size_t)got) < 0)
            return -1;
        left -= (unsigned long long)got;
    }
    c->n -= head_n + first;
    memmove(c->head, c->head + head_n + first, c->n);
    return 0;
}

static int serve_one(struct client *c)
{
    size_t head_n = read_head(c);
    if (head_n == 0)
        return -1;
    if (strncmp(c->head, "POST /echo ", 11) == 0)
        return strcasestr(c->head, "\r\ntransfer-encoding:")
               ? answer(c, "411 Length Required", "say how long it is\n"),
               -1 : echo(c, head_n, length_of(c->head));
    if (length_of(c->head)) /* a body that nobody wants: the connection ends with it */
        return answer(c, "404 Not Found", "there is / and /echo\n"), -1;
    int code = strncmp(c->head, "GET / ", 6) == 0 ? answer(c, "200 OK", "hello from C\n")
                                                  : answer(c, "404 Not Found", "there is / and /echo\n");
    c->n -= head_n;
    memmove(c->head, c->head + head_n, c->n);
    return code;
}

static void *serve(void *arg)
{
    struct client *c = arg;
    while (serve_one(c) == 0) {
    }
    close(c->fd);
    free(c);
    return NULL;
}

int main(void)
{
    const char *port = getenv("PORT");
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)strtoul(port ? port : "8080", NULL, 10))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 128) < 0) {
        perror("listening");
        return 1;
    }
    for (;;) {
        struct client *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (!c || (c->fd = accept(listener, NULL, NULL)) < 0 || pthread_create(&thread, NULL, serve, c) != 0)
            return 1;
        pthread_detach(thread);
    }
}
