/* Flow of a stream: PAUSED (not yet, or flooding) <-> READING, -> ENDED at the pipe's end or at log_pump_finish.
 * Flow of a pump: OPEN <-> WRAPPED: at rest, both pipes are one descriptor, and neither stream is READING. */
#include "runner/logpump.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runner/files.h"
#include "runner/loglines.h"
#include "runner/parcel.h"

enum {
    READ_BYTES = 64 * 1024,
    PAUSE_MS = 10,                     /* with READ_BYTES: a flood is read at 6.5 MB/s at most */
    DRAIN_BYTES_MAX = 2 * 1024 * 1024, /* twice what a pipe can be made to hold without privileges */
};

enum stream_state { STREAM_READING, STREAM_PAUSED, STREAM_ENDED };

struct stream {
    uv_poll_t *poll; /* NULL while wrapped; frees itself */
    int fd;
    bool is_stderr;
    enum stream_state state;
    struct log_lines lines;
    struct log_pump *pump;
};

struct log_pump {
    struct stream streams[2];
    uv_loop_t *loop;
    uv_timer_t pause;
    struct files *files; /* NULL: OPEN */
    int parcel;          /* WRAPPED: both pipes */
    bool is_resting;
    struct log_rate rate;
    log_pump_line_cb cb;
    void *ctx;
};

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_pause_over(uv_timer_t *timer);
static void on_poll_closed(uv_handle_t *handle);

/* ---- steps ---- */

static bool stream_line(void *ctx, struct hob_str text, uint64_t dropped)
{
    struct stream *s = ctx;
    return s->pump->cb(s->pump->ctx, s->is_stderr, text, dropped);
}

static void stream_end(struct stream *s, uint64_t now_us)
{
    struct log_sink sink = {.line = stream_line, .ctx = s};
    if (s->state == STREAM_ENDED)
        return;
    s->state = STREAM_ENDED;
    if (s->poll)
        (void)uv_poll_stop(s->poll);
    log_lines_finish(&s->lines, &s->pump->rate, now_us, &sink);
}

static void stream_pause(struct stream *s)
{
    s->state = STREAM_PAUSED;
    (void)uv_poll_stop(s->poll);
    if (!uv_is_active((uv_handle_t *)&s->pump->pause))
        (void)uv_timer_start(&s->pump->pause, on_pause_over, PAUSE_MS, 0);
}

static void stream_resume(struct stream *s)
{
    if (s->state != STREAM_PAUSED)
        return;
    s->state = STREAM_READING;
    (void)uv_poll_start(s->poll, UV_READABLE, on_readable);
}

/* Reads once: > 0 bytes, 0 nothing there, -1 the end. */
static ssize_t stream_read(struct stream *s, bool can_pause)
{
    static char bytes[READ_BYTES]; /* one for all: the runner has one thread */
    struct log_sink sink = {.line = stream_line, .ctx = s};
    ssize_t n = read(s->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    uint64_t lost =
        log_lines_feed(&s->lines, hob_str_n(bytes, (size_t)n), &s->pump->rate, hob_now_us(), &sink);
    /* A line without end is thrown away behind its cut: nothing of it is counted, but it is a flood all the same. */
    if (can_pause && (lost || s->lines.is_skipping))
        stream_pause(s);
    return n;
}

static void stream_drain(struct stream *s)
{
    size_t total = 0;
    ssize_t n = 1;
    while (s->state != STREAM_ENDED && n > 0 && total < DRAIN_BYTES_MAX) {
        n = stream_read(s, false);
        total += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        stream_end(s, hob_now_us());
}

static int stream_watch(struct stream *s, int fd)
{
    s->fd = fd;
    s->poll = hob_new(uv_poll_t);
    int rc = uv_poll_init(s->pump->loop, s->poll, fd);
    s->poll->data = s;
    if (rc < 0) {
        free(s->poll);
        s->poll = NULL;
    }
    return rc;
}

/* The descriptor stays open. */
static void stream_unwatch(struct stream *s)
{
    if (s->poll)
        uv_close((uv_handle_t *)s->poll, on_poll_closed);
    s->poll = NULL;
    if (s->state == STREAM_READING)
        s->state = STREAM_PAUSED;
}

static void streams_watch_no_more(struct log_pump *p)
{
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        if (p->streams[i].poll)
            (void)uv_poll_stop(p->streams[i].poll);
}

static void streams_watch_again(struct log_pump *p)
{
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        if (p->streams[i].state == STREAM_READING)
            (void)uv_poll_start(p->streams[i].poll, UV_READABLE, on_readable);
}

/* What was written before and not yet read would lie there for as long as it rests. The kernel's watch list goes by file
 * and number: the files live on in the parcel, so they are taken off it while they still have their numbers. */
static void pump_wrap(struct log_pump *p, struct files *files)
{
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        stream_drain(&p->streams[i]);
    streams_watch_no_more(p);
    int fds[] = {p->streams[0].fd, p->streams[1].fd};
    p->parcel = parcel_wrap(fds);
    if (p->parcel < 0) {
        p->parcel = -1;
        streams_watch_again(p);
        return;
    }
    p->files = files;
    files->wrapped_n++;
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++) {
        stream_unwatch(&p->streams[i]);
        p->streams[i].fd = -1;
    }
}

static bool pump_unwrap(struct log_pump *p)
{
    int fds[2];
    if (!parcel_open(p->parcel, fds))
        return false;
    p->parcel = -1;
    p->files->wrapped_n--;
    p->files = NULL;
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        if (stream_watch(&p->streams[i], fds[i]) < 0)
            stream_end(&p->streams[i], hob_now_us());
    return true;
}

/* ---- callbacks ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct stream *s = poll->data;
    (void)events; /* an error or a hang-up is found by reading, too */
    if (stream_read(s, true) < 0 || status < 0)
        stream_end(s, hob_now_us());
}

