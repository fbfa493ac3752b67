#include "daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { READY_MS = 10000, BACKOFF_FIRST_MS = 100, BACKOFF_LAST_MS = 10000, STEADY_MS = 60000 };

struct child {
    struct child_spec spec;
    int program_fd;
    pid_t pid; /* 0: not running */
    uint64_t started_ms;
    unsigned backoff_ms;
    bool can_restart, is_watched, is_let_go;
    uv_signal_t on_death;
    uv_timer_t again;
    child_lost_cb lost;
    void *ctx;
};

const char *child_name(const struct child *c)
{
    return c->spec.name;
}

/* Between fork and exec: async-signal-safe calls only. */
HOB_NORETURN static void become_program(const struct child *c, int stdout_fd, char *const *envp)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0); /* a Ctrl-C in the terminal is for hobd, which drains; not for its children */
    if (stdout_fd >= 0 && dup2(stdout_fd, STDOUT_FILENO) < 0)
        _exit(126);
    if (c->spec.keep_fd >= 0 && (c->spec.keep_fd == 3 ? fcntl(3, F_SETFD, 0) : dup2(c->spec.keep_fd, 3)) < 0)
        _exit(126);
    if (c->spec.become && identity_take(c->spec.become) < 0)
        _exit(126);
    (void)syscall(SYS_execveat, c->program_fd, "", c->spec.argv, envp, AT_EMPTY_PATH);
    _exit(127);
}

static enum hob_code spawn(struct child *c, int stdout_fd, struct hob_err *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return hob_fail_errno(err, errno, "starting %s", c->spec.name);
    if (pid == 0)
        become_program(c, stdout_fd, environ);
    c->pid = pid;
    c->started_ms = hob_now_ms();
    return HOB_OK;
}

/* Reads the child's first line; anything but "ready" in time is a failed start. */
static enum hob_code await_ready(struct child *c, int fd, struct hob_err *err)
{
    char line[256] = "";
    size_t n = 0;
    uint64_t deadline = hob_now_ms() + READY_MS;
    while (n < sizeof line - 1 && !memchr(line, '\n', n)) {
        uint64_t now = hob_now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int got = now < deadline ? poll(&p, 1, (int)(deadline - now)) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        ssize_t k = got > 0 ? read(fd, line + n, sizeof line - 1 - n) : 0;
        if (k <= 0)
            return hob_fail(err, HOB_E_UNAVAILABLE, "%s %s; its own message stands above", c->spec.name,
                            got > 0 ? "ended before it was ready" : "was not ready within 10 s");
        n += (size_t)k;
    }
    line[n] = '\0';
    if (strncmp(line, "ready", 5) != 0)
        return hob_fail(err, HOB_E_UNAVAILABLE, "%s said '%s' instead of 'ready'", c->spec.name, line);
    return HOB_OK;
}

static enum hob_code start_once(struct child *c, struct hob_err *err)
{
    if (!c->spec.has_ready_line)
        return spawn(c, -1, err);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return hob_fail_errno(err, errno, "a pipe for %s", c->spec.name);
    hob_auto_close int reader = ends[0];
    enum hob_code rc = spawn(c, ends[1], err);
    (void)close(ends[1]);
    return rc == HOB_OK ? await_ready(c, reader, err) : rc;
}

struct child *child_start(const struct child_spec *spec, struct hob_err *err)
{
    struct child *c = hob_new(struct child);
    c->spec = *spec;
    c->backoff_ms = BACKOFF_FIRST_MS;
    c->program_fd = spec->program_fd;
    if (start_once(c, err) != HOB_OK) {
        child_stop(c, 0);
        return NULL;
    }
    return c;
}

static void try_again(uv_timer_t *timer)
{
    struct child *c = timer->data;
    struct hob_err err;
    if (start_once(c, &err) == HOB_OK) {
        hob_log(HOB_LOG_INFO, "child.restarted", "name=%s pid=%d", c->spec.name, (int)c->pid);
        return;
    }
    hob_log(HOB_LOG_ERROR, "child.restart_failed", "name=%s error=\"%s\"", c->spec.name, err.msg);
    (void)uv_timer_start(&c->again, try_again, c->backoff_ms, 0);
}

static void note_death(struct child *c, int status)
{
    if (c->is_let_go) {
        c->pid = 0;
        return;
    }
    hob_log(HOB_LOG_ERROR, "child.died", "name=%s pid=%d exit=%d signal=%d", c->spec.name, (int)c->pid,
            WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    bool was_steady = hob_now_ms() - c->started_ms > STEADY_MS;
    c->pid = 0;
    if (!c->can_restart) {
        c->lost(c->ctx, c);
        return;
    }
    c->backoff_ms = was_steady ? BACKOFF_FIRST_MS : c->backoff_ms;
    (void)uv_timer_start(&c->again, try_again, c->backoff_ms, 0);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_LAST_MS ? c->backoff_ms * 2 : BACKOFF_LAST_MS;
}

static void on_sigchld(uv_signal_t *handle, int signum)
{
    (void)signum;
    struct child *c = handle->data;
    int status;
    if (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
        note_death(c, status);
}

void child_watch(struct child *c, uv_loop_t *loop, bool can_restart, child_lost_cb lost, void *ctx)
{
    c->can_restart = can_restart;
    c->lost = lost;
    c->ctx = ctx;
    c->on_death.data = c->again.data = c;
    HOB_ASSERT(uv_signal_init(loop, &c->on_death) == 0 && uv_timer_init(loop, &c->again) == 0);
    HOB_ASSERT(uv_signal_start(&c->on_death, on_sigchld, SIGCHLD) == 0);
    c->is_watched = true;
    on_sigchld(&c->on_death, SIGCHLD); /* it may have died before we looked */
}

void child_let_go(struct child *c)
{
    c->is_let_go = true;
    (void)uv_timer_stop(&c->again);
}

static bool reap_within(struct child *c, unsigned ms)
{
    for (uint64_t deadline = hob_now_ms() + ms;;) {
        int status;
        pid_t got = waitpid(c->pid, &status, WNOHANG);
        if (got == c->pid || (got < 0 && errno == ECHILD))
            return true;
        if (hob_now_ms() >= deadline)
            return false;
        (void)usleep(2000);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;
    if (handle == (uv_handle_t *)&c->on_death)
        uv_close((uv_handle_t *)&c->again, on_handle_closed);
    else
        free(c);
}

void child_stop(struct child *c, unsigned grace_ms)
{
    if (!c)
        return;
    if (c->pid > 0) {
        (void)kill(c->pid, SIGTERM);
        if (!reap_within(c, grace_ms)) {
            (void)kill(c->pid, SIGKILL);
            (void)reap_within(c, 2000);
        }
        c->pid = 0;
    }
    (void)close(c->program_fd);
    if (c->is_watched)
        uv_close((uv_handle_t *)&c->on_death, on_handle_closed);
    else
        free(c);
}
