#include "runner/init/hand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FD_FIRST = 8 /* a limit of open files may be as low as 16 */, FDS_MAX = 4, LET_GO_MS = 5000 };

int hand_connect(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof to.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, path, n);
    int low = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (low < 0)
        return -1;
    int sock = fcntl(low, F_DUPFD_CLOEXEC, FD_FIRST);
    int rc = sock < 0 ? -1 : connect(sock, (struct sockaddr *)&to, sizeof to);
    int errnum = errno;
    (void)close(low);
    if (rc < 0 && sock >= 0)
        (void)close(sock);
    errno = errnum;
    return rc < 0 ? -1 : sock;
}

static int receive(int sock, int flags, char *ret_word, int fds[FDS_MAX])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct iovec word = {.iov_base = ret_word, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &word,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do {
        n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    if (n == 0) {
        *ret_word = HAND_KILL;
        return 0;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), got * sizeof(int));
    return (int)got;
}

bool hand_wait(int sock)
{
    static const int target[FDS_MAX] = {3, 1, 2, 0};
    int fds[FDS_MAX];
    char word = 0;
    int n = receive(sock, 0, &word, fds);
    if (word != HAND_START || n < 3)
        return false;
    int high[FDS_MAX];
    for (int i = 0; i < n; i++) { /* out of the way first: what came may sit where another belongs */
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_FIRST);
        (void)close(fds[i]);
        if (high[i] < 0)
            return false;
    }
    for (int i = 0; i < n; i++) {
        if (dup2(high[i], target[i]) < 0)
            return false;
        (void)close(high[i]);
    }
    return true;
}

int hand_heard(int sock)
{
    char word = 0;
    int fds[FDS_MAX];
    int n = receive(sock, MSG_DONTWAIT, &word, fds);
    for (int i = 0; i < n; i++)
        (void)close(fds[i]);
    if (n < 0)
        return errno == EAGAIN ? 0 : HAND_KILL;
    return word == HAND_TERM || word == HAND_KILL ? word : 0;
}

void hand_tell_end(int sock, int word, int exit_code)
{
    struct rusage used;
    struct hand_end end = {.word = (uint32_t)word, .exit_code = exit_code};
    if (getrusage(RUSAGE_CHILDREN, &used) == 0) {
        end.cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000u +
                     (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
        end.memory_kib = (uint64_t)used.ru_maxrss;
    }
    if (send(sock, &end, sizeof end, MSG_NOSIGNAL) != (ssize_t)sizeof end)
        return;
    struct pollfd p = {.fd = sock, .events = POLLIN};
    (void)poll(&p, 1, LET_GO_MS);
}
