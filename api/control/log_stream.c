#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/control/control_priv.h"
#include "base/limits.h"
#include "base/mem.h"

/* Flow of a reading: HEAD -> lines as they come -> END, or the client goes. A client that is slow pauses the reader,
 * which bounds and counts what it cannot keep (controller/logs.h). */
enum { TAIL_DEFAULT = 100 };

struct log_stream {
    struct call *call;
    struct log_reader *reader;
};

static void stream_over(struct log_stream *s)
{
    struct call *c = s->call;
    call_streamed(c);
    free(s);
    call_release(c);
}

static bool on_lines(void *ctx, struct hob_str lines)
{
    struct log_stream *s = ctx;
    return http_write(s->call->x, lines) < HOB_MAX_HTTP_CONN_BUFFER_BYTES;
}

static void on_end(void *ctx, const struct hob_err *err)
{
    struct log_stream *s = ctx;
    if (err)
        http_abort(s->call->x);
    else
        http_end(s->call->x, NULL, 0);
    stream_over(s);
}

static void on_drain(void *ctx)
{
    struct log_stream *s = ctx;
    log_reader_resume(s->reader);
}

static void on_gone(void *ctx)
{
    struct log_stream *s = ctx;
    log_reader_close(s->reader);
    stream_over(s);
}

static const struct log_events reader_events = {.on_lines = on_lines, .on_end = on_end};
static const struct call_stream log_stream = {.on_drain = on_drain, .on_gone = on_gone};

/* --- the query ---------------------------------------------------------------------------------------------------- */

/* "2026-11-20", "2026-11-20T05:22:00Z", with a fraction or without. */
static bool parse_time(struct hob_str text, int64_t *ret_ms)
{
    char copy[40];
    struct tm tm = {0};
    if (text.n >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.n);
    copy[text.n] = '\0';
    const char *end = strptime(copy, "%Y-%m-%d", &tm);
    int64_t ms = 0;
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%S", &tm);
    if (end && *end == '.') {
        end++;
        for (int64_t unit = 100; *end >= '0' && *end <= '9'; end++, unit /= 10)
            ms += (*end - '0') * unit;
    }
    if (!end || !(*end == '\0' || strcmp(end, "Z") == 0))
        return false;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return *ret_ms > 0;
}

static enum hob_code read_query(const struct call *c, struct log_query *q, struct hob_err *err)
{
    struct hob_str tail = call_query(c, "tail"), follow = call_query(c, "follow"),
                   since = call_query(c, "since"), level = call_query(c, "level"),
                   request = call_query(c, "request");
    uint64_t n = since.n ? HOB_MAX_LOG_TAIL_LINES : TAIL_DEFAULT;
    if (tail.at && (!hob_str_u64(tail, &n) || n > HOB_MAX_LOG_TAIL_LINES))
        return hob_fail(err, HOB_E_INVALID, "the query: tail must be a number from 0 to %d",
                        HOB_MAX_LOG_TAIL_LINES);
    if (follow.at && !hob_str_is(follow, "1") && !hob_str_is(follow, "0"))
        return hob_fail(err, HOB_E_INVALID, "the query: follow must be 1 or 0");
    if (since.n && !parse_time(since, &q->since_ms))
        return hob_fail(err, HOB_E_INVALID, "the query: since must be a time like 2026-11-20T05:22:00Z");
    q->level_min = level.n ? log_level_of(level) : 0;
    if (level.n && !q->level_min)
        return hob_fail(err, HOB_E_INVALID, "the query: level must be debug, info, warn or error");
    if (request.n > 128)
        return hob_fail(err, HOB_E_INVALID, "the query: request has %zu characters; ids have at most 128",
                        request.n);
    q->tail = (uint32_t)n;
    q->is_following = follow.at && hob_str_is(follow, "1");
    return HOB_OK;
}

void log_streams_end(struct control *control)
{
    HOB_LIST_EACH(&control->calls, node, next)
    {
        struct call *c = HOB_CONTAINER_OF(node, struct call, link);
        if (c->stream != &log_stream)
            continue;
        struct log_stream *s = c->stream_ctx;
        log_reader_close(s->reader);
        http_end(c->x, NULL, 0);
        stream_over(s);
    }
}

void handle_logs(struct call *c)
{
    struct hob_err err = {0};
    struct log_query q = {.app = c->copies[0], .function = c->copies[1]};
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/x-ndjson")},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")}};
    if (!call_function(c))
        return;
    if (read_query(c, &q, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    hob_auto_free char *request = call_query(c, "request").n
                                      ? hob_strndup(call_query(c, "request").at, call_query(c, "request").n)
                                      : NULL;
    q.request = request;
    struct log_stream *s = hob_new(struct log_stream);
    s->call = c;
    s->reader = logs_read(c->control->o.logs, &q, &reader_events, s, &err);
    if (!s->reader) {
        free(s);
        call_fail(c, &err);
        return;
    }
    call_hold(c);
    call_stream_begin(c, &log_stream, s);
    http_head(c->x, c->route->status, fields, HOB_COUNT(fields), HTTP_LENGTH_UNKNOWN);
}
