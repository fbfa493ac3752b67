/* Connects as a C program does, for the egress tests: static, no resolver.
 *
 *   client blocking ADDRESS PORT      prints the answer's last line, or errno's name
 *   client nonblocking ADDRESS PORT
 *   client again ADDRESS PORT         connects, then tries to turn the connected socket to 127.0.0.1:PORT
 *   client reset ADDRESS PORT          the same behind a reset by the peer
 *   client flood ADDRESS PORT N       N connects one after another; prints how many were made and microseconds each
 *   client raw ADDRESS PORT           UDP, raw and netlink ways out */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in to;

static const char *outcome(int rc)
{
    static char text[64];
    snprintf(text, sizeof text, "%s", rc == 0 ? "ok" : strerror(errno));
    return text;
}

static int read_answer(int s)
{
    char text[4096] = "";
    size_t n = 0;
    static const char request[] = "GET /c HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    struct pollfd p = {.fd = s, .events = POLLIN};
    if (write(s, request, sizeof request - 1) < 0)
        return printf("write: %s\n", strerror(errno)), 1;
    while (n < sizeof text - 1 && poll(&p, 1, 5000) == 1) {
        ssize_t got = read(s, text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    char *body = strstr(text, "\r\n\r\n");
    printf("%s", body ? body + 4 : "no answer\n");
    return 0;
}

static int connect_once(int flags)
{
    int s = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int rc = connect(s, (struct sockaddr *)&to, sizeof to);
    if (rc < 0 && errno == EINPROGRESS) {
        struct pollfd p = {.fd = s, .events = POLLOUT};
        int error = ETIMEDOUT;
        socklen_t n = sizeof error;
        if (poll(&p, 1, 5000) == 1)
            getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &n);
        errno = error;
        rc = error ? -1 : 0;
    }
    if (rc < 0)
        return printf("%s\n", strerror(errno)), 0;
    on = 0;
    socklen_t n = sizeof on;
    getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, &n);
    printf("nodelay=%d nonblocking=%d\n", on != 0, (fcntl(s, F_GETFL) & O_NONBLOCK) != 0);
    fcntl(s, F_SETFL, 0);
    return read_answer(s);
}

/* A connected socket is of the host's network: none of these may turn it to another peer, or make it listen. */
static int again(int is_reset)
{
    struct sockaddr_in loop = to;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    char interfaces[1024];
    loop.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    printf("connect=%s\n", outcome(connect(s, (struct sockaddr *)&to, sizeof to)));
    printf("reconnect=%s\n", outcome(connect(s, (struct sockaddr *)&loop, sizeof loop)));
    printf("disconnect=%s\n", outcome(connect(s, &none, sizeof none)));
    printf("listen=%s\n", outcome(listen(s, 1)));
    printf("fastopen=%s\n",
           outcome(sendto(s, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&loop, sizeof loop) < 0 ? -1 : 0));
    struct sockaddr_in peer = {0};
    socklen_t peer_n = sizeof peer;
    getpeername(s, (struct sockaddr *)&peer, &peer_n);
    printf("peer=%s\n", peer.sin_addr.s_addr == to.sin_addr.s_addr ? "same" : "other");
    printf("ioctl=%s\n", outcome(ioctl(s, 0x8912 /* SIOCGIFCONF */, interfaces)));
    if (is_reset) {
        static const char request[] = "GET /reset HTTP/1.1\r\nhost: x\r\n\r\n";
        struct pollfd p = {.fd = s, .events = POLLIN};
        char byte;
        printf("reset=%s\n", outcome(write(s, request, sizeof request - 1) > 0 && poll(&p, 1, 3000) == 1 &&
                                             read(s, &byte, 1) < 0
                                         ? -1
                                         : 0));
    } else
        shutdown(s, SHUT_RDWR);
    usleep(50000);
    printf("disconnect_after=%s\n", outcome(connect(s, &none, sizeof none)));
    printf("after_shutdown=%s\n", outcome(connect(s, (struct sockaddr *)&loop, sizeof loop)));
    printf("fastopen_after_shutdown=%s\n",
           outcome(sendto(s, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&loop, sizeof loop) < 0
                       ? -1
                       : 0));
    printf("listen_after_shutdown=%s\n", outcome(listen(s, 1)));
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    printf("unix=%s\n", outcome(connect(u, (struct sockaddr *)&un, sizeof un)));
    return 0;
}

static int flood(int n)
{
    struct timespec from, until;
    int made = 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < n; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);
        made += connect(s, (struct sockaddr *)&to, sizeof to) == 0;
        close(s);
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    double us = (double)(until.tv_sec - from.tv_sec) * 1e6 + (double)(until.tv_nsec - from.tv_nsec) / 1e3;
    printf("made=%d us=%.1f\n", made, us / n);
    return 0;
}

static int raw(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    printf("udp_connect=%s\n", outcome(connect(udp, (struct sockaddr *)&to, sizeof to)));
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    printf("udp_sendto=%s\n",
           outcome(sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : 0));
    printf("raw=%s\n", outcome(socket(AF_INET, SOCK_RAW, 1) < 0 ? -1 : 0));
    printf("packet=%s\n", outcome(socket(17, SOCK_RAW, 0) < 0 ? -1 : 0));
    printf("netlink=%s\n", outcome(socket(16, SOCK_RAW, 0) < 0 ? -1 : 0));
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    printf("fastopen=%s\n",
           outcome(sendto(tcp, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : 0));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
        return 2;
    if (strcmp(argv[1], "again") == 0)
        return again(0);
    if (strcmp(argv[1], "reset") == 0)
        return again(1);
    if (strcmp(argv[1], "flood") == 0)
        return flood(argc > 4 ? atoi(argv[4]) : 1);
    if (strcmp(argv[1], "raw") == 0)
        return raw();
    return connect_once(strcmp(argv[1], "nonblocking") == 0 ? SOCK_NONBLOCK : 0);
}
