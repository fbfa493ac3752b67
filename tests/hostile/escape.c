/* Escapes: nothing here may succeed. */
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#define CALL(...) syscall(__VA_ARGS__)

static void mounts(FILE *out, const char *argument)
{
    (void)argument;
    MUST_FAIL(out, "mount", CALL(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
    MUST_FAIL(out, "mount bind", CALL(SYS_mount, "/", "/tmp", NULL, 4096, NULL));
    MUST_FAIL(out, "remount", CALL(SYS_mount, NULL, "/", NULL, 32, NULL));
    MUST_FAIL(out, "mount cgroup", CALL(SYS_mount, "none", "/tmp", "cgroup", 0, "memory"));
    MUST_FAIL(out, "mount cgroup2", CALL(SYS_mount, "none", "/tmp", "cgroup2", 0, NULL));
    MUST_FAIL(out, "umount2", CALL(SYS_umount2, "/tmp", 2));
    MUST_FAIL(out, "pivot_root", CALL(SYS_pivot_root, "/tmp", "/tmp"));
    MUST_FAIL(out, "chroot", CALL(SYS_chroot, "/tmp"));
    MUST_FAIL(out, "open_tree", CALL(428, AT_FDCWD, "/", 1));
    MUST_FAIL(out, "move_mount", CALL(429, AT_FDCWD, "/app", AT_FDCWD, "/tmp", 0));
    MUST_FAIL(out, "fsopen", CALL(430, "tmpfs", 0));
    MUST_FAIL(out, "fsconfig", CALL(431, 0, 6, NULL, NULL, 0));
    MUST_FAIL(out, "fsmount", CALL(432, 0, 0, 0));
    MUST_FAIL(out, "fspick", CALL(433, AT_FDCWD, "/", 0));
    MUST_FAIL(out, "mount_setattr", CALL(442, AT_FDCWD, "/", 0, NULL, 0));
    MUST_FAIL(out, "swapon", CALL(SYS_swapon, "/tmp/swap", 0));
    MUST_FAIL(out, "quotactl", CALL(SYS_quotactl, 0, "/dev/sda", 0, NULL));
    MUST_FAIL(out, "mknod block", CALL(SYS_mknodat, AT_FDCWD, "/tmp/disk", S_IFBLK | 0600, 0x800));
    MUST_FAIL(out, "mknod char", CALL(SYS_mknodat, AT_FDCWD, "/tmp/mem", S_IFCHR | 0600, 0x101));
}

static const char *const snoops[] = {"/proc/kcore",
                                     "/proc/kallsyms",
                                     "/proc/kmsg",
                                     "/proc/cmdline",
                                     "/proc/meminfo",
                                     "/proc/cpuinfo",
                                     "/proc/version",
                                     "/proc/modules",
                                     "/proc/keys",
                                     "/proc/key-users",
                                     "/proc/net/tcp",
                                     "/proc/net/unix",
                                     "/proc/sys/kernel/hostname",
                                     "/proc/sys/kernel/core_pattern",
                                     "/proc/sys/kernel/random/boot_id",
                                     "/proc/sys/vm/overcommit_memory",
                                     "/proc/timer_list",
                                     "/proc/sched_debug",
                                     "/proc/interrupts",
                                     "/proc/iomem",
                                     "/proc/ioports",
                                     "/proc/slabinfo",
                                     "/proc/vmallocinfo",
                                     "/proc/pagetypeinfo",
                                     "/proc/config.gz",
                                     "/proc/partitions",
                                     "/proc/diskstats",
                                     "/proc/loadavg",
                                     "/proc/uptime",
                                     "/proc/stat",
                                     "/proc/swaps",
                                     "/proc/locks",
                                     "/proc/cgroups",
                                     "/proc/filesystems",
                                     "/proc/devices",
                                     "/proc/bus/pci/devices",
                                     "/proc/acpi",
                                     "/proc/scsi/scsi",
                                     "/proc/sysrq-trigger",
                                     "/proc/fs/nfsd",
                                     "/proc/1/../meminfo",
                                     "/sys/kernel/debug",
                                     "/sys/kernel/security",
                                     "/sys/firmware",
                                     "/sys/class/net",
                                     "/sys/fs/cgroup",
                                     "/sys/devices",
                                     "/sys/module",
                                     "/dev/mem",
                                     "/dev/kmem",
                                     "/dev/port",
                                     "/dev/kmsg",
                                     "/dev/sda",
                                     "/dev/vda",
                                     "/dev/fuse",
                                     "/dev/kvm",
                                     "/dev/net/tun",
                                     "/dev/tty",
                                     "/dev/ptmx",
                                     "/dev/console",
                                     "/dev/loop-control",
                                     "/dev/mapper/control",
                                     "/dev/userfaultfd",
                                     "/etc/shadow",
                                     "/etc/ssh",
                                     "/root",
                                     "/home",
                                     "/var",
                                     "/run",
                                     "/boot",
                                     "/srv",
                                     "/mnt",
                                     "/opt",
                                     "/lost+found"};
static const char *const pokes[] = {"/proc/sys/kernel/core_pattern",
                                    "/proc/sys/kernel/modprobe",
                                    "/proc/sysrq-trigger",
                                    "/proc/self/uid_map",
                                    "/proc/self/gid_map",
                                    "/proc/self/setgroups",
                                    "/proc/self/loginuid",
                                    "/proc/self/attr/current",
                                    "/proc/1/loginuid",
                                    "/sys/kernel/uevent_helper",
                                    "/sys/fs/cgroup/release_agent",
                                    "/etc/ld.so.preload",
                                    "/etc/passwd",
                                    "/etc/resolv.conf",
                                    "/app/main",
                                    "/hob/init",
                                    "/hob/runtime/runtime.json",
                                    "/usr/lib/libc.so",
                                    "/lib/evil",
                                    "/usr/evil",
                                    "/evil",
                                    "/proc/evil",
                                    "/dev/evil"};

static void snoop(FILE *out, const char *argument)
{
    (void)argument;
    for (size_t i = 0; i < sizeof snoops / sizeof *snoops; i++) {
        int fd = open(snoops[i], O_RDONLY | O_NONBLOCK);
        if (fd >= 0)
            fprintf(out, "hole: %s opens\n", snoops[i]);
        close(fd);
    }
    for (size_t i = 0; i < sizeof pokes / sizeof *pokes; i++) {
        int fd = open(pokes[i], O_WRONLY | O_CREAT, 0600);
        if (fd >= 0 && write(fd, "0 0 1", 5) > 0)
            fprintf(out, "hole: %s takes writes\n", pokes[i]);
        close(fd);
    }
    /* a score of -1000 would make it the last to be killed */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    if (fd >= 0 && write(fd, "-1000", 5) > 0)
        fprintf(out, "hole: oom_score_adj goes down\n");
    close(fd);
    DIR *d = opendir("/proc");
    int others = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        others += atoi(e->d_name) > 1 && atoi(e->d_name) != getpid();
    if (others)
        fprintf(out, "hole: %d other processes in /proc\n", others);
    if (d)
        closedir(d);
    struct stat a, b;
    if (stat("/", &a) == 0 && stat("/proc/1/root/", &b) == 0 &&
        (a.st_ino != b.st_ino || a.st_dev != b.st_dev))
        fprintf(out, "hole: pid 1 has another root\n");
    for (int i = 0; i < 1024; i++)
        if (fstat(i, &a) == 0 && S_ISDIR(a.st_mode))
            fprintf(out, "hole: descriptor %d is a folder\n", i);
}

static void tracing(FILE *out, const char *argument)
{
    (void)argument;
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    MUST_FAIL(out, "ptrace attach to pid 1", CALL(SYS_ptrace, PTRACE_ATTACH, 1, 0, 0));
    MUST_FAIL(out, "ptrace seize of a child", CALL(SYS_ptrace, 0x4206, child, 0, 0));
    MUST_FAIL(out, "ptrace traceme", CALL(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0));
    MUST_FAIL(out, "process_vm_readv", CALL(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0));
    MUST_FAIL(out, "process_vm_writev", CALL(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0));
    MUST_FAIL(out, "kcmp", CALL(SYS_kcmp, 1, child, 0, 0, 0));
    int pidfd = (int)CALL(434, 1, 0);
    for (int fd = 0; fd < 16; fd++)
        MUST_FAIL(out, "pidfd_getfd", CALL(438, pidfd, fd, 0));
    MUST_FAIL(out, "setns of a pidfd", CALL(SYS_setns, pidfd, CLONE_NEWNET));
    MUST_FAIL(out, "process_madvise", CALL(440, pidfd, &here, 1, 21, 0));
    MUST_FAIL(out, "process_mrelease", CALL(448, pidfd, 0));
    close(pidfd);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void keyrings(FILE *out, const char *argument)
{
    (void)argument;
    MUST_FAIL(out, "add_key", CALL(SYS_add_key, "user", "canary", "x", 1, -5));
    MUST_FAIL(out, "request_key", CALL(SYS_request_key, "user", "canary", NULL, -5));
    for (int op = 0; op < 32; op++)
        MUST_FAIL(out, "keyctl", CALL(SYS_keyctl, op, -5, 0, 0, 0));
}

static void namespaces(FILE *out, const char *argument)
{
    (void)argument;
    static const unsigned flags[] = {0x80,      0x20000,    0x2000000,  0x4000000,
                                     0x8000000, 0x10000000, 0x20000000, 0x40000000};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        MUST_FAIL(out, "unshare", CALL(SYS_unshare, flags[i]));
        MUST_FAIL(out, "unshare with a user namespace", CALL(SYS_unshare, flags[i] | CLONE_NEWUSER));
        if (flags[i] != 0x80) { /* CLONE_NEWTIME is no flag of clone: there it is part of the signal */
            long pid = CALL(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
            if (pid == 0)
                _exit(0);
            if (pid > 0)
                fprintf(out, "hole: clone with 0x%x\n", flags[i]);
        }
        uint64_t args[11] = {flags[i], 0, 0, 0, SIGCHLD};
        long pid = CALL(435, args, sizeof args);
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            fprintf(out, "hole: clone3 with 0x%x\n", flags[i]);
    }
    static const char *const names[] = {"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/1/ns/%s", names[i]);
        int fd = open(path, O_RDONLY);
        MUST_FAIL(out, "setns", CALL(SYS_setns, fd, 0));
        close(fd);
    }
}

/* What has no business in a function. The numbers are the kernel's own, the same from 424 on everywhere. */
static void kernel_calls(FILE *out, const char *argument)
{
    (void)argument;
    static char zero[256];
#define NEVER(nr, ...) MUST_FAIL(out, #nr, CALL(nr, __VA_ARGS__))
    NEVER(SYS_bpf, 0, zero, 72);
    NEVER(SYS_bpf, 5, zero, 72);
    NEVER(SYS_perf_event_open, zero, 0, -1, -1, 0);
    NEVER(SYS_userfaultfd, 1);
    NEVER(425, 8, zero); /* io_uring_setup */
    NEVER(426, 0, 1, 0, 0, NULL);
    NEVER(427, 0, 0, NULL, 0);
    NEVER(SYS_init_module, zero, 1, "");
    NEVER(SYS_finit_module, 0, "", 0);
    NEVER(SYS_delete_module, "x", 0);
    NEVER(SYS_kexec_load, 0, 0, NULL, 0);
    NEVER(SYS_kexec_file_load, 0, 0, 0, "", 0);
    NEVER(SYS_name_to_handle_at, AT_FDCWD, "/", zero, zero + 128, 0);
    NEVER(SYS_open_by_handle_at, 0, zero, 0);
    NEVER(SYS_acct, "/tmp/acct");
    NEVER(SYS_reboot, 0xfee1dead, 672274793, 0, NULL);
    NEVER(SYS_settimeofday, zero, NULL);
    NEVER(SYS_clock_settime, 0, zero);
    NEVER(SYS_adjtimex, zero);
    NEVER(SYS_clock_adjtime, 0, zero);
    NEVER(SYS_syslog, 3, zero, 16);
    NEVER(SYS_sethostname, "evil", 4);
    NEVER(SYS_setdomainname, "evil", 4);
    NEVER(SYS_vhangup, 0);
    NEVER(SYS_fanotify_init, 0, 0);
    NEVER(SYS_set_mempolicy, 0, NULL, 0);
    NEVER(SYS_migrate_pages, 1, 0, NULL, NULL);
    NEVER(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0);
    NEVER(SYS_shmget, 0, 4096, 01600);
    NEVER(SYS_semget, 0, 1, 01600);
    NEVER(SYS_msgget, 0, 01600);
    NEVER(SYS_mq_open, "/canary", O_CREAT | O_RDWR, 0600, NULL);
    NEVER(SYS_lookup_dcookie, 0, zero, 16);
    NEVER(SYS_setuid, 0);
    NEVER(SYS_setgid, 0);
    NEVER(SYS_setresuid, 0, 0, 0);
    NEVER(SYS_setgroups, 0, NULL);
    NEVER(SYS_setfsuid, 0);
    NEVER(447, 0);                /* memfd_secret */
    NEVER(451, 0, zero, zero, 0); /* cachestat */
#ifdef __x86_64__
    NEVER(SYS_iopl, 3);
    NEVER(SYS_ioperm, 0, 8, 1);
    NEVER(SYS_modify_ldt, 0, zero, 16);
    NEVER(SYS_ustat, 0, zero);
    NEVER(SYS_sysfs, 3);
    NEVER(SYS_uselib, "/app/main");
#endif
    MUST_FAIL(out, "personality", CALL(SYS_personality, 0x0040000));
    MUST_FAIL(out, "TIOCSTI", ioctl(0, 0x5412, "x"));
    MUST_FAIL(out, "TIOCLINUX", ioctl(0, 0x541c, "x"));
    MUST_FAIL(out, "a seccomp listener", CALL(SYS_seccomp, 1, 8, zero));
}

static void privileges(FILE *out, const char *argument)
{
    (void)argument;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};
    MUST_FAIL(out, "capset", CALL(SYS_capset, &head, data));
    MUST_FAIL(out, "an ambient capability", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
    MUST_FAIL(out, "leaving no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    MUST_FAIL(out, "securebits", prctl(PR_SET_SECUREBITS, 47, 0, 0, 0));
    MUST_FAIL(out, "the memory map", prctl(PR_SET_MM, 1, 0x400000, 0, 0));
    struct rlimit more = {1 << 20, 1 << 20};
    MUST_FAIL(out, "more descriptors", setrlimit(RLIMIT_NOFILE, &more));
    MUST_FAIL(out, "core dumps", setrlimit(RLIMIT_CORE, &more));
    struct rlimit none = {0, 0};
    MUST_FAIL(out, "a core handler of the host", setrlimit(RLIMIT_CORE, &none));
    MUST_FAIL(out, "locked memory", setrlimit(RLIMIT_MEMLOCK, &more));
    MUST_FAIL(out, "a better priority", setpriority(PRIO_PROCESS, 0, -5));
    struct sched_param param = {.sched_priority = 1};
    MUST_FAIL(out, "real time", CALL(SYS_sched_setscheduler, 0, 1, &param));
    /* a set-uid program of its own */
    int fd = open("/tmp/suid", O_CREAT | O_WRONLY, 0755);
    if (fd >= 0 && fchmod(fd, 06755) == 0)
        fprintf(out, "suid_made=1\n"); /* allowed; the mount and no_new_privs make it worth nothing */
    close(fd);
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if ((!strncmp(line, "Cap", 3) && strcmp(line + 8, "0000000000000000\n") != 0) ||
            (!strncmp(line, "NoNewPrivs:", 11) && atoi(line + 11) != 1) ||
            (!strncmp(line, "Seccomp:", 8) && atoi(line + 8) != 2) ||
            (!strncmp(line, "Groups:", 7) && strcmp(line + 7, "\t \n") != 0 && strcmp(line + 7, "\t\n") != 0))
            fprintf(out, "hole: %s", line);
    if (f)
        fclose(f);
}

static void sockets(FILE *out, const char *argument)
{
    (void)argument;
    for (int family = 0; family < 46; family++)
        for (int type = 1; type <= 10; type++)
            for (int k = 0; k < 12; k++) {
                static const int protocols[] = {0, 1, 2, 6, 17, 33, 41, 58, 132, 136, 255, 262};
                int protocol = protocols[k], fd = socket(family, type, protocol);
                if (fd < 0)
                    continue;
                close(fd);
                int is_fine = family == AF_UNIX /* its SOCK_RAW is SOCK_DGRAM */ ||
                              ((family == AF_INET || family == AF_INET6) &&
                               (type == SOCK_STREAM || type == SOCK_DGRAM) &&
                               (protocol == 0 || protocol == 6 || protocol == 17));
                if (!is_fine)
                    fprintf(out, "hole: socket(%d, %d, %d)\n", family, type, protocol);
            }
}

/* The channel is a socket that was made outside: of the network there it shall neither tell nor take a name in it. */
static void channel_network(FILE *out)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path + 1, "taken", 5);
    MUST_FAIL(out, "taking an abstract name outside",
              bind(3, (void *)&name, (socklen_t)(sizeof name.sun_family + 6)));
    char devices[64][40];
    struct {
        int n;
        void *at;
    } list = {sizeof devices, devices};
    MUST_FAIL(out, "the addresses of the host's network devices", ioctl(3, 0x8912 /* SIOCGIFCONF */, &list));
    struct {
        char name[16];
        int index;
        char pad[20];
    } device = {.index = 2};
    MUST_FAIL(out, "the name of a network device of the host", ioctl(3, 0x8910 /* SIOCGIFNAME */, &device));
}

/* The argument names an abstract socket, and a port on loopback, that listen outside: "NAME:PORT". */
static void outside(FILE *out, const char *argument)
{
    char name[108] = "";
    const char *colon = strchr(argument, ':');
    channel_network(out);
    if (!colon)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(colon - argument), argument);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path + 1, name, strlen(name));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST_FAIL(out, "connecting to an abstract socket outside",
              connect(fd, (void *)&to, (socklen_t)(sizeof to.sun_family + 1 + strlen(name))));
    close(fd);
    static const unsigned char hosts[][4] = {{127, 0, 0, 1},   {169, 254, 169, 254}, {10, 0, 0, 1},
                                             {192, 168, 0, 1}, {172, 17, 0, 1},      {8, 8, 8, 8},
                                             {0, 0, 0, 0},     {127, 1, 2, 3}};
    unsigned ports[] = {(unsigned)atoi(colon + 1), 80, 53, 2375, 7070};
    for (size_t h = 0; h < sizeof hosts / sizeof *hosts; h++)
        for (size_t p = 0; p < sizeof ports / sizeof *ports; p++) {
            unsigned char in[16] = {AF_INET & 255,
                                    0,
                                    (unsigned char)(ports[p] >> 8),
                                    (unsigned char)ports[p],
                                    hosts[h][0],
                                    hosts[h][1],
                                    hosts[h][2],
                                    hosts[h][3]};
            fd = socket(AF_INET, SOCK_STREAM, 0);
            MUST_FAIL(out, "connecting outside", connect(fd, (void *)in, sizeof in));
            close(fd);
        }
    unsigned char dns[16] = {AF_INET & 255, 0, 0, 53, 8, 8, 8, 8};
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    MUST_FAIL(out, "a datagram to the world", sendto(fd, "x", 1, 0, (void *)dns, sizeof dns));
    close(fd);
}

