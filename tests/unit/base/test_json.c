#include "check.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

static void comments_and_trailing_commas_are_read_and_lines_stay_true(void **state)
{
    (void)state;
    struct hob_err err = {0};
    hob_auto_json json_t *j = hob_json_parse_commented(
        HOB_STR("// head\n{ \"a\": \"x // no comment\", /* in\nside */ \"b\": [1, 2, ], }\n"), "hob.json",
        &err);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "a")), "x // no comment");
    assert_int_equal(json_array_size(json_object_get(j, "b")), 2);
    assert_null(hob_json_parse_commented(HOB_STR("{\n// c\n \"a\": }"), "hob.json", &err));
    assert_contains(err.msg, "line 3");
    assert_null(hob_json_parse_commented(HOB_STR("{}\n\n /* open"), "hob.json", &err));
    assert_contains(err.msg, "begins at line 3 is never closed");
    assert_null(hob_json_parse_commented(HOB_STR("{} /*/"), "hob.json", &err));
    assert_contains(err.msg, "never closed");
    hob_auto_json json_t *closed = hob_json_parse_commented(HOB_STR("{} /**/"), "hob.json", &err);
    assert_non_null(closed);
}

static void deep_and_duplicate_documents_are_refused(void **state)
{
    (void)state;
    char text[2 * (HOB_MAX_JSON_DEPTH + 1)];
    struct hob_err err = {0};
    size_t d = HOB_MAX_JSON_DEPTH;
    memset(text, '[', d);
    memset(text + d, ']', d);
    hob_auto_json json_t *fits = hob_json_parse(hob_str_n(text, 2 * d), "the body", &err);
    assert_non_null(fits);
    memset(text, '[', d + 1);
    memset(text + d + 1, ']', d + 1);
    assert_null(hob_json_parse(hob_str_n(text, 2 * (d + 1)), "the body", &err));
    assert_contains(err.msg, "deeper");
    assert_null(hob_json_parse(HOB_STR("{\"a\":1,\"a\":2}"), "the body", &err));
}

static void what_the_writer_writes_the_parser_reads(void **state)
{
    (void)state;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 4096);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "s", HOB_STR("q\"\\\n\x01</script>\xc3\xa4\xff"));
    hob_jw_kint(&w, "i", INT64_MIN);
    hob_jw_key(&w, "d");
    hob_jw_double(&w, 0.1);
    hob_jw_key(&w, "l");
    hob_jw_array(&w);
    hob_jw_bool(&w, true);
    hob_jw_null(&w);
    hob_jw_array_end(&w);
    hob_jw_object_end(&w);
    assert_ok(hob_jw_end(&w, NULL));
    hob_auto_json json_t *j = hob_json_parse(hob_buf_str(&b), "it", NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "s")),
                        "q\"\\\n\x01</script>\xc3\xa4\xef\xbf\xbd");
    assert_true(json_integer_value(json_object_get(j, "i")) == INT64_MIN);
    assert_true(json_real_value(json_object_get(j, "d")) == 0.1);
    assert_null(memchr(hob_buf_data(&b), '<', b.n));
}

static void a_file_is_replaced_whole_and_read_with_a_limit(void **state)
{
    (void)state;
    char dir[] = "/tmp/hob-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    hob_auto_free char *path = hob_asprintf("%s/a/b/file", dir);
    hob_auto_free char *folder = hob_asprintf("%s/a/b", dir);
    struct hob_err err = {0};
    assert_ok(hob_mkdirs(folder, 0700, &err));
    assert_ok(hob_mkdirs(folder, 0700, &err));
    assert_ok(hob_write_file(path, HOB_STR("12345"), 0600, &err));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    hob_auto_buf struct hob_buf fits, small;
    hob_buf_init(&fits, 5);
    hob_buf_init(&small, 4);
    assert_ok(hob_read_file(path, &fits, &err));
    assert_str_equal(hob_buf_str(&fits), "12345");
    assert_int_equal(hob_read_file(path, &small, &err), HOB_E_TOO_LARGE);
    assert_ok(hob_remove_tree(dir, &err));
    assert_ok(hob_remove_tree(dir, &err));
    assert_int_equal(hob_read_file(path, &fits, &err), HOB_E_NOT_FOUND);
}

