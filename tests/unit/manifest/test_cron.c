/* Cron fields and spans. */
#include "check.h"

#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "manifest/cron.h"

static int64_t at(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {
        .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};
    return (int64_t)timegm(&tm) * 1000;
}

static int64_t next(const char *text, int64_t from)
{
    struct hob_cron c;
    assert_int_equal(hob_cron_parse(text, &c, NULL), HOB_OK);
    return hob_cron_next(&c, from);
}

static void the_next_time_is_later_and_on_a_minute(void **state)
{
    (void)state;
    int64_t noon = at(2026, 11, 20, 12, 0); /* a Friday */
    assert_true(next("* * * * *", noon) == noon + 60000);
    assert_true(next("* * * * *", noon + 1) == noon + 60000);
    assert_true(next("* * * * *", noon - 1) == noon);
    assert_true(next("*/15 * * * *", noon) == at(2026, 11, 20, 12, 15));
    assert_true(next("5/20 * * * *", noon) == at(2026, 11, 20, 12, 5));
    assert_true(next("0 8 * * 1-5", noon) == at(2026, 11, 23, 8, 0)); /* over the weekend */
    assert_true(next("0 8 * * MON,wed", noon) == at(2026, 11, 23, 8, 0));
    assert_true(next("0 0 1 jan *", noon) == at(2027, 1, 1, 0, 0));
    assert_true(next("30 23 31 * *", noon) == at(2026, 12, 31, 23, 30));
    assert_true(next("0 0 29 2 *", noon) == at(2028, 2, 29, 0, 0));
    assert_true(next("0 0 29 2 *", at(2096, 3, 1, 0, 0)) == at(2104, 2, 29, 0, 0)); /* 2100 is no leap year */
    assert_true(next("0 0 31 2 *", noon) == INT64_MAX);
    assert_true(next("  0   12  *  *  7 ", noon) == at(2026, 11, 22, 12, 0)); /* 7 is Sunday */
    assert_true(next("0 12 * * 0", noon) == at(2026, 11, 22, 12, 0));
}

static void either_day_is_enough_when_both_are_restricted(void **state)
{
    (void)state;
    int64_t noon = at(2026, 11, 20, 12, 0);
    assert_true(next("0 0 25 * 1", noon) == at(2026, 11, 23, 0, 0));
    assert_true(next("0 0 25 * *", noon) == at(2026, 11, 25, 0, 0));
    assert_true(next("0 0 22 * 1", noon) == at(2026, 11, 22, 0, 0));
}

/* A second way of asking: minute by minute, the fields compared one by one. */
static void the_next_time_is_what_a_slow_search_finds(void **state)
{
    (void)state;
    static const char *const texts[] = {"*/7 3-5 * * *", "0 0 1,15 * 3", "59 23 28-31 * *",
                                        "10 4 * 2,12 sun"};
    for (size_t t = 0; t < HOB_COUNT(texts); t++) {
        struct hob_cron c;
        int64_t from = at(2026, 11, 20, 5, 17);
        assert_int_equal(hob_cron_parse(texts[t], &c, NULL), HOB_OK);
        for (int round = 0; round < 20; round++) {
            int64_t slow = from + 60000;
            for (;; slow += 60000) {
                struct tm tm;
                time_t s = (time_t)(slow / 1000);
                assert_non_null(gmtime_r(&s, &tm));
                bool d = c.days >> tm.tm_mday & 1, w = c.weekdays >> tm.tm_wday & 1;
                bool is_day = c.has_days && c.has_weekdays ? d || w : d && w;
                if (is_day && c.months >> (tm.tm_mon + 1) & 1 && c.hours >> tm.tm_hour & 1 &&
                    c.minutes >> tm.tm_min & 1)
                    break;
            }
            assert_true(hob_cron_next(&c, from) == slow);
            from = slow;
        }
    }
}

static void what_is_no_cron_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "has 0 fields"},          {"* * * *", "has 4 fields"},   {"* * * * * *", "has 6 fields"},
        {"60 * * * *", "no minute"},   {"* 24 * * *", "no hour"},     {"* * 0 * *", "no day of the month"},
        {"* * 32 * *", "no day of"},   {"* * * 13 *", "no month"},    {"* * * * 8", "no day of the week"},
        {"5-1 * * * *", "no minute"},  {"*/0 * * * *", "no minute"},  {"1,,2 * * * *", "no minute"},
        {"-1 * * * *", "no minute"},   {"1- * * * *", "no minute"},   {"a * * * *", "no minute"},
        {"* * * * mond", "no day of"}, {"*/60 * * * *", "no minute"}, {"* * * foo *", "no month"},
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        struct hob_cron c;
        struct hob_err err;
        assert_int_equal(hob_cron_parse(bad[i][0], &c, &err), HOB_E_INVALID);
        if (!strstr(err.msg, bad[i][1]))
            fail_msg("'%s' gave '%s'", bad[i][0], err.msg);
    }
}

static void spans_have_one_unit_and_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t s; /* 0: refused */
    } spans[] = {{"1s", 1},   {"90s", 90}, {"30m", 1800}, {"8h", 28800}, {"366d", 31622400},
                 {"367d", 0}, {"0s", 0},   {"", 0},       {"8", 0},      {"h", 0},
                 {"-1h", 0},  {"1.5h", 0}, {"8 h", 0},    {"8hh", 0},    {"31622401s", 0}};
    for (size_t i = 0; i < HOB_COUNT(spans); i++) {
        uint32_t s = 0;
        struct hob_err err;
        enum hob_code code = hob_span_parse(spans[i].text, &s, &err);
        assert_int_equal(code, spans[i].s ? HOB_OK : HOB_E_INVALID);
        assert_int_equal(s, spans[i].s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_time_is_later_and_on_a_minute),
        cmocka_unit_test(either_day_is_enough_when_both_are_restricted),
        cmocka_unit_test(the_next_time_is_what_a_slow_search_finds),
        cmocka_unit_test(what_is_no_cron_is_refused_by_name),
        cmocka_unit_test(spans_have_one_unit_and_bounds),
    };
    return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