static void others(FILE *out, const char *argument)
{
    (void)argument;
    int mine = 0;
    for (pid_t pid = 1; pid < 65536; pid++) {
        if (kill(pid, 0) == 0 || errno == EPERM)
            mine++;
        else
            continue;
        char task[64];
        snprintf(task, sizeof task, "/proc/self/task/%d", pid);
        if (pid == 1 || access(task, F_OK) == 0) /* ours */
            continue;
        fprintf(out, "hole: process %d is there\n", pid);
    }
    fprintf(out, "processes=%d\n", mine);
    for (uid_t uid = 1; uid < 2000; uid++) /* 0 is "my own" to this call */
        if (setpriority(PRIO_USER, uid, 19) == 0 && uid != getuid())
            fprintf(out, "hole: priority of uid %u\n", uid);
    kill(1, SIGKILL); /* pid 1 is immune to its own namespace */
    kill(1, SIGSTOP);
}

/* 50 messages with 200 descriptors each into the channel, in frames that may be skipped. */
static void descriptors_flood(FILE *out, const char *argument)
{
    (void)argument;
    enum { N = 200 };
    int fds[N], sent = 0;
    for (int i = 0; i < N; i++)
        fds[i] = open("/dev/null", O_RDONLY);
    for (int round = 0; round < 50; round++) {
        unsigned char frame[16] = {0, 0, 0, 0, 200};
        union {
            char bytes[CMSG_SPACE(sizeof fds)];
            struct cmsghdr align;
        } control;
        memset(&control, 0, sizeof control);
        struct iovec io = {frame, sizeof frame};
        struct msghdr m = {.msg_iov = &io,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(h), fds, sizeof fds);
        sent += sendmsg(3, &m, 0) == sizeof frame;
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
    fprintf(out, "sent=%d\n", sent);
}

static void cgroup(FILE *out, const char *argument)
{
    (void)argument;
    static const char *const paths[] = {"/sys/fs/cgroup/tasks", "/sys/fs/cgroup/cgroup.procs",
                                        "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/tasks",
                                        "/sys/fs/cgroup/notify_on_release"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], F_OK) == 0)
            fprintf(out, "hole: %s\n", paths[i]);
    char line[512];
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strstr(line, ":/\n")) /* its own group is the root of what it sees */
            fprintf(out, "hole: sees its group's name: %s", line);
    if (f)
        fclose(f);
}

