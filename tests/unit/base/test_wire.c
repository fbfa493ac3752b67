#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/frame.h"
#include "base/link.h"
#include "base/mem.h"

static void pairs_read_back_what_was_written(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 4096);
    struct hob_pairs_writer w;
    hob_pairs_start(&w, &b);
    hob_pairs_add(&w, HOB_STR("name"), HOB_STR("value"));
    hob_pairs_add(&w, HOB_STR(""), HOB_STR(""));
    hob_pairs_add_u64(&w, "n", 42);
    assert_ok(hob_pairs_end(&w, NULL));
    struct hob_pairs p;
    assert_true(hob_pairs_open(hob_buf_str(&b), 3, &p));
    assert_str_equal(hob_pairs_get(&p, "name"), "value");
    assert_int_equal(hob_pairs_u64(&p, "n", 0), 42);
    assert_int_equal(hob_pairs_u64(&p, "name", 9), 9);
    assert_null(hob_pairs_get(&p, "absent").at);
    assert_false(hob_pairs_open(hob_buf_str(&b), 2, &p));
    for (size_t n = 0; n < b.n; n++)
        assert_false(hob_pairs_open(hob_str_n(hob_buf_data(&b), n), 3, &p));
}

static void pairs_that_lie_about_lengths_are_refused(void **state)
{
    (void)state;
    unsigned char block[20] = {0};
    struct hob_pairs p;
    hob_put_u32(block, 1);
    hob_put_u32(block + 4, 0xffffffff);
    hob_put_u32(block + 8, 2);
    assert_false(hob_pairs_open(hob_str_n(block, sizeof block), 10, &p));
    hob_put_u32(block + 4, 4);
    hob_put_u32(block + 8, 0xffffffff);
    assert_false(hob_pairs_open(hob_str_n(block, sizeof block), 10, &p));
    hob_put_u32(block, 0xffffffff);
    assert_false(hob_pairs_open(hob_str_n(block, sizeof block), 10, &p));
}

static void a_full_buffer_fails_a_block_once_and_at_the_end(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 20);
    struct hob_pairs_writer w;
    struct hob_err err;
    hob_pairs_start(&w, &b);
    hob_pairs_add(&w, HOB_STR("0123456789"), HOB_STR("0123456789"));
    hob_pairs_add(&w, HOB_STR("a"), HOB_STR("b"));
    assert_int_equal(hob_pairs_end(&w, &err), HOB_E_TOO_LARGE);
}

static void a_frame_is_cut_out_of_any_split(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf wire, in;
    hob_buf_init(&wire, 4096);
    hob_buf_init(&in, 4096);
    struct hob_frame f = {.type = HOB_FRAME_DATA, .flags = HOB_FRAME_END, .code = 3, .stream = 5, .arg = 9};
    assert_ok(hob_frame_add(&wire, f, HOB_STR("payload")));
    for (size_t i = 0; i < wire.n; i++) {
        struct hob_frame got;
        struct hob_str payload;
        assert_int_equal(hob_frame_next(&in, &got, &payload), 0);
        assert_ok(hob_buf_add(&in, hob_buf_data(&wire) + i, 1));
    }
    struct hob_frame got;
    struct hob_str payload;
    assert_int_equal(hob_frame_next(&in, &got, &payload), 1);
    assert_str_equal(payload, "payload");
    assert_int_equal(got.stream, 5);
    assert_int_equal(got.arg, 9);
    assert_int_equal(got.code, 3);
}

static void a_header_over_its_limit_or_with_unknown_flags_is_malformed(void **state)
{
    (void)state;
    unsigned char head[HOB_FRAME_HEADER_BYTES];
    struct hob_frame f = {.len = 65536, .type = HOB_FRAME_DATA}, got;
    hob_frame_encode(&f, head);
    assert_true(hob_frame_decode(head, &got));
    f.len = 65537;
    hob_frame_encode(&f, head);
    assert_false(hob_frame_decode(head, &got));
    f = (struct hob_frame){.len = 1 << 20, .type = HOB_FRAME_HEAD};
    hob_frame_encode(&f, head);
    assert_true(hob_frame_decode(head, &got));
    f.len++;
    hob_frame_encode(&f, head);
    assert_false(hob_frame_decode(head, &got));
    f = (struct hob_frame){.type = HOB_FRAME_DATA, .flags = 16};
    hob_frame_encode(&f, head);
    assert_false(hob_frame_decode(head, &got));
}

