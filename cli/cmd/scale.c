/* hob scale: why there are N instances, recording what comes, and what other modes would have made of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { DECISIONS_SHOWN = 8, TRACE_BYTES_MAX = 32 << 20, SECONDS_MAX = 86400 };

static long long integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* explain ---------------------------------------------------------------------------------------------------------- */

static void print_decision(struct table *t, const json_t *d)
{
    char ago[24], took[24];
    long long stopped = integer(d, "stopped");
    age_text(integer(d, "ago_ms"), ago);
    millis_text((double)integer(d, "service_us") / 1000.0, took);
    table_cellf(t, "%s ago", ago);
    table_cellf(t, "%s %lld", stopped ? "stopped" : "started", stopped ? stopped : integer(d, "started"));
    table_cell(t, text_of(d, "why"));
    table_cellf(t, "%lld up, %lld starting", integer(d, "ready"), integer(d, "starting"));
    table_cellf(t, "%lld", integer(d, "queued"));
    table_cellf(t, "%.3g/s", number(d, "rate"));
    table_cell(t, integer(d, "service_us") ? took : "-"); /* nothing had run yet */
}

/* What the words of WHY mean, those that are shown. */
static void print_legend(struct cli *c, const json_t *all)
{
    static const char *const words[][2] = {
        {"rate", "so many requests a second came (over one second or ten, whichever is more)"},
        {"backlog", "requests waited, and those that were up would not have come to them before a new one"},
        {"floor", "scale.min, or a window of scale.windows"},
        {"schedule", "a scheduled call was due"},
        {"habit", "by the distances between its requests so far, the next was due"},
        {"hold", "so many were there before a restart or a deploy"},
        {"idle", "it had nothing to do for long enough"},
    };
    (void)fputc('\n', c->out);
    for (size_t w = 0; w < HOB_COUNT(words); w++)
        for (size_t i = 0; i < json_array_size(all) && i < DECISIONS_SHOWN; i++)
            if (strcmp(text_of(json_array_get(all, i), "why"), words[w][0]) == 0) {
                (void)fprintf(c->out, "%s: %s\n", words[w][0], words[w][1]);
                break;
            }
}

static void print_decisions(struct cli *c, const json_t *answer)
{
    static const char *const heads[] = {"WHEN", "WHAT", "WHY", "THERE WERE", "WAITING", "RATE", "RUN"};
    const json_t *all = json_object_get(answer, "decisions");
    struct table t;
    if (!json_array_size(all))
        return;
    (void)fputc('\n', c->out);
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(all) && i < DECISIONS_SHOWN; i++)
        print_decision(&t, json_array_get(all, i));
    table_print(c, &t);
    print_legend(c, all);
}

static enum hob_code run_explain(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *answer = target_call(c, &t, "GET", "/scale", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json) {
        print_json(c, answer);
        return HOB_OK;
    }
    (void)fprintf(c->out, "%s%s/%s%s version %lld, mode %s\n", colour_on(c->has_colour_out, COLOUR_BOLD),
                  t.app, t.function, colour_off(c->has_colour_out), integer(answer, "version"),
                  text_of(answer, "mode"));
    const json_t *because = json_object_get(answer, "because");
    for (size_t i = 0; i < json_array_size(because); i++) {
        const json_t *line = json_array_get(because, i);
        (void)fprintf(c->out, "  ");
        print_safe(c->out, hob_str_n(json_string_value(line), json_string_length(line)), "");
        (void)fputc('\n', c->out);
    }
    print_decisions(c, answer);
    return HOB_OK;
}

static const struct option explain_options[] = {OPTION_APP, {0}};
const struct command cmd_scale_explain = {
    .name = "scale explain",
    .usage = "FUNCTION",
    .summary = "Say in words why a function has the instances it has now.",
    .details =
        "The sentences say what the rate of requests asks for, what those that wait ask for, and when instances go.\n"
        "The table has the last decisions, the newest first: what was done and WHY, and what was known then:\n"
        "how many instances THERE WERE, requests WAITING, their RATE, and how long one RUNs. What can be set is in\n"
        "docs/autoscaling.md.",
    .options = explain_options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run_explain,
};

/* record ----------------------------------------------------------------------------------------------------------- */

struct recording {
    struct cli *c;
    FILE *to;
    uint64_t lines;
};

static bool on_data(void *ctx, struct hob_str data)
{
    struct recording *r = ctx;
    for (size_t i = 0; i < data.n; i++)
        r->lines += data.at[i] == '\n';
    return fwrite(data.at, 1, data.n, r->to) == data.n && fflush(r->to) == 0;
}

static enum hob_code record(struct recording *r, const struct args *a, uint64_t seconds, struct hob_err *err)
{
    const char *app = args_get(a, "app"), *function = args_get(a, "function");
    hob_auto_free char *query = url_path("app=%s&function=%s", app ? app : "", function ? function : "");
    hob_auto_free char *path =
        hob_asprintf("/v1/scale/trace?seconds=%llu&%s", (unsigned long long)seconds, query);
    struct response response;
    struct request q = {.method = "GET", .path = path, .on_data = on_data, .ctx = r};
    response_init(&response);
    enum hob_code code = client_send(r->c, &q, &response, err);
    response_done(&response);
    return code;
}

