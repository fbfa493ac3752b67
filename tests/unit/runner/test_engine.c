/* The words for an end, and START's pairs judged. */
#include "check.h"

#include <signal.h>

#include "base/launch.h"
#include "base/limits.h"
#include "runner/engine.h"
#include "runner/instance_spec.h"

static void an_end_is_told_in_words(void **state)
{
    (void)state;
    static const struct {
        int wait_status;
        uint32_t oom_kills;
        int exit_code, signal;
        bool is_oom;
        const char *message;
    } rows[] = {
        {0, 0, 0, 0, false, "exited with status 0"},
        {3 << 8, 0, 3, 0, false, "exited with status 3"},
        {127 << 8, 0, 127, 0, false,
         "exited with status 127 (a program could not be started; stderr says which)"},
        {128 << 8, 0, 128, 0, false, "exited with status 128"},
        {139 << 8, 0, -1, SIGSEGV, false, "killed by signal 11 (SIGSEGV)"},
        {SIGKILL, 0, -1, SIGKILL, false, "killed by signal 9 (SIGKILL)"},
        {SIGKILL, 1, -1, SIGKILL, true, "killed: out of memory (64 MiB)"},
        {137 << 8, 1, -1, SIGKILL, true, "killed: out of memory (64 MiB)"},
        {1 << 8, 2, 1, 0, false,
         "exited with status 1 after 2 of its processes were killed: out of memory (64 MiB)"},
        {0, 2, 0, 0, false, "exited with status 0"},
        {192 << 8, 0, -1, 64, false, "killed by signal 64"},
        {193 << 8, 0, 193, 0, false, "exited with status 193"},
    };
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        struct engine_exit e = {0};
        engine_exit_describe(&e, rows[i].wait_status, rows[i].oom_kills, 64);
        assert_int_equal(e.exit_code, rows[i].exit_code);
        assert_int_equal(e.signal, rows[i].signal);
        assert_int_equal(e.is_oom, rows[i].is_oom);
        assert_string_equal(e.message, rows[i].message);
    }
}

struct pair {
    const char *name, *value;
};

static enum hob_code read_spec(struct instance_spec *s, const struct pair *pairs, size_t n,
                               struct hob_err *err)
{
    static struct hob_buf b;
    struct hob_pairs_writer w;
    struct hob_pairs p;
    hob_buf_done(&b);
    hob_buf_init(&b, 1 << 20);
    hob_pairs_start(&w, &b);
    for (size_t i = 0; i < n; i++)
        hob_pairs_add(&w, hob_str(pairs[i].name), hob_str(pairs[i].value));
    assert_ok(hob_pairs_end(&w, err));
    assert_true(hob_pairs_open(hob_buf_str(&b), 1000, &p));
    return instance_spec_read(s, &p, err);
}

static void start_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct instance_spec s;
    struct hob_err err;
    static const struct pair pairs[] = {{"runtime", "node"}, {"arg", "/bin/x"}, {"env.A", "1=2"}, {"arg", ""},
                                        {"memory_mb", "64"}, {"unknown", "?"},  {"env.B", ""}};
    assert_ok(read_spec(&s, pairs, HOB_COUNT(pairs), &err));
    assert_string_equal(s.engine.runtime, "node");
    assert_string_equal(s.engine.digest, "");
    assert_int_equal(s.engine.argc, 2);
    assert_int_equal(s.engine.envc, 2);
    assert_int_equal(s.engine.strings.n, 8 + 6 + 3);
    assert_memory_equal(s.engine.strings.at, "/bin/x\0\0A=1=2\0B=\0", 17);
    assert_int_equal(s.engine.memory_mb, 64);
    assert_int_equal(s.engine.cpu_weight, 100);
    assert_int_equal(s.engine.nofile_max, HOB_MAX_NOFILE);
    assert_true(s.wants_logs);
    instance_spec_done(&s);
}

static void start_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct pair pair;
        const char *message;
    } rows[] = {
        {{"runtime", ""}, "runtime ''"},
        {{"runtime", "../x"}, "runtime '../x'"},
        {{"runtime", "Node"}, "runtime 'Node'"},
        {{"runtime", "12345678901234567890123456789012"}, "1 to 31"},
        {{"memory_mb", "3"}, "memory_mb '3': a number from 4 to 65536"},
        {{"memory_mb", "65537"}, "memory_mb '65537'"},
        {{"memory_mb", "-1"}, "memory_mb '-1'"},
        {{"memory_mb", "99999999999999999999999"}, "memory_mb"},
        {{"cpu_weight", "0"}, "cpu_weight"},
        {{"image", "sha256:1"}, "only engine docker"},
        {{"digest", "abc"}, "64 lower-case hexadecimal digits"},
        {{"digest", "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD"}, "64 lower-case"},
        {{"digest", "00000000000000000000000000000000000000000000000000000000000000000"}, "digest of 65"},
    };
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        struct instance_spec s;
        struct hob_err err;
        struct pair pairs[] = {rows[i].pair, {"runtime", "node"}, {"arg", "x"}};
        assert_int_equal(read_spec(&s, pairs, HOB_COUNT(pairs), &err), HOB_E_INVALID);
        assert_contains(err.msg, rows[i].message);
    }
    struct instance_spec s;
    struct hob_err err;
    static const struct pair no_arg[] = {{"runtime", "node"}};
    assert_int_equal(read_spec(&s, no_arg, 1, &err), HOB_E_INVALID);
    assert_contains(err.msg, "no program");
}

static void strings_are_held_to_their_limit(void **state)
{
    (void)state;
    struct instance_spec s;
    struct hob_err err;
    static char big[HOB_LAUNCH_STRINGS_MAX + 1];
    memset(big, 'x', HOB_LAUNCH_STRINGS_MAX);
    struct pair pairs[] = {{"runtime", "node"}, {"arg", big + 1}};
    assert_ok(read_spec(&s, pairs, 2, &err));
    instance_spec_done(&s);
    pairs[1].value = big;
    assert_int_equal(read_spec(&s, pairs, 2, &err), HOB_E_TOO_LARGE);
}

static void a_nul_in_an_argument_is_refused(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    struct hob_pairs_writer w;
    struct hob_pairs p;
    struct instance_spec s;
    struct hob_err err;
    hob_buf_init(&b, 4096);
    hob_pairs_start(&w, &b);
    hob_pairs_add(&w, HOB_STR("runtime"), HOB_STR("node"));
    hob_pairs_add(&w, HOB_STR("arg"), HOB_STR("a\0b"));
    assert_ok(hob_pairs_end(&w, NULL));
    assert_true(hob_pairs_open(hob_buf_str(&b), 10, &p));
    assert_int_equal(instance_spec_read(&s, &p, &err), HOB_E_INVALID);
    assert_contains(err.msg, "NUL");
}

int main(void)
{
    (void)alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_is_told_in_words),
        cmocka_unit_test(start_is_read_with_its_defaults),
        cmocka_unit_test(start_that_makes_no_sense_is_refused),
        cmocka_unit_test(strings_are_held_to_their_limit),
        cmocka_unit_test(a_nul_in_an_argument_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
