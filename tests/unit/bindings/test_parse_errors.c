/* Parse numbers, and how an error becomes an answer. */
#include "bindings/parse.h"

#include "check.h"

static void statuses_are_those_that_sdks_expect(void **state)
{
    (void)state;
    static const struct {
        enum parse_code code;
        int status;
    } cases[] = {{PARSE_OBJECT_NOT_FOUND, 404},       {PARSE_INTERNAL, 500},
                 {PARSE_REQUEST_LIMIT_EXCEEDED, 429}, {PARSE_OTHER_CAUSE, 400},
                 {PARSE_INVALID_QUERY, 400},          {PARSE_OPERATION_FORBIDDEN, 400},
                 {PARSE_INVALID_SESSION_TOKEN, 400},  {PARSE_TIMEOUT, 400},
                 {PARSE_SCRIPT_FAILED, 400},          {PARSE_DUPLICATE_VALUE, 400},
                 {PARSE_OBJECT_TOO_LARGE, 400},       {PARSE_COMMAND_UNAVAILABLE, 400}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_err err;
        (void)parse_fail(&err, cases[i].code, "why %d", 7);
        assert_int_equal(hob_err_parse_code(&err), cases[i].code);
        assert_int_equal(parse_error_status(&err), cases[i].status);
        assert_string_equal(err.msg, "why 7");
    }
}

static void expect_body(const struct hob_err *err, int status, const char *text)
{
    struct hob_buf out hob_auto_buf;
    hob_buf_init(&out, 4096);
    assert_int_equal(parse_error_status(err), status);
    assert_ok(parse_error_body(err, &out));
    assert_str_equal(hob_buf_str(&out), text);
}

static void bodies_tell_the_user_what_is_his_and_nothing_of_ours(void **state)
{
    struct hob_err err;
    (void)state;
    (void)parse_fail(&err, PARSE_OBJECT_NOT_FOUND, "Object not found.");
    expect_body(&err, 404, "{\"code\":101,\"error\":\"Object not found.\"}");
    (void)hob_fail(&err, HOB_E_INTERNAL, "the secret path /x/y broke");
    expect_body(&err, 500,
                "{\"code\":1,\"error\":\"Internal server error.\",\"message\":\"Internal server error.\"}");
    (void)hob_fail(&err, HOB_E_FORBIDDEN, "unauthorized: master key is required");
    expect_body(&err, 403, "{\"error\":\"unauthorized: master key is required\"}");
    (void)hob_fail(&err, HOB_E_UNAUTHORIZED, "unauthorized");
    expect_body(&err, 403, "{\"error\":\"unauthorized\"}");
    (void)hob_fail_reason(&err, HOB_E_NOT_FOUND, "no_route", "cannot GET /x");
    expect_body(&err, 404, "{\"error\":\"cannot GET /x\"}");
    (void)hob_fail(&err, HOB_E_NO_SPACE, "the disk is full");
    expect_body(&err, 503, "{\"code\":140,\"error\":\"the disk is full\"}");
    (void)hob_fail(&err, HOB_E_UNAVAILABLE, "closing");
    expect_body(&err, 503, "{\"code\":100,\"error\":\"closing\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_are_those_that_sdks_expect),
        cmocka_unit_test(bodies_tell_the_user_what_is_his_and_nothing_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
