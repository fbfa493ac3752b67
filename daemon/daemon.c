#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "api/control/control.h"
#include "api/front.h"
#include "api/gateway/gateway.h"
#include "api/server/http.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/admin.h"
#include "controller/deploy.h"
#include "controller/image_gc.h"
#include "controller/invocation.h"
#include "controller/tokens.h"
#include "daemon/backend.h"
#include "daemon/child.h"
#include "daemon/home.h"
#include "daemon/privileges.h"

enum {
    FILES_WANTED = 100000,
    FREEZE_MS = 100,
    MEMORY_MB_MAX = 64 * 1024 * 1024,
    FREEZE_MS_MAX = 3600000,
    UPKEEP_MS_MAX = 3600000,
    GC_SECONDS = 3600,
    GC_SECONDS_MAX = 30 * 24 * 3600
};
enum {
    DRAIN_MS = 10000,
    RUNNER_WAIT_MS = 10000,
    RUNNER_POLL_MS = 2,
    CHILD_GRACE_MS = 5000,
    BACKEND_GRACE_MS = 5000,
    PATHS = 8
};

enum daemon_state { D_OPENING, D_STARTING, D_READY, D_DRAINING, D_CLOSING };

struct daemon {
    const struct daemon_options *o;
    enum daemon_state state;
    int exit_code;
    struct identity identity;
    struct home home;
    int lifeline[2]; /* the launcher reads [0]; our end closes with us */
    uv_loop_t loop;
    uv_signal_t on_term, on_int;
    uv_timer_t ready_timer;
    uint64_t ready_deadline_ms;
    struct child *launcher, *runner;
    int runner_program; /* opened before privileges go: its folder may be closed to the user we become */
    char *launcher_argv[20], *runner_argv[16];
    /* the parts, in the order of their making */
    struct runtimes *runtimes;
    struct store *store;
    struct vault *vault;
    struct tokens *tokens;
    struct code_store *code;
    struct catalog *catalog;
    struct logs *logs;
    struct node_hub *nodes;
    struct dispatcher *dispatcher;
    struct deployer *deployer;
    struct image_gc *image_gc;
    struct admin *admin;
    struct backend_parts backend;
    struct gateway *gateway;
    struct control *control;
    struct front *front;
    struct http_server *server;
};

static void drain(struct daemon *d);

/* --- children ---------------------------------------------------------------------------------------------------- */

static char *program(const struct daemon *d, const char *name)
{
    return hob_asprintf("%s/%s", d->o->programs, name);
}

static int open_program(const struct daemon *d, const char *name, struct hob_err *err)
{
    hob_auto_free char *path = program(d, name);
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        (void)hob_fail_errno(err, errno, "the program %s", path);
    return fd;
}

/* One argument vector, owned by the daemon: option, value, option, value, ... */
static void put_arguments(char **argv, size_t max, char *const *values)
{
    size_t n = 0;
    for (; values[n]; n++) {
        HOB_ASSERT(n + 1 < max);
        argv[n] = values[n];
    }
    argv[n] = NULL;
}

static enum hob_code start_launcher(struct daemon *d, struct hob_err *err)
{
    if (pipe2(d->lifeline, O_CLOEXEC) < 0)
        return hob_fail_errno(err, errno, "the launcher's life line");
    /* One cgroup a home: a second daemon on the machine must not sweep this one's instances. */
    char digest[HOB_DIGEST_CHARS + 1];
    hob_sha256_hex(d->home.dir, strlen(d->home.dir), digest);
    char *const values[] = {hob_strdup("hob-launcher"),
                            hob_strdup("--socket"),
                            home_path(&d->home, "run/launcher.sock"),
                            hob_strdup("--uid"),
                            hob_asprintf("%u", (unsigned)d->identity.uid),
                            hob_strdup("--code"),
                            home_path(&d->home, "code"),
                            hob_strdup("--runtimes"),
                            hob_strdup(d->o->runtimes),
                            hob_strdup("--init"),
                            program(d, "hob-init"),
                            hob_strdup("--unpacker"),
                            program(d, "hob-runner"),
                            hob_strdup("--cgroup"),
                            hob_asprintf("hob-%.12s", digest),
                            hob_strdup("--lifeline"),
                            hob_strdup("3"),
                            NULL};
    put_arguments(d->launcher_argv, HOB_COUNT(d->launcher_argv), values);
    int program_fd = open_program(d, "hob-launcher", err);
    if (program_fd < 0)
        return err->code;
    struct child_spec spec = {.name = "hob-launcher",
                              .program_fd = program_fd,
                              .argv = d->launcher_argv,
                              .keep_fd = d->lifeline[0],
                              .has_ready_line = true};
    d->launcher = child_start(&spec, err);
    return d->launcher ? HOB_OK : err->code;
}

