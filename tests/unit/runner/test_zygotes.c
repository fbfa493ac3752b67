/* Which instances are forks of which zygote: an engine that does what the test says. */
#include "check.h"

#include <unistd.h>

#include "base/mem.h"
#include "runner/zygotes.h"

enum { RUNS_MAX = 64 };

struct engine_run {
    struct engine_listener listener;
    void *ctx;
    struct engine_run *of; /* of a fork: its zygote */
    char strings[64];
    size_t strings_n;
    uint32_t argc, memory_mb;
    unsigned stops;
    bool is_zygote, is_over;
};
static struct engine_run runs[RUNS_MAX];
static unsigned runs_n;
static bool is_down;
static const char *probe;
static uv_loop_t loop;
static struct engine engine;
static struct stems *stems;
static struct zygotes *zygotes;

static struct engine_run *run_new(const struct engine_spec *spec, const struct engine_listener *l, void *ctx)
{
    assert_true(runs_n < RUNS_MAX && spec->strings.n <= sizeof runs[0].strings);
    struct engine_run *r = &runs[runs_n++];
    *r = (struct engine_run){.listener = *l,
                             .ctx = ctx,
                             .is_zygote = spec->is_zygote,
                             .strings_n = spec->strings.n,
                             .argc = spec->argc,
                             .memory_mb = spec->memory_mb};
    memcpy(r->strings, spec->strings.at, spec->strings.n);
    return r;
}

static struct engine_run *fake_start(struct engine *e, const struct engine_spec *spec,
                                     const struct engine_listener *l, void *ctx)
{
    (void)e;
    engine_spec_close(spec);
    return run_new(spec, l, ctx);
}

