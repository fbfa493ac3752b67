#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/logs.h"
#include "controller/logs/log_scan.h"

struct world {
    uv_loop_t loop;
    char dir[64];
    struct logs *logs;
    bool is_closed;
    uint64_t next_ms; /* of the next line */
};

static int make_world(void **state)
{
    struct world *w = hob_new(struct world);
    struct hob_err err;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/hob-logs-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->logs = logs_start(&w->loop, w->dir, &err);
    assert_non_null(w->logs);
    w->next_ms = 1700000000000;
    *state = w;
    return 0;
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_logs(struct world *w)
{
    logs_close(w->logs, set_flag, &w->is_closed);
    while (!w->is_closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    w->logs = NULL;
}

static int drop_world(void **state)
{
    struct world *w = *state;
    struct hob_err err;
    if (w->logs)
        close_logs(w);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    int rc = hob_remove_tree(w->dir, &err) == HOB_OK ? 0 : -1;
    free(w);
    return rc;
}

static void say_as(struct world *w, const char *fn, uint8_t level, const char *request, struct hob_str text)
{
    struct log_line line = {.utc_ms = (int64_t)w->next_ms++,
                            .level = level,
                            .stream = "stdout",
                            .version = 3,
                            .instance = 0x1234abcd,
                            .request_id = hob_str(request),
                            .text = text};
    logs_append(w->logs, "shop", fn, &line);
}

static void say(struct world *w, const char *text)
{
    say_as(w, "hello", HOB_CHLOG_INFO, "r-1", hob_str(text));
}

/* A reader that keeps what it got. */
struct got {
    struct hob_buf text;
    bool is_ended, has_failed, is_slow;
    unsigned calls;
    struct log_reader *close_me;
};

static bool got_lines(void *ctx, struct hob_str lines)
{
    struct got *g = ctx;
    assert_true(lines.n > 0 && lines.at[lines.n - 1] == '\n');
    assert_int_equal(hob_buf_add_str(&g->text, lines), HOB_OK);
    g->calls++;
    if (g->close_me)
        log_reader_close(g->close_me);
    return !g->is_slow;
}

static void got_end(void *ctx, const struct hob_err *err)
{
    struct got *g = ctx;
    assert_false(g->is_ended);
    g->is_ended = true;
    g->has_failed = err != NULL;
}

static const struct log_events got_events = {.on_lines = got_lines, .on_end = got_end};

static struct log_reader *begin(struct world *w, struct got *g, struct log_query q)
{
    struct hob_err err = {0};
    memset(g, 0, sizeof *g);
    hob_buf_init(&g->text, 64 * 1024 * 1024);
    q.app = "shop";
    q.function = q.function ? q.function : "hello";
    struct log_reader *r = logs_read(w->logs, &q, &got_events, g, &err);
    assert_non_null(r);
    return r;
}

static size_t lines_in(const struct hob_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += hob_buf_data(b)[i] == '\n';
    return n;
}

static bool has(const struct got *g, const char *text)
{
    return g->text.n && memmem(hob_buf_data(&g->text), g->text.n, text, strlen(text)) != NULL;
}

static void read_all(struct world *w, struct got *g, struct log_query q)
{
    (void)begin(w, g, q);
    while (!g->is_ended)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static void run_ms(struct world *w, uint64_t ms)
{
    uint64_t until = hob_now_ms() + ms;
    while (hob_now_ms() < until) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
}

static void a_line_is_json_with_every_member(void **state)
{
    struct world *w = *state;
    struct got g;
    struct hob_err err;
    say_as(w, "hello", HOB_CHLOG_WARN, "req-9", hob_str("a \"quoted\" \x01\xff line\nand <more>"));
    read_all(w, &g, (struct log_query){.tail = 10});
    json_t *j hob_auto_json = hob_json_parse(hob_buf_str(&g.text), "line", &err);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "time")), "2023-11-14T22:13:20.000Z");
    assert_string_equal(json_string_value(json_object_get(j, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(j, "stream")), "stdout");
    assert_int_equal(json_integer_value(json_object_get(j, "version")), 3);
    assert_string_equal(json_string_value(json_object_get(j, "instance")), "000000001234abcd");
    assert_string_equal(json_string_value(json_object_get(j, "request_id")), "req-9");
    assert_string_equal(json_string_value(json_object_get(j, "text")),
                        "a \"quoted\" \x01\xef\xbf\xbd line\nand <more>");
    hob_buf_done(&g.text);
}

static void the_newest_lines_come_oldest_first(void **state)
{
    struct world *w = *state;
    struct got g;
    char text[32];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(text, sizeof text, "line %03d.", i);
        say(w, text);
    }
    read_all(w, &g, (struct log_query){.tail = 3});
    assert_int_equal(lines_in(&g.text), 3);
    const char *a = strstr(hob_buf_data(&g.text), "line 497."),
               *b = strstr(hob_buf_data(&g.text), "line 499.");
    assert_true(a && b && a < b);
    hob_buf_done(&g.text);
    read_all(w, &g, (struct log_query){.tail = 501});
    assert_int_equal(lines_in(&g.text), 500);
    hob_buf_done(&g.text);
    read_all(w, &g, (struct log_query){.tail = 0});
    assert_int_equal(g.text.n, 0);
    hob_buf_done(&g.text);
    read_all(w, &g, (struct log_query){.tail = 5, .function = "other"});
    assert_int_equal(g.text.n, 0);
    hob_buf_done(&g.text);
}

