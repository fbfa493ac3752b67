#include "check.h"

#include "base/buf.h"
#include "base/mem.h"

static void a_slice_cuts_trims_and_compares(void **state)
{
    (void)state;
    struct hob_str rest, first = hob_str_cut(HOB_STR("a=b=c"), '=', &rest);
    assert_str_equal(first, "a");
    assert_str_equal(rest, "b=c");
    first = hob_str_cut(HOB_STR("abc"), '=', &rest);
    assert_str_equal(first, "abc");
    assert_null(rest.at);
    assert_str_equal(hob_str_trim(HOB_STR(" \t x y \t")), "x y");
    assert_true(hob_str_ieq(HOB_STR("Content-TYPE"), HOB_STR("content-type")));
    assert_false(hob_str_ieq(HOB_STR("a"), HOB_STR("ab")));
}

static void numbers_are_digits_only_and_never_overflow(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(hob_str_u64(HOB_STR("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    static const char *const bad[] = {
        "", "+5", "-1", " 1", "1 ", "0x5", "5,5", "18446744073709551616", "99999999999999999999"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(hob_str_u64(hob_str(bad[i]), &v));
}

static void digits_are_put_before_an_end(void **state)
{
    (void)state;
    char text[24], *end = text + sizeof text;
    static const struct {
        uint64_t v;
        unsigned digits_min;
        const char *text;
    } rows[] = {
        {0, 1, "0"}, {0, 0, ""}, {7, 3, "007"}, {1234, 2, "1234"}, {UINT64_MAX, 1, "18446744073709551615"}};
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        char *at = hob_digits_put(end, rows[i].v, rows[i].digits_min);
        assert_str_equal(hob_str_n(at, (size_t)(end - at)), rows[i].text);
    }
}

static void names_follow_the_rule_at_its_bounds(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(hob_name_is_valid(hob_str_n(longest, 64)));
    assert_false(hob_name_is_valid(hob_str_n(longest, 65)));
    static const char *const bad[] = {"", "A", "1a", "-a", "a-", "a_b", "a.b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(hob_name_is_valid(hob_str(bad[i])));
    assert_true(hob_name_is_valid(HOB_STR("a-1")));
}

static void utf8_is_judged_as_the_standard_says(void **state)
{
    (void)state;
    assert_true(hob_utf8_is_valid(HOB_STR("h\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\xa5")));
    static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xc3", "\xe0\x80\x80",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(hob_utf8_is_valid(hob_str(bad[i])));
}

static void the_nearest_name_is_found_and_far_ones_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {"memory_mb", "timeout_ms", "entry"};
    assert_string_equal(hob_nearest("memroy_mb", names, 3), "memory_mb");
    assert_string_equal(hob_nearest("enrty", names, 3), "entry");
    assert_null(hob_nearest("zebra", names, 3));
    assert_string_equal(hob_nearest("memory", names, 3), "memory_mb");
    assert_string_equal(hob_nearest("timeout", names, 3), "timeout_ms");
    assert_null(hob_nearest("me", names, 3));
    assert_null(hob_nearest("", names, 3));
}

static void a_buffer_never_passes_its_limit(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 10);
    assert_ok(hob_buf_add(&b, "0123456789", 10));
    assert_int_equal(hob_buf_add(&b, "x", 1), HOB_E_TOO_LARGE);
    assert_str_equal(hob_buf_str(&b), "0123456789");
    hob_buf_consume(&b, 4);
    assert_ok(hob_buf_add(&b, "abcd", 4));
    assert_str_equal(hob_buf_str(&b), "456789abcd");
    assert_int_equal(hob_buf_addf(&b, "%d", 1), HOB_E_TOO_LARGE);
    hob_auto_free char *taken = hob_buf_take(&b);
    assert_string_equal(taken, "456789abcd");
    assert_int_equal(b.n, 0);
}

static void an_arena_stops_at_its_cap(void **state)
{
    (void)state;
    struct hob_arena a;
    hob_arena_init(&a, 64);
    assert_non_null(hob_arena_alloc(&a, 48));
    assert_null(hob_arena_alloc(&a, 17));
    assert_non_null(hob_arena_alloc(&a, 16));
    assert_null(hob_arena_alloc(&a, SIZE_MAX));
    hob_arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_cuts_trims_and_compares),
        cmocka_unit_test(numbers_are_digits_only_and_never_overflow),
        cmocka_unit_test(digits_are_put_before_an_end),
        cmocka_unit_test(names_follow_the_rule_at_its_bounds),
        cmocka_unit_test(utf8_is_judged_as_the_standard_says),
        cmocka_unit_test(the_nearest_name_is_found_and_far_ones_are_not),
        cmocka_unit_test(a_buffer_never_passes_its_limit),
        cmocka_unit_test(an_arena_stops_at_its_cap),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
