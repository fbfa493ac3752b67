/* Request ids and W3C Trace Context. */
#include "check.h"

#include "api/server/trace.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void request_ids_of_clients_are_kept_when_well_formed(void **state)
{
    (void)state;
    char out[HTTP_REQUEST_ID_MAX + 1], longest[66];
    memset(longest, 'x', sizeof longest);
    static const char *const good[] = {"a", "A-Z_0.9", "01a1f78b-2e9a-7cfd-9db4-29dd5040b3f9"};
    static const char *const wrong[] = {"", "a b", "a/b", "a\r\nb", "\xc3\xbc", "a,b", "a\"b", "<a>"};
    for (size_t i = 0; i < HOB_COUNT(good); i++) {
        http_request_id(hob_str(good[i]), out);
        assert_string_equal(out, good[i]);
    }
    for (size_t i = 0; i < HOB_COUNT(wrong); i++) {
        http_request_id(hob_str(wrong[i]), out);
        assert_string_not_equal(out, wrong[i]);
        assert_int_equal(strlen(out), 36);
        assert_int_equal(out[14], '7'); /* UUID version 7 */
    }
    assert_true(http_request_id_is_valid(hob_str_n(longest, 64)));
    assert_false(http_request_id_is_valid(hob_str_n(longest, 65)));
    http_request_id(hob_str_n("a\0b", 3), out);
    assert_int_equal(strlen(out), 36);
}

static void traceparents_are_judged_as_the_standard_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
    } cases[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", true},
        {"00-" TRACE "-" SPAN "-ff", true},
        {"cc-" TRACE "-" SPAN "-01", true},
        {"cc-" TRACE "-" SPAN "-01-what-the-future-brings", true},
        {"cc-" TRACE "-" SPAN "-01.what", false},
        {"00-" TRACE "-" SPAN "-01-more", false},
        {"ff-" TRACE "-" SPAN "-01", false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
        {"00-" TRACE "-" SPAN "-0", false},
        {"00-" TRACE "-" SPAN, false},
        {"0-" TRACE "-" SPAN "-01", false},
        {"zz-" TRACE "-" SPAN "-01", false},
        {"00-" TRACE "-" SPAN "-zz", false},
        {"00_" TRACE "_" SPAN "_01", false},
        {"", false},
    };
    for (size_t i = 0; i < HOB_COUNT(cases); i++)
        assert_int_equal(http_traceparent_is_valid(hob_str(cases[i].text)), cases[i].is_valid);
}

static void a_valid_trace_is_continued_by_a_fresh_span(void **state)
{
    (void)state;
    char out[HTTP_TRACEPARENT_CHARS + 1], again[HTTP_TRACEPARENT_CHARS + 1];
    http_traceparent(HOB_STR("00-" TRACE "-" SPAN "-00"), out);
    assert_memory_equal(out, "00-" TRACE "-", 36);
    assert_string_equal(out + 52, "-00");
    assert_memory_not_equal(out + 36, SPAN, 16);
    assert_true(http_traceparent_is_valid(hob_str(out)));
    http_traceparent(HOB_STR("00-" TRACE "-" SPAN "-00"), again);
    assert_string_not_equal(out, again);
    http_traceparent(HOB_STR("cc-" TRACE "-" SPAN "-03-x"),
                     out); /* only "sampled" travels on, as version 00 */
    assert_memory_equal(out, "00-" TRACE "-", 36);
    assert_string_equal(out + 52, "-01");
}

static void an_invalid_or_missing_trace_begins_a_new_one(void **state)
{
    (void)state;
    char out[HTTP_TRACEPARENT_CHARS + 1];
    http_traceparent((struct hob_str){NULL, 0}, out);
    assert_true(http_traceparent_is_valid(hob_str(out)));
    assert_int_equal(strlen(out), HTTP_TRACEPARENT_CHARS);
    http_traceparent(HOB_STR("ff-" TRACE "-" SPAN "-01"), out);
    assert_true(http_traceparent_is_valid(hob_str(out)));
    assert_memory_not_equal(out + 3, TRACE, 32);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_ids_of_clients_are_kept_when_well_formed),
        cmocka_unit_test(traceparents_are_judged_as_the_standard_says),
        cmocka_unit_test(a_valid_trace_is_continued_by_a_fresh_span),
        cmocka_unit_test(an_invalid_or_missing_trace_begins_a_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
