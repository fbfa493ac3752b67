/* A handler that writes down what it is told, and does what the test says. */
#pragma once

#include "raw_client.h"

struct probe {
    void (*act)(struct probe *p, struct http_exchange *x); /* in on_request */
    struct http_exchange *x;                               /* of the latest request that is open */
    unsigned requests, ends, aborts, drains, closes;
    enum hob_code abort_code;
    char abort_reason[40];
    size_t body_bytes, trailers;
    uint64_t wrong_bytes; /* of a body made of pattern_byte */
    bool keeps_window;    /* does not give body bytes back */
    bool is_inside;       /* a call into the server runs: no callback may come */
    void (*on_body_end)(struct probe *p);
    void (*on_drain)(struct probe *p);
    void *data;
};

/* A body whose every byte is known. */
static inline char pattern_byte(uint64_t at)
{
    return (char)((at * 31 + (at >> 13)) & 0xff);
}

HOB_UNUSED static void pattern_fill(char *to, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = pattern_byte(at + i);
}

static void probe_body(void *ctx, struct hob_str data)
{
    struct probe *p = ctx;
    assert_false(p->is_inside);
    for (size_t i = 0; i < data.n; i++)
        p->wrong_bytes += data.at[i] != pattern_byte(p->body_bytes + i);
    p->body_bytes += data.n;
    if (!p->keeps_window)
        http_consumed(p->x, data.n);
}

static void probe_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct probe *p = ctx;
    (void)trailers;
    assert_false(p->is_inside);
    p->ends++;
    p->trailers += n;
    if (p->on_body_end)
        p->on_body_end(p);
}

static void probe_drain(void *ctx)
{
    struct probe *p = ctx;
    assert_false(p->is_inside);
    p->drains++;
    if (p->on_drain)
        p->on_drain(p);
}

static void probe_abort(void *ctx, const struct hob_err *err)
{
    struct probe *p = ctx;
    assert_false(p->is_inside);
    assert_int_equal(p->closes + 1, p->requests);
    p->aborts++;
    p->abort_code = err->code;
    (void)snprintf(p->abort_reason, sizeof p->abort_reason, "%s", hob_err_reason(err));
}

static void probe_close(void *ctx)
{
    struct probe *p = ctx;
    assert_false(p->is_inside);
    p->closes++;
    assert_int_equal(p->closes, p->requests);
    p->x = NULL;
}

static void probe_request(void *ctx, struct http_exchange *x)
{
    static const struct http_events events = {probe_body,  probe_body_end, probe_drain,
                                              probe_abort, probe_close,    NULL};
    struct probe *p = ctx;
    assert_int_equal(p->closes, p->requests); /* one at a time on a connection */
    p->requests++;
    p->x = x;
    http_listen(x, &events, p);
    p->is_inside = true;
    if (p->act)
        p->act(p, x);
    p->is_inside = false;
}

/* Sends `text` to a fresh server with this handler and waits until it is quiet. */
HOB_UNUSED static void probe_run(struct probe *p, struct bed *bed, struct raw *raw, const char *text)
{
    struct http_tuning tuning = http_tuning_default();
    bed_open(bed, &tuning, probe_request, p);
    raw_connect(raw, bed);
    raw_send(raw, text, strlen(text));
    raw_settle(raw);
}

HOB_UNUSED static void probe_done(struct bed *bed, struct raw *raw)
{
    raw_close(raw);
    bed_close(bed);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define F(name, value)                                                                                       \
    {                                                                                                        \
        {(name), sizeof(name) - 1},                                                                          \
        {                                                                                                    \
            (value), sizeof(value) - 1                                                                       \
        }                                                                                                    \
    }