static struct engine_run *fake_fork(struct engine_run *zygote, const struct engine_spec *spec,
                                    const struct engine_listener *l, void *ctx)
{
    assert_true(zygote->is_zygote && !zygote->is_over);
    struct engine_run *r = run_new(spec, l, ctx);
    r->of = zygote;
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

static const char *fake_probe(const struct engine *e)
{
    (void)e;
    return probe;
}

static struct instance_spec spec_of(const char *app, const char *function, uint32_t version)
{
    static const char strings[] = "python3\0adapter.py\0LANG=C";
    struct instance_spec s = {.version = version, .forks_max = 3, .wants_logs = true};
    (void)snprintf(s.runtime, sizeof s.runtime, "python");
    (void)snprintf(s.app, sizeof s.app, "%s", app);
    (void)snprintf(s.function, sizeof s.function, "%s", function);
    memset(s.digest, 'a', 64);
    s.engine = (struct engine_spec){.strings = hob_str_n(strings, sizeof strings),
                                    .argc = 2,
                                    .envc = 1,
                                    .memory_mb = 48,
                                    .channel_fd = -1,
                                    .stdout_fd = -1,
                                    .stderr_fd = -1,
                                    .stdin_fd = -1};
    return s;
}

static struct engine_run *fork_one(struct instance_spec spec, struct zygote **ret_zygote)
{
    static const struct engine_listener listener;
    struct zygote *z = NULL;
    struct engine_run *r = zygotes_fork(zygotes, &spec, &listener, NULL, &z);
    *ret_zygote = z;
    assert_true(!r == !z);
    return r;
}

static void over(struct engine_run *r)
{
    static const struct engine_exit exit = {.exit_code = -1, .signal = 9, .message = "killed"};
    r->is_over = true;
    r->listener.exited(r->ctx, &exit);
}

static void the_first_instance_starts_a_zygote_and_all_of_its_version_are_its_forks(void **state)
{
    (void)state;
    struct zygote *z[3];
    struct engine_run *one = fork_one(spec_of("shop", "f", 1), &z[0]);
    assert_int_equal(runs_n, 2); /* asked at once: whoever starts it takes things in order */
    assert_true(runs[0].is_zygote && !one->is_zygote);
    assert_ptr_equal(one->of, &runs[0]);
    assert_int_equal(runs[0].argc, 3);
    static const char wanted[] = "python3\0adapter.py\0--zygote\0LANG=C";
    assert_int_equal(runs[0].strings_n, sizeof wanted);
    assert_memory_equal(runs[0].strings, wanted, sizeof wanted);
    assert_int_equal(runs[0].memory_mb, 64 + 2 * 3);
    assert_int_equal(one->memory_mb, 48);
    assert_ptr_equal(fork_one(spec_of("shop", "f", 1), &z[1])->of, &runs[0]);
    runs[0].listener.launched(runs[0].ctx, 1, 1);
    assert_ptr_equal(fork_one(spec_of("shop", "f", 1), &z[2])->of, &runs[0]);
    assert_int_equal(zygotes_count(zygotes), 1);
    for (int i = 0; i < 3; i++)
        zygote_leave(z[i]);
}

static void nothing_is_shared_beyond_a_version(void **state)
{
    (void)state;
    struct zygote *z[6];
    struct instance_spec other_code = spec_of("shop", "f", 1), other_files = spec_of("shop", "f", 1);
    memset(other_code.digest, 'b', 64);
    other_files.engine.nofile_max = 7;
    const struct instance_spec specs[] = {spec_of("shop", "f", 1),
                                          spec_of("other", "f", 1),
                                          spec_of("shop", "g", 1),
                                          spec_of("shop", "f", 2),
                                          other_code,
                                          other_files};
    struct engine_run *of[6];
    for (size_t i = 0; i < 6; i++) {
        of[i] = fork_one(specs[i], &z[i])->of;
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(of[i], of[k]);
    }
    assert_int_equal(zygotes_count(zygotes), 6);
    for (size_t i = 0; i < 6; i++)
        zygote_leave(z[i]);
}

static void a_zygote_has_so_many_forks_and_no_more(void **state)
{
    (void)state;
    struct zygote *z[5];
    struct engine_run *of[5];
    for (size_t i = 0; i < 4; i++)
        of[i] = fork_one(spec_of("shop", "f", 1), &z[i])->of;
    assert_ptr_equal(of[0], of[2]);
    assert_ptr_not_equal(of[0], of[3]);
    zygote_leave(z[0]); /* room again */
    of[4] = fork_one(spec_of("shop", "f", 1), &z[4])->of;
    assert_ptr_equal(of[4], of[0]);
    for (size_t i = 1; i < 5; i++)
        zygote_leave(z[i]);
}

static void one_that_ends_is_nobodys_zygote_and_goes_with_its_last_fork(void **state)
{
    (void)state;
    struct zygote *z, *next;
    (void)fork_one(spec_of("shop", "f", 1), &z);
    over(&runs[0]);
    assert_int_equal(zygotes_count(zygotes), 1); /* its fork has not left */
    /* So soon after its start it is not tried again at once; nobody else waits for that. */
    assert_null(fork_one(spec_of("shop", "f", 1), &next));
    assert_non_null(fork_one(spec_of("other", "f", 1), &next));
    assert_int_equal(zygotes_count(zygotes), 2);
    zygote_leave(next);
    zygote_leave(z);
    assert_int_equal(zygotes_count(zygotes), 1);
}

static void without_groups_or_a_launcher_there_are_none(void **state)
{
    (void)state;
    struct zygote *z;
    probe = "ok root: yes\nfail memory: no group limits it\n";
    assert_null(fork_one(spec_of("shop", "f", 1), &z));
    probe = "fail pids: no group limits processes\n";
    assert_null(fork_one(spec_of("shop", "f", 1), &z));
    probe = "ok cgroup: v2\n";
    is_down = true;
    assert_null(fork_one(spec_of("shop", "f", 1), &z));
    assert_int_equal(runs_n, 0);
}

static int setup(void **state)
{
    static const struct engine_ops ops = {
        .start = fake_start, .fork = fake_fork, .stop = fake_stop, .is_up = fake_is_up, .probe = fake_probe};
    (void)state;
    runs_n = 0;
    is_down = false;
    probe = "ok cgroup: v1\n";
    engine = (struct engine){.ops = &ops, .name = "fake"};
    assert_int_equal(uv_loop_init(&loop), 0);
    stems = stems_new(&loop, &engine, 0);
    zygotes = zygotes_new(&loop, &engine, stems);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zygotes_close(zygotes);
    stems_close(stems);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_instance_starts_a_zygote_and_all_of_its_version_are_its_forks),
        T(nothing_is_shared_beyond_a_version),
        T(a_zygote_has_so_many_forks_and_no_more),
        T(one_that_ends_is_nobodys_zygote_and_goes_with_its_last_fork),
        T(without_groups_or_a_launcher_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
