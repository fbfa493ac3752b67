#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "controller/runtimes.h"

#define GOOD                                                                                                 \
    "{\"name\":\"%s\",\"title\":\"Shell\",\"version\":[\"/bin/sh\",\"-c\",\"echo sh 1.2; echo more\"],"      \
    "\"needs\":[\"/bin/sh\"],\"install\":\"apt-get install dash\",\"argv\":[\"/bin/sh\",\"-m${heap_mb}\","   \
    "\"/hob/runtime/adapter.sh\",\"/app/${entry}:${memory_mb}\"],\"entries\":[\"index.sh\",\"main.sh\"],"    \
    "\"env\":{\"SHELL_ENV\":\"production\"},\"pids_min\":3}"

struct home {
    char dir[64];
};

static int make_home(void **state)
{
    struct home *h = hob_new(struct home);
    (void)snprintf(h->dir, sizeof h->dir, "/tmp/hob-runtimes-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    *state = h;
    return 0;
}

static int drop_home(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    int rc = hob_remove_tree(h->dir, &err) == HOB_OK ? 0 : -1;
    free(h);
    return rc;
}

static void put(const struct home *h, const char *name, const char *text)
{
    struct hob_err err;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", h->dir, name);
    assert_int_equal(hob_mkdirs(path, 0755, &err), HOB_OK);
    (void)snprintf(path, sizeof path, "%s/%s/runtime.json", h->dir, name);
    assert_int_equal(hob_write_file(path, hob_str(text), 0644, &err), HOB_OK);
}

static void put_good(const struct home *h, const char *name)
{
    char text[1024];
    (void)snprintf(text, sizeof text, GOOD, name);
    put(h, name, text);
}

static void a_folder_with_a_runtime_json_is_a_runtime(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put_good(h, "shell");
    put_good(h, "ash");
    put_good(h, "unpack");
    char path[160];
    (void)snprintf(path, sizeof path, "%s/notes", h->dir);
    assert_int_equal(hob_mkdirs(path, 0755, &err), HOB_OK);
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_non_null(r);
    assert_int_equal(runtimes_count(r), 2);
    assert_string_equal(runtimes_at(r, 0)->name, "ash");
    const struct runtime_info *rt = runtimes_need(r, "shell", &err);
    assert_non_null(rt);
    assert_string_equal(rt->title, "Shell");
    assert_string_equal(rt->env[0], "SHELL_ENV=production");
    assert_null(rt->env[1]);
    assert_string_equal(rt->entries[1], "main.sh");
    assert_int_equal(rt->pids_min, 3);
    runtimes_free(r);
}

static void argv_gets_entry_memory_and_heap(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put_good(h, "shell");
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_non_null(r);
    char entry[] = "src/a b${heap_mb}.sh"; /* what a developer names is not expanded again */
    struct function_config f = {.entry = entry, .memory_mb = 128};
    char **argv = runtime_argv(runtimes_at(r, 0), &f);
    assert_string_equal(argv[0], "/bin/sh");
    assert_string_equal(argv[1], "-m96");
    assert_string_equal(argv[3], "/app/src/a b${heap_mb}.sh:128");
    assert_null(argv[4]);
    runtime_argv_free(argv);
    runtimes_free(r);
}

static void a_server_starts_behind_the_proxy_of_hob_init(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put(h, "shell",
        "{\"name\":\"shell\",\"title\":\"Shell\",\"needs\":[\"/bin/sh\"],\"install\":\"x\",\"argv\":[\"/bin/sh\"],"
        "\"http_argv\":[\"/bin/sh\",\"/app/${entry}:${port}\"],\"entries\":[\"a.sh\"]}");
    put_good(h, "plain");
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_non_null(r);
    char entry[] = "a.sh";
    struct function_config f = {.entry = entry, .memory_mb = 128, .kind = FUNCTION_HTTP, .port = 3000};
    static const char *const want[] = {"--http", "3000", "--", "/bin/sh", "/app/a.sh:3000"};
    char **argv = runtime_argv(runtimes_at(r, 1), &f);
    assert_non_null(argv);
    for (size_t i = 0; i < HOB_COUNT(want); i++)
        assert_string_equal(argv[i], want[i]);
    assert_null(argv[HOB_COUNT(want)]);
    runtime_argv_free(argv);
    f.bindings_n = 1; /* with bindings there is a second port, never the server's own */
    for (f.port = 9001; f.port <= 9003; f.port++) {
        argv = runtime_argv(runtimes_at(r, 1), &f);
        assert_string_equal(argv[1], f.port == 9001   ? "9001+9002"
                                     : f.port == 9002 ? "9002+9003"
                                                      : "9003+9002");
        runtime_argv_free(argv);
    }
    assert_null(runtime_argv(runtimes_at(r, 0), &f)); /* "plain" has no way to start one */
    runtimes_free(r);
}

static void a_missing_program_says_what_to_install(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put(h, "cobol",
        "{\"name\":\"cobol\",\"title\":\"COBOL\",\"needs\":[\"/usr/bin/no-such-cobc\"],"
        "\"install\":\"apt-get install gnucobol\",\"argv\":[\"/usr/bin/no-such-cobc\"],\"entries\":[\"a.cob\"]}");
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_non_null(r);
    assert_null(runtimes_need(r, "cobol", &err));
    assert_int_equal(err.code, HOB_E_UNAVAILABLE);
    assert_string_equal(hob_err_reason(&err), "runtime_missing");
    assert_non_null(strstr(err.msg, "apt-get install gnucobol"));
    assert_non_null(strstr(err.msg, "/usr/bin/no-such-cobc"));
    assert_null(runtime_version(runtimes_at(r, 0), 1000));
    runtimes_free(r);
}

static void an_unknown_runtime_suggests_the_nearest(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put_good(h, "shell");
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_null(runtimes_need(r, "shel", &err));
    assert_int_equal(err.code, HOB_E_NOT_FOUND);
    assert_non_null(strstr(err.msg, "did you mean 'shell'?"));
    assert_null(runtimes_need(r, "unpack", &err));
    assert_int_equal(err.code, HOB_E_NOT_FOUND);
    assert_non_null(strstr(err.msg, "there are shell"));
    runtimes_free(r);
}

static void bad_runtime_files_are_refused_with_the_key(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"[]", "must be an object"},
        {"{", "not JSON"},
        {"{\"name\":\"x\"}", "'title' is missing"},
        {"{\"name\":3}", "'name' must be a string"},
        {"{\"nam\":\"x\"}", "unknown key 'nam'; did you mean 'name'?"},
        {"{\"name\":\"y\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[\"/x\"],\"entries\":[\"a\"]}",
         "'name' is 'y', but the folder is 'x'"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[\"bin\"],\"install\":\"i\",\"argv\":[\"/x\"],\"entries\":[\"a\"]}",
         "'bin' is not an absolute path"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[\"x\"],\"entries\":[\"a\"]}",
         "'argv[0]' must be an absolute path"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[],\"entries\":[\"a\"]}",
         "'argv[0]' must be an absolute path"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[\"/x\",\"${entri}\"],\"entries\":[\"a\"]}",
         "${entri} is unknown"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[\"/x\",\"${entry\"],\"entries\":[\"a\"]}",
         "${entry is unknown"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[],\"install\":\"i\",\"argv\":[\"/x\"],\"entries\":[]}",
         "'entries' must name"},
        {"{\"name\":\"x\",\"title\":\"X\",\"needs\":[1],\"install\":\"i\",\"argv\":[\"/x\"],\"entries\":[\"a\"]}",
         "'needs[0]' must be a string"},
        {"{\"pids_min\":0}", "'pids_min' must be a number from 1 to 4096"},
        {"{\"pids_min\":4097}", "'pids_min' must be a number from 1 to 4096"},
        {"{\"env\":{\"A=B\":\"c\"}}", "not a variable's name"},
    };
    const struct home *h = *state;
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_err err = {0};
        put(h, "x", cases[i].json);
        assert_null(runtimes_load(h->dir, &err));
        assert_int_equal(err.code, HOB_E_INVALID);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("case %zu: '%s' does not say '%s'", i, err.msg, cases[i].says);
        assert_non_null(strstr(err.msg, "x/runtime.json"));
    }
}

static void an_empty_or_missing_folder_is_an_error(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    assert_null(runtimes_load(h->dir, &err));
    assert_int_equal(err.code, HOB_E_NOT_FOUND);
    assert_null(runtimes_load("/nonexistent/runtimes", &err));
    assert_int_equal(err.code, HOB_E_NOT_FOUND);
}

static void the_version_is_the_first_line_and_bounded_in_time(void **state)
{
    const struct home *h = *state;
    struct hob_err err = {0};
    put_good(h, "shell");
    put(h, "slow",
        "{\"name\":\"slow\",\"title\":\"S\",\"version\":[\"/bin/sleep\",\"60\"],\"needs\":[],\"install\":\"i\","
        "\"argv\":[\"/x\"],\"entries\":[\"a\"]}");
    struct runtimes *r = runtimes_load(h->dir, &err);
    assert_non_null(r);
    hob_auto_free char *version = runtime_version(runtimes_at(r, 0), 2000);
    assert_string_equal(version, "sh 1.2");
    uint64_t start = hob_now_ms();
    assert_null(runtime_version(runtimes_at(r, 1), 100));
    assert_in_range(hob_now_ms() - start, 90, 30000);
    runtimes_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_with_a_runtime_json_is_a_runtime, make_home, drop_home),
        cmocka_unit_test_setup_teardown(argv_gets_entry_memory_and_heap, make_home, drop_home),
        cmocka_unit_test_setup_teardown(a_server_starts_behind_the_proxy_of_hob_init, make_home, drop_home),
        cmocka_unit_test_setup_teardown(a_missing_program_says_what_to_install, make_home, drop_home),
        cmocka_unit_test_setup_teardown(an_unknown_runtime_suggests_the_nearest, make_home, drop_home),
        cmocka_unit_test_setup_teardown(bad_runtime_files_are_refused_with_the_key, make_home, drop_home),
        cmocka_unit_test_setup_teardown(an_empty_or_missing_folder_is_an_error, make_home, drop_home),
        cmocka_unit_test_setup_teardown(the_version_is_the_first_line_and_bounded_in_time, make_home,
                                        drop_home),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
