/* A hub on a loop with a real hob-runner and a launcher, and a listener that notes what it hears: for tests of the node. */
#pragma once

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uv.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/node.h"

enum { PATIENCE_MS = 15000, LINES_MAX = 16 };

struct world { /* one hob: its folder, its processes, its hub */
    uv_loop_t loop;
    char dir[64], link[96], launcher[96];
    char bin[256], tests[256];
    pid_t runner_pid, launcher_pid;
    struct node_hub *hub;
    bool is_closed;
};

struct seen { /* what one instance's listener saw */
    unsigned started, failed, exited, lines;
    int channel;
    uint64_t launch_us, dropped;
    struct hob_err err;
    struct node_exit exit;
    char message[256], text[LINES_MAX][256];
    bool is_stderr[LINES_MAX], is_line_after_exit;
};

static void on_started(void *ctx, int channel_fd, uint64_t launch_us)
{
    struct seen *s = ctx;
    s->started++;
    s->channel = channel_fd;
    s->launch_us = launch_us;
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    struct seen *s = ctx;
    s->failed++;
    s->err = *err;
}

static void on_exited(void *ctx, const struct node_exit *exit)
{
    struct seen *s = ctx;
    s->exited++;
    s->exit = *exit;
    (void)snprintf(s->message, sizeof s->message, "%s", exit->message);
    if (s->channel >= 0)
        (void)close(s->channel);
    s->channel = -1;
}

static void on_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    struct seen *s = ctx;
    s->is_line_after_exit = s->is_line_after_exit || s->exited;
    s->dropped += dropped;
    if (s->lines < LINES_MAX) {
        (void)snprintf(s->text[s->lines], sizeof s->text[0], "%.*s", HOB_STR_ARG(text));
        s->is_stderr[s->lines] = is_stderr;
    }
    s->lines++;
}

static const struct node_events events = {
    .started = on_started, .failed = on_failed, .exited = on_exited, .log_line = on_line};

/* ---- the world ---- */

static const struct rlimit *spawn_files; /* for the next one; NULL: as we have it */

static pid_t spawn(char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        if (spawn_files && setrlimit(RLIMIT_NOFILE, spawn_files) < 0)
            _exit(125);
        (void)execv(argv[0], argv);
        _exit(126);
    }
    return pid;
}

/* With code and runtimes of its own below w->dir. */
HOB_UNUSED static void real_launcher_start(struct world *w)
{
    char program[300], init[300], unpacker[300], code[96], runtimes[96], uid[16], cgroup[32];
    (void)snprintf(program, sizeof program, "%s/hob-launcher", w->bin);
    (void)snprintf(init, sizeof init, "%s/hob-init", w->bin);
    (void)snprintf(unpacker, sizeof unpacker, "%s/hob-runner", w->bin);
    (void)snprintf(code, sizeof code, "%s/code", w->dir);
    (void)snprintf(runtimes, sizeof runtimes, "%s/runtimes", w->dir);
    (void)snprintf(uid, sizeof uid, "%u", getuid());
    (void)snprintf(cgroup, sizeof cgroup, "node-test-%d", (int)getpid());
    char *const argv[] = {program,  (char[]){"--socket"}, w->launcher, (char[]){"--uid"},
                          uid,      (char[]){"--code"},   code,        (char[]){"--runtimes"},
                          runtimes, (char[]){"--init"},   init,        (char[]){"--unpacker"},
                          unpacker, (char[]){"--cgroup"}, cgroup,      NULL};
    w->launcher_pid = spawn(argv);
}

HOB_UNUSED static void launcher_start(struct world *w)
{
    char fake[300], init[300];
    (void)snprintf(fake, sizeof fake, "%s/fake_launcher", w->tests);
    (void)snprintf(init, sizeof init, "%s/hob-init", w->bin);
    char *const argv[] = {fake, w->launcher, init, NULL};
    w->launcher_pid = spawn(argv);
}

