/* What hob-init understands of a server's answers, and how it writes requests. */
#include "base/frame.h"
#include "base/limits.h"
#include "base/mem.h"
#include "check.h"
#include "runner/init/http_answer.h"
#include "runner/init/http_request.h"

enum { BODY_MAX = 4096 };

struct read {
    struct answer a;
    struct hob_buf body;
    size_t used;
};

/* Feeds it whole, or in pieces, as a connection would: what was not taken comes again. */
static struct read read_answer(struct hob_str text, size_t piece, bool is_head)
{
    struct read r = {0};
    struct hob_buf in;
    answer_init(&r.a);
    answer_begin(&r.a, is_head, false);
    hob_buf_init(&r.body, (size_t)1 << 20);
    hob_buf_init(&in, (size_t)1 << 20);
    for (size_t at = 0; at < text.n && r.a.state != ANSWER_DONE && r.a.state != ANSWER_BAD;) {
        size_t n = text.n - at < piece ? text.n - at : piece;
        assert_ok(hob_buf_add(&in, text.at + at, n));
        at += n;
        size_t used = answer_take(&r.a, hob_buf_str(&in), &r.body, r.body.n + BODY_MAX);
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
        auto_read struct read r = read_answer(hob_str(text), piece, false);
        if (r.a.state != ANSWER_BAD)
            fail_msg("taken: %s", text);
        assert_contains(r.a.problem, why);
    }
}

static void take(const char *text, unsigned status, const char *body)
{
    for (size_t piece = 1; piece <= strlen(text); piece = piece < 4 ? piece + 1 : piece * 2) {
        auto_read struct read r = read_answer(hob_str(text), piece, false);
        if (r.a.state == ANSWER_BAD)
            fail_msg("refused: %s: %s", text, r.a.problem);
        assert_int_equal(r.a.status, status);
        assert_str_equal(hob_buf_str(&r.body), body);
    }
}

static struct hob_str field(const struct hob_buf *block, const char *name)
{
    struct hob_pairs p;
    assert_true(hob_pairs_open(hob_buf_str(block), UINT32_MAX, &p));
    return hob_pairs_get(&p, name);
}

