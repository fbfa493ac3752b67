/* hob-launcher: options, and the guard.
 *
 *   parse      the options, a table
 *   sweep      what an earlier run under the same cgroup name left
 *   listen     at the socket; only uid N may connect
 *   guard      STARTING -> SERVING -> (worker dies) SWEEPING -> back-off -> STARTING
 *              SIGTERM or the lifeline's end: ENDING -> worker ends its sandboxes -> sweep -> exit 0
 *
 * The guard is what survives: only root could start a launcher again, so it starts the worker again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/caps.h"
#include "sandbox/launcher.h"
#include "sandbox/rlimits.h"
#include "sandbox/userns.h"

#include "base/banned.h"

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 5000, STABLE_MS = 10000, SWEEP_MS = 2000, END_MS = 7000 };
enum { EXIT_USAGE = 2 };

/* --- options ------------------------------------------------------------------------------------------------------- */
static const struct option_row {
    const char *name, *value, *help;
    size_t offset;
    enum { TEXT, UID, FD } kind;
    bool is_needed;
} option_rows[] = {
#define ROW(n, v, field, kind, needed, help)                                                                 \
    {                                                                                                        \
        "--" n, v, help, offsetof(struct launcher_options, field), kind, needed                              \
    }
    ROW("socket", "PATH", socket, TEXT, true, "where to listen (SOCK_SEQPACKET)"),
    ROW("uid", "N", uid, UID, true, "the only uid that is served"),
    ROW("code", "DIR", code, TEXT, true, "the versions' folders, by digest"),
    ROW("runtimes", "DIR", runtimes, TEXT, true, "the runtimes' folders, by name"),
    ROW("init", "PATH", init, TEXT, true, "the hob-init binary"),
    ROW("unpacker", "PATH", unpacker, TEXT, false, "the binary shown at /hob/unpack to runtime \"unpack\""),
    ROW("lifeline", "FD", lifeline, FD, false, "a pipe: at its end, end everything"),
    ROW("cgroup", "NAME", cgroup, TEXT, false,
        "folder hob-NAME in the cgroups (default: from the socket's path)"),
    ROW("cgroups", "auto|v1|v2|none", cgroups, TEXT, false,
        "which cgroup hierarchies to use (default: auto)"),
#undef ROW
};

static int usage(const char *why, const char *what)
{
    (void)fprintf(stderr, "hob-launcher: %s '%s'\nusage: hob-launcher OPTIONS\n", why, what);
    for (size_t i = 0; i < HOB_COUNT(option_rows); i++)
        (void)fprintf(stderr, "  %-11s %-16s %s%s\n", option_rows[i].name, option_rows[i].value,
                      option_rows[i].help, option_rows[i].is_needed ? "; needed" : "");
    return EXIT_USAGE;
}

static bool option_set(struct launcher_options *o, const struct option_row *row, const char *value)
{
    void *field = (char *)o + row->offset;
    uint64_t number = 0;
    if (row->kind == TEXT) {
        memcpy(field, &value, sizeof value);
        return value[0] != '\0';
    }
    if (!hob_str_u64(hob_str(value), &number) || number > INT32_MAX)
        return false;
    int narrow = (int)number; /* the same size and, in this range, the same bits for uid and descriptor */
    memcpy(field, &narrow, sizeof narrow);
    return row->kind == UID || fcntl(narrow, F_SETFD, FD_CLOEXEC) == 0;
}

static int options_parse(struct launcher_options *o, int argc, char **argv)
{
    bool has[HOB_COUNT(option_rows)] = {false};
    for (int i = 1; i < argc; i += 2) {
        size_t row = 0;
        while (row < HOB_COUNT(option_rows) && strcmp(option_rows[row].name, argv[i]) != 0)
            row++;
        if (row == HOB_COUNT(option_rows))
            return usage("unknown option", argv[i]);
        if (i + 1 == argc || !option_set(o, &option_rows[row], argv[i + 1]))
            return usage("no usable value for", argv[i]);
        has[row] = true;
    }
    for (size_t row = 0; row < HOB_COUNT(option_rows); row++)
        if (option_rows[row].is_needed && !has[row])
            return usage("missing option", option_rows[row].name);
    return 0;
}

/* --- the worker's start ---------------------------------------------------------------------------------------------- */
static int open_or_die(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    hob_log(HOB_LOG_ERROR, "launcher.open", "path=%s error=\"%s\"", path, hob_errno_text(errno));
    _exit(1);
}

