/* A hostile instance: each script breaks one rule of the channel. Whatever it does, the instance is stopped, its own
 * invocations end exactly once, and another instance's invocation does not notice. */
#include "check.h"

#include "data_plane.h"

struct script {
    const char *name;
    void (*act)(uint32_t s); /* fakes[0] says something about stream s */
    const char *why;         /* part of the log's words; NULL: this is allowed */
};

static void frame(uint8_t type, uint8_t flags, uint16_t code, uint32_t stream, uint32_t arg,
                  const char *payload)
{
    say(0, (struct hob_frame){.type = type, .flags = flags, .code = code, .stream = stream, .arg = arg},
        hob_str(payload));
}

static char zeros[1 << 20];

static void unknown_type(uint32_t s)
{
    frame(100, 0, 0, s, 0, "");
}
static void type_zero(uint32_t s)
{
    (void)s;
    frame(0, 0, 0, 0, 0, "");
}
static void hobds_own_type(uint32_t s)
{
    frame(HOB_FRAME_INVOKE, HOB_FRAME_META, 0, s, 0, "");
}
static void hello_back(uint32_t s)
{
    (void)s;
    frame(HOB_FRAME_HELLO, 0, 0, 0, 0, "");
}
static void oversize_data(uint32_t s)
{
    unsigned char h[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&(struct hob_frame){.len = 65537, .type = HOB_FRAME_DATA, .stream = s}, h);
    say_bytes(0, h, sizeof h);
}
static void oversize_head(uint32_t s)
{
    unsigned char h[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&(struct hob_frame){.len = (1 << 20) + 1, .type = HOB_FRAME_HEAD, .stream = s}, h);
    say_bytes(0, h, sizeof h);
}
static void length_of_all_ones(uint32_t s)
{
    unsigned char h[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&(struct hob_frame){.len = UINT32_MAX, .type = HOB_FRAME_DATA, .stream = s}, h);
    say_bytes(0, h, sizeof h);
}
static void unknown_flag(uint32_t s)
{
    frame(HOB_FRAME_DONE, 0x80, 0, s, 0, "");
}
static void forbidden_flag(uint32_t s)
{
    frame(HOB_FRAME_DATA, HOB_FRAME_FD, 0, s, 0, "");
}
static void unknown_stream(uint32_t s)
{
    frame(HOB_FRAME_DATA, 0, 0, s + 2, 0, "");
}
static void even_stream(uint32_t s)
{
    frame(HOB_FRAME_DATA, 0, 0, s + 1, 0, "");
}
static void stream_zero(uint32_t s)
{
    (void)s;
    frame(HOB_FRAME_DATA, 0, 0, 0, 0, "");
}
static void stream_of_all_ones(uint32_t s)
{
    (void)s;
    frame(HOB_FRAME_DATA, 0, 0, UINT32_MAX, 0, "");
}
static void ready_on_a_stream(uint32_t s)
{
    frame(HOB_FRAME_READY, 0, 0, s, 0, "");
}
static void ready_twice(uint32_t s)
{
    (void)s;
    say_ready(0, "1");
}
static void init_error_late(uint32_t s)
{
    (void)s;
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_INIT_ERROR}, PAIRS("errorType", "X"));
}
static void data_first(uint32_t s)
{
    say_data(0, s, HOB_STR("x"), false);
}
static void end_first(uint32_t s)
{
    say_data(0, s, HOB_STR(""), true);
}
static void head_twice(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
}
static void head_without_meta(uint32_t s)
{
    frame(HOB_FRAME_HEAD, 0, 0, s, 0, "abcdefgh");
}
static void head_with_lying_meta(uint32_t s)
{
    say(0, (struct hob_frame){.type = HOB_FRAME_HEAD, .flags = HOB_FRAME_META, .stream = s},
        HOB_STR("\xff\xff\x00\x00xxxxxxxx"));
}
static void head_with_lying_pairs(uint32_t s)
{
    say(0, (struct hob_frame){.type = HOB_FRAME_HEAD, .flags = HOB_FRAME_META, .stream = s},
        HOB_STR("\x08\x00\x00\x00\xc8\x00\x00\x00\xff\x00\x00\x00"));
}
static void head_with_short_meta(uint32_t s)
{
    say(0, (struct hob_frame){.type = HOB_FRAME_HEAD, .flags = HOB_FRAME_META, .stream = s},
        HOB_STR("\x02\x00\x00\x00\xc8\x00"));
}
static void head_with_too_much_data(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, hob_str_n(zeros, CHANNEL_STREAM_WINDOW + 1), false);
}
static void end_twice(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    say_data(0, s, HOB_STR(""), true);
}
static void data_after_end(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    say_data(0, s, HOB_STR("more"), false);
}
static void error_after_end(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s}, NO_PAIRS);
}
static void error_twice(uint32_t s)
{
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s}, NO_PAIRS);
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s}, NO_PAIRS);
}
static void error_malformed(uint32_t s)
{
    frame(HOB_FRAME_ERROR, 0, 0, s, 0, "not pairs");
}
static void head_after_error(uint32_t s)
{
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s}, NO_PAIRS);
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
}
static void done_without_answer(uint32_t s)
{
    say_done(0, s);
}
static void done_before_end(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR("x"), false);
    say_done(0, s);
}
static void done_twice(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    say_done(0, s);
    say_done(0, s);
}
static void done_with_payload(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    frame(HOB_FRAME_DONE, 0, 0, s, 0, "x");
}
static void data_after_done(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), true);
    say_done(0, s);
    say_data(0, s, HOB_STR("x"), false);
}
static void credit_overrun(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
    say_data(0, s, hob_str_n(zeros, 65536), false);
    say_data(0, s, HOB_STR("x"), false);
}
static void credit_that_overflows(uint32_t s)
{
    frame(HOB_FRAME_CREDIT, 0, 0, s, UINT32_MAX, "");
}
static void credit_little_by_little(uint32_t s)
{
    (void)s;
    for (int i = 0; i < 3; i++)
        frame(HOB_FRAME_CREDIT, 0, 0, 0, INT32_MAX, "");
}
static void credit_for_nobody(uint32_t s)
{
    frame(HOB_FRAME_CREDIT, 0, 0, s + 2, 10, "");
}
static void trailers_without_end(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
    frame(HOB_FRAME_DATA, HOB_FRAME_META, 0, s, 0, "abcdefgh");
}
static void trailers_malformed(uint32_t s)
{
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
    frame(HOB_FRAME_DATA, HOB_FRAME_META | HOB_FRAME_END, 0, s, 0, "abcdefgh");
}
static void log_of_no_level(uint32_t s)
{
    frame(HOB_FRAME_LOG, 0, 9, 0, s, "x");
}
static void call_on_an_odd_stream(uint32_t s)
{
    frame(HOB_FRAME_CALL, 0, 0, s, s, "");
}
static void call_on_stream_zero(uint32_t s)
{
    frame(HOB_FRAME_CALL, 0, 0, 0, s, "");
}
static void call_with_a_used_number(uint32_t s)
{
    frame(HOB_FRAME_CALL, 0, 0, 4, s, "");
    frame(HOB_FRAME_CALL, 0, 0, 4, s, "");
}
static void call_whose_meta_lies(uint32_t s)
{
    frame(HOB_FRAME_CALL, HOB_FRAME_META, 0, 2, s, "\xff\xff\xff\xff");
}
static void bye_twice(uint32_t s)
{
    (void)s;
    frame(HOB_FRAME_BYE, 0, 0, 0, 0, "");
    frame(HOB_FRAME_BYE, 0, 0, 0, 0, "");
}
static void ping_on_a_stream(uint32_t s)
{
    frame(HOB_FRAME_PING, 0, 0, s, 0, "");
}
static void garbage(uint32_t s)
{
    (void)s;
    say_bytes(0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
}

static const struct script scripts[] = {
    {"an unknown type", unknown_type, "type that is not"},
    {"type 0", type_zero, "type that is not"},
    {"a type of hobd's", hobds_own_type, "type that is not"},
    {"HELLO", hello_back, "type that is not"},
    {"DATA over 64 KiB", oversize_data, "malformed frame"},
    {"HEAD over 1 MiB", oversize_head, "malformed frame"},
    {"a length of all ones", length_of_all_ones, "malformed frame"},
    {"an unknown flag", unknown_flag, "malformed frame"},
    {"a flag it cannot have", forbidden_flag, "flags"},
    {"an unknown stream", unknown_stream, "unknown stream"},
    {"an even stream", even_stream, "unknown stream"},
    {"stream 0", stream_zero, "unknown stream"},
    {"the highest stream", stream_of_all_ones, "unknown stream"},
    {"READY on a stream", ready_on_a_stream, "on a stream"},
    {"READY twice", ready_twice, "READY twice"},
    {"INIT_ERROR after READY", init_error_late, "after READY"},
    {"DATA before HEAD", data_first, "before HEAD"},
    {"the end before HEAD", end_first, "before HEAD"},
    {"HEAD twice", head_twice, "HEAD twice"},
    {"HEAD without meta", head_without_meta, "HEAD is malformed"},
    {"HEAD with a lying meta length", head_with_lying_meta, "HEAD is malformed"},
    {"HEAD with lying pairs", head_with_lying_pairs, "HEAD is malformed"},
    {"HEAD with a short meta", head_with_short_meta, "HEAD is malformed"},
    {"HEAD with more data than credit", head_with_too_much_data, "HEAD is malformed"},
    {"END twice", end_twice, "after the end"},
    {"DATA after END", data_after_end, "after the end"},
    {"ERROR after END", error_after_end, "after the end"},
    {"ERROR twice", error_twice, "after the end"},
    {"ERROR malformed", error_malformed, "ERROR is malformed"},
    {"HEAD after ERROR", head_after_error, "after the end"},
    {"DONE without an answer", done_without_answer, "without an answer"},
    {"DONE before END", done_before_end, "without an answer"},
    {"DONE twice", done_twice, "unknown stream"},
    {"DONE with a payload", done_with_payload, "payload"},
    {"DATA after DONE", data_after_done, "unknown stream"},
    {"more DATA than credit", credit_overrun, "overruns"},
    {"credit that overflows", credit_that_overflows, "more credit"},
    {"credit that overflows in steps", credit_little_by_little, "more credit"},
    {"credit for an unknown stream", credit_for_nobody, "unknown stream"},
    {"trailers before the end", trailers_without_end, "trailers"},
    {"malformed trailers", trailers_malformed, "trailers"},
    {"LOG of an unknown level", log_of_no_level, "unknown level"},
    {"CALL on an odd stream", call_on_an_odd_stream, "even number"},
    {"CALL on stream 0", call_on_stream_zero, "even number"},
    {"CALL with a used number", call_with_a_used_number, "even number"},
    {"CALL whose meta lies", call_whose_meta_lies, "CALL is malformed"},
    {"BYE twice", bye_twice, "BYE twice"},
    {"PING on a stream", ping_on_a_stream, "on a stream"},
    {"garbage", garbage, "protocol violation"},
};

/* One hostile and one honest instance, an invocation in each. */
static uint32_t two_instances(struct outcome *victim, struct outcome *neighbour, uint32_t *ret_other)
{
    call(victim);
    call(neighbour);
    pump();
    assert_int_equal(fakes_n, 2);
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    fake_ready(1, "1");
    *ret_other = heard_invoke(1);
    return s;
}

static void every_violation_ends_the_instance_and_only_its_invocations(void **state)
{
    for (size_t i = 0; i < HOB_COUNT(scripts); i++) {
        struct outcome victim, neighbour;
        uint32_t other;
        (void)bench_up(state);
        uint32_t s = two_instances(&victim, &neighbour, &other);
        victim.is_hoarding = true;
        scripts[i].act(s);
        pump();
        print_message("    %s\n", scripts[i].name);
        assert_int_equal(fakes[0].stops, 1);
        assert_int_equal(victim.ends + victim.fails, 1);
        if (victim.fails)
            assert_true(victim.err.code == HOB_E_FUNCTION);
        assert_contains(hob_buf_data(&fake_log), scripts[i].why);
        assert_int_equal(neighbour.ends + neighbour.fails, 0);
        answer(1, other, "fine");
        assert_answered(neighbour, "fine");
        fake_exit(0, (struct node_exit){.exit_code = -1, .signal = 9});
        assert_int_equal(victim.ends + victim.fails, 1);
        (void)bench_down(state);
    }
}

/* The same bytes in pieces of every size mean the same. */
static void frames_may_come_in_pieces_of_any_size(void **state)
{
    for (size_t piece = 1; piece < 40; piece += 3) {
        struct outcome o;
        (void)bench_up(state);
        call(&o);
        pump();
        fake_ready(0, "1");
        uint32_t s = heard_invoke(0);
        int real = fakes[0].fd, pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        fakes[0].fd = pair[0];
        say_head(0, s, 201, PAIRS("a", "b"), HOB_STR("head "), false);
        say_data(0, s, HOB_STR("data "), false);
        say_data(0, s, HOB_STR("end"), true);
        say_done(0, s);
        fakes[0].fd = real;
        char byte[64];
        for (ssize_t n; (n = recv(pair[1], byte, piece, MSG_DONTWAIT)) > 0;) {
            say_bytes(0, byte, (size_t)n);
            pump();
        }
        (void)close(pair[0]);
        (void)close(pair[1]);
        assert_answered(o, "head data end");
        assert_int_equal(o.status, 201);
        assert_int_equal(fakes[0].stops, 0);
        (void)bench_down(state);
    }
}

static void types_from_128_on_are_skipped(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    frame(128, 0, 0, 77, 0, "from the future");
    frame(255, 15, 9, s, 9, "");
    answer(0, s, "ok");
    assert_answered(o, "ok");
    assert_int_equal(fakes[0].stops, 0);
}

static void ping_is_answered_with_its_argument(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    frame(HOB_FRAME_PING, 0, 0, 0, 4711, "");
    struct hob_frame f = heard(0, NULL);
    assert_int_equal(f.type, HOB_FRAME_PONG);
    assert_int_equal(f.arg, 4711);
    answer(0, s, "");
}

static void a_ping_flood_that_reads_nothing_is_held_back(void **state)
{
    (void)state;
    struct outcome o;
    static unsigned char burst[4096][HOB_FRAME_HEADER_BYTES];
    call(&o);
    pump();
    fake_ready(0, "1");
    (void)heard_invoke(0);
    for (size_t i = 0; i < HOB_COUNT(burst); i++)
        hob_frame_encode(&(struct hob_frame){.type = HOB_FRAME_PING}, burst[i]);
    size_t sent = 0;
    for (int i = 0; i < 2000; i++) {
        size_t cut = sent % HOB_FRAME_HEADER_BYTES; /* go on where the last one was cut */
        ssize_t n = send(fakes[0].fd, burst[0] + cut, sizeof burst - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        pump();
    }
    assert_true(sent < 16 << 20); /* 4 MiB and what the sockets hold */
    assert_int_equal(o.ends + o.fails, 0);
    pass_ms(10000);
    assert_failed(o, "function_timeout");
    pass_ms(1000);
    assert_int_equal(fakes[0].stops, 1);
}

static void call_is_told_that_there_is_no_such_binding(void **state)
{
    (void)state;
    struct outcome o;
    struct hob_str p;
    struct hob_pairs pairs;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    for (uint32_t n = 2; n < 300; n += 2) {
        frame(HOB_FRAME_CALL, 0, 7, n, s, "{}");
        struct hob_frame f = heard(0, &p);
        assert_int_equal(f.type, HOB_FRAME_REPLY);
        assert_int_equal(f.stream, n);
        assert_int_equal(f.code, 1);
        assert_true(hob_pairs_open(p, 10, &pairs));
        assert_str_equal(hob_pairs_get(&pairs, "errorType"), "NoSuchBinding");
    }
    frame(HOB_FRAME_CALL, 0, 0, 300, s + 2, "{}"); /* it has ended, or never was: no reason to die */
    assert_int_equal(heard(0, &p).code, 1);
    frame(HOB_FRAME_CALL, 0, 0, 302, 0, "{}");
    assert_int_equal(heard(0, &p).code, 1);
    answer(0, s, "went on");
    assert_answered(o, "went on");
}

static void credit_is_renewed_at_half(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    say_head(0, s, 200, NO_PAIRS, hob_str_n(zeros, 32767), false);
    assert_int_equal(heard(0, NULL).type, 0);
    say_data(0, s, HOB_STR("x"), false);
    struct hob_frame f = heard(0, NULL);
    assert_int_equal(f.type, HOB_FRAME_CREDIT);
    assert_int_equal(f.stream, s);
    assert_int_equal(f.arg, 32768);
    for (int i = 0; i < 30; i++)
        say_data(0, s, hob_str_n(zeros, 16384), false), pump();
    unsigned connection = 0;
    while ((f = heard(0, NULL)).type)
        connection += f.stream == 0 ? f.arg : 0;
    assert_int_equal(connection, CHANNEL_WINDOW / 2);
    say_data(0, s, HOB_STR(""), true);
    say_done(0, s);
    pump();
    assert_int_equal(o.bytes, 32768 + 30 * 16384);
    assert_int_equal(o.ends, 1);
}

static void bytes_nobody_takes_are_not_renewed_and_come_back_with_the_stream(void **state)
{
    (void)state;
    static struct outcome o[20];
    bench_config.concurrency = 20;
    for (int i = 0; i < 20; i++)
        call(&o[i]);
    pump();
    fake_ready(0, "20");
    for (int i = 0; i < 20; i++) {
        uint32_t s = heard_invoke(0);
        o[i].is_hoarding = true;
        say_head(0, s, 200, NO_PAIRS, hob_str_n(zeros, 50000), i < 15);
        if (i < 15)
            say_done(0, s);
        pump();
    }
    assert_int_equal(fakes[0].stops, 0);
    size_t connection = 0;
    for (struct hob_frame f; (f = heard(0, NULL)).type;)
        connection += f.type == HOB_FRAME_CREDIT && f.stream == 0 ? f.arg : 0;
    assert_true(connection >= CHANNEL_WINDOW / 2);
    for (int i = 15; i < 20; i++) {
        assert_int_equal(o[i].bytes, 50000);
        assert_int_equal(o[i].ends, 0);
    }
}

static void the_connections_credit_is_shared_in_turn(void **state)
{
    (void)state;
    static struct outcome o[20];
    struct hob_str p;
    size_t got = 0;
    bench_config.concurrency = 20;
    for (int i = 0; i < 20; i++)
        call_version(&o[i], &bench_version, HOB_INVOKE_HTTP, 65536);
    pump();
    fake_ready(0, "20");
    for (int i = 0; i < 20; i++)
        invocation_body(o[i].inv, hob_str_n(zeros, 65536), true, NULL);
    for (struct hob_frame f; (f = heard(0, &p)).type;)
        got += f.type == HOB_FRAME_BODY ? f.len : 0;
    assert_int_equal(got, CHANNEL_WINDOW);
    frame(HOB_FRAME_CREDIT, 0, 0, 0, CHANNEL_WINDOW, "");
    for (struct hob_frame f; (f = heard(0, &p)).type;)
        got += f.type == HOB_FRAME_BODY ? f.len : 0;
    assert_int_equal(got, 20 * 65536);
}

static void ready_must_be_well_formed(void **state)
{
    const char *const *bad[] = {
        NO_PAIRS,
        PAIRS("protocol", "2", "concurrency", "1"),
        PAIRS("protocol", "1", "concurrency", "0"),
        PAIRS("protocol", "1", "concurrency", "1001"),
        PAIRS("protocol", "one"),
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        struct outcome o;
        (void)bench_up(state);
        call(&o);
        pump();
        fake_started(0);
        say_pairs(0, (struct hob_frame){.type = HOB_FRAME_READY}, bad[i]);
        pump();
        assert_int_equal(fakes[0].stops, 1);
        assert_int_equal(o.fails, 1);
        (void)bench_down(state);
    }
}

static void an_answer_before_ready_names_no_stream(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_started(0);
    say_done(0, 1);
    pump();
    assert_int_equal(fakes[0].stops, 1);
    assert_failed(o, "function_crashed");
}

static void logs_carry_the_request_they_belong_to(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    frame(HOB_FRAME_LOG, 0, HOB_CHLOG_WARN, 0, s, "mine");
    frame(HOB_FRAME_LOG, 0, HOB_CHLOG_INFO, 0, 0, "nobody's");
    frame(HOB_FRAME_LOG, 0, HOB_CHLOG_INFO, 0, s + 2, "of one that is over");
    answer(0, s, "");
    assert_contains(hob_buf_data(&fake_log), "3 log mine [req-1]\n");
    assert_contains(hob_buf_data(&fake_log), "2 log nobody's []\n");
    assert_contains(hob_buf_data(&fake_log), "of one that is over []\n");
    assert_int_equal(fakes[0].stops, 0);
}

static void a_log_flood_is_cut_and_counted(void **state)
{
    (void)state;
    struct outcome o;
    static char line[8001];
    memset(line, 'x', sizeof line - 1);
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    for (int i = 0; i < 500; i++)
        frame(HOB_FRAME_LOG, 0, HOB_CHLOG_INFO, 0, s, line);
    pump();
    assert_true(fake_log_lines > 100 && fake_log_lines < 140); /* the burst: 1 MiB */
    pass_ms(1000);
    frame(HOB_FRAME_LOG, 0, HOB_CHLOG_INFO, 0, s, "again");
    answer(0, s, "");
    assert_contains(hob_buf_data(&fake_log), "log lines were dropped");
    assert_contains(hob_buf_data(&fake_log), "again");
}

static void bye_takes_no_new_work_and_finishes_the_old(void **state)
{
    (void)state;
    struct outcome o, next;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    frame(HOB_FRAME_BYE, 0, 0, 0, 0, "");
    pump();
    call(&next);
    pump();
    assert_int_equal(fakes_n, 2);
    answer(0, s, "last");
    assert_answered(o, "last");
    fake_exit(0, (struct node_exit){.exit_code = 0});
    fake_ready(1, "1");
    answer(1, heard_invoke(1), "next");
    assert_answered(next, "next");
}

static void a_closed_channel_ends_the_instance(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    (void)heard_invoke(0);
    (void)close(fakes[0].fd);
    fakes[0].fd = -1;
    pump();
    assert_int_equal(fakes[0].stops, 1);
    assert_int_equal(o.fails, 0); /* why, only its exit can say */
    fake_exit(0, (struct node_exit){.exit_code = -1, .signal = 11});
    assert_failed(o, "function_crashed");
}

static void a_101_opens_the_stream_for_both_directions_and_ends_the_deadline(void **state)
{
    (void)state;
    struct outcome o;
    struct hob_str payload;
    call_upgrade(&o);
    pump();
    fake_ready(0, "1");
    struct hob_frame f = heard_type(0, HOB_FRAME_INVOKE, NULL);
    assert_true(f.flags & HOB_FRAME_END);
    say_head(0, f.stream, 101, NO_PAIRS, HOB_STR("he"), false);
    pump();
    assert_int_equal(o.status, 101);
    invocation_body(o.inv, HOB_STR("raw"), false, NULL);
    pump();
    assert_int_equal(heard_type(0, HOB_FRAME_BODY, &payload).stream, f.stream);
    assert_str_equal(payload, "raw");
    pass_ms(10 * bench_config.timeout_ms);
    pump();
    assert_int_equal(o.fails + o.ends, 0);
    say_data(0, f.stream, HOB_STR("llo"), true);
    pump();
    assert_string_equal(o.body, "hello");
    assert_int_equal(out_data_ends, 1);
    assert_int_equal(o.ends, 0); /* what the client sends still arrives */
    invocation_body(o.inv, HOB_STR("last"), true, NULL);
    pump();
    struct hob_frame last = heard_type(0, HOB_FRAME_BODY, &payload);
    assert_str_equal(payload, "last");
    assert_true(last.flags & HOB_FRAME_END);
    say_done(0, f.stream);
    pump();
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.fails, 0);
    assert_int_equal(fakes[0].stops, 0);
}

static void a_101_that_nobody_asked_for_opens_nothing(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    say_head(0, s, 101, NO_PAIRS, HOB_STR(""), false);
    pump();
    invocation_body(o.inv, HOB_STR("raw"), false, NULL);
    pump();
    assert_int_equal(heard_type(0, HOB_FRAME_BODY, NULL).type, 0);
    pass_ms(bench_config.timeout_ms + 1);
    pump();
    assert_failed(o, "function_timeout");
}

static void done_before_the_end_of_an_upgraded_answer_is_a_violation(void **state)
{
    (void)state;
    struct outcome o;
    call_upgrade(&o);
    pump();
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    say_head(0, s, 101, NO_PAIRS, HOB_STR(""), false);
    say_done(0, s);
    pump();
    assert_failed(o, "function_crashed");
}

static void a_retired_instance_with_nothing_but_upgraded_connections_is_drained(void **state)
{
    (void)state;
    struct outcome o, slow;
    bench_config.concurrency = 2;
    call_upgrade(&o);
    call(&slow);
    pump();
    fake_ready(0, "2");
    uint32_t s = heard_invoke(0), other = heard_invoke(0);
    say_head(0, s, 101, NO_PAIRS, HOB_STR(""), false);
    pump();
    bench_function.live = &bench_version2; /* a deploy */
    fake_on_catalog(fake_catalog_ctx, &bench_version, false);
    pump();
    assert_int_equal(heard_type(0, HOB_FRAME_DRAIN, NULL).type, 0); /* an answer is owed */
    answer(0, other, "x");
    pump();
    assert_int_equal(heard_type(0, HOB_FRAME_DRAIN, NULL).type, HOB_FRAME_DRAIN);
    say_data(0, s, HOB_STR(""), true);
    say_done(0, s);
    pump();
    assert_int_equal(o.ends, 1);
}

static void a_thousand_invocations_share_one_instance(void **state)
{
    (void)state;
    static struct outcome o[1000];
    static uint32_t streams[1000];
    bench_config.concurrency = 1000;
    for (int i = 0; i < 1000; i++)
        call(&o[i]);
    pump();
    assert_int_equal(fakes_n, 1);
    fake_ready(0, "1000");
    for (int i = 0; i < 1000; i++)
        assert_int_not_equal(streams[i] = heard_invoke(0), 0);
    for (int i = 999; i >= 0; i--)
        answer(0, streams[i], "x");
    for (int i = 0; i < 1000; i++)
        assert_answered(o[i], "x");
}

#define T(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_violation_ends_the_instance_and_only_its_invocations),
        cmocka_unit_test(frames_may_come_in_pieces_of_any_size),
        T(types_from_128_on_are_skipped),
        T(ping_is_answered_with_its_argument),
        T(a_ping_flood_that_reads_nothing_is_held_back),
        T(call_is_told_that_there_is_no_such_binding),
        T(credit_is_renewed_at_half),
        T(bytes_nobody_takes_are_not_renewed_and_come_back_with_the_stream),
        T(the_connections_credit_is_shared_in_turn),
        cmocka_unit_test(ready_must_be_well_formed),
        T(an_answer_before_ready_names_no_stream),
        T(logs_carry_the_request_they_belong_to),
        T(a_log_flood_is_cut_and_counted),
        T(bye_takes_no_new_work_and_finishes_the_old),
        T(a_closed_channel_ends_the_instance),
        T(a_101_opens_the_stream_for_both_directions_and_ends_the_deadline),
        T(a_101_that_nobody_asked_for_opens_nothing),
        T(done_before_the_end_of_an_upgraded_answer_is_a_violation),
        T(a_retired_instance_with_nothing_but_upgraded_connections_is_drained),
        T(a_thousand_invocations_share_one_instance),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
