/* Flow: STREAM -> (the connection ends, with --follow) -> WAIT -> STREAM with since=the last line's time. Lines of that
 * very millisecond that were printed already are known by their hash and not printed twice. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum {
    LINE_BYTES_MAX = 8 * HOB_MAX_LOG_LINE_BYTES,
    SEEN_MAX = 256,
    WAIT_MS_MIN = 500,
    WAIT_MS_MAX = 5000,
    TIME_CHARS = 40
};

struct stream {
    struct cli *c;
    struct hob_buf line;        /* what has come of the next line */
    char last_time[TIME_CHARS]; /* of the newest line; "" before the first */
    unsigned seen[SEEN_MAX];    /* hashes of the lines of that time */
    size_t seen_n, skip_n;      /* how many; how many of them may come again after a reconnection */
    bool is_broken;             /* stdout does not take more */
    bool is_line_lost;          /* a line too long is being dropped */
};

/* Printing a line ------------------------------------------------------------------------------------------------- */

static const char *level_colour(struct cli *c, const char *level)
{
    enum colour colour = COLOUR_DIM;
    if (strcmp(level, "error") == 0)
        colour = COLOUR_RED;
    else if (strcmp(level, "warn") == 0)
        colour = COLOUR_YELLOW;
    else if (strcmp(level, "info") == 0)
        colour = COLOUR_GREEN;
    return colour_on(c->has_colour_out, colour);
}

static void print_text(struct cli *c, struct hob_str text)
{
    if (c->is_out_terminal)
        print_safe(c->out, text, "\t");
    else
        (void)fwrite(text.at, 1, text.n, c->out);
}

static void print_line(struct cli *c, const json_t *j)
{
    const char *time = text_of(j, "time"), *level = text_of(j, "level");
    const json_t *text = json_object_get(j, "text");
    struct hob_str s = hob_str_n(json_string_value(text), json_string_length(text));
    while (s.n && (s.at[s.n - 1] == '\n' || s.at[s.n - 1] == '\r'))
        s.n--;
    (void)fprintf(c->out, "%s", colour_on(c->has_colour_out, COLOUR_DIM));
    print_text(c, hob_str(time));
    (void)fprintf(c->out, " v%lld%s %s", (long long)json_integer_value(json_object_get(j, "version")),
                  colour_off(c->has_colour_out), level_colour(c, level));
    print_text(c, hob_str(*level ? level : text_of(j, "stream")));
    (void)fprintf(c->out, "%s ", colour_off(c->has_colour_out));
    print_text(c, s);
    (void)fputc('\n', c->out);
}

/* Remembering what was printed ------------------------------------------------------------------------------------- */

/* False when the line was printed before the connection was lost. */
static bool is_fresh(struct stream *s, const char *time, struct hob_str line)
{
    unsigned hash = hob_hash(line.at, line.n);
    if (strcmp(time, s->last_time) != 0) {
        (void)snprintf(s->last_time, sizeof s->last_time, "%s", time);
        s->seen_n = s->skip_n = 0;
    }
    for (size_t i = 0; i < s->skip_n; i++)
        if (s->seen[i] == hash) {
            s->seen[i] = s->seen[--s->skip_n]; /* each stands for one line: equal lines are counted */
            s->seen[s->skip_n] = hash;
            return false;
        }
    if (s->seen_n < SEEN_MAX)
        s->seen[s->seen_n++] = hash;
    return true;
}

static void take_line(struct stream *s, struct hob_str line)
{
    struct hob_err ignored;
    line = hob_str_trim(line);
    if (line.n == 0) /* the server's sign of life */
        return;
    hob_auto_json json_t *j = hob_json_parse(line, "a log line", &ignored);
    if (j && !is_fresh(s, text_of(j, "time"), line))
        return;
    if (!j || s->c->is_json) {
        print_text(s->c, line);
        (void)fputc('\n', s->c->out);
    } else {
        print_line(s->c, j);
    }
}

static bool on_data(void *ctx, struct hob_str data)
{
    struct stream *s = ctx;
    while (data.n) {
        const char *end = memchr(data.at, '\n', data.n);
        struct hob_str part = hob_str_n(data.at, end ? (size_t)(end - data.at) : data.n);
        if (!s->is_line_lost && hob_buf_add_str(&s->line, part) != HOB_OK)
            s->is_line_lost = true;
        if (!end)
            break;
        if (!s->is_line_lost)
            take_line(s, hob_buf_str(&s->line));
        s->is_line_lost = false;
        hob_buf_clear(&s->line);
        data = hob_str_n(end + 1, data.n - part.n - 1);
    }
    s->is_broken = fflush(s->c->out) != 0;
    return !s->is_broken;
}

/* The request ------------------------------------------------------------------------------------------------------ */

/* "90s", "10m", "2h", "3d" back from now, or a time as the server takes it. */
static enum hob_code since_parse(const char *text, char out[TIME_CHARS], struct hob_err *err)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t n = strlen(text);
    uint64_t v;
    for (size_t i = 0; i < HOB_COUNT(units); i++)
        if (n > 1 && text[n - 1] == units[i].unit && hob_str_u64(hob_str_n(text, n - 1), &v) && v <= 36500) {
            char iso[25];
            hob_utc_format(hob_utc_ms() - (int64_t)(v * units[i].seconds * 1000), iso);
            (void)snprintf(out, TIME_CHARS, "%s", iso);
            return HOB_OK;
        }
    bool is_iso = n >= 10 && n < TIME_CHARS && strspn(text, "0123456789-:.TZ+") == n && text[4] == '-' &&
                  text[7] == '-';
    if (!is_iso)
        return hob_fail(err, HOB_E_INVALID,
                        "--since '%.40s': give a span (90s, 10m, 2h, 3d) or a time (2026-11-20T05:22:00Z)",
                        text);
    (void)snprintf(out, TIME_CHARS, "%s", text);
    return HOB_OK;
}

