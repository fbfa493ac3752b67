/* Byte ranges of file answers (RFC 9110, 14.1.2). */
#include "api/parse/file_answer.h"
#include "check.h"

static void refuse_or_whole(const char *field, enum file_range want)
{
    uint64_t from = 7, n = 7;
    assert_int_equal(file_range_parse(field ? hob_str(field) : (struct hob_str){NULL, 0}, 1000, &from, &n),
                     want);
    assert_int_equal(from, 7);
    assert_int_equal(n, 7);
}

static void part(const char *field, uint64_t want_from, uint64_t want_n)
{
    uint64_t from = 0, n = 0;
    assert_int_equal(file_range_parse(hob_str(field), 1000, &from, &n), FILE_RANGE_PART);
    assert_int_equal(from, want_from);
    assert_int_equal(n, want_n);
}

static void one_range_gives_that_part(void **state)
{
    (void)state;
    part("bytes=0-0", 0, 1);
    part("bytes=0-999", 0, 1000);
    part("bytes=10-19", 10, 10);
    part("bytes=999-", 999, 1);
    part("bytes=0-", 0, 1000);
    part("bytes=-1", 999, 1);
    part("bytes=-1000", 0, 1000);
    part("bytes=-5000", 0, 1000);
    part("bytes=990-18446744073709551615", 990, 10);
    part("bytes= 1-2 ", 1, 2);
}

static void what_lies_behind_the_end_cannot_be_satisfied(void **state)
{
    (void)state;
    refuse_or_whole("bytes=1000-", FILE_RANGE_NONE);
    refuse_or_whole("bytes=1000-2000", FILE_RANGE_NONE);
    refuse_or_whole("bytes=-0", FILE_RANGE_NONE);
    uint64_t from, n;
    assert_int_equal(file_range_parse(HOB_STR("bytes=0-"), 0, &from, &n), FILE_RANGE_NONE);
    assert_int_equal(file_range_parse(HOB_STR("bytes=-5"), 0, &from, &n), FILE_RANGE_NONE);
}

static void what_is_no_single_byte_range_is_ignored(void **state)
{
    (void)state;
    static const char *const fields[] = {
        NULL,          "",           "bytes",       "bytes=",      "bytes=-",
        "bytes=a-b",   "bytes=5",    "bytes=9-5",   "items=0-5",   "bytes=0-5,7-9",
        "bytes=0--5",  "bytes=+1-5", "bytes=0x1-5", "bytes=1-5 x", "bytes=99999999999999999999-",
        "bytes=1.5-2", "Bytes=0-1"};
    for (size_t i = 0; i < HOB_COUNT(fields); i++)
        refuse_or_whole(fields[i], FILE_RANGE_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_gives_that_part),
        cmocka_unit_test(what_lies_behind_the_end_cannot_be_satisfied),
        cmocka_unit_test(what_is_no_single_byte_range_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
