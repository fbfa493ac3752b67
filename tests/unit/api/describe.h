/* A handler that answers with what it understood: one line each for the request, its fields, body and trailers.
 * The path chooses: /early answers at once without reading, /small reads at most 10 bytes, /stream answers in two
 * chunks. */
#pragma once

#include "api/server/server_priv.h"

struct describe {
    struct http_exchange *x;
    struct hob_buf text;
};

static void describe_add(struct describe *d, struct hob_str name, struct hob_str value)
{
    assert_int_equal(hob_buf_add_str(&d->text, name), HOB_OK);
    assert_int_equal(hob_buf_add_str(&d->text, HOB_STR("=")), HOB_OK);
    assert_int_equal(hob_buf_add_str(&d->text, value), HOB_OK);
    assert_int_equal(hob_buf_add_str(&d->text, HOB_STR("\n")), HOB_OK);
}

static void describe_body(void *ctx, struct hob_str data)
{
    struct describe *d = ctx;
    assert_int_equal(hob_buf_add_str(&d->text, data), HOB_OK);
    http_consumed(d->x, data.n);
}

static void describe_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct describe *d = ctx;
    static const struct http_field plain = {{"Content-Type", 12}, {"text/plain", 10}};
    assert_int_equal(hob_buf_add_str(&d->text, HOB_STR("]\n")), HOB_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(hob_buf_add_str(&d->text, HOB_STR("trailer ")), HOB_OK);
        describe_add(d, trailers[i].name, trailers[i].value);
    }
    if (!hob_str_starts(http_request(d->x)->path, HOB_STR("/stream"))) {
        http_respond(d->x, 200, &plain, 1, hob_buf_str(&d->text));
        return;
    }
    http_head(d->x, 200, &plain, 1, HTTP_LENGTH_UNKNOWN);
    (void)http_write(d->x, HOB_STR("first "));
    (void)http_write(d->x, HOB_STR("second"));
    http_end(d->x, NULL, 0);
}

static void describe_close(void *ctx)
{
    struct describe *d = ctx;
    hob_buf_done(&d->text);
    free(d);
}

static void describe_request(void *ctx, struct http_exchange *x)
{
    static const struct http_events events = {
        .on_body = describe_body, .on_body_end = describe_body_end, .on_close = describe_close};
    const struct http_request *q = http_request(x);
    struct describe *d = hob_new(struct describe);
    (void)ctx;
    d->x = x;
    hob_buf_init(&d->text, 16 << 20);
    http_listen(x, &events, d);
    if (hob_str_is(q->path, "/early")) {
        http_respond(x, 200, NULL, 0, HOB_STR("early"));
        return;
    }
    describe_add(d, HOB_STR("method"), q->method);
    describe_add(d, HOB_STR("path"), q->path);
    describe_add(d, HOB_STR("query"), q->query.at ? q->query : HOB_STR("-"));
    describe_add(d, HOB_STR("host"), q->host);
    for (size_t i = 0; i < q->fields_n; i++)
        describe_add(d, q->fields[i].name, q->fields[i].value);
    assert_int_equal(hob_buf_add_str(&d->text, HOB_STR("body=[")), HOB_OK);
    http_body_read(x, hob_str_is(q->path, "/small") ? 10 : 0);
}
