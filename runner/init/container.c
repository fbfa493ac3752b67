#include "runner/init/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runner/init/hand.h"
#include "runner/init/health.h"
#include "runner/init/program.h"

enum { SIGNALS_MAX = 64, PROGRAM_AT = 5, FDS_HANDED = 4, STDIO = 3 };

struct handed {
    int sock, signals, stop_signal;
    struct health health;
};

/* Waits for the program's end as signals tell it, or for the runner's word. */
static int watch(pid_t program, struct handed *h)
{
    struct pollfd on[2] = {{.fd = h->signals, .events = POLLIN}, {.fd = h->sock, .events = POLLIN}};
    health_begin(&h->health);
    for (;;) {
        struct signalfd_siginfo info;
        int code, word, status = 0;
        if (poll(on, 2, health_wait_ms(&h->health)) < 0 && errno != EINTR)
            return EXIT_SIGNAL_BASE + SIGKILL;
        while (read(h->signals, &info, sizeof info) == (ssize_t)sizeof info) {
            if (info.ssi_signo != SIGCHLD)
                (void)kill(program, (int)info.ssi_signo);
        }
        if (program_reap_beside(program, &code, &h->health.pid, &status)) {
            hand_tell_end(h->sock, h->health.is_unwell ? HAND_UNWELL : HAND_END, code);
            return code;
        }
        if (health_turn(&h->health, status))
            (void)kill(program, SIGKILL);
        while ((word = hand_heard(h->sock)) != 0) {
            if (word == HAND_KILL)
                return EXIT_SIGNAL_BASE + SIGKILL;
            (void)kill(program, h->stop_signal);
        }
    }
}

/* A server gets a hob-init of its own, which stands between it and the channel; everything else is started as it is. */
static pid_t start(char **argv, struct handed *h)
{
    static char name[] = "/hob/init", dashes[] = "--";
    if (strcmp(argv[0], "--http") != 0)
        return program_start(argv);
    argv[-1] = dashes; /* what stood there was "--", before it our own words */
    argv[-2] = name;
    h->stop_signal = SIGTERM; /* handed on by that one */
    return program_start(argv - 2);
}

/* A health check reads and writes nothing. */
static void hush(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), high = fcntl(null, F_DUPFD_CLOEXEC, FDS_HANDED);
    for (int fd = 0; fd < STDIO && high >= 0; fd++)
        (void)dup2(high, fd);
    if (high >= 0)
        (void)close(high);
    if (null >= STDIO)
        (void)close(null);
}

static int run(struct handed *h, char **argv)
{
    sigset_t set;
    program_block_signals(&set);
    int low = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    h->signals = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, h->sock); /* above what the program gets */
    if (h->signals < 0) {
        program_say("cannot watch signals for", argv[0], errno);
        return EXIT_CANNOT_START;
    }
    (void)close(low);
    if (!hand_wait(h->sock))
        return EXIT_SIGNAL_BASE + SIGKILL;
    pid_t program = start(argv, h);
    if (program < 0) {
        program_say("cannot make a process for", argv[0], errno);
        return EXIT_CANNOT_START;
    }
    for (int fd = 0; fd < FDS_HANDED; fd++)
        (void)close(fd);
    if (h->health.words_n)
        hush();
    return watch(program, h);
}

static int hold(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    while (hand_heard(sock) != HAND_KILL)
        (void)poll(&p, 1, -1);
    return 0;
}

bool container_is_meant(int argc, char **argv)
{
    return (argc == 3 && strcmp(argv[1], "--hold") == 0) ||
           (argc > PROGRAM_AT && strcmp(argv[1], "--runner") == 0 && strcmp(argv[PROGRAM_AT - 1], "--") == 0);
}

int container_run(int argc, char **argv)
{
    bool is_hold = argc <= PROGRAM_AT;
    if (getuid() == 0 || geteuid() == 0) { /* an image's user may be root under another name */
        program_say("will not run as root:", is_hold ? argv[0] : argv[PROGRAM_AT], EPERM);
        return EXIT_CANNOT_START;
    }
    /* Whatever runs here under the same uid may neither trace us nor take our descriptors. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    struct handed h = {.sock = hand_connect(argv[2]),
                       .stop_signal = is_hold ? 0 : (int)strtol(argv[3], NULL, 10)};
    if (h.sock < 0) {
        program_say("cannot reach hob-runner at", argv[2], errno);
        return EXIT_CANNOT_START;
    }
    if (h.stop_signal < 1 || h.stop_signal > SIGNALS_MAX)
        h.stop_signal = SIGTERM;
    char **program = is_hold ? NULL : health_read(&h.health, argv[3], argv + PROGRAM_AT, argc - PROGRAM_AT);
    return is_hold ? hold(h.sock) : run(&h, program);
}
