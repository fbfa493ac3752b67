#include "api/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/parse/parse.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bindings/auth/auth.h"
#include "bindings/upkeep/upkeep.h"
#include "store/appdb.h"

/* Writes until the buffer's limit; the first failure stays. */
struct writer {
    struct hob_buf *out;
    enum hob_code rc;
};

static void family(struct writer *w, const char *name, const char *type, const char *help)
{
    if (w->rc == HOB_OK)
        w->rc = hob_buf_addf(w->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct writer *w, const char *name, const char *labels, double value)
{
    if (w->rc == HOB_OK)
        w->rc = hob_buf_addf(w->out, "%s%s%s%s %.17g\n", name, labels ? "{" : "", labels ? labels : "",
                             labels ? "}" : "", value);
}

static void single(struct writer *w, const char *name, const char *type, const char *help, double value)
{
    family(w, name, type, help);
    sample(w, name, NULL, value);
}

/* --- instances and queues ---------------------------------------------------------------------------------------- */

enum { STATES_MAX = 16 };
struct states {
    const char *names[STATES_MAX];
    unsigned counts[STATES_MAX], n, in_flight;
};

static void on_instance(void *ctx, const struct instance_view *v)
{
    struct states *s = ctx;
    unsigned i = 0;
    while (i < s->n && strcmp(s->names[i], v->state) != 0)
        i++;
    if (i == STATES_MAX)
        return;
    if (i == s->n)
        s->names[s->n++] = v->state;
    s->counts[i]++;
    s->in_flight += v->in_flight;
}

static void write_instances(struct writer *w, struct dispatcher *d)
{
    struct states s = {.n = 0};
    char labels[64];
    dispatcher_each_instance(d, on_instance, &s);
    family(w, "hob_instances", "gauge", "Instances by state.");
    for (unsigned i = 0; i < s.n; i++) {
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", s.names[i]);
        sample(w, "hob_instances", labels, s.counts[i]);
    }
    single(w, "hob_invocations_in_flight", "gauge", "Invocations that an instance works on.", s.in_flight);
}

static void histogram(struct writer *w, const char *name, const char *help, const struct dispatcher_times *t)
{
    char labels[64], bucket[64];
    uint64_t n = 0;
    family(w, name, "histogram", help);
    (void)snprintf(bucket, sizeof bucket, "%s_bucket", name);
    for (unsigned i = 0; i < DISPATCHER_BUCKETS; i++) {
        n += t->buckets[i];
        if (i == DISPATCHER_BUCKETS - 1)
            (void)snprintf(labels, sizeof labels, "le=\"+Inf\"");
        else
            (void)snprintf(labels, sizeof labels, "le=\"%g\"", (double)dispatcher_bucket_us[i] / 1e6);
        sample(w, bucket, labels, (double)n);
    }
    (void)snprintf(bucket, sizeof bucket, "%s_sum", name);
    sample(w, bucket, NULL, (double)t->sum_us / 1e6);
    (void)snprintf(bucket, sizeof bucket, "%s_count", name);
    sample(w, bucket, NULL, (double)n);
}

static void by_kind(struct writer *w, const char *name, const uint64_t *counts)
{
    char labels[64];
    for (unsigned k = START_WARM; k < START_KINDS_; k++) {
        (void)snprintf(labels, sizeof labels, "kind=\"%s\"", start_kind_names[k]);
        sample(w, name, labels, (double)counts[k]);
    }
}

static void write_invocations(struct writer *w, struct dispatcher *d)
{
    const struct dispatcher_stats *s = dispatcher_stats(d);
    char labels[64];
    family(w, "hob_requests_total", "counter", "Invocations that ended, by what became of them.");
    for (unsigned code = 0; code < HOB_E_COUNT_; code++) {
        (void)snprintf(labels, sizeof labels, "outcome=\"%s\"", hob_code_info((enum hob_code)code)->reason);
        sample(w, "hob_requests_total", labels, (double)s->ended[code]);
    }
    single(w, "hob_cold_starts_total", "counter", "Invocations that waited for a new instance.",
           (double)s->cold);
    family(w, "hob_dispatched_total", "counter", "Invocations by where their instance came from.");
    by_kind(w, "hob_dispatched_total", s->kinds);
    single(w, "hob_queue_seconds_total", "counter", "Time that invocations waited for a slot.",
           (double)s->queue.sum_us / 1e6);
    single(w, "hob_shed_total", "counter", "Requests answered 503 overloaded at once.", (double)s->shed);
    histogram(w, "hob_run_seconds", "Time in the function.", &s->run);
    histogram(w, "hob_queue_seconds", "Time from arrival to dispatch.", &s->queue);
}

static void write_starts(struct writer *w, struct dispatcher *d)
{
    const struct dispatcher_stats *s = dispatcher_stats(d);
    struct node_view node;
    dispatcher_node_view(d, &node);
    family(w, "hob_starts_total", "counter", "Instances that became ready, by where they came from.");
    sample(w, "hob_starts_total", "kind=\"cold\"", (double)s->starts[START_COLD]);
    sample(w, "hob_starts_total", "kind=\"pooled\"", (double)s->starts[START_POOLED]);
    single(w, "hob_starts_failed_total", "counter", "Starts that failed.", (double)s->starts_failed);
    single(w, "hob_pool_hits_total", "counter", "Starts that a prepared process served.",
           (double)s->starts[START_POOLED]);
    single(w, "hob_pool_misses_total", "counter", "Starts that had to build their process.",
           (double)s->starts[START_COLD]);
    histogram(w, "hob_start_launch_seconds", "Starts: until the process is there.", &s->launch);
    histogram(w, "hob_start_init_seconds", "Starts: from there until it is ready.", &s->init);
    single(w, "hob_starts_waiting", "gauge", "Starts that wait for their turn.", node.starts_waiting);
    single(w, "hob_memory_promised_bytes", "gauge", "memory_mb of all instances.",
           (double)node.memory_promised_mb * 1048576);
    single(w, "hob_node_full", "gauge", "1 while a start waits for memory.", node.is_full);
}

static void on_denied(void *ctx, const char *name, uint64_t n)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "call=\"%s\"", name);
    sample(ctx, "hob_denied_calls_total", labels, (double)n);
}

