/* What goes out: framing, fields, breaking off, order. */
#include "probe.h"

/* --- fields ------------------------------------------------------------------------------------------------------ */

static void answer_with_field(struct probe *p, struct http_exchange *x)
{
    http_respond(x, 200, p->data, 1, HOB_STR("body"));
}

static void a_field_that_would_break_out_of_the_head_becomes_a_502(void **state)
{
    (void)state;
    static const struct http_field bad[] = {
        F("X", "a\r\nSet-Cookie: evil=1"),
        F("X", "a\nb"),
        F("X", "a\rb"),
        F("X", "a\0b"),
        F("X", "\x7f"),
        F("X\r\nY", "a"),
        F("X Y", "a"),
        F("", "a"),
        F("X:", "a"),
        F("X\0", "a"),
        F("\xc3\xa9", "a"),
        F("X", "a\x01"),
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        struct bed bed;
        struct raw raw;
        struct http_field field = bad[i];
        struct probe p = {.act = answer_with_field, .data = &field};
        probe_run(&p, &bed, &raw, GET);
        struct answer a = raw_answer(&raw);
        assert_int_equal(a.status, 502);
        assert_true(answer_has(&a, "\"reason\":\"bad_answer\""));
        assert_false(answer_has(&a, "evil"));
        assert_int_equal(p.aborts, 1);
        assert_int_equal(p.abort_code, HOB_E_FUNCTION);
        assert_int_equal(p.closes, 1);
        assert_true(raw.is_ended);
        probe_done(&bed, &raw);
    }
}

static void answer_with_status(struct probe *p, struct http_exchange *x)
{
    http_respond(x, *(int *)p->data, NULL, 0, HOB_STR("body"));
}

static void statuses_outside_200_to_599_become_a_502(void **state)
{
    (void)state;
    static const struct {
        int given, sent;
    } cases[] = {{199, 502}, {200, 200}, {599, 599}, {600, 502},  {100, 502},
                 {101, 502}, {0, 502},   {-1, 502},  {99999, 502}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct bed bed;
        struct raw raw;
        int status = cases[i].given;
        struct probe p = {.act = answer_with_status, .data = &status};
        probe_run(&p, &bed, &raw, GET);
        assert_int_equal(raw_answer(&raw).status, cases[i].sent);
        probe_done(&bed, &raw);
    }
}

static void answer_with_hop_by_hop(struct probe *p, struct http_exchange *x)
{
    static const struct http_field fields[] = {F("Connection", "keep-alive, X-Mine"),
                                               F("Keep-Alive", "300"),
                                               F("Transfer-Encoding", "gzip"),
                                               F("Content-Length", "99"),
                                               F("X-Mine", "1"),
                                               F("Upgrade", "h2c"),
                                               F("X-Other", "2"),
                                               F("Date", "yesterday"),
                                               F("Server", "other"),
                                               F("Proxy-Connection", "close"),
                                               F("TE", "trailers"),
                                               F("X-Request-Id", "forged")};
    (void)p;
    http_respond(x, 200, fields, HOB_COUNT(fields), HOB_STR("body"));
}

static void fields_of_the_connection_and_of_the_server_are_not_the_handlers(void **state)
{
    (void)state;
    static const char *const absent[] = {"keep-alive", "Keep-Alive", "gzip", "Length: 99", "X-Mine", "h2c",
                                         "yesterday",  "other",      "TE:",  "trailers",   "forged", "close"};
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = answer_with_hop_by_hop};
    probe_run(&p, &bed, &raw, GET);
    struct answer a = raw_answer(&raw);
    assert_str_equal(a.body, "body");
    assert_true(answer_has(&a, "X-Other: 2\r\n"));
    for (size_t i = 0; i < HOB_COUNT(absent); i++)
        assert_false(answer_has(&a, absent[i]));
    probe_done(&bed, &raw);
}

static void answer_with_cookies(struct probe *p, struct http_exchange *x)
{
    static const struct http_field fields[] = {F("Set-Cookie", "a=1; Path=/"), F("Set-Cookie", "b=2, c"),
                                               F("set-cookie", "d=3")};
    (void)p;
    http_respond(x, 200, fields, HOB_COUNT(fields), HOB_STR(""));
}

