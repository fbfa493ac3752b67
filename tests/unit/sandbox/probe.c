/* The function that the launcher's tests run inside a sandbox: its first argument says what to try. What it finds
 * goes to stdout as "name=value" lines; descriptor 3, the channel, is only used by "hello", "echo" and "give". */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void show_file(const char *path, const char *const *keys)
{
    char line[512];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        for (size_t i = 0; keys[i]; i++)
            if (!strncmp(line, keys[i], strlen(keys[i])))
                printf("%s", line);
    if (f)
        fclose(f);
}

static int status(void)
{
    static const char *const keys[] = {"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:", NULL};
    show_file("/proc/self/status", keys);
    char adj[8] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY);
    printf("oom_score_adj=%d\n", read(fd, adj, sizeof adj - 1) > 0 ? atoi(adj) : -1);
    char host[64] = "", cwd[256] = "";
    gethostname(host, sizeof host);
    printf("host=%s\ncwd=%s\npid=%d\nsid=%d\n", host, getcwd(cwd, sizeof cwd) ? cwd : "?", getpid(),
           getsid(0));
    return 0;
}

static int cannot_write(const char *path)
{
    char name[256];
    snprintf(name, sizeof name, "%s/x", path);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0)
        unlink(name);
    return fd < 0;
}

static int files(void)
{
    static const char *const dirs[] = {"/",    "/app",     "/hob", "/hob/runtime", "/etc",
                                       "/usr", "/usr/lib", "/dev", "/proc",        "/proc/self"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        printf("readonly%s=%d\n", dirs[i], cannot_write(dirs[i]));
    printf("tmp=%d\nshm=%d\n", !cannot_write("/tmp"), !cannot_write("/dev/shm"));
    static const char *const absent[] = {
        "/proc/meminfo", "/proc/sys", "/proc/kcore", "/proc/mounts/x",   "/sys/kernel",
        "/root",         "/home",     "/var",        "/etc/shadow",      "/dev/kmsg",
        "/dev/mem",      "/dev/tty",  "/bin/sh",     "/usr/bin/python3", "/usr/bin"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        printf("absent%s=%d\n", absent[i], access(absent[i], F_OK) != 0);
    int others = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        others += atoi(e->d_name) > 2; /* 1: init, 2: this */
    printf("proc_others=%d\n", d ? others : -1);
    struct stat st;
    printf("code=%d\n", stat("/app/marker", &st) == 0);
    printf("random=%d\n", open("/dev/urandom", O_RDONLY) >= 0);
    printf("host_libs=%d\n", access("/lib64/ld-linux-x86-64.so.2", X_OK) == 0);
    return 0;
}

static int descriptors(char **env)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            printf("fd%d=%s\n", fd,
                   S_ISSOCK(st.st_mode)   ? "socket"
                   : S_ISFIFO(st.st_mode) ? "pipe"
                                          : "other");
    }
    for (; *env; env++)
        printf("env %s\n", *env);
    static const struct {
        int what;
        const char *name;
    } limits[] = {{RLIMIT_CORE, "core"},
                  {RLIMIT_NOFILE, "nofile"},
                  {RLIMIT_FSIZE, "fsize"},
                  {RLIMIT_MEMLOCK, "memlock"}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit r;
        getrlimit(limits[i].what, &r);
        printf("limit_%s=%llu/%llu\n", limits[i].name, (unsigned long long)r.rlim_cur,
               (unsigned long long)r.rlim_max);
    }
    return 0;
}