static void each_framing_is_read_to_its_end(void **state)
{
    (void)state;
    take("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
    take("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello");
    take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n00A\r\n0123456789\r\n0\r\n\r\n",
         200, "he0123456789");
    take("HTTP/1.1 200\r\nContent-Length:0\r\n\r\n", 200, "");
    take("HTTP/1.0 404 Not Found\r\n\r\ngone", 404, "gone");
    take("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
    take("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", 304, "");
    take(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: "
        "2\r\n\r\nok",
        201, "ok");
}

static enum answer_state switch_with(const char *text, struct answer *a, struct hob_buf *body)
{
    answer_init(a);
    hob_buf_init(body, 4096);
    answer_begin(a, false, true);
    (void)!answer_take(a, hob_str(text), body, BODY_MAX);
    return a->state;
}

static void behind_a_101_that_was_asked_for_everything_is_body(void **state)
{
    (void)state;
    struct answer a;
    struct hob_buf body;
    assert_int_equal(
        switch_with("HTTP/1.1 101 S\r\nConnection: Upgrade, X-Hop\r\nUpgrade: raw\r\nX-Hop: 1\r\n"
                    "Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                    &a, &body),
        ANSWER_UNENDED);
    assert_int_equal(a.status, 101);
    assert_false(a.is_keep_alive);
    assert_str_equal(field(&a.fields, "upgrade"), "raw");
    assert_null(field(&a.fields, "x-hop").at);
    assert_null(field(&a.fields, "connection").at);
    assert_str_equal(hob_buf_str(&body), "HTTP/1.1 200 OK\r\n\r\n");
    answer_done(&a);
    hob_buf_done(&body);
    static const char *const bad[] = {
        "HTTP/1.1 101 S\r\nUpgrade: raw\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 S\r\nUpgrade: raw\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 101 S\r\nUpgrade: raw\r\n\r\n",
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        assert_int_equal(switch_with(bad[i], &a, &body), ANSWER_BAD);
        assert_int_equal(a.status, 0);
        answer_done(&a);
        hob_buf_done(&body);
    }
}

static void an_answer_takes_nothing_of_what_follows_it(void **state)
{
    (void)state;
    static const char first[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    hob_auto_free char *two = hob_asprintf("%s%s", first, first);
    auto_read struct read r = read_answer(hob_str(two), 1000, false);
    assert_int_equal(r.a.state, ANSWER_DONE);
    assert_int_equal(r.used, strlen(first));
}

static void an_answer_to_head_has_no_body(void **state)
{
    (void)state;
    auto_read struct read r =
        read_answer(HOB_STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), 1000, true);
    assert_int_equal(r.a.state, ANSWER_DONE);
    assert_true(r.a.is_keep_alive);
    assert_str_equal(field(&r.a.fields, "content-length"), "9");
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    (void)state;
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "Content-Length");
    refuse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "beside chunks");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           "Transfer-Encoding");
    refuse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n", "header line");
    refuse("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded");
    refuse("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "header line");
    refuse("HTTP/1.1 200 OK\r\nA\r\n\r\n", "header line");
    refuse("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "control character");
    refuse("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", "control character");
    refuse("HTTP/1.1 200 O\nK: x\r\n\r\n", "status line");
    refuse("HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", "status line");
    refuse("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "status");
    refuse("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "status line");
    refuse("HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", "100 to 599");
    refuse("HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "100 to 599");
    refuse("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "switches");
    refuse("HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n", "interim");
    refuse("HTTP/1.1 100 x\r\nContent-Length: 0\r\n\r\n", "interim");
    refuse("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n", "framed");
    refuse("SSH-2.0-OpenSSH\r\n\r\n", "status line");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n", "longer than its size");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", "hexadecimal");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "hexadecimal");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "hexadecimal");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n", "hexadecimal");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "hexadecimal");
    refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n", "header line");
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n";
    auto_read struct read r = read_answer(HOB_STR(text), 1000, false);
    assert_int_equal(r.a.state, ANSWER_BAD);
}

static void fields_of_the_connection_stay_behind(void **state)
{
    (void)state;
    auto_read struct read r = read_answer(
        HOB_STR(
            "HTTP/1.1 200 OK\r\nConnection: X-Own, close\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: "
            "a\r\nSET-Cookie:  b \r\nContent-Length: 0\r\n\r\n"),
        7, false);
    struct hob_pairs p;
    assert_int_equal(r.a.state, ANSWER_DONE);
    assert_false(r.a.is_keep_alive);
    assert_true(hob_pairs_open(hob_buf_str(&r.a.fields), 3, &p));
    assert_int_equal(p.count, 3);
    assert_str_equal(hob_pairs_get(&p, "set-cookie"), "a");
    assert_null(hob_pairs_get(&p, "x-own").at);
}

static void trailers_are_kept(void **state)
{
    (void)state;
    auto_read struct read r =
        read_answer(HOB_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
                            "0\r\nX-Sum: 9\r\nY:\r\n\r\n"),
                    3, false);
    assert_int_equal(r.a.state, ANSWER_DONE);
    assert_true(r.a.is_keep_alive);
    assert_str_equal(field(&r.a.trailers, "x-sum"), "9");
}

static void an_early_end_is_bad_and_an_open_body_ends_with_it(void **state)
{
    (void)state;
    static const char *const early[] = {"", "HTTP/1.1 200 OK\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"};
    for (size_t i = 0; i < HOB_COUNT(early); i++) {
        auto_read struct read r = read_answer(hob_str(early[i]), 1000, false);
        answer_end_of_input(&r.a);
        assert_int_equal(r.a.state, ANSWER_BAD);
        assert_contains(r.a.problem, "was closed");
    }
    auto_read struct read r = read_answer(HOB_STR("HTTP/1.1 200 OK\r\n\r\nhel"), 1000, false);
    assert_int_equal(r.a.state, ANSWER_UNENDED);
    answer_end_of_input(&r.a);
    assert_int_equal(r.a.state, ANSWER_DONE);
    assert_false(r.a.is_keep_alive);
}

/* A head of exactly n bytes. */
static char *head_of(size_t n)
{
    static const char begin[] = "HTTP/1.1 204 x\r\nA: ";
    char *text = hob_calloc(n + 1, 1);
    memset(text, 'v', n);
    memcpy(text, begin, sizeof begin - 1);
    memcpy(text + n - 4, "\r\n\r\n", 4);
    return text;
}

static void a_head_has_a_size_at_plus_and_minus_one(void **state)
{
    (void)state;
    hob_auto_free char *most = head_of(HOB_MAX_HTTP_HEAD_BYTES), *more = head_of(HOB_MAX_HTTP_HEAD_BYTES + 1);
    auto_read struct read good = read_answer(hob_str(most), 5000, false),
                          over = read_answer(hob_str(more), 5000, false);
    assert_int_equal(good.a.state, ANSWER_DONE);
    assert_int_equal(over.a.state, ANSWER_BAD);
    assert_contains(over.a.problem, "http.head_bytes");
}

static char *answer_with(const char *begin, const char *line, size_t n, const char *end)
{
    struct hob_buf b;
    hob_buf_init(&b, (size_t)1 << 20);
    assert_ok(hob_buf_add_str(&b, hob_str(begin)));
    for (size_t i = 0; i < n; i++)
        assert_ok(hob_buf_add_str(&b, hob_str(line)));
    assert_ok(hob_buf_add_str(&b, hob_str(end)));
    return hob_buf_take(&b);
}

static void expect_at(const char *begin, const char *line, size_t most, const char *end)
{
    hob_auto_free char *good = answer_with(begin, line, most, end),
                       *bad = answer_with(begin, line, most + 1, end);
    auto_read struct read a = read_answer(hob_str(good), 1000, false),
                          b = read_answer(hob_str(bad), 1000, false);
    assert_int_equal(a.a.state, ANSWER_DONE);
    assert_int_equal(b.a.state, ANSWER_BAD);
}

static void counts_are_bounded_at_plus_and_minus_one(void **state)
{
    (void)state;
    expect_at("HTTP/1.1 204 x\r\n", "A: b\r\n", ANSWER_FIELDS_MAX, "\r\n");
    expect_at("", "HTTP/1.1 100 Continue\r\n\r\n", ANSWER_INTERIM_MAX, "HTTP/1.1 204 x\r\n\r\n");
    expect_at("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", "1;abcdefg\r\nx\r\n",
              ANSWER_EXTENSION_BYTES_MAX / 8, "0\r\n\r\n");
    expect_at("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b", "x",
              ANSWER_TRAILER_BYTES_MAX - 8, "\r\n\r\n");
}

static void endless_lines_are_bounded(void **state)
{
    (void)state;
    hob_auto_free char *chunk =
        answer_with("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x", 2000, "");
    hob_auto_free char *trailer =
        answer_with("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n", 4000, "");
    auto_read struct read a = read_answer(hob_str(chunk), 100, false),
                          b = read_answer(hob_str(trailer), 100, false);
    assert_int_equal(a.a.state, ANSWER_BAD);
    assert_int_equal(b.a.state, ANSWER_BAD);
}

static void no_more_body_is_given_than_asked_for(void **state)
{
    (void)state;
    struct answer a;
    struct hob_buf body;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                      text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    answer_init(&a);
    answer_begin(&a, false, false);
    hob_buf_init(&body, 64);
    assert_int_equal(answer_take(&a, HOB_STR(text), &body, 0), strlen(head));
    assert_int_equal(body.n, 0);
    assert_int_equal(answer_take(&a, HOB_STR("hello"), &body, 3), 3);
    assert_int_equal(a.state, ANSWER_LENGTH);
    assert_int_equal(answer_take(&a, HOB_STR("lo"), &body, 5), 2);
    assert_int_equal(a.state, ANSWER_DONE);
    hob_buf_done(&body);
    answer_done(&a);
}

/* ---- requests ---- */

struct ask {
    struct hob_invoke_meta m;
    struct hob_buf fields, out;
    struct request_framing framing;
};

static void ask_init(struct ask *q, const char *method, uint64_t body_n, const char *const (*fields)[2],
                     size_t n)
{
    *q = (struct ask){
        .m = {
            .kind = HOB_INVOKE_HTTP, .method = hob_str(method), .target = HOB_STR("/x?y"), .body_n = body_n}};
    struct hob_pairs_writer w;
    hob_buf_init(&q->fields, 4096);
    hob_buf_init(&q->out, 4096);
    hob_pairs_start(&w, &q->fields);
    for (size_t i = 0; i < n; i++)
        hob_pairs_add(&w, hob_str(fields[i][0]), hob_str(fields[i][1]));
    assert_ok(hob_pairs_end(&w, NULL));
    q->m.fields = hob_buf_str(&q->fields);
}

static const struct request_own own = {.authority = {"localhost", 9}};

static void ask_done(struct ask *q)
{
    hob_buf_done(&q->fields);
    hob_buf_done(&q->out);
}

static void a_request_is_framed_anew(void **state)
{
    (void)state;
    static const char *const fields[][2] = {{"a", "1"},
                                            {"host", "h.example"},
                                            {"content-length", "77"},
                                            {"transfer-encoding", "chunked"},
                                            {"connection", "close"},
                                            {"a", ""}};
    struct ask q;
    ask_init(&q, "POST", 2, fields, HOB_COUNT(fields));
    assert_ok(request_write(&q.out, &q.m, HOB_STR("ok"), true, &own, &q.framing));
    assert_str_equal(hob_buf_str(&q.out),
                     "POST /x?y HTTP/1.1\r\nhost: h.example\r\na: 1\r\na: \r\ncontent-length: 2\r\n\r\nok");
    ask_done(&q);
}

static void a_body_of_unknown_length_goes_in_chunks_with_trailers(void **state)
{
    (void)state;
    struct ask q;
    struct hob_pairs trailers;
    ask_init(&q, "POST", UINT64_MAX, NULL, 0);
    assert_ok(request_write(&q.out, &q.m, HOB_STR("abc"), false, &own, &q.framing));
    struct hob_pairs_writer w;
    hob_buf_clear(&q.fields);
    hob_pairs_start(&w, &q.fields);
    hob_pairs_add(&w, HOB_STR("x-sum"), HOB_STR("9"));
    hob_pairs_add(&w, HOB_STR("content-length"), HOB_STR("9"));
    assert_ok(hob_pairs_end(&w, NULL));
    assert_true(hob_pairs_open(hob_buf_str(&q.fields), 2, &trailers));
    assert_ok(request_write_body(&q.out, &q.framing, HOB_STR("0123456789abcdef"), false, NULL));
    assert_ok(request_write_body(&q.out, &q.framing, HOB_STR(""), true, &trailers));
    assert_str_equal(hob_buf_str(&q.out),
                     "POST /x?y HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nx-sum: 9\r\n\r\n");
    ask_done(&q);
}

static void a_body_has_the_announced_length(void **state)
{
    (void)state;
    struct ask q;
    ask_init(&q, "PUT", 4, NULL, 0);
    assert_ok(request_write(&q.out, &q.m, HOB_STR("ab"), false, &own, &q.framing));
    assert_int_equal(request_write_body(&q.out, &q.framing, HOB_STR("cde"), false, NULL), HOB_E_INVALID);
    assert_int_equal(request_write_body(&q.out, &q.framing, HOB_STR("c"), true, NULL), HOB_E_INVALID);
    assert_ok(request_write_body(&q.out, &q.framing, HOB_STR("cd"), true, NULL));
    ask_done(&q);
}

static void nothing_from_outside_ends_a_line(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a", "b\r\nx: y"}, {"a\n", "b"}, {"a:b", "c"}, {"", "c"}, {"a b", "c"}};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        struct ask q;
        ask_init(&q, "GET", 0, &bad[i], 1);
        assert_int_equal(request_write(&q.out, &q.m, HOB_STR(""), true, &own, &q.framing),
                         HOB_E_INVALID);
        ask_done(&q);
    }
    struct ask q;
    ask_init(&q, "GET / HTTP/1.1\r\nx: y\r\n\r\nGET", 0, NULL, 0);
    assert_int_equal(request_write(&q.out, &q.m, HOB_STR(""), true, &own, &q.framing),
                     HOB_E_INVALID);
    ask_done(&q);
}

