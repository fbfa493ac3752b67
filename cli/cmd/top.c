/* Flow: ASK -> PAINT -> WAIT for a second, a key or another size -> ASK ... Without a terminal, or with --once, one ASK
 * and PAINT. A server that was there and is no more is waited for, and said so. The terminal is changed (no echo, no line
 * buffer, no wrapping, the second screen) and given back however it ends. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { ROWS_MAX = 4096, REFRESH_MS = 1000, HEAD_LINES = 5 };

struct row {
    const json_t *j;
    double rate;
    long long live;
};

static long long integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static long long live_of(const json_t *row)
{
    const char *state;
    json_t *n;
    long long sum = 0;
    json_object_foreach(json_object_get(row, "instances"), state, n) sum += (long long)json_integer_value(n);
    return sum;
}

/* The busiest first; then those with instances. */
static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate > y->rate ? -1 : 1;
    return x->live != y->live ? (x->live > y->live ? -1 : 1) : 0;
}

static size_t sort_rows(const json_t *answer, struct row *rows)
{
    const json_t *all = json_object_get(answer, "functions");
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(all) && n < ROWS_MAX; i++) {
        const json_t *j = json_array_get(all, i);
        rows[n++] = (struct row){j, number(j, "rate"), live_of(j)};
    }
    qsort(rows, n, sizeof *rows, compare);
    return n;
}

/* "3 ready 2 busy" */
static void states_text(const json_t *row, char *out, size_t size)
{
    const char *state;
    json_t *n;
    size_t used = 0;
    out[0] = 0;
    json_object_foreach(json_object_get(row, "instances"), state, n)
    {
        long long k = (long long)json_integer_value(n);
        if (k && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%lld %s", used ? " " : "", k, state);
    }
}

static void print_row(struct table *t, const struct row *r)
{
    char states[160], p50[24], p99[24], wait[24];
    states_text(r->j, states, sizeof states);
    millis_text(number(r->j, "run_p50_ms"), p50);
    millis_text(number(r->j, "run_p99_ms"), p99);
    millis_text(number(r->j, "wait_p99_ms"), wait);
    table_cellf(t, "%s/%s v%lld", text_of(r->j, "app"), text_of(r->j, "function"), integer(r->j, "version"));
    table_cellf(t, "%.1f", r->rate);
    table_cellf(t, "%lld", integer(r->j, "in_flight"));
    table_cellf(t, "%lld", integer(r->j, "queued"));
    table_cell(t, *states ? states : "none");
    bool has_run = number(r->j, "run_p99_ms") > 0;
    table_cellf(t, has_run ? "%s / %s" : "-", p50, p99);
    table_cell(t, has_run ? wait : "-");
    table_cellf(t, "%lld", integer(r->j, "cold") + integer(r->j, "pooled"));
}

static void paint(struct cli *c, const json_t *answer, size_t lines_max)
{
    static const char *const heads[] = {"FUNCTION",  "REQ/S",         "WORK",     "WAIT",
                                        "INSTANCES", "RUN P50 / P99", "WAIT P99", "COLD"};
    const json_t *node = json_object_get(answer, "node");
    struct row *rows = hob_new_n(struct row, ROWS_MAX);
    size_t n = sort_rows(answer, rows);
    struct table t;
    double rate = 0;
    for (size_t i = 0; i < n; i++)
        rate += rows[i].rate;
    (void)fprintf(c->out,
                  "%shob top%s  %.1f requests/s  %lld instances, %lld starting, %lld waiting to start",
                  colour_on(c->has_colour_out, COLOUR_BOLD), colour_off(c->has_colour_out), rate,
                  integer(node, "instances"), integer(node, "starting"), integer(node, "starts_waiting"));
    (void)fprintf(c->out, "  memory promised %lld MiB%s\n\n", integer(node, "memory_promised_mb"),
                  json_is_true(json_object_get(node, "is_full")) ? ", the node is full" : "");
    table_init(&t, HOB_COUNT(heads), heads);
    for (size_t i = 0; i < n && i < lines_max; i++)
        print_row(&t, &rows[i]);
    table_print(c, &t);
    if (n == 0)
        (void)fprintf(c->out, "nothing was called since the server started\n");
    free(rows);
}

/* The terminal ----------------------------------------------------------------------------------------------------- */

static size_t terminal_lines(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return 20;
    return size.ws_row > HEAD_LINES ? size.ws_row - HEAD_LINES : 1;
}

static void on_resize(int number)
{
    (void)number; /* it is enough that poll() returns */
}

/* False: it is time to end. */
static bool wait_for_key(uint64_t ms)
{
    uint64_t end = hob_now_ms() + ms;
    for (uint64_t now; (now = hob_now_ms()) < end && !signals_interrupted();) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        char key;
        int got = poll(&in, 1, (int)(end - now));
        if (got < 0 && errno == EINTR && !signals_interrupted())
            return true; /* another size: painted anew at once */
        if (got <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 4)
            return false;
    }
    return !signals_interrupted();
}