static void signals_default(void)
{
    for (int sig = 1; sig < NSIG; sig++) /* what we were started with would be inherited through every exec */
        if (sig != SIGKILL && sig != SIGSTOP)
            (void)signal(sig, SIG_DFL);
}

HOB_NORETURN static void worker(struct launcher *l, int listener, int ready)
{
    signals_default();
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)umask(077);
    rlimits_worker();
    int null = open_or_die("/dev/null", O_RDWR);
    if (fcntl(3, F_GETFD) < 0 && dup2(null, 3) < 0) /* 3 must stay taken: a sandbox's channel becomes it */
        _exit(1);
    l->null = fcntl(null, F_DUPFD_CLOEXEC, 10);
    l->host_mnt = open_or_die("/proc/self/ns/mnt", O_RDONLY);
    if (unshare(CLONE_NEWNET) <
        0) { /* the worker needs no network, and rootless could not come back to the host's */
        hob_log(HOB_LOG_ERROR, "launcher.netns", "error=\"%s\"", hob_errno_text(errno));
        _exit(1);
    }
    l->own_net = open_or_die("/proc/self/ns/net", O_RDONLY);
    l->code = open_or_die(l->options->code, O_PATH | O_DIRECTORY);
    l->proc = open_or_die("/proc", O_PATH | O_DIRECTORY);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        _exit(1);
    l->in = fcntl(pair[0], F_DUPFD_CLOEXEC, 10); /* high: 0 to 4 are a sandbox's own */
    l->out = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
    (void)close(pair[0]);
    (void)close(pair[1]);
    for (size_t i = 0; i < HOB_COUNT(l->slots); i++)
        if ((l->slots[i] = fcntl(null, F_DUPFD_CLOEXEC, 10)) < 0)
            _exit(1);
    l->report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    l->uid_generations = l->is_rootless ? LAUNCHER_UID_GENERATIONS_ROOTLESS : LAUNCHER_UID_GENERATIONS;
    if (l->null < 0 || l->in < 0 || l->out < 0 || l->report == MAP_FAILED || caps_worker() < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        hob_log(HOB_LOG_ERROR, "launcher.privileges", "error=\"%s\"", hob_errno_text(errno));
        _exit(1);
    }
    if (write(ready, "r", 1) != 1)
        _exit(1);
    (void)close(ready);
    l->shelf.maker = netns_maker_start(l->own_net);
    _exit(server_run(l, listener));
}

static pid_t worker_start(struct launcher *l, int listener, int ready)
{
    struct hob_err err = {0};
    pid_t pid;
    l->is_rootless = geteuid() != 0;
    l->has_uid_range = !l->is_rootless;
    pid = l->is_rootless ? userns_fork(&l->has_uid_range, &err) : fork();
    if (pid == 0)
        worker(l, listener, ready);
    if (pid < 0)
        hob_log(HOB_LOG_ERROR, "launcher.start", "error=\"%s\"", err.code ? err.msg : hob_errno_text(errno));
    return pid;
}

/* --- the guard -------------------------------------------------------------------------------------------------------- */
struct guard {
    struct launcher launcher;
    int listener, signals, lifeline;
    bool is_ending, was_ready;
};

/* Sleeps until something is to be looked at; notes the end of the lifeline, and signals that mean it. */
static void guard_wait(struct guard *g, int wait_ms)
{
    struct signalfd_siginfo info;
    struct pollfd fds[] = {{.fd = g->signals, .events = POLLIN}, {.fd = g->is_ending ? -1 : g->lifeline}};
    if (poll(fds, HOB_COUNT(fds), wait_ms) <= 0)
        return;
    while (read(g->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD)
            g->is_ending = true;
    if (fds[1].revents)
        g->is_ending = true;
}

/* From start to end of one worker. Returns its wait status, or -1 when there was none. */
static int guard_worker(struct guard *g)
{
    int ready[2], status = -1;
    char byte;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = worker_start(&g->launcher, g->listener, ready[1]);
    (void)close(ready[1]);
    if (pid > 0 && read(ready[0], &byte, 1) == 1 && !g->was_ready) {
        g->was_ready = true;
        (void)puts("ready");
        (void)fflush(stdout);
    }
    (void)close(ready[0]);
    uint64_t kill_at_ms = 0;
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        guard_wait(g, g->is_ending ? 100 : -1);
        if (g->is_ending && !kill_at_ms) {
            kill_at_ms = hob_now_ms() + END_MS;
            (void)kill(pid, SIGTERM);
        } else if (g->is_ending && hob_now_ms() >= kill_at_ms)
            (void)kill(pid, SIGKILL);
    }
    return status;
}

