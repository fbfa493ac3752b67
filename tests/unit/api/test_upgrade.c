/* The door of upgraded exchanges: what asks for one, what comes and goes, how each direction ends, and the bounds. */
#include "probe.h"

#define ASK "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
#define SAYS(literal)                                                                                        \
    (struct hob_str)                                                                                         \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }

static struct http_upgrade_times times;
static unsigned shutdowns;
static struct hob_buf heard;

static void up_body(void *ctx, struct hob_str data)
{
    struct probe *p = ctx;
    p->body_bytes += data.n;
    assert_int_equal(hob_buf_add_str(&heard, data), HOB_OK);
    if (!p->keeps_window)
        http_consumed(p->x, data.n);
}

static void up_shutdown(void *ctx)
{
    (void)ctx;
    shutdowns++;
}

static void upgrade(struct probe *p, struct http_exchange *x)
{
    static const struct http_events events = {.on_body = up_body,
                                              .on_body_end = probe_body_end,
                                              .on_drain = probe_drain,
                                              .on_abort = probe_abort,
                                              .on_close = probe_close,
                                              .on_shutdown = up_shutdown};
    static const struct http_field fields[] = {F("X-Mine", "yes"), F("Content-Length", "5"),
                                               F("Connection", "close")};
    http_listen(x, &events, p);
    http_upgrade(x, SAYS("raw"), fields, HOB_COUNT(fields), &times);
}

static void begin(struct probe *p, struct bed *bed, struct raw *raw, const char *text)
{
    struct http_tuning tuning = http_tuning_default();
    tuning.sweep_ms = tuning.linger_ms = 20;
    hob_buf_done(&heard);
    hob_buf_init(&heard, (size_t)64 << 20);
    shutdowns = 0;
    bed_open(bed, &tuning, probe_request, p);
    raw_connect(raw, bed);
    raw_send(raw, text, strlen(text));
    raw_settle(raw);
}

static void end(struct bed *bed, struct raw *raw)
{
    probe_done(bed, raw);
    hob_buf_done(&heard);
}

static void assert_got(const struct raw *raw, const char *text)
{
    assert_non_null(memmem(raw->got.n ? hob_buf_str(&raw->got).at : "", raw->got.n, text, strlen(text)));
}

static void a_101_says_what_it_must_and_nothing_of_bodies(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    times = (struct http_upgrade_times){0};
    begin(&p, &bed, &raw, ASK);
    assert_got(&raw, "HTTP/1.1 101 Switching Protocols\r\n");
    assert_got(&raw, "\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
    assert_got(&raw, "\r\nX-Mine: yes\r\n");
    assert_int_equal(hob_buf_add(&raw.got, "", 1), HOB_OK); /* its end, for strcasestr */
    assert_null(strcasestr(hob_buf_data(&raw.got), "content-length"));
    assert_null(strcasestr(hob_buf_data(&raw.got), "close"));
    assert_false(raw.is_ended);
    end(&bed, &raw);
}

static void bytes_behind_the_head_come_first_and_all_are_raw(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK "GET / HTTP/1.1\r\n\r\n");
    raw_send(&raw, "\0\n\xff", 3);
    raw_settle(&raw);
    assert_int_equal(p.requests, 1);
    assert_int_equal(heard.n, 21);
    assert_memory_equal(hob_buf_data(&heard), "GET / HTTP/1.1\r\n\r\n\0\n\xff", 21);
    raw.got.n = 0;
    (void)http_write(p.x, SAYS("0\r\n\r\n"));
    raw_settle(&raw);
    assert_int_equal(raw.got.n, 5); /* no chunks */
    end(&bed, &raw);
}

static void each_direction_ends_alone(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    (void)http_write(p.x, SAYS("last words"));
    http_end(p.x, NULL, 0);
    raw_settle(&raw);
    assert_true(raw.is_ended && !raw.is_reset);
    assert_got(&raw, "last words");
    assert_int_equal(p.closes, 0);
    assert_int_equal(send(raw.fd, "more", 4, MSG_NOSIGNAL), 4);
    bed_run_ms(&bed, 20);
    assert_int_equal(heard.n, 4);
    assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
    for (int i = 0; i < 2000 && !p.closes; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.ends, 1);
    assert_int_equal(p.closes, 1);
    assert_int_equal(p.aborts, 0);
    end(&bed, &raw);
}

static void a_client_that_ends_first_still_hears(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK "bye");
    assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
    for (int i = 0; i < 2000 && !p.ends; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.aborts, 0);
    assert_int_equal(p.closes, 0);
    (void)http_write(p.x, SAYS("still here"));
    raw_settle(&raw);
    assert_got(&raw, "still here");
    http_end(p.x, NULL, 0);
    raw_settle(&raw);
    assert_true(raw.is_ended && !raw.is_reset);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
}

