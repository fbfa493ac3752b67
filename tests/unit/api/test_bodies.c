/* Bodies in both directions: byte-exact, windowed, bounded in memory, broken off. */
#include "probe.h"

enum { BIG_BYTES = 100 << 20 };

static struct http_conn *only_conn(struct bed *bed)
{
    assert_false(hob_list_is_empty(&bed->server->conns));
    return HOB_CONTAINER_OF(hob_list_first(&bed->server->conns), struct http_conn, in_conns);
}

static void read_body(struct probe *p, struct http_exchange *x)
{
    (void)p;
    http_body_read(x, 0);
}

static void answer_ok(struct probe *p)
{
    http_respond(p->x, 200, NULL, 0, HOB_STR("ok"));
}

/* --- uploads ------------------------------------------------------------------------------------------------------ */

/* Sends `total` bytes of the pattern, in chunks of changing size when asked. */
static void upload(struct raw *raw, size_t total, bool is_chunked)
{
    enum { PIECE = 300000 };
    hob_auto_free char *piece = hob_calloc(PIECE, 1);
    for (size_t at = 0, turn = 0; at < total && !raw->is_ended; turn++) {
        size_t n = is_chunked ? 1 + (turn * 7919) % PIECE : PIECE;
        char size[24];
        n = n < total - at ? n : total - at;
        pattern_fill(piece, at, n);
        if (is_chunked)
            raw_send(raw, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
        raw_send(raw, piece, n);
        if (is_chunked)
            raw_send(raw, "\r\n", 2);
        at += n;
    }
    if (is_chunked)
        raw_send(raw, "0\r\nX-Sum: 1\r\n\r\n", 15);
}

static void a_hundred_mib_arrive_byte_exact(bool is_chunked)
{
    struct bed bed;
    struct raw raw;
    char head[128];
    struct probe p = {.act = read_body, .on_body_end = answer_ok};
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n",
                   is_chunked ? "Transfer-Encoding: chunked" : "Content-Length: 104857600");
    probe_run(&p, &bed, &raw, head);
    upload(&raw, BIG_BYTES, is_chunked);
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    assert_int_equal(raw_answer(&raw).status, 200);
    assert_int_equal(p.body_bytes, BIG_BYTES);
    assert_int_equal(p.wrong_bytes, 0);
    assert_int_equal(p.ends, 1);
    assert_int_equal(p.trailers, is_chunked ? 1 : 0);
    assert_false(raw.is_ended);
    probe_done(&bed, &raw);
}

static void a_hundred_mib_with_a_length_arrive_byte_exact(void **state)
{
    (void)state;
    a_hundred_mib_arrive_byte_exact(false);
}

static void a_hundred_mib_in_chunks_arrive_byte_exact(void **state)
{
    (void)state;
    a_hundred_mib_arrive_byte_exact(true);
}

static void no_more_than_the_window_is_handed_on_before_it_is_given_back(void **state)
{
    (void)state;
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        struct bed bed;
        struct raw raw;
        struct probe p = {.act = read_body, .keeps_window = true, .on_body_end = answer_ok};
        hob_auto_free char *bytes = hob_calloc(1, 1 << 20);
        size_t total = 1 << 20, sent = 0;
        pattern_fill(bytes, 0, total);
        probe_run(&p, &bed, &raw,
                  is_chunked ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"
                             : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
        for (int i = 0; i < 300; i++) {
            sent += raw_try_send(&raw, bytes + sent, total - sent);
            bed_turn(&bed);
        }
        assert_int_equal(p.body_bytes, HOB_MAX_HTTP_BODY_WINDOW_BYTES);
        assert_false(only_conn(&bed)->is_reading);
        assert_true(only_conn(&bed)->in.n < HTTP_READ_BYTES);
        http_consumed(p.x, 1); /* one byte back, one byte more */
        for (int i = 0; i < 20; i++)
            bed_turn(&bed);
        assert_int_equal(p.body_bytes, HOB_MAX_HTTP_BODY_WINDOW_BYTES + 1);
        p.keeps_window = false;
        http_consumed(p.x, HOB_MAX_HTTP_BODY_WINDOW_BYTES);
        raw_send(&raw, bytes + sent, total - sent);
        if (is_chunked)
            raw_send(&raw, "\r\n0\r\n\r\n", 7);
        raw_wait(&raw, 1, 5000);
        raw_settle(&raw);
        assert_int_equal(p.body_bytes, total);
        assert_int_equal(p.wrong_bytes, 0);
        assert_int_equal(raw_answer(&raw).status, 200);
        probe_done(&bed, &raw);
    }
}

