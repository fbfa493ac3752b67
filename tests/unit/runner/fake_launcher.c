/* A launcher without isolation, for tests: speaks base/launch.h and runs `hob-init -- argv` as an ordinary process.
 *
 *   fake_launcher SOCKET HOB_INIT
 *
 * Runtime names order its misbehaviour: "refuse" answers FAILED, "hang" never answers, "crash" ends the launcher,
 * "garbage" answers with bytes that are no answer, "oom" reports an out-of-memory kill at the end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/launch.h"
#include "base/mem.h"

enum { RUNS_MAX = 512, STRINGS_MAX = 256 };

struct run {
    uint64_t id;
    pid_t pid;
    uint64_t kill_at_ms;
    bool is_oom, is_orphan; /* orphan: its connection has closed */
};

static struct run runs[RUNS_MAX];
static const char *init_path;
static int conn = -1;

static void answer(uint32_t what, uint64_t id, int errnum, const char *text, int pidfd, int status,
                   bool is_oom)
{
    struct hob_launch_reply a = {
        .magic = HOB_LAUNCH_MAGIC, .answer = what, .id = id, .errnum = errnum, .wait_status = status};
    a.usage =
        (struct hob_launch_usage){.cpu_us = 1234, .memory_peak_bytes = 4096, .oom_kills = is_oom, .pids = 1};
    (void)snprintf(a.text, sizeof a.text, "%s", text);
    int rc;
    struct pollfd p = {.fd = conn, .events = POLLOUT};
    while ((rc = hob_fdmsg_send(conn, hob_str_n(&a, sizeof a), &pidfd, pidfd >= 0)) == 0)
        (void)poll(&p, 1, -1);
    if (rc < 0)
        (void)fprintf(stderr, "fake_launcher: an answer was lost\n");
}

static struct run *find(uint64_t id)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (runs[i].pid && runs[i].id == id && !runs[i].is_orphan)
            return &runs[i];
    return NULL;
}

static void child(const struct hob_launch_request *q, char *strings, const int *fds, size_t fds_n)
{
    char *argv[STRINGS_MAX + 3] = {(char *)(uintptr_t)init_path, (char *)(uintptr_t) "--"},
                             *envp[STRINGS_MAX + 1] = {0};
    char *at = strings;
    for (uint32_t i = 0; i < q->argc + q->envc; i++, at += strlen(at) + 1)
        *(i < q->argc ? &argv[i + 2] : &envp[i - q->argc]) = at;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int want[4] = {fds_n > 3 ? fds[3] : null, fds[1], fds[2], fds[0]}, high[4];
    for (int i = 0; i < 4; i++)
        high[i] = fcntl(want[i], F_DUPFD_CLOEXEC, 100);
    for (int i = 0; i < 4; i++)
        (void)dup2(high[i], i);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* hob-init takes its program along */
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(init_path, argv, envp);
    _exit(126);
}

static void launch(const struct hob_launch_request *q, char *strings, const int *fds, size_t fds_n)
{
    struct run *r = NULL;
    for (size_t i = 0; i < RUNS_MAX && !r; i++)
        r = runs[i].pid ? NULL : &runs[i];
    if (!r || q->argc + q->envc > STRINGS_MAX || strcmp(q->runtime, "refuse") == 0) {
        answer(HOB_LAUNCH_FAILED, q->id, ENOENT, "no code with that digest is here", -1, 0, false);
        return;
    }
    *r = (struct run){.id = q->id, .is_oom = strcmp(q->runtime, "oom") == 0};
    r->pid = fork();
    if (r->pid == 0)
        child(q, strings, fds, fds_n);
    (void)setpgid(r->pid, r->pid);
    int pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    answer(HOB_LAUNCH_LAUNCHED, q->id, 0, "", pidfd, 0, false);
    (void)close(pidfd);
}

static void serve(const struct hob_launch_request *q, char *strings, const int *fds, size_t fds_n)
{
    struct run *r = find(q->id);
    if (strcmp(q->runtime, "crash") == 0)
        exit(3);
    if (strcmp(q->runtime, "garbage") == 0 && hob_fdmsg_send(conn, HOB_STR("what?"), NULL, 0) == 1)
        return;
    if (q->op == HOB_LAUNCH_PROBE)
        answer(HOB_LAUNCH_PROBED, q->id, 0,
               "ok cgroup: none\nwarn rootless: in tests\nwarn seccomp: not used in tests\nnoise\n", -1, 0,
               false);
    else if (q->op == HOB_LAUNCH_LAUNCH && strcmp(q->runtime, "hang") != 0)
        launch(q, strings, fds, fds_n);
    else if (q->op != HOB_LAUNCH_LAUNCH && !r)
        answer(HOB_LAUNCH_FAILED, q->id, ESRCH, "no such sandbox", -1, 0, false);
    else if (q->op == HOB_LAUNCH_FREEZE || q->op == HOB_LAUNCH_THAW)
        (void)kill(-r->pid, q->op == HOB_LAUNCH_FREEZE ? SIGSTOP : SIGCONT);
    else if (q->op == HOB_LAUNCH_STOP) {
        r->kill_at_ms = hob_now_ms() + q->grace_ms;
        (void)kill(r->pid, SIGTERM);
    }
    if (r && q->op != HOB_LAUNCH_LAUNCH)
        answer(HOB_LAUNCH_DONE, q->id, 0, "", -1, 0, false);
}

static void receive(void)
{
    static char in[HOB_FDMSG_BYTES_MAX];
    struct hob_launch_request q;
    int fds[4];
    size_t fds_n;
    ssize_t n = hob_fdmsg_recv(conn, in, sizeof in, fds, 4, &fds_n);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < (ssize_t)sizeof q) { /* closed: all that was launched over it goes */
        for (size_t i = 0; i < RUNS_MAX; i++)
            if (runs[i].pid) {
                runs[i].is_orphan = true;
                (void)kill(-runs[i].pid, SIGKILL);
            }
        (void)close(conn);
        conn = -1;
        return;
    }
    memcpy(&q, in, sizeof q);
    serve(&q, in + sizeof q, fds, fds_n);
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < RUNS_MAX; i++)
            if (runs[i].pid == pid) {
                (void)kill(-pid, SIGKILL);
                if (conn >= 0 && !runs[i].is_orphan)
                    answer(HOB_LAUNCH_EXITED, runs[i].id, 0, "", -1, status, runs[i].is_oom);
                runs[i].pid = 0;
            }
}

static void kill_late(void)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (runs[i].pid && runs[i].kill_at_ms && hob_now_ms() >= runs[i].kill_at_ms)
            (void)kill(-runs[i].pid, SIGKILL);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    init_path = argv[2];
    struct hob_err err;
    int listener = hob_seqpacket_listen(argv[1], 0600, &err);
    if (listener < 0) {
        (void)fprintf(stderr, "fake_launcher: %s\n", err.msg);
        return 1;
    }
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int sig = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    for (;;) {
        struct pollfd p[] = {{.fd = sig, .events = POLLIN},
                             {.fd = conn < 0 ? listener : conn, .events = POLLIN}};
        (void)poll(p, 2, 20);
        struct signalfd_siginfo info;
        while (read(sig, &info, sizeof info) > 0)
            reap();
        if (conn >= 0 && p[1].revents)
            receive();
        else if (conn < 0 && p[1].revents)
            conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        kill_late();
    }
}
