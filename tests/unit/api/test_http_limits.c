/* Times, numbers of connections, running out of descriptors, draining. Limits are made small; the code is the same. */
#include "probe.h"

#include <sys/resource.h>

static struct http_tuning quick(void)
{
    struct http_tuning t = http_tuning_default();
    t.sweep_ms = 5;
    return t;
}

static void open_with(struct bed *bed, struct raw *raw, struct probe *p, const struct http_tuning *t,
                      const char *text)
{
    bed_open(bed, t, probe_request, p);
    raw_connect(raw, bed);
    raw_send(raw, text, strlen(text));
    raw_settle(raw);
}

static void read_body(struct probe *p, struct http_exchange *x)
{
    (void)p;
    http_body_read(x, 0);
}

/* --- times ---------------------------------------------------------------------------------------------------------- */

static void a_head_that_drips_is_refused_in_time(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct http_tuning t = quick();
    t.head_ms = 60;
    open_with(&bed, &raw, &p, &t, "GET / HTTP/1.1\r\n");
    uint64_t begin = hob_now_ms();
    while (!raw.is_ended && hob_now_ms() < begin + 20000) {
        raw_send(&raw, "x", 1); /* every byte is progress, the head is not */
        bed_run_ms(&bed, 3);
    }
    assert_true(hob_now_ms() - begin >= 40);
    assert_int_equal(raw_answer(&raw).status, 408);
    assert_true(raw_has(&raw, "\"reason\":\"head_timeout\""));
    assert_int_equal(p.requests, 0);
    probe_done(&bed, &raw);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    for (int has_asked = 0; has_asked < 2; has_asked++) {
        struct bed bed;
        struct raw raw;
        struct probe p = {0};
        struct http_tuning t = quick();
        t.idle_ms = 60;
        open_with(&bed, &raw, &p, &t, has_asked ? "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" : "");
        size_t before = raw.got.n;
        uint64_t begin = hob_now_ms();
        raw_wait_end(&raw, 2000);
        assert_true(hob_now_ms() - begin >= 30);
        assert_int_equal(raw.got.n, before);
        probe_done(&bed, &raw);
    }
}

static void a_body_that_stops_is_a_408(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = read_body};
    struct http_tuning t = quick();
    t.body_stall_ms = 60;
    open_with(&bed, &raw, &p, &t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello");
    raw_wait_end(&raw, 2000);
    assert_int_equal(raw_answer(&raw).status, 408);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.abort_code, HOB_E_TIMEOUT);
    assert_string_equal(p.abort_reason, "body_timeout");
    assert_int_equal(p.closes, 1);
    probe_done(&bed, &raw);
}

static void a_body_that_drips_too_slowly_is_a_408_and_one_that_does_not_is_served(void **state)
{
    (void)state;
    for (int is_fast = 0; is_fast < 2; is_fast++) {
        struct bed bed;
        struct raw raw;
        struct probe p = {.act = read_body};
        struct http_tuning t = quick();
        t.body_stall_ms = is_fast ? 5000 : 60; /* the machine may stand still for a moment */
        t.body_bytes_min = 100;
        char zeros[200] = {0};
        open_with(&bed, &raw, &p, &t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        uint64_t begin = hob_now_ms();
        while (!raw.is_ended && hob_now_ms() < begin + (is_fast ? 300 : 20000)) {
            raw_send(&raw, zeros, is_fast ? sizeof zeros : 1);
            bed_run_ms(&bed, 5);
        }
        assert_int_equal(raw.is_ended, !is_fast);
        assert_int_equal(p.aborts, !is_fast);
        probe_done(&bed, &raw);
    }
}

static void a_handler_that_takes_its_time_is_not_the_clients_fault(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = read_body, .keeps_window = true};
    struct http_tuning t = quick();
    t.body_stall_ms = t.head_ms = t.idle_ms = 30;
    t.window_bytes = 3;
    open_with(&bed, &raw, &p, &t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    bed_run_ms(&bed, 150);
    assert_int_equal(p.aborts, 0);
    http_consumed(p.x, 3);
    for (uint64_t begin = hob_now_ms(); p.ends == 0 && hob_now_ms() < begin + 20000;)
        bed_run_ms(&bed, 10);
    assert_int_equal(p.ends, 1);
    assert_int_equal(p.aborts, 0);
    http_respond(p.x, 200, NULL, 0, HOB_STR(""));
    raw_settle(&raw);
    assert_int_equal(raw_answer(&raw).status, 200);
    probe_done(&bed, &raw);
}

static void write_for_ever(struct probe *p)
{
    static const char zeros[65536];
    while (http_write(p->x, hob_str_n(zeros, sizeof zeros)) <= HOB_MAX_HTTP_CONN_BUFFER_BYTES)
        ;
}

static void start_writing(struct probe *p, struct http_exchange *x)
{
    http_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
    write_for_ever(p);
}

static void a_client_that_takes_nothing_is_dropped(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {.act = start_writing, .on_drain = write_for_ever};
    struct http_tuning t = quick();
    t.write_stall_ms = 80;
    bed_open(&bed, &t, probe_request, &p);
    raw_connect(&raw, &bed);
    (void)raw_try_send(&raw, GET, sizeof GET - 1);
    uint64_t begin = hob_now_ms();
    while (p.closes == 0 && hob_now_ms() < begin + 20000)
        bed_turn(&bed);
    assert_true(hob_now_ms() - begin >= 60);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.abort_code, HOB_E_CANCELLED);
    probe_done(&bed, &raw);
}