static void filters_choose_level_time_and_request(void **state)
{
    struct world *w = *state;
    struct got g;
    say_as(w, "hello", HOB_CHLOG_DEBUG, "a", hob_str("one"));
    say_as(w, "hello", HOB_CHLOG_INFO, "a", hob_str("two \",\"level\":\"error\",\"request_id\":\"b\""));
    say_as(w, "hello", HOB_CHLOG_WARN, "b", hob_str("three"));
    say_as(w, "hello", HOB_CHLOG_ERROR, "", hob_str("four"));
    read_all(w, &g, (struct log_query){.tail = 10, .level_min = HOB_CHLOG_WARN});
    assert_int_equal(lines_in(&g.text), 2);
    assert_false(has(&g, "two"));
    hob_buf_done(&g.text);
    read_all(w, &g, (struct log_query){.tail = 10, .request = "b"});
    assert_int_equal(lines_in(&g.text), 1);
    assert_true(has(&g, "three"));
    hob_buf_done(&g.text);
    read_all(w, &g, (struct log_query){.tail = 10, .since_ms = (int64_t)w->next_ms - 2});
    assert_int_equal(lines_in(&g.text), 2);
    assert_true(has(&g, "three") && has(&g, "four"));
    hob_buf_done(&g.text);
}

static void a_follower_gets_every_line_once_and_in_order(void **state)
{
    struct world *w = *state;
    struct got g;
    char text[32];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "line %04d.", i);
        say(w, text);
    }
    struct log_reader *r = begin(w, &g, (struct log_query){.tail = 10000, .is_following = true});
    for (int i = 100; i < 3000; i++) { /* while the batch, the reading and later batches run */
        (void)snprintf(text, sizeof text, "line %04d.", i);
        say(w, text);
        if (i % 50 == 0)
            run_ms(w, 1);
    }
    run_ms(w, 100);
    assert_false(g.is_ended);
    assert_int_equal(lines_in(&g.text), 3000);
    const char *at = hob_buf_data(&g.text);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "line %04d.", i);
        at = memmem(at, g.text.n - (size_t)(at - hob_buf_data(&g.text)), text, strlen(text));
        assert_non_null(at);
    }
    log_reader_close(r);
    say(w, "after the close");
    run_ms(w, 50);
    assert_false(has(&g, "after the close"));
    assert_false(g.is_ended);
    hob_buf_done(&g.text);
}

