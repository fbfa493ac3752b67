/* Requests as strangers send them: scanner, head parser and chunk decoder on any bytes. Oracles:
 *  - the outcome of one delivery equals that of any cut (the first byte chooses the cuts);
 *  - what is accepted as a chunked body, llhttp accepts too, with the same bytes and the same end;
 *  - canonical paths stay as they are when made canonical again, and hold no dot segment. */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/server/chunked.h"
#include "api/server/head.h"
#include "api/server/target.h"

/* Everything that a handler or a client could see, as text. */
struct trace {
    struct hob_buf text;
    struct hob_buf chunked; /* the raw bytes of the latest chunked body, */
    struct hob_buf body;    /* and what was decoded */
};

struct receiver {
    struct http_head_scan scan;
    struct hob_arena arena;
    struct http_head head;
    struct http_chunked chunked;
    uint64_t left;
    bool is_in_body, is_refused;
    struct trace *trace;
};

static void note(struct trace *t, const char *what, struct hob_str s)
{
    if (hob_buf_addf(&t->text, "%s(", what) != HOB_OK || hob_buf_add_str(&t->text, s) != HOB_OK ||
        hob_buf_add(&t->text, ")", 1) != HOB_OK)
        abort();
}

static void refuse(struct receiver *rx, const struct http_refusal *r)
{
    char status[16];
    if (!r->err.reason || r->status < 400 || r->status > 505)
        abort();
    (void)snprintf(status, sizeof status, "%d", r->status);
    note(rx->trace, status, hob_str(r->err.reason));
    rx->is_refused = true;
}

static void check_path(struct receiver *rx, struct hob_str path)
{
    struct hob_str again;
    if (rx->head.is_asterisk)
        return;
    if (http_path_canonical(&rx->arena, path, &again, NULL) != HOB_OK || !hob_str_eq(path, again))
        abort();
    for (size_t i = 0; i + 2 < path.n + 1; i++)
        if (path.at[i] == '/' && path.at[i + 1] == '.' &&
            (i + 2 == path.n || path.at[i + 2] == '/' ||
             (path.at[i + 2] == '.' && (i + 3 == path.n || path.at[i + 3] == '/'))))
            abort();
}

static void take_head(struct receiver *rx, struct hob_str bytes)
{
    struct http_refusal r = {0};
    unsigned fields = rx->scan.lines - 1;
    hob_arena_reset(&rx->arena);
    char *copy = hob_arena_strndup(&rx->arena, bytes.at, bytes.n);
    if (!copy)
        abort();
    if (!http_head_parse(copy, bytes.n, fields, &rx->arena, &rx->head, &r)) {
        refuse(rx, &r);
        return;
    }
    const struct http_request *q = &rx->head.request;
    check_path(rx, q->path);
    note(rx->trace, "method", q->method);
    note(rx->trace, "path", q->path);
    note(rx->trace, "query", q->query.at ? q->query : HOB_STR("-"));
    note(rx->trace, "host", q->host);
    for (size_t i = 0; i < q->fields_n; i++) {
        note(rx->trace, "name", q->fields[i].name);
        note(rx->trace, "value", q->fields[i].value);
        if (memchr(q->fields[i].value.at, '\n', q->fields[i].value.n) || q->fields[i].name.n == 0)
            abort();
    }
    rx->is_in_body = rx->head.body != HTTP_BODY_NONE;
    rx->left = rx->head.body == HTTP_BODY_LENGTH ? (uint64_t)q->body_bytes : 0;
    http_chunked_done(&rx->chunked);
    http_chunked_init(&rx->chunked);
    hob_buf_clear(&rx->trace->chunked);
    hob_buf_clear(&rx->trace->body);
}

static int on_llhttp_body(llhttp_t *p, const char *at, size_t n)
{
    return hob_buf_add(p->data, at, n) == HOB_OK ? 0 : -1;
}

static int on_llhttp_end(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

/* The second opinion, on bodies without extensions and trailers: there llhttp has a mind of its own (it refuses what
 * may stand in quotes, and judges a Content-Length among the trailers). */
static void ask_llhttp(const struct trace *t)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct hob_buf body;
    llhttp_settings_t settings;
    llhttp_t p;
    struct hob_str raw = hob_buf_str(&t->chunked);
    if (memchr(raw.at, ';', raw.n))
        return;
    hob_buf_init(&body, 1 << 24);
    llhttp_settings_init(&settings);
    settings.on_body = on_llhttp_body;
    settings.on_message_complete = on_llhttp_end;
    llhttp_init(&p, HTTP_REQUEST, &settings);
    p.data = &body;
    if (llhttp_execute(&p, head, sizeof head - 1) != HPE_OK)
        abort();
    if (llhttp_execute(&p, raw.at, raw.n) != HPE_PAUSED || llhttp_get_error_pos(&p) < raw.at + raw.n - 1) {
        fprintf(stderr, "llhttp: %s\n", llhttp_get_error_reason(&p));
        abort();
    }
    if (!hob_str_eq(hob_buf_str(&body), hob_buf_str(&t->body)))
        abort();
    hob_buf_done(&body);
}

