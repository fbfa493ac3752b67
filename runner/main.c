/* hob-runner: the node agent, and (as `hob-runner unpack`, inside a sandbox) the archive unpacker. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <uv.h>

#include "base/env.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "runner/agent.h"
#include "runner/unpack/unpack.h"

enum { EXIT_USAGE = 2, FILES_MIN = 128 };

static const char usage[] =
    "usage: hob-runner --link PATH --launcher PATH [--node NAME]\n"
    "       hob-runner unpack        archive on stdin, bundle stream on descriptor 3\n"
    "  --link PATH       hobd's socket (HOME/run/runner.sock)\n"
    "  --launcher PATH   hob-launcher's socket (HOME/run/launcher.sock)\n"
    "  --node NAME       this node's name; the host name unless given\n"
    "  --docker HOST     the Docker Engine (unix:///var/run/docker.sock); HOB_DOCKER_CERT_PATH: its TLS folder\n"
    "  --docker-asked    it was asked for: its absence is worth a warning\n"
    "  --home DIR, --runtimes DIR, --init PATH   what its containers are given\n"
    "  --version, --help\n";

#ifdef __SANITIZE_ADDRESS__
/* The leak checker would trace us, which no sandbox allows: the unpacker's leaks are looked for by its unit test. */
static bool is_unpacker;
/* Nor may it touch its limit of core dumps there (sandbox/seccomp_policy.h). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "disable_coredump=0";
}
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_unpacker;
}
#endif

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    agent_stop(handle->data);
    uv_close((uv_handle_t *)handle, NULL);
}

static int run(const struct agent_options *o)
{
    uv_loop_t *loop = uv_default_loop();
    if (!loop) {
        (void)fprintf(stderr, "hob-runner: the event loop cannot be made\n");
        return EXIT_FAILURE;
    }
    struct agent *agent = agent_start(loop, o);
    uv_signal_t term;
    (void)uv_signal_init(loop, &term);
    term.data = agent;
    (void)uv_signal_start(&term, on_signal, SIGTERM);
    uv_unref((uv_handle_t *)&term);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    int code = agent_finish(agent);
    hob_log(HOB_LOG_INFO, "runner.end", "status=%d", code);
    return code;
}

/* Every instance takes some descriptors: as many as the hard limit gives, or HOB_RUNNER_FILES allows. */
static void raise_files(void)
{
    struct rlimit files;
    const char *text = hob_env("HOB_RUNNER_FILES");
    uint64_t most = UINT64_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    if (text && (!hob_str_u64(hob_str(text), &most) || most < FILES_MIN)) {
        hob_log(HOB_LOG_WARN, "runner.files", "HOB_RUNNER_FILES='%.40s': a number, %d at least", text,
                FILES_MIN);
        most = UINT64_MAX;
    }
    files.rlim_cur = files.rlim_max < most ? files.rlim_max : (rlim_t)most;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        hob_log(HOB_LOG_WARN, "runner.files", "the limit of open files cannot be raised to its hard limit");
}

/* 0: go on; else exit with *ret_exit. */
static int read_options(int argc, char **argv, struct agent_options *o, int *ret_exit)
{
    static const struct option options[] = {{"link", required_argument, NULL, 'l'},
                                            {"launcher", required_argument, NULL, 's'},
                                            {"node", required_argument, NULL, 'n'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"docker", required_argument, NULL, 'd'},
                                            {"home", required_argument, NULL, 'H'},
                                            {"runtimes", required_argument, NULL, 'r'},
                                            {"init", required_argument, NULL, 'i'},
                                            {"docker-asked", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    int c;
    *ret_exit = EXIT_USAGE;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet */
    while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
        const char **to = c == 'l'   ? &o->link_path
                          : c == 's' ? &o->launcher_path
                          : c == 'n' ? &o->node
                          : c == 'd' ? &o->docker_host
                          : c == 'H' ? &o->home
                          : c == 'r' ? &o->runtimes_dir
                          : c == 'i' ? &o->init_path
                                     : NULL;
        o->is_docker_asked_for = o->is_docker_asked_for || c == 'a';
        if (to || c == 'a') {
            if (!to)
                continue;
            *to = optarg;
            continue;
        }
        *ret_exit = c == '?' ? EXIT_USAGE : EXIT_SUCCESS;
        (void)fputs(c == 'v' ? "hob-runner " HOB_VERSION "\n" : usage, c == '?' ? stderr : stdout);
        return 1;
    }
    if (o->link_path && o->launcher_path && optind == argc)
        return 0;
    (void)fprintf(stderr, "hob-runner: --link and --launcher are needed, and nothing beside options\n%s",
                  usage);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "unpack") == 0) {
#ifdef __SANITIZE_ADDRESS__
        is_unpacker = true;
#endif
        return unpack_main();
    }
    struct utsname host = {0};
    (void)uname(&host);
    struct agent_options o = {.node = host.nodename,
                              .docker_certs = hob_env("HOB_DOCKER_CERT_PATH"),
                              .docker_build_network = hob_env("HOB_DOCKER_BUILD_NETWORK"),
                              .docker_registries = hob_env("HOB_DOCKER_REGISTRIES")};
    int exit_code;
    if (read_options(argc, argv, &o, &exit_code))
        return exit_code;
    hob_log_init("hob-runner");
    raise_files();
    (void)hob_hash("", 0); /* seeds the hash before anything is in a table */
    (void)signal(SIGPIPE, SIG_IGN);
    return run(&o);
}
