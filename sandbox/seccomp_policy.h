/* The system call policy: with base/rules/syscalls.h, the list of names, the one source of truth. seccomp_gen.c turns it into BPF
 * while building, the unit tests compare that with a filter libseccomp makes from the same table, docs/sandbox.md explains
 * it.
 *
 * An allow-list: what static C, CPython, Node and Lua need to serve requests, with ordinary file, thread and
 * loopback work. Everything else answers ENOSYS, as on a kernel that lacks it, so that libraries fall back;
 * clone3 too, because its flags cannot be judged (they lie in memory). Foreign architectures are killed.
 * A call that is not listed is told to the launcher, which names it in the function's log. */
#pragma once

#include <sched.h>

#include "base/rules/syscalls.h"

/* clone: EPERM when any of these is asked for: CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET} */
#define POLICY_CLONE_FORBIDDEN 0x7e020080u
/* socket: these families (else EAFNOSUPPORT) with these protocols (else EPROTONOSUPPORT); no MPTCP, which
 * Landlock's TCP rules do not see, no raw, netlink, packet, vsock, alg */
#define POLICY_SOCKET_FAMILIES                                                                               \
    {                                                                                                        \
        1 /* unix */, 2 /* inet */, 10 /* inet6 */                                                           \
    }
#define POLICY_SOCKET_PROTOCOLS                                                                              \
    {                                                                                                        \
        0, 6 /* TCP */, 17 /* UDP */                                                                         \
    }
/* personality: only reading it or the plain one (else EPERM) */
#define POLICY_PERSONALITIES                                                                                 \
    {                                                                                                        \
        0u, 0xffffffffu                                                                                      \
    }
/* setrlimit, prlimit64: all but changing this one (EPERM). Its value, 1, keeps crashes from a core handler of the host,
 * which would get the function's memory (core(5): for a pipe 0 does not) */
#define POLICY_RLIMIT_FIXED 4 /* RLIMIT_CORE */
/* ioctl: all but these (EPERM): typing into somebody's terminal */
#define POLICY_IOCTLS_FORBIDDEN                                                                              \
    {                                                                                                        \
        0x5412u /* TIOCSTI */, 0x541cu /* TIOCLINUX */                                                       \
    }

/* and EPERM for these, what sockets tell of and change in their network (SIOC...): the channel, and with egress what
 * connect() made, are sockets of the host's network, which no function shall hear of */
#define POLICY_IOCTLS_OF_SOCKETS_FIRST 0x8900u
#define POLICY_IOCTLS_OF_SOCKETS_LAST 0x8bffu

/* ENOSYS without a word: what libraries try at every start or thread and do well without. */
#define POLICY_QUIET "clone3", "io_uring_setup", "pkey_alloc"

/* Allowed whatever the arguments, and with those above. */
#define POLICY_ALLOWED HOB_SYSCALLS_PLAIN
#define POLICY_JUDGED HOB_SYSCALLS_JUDGED