static void cookies_are_never_merged(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    unsigned count;
    struct probe p = {.act = answer_with_cookies};
    probe_run(&p, &bed, &raw, GET);
    struct answer a = raw_answer(&raw);
    (void)answer_field(&a, "set-cookie", &count);
    assert_int_equal(count, 3);
    assert_true(answer_has(&a, "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c\r\nset-cookie: d=3\r\n"));
    probe_done(&bed, &raw);
}

/* --- framing ------------------------------------------------------------------------------------------------------- */

static void no_body_and_no_length_go_with_204_and_304(void **state)
{
    (void)state;
    static const int statuses[] = {204, 304, 205};
    for (size_t i = 0; i < HOB_COUNT(statuses); i++) {
        struct bed bed;
        struct raw raw;
        int status = statuses[i];
        unsigned lengths;
        struct probe p = {.act = answer_with_status, .data = &status};
        probe_run(&p, &bed, &raw, GET GET);
        struct hob_str in = hob_buf_str(&raw.got);
        struct answer a, second;
        assert_true(answer_next(&in, false, &a) && answer_next(&in, false, &second));
        assert_int_equal(in.n, 0);
        assert_int_equal(a.status, status);
        (void)answer_field(&a, "content-length", &lengths);
        assert_int_equal(lengths, status == 205 ? 1 : 0);
        assert_false(raw_has(&raw, "body"));
        probe_done(&bed, &raw);
    }
}

static void head_has_the_fields_of_get_without_the_body(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct http_field field = F("X", "y");
    struct probe p = {.act = answer_with_field, .data = &field};
    probe_run(&p, &bed, &raw, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    struct hob_str in = hob_buf_str(&raw.got);
    struct answer head, get;
    assert_true(answer_next(&in, true, &head) && answer_next(&in, false, &get));
    assert_int_equal(in.n, 0);
    assert_true(answer_has(&head, "Content-Length: 4\r\n"));
    assert_true(answer_has(&head, "X: y\r\n"));
    assert_int_equal(head.body.n, 0);
    assert_str_equal(get.body, "body");
    probe_done(&bed, &raw);
}

static void answer_with_length_only(struct probe *p, struct http_exchange *x)
{
    static const struct http_field fields[] = {F("Content-Length", "1234")};
    (void)p;
    http_respond(x, 200, fields, 1, HOB_STR(""));
}

static void a_head_answer_without_body_may_say_the_length_it_would_have(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = answer_with_length_only};
    probe_run(&p, &bed, &raw, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    struct hob_str in = hob_buf_str(&raw.got);
    struct answer head, get;
    assert_true(answer_next(&in, true, &head) && answer_next(&in, false, &get));
    assert_true(answer_has(&head, "Content-Length: 1234\r\n"));
    assert_true(answer_has(&get, "Content-Length: 0\r\n"));
    probe_done(&bed, &raw);
}

struct stream {
    int64_t length;
    const char *pieces[3];
    bool is_aborted, is_trailed;
};

static void answer_with_stream(struct probe *p, struct http_exchange *x)
{
    static const struct http_field trailers[] = {F("X-Sum", "42"), F("Set-Cookie", "no"),
                                                 F("Content-Length", "1"), F("X\r\nY", "no")};
    const struct stream *s = p->data;
    http_head(x, 200, NULL, 0, s->length);
    for (size_t i = 0; i < HOB_COUNT(s->pieces) && s->pieces[i]; i++)
        (void)http_write(x, hob_str(s->pieces[i]));
    if (s->is_aborted)
        http_abort(x);
    else
        http_end(x, trailers, s->is_trailed ? HOB_COUNT(trailers) : 0);
}

static void run_stream(struct stream s, const char *request, struct bed *bed, struct raw *raw,
                       struct probe *p)
{
    *p = (struct probe){.act = answer_with_stream, .data = &s};
    probe_run(p, bed, raw, request);
    raw_wait_end(raw, 20);
    assert_int_equal(p->closes, 1);
}

static void a_stream_with_a_length_is_sent_as_it_is(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){6, {"abc", "", "def"}, false, false}, GET, &bed, &raw, &p);
    struct answer a = raw_answer(&raw);
    assert_str_equal(a.body, "abcdef");
    assert_false(a.is_chunked);
    assert_false(raw.is_ended);
    probe_done(&bed, &raw);
}