static void a_follower_that_waits_for_the_worker_gets_no_line_twice(void **state)
{
    struct world *w = *state;
    struct got first, second;
    say(w, "before");
    (void)begin(w, &first, (struct log_query){.tail = 10}); /* its batch keeps the worker busy */
    struct log_reader *r = begin(w, &second, (struct log_query){.tail = 10, .is_following = true});
    say(w, "meanwhile");
    run_ms(w, 100);
    assert_true(first.is_ended);
    assert_int_equal(lines_in(&second.text), 2);
    assert_true(has(&second, "before") && has(&second, "meanwhile"));
    log_reader_close(r);
    hob_buf_done(&first.text);
    hob_buf_done(&second.text);
}

static void a_slow_follower_loses_lines_and_is_told_how_many(void **state)
{
    struct world *w = *state;
    struct got g;
    char big[1000];
    memset(big, 'x', sizeof big);
    struct log_reader *r = begin(w, &g, (struct log_query){.tail = 10, .is_following = true});
    run_ms(w, 50);
    g.is_slow = true;
    say(w, "first");
    for (int i = 0; i < 1000; i++)
        say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(big, sizeof big));
    run_ms(w, 100);
    assert_int_equal(g.calls, 1); /* paused: nothing more came */
    assert_true(has(&g, "first"));
    g.is_slow = false;
    log_reader_resume(r);
    say(w, "last");
    assert_true(has(&g, "lines left out here: this reader was too slow"));
    assert_true(has(&g, "\"last\""));
    assert_true(g.text.n < HOB_MAX_LOG_FOLLOW_BYTES + 10000);
    log_reader_close(r);
    hob_buf_done(&g.text);
}

static void a_reader_may_close_itself_in_its_callback(void **state)
{
    struct world *w = *state;
    struct got g;
    say(w, "one");
    struct log_reader *r = begin(w, &g, (struct log_query){.tail = 10, .is_following = true});
    g.close_me = r;
    run_ms(w, 60);
    assert_int_equal(g.calls, 1);
    hob_buf_done(&g.text);
    r = begin(w, &g, (struct log_query){.tail = 10});
    log_reader_close(r); /* while the worker reads */
    run_ms(w, 60);
    assert_int_equal(g.calls, 0);
    hob_buf_done(&g.text);
}

static void files_rotate_and_one_older_is_kept(void **state)
{
    struct world *w = *state;
    struct got g;
    struct stat now, older;
    char path[128], text[8001];
    memset(text, 'y', sizeof text - 1);
    for (int i = 0; i < 2600; i++) {
        (void)snprintf(text, sizeof text, "%04d%s", i, "|");
        text[5] = 'y';
        text[8000] = '\0';
        say(w, text);
        if (i % 25 == 24)
            run_ms(w, 25);
    }
    read_all(w, &g, (struct log_query){.tail = 1});
    assert_true(has(&g, "2599|"));
    hob_buf_done(&g.text);
    (void)snprintf(path, sizeof path, "%s/shop/hello.log", w->dir);
    assert_int_equal(stat(path, &now), 0);
    (void)snprintf(path, sizeof path, "%s/shop/hello.log.1", w->dir);
    assert_int_equal(stat(path, &older), 0);
    assert_true(now.st_size <= HOB_MAX_LOG_FILE_BYTES && older.st_size <= HOB_MAX_LOG_FILE_BYTES);
    assert_true(older.st_size > HOB_MAX_LOG_FILE_BYTES / 2);
    read_all(w, &g, (struct log_query){.tail = 10000}); /* reaches into the older file, bounded in bytes */
    assert_in_range(g.text.n, HOB_MAX_LOG_TAIL_BYTES - 20000, HOB_MAX_LOG_TAIL_BYTES);
    assert_true(has(&g, "2599|"));
    hob_buf_done(&g.text);
}

