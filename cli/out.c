#include "cli/out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include "base/banned.h"

/* Colours -------------------------------------------------------------------------------------------------------- */

const char *colour_on(bool has_colour, enum colour colour)
{
    static const char *const codes[] = {"",         "\033[1m",  "\033[2m", "\033[31m",
                                        "\033[32m", "\033[33m", "\033[36m"};
    return has_colour ? codes[colour] : "";
}

const char *colour_off(bool has_colour)
{
    return has_colour ? "\033[0m" : "";
}

/* Harmless text -------------------------------------------------------------------------------------------------- */

/* Length of a sequence that may go to a terminal as it is, or 0. C1 controls (U+0080 to U+009F) act like escapes. */
static size_t harmless(const unsigned char *at, size_t n, const char *allowed)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return at[0] && strchr(allowed, at[0]) ? 1 : 0;
    if (at[0] < 0x80)
        return 1;
    size_t k = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (k > n || !hob_utf8_is_valid(hob_str_n(at, k)) || (at[0] == 0xc2 && at[1] < 0xa0))
        return 0;
    return k;
}

enum hob_code safe_text(struct hob_buf *out, struct hob_str text, const char *allowed)
{
    const unsigned char *at = (const unsigned char *)text.at;
    size_t left = text.n;
    while (left) {
        size_t run = 0, k;
        while (run < left && (k = harmless(at + run, left - run, allowed)) > 0)
            run += k;
        if (hob_buf_add(out, at, run) != HOB_OK)
            return HOB_E_TOO_LARGE;
        at += run;
        left -= run;
        if (left && hob_buf_addf(out, "\\x%02x", at[0]) != HOB_OK)
            return HOB_E_TOO_LARGE;
        at += left ? 1 : 0;
        left -= left ? 1 : 0;
    }
    return HOB_OK;
}

void print_safe(FILE *to, struct hob_str text, const char *allowed)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, text.n * 4 + 1);
    HOB_ASSERT(safe_text(&b, text, allowed) == HOB_OK);
    (void)fwrite(hob_buf_str(&b).at, 1, b.n, to);
}

/* Tables --------------------------------------------------------------------------------------------------------- */

void table_init(struct table *t, size_t columns, const char *const *heads)
{
    HOB_ASSERT(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){.columns = columns};
    for (size_t i = 0; i < columns; i++)
        table_cell(t, heads[i][0] ? heads[i] : " ");
}

void table_cell(struct table *t, const char *text)
{
    if (t->cells_n == t->cells_cap) {
        t->cells_cap = t->cells_cap ? t->cells_cap * 2 : 64;
        t->cells = hob_realloc(t->cells, t->cells_cap, sizeof t->cells[0]);
    }
    struct hob_str s = hob_str(text && text[0] ? text : "-");
    struct hob_buf b;
    hob_buf_init(&b, s.n * 4 + 1);
    HOB_ASSERT(safe_text(&b, s, "") == HOB_OK);
    t->cells[t->cells_n++] = hob_buf_take(&b);
    hob_buf_done(&b);
}

void table_cellf(struct table *t, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    table_cell(t, text);
}

/* Code points stand for columns: names are ASCII, and texts are in the last column. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void table_print(struct cli *c, struct table *t)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    HOB_ASSERT(t->cells_n % t->columns == 0);
    for (size_t i = 0; i < t->cells_n; i++) {
        size_t w = width_of(t->cells[i]), col = i % t->columns;
        widths[col] = w > widths[col] ? w : widths[col];
    }
    for (size_t i = 0; i < t->cells_n; i++) {
        size_t col = i % t->columns;
        bool is_head = i < t->columns, is_last = col + 1 == t->columns;
        size_t pad = is_last ? 0 : widths[col] - width_of(t->cells[i]) + 2;
        (void)fprintf(c->out, "%s%s%s%*s", colour_on(is_head && c->has_colour_out, COLOUR_DIM), t->cells[i],
                      colour_off(is_head && c->has_colour_out), (int)pad, "");
        if (is_last)
            (void)fputc('\n', c->out);
        free(t->cells[i]);
    }
    free(t->cells);
    *t = (struct table){0};
}

/* Lines ---------------------------------------------------------------------------------------------------------- */