/* What is in the page cache, and so what others read lately, of files that all share. */
static void caches(FILE *out, const char *argument)
{
    (void)argument;
    static unsigned char seen[64];
    char line[64] = "";
    int fd = open("/proc/self/exe", O_RDONLY), ksm = open("/sys/kernel/mm/ksm/run", O_RDONLY);
    struct {
        unsigned long long off, len;
    } range = {0, 4096};
    unsigned long long counts[5];
    void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    MUST_FAIL(out, "mincore", CALL(SYS_mincore, map, 4096, seen, 0, 0, 0));
    MUST_FAIL(out, "cachestat", CALL(451, fd, &range, counts, 0, 0, 0));
    MUST_FAIL(out, "process_madvise", CALL(440, fd, &range, 1, 4, 0, 0));
    if (ksm >= 0 && read(ksm, line, sizeof line - 1) > 0)
        fprintf(out, "hole: same-page merging can be looked at: %s", line);
    munmap(map, 4096);
    close(fd);
}

#ifdef __x86_64__
static void i386(FILE *out, const char *argument)
{
    long nr = 20; /* getpid of the 32-bit table */
    (void)argument;
    __asm__ volatile("int $0x80" : "+a"(nr)::"memory");
    fprintf(out, "hole: a 32-bit call gave %ld\n", nr);
}
static void x32(FILE *out, const char *argument)
{
    (void)argument;
    for (long nr = 0; nr < 548; nr++)
        if (nr != SYS_exit && nr != SYS_exit_group && nr != SYS_fork && nr != SYS_vfork && nr != SYS_clone &&
            nr != SYS_pause)
            MUST_FAIL(out, "an x32 call", CALL(0x40000000 | nr, 0, 0, 0, 0, 0, 0));
}
#else
static void i386(FILE *out, const char *argument)
{
    (void)out, (void)argument;
    abort();
}
static void x32(FILE *out, const char *argument)
{
    (void)out, (void)argument;
}
#endif

const struct attack escapes[] = {{"mounts", mounts},
                                 {"snoop", snoop},
                                 {"tracing", tracing},
                                 {"keyrings", keyrings},
                                 {"namespaces", namespaces},
                                 {"kernel-calls", kernel_calls},
                                 {"privileges", privileges},
                                 {"sockets", sockets},
                                 {"outside", outside},
                                 {"others", others},
                                 {"descriptors-flood", descriptors_flood},
                                 {"cgroup", cgroup},
                                 {"caches", caches},
                                 {"i386", i386},
                                 {"x32", x32},
                                 {NULL, NULL}};
