#include "check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "runner/loglines.h"

enum { SECOND_US = 1000000, PRICE = 64 };

struct got {
    char *text[64];
    uint64_t dropped[64];
    size_t n;
    bool is_refusing;
};

static bool on_line(void *ctx, struct hob_str text, uint64_t dropped)
{
    struct got *g = ctx;
    if (g->is_refusing)
        return false;
    assert_true(g->n < HOB_COUNT(g->text));
    g->dropped[g->n] = dropped;
    g->text[g->n++] = hob_strndup(text.at, text.n);
    return true;
}

struct fixture {
    struct log_lines lines;
    struct log_rate rate;
    struct log_sink sink;
    struct got got;
    uint64_t now_us;
};

static int up(void **state)
{
    struct fixture *f = hob_new(struct fixture);
    log_lines_init(&f->lines);
    log_rate_init(&f->rate, 0);
    f->sink = (struct log_sink){.line = on_line, .ctx = &f->got};
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;
    log_lines_done(&f->lines);
    for (size_t i = 0; i < f->got.n; i++)
        free(f->got.text[i]);
    free(f);
    return 0;
}

static void feed(struct fixture *f, const void *bytes, size_t n)
{
    (void)log_lines_feed(&f->lines, hob_str_n(bytes, n), &f->rate, f->now_us, &f->sink);
}

static void feed_text(struct fixture *f, const char *text)
{
    feed(f, text, strlen(text));
}

static void lines_come_whole_however_the_bytes_are_cut(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "one\ntwo\r\n\nd\u00e9j\u00e0 vu\nlast";
    for (size_t i = 0; text[i]; i++)
        feed(f, &text[i], 1);
    assert_int_equal(f->got.n, 4);
    log_lines_finish(&f->lines, &f->rate, f->now_us, &f->sink);
    feed_text(f, "");
    assert_int_equal(f->got.n, 5);
    static const char *const want[] = {"one", "two", "", "d\u00e9j\u00e0 vu", "last"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(f->got.text[i], want[i]);
}

static void a_line_is_cut_at_the_limit_and_marked_once(void **state)
{
    struct fixture *f = *state;
    size_t n = HOB_MAX_LOG_LINE_BYTES;
    char *x = hob_calloc(1, 3 * n);
    memset(x, 'x', 3 * n);
    feed(f, x, n);
    feed_text(f, "\n"); /* exactly the limit: whole */
    assert_int_equal(f->got.n, 1);
    assert_int_equal(strlen(f->got.text[0]), n);
    feed(f, x, n + 1); /* one more: cut at once, without waiting for its end */
    assert_int_equal(f->got.n, 2);
    assert_contains(f->got.text[1], "x [cut: longer than log.line_bytes]");
    feed(f, x, 3 * n);
    assert_int_equal(f->got.n, 2);
    feed_text(f, "still the same line\nnext\n");
    assert_int_equal(f->got.n, 3);
    assert_string_equal(f->got.text[2], "next");
    x[2 * n] = '\n';
    feed(f, x, 2 * n + 1); /* long and ended in one piece */
    assert_int_equal(f->got.n, 4);
    assert_contains(f->got.text[3], "[cut");
    feed_text(f, "after\n");
    assert_string_equal(f->got.text[4], "after");
    free(x);
}

static void a_cut_does_not_show_half_a_character_as_broken(void **state)
{
    struct fixture *f = *state;
    size_t n = HOB_MAX_LOG_LINE_BYTES;
    char *x = hob_calloc(1, n + 8);
    memset(x, 'x', n);
    memcpy(x + n - 1, "\u20ac", 3); /* its first byte is the line's last */
    feed(f, x, n + 2);
    assert_int_equal(f->got.n, 1);
    assert_null(strstr(f->got.text[0], "\\x"));
    assert_contains(f->got.text[0], "x [cut");
    free(x);
}

static void bytes_that_are_no_text_are_escaped(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"tab\tstays\n", "tab\tstays"},
        {"\x1b[31mred\x07\n", "\\x1b[31mred\\x07"},
        {"\xff\xfe\n", "\\xff\\xfe"},
        {"\xc0\xaf overlong\n", "\\xc0\\xaf overlong"},
        {"\xed\xa0\x80 surrogate\n", "\\xed\\xa0\\x80 surrogate"},
        {"\xc2\x9b C1\n", "\\xc2\\x9b C1"},
        {"\xc2\xa0 fine\n", "\xc2\xa0 fine"},
        {"cut \xe2\x82\n", "cut \\xe2\\x82"},
        {"a\rb\r\n", "a\\x0db"},
        {"\x7f\n", "\\x7f"},
    };
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        feed_text(f, rows[i].in);
        assert_string_equal(f->got.text[i], rows[i].out);
    }
    feed(f, "nul\0nul\n", 8);
    assert_string_equal(f->got.text[f->got.n - 1], "nul\\x00nul");
}

