#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"

enum { LINE_BYTES_MAX = 2048 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *program_name = "hob";
static enum hob_log_level level_min = HOB_LOG_INFO;
static bool is_json;

void hob_log_init(const char *program)
{
    program_name = program;
    const char *format = hob_env("HOB_LOG_FORMAT");
    is_json = format ? strcmp(format, "json") == 0 : !isatty(STDERR_FILENO);
    const char *level = hob_env("HOB_LOG_LEVEL");
    for (size_t i = 0; level && i < HOB_COUNT(level_names); i++)
        if (strcmp(level, level_names[i]) == 0)
            level_min = (enum hob_log_level)i;
}

/* Control characters, quotes and backslashes must not break out of a line or of a JSON string. */
static size_t put_escaped(char *out, size_t cap, const char *in)
{
    size_t n = 0;
    for (; *in && n + 7 < cap; in++) {
        unsigned char c = (unsigned char)*in;
        if (is_json && (c == '"' || c == '\\')) {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, cap - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

static size_t put_prefix(char *line, size_t cap, enum hob_log_level level, const char *event)
{
    struct timeval tv;
    struct tm tm;
    (void)gettimeofday(&tv, NULL);
    (void)gmtime_r(&tv.tv_sec, &tm);
    char when[32];
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = (int)(tv.tv_usec / 1000);
    int n =
        is_json
            ? snprintf(
                  line, cap,
                  "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"program\":\"%s\",\"event\":\"%s\",\"text\":\"",
                  when, ms, level_names[level], program_name, event)
            : snprintf(line, cap, "%s.%03dZ %-5s %s %s ", when, ms, level_names[level], program_name, event);
    return (size_t)n < cap ? (size_t)n : cap - 1;
}

void hob_log(enum hob_log_level level, const char *event, const char *fmt, ...)
{
    if (level < level_min)
        return;
    char text[LINE_BYTES_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char line[LINE_BYTES_MAX];
    size_t n = put_prefix(line, sizeof line / 4, level, event);
    n += put_escaped(line + n, sizeof line - n - 4, text);
    if (is_json) {
        line[n++] = '"';
        line[n++] = '}';
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* a log that cannot be written has nobody to tell */
}
