/* The text of mails: templates, and names that try to become head lines. */
#include <sodium.h>

#include "base/mem.h"
#include "bindings/mail/mail_row.h"
#include "check.h"

static const struct mail_words words = {.app_name = "Shop",
                                        .username = "ann",
                                        .email = "ann@example.org",
                                        .link = "https://h/apps/x/verify_email?token=t&a=b"};

static char *compose(const json_t *templates, const char *kind, const struct mail_words *w)
{
    struct hob_buf out;
    struct hob_err err = {0};
    hob_buf_init(&out, MAIL_BYTES_MAX);
    if (mail_compose(templates, kind, "Shop <no-reply@example.org>", w, &out, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    assert_ok(hob_buf_add(&out, "", 1));
    return hob_buf_take(&out);
}

/* The base 64 part behind the n-th empty line. */
static char *part(const char *mail, int n)
{
    const char *at = mail;
    while (n-- > 0) {
        at = strstr(at, "\r\n\r\n");
        assert_non_null(at);
        at += 4;
    }
    char *plain = hob_calloc(strlen(at) + 1, 1);
    size_t plain_n = 0;
    const char *end = NULL;
    (void)sodium_base642bin((unsigned char *)plain, strlen(at), at, strlen(at), "\r\n", &plain_n, &end,
                            sodium_base64_VARIANT_ORIGINAL);
    return plain;
}

static void our_own_words_have_the_link_and_the_names(void **state)
{
    hob_auto_free char *mail = compose(NULL, "verify", &words), *reset = compose(NULL, "reset", &words);
    hob_auto_free char *text = part(mail, 1), *reset_text = part(reset, 1);
    (void)state;
    assert_contains(mail, "From: no-reply@example.org\r\n");
    assert_contains(mail, "To: ann@example.org\r\n");
    assert_contains(mail, "Subject: Please verify your e-mail for Shop\r\n");
    assert_contains(text, words.link);
    assert_contains(reset, "Subject: Password reset for Shop\r\n");
    assert_contains(reset_text, "Hi ann,");
}

static void templates_of_the_app_are_filled_and_html_is_escaped(void **state)
{
    json_t *templates hob_auto_json =
        json_pack("{s:{s:s,s:s,s:s}}", "reset", "subject", "Für {{username}} {{nothing}}", "text",
                  "go: {{link}}", "html", "<p>{{username}}</p><a href=\"{{link}}\">x</a>");
    struct mail_words w = words;
    (void)state;
    w.username = "<b>\"ann\" & co</b>";
    hob_auto_free char *mail = compose(templates, "reset", &w), *text = part(mail, 2), *html = part(mail, 4);
    assert_contains(mail, "multipart/alternative");
    assert_contains(mail, "Subject: =?UTF-8?B?");
    assert_string_equal(text, "go: https://h/apps/x/verify_email?token=t&a=b");
    assert_string_equal(html, "<p>&lt;b&gt;&quot;ann&quot; &amp; co&lt;/b&gt;</p>"
                              "<a href=\"https://h/apps/x/verify_email?token=t&amp;a=b\">x</a>");
}

static void a_name_cannot_add_a_head_line(void **state)
{
    struct mail_words w = words;
    (void)state;
    w.app_name = "Shop\r\nBcc: victim@example.org\r\n\r\nhello";
    hob_auto_free char *mail = compose(NULL, "verify", &w);
    assert_null(strstr(mail, "\r\nBcc:"));
    assert_null(strstr(mail, "hello"));
}

static void addresses_are_taken_alone_and_strange_ones_are_refused(void **state)
{
    static const char *const bad[] = {
        "",          "a",         "@",      "a b@c", "a@b\r\nX: y", "a@b,c@d", "<a@b", "a@b> <c@d> x",
        "-oQ/tmp@x", "a\x01@b.c", "\"a\"@b"};
    char out[321], longest[330];
    (void)state;
    assert_true(mail_address(HOB_STR("Ann <ann@example.org>"), out));
    assert_string_equal(out, "ann@example.org");
    assert_true(mail_address(HOB_STR("ann+tag@example.org"), out));
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(mail_address(hob_str(bad[i]), out));
    memset(longest, 'a', sizeof longest);
    longest[5] = '@';
    assert_true(mail_address(hob_str_n(longest, 320), out));
    assert_false(mail_address(hob_str_n(longest, 321), out));
}

static void long_and_foreign_subjects_break_between_characters(void **state)
{
    struct mail_words w = words;
    (void)state;
    w.app_name = "日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語";
    hob_auto_free char *mail = compose(NULL, "verify", &w);
    const char *line = strstr(mail, "Subject:");
    int words_n = 0;
    for (const char *at = strstr(line, "=?UTF-8?B?"); at; at = strstr(at + 1, "=?UTF-8?B?"), words_n++) {
        unsigned char plain[100];
        size_t n = 0;
        const char *end = strstr(at + 10, "?=");
        assert_true(end - at <= 75);
        assert_int_equal(sodium_base642bin(plain, sizeof plain, at + 10, (size_t)(end - at) - 10, NULL, &n,
                                           NULL, sodium_base64_VARIANT_ORIGINAL),
                         0);
        assert_true(hob_utf8_is_valid(hob_str_n(plain, n)));
    }
    assert_true(words_n > 2);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_words_have_the_link_and_the_names),
        cmocka_unit_test(templates_of_the_app_are_filled_and_html_is_escaped),
        cmocka_unit_test(a_name_cannot_add_a_head_line),
        cmocka_unit_test(addresses_are_taken_alone_and_strange_ones_are_refused),
        cmocka_unit_test(long_and_foreign_subjects_break_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