static void the_longest_line_of_only_bad_bytes_still_fits(void **state)
{
    struct fixture *f = *state;
    size_t n = HOB_MAX_LOG_LINE_BYTES + 10;
    char *x = hob_calloc(1, n);
    memset(x, 0xff, n);
    feed(f, x, n);
    assert_int_equal(f->got.n, 1);
    assert_true(strlen(f->got.text[0]) >= 4 * HOB_MAX_LOG_LINE_BYTES);
    free(x);
}

static void the_rate_lets_the_burst_through_and_then_so_much_a_second(void **state)
{
    (void)state;
    struct log_rate r;
    uint64_t now_us = 12345, n = 0;
    size_t line = 1000 - PRICE;
    log_rate_init(&r, now_us);
    while (log_rate_take(&r, line, now_us))
        n++;
    assert_int_equal(n, HOB_MAX_LOG_BURST_BYTES / 1000);
    n = 0;
    for (unsigned ms = 0; ms < 10000; ms++, now_us += 1000)
        while (log_rate_take(&r, line, now_us))
            n++;
    assert_in_range(n, 10 * HOB_MAX_LOG_BYTES_PER_S / 1000 - 10, 10 * HOB_MAX_LOG_BYTES_PER_S / 1000 + 10);
    now_us += 3600ULL * SECOND_US; /* a long rest gives the burst again, not more */
    n = 0;
    while (log_rate_take(&r, line, now_us))
        n++;
    assert_int_equal(n, HOB_MAX_LOG_BURST_BYTES / 1000);
    for (unsigned i = 0; i < 1000; i++)
        (void)log_rate_take(&r, line,
                            now_us - 5); /* a clock that steps back gives nothing and breaks nothing */
    assert_true(r.tokens < 1000);
}

static void dropped_lines_are_counted_and_told_with_the_next(void **state)
{
    struct fixture *f = *state;
    f->rate.tokens = 2 * (1 + PRICE);
    feed_text(f, "a\nb\nc\nd\ne\n");
    assert_int_equal(f->got.n, 2);
    f->now_us += SECOND_US;
    feed_text(f, "f\n");
    assert_int_equal(f->got.n, 3);
    assert_int_equal(f->got.dropped[2], 3);
    feed_text(f, "g\n");
    assert_int_equal(f->got.dropped[3], 0);
}

static void lines_dropped_at_the_very_end_are_told_too(void **state)
{
    struct fixture *f = *state;
    f->got.is_refusing = true;
    feed_text(f, "a\nb\nhalf");
    f->got.is_refusing = false;
    f->rate.tokens = 0;
    log_lines_finish(&f->lines, &f->rate, f->now_us, &f->sink);
    assert_int_equal(f->got.n, 1);
    assert_int_equal(f->got.dropped[0], 3);
    assert_contains(f->got.text[0], "dropped");
    log_lines_finish(&f->lines, &f->rate, f->now_us, &f->sink);
    assert_int_equal(f->got.n, 1);
}

static void a_quiet_stream_holds_no_memory(void **state)
{
    struct fixture *f = *state;
    feed_text(f, "half a li");
    feed_text(f, "ne\n");
    assert_null(f->lines.partial.mem);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
    (void)alarm(280);
    const struct CMUnitTest tests[] = {
        TEST(lines_come_whole_however_the_bytes_are_cut),
        TEST(a_line_is_cut_at_the_limit_and_marked_once),
        TEST(a_cut_does_not_show_half_a_character_as_broken),
        TEST(bytes_that_are_no_text_are_escaped),
        TEST(the_longest_line_of_only_bad_bytes_still_fits),
        cmocka_unit_test(the_rate_lets_the_burst_through_and_then_so_much_a_second),
        TEST(dropped_lines_are_counted_and_told_with_the_next),
        TEST(lines_dropped_at_the_very_end_are_told_too),
        TEST(a_quiet_stream_holds_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