static void it_is_open_until_every_byte_was_given_back(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade, .keeps_window = true};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK "bye");
    http_end(p.x, NULL, 0);
    assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
    for (int i = 0; i < 2000 && !p.ends; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.closes, 0);
    http_consumed(p.x, 3);
    for (int i = 0; i < 2000 && !p.closes; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
}

static void the_window_holds_a_client_back(void **state)
{
    (void)state;
    static char block[1 << 20];
    struct probe p = {.act = upgrade, .keeps_window = true};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    for (int i = 0; i < 400; i++) {
        (void)raw_try_send(&raw, block, sizeof block);
        bed_run_ms(&bed, 1);
    }
    assert_int_equal(p.body_bytes, HOB_MAX_HTTP_BODY_WINDOW_BYTES);
    http_consumed(p.x, p.body_bytes);
    for (int i = 0; i < 2000 && p.body_bytes < 2 * HOB_MAX_HTTP_BODY_WINDOW_BYTES; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.body_bytes, 2 * HOB_MAX_HTTP_BODY_WINDOW_BYTES);
    end(&bed, &raw);
}

static void an_abort_is_a_reset(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    http_abort(p.x);
    raw_settle(&raw);
    assert_true(raw.is_ended && raw.is_reset);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
}

static void a_reset_by_the_client_is_told_also_while_its_bytes_wait(void **state)
{
    (void)state;
    static char block[1 << 20];
    struct linger abrupt = {.l_onoff = 1};
    struct probe p = {.act = upgrade, .keeps_window = true};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    for (int i = 0; i < 50; i++) {
        (void)raw_try_send(&raw, block, sizeof block);
        bed_run_ms(&bed, 1);
    }
    assert_int_equal(setsockopt(raw.fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt), 0);
    assert_int_equal(close(raw.fd), 0);
    raw.fd = -1;
    for (int i = 0; i < 5000 && !p.closes; i++)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.abort_code, HOB_E_CANCELLED);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
}

static void who_leaves_lets_the_client_read_to_the_end(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    (void)http_write(p.x, SAYS("the end"));
    http_end(p.x, NULL, 0);
    http_upgrade_leave(p.x);
    raw_settle(&raw);
    assert_got(&raw, "the end");
    assert_true(raw.is_ended && !raw.is_reset);
    assert_int_equal(p.closes, 1);
    for (int i = 0; i < 5000 && hob_list_first(&bed.server->conns); i++)
        bed_run_ms(&bed, 1); /* though the client never ends its direction */
    assert_null(hob_list_first(&bed.server->conns));
    end(&bed, &raw);
}

/* The clock is ours: a bound is met one millisecond behind it, not at it. */
static void assert_bound(struct http_upgrade_times t, bool is_half, const char *reason)
{
    uint64_t bound = t.total_ms ? t.total_ms : t.half_ms ? t.half_ms : t.idle_ms;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    times = t;
    begin(&p, &bed, &raw, ASK);
    if (is_half)
        http_end(p.x, NULL, 0);
    bed_turn(&bed);
    struct http_conn *c = http_conn_of(p.x);
    uint64_t since = t.total_ms ? p.x->upgraded_ms : c->since_ms;
    http_conn_sweep(c, since + bound);
    assert_false(p.x->has_failed);
    if (!t.total_ms) { /* a byte either way begins it anew */
        c->since_ms += bound;
        http_conn_sweep(c, since + bound + 1);
        assert_false(p.x->has_failed);
        c->since_ms -= bound;
    }
    http_conn_sweep(c, since + bound + 1);
    assert_true(p.x->has_failed);
    raw_settle(&raw);
    assert_true(raw.is_ended && !raw.is_reset);
    assert_int_equal(p.abort_code, HOB_E_TIMEOUT);
    assert_string_equal(p.abort_reason, reason);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
    times = (struct http_upgrade_times){0};
}

static void silence_and_age_are_bounded(void **state)
{
    (void)state;
    assert_bound((struct http_upgrade_times){.idle_ms = 3600000}, false, "upgrade_idle");
    assert_bound((struct http_upgrade_times){.half_ms = 3600000}, true, "upgrade_half_closed");
    assert_bound((struct http_upgrade_times){.total_ms = 3600000}, false, "upgrade_too_long");
}

static void draining_tells_the_handler_and_ends_with_its_grace(void **state)
{
    (void)state;
    struct probe p = {.act = upgrade};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    http_server_drain(bed.server, 100, bed_on_closed, &bed);
    assert_int_equal(shutdowns, 1);
    assert_int_equal(p.closes, 0);
    for (int i = 0; i < 5000 && !bed.is_closed; i++)
        bed_run_ms(&bed, 1);
    assert_true(bed.is_closed);
    assert_int_equal(p.closes, 1);
    bed_turn(&bed);
    raw_close(&raw);
    hob_buf_done(&heard);
    assert_int_equal(uv_loop_close(&bed.loop), 0);
}

