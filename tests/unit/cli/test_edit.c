/* One value of hob.json is changed, and nothing else of it. */
#include "check.h"

#include <string.h>

#include "base/buf.h"
#include "cli/edit.h"

static char text[65536];

static enum hob_code set(const char *from, const char *function, const char *names, struct hob_err *err)
{
    struct hob_buf out;
    hob_buf_init(&out, sizeof text - 1);
    hob_auto_json json_t *list = json_loads(names, 0, NULL);
    assert_non_null(list);
    enum hob_code code = edit_set_list(hob_str(from), function, "syscalls", list, &out, err);
    (void)snprintf(text, sizeof text, "%.*s", (int)out.n, out.n ? hob_buf_data(&out) : "");
    hob_buf_done(&out);
    return code;
}

static void assert_becomes(const char *from, const char *names, const char *to)
{
    struct hob_err err = {0};
    if (set(from, "f", names, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(text, to);
}

static void a_list_is_put_first_with_the_indent_of_the_others(void **state)
{
    (void)state;
    assert_becomes(
        "{\n  \"functions\": {\n    \"f\": {\n      \"entry\": \"a\"\n    }\n  }\n}\n", "[\"a\",\"b\"]",
        "{\n  \"functions\": {\n    \"f\": {\n      \"syscalls\": [\"a\", \"b\"],\n      \"entry\": "
        "\"a\"\n    }\n  }\n}\n");
    assert_becomes("{\"functions\":{\"f\":{\"entry\":\"a\"}}}", "[\"a\"]",
                   "{\"functions\":{\"f\":{\"syscalls\": [\"a\"], \"entry\":\"a\"}}}");
    assert_becomes("{\"functions\":{\"f\":{}}}", "[\"a\"]",
                   "{\"functions\":{\"f\":{\"syscalls\": [\"a\"]}}}");
}

static void a_list_that_is_there_is_replaced(void **state)
{
    (void)state;
    assert_becomes("{\"functions\":{\"f\":{\"syscalls\":[ /* old ] */ \"x\"] , \"entry\":\"a\"}}}", "[\"a\"]",
                   "{\"functions\":{\"f\":{\"syscalls\":[\"a\"] , \"entry\":\"a\"}}}");
}

static void comments_strings_and_namesakes_do_not_mislead(void **state)
{
    (void)state;
    assert_becomes(
        "// \"functions\": {\"f\": {}}\n{\"env\":{\"x\":{\"functions\":{\"f\":{}}}},\"a\":\"\\\"functions\\\": {\","
        "\"functions\" /* : { */ : {\"g\":{\"f\":{}}, // } \n \"f\" : {\"entry\":\"//x\"}}}",
        "[\"a\"]",
        "// \"functions\": {\"f\": {}}\n{\"env\":{\"x\":{\"functions\":{\"f\":{}}}},\"a\":\"\\\"functions\\\": {\","
        "\"functions\" /* : { */ : {\"g\":{\"f\":{}}, // } \n \"f\" : {\"syscalls\": [\"a\"], "
        "\"entry\":\"//x\"}}}");
}

static void long_lists_are_broken_into_lines(void **state)
{
    (void)state;
    char names[4096] = "[";
    for (int i = 0; i < 60; i++)
        (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s\"call_%d\"", i ? "," : "", i);
    (void)strcat(names, "]");
    struct hob_err err = {0};
    assert_int_equal(set("{\"functions\":{\n  \"f\":{\n    \"entry\":\"a\"}}}", "f", names, &err), HOB_OK);
    for (const char *at = text, *end; (end = strchr(at, '\n')); at = end + 1)
        assert_true(end - at <= 120);
    assert_true(strstr(text, ",\n      \"call_") != NULL);
}

static void what_cannot_be_done_is_said(void **state)
{
    (void)state;
    struct hob_err err = {0};
    assert_int_equal(set("{\"functions\":{\"g\":{}}}", "f", "[\"a\"]", &err), HOB_E_NOT_FOUND);
    assert_non_null(strstr(err.msg, "there is no functions.f"));
    assert_int_equal(set("{\"functions\":[]}", "f", "[\"a\"]", &err), HOB_E_NOT_FOUND);
    assert_true(set("{\"functions\":{\"f\":{}", "f", "[\"a\"]", &err) != HOB_OK);
    /* a name in another spelling is found by JSON, not by us: told, not guessed */
    assert_int_equal(set("{\"functions\":{\"\\u0066\":{}}}", "f", "[\"a\"]", &err), HOB_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_put_first_with_the_indent_of_the_others),
        cmocka_unit_test(a_list_that_is_there_is_replaced),
        cmocka_unit_test(comments_strings_and_namesakes_do_not_mislead),
        cmocka_unit_test(long_lists_are_broken_into_lines),
        cmocka_unit_test(what_cannot_be_done_is_said),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