static void a_stream_shorter_than_its_length_breaks_the_connection(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){7, {"abc", "def"}, false, false}, GET, &bed, &raw, &p);
    assert_true(raw.is_ended);
    assert_true(raw_has(&raw, "Content-Length: 7\r\n"));
    assert_true(raw_has(&raw, "\r\n\r\nabcdef"));
    probe_done(&bed, &raw);
}

static void a_stream_longer_than_its_length_breaks_the_connection(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){5, {"abc", "def", "ghi"}, false, false}, GET, &bed, &raw, &p);
    assert_true(raw.is_ended);
    assert_false(raw_has(&raw, "def"));
    probe_done(&bed, &raw);
}

static void an_aborted_stream_ends_without_its_last_chunk(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){HTTP_LENGTH_UNKNOWN, {"abc"}, true, false}, GET GET, &bed, &raw, &p);
    assert_true(raw.is_ended);
    assert_true(raw_has(&raw, "3\r\nabc\r\n"));
    assert_false(raw_has(&raw, "0\r\n\r\n"));
    assert_int_equal(p.requests, 1);
    assert_int_equal(p.aborts, 0);
    probe_done(&bed, &raw);
}

static void an_aborted_stream_to_http10_is_a_reset(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){HTTP_LENGTH_UNKNOWN, {"abc"}, true, false}, "GET / HTTP/1.0\r\n\r\n", &bed,
               &raw, &p);
    assert_true(raw.is_ended && raw.is_reset);
    probe_done(&bed, &raw);
}

static void a_complete_stream_to_http10_ends_with_the_connection(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){HTTP_LENGTH_UNKNOWN, {"abc"}, false, true}, "GET / HTTP/1.0\r\n\r\n", &bed,
               &raw, &p);
    assert_true(raw.is_ended && !raw.is_reset);
    struct answer a = raw_answer(&raw);
    assert_str_equal(a.body, "abc");
    assert_false(raw_has(&raw, "X-Sum"));
    probe_done(&bed, &raw);
}

static void trailers_follow_the_last_chunk_without_those_that_must_not(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p;
    run_stream((struct stream){HTTP_LENGTH_UNKNOWN, {"abc"}, false, true}, GET, &bed, &raw, &p);
    struct answer a = raw_answer(&raw);
    assert_str_equal(a.body, "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n");
    probe_done(&bed, &raw);
}

static void abort_before_head(struct probe *p, struct http_exchange *x)
{
    (void)p;
    http_abort(x);
}

static void an_exchange_given_up_before_its_head_is_a_502(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = abort_before_head};
    probe_run(&p, &bed, &raw, GET GET);
    struct hob_str in = hob_buf_str(&raw.got);
    struct answer a;
    assert_true(answer_next(&in, false, &a));
    assert_int_equal(a.status, 502);
    assert_int_equal(p.closes, 2);
    probe_done(&bed, &raw);
}

static void answer_problem(struct probe *p, struct http_exchange *x)
{
    static const struct http_field allow[] = {F("Allow", "GET")};
    if (p->requests == 1)
        http_problem(x, p->data, 7);
    else
        http_problem_with(x, p->data, allow, 1);
}