static void write_denied(struct writer *w, const struct dispatcher *d)
{
    family(w, "hob_denied_calls_total", "counter",
           "System calls that a sandbox denied (the first 64 of an instance).");
    dispatcher_each_denied(d, on_denied, w);
}

/* Names are a-z, 0-9 and '-': they need no escape in a label. Functions that never ran are left out. */
static void write_queues(struct writer *w, const struct front_options *o)
{
    unsigned functions = 0, apps = 0;
    family(w, "hob_queue_length", "gauge", "Requests that wait for a slot.");
    for (const struct app *a = catalog_apps(o->catalog); a; a = a->hh.next, apps++)
        for (const struct function *f = a->functions; f; f = f->hh.next, functions++) {
            struct version_view view = {0};
            char labels[160];
            if (!f->live || !f->live->pool)
                continue;
            dispatcher_version_view(o->dispatcher, f->live, &view);
            (void)snprintf(labels, sizeof labels, "app=\"%s\",function=\"%s\"", a->name, f->name);
            sample(w, "hob_queue_length", labels, view.queued);
        }
    single(w, "hob_apps", "gauge", "Apps.", apps);
    single(w, "hob_functions", "gauge", "Deployed functions.", functions);
}

/* --- the parts ----------------------------------------------------------------------------------------------------- */

static void write_http(struct writer *w, const struct http_server *server)
{
    struct http_stats s = {0};
    if (server)
        http_server_stats(server, &s);
    single(w, "hob_http_connections", "gauge", "Open client connections.", (double)s.connections_open);
    single(w, "hob_http_connections_total", "counter", "Client connections taken.",
           (double)s.connections_total);
    single(w, "hob_http_requests_total", "counter", "HTTP requests, every face.", (double)s.requests_total);
    single(w, "hob_http_received_bytes_total", "counter", "Bytes from clients.", (double)s.bytes_in);
    single(w, "hob_http_sent_bytes_total", "counter", "Bytes to clients.", (double)s.bytes_out);
    single(w, "hob_http_refused_total", "counter", "Requests that the server itself refused.",
           (double)s.refused_total);
}

