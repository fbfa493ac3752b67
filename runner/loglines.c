#include "runner/loglines.h"

#include <stdio.h>

#include "base/limits.h"

/* What a line costs beside its bytes: it is a message and a JSON line of its own. */
enum { LINE_PRICE_BYTES = 64, US_PER_S = 1000000, ESCAPE_BYTES = 4 };

static const char cut_mark[] = " [cut: longer than log.line_bytes]";
static const char lost_mark[] = "[the last lines were dropped: more than log.bytes_per_second]";
enum { CLEAN_BYTES_MAX = HOB_MAX_LOG_LINE_BYTES * ESCAPE_BYTES + (int)sizeof cut_mark };

void log_rate_init(struct log_rate *r, uint64_t now_us)
{
    *r = (struct log_rate){.tokens = HOB_MAX_LOG_BURST_BYTES, .filled_us = now_us};
}

static void log_rate_fill(struct log_rate *r, uint64_t now_us)
{
    uint64_t past_us = now_us > r->filled_us ? now_us - r->filled_us : 0;
    if (past_us >= (uint64_t)US_PER_S * HOB_MAX_LOG_BURST_BYTES / HOB_MAX_LOG_BYTES_PER_S) {
        log_rate_init(r, now_us);
        return;
    }
    uint64_t gained = past_us * HOB_MAX_LOG_BYTES_PER_S / US_PER_S;
    if (gained == 0)
        return; /* keep the clock where it was, or short intervals would never add up */
    r->tokens += gained;
    if (r->tokens > HOB_MAX_LOG_BURST_BYTES)
        r->tokens = HOB_MAX_LOG_BURST_BYTES;
    r->filled_us = now_us;
}

bool log_rate_take(struct log_rate *r, size_t n, uint64_t now_us)
{
    size_t price = n + LINE_PRICE_BYTES;
    if (r->tokens < price)
        log_rate_fill(r, now_us);
    if (r->tokens < price)
        return false;
    r->tokens -= price;
    return true;
}

void log_lines_init(struct log_lines *l)
{
    *l = (struct log_lines){0};
    hob_buf_init(&l->partial, HOB_MAX_LOG_LINE_BYTES);
}

void log_lines_done(struct log_lines *l)
{
    hob_buf_done(&l->partial);
}

/* Bytes of the well-formed, harmless character at the front of `s`; 0 when its first byte must be escaped. */
static size_t harmless(struct hob_str s)
{
    unsigned char c = (unsigned char)s.at[0];
    if (c < 0x80)
        return c == '\t' || (c >= 0x20 && c != 0x7f) ? 1 : 0;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (n > s.n || !hob_utf8_is_valid(hob_str_n(s.at, n)))
        return 0;
    bool is_c1 = c == 0xc2 && (unsigned char)s.at[1] < 0xa0; /* U+0080 to U+009F steer terminals too */
    return is_c1 ? 0 : n;
}

static void put_clean(struct hob_buf *out, struct hob_str s)
{
    while (s.n) {
        size_t run = 0, n;
        while (run < s.n && (n = harmless(hob_str_n(s.at + run, s.n - run))))
            run += n;
        char *room = hob_buf_room(out, run + ESCAPE_BYTES + 1);
        HOB_ASSERT(room); /* born large enough for the longest line, all of it escaped */
        memcpy(room, s.at, run);
        hob_buf_grew(out, run);
        s = hob_str_n(s.at + run, s.n - run);
        if (s.n == 0)
            return;
        (void)snprintf(room + run, ESCAPE_BYTES + 1, "\\x%02x", (unsigned char)s.at[0]);
        hob_buf_grew(out, ESCAPE_BYTES);
        s = hob_str_n(s.at + 1, s.n - 1);
    }
}

/* Without a character whose end the cut took away, so that it is not shown as broken. */
static struct hob_str whole_characters(struct hob_str s)
{
    for (size_t back = 1; back <= 3 && back < s.n; back++) {
        unsigned char c = (unsigned char)s.at[s.n - back];
        size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        if (c >= 0xc0 && need > back)
            return hob_str_n(s.at, s.n - back);
        if ((c & 0xc0) != 0x80)
            return s;
    }
    return s;
}

static void hand_out(struct log_lines *l, struct hob_str line, bool is_cut, struct log_rate *rate,
                     uint64_t now_us, const struct log_sink *sink)
{
    if (!is_cut && line.n && line.at[line.n - 1] == '\r')
        line.n--;
    if (!log_rate_take(rate, line.n, now_us)) {
        l->dropped++;
        return;
    }
    hob_auto_buf struct hob_buf clean;
    hob_buf_init(&clean, CLEAN_BYTES_MAX + ESCAPE_BYTES + 1);
    put_clean(&clean, is_cut ? whole_characters(line) : line);
    if (is_cut && hob_buf_add(&clean, cut_mark, sizeof cut_mark - 1) != HOB_OK)
        HOB_ASSERT(!"the mark fits");
    if (sink->line(sink->ctx, hob_buf_str(&clean), l->dropped))
        l->dropped = 0;
    else
        l->dropped++;
}

/* `part` belongs to the line that is being collected; hands it out cut when it grows too long. */
static void collect(struct log_lines *l, struct hob_str part, struct log_rate *rate, uint64_t now_us,
                    const struct log_sink *sink)
{
    size_t left = HOB_MAX_LOG_LINE_BYTES - l->partial.n;
    if (l->is_skipping || part.n == 0)
        return;
    size_t n = part.n < left ? part.n : left;
    if (hob_buf_add(&l->partial, part.at, n) != HOB_OK)
        HOB_ASSERT(!"the buffer is as large as a line may be");
    if (part.n <= left)
        return;
    hand_out(l, hob_buf_str(&l->partial), true, rate, now_us, sink);
    hob_buf_clear(&l->partial);
    l->is_skipping = true;
}

static void end_line(struct log_lines *l, struct hob_str last, struct log_rate *rate, uint64_t now_us,
                     const struct log_sink *sink)
{
    bool is_whole = l->partial.n == 0 && !l->is_skipping && last.n <= HOB_MAX_LOG_LINE_BYTES;
    if (is_whole) { /* the usual case: no copy */
        hand_out(l, last, false, rate, now_us, sink);
        return;
    }
    collect(l, last, rate, now_us, sink);
    if (!l->is_skipping)
        hand_out(l, hob_buf_str(&l->partial), false, rate, now_us, sink);
    l->is_skipping = false;
    hob_buf_done(&l->partial); /* a quiet stream holds no memory */
    hob_buf_init(&l->partial, HOB_MAX_LOG_LINE_BYTES);
}

uint64_t log_lines_feed(struct log_lines *l, struct hob_str bytes, struct log_rate *rate, uint64_t now_us,
                        const struct log_sink *sink)
{
    uint64_t lost = 0;
    while (bytes.n) {
        struct hob_str rest, line = hob_str_cut(bytes, '\n', &rest);
        uint64_t before = l->dropped;
        if (!rest.at) {
            collect(l, line, rate, now_us, sink);
            bytes.n = 0;
        } else {
            end_line(l, line, rate, now_us, sink);
            bytes = rest;
        }
        lost += l->dropped > before ? 1 : 0;
    }
    return lost;
}

void log_lines_finish(struct log_lines *l, struct log_rate *rate, uint64_t now_us,
                      const struct log_sink *sink)
{
    if (l->partial.n)
        end_line(l, (struct hob_str){"", 0}, rate, now_us, sink);
    if (l->dropped && sink->line(sink->ctx, hob_str_n(lost_mark, sizeof lost_mark - 1), l->dropped))
        l->dropped = 0;
}
