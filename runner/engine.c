#include "runner/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { EXIT_SIGNAL_BASE = 128, SIGNALS_MAX = 64, EXIT_CANNOT_START = 127, EXIT_KILLED = 9 };

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