HOB_UNUSED static void runner_start(struct world *w)
{
    char runner[300];
    (void)snprintf(runner, sizeof runner, "%s/hob-runner", w->bin);
    char *const argv[] = {runner,      (char[]){"--link"}, w->link,        (char[]){"--launcher"},
                          w->launcher, (char[]){"--node"}, (char[]){"n1"}, NULL};
    w->runner_pid = spawn(argv);
}

HOB_UNUSED static void runner_start_limited(struct world *w, const struct rlimit *files)
{
    spawn_files = files;
    runner_start(w);
    spawn_files = NULL;
}

static void end(pid_t *pid, int sig)
{
    int status;
    if (*pid <= 0)
        return;
    (void)kill(*pid, sig);
    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    *pid = 0;
}

/* Turns the loop until `*what` reaches `n`; fails when that takes too long. */
static void turn_until(struct world *w, const volatile unsigned *what, unsigned n)
{
    uint64_t until = hob_now_ms() + PATIENCE_MS;
    while (*what < n && hob_now_ms() < until) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
    assert_true(*what >= n);
}

HOB_UNUSED static void turn_for(struct world *w, unsigned ms)
{
    for (uint64_t until = hob_now_ms() + ms; hob_now_ms() < until;) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
}

static void wait_runner(struct world *w, bool is_there)
{
    uint64_t until = hob_now_ms() + PATIENCE_MS;
    while (node_hub_has_runner(w->hub) != is_there && hob_now_ms() < until) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
    assert_int_equal(node_hub_has_runner(w->hub), is_there);
}

static struct world *world_make(void)
{
    struct world *w = hob_new(struct world);
    char self[200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0'; /* build/tests/controller */
    (void)snprintf(w->tests, sizeof w->tests, "%s/..", self);
    (void)snprintf(w->bin, sizeof w->bin, "%s/../../bin", self);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/hob-node-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->link, sizeof w->link, "%s/runner.sock", w->dir);
    (void)snprintf(w->launcher, sizeof w->launcher, "%s/launcher.sock", w->dir);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    struct hob_err err;
    w->hub = node_hub_start(&w->loop, w->link, getuid(), &err);
    assert_non_null(w->hub);
    return w;
}

HOB_UNUSED static int world_up(void **state)
{
    struct world *w = world_make();
    launcher_start(w);
    runner_start(w);
    wait_runner(w, true);
    *state = w;
    return 0;
}

static void on_hub_closed(void *ctx)
{
    struct world *w = ctx;
    w->is_closed = true;
    w->hub = NULL;
}

HOB_UNUSED static int world_down(void **state)
{
    struct world *w = *state;
    struct hob_err err;
    if (w->hub)
        node_hub_close(w->hub, on_hub_closed, w);
    while (uv_run(&w->loop, UV_RUN_DEFAULT))
        ;
    assert_true(w->is_closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    end(&w->runner_pid, SIGKILL);
    end(&w->launcher_pid, SIGTERM);
    assert_ok(hob_remove_tree(w->dir, &err));
    free(w);
    return 0;
}

static uint64_t start_argv(struct world *w, struct seen *s, const char *runtime, const char *const *argv,
                           int stdin_fd)
{
    const char *const env[] = {"PATH=/usr/bin:/bin", "GREETING=hello", NULL};
    struct node_start_spec spec = {.instance = hob_id64(),
                                   .app = "shop",
                                   .function = "f",
                                   .runtime = runtime,
                                   .digest = "",
                                   .version = 1,
                                   .argv = argv,
                                   .env = env,
                                   .memory_mb = 128,
                                   .pids_max = 64,
                                   .tmp_bytes = 1 << 20,
                                   .stdin_fd = stdin_fd};
    *s = (struct seen){.channel = -1};
    node_start(w->hub, &spec, &events, s);
    assert_int_equal(s->started + s->failed, 0); /* never from inside */
    return spec.instance;
}

HOB_UNUSED static uint64_t start_as(struct world *w, struct seen *s, const char *runtime, const char *script,
                                    int stdin_fd)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    return start_argv(w, s, runtime, argv, stdin_fd);
}

HOB_UNUSED static uint64_t start(struct world *w, struct seen *s, const char *script)
{
    return start_as(w, s, "node", script, -1);
}

HOB_UNUSED static unsigned count_fds(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}