static void a_flood_is_dropped_counted_and_said(void **state)
{
    struct world *w = *state;
    struct got g;
    struct logs_stats stats;
    char text[2000];
    memset(text, 'z', sizeof text);
    for (int i = 0; i < 1000; i++) /* no turn of the loop between */
        say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(text, sizeof text));
    logs_stats(w->logs, &stats);
    assert_true(stats.pending_bytes <= HOB_MAX_LOG_PENDING_BYTES);
    assert_int_equal(stats.lines_total, 1000);
    assert_in_range(stats.dropped_total, 800, 999);
    run_ms(w, 60);
    say(w, "after the flood");
    read_all(w, &g, (struct log_query){.tail = 10000});
    char said[64];
    (void)snprintf(said, sizeof said, "%llu lines dropped here", (unsigned long long)stats.dropped_total);
    assert_true(has(&g, said));
    assert_true(has(&g, "after the flood"));
    assert_int_equal(lines_in(&g.text), 1000 - stats.dropped_total + 2);
    hob_buf_done(&g.text);
}

static void after_a_loss_nothing_is_kept_until_the_loss_is_said(void **state)
{
    struct world *w = *state;
    struct logs_stats stats;
    struct got g;
    char text[2000];
    memset(text, 'z', sizeof text);
    for (stats.dropped_total = 0; stats.dropped_total == 0; logs_stats(w->logs, &stats))
        say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(text, sizeof text));
    say(w, "small enough to fit"); /* but it would stand before the remark about an older one */
    logs_stats(w->logs, &stats);
    assert_int_equal(stats.dropped_total, 2);
    run_ms(w, 60);
    say(w, "next");
    read_all(w, &g, (struct log_query){.tail = 2});
    assert_true(has(&g, "2 lines dropped here") && has(&g, "next"));
    assert_false(has(&g, "small enough"));
    hob_buf_done(&g.text);
}

static void a_long_text_is_cut_between_characters(void **state)
{
    struct world *w = *state;
    struct got g;
    size_t n = HOB_MAX_LOG_LINE_BYTES;
    hob_auto_free char *text = hob_calloc(1, n + 2);
    for (size_t i = 0; i + 1 < n + 2; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(text, n));
    say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(text, n + 2));
    memset(text, 1, n); /* six bytes of JSON each */
    say_as(w, "hello", HOB_CHLOG_INFO, "", hob_str_n(text, n));
    read_all(w, &g, (struct log_query){.tail = 10});
    assert_int_equal(lines_in(&g.text), 3);
    assert_true(has(&g, "\xc3\xa9... (cut, 16386 bytes)"));
    assert_false(has(&g, "\xef\xbf\xbd"));
    assert_false(has(&g, "(cut, 16384"));
    hob_buf_done(&g.text);
}

static void a_torn_line_is_skipped_and_ended(void **state)
{
    struct world *w = *state;
    struct got g;
    struct hob_err err;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/shop", w->dir);
    assert_int_equal(hob_mkdirs(path, 0755, &err), HOB_OK);
    (void)snprintf(path, sizeof path, "%s/shop/hello.log", w->dir);
    assert_int_equal(hob_write_file(path, HOB_STR("garbage\n\n{\"time\":\"2023-11-14T22:13:2"), 0644, &err),
                     HOB_OK);
    say(w, "whole");
    read_all(w, &g, (struct log_query){.tail = 10});
    assert_int_equal(lines_in(&g.text), 1);
    assert_true(has(&g, "whole"));
    hob_buf_done(&g.text);
}

static void what_cannot_be_written_is_counted(void **state)
{
    struct world *w = *state;
    struct got g;
    struct hob_err err;
    struct logs_stats stats;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/shop", w->dir);
    assert_int_equal(hob_write_file(path, HOB_STR("in the way"), 0644, &err), HOB_OK);
    say(w, "lost one");
    say(w, "lost two");
    run_ms(w, 80);
    logs_stats(w->logs, &stats);
    assert_int_equal(stats.dropped_total, 2);
    assert_int_equal(stats.write_errors_total, 1);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(unlink(path), 0);
    say(w, "back again");
    read_all(w, &g, (struct log_query){.tail = 10});
    assert_true(has(&g, "2 lines dropped here"));
    assert_true(has(&g, "back again"));
    hob_buf_done(&g.text);
}

