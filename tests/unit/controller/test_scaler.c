/* The scaler's decisions under numbers: no loop, no clock, no instance. */
#include "check.h"

#include "controller/dispatch/wake.h"
#include "controller/scale/decisions.h"
#include "controller/scale/starts.h"
#include "controller/scale/windows.h"

enum { MS = 1000, SECOND = 1000 * 1000 };

static struct scaler fresh(void)
{
    struct scaler s;
    scaler_init(&s, 0);
    return s;
}

static struct scaler measured(uint64_t service_us, uint64_t cold_us)
{
    struct scaler s = fresh();
    s.service_us = service_us;
    s.cold95_us = cold_us;
    return s;
}

static struct scaler_view base(void)
{
    return (struct scaler_view){
        .now_us = 1000ull * SECOND, .concurrency = 1, .max = 100, .mode = SCALE_BALANCED};
}

static unsigned starts(const struct scaler *s, const struct scaler_view *v)
{
    return scaler_decide(s, v).starts;
}

static void nothing_is_started_for_nothing(void **state)
{
    (void)state;
    struct scaler s = fresh();
    struct scaler_view v = base();
    assert_int_equal(starts(&s, &v), 0);
    assert_true(scaler_decide(&s, &v).ask_again_us == UINT64_MAX);
}

static void one_that_takes_nothing_new_has_another_in_its_place(void **state)
{
    (void)state;
    struct scaler s = measured(10 * MS, 300 * MS);
    struct scaler_view v = base();
    v.max = v.ready = v.queued = 1;
    v.oldest_wait_us = 300 * MS;
    assert_int_equal(starts(&s, &v), 0);
    v.stale = 1;
    assert_int_equal(starts(&s, &v), 1);
    v.starting = 1;
    v.queued = 5;
    assert_int_equal(starts(&s, &v), 0);
    v.starting = 0;
    v.oldest_wait_us = 0; /* it may well be back before another one is there */
    assert_int_equal(starts(&s, &v), 0);
}

static void a_backlog_starts_as_many_as_it_needs_minus_those_under_way(void **state)
{
    (void)state;
    struct scaler s = fresh();
    struct scaler_view v = base();
    v.queued = 10;
    assert_int_equal(starts(&s, &v), 10);
    assert_int_equal(scaler_decide(&s, &v).why, SCALER_BY_BACKLOG);
    v.starting = 4;
    assert_int_equal(starts(&s, &v), 6);
    v.concurrency = 3;
    assert_int_equal(starts(&s, &v), 0);
    v.starting = 3;
    assert_int_equal(starts(&s, &v), 1);
}

/* A3. Seen to fail without the bound by `room` in scaler_decide. */
static void the_bounds_hold_at_plus_and_minus_one(void **state)
{
    (void)state;
    struct scaler s = fresh();
    for (unsigned max = 1; max < 12; max++)
        for (unsigned live = 0; live <= max + 1; live++) {
            struct scaler_view v = base();
            v.max = max;
            v.queued = 10;
            v.starting = live;
            assert_true(live + starts(&s, &v) <= (live > max ? live : max));
        }
    struct scaler_view v = base();
    v.min = 3;
    v.ready = 2;
    assert_int_equal(starts(&s, &v), 1);
    assert_int_equal(scaler_decide(&s, &v).why, SCALER_BY_FLOOR);
    v.ready = 3;
    assert_int_equal(starts(&s, &v), 0);
    assert_false(scaler_expires(&s, &v, UINT64_MAX));
    v.ready = 4;
    uint64_t idle_us = scaler_idle_us(&s, &v);
    assert_true(scaler_expires(&s, &v, idle_us));
    assert_false(scaler_expires(&s, &v, idle_us - 1));
    v.queued = 1;
    assert_false(scaler_expires(&s, &v, UINT64_MAX));
}

static void what_drains_while_a_new_one_boots_starts_nothing(void **state)
{
    (void)state;
    struct scaler s = measured(1 * MS, 50 * MS);
    struct scaler_view v = base();
    v.ready = 1;
    v.queued = 50;
    assert_int_equal(starts(&s, &v), 0);
    v.queued = 53;
    assert_int_equal(starts(&s, &v), 3);
    v.queued = 1;
    v.oldest_wait_us = 50 * MS; /* but not when somebody waited that long already */
    assert_int_equal(starts(&s, &v), 1);
    v.oldest_wait_us = 20 * MS;
    assert_true(scaler_decide(&s, &v).ask_again_us == v.now_us + 30 * MS);
    v.mode = SCALE_LATENCY; /* in this mode nobody waits for another */
    assert_int_equal(starts(&s, &v), 1);
}