static void problems_are_json_with_reason_and_request_id(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct hob_err err;
    (void)hob_fail_reason(&err, HOB_E_BUSY, "queue_full", "the queue of \"x\" is full\n");
    struct probe p = {.act = answer_problem, .data = &err};
    probe_run(&p, &bed, &raw, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\n\r\n" GET);
    struct hob_str in = hob_buf_str(&raw.got);
    struct answer a, b;
    assert_true(answer_next(&in, false, &a) && answer_next(&in, false, &b));
    assert_int_equal(a.status, 429);
    assert_str_equal(
        a.body, "{\"type\":\"https://hob.invalid/problems/queue_full\",\"title\":\"Too Many Requests\","
                "\"status\":429,\"detail\":\"the queue of \\\"x\\\" is full\\n\",\"reason\":\"queue_full\","
                "\"request_id\":\"r-1\"}");
    assert_true(answer_has(&a, "Content-Type: application/problem+json\r\n"));
    assert_true(answer_has(&a, "Retry-After: 7\r\n"));
    assert_true(answer_has(&a, "X-Request-Id: r-1\r\n"));
    assert_true(answer_has(&b, "Allow: GET\r\n"));
    assert_false(answer_has(&b, "Retry-After"));
    probe_done(&bed, &raw);
}

/* --- order and time -------------------------------------------------------------------------------------------------- */

static void the_next_request_waits_until_the_answer_before_it(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    probe_run(&p, &bed, &raw, GET GET GET);
    for (unsigned n = 1; n <= 3; n++) {
        assert_int_equal(p.requests, n);
        assert_int_equal(raw.got.n > 0, n > 1);
        bed_run_ms(&bed, 5);
        p.is_inside = true;
        http_respond(p.x, 200, NULL, 0, HOB_STR("x"));
        p.is_inside = false;
        assert_int_equal(p.closes, n - 1); /* never from inside the call */
        raw_settle(&raw);
        assert_int_equal(p.closes, n);
    }
    assert_int_equal(p.aborts, 0);
    probe_done(&bed, &raw);
}

static void answer_its_number(struct probe *p, struct http_exchange *x)
{
    char text[32];
    int n = snprintf(text, sizeof text, "<%u>", p->requests);
    http_respond(x, 200, NULL, 0, hob_str_n(text, (size_t)n));
}

static void a_thousand_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct http_tuning tuning = http_tuning_default();
    struct probe p = {.act = answer_its_number};
    hob_auto_buf struct hob_buf all = {0};
    hob_buf_init(&all, 1 << 20);
    for (int i = 0; i < 1000; i++)
        assert_ok(hob_buf_add_str(&all, HOB_STR(GET)));
    bed_open(&bed, &tuning, probe_request, &p);
    raw_connect(&raw, &bed);
    raw_send(&raw, hob_buf_data(&all), all.n);
    raw_settle(&raw);
    struct hob_str in = hob_buf_str(&raw.got);
    for (int i = 1; i <= 1000; i++) {
        struct answer a;
        char text[32];
        (void)snprintf(text, sizeof text, "<%d>", i);
        assert_true(answer_next(&in, false, &a));
        assert_str_equal(a.body, text);
    }
    assert_int_equal(in.n, 0);
    assert_int_equal(p.closes, 1000);
    probe_done(&bed, &raw);
}

static struct http_conn *only_conn(struct bed *bed)
{
    assert_false(hob_list_is_empty(&bed->server->conns));
    return HOB_CONTAINER_OF(hob_list_first(&bed->server->conns), struct http_conn, in_conns);
}

static void requests_that_wait_are_bounded_in_bytes(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    probe_run(&p, &bed, &raw, GET);
    size_t sent = 0;
    for (int i = 0; i < 4000; i++) {
        static const char many[] = GET GET GET GET GET GET GET GET GET GET GET GET GET GET GET GET;
        for (size_t n = 1; n > 0; sent += n)
            n = raw_try_send(&raw, many, sizeof many - 1);
        bed_turn(&bed);
    }
    assert_true(sent > HOB_MAX_HTTP_PIPELINE_BYTES);
    assert_true(only_conn(&bed)->in.n <= HOB_MAX_HTTP_PIPELINE_BYTES + HTTP_READ_BYTES);
    assert_false(only_conn(&bed)->is_reading);
    assert_int_equal(p.requests, 1);
    probe_done(&bed, &raw);
    assert_int_equal(p.aborts, 1);
}

static void a_client_that_does_not_read_gets_no_more_requests_taken(void **state)
{
    (void)state;
    enum { REQUESTS = 100000 };
    struct bed bed;
    struct raw raw;
    struct http_field field = F("X", "y");
    struct probe p = {.act = answer_with_field, .data = &field};
    struct http_tuning tuning = http_tuning_default();
    tuning.out_bytes = 4096;
    bed_open(&bed, &tuning, probe_request, &p);
    raw_connect(&raw, &bed);
    hob_auto_buf struct hob_buf all = {0};
    hob_buf_init(&all, 64 << 20);
    for (int i = 0; i < REQUESTS; i++)
        assert_ok(hob_buf_add_str(&all, HOB_STR(GET)));
    size_t at = 0;
    for (int i = 0; i < 3000; i++) { /* nothing is read */
        at += raw_try_send(&raw, hob_buf_data(&all) + at, all.n - at);
        bed_turn(&bed);
    }
    assert_true(http_conn_queued(only_conn(&bed)) < 4096 + 65536);
    assert_true(p.requests < REQUESTS);
    uint64_t end = hob_now_ms() + 20000;
    while (p.requests < REQUESTS && hob_now_ms() < end) {
        at += raw_try_send(&raw, hob_buf_data(&all) + at, all.n - at);
        bed_turn(&bed);
        (void)raw_take(&raw);
    }
    assert_int_equal(p.requests, REQUESTS);
    probe_done(&bed, &raw);
}

