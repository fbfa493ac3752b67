#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { SMALL_FILE_MAX = 4096 };
#define CGROUP2_MAGIC 0x63677270

struct report {
    json_t *checks; /* owned by the caller */
    bool has_failed;
};

static void add(struct report *r, const char *status, const char *name, const char *text)
{
    (void)json_array_append_new(r->checks,
                                json_pack("{s:s,s:s,s:s}", "status", status, "name", name, "text", text));
    r->has_failed = r->has_failed || strcmp(status, "fail") == 0;
}

/* The first number of a small file, or `fallback`. */
static long long number_of(const char *path, long long fallback)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, SMALL_FILE_MAX);
    struct hob_err ignored;
    uint64_t v;
    if (hob_read_file(path, &b, &ignored) != HOB_OK)
        return fallback;
    struct hob_str rest, line = hob_str_cut(hob_buf_str(&b), '\n', &rest);
    return hob_str_u64(hob_str_trim(line), &v) ? (long long)v : fallback;
}

/* The kernel ------------------------------------------------------------------------------------------------------ */

static void check_kernel(struct report *r)
{
    struct utsname u;
    char text[200];
    uint64_t major = 0, minor = 0;
    struct hob_str rest;
    (void)uname(&u);
    bool is_read = hob_str_u64(hob_str_cut(hob_str(u.release), '.', &rest), &major) && rest.at &&
                   hob_str_u64(hob_str_n(rest.at, strspn(rest.at, "0123456789")), &minor);
    bool is_new = !is_read || major > 5 || (major == 5 && minor >= 13);
    (void)snprintf(text, sizeof text, "Linux %.60s on %.30s%s", u.release, u.machine,
                   is_new ? "" : "; 5.13 or later is needed (Landlock, pidfd)");
    add(r, is_new ? "ok" : "fail", "kernel", text);
}