static void an_event_is_posted_to_the_root_as_json(void **state)
{
    (void)state;
    struct ask q;
    ask_init(&q, "", 2, NULL, 0);
    q.m.kind = HOB_INVOKE_EVENT;
    q.m.target = HOB_STR("");
    assert_ok(request_write(&q.out, &q.m, HOB_STR("{}"), true, &own, &q.framing));
    assert_str_equal(hob_buf_str(&q.out),
                     "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                     "content-length: 2\r\n\r\n{}");
    ask_done(&q);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_framing_is_read_to_its_end),
        cmocka_unit_test(behind_a_101_that_was_asked_for_everything_is_body),
        cmocka_unit_test(an_answer_takes_nothing_of_what_follows_it),
        cmocka_unit_test(an_answer_to_head_has_no_body),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
        cmocka_unit_test(fields_of_the_connection_stay_behind),
        cmocka_unit_test(trailers_are_kept),
        cmocka_unit_test(an_early_end_is_bad_and_an_open_body_ends_with_it),
        cmocka_unit_test(a_head_has_a_size_at_plus_and_minus_one),
        cmocka_unit_test(counts_are_bounded_at_plus_and_minus_one),
        cmocka_unit_test(endless_lines_are_bounded),
        cmocka_unit_test(no_more_body_is_given_than_asked_for),
        cmocka_unit_test(a_request_is_framed_anew),
        cmocka_unit_test(a_body_of_unknown_length_goes_in_chunks_with_trailers),
        cmocka_unit_test(a_body_has_the_announced_length),
        cmocka_unit_test(nothing_from_outside_ends_a_line),
        cmocka_unit_test(an_event_is_posted_to_the_root_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
