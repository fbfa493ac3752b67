#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/mem.h"

/* Flow: server checks at once -> the runtimes' versions (worker) -> the node's own checks (link) -> answer. */
enum {
    SPACE_WARN_MB = 1024,
    SPACE_FAIL_MB = 64,
    FILES_WANTED = 4096,          /* a descriptor for every connection and every instance */
    CLOCK_SANE_MS_S = 1735689600, /* 2025-01-01: before it this program did not exist */
};

struct doctor {
    struct call *call;
    bool is_ok;
};

static void check(struct doctor *d, const char *status, const char *name, const char *text)
{
    struct hob_jw *w = &d->call->w;
    hob_jw_object(w);
    hob_jw_kcstr(w, "status", status);
    hob_jw_kcstr(w, "name", name);
    hob_jw_kcstr(w, "text", text);
    hob_jw_object_end(w);
    if (strcmp(status, "fail") == 0)
        d->is_ok = false;
}

static void check_space(struct doctor *d)
{
    const char *home = d->call->control->o.home;
    struct statvfs fs;
    char text[300];
    if (statvfs(home, &fs) < 0) {
        (void)snprintf(text, sizeof text, "%s: %s", home, hob_errno_text(errno));
        check(d, "fail", "disk", text);
        return;
    }
    uint64_t free_mb = (uint64_t)fs.f_bavail * fs.f_frsize / 1024 / 1024;
    bool has_inodes = fs.f_files == 0 || fs.f_favail > 1000; /* some file systems do not count them */
    (void)snprintf(text, sizeof text, "%llu MiB free below %s%s%s", (unsigned long long)free_mb, home,
                   free_mb < SPACE_WARN_MB ? "; deploys and logs stop when it is full: make room" : "",
                   has_inodes ? "" : "; no more files can be made there: remove some");
    check(d,
          free_mb < SPACE_FAIL_MB || !has_inodes ? "fail"
          : free_mb < SPACE_WARN_MB              ? "warn"
                                                 : "ok",
          "disk", text);
}

static void check_store(struct doctor *d)
{
    struct store_stats s = store_stats(d->call->control->o.store);
    char text[200];
    (void)snprintf(text, sizeof text, "schema %u, %llu commits, %llu failed", s.schema_version,
                   (unsigned long long)s.commits, (unsigned long long)s.commits_failed);
    check(d, s.commits_failed ? "warn" : "ok", "store", text);
}

static void check_logs(struct doctor *d)
{
    struct logs_stats s;
    char text[200];
    logs_stats(d->call->control->o.logs, &s);
    (void)snprintf(text, sizeof text, "%llu lines, %llu dropped, %llu writes failed%s",
                   (unsigned long long)s.lines_total, (unsigned long long)s.dropped_total,
                   (unsigned long long)s.write_errors_total,
                   s.write_errors_total ? "; hobd's own log says why (logs.write_failed)" : "");
    check(d, s.write_errors_total ? "warn" : "ok", "logs", text);
}

static void check_clock(struct doctor *d)
{
    struct timex tx = {.modes = 0};
    char now[25], text[200];
    int64_t utc_ms = hob_utc_ms();
    hob_utc_format(utc_ms, now);
    bool is_sane = utc_ms / 1000 > CLOCK_SANE_MS_S;
    bool is_synced = adjtimex(&tx) >= 0 && !(tx.status & STA_UNSYNC);
    (void)snprintf(text, sizeof text, "%s, %s", now,
                   !is_sane    ? "which cannot be: set it"
                   : is_synced ? "synchronized"
                               : "the kernel does not know it to be synchronized (NTP)");
    check(d, is_sane ? "ok" : "fail", "clock", text);
}

static void check_files(struct doctor *d)
{
    struct rlimit limit;
    char text[200];
    HOB_ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    bool is_enough = limit.rlim_cur >= FILES_WANTED;
    (void)snprintf(
        text, sizeof text, "%llu descriptors allowed%s", (unsigned long long)limit.rlim_cur,
        is_enough ? "" : "; with many clients that is few: raise it with ulimit -n 65536 or LimitNOFILE=");
    check(d, is_enough ? "ok" : "warn", "descriptors", text);
}

static void check_runtimes(struct doctor *d, char *const *versions)
{
    const struct runtimes *runtimes = d->call->control->o.runtimes;
    for (size_t i = 0; i < runtimes_count(runtimes); i++) {
        const struct runtime_info *rt = runtimes_at(runtimes, i);
        struct hob_err err = {0};
        char name[64], text[300];
        (void)snprintf(name, sizeof name, "runtime %s", rt->name);
        if (runtime_check(rt, &err) != HOB_OK)
            (void)snprintf(text, sizeof text, "%s", err.msg);
        else
            (void)snprintf(text, sizeof text, "%s%s%s", rt->title, versions[i] ? ", " : "",
                           versions[i] ? versions[i] : "");
        /* a language that nobody wants here is no failure */
        check(d, err.code == HOB_OK ? "ok" : "warn", name, text);
    }
}

/* "ok|warn|fail name: text" of the node. */
static void check_line(struct doctor *d, struct hob_str line)
{
    struct hob_str rest, text, status = hob_str_cut(line, ' ', &rest);
    struct hob_str name = hob_str_cut(rest.at ? rest : HOB_STR("node"), ':', &text);
    char copies[3][512];
    const struct hob_str parts[] = {status, name, hob_str_trim(text.at ? text : HOB_STR(""))};
    for (size_t i = 0; i < HOB_COUNT(parts); i++)
        (void)snprintf(copies[i], sizeof copies[i], "%.*s", parts[i].at ? (int)parts[i].n : 0,
                       parts[i].at ? parts[i].at : "");
    bool is_known = strcmp(copies[0], "ok") == 0 || strcmp(copies[0], "warn") == 0;
    check(d, is_known ? copies[0] : "fail", copies[1], copies[2]);
}

static void on_node(void *ctx, const struct hob_str *lines, size_t n, const struct hob_err *err)
{
    struct doctor *d = ctx;
    struct call *c = d->call;
    if (err)
        check(d, "fail", "node", err->msg);
    for (size_t i = 0; i < n; i++)
        check_line(d, lines[i]);
    hob_jw_array_end(&c->w);
    hob_jw_kbool(&c->w, "ok", d->is_ok);
    hob_jw_object_end(&c->w);
    free(d);
    call_finish(c);
    call_release(c);
}

static void on_versions(void *ctx, char *const *versions)
{
    struct doctor *d = ctx;
    check_runtimes(d, versions);
    node_doctor(d->call->control->o.nodes, on_node, d);
}

void handle_doctor(struct call *c)
{
    struct doctor *d = hob_new(struct doctor);
    struct hob_jw *w = call_start(c);
    d->call = c;
    d->is_ok = true;
    hob_jw_object(w);
    hob_jw_key(w, "checks");
    hob_jw_array(w);
    check_space(d);
    check_store(d);
    check_logs(d);
    check_clock(d);
    check_files(d);
    call_hold(c);
    probe_ask(c->control->probe, on_versions, d);
}