static void the_rate_asks_for_what_littles_law_says(void **state)
{
    (void)state;
    static const struct {
        enum scale_mode mode;
        unsigned want;
    } cases[] = {{SCALE_COST, 12}, {SCALE_BALANCED, 14}, {SCALE_LATENCY, 17}}; /* 10 + beta * sqrt(10) */
    struct scaler s = measured(100 * MS, 25 * MS);
    struct scaler_view v = base();
    v.now_us = 0;
    for (unsigned i = 0; i < 6000; i++) /* 100 a second for a minute */
        scaler_note_arrival(&s, v.now_us += 10 * MS);
    assert_true(scaler_rate(&s, v.now_us) > 99 && scaler_rate(&s, v.now_us) < 102);
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        v.mode = cases[i].mode;
        assert_in_range(scaler_want(&s, &v), cases[i].want - 1, cases[i].want + 1);
    }
    v.mode = SCALE_BALANCED;
    v.concurrency = 10;
    assert_in_range(scaler_want(&s, &v), 2, 3);
    v.concurrency = 1;
    v.max = 5;
    assert_int_equal(scaler_want(&s, &v), 5);
    v.max = 100;
    v.now_us += 60ull * SECOND;
    assert_int_equal(scaler_want(&s, &v), 0);
}

static void a_lone_request_to_a_slow_function_wants_one_instance(void **state)
{
    (void)state;
    struct scaler s = measured(20 * SECOND, 25 * MS);
    struct scaler_view v = base();
    scaler_note_arrival(&s, v.now_us);
    assert_int_equal(scaler_want(&s, &v), 1);
    scaler_note_arrival(&s, v.now_us += 100 * MS);
    assert_int_equal(scaler_want(&s, &v), 2);
}

/* Seen to fail without is_retired in scaler_decide(): what a deploy let go was started anew for the rate that it had, too
 * young to be let go by the same deploy. */
static void a_retired_version_starts_for_those_who_wait_and_not_for_its_rate(void **state)
{
    (void)state;
    struct scaler s = measured(100 * MS, 25 * MS);
    struct scaler_view v = base();
    for (unsigned i = 0; i < 100; i++)
        scaler_note_arrival(&s, v.now_us += 10 * MS);
    assert_true(starts(&s, &v) > 1);
    v.is_retired = true;
    assert_int_equal(starts(&s, &v), 0);
    v.queued = 1;
    assert_int_equal(starts(&s, &v), 1);
}

static void a_failing_start_is_probed_by_one(void **state)
{
    (void)state;
    struct scaler s = fresh();
    struct scaler_view v = base();
    v.queued = 10;
    scaler_note_failure(&s, v.now_us);
    assert_int_equal(starts(&s, &v), 0);
    assert_int_equal(scaler_decide(&s, &v).bound, SCALER_BACKING_OFF);
    assert_true(scaler_decide(&s, &v).ask_again_us <= s.not_before_us);
    v.now_us = s.not_before_us;
    assert_int_equal(starts(&s, &v), 1);
    v.starting = 1;
    assert_int_equal(starts(&s, &v), 0);
    assert_false(scaler_is_open(&s));
    scaler_note_failure(&s, v.now_us);
    scaler_note_failure(&s, v.now_us);
    assert_true(scaler_is_open(&s));
    scaler_note_cold(&s, 1000);
    assert_false(scaler_is_open(&s));
    v.starting = 0;
    assert_int_equal(starts(&s, &v), 10);
}

static void three_failures_among_ten_starts_open_the_breaker(void **state)
{
    (void)state;
    struct scaler s = fresh();
    for (int round = 0; round < 50; round++) /* two of ten: never */
        for (int i = 0; i < 10; i++) {
            if (i == 3 || i == 7)
                scaler_note_failure(&s, 1);
            else
                scaler_note_cold(&s, 1000);
            assert_false(scaler_is_open(&s));
        }
    scaler_note_failure(&s, 1); /* the third of the last ten */
    assert_true(scaler_is_open(&s));
    uint64_t wait = s.not_before_us;
    scaler_note_failure(&s, 1); /* the probe, too: longer */
    assert_true(scaler_is_open(&s) && s.not_before_us > wait);
    for (int i = 0; i < 40; i++)
        scaler_note_failure(&s, 1);
    assert_true(s.not_before_us == 1 + SCALER_BACKOFF_MAX_US);
    scaler_note_cold(&s, 1000); /* half open, and it came through: what was before is forgotten */
    scaler_note_failure(&s, 1);
    assert_false(scaler_is_open(&s));
}