static void continue_is_sent_when_the_handler_reads_and_not_before(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.on_body_end = answer_ok};
    probe_run(&p, &bed, &raw,
              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    bed_run_ms(&bed, 10);
    raw_settle(&raw);
    assert_int_equal(raw.got.n, 0);
    http_body_read(p.x, 0);
    http_body_read(p.x, 0); /* a second time does nothing */
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    assert_str_equal(hob_buf_str(&raw.got), "HTTP/1.1 100 Continue\r\n\r\n");
    raw_send(&raw, "abc", 3);
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    hob_buf_consume(&raw.got, 25);
    assert_int_equal(raw_answer(&raw).status, 200);
    assert_int_equal(p.body_bytes, 3);
    probe_done(&bed, &raw);
}

static void a_refused_upload_is_not_asked_for(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_UNAUTHORIZED, "no token");
    probe_run(&p, &bed, &raw,
              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    http_problem(p.x, &err, 0);
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    struct answer a = raw_answer(&raw);
    assert_int_equal(a.status, 401);
    assert_true(a.is_closing);
    assert_true(raw.is_ended);
    probe_done(&bed, &raw);
}

static void read_at_most_1000(struct probe *p, struct http_exchange *x)
{
    (void)p;
    http_body_read(x, 1000);
}

static void a_body_beyond_the_bound_aborts_with_too_large(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
    };
    for (size_t i = 0; i < HOB_COUNT(heads); i++) {
        struct bed bed;
        struct raw raw;
        struct probe p = {.act = read_at_most_1000};
        char body[1001] = {0};
        probe_run(&p, &bed, &raw, heads[i]);
        raw_send(&raw, body, sizeof body);
        raw_wait(&raw, 1, 5000);
        raw_settle(&raw);
        struct answer a = raw_answer(&raw);
        assert_int_equal(a.status, 413);
        assert_true(answer_has(&a, "\"reason\":\"body_too_large\""));
        assert_int_equal(p.aborts, 1);
        assert_int_equal(p.abort_code, HOB_E_TOO_LARGE);
        assert_int_equal(p.closes, 1);
        assert_true(raw.is_ended);
        probe_done(&bed, &raw);
    }
}

static void a_malformed_chunk_is_answered_or_breaks_the_answer(void **state)
{
    (void)state;
    for (int has_head = 0; has_head < 2; has_head++) {
        struct bed bed;
        struct raw raw;
        struct probe p = {.act = read_body};
        probe_run(&p, &bed, &raw,
                  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        if (has_head) {
            http_head(p.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
            (void)http_write(p.x, HOB_STR("begun"));
        }
        raw_settle(&raw);
        raw_send(&raw, "zz\r\n", 4);
        raw_wait_end(&raw, 50);
        assert_true(raw.is_ended);
        assert_true(raw_has(&raw, has_head ? "5\r\nbegun\r\n" : "400 Bad Request"));
        assert_false(raw_has(&raw, "0\r\n\r\n"));
        assert_int_equal(p.aborts, 1);
        assert_int_equal(p.abort_code, HOB_E_INVALID);
        assert_string_equal(p.abort_reason, "bad_chunk");
        assert_int_equal(p.closes, 1);
        probe_done(&bed, &raw);
    }
}

static void a_client_that_leaves_in_its_upload_aborts_the_exchange(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = read_body};
    probe_run(&p, &bed, &raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello");
    assert_int_equal(p.body_bytes, 5);
    raw_close(&raw);
    bed_run_ms(&bed, 20);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.abort_code, HOB_E_CANCELLED);
    assert_int_equal(p.ends, 0);
    assert_int_equal(p.closes, 1);
    bed_close(&bed);
}

static void a_client_that_leaves_while_its_upload_waits_is_noticed(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = read_body, .keeps_window = true};
    hob_auto_free char *bytes = hob_calloc(1, 140000);
    probe_run(&p, &bed, &raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    raw_send(&raw, bytes, 140000); /* more than the window, less than what the kernel holds */
    raw_settle(&raw);
    assert_false(only_conn(&bed)->is_reading);
    raw_close(&raw);
    uint64_t begin = hob_now_ms();
    while (p.closes == 0 && hob_now_ms() < begin + 20000)
        bed_run_ms(&bed, 1);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.abort_code, HOB_E_CANCELLED);
    bed_close(&bed);
}

