#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/logs/logs_priv.h"

/* Flow of one reading:
 *
 *   QUEUED -> CUT -> READING -> GIVING -> gone
 *
 * CUT: the lines that waited at that moment are on their way to disk; later ones are kept in `live`, so none is
 * missed or given twice. READING: with the worker. GIVING: `sending` goes out in pieces, then `live`, and when nobody
 * follows, the end. Paused by the reader's wish at any time. Closing while READING frees when the worker is done. */
enum reader_state { READER_QUEUED, READER_CUT, READER_READING, READER_GIVING };
enum { PIECE_BYTES = 64 * 1024 };

struct log_reader {
    struct hob_node link; /* in logs->readers */
    struct logs *logs;
    enum reader_state state;
    char *key, *path, *request;
    struct log_match match;
    uint32_t tail;
    bool is_following, is_paused, is_closed, is_giving;
    struct hob_buf sending, live;
    uint64_t dropped;   /* live lines that did not fit */
    struct hob_err err; /* what ends it, code HOB_OK when nothing failed */
    const struct log_events *events;
    void *ctx;
};

static struct log_reader *reader_of(struct hob_node *node)
{
    return HOB_CONTAINER_OF(node, struct log_reader, link);
}

static void reader_free(struct log_reader *r)
{
    hob_list_remove(&r->link);
    r->logs->stats.readers--;
    hob_buf_done(&r->sending);
    hob_buf_done(&r->live);
    free(r->key);
    free(r->path);
    free(r->request);
    free(r);
}

struct log_reader *logs_read(struct logs *l, const struct log_query *q, const struct log_events *events,
                             void *ctx, struct hob_err *err)
{
    if (l->is_closing) {
        (void)hob_fail_reason(err, HOB_E_UNAVAILABLE, "shutting_down", "hobd is shutting down");
        return NULL;
    }
    if (l->stats.readers >= HOB_MAX_LOG_READERS) {
        (void)hob_fail_reason(err, HOB_E_BUSY, "too_many_readers",
                              "%d readings of logs are at work (log.readers); end one of them",
                              HOB_MAX_LOG_READERS);
        return NULL;
    }
    HOB_ASSERT(q->tail <= HOB_MAX_LOG_TAIL_LINES);
    struct log_reader *r = hob_new(struct log_reader);
    r->logs = l;
    r->key = hob_asprintf("%s/%s", q->app, q->function);
    r->path = logs_path(l, r->key);
    r->request = q->request ? hob_strdup(q->request) : NULL;
    r->match = (struct log_match){.level_min = q->level_min, .request = r->request};
    if (q->since_ms)
        hob_utc_format(q->since_ms, r->match.since);
    r->tail = q->tail;
    r->is_following = q->is_following;
    hob_buf_init(&r->sending, HOB_MAX_LOG_TAIL_BYTES);
    hob_buf_init(&r->live, HOB_MAX_LOG_FOLLOW_BYTES);
    r->events = events;
    r->ctx = ctx;
    hob_list_push_back(&l->readers, &r->link);
    l->stats.readers++;
    logs_pump(l);
    return r;
}

/* --- steps ------------------------------------------------------------------------------------------------------- */

void log_readers_mark_cut(struct logs *l)
{
    HOB_LIST_EACH(&l->readers, node, next)
    {
        struct log_reader *r = reader_of(node);
        if (r->state == READER_QUEUED)
            r->state = READER_CUT;
    }
}

bool log_readers_wait(const struct logs *l)
{
    HOB_LIST_EACH(&l->readers, node, next)
    if (reader_of(node)->state < READER_READING)
        return true;
    return false;
}

struct log_reader *log_readers_next(struct logs *l)
{
    HOB_LIST_EACH(&l->readers, node, next)
    {
        struct log_reader *r = reader_of(node);
        if (r->state == READER_CUT) {
            r->state = READER_READING;
            return r;
        }
    }
    return NULL;
}

void log_reader_work(struct log_reader *r)
{
    if (log_scan(r->path, &r->match, r->tail, &r->sending, &r->err) != HOB_OK)
        hob_buf_clear(&r->sending);
}