static void write_parts(struct writer *w, const struct front_options *o)
{
    struct store_stats store = store_stats(o->store);
    struct logs_stats logs;
    struct control_stats control;
    logs_stats(o->logs, &logs);
    control_stats(o->control, &control);
    single(w, "hob_store_commits_total", "counter", "Transactions on disk.", (double)store.commits);
    single(w, "hob_store_commits_failed_total", "counter", "Transactions that failed.",
           (double)store.commits_failed);
    single(w, "hob_store_jobs_total", "counter", "Writes asked for.", (double)store.jobs);
    single(w, "hob_store_reads_total", "counter", "Reads asked for.", (double)store.reads);
    single(w, "hob_log_lines_total", "counter", "Log lines of functions.", (double)logs.lines_total);
    single(w, "hob_log_dropped_total", "counter", "Log lines that were dropped.", (double)logs.dropped_total);
    single(w, "hob_log_pending_bytes", "gauge", "Log bytes that wait for the disk.",
           (double)logs.pending_bytes);
    single(w, "hob_log_readers", "gauge", "Readings and followings of logs.", (double)logs.readers);
    single(w, "hob_control_calls_total", "counter", "Calls of the control API.", (double)control.calls_total);
    single(w, "hob_control_refused_total", "counter", "Calls of it that were refused.",
           (double)control.refused_total);
    single(w, "hob_control_auth_failures_total", "counter", "Wrong or missing tokens.",
           (double)control.auth_failures_total);
    single(w, "hob_deploys_total", "counter", "Deploys that succeeded.", (double)control.deploys_total);
    single(w, "hob_deploys_failed_total", "counter", "Deploys that failed.",
           (double)control.deploys_failed_total);
    single(w, "hob_runner_connected", "gauge", "1 when a hob-runner is connected.",
           node_hub_has_runner(o->nodes));
}

/* --- the apps' backends -------------------------------------------------------------------------------------------- */

static void write_backend(struct writer *w, const struct parse_face *face)
{
    if (!face) /* a server without that face */
        return;
    struct parse_face_stats f = parse_face_stats(face);
    struct backend_stats b = backend_stats(parse_face_backend(face));
    struct appdbs_stats d = appdbs_stats(backend_databases(parse_face_backend(face)));
    single(w, "hob_parse_requests_total", "counter", "Requests of Parse clients.", (double)f.requests);
    single(w, "hob_parse_refused_total", "counter", "Those answered with an error.", (double)f.refused);
    single(w, "hob_parse_limited_total", "counter", "Those beyond a rate limit of the app.",
           (double)f.limited);
    single(w, "hob_backend_calls_total", "counter",
           "Calls of the backend: clients', functions', parts of batches.", (double)b.asked);
    single(w, "hob_backend_failed_total", "counter", "Those that failed.", (double)b.failed);
    single(w, "hob_backend_under_way", "gauge", "Calls of the backend under way.",
           (double)(b.asked - b.answered));
    single(w, "hob_appdb_reads_total", "counter", "Reading jobs of the apps' databases.", (double)d.reads);
    single(w, "hob_appdb_commits_total", "counter", "Commits of the apps' databases that reached the disk.",
           (double)d.commits);
    single(w, "hob_appdb_jobs_failed_total", "counter", "Jobs of the apps' databases that failed.",
           (double)d.jobs_failed);
    single(w, "hob_appdb_open", "gauge", "Open databases of apps.", (double)d.open);
    single(w, "hob_appdb_queued", "gauge", "Jobs of the apps' databases that wait or run.", (double)d.queued);
}

