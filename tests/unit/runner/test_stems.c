/* The pool of prepared processes alone: an engine that does what the test says, adapters that are the test itself. */
#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/fs.h"
#include "base/mem.h"
#include "runner/stems.h"

enum { RUNS_MAX = 128, PATIENCE_MS = 3000 };

struct engine_run {
    struct engine_listener listener;
    void *ctx;
    int channel;
    uint32_t cpu_weight, memory_mb;
    unsigned stops;
    bool is_over, is_stem, is_launched;
};
static struct engine_run runs[RUNS_MAX];
static unsigned runs_n;
static bool is_down;
static uv_loop_t loop;
static struct engine engine;
static struct stems *stems;
static char meminfo[64];

static struct engine_run *fake_start(struct engine *e, const struct engine_spec *spec,
                                     const struct engine_listener *l, void *ctx)
{
    (void)e;
    assert_true(runs_n < RUNS_MAX);
    struct engine_run *r = &runs[runs_n++];
    *r = (struct engine_run){.listener = *l,
                             .ctx = ctx,
                             .channel = spec->channel_fd,
                             .is_stem = spec->is_stem,
                             .memory_mb = spec->memory_mb,
                             .cpu_weight = spec->cpu_weight};
    assert_string_equal(spec->digest, "");
    assert_null(spec->app); /* nobody's; seen to fail: it pointed into a START that was over */
    if (spec->stdout_fd >= 0)
        (void)close(spec->stdout_fd);
    if (spec->stderr_fd >= 0)
        (void)close(spec->stderr_fd);
    return r;
}

static void fake_stop(struct engine_run *r, uint32_t grace_ms)
{
    assert_int_equal(grace_ms, 0);
    r->stops++;
}

static bool fake_is_up(const struct engine *e)
{
    (void)e;
    return !is_down;
}