static int network(void)
{
    int devices = -2; /* two lines of heading */
    char line[512];
    FILE *f = fopen("/proc/self/net/dev", "r");
    while (f && fgets(line, sizeof line, f))
        devices++;
    if (f)
        fclose(f);
    printf("devices=%d\n", devices);
    static const struct {
        int family, type, protocol;
        const char *name;
    } tries[] = {{AF_INET, SOCK_STREAM, 0, "tcp"},
                 {AF_INET6, SOCK_DGRAM, 0, "udp6"},
                 {AF_UNIX, SOCK_STREAM, 0, "unix"},
                 {AF_INET, SOCK_STREAM, 262, "mptcp"},
                 {AF_INET, SOCK_RAW, 1, "raw"},
                 {AF_INET, SOCK_DGRAM, 1, "ping"},
                 {AF_NETLINK, SOCK_RAW, 0, "netlink"},
                 {AF_PACKET, SOCK_RAW, 0, "packet"},
                 {40 /* vsock */, SOCK_STREAM, 0, "vsock"},
                 {38 /* alg */, SOCK_SEQPACKET, 0, "alg"}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int s = socket(tries[i].family, tries[i].type, tries[i].protocol);
        printf("socket_%s=%d\n", tries[i].name, s < 0 ? errno : 0);
        close(s);
    }
    unsigned char to[16] = {AF_INET & 255, 0, 0, 80, 1, 1, 1, 1};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    printf("connect=%d\n", connect(s, (struct sockaddr *)(void *)to, sizeof to) < 0 ? errno : 0);
    unsigned char self[16] = {AF_INET & 255, 0, 0x13, 0x88, 127, 0, 0, 1};
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    printf("loopback=%d\n", bind(u, (struct sockaddr *)(void *)self, sizeof self) == 0 &&
                                sendto(u, "x", 1, 0, (struct sockaddr *)(void *)self, sizeof self) == 1);
    return 0;
}

#define TRY(name, ...) printf("call_%s=%d\n", name, syscall(__VA_ARGS__) < 0 ? errno : 0)

