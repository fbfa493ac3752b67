/* An invocation: INVOKE and BODY become a request, the answer becomes HEAD and DATA, both under credit
 * (docs/channel.md). DONE comes exactly once and last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "runner/init/proxy_priv.h"

enum {
    REQUEST_BYTES_MAX = 3 << 20, /* an INVOKE of 1 MiB, and a window of smallest chunks */
    REQUEST_KEPT_BYTES = 8192,
    TRAILERS_MAX = 1000,
    RENEW_STREAM = STREAM_WINDOW / 2,
    RENEW_CONNECTION = CONNECTION_WINDOW / 2,
};

/* ---- the table ---- */

static struct exchange **place_of(struct proxy *p, uint32_t stream)
{
    struct exchange **at = &p->exchanges[(stream >> 1) % EXCHANGE_BUCKETS];
    while (*at && (*at)->stream != stream)
        at = &(*at)->next;
    return at;
}

static struct exchange *exchange_new(struct proxy *p, uint32_t stream)
{
    struct exchange *x = p->spare;
    if (x) {
        p->spare = x->next;
    } else {
        x = hob_new(struct exchange);
        hob_buf_init(&x->request, REQUEST_BYTES_MAX);
    }
    struct hob_buf request = x->request;
    *x = (struct exchange){.stream = stream, .window = STREAM_WINDOW, .request = request};
    struct exchange **at = place_of(p, stream);
    HOB_ASSERT(!*at); /* hobd numbers them */
    *at = x;
    p->exchanges_n++;
    return x;
}

/* ---- tokens: what a request shows at the gate to act for its caller ---- */

static void make_token(struct exchange *x)
{
    uint32_t random[3];
    HOB_ASSERT(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random); /* whole up to 256 bytes */
    (void)snprintf(x->token, sizeof x->token, "i:%08x%08x%08x%08x", x->stream, random[0], random[1],
                   random[2]);
}

/* In a time that does not tell how much of it is right. */
static bool is_same(const char *a, const char *b)
{
    unsigned differs = 0;
    for (size_t i = 0; i < TOKEN_CHARS; i++)
        differs |= (unsigned)(a[i] ^ b[i]);
    return differs == 0;
}

uint32_t exchange_of_token(struct proxy *p, struct hob_str token)
{
    char stream[9] = {0};
    if (token.n != TOKEN_CHARS)
        return 0;
    memcpy(stream, token.at + 2, sizeof stream - 1);
    const struct exchange *x = *place_of(p, (uint32_t)strtoul(stream, NULL, 16));
    return x && *x->token && is_same(x->token, token.at) ? x->stream : 0;
}

const char *exchange_token(struct proxy *p, uint32_t stream)
{
    const struct exchange *x = stream ? *place_of(p, stream) : NULL;
    return x ? x->token : "";
}

/* ---- credit ---- */

static void give_credit(struct proxy *p, uint32_t stream, uint32_t bytes)
{
    proxy_send(p, (struct hob_frame){.type = HOB_FRAME_CREDIT, .stream = stream, .arg = bytes}, HOB_STR(""));
}

static void body_taken(struct proxy *p, uint32_t bytes)
{
    p->uncredited += bytes;
    if (p->uncredited < RENEW_CONNECTION)
        return;
    give_credit(p, 0, p->uncredited);
    p->uncredited = 0;
}

void exchange_sent(struct proxy *p, struct exchange *x)
{
    if (x->request.n > x->sent || x->uncredited < RENEW_STREAM)
        return;
    if (!x->has_request_end)
        give_credit(p, x->stream, x->uncredited);
    body_taken(p, x->uncredited);
    x->uncredited = 0;
}

size_t exchange_window(const struct proxy *p, const struct exchange *x)
{
    size_t least = x->window < p->window ? x->window : p->window;
    return least < p->body.max ? least : p->body.max;
}

