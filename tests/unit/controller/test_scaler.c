/* The scaler's decisions under numbers: no loop, no clock, no instance. */
#include "check.h"
#include "controller/dispatch/wake.h"
#include "controller/scale/scaler.h"

static struct scaler_view base(void)
{
    return (struct scaler_view){.now_us = 1000000, .concurrency = 1, .max = 100, .starting_max = 100};
}

static void nothing_is_started_for_nothing(void **state)
{
    (void)state;
    struct scaler s = {0};
    struct scaler_view v = base();
    assert_int_equal(scaler_starts(&s, &v), 0);
    assert_true(scaler_ask_again_us(&s, &v) == UINT64_MAX);
}

static void a_backlog_starts_as_many_as_it_needs_minus_those_under_way(void **state)
{
    (void)state;
    struct scaler s = {0};
    struct scaler_view v = base();
    v.queued = 10;
    assert_int_equal(scaler_starts(&s, &v), 10);
    v.starting = v.live = 4;
    assert_int_equal(scaler_starts(&s, &v), 6);
    v.concurrency = 3;
    assert_int_equal(scaler_starts(&s, &v), 0);
    v.starting = v.live = 3;
    assert_int_equal(scaler_starts(&s, &v), 1);
}

static void the_bounds_hold_at_plus_and_minus_one(void **state)
{
    (void)state;
    struct scaler s = {0};
    for (unsigned max = 1; max < 12; max++)
        for (unsigned live = 0; live <= max + 1; live++) {
            struct scaler_view v = base();
            v.max = max;
            v.queued = 10;
            v.live = v.starting = live;
            assert_true(live + scaler_starts(&s, &v) <= (live > max ? live : max));
        }
    struct scaler_view v = base();
    v.min = 3;
    v.live = v.ready = 2;
    assert_int_equal(scaler_starts(&s, &v), 1);
    v.live = v.ready = 3;
    assert_int_equal(scaler_starts(&s, &v), 0);
    assert_false(scaler_expires(&s, &v, UINT64_MAX));
    v.live = v.ready = 4;
    assert_true(scaler_expires(&s, &v, SCALER_KEEP_ALIVE_US));
    assert_false(scaler_expires(&s, &v, SCALER_KEEP_ALIVE_US - 1));
    v.queued = 1;
    assert_false(scaler_expires(&s, &v, UINT64_MAX));
}

static void what_drains_while_a_new_one_boots_starts_nothing(void **state)
{
    (void)state;
    struct scaler s = {.service_us = 1000, .cold_us = 50000};
    struct scaler_view v = base();
    v.ready = v.live = 1;
    v.queued = 50;
    assert_int_equal(scaler_starts(&s, &v), 0);
    v.queued = 53;
    assert_int_equal(scaler_starts(&s, &v), 3);
    v.queued = 1;
    v.oldest_wait_us = 50000; /* but not when somebody waited that long already */
    assert_int_equal(scaler_starts(&s, &v), 1);
    v.oldest_wait_us = 20000;
    assert_true(scaler_ask_again_us(&s, &v) == v.now_us + 30000);
}

static void a_failing_start_is_probed_by_one(void **state)
{
    (void)state;
    struct scaler s = {0};
    struct scaler_view v = base();
    v.queued = 10;
    scaler_note_failure(&s, v.now_us);
    assert_int_equal(scaler_starts(&s, &v), 0);
    assert_true(scaler_ask_again_us(&s, &v) == s.not_before_us);
    v.now_us = s.not_before_us;
    assert_int_equal(scaler_starts(&s, &v), 1);
    v.starting = v.live = 1;
    assert_int_equal(scaler_starts(&s, &v), 0);
    assert_false(scaler_is_open(&s));
    scaler_note_failure(&s, v.now_us);
    scaler_note_failure(&s, v.now_us);
    assert_true(scaler_is_open(&s));
    scaler_note_cold(&s, 1000);
    assert_false(scaler_is_open(&s));
    v.starting = v.live = 0;
    assert_int_equal(scaler_starts(&s, &v), 10);
}

static void decisions_depend_on_nothing_but_their_arguments(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252ULL;
    for (int i = 0; i < 200000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        struct scaler s = {.service_us = seed % 5000, .cold_us = seed % 90001, .failures = seed % 4};
        struct scaler_view v = base();
        v.queued = (unsigned)(seed >> 8) % 2000;
        v.ready = (unsigned)(seed >> 20) % 50;
        v.starting = (unsigned)(seed >> 30) % 50;
        v.live = v.ready + v.starting;
        v.concurrency = 1 + (unsigned)(seed >> 40) % 20;
        v.min = (unsigned)(seed >> 45) % 5;
        v.max = 1 + (unsigned)(seed >> 50) % 100;
        v.oldest_wait_us = (seed >> 3) % 100000;
        unsigned k = scaler_starts(&s, &v);
        assert_int_equal(k, scaler_starts(&s, &v));
        assert_true(k == 0 || v.live + k <= v.max);
        if (v.queued && v.live == 0)
            assert_true(k >= 1); /* somebody always comes */
    }
}

static void starts_at_a_time_are_bounded(void **state)
{
    (void)state;
    struct scaler s = {0};
    struct scaler_view v = base();
    v.queued = 32;
    v.starting_max = 4;
    assert_int_equal(scaler_starts(&s, &v), 4);
    v.starting = v.live = 3;
    assert_int_equal(scaler_starts(&s, &v), 1);
    v.starting = v.live = 4;
    assert_int_equal(scaler_starts(&s, &v), 0);
    v.starting = 3; /* one is up and answers in a tenth of a millisecond: the rest is its */
    v.ready = 1;
    s.service_us = 100;
    assert_int_equal(scaler_starts(&s, &v), 0);
}

/* ---- the heap of wake-up times ---- */

static void the_earliest_wakes_first(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct wake w[MANY];
    struct wake_heap h = {0};
    uint64_t seed = 42, last = 0;
    for (int i = 0; i < MANY; i++)
        wake_init(&w[i]);
    for (int round = 0; round < 20000; round++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned k = (unsigned)(seed >> 33) % MANY;
        if (seed >> 62 == 0)
            wake_set(&h, &w[k], UINT64_MAX);
        else
            wake_set(&h, &w[k], (seed >> 20) % 1000000);
        struct wake *first = wake_first(&h);
        for (size_t i = 1; i <= h.n; i++)
            assert_true(h.items[i]->index == i && (i == 1 || h.items[i / 2]->at_us <= h.items[i]->at_us));
        if (first && round % 7 == 0)
            wake_set(&h, first, UINT64_MAX);
    }
    for (struct wake *first; (first = wake_first(&h)) != NULL; wake_set(&h, first, UINT64_MAX)) {
        assert_true(first->at_us >= last);
        last = first->at_us;
    }
    wake_heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_started_for_nothing),
        cmocka_unit_test(a_backlog_starts_as_many_as_it_needs_minus_those_under_way),
        cmocka_unit_test(the_bounds_hold_at_plus_and_minus_one),
        cmocka_unit_test(what_drains_while_a_new_one_boots_starts_nothing),
        cmocka_unit_test(a_failing_start_is_probed_by_one),
        cmocka_unit_test(decisions_depend_on_nothing_but_their_arguments),
        cmocka_unit_test(starts_at_a_time_are_bounded),
        cmocka_unit_test(the_earliest_wakes_first),
    };
    return cmocka_run_group_tests_name("scaler", tests, NULL, NULL);
}