static void a_client_that_keeps_a_refused_connection_is_hung_up_on(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct http_tuning t = quick();
    t.linger_ms = 60;
    open_with(&bed, &raw, &p, &t, "BAD\r\n\r\n");
    assert_true(raw.is_ended); /* our side is shut down; the client keeps its own open */
    struct http_stats stats;
    http_server_stats(bed.server, &stats);
    assert_int_equal(stats.connections_open, 1);
    bed_run_ms(&bed, 150);
    http_server_stats(bed.server, &stats);
    assert_int_equal(stats.connections_open, 0);
    probe_done(&bed, &raw);
}

/* --- numbers ---------------------------------------------------------------------------------------------------------- */

static void connections_are_bounded(bool is_per_address)
{
    enum { MAX = 4 };
    struct bed bed;
    struct raw raw[MAX + 1], again;
    struct probe p = {0};
    struct http_tuning t = quick();
    *(is_per_address ? &t.connections_per_address : &t.connections) = MAX;
    bed_open(&bed, &t, probe_request, &p);
    for (int i = 0; i <= MAX; i++) {
        raw_connect(&raw[i], &bed);
        raw_settle(&raw[i]);
        assert_int_equal(raw[i].is_ended, i == MAX);
    }
    assert_int_equal(raw_answer(&raw[MAX]).status, 503);
    assert_true(raw_has(&raw[MAX], "\"reason\":\"too_many_connections\""));
    raw_close(&raw[0]);
    bed_run_ms(&bed, 10);
    raw_connect(&again, &bed);
    raw_settle(&again);
    assert_false(again.is_ended);
    raw_close(&again);
    for (int i = 1; i <= MAX; i++)
        raw_close(&raw[i]);
    bed_close(&bed);
}

static void a_connection_beyond_the_bound_gets_a_503(void **state)
{
    (void)state;
    connections_are_bounded(false);
}

static void a_connection_beyond_the_bound_of_its_address_gets_a_503(void **state)
{
    (void)state;
    connections_are_bounded(true);
}

