/* What strangers write and auth reads: identity tokens, names, addresses, words of mails, base 32. Oracles: a token that
 * nobody signed is never good; folding a folded name changes nothing and keeps UTF-8 valid; a head of a mail has the lines
 * that we gave it, whatever the names in it are; base 32 comes back as it was.
 * The first byte chooses what the rest is. */
#include <stdlib.h>

#include "base/mem.h"
#include "bindings/auth/totp.h"
#include "bindings/auth/user_index.h"
#include "bindings/login/id_token.h"
#include "bindings/mail/mail_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_token(struct hob_str token)
{
    static json_t *jwks, *audience;
    json_t *claims = NULL;
    struct hob_err err;
    if (!jwks) { /* the example key of RFC 7515, A.3 */
        jwks = json_loads(
            "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
            "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
            0, NULL);
        audience = json_string("client");
        HOB_ASSERT(jwks && audience);
    }
    struct id_token_rules rules = {.issuer = "joe",
                                   .audiences = audience,
                                   .now_ms = 1300819380000LL - 1000}; /* the example's time and issuer */
    HOB_ASSERT(id_token_judge(token, jwks, &rules, &claims, &err) != ID_TOKEN_GOOD); /* it has no audience */
    HOB_ASSERT(!claims);
}

/* Keys of a provider, which may be anybody. */
static void judge_keys(struct hob_str text)
{
    static const char token[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    struct hob_err err;
    json_t *jwks = hob_json_parse(text, "keys", &err), *claims = NULL, *audience = json_string("client");
    struct id_token_rules rules = {.issuer = "joe", .audiences = audience, .now_ms = 1300819380000LL - 1000};
    HOB_ASSERT(id_token_judge(hob_str(token), jwks, &rules, &claims, &err) != ID_TOKEN_GOOD);
    json_decref(jwks);
    json_decref(audience);
}

static void judge_name(struct hob_str name)
{
    hob_auto_free char *once = user_fold(name), *twice = user_fold(hob_str(once));
    if (memchr(name.at, '\0', name.n) || !hob_utf8_is_valid(name))
        return;
    HOB_ASSERT(strcmp(once, twice) == 0);
    HOB_ASSERT(hob_utf8_is_valid(hob_str(once)));
}

static void judge_mail(struct hob_str text)
{
    struct hob_buf out hob_auto_buf;
    struct hob_err err;
    hob_auto_free char *word = hob_strndup(text.at, text.n);
    struct mail_words words = {.app_name = word, .username = word, .email = "a@example.org", .link = word};
    json_t *templates =
        json_pack("{s:{s:s?}}", "reset", "subject", hob_utf8_is_valid(hob_str(word)) ? word : NULL);
    hob_buf_init(&out, MAIL_BYTES_MAX);
    if (mail_compose(templates, "reset", "no-reply@example.org", &words, &out, &err) == HOB_OK) {
        static const char *const names[] = {
            "From: ",           "To: ",           "Date: ",
            "Message-ID: ",     "Subject:",       "MIME-Version: ",
            "Auto-Submitted: ", "Content-Type: ", "Content-Transfer-Encoding: "};
        HOB_ASSERT(hob_buf_add(&out, "", 1) == HOB_OK);
        size_t n = 0;
        for (const char *line = hob_buf_data(&out); *line != '\r'; line = strstr(line, "\r\n") + 2) {
            if (*line == ' ')
                continue; /* goes on */
            HOB_ASSERT(n < HOB_COUNT(names) && strncmp(line, names[n], strlen(names[n])) == 0);
            n++;
        }
        HOB_ASSERT(n == HOB_COUNT(names));
    }
    json_decref(templates);
}

static void judge_address(struct hob_str text)
{
    char out[321];
    if (mail_address(text, out))
        HOB_ASSERT(strchr(out, '@') && !strpbrk(out, " <>\r\n,;") && strlen(out) <= 320);
}

static void judge_base32(struct hob_str text)
{
    unsigned char back[TOTP_SECRET_BYTES_MAX];
    char encoded[TOTP_SECRET_BYTES_MAX * 2];
    size_t n = 0, again_n = 0;
    if (!base32_decode(text, back, sizeof back, &n))
        return;
    unsigned char again[TOTP_SECRET_BYTES_MAX];
    base32_encode(back, n, encoded);
    HOB_ASSERT(base32_decode(hob_str(encoded), again, sizeof again, &again_n));
    HOB_ASSERT(again_n == n && memcmp(again, back, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const judges[])(struct hob_str) = {judge_token,   judge_name,   judge_mail,
                                                     judge_address, judge_base32, judge_keys};
    if (size < 1)
        return 0;
    judges[data[0] % HOB_COUNT(judges)](hob_str_n(data + 1, size - 1));
    return 0;
}
