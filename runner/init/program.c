#include "runner/init/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FDS_CLOSED_BY_HAND = 16 };

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP};

void program_say(const char *what, const char *name, int errnum)
{
    char line[512];
    int n = snprintf(line, sizeof line, "hob-init: %s '%.256s': %s\n", what, name, strerror(errnum));
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody left to tell */
}

void program_block_signals(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
        (void)sigaddset(ret_set, forwarded[i]);
    (void)sigprocmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGCHLD, SIG_DFL); /* inherited as ignored it would take the statuses away */
}

/* In the vfork child: only async-signal-safe calls and nothing that the parent would miss. */
static void become_program(char **argv, pid_t init)
{
    sigset_t none; /* the program starts with nothing blocked or ignored, whoever started us */
    (void)sigemptyset(&none);
    (void)signal(SIGPIPE, SIG_DFL);
    /* Without a pid namespace nothing else ties the program to us; with one this is merely redundant. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (init != 1 && getppid() != init)
        _exit(EXIT_SIGNAL_BASE + SIGKILL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(argv[0], argv);
    program_say("cannot start", argv[0], errno);
    _exit(EXIT_CANNOT_START);
}

pid_t program_start(char **argv)
{
    pid_t self = getpid();
    if (self != 1)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t program = vfork();
    if (program == 0)
        become_program(argv, self);
    return program;
}

static int status_to_exit(int status)
{
    return WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
}

bool program_reap(pid_t program, int *ret_exit)
{
    pid_t none = 0;
    int status;
    return program_reap_beside(program, ret_exit, &none, &status);
}

bool program_reap_beside(pid_t program, int *ret_exit, pid_t *beside, int *ret_status)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return false;
        if (*beside && pid == *beside) {
            *beside = 0;
            *ret_status = status_to_exit(status);
        }
        if (pid == program) {
            *ret_exit = status_to_exit(status);
            return true;
        }
    }
}

static void close_everything(void)
{
    if (syscall(SYS_close_range, 0U, ~0U, 0U) == 0)
        return;
    for (int fd = 0; fd < FDS_CLOSED_BY_HAND; fd++) /* a kernel before 5.9, or a filter that refuses it */
        (void)close(fd);
}

static int watch(pid_t program, const sigset_t *set)
{
    for (;;) {
        /* Blocked signals are queued even for pid 1, whose default action is to ignore them. */
        int sig = sigwaitinfo(set, NULL), code;
        if (sig == SIGCHLD && program_reap(program, &code))
            return code;
        if (sig > 0 && sig != SIGCHLD)
            (void)kill(program, sig);
    }
}

int program_run(char **argv, const sigset_t *set)
{
    pid_t program = program_start(argv);
    if (program < 0) {
        program_say("cannot make a process for", argv[0], errno);
        return EXIT_CANNOT_START;
    }
    close_everything();
    return watch(program, set);
}