void exchange_credit(struct proxy *p, uint32_t stream, uint32_t bytes)
{
    if (stream == 0) {
        p->window += bytes;
        exchange_resume(p);
        return;
    }
    struct exchange *x = *place_of(p, stream);
    if (!x)
        return;
    x->window += bytes;
    if (hob_node_is_linked(&x->blocked))
        conn_take(p, x->conn);
}

void exchange_resume(struct proxy *p)
{
    struct hob_list now; /* only those that wait already: one that blocks again waits for the next time */
    struct hob_node *first;
    hob_list_init(&now);
    while ((first = hob_list_first(&p->blocked)) != NULL) {
        hob_list_remove(first);
        hob_list_push_back(&now, first);
    }
    while ((first = hob_list_first(&now)) != NULL)
        conn_take(p, HOB_CONTAINER_OF(first, struct exchange, blocked)->conn);
}

/* ---- the answer ---- */

/* From here on both directions are raw bytes, each with its own end. */
static void switch_protocol(struct proxy *p, struct exchange *x)
{
    hob_buf_consume(&x->request, x->sent);
    x->sent = 0;
    x->is_raw = true;
    x->has_request_end = false;
    p->raw_n++;
}

void exchange_pass(struct proxy *p, struct exchange *x, const struct answer *a)
{
    struct hob_str data = hob_buf_str(&p->body), trailers = hob_buf_str(&a->trailers);
    bool is_end = a->state == ANSWER_DONE, has_trailers = is_end && trailers.n > 0;
    struct hob_frame f = {.stream = x->stream, .flags = is_end && !has_trailers ? HOB_FRAME_END : 0};
    if (!answer_has_head(a))
        return;
    if (!x->has_head) {
        unsigned char status[4] = {0};
        hob_put_u16(status, (uint16_t)a->status);
        hob_buf_clear(&p->meta);
        HOB_ASSERT(hob_buf_add(&p->meta, status, sizeof status) == HOB_OK);
        HOB_ASSERT(hob_buf_add_str(&p->meta, hob_buf_str(&a->fields)) == HOB_OK);
        f.type = HOB_FRAME_HEAD;
        HOB_ASSERT(hob_frame_add_meta(&p->out, f, hob_buf_str(&p->meta), data) == HOB_OK);
        x->has_head = true;
        if (a->status == 101)
            switch_protocol(p, x);
    } else if (data.n || f.flags) {
        f.type = HOB_FRAME_DATA;
        proxy_send(p, f, data);
    }
    if (has_trailers) {
        struct hob_frame last = {.type = HOB_FRAME_DATA, .stream = x->stream, .flags = HOB_FRAME_END};
        HOB_ASSERT(hob_frame_add_meta(&p->out, last, trailers, HOB_STR("")) == HOB_OK);
    }
    x->window -= (uint32_t)data.n;
    p->window -= (uint32_t)data.n;
    if (x->is_raw)
        proxy_idle(p);
}

void exchange_end(struct proxy *p, struct exchange *x)
{
    HOB_ASSERT(!x->conn);
    proxy_send(p, (struct hob_frame){.type = HOB_FRAME_DONE, .stream = x->stream}, HOB_STR(""));
    body_taken(p, x->uncredited);
    hob_list_remove(&x->blocked);
    hob_list_remove(&x->lost);
    *place_of(p, x->stream) = x->next;
    if (x->request.cap > REQUEST_KEPT_BYTES)
        hob_buf_done(&x->request);
    else
        hob_buf_clear(&x->request);
    x->next = p->spare;
    p->spare = x;
    p->exchanges_n--;
    p->raw_n -= x->is_raw;
    proxy_idle(p);
}

void exchange_fail(struct proxy *p, struct exchange *x, const char *type, const char *message)
{
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, 1024);
    struct hob_pairs_writer w;
    hob_pairs_start(&w, &text);
    hob_pairs_add(&w, HOB_STR("errorType"), hob_str(type));
    hob_pairs_add(&w, HOB_STR("errorMessage"), hob_str(message));
    HOB_ASSERT(hob_pairs_end(&w, NULL) == HOB_OK);
    proxy_send(p, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = x->stream}, hob_buf_str(&text));
    exchange_end(p, x);
}

