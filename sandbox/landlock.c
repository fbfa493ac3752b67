#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

#include "base/banned.h"

/* Written out: the headers of the machine that builds may be older than the kernel that runs. */
enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2, CREATE_RULESET_VERSION = 1 };
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_BLOCK = 1 << 11,
    FS_IOCTL_DEV = 1 << 15,
    NET_BIND_TCP = 1 << 0,
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_UNIX = 1 << 0,
    SCOPE_SIGNAL = 1 << 1,
};
struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

/* The rights of each ABI: 13 at first, then REFER (2), TRUNCATE (3), IOCTL_DEV (5). */
static uint64_t fs_rights(int abi)
{
    unsigned bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
    return (1ULL << bits) - 1;
}

static int allow(int ruleset, const char *path, uint64_t rights)
{
    struct path_attr rule = {.allowed = rights, .parent = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent < 0)
        return errno == ENOENT ? 0 : -1;
    long r = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
    int errnum = errno;
    (void)close(rule.parent);
    errno = errnum;
    return (int)r;
}

static int allow_port(int ruleset, int abi, uint32_t port)
{
    struct {
        uint64_t allowed, port;
    } rule = {NET_BIND_TCP | NET_CONNECT_TCP, port};
    if (abi < 4 || port == 0)
        return 0;
    return (int)syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0);
}

int landlock_restrict(int abi, const uint32_t http_ports[2])
{
    if (abi <= 0)
        return 0;
    uint64_t all = fs_rights(abi), read = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    struct ruleset_attr attr = {.fs = all};
    if (abi >= 4)
        attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 6)
        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    size_t attr_n = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_n, 0);
    if (ruleset < 0)
        return -1;
    int r = 0;
    if (allow(ruleset, "/", read) < 0 ||
        allow(ruleset, "/dev", FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE) < 0 ||
        allow(ruleset, "/proc", FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE) < 0 ||
        allow(ruleset, "/tmp", all & ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV)) < 0 ||
        allow_port(ruleset, abi, http_ports[0]) < 0 || allow_port(ruleset, abi, http_ports[1]) < 0 ||
        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -1;
    int errnum = errno;
    (void)close(ruleset);
    errno = errnum;
    return r;
}