static void terminal_take(struct cli *c, struct termios *ret_before)
{
    struct sigaction resize = {.sa_handler = on_resize}; /* no SA_RESTART */
    struct termios raw = *ret_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)sigaction(SIGWINCH, &resize, NULL);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)fputs("\x1b[?1049h\x1b[?25l\x1b[?7l", c->out);
}

static void terminal_give_back(struct cli *c, const struct termios *before)
{
    (void)fputs("\x1b[?7h\x1b[?25h\x1b[?1049l", c->out);
    (void)fflush(c->out);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, before);
}

/* What was painted last stays when the server does not answer. */
static void paint_screen(struct cli *c, const json_t *answer, const struct hob_err *err)
{
    (void)fputs("\x1b[H\x1b[2J", c->out);
    paint(c, answer, terminal_lines());
    if (err)
        (void)fprintf(c->out, "\nno answer, asking again (%.160s); q quits", err->msg);
    else
        (void)fputs("\nq quits", c->out);
}

static enum hob_code watch(struct cli *c, struct hob_err *err)
{
    struct termios before;
    hob_auto_json json_t *shown = client_call(c, "GET", "/v1/top", NULL, err);
    if (!shown || tcgetattr(STDIN_FILENO, &before) != 0)
        return shown ? hob_fail_errno(err, errno, "the terminal") : err->code;
    enum hob_code code = HOB_OK;
    terminal_take(c, &before);
    paint_screen(c, shown, NULL);
    while ((code = cli_flush(c, err)) == HOB_OK && wait_for_key(REFRESH_MS)) {
        struct hob_err lost;
        json_t *answer = client_call(c, "GET", "/v1/top", NULL, &lost);
        if (!answer && lost.code != HOB_E_UNAVAILABLE && lost.code != HOB_E_TIMEOUT) {
            *err = lost; /* a token that is no longer one, say */
            code = lost.code;
            break;
        }
        if (answer) {
            json_decref(shown);
            shown = answer;
        }
        paint_screen(c, shown, answer ? NULL : &lost);
    }
    terminal_give_back(c, &before);
    return code;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    if (c->is_out_terminal && c->is_in_terminal && !c->is_json && !args_has(a, "once"))
        return watch(c, err);
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/top", NULL, err);
    if (!answer)
        return err->code;
    if (c->is_json)
        print_json(c, answer);
    else
        paint(c, answer, ROWS_MAX);
    return HOB_OK;
}

static const struct option options[] = {
    {'1', "once", NULL, "print once and end; so it does without a terminal"},
    {0},
};
const struct command cmd_top = {
    .name = "top",
    .usage = "",
    .summary = "Watch functions at work: requests a second, instances by state, latencies, queues.",
    .details =
        "Refreshes every second; q quits. REQ/S is the rate over ten seconds, WORK and WAIT how many requests are\n"
        "at work and waiting now. INSTANCES are starting, ready (idle), busy, frozen (idle, and using no CPU) or\n"
        "stopping. RUN is the time in the function, WAIT P99 the time from a request's arrival until an instance\n"
        "had it, of the last requests; COLD how many requests waited for a new instance since the server started.\n"
        "Memory promised is the sum of memory_mb of all instances, not what they use. 'hob scale explain FUNCTION'\n"
        "says in words why there are as many instances.",
    .options = options,
    .run = run,
};
