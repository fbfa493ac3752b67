#include "sandbox/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

#include "base/banned.h"

/* why the worker has it */
static const int kept[] = {
    CAP_SYS_ADMIN,        /* namespaces, mounts, setns */
    CAP_SYS_CHROOT,       /* setns into a mount namespace */
    CAP_NET_ADMIN,        /* bringing lo up */
    CAP_SETUID,           /* the sandbox's own ids */
    CAP_SETGID,           /* */
    CAP_KILL,             /* ending processes of other uids */
    CAP_DAC_READ_SEARCH,  /* code and runtimes below folders that only their owner may enter */
    CAP_DAC_OVERRIDE,     /* cgroup folders of another owner; taking leftovers away */
    CAP_SYS_PTRACE,       /* the address that a sandbox's connect() was given, and its socket (egress.c) */
    CAP_NET_BIND_SERVICE, /* port 53 inside a sandbox's network */
    CAP_SYS_RESOURCE,     /* descriptors for ten thousand sandboxes */
};

static int set_caps(const int *caps, size_t n)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (size_t i = 0; i < n; i++) {
        data[CAP_TO_INDEX(caps[i])].permitted |= CAP_TO_MASK(caps[i]);
        data[CAP_TO_INDEX(caps[i])].effective |= CAP_TO_MASK(caps[i]);
    }
    return (int)syscall(SYS_capset, &head, data);
}

int caps_worker(void)
{
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL) /* behind the last one this kernel knows */
                break;
            return -1;
        }
    /* A container may have taken some already: keep what is there. */
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[2] = {0};
    if (syscall(SYS_capget, &head, have) < 0)
        return -1;
    int ours[HOB_COUNT(kept)];
    size_t n = 0;
    for (size_t i = 0; i < HOB_COUNT(kept); i++)
        if (have[CAP_TO_INDEX(kept[i])].permitted & CAP_TO_MASK(kept[i]))
            ours[n++] = kept[i];
    return set_caps(ours, n);
}

int caps_netns(void)
{
    static const int needed[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN};
    return set_caps(needed, HOB_COUNT(needed));
}

int caps_none(void)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || set_caps(NULL, 0) < 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