static void ids_are_unique_and_well_formed(void **state)
{
    (void)state;
    char a[HOB_UUID_CHARS + 1], b[HOB_UUID_CHARS + 1];
    hob_uuid7(a);
    hob_uuid7(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '7');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
    assert_true(hob_id64() != hob_id64());
    char digest[HOB_DIGEST_CHARS + 1];
    hob_sha256_hex("abc", 3, digest);
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(hob_digest_is_valid(digest));
    digest[3] = 'G';
    assert_false(hob_digest_is_valid(digest));
}

static void every_limit_has_a_name_a_unit_a_reason_and_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOB_LIMIT_COUNT_; i++) {
        assert_non_null(strchr(hob_limits[i].name, '.'));
        assert_true(strlen(hob_limits[i].unit) > 0 && strlen(hob_limits[i].why) >= 8);
        assert_true(hob_limits[i].value > 0 && hob_limits[i].code != HOB_OK);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(hob_limits[i].name, hob_limits[k].name);
    }
}

static void every_error_code_has_a_row(void **state)
{
    (void)state;
    for (int c = 1; c < HOB_E_COUNT_; c++) {
        const struct hob_code_info *info = hob_code_info((enum hob_code)c);
        assert_non_null(info->reason);
        assert_true(info->http_status >= 400 && info->exit_code > 0);
    }
    struct hob_err err;
    assert_int_equal(hob_fail_errno(&err, 28, "writing x"), HOB_E_NO_SPACE);
    assert_contains(err.msg, "No space");
    (void)hob_err_wrap(&err, "deploying '%s'", "shop");
    assert_true(strncmp(err.msg, "deploying 'shop': writing x", 27) == 0);
}