static void decisions_depend_on_nothing_but_their_arguments(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252ULL;
    for (int i = 0; i < 200000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        struct scaler s = measured(seed % 5000, seed % 90001);
        s.failures = seed % 4;
        s.lam1 = (double)(seed % 997);
        s.lam10 = (double)(seed % 499);
        s.rate_at_us = 999ull * SECOND;
        struct scaler_view v = base();
        v.mode = (enum scale_mode)(seed % 3);
        v.queued = (unsigned)(seed >> 8) % 2000;
        v.ready = (unsigned)(seed >> 20) % 50;
        v.starting = (unsigned)(seed >> 30) % 50;
        v.concurrency = 1 + (unsigned)(seed >> 40) % 20;
        v.min = (unsigned)(seed >> 45) % 5;
        v.max = 1 + (unsigned)(seed >> 50) % 100;
        v.oldest_wait_us = (seed >> 3) % 100000;
        struct scaler_decision a = scaler_decide(&s, &v), b = scaler_decide(&s, &v);
        assert_true(a.starts == b.starts && a.why == b.why && a.bound == b.bound &&
                    a.ask_again_us == b.ask_again_us);
        assert_true(a.starts == 0 || v.ready + v.starting + a.starts <= v.max);
        if (v.queued && v.ready + v.starting == 0)
            assert_true(a.starts >= 1); /* somebody always comes */
    }
}

/* ---- keeping ---- */

static void the_last_one_is_kept_by_what_a_start_costs(void **state)
{
    (void)state;
    struct scaler s = measured(1 * MS, 5 * MS);
    struct scaler_view v = base();
    v.ready = 1;
    assert_true(scaler_keep_us(&s, &v, NULL) == 60ull * SECOND);
    assert_false(scaler_expires(&s, &v, 60ull * SECOND - 1));
    assert_true(scaler_expires(&s, &v, 60ull * SECOND));
    s.cold95_us = 400 * MS;
    assert_true(scaler_keep_us(&s, &v, NULL) == 120ull * SECOND);
    v.mode = SCALE_LATENCY;
    assert_true(scaler_keep_us(&s, &v, NULL) == 600ull * SECOND);
    v.keep_us = 3 * SECOND;
    assert_true(scaler_keep_us(&s, &v, NULL) == 3 * SECOND);
    v.ready = 2; /* a surplus one not longer than the last */
    assert_true(scaler_expires(&s, &v, 3 * SECOND));
}

static void the_idle_clock_is_between_ten_seconds_and_two_minutes(void **state)
{
    (void)state;
    static const struct {
        uint64_t service_us, cold_us, idle_us;
    } cases[] = {{1 * MS, 5 * MS, 10ull * SECOND},
                 {1 * MS, 100 * MS, 20ull * SECOND},
                 {3 * SECOND, 5 * MS, 30ull * SECOND},
                 {60ull * SECOND, 60 * MS, 120ull * SECOND}};
    struct scaler_view v = base();
    v.ready = 5;
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct scaler s = measured(cases[i].service_us, cases[i].cold_us);
        assert_true(scaler_idle_us(&s, &v) == cases[i].idle_us);
    }
}