static enum hob_code run_record(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *file = args_at(a, 0);
    uint64_t seconds;
    if (args_number(a, "seconds", 60, SECONDS_MAX, &seconds, err) != HOB_OK)
        return err->code;
    if (seconds == 0)
        return hob_fail(err, HOB_E_INVALID, "--seconds 0: give a number from 1 to %d", SECONDS_MAX);
    bool is_file = file && strcmp(file, "-") != 0;
    struct recording r = {.c = c, .to = is_file ? fopen(file, "we") : c->out};
    if (!r.to)
        return hob_fail_errno(err, errno, "creating '%s'", file);
    enum hob_code code = record(&r, a, seconds, err);
    if (is_file && fclose(r.to) != 0 && code == HOB_OK)
        code = hob_fail_errno(err, errno, "writing '%s'", file);
    if (code == HOB_OK || signals_interrupted())
        note(c, "hob: %llu invocations recorded", (unsigned long long)r.lines);
    return code;
}

static const struct option record_options[] = {
    {'s', "seconds", "N", "for how long (60); Ctrl-C ends it earlier and keeps what came"},
    {'a', "app", "NAME", "only of this app"},
    {0, "function", "NAME", "only of functions with this name"},
    {0},
};
const struct command cmd_scale_record = {
    .name = "scale record",
    .usage = "[FILE]",
    .summary = "Write a line for every invocation that ends: when, which function, how long.",
    .options = record_options,
    .positionals_max = 1,
    .run = run_record,
};

/* simulate --------------------------------------------------------------------------------------------------------- */

static void print_modes(struct cli *c, const json_t *answer)
{
    static const char *const heads[] = {"MODE",     "INSTANCE SECONDS", "WAIT P50", "WAIT P99",
                                        "WAIT MAX", "STARTS",           "COLD",     "PEAK"};
    const json_t *modes = json_object_get(answer, "modes");
    struct table t;
    char text[24];
    millis_text(number(answer, "cold_ms"), text);
    (void)fprintf(c->out, "%lld requests to %lld functions, a start takes %s\n\n",
                  integer(answer, "requests"), integer(answer, "functions"), text);
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < json_array_size(modes); i++) {
        const json_t *m = json_array_get(modes, i);
        static const char *const waits[] = {"wait_p50_ms", "wait_p99_ms", "wait_max_ms"};
        table_cell(&t, text_of(m, "mode"));
        table_cellf(&t, "%.1f", number(m, "instance_seconds"));
        for (size_t k = 0; k < HOB_COUNT(waits); k++) {
            millis_text(number(m, waits[k]), text);
            table_cell(&t, text);
        }
        table_cellf(&t, "%lld", integer(m, "starts"));
        table_cellf(&t, "%lld", integer(m, "cold_waits"));
        table_cellf(&t, "%lld", integer(m, "peak"));
    }
    table_print(c, &t);
    if (integer(answer, "dropped"))
        warn(c, "hob: the recording lost %lld invocations; there was more load than this shows",
             integer(answer, "dropped"));
}

static char *simulate_path(const struct args *a)
{
    static const char *const names[][2] = {
        {"mode", "mode"},    {"cold-ms", "cold_ms"},   {"concurrency", "concurrency"},
        {"cores", "cores"},  {"prepared", "prepared"}, {"max", "max"},
        {"keep-s", "keep_s"}};
    struct hob_buf b;
    hob_buf_init(&b, 65536);
    enum hob_code code = hob_buf_addf(&b, "/v1/scale/simulate");
    char mark = '?';
    for (size_t i = 0; i < HOB_COUNT(names) && code == HOB_OK; i++) {
        if (!args_has(a, names[i][0]))
            continue;
        hob_auto_free char *value = url_path("%s", args_get(a, names[i][0]));
        code = hob_buf_addf(&b, "%c%s=%s", mark, names[i][1], value);
        mark = '&';
    }
    char *path = hob_buf_take(&b);
    hob_buf_done(&b);
    return path;
}

static enum hob_code run_simulate(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *file = args_get(a, "trace");
    struct stat st;
    struct response r;
    if (!file)
        return hob_fail(err, HOB_E_INVALID, "--trace FILE is missing: record one with hob scale record FILE");
    hob_auto_close int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return hob_fail_errno(err, errno, "opening '%s'", file);
    if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > TRACE_BYTES_MAX)
        return hob_fail(err, HOB_E_INVALID, "'%s': give a file with 1 to %d bytes", file, TRACE_BYTES_MAX);
    hob_auto_free char *path = simulate_path(a);
    struct request q = {.method = "POST",
                        .path = path,
                        .body_fd = fd,
                        .body_bytes = (uint64_t)st.st_size,
                        .content_type = "application/x-ndjson"};
    response_init(&r);
    enum hob_code code = client_send(c, &q, &r, err);
    hob_auto_json json_t *answer =
        code == HOB_OK ? hob_json_parse(hob_buf_str(&r.body), "the answer", err) : NULL;
    if (code == HOB_OK && !answer)
        code = err->code;
    if (answer && c->is_json)
        print_json(c, answer);
    else if (answer)
        print_modes(c, answer);
    response_done(&r);
    return code;
}

static const struct option simulate_options[] = {
    {'t', "trace", "FILE", "what hob scale record wrote"},
    {0, "mode", "MODE", "only cost, balanced or latency"},
    {0, "cold-ms", "MS", "what a start takes; else what the trace measured"},
    {'c', "concurrency", "N", "invocations in one instance at a time (1)"},
    {0, "cores", "N", "that starts share: --cold-ms is what one takes alone (no start slows another down)"},
    {0, "prepared", "N", "with --cores: so many of the first starts find a prepared sandbox (0)"},
    {0, "max", "N", "most instances of a function (100)"},
    {0, "keep-s", "N", "as scale.keep_s in hob.json"},
    {0},
};
const struct command cmd_scale_simulate = {
    .name = "scale simulate",
    .usage = "--trace FILE",
    .summary = "Replay recorded arrivals through the scaler: cost against waiting, for each mode.",
    .options = simulate_options,
    .run = run_simulate,
};
