/* What a scaler keeps over a restart and hands to the next version of its function. */
#include "check.h"

#include <math.h>

#include "controller/scale/learned.h"

enum { MS = 1000 };
static const uint64_t SECOND = 1000 * 1000, START = 5000ull * 1000 * 1000;
static const int64_t UTC = 1790000000000;

static struct scaler_view view_at(uint64_t now_us)
{
    return (struct scaler_view){.now_us = now_us, .concurrency = 1, .max = 100, .mode = SCALE_BALANCED};
}

/* A minute at `per_s` requests a second of 40 ms each, and starts of 80 ms. Returns the time. */
static uint64_t busy(struct scaler *s, unsigned per_s)
{
    uint64_t now = START;
    scaler_init(s, 0);
    for (unsigned i = 0; i < 60 * per_s; i++, now += SECOND / per_s) {
        scaler_note_arrival(s, now);
        scaler_note_service(s, 40 * MS);
        if (i % 50 == 0)
            scaler_note_cold(s, 80 * MS);
    }
    return now;
}

static void saved(struct hob_buf *out, const struct scaler *s, unsigned instances, uint64_t now_us)
{
    hob_buf_init(out, LEARNED_BYTES_MAX);
    learned_write(out, s, instances, (struct learned_at){now_us, UTC});
}

/* A8. Seen to fail without hold() in learned_read(). */
static void a_restart_in_a_burst_brings_back_rate_times_and_count(void **state)
{
    (void)state;
    struct scaler before, after;
    hob_auto_buf struct hob_buf bytes;
    enum scaler_why why;
    uint64_t now = busy(&before, 100), later = 7 * SECOND; /* the new process's clock is another */
    saved(&bytes, &before, 9, now);
    scaler_init(&after, 0);
    assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){later, UTC + 2000}));
    struct scaler_view v = view_at(later);
    assert_int_equal(scaler_floor(&after, &v, &why), 9);
    assert_int_equal(why, SCALER_BY_HOLD);
    struct scaler_decision d = scaler_decide(&after, &v);
    assert_int_equal(d.starts, 9);
    assert_int_equal(after.service_us, before.service_us);
    assert_true(scaler_rate(&after, later) > 75 && scaler_rate(&after, later) < 90); /* 100 * e^-0.2 */
    double cold = (double)scaler_cold95_us(&after) / (double)scaler_cold95_us(&before);
    assert_true(cold > 0.99 && cold < 1.01);
    assert_true(after.cold95_us > 0 && sketch_quantile(&after.service, 0.5) > 30 * MS);
    v = view_at(later + SCALER_HOLD_US);
    assert_int_equal(scaler_floor(&after, &v, &why), 0);
}

static void a_count_that_is_old_is_not_held_but_the_times_are_known(void **state)
{
    (void)state;
    struct scaler before, after;
    hob_auto_buf struct hob_buf bytes;
    enum scaler_why why;
    uint64_t now = busy(&before, 100);
    saved(&bytes, &before, 9, now);
    for (int64_t age_ms = SCALER_HOLD_US / 1000 - 1; age_ms <= SCALER_HOLD_US / 1000; age_ms++) {
        bool is_held = age_ms < SCALER_HOLD_US / 1000;
        scaler_init(&after, 0);
        assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){now, UTC + age_ms}));
        struct scaler_view v = view_at(now);
        assert_int_equal(scaler_floor(&after, &v, &why), is_held ? 9 : 0);
        assert_int_equal(after.service_us, before.service_us);
        assert_true(scaler_rate(&after, now) < 1);
    }
    /* a clock that was set back makes nothing older or younger than it is */
    scaler_init(&after, 0);
    assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){now, UTC - 3600000}));
    assert_true(scaler_rate(&after, now) <= 101);
}

static void the_rhythm_of_requests_outlives_the_process(void **state)
{
    (void)state;
    struct scaler before, after;
    hob_auto_buf struct hob_buf bytes;
    uint64_t now = START, gap = 600 * SECOND;
    scaler_init(&before, 400 * MS);
    for (unsigned i = 0; i < 12; i++, now += gap) {
        scaler_note_arrival(&before, now);
        scaler_note_cold(&before, 400 * MS);
        scaler_note_quiet(&before, now);
    }
    now -= gap - 100 * SECOND; /* a hundred seconds after the last one */
    assert_true(before.keep.is_usable);
    saved(&bytes, &before, 0, now);
    scaler_init(&after, 0);
    assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){now, UTC + 200 * 1000}));
    assert_true(after.keep.is_usable);
    assert_int_equal(after.keep.head_us, before.keep.head_us);
    assert_int_equal(after.keep.tail_us, before.keep.tail_us);
    assert_int_equal(after.keep.within, before.keep.within);
    assert_int_equal(now - after.quiet_us, 300 * SECOND); /* the downtime counts */
    scaler_init(&after, 0);
    assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){SECOND, UTC}));
    assert_int_equal(after.quiet_us, 0); /* this clock began later than the silence: no gap is invented */
}