static void a_half_closed_client_counts_as_gone(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    probe_run(&p, &bed, &raw, GET);
    assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
    raw_wait_end(&raw, 200);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.closes, 1);
    assert_true(raw.is_ended);
    probe_done(&bed, &raw);
}

static void answer_at_once(struct probe *p, struct http_exchange *x)
{
    (void)p;
    http_respond(x, 403, NULL, 0, HOB_STR("no"));
}

static void an_early_answer_reaches_a_client_that_is_still_sending(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = answer_at_once};
    hob_auto_free char *bytes = hob_calloc(1, 5 << 20);
    probe_run(&p, &bed, &raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5242880\r\n\r\n");
    raw_send(&raw, bytes, 5 << 20); /* goes on sending; stops only when it has read the end */
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    struct answer a = raw_answer(&raw);
    assert_int_equal(a.status, 403);
    assert_str_equal(a.body, "no");
    assert_true(a.is_closing);
    assert_true(raw.is_ended);
    assert_false(raw.is_reset);
    assert_int_equal(p.closes, 1);
    probe_done(&bed, &raw);
}

static void a_body_nobody_asked_for_waits_within_bounds(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.on_body_end = answer_ok};
    hob_auto_free char *bytes = hob_calloc(1, 8 << 20);
    size_t sent = 0;
    pattern_fill(bytes, 0, 8 << 20);
    probe_run(&p, &bed, &raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    for (int i = 0; i < 500; i++) {
        sent += raw_try_send(&raw, bytes + sent, (8 << 20) - sent);
        bed_turn(&bed);
    }
    assert_int_equal(p.body_bytes, 0);
    assert_true(only_conn(&bed)->in.n <= HOB_MAX_HTTP_PIPELINE_BYTES + HTTP_READ_BYTES);
    http_body_read(p.x, 0);
    raw_send(&raw, bytes + sent, (8 << 20) - sent);
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    assert_int_equal(raw_answer(&raw).status, 200);
    assert_int_equal(p.body_bytes, 8 << 20);
    assert_int_equal(p.wrong_bytes, 0);
    probe_done(&bed, &raw);
}

/* --- downloads ------------------------------------------------------------------------------------------------------ */

struct source {
    size_t at, total, queued_max, piece;
};

/* Writes until the server says to wait. */
static void write_on(struct probe *p)
{
    struct source *s = p->data;
    char *piece = malloc(s->piece);
    assert_non_null(piece);
    for (size_t queued = 0; s->at < s->total && queued <= HOB_MAX_HTTP_CONN_BUFFER_BYTES;) {
        size_t n = s->piece < s->total - s->at ? s->piece : s->total - s->at;
        pattern_fill(piece, s->at, n);
        queued = http_write(p->x, hob_str_n(piece, n));
        s->queued_max = queued > s->queued_max ? queued : s->queued_max;
        s->at += n;
    }
    free(piece);
    if (s->at == s->total)
        http_end(p->x, NULL, 0);
}

static void start_download(struct probe *p, struct http_exchange *x)
{
    const struct source *s = p->data;
    http_head(x, 200, NULL, 0, (int64_t)s->total);
    p->is_inside = false;
    write_on(p);
}

static void start_chunked_download(struct probe *p, struct http_exchange *x)
{
    http_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
    p->is_inside = false;
    write_on(p);
}

/* Takes everything, compares it and keeps nothing. */
static uint64_t download(struct raw *raw, size_t total, uint64_t *ret_wrong)
{
    uint64_t at = 0, end_ms = hob_now_ms() + 60000;
    raw_settle(raw);
    const char *body = memmem(hob_buf_data(&raw->got), raw->got.n, "\r\n\r\n", 4);
    assert_non_null(body);
    hob_buf_consume(&raw->got, (size_t)(body + 4 - hob_buf_data(&raw->got)));
    while (at < total && hob_now_ms() < end_ms && !(raw->is_ended && raw->got.n == 0)) {
        struct hob_str got = hob_buf_str(&raw->got);
        for (size_t i = 0; i < got.n; i++)
            *ret_wrong += got.at[i] != pattern_byte(at + i);
        at += got.n;
        hob_buf_clear(&raw->got);
        bed_turn(raw->bed);
        (void)raw_take(raw);
    }
    return at;
}