static struct hob_str asked;
static void note(struct probe *p, struct http_exchange *x)
{
    (void)p;
    asked = http_request(x)->upgrade;
    asked.at = asked.at ? hob_strndup(asked.at, asked.n) : NULL;
    for (size_t i = 0; i < http_request(x)->fields_n; i++)
        assert_false(hob_str_is(http_request(x)->fields[i].name, "upgrade"));
    http_respond(x, 200, NULL, 0, SAYS("ok"));
}

static void assert_asks(const char *text, const char *protocol)
{
    struct probe p = {.act = note};
    struct bed bed;
    struct raw raw;
    asked = (struct hob_str){NULL, 0};
    begin(&p, &bed, &raw, text);
    assert_int_equal(p.requests, 1);
    if (protocol)
        assert_true(asked.at && hob_str_is(asked, protocol));
    else
        assert_null(asked.at);
    free((void *)(uintptr_t)asked.at);
    end(&bed, &raw);
}

#define REQUEST(version, fields) "GET / HTTP/" version "\r\nHost: a\r\n" fields "\r\n"
#define NAMED "Connection: keep-alive, upgrade\r\n"
static void only_one_protocol_that_is_no_http_can_be_asked_for(void **state)
{
    (void)state;
    assert_asks(REQUEST("1.1", NAMED "Upgrade: websocket\r\n"), "websocket");
    assert_asks(REQUEST("1.1", NAMED "Upgrade: WebSocket\r\n"), "WebSocket");
    assert_asks(REQUEST("1.1", NAMED "Upgrade: IRC/6.9\r\nContent-Length: 0\r\n"), "IRC/6.9");
    static const char *const none[] = {
        REQUEST("1.1", "Upgrade: websocket\r\n"),
        REQUEST("1.1", "Connection: keep-alive\r\nUpgrade: websocket\r\n"),
        REQUEST("1.0", NAMED "Upgrade: websocket\r\n"),
        REQUEST("1.1", NAMED "Upgrade: websocket, raw\r\n"),
        REQUEST("1.1", NAMED "Upgrade: websocket\r\nUpgrade: raw\r\n"),
        REQUEST("1.1", NAMED "Upgrade: web socket\r\n"),
        REQUEST("1.1", NAMED "Upgrade: \r\n"),
        REQUEST("1.1", NAMED "Upgrade: a/b/c\r\n"),
        REQUEST("1.1", NAMED "Upgrade: h2c\r\n"),
        REQUEST("1.1", NAMED "Upgrade: H2C\r\n"),
        REQUEST("1.1", NAMED "Upgrade: h2\r\n"),
        REQUEST("1.1", NAMED "Upgrade: HTTP/2.0\r\n"),
        REQUEST("1.1", NAMED "Upgrade: TLS/1.2\r\n"),
        REQUEST("1.1", NAMED "Upgrade: websocket\r\nContent-Length: 2\r\n") "ab",
        REQUEST("1.1", NAMED "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n",
    };
    for (size_t i = 0; i < HOB_COUNT(none); i++)
        assert_asks(none[i], NULL);
}

static void inject(struct probe *p, struct http_exchange *x)
{
    static const struct http_field fields[] = {F("X-Mine", "a\r\nb: c")};
    (void)p;
    http_upgrade(x, SAYS("raw"), fields, 1, &times);
}

static void a_101_that_would_break_out_of_its_head_is_a_502(void **state)
{
    (void)state;
    struct probe p = {.act = inject};
    struct bed bed;
    struct raw raw;
    begin(&p, &bed, &raw, ASK);
    assert_got(&raw, "HTTP/1.1 502 ");
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.closes, 1);
    end(&bed, &raw);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_101_says_what_it_must_and_nothing_of_bodies),
        cmocka_unit_test(bytes_behind_the_head_come_first_and_all_are_raw),
        cmocka_unit_test(each_direction_ends_alone),
        cmocka_unit_test(a_client_that_ends_first_still_hears),
        cmocka_unit_test(it_is_open_until_every_byte_was_given_back),
        cmocka_unit_test(the_window_holds_a_client_back),
        cmocka_unit_test(an_abort_is_a_reset),
        cmocka_unit_test(a_reset_by_the_client_is_told_also_while_its_bytes_wait),
        cmocka_unit_test(who_leaves_lets_the_client_read_to_the_end),
        cmocka_unit_test(silence_and_age_are_bounded),
        cmocka_unit_test(draining_tells_the_handler_and_ends_with_its_grace),
        cmocka_unit_test(only_one_protocol_that_is_no_http_can_be_asked_for),
        cmocka_unit_test(a_101_that_would_break_out_of_its_head_is_a_502),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