/* Tried in a child, since a namespace once entered is not left. */
static bool can_make_user_namespace(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) == 0 ? 0 : 1);
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void check_namespaces(struct report *r)
{
    if (can_make_user_namespace())
        add(r, "ok", "namespaces", geteuid() == 0 ? "can be made (as root)" : "can be made without root");
    else if (geteuid() == 0)
        add(r, "fail", "namespaces",
            "cannot be made even as root: in a container, start it with more privileges (--privileged)");
    else if (number_of("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
        add(r, "fail", "namespaces",
            "not without root: sysctl -w kernel.unprivileged_userns_clone=1, or start hobd as root");
    else if (number_of("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
        add(r, "fail", "namespaces",
            "AppArmor forbids them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or start hobd as root");
    else
        add(r, "fail", "namespaces", "not without root here: start hobd as root");
}

static void check_cgroups(struct report *r)
{
    struct statfs fs;
    bool is_v2 = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
    bool is_v1 = access("/sys/fs/cgroup/memory", F_OK) == 0;
    bool is_ours = access(is_v2 ? "/sys/fs/cgroup/cgroup.procs" : "/sys/fs/cgroup/memory", W_OK) == 0;
    if (!is_v2 && !is_v1)
        add(r, "fail", "cgroups",
            "none is mounted at /sys/fs/cgroup: memory and processes cannot be limited");
    else if (is_ours)
        add(r, "ok", "cgroups", is_v2 ? "version 2, may be changed" : "version 1, may be changed");
    else
        add(r, "warn", "cgroups",
            "there, but only root may change them: start hobd as root, or delegate (systemd: Delegate=yes)");
}

static void check_filters(struct report *r)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* LANDLOCK_CREATE_RULESET_VERSION */);
    char text[120];
    (void)snprintf(text, sizeof text,
                   version > 0 ? "version %ld"
                               : "not there (kernel option CONFIG_SECURITY_LANDLOCK, lsm=landlock,...)",
                   version);
    add(r, version > 0 ? "ok" : "warn", "landlock", text);
    bool has_seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    add(r, has_seccomp ? "ok" : "fail", "seccomp",
        has_seccomp ? "there" : "not there (kernel option CONFIG_SECCOMP_FILTER)");
}

/* Runtimes and programs ------------------------------------------------------------------------------------------- */

static void check_runtimes(struct report *r)
{
    static const struct {
        const char *name, *path, *package;
    } table[] = {{"node", "/usr/bin/node", "nodejs"},
                 {"python", "/usr/bin/python3", "python3"},
                 {"c", "/usr/bin/cc", "gcc libc6-dev"},
                 {"php", "/usr/bin/php", "php-cli"}};
    for (size_t i = 0; i < HOB_COUNT(table); i++) {
        char name[40], text[120];
        bool is_there = access(table[i].path, X_OK) == 0;
        (void)snprintf(name, sizeof name, "runtime %s", table[i].name);
        (void)snprintf(text, sizeof text, is_there ? "%s" : "%s is missing: apt-get install %s",
                       table[i].path, table[i].package);
        add(r, is_there ? "ok" : "warn", name, text);
    }
}

static void check_programs(struct report *r)
{
    static const char *const programs[] = {"hobd", "hob-runner", "hob-launcher", "hob-init"};
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    *slash = 0;
    for (size_t i = 0; i < HOB_COUNT(programs); i++) {
        hob_auto_free char *path = hob_asprintf("%s/%s", self, programs[i]);
        bool is_there = access(path, X_OK) == 0;
        hob_auto_free char *text = hob_asprintf(
            is_there ? "%s" : "%s is missing: build it (`make`) or install it (`make install`)", path);
        add(r, is_there ? "ok" : "warn", programs[i], text);
    }
}

static void check_server(struct cli *c, struct report *r)
{
    struct hob_err e;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/doctor", NULL, &e);
    if (!answer) {
        add(r, "warn", "server", e.msg);
        return;
    }
    add(r, "ok", "server", client_url(c->client));
    const json_t *checks = json_object_get(answer, "checks");
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *one = json_array_get(checks, i);
        hob_auto_free char *name = hob_asprintf("server: %s", text_of(one, "name"));
        add(r, text_of(one, "status"), name, text_of(one, "text"));
    }
}

static void print_report(struct cli *c, const struct report *r)
{
    for (size_t i = 0; i < json_array_size(r->checks); i++) {
        const json_t *one = json_array_get(r->checks, i);
        const char *status = text_of(one, "status");
        enum colour colour = strcmp(status, "ok") == 0     ? COLOUR_GREEN
                             : strcmp(status, "warn") == 0 ? COLOUR_YELLOW
                                                           : COLOUR_RED;
        (void)fprintf(c->out, "%s%-5s%s ", colour_on(c->has_colour_out, colour), status,
                      colour_off(c->has_colour_out));
        print_safe(c->out, hob_str(text_of(one, "name")), "");
        (void)fprintf(c->out, ": ");
        print_safe(c->out, hob_str(text_of(one, "text")), "");
        (void)fputc('\n', c->out);
    }
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    hob_auto_json json_t *checks = json_array();
    struct report r = {.checks = checks};
    (void)a;
    check_kernel(&r);
    check_namespaces(&r);
    check_cgroups(&r);
    check_filters(&r);
    check_runtimes(&r);
    check_programs(&r);
    check_server(c, &r);
    hob_auto_json json_t *j = json_pack("{s:b,s:O}", "ok", !r.has_failed, "checks", checks);
    if (c->is_json && j)
        print_json(c, j);
    else
        print_report(c, &r);
    if (r.has_failed)
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "doctor",
                               "something that is needed is missing: see the lines with 'fail'");
    return HOB_OK;
}

const struct command cmd_doctor = {
    .name = "doctor",
    .usage = "",
    .summary = "Check what this machine (and the server, when there is one) offers, and say what to do.",
    .options = NO_OPTIONS,
    .run = run,
};
