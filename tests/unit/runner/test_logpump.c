/* The log pump on real pipes: what rests as one descriptor loses nothing and mixes nothing up. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "runner/files.h"
#include "runner/logpump.h"
#include "runner/parcel.h"

enum { LINES_MAX = 64, TURNS_MAX = 2000 };

struct fixture {
    uv_loop_t loop;
    struct log_pump *pump;
    struct files files;
    int out, err; /* the instance's ends */
    char *text[LINES_MAX];
    bool is_stderr[LINES_MAX];
    size_t n;
};

static bool on_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    struct fixture *f = ctx;
    assert_true(f->n < LINES_MAX && dropped == 0);
    f->is_stderr[f->n] = is_stderr;
    f->text[f->n++] = hob_strndup(text.at, text.n);
    return true;
}

static int open_end(int *ret_write)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    *ret_write = ends[1];
    return ends[0];
}

static int up(void **state)
{
    struct fixture *f = hob_new(struct fixture);
    struct hob_err err;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    int out = open_end(&f->out), errs = open_end(&f->err);
    f->pump = log_pump_start(&f->loop, out, errs, on_line, f, &err);
    assert_non_null(f->pump);
    log_pump_go(f->pump);
    f->files = (struct files){.max = 10, .instances_n = 1}; /* short from the beginning */
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;
    log_pump_close(f->pump);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(f->files.wrapped_n, 0);
    for (size_t i = 0; i < f->n; i++)
        free(f->text[i]);
    hob_close_p(&f->out);
    hob_close_p(&f->err);
    free(f);
    return 0;
}

static void say(int fd, const char *line)
{
    assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
}

static void await_lines(struct fixture *f, size_t n)
{
    for (unsigned turn = 0; f->n < n && turn < TURNS_MAX; turn++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    assert_true(f->n >= n);
}

static void expect(struct fixture *f, size_t i, bool is_stderr, const char *text)
{
    await_lines(f, i + 1);
    assert_string_equal(f->text[i], text);
    assert_int_equal(f->is_stderr[i], is_stderr);
}

static size_t open_files(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void a_resting_pump_holds_one_descriptor_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    say(f->out, "before\n");
    say(f->err, "unread, and hal");
    size_t before = open_files();
    log_pump_rest(f->pump, &f->files);
    assert_int_equal(f->files.wrapped_n, 1);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* the handles go */
    assert_int_equal(open_files(), before - 1);
    expect(f, 0, false, "before"); /* read before it came to rest */
    say(f->err, "f\nwhile it rests\n");
    say(f->out, "that, too\n");
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->n, 1);
    f->files.max = 100;
    log_pump_wake(f->pump);
    assert_int_equal(f->files.wrapped_n, 0);
    assert_int_equal(open_files(), before);
    await_lines(f, 4); /* the two streams in any order */
    size_t out = 1;
    while (out < 3 && f->is_stderr[out])
        out++;
    expect(f, out, false, "that, too");
    expect(f, out == 1 ? 2 : 1, true, "unread, and half");
    expect(f, out == 3 ? 2 : 3, true, "while it rests");
    say(f->out, "after\n");
    expect(f, 4, false, "after");
}

static void it_rests_and_wakes_many_times(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 20; i++) {
        f->files.max = 10;
        log_pump_rest(f->pump, &f->files);
        log_pump_rest(f->pump, &f->files);
        assert_int_equal(f->files.wrapped_n, 1);
        say(i % 2 ? f->err : f->out, "x\n");
        f->files.max = 100;
        log_pump_wake(f->pump);
        log_pump_wake(f->pump);
        expect(f, i, i % 2, "x");
    }
}

static void an_end_while_it_rests_brings_the_last_words(void **state)
{
    struct fixture *f = *state;
    log_pump_rest(f->pump, &f->files);
    say(f->out, "last word\n");
    say(f->err, "cut in the midd");
    log_pump_finish(f->pump);
    assert_int_equal(f->n, 2);
    expect(f, 0, false, "last word");
    expect(f, 1, true, "cut in the midd");
}

static void without_room_it_wakes_later(void **state)
{
    struct fixture *f = *state;
    log_pump_rest(f->pump, &f->files);
    say(f->out, "wait\n");
    log_pump_wake(f->pump); /* the account says that two find no room */
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    assert_int_equal(f->n, 0);
    assert_int_equal(f->files.wrapped_n, 1);
    f->files.max = 100;
    expect(f, 0, false, "wait");
    assert_int_equal(f->files.wrapped_n, 0);
}