static void say_dropped(struct log_reader *r)
{
    char text[120];
    int n = snprintf(text, sizeof text, "%llu lines left out here: this reader was too slow for them",
                     (unsigned long long)r->dropped);
    struct log_line line = {.utc_ms = hob_utc_ms(),
                            .level = HOB_CHLOG_WARN,
                            .stream = "platform",
                            .text = hob_str_n(text, (size_t)n)};
    if (log_line_write(&line, &r->live) == HOB_OK)
        r->dropped = 0;
}

/* Bytes of `sending` that make the next piece: whole lines, at least one. */
static size_t piece_bytes(struct hob_str all)
{
    if (all.n <= PIECE_BYTES)
        return all.n;
    const char *end = memrchr(all.at, '\n', PIECE_BYTES);
    if (!end)
        end = memchr(all.at, '\n', all.n);
    return end ? (size_t)(end - all.at) + 1 : all.n;
}

/* Live lines take the place of what was sent. */
static bool refill(struct log_reader *r)
{
    if (r->dropped && r->live.n < HOB_MAX_LOG_FOLLOW_BYTES / 2)
        say_dropped(r);
    if (!r->live.n)
        return false;
    hob_buf_clear(&r->sending);
    HOB_ASSERT(hob_buf_add_str(&r->sending, hob_buf_str(&r->live)) == HOB_OK);
    hob_buf_clear(&r->live);
    return true;
}

/* The listener may close the reader from inside its callback. */
static void reader_give(struct log_reader *r)
{
    if (r->is_giving || r->state != READER_GIVING)
        return;
    r->is_giving = true;
    while (!r->is_closed && !r->is_paused && (r->sending.n || refill(r))) {
        struct hob_str all = hob_buf_str(&r->sending);
        size_t n = piece_bytes(all);
        r->is_paused = !r->events->on_lines(r->ctx, hob_str_n(all.at, n));
        hob_buf_consume(&r->sending, n);
    }
    r->is_giving = false;
    bool is_ended = !r->is_closed && !r->is_paused && !r->is_following;
    if (is_ended)
        r->events->on_end(r->ctx, r->err.code != HOB_OK ? &r->err : NULL);
    if (is_ended || r->is_closed)
        reader_free(r);
}

/* Nothing more is given; what was found is thrown away. */
static void reader_shut(struct log_reader *r)
{
    (void)hob_fail_reason(&r->err, HOB_E_UNAVAILABLE, "shutting_down", "hobd is shutting down");
    r->is_following = r->is_paused = false;
    r->dropped = 0;
    hob_buf_clear(&r->sending);
    hob_buf_clear(&r->live);
    reader_give(r);
}

void log_reader_worked(struct log_reader *r)
{
    HOB_ASSERT(r->state == READER_READING);
    r->state = READER_GIVING;
    if (r->is_closed) {
        reader_free(r);
    } else if (r->logs->is_closing) {
        reader_shut(r);
    } else {
        if (r->err.code != HOB_OK)
            r->is_following = false;
        reader_give(r);
    }
}

void log_readers_feed(struct logs *l, const char *key, struct hob_str line)
{
    HOB_LIST_EACH(&l->readers, node, next)
    {
        struct log_reader *r = reader_of(node);
        if (!r->is_following || r->is_closed || r->state == READER_QUEUED || strcmp(r->key, key) != 0 ||
            !log_line_matches(line, &r->match))
            continue;
        if (r->dropped || hob_buf_add_str(&r->live, line) != HOB_OK)
            r->dropped++;
        reader_give(r);
    }
}

void log_readers_end(struct logs *l, const char *key)
{
    HOB_LIST_EACH(&l->readers, node, next)
    {
        struct log_reader *r = reader_of(node);
        if (key && strcmp(r->key, key) != 0)
            continue;
        r->is_following = false;
        if (l->is_closing && r->state == READER_GIVING)
            reader_shut(r);
        else
            reader_give(r);
    }
}

/* --- door -------------------------------------------------------------------------------------------------------- */

void log_reader_resume(struct log_reader *r)
{
    r->is_paused = false;
    reader_give(r);
}

void log_reader_close(struct log_reader *r)
{
    r->is_closed = true;
    if (!r->is_giving && r->state != READER_READING)
        reader_free(r);
}