static void a_virtual_clock_moves_only_when_told(void **state)
{
    (void)state;
    uint64_t now = 5;
    struct hob_clock c = hob_clock_virtual(&now);
    assert_int_equal(hob_clock_us(&c), 5);
    now = 9;
    assert_int_equal(hob_clock_us(&c), 9);
    char text[25];
    hob_utc_format(1767225600123, text);
    assert_string_equal(text, "2026-01-01T00:00:00.123Z");
    hob_utc_format(-1, text); /* before the epoch, and with years of less than four digits */
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    hob_utc_format(-1000, text);
    assert_string_equal(text, "1969-12-31T23:59:59.000Z");
    hob_utc_format(-62167219200000, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    hob_utc_format(253402300799999, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    assert_true(hob_hash("a", 1) == hob_hash("a", 1));
}

static void a_message_never_carries_control_characters_of_the_document(void **state)
{
    (void)state;
    struct hob_err err = {0};
    assert_null(hob_json_parse(HOB_STR("{\"a\" \033[2J\007\177}"), "the body", &err));
    assert_contains(err.msg, "line 1");
    for (const char *c = err.msg; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void a_nameless_file_leaves_nothing_behind_and_a_missing_folder_is_told(void **state)
{
    (void)state;
    struct hob_err err = {0};
    char dir[] = "/tmp/hob-nameless-XXXXXX", byte = 0;
    assert_non_null(mkdtemp(dir));
    hob_auto_close int fd = hob_open_nameless(dir, &err);
    assert_true(fd >= 0);
    assert_ok(hob_write_all(fd, HOB_STR("x"), "it", &err));
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(rmdir(dir), 0); /* empty */
    assert_int_equal(hob_open_nameless(dir, &err), -1);
    assert_contains(err.msg, dir);
}

static void written_as(double v, char *out, size_t n)
{
    struct hob_buf b;
    struct hob_jw w;
    hob_buf_init(&b, 100);
    hob_jw_init(&w, &b);
    hob_jw_double(&w, v);
    (void)snprintf(out, n, "%.*s", (int)b.n, hob_buf_str(&b).at);
    hob_buf_done(&b);
}

static void numbers_are_written_with_the_fewest_digits_that_read_back_the_same(void **state)
{
    static const double edges[] = {0.0,
                                   -0.0,
                                   0.001,
                                   0.0005,
                                   0.0015,
                                   1e12,
                                   999999999999.999,
                                   -12.5,
                                   1e15,
                                   1e-7,
                                   0.1,
                                   0.3,
                                   1.0 / 3,
                                   123456.789,
                                   -0.001,
                                   4503599627.1,
                                   2147483648.125,
                                   1000.001,
                                   1e300,
                                   999999999999.9999};
    uint64_t seed = 1;
    (void)state;
    for (size_t i = 0; i < 20000; i++) {
        char text[40], want[40];
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int64_t n = (int64_t)(seed >> 20) % 100000000000;
        double v = i < HOB_COUNT(edges) ? edges[i] : i % 3 ? (double)n / 1000 : (double)n / 1024 - 5e7;
        written_as(v, text, sizeof text);
        for (int digits = 15; digits <= 17; digits++) {
            (void)snprintf(want, sizeof want, "%.*g", digits, v);
            if (strtod(want, NULL) == v)
                break;
        }
        assert_string_equal(text, want);
    }
}

static void whole_numbers_are_written_to_their_ends(void **state)
{
    struct hob_buf b;
    struct hob_jw w;
    (void)state;
    hob_buf_init(&b, 200);
    hob_jw_init(&w, &b);
    hob_jw_int(&w, INT64_MIN);
    hob_jw_int(&w, INT64_MAX);
    hob_jw_int(&w, 0);
    hob_jw_int(&w, -10);
    assert_int_equal(hob_buf_add(&b, "", 1), HOB_OK);
    assert_string_equal(hob_buf_str(&b).at, "-9223372036854775808,9223372036854775807,0,-10");
    hob_buf_done(&b);
}

/* Sizes around those that are kept, freed in another order than they came. */
static void trees_of_all_sizes_come_and_go(void **state)
{
    enum { TREES = 400 };
    static json_t *kept[TREES];
    (void)state;
    for (int round = 0; round < 6; round++)
        for (size_t i = 0; i < TREES; i++) {
            size_t n = (i * 37 + (size_t)round * 11) % 330, at = (i * 7) % TREES;
            char text[400];
            memset(text, 'a' + round, n);
            text[n] = '\0';
            json_decref(kept[at]);
            kept[at] = json_pack("{s:s,s:[i,s]}", "text", text, "list", (int)i, text);
            assert_non_null(kept[at]);
            assert_int_equal(json_string_length(json_object_get(kept[at], "text")), n);
            free(json_dumps(kept[at], 0)); /* the caller's, by free */
        }
    for (size_t i = 0; i < TREES; i++) {
        const char *text = json_string_value(json_object_get(kept[i], "text"));
        assert_int_equal(strspn(text, "f"), strlen(text));
        json_decref(kept[i]);
    }
}

static void a_moment_is_written_alike_whatever_came_before(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {999, "1970-01-01T00:00:00.999Z"},
                {1000, "1970-01-01T00:00:01.000Z"},
                {1767225600009, "2026-01-01T00:00:00.009Z"},
                {253402300799999, "9999-12-31T23:59:59.999Z"}};
    (void)state;
    for (size_t i = 0; i < 50; i++) {
        char text[25];
        hob_utc_format(rows[i * 3 % HOB_COUNT(rows)].ms, text);
        assert_string_equal(text, rows[i * 3 % HOB_COUNT(rows)].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_with_the_fewest_digits_that_read_back_the_same),
        cmocka_unit_test(whole_numbers_are_written_to_their_ends),
        cmocka_unit_test(trees_of_all_sizes_come_and_go),
        cmocka_unit_test(a_moment_is_written_alike_whatever_came_before),
        cmocka_unit_test(comments_and_trailing_commas_are_read_and_lines_stay_true),
        cmocka_unit_test(deep_and_duplicate_documents_are_refused),
        cmocka_unit_test(a_message_never_carries_control_characters_of_the_document),
        cmocka_unit_test(what_the_writer_writes_the_parser_reads),
        cmocka_unit_test(a_file_is_replaced_whole_and_read_with_a_limit),
        cmocka_unit_test(ids_are_unique_and_well_formed),
        cmocka_unit_test(every_limit_has_a_name_a_unit_a_reason_and_an_error),
        cmocka_unit_test(every_error_code_has_a_row),
        cmocka_unit_test(a_virtual_clock_moves_only_when_told),
        cmocka_unit_test(a_nameless_file_leaves_nothing_behind_and_a_missing_folder_is_told),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
