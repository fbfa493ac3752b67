/* The data plane without a sandbox: server, gateway, dispatcher and channels as in hobd, and one runtime process that is
 * simply spawned, so that what a request costs here can be profiled alone.
 * Usage: data_plane PORT CONCURRENCY DIR ENTRY PROGRAM [ARGS...]    (then: wrk http://127.0.0.1:PORT/fn/bench/hello) */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/gateway/gateway.h"
#include "base/log.h"
#include "base/mem.h"

static uv_loop_t *loop;
static struct function_config config = {
    .memory_mb = 128,
    .timeout_ms = 10000,
    .queue_timeout_ms = 5000,
    .init_timeout_ms = 10000,
    .queue_max = 10000,
    .scale_max = 1,
};
static char app_name[] = "bench", function_name[] = "hello", runtime_name[] = "spawned";
static struct function function = {.name = function_name};
static struct version version = {
    .app_name = app_name, .function_name = function_name, .number = 1, .refs = 1};
static const char *dir;
static char **program;
static struct gateway *gateway;

struct spawned {
    uv_timer_t timer;
    const struct node_events *events;
    void *ctx;
    pid_t pid;
    int fd;
};

/* ---- what the rest of the controller would do ---- */

bool node_hub_has_runner(const struct node_hub *h)
{
    (void)h;
    return true;
}

static void on_spawned(uv_timer_t *t)
{
    struct spawned *s = t->data;
    s->events->started(s->ctx, s->fd, 0);
}

void node_start(struct node_hub *h, const struct node_start_spec *spec, const struct node_events *events,
                void *ctx)
{
    int pair[2];
    (void)h, (void)spec;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        exit(1);
    struct spawned *s = hob_new(struct spawned);
    *s = (struct spawned){.events = events, .ctx = ctx, .fd = pair[0]};
    s->pid = fork();
    if (s->pid == 0) {
        if (chdir(dir) != 0 || dup2(pair[1], 3) < 0)
            _exit(127);
        if (pair[1] == 3) /* dup2 onto itself keeps close-on-exec */
            (void)fcntl(3, F_SETFD, 0);
        execv(program[0], program);
        _exit(127);
    }
    (void)close(pair[1]);
    s->timer.data = s;
    if (uv_timer_init(loop, &s->timer) != 0 || uv_timer_start(&s->timer, on_spawned, 0, 0) != 0)
        exit(1);
}

bool node_can_freeze(const struct node_hub *h)
{
    (void)h;
    return false;
}

void node_freeze(struct node_hub *h, uint64_t instance)
{
    (void)h, (void)instance;
}

void node_thaw(struct node_hub *h, uint64_t instance)
{
    (void)h, (void)instance;
}

void node_stop(struct node_hub *h, uint64_t instance, uint32_t grace_ms)
{
    (void)h, (void)instance, (void)grace_ms;
    fprintf(stderr, "the instance is stopped\n");
    exit(1);
}

void logs_append(struct logs *l, const char *app, const char *fn, const struct log_line *line)
{
    (void)l, (void)app, (void)fn;
    if (line->level >= HOB_CHLOG_WARN)
        fprintf(stderr, "%s: %.*s\n", line->stream, HOB_STR_ARG(line->text));
}

enum hob_code vault_get(struct vault *v, const char *app, const char *name, struct hob_buf *out,
                        struct hob_err *err)
{
    (void)v, (void)app, (void)out;
    return hob_fail(err, HOB_E_NOT_FOUND, "no secret %s", name);
}

const struct runtime_info *runtimes_need(const struct runtimes *r, const char *name, struct hob_err *err)
{
    static const struct runtime_info rt;
    (void)r, (void)name, (void)err;
    return &rt;
}

char **runtime_argv(const struct runtime_info *rt, const struct function_config *f)
{
    (void)rt, (void)f;
    return hob_new_n(char *, 1);
}

void runtime_argv_free(char **argv)
{
    free(argv);
}

void catalog_listen(struct catalog *c, catalog_event_cb cb, void *ctx)
{
    (void)c, (void)cb, (void)ctx;
}

void catalog_listen_replace(struct catalog *c, catalog_replace_cb cb, void *ctx)
{
    (void)c, (void)cb, (void)ctx;
}

const struct function_config *version_config(struct version *v)
{
    return v->config;
}

bool version_is_named(const struct version *v)
{
    return v->function != NULL;
}

struct version *version_ref(struct version *v)
{
    v->refs++;
    return v;
}

void version_unref(struct version *v)
{
    v->refs--;
}

struct version *catalog_resolve(struct catalog *c, struct hob_str app, struct hob_str fn,
                                struct hob_str qualifier, struct hob_err *err)
{
    (void)c, (void)app, (void)fn, (void)qualifier, (void)err;
    return &version;
}

bool catalog_route(struct catalog *c, struct hob_str host, struct hob_str method, struct hob_str path,
                   struct route_match *ret_match)
{
    (void)c, (void)host, (void)method, (void)path, (void)ret_match;
    return false;
}

/* ---- the bench ---- */

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    gateway_handle(gateway, x);
}

int main(int argc, char **argv)
{
    struct hob_err err;
    if (argc < 6) {
        fprintf(stderr, "usage: data_plane PORT CONCURRENCY DIR ENTRY PROGRAM [ARGS...]\n");
        return 2;
    }
    loop = uv_default_loop();
    (void)signal(SIGCHLD, SIG_IGN);
    config.name = function_name;
    config.runtime = runtime_name;
    config.concurrency = (uint32_t)strtoul(argv[2], NULL, 10);
    config.entry = argv[4];
    dir = argv[3];
    program = argv + 5;
    version.config = &config;
    version.function = &function;
    function.live = function.versions = &version;
    struct dispatcher *d = dispatcher_start(&(struct dispatcher_options){.loop = loop});
    gateway = gateway_new(&(struct gateway_options){.dispatcher = d});
    struct http_server_options options = {
        .host = "127.0.0.1",
        .port = (uint16_t)strtoul(argv[1], NULL, 10),
        .on_request = on_request,
        .server_name = "hob",
    };
    if (!http_server_start(loop, &options, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
