#include "runner/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { EXIT_SIGNAL_BASE = 128, SIGNALS_MAX = 64, EXIT_CANNOT_START = 127, EXIT_KILLED = 9 };

void engine_spec_close(const struct engine_spec *spec)
{
    int fds[] = {spec->channel_fd, spec->stdout_fd, spec->stderr_fd, spec->stdin_fd};
    for (size_t i = 0; i < HOB_COUNT(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

static void describe_signal(struct engine_exit *e, uint32_t memory_mb)
{
    const char *name = sigabbrev_np(e->signal);
    if (e->is_oom)
        (void)snprintf(e->message, sizeof e->message, "killed: out of memory (%u MiB)", memory_mb);
    else if (name)
        (void)snprintf(e->message, sizeof e->message, "killed by signal %d (SIG%s)", e->signal, name);
    else
        (void)snprintf(e->message, sizeof e->message, "killed by signal %d", e->signal);
}

static void describe_status(struct engine_exit *e, uint32_t oom_kills, uint32_t memory_mb)
{
    if (oom_kills && e->exit_code)
        (void)snprintf(e->message, sizeof e->message,
                       "exited with status %d after %u of its processes were killed: out of memory (%u MiB)",
                       e->exit_code, oom_kills, memory_mb);
    else if (e->exit_code == EXIT_CANNOT_START)
        (void)snprintf(e->message, sizeof e->message,
                       "exited with status 127 (a program could not be started; stderr says which)");
    else
        (void)snprintf(e->message, sizeof e->message, "exited with status %d", e->exit_code);
}

void engine_exit_describe(struct engine_exit *e, int wait_status, uint32_t oom_kills, uint32_t memory_mb)
{
    int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    e->signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    if (status > EXIT_SIGNAL_BASE && status <= EXIT_SIGNAL_BASE + SIGNALS_MAX)
        e->signal = status - EXIT_SIGNAL_BASE;
    e->exit_code = e->signal ? -1 : status;
    e->is_oom = oom_kills > 0 && e->signal == EXIT_KILLED;
    if (e->signal)
        describe_signal(e, memory_mb);
    else
        describe_status(e, oom_kills, memory_mb);
}

int64_t engine_pid_of(int pidfd)
{
    char path[40], text[512];
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *at = strstr(text, "\nPid:");
    return at ? strtoll(at + 5, NULL, 10) : 0;
}

enum hob_code engine_code_of(int errnum)
{
    switch (errnum) {
    case EINVAL:
    case E2BIG:
    case ENAMETOOLONG:
        return HOB_E_INVALID;
    case ENOENT:
        return HOB_E_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return HOB_E_NO_SPACE;
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EBUSY:
        return HOB_E_UNAVAILABLE;
    case ENOSYS:
    case EOPNOTSUPP:
        return HOB_E_UNSUPPORTED;
    default:
        return HOB_E_INTERNAL;
    }
}
