/* The system calls that a sandbox may make: their names, and sets of them. The one list: the sandbox's filter is made
 * from it while building (sandbox/seccomp_policy.h), "syscalls" of hob.json is judged by it, and in its order sets travel
 * from hobd to the launcher. A set can only choose from the list: no set allows more than it. Pure; not thread-bound. */
#pragma once

#include "base/str.h"

/* Allowed whatever the arguments; a name that an architecture lacks is skipped there. */
/* clang-format off */
#define HOB_SYSCALLS_PLAIN                                                                                      \
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
/* Allowed with some arguments: sandbox/seccomp_policy.h says which. */
#define HOB_SYSCALLS_JUDGED "clone", "ioctl", "personality", "prlimit64", "setrlimit", "socket"
/* In every set, named or not: what hob-init and each runtime's start and orderly end are made of. None of them opens
 * anything. */
#define HOB_SYSCALLS_ALWAYS                                                                                     \
    "arch_prctl", "brk", "chdir", "clock_gettime", "clock_nanosleep", "close", "close_range", "execve", "exit", \
    "exit_group", "futex", "getpid", "getppid", "getrandom", "gettid", "gettimeofday", "kill", "madvise",       \
    "mmap", "mprotect", "munmap", "prctl", "read", "restart_syscall", "rseq", "rt_sigaction",                   \
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_yield", "sendmsg", "set_robust_list",           \
    "set_tid_address", "sigaltstack", "tgkill", "tkill", "vfork", "wait4", "write", "writev"
/* clang-format on */

enum { HOB_SYSCALLS_MAX = 256 };

struct hob_syscalls { /* a set: bit I is the call of that index */
    uint64_t bits[HOB_SYSCALLS_MAX / 64];
};

size_t hob_syscalls_count(void);
const char *const *hob_syscall_names(void); /* so many of them, in their order */
/* NULL: there is no such index. */
const char *hob_syscall_name(size_t index);
/* The index, or -1: a sandbox never allows it. */
int hob_syscall_find(struct hob_str name);
void hob_syscalls_add(struct hob_syscalls *set, size_t index);
bool hob_syscalls_has(const struct hob_syscalls *set, size_t index);
size_t hob_syscalls_size(const struct hob_syscalls *set);
struct hob_syscalls hob_syscalls_always(void);
