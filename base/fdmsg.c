#include "base/fdmsg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

int hob_fdmsg_send(int sock, struct hob_str msg, const int *fds, size_t fds_n)
{
    HOB_ASSERT(fds_n <= HOB_FDMSG_FDS_MAX && msg.n > 0 && msg.n <= HOB_FDMSG_BYTES_MAX);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * HOB_FDMSG_FDS_MAX)] = {0};
    struct iovec io = {.iov_base = (void *)(uintptr_t)msg.at, .iov_len = msg.n};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (fds_n) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
        memcpy(CMSG_DATA(h), fds, sizeof(int) * fds_n);
    }
    for (;;) {
        if (sendmsg(sock, &m, MSG_NOSIGNAL) >= 0)
            return 1;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

/* Collects every descriptor the message brought into `all`; returns how many. */
static size_t collect_fds(struct msghdr *m, int *all, size_t all_max)
{
    size_t n = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && n < all_max; i++, n++)
            memcpy(&all[n], CMSG_DATA(h) + i * sizeof(int), sizeof(int));
    }
    return n;
}

ssize_t hob_fdmsg_recv(int sock, void *buf, size_t buf_bytes, int *ret_fds, size_t fds_max, size_t *ret_fds_n)
{
    enum { ALL_MAX = 64 }; /* room to see, and so to close, more than were asked for */
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * ALL_MAX)];
    struct iovec io = {.iov_base = buf, .iov_len = buf_bytes};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *ret_fds_n = 0;
    if (n <= 0)
        return n;
    int all[ALL_MAX];
    size_t all_n = collect_fds(&m, all, ALL_MAX);
    if (all_n > fds_max || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < all_n; i++)
            (void)close(all[i]);
        errno = EMSGSIZE;
        return -1;
    }
    if (all_n)
        memcpy(ret_fds, all, all_n * sizeof(int));
    *ret_fds_n = all_n;
    return n;
}

static int seqpacket_open(const char *path, struct sockaddr_un *ret_addr, struct hob_err *err)
{
    size_t n = strlen(path);
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n >= sizeof ret_addr->sun_path) {
        (void)hob_fail(err, HOB_E_INVALID, "socket path '%s': %zu bytes; a Unix socket's path may have %zu",
                       path, n, sizeof ret_addr->sun_path - 1);
        return -1;
    }
    memcpy(ret_addr->sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        (void)hob_fail_errno(err, errno, "socket for '%s'", path);
    return fd;
}

int hob_seqpacket_connect(const char *path, struct hob_err *err)
{
    struct sockaddr_un addr;
    hob_auto_close int fd = seqpacket_open(path, &addr, err);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        (void)hob_fail_errno(err, errno, "connecting to '%s'", path);
        return -1;
    }
    return hob_steal_fd(&fd);
}

int hob_seqpacket_listen(const char *path, unsigned mode, struct hob_err *err)
{
    struct sockaddr_un addr;
    hob_auto_close int fd = seqpacket_open(path, &addr, err);
    if (fd < 0)
        return -1;
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || chmod(path, mode) < 0 || listen(fd, 16) < 0) {
        (void)hob_fail_errno(err, errno, "listening on '%s'", path);
        return -1;
    }
    return hob_steal_fd(&fd);
}

unsigned hob_peer_uid(int sock)
{
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return (unsigned)-1;
    return cred.uid;
}
