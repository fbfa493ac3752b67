#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { HEADERS_MAX = 32, HTTP_BODY_BYTES_MAX = 64 << 20, PARTS_MAX = 16, HINT_MS = 1000 };

/* The event ------------------------------------------------------------------------------------------------------- */

static enum hob_code read_stdin(struct cli *c, struct hob_buf *out, struct hob_err *err)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    if (!c->is_in_terminal && poll(&p, 1, HINT_MS) == 0)
        note(c, "hob: reading the event from stdin (-d '' for none)");
    return hob_read_fd(STDIN_FILENO, "stdin", out, err);
}

static enum hob_code read_named(struct cli *c, const char *path, struct hob_buf *out, struct hob_err *err)
{
    return strcmp(path, "-") == 0 ? read_stdin(c, out, err) : hob_read_file(path, out, err);
}

/* Something is there to be read: a file, a pipe or a socket; neither a terminal nor /dev/null. */
static bool has_stdin(const struct cli *c)
{
    struct stat st;
    return !c->is_in_terminal && fstat(STDIN_FILENO, &st) == 0 &&
           (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static enum hob_code event_read(struct cli *c, const struct args *a, struct hob_buf *out, struct hob_err *err)
{
    const char *data = args_get(a, "data"), *file = args_get(a, "file");
    const char *method = args_get(a, "method");
    bool has_body = !args_has(a, "http") || (method && method[0] == 'P'); /* POST, PUT, PATCH */
    if (data && file)
        return hob_fail(err, HOB_E_INVALID, "--data and --file are both there; keep one of them");
    if (file)
        return read_named(c, file, out, err);
    if (data && data[0] == '@')
        return read_named(c, data + 1, out, err);
    if (data)
        return hob_buf_add(out, data, strlen(data)) == HOB_OK
                   ? HOB_OK
                   : hob_fail(err, HOB_E_TOO_LARGE, "--data is too large");
    return has_body && has_stdin(c) ? read_stdin(c, out, err) : HOB_OK;
}

/* The time split --------------------------------------------------------------------------------------------------- */

struct part {
    char name[24];
    double ms;
};

/* Server-Timing: "queue;dur=0.1, run;dur=12" (W3C Server Timing). */
static size_t timing_parse(struct hob_str field, struct part *parts)
{
    size_t n = 0;
    while (field.at && n < PARTS_MAX) {
        struct hob_str params, one = hob_str_cut(field, ',', &field);
        struct hob_str name = hob_str_trim(hob_str_cut(one, ';', &params));
        while (params.at) {
            struct hob_str param = hob_str_trim(hob_str_cut(params, ';', &params));
            if (!hob_str_starts(param, HOB_STR("dur=")) || param.n > 24)
                continue;
            hob_auto_free char *number = hob_strndup(param.at + 4, param.n - 4);
            parts[n].ms = strtod(number, NULL);
            (void)snprintf(parts[n].name, sizeof parts[n].name, "%.*s", name.n > 20 ? 20 : (int)name.n,
                           name.at);
            n++;
            break;
        }
    }
    return n;
}

static void print_timing(struct cli *c, const struct response *r, double total_ms)
{
    struct part parts[PARTS_MAX];
    size_t n = timing_parse(response_field(r, "Server-Timing"), parts);
    struct hob_str version = response_field(r, "X-Hob-Version");
    char text[24];
    if (c->is_quiet)
        return;
    (void)fprintf(c->err, "%s", colour_on(c->has_colour_err, COLOUR_DIM));
    for (size_t i = 0; i < n; i++) {
        millis_text(parts[i].ms, text);
        print_safe(c->err, hob_str(parts[i].name), "");
        (void)fprintf(c->err, " %s · ", text);
    }
    millis_text(total_ms, text);
    (void)fprintf(c->err, "total %s", text);
    if (version.at) {
        (void)fprintf(c->err, " · version ");
        print_safe(c->err, version, "");
    }
    (void)fprintf(c->err, "%s\n", colour_off(c->has_colour_err));
}

/* The answer -------------------------------------------------------------------------------------------------------- */

static void put_body(json_t *j, struct hob_str body)
{
    struct hob_err ignored;
    json_t *parsed = body.n ? hob_json_parse(body, "the answer", &ignored) : NULL;
    if (parsed) {
        (void)json_object_set_new(j, "body", parsed);
        return;
    }
    json_t *text = hob_utf8_is_valid(body) ? json_stringn(body.at, body.n) : NULL;
    if (text) {
        (void)json_object_set_new(j, "text", text);
        return;
    }
    struct hob_buf b; /* bytes that are no text */
    hob_buf_init(&b, body.n * 2 + 1);
    for (size_t i = 0; i < body.n; i++)
        HOB_ASSERT(hob_buf_addf(&b, "%02x", (unsigned)(unsigned char)body.at[i]) == HOB_OK);
    (void)json_object_set_new(j, "hex", json_stringn(hob_buf_str(&b).at, b.n));
    hob_buf_done(&b);
}

static void print_answer_json(struct cli *c, const struct response *r, double total_ms)
{
    struct part parts[PARTS_MAX];
    size_t n = timing_parse(response_field(r, "Server-Timing"), parts);
    hob_auto_json json_t *j = json_object(), *timing = json_object();
    uint64_t version = 0;
    (void)json_object_set_new(j, "status", json_integer(r->status));
    if (hob_str_u64(response_field(r, "X-Hob-Version"), &version))
        (void)json_object_set_new(j, "version", json_integer((json_int_t)version));
    for (size_t i = 0; i < n; i++)
        (void)json_object_set_new(timing, parts[i].name, json_real(parts[i].ms));
    (void)json_object_set_new(timing, "total", json_real(total_ms));
    (void)json_object_set(j, "timing_ms", timing);
    put_body(j, hob_buf_str(&r->body));
    print_json(c, j);
}

/* Where the answer goes. A character that was cut by the network waits for its rest. */
struct sink {
    struct cli *c;
    char tail[4];
    size_t tail_n;
    char last; /* byte that was printed */
};

/* How many bytes at the end begin a character that is not whole yet. */
static size_t cut_character(struct hob_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char b = (unsigned char)s.at[s.n - back];
        if ((b & 0xc0) == 0x80)
            continue;
        size_t whole = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 1;
        return whole > back ? back : 0;
    }
    return 0;
}

static void show(struct sink *s, struct hob_str data)
{
    struct hob_buf b;
    hob_buf_init(&b, data.n + sizeof s->tail);
    HOB_ASSERT(hob_buf_add(&b, s->tail, s->tail_n) == HOB_OK && hob_buf_add_str(&b, data) == HOB_OK);
    struct hob_str text = hob_buf_str(&b);
    s->tail_n = cut_character(text);
    memcpy(s->tail, text.at + text.n - s->tail_n, s->tail_n);
    print_safe(s->c->out, hob_str_n(text.at, text.n - s->tail_n), "\n\t\r");
    hob_buf_done(&b);
}

static bool on_data(void *ctx, struct hob_str data)
{
    struct sink *s = ctx;
    if (s->c->is_out_terminal)
        show(s, data);
    else
        (void)fwrite(data.at, 1, data.n, s->c->out);
    if (data.n)
        s->last = data.at[data.n - 1];
    return fflush(s->c->out) == 0;
}

/* A terminal's next line shall not begin behind the answer. */
static void end_answer(struct sink *s)
{
    if (!s->c->is_out_terminal)
        return;
    print_safe(s->c->out, hob_str_n(s->tail, s->tail_n), "");
    if (s->last != '\n')
        (void)fputc('\n', s->c->out);
}

/* What the function threw goes to stderr; only callers with a token get it at all. */
static void print_function_error(struct cli *c)
{
    const json_t *e = json_object_get(client_problem(c->client), "error");
    const char *type = text_of(e, "type"), *message = text_of(e, "message"), *stack = text_of(e, "stack");
    if (!e || c->is_json)
        return;
    if (strncmp(stack, type, strlen(type)) != 0 || !*type) /* Node's stacks begin with both */
        note(c, "%s: %s", *type ? type : "Error", message);
    if (*stack)
        note(c, "%s", stack);
}

/* Requests --------------------------------------------------------------------------------------------------------- */

static enum hob_code headers_read(const struct args *a, const char *headers[HEADERS_MAX + 1],
                                  struct hob_err *err)
{
    size_t n = 0;
    for (; args_nth(a, "header", n); n++) {
        const char *h = args_nth(a, "header", n);
        if (n == HEADERS_MAX)
            return hob_fail(err, HOB_E_TOO_LARGE, "more than %d headers", HEADERS_MAX);
        bool is_clean = strchr(h, ':') && h[0] != ':';
        for (const char *ch = h; *ch; ch++)
            is_clean = is_clean && (unsigned char)*ch >= 0x20 && *ch != 0x7f;
        if (!is_clean)
            return hob_fail(err, HOB_E_INVALID, "header '%.60s': give it as 'Name: value'", h);
        headers[n] = h;
    }
    if (args_has(a, "http"))
        headers[n++] = "X-Hob-Timing: 1"; /* the gateway says where the time went only when asked */
    headers[n] = NULL;
    return HOB_OK;
}

static bool is_token(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return n > 0 && n <= 20 && !s[n];
}

static enum hob_code request_path(const struct args *a, const struct target *t, const char *method,
                                  char **ret_path, struct hob_err *err)
{
    const char *http = args_get(a, "http");
    if (!http) {
        hob_auto_free char *path = url_path("/v1/apps/%s/functions/%s/invoke", t->app, t->function);
        hob_auto_free char *qualifier = url_path("%s", t->qualifier);
        *ret_path = hob_asprintf("%s%s%s", path, *qualifier ? "?qualifier=" : "", qualifier);
        return HOB_OK;
    }
    bool is_clean = http[0] == '/';
    for (const char *ch = http; *ch; ch++)
        is_clean = is_clean && (unsigned char)*ch > 0x20 && (unsigned char)*ch < 0x7f && *ch != '#';
    if (!is_clean)
        return hob_fail(err, HOB_E_INVALID,
                        "--http '%.60s': give a path as /a/b?c=d, other characters as %%XX", http);
    if (!is_token(method))
        return hob_fail(err, HOB_E_INVALID, "--method '%.40s': give GET, POST, ... in capital letters",
                        method);
    bool is_version = t->qualifier[0] >= '0' && t->qualifier[0] <= '9';
    *ret_path = hob_asprintf("/fn/%s/%s%s%s%s", t->app, t->function,
                             !t->qualifier[0] ? ""
                             : is_version     ? "@"
                                              : ":",
                             t->qualifier, http);
    return HOB_OK;
}

static void print_head(struct cli *c, const struct response *r)
{
    (void)fprintf(c->out, "HTTP %d\n", r->status);
    struct hob_str rest = hob_buf_str(&r->head);
    (void)hob_str_cut(rest, '\n', &rest); /* the status line */
    if (rest.at)
        print_safe(c->out, rest, "\n\t");
    (void)fputc('\n', c->out);
}

/* Over HTTP the function's own statuses are answers; from 500 on the exit code says that it failed. */
static enum hob_code http_verdict(const struct response *r, struct hob_err *err)
{
    return r->status < 500 ? HOB_OK
                           : hob_fail(err, r->status == 504 ? HOB_E_TIMEOUT : HOB_E_FUNCTION,
                                      "the answer's status is %d", r->status);
}

static void print_answer(struct sink *s, const struct args *a, const struct response *r, double total_ms)
{
    struct cli *c = s->c;
    if (c->is_json) {
        print_answer_json(c, r, total_ms);
        return;
    }
    if (args_has(a, "include")) {
        print_head(c, r);
        (void)on_data(s, hob_buf_str(&r->body));
    }
    end_answer(s);
}

static enum hob_code send(struct cli *c, const struct args *a, const struct request *ready,
                          struct hob_err *err)
{
    struct sink sink = {.c = c};
    struct request q = *ready;
    struct response r;
    bool is_http = args_has(a, "http");
    if (!c->is_json && !args_has(a, "include")) {
        q.on_data = on_data;
        q.ctx = &sink;
    }
    response_init(&r);
    uint64_t from = hob_now_us();
    enum hob_code code = client_send(c, &q, &r, err);
    double total_ms = (double)(hob_now_us() - from) / 1000;
    if (code == HOB_OK)
        print_answer(&sink, a, &r, total_ms);
    if (code == HOB_OK && is_http)
        code = http_verdict(&r, err);
    (void)fflush(c->out);
    if (r.status && !c->is_json)
        print_timing(c, &r, total_ms);
    response_done(&r);
    if (code == HOB_E_FUNCTION && !is_http)
        print_function_error(c);
    return code;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    const char *headers[HEADERS_MAX + 2];
    bool is_http = args_has(a, "http");
    if (!is_http && (args_has(a, "method") || args_has(a, "header") || args_has(a, "include")))
        return hob_fail(err, HOB_E_INVALID, "--method, --header and --include go with --http PATH");
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK ||
        headers_read(a, headers, err) != HOB_OK)
        return err->code;
    hob_auto_buf struct hob_buf event;
    hob_buf_init(&event, is_http ? HTTP_BODY_BYTES_MAX : HOB_MAX_EVENT_BYTES);
    if (event_read(c, a, &event, err) != HOB_OK)
        return err->code;
    const char *method = !is_http || event.n ? "POST" : "GET";
    method = args_has(a, "method") ? args_get(a, "method") : method;
    hob_auto_free char *path = NULL;
    if (request_path(a, &t, method, &path, err) != HOB_OK)
        return err->code;
    /* the function is a stranger: what opens the control API is not for it */
    struct request q = {
        .method = method, .path = path, .headers = headers, .is_raw = is_http, .is_anonymous = is_http};
    if (event.n || !is_http)
        q.body = hob_buf_str(&event);
    if (event.n && !is_http)
        q.content_type = "application/json";
    enum hob_code code = send(c, a, &q, err);
    if (!is_http)
        target_suggest(c, &t, err);
    return code;
}

static const struct option options[] = {
    {'d', "data", "DATA", "the event; @FILE reads it from a file, @- from stdin"},
    {'f', "file", "FILE", "the event from a file; - is stdin"},
    OPTION_APP,
    {0, "http", "PATH", "as an HTTP request to PATH below the function instead of an event"},
    {'X', "method", "METHOD", "of --http; GET, or POST when there is data"},
    {'H', "header", "LINE", "'Name: value' for --http; may be repeated"},
    {'i', "include", NULL, "with --http: the answer's status and header, too"},
    {0},
};
const struct command cmd_invoke = {
    .name = "invoke",
    .usage = "FUNCTION[:ALIAS|@VERSION]",
    .summary = "Call a function and print its answer.",
    .details =
        "The event is --data, --file or what comes on stdin. The answer goes to stdout; where the time went goes to stderr.\n"
        "hob invoke shop/checkout -d '{\"id\": 5}'\n"
        "hob invoke shop/checkout:prod --http /5 -X POST -H 'Content-Type: text/plain' -d hello",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