static void a_hundred_mib_go_out_byte_exact(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    uint64_t wrong = 0;
    struct source source = {.total = BIG_BYTES, .piece = 60000};
    struct probe p = {.act = start_download, .on_drain = write_on, .data = &source};
    probe_run(&p, &bed, &raw, GET);
    assert_int_equal(download(&raw, BIG_BYTES, &wrong), BIG_BYTES);
    assert_int_equal(wrong, 0);
    assert_true(p.drains > 0);
    assert_true(source.queued_max <= HOB_MAX_HTTP_CONN_BUFFER_BYTES + source.piece);
    assert_int_equal(p.closes, 1);
    probe_done(&bed, &raw);
}

/* Writes until exactly the bound is waiting. */
static void start_filling(struct probe *p, struct http_exchange *x)
{
    static const char zeros[HOB_MAX_HTTP_CONN_BUFFER_BYTES];
    size_t *queued = p->data;
    p->is_inside = false;
    http_head(x, 200, NULL, 0, 2 * HOB_MAX_HTTP_CONN_BUFFER_BYTES);
    *queued = http_write(x, HOB_STR("0"));
    *queued = http_write(x, hob_str_n(zeros, sizeof zeros - *queued));
}

static void stop_short(struct probe *p)
{
    http_abort(p->x);
}

static void who_stops_at_the_bound_is_told_to_go_on(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    size_t queued = 0;
    struct probe p = {.act = start_filling, .on_drain = stop_short, .data = &queued};
    probe_run(&p, &bed, &raw, GET);
    assert_int_equal(queued, HOB_MAX_HTTP_CONN_BUFFER_BYTES);
    uint64_t end_ms = hob_now_ms() + 20000;
    while (p.closes == 0 && hob_now_ms() < end_ms) {
        bed_turn(&bed);
        (void)raw_take(&raw);
    }
    assert_int_equal(p.drains, 1);
    probe_done(&bed, &raw);
}

static void a_chunked_download_is_byte_exact(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    enum { TOTAL = 10 << 20 };
    struct source source = {.total = TOTAL, .piece = 7001};
    struct probe p = {.act = start_chunked_download, .on_drain = write_on, .data = &source};
    probe_run(&p, &bed, &raw, GET);
    uint64_t end_ms = hob_now_ms() + 20000;
    while (p.closes == 0 && hob_now_ms() < end_ms) {
        bed_turn(&bed);
        (void)raw_take(&raw);
    }
    raw_wait(&raw, 1, 5000);
    raw_settle(&raw);
    struct hob_str in = raw_answer(&raw).body, data;
    struct http_chunked chunked;
    struct http_refusal r;
    uint64_t at = 0, wrong = 0;
    http_chunked_init(&chunked);
    while (http_chunked_next(&chunked, &in, SIZE_MAX, &data, &r) == HTTP_CHUNK_DATA)
        for (size_t i = 0; i < data.n; i++)
            wrong += data.at[i] != pattern_byte(at++);
    http_chunked_done(&chunked);
    assert_int_equal(at, TOTAL);
    assert_int_equal(wrong, 0);
    probe_done(&bed, &raw);
}

static size_t rss_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
    (void)fclose(f);
    return pages * 4096;
}

/* D2: the handler would write 100 MiB to each of 20 clients that do not read. */
static void slow_readers_hold_no_more_than_their_buffers(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    struct bed bed;
    struct raw raw[CLIENTS];
    struct probe p[CLIENTS];
    struct source source[CLIENTS];
    struct http_tuning tuning = http_tuning_default();
    bed_open(&bed, &tuning, probe_request, NULL);
    size_t before = rss_bytes();
    for (int i = 0; i < CLIENTS; i++) {
        source[i] = (struct source){.total = BIG_BYTES, .piece = 60000};
        p[i] = (struct probe){.act = start_download, .on_drain = write_on, .data = &source[i]};
        bed.server->options.ctx = &p[i];
        raw_connect(&raw[i], &bed);
        (void)raw_try_send(&raw[i], GET, sizeof GET - 1);
        for (int n = 0; n < 50; n++)
            bed_turn(&bed);
        assert_int_equal(p[i].requests, 1);
    }
    bed_run_ms(&bed, 100);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(source[i].at < source[i].total);
        assert_true(source[i].queued_max <= HOB_MAX_HTTP_CONN_BUFFER_BYTES + source[i].piece);
    }
    size_t grown = rss_bytes() - before, held = 0;
    HOB_LIST_EACH(&bed.server->conns, node, tmp)
    {
        const struct http_conn *c = HOB_CONTAINER_OF(node, struct http_conn, in_conns);
        held += c->in.cap + c->out.cap + c->sending.cap;
    }
    assert_true(held > 0 && held < (size_t)CLIENTS * 3 * HOB_MAX_HTTP_CONN_BUFFER_BYTES);