static void removing_a_function_removes_its_log_and_ends_followers(void **state)
{
    struct world *w = *state;
    struct got g, g2;
    struct stat st;
    char path[128];
    say(w, "old");
    (void)begin(w, &g, (struct log_query){.tail = 10, .is_following = true});
    run_ms(w, 60);
    logs_remove(w->logs, "shop", "hello");
    assert_true(g.is_ended);
    assert_false(g.has_failed);
    say(w, "new life");
    read_all(w, &g2, (struct log_query){.tail = 10});
    assert_int_equal(lines_in(&g2.text), 1);
    assert_true(has(&g2, "new life"));
    logs_remove(w->logs, "shop", "hello");
    run_ms(w, 60);
    (void)snprintf(path, sizeof path, "%s/shop", w->dir);
    assert_int_equal(stat(path, &st), -1);
    hob_buf_done(&g.text);
    hob_buf_done(&g2.text);
}

static void closing_writes_what_waits_and_ends_readers(void **state)
{
    struct world *w = *state;
    struct got g, g2, g3;
    struct hob_err err;
    say(w, "one");
    struct log_reader *r = begin(w, &g, (struct log_query){.tail = 10, .is_following = true});
    run_ms(w, 60);
    g.is_slow = true;
    say(w, "two");
    say(w, "three");
    (void)r;
    (void)begin(w, &g2, (struct log_query){.tail = 10}); /* being read */
    (void)begin(w, &g3, (struct log_query){.tail = 10}); /* waiting */
    close_logs(w);
    assert_true(g.is_ended && g.has_failed);
    assert_true(g2.is_ended && g3.is_ended);
    struct hob_buf file hob_auto_buf;
    char path[128];
    hob_buf_init(&file, 100000);
    (void)snprintf(path, sizeof path, "%s/shop/hello.log", w->dir);
    assert_int_equal(hob_read_file(path, &file, &err), HOB_OK);
    assert_int_equal(lines_in(&file), 3);
    hob_buf_done(&g.text);
    hob_buf_done(&g2.text);
    hob_buf_done(&g3.text);
}

static void readers_are_bounded(void **state)
{
    struct world *w = *state;
    struct got *g = hob_new_n(struct got, HOB_MAX_LOG_READERS);
    struct log_reader *readers[HOB_MAX_LOG_READERS];
    struct hob_err err = {0};
    for (size_t i = 0; i < HOB_MAX_LOG_READERS; i++)
        readers[i] = begin(w, &g[i], (struct log_query){.is_following = true});
    struct log_query q = {.app = "shop", .function = "hello"};
    assert_null(logs_read(w->logs, &q, &got_events, g, &err));
    assert_int_equal(err.code, HOB_E_BUSY);
    log_reader_close(readers[7]);
    readers[7] = logs_read(w->logs, &q, &got_events, &g[7], &err);
    assert_non_null(readers[7]);
    run_ms(w, 20);
    for (size_t i = 0; i < HOB_MAX_LOG_READERS; i++)
        if (i != 7)
            log_reader_close(readers[i]);
    while (!g[7].is_ended)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < HOB_MAX_LOG_READERS; i++)
        hob_buf_done(&g[i].text);
    free(g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_json_with_every_member),
        TEST(the_newest_lines_come_oldest_first),
        TEST(filters_choose_level_time_and_request),
        TEST(a_follower_gets_every_line_once_and_in_order),
        TEST(a_follower_that_waits_for_the_worker_gets_no_line_twice),
        TEST(a_slow_follower_loses_lines_and_is_told_how_many),
        TEST(a_reader_may_close_itself_in_its_callback),
        TEST(files_rotate_and_one_older_is_kept),
        TEST(a_flood_is_dropped_counted_and_said),
        TEST(after_a_loss_nothing_is_kept_until_the_loss_is_said),
        TEST(a_long_text_is_cut_between_characters),
        TEST(a_torn_line_is_skipped_and_ended),
        TEST(what_cannot_be_written_is_counted),
        TEST(removing_a_function_removes_its_log_and_ends_followers),
        TEST(closing_writes_what_waits_and_ends_readers),
        TEST(readers_are_bounded),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