static char *logs_path(const struct args *a, const struct target *t, const char *since, bool is_again)
{
    const char *level = args_has(a, "level") ? args_get(a, "level") : "";
    const char *request = args_has(a, "request") ? args_get(a, "request") : "";
    hob_auto_free char *path = url_path("/v1/apps/%s/functions/%s/logs", t->app, t->function);
    hob_auto_free char *query = url_path("&since=%s&level=%s&request=%s", since, level, request);
    struct hob_buf b;
    hob_buf_init(&b, 65536);
    enum hob_code code = hob_buf_addf(&b, "%s?%s", path, args_has(a, "follow") ? "follow=1" : "follow=0");
    if (code == HOB_OK && !is_again && (args_has(a, "tail") || !*since))
        code = hob_buf_addf(&b, "&tail=%s", args_has(a, "tail") ? args_get(a, "tail") : "100");
    for (struct hob_str rest = hob_str(query + 1); rest.at && code == HOB_OK;) {
        struct hob_str value, one = hob_str_cut(rest, '&', &rest); /* those without a value stay away */
        (void)hob_str_cut(one, '=', &value);
        if (value.n)
            code = hob_buf_addf(&b, "&%.*s", HOB_STR_ARG(one));
    }
    HOB_ASSERT(code == HOB_OK || code == HOB_E_TOO_LARGE);
    char *full = hob_buf_take(&b);
    hob_buf_done(&b);
    return full;
}

static enum hob_code stream_once(struct stream *s, const char *path, struct response *r, struct hob_err *err)
{
    struct request q = {.method = "GET", .path = path, .on_data = on_data, .ctx = s};
    hob_buf_clear(&s->line);
    s->is_line_lost = false;
    s->skip_n = s->seen_n;
    return client_send(s->c, &q, r, err);
}

static bool may_come_back(enum hob_code code)
{
    return code == HOB_OK || code == HOB_E_UNAVAILABLE || code == HOB_E_TIMEOUT || code == HOB_E_BUSY;
}

static enum hob_code follow(struct stream *s, const struct args *a, const struct target *t, const char *since,
                            struct hob_err *err)
{
    struct response r;
    response_init(&r);
    bool is_following = args_has(a, "follow"), was_connected = false;
    uint64_t wait_ms = WAIT_MS_MIN;
    enum hob_code code;
    for (;;) {
        hob_auto_free char *path =
            logs_path(a, t, s->last_time[0] ? s->last_time : since, was_connected && s->last_time[0]);
        code = stream_once(s, path, &r, err);
        bool is_connected = r.status == 200;
        if (s->is_broken || signals_interrupted() || !is_following || !may_come_back(code) ||
            (!is_connected && !was_connected))
            break;
        if (is_connected)
            wait_ms = WAIT_MS_MIN;
        was_connected = true;
        note(s->c, "hob: the connection ended; trying again");
        (void)usleep((useconds_t)wait_ms * 1000);
        wait_ms = wait_ms * 2 > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms * 2;
        if (signals_interrupted())
            break;
    }
    response_done(&r);
    if (signals_interrupted())
        return hob_fail(err, HOB_E_CANCELLED, "interrupted");
    return code;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct target t;
    uint64_t tail;
    char since[TIME_CHARS] = "";
    const char *level = args_get(a, "level");
    bool is_level = !level;
    for (size_t i = 0; i < HOB_COUNT(levels) && level; i++)
        is_level = is_level || strcmp(levels[i], level) == 0;
    if (!is_level)
        return hob_fail(err, HOB_E_INVALID, "--level '%.40s': give debug, info, warn or error", level);
    if (args_number(a, "tail", 100, 1000000, &tail, err) != HOB_OK ||
        target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK)
        return err->code;
    if (args_has(a, "since") && since_parse(args_get(a, "since"), since, err) != HOB_OK)
        return err->code;
    struct stream s = {.c = c};
    hob_buf_init(&s.line, LINE_BYTES_MAX);
    enum hob_code code = follow(&s, a, &t, since, err);
    hob_buf_done(&s.line);
    target_suggest(c, &t, err);
    return code;
}

static const struct option options[] = {
    {'f', "follow", NULL, "stay and print lines as they come; comes back after a lost connection"},
    {'n', "tail", "N", "only the last N lines (100, or all with --since)"},
    {0, "since", "TIME", "only later lines: a span (90s, 10m, 2h, 3d) or a time (2026-11-20T05:22:00Z)"},
    {0, "level", "LEVEL", "only this level and above: debug, info, warn, error"},
    {0, "request", "ID", "only lines of that request"},
    OPTION_APP,
    {0},
};
const struct command cmd_logs = {
    .name = "logs",
    .usage = "FUNCTION",
    .summary = "Print what a function wrote, or follow it.",
    .details =
        "With --json each line is a document as the server keeps it. Ctrl-C ends --follow with exit code 130.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