#ifndef __SANITIZE_ADDRESS__
    assert_true(grown < (size_t)CLIENTS * 3 * HOB_MAX_HTTP_CONN_BUFFER_BYTES);
#endif
    printf("%d slow readers hold %zu KiB of buffers, RSS grew by %zu KiB\n", CLIENTS, held / 1024,
           grown / 1024);
    for (int i = 0; i < CLIENTS; i++)
        raw_close(&raw[i]);
    bed_close(&bed);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(p[i].closes, 1);
}

/* --- both ways at once ------------------------------------------------------------------------------------------------ */

static void echo_body(void *ctx, struct hob_str data)
{
    struct probe *p = ctx;
    p->body_bytes += data.n;
    if (http_write(p->x, data) <= HOB_MAX_HTTP_CONN_BUFFER_BYTES)
        http_consumed(p->x, data.n);
    else
        p->trailers += data.n; /* given back when the client has read */
}

static void echo_drain(void *ctx)
{
    struct probe *p = ctx;
    size_t held = p->trailers;
    p->trailers = 0;
    p->drains++;
    http_consumed(p->x, held);
}

static void echo_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct probe *p = ctx;
    (void)trailers;
    (void)n;
    http_end(p->x, NULL, 0);
}

static void start_echo(struct probe *p, struct http_exchange *x)
{
    static const struct http_events events = {
        .on_body = echo_body, .on_body_end = echo_end, .on_drain = echo_drain, .on_close = probe_close};
    http_listen(x, &events, p);
    http_head(x, 200, NULL, 0, http_request(x)->body_bytes);
    http_body_read(x, 0);
}

static void a_body_can_be_echoed_while_it_comes(void **state)
{
    (void)state;
    enum { TOTAL = 20 << 20 };
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = start_echo};
    uint64_t wrong = 0;
    hob_auto_free char *bytes = hob_calloc(1, TOTAL);
    pattern_fill(bytes, 0, TOTAL);
    probe_run(&p, &bed, &raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20971520\r\n\r\n");
    size_t sent = 0;
    for (int i = 0; i < 400; i++) { /* the client does not read: the upload must stop, bounded */
        sent += raw_try_send(&raw, bytes + sent, TOTAL - sent);
        bed_turn(&bed);
    }
    assert_true(http_conn_queued(only_conn(&bed)) <=
                HOB_MAX_HTTP_CONN_BUFFER_BYTES + HOB_MAX_HTTP_BODY_WINDOW_BYTES);
    raw_send(&raw, bytes + sent, TOTAL - sent);
    assert_int_equal(download(&raw, TOTAL, &wrong), TOTAL);
    assert_int_equal(wrong, 0);
    assert_int_equal(p.closes, 1);
    probe_done(&bed, &raw);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_mib_with_a_length_arrive_byte_exact),
        cmocka_unit_test(a_hundred_mib_in_chunks_arrive_byte_exact),
        cmocka_unit_test(no_more_than_the_window_is_handed_on_before_it_is_given_back),
        cmocka_unit_test(continue_is_sent_when_the_handler_reads_and_not_before),
        cmocka_unit_test(a_refused_upload_is_not_asked_for),
        cmocka_unit_test(a_body_beyond_the_bound_aborts_with_too_large),
        cmocka_unit_test(a_malformed_chunk_is_answered_or_breaks_the_answer),
        cmocka_unit_test(a_client_that_leaves_in_its_upload_aborts_the_exchange),
        cmocka_unit_test(a_client_that_leaves_while_its_upload_waits_is_noticed),
        cmocka_unit_test(a_half_closed_client_counts_as_gone),
        cmocka_unit_test(an_early_answer_reaches_a_client_that_is_still_sending),
        cmocka_unit_test(a_body_nobody_asked_for_waits_within_bounds),
        cmocka_unit_test(a_hundred_mib_go_out_byte_exact),
        cmocka_unit_test(who_stops_at_the_bound_is_told_to_go_on),
        cmocka_unit_test(a_chunked_download_is_byte_exact),
        cmocka_unit_test(slow_readers_hold_no_more_than_their_buffers),
        cmocka_unit_test(a_body_can_be_echoed_while_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
