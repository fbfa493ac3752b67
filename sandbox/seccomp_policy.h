/* The system call policy: the one source of truth. seccomp_gen.c turns it into BPF while building, the unit
 * tests compare that with a filter libseccomp makes from the same table, docs/sandbox.md explains it.
 *
 * An allow-list: what static C, CPython, Node and Lua need to serve requests, with ordinary file, thread and
 * loopback work. Everything else answers ENOSYS, as on a kernel that lacks it, so that libraries fall back;
 * clone3 too, because its flags cannot be judged (they lie in memory). Foreign architectures are killed.
 * A call that is not listed is told to the launcher, which names it in the function's log. */
#pragma once

#include <sched.h>

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

/* with egress: EPERM for these 256, what sockets tell of and change in their network (SIOC...) */
#define POLICY_IOCTLS_OF_SOCKETS 0x8900u

/* ENOSYS without a word: what libraries try at every start or thread and do well without. */
#define POLICY_QUIET "clone3", "io_uring_setup", "pkey_alloc"

/* Allowed whatever the arguments; a name that an architecture lacks is skipped there. */
/* clang-format off */
#define POLICY_ALLOWED                                                                                          \
    "accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "capget", "chdir", "chmod",            \
    "chown", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "close_range", "connect",             \
    "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl",            \
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit",           \
    "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat",          \
    "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fstat",            \
    "fstatfs", "fsync", "ftruncate", "futex", "getcpu", "getcwd", "getdents", "getdents64", "getegid",          \
    "geteuid", "getgid", "getgroups", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid",               \
    "getppid", "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid",        \
    "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getxattr", "inotify_add_watch",           \
    "inotify_init", "inotify_init1", "inotify_rm_watch", "kill", "lchown", "lgetxattr", "link", "linkat",       \
    "listen", "listxattr", "llistxattr", "lseek", "lstat", "madvise", "membarrier", "memfd_create",             \
    "mkdir", "mkdirat", "mlock", "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "nanosleep",       \
    "newfstatat", "open", "openat", "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2",     \
    "poll", "ppoll", "prctl", "pread64", "preadv", "preadv2", "pselect6", "pwrite64", "pwritev",                \
    "pwritev2", "read", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "rename",         \
    "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending",               \
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",                    \
    "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",               \
    "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield", "select", "sendfile",           \
    "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_tid_address", "setitimer", "setpgid",              \
    "setpriority", "setsid", "setsockopt", "shutdown", "sigaltstack", "signalfd", "signalfd4",                  \
    "socketpair", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sysinfo", "tgkill", "time",     \
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",     \
    "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "umask", "uname", "unlink",             \
    "unlinkat", "utime", "utimensat", "utimes", "vfork", "wait4", "waitid", "write", "writev"
/* clang-format on */
