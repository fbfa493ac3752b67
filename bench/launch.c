/* The sandbox layer alone: how long from LAUNCH to the first byte that the function writes, and what it costs.
 *
 *   launch LAUNCHER INIT RUNTIMES CODE DIGEST COUNT GAP_US LIVE [APPS]
 *
 * Starts a launcher of its own, launches the program `main` of CODE/DIGEST (which writes one byte to descriptor 3 and
 * sleeps) COUNT times, GAP_US apart, for APPS apps in turn (1: the next instance may inherit from the last one; COUNT: each
 * is made from nothing), keeps at most LIVE of them, stops all, and prints one JSON line: min, p50 and p99
 * of the wait, and CPU per start: `total_us` is everything that the kernel charged to the launcher and to what it
 * started, `launcher_us` the launcher's own part until the last answer. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/launch.h"

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The scheduler's own nanoseconds of a process with one thread. */
static uint64_t cpu_ns(pid_t pid)
{
    char path[64], text[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        die(path);
    (void)close(fd);
    return strtoull(text, NULL, 10);
}

/* The guard's only child. */
static pid_t worker_of(pid_t guard)
{
    char path[96], text[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)guard, (int)guard);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        die(path);
    (void)close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static pid_t launcher_start(char **argv, const char *socket_path, int *ret_life)
{
    char life[16], group[32], line[64], uid[16];
    int pipes[2], out[2];
    if (pipe(pipes) < 0 || pipe(out) < 0)
        die("pipe");
    (void)snprintf(life, sizeof life, "%d", pipes[0]);
    (void)snprintf(group, sizeof group, "bench-%d", (int)getpid());
    (void)snprintf(uid, sizeof uid, "%d", (int)getuid());
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pipes[1]);
        (void)dup2(out[1], 1);
        (void)execl(argv[1], argv[1], "--socket", socket_path, "--uid", uid, "--code", argv[4], "--runtimes",
                    argv[3], "--init", argv[2], "--cgroup", group, "--lifeline", life, (char *)NULL);
        _exit(127);
    }
    (void)close(pipes[0]);
    (void)close(out[1]);
    if (pid < 0 || read(out[0], line, sizeof line) <= 0)
        die("hob-launcher did not get ready");
    *ret_life = pipes[1];
    return pid;
}

static void ask_launch(int sock, uint64_t id, const char *digest, uint64_t app, int channel)
{
    static const char strings[] = "/app/main";
    char message[sizeof(struct hob_launch_request) + sizeof strings];
    struct hob_launch_request q = {.magic = HOB_LAUNCH_MAGIC,
                                   .op = HOB_LAUNCH_LAUNCH,
                                   .id = id,
                                   .memory_mb = 16,
                                   .cpu_weight = 100,
                                   .pids_max = 64,
                                   .nofile_max = 1024,
                                   .tmp_inodes = 1024,
                                   .tmp_bytes = 1 << 20,
                                   .fsize_bytes = 1 << 20,
                                   .runtime = "c",
                                   .argc = 1,
                                   .strings_n = sizeof strings};
    (void)snprintf(q.digest, sizeof q.digest, "%s", digest);
    (void)snprintf(q.app, sizeof q.app, "bench-%llu", (unsigned long long)app);
    memcpy(message, &q, sizeof q);
    memcpy(message + sizeof q, strings, sizeof strings);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), fds[3] = {channel, null, null};
    if (hob_fdmsg_send(sock, hob_str_n(message, sizeof message), fds, 3) != 1)
        die("LAUNCH");
    (void)close(null);
}

static void ask_stop(int sock, uint64_t id)
{
    struct hob_launch_request q = {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_STOP, .id = id};
    if (hob_fdmsg_send(sock, hob_str_n(&q, sizeof q), NULL, 0) != 1)
        die("STOP");
}

/* Takes what the launcher has said; returns how many ended. */
static unsigned hear(int sock, int wait_ms)
{
    unsigned ended = 0;
    for (struct pollfd p = {.fd = sock, .events = POLLIN}; poll(&p, 1, wait_ms) > 0; wait_ms = 0) {
        struct hob_launch_reply a;
        int fds[4];
        size_t fds_n;
        if (hob_fdmsg_recv(sock, &a, sizeof a, fds, 4, &fds_n) <= 0)
            die("the launcher is gone");
        for (size_t i = 0; i < fds_n; i++)
            (void)close(fds[i]);
        if (a.answer == HOB_LAUNCH_FAILED) {
            (void)fprintf(stderr, "FAILED: %s\n", a.text);
            exit(1);
        }
        ended += a.answer == HOB_LAUNCH_EXITED;
    }
    return ended;
}

static uint64_t one(int sock, uint64_t id, const char *digest, uint64_t app)
{
    int ends[2];
    char byte;
    uint64_t began = now_ns();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("socketpair");
    ask_launch(sock, id, digest, app, ends[1]);
    (void)close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        die("no answer");
    uint64_t took = now_ns() - began;
    (void)close(ends[0]);
    return took;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
    if (argc != 9 && argc != 10) {
        (void)fprintf(stderr, "usage: launch LAUNCHER INIT RUNTIMES CODE DIGEST COUNT GAP_US LIVE [APPS]\n");
        return 2;
    }
    uint64_t count = strtoull(argv[6], NULL, 10), gap_us = strtoull(argv[7], NULL, 10),
             live = strtoull(argv[8], NULL, 10), ended = 0, stopped = 0,
             apps = argc == 10 ? strtoull(argv[9], NULL, 10) : 1;
    char path[64];
    struct hob_err err;
    int life;
    (void)snprintf(path, sizeof path, "/tmp/hob-bench-%d.sock", (int)getpid());
    pid_t guard = launcher_start(argv, path, &life);
    int sock = hob_seqpacket_connect(path, &err);
    if (sock < 0 || fcntl(sock, F_SETFL, 0) < 0)
        die(path);
    (void)one(sock, 1, argv[5], 0); /* the template, and the shelves' kind */
    (void)hear(sock, 200);
    uint64_t *took = calloc(count, sizeof *took), before = cpu_ns(worker_of(guard));
    for (uint64_t i = 0; i < count; i++) {
        took[i] = one(sock, i + 2, argv[5], i % apps);
        if (i >= live)
            ask_stop(sock, ++stopped);
        ended += hear(sock, 0);
        if (gap_us)
            (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(gap_us / 1000000),
                                               .tv_nsec = (long)(gap_us % 1000000) * 1000},
                            NULL);
    }
    double launcher_us = (double)(cpu_ns(worker_of(guard)) - before) / 1000 / (double)count;
    while (stopped < count + 1)
        ask_stop(sock, ++stopped);
    while (ended < count + 1)
        ended += hear(sock, 1000);
    (void)close(sock);
    (void)close(life);
    (void)waitpid(guard, NULL, 0);
    (void)unlink(path);
    struct rusage r;
    (void)getrusage(RUSAGE_CHILDREN, &r);
    double total_us = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
                      (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    qsort(took, count, sizeof *took, by_size);
    (void)printf("{\"min_us\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"launcher_us\":%.0f,\"total_us\":%.0f}\n",
                 (double)took[0] / 1000, (double)took[count / 2] / 1000,
                 (double)took[count * 99 / 100] / 1000, launcher_us, total_us / (double)count);
    return 0;
}