void print_json(struct cli *c, const json_t *j)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, SIZE_MAX / 4);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    hob_jw_json(&w, j);
    (void)fwrite(hob_buf_str(&b).at, 1, b.n, c->out);
    (void)fputc('\n', c->out);
}

void note(struct cli *c, const char *fmt, ...)
{
    if (c->is_quiet)
        return;
    hob_auto_free char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    print_safe(c->err, hob_str(text ? text : ""), "\n");
    (void)fputc('\n', c->err);
}

void warn(struct cli *c, const char *fmt, ...)
{
    hob_auto_free char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    (void)fprintf(c->err, "%shob: warning:%s ", colour_on(c->has_colour_err, COLOUR_YELLOW),
                  colour_off(c->has_colour_err));
    print_safe(c->err, hob_str(text ? text : ""), "\n");
    (void)fputc('\n', c->err);
}

void bytes_text(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1024 && u + 1 < HOB_COUNT(units)) {
        v /= 1024;
        u++;
    }
    (void)snprintf(out, 24, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void millis_text(double ms, char out[24])
{
    if (ms >= 1000)
        (void)snprintf(out, 24, "%.2f s", ms / 1000);
    else
        (void)snprintf(out, 24, ms < 10 ? "%.2f ms" : "%.1f ms", ms);
}

void age_text(int64_t ms, char out[24])
{
    int64_t s = ms < 0 ? 0 : ms / 1000;
    if (s < 60)
        (void)snprintf(out, 24, "%llds", (long long)s);
    else if (s < 3600)
        (void)snprintf(out, 24, "%lldm", (long long)(s / 60));
    else if (s < 172800)
        (void)snprintf(out, 24, "%lldh", (long long)(s / 3600));
    else
        (void)snprintf(out, 24, "%lldd", (long long)(s / 86400));
}

int64_t time_of(const json_t *value)
{
    if (json_is_integer(value))
        return json_integer_value(value);
    if (!json_is_string(value))
        return -1;
    struct tm tm = {0};
    const char *end = strptime(json_string_value(value), "%Y-%m-%dT%H:%M:%S", &tm);
    return end ? (int64_t)timegm(&tm) * 1000 : -1;
}

/* Asking --------------------------------------------------------------------------------------------------------- */

enum hob_code confirm(struct cli *c, const struct args *a, const char *question, struct hob_err *err)
{
    if (args_has(a, "yes"))
        return HOB_OK;
    if (!c->is_in_terminal)
        return hob_fail(err, HOB_E_INVALID, "%s say --yes: there is no terminal to ask on", question);
    (void)fprintf(c->err, "%s [y/N] ", question);
    (void)fflush(c->err);
    char line[8] = "";
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n > 0 && (line[0] == 'y' || line[0] == 'Y') && (line[1] == '\n' || strncmp(line + 1, "es\n", 3) == 0))
        return HOB_OK;
    return hob_fail(err, HOB_E_CANCELLED, "nothing was changed");
}

static enum hob_code read_line(struct hob_buf *out, struct hob_err *err)
{
    for (;;) {
        char ch;
        ssize_t n = read(STDIN_FILENO, &ch, 1);
        if (n < 0 && errno == EINTR && !signals_interrupted())
            continue;
        if (n < 0)
            return signals_interrupted() ? hob_fail(err, HOB_E_CANCELLED, "interrupted")
                                         : hob_fail_errno(err, errno, "reading from the terminal");
        if (n == 0 || ch == '\n')
            return HOB_OK;
        if (hob_buf_add(out, &ch, 1) != HOB_OK)
            return hob_fail(err, HOB_E_TOO_LARGE, "more than %zu bytes", out->max);
    }
}

enum hob_code read_secret(struct cli *c, const char *prompt, struct hob_buf *out, struct hob_err *err)
{
    if (!c->is_in_terminal) {
        enum hob_code code = hob_read_fd(STDIN_FILENO, "stdin", out, err);
        /* one line end is the shell's (echo), not the value's */
        if (code == HOB_OK && out->n && hob_buf_data(out)[out->n - 1] == '\n')
            out->n--;
        return code;
    }
    struct termios old, quiet;
    bool has_modes = tcgetattr(STDIN_FILENO, &old) == 0;
    (void)fprintf(c->err, "%s", prompt);
    (void)fflush(c->err);
    if (has_modes) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    enum hob_code code = read_line(out, err);
    if (has_modes)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    (void)fputc('\n', c->err);
    return code;
}
