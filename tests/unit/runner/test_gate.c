/* What hob-init understands of the requests that a server makes for its bindings, and how it writes texts as JSON. */
#include "base/limits.h"
#include "base/mem.h"
#include "check.h"
#include "runner/init/http_answer.h"
#include "runner/init/json_text.h"

struct read {
    struct answer a;
    struct hob_buf body;
    size_t used;
};

/* Whole, or in pieces: what was not taken comes again. */
static struct read read_request(struct hob_str text, size_t piece)
{
    struct read r = {.used = 0};
    struct hob_buf in;
    answer_init(&r.a);
    answer_begin_request(&r.a);
    hob_buf_init(&r.body, (size_t)1 << 20);
    hob_buf_init(&in, (size_t)1 << 20);
    for (size_t at = 0; at < text.n && r.a.state != ANSWER_DONE && r.a.state != ANSWER_BAD;) {
        size_t n = text.n - at < piece ? text.n - at : piece;
        assert_ok(hob_buf_add(&in, text.at + at, n));
        at += n;
        size_t used = answer_take(&r.a, hob_buf_str(&in), &r.body, r.body.max);
        r.used += used;
        hob_buf_consume(&in, used);
    }
    hob_buf_done(&in);
    return r;
}

static void read_done(struct read *r)
{
    answer_done(&r->a);
    hob_buf_done(&r->body);
}
#define auto_read __attribute__((cleanup(read_done)))

static void refuse(const char *text, const char *why)
{
    for (size_t piece = 1; piece <= strlen(text); piece = piece < 4 ? piece + 1 : piece * 2) {
        auto_read struct read r = read_request(hob_str(text), piece);
        if (r.a.state != ANSWER_BAD)
            fail_msg("taken: %s", text);
        assert_contains(r.a.problem, why);
        assert_false(answer_has_head(&r.a) && answer_target(&r.a).n == 0);
    }
}

static void take(const char *text, const char *method, const char *target, const char *body)
{
    for (size_t piece = 1; piece <= strlen(text); piece = piece < 4 ? piece + 1 : piece * 2) {
        auto_read struct read r = read_request(hob_str(text), piece);
        if (r.a.state != ANSWER_DONE)
            fail_msg("not taken: %s: %s", text, r.a.problem ? r.a.problem : "it waits for more");
        assert_true(hob_str_is(answer_method(&r.a), method) && hob_str_is(answer_target(&r.a), target));
        assert_true(hob_str_is(hob_buf_str(&r.body), body));
    }
}

static void requests_of_each_framing_are_read(void **state)
{
    (void)state;
    take("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/", "");
    take("GET /a?b=c&d=%20 HTTP/1.1\r\nhost:\r\n\r\n", "GET", "/a?b=c&d=%20", "");
    take("DELETE /x HTTP/1.0\r\n\r\n", "DELETE", "/x", "");
    take("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST", "/x", "abc");
    take("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST", "/x", "");
    take(
        "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nt: u\r\n\r\n",
        "PUT", "/x", "abc");
    take("M-SEARCH /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nz", "M-SEARCH",
         "/x", "z");
}

static void what_is_no_plain_request_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /",
                                        "GET / HTTP/1.2",
                                        "GET / HTTP/2.0",
                                        "GET / http/1.1",
                                        "GET  / HTTP/1.1",
                                        "GET / HTTP/1.1 ",
                                        " GET / HTTP/1.1",
                                        "GET * HTTP/1.1",
                                        "GET http://x/ HTTP/1.1",
                                        "GET /a b HTTP/1.1",
                                        "GET /\x7f HTTP/1.1",
                                        "GET /\xc3\xa9 HTTP/1.1",
                                        "G(T / HTTP/1.1",
                                        "GET\t/ HTTP/1.1",
                                        "GET /\n HTTP/1.1",
                                        "HTTP/1.1 200 OK",
                                        ""};
    for (size_t i = 0; i < HOB_COUNT(lines); i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "%s\r\nHost: x\r\n\r\n", lines[i]);
        refuse(text, "METHOD /path HTTP/1.1");
    }
}