static enum hob_code start_runner(struct daemon *d, struct hob_err *err)
{
    char *const values[] = {hob_strdup("hob-runner"),
                            hob_strdup("--link"),
                            home_path(&d->home, "run/runner.sock"),
                            hob_strdup("--launcher"),
                            home_path(&d->home, "run/launcher.sock"),
                            hob_strdup("--home"),
                            hob_strdup(d->home.dir),
                            hob_strdup("--runtimes"),
                            hob_strdup(d->o->runtimes),
                            hob_strdup("--init"),
                            program(d, "hob-init"),
                            d->o->docker ? hob_strdup("--docker") : NULL,
                            d->o->docker ? hob_strdup(d->o->docker) : NULL,
                            d->o->docker && d->o->is_docker_asked_for ? hob_strdup("--docker-asked") : NULL,
                            NULL};
    put_arguments(d->runner_argv, HOB_COUNT(d->runner_argv), values);
    struct child_spec spec = {.name = "hob-runner",
                              .program_fd = hob_steal_fd(&d->runner_program),
                              .argv = d->runner_argv,
                              .keep_fd = -1};
    d->runner = child_start(&spec, err);
    return d->runner ? HOB_OK : err->code;
}

static void on_child_lost(void *ctx, struct child *c)
{
    struct daemon *d = ctx;
    if (d->state >= D_DRAINING)
        return;
    hob_log(HOB_LOG_ERROR, "daemon.child_lost",
            "name=%s effect=\"shutting down: only root can start it again\"", child_name(c));
    d->exit_code = 1;
    drain(d);
}

/* --- OPENING ------------------------------------------------------------------------------------------------------ */

/* For ten thousand instances (the runner, which inherits it, takes six each while they start) root asks for more than
 * the usual hard limit. What cannot be raised is reported by doctor. */