static void without_descriptors_clients_hear_a_503_and_later_ones_are_served(void **state)
{
    (void)state;
    enum { HELD = 64 };
    struct bed bed;
    struct raw raw, later;
    struct probe p = {0};
    struct http_tuning t = quick();
    struct rlimit before, few;
    int held[HELD], held_n = 0;
    bed_open(&bed, &t, probe_request, &p);
    raw_connect(&later, &bed); /* has its descriptor before they run out, on both sides */
    raw_settle(&later);
    int spare = dup(0);
    assert_true(spare >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){(rlim_t)spare + 8, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd; held_n < HELD && (fd = dup(0)) >= 0;)
        held[held_n++] = fd;
    (void)close(spare); /* room for the client's end only */
    raw_connect(&raw, &bed);
    raw_wait_end(&raw, 500);
    assert_true(raw.is_ended);
    assert_int_equal(raw_answer(&raw).status, 503);
    raw_close(&raw);
    while (held_n > 0)
        (void)close(held[--held_n]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    raw_connect(&raw, &bed);
    raw_send(&raw, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 31);
    raw_settle(&raw);
    assert_int_equal(raw_answer(&raw).status, 204);
    raw_close(&later);
    probe_done(&bed, &raw);
}

static void counters_add_up(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct http_tuning t = quick();
    struct http_stats stats;
    open_with(&bed, &raw, &p, &t, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nBAD\r\n\r\n");
    http_server_stats(bed.server, &stats);
    assert_int_equal(stats.connections_total, 1);
    assert_int_equal(stats.requests_total, 1);
    assert_int_equal(stats.refused_total, 1);
    assert_int_equal(stats.bytes_in, 38);
    assert_int_equal(stats.bytes_out, raw.got.n);
    probe_done(&bed, &raw);
}

static void an_idle_connection_gives_its_memory_back_and_still_serves(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct http_tuning t = quick();
    open_with(&bed, &raw, &p, &t, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(hob_list_is_empty(&bed.server->conns));
    const struct http_conn *c =
        HOB_CONTAINER_OF(hob_list_first(&bed.server->conns), struct http_conn, in_conns);
    assert_true(c->out.cap > 0 && c->x.arena.chunks);
    bed_run_ms(&bed, 1100);
    assert_int_equal(c->in.cap + c->out.cap + c->sending.cap, 0);
    assert_null(c->x.arena.chunks);
    hob_buf_clear(&raw.got);
    raw_send(&raw, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 31);
    raw_settle(&raw);
    assert_int_equal(raw_answer(&raw).status, 204);
    probe_done(&bed, &raw);
}

static void name_the_client(struct probe *p, struct http_exchange *x)
{
    (void)p;
    assert_true(http_request(x)->remote_port > 0);
    http_respond(x, 200, NULL, 0, hob_str(http_request(x)->remote));
}

static void clients_have_their_address_also_on_a_socket_for_both_families(void **state)
{
    (void)state;
    static const char *const listen[] = {"127.0.0.1", "::"};
    for (size_t i = 0; i < HOB_COUNT(listen); i++) {
        struct bed bed = {0};
        struct raw raw;
        struct probe p = {.act = name_the_client};
        struct hob_err err;
        struct http_server_options o = {.host = listen[i], .on_request = probe_request, .ctx = &p};
        assert_int_equal(uv_loop_init(&bed.loop), 0);
        bed.server = http_server_start(&bed.loop, &o, &err);
        if (!bed.server && i == 1) { /* a machine without IPv6 */
            assert_int_equal(uv_loop_close(&bed.loop), 0);
            return;
        }
        raw_connect(&raw, &bed);
        raw_send(&raw, GET, sizeof GET - 1);
        raw_settle(&raw);
        assert_str_equal(raw_answer(&raw).body, "127.0.0.1");
        probe_done(&bed, &raw);
    }
}

/* --- draining ---------------------------------------------------------------------------------------------------------- */

static void draining_closes_idle_connections_and_lets_the_others_finish(void **state)
{
    (void)state;
    struct bed bed;
    struct raw idle, busy, late;
    struct probe p = {0};
    struct http_tuning t = quick();
    bed_open(&bed, &t, probe_request, &p);
    raw_connect(&idle, &bed);
    raw_settle(&idle);
    raw_connect(&busy, &bed);
    raw_send(&busy, GET GET, 2 * (sizeof GET - 1));
    raw_settle(&busy);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(bed.server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    http_server_drain(bed.server, 5000, bed_on_closed, &bed);
    raw_settle(&idle);
    assert_true(idle.is_ended);
    assert_false(bed.is_closed);
    late.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(connect(late.fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)close(late.fd);
    http_respond(p.x, 200, NULL, 0, HOB_STR("done"));
    raw_settle(&busy);
    struct answer a = raw_answer(&busy);
    assert_str_equal(a.body, "done");
    assert_true(a.is_closing);
    assert_true(busy.is_ended);
    assert_int_equal(p.requests, 1); /* the pipelined one is the client's to repeat */
    raw_close(&busy);
    raw_close(&idle);
    bed_run_ms(&bed, 50);
    assert_true(bed.is_closed);
    assert_int_equal(uv_loop_close(&bed.loop), 0);
}

static void draining_ends_with_its_grace(void **state)
{
    (void)state;
    struct bed bed;
    struct raw raw;
    struct probe p = {0};
    struct http_tuning t = quick();
    open_with(&bed, &raw, &p, &t, GET);
    uint64_t begin = hob_now_ms();
    http_server_drain(bed.server, 100, bed_on_closed, &bed);
    while (!bed.is_closed && hob_now_ms() < begin + 20000)
        bed_run_ms(&bed, 2);
    assert_true(hob_now_ms() - begin >= 90);
    assert_int_equal(p.aborts, 1);
    assert_int_equal(p.closes, 1);
    raw_close(&raw);
    assert_int_equal(uv_loop_close(&bed.loop), 0);
}

static void a_wrong_address_is_an_error_that_says_so(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct hob_err err;
    struct http_server_options o = {.host = "localhost", .on_request = probe_request};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_null(http_server_start(&loop, &o, &err));
    assert_int_equal(err.code, HOB_E_INVALID);
    assert_contains(err.msg, "localhost");
    o.host = "192.0.2.1"; /* nobody's */
    assert_null(http_server_start(&loop, &o, &err));
    assert_contains(err.msg, "192.0.2.1");
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_drips_is_refused_in_time),
        cmocka_unit_test(an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(a_body_that_stops_is_a_408),
        cmocka_unit_test(a_body_that_drips_too_slowly_is_a_408_and_one_that_does_not_is_served),
        cmocka_unit_test(a_handler_that_takes_its_time_is_not_the_clients_fault),
        cmocka_unit_test(a_client_that_takes_nothing_is_dropped),
        cmocka_unit_test(a_client_that_keeps_a_refused_connection_is_hung_up_on),
        cmocka_unit_test(a_connection_beyond_the_bound_gets_a_503),
        cmocka_unit_test(a_connection_beyond_the_bound_of_its_address_gets_a_503),
        cmocka_unit_test(without_descriptors_clients_hear_a_503_and_later_ones_are_served),
        cmocka_unit_test(counters_add_up),
        cmocka_unit_test(an_idle_connection_gives_its_memory_back_and_still_serves),
        cmocka_unit_test(clients_have_their_address_also_on_a_socket_for_both_families),
        cmocka_unit_test(draining_closes_idle_connections_and_lets_the_others_finish),
        cmocka_unit_test(draining_ends_with_its_grace),
        cmocka_unit_test(a_wrong_address_is_an_error_that_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