static int guard_run(struct guard *g)
{
    unsigned backoff_ms = BACKOFF_MIN_MS;
    for (;;) {
        uint64_t start_ms = hob_now_ms();
        int status = guard_worker(g);
        unsigned left = cgroups_sweep(&g->launcher.cgroups, SWEEP_MS);
        if (left)
            hob_log(HOB_LOG_WARN, "launcher.sweep", "cgroups_left=%u", left);
        if (g->is_ending || !g->was_ready)
            break;
        hob_log(HOB_LOG_ERROR, "launcher.worker_died", "status=0x%x again_in_ms=%u", (unsigned)status,
                backoff_ms);
        uint64_t until_ms = hob_now_ms() + backoff_ms, now_ms;
        while (!g->is_ending && (now_ms = hob_now_ms()) < until_ms)
            guard_wait(g, (int)(until_ms - now_ms));
        if (g->is_ending)
            break;
        backoff_ms = hob_now_ms() - start_ms > STABLE_MS ? BACKOFF_MIN_MS : backoff_ms * 2;
        backoff_ms = backoff_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms;
    }
    (void)unlink(
        g->launcher.options->socket); /* first: behind the base folder a new launcher may already wait */
    cgroups_remove_base(&g->launcher.cgroups);
    return g->is_ending ? 0 : 1;
}

/* Only one launcher may use a base folder. The one of a daemon that was killed a moment ago still removes it: it is
 * waited for, and what it removed is made again. */
static enum hob_code cgroups_claim(struct cgroups *cg, const char *name, const char *which,
                                   struct hob_err *err)
{
    for (uint64_t until_ms = hob_now_ms() + END_MS;;) {
        if (cgroups_open(cg, name, which, err) != HOB_OK)
            return err->code;
        if (!cg->n || (flock(cg->trees[0].base, LOCK_EX | LOCK_NB) == 0 && cgroups_are_there(cg)))
            return HOB_OK;
        cgroups_close(cg);
        if (hob_now_ms() >= until_ms)
            return hob_fail(err, HOB_E_CONFLICT, "cgroup '%s': another launcher uses it", cg->base_name);
        (void)poll(NULL, 0, 20);
    }
}

static enum hob_code guard_open(struct guard *g, struct launcher_options *o, struct hob_err *err)
{
    char name[16];
    uint32_t hash = 2166136261U; /* FNV-1a: the same folder for the same socket, in every run */
    for (const char *at = o->socket; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619U;
    (void)snprintf(name, sizeof name, "%08x", hash);
    const struct passwd *served = getpwuid(o->uid); /* NOLINT(concurrency-mt-unsafe): no other thread */
    o->gid = served ? served->pw_gid : (unsigned)-1;
    g->launcher.options = o;
    g->lifeline = o->lifeline;
    struct cgroups *cg = &g->launcher.cgroups;
    if (cgroups_claim(cg, o->cgroup ? o->cgroup : name, o->cgroups, err) != HOB_OK)
        return err->code;
    (void)cgroups_sweep(cg, SWEEP_MS);
    if ((g->listener = hob_seqpacket_listen(o->socket, 0600, err)) < 0)
        return err->code;
    if (o->uid != geteuid() && chown(o->socket, o->uid, (gid_t)-1) < 0)
        return hob_fail_errno(err, errno, "giving '%s' to uid %u", o->socket, o->uid);
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigaddset(&mask, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ||
        (g->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return hob_fail_errno(err, errno, "signalfd");
    return HOB_OK;
}

int main(int argc, char **argv)
{
    struct launcher_options options = {.cgroups = "auto", .lifeline = -1};
    static struct guard guard;
    struct hob_err err = {0};
    while (fcntl(STDERR_FILENO, F_GETFD) < 0) /* 0, 1 and 2 must be something */
        if (open("/dev/null", O_RDWR) < 0)    /* NOLINT: these three are meant to be inherited */
            return 1;
    hob_log_init("hob-launcher");
    int bad = options_parse(&options, argc, argv);
    if (bad)
        return bad;
    if (guard_open(&guard, &options, &err) != HOB_OK) {
        hob_log(HOB_LOG_ERROR, "launcher.open", "error=\"%s\"", err.msg);
        return 1;
    }
    return guard_run(&guard);
}