static void habits_are_learned_and_prewarm(void **state)
{
    (void)state;
    struct scaler s = measured(100 * MS, 400 * MS);
    struct scaler_view v = base();
    enum scaler_why why;
    for (int i = 0; i < 30; i++) { /* one request every ten minutes and a bit */
        scaler_note_arrival(&s, v.now_us);
        v.now_us += 100 * MS;
        scaler_note_quiet(&s, v.now_us);
        if (i == 9)
            assert_false(s.keep.is_usable); /* nine gaps are too few */
        v.now_us += 620ull * SECOND;
    }
    assert_true(s.keep.is_usable);
    assert_true(s.keep.head_us == 540ull * SECOND); /* the tenth minute less a tenth */
    assert_true(s.keep.tail_us == 726ull * SECOND);
    v.now_us = s.quiet_us + 60ull * SECOND;
    v.ready = 1; /* not kept until then ... */
    assert_true(scaler_expires(&s, &v, 60ull * SECOND));
    v.ready = 0; /* ... but there when it is due */
    assert_int_equal(scaler_floor(&s, &v, &why), 0);
    uint64_t at = scaler_decide(&s, &v).ask_again_us;
    assert_true(at == s.quiet_us + 540ull * SECOND - 480 * MS);
    v.now_us = at;
    assert_int_equal(scaler_floor(&s, &v, &why), 1);
    assert_int_equal(why, SCALER_BY_HABIT);
    assert_int_equal(starts(&s, &v), 1);
    v.ready = 1;
    v.now_us = s.quiet_us + 725ull * SECOND;
    assert_false(scaler_expires(&s, &v, 185ull * SECOND));
    v.now_us = s.quiet_us + 727ull * SECOND; /* nobody came: it goes */
    assert_true(scaler_expires(&s, &v, 187ull * SECOND));
}

static void gaps_without_a_shape_teach_nothing(void **state)
{
    (void)state;
    struct keep k = {0};
    for (unsigned i = 0; i < KEEP_BINS; i++)
        keep_note(&k, i * KEEP_BIN_US);
    assert_false(k.is_usable);
    struct keep far = {0};
    for (unsigned i = 0; i < 20; i++) {
        keep_note(&far, 0);
        assert_int_equal(far.is_usable, i >= 9);
    }
    for (unsigned i = 0; i < 21; i++)
        keep_note(&far, KEEP_BINS * KEEP_BIN_US);
    assert_false(far.is_usable); /* most are out of range */
    struct keep full = {0};
    for (unsigned i = 0; i < 200000; i++)
        keep_note(&full, 0);
    assert_true(full.is_usable && full.within < 65536);
}

static void a_schedule_starts_in_time_and_lets_go_in_between(void **state)
{
    (void)state;
    struct scaler s = measured(100 * MS, 100 * MS);
    struct scaler_view v = base();
    enum scaler_why why;
    scaler_expect(&s, v.now_us + 300ull * SECOND, true);
    v.ready = 1;
    assert_true(scaler_expires(&s, &v, 0));
    v.ready = 0;
    uint64_t at = scaler_decide(&s, &v).ask_again_us;
    assert_true(at == v.now_us + 300ull * SECOND - 120 * MS);
    v.now_us = at;
    assert_int_equal(starts(&s, &v), 1);
    (void)scaler_floor(&s, &v, &why);
    assert_int_equal(why, SCALER_BY_SCHEDULE);
    scaler_expect(&s, 0, true);
    assert_int_equal(starts(&s, &v), 0);
}

/* A8. Seen to fail with `hold` left out of scaler_floor. */
static void a_count_that_was_taken_over_is_held_for_a_minute(void **state)
{
    (void)state;
    struct scaler s = measured(1 * MS, 5 * MS);
    struct scaler_view v = base();
    scaler_hold(&s, 7, v.now_us);
    v.ready = 7;
    assert_false(scaler_expires(&s, &v, UINT64_MAX));
    v.ready = 5;
    assert_int_equal(starts(&s, &v), 2);
    v.ready = 7;
    v.now_us += SCALER_HOLD_US;
    assert_true(scaler_expires(&s, &v, UINT64_MAX));
}

static void windows_open_overlap_and_close(void **state)
{
    (void)state;
    char eight[] = "0 8 * * 1-5", nine[] = "30 9 * * *", ten_hours[] = "10h", hour[] = "1h";
    const struct scale_window config[] = {{eight, ten_hours, 4}, {nine, hour, 6}};
    struct windows w;
    enum { MINUTE_MS = 60000, HOUR_MS = 3600000 };
    int64_t friday = 20777ll * 24 * HOUR_MS, until; /* 2026-11-20 */
    windows_init(&w, config, 2);
    assert_int_equal(windows_min(&w, friday + 8 * HOUR_MS - 1, &until), 0);
    assert_true(until == friday + 8 * HOUR_MS);
    assert_int_equal(windows_min(&w, friday + 8 * HOUR_MS, &until), 4);
    assert_true(until == friday + 9 * HOUR_MS + 30 * MINUTE_MS);
    assert_int_equal(windows_min(&w, until, &until), 6);
    assert_true(until == friday + 10 * HOUR_MS + 30 * MINUTE_MS);
    assert_int_equal(windows_min(&w, until - 1, &until), 6);
    assert_int_equal(windows_min(&w, friday + 10 * HOUR_MS + 30 * MINUTE_MS, &until), 4);
    assert_int_equal(windows_min(&w, friday + 18 * HOUR_MS, &until), 0);
    assert_int_equal(windows_min(&w, friday + 24 * HOUR_MS + 9 * HOUR_MS, &until), 0); /* Saturday */
    windows_done(&w);
}

