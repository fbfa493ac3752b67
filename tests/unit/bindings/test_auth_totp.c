/* One-time passwords against the vectors of RFC 6238 and RFC 4226, and base 32. */
#include "bindings/auth/totp.h"
#include "check.h"

static const unsigned char sha1_key[] = "12345678901234567890";
static const unsigned char sha256_key[] = "12345678901234567890123456789012";
static const unsigned char sha512_key[] = "1234567890123456789012345678901234567890123456789012345678901234";

static struct totp of(const char *algorithm, const unsigned char *key, unsigned digits)
{
    return (struct totp){algorithm, digits, 30, hob_str((const char *)key)};
}

static void codes_are_those_of_rfc_6238(void **state)
{
    static const struct {
        uint64_t at_s;
        const char *sha1, *sha256, *sha512;
    } rows[] = {
        {59, "94287082", "46119246", "90693936"},         {1111111109, "07081804", "68084774", "25091201"},
        {1111111111, "14050471", "67062674", "99943326"}, {1234567890, "89005924", "91819424", "93441116"},
        {2000000000, "69279037", "90698825", "38618901"}, {20000000000, "65353130", "77737706", "47863826"}};
    struct totp a = of("SHA1", sha1_key, 8), b = of("SHA256", sha256_key, 8), c = of("SHA512", sha512_key, 8);
    char code[9];
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        totp_code(&a, rows[i].at_s / 30, code);
        assert_string_equal(code, rows[i].sha1);
        totp_code(&b, rows[i].at_s / 30, code);
        assert_string_equal(code, rows[i].sha256);
        totp_code(&c, rows[i].at_s / 30, code);
        assert_string_equal(code, rows[i].sha512);
    }
}

static void codes_of_six_digits_are_those_of_rfc_4226(void **state)
{
    static const char *const codes[] = {"755224", "287082", "359152", "969429", "338314",
                                        "254676", "287922", "162583", "399871", "520489"};
    struct totp t = of("SHA1", sha1_key, 6);
    char code[9];
    (void)state;
    for (uint64_t i = 0; i < HOB_COUNT(codes); i++) {
        totp_code(&t, i, code);
        assert_string_equal(code, codes[i]);
    }
}

static void a_code_is_taken_one_step_early_or_late_and_no_further(void **state)
{
    struct totp t = of("SHA1", sha1_key, 6);
    char code[9];
    int64_t step = 0;
    (void)state;
    for (int64_t away = -2; away <= 2; away++) {
        totp_code(&t, (uint64_t)(1000 + away), code);
        bool is_taken = totp_matches(&t, hob_str(code), 1000 * 30000 + 15000, 1, -1, &step);
        assert_int_equal(is_taken, away >= -1 && away <= 1);
        if (is_taken)
            assert_int_equal(step, 1000 + away);
    }
}

static void a_code_that_was_used_is_refused(void **state)
{
    struct totp t = of("SHA1", sha1_key, 6);
    char code[9];
    int64_t step = 0;
    (void)state;
    totp_code(&t, 1000, code);
    assert_true(totp_matches(&t, hob_str(code), 1000 * 30000, 1, 999, &step));
    assert_false(totp_matches(&t, hob_str(code), 1000 * 30000, 1, 1000, &step));
    assert_false(totp_matches(&t, hob_str(code), 1000 * 30000, 1, 1001, &step));
}

static void a_code_of_another_length_is_refused(void **state)
{
    struct totp t = of("SHA1", sha1_key, 6);
    int64_t step = 0;
    (void)state;
    assert_false(totp_matches(&t, HOB_STR("75522"), 0, 1, -1, &step));
    assert_false(totp_matches(&t, HOB_STR("7552240"), 0, 1, -1, &step));
    assert_false(totp_matches(&t, HOB_STR(""), 0, 1, -1, &step));
    assert_true(totp_matches(&t, HOB_STR("755224"), 0, 1, -1, &step));
}

static void base_32_is_that_of_rfc_4648(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "MY"},
                                          {"fo", "MZXQ"},
                                          {"foo", "MZXW6"},
                                          {"foob", "MZXW6YQ"},
                                          {"fooba", "MZXW6YTB"},
                                          {"foobar", "MZXW6YTBOI"}};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        char text[32];
        unsigned char back[32];
        size_t n = 99;
        base32_encode((const unsigned char *)rows[i][0], strlen(rows[i][0]), text);
        assert_string_equal(text, rows[i][1]);
        assert_true(base32_decode(hob_str(text), back, sizeof back, &n));
        assert_int_equal(n, strlen(rows[i][0]));
        assert_memory_equal(back, rows[i][0], n);
    }
}

static void base_32_takes_what_people_type_and_nothing_else(void **state)
{
    unsigned char out[4];
    size_t n = 0;
    (void)state;
    assert_true(base32_decode(HOB_STR("mzxw-6==="), out, sizeof out, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(out, "foo", 3);
    assert_false(base32_decode(HOB_STR("MZXW1"), out, sizeof out, &n));
    assert_false(base32_decode(HOB_STR("MZ=W6"), out, sizeof out, &n));
    assert_false(base32_decode(HOB_STR("MZXW6YTB"), out, sizeof out, &n)); /* 5 bytes do not fit in 4 */
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_rfc_6238),
        cmocka_unit_test(codes_of_six_digits_are_those_of_rfc_4226),
        cmocka_unit_test(a_code_is_taken_one_step_early_or_late_and_no_further),
        cmocka_unit_test(a_code_that_was_used_is_refused),
        cmocka_unit_test(a_code_of_another_length_is_refused),
        cmocka_unit_test(base_32_is_that_of_rfc_4648),
        cmocka_unit_test(base_32_takes_what_people_type_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