static void on_pause_over(uv_timer_t *timer)
{
    struct log_pump *p = timer->data;
    if (p->files)
        log_pump_wake(p);
    else
        log_pump_go(p);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_closed(uv_handle_t *handle)
{
    struct log_pump *p = handle->data;
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        log_lines_done(&p->streams[i].lines);
    free(p);
}

/* ---- door ---- */

static int stream_open(struct log_pump *p, struct stream *s)
{
    s->pump = p;
    s->is_stderr = s == &p->streams[1];
    s->state = STREAM_PAUSED;
    log_lines_init(&s->lines);
    return stream_watch(s, s->fd);
}

struct log_pump *log_pump_start(uv_loop_t *loop, int stdout_fd, int stderr_fd, log_pump_line_cb cb, void *ctx,
                                struct hob_err *err)
{
    struct log_pump *p = hob_new(struct log_pump);
    *p = (struct log_pump){.loop = loop, .cb = cb, .ctx = ctx, .parcel = -1};
    p->streams[0].fd = stdout_fd; /* owned from here on, whatever becomes of the other */
    p->streams[1].fd = stderr_fd;
    log_rate_init(&p->rate, hob_now_us());
    (void)uv_timer_init(loop, &p->pause);
    p->pause.data = p;
    int rc = stream_open(p, &p->streams[0]);
    int rc_err = stream_open(p, &p->streams[1]);
    if (rc == 0 && rc_err == 0)
        return p;
    (void)hob_fail_errno(err, -(rc < 0 ? rc : rc_err), "watching an instance's output");
    log_pump_close(p);
    return NULL;
}

void log_pump_go(struct log_pump *p)
{
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++)
        stream_resume(&p->streams[i]);
}

bool log_pump_is_modest(const struct log_pump *p)
{
    return p->rate.tokens > HOB_MAX_LOG_BURST_BYTES / 2;
}

void log_pump_rest(struct log_pump *p, struct files *files)
{
    if (!p->files && files_shall_wrap(files))
        pump_wrap(p, files);
    if (p->files)
        (void)uv_timer_stop(&p->pause);
}

void log_pump_wake(struct log_pump *p)
{
    if (!p->files)
        return;
    if (files_can_unwrap(p->files) && pump_unwrap(p))
        log_pump_go(p);
    else
        (void)uv_timer_start(&p->pause, on_pause_over, PAUSE_MS, 0);
}

void log_pump_finish(struct log_pump *p)
{
    if (p->files) /* for a moment only: without asking whether there is room to spare */
        (void)pump_unwrap(p);
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++) {
        stream_drain(&p->streams[i]);
        stream_end(&p->streams[i], hob_now_us());
    }
}

void log_pump_close(struct log_pump *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < HOB_COUNT(p->streams); i++) {
        stream_unwatch(&p->streams[i]);
        hob_close_p(&p->streams[i].fd);
    }
    hob_close_p(&p->parcel);
    if (p->files)
        p->files->wrapped_n--;
    uv_close((uv_handle_t *)&p->pause, on_closed);
}