/* Every byte string is either refused or leaves a scaler that can be asked. Seen to fail without judging
 * numbers in get_f64(). */
static void what_is_damaged_is_refused_and_never_believed(void **state)
{
    (void)state;
    struct scaler before, after, fresh;
    hob_auto_buf struct hob_buf bytes;
    char copy[LEARNED_BYTES_MAX];
    uint64_t now = busy(&before, 50);
    unsigned taken = 0;
    saved(&bytes, &before, 3, now);
    scaler_init(&fresh, 0);
    for (size_t n = 0; n < bytes.n; n++) {
        after = fresh;
        assert_false(
            learned_read(hob_str_n(hob_buf_str(&bytes).at, n), &after, (struct learned_at){now, UTC}));
        assert_memory_equal(&after, &fresh, sizeof after);
    }
    for (unsigned i = 0; i < 200000; i++) {
        memcpy(copy, hob_buf_str(&bytes).at, bytes.n);
        for (unsigned k = 0; k <= i % 3; k++)
            copy[(unsigned)rand() % bytes.n] = (char)rand();
        after = fresh;
        if (!learned_read(hob_str_n(copy, bytes.n), &after, (struct learned_at){now, UTC}))
            continue;
        taken++;
        struct scaler_view v = view_at(now);
        struct scaler_decision d = scaler_decide(&after, &v);
        assert_true(d.starts <= v.max && after.lam10 <= 1e7 && after.service_mean <= 3600e6);
        assert_true(scaler_cold95_us(&after) > 0);
        scaler_note_arrival(&after, now + 1);
        scaler_note_service(&after, 1000);
        scaler_note_cold(&after, 1000);
        (void)scaler_keep_us(&after, &v, NULL);
    }
    assert_true(taken > 1000); /* the test would be idle otherwise */
}

static void the_largest_state_fits(void **state)
{
    (void)state;
    struct scaler s, after;
    hob_auto_buf struct hob_buf bytes;
    scaler_init(&s, 0);
    for (unsigned i = 0; i < SKETCH_BUCKETS; i++)
        for (unsigned k = 0; k < 3; k++) {
            sketch_add(&s.service, 1ull << (i / 4) << (i % 4));
            sketch_add(&s.cold, 1ull << (i / 4) << (i % 4));
        }
    for (unsigned i = 0; i < KEEP_BINS; i++)
        keep_note(&s.keep, i * KEEP_BIN_US);
    scaler_note_arrival(&s, START);
    saved(&bytes, &s, 1000, START);
    assert_true(bytes.n < LEARNED_BYTES_MAX / 2);
    scaler_init(&after, 0);
    assert_true(learned_read(hob_buf_str(&bytes), &after, (struct learned_at){START, UTC}));
    assert_int_equal(after.keep.within, KEEP_BINS);
}

static void a_new_version_begins_with_what_the_one_before_knew(void **state)
{
    (void)state;
    struct scaler before, next;
    enum scaler_why why;
    uint64_t now = busy(&before, 100);
    scaler_init(&next, 0);
    learned_inherit(&next, &before, 6, now);
    struct scaler_view v = view_at(now);
    assert_int_equal(scaler_floor(&next, &v, &why), 6);
    assert_int_equal(scaler_want(&next, &v), scaler_want(&before, &v));
    assert_int_equal(scaler_cold95_us(&next), scaler_cold95_us(&before));
    scaler_note_service(&next, 400 * MS); /* its own first run counts more than all that the other had */
    assert_int_equal(next.service_us, 400 * MS);
}

/* Seen to fail without is_retired in scaler_floor(): a version that nobody can mean was kept for its habit. */
static void a_retired_version_keeps_nothing(void **state)
{
    (void)state;
    struct scaler s;
    enum scaler_why why;
    uint64_t now = busy(&s, 100);
    scaler_hold(&s, 5, now);
    scaler_expect(&s, now, false);
    struct scaler_view v = view_at(now);
    v.min = 2;
    assert_int_equal(scaler_floor(&s, &v, &why), 5);
    v.is_retired = true;
    assert_int_equal(scaler_floor(&s, &v, &why), 0);
    assert_int_equal(why, SCALER_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_in_a_burst_brings_back_rate_times_and_count),
        cmocka_unit_test(a_count_that_is_old_is_not_held_but_the_times_are_known),
        cmocka_unit_test(the_rhythm_of_requests_outlives_the_process),
        cmocka_unit_test(what_is_damaged_is_refused_and_never_believed),
        cmocka_unit_test(the_largest_state_fits),
        cmocka_unit_test(a_new_version_begins_with_what_the_one_before_knew),
        cmocka_unit_test(a_retired_version_keeps_nothing),
    };
    return cmocka_run_group_tests_name("learned", tests, NULL, NULL);
}