static void write_auth(struct writer *w, const struct auth *auth)
{
    struct auth_stats a;
    auth_stats(auth, &a);
    single(w, "hob_hash_jobs_total", "counter", "Passwords that were compared or set.", (double)a.hash_jobs);
    single(w, "hob_hash_refused_total", "counter", "Log-ins refused because too many waited (429).",
           (double)a.hash_jobs_refused);
    single(w, "hob_hashes_total", "counter", "Password hashes that were computed.", (double)a.hashes);
    single(w, "hob_hash_waiting", "gauge", "Passwords that wait for a thread that hashes.", a.hash_waiting);
    single(w, "hob_hash_running", "gauge", "Passwords being hashed.", a.hash_running);
    single(w, "hob_hash_threads", "gauge", "Threads that hash passwords.", a.hash_threads);
    single(w, "hob_session_hits_total", "counter", "Session tokens judged from memory.",
           (double)a.session_hits);
    single(w, "hob_session_misses_total", "counter", "Session tokens judged by the database.",
           (double)a.session_misses);
    single(w, "hob_session_refused_total", "counter", "Session tokens that were unknown or had expired.",
           (double)a.sessions_refused);
    single(w, "hob_sessions_kept", "gauge", "Judged sessions in memory.", a.sessions_kept);
    single(w, "hob_mails_sent_total", "counter", "Mails that a mail server took.", (double)a.mails_sent);
    single(w, "hob_mails_failed_total", "counter", "Tries to send a mail that failed.",
           (double)a.mails_failed);
    single(w, "hob_mails_given_up_total", "counter",
           "Mails given up: refused for good, or tried for two days.", (double)a.mails_given_up);
}

static void write_upkeep(struct writer *w, const struct upkeep *upkeep)
{
    struct upkeep_stats u = upkeep_stats(upkeep);
    single(w, "hob_changes_trimmed_total", "counter", "Changes that logs of apps no longer keep.",
           (double)u.changes_trimmed);
    single(w, "hob_auto_indexes_total", "counter", "Indexes that the setting autoIndex made.",
           (double)u.indexes_made);
    single(w, "hob_upkeep_failed_total", "counter", "Steps of looking after apps' databases that failed.",
           (double)u.failed);
}

/* --- the process: names as every Prometheus client library gives them ---------------------------------------------- */

static double open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    double n = 0;
    if (!d)
        return 0;
    for (const struct dirent *entry;
         (entry = readdir(d)) != NULL;) /* NOLINT(concurrency-mt-unsafe): ours alone */
        n += entry->d_name[0] != '.';
    (void)closedir(d);
    return n - 1; /* the folder itself */
}

static double resident_bytes(void)
{
    struct hob_buf text hob_auto_buf;
    hob_buf_init(&text, 4096);
    if (hob_read_file("/proc/self/statm", &text, NULL) != HOB_OK)
        return 0;
    struct hob_str rest, size = hob_str_cut(hob_buf_str(&text), ' ', &rest);
    uint64_t pages;
    (void)size;
    if (!rest.at || !hob_str_u64(hob_str_cut(rest, ' ', &rest), &pages))
        return 0;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void write_process(struct writer *w)
{
    struct rusage usage;
    struct rlimit files;
    HOB_ASSERT(getrusage(RUSAGE_SELF, &usage) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    single(w, "process_cpu_seconds_total", "counter", "CPU time of hobd.", cpu_s);
    single(w, "process_resident_memory_bytes", "gauge", "Memory of hobd.", resident_bytes());
    single(w, "process_open_fds", "gauge", "Open descriptors of hobd.", open_descriptors());
    single(w, "process_max_fds", "gauge", "Descriptors that hobd may open.", (double)files.rlim_cur);
}

enum hob_code metrics_write(const struct front_options *o, const struct http_server *server,
                            struct hob_buf *out)
{
    struct writer w = {out, HOB_OK};
    family(&w, "hob_info", "gauge", "Which hobd this is.");
    sample(&w, "hob_info", "version=\"" HOB_VERSION "\"", 1);
    write_http(&w, server);
    write_invocations(&w, o->dispatcher);
    write_starts(&w, o->dispatcher);
    write_denied(&w, o->dispatcher);
    write_instances(&w, o->dispatcher);
    write_queues(&w, o);
    write_parts(&w, o);
    if (o->parse) {
        write_backend(&w, o->parse);
        write_auth(&w, backend_auth(parse_face_backend(o->parse)));
        write_upkeep(&w, backend_upkeep(parse_face_backend(o->parse)));
    }
    write_process(&w);
    return w.rc;
}