static int calls(void)
{
    TRY("mount", SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
    TRY("umount2", SYS_umount2, "/tmp", 0);
    TRY("pivot_root", SYS_pivot_root, "/tmp", "/tmp");
    TRY("chroot", SYS_chroot, "/tmp");
    TRY("unshare", SYS_unshare, CLONE_NEWUSER);
    TRY("setns", SYS_setns, 0, 0);
    TRY("clone_newuser", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    TRY("clone_newnet", SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
    TRY("clone3", 435, NULL, 0);
    TRY("ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    TRY("process_vm_readv", SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
    TRY("bpf", SYS_bpf, 0, NULL, 0);
    TRY("perf_event_open", SYS_perf_event_open, NULL, 0, 0, 0, 0);
    TRY("io_uring_setup", 425, 1, NULL);
    TRY("keyctl", SYS_keyctl, 0, 0);
    TRY("add_key", SYS_add_key, "user", "x", "y", 1, -1);
    TRY("init_module", SYS_init_module, NULL, 0, "");
    TRY("kexec_load", SYS_kexec_load, 0, 0, NULL, 0);
    TRY("open_by_handle_at", SYS_open_by_handle_at, 0, NULL, 0);
    TRY("userfaultfd", SYS_userfaultfd, 0);
    TRY("clock_settime", SYS_clock_settime, 0, NULL);
    TRY("reboot", SYS_reboot, 0, 0, 0, NULL);
    TRY("setuid", SYS_setuid, 0);
    TRY("setgroups", SYS_setgroups, 0, NULL);
    TRY("mknod", SYS_mknodat, AT_FDCWD, "/tmp/disk", S_IFBLK | 0600, 0x700);
    TRY("personality", SYS_personality, 0x0040000);
    TRY("tiocsti", SYS_ioctl, 0, 0x5412, "x");
    TRY("move_mount", 429, -1, "", -1, "", 0);
    TRY("open_tree", 428, -1, "", 0);
    TRY("mbind", SYS_mbind, 0, 0, 0, NULL, 0, 0);
    TRY("seccomp_listener", SYS_seccomp, 1, 8, NULL);
    return 0;
}

static int denied(long n)
{
    struct timespec a, b;
    long enosys = 0;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < n; i++)
        enosys += syscall(SYS_keyctl, 0, 0) < 0 && errno == ENOSYS;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("enosys=%ld\nus=%lld\n", enosys,
           (b.tv_sec - a.tv_sec) * 1000000LL + (b.tv_nsec - a.tv_nsec) / 1000);
    return 0;
}

static int i386_call(void)
{
#ifdef __x86_64__
    long nr = 20; /* getpid of the 32-bit table */
    __asm__ volatile("int $0x80" : "+a"(nr)::"memory");
    printf("i386=%ld\n", nr);
#endif
    return 0;
}

static int fork_bomb(void)
{
    int made = 0;
    for (int i = 0; i < 400; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0)
            break;
        made++;
    }
    printf("made=%d errno=%d\n", made, errno);
    return 0;
}

static int memory_bomb(size_t mib, int as_child)
{
    if (as_child && fork() > 0) {
        printf("parent\n");
        fflush(stdout);
        for (;;)
            pause(); /* the parent, small, would live on */
    }
    for (size_t i = 0; i < mib; i++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return 3;
        memset(p, 1, 1 << 20);
    }
    printf("took=%zu\n", mib);
    return 0;
}

static int fill(const char *dir)
{
    static char block[65536];
    char name[128];
    long bytes = 0, made = 0;
    snprintf(name, sizeof name, "%s/big", dir);
    int fd = open(name, O_CREAT | O_WRONLY, 0600), why;
    ssize_t n;
    while ((n = write(fd, block, sizeof block)) > 0)
        bytes += n;
    why = errno;
    printf("bytes=%ld errno=%d\n", bytes, why);
    close(fd);
    unlink(name);
    for (;; made++) {
        snprintf(name, sizeof name, "%s/f%ld", dir, made);
        if ((fd = open(name, O_CREAT | O_WRONLY, 0600)) < 0)
            break;
        close(fd);
    }
    printf("inodes=%ld errno=%d\n", made, errno);
    return 0;
}

/* Gives a socket of its network away, over the channel, and says so. */
static int give_socket(void)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec word = {"given", 5};
    struct msghdr msg = {.msg_iov = &word,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return fd >= 0 && sendmsg(3, &msg, 0) == 5 && pause() ? 0 : 1;
}

static void ignore(int sig)
{
    (void)sig;
}

/* A stem: says whether it sees any code, waits for a word, and goes on as what the next argument says. */
static int wait_assigned(void)
{
    char byte = access("/app/marker", F_OK) == 0 ? '1' : '0';
    return write(3, &byte, 1) == 1 && read(3, &byte, 1) == 1 && chdir("/app") == 0;
}

/* What a hostile owner of the code folder may have put there: links out, a setuid copy of us, a device. */
static int planted(void)
{
    static const char *const names[] = {"shadow", "up", "proc", "self", "disk", "runtime"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int fd = open(names[i], O_RDONLY | O_CLOEXEC);
        printf("%s=%s\n", names[i], fd < 0 ? "absent" : "open");
    }
    fflush(stdout);
    execl("/app/suid", "suid", "status", (char *)NULL);
    return 1;
}

/* connect() in all the ways that are wrong, then one that is right. */
static int connects(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x01020304)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr *wild = (const struct sockaddr *)(uintptr_t)0x10,
                          *sa = (const struct sockaddr *)&to;
#define CONNECT(name, call) printf(name "=%d\n", (call) < 0 ? errno : 0)
    CONNECT("wild", connect(s, wild, sizeof to));
    CONNECT("short", connect(s, sa, 1));
    CONNECT("long", connect(s, sa, 4096));
    CONNECT("huge", connect(s, sa, (socklen_t)-1));
    CONNECT("closed", connect(99, sa, sizeof to));
    CONNECT("file", connect(1, sa, sizeof to));
    fflush(stdout);
    CONNECT("right", connect(s, sa, sizeof to));
    return 0;
}

/* --- a zygote, honest or not (sandbox/fork/forks.h) --------------------------------------------------------------- */
struct word {
    unsigned type; /* 1 FORK, 2 ENTERED, 3 ENDED */
    int status;
    unsigned long long serial;
};

static int hear(struct word *ret_word, int fds[16])
{
    struct iovec part = {ret_word, sizeof *ret_word};
    char control[CMSG_SPACE(16 * sizeof(int))];
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(0, &m, 0) != (ssize_t)sizeof *ret_word)
        return -1;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    size_t n = h ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    memcpy(fds, h ? CMSG_DATA(h) : (void *)control, n * sizeof(int));
    return (int)n;
}

static void say(unsigned type, int status, unsigned long long serial)
{
    struct word word = {type, status, serial};
    if (write(0, &word, sizeof word) < 0)
        exit(98);
}

