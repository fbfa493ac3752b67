#include "check.h"

#include "base/bundle.h"
#include "base/bytes.h"
#include "base/limits.h"

static void a_record_reads_back_as_written(void **state)
{
    (void)state;
    static const struct hob_bundle_record rows[] = {
        {HOB_BUNDLE_DIRECTORY, false, 1, 0},
        {HOB_BUNDLE_FILE, true, HOB_MAX_PATH_BYTES, HOB_MAX_UNPACKED_BYTES},
        {HOB_BUNDLE_FILE, false, 3, 0},
        {HOB_BUNDLE_END, false, 0, HOB_MAX_ENTRIES},
        {HOB_BUNDLE_ERROR, false, 9, HOB_E_INVALID},
        {HOB_BUNDLE_ERROR, false, 9, HOB_E_COUNT_ - 1},
    };
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        unsigned char head[HOB_BUNDLE_HEADER_BYTES];
        struct hob_bundle_record r;
        hob_bundle_encode(&rows[i], head);
        assert_ok(hob_bundle_decode(head, &r, NULL));
        assert_int_equal(r.kind, rows[i].kind);
        assert_int_equal(r.is_executable, rows[i].is_executable);
        assert_int_equal(r.path_n, rows[i].path_n);
        assert_int_equal(r.size, rows[i].size);
    }
}

static void a_record_that_lies_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct hob_bundle_record r;
        enum hob_code code;
    } rows[] = {
        {{0, false, 1, 0}, HOB_E_INVALID},
        {{5, false, 1, 0}, HOB_E_INVALID},
        {{HOB_BUNDLE_DIRECTORY, false, 0, 0}, HOB_E_INVALID},
        {{HOB_BUNDLE_DIRECTORY, false, 1, 1}, HOB_E_INVALID},
        {{HOB_BUNDLE_DIRECTORY, true, 1, 0}, HOB_E_INVALID},
        {{HOB_BUNDLE_FILE, false, 0, 1}, HOB_E_INVALID},
        {{HOB_BUNDLE_FILE, false, HOB_MAX_PATH_BYTES + 1, 1}, HOB_E_INVALID},
        {{HOB_BUNDLE_FILE, false, 1, HOB_MAX_UNPACKED_BYTES + 1ULL}, HOB_E_TOO_LARGE},
        {{HOB_BUNDLE_FILE, false, 1, UINT64_MAX}, HOB_E_TOO_LARGE},
        {{HOB_BUNDLE_END, false, 1, 0}, HOB_E_INVALID},
        {{HOB_BUNDLE_END, false, 0, HOB_MAX_ENTRIES + 1ULL}, HOB_E_INVALID},
        {{HOB_BUNDLE_ERROR, false, 0, HOB_E_INVALID}, HOB_E_INVALID},
        {{HOB_BUNDLE_ERROR, false, 1, HOB_OK}, HOB_E_INVALID},
        {{HOB_BUNDLE_ERROR, false, 1, HOB_E_COUNT_}, HOB_E_INVALID},
    };
    unsigned char head[HOB_BUNDLE_HEADER_BYTES];
    struct hob_bundle_record r;
    struct hob_err err;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        hob_bundle_encode(&rows[i].r, head);
        assert_int_equal(hob_bundle_decode(head, &r, &err), rows[i].code);
    }
    hob_bundle_encode(&(struct hob_bundle_record){HOB_BUNDLE_FILE, false, 1, 1}, head);
    head[5] = 2;
    assert_int_equal(hob_bundle_decode(head, &r, &err), HOB_E_INVALID);
    head[5] = 0;
    head[0] ^= 1;
    assert_int_equal(hob_bundle_decode(head, &r, &err), HOB_E_INVALID);
}

static void paths_are_judged_to_the_byte(void **state)
{
    (void)state;
    static const char *const good[] = {"a",   "a/b", "...", "a..b/c", ".hidden", " ", "d\u00e9/\u4e2d",
                                       "a:b", "~"};
    static const char *const bad[] = {"",     "/",     "/a",   "a/",        "a//b",        ".",
                                      "..",   "a/.",   "./a",  "a/..",      "a/../b",      "a\\b",
                                      "a\tb", "a\x7f", "\xff", "a\xc0\xaf", "\xed\xa0\x80"};
    struct hob_err err;
    for (size_t i = 0; i < HOB_COUNT(good); i++)
        assert_ok(hob_bundle_path_check(hob_str(good[i]), &err));
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_int_equal(hob_bundle_path_check(hob_str(bad[i]), &err), HOB_E_INVALID);
    assert_int_equal(hob_bundle_path_check(HOB_STR("a\0b"), &err), HOB_E_INVALID);
    char path[HOB_MAX_PATH_BYTES + 2];
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = i % 100 == 99 ? '/' : 'x';
    assert_ok(hob_bundle_path_check(hob_str_n(path, HOB_MAX_PATH_BYTES), &err));
    assert_int_equal(hob_bundle_path_check(hob_str_n(path, HOB_MAX_PATH_BYTES + 1), &err), HOB_E_INVALID);
    memset(path, 'x', sizeof path);
    assert_ok(hob_bundle_path_check(hob_str_n(path, 255), &err));
    assert_int_equal(hob_bundle_path_check(hob_str_n(path, 256), &err), HOB_E_INVALID);
    for (size_t i = 1; i < sizeof path; i += 2)
        path[i] = '/';
    assert_ok(hob_bundle_path_check(hob_str_n(path, 2 * HOB_MAX_PATH_DEPTH + 1), &err));
    assert_int_equal(hob_bundle_path_check(hob_str_n(path, 2 * HOB_MAX_PATH_DEPTH + 3), &err), HOB_E_INVALID);
}

static void odd_bytes_are_shown_escaped_and_cut(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(hob_bundle_show(HOB_STR("a\x1b\xff"), out, sizeof out), "a\\x1b\\xff");
    char exact[9];
    for (size_t n = 9; n <= sizeof out; n++) {
        (void)hob_bundle_show(HOB_STR("\1\2\3\4\5\6\7\b\t\n\v\f\r"), out, n);
        assert_true(strlen(out) < n);
        assert_contains(out, "...");
    }
    assert_string_equal(hob_bundle_show(HOB_STR("ab"), exact, sizeof exact), "ab");
}

int main(void)
{
    (void)alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_reads_back_as_written),
        cmocka_unit_test(a_record_that_lies_is_refused),
        cmocka_unit_test(paths_are_judged_to_the_byte),
        cmocka_unit_test(odd_bytes_are_shown_escaped_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