/* ---- the sketch ---- */

static void quantiles_are_within_a_fifth_and_fade(void **state)
{
    (void)state;
    struct sketch s;
    sketch_init(&s, 64);
    assert_true(sketch_quantile(&s, 0.5) == 0);
    for (uint64_t i = 1; i <= 100000; i++)
        sketch_add(&s, i * 7919 % 10000);
    assert_in_range(sketch_quantile(&s, 0.5), 3500, 6500);
    assert_in_range(sketch_quantile(&s, 0.95), 8000, 10500);
    for (int i = 0; i < 640; i++) /* ten half lives later only the new ones are left */
        sketch_add(&s, 70);
    assert_in_range(sketch_quantile(&s, 0.95), 60, 85);
    sketch_add(&s, UINT64_MAX); /* no end of the buckets */
    assert_in_range(sketch_quantile(&s, 0.5), 60, 85);
}

/* ---- whose start comes next ---- */

static uint64_t again;

/* A6. Seen to fail with the reserved place taken away (has_enough always false) and, in its second half, with the ring
 * replaced by one list in order of asking. */
static void a_burst_of_one_app_leaves_a_place_to_others(void **state)
{
    (void)state;
    struct starts s;
    struct starts_entry big, small;
    starts_init(&s, 4, 1000, 64);
    starts_join(&s, &big, "big", PRIORITY_NORMAL);
    starts_join(&s, &small, "small", PRIORITY_NORMAL);
    starts_want(&s, &big, 1000, 25 * MS, 1);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(starts_next(&s, 1, &again), &big);
        starts_began(&s, &big);
    }
    assert_null(starts_next(&s, 1, &again)); /* the last place is not big's */
    starts_want(&s, &small, 1, 25 * MS, 1);
    assert_ptr_equal(starts_next(&s, 1, &again), &small);
    starts_began(&s, &small);
    assert_null(starts_next(&s, 1, &again));
    /* two with much to do take turns */
    starts_want(&s, &small, 1000, 25 * MS, 1);
    unsigned turns[2] = {0};
    for (uint64_t now = 2; now < 1002; now++) {
        starts_ended(&s, big.app->running > small.app->running ? &big : &small);
        struct starts_entry *e = starts_next(&s, now * 1000, &again);
        assert_non_null(e);
        turns[e == &small]++;
        starts_began(&s, e);
    }
    assert_in_range(turns[0], 450, 550);
    while (big.app->running)
        starts_ended(&s, &big);
    while (small.app->running)
        starts_ended(&s, &small);
    starts_leave(&s, &big);
    starts_leave(&s, &small);
}

static void starts_a_second_are_bounded(void **state)
{
    (void)state;
    struct starts s;
    struct starts_entry e;
    starts_init(&s, 1000000, 100, 10);
    starts_join(&s, &e, "a", PRIORITY_NORMAL);
    starts_want(&s, &e, 100000, 1, 1);
    unsigned n = 0;
    for (uint64_t now = 1; now < 10ull * SECOND;) {
        if (starts_next(&s, now, &again)) {
            starts_began(&s, &e);
            n++;
            continue;
        }
        assert_true(again > now && again != UINT64_MAX);
        now = again;
    }
    assert_in_range(n, 1000, 1012); /* ten at once, then a hundred a second */
    starts_want(&s, &e, 0, 1, 1);
    assert_null(starts_next(&s, 20ull * SECOND, &again));
    assert_true(again == UINT64_MAX); /* no timer for nothing */
    while (e.app->running)
        starts_ended(&s, &e);
    starts_leave(&s, &e);
}

