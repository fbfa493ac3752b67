/* Printing, targets and addresses. */
#include "check.h"

#include "base/mem.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/target.h"

static struct hob_err err;

static char *safe(struct hob_str text)
{
    struct hob_buf b;
    hob_buf_init(&b, 4096);
    assert_ok(safe_text(&b, text, "\n"));
    char *out = hob_buf_take(&b);
    hob_buf_done(&b);
    return out;
}

static void strangers_text_is_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {{"a\033[2Jb", 6, "a\\x1b[2Jb"},
                 {"a\nb\tc", 5, "a\nb\\x09c"},
                 {"\0x", 2, "\\x00x"},
                 {"\xc3\xa9", 2, "\xc3\xa9"},
                 {"\xc2\x9b", 2, "\\xc2\\x9b"},
                 {"\xc2\xa0", 2, "\xc2\xa0"},
                 {"\xff", 1, "\\xff"},
                 {"\xe2\x82", 2, "\\xe2\\x82"},
                 {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
                 {"\x7f", 1, "\\x7f"},
                 {"", 0, ""},
                 {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        hob_auto_free char *out = safe(hob_str_n(cases[i].in, cases[i].n));
        assert_string_equal(out, cases[i].out);
    }
    struct hob_buf small;
    hob_buf_init(&small, 3);
    assert_int_equal(safe_text(&small, HOB_STR("\033"), ""), HOB_E_TOO_LARGE);
    hob_buf_done(&small);
}

static void tables_align_and_clean_their_cells(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    struct cli c = {.out = open_memstream(&text, &n)};
    static const char *const heads[] = {"A", "B"};
    struct table t;
    table_init(&t, 2, heads);
    table_cell(&t, "long name");
    table_cell(&t, NULL);
    table_cell(&t, "\xc3\xa9");
    table_cell(&t, "x\ny");
    table_print(&c, &t);
    assert_int_equal(fclose(c.out), 0);
    assert_string_equal(text, "A          B\nlong name  -\n\xc3\xa9          x\\x0ay\n");
    free(text);
}

static void sizes_and_times_read_well(void **state)
{
    (void)state;
    char out[24];
    bytes_text(0, out);
    assert_string_equal(out, "0 B");
    bytes_text(1023, out);
    assert_string_equal(out, "1023 B");
    bytes_text(1024, out);
    assert_string_equal(out, "1.0 KiB");
    bytes_text(UINT64_MAX, out);
    assert_string_equal(out, "16777216.0 TiB");
    millis_text(0.123, out);
    assert_string_equal(out, "0.12 ms");
    millis_text(1234, out);
    assert_string_equal(out, "1.23 s");
    age_text(-5, out);
    assert_string_equal(out, "0s");
    age_text(3599999, out);
    assert_string_equal(out, "59m");
    age_text(200000000, out);
    assert_string_equal(out, "2d");
    json_t *iso = json_string("2026-11-20T05:22:00.123Z"), *number = json_integer(5), *bad = json_string("x");
    assert_int_equal(time_of(iso), 1795152120000LL);
    assert_int_equal(time_of(number), 5);
    assert_int_equal(time_of(bad), -1);
    assert_int_equal(time_of(NULL), -1);
    json_decref(iso);
    json_decref(number);
    json_decref(bad);
}

static void targets_are_parsed(void **state)
{
    (void)state;
    struct target t;
    assert_ok(target_parse("shop/checkout", NULL, &t, &err));
    assert_string_equal(t.app, "shop");
    assert_string_equal(t.function, "checkout");
    assert_string_equal(t.qualifier, "");
    assert_ok(target_parse("shop/checkout:prod", NULL, &t, &err));
    assert_string_equal(t.qualifier, "prod");
    assert_ok(target_parse("checkout@7", "shop", &t, &err));
    assert_string_equal(t.app, "shop");
    assert_string_equal(t.qualifier, "7");
    static const char *const bad[] = {"",       "/",     "a/",  "/b",    "a/b/c",   "a/b:",  "a/b@",
                                      "a/b@0",  "a/b@x", "a/B", "a/b:P", "a/b@1:c", "a b/c", "a/b@4294967296",
                                      "a/../b", "a/b?x"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_int_equal(target_parse(bad[i], "a", &t, &err), HOB_E_INVALID);
    assert_int_equal(target_parse("a/b", "c", &t, &err), HOB_E_INVALID);
}

static void paths_are_encoded(void **state)
{
    (void)state;
    hob_auto_free char *path = url_path("/v1/%s/x?since=%s", "a/../b c", "2026+01\xc3\xa9&");
    assert_string_equal(path, "/v1/a%2F..%2Fb%20c/x?since=2026%2B01%C3%A9%26");
}

static void only_this_machine_is_loopback(void **state)
{
    (void)state;
    static const char *const here[] = {"http://127.0.0.1:7070", "http://localhost", "https://LOCALHOST:1/x",
                                       "http://[::1]:80", "http://127.9.9.9/"};
    static const char *const there[] = {"http://127.evil.example",
                                        "http://127.0.0.1.evil.example",
                                        "http://localhost.evil.example",
                                        "http://127.0.0.1@evil.example",
                                        "http://evil.example/127.0.0.1",
                                        "http://[::2]",
                                        "http://0.0.0.0",
                                        "http://x@y@127.0.0.1.evil"};
    for (size_t i = 0; i < HOB_COUNT(here); i++)
        assert_true(url_is_loopback(here[i]));
    for (size_t i = 0; i < HOB_COUNT(there); i++)
        assert_false(url_is_loopback(there[i]));
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_text_is_harmless), cmocka_unit_test(tables_align_and_clean_their_cells),
        cmocka_unit_test(sizes_and_times_read_well),  cmocka_unit_test(targets_are_parsed),
        cmocka_unit_test(paths_are_encoded),          cmocka_unit_test(only_this_machine_is_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
