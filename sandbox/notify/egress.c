#include "sandbox/notify/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

enum { STATUS_BYTES = 4096, DNS_ADDRESS = 0x7f000035, DNS_PORT = 53 };
enum { PIDFD_OF_THREAD = O_EXCL }; /* PIDFD_THREAD, from Linux 6.9 on */

/* The process of a thread, in the numbers of our own pid namespace, which the rootless worker's /proc does not show:
 * so a /proc of our own, mounted nowhere. */
static pid_t process_of(pid_t thread)
{
    static int proc = -1;
    char path[32], text[STATUS_BYTES];
    if (proc < 0) {
        hob_auto_close int context = (int)syscall(SYS_fsopen, "proc", 1 /* FSOPEN_CLOEXEC */);
        if (context < 0 || syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0)
            return -1;
        proc = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, 0);
    }
    (void)snprintf(path, sizeof path, "%d/status", (int)thread);
    hob_auto_close int fd = proc < 0 ? -1 : openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    const char *at = strstr(text, "\nTgid:");
    return at ? (pid_t)strtol(at + 6, NULL, 10) : -1;
}

static int socket_of(pid_t thread, int fd)
{
    hob_auto_close int pidfd = (int)syscall(SYS_pidfd_open, thread, PIDFD_OF_THREAD);
    if (pidfd < 0)
        pidfd = (int)syscall(SYS_pidfd_open, thread, 0); /* it often is the first of its process */
    if (pidfd < 0)
        pidfd = (int)syscall(SYS_pidfd_open, process_of(thread), 0);
    if (pidfd < 0)
        return -1;
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

int egress_copy_call(const struct seccomp_notif *n, struct egress_call *ret_call)
{
    uint64_t bytes = n->data.args[2];
    if (bytes < sizeof(sa_family_t) || bytes > EGRESS_ADDRESS_MAX)
        return EINVAL;
    struct iovec ours = {ret_call->address, (size_t)bytes};
    struct iovec theirs = {(void *)(uintptr_t)n->data.args[1], (size_t)bytes};
    if (process_vm_readv((pid_t)n->pid, &ours, 1, &theirs, 1, 0) != (ssize_t)bytes)
        return EFAULT;
    ret_call->address_n = (size_t)bytes;
    ret_call->id = n->id;
    ret_call->fd = (int)n->data.args[0];
    ret_call->socket = socket_of((pid_t)n->pid, ret_call->fd);
    return ret_call->socket < 0 ? EBADF : 0;
}

int egress_dns_socket(int netns, int own_net)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(DNS_PORT), .sin_addr.s_addr = htonl(DNS_ADDRESS)};
    if (setns(netns, CLONE_NEWNET) < 0)
        return -1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), errnum = errno;
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) < 0) {
        errnum = errno;
        hob_close_p(&fd);
        fd = -1;
    }
    HOB_ASSERT(setns(own_net, CLONE_NEWNET) == 0); /* as in netns_make */
    errno = errnum;
    return fd;
}