static void end_body(struct receiver *rx)
{
    size_t n = 0;
    const struct http_field *trailers =
        rx->head.body == HTTP_BODY_CHUNKED ? http_chunked_trailers(&rx->chunked, &rx->arena, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        note(rx->trace, "trailer", trailers[i].name);
        note(rx->trace, "value", trailers[i].value);
    }
    note(rx->trace, "end", HOB_STR(""));
    if (rx->head.body == HTTP_BODY_CHUNKED && rx->chunked.trailers_n == 0)
        ask_llhttp(rx->trace);
    rx->is_in_body = false;
}

static bool take_body(struct receiver *rx, struct hob_str *in)
{
    struct http_refusal r = {0};
    struct hob_str data = {0}, before = *in;
    enum http_chunk outcome;
    if (rx->head.body == HTTP_BODY_CHUNKED) {
        outcome = http_chunked_next(&rx->chunked, in, 1000, &data, &r);
        if (hob_buf_add(&rx->trace->chunked, before.at, before.n - in->n) != HOB_OK)
            abort();
    } else {
        size_t n = rx->left < in->n ? (size_t)rx->left : in->n;
        data = (struct hob_str){in->at, n};
        in->at += n;
        in->n -= n;
        rx->left -= n;
        outcome = n ? HTTP_CHUNK_DATA : rx->left ? HTTP_CHUNK_MORE : HTTP_CHUNK_END;
    }
    if (outcome == HTTP_CHUNK_DATA && (hob_buf_add_str(&rx->trace->text, data) != HOB_OK ||
                                       hob_buf_add_str(&rx->trace->body, data) != HOB_OK))
        abort();
    if (outcome == HTTP_CHUNK_BAD)
        refuse(rx, &r);
    if (outcome == HTTP_CHUNK_END)
        end_body(rx);
    return outcome == HTTP_CHUNK_DATA || outcome == HTTP_CHUNK_END;
}

static bool take_start(struct receiver *rx, struct hob_str *in)
{
    struct http_refusal r = {0};
    struct http_head_limits limits = {2048, 512, 20}; /* near, so that they are met */
    size_t n = 0;
    if (rx->scan.seen == 0) {
        size_t skip = http_head_skip(*in);
        in->at += skip;
        in->n -= skip;
        if (in->n == 0 || (in->n == 1 && in->at[0] == '\r'))
            return false;
    }
    switch (http_head_scan(&rx->scan, *in, &limits, &n, &r)) {
    case HTTP_SCAN_MORE:
        return false;
    case HTTP_SCAN_BAD:
        refuse(rx, &r);
        return false;
    case HTTP_SCAN_DONE:
        take_head(rx, (struct hob_str){in->at, n});
        in->at += n;
        in->n -= n;
        rx->scan = (struct http_head_scan){0};
        return true;
    }
    return false;
}

static void feed(struct receiver *rx, struct hob_buf *in)
{
    struct hob_str rest = hob_buf_str(in);
    while (!rx->is_refused && (rx->is_in_body ? take_body(rx, &rest) : take_start(rx, &rest)))
        ;
    hob_buf_consume(in, in->n - rest.n);
}

/* Delivers `bytes` in pieces of 1 to `piece_max` bytes. */
static void deliver(struct hob_str bytes, size_t piece_max, unsigned seed, struct trace *t)
{
    struct receiver rx = {.trace = t};
    struct hob_buf in;
    hob_buf_init(&in, 1 << 24);
    hob_arena_init(&rx.arena, 1 << 20);
    http_chunked_init(&rx.chunked);
    while (bytes.n && !rx.is_refused) {
        seed = seed * 1103515245u + 12345u;
        size_t n = 1 + (seed >> 8) % piece_max;
        n = n < bytes.n ? n : bytes.n;
        if (hob_buf_add(&in, bytes.at, n) != HOB_OK)
            abort();
        bytes.at += n;
        bytes.n -= n;
        feed(&rx, &in);
    }
    http_chunked_done(&rx.chunked);
    hob_arena_done(&rx.arena);
    hob_buf_done(&in);
}

static void trace_init(struct trace *t)
{
    hob_buf_init(&t->text, 1 << 26);
    hob_buf_init(&t->chunked, 1 << 24);
    hob_buf_init(&t->body, 1 << 24);
}

static void trace_done(struct trace *t)
{
    hob_buf_done(&t->text);
    hob_buf_done(&t->chunked);
    hob_buf_done(&t->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 3, 17, 100};
    struct trace whole, cut;
    if (size < 2)
        return 0;
    struct hob_str bytes = hob_str_n(data + 1, size - 1);
    trace_init(&whole);
    trace_init(&cut);
    deliver(bytes, SIZE_MAX / 2, 0, &whole);
    deliver(bytes, pieces[data[0] % HOB_COUNT(pieces)], data[0], &cut);
    if (!hob_str_eq(hob_buf_str(&whole.text), hob_buf_str(&cut.text))) {
        fprintf(stderr, "whole: %.*s\ncut:   %.*s\n", HOB_STR_ARG(hob_buf_str(&whole.text)),
                HOB_STR_ARG(hob_buf_str(&cut.text)));
        abort();
    }
    trace_done(&whole);
    trace_done(&cut);
    return 0;
}
