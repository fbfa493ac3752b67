/* Targets and hosts: the one canonical path. */
#include "check.h"

#include "api/server/target.h"
#include "base/mem.h"

static struct hob_arena arena;

static int open_arena(void **state)
{
    (void)state;
    hob_arena_init(&arena, 1 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    hob_arena_done(&arena);
    return 0;
}

static void a_path_has_one_canonical_form(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *canonical;
    } cases[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/b.c/d..e", "/a/b.c/d..e"},
        {"/a/./b", "/a/b"},
        {"/a/.", "/a/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/../../c", "/c"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/.", "/"},
        {"/./", "/"},
        {"/.a", "/.a"},
        {"/...", "/..."},
        {"//", "//"},
        {"//..", "/"},
        {"/a//../b", "/a/b"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/%2e", "/"},
        {"/%61%62%7e", "/ab~"},
        {"/%41%5A%30", "/AZ0"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%2F..%2Fb", "/a%2F..%2Fb"},
        {"/%c3%bc", "/%C3%BC"},
        {"/%20", "/%20"},
        {"/a b", "/a%20b"},
        {"/a\\b", "/a%5Cb"},
        {"/<>\"{}|^`", "/%3C%3E%22%7B%7D%7C%5E%60"},
        {"/!$&'()*+,;=:@", "/!$&'()*+,;=:@"},
        {"/%01", "/%01"},
        {"/%25", "/%25"},
        {"/%2525", "/%2525"},
        {"/\xc3\xbc", "/%C3%BC"},
    };
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_str once, twice;
        struct hob_err err;
        assert_ok(http_path_canonical(&arena, hob_str(cases[i].raw), &once, &err));
        assert_str_equal(once, cases[i].canonical);
        assert_ok(http_path_canonical(&arena, once, &twice, &err));
        assert_true(hob_str_eq(once, twice));
    }
}

static void wrong_escapes_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"/%",   "/%4",  "/%4g", "/%g4", "/a%00b", "/%%41",
                                        "/%-1", "/% 1", "",     "a",    "/%u0041"};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_str path;
        struct hob_err err = {0};
        assert_int_equal(http_path_canonical(&arena, hob_str(cases[i]), &path, &err), HOB_E_INVALID);
        assert_non_null(err.reason);
    }
}

static void a_path_longer_than_the_arena_is_refused(void **state)
{
    (void)state;
    struct hob_arena small;
    struct hob_str path;
    struct hob_err err;
    hob_arena_init(&small, 64);
    assert_int_equal(
        http_path_canonical(&small, HOB_STR("/%20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &path, &err),
        HOB_E_TOO_LARGE);
    hob_arena_done(&small);
}

static void targets_have_three_forms(void **state)
{
    (void)state;
    struct http_target t;
    struct hob_err err;
    assert_ok(http_target_parse(&arena, HOB_STR("GET"), HOB_STR("/a/../b?c=/../d"), &t, &err));
    assert_str_equal(t.path, "/b");
    assert_str_equal(t.query, "c=/../d");
    assert_str_equal(t.origin, "/a/../b?c=/../d");
    assert_null(t.authority.at);
    assert_ok(http_target_parse(&arena, HOB_STR("GET"), HOB_STR("hTTps://h:1/x?y"), &t, &err));
    assert_str_equal(t.authority, "h:1");
    assert_str_equal(t.origin, "/x?y");
    assert_ok(http_target_parse(&arena, HOB_STR("GET"), HOB_STR("http://h?y"), &t, &err));
    assert_str_equal(t.origin, "/?y");
    assert_str_equal(t.path, "/");
    assert_ok(http_target_parse(&arena, HOB_STR("OPTIONS"), HOB_STR("*"), &t, &err));
    assert_str_equal(t.path, "*");
    static const char *const wrong[] = {"*", "x", "http://", "http:/x", "file:///x", "//", "?a", ""};
    for (size_t i = 0; i < HOB_COUNT(wrong); i++)
        if (strcmp(wrong[i], "//") != 0)
            assert_int_equal(http_target_parse(&arena, HOB_STR("GET"), hob_str(wrong[i]), &t, &err),
                             HOB_E_INVALID);
}

static void hosts_are_lower_case_without_port_and_final_dot(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *host;
    } cases[] = {
        {"a", "a"},
        {"A.B", "a.b"},
        {"a:80", "a"},
        {"a:", "a"},
        {"a.", "a"},
        {"127.0.0.1:1", "127.0.0.1"},
        {"[::1]", "[::1]"},
        {"[2001:DB8::1]:65535", "[2001:db8::1]"},
        {"x_y-z.example", "x_y-z.example"},
    };
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_str host;
        struct hob_err err;
        assert_ok(http_host_parse(&arena, hob_str(cases[i].raw), &host, &err));
        assert_str_equal(host, cases[i].host);
    }
}

static void malformed_hosts_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",    ":80",    "a:b", "a:65536", "a:-1", "a:123456", "a b",
                                        "a@b", "a/b",    "a?b", "a%20",    "[::1", "::1",      "[]",
                                        "[g]", "[::1]x", "a,b", "a:1:2",   "~",    "\xc3\xbc"};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_str host;
        struct hob_err err;
        assert_int_equal(http_host_parse(&arena, hob_str(cases[i]), &host, &err), HOB_E_INVALID);
        assert_string_equal(err.reason, "bad_host");
    }
    char longest[257];
    struct hob_str host;
    struct hob_err err;
    memset(longest, 'a', sizeof longest);
    assert_ok(http_host_parse(&arena, hob_str_n(longest, 255), &host, &err));
    assert_int_equal(http_host_parse(&arena, hob_str_n(longest, 256), &host, &err), HOB_E_INVALID);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_has_one_canonical_form),
        cmocka_unit_test(wrong_escapes_are_refused),
        cmocka_unit_test(a_path_longer_than_the_arena_is_refused),
        cmocka_unit_test(targets_have_three_forms),
        cmocka_unit_test(hosts_are_lower_case_without_port_and_final_dot),
        cmocka_unit_test(malformed_hosts_are_refused),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