static void raise_files(void)
{
    struct rlimit files, more = {FILES_WANTED, FILES_WANTED};
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    if (files.rlim_max < FILES_WANTED && setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* Everything that needs the rights we started with; afterwards they are gone. */
static enum hob_code open_privileged(struct daemon *d, struct hob_err *err)
{
    enum hob_code rc = identity_find(&d->identity, d->o->user, err);
    if (rc == HOB_OK)
        rc = home_open(&d->home, d->o->home, d->identity.uid, d->identity.gid, err);
    if (rc != HOB_OK)
        return rc;
    d->runtimes = runtimes_load(d->o->runtimes, err);
    if (!d->runtimes)
        return err->code;
    d->runner_program = open_program(d, "hob-runner", err);
    if (d->runner_program < 0)
        return err->code;
    raise_files();
    return start_launcher(d, err);
}

static enum hob_code open_parts(struct daemon *d, struct hob_err *err)
{
    hob_auto_free char *db = home_path(&d->home, "hob.db"), *code = home_path(&d->home, "code"),
                       *logs = home_path(&d->home, "logs"), *token = home_path(&d->home, "admin.token"),
                       *key = home_path(&d->home, "master.key"),
                       *link = home_path(&d->home, "run/runner.sock");
    if (!(d->store = store_open(&d->loop, db, err)) || !(d->vault = vault_open(d->store, key, err)) ||
        !(d->tokens = tokens_open(d->store, token, err)) || !(d->code = code_store_open(code, err)))
        return err->code;
    d->catalog = catalog_new();
    enum hob_code rc = catalog_load(d->catalog, d->store, d->code, err);
    if (rc != HOB_OK)
        return rc;
    if (!(d->logs = logs_start(&d->loop, logs, err)) ||
        !(d->nodes = node_hub_start(&d->loop, link, d->identity.uid, err)))
        return err->code;
    return HOB_OK;
}

static void function_removed(void *ctx, const char *app, const char *function)
{
    struct daemon *d = ctx;
    logs_remove(d->logs, app, function);
}

/* A number in the environment; what is none is told and not taken. */
static uint32_t env_number(const char *name, uint32_t fallback, uint32_t max)
{
    const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): nothing changes the environment */
    uint64_t v = fallback;
    if (text && (!hob_str_u64(hob_str(text), &v) || v > max)) {
        hob_log(HOB_LOG_WARN, "daemon.environment", "%s='%.40s': a number from 0 to %u", name, text, max);
        v = fallback;
    }
    return (uint32_t)v;
}

static void wire(struct daemon *d)
{
    d->dispatcher = dispatcher_start(
        &(struct dispatcher_options){.loop = &d->loop,
                                     .catalog = d->catalog,
                                     .nodes = d->nodes,
                                     .logs = d->logs,
                                     .vault = d->vault,
                                     .runtimes = d->runtimes,
                                     .store = d->store,
                                     .freeze_ms = env_number("HOB_FREEZE_MS", FREEZE_MS, FREEZE_MS_MAX),
                                     .memory_limit_mb = env_number("HOB_MEMORY_MB", 0, MEMORY_MB_MAX)});
    dispatcher_warm(d->dispatcher);
    d->deployer = deployer_new(&(struct deployer_options){.loop = &d->loop,
                                                          .store = d->store,
                                                          .catalog = d->catalog,
                                                          .code = d->code,
                                                          .runtimes = d->runtimes,
                                                          .nodes = d->nodes,
                                                          .vault = d->vault,
                                                          .dispatcher = d->dispatcher});
    d->image_gc = image_gc_new(&(struct image_gc_options){
        .loop = &d->loop,
        .catalog = d->catalog,
        .deployer = d->deployer,
        .nodes = d->nodes,
        .every_s = env_number("HOB_DOCKER_GC_SECONDS", GC_SECONDS, GC_SECONDS_MAX)});
    d->admin = admin_new(&(struct admin_options){.loop = &d->loop,
                                                 .store = d->store,
                                                 .catalog = d->catalog,
                                                 .code = d->code,
                                                 .vault = d->vault,
                                                 .removed = function_removed,
                                                 .removed_ctx = d});
    d->gateway = gateway_new(&(struct gateway_options){.catalog = d->catalog, .dispatcher = d->dispatcher});
}

static enum hob_code open_faces(struct daemon *d, struct hob_err *err)
{
    enum hob_code rc = backend_parts_open(
        &d->backend,
        &(struct backend_parts_options){.loop = &d->loop,
                                        .home = &d->home,
                                        .store = d->store,
                                        .catalog = d->catalog,
                                        .dispatcher = d->dispatcher,
                                        .vault = d->vault,
                                        .may_reach_private = d->o->may_reach_private,
                                        .upkeep_ms = env_number("HOB_UPKEEP_MS", 0, UPKEEP_MS_MAX)},
        err);
    if (rc != HOB_OK)
        return rc;
    d->control = control_new(&(struct control_options){.loop = &d->loop,
                                                       .home = d->home.dir,
                                                       .store = d->store,
                                                       .catalog = d->catalog,
                                                       .dispatcher = d->dispatcher,
                                                       .deployer = d->deployer,
                                                       .admin = d->admin,
                                                       .vault = d->vault,
                                                       .tokens = d->tokens,
                                                       .logs = d->logs,
                                                       .nodes = d->nodes,
                                                       .image_gc = d->image_gc,
                                                       .runtimes = d->runtimes,
                                                       .gateway = d->gateway,
                                                       .backends = d->backend.apps,
                                                       .dbs = d->backend.dbs,
                                                       .sqls = d->backend.sqls,
                                                       .backend = d->backend.backend});
    d->front = front_new(&(struct front_options){.control = d->control,
                                                 .gateway = d->gateway,
                                                 .catalog = d->catalog,
                                                 .dispatcher = d->dispatcher,
                                                 .nodes = d->nodes,
                                                 .store = d->store,
                                                 .logs = d->logs,
                                                 .parse = d->backend.face,
                                                 .tokens = d->tokens});
    d->server = http_server_start(&d->loop,
                                  &(struct http_server_options){.host = d->o->host,
                                                                .port = d->o->port,
                                                                .on_request = front_handle,
                                                                .ctx = d->front,
                                                                .server_name = "hob"},
                                  err);
    if (!d->server)
        return err->code;
    front_watch(d->front, d->server);
    return HOB_OK;
}

/* --- STARTING -> READY ---------------------------------------------------------------------------------------------- */

static void say_ready(struct daemon *d)
{
    bool is_v6 = strchr(d->o->host, ':') != NULL;
    d->state = D_READY;
    printf("hobd ready on http://%s%s%s:%u home=%s\n", is_v6 ? "[" : "", d->o->host, is_v6 ? "]" : "",
           (unsigned)http_server_port(d->server), d->home.dir);
    (void)fflush(stdout);
    hob_log(HOB_LOG_INFO, "daemon.ready", "port=%u home=%s uid=%u runner=%s",
            (unsigned)http_server_port(d->server), d->home.dir, (unsigned)geteuid(),
            node_hub_has_runner(d->nodes) ? "yes" : "no");
}

static void on_ready_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    if (d->state != D_STARTING)
        return;
    bool is_late = hob_now_ms() > d->ready_deadline_ms;
    if (!node_hub_has_runner(d->nodes) && !is_late)
        return;
    (void)uv_timer_stop(timer);
    say_ready(d);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct daemon *d = handle->data;
    hob_log(HOB_LOG_INFO, "daemon.signal", "signal=%d", signum);
    if (d->state >= D_DRAINING)
        _exit(130); /* asked twice: at once; the launcher's life line ends the instances */
    drain(d);
}

