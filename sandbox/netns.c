#include "sandbox/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

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