/* The new instance: does what the bytes on its channel say. */
static int forked(void)
{
    static const char *const keys[] = {"Uid:", NULL};
    for (char byte; read(3, &byte, 1) == 1;) {
        if (byte == 'h' && write(3, "hello", 5) != 5)
            return 97;
        if (byte == 's')
            show_file("/proc/self/status", keys);
        if (byte == 'm')
            return memory_bomb(80, 0);
        if (byte == 'x')
            return 7;
        if (byte == 'k')
            kill(getpid(), SIGKILL);
        if (byte == 'l' && fork() == 0) /* leaves a process behind */
            for (;;)
                pause();
        if (byte == 'p')
            kill(getppid(), SIGSTOP);
        if (byte == 'c')
            kill(getppid(), SIGCONT);
    }
    return 0;
}

/* In the new process. */
static int become(const int *fds, int n, const struct word *word, const char *how)
{
    for (int i = 3; i < n && strcmp(how, "liar"); i++)
        if (write(fds[i], "0", 1) != 1)
            return 96;
    dup2(fds[0], 3);
    dup2(fds[1], 1);
    dup2(fds[2], 2);
    say(2, 0, word->serial);
    if (!strcmp(how, "mayfly"))
        kill(getpid(), SIGKILL);
    close(0);
    for (int fd = 4; fd < 64; fd++)
        close(fd);
    return forked();
}

/* "honest", or how not. */
static int zygote(const char *how)
{
    static unsigned long long serials[64];
    static int pids[64];
    struct pollfd control = {.fd = 0, .events = POLLIN};
    int fds[16], n, count = 0, status;
    struct word word;
    while (count < 64) {
        while (strcmp(how, "lazy") && (n = waitpid(-1, &status, WNOHANG)) > 0)
            for (int i = 0; i < count; i++)
                if (pids[i] == n)
                    say(3, status, serials[i]);
        if (poll(&control, 1, 20) == 0)
            continue;
        if ((n = hear(&word, fds)) < 3)
            return 94;
        int pid = strcmp(how, "silent") ? fork() : -1;
        if (pid == 0)
            exit(become(fds, n, &word, how));
        serials[count] = word.serial;
        pids[count++] = pid;
        for (int i = 0; i < n; i++)
            close(fds[i]);
        if (!strcmp(how, "other")) /* an end that is not its own to tell */
            say(3, 0, word.serial - 1);
        if (!strcmp(how, "babbler") && write(0, "what?", 5) < 0)
            return 95;
    }
    return 0;
}

int main(int argc, char **argv, char **env)
{
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "stem")) {
        if (!wait_assigned())
            return 1;
        what = (++argv)[1];
        argc--;
    }
    if (!strcmp(what, "marker"))
        return printf("marker=%d writable=%d\n", access("marker", F_OK) == 0, !cannot_write("/app")) < 0;
    if (!strcmp(what, "planted"))
        return planted();
    if (!strcmp(what, "connects"))
        return connects();
    if (!strcmp(what, "hello"))
        return write(3, "hello", 5) == 5 && pause() ? 0 : 1;
    if (!strcmp(what, "give"))
        return give_socket();
    if (!strcmp(what, "echo")) {
        char buf[256];
        for (ssize_t n; (n = read(3, buf, sizeof buf)) > 0;)
            if (write(3, buf, (size_t)n) != n)
                return 1;
        return 0;
    }
    if (!strcmp(what, "zygote"))
        return zygote(argv[2]);
    if (!strcmp(what, "status"))
        return status();
    if (!strcmp(what, "files"))
        return files();
    if (!strcmp(what, "descriptors"))
        return descriptors(env);
    if (!strcmp(what, "network"))
        return network();
    if (!strcmp(what, "calls"))
        return calls();
    if (!strcmp(what, "denied"))
        return denied(atol(argv[2]));
    if (!strcmp(what, "i386"))
        return i386_call();
    if (!strcmp(what, "forks"))
        return fork_bomb();
    if (!strcmp(what, "memory"))
        return memory_bomb((size_t)atoi(argv[2]), argc > 3);
    if (!strcmp(what, "fill"))
        return fill(argv[2]);
    if (!strcmp(what, "spin"))
        for (;;)
            ;
    if (!strcmp(what, "stubborn")) {
        signal(SIGTERM, ignore);
        if (write(3, "ready", 5) != 5)
            return 1;
        for (;;)
            pause();
    }
    if (!strcmp(what, "exit"))
        return atoi(argv[2]);
    return 99;
}