static void start_waiting(struct daemon *d)
{
    d->state = D_STARTING;
    d->on_term.data = d->on_int.data = d->ready_timer.data = d;
    HOB_ASSERT(uv_signal_init(&d->loop, &d->on_term) == 0 && uv_signal_init(&d->loop, &d->on_int) == 0);
    HOB_ASSERT(uv_signal_start(&d->on_term, on_signal, SIGTERM) == 0);
    HOB_ASSERT(uv_signal_start(&d->on_int, on_signal, SIGINT) == 0);
    HOB_ASSERT(uv_timer_init(&d->loop, &d->ready_timer) == 0);
    d->ready_deadline_ms = hob_now_ms() + RUNNER_WAIT_MS;
    HOB_ASSERT(uv_timer_start(&d->ready_timer, on_ready_timer, 0, RUNNER_POLL_MS) == 0);
    /* As root the launcher cannot be started again once our rights are gone. */
    child_watch(d->launcher, &d->loop, false, on_child_lost, d);
    child_watch(d->runner, &d->loop, true, on_child_lost, d);
}

/* --- DRAINING -> CLOSING: the parts go in the reverse order of their making ----------------------------------------- */

static void on_store_closed(void *ctx)
{
    struct daemon *d = ctx;
    d->store = NULL;
    child_stop(d->runner, CHILD_GRACE_MS);
    hob_close_p(&d->lifeline[1]); /* tells the launcher to end */
    child_stop(d->launcher, CHILD_GRACE_MS);
    uv_close((uv_handle_t *)&d->on_term, NULL);
    uv_close((uv_handle_t *)&d->on_int, NULL);
    uv_close((uv_handle_t *)&d->ready_timer, NULL);
}