static void high_priority_goes_first_within_an_app(void **state)
{
    (void)state;
    struct starts s;
    struct starts_entry low, high;
    starts_init(&s, 8, 1000, 64);
    starts_join(&s, &low, "a", PRIORITY_LOW);
    starts_join(&s, &high, "a", PRIORITY_HIGH);
    starts_want(&s, &low, 5, 1, 1);
    starts_want(&s, &high, 2, 1, 1);
    for (int i = 0; i < 3; i++) {
        struct starts_entry *e = starts_next(&s, 1, &again);
        assert_ptr_equal(e, i < 2 ? &high : &low);
        starts_began(&s, e);
    }
    starts_ended(&s, &low);
    starts_ended(&s, &high);
    starts_ended(&s, &high);
    starts_leave(&s, &low);
    starts_leave(&s, &high);
}

/* ---- in words ---- */

static void the_words_name_the_numbers(void **state)
{
    (void)state;
    struct scaler s = measured(48 * MS, 25 * MS);
    struct scaler_view v = base();
    struct decisions d = {0};
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    v.now_us = 0;
    for (unsigned i = 0; i < 6000; i++)
        scaler_note_arrival(&s, v.now_us += 10 * MS);
    v.ready = 3;
    v.in_flight = 3;
    v.queued = 12;
    struct scaler_decision made = scaler_decide(&s, &v);
    decisions_started(&d, &s, &v, &made);
    hob_buf_init(&text, 1 << 16);
    hob_jw_init(&w, &text);
    hob_jw_object(&w);
    explain_write(&w, &s, &v, &d, &(struct explain_node){.waiting = 2, .is_full = true, .failure = ""});
    hob_jw_object_end(&w);
    hob_auto_json json_t *j = hob_json_parse(hob_buf_str(&text), "the words", NULL);
    assert_non_null(j);
    hob_auto_free char *copy = hob_strndup(hob_buf_str(&text).at, hob_buf_str(&text).n);
    static const char *const parts[] = {"3 instances are up, 0 starting; 3 requests in work, 12 waiting.",
                                        "requests a second of 48 ms each keep 4.8",
                                        "and mode balanced adds room for chance",
                                        "By backlog 11 more: 12 wait",
                                        "no memory",
                                        "2 starts wait",
                                        "The last one goes after 60 s without work"};
    for (size_t i = 0; i < HOB_COUNT(parts); i++)
        if (!strstr(copy, parts[i]))
            fail_msg("'%s' is not in %s", parts[i], copy);
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
        cmocka_unit_test(one_that_takes_nothing_new_has_another_in_its_place),
        cmocka_unit_test(a_backlog_starts_as_many_as_it_needs_minus_those_under_way),
        cmocka_unit_test(the_bounds_hold_at_plus_and_minus_one),
        cmocka_unit_test(what_drains_while_a_new_one_boots_starts_nothing),
        cmocka_unit_test(the_rate_asks_for_what_littles_law_says),
        cmocka_unit_test(a_lone_request_to_a_slow_function_wants_one_instance),
        cmocka_unit_test(a_retired_version_starts_for_those_who_wait_and_not_for_its_rate),
        cmocka_unit_test(a_failing_start_is_probed_by_one),
        cmocka_unit_test(three_failures_among_ten_starts_open_the_breaker),
        cmocka_unit_test(decisions_depend_on_nothing_but_their_arguments),
        cmocka_unit_test(the_last_one_is_kept_by_what_a_start_costs),
        cmocka_unit_test(the_idle_clock_is_between_ten_seconds_and_two_minutes),
        cmocka_unit_test(habits_are_learned_and_prewarm),
        cmocka_unit_test(gaps_without_a_shape_teach_nothing),
        cmocka_unit_test(a_schedule_starts_in_time_and_lets_go_in_between),
        cmocka_unit_test(a_count_that_was_taken_over_is_held_for_a_minute),
        cmocka_unit_test(windows_open_overlap_and_close),
        cmocka_unit_test(quantiles_are_within_a_fifth_and_fade),
        cmocka_unit_test(a_burst_of_one_app_leaves_a_place_to_others),
        cmocka_unit_test(starts_a_second_are_bounded),
        cmocka_unit_test(high_priority_goes_first_within_an_app),
        cmocka_unit_test(the_words_name_the_numbers),
        cmocka_unit_test(the_earliest_wakes_first),
    };
    return cmocka_run_group_tests_name("scaler", tests, NULL, NULL);
}