static void start_then_stop(struct probe *p, struct http_exchange *x)
{
    if (p->data)
        http_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
}

static void a_client_that_leaves_is_noticed_within_100_ms(void **state)
{
    (void)state;
    static int yes = 1;
    for (int variant = 0; variant < 4;
         variant++) { /* closed or reset, before or behind the head of the answer */
        struct bed bed;
        struct raw raw;
        struct probe p = {.act = start_then_stop, .data = variant & 1 ? &yes : NULL};
        probe_run(&p, &bed, &raw, GET);
        bed_run_ms(&bed, 5);
        assert_int_equal(p.aborts, 0);
        struct linger reset = {1, 0};
        if (variant & 2)
            assert_int_equal(setsockopt(raw.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        raw_close(&raw);
        uint64_t begin = hob_now_ms();
        while (p.closes == 0 && hob_now_ms() < begin + 20000)
            bed_turn(&bed);
        assert_int_equal(p.aborts, 1);
        assert_int_equal(p.abort_code, HOB_E_CANCELLED);
        assert_int_equal(p.closes, 1);
        bed_close(&bed);
    }
}

static void writes_of_one_turn_leave_together(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    probe_run(&p, &bed, &raw, GET);
    http_head(p.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
    for (int i = 0; i < 50; i++)
        (void)http_write(p.x, HOB_STR("piece"));
    http_end(p.x, NULL, 0);
    char bytes[4096];
    assert_int_equal(recv(raw.fd, bytes, sizeof bytes, 0), -1); /* not before the end of the turn */
    bed_turn(&bed);
    ssize_t n = recv(raw.fd, bytes, sizeof bytes, 0);
    assert_true(n > 500);
    assert_memory_equal(bytes + n - 5, "0\r\n\r\n", 5);
    probe_done(&bed, &raw);
}

static void the_date_is_written_as_http_wants_it(void **state)
{
    (void)state;
    char text[HTTP_DATE_CHARS + 1];
    http_date(784111777000, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date(1709164800000, text);
    assert_string_equal(text, "Thu, 29 Feb 2024 00:00:00 GMT");
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_that_would_break_out_of_the_head_becomes_a_502),
        cmocka_unit_test(statuses_outside_200_to_599_become_a_502),
        cmocka_unit_test(fields_of_the_connection_and_of_the_server_are_not_the_handlers),
        cmocka_unit_test(cookies_are_never_merged),
        cmocka_unit_test(no_body_and_no_length_go_with_204_and_304),
        cmocka_unit_test(head_has_the_fields_of_get_without_the_body),
        cmocka_unit_test(a_head_answer_without_body_may_say_the_length_it_would_have),
        cmocka_unit_test(a_stream_with_a_length_is_sent_as_it_is),
        cmocka_unit_test(a_stream_shorter_than_its_length_breaks_the_connection),
        cmocka_unit_test(a_stream_longer_than_its_length_breaks_the_connection),
        cmocka_unit_test(an_aborted_stream_ends_without_its_last_chunk),
        cmocka_unit_test(an_aborted_stream_to_http10_is_a_reset),
        cmocka_unit_test(a_complete_stream_to_http10_ends_with_the_connection),
        cmocka_unit_test(trailers_follow_the_last_chunk_without_those_that_must_not),
        cmocka_unit_test(an_exchange_given_up_before_its_head_is_a_502),
        cmocka_unit_test(problems_are_json_with_reason_and_request_id),
        cmocka_unit_test(the_next_request_waits_until_the_answer_before_it),
        cmocka_unit_test(a_thousand_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_that_wait_are_bounded_in_bytes),
        cmocka_unit_test(a_client_that_does_not_read_gets_no_more_requests_taken),
        cmocka_unit_test(a_client_that_leaves_is_noticed_within_100_ms),
        cmocka_unit_test(writes_of_one_turn_leave_together),
        cmocka_unit_test(the_date_is_written_as_http_wants_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