static void on_logs_closed(void *ctx)
{
    struct daemon *d = ctx;
    d->logs = NULL;
    vault_free(d->vault);
    tokens_free(d->tokens);
    store_close(d->store, on_store_closed, d);
}

static void on_admin_closed(void *ctx)
{
    struct daemon *d = ctx;
    catalog_free(d->catalog);
    code_store_free(d->code);
    logs_close(d->logs, on_logs_closed, d);
}

static void on_nodes_closed(void *ctx)
{
    struct daemon *d = ctx;
    admin_close(d->admin, on_admin_closed, d);
}

static void on_dispatcher_drained(void *ctx)
{
    struct daemon *d = ctx;
    gateway_free(d->gateway);
    node_hub_close(d->nodes, on_nodes_closed, d);
}

static void on_deployer_closed(void *ctx)
{
    struct daemon *d = ctx;
    dispatcher_drain(d->dispatcher, 0, on_dispatcher_drained, d);
}

static void on_backend_closed(void *ctx)
{
    struct daemon *d = ctx;
    image_gc_close(d->image_gc);
    deployer_close(d->deployer, on_deployer_closed, d);
}

static void on_control_closed(void *ctx)
{
    struct daemon *d = ctx;
    front_free(d->front);
    backend_parts_close(&d->backend, BACKEND_GRACE_MS, on_backend_closed, d);
}

static void on_server_drained(void *ctx)
{
    struct daemon *d = ctx;
    d->state = D_CLOSING;
    child_let_go(d->runner); /* it ends by itself when its link closes */
    child_let_go(d->launcher);
    control_close(d->control, on_control_closed, d);
}

static void drain(struct daemon *d)
{
    HOB_ASSERT(d->state < D_DRAINING);
    d->state = D_DRAINING;
    front_drain(d->front);
    http_server_drain(d->server, DRAIN_MS, on_server_drained, d);
}

/* --- door ----------------------------------------------------------------------------------------------------------- */

static enum hob_code open_all(struct daemon *d, struct hob_err *err)
{
    enum hob_code rc = open_privileged(d, err);
    if (rc != HOB_OK)
        return rc;
    if (identity_take(&d->identity) < 0)
        return hob_fail_errno(err, errno, "becoming the user '%s'", d->o->user);
    if (uv_loop_init(&d->loop) != 0)
        return hob_fail(err, HOB_E_INTERNAL, "the event loop could not be made");
    rc = open_parts(d, err);
    if (rc != HOB_OK)
        return rc;
    wire(d);
    if ((rc = open_faces(d, err)) != HOB_OK)
        return rc;
    return start_runner(d, err);
}

int daemon_run(const struct daemon_options *o)
{
    struct daemon d = {.o = o, .lifeline = {-1, -1}, .home = {.lock_fd = -1}, .runner_program = -1};
    struct hob_err err;
    (void)signal(SIGPIPE, SIG_IGN);
    if (open_all(&d, &err) != HOB_OK) {
        fprintf(stderr, "hobd: %s\n", err.msg);
        hob_close_p(&d.lifeline[1]);
        child_stop(d.launcher, CHILD_GRACE_MS);
        return hob_code_info(err.code)->exit_code;
    }
    start_waiting(&d);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&d.loop);
    runtimes_free(d.runtimes);
    hob_close_p(&d.lifeline[0]);
    home_done(&d.home);
    for (char **a = d.launcher_argv; *a; a++)
        free(*a);
    for (char **a = d.runner_argv; *a; a++)
        free(*a);
    return d.exit_code;
}