static void turn(unsigned ms)
{
    for (uint64_t end = hob_now_ms() + ms; hob_now_ms() < end; (void)usleep(500))
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void until_runs(unsigned n)
{
    for (uint64_t end = hob_now_ms() + PATIENCE_MS; runs_n < n && hob_now_ms() < end; (void)usleep(500))
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(runs_n >= n);
}

static void launched(struct engine_run *r)
{
    r->is_launched = true;
    r->listener.launched(r->ctx, 1, 1);
}

static void over(struct engine_run *r)
{
    static const struct engine_exit exit = {.exit_code = -1, .signal = 9, .message = "killed"};
    r->is_over = true;
    hob_close_p(&r->channel);
    r->listener.exited(r->ctx, &exit);
}

/* The adapter's part: PING must have come; PONG with that arg, or something else. */
static void pong(struct engine_run *r, uint8_t type, uint32_t add)
{
    unsigned char bytes[HOB_FRAME_HEADER_BYTES];
    struct hob_frame f;
    assert_int_equal(recv(r->channel, bytes, sizeof bytes, MSG_DONTWAIT), sizeof bytes);
    assert_true(hob_frame_decode(bytes, &f));
    assert_int_equal(f.type, HOB_FRAME_PING);
    f = (struct hob_frame){.type = type, .arg = f.arg + add};
    hob_frame_encode(&f, bytes);
    assert_int_equal(send(r->channel, bytes, sizeof bytes, 0), sizeof bytes);
}

static void make_ready(struct engine_run *r)
{
    launched(r);
    pong(r, HOB_FRAME_PONG, 0);
    turn(5);
}

static struct instance_spec spec_of(const char *runtime, const char *strings, size_t n)
{
    struct instance_spec s = {.pool_max = 4, .wants_logs = true};
    (void)snprintf(s.runtime, sizeof s.runtime, "%s", runtime);
    memset(s.digest, 'a', 64);
    s.engine.strings = hob_str_n(strings, n);
    s.engine.argc = 2;
    s.engine.memory_mb = 128;
    s.engine.cpu_weight = 100;
    s.engine.app = "shop";
    return s;
}
#define SPEC() spec_of("node", "node\0a.cjs", 11)

static enum stems_answer take(const struct instance_spec *spec, struct engine_run **ret_run)
{
    struct streams s = {-1, -1, -1, -1, -1, -1};
    enum stems_answer answer = stems_take(stems, spec, ret_run, &s);
    if (answer == STEMS_HIT) {
        assert_true(s.channel >= 0 && s.out >= 0 && s.err >= 0);
        assert_int_equal(fcntl(s.channel, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
    streams_close(&s);
    return answer;
}

static void the_first_start_is_a_miss_and_two_are_made_ready(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    assert_int_equal(take(&s, &r), STEMS_MISS);
    assert_int_equal(runs_n, 0); /* never from inside */
    until_runs(2);
    assert_true(runs[0].is_stem && runs[0].cpu_weight < 100);
    assert_int_equal(take(&s, &r), STEMS_MISS); /* it boots */
    launched(&runs[0]);
    turn(5);
    assert_int_equal(take(&s, &r), STEMS_MISS); /* its adapter has not answered */
    pong(&runs[0], HOB_FRAME_PONG, 0);
    turn(5);
    assert_int_equal(take(&s, &r), STEMS_HIT);
    assert_ptr_equal(r, &runs[0]);
    assert_int_equal(take(&s, &r), STEMS_MISS); /* used once */
}

static void kinds_are_not_mixed(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    make_ready(&runs[0]);
    make_ready(&runs[1]);
    struct instance_spec other = spec_of("python", "node\0a.cjs", 11);
    assert_int_equal(take(&other, &r), STEMS_MISS);
    other = spec_of("node", "node\0b.cjs", 11);
    assert_int_equal(take(&other, &r), STEMS_MISS);
    other = SPEC();
    other.engine.tmp_bytes = 1;
    assert_int_equal(take(&other, &r), STEMS_MISS);
    other = SPEC();
    other.wants_logs = false;
    assert_int_equal(take(&other, &r), STEMS_MISS);
    other = SPEC();
    other.engine.nofile_max = 99;
    assert_int_equal(take(&other, &r), STEMS_MISS);
    other = SPEC();
    other.engine.memory_mb = 64; /* can be changed later: the same kind */
    other.engine.cpu_percent = 20;
    other.engine.pids_max = 9;
    assert_int_equal(take(&other, &r), STEMS_HIT);
}

static void what_has_no_code_or_no_use_for_a_pool_gets_none(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    s.pool_max = 0;
    assert_int_equal(take(&s, &r), STEMS_NONE);
    s = SPEC();
    s.digest[0] = '\0';
    assert_int_equal(take(&s, &r), STEMS_NONE);
    turn(50);
    assert_int_equal(runs_n, 0);
}

static void misses_make_the_pool_grow_up_to_its_most(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    for (int i = 0; i < 10; i++)
        assert_int_equal(take(&s, &r), STEMS_MISS);
    for (unsigned i = 0; i < 4; i++) { /* two boot at a time */
        until_runs(i + 1);
        turn(30);
        assert_true(runs_n <= i + 2);
        make_ready(&runs[i]);
    }
    turn(60);
    assert_int_equal(runs_n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(&s, &r), STEMS_HIT);
    assert_int_equal(take(&s, &r), STEMS_MISS);
}

static void one_that_says_something_else_is_stopped_and_not_handed_out(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    launched(&runs[0]);
    pong(&runs[0], HOB_FRAME_READY, 0);
    launched(&runs[1]);
    pong(&runs[1], HOB_FRAME_PONG, 1);
    turn(10);
    assert_int_equal(runs[0].stops, 1);
    assert_int_equal(runs[1].stops, 1);
    assert_int_equal(take(&s, &r), STEMS_MISS);
    over(&runs[0]);
    over(&runs[1]);
    turn(200);
    assert_int_equal(runs_n, 2); /* whoever fails to get ready is not tried again at once */
}

static void a_ready_one_that_speaks_or_hangs_up_is_discarded(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    make_ready(&runs[0]);
    make_ready(&runs[1]);
    assert_int_equal(send(runs[0].channel, "x", 1, 0), 1);
    (void)shutdown(runs[1].channel, SHUT_RDWR);
    assert_int_equal(take(&s, &r), STEMS_MISS);
    assert_int_equal(runs[0].stops + runs[1].stops, 2);
    over(&runs[0]);
    over(&runs[1]);
    until_runs(4); /* and replaced */
}

static void a_dead_one_is_replaced(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    make_ready(&runs[0]);
    make_ready(&runs[1]);
    over(&runs[0]);
    until_runs(3);
    assert_int_equal(take(&s, &r), STEMS_HIT);
    assert_ptr_equal(r, &runs[1]);
}

static void a_failed_launch_is_not_repeated_at_once(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    struct hob_err err = {.code = HOB_E_UNAVAILABLE, .msg = "no"};
    (void)take(&s, &r);
    until_runs(1);
    hob_close_p(&runs[0].channel);
    runs[0].is_over = true;
    runs[0].listener.failed(runs[0].ctx, &err);
    unsigned n = runs_n;
    turn(200);
    assert_int_equal(runs_n, n);
}

static void short_of_memory_none_is_made_and_all_are_given_back(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    make_ready(&runs[0]);
    assert_ok(hob_write_file(meminfo, HOB_STR("MemTotal: 1000 kB\nMemAvailable: 99 kB\n"), 0600, NULL));
    turn(1200);
    assert_int_equal(runs[0].stops, 1);
    launched(&runs[1]); /* while it booted: as soon as it can be stopped */
    assert_int_equal(runs[1].stops, 1);
    assert_int_equal(take(&s, &r), STEMS_MISS);
    unsigned n = runs_n;
    turn(100);
    assert_int_equal(runs_n, n);
}

static void say_memory(unsigned total_mb, unsigned available_mb)
{
    hob_auto_free char *text =
        hob_asprintf("MemTotal: %u kB\nMemAvailable: %u kB\n", total_mb * 1024, available_mb * 1024);
    assert_ok(hob_write_file(meminfo, hob_str(text), 0600, NULL));
}

/* So many come up, and in the next look no further one. */
static void settle_at(unsigned from, unsigned n)
{
    for (; from < n; from++) {
        until_runs(from + 1);
        make_ready(&runs[from]);
    }
    turn(1300);
    assert_int_equal(runs_n, n);
}

static void where_memory_is_plenty_it_grows_without_a_miss(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    say_memory(3 * 512, 800); /* room for three */
    (void)take(&s, &r);
    settle_at(0, 3);
    say_memory(64 * 512, 16000); /* room for sixty-four, but less than half is there */
    settle_at(3, 3);
    say_memory(64 * 512, 16500);
    settle_at(3, 4); /* the kind's most */
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(&s, &r), STEMS_HIT);
}

static void nothing_is_started_while_the_engine_is_down(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    struct instance_spec s = SPEC();
    is_down = true;
    (void)take(&s, &r);
    turn(60);
    assert_int_equal(runs_n, 0);
    is_down = false;
    until_runs(1); /* the keeper looks again */
}

static void it_tells_what_it_has(void **state)
{
    (void)state;
    struct engine_run *r = NULL;
    char text[256];
    struct instance_spec s = SPEC();
    (void)take(&s, &r);
    until_runs(2);
    make_ready(&runs[0]);
    (void)take(&s, &r);
    stems_describe(stems, text, sizeof text);
    assert_contains(text, "1 hits, 1 misses");
    assert_contains(text, "node 0 of 2 ready");
    stems_describe(stems, text, 8); /* cut, not overrun */
    assert_int_equal(strlen(text), 7);
}

static int setup(void **state)
{
    (void)state;
    static const struct engine_ops ops = {.start = fake_start, .stop = fake_stop, .is_up = fake_is_up};
    engine = (struct engine){.ops = &ops, .name = "fake"};
    runs_n = 0;
    is_down = false;
    assert_ok(hob_write_file(meminfo, HOB_STR("MemTotal: 1000 kB\nMemAvailable: 900 kB\n"), 0600, NULL));
    assert_int_equal(uv_loop_init(&loop), 0);
    stems = stems_new(&loop, &engine, 64);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stems_close(stems);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0); /* every handle is gone */
    for (unsigned i = 0; i < runs_n; i++)
        if (!runs[i].is_over)
            hob_close_p(&runs[i].channel);
    return 0;
}

int main(void)
{
    (void)alarm(280);
    (void)snprintf(meminfo, sizeof meminfo, "/tmp/hob-meminfo-%d", getpid());
    (void)setenv("HOB_POOL_MEMINFO", meminfo, 1);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_start_is_a_miss_and_two_are_made_ready),
        T(kinds_are_not_mixed),
        T(what_has_no_code_or_no_use_for_a_pool_gets_none),
        T(misses_make_the_pool_grow_up_to_its_most),
        T(one_that_says_something_else_is_stopped_and_not_handed_out),
        T(a_ready_one_that_speaks_or_hangs_up_is_discarded),
        T(a_dead_one_is_replaced),
        T(a_failed_launch_is_not_repeated_at_once),
        T(short_of_memory_none_is_made_and_all_are_given_back),
        T(where_memory_is_plenty_it_grows_without_a_miss),
        T(nothing_is_started_while_the_engine_is_down),
        T(it_tells_what_it_has),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(meminfo);
    return failed;
}
