#include "runner/parcel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fdmsg.h"
#include "base/mem.h"

#include "base/banned.h"

int parcel_wrap(const int fds[2])
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    bool is_in = hob_fdmsg_send(ends[0], HOB_STR("p"), fds, 2) == 1;
    (void)close(ends[0]);
    if (!is_in) {
        (void)close(ends[1]);
        return -1;
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    return ends[1];
}

/* How many descriptors the kernel could give out of it; it throws away those that found no room. */
static size_t descriptors_of(struct msghdr *m, int ret_fds[2])
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
        return 0;
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof ret_fds[0];
    HOB_ASSERT(n <= 2);
    memcpy(ret_fds, CMSG_DATA(c), n * sizeof ret_fds[0]);
    return n;
}

/* Looked at, not taken: what finds no room now is still in the parcel. */
bool parcel_open(int parcel, int ret_fds[2])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    char byte;
    int fds[2] = {-1, -1};
    struct iovec part = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    bool is_read = recvmsg(parcel, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1;
    if (!is_read || descriptors_of(&m, fds) < 2) {
        hob_close_p(&fds[0]);
        return false;
    }
    memcpy(ret_fds, fds, sizeof fds);
    (void)close(parcel);
    return true;
}