static void an_invoke_meta_reads_back_and_every_truncation_is_refused(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 4096);
    struct hob_invoke_meta m = {.kind = HOB_INVOKE_HTTP,
                                .deadline_ms = 123456789012,
                                .body_n = UINT64_MAX,
                                .method = HOB_STR("POST"),
                                .target = HOB_STR("/a?b=c"),
                                .request_id = HOB_STR("rid"),
                                .fields = HOB_STR("ffff"),
                                .extras = HOB_STR("ee")},
                           got;
    assert_ok(hob_invoke_meta_add(&b, &m));
    assert_true(hob_invoke_meta_parse(hob_buf_str(&b), &got));
    assert_str_equal(got.method, "POST");
    assert_str_equal(got.target, "/a?b=c");
    assert_str_equal(got.request_id, "rid");
    assert_str_equal(got.extras, "ee");
    assert_true(got.body_n == UINT64_MAX && got.deadline_ms == 123456789012);
    for (size_t n = 0; n < b.n; n++)
        assert_false(hob_invoke_meta_parse(hob_str_n(hob_buf_data(&b), n), &got));
}

static void descriptors_travel_and_too_many_are_closed(void **state)
{
    (void)state;
    int pair[2], got[HOB_FDMSG_FDS_MAX];
    size_t n = 0;
    char text[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    int three[3] = {pair[0], pair[1], STDERR_FILENO};
    assert_int_equal(hob_fdmsg_send(pair[0], HOB_STR("hello"), three, 2), 1);
    assert_int_equal(hob_fdmsg_recv(pair[1], text, sizeof text, got, 2, &n), 5);
    assert_int_equal(n, 2);
    assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    int next_free = got[0];
    (void)close(got[0]);
    (void)close(got[1]);
    assert_int_equal(hob_fdmsg_send(pair[0], HOB_STR("x"), three, 3), 1);
    assert_int_equal(hob_fdmsg_recv(pair[1], text, sizeof text, got, 2, &n), -1);
    assert_int_equal(errno, EMSGSIZE);
    int probe = dup(STDERR_FILENO);
    assert_int_equal(probe, next_free);
    (void)close(probe);
    assert_int_equal(hob_fdmsg_send(pair[0], HOB_STR("longer than sixteen bytes"), NULL, 0), 1);
    assert_int_equal(hob_fdmsg_recv(pair[1], text, sizeof text, got, 2, &n), -1);
    assert_int_equal(errno, EMSGSIZE);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void a_link_message_reads_back(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 4096);
    struct hob_pairs_writer w;
    hob_link_start(&w, &b, HOB_LINK_STOP);
    hob_pairs_add_u64(&w, "instance", 77);
    assert_ok(hob_pairs_end(&w, NULL));
    uint32_t type = 0;
    struct hob_pairs p;
    assert_true(hob_link_parse(hob_buf_str(&b), &type, &p));
    assert_int_equal(type, HOB_LINK_STOP);
    assert_int_equal(hob_pairs_u64(&p, "instance", 0), 77);
    assert_false(hob_link_parse(hob_str_n(hob_buf_data(&b), 3), &type, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_read_back_what_was_written),
        cmocka_unit_test(pairs_that_lie_about_lengths_are_refused),
        cmocka_unit_test(a_full_buffer_fails_a_block_once_and_at_the_end),
        cmocka_unit_test(a_frame_is_cut_out_of_any_split),
        cmocka_unit_test(a_header_over_its_limit_or_with_unknown_flags_is_malformed),
        cmocka_unit_test(an_invoke_meta_reads_back_and_every_truncation_is_refused),
        cmocka_unit_test(descriptors_travel_and_too_many_are_closed),
        cmocka_unit_test(a_link_message_reads_back),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