static void a_request_has_one_host_and_one_length(void **state)
{
    (void)state;
    refuse("GET / HTTP/1.1\r\n\r\n", "Host");
    refuse("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "Host");
    refuse("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "Host");
    refuse("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "Content-Length");
    refuse("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "beside chunks");
    refuse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0");
    refuse("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding");
    refuse("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", "Content-Length");
    refuse("POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", "expects");
    refuse("GET / HTTP/1.1\r\nHost: x\r\n a: b\r\n\r\n", "folded");
    refuse("GET / HTTP/1.1\r\nHost : x\r\n\r\n", "a name, a colon");
    refuse("GET / HTTP/1.1\r\nHost: x\r\na: \x01\r\n\r\n", "control character");
}

static void a_head_is_bounded_at_plus_and_minus_one(void **state)
{
    (void)state;
    static const char begin[] = "GET / HTTP/1.1\r\nHost: x\r\na: ";
    for (int more = -1; more <= 1; more++) {
        size_t n = (size_t)(HOB_MAX_HTTP_HEAD_BYTES + more);
        hob_auto_free char *text = hob_calloc(1, n + 1);
        memset(text, 'a', n);
        memcpy(text, begin, sizeof begin - 1);
        memcpy(text + n - 4, "\r\n\r\n", 4);
        auto_read struct read r = read_request(hob_str_n(text, n), n);
        assert_int_equal(r.a.state, more > 0 ? ANSWER_BAD : ANSWER_DONE);
    }
}

static void what_follows_a_request_is_the_next_one(void **state)
{
    (void)state;
    static const char text[] = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n";
    auto_read struct read r = read_request(HOB_STR(text), sizeof text);
    assert_int_equal(r.used, (sizeof text - 1) / 2);
    assert_true(r.a.is_keep_alive);
    answer_begin_request(&r.a);
    struct hob_buf body;
    hob_buf_init(&body, 16);
    size_t used = answer_take(&r.a, hob_str_n(text + r.used, sizeof text - 1 - r.used), &body, 16);
    assert_int_equal(used, (sizeof text - 1) / 2);
    assert_true(hob_str_is(answer_target(&r.a), "/2"));
}

static void a_connection_is_kept_as_the_client_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_kept;
    } cases[] = {{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        auto_read struct read r = read_request(hob_str(cases[i].text), 5);
        assert_int_equal(r.a.state, ANSWER_DONE);
        assert_int_equal(r.a.is_keep_alive, cases[i].is_kept);
    }
}

static void a_body_is_not_read_before_there_is_room(void **state)
{
    (void)state;
    struct answer a;
    struct hob_buf body;
    struct hob_str text = HOB_STR("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    answer_init(&a);
    answer_begin_request(&a);
    hob_buf_init(&body, 16);
    size_t used = answer_take(&a, text, &body, 0);
    assert_int_equal(used, text.n - 3);
    assert_true(answer_has_head(&a) && a.left == 3 && body.n == 0);
    assert_int_equal(answer_take(&a, hob_str_n(text.at + used, 3), &body, 16), 3);
    assert_int_equal(a.state, ANSWER_DONE);
    hob_buf_done(&body);
    answer_done(&a);
}

static void a_text_is_one_json_string_whatever_it_holds(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf out;
    hob_buf_init(&out, 64);
    assert_ok(json_text_add(&out, HOB_STR("a\"b\\c\n\x01\xc3\xa9")));
    assert_true(hob_str_is(hob_buf_str(&out), "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\""));
    hob_buf_clear(&out);
    assert_int_equal(
        json_text_add(&out,
                      HOB_STR("0123456789012345678901234567890123456789012345678901234567890123456789")),
        HOB_E_TOO_LARGE);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_each_framing_are_read),
        cmocka_unit_test(what_is_no_plain_request_is_refused),
        cmocka_unit_test(a_request_has_one_host_and_one_length),
        cmocka_unit_test(a_head_is_bounded_at_plus_and_minus_one),
        cmocka_unit_test(what_follows_a_request_is_the_next_one),
        cmocka_unit_test(a_connection_is_kept_as_the_client_says),
        cmocka_unit_test(a_body_is_not_read_before_there_is_room),
        cmocka_unit_test(a_text_is_one_json_string_whatever_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