static void a_stream_that_has_ended_may_rest_too(void **state)
{
    struct fixture *f = *state;
    say(f->err, "gone\n");
    hob_close_p(&f->err);
    f->err = -1;
    expect(f, 0, true, "gone");
    log_pump_rest(f->pump, &f->files);
    assert_int_equal(f->files.wrapped_n, 1);
    say(f->out, "here\n");
    f->files.max = 100;
    log_pump_wake(f->pump);
    expect(f, 1, false, "here");
}

static void with_room_enough_nothing_is_wrapped(void **state)
{
    struct fixture *f = *state;
    f->files.max = 1000;
    log_pump_rest(f->pump, &f->files);
    assert_int_equal(f->files.wrapped_n, 0);
    say(f->out, "heard at once\n");
    expect(f, 0, false, "heard at once");
}

/* Linux keeps a registration by file and number; a number that was closed while the file lives on (in the parcel) can never
 * be taken out of the loop again, and wakes it without end while nobody reads. */
static void a_flood_after_the_rest_does_not_keep_the_loop_awake(void **state)
{
    struct fixture *f = *state;
    static char flood[60000];
    int low =
        open("/dev/null", O_RDONLY | O_CLOEXEC); /* theirs come back under other numbers than they had */
    assert_true(low >= 0);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    log_pump_rest(f->pump, &f->files);
    int parked[2] = {dup(low), dup(low)};
    f->files.max = 100;
    log_pump_wake(f->pump);
    memset(flood, 'x', sizeof flood);
    assert_int_equal(write(f->out, flood, sizeof flood), (ssize_t)sizeof flood);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* read once, a line without end: paused */
    say(f->out, "more");
    struct pollfd p = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    say(f->out, "\n");
    (void)close(low);
    (void)close(parked[0]);
    (void)close(parked[1]);
}

/* The kernel gives as many as find room and throws away the rest: looked at first, both are still there. */
static void a_parcel_that_finds_no_room_stays_whole(void **state)
{
    (void)state;
    int theirs[2], back[2] = {-1, -1};
    int fds[] = {open_end(&theirs[0]), open_end(&theirs[1])};
    int parcel = parcel_wrap(fds);
    assert_true(parcel >= 0);
    struct rlimit files, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    int next = dup(parcel);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    low = (struct rlimit){(rlim_t)next + 1, files.rlim_max}; /* room for one */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    bool is_open = parcel_open(parcel, back);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_false(is_open);
    assert_int_equal(fcntl(next, F_GETFD), -1); /* the one that came was closed */
    assert_true(parcel_open(parcel, back));
    for (int i = 0; i < 2; i++) {
        char byte = 0;
        say(theirs[i], i ? "b" : "a");
        assert_int_equal(read(back[i], &byte, 1), 1);
        assert_int_equal(byte, i ? 'b' : 'a');
        assert_true(fcntl(back[i], F_GETFD) & FD_CLOEXEC);
        (void)close(back[i]);
        (void)close(theirs[i]);
    }
}

static void the_account_holds_more_frozen_ones_than_half_the_limit(void **state)
{
    (void)state;
    struct files f = {.max = 20000};
    while (files_can_start(&f)) {
        f.instances_n++;
        f.wrapped_n += files_shall_wrap(&f);
    }
    assert_in_range(f.instances_n, 12500, 15000);
    assert_true(2 * f.wrapped_n <= 15000); /* what the kernel lets lie in sockets, less a quarter */
    assert_true(files_can_unwrap(&f));     /* one may wake at once, others when it rests again or some end */
    f = (struct files){.max = 20000};
    while (files_can_start(&f)) /* that run */
        f.instances_n++;
    assert_in_range(f.instances_n, 9900, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_resting_pump_holds_one_descriptor_and_loses_nothing, up, down),
        cmocka_unit_test_setup_teardown(it_rests_and_wakes_many_times, up, down),
        cmocka_unit_test_setup_teardown(an_end_while_it_rests_brings_the_last_words, up, down),
        cmocka_unit_test_setup_teardown(without_room_it_wakes_later, up, down),
        cmocka_unit_test_setup_teardown(a_stream_that_has_ended_may_rest_too, up, down),
        cmocka_unit_test_setup_teardown(with_room_enough_nothing_is_wrapped, up, down),
        cmocka_unit_test_setup_teardown(a_flood_after_the_rest_does_not_keep_the_loop_awake, up, down),
        cmocka_unit_test(a_parcel_that_finds_no_room_stays_whole),
        cmocka_unit_test(the_account_holds_more_frozen_ones_than_half_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
