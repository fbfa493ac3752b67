#include "sandbox/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/mem.h"
#include "sandbox/caps.h"

#include "base/banned.h"

static int loopback_up(void)
{
    hob_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    return fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
}

int netns_make(int own_net)
{
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int errnum = errno;
    if (fd >= 0 && loopback_up() < 0) {
        errnum = errno;
        hob_close_p(&fd);
        fd = -1;
    }
    /* staying in a sandbox's network would be a programmer's error: the descriptor is ours */
    HOB_ASSERT(setns(own_net, CLONE_NEWNET) == 0);
    errno = errnum;
    return fd;
}

/* "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 ..."; IPv6's are in the same sums. */
bool netns_is_empty(int netns, int proc, int own_net)
{
    if (setns(netns, CLONE_NEWNET) < 0)
        return false;
    hob_auto_close int fd = openat(proc, "self/net/sockstat", O_RDONLY | O_CLOEXEC);
    HOB_ASSERT(setns(own_net, CLONE_NEWNET) == 0); /* as in netns_make */
    char text[512];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return strncmp(text, "sockets: used 0\n", 16) == 0 && strstr(text, "\nTCP: ") && strstr(text, " tw 0 ");
}

HOB_NORETURN static void maker(int sock, int own_net)
{
    static const char name[] = "hob-netns";
    char byte;
    (void)prctl(PR_SET_NAME, name);
    bool is_alone = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && caps_netns() == 0;
    while (is_alone && read(sock, &byte, 1) == 1) {
        hob_auto_close int fd = netns_make(own_net);
        if (fd < 0 || hob_fdmsg_send(sock, HOB_STR("n"), &fd, 1) != 1)
            break; /* the worker sees the socket's end and makes its own */
    }
    _exit(0);
}

struct netns_maker netns_maker_start(int own_net)
{
    struct netns_maker m = {-1, -1};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return m;
    m.pid = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -1 : fork();
    if (m.pid == 0) {
        (void)close(pair[0]);
        maker(pair[1], own_net);
    }
    (void)close(pair[1]);
    if (m.pid > 0)
        m.sock = hob_steal_fd(&pair[0]);
    hob_close_p(&pair[0]);
    return m;
}

void netns_maker_end(struct netns_maker *m)
{
    if (m->sock < 0)
        return;
    hob_close_p(&m->sock);
    m->sock = -1;
    (void)waitpid(m->pid, NULL, 0);
}
