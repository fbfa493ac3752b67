// Allowed, although no program of the corpus breaks without it: each with its reason.
const group = (reason, ...names) => Object.fromEntries(names.map((name) => [name, reason]));

export const kept = {
  ...group("the older form, which static programs and other C libraries still call",
    "alarm", "epoll_create", "eventfd", "faccessat", "fork", "getdents", "getrlimit", "inotify_init", "lstat", "mkdirat", "nanosleep", "open",
    "pipe", "renameat", "select", "signalfd", "stat", "time", "utime", "utimes", "tkill"),
  ...group("the newer form of an allowed one; libraries try it first and some do not fall back",
    "epoll_pwait2", "faccessat2", "openat2", "preadv2", "pwritev2", "renameat2", "statx", "preadv", "pwritev"),
  ...group("answered by the vDSO here, by a system call where that has none", "clock_getres", "clock_gettime", "getcpu", "gettimeofday", "times"),
  ...group("every program's start; that this libc survives without it is luck", "brk", "prctl", "rseq", "set_robust_list", "set_tid_address"),
  ...group("tells what a program is; callers do not look at errors", "capget", "getegid", "getgid", "getppid", "getuid"),
  ...group("reading extended attributes, for cp, tar, ls", "fgetxattr", "flistxattr", "lgetxattr", "llistxattr"),
  ...group("the kernel restarts an interrupted call by it", "restart_syscall"),
  ...group("allowed beside its siblings: another folder, another thread, the watch's end", "fchownat", "inotify_rm_watch", "setpgid", "rt_tgsigqueueinfo"),
  ...group("fexecve(3)", "execveat"),
  ...group("lock-free libraries (liburcu, .NET, Java) have no other way", "membarrier"),
};
