#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/msgsock.h"

enum { QUEUE_BYTES = 300 * 1024, BIG = 100 * 1024 };

struct side {
    uv_loop_t loop;
    struct hob_msgsock *sock;
    int peer; /* the other end, non-blocking */
    unsigned messages, fds, lost;
    size_t last_n;
    char last[128];
    struct hob_err err;
    bool closes_in_message;
};

static void on_message(void *ctx, struct hob_str msg, const int *fds, size_t fds_n)
{
    struct side *s = ctx;
    s->messages++;
    s->fds += (unsigned)fds_n;
    s->last_n = msg.n;
    memcpy(s->last, msg.at, msg.n < sizeof s->last ? msg.n : sizeof s->last);
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
    if (s->closes_in_message) {
        hob_msgsock_close(s->sock);
        s->sock = NULL;
    }
}

static void on_lost(void *ctx, const struct hob_err *err)
{
    struct side *s = ctx;
    s->lost++;
    s->err = *err;
}

static int up(void **state)
{
    static const struct hob_msgsock_events events = {.on_message = on_message, .on_lost = on_lost};
    struct side *s = hob_new(struct side);
    int ends[2];
    struct hob_err err;
    assert_int_equal(uv_loop_init(&s->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->peer = ends[1];
    s->sock = hob_msgsock_start(&s->loop, ends[0], QUEUE_BYTES, &events, s, &err);
    assert_non_null(s->sock);
    *state = s;
    return 0;
}

static int down(void **state)
{
    struct side *s = *state;
    hob_msgsock_close(s->sock);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    if (s->peer >= 0)
        (void)close(s->peer);
    free(s);
    return 0;
}

static void turn(struct side *s)
{
    for (int i = 0; i < 5; i++)
        (void)uv_run(&s->loop, UV_RUN_NOWAIT);
}

static int null_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void messages_and_descriptors_come_through_in_order(void **state)
{
    struct side *s = *state;
    int fd = null_fd();
    for (int i = 0; i < 100; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "m%d", i);
        assert_int_equal(hob_fdmsg_send(s->peer, hob_str_n(text, (size_t)n), &fd, i == 50), 1);
    }
    (void)close(fd);
    turn(s);
    assert_int_equal(s->messages, 100);
    assert_int_equal(s->fds, 1);
    assert_memory_equal(s->last, "m99", 3);
    assert_int_equal(s->lost, 0);
}

static void what_the_peer_does_not_read_waits_and_then_arrives(void **state)
{
    struct side *s = *state;
    static char big[BIG], in[HOB_FDMSG_BYTES_MAX];
    int fds[HOB_FDMSG_FDS_MAX];
    size_t fds_n, got_fds = 0;
    for (int i = 0; i < 4; i++) {
        int fd = null_fd();
        big[0] = (char)i;
        hob_msgsock_send(s->sock, hob_str_n(big, sizeof big), &fd, 1);
    }
    assert_true(hob_msgsock_queued(s->sock) >= BIG);
    for (int i = 0; i < 4; i++) {
        turn(s);
        ssize_t n = hob_fdmsg_recv(s->peer, in, sizeof in, fds, HOB_FDMSG_FDS_MAX, &fds_n);
        assert_int_equal(n, BIG);
        assert_int_equal(in[0], i);
        for (size_t k = 0; k < fds_n; k++, got_fds++)
            (void)close(fds[k]);
    }
    assert_int_equal(got_fds, 4);
    turn(s);
    assert_int_equal(hob_msgsock_queued(s->sock), 0);
    assert_int_equal(s->lost, 0);
}

static void a_peer_that_never_reads_is_lost_from_the_loop_not_from_inside(void **state)
{
    struct side *s = *state;
    static char big[BIG];
    for (int i = 0; i < 10; i++) {
        int fd = null_fd();
        hob_msgsock_send(s->sock, hob_str_n(big, sizeof big), &fd, 1);
        assert_int_equal(s->lost, 0);
        assert_true(hob_msgsock_queued(s->sock) <= QUEUE_BYTES);
    }
    turn(s);
    assert_int_equal(s->lost, 1);
    assert_int_equal(s->err.code, HOB_E_TOO_LARGE);
    hob_msgsock_send(s->sock, HOB_STR("late"), NULL, 0); /* goes nowhere, quietly */
    turn(s);
    assert_int_equal(s->lost, 1);
}

static void a_closed_peer_is_reported_once_after_its_last_words(void **state)
{
    struct side *s = *state;
    assert_int_equal(hob_fdmsg_send(s->peer, HOB_STR("last words"), NULL, 0), 1);
    (void)close(s->peer);
    s->peer = -1;
    hob_msgsock_send(s->sock, HOB_STR("to nobody"), NULL, 0);
    assert_int_equal(s->lost, 0);
    turn(s);
    assert_int_equal(s->messages, 1);
    assert_int_equal(s->lost, 1);
}

static void closing_from_inside_a_message_is_the_end(void **state)
{
    struct side *s = *state;
    s->closes_in_message = true;
    assert_int_equal(hob_fdmsg_send(s->peer, HOB_STR("one"), NULL, 0), 1);
    assert_int_equal(hob_fdmsg_send(s->peer, HOB_STR("two"), NULL, 0), 1);
    turn(s);
    assert_int_equal(s->messages, 1);
    assert_int_equal(s->lost, 0);
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void too_many_descriptors_break_it_without_a_leak(void **state)
{
    struct side *s = *state;
    unsigned before = count_fds();
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = null_fd();
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec io = {.iov_base = (char[]){"x"}, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(h), fds, sizeof fds);
    assert_int_equal(sendmsg(s->peer, &m, 0), 1);
    for (int i = 0; i < 10; i++)
        (void)close(fds[i]);
    turn(s);
    assert_int_equal(s->lost, 1);
    assert_int_equal(s->err.errnum, EMSGSIZE);
    assert_int_equal(count_fds(), before);
}

static void closing_gives_back_what_still_waited(void **state)
{
    struct side *s = *state;
    static char big[BIG];
    unsigned before = count_fds();
    for (int i = 0; i < 4; i++) {
        int fd = null_fd();
        hob_msgsock_send(s->sock, hob_str_n(big, sizeof big), &fd, 1);
    }
    assert_true(hob_msgsock_queued(s->sock) > 0);
    hob_msgsock_close(s->sock);
    s->sock = NULL;
    turn(s);
    assert_int_equal(count_fds(), before - 1); /* the socket itself */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
    (void)alarm(280);
    const struct CMUnitTest tests[] = {
        TEST(messages_and_descriptors_come_through_in_order),
        TEST(what_the_peer_does_not_read_waits_and_then_arrives),
        TEST(a_peer_that_never_reads_is_lost_from_the_loop_not_from_inside),
        TEST(a_closed_peer_is_reported_once_after_its_last_words),
        TEST(closing_from_inside_a_message_is_the_end),
        TEST(too_many_descriptors_break_it_without_a_leak),
        TEST(closing_gives_back_what_still_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