void exchange_lose(struct proxy *p, struct exchange *x, const char *type, const char *message)
{
    HOB_ASSERT(!x->conn);
    x->lost_type = type;
    x->lost_message = message;
    x->lost_ms = hob_now_ms() + LOST_MS;
    hob_buf_clear(&x->request); /* what comes of it goes nowhere, but is credited */
    x->sent = 0;
    hob_list_push_back(&p->lost, &x->lost);
}

void exchange_fail_lost(struct proxy *p, uint64_t now_ms)
{
    struct hob_node *first;
    while ((first = hob_list_first(&p->lost)) != NULL) {
        struct exchange *x = HOB_CONTAINER_OF(first, struct exchange, lost);
        if (now_ms < x->lost_ms)
            return;
        exchange_fail(p, x, x->lost_type, x->lost_message);
    }
}

/* ---- what hobd says ---- */

static void fail_request(struct proxy *p, struct exchange *x)
{
    if (x->conn)
        conn_close(p, x->conn, true);
    x->conn = NULL;
    exchange_fail(p, x, "Runtime.BadRequest", "the request cannot be written as HTTP/1.1");
}

void exchange_invoke(struct proxy *p, const struct hob_frame *f, struct hob_str payload)
{
    struct hob_str meta, data;
    struct hob_invoke_meta m;
    struct exchange *x = exchange_new(p, f->stream);
    if (!hob_frame_split_meta(payload, &meta, &data) || !hob_invoke_meta_parse(meta, &m)) {
        fail_request(p, x);
        return;
    }
    x->has_request_end = f->flags & HOB_FRAME_END;
    x->is_head = hob_str_is(m.method, "HEAD");
    x->is_idempotent = request_is_idempotent(m.method);
    x->may_switch = request_may_upgrade(&m);
    if (p->gate)
        make_token(x);
    struct request_own own = {.authority = HOB_STR("localhost"), .invocation = hob_str(x->token)};
    if (request_write(&x->request, &m, data, x->has_request_end, &own, &x->framing) == HOB_OK)
        conn_give(p, x);
    else
        fail_request(p, x);
}

void exchange_body(struct proxy *p, const struct hob_frame *f, struct hob_str payload)
{
    struct exchange *x = *place_of(p, f->stream);
    struct hob_str meta = {0}, data = payload;
    struct hob_pairs trailers;
    bool is_end = f->flags & HOB_FRAME_END;
    bool has_trailers = (f->flags & HOB_FRAME_META) && hob_frame_split_meta(payload, &meta, &data) &&
                        hob_pairs_open(meta, TRAILERS_MAX, &trailers);
    if (!x) { /* it ended before its request did */
        body_taken(p, (uint32_t)data.n);
        return;
    }
    x->uncredited += (uint32_t)data.n;
    x->has_request_end = is_end;
    if (!x->conn ||
        x->conn->is_broken) { /* an early answer may still come; the rest of the request goes nowhere */
        exchange_sent(p, x);
        return;
    }
    if (x->is_raw) {
        HOB_ASSERT(hob_buf_add_str(&x->request, data) == HOB_OK); /* within its credit */
        conn_send(p, x->conn);
    } else if (request_write_body(&x->request, &x->framing, data, is_end, has_trailers ? &trailers : NULL) ==
               HOB_OK)
        conn_send(p, x->conn);
    else
        fail_request(p, x);
}

void exchange_cancel(struct proxy *p, uint32_t stream)
{
    struct exchange *x = *place_of(p, stream);
    if (!x)
        return;
    if (x->conn)
        conn_close(p, x->conn, true);
    x->conn = NULL;
    exchange_end(p, x);
}
