/* Identity tokens: good ones of each kind, and every way to forge one that is known. */
#include <cjose/cjose.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include "base/id.h"
#include "base/mem.h"
#include "bindings/login/id_token.h"
#include "check.h"

#define NOW_S 1800000000LL
#define ISSUER "https://issuer.example"

static cjose_jwk_t *rsa, *other_rsa, *weak_rsa, *ec;
static json_t *jwks;

static json_t *public_of(cjose_jwk_t *key, const char *kid)
{
    char *text = cjose_jwk_to_json(key, false, NULL);
    json_t *j = json_loads(text, 0, NULL);
    (void)json_object_set_new(j, "kid", json_string(kid));
    free(text);
    return j;
}

static int make_keys(void **state)
{
    static const uint8_t e[] = {1, 0, 1};
    (void)state;
    rsa = cjose_jwk_create_RSA_random(2048, e, sizeof e, NULL);
    other_rsa = cjose_jwk_create_RSA_random(2048, e, sizeof e, NULL);
    weak_rsa = cjose_jwk_create_RSA_random(1024, e, sizeof e, NULL);
    ec = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, NULL);
    if (!rsa || !other_rsa || !weak_rsa || !ec)
        return -1;
    jwks = json_pack("{s:[o,o,o]}", "keys", public_of(rsa, "r1"), public_of(ec, "e1"),
                     public_of(weak_rsa, "w1"));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    json_decref(jwks);
    (void)cjose_jwk_release(rsa);
    (void)cjose_jwk_release(other_rsa);
    (void)cjose_jwk_release(weak_rsa);
    (void)cjose_jwk_release(ec);
    return 0;
}

static json_t *claims(void)
{
    return json_pack("{s:s,s:s,s:s,s:I,s:I}", "iss", ISSUER, "sub", "user-1", "aud", "client", "iat",
                     (json_int_t)NOW_S, "exp", (json_int_t)NOW_S + 600);
}

static char *sign(cjose_jwk_t *key, const char *alg, const char *kid, const json_t *payload)
{
    const char *text = NULL;
    char *body = json_dumps(payload, JSON_COMPACT);
    cjose_header_t *head = cjose_header_new(NULL);
    assert_true(cjose_header_set(head, "alg", alg, NULL));
    if (kid)
        assert_true(cjose_header_set(head, "kid", kid, NULL));
    cjose_jws_t *jws = cjose_jws_sign(key, head, (const uint8_t *)body, strlen(body), NULL);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &text, NULL));
    char *copy = hob_strdup(text);
    cjose_jws_release(jws);
    cjose_header_release(head);
    free(body);
    return copy;
}

static enum id_token_verdict judge_with(const char *token, const json_t *keys,
                                        const struct id_token_rules *own, struct hob_err *err)
{
    json_t *audience hob_auto_json = json_string("client"), *found hob_auto_json = NULL;
    struct id_token_rules rules = own ? *own : (struct id_token_rules){0};
    rules.issuer = rules.issuer ? rules.issuer : ISSUER;
    rules.audiences = rules.audiences ? rules.audiences : audience;
    rules.now_ms = rules.now_ms ? rules.now_ms : NOW_S * 1000;
    memset(err, 0, sizeof *err);
    enum id_token_verdict v = id_token_judge(hob_str(token), keys, &rules, &found, err);
    assert_int_equal(found != NULL, v == ID_TOKEN_GOOD);
    return v;
}

static void assert_refused(char *token, const char *why)
{
    struct hob_err err;
    assert_int_equal(judge_with(token, jwks, NULL, &err), ID_TOKEN_BAD);
    if (!strstr(err.msg, why))
        fail_msg("'%s' does not say '%s'", err.msg, why);
    free(token);
}

static void good_tokens_of_rsa_and_elliptic_curves_are_accepted(void **state)
{
    static const struct {
        const char *alg, *kid;
        bool is_ec;
    } rows[] = {{"RS256", "r1", false}, {"RS384", "r1", false}, {"RS512", "r1", false},
                {"PS256", "r1", false}, {"RS256", NULL, false}, {"ES256", "e1", true},
                {"ES256", NULL, true}};
    json_t *payload hob_auto_json = claims();
    struct hob_err err;
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        if (!rows[i].kid && !rows[i].is_ec)
            continue; /* two RSA keys could have signed: see below */
        hob_auto_free char *token = sign(rows[i].is_ec ? ec : rsa, rows[i].alg, rows[i].kid, payload);
        if (judge_with(token, jwks, NULL, &err) != ID_TOKEN_GOOD)
            fail_msg("%s: %s", rows[i].alg, err.msg);
    }
}

static char *join(const char *head, const char *payload, const unsigned char *mac, size_t mac_n)
{
    char a[2048], b[4096], c[256] = "";
    (void)sodium_bin2base64(a, sizeof a, (const unsigned char *)head, strlen(head),
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)sodium_bin2base64(b, sizeof b, (const unsigned char *)payload, strlen(payload),
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (mac_n)
        (void)sodium_bin2base64(c, sizeof c, mac, mac_n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return hob_asprintf("%s.%s.%s", a, b, c);
}

static void a_token_without_a_signature_is_refused(void **state)
{
    json_t *payload hob_auto_json = claims();
    hob_auto_free char *text = json_dumps(payload, JSON_COMPACT);
    (void)state;
    assert_refused(join("{\"alg\":\"none\"}", text, NULL, 0), "parts");
    assert_refused(join("{\"alg\":\"RS256\",\"kid\":\"r1\"}", text, NULL, 0), "parts");
    assert_refused(join("{\"alg\":\"none\"}", text, (const unsigned char *)"x", 1), "algorithm");
    assert_refused(join("{\"alg\":\"None\",\"kid\":\"r1\"}", text, (const unsigned char *)"x", 1),
                   "algorithm");
    assert_refused(join("{\"alg\":\"RS256\",\"kid\":\"r1\"}", text, (const unsigned char *)"x", 1),
                   "signature");
    assert_refused(join("{\"kid\":\"r1\"}", text, (const unsigned char *)"x", 1), "algorithm");
}

/* The public key of the provider as an HMAC secret: the classic confusion. */
static void a_public_key_does_not_serve_as_a_secret(void **state)
{
    json_t *payload hob_auto_json = claims();
    hob_auto_free char *text = json_dumps(payload, JSON_COMPACT), *key = cjose_jwk_to_json(rsa, false, NULL);
    unsigned char mac[32];
    unsigned mac_n = 0;
    (void)state;
    hob_auto_free char *start = join("{\"alg\":\"HS256\",\"kid\":\"r1\"}", text, NULL, 0);
    assert_non_null(HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)start, strlen(start) - 1,
                         mac, &mac_n));
    assert_refused(join("{\"alg\":\"HS256\",\"kid\":\"r1\"}", text, mac, mac_n), "algorithm");
}

static void a_key_in_the_token_itself_is_not_used(void **state)
{
    json_t *payload hob_auto_json = claims();
    hob_auto_free char *text = json_dumps(payload, JSON_COMPACT),
                       *key = cjose_jwk_to_json(other_rsa, false, NULL);
    hob_auto_free char *head = hob_asprintf("{\"alg\":\"RS256\",\"kid\":\"r1\",\"jwk\":%s}", key);
    (void)state;
    assert_refused(join(head, text, (const unsigned char *)"x", 1), "signature");
}

static void a_token_signed_by_another_key_or_changed_is_refused(void **state)
{
    json_t *payload hob_auto_json = claims();
    (void)state;
    assert_refused(sign(other_rsa, "RS256", "r1", payload), "signature");
    char *token = sign(rsa, "RS256", "r1", payload);
    char *dot = strchr(token, '.') + 10;
    *dot = *dot == 'A' ? 'B' : 'A';
    assert_refused(token, "signature");
    token = sign(rsa, "RS256", "r1", payload);
    token[strlen(token) - 10] = token[strlen(token) - 10] == 'A' ? 'B' : 'A';
    assert_refused(token, "signature");
}

static void a_weak_key_is_not_used(void **state)
{
    json_t *payload hob_auto_json = claims();
    (void)state;
    assert_refused(sign(weak_rsa, "RS256", "w1", payload), "signature");
}

static void an_unknown_key_asks_for_the_keys_anew(void **state)
{
    json_t *payload hob_auto_json = claims(), *none hob_auto_json = json_pack("{s:[]}", "keys");
    struct hob_err err;
    (void)state;
    hob_auto_free char *token = sign(rsa, "RS256", "r2", payload),
                       *nameless = sign(rsa, "RS256", NULL, payload);
    hob_auto_free char *crossed = sign(rsa, "RS256", "e1", payload);
    assert_int_equal(judge_with(token, jwks, NULL, &err), ID_TOKEN_NO_KEY);
    assert_int_equal(judge_with(token, none, NULL, &err), ID_TOKEN_NO_KEY);
    assert_int_equal(judge_with(token, NULL, NULL, &err), ID_TOKEN_NO_KEY);
    assert_int_equal(judge_with(nameless, jwks, NULL, &err), ID_TOKEN_NO_KEY); /* two could have signed */
    assert_int_equal(judge_with(crossed, jwks, NULL, &err),
                     ID_TOKEN_NO_KEY); /* an EC key, an RSA algorithm */
}

static void a_key_for_something_else_is_not_used(void **state)
{
    json_t *payload hob_auto_json = claims(), *key = public_of(rsa, "r1");
    struct hob_err err;
    (void)state;
    (void)json_object_set_new(key, "use", json_string("enc"));
    json_t *keys hob_auto_json = json_pack("{s:[o]}", "keys", key);
    hob_auto_free char *token = sign(rsa, "RS256", "r1", payload);
    assert_int_equal(judge_with(token, keys, NULL, &err), ID_TOKEN_NO_KEY);
    (void)json_object_set_new(key, "use", json_string("sig"));
    (void)json_object_set_new(key, "alg", json_string("RS512"));
    assert_int_equal(judge_with(token, keys, NULL, &err), ID_TOKEN_NO_KEY);
    (void)json_object_set_new(key, "alg", json_string("RS256"));
    assert_int_equal(judge_with(token, keys, NULL, &err), ID_TOKEN_GOOD);
}

/* A provider's keys are strangers' words, too. */
static void damaged_keys_are_not_used(void **state)
{
    static const char *const bad[] = {"", "A", "AAAAA", "A===", "not base 64", "AQ"};
    json_t *payload hob_auto_json = claims();
    struct hob_err err;
    (void)state;
    hob_auto_free char *token = sign(ec, "ES256", "e1", payload),
                       *rsa_token = sign(rsa, "RS256", "r1", payload);
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        json_t *key = public_of(ec, "e1"), *rsa_key = public_of(rsa, "r1");
        json_t *keys hob_auto_json = json_pack("{s:[o,o]}", "keys", key, rsa_key);
        (void)json_object_set_new(key, "x", json_string(bad[i]));
        (void)json_object_set_new(rsa_key, "n", json_string(bad[i]));
        assert_int_equal(judge_with(token, keys, NULL, &err), ID_TOKEN_BAD);
        assert_int_equal(judge_with(rsa_token, keys, NULL, &err), ID_TOKEN_BAD);
        (void)json_object_set_new(rsa_key, "n", json_integer(7));
        assert_int_equal(judge_with(rsa_token, keys, NULL, &err), ID_TOKEN_BAD);
    }
}

static void wrong_claims_are_refused(void **state)
{
    static const struct {
        const char *name, *value, *why;
    } rows[] = {{"iss", "\"https://issuer.example/\"", "issuer"},
                {"iss", "7", "issuer"},
                {"aud", "\"another\"", "not for this app"},
                {"aud", "[]", "not for this app"},
                {"aud", "[\"client\",\"another\"]", "not for this app"}, /* without azp */
                {"aud", "null", "not for this app"},
                {"exp", "1799999940", "expired"},
                {"exp", "\"1900000000\"", "expired"},
                {"exp", "null", "expired"},
                {"nbf", "1800000061", "not valid yet"},
                {"iat", "1800000301", "not valid yet"},
                {"sub", "\"\"", "nobody"},
                {"sub", "7", "nobody"}};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        json_t *payload hob_auto_json = claims();
        (void)json_object_set_new(payload, rows[i].name, json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
        assert_refused(sign(ec, "ES256", "e1", payload), rows[i].why);
    }
}

static void times_have_a_minute_of_grace(void **state)
{
    json_t *payload hob_auto_json = claims();
    struct hob_err err;
    (void)state;
    (void)json_object_set_new(payload, "exp", json_integer(NOW_S - 59));
    (void)json_object_set_new(payload, "nbf", json_integer(NOW_S + 60));
    hob_auto_free char *token = sign(ec, "ES256", "e1", payload);
    assert_int_equal(judge_with(token, jwks, NULL, &err), ID_TOKEN_GOOD);
}

static void several_audiences_need_the_party_to_be_us(void **state)
{
    json_t *payload hob_auto_json = claims();
    struct hob_err err;
    (void)state;
    (void)json_object_set_new(payload, "aud", json_pack("[s,s]", "other", "client"));
    (void)json_object_set_new(payload, "azp", json_string("client"));
    hob_auto_free char *token = sign(ec, "ES256", "e1", payload);
    assert_int_equal(judge_with(token, jwks, NULL, &err), ID_TOKEN_GOOD);
}

static void the_nonce_must_be_the_one_asked_for_plain_or_hashed(void **state)
{
    char digest[HOB_DIGEST_CHARS + 1];
    struct id_token_rules rules = {.nonce = "n-1"}, must = {.must_have_nonce = true};
    struct hob_err err;
    (void)state;
    hob_sha256_hex("n-1", 3, digest);
    const char *const nonces[] = {"n-1", digest, "n-2", NULL};
    for (size_t i = 0; i < HOB_COUNT(nonces); i++) {
        json_t *payload hob_auto_json = claims();
        if (nonces[i])
            (void)json_object_set_new(payload, "nonce", json_string(nonces[i]));
        hob_auto_free char *token = sign(ec, "ES256", "e1", payload);
        assert_int_equal(judge_with(token, jwks, &rules, &err), i < 2 ? ID_TOKEN_GOOD : ID_TOKEN_BAD);
        assert_int_equal(judge_with(token, jwks, &must, &err), ID_TOKEN_BAD);
    }
}

static void what_is_no_token_is_refused(void **state)
{
    char *long_one = hob_calloc(ID_TOKEN_BYTES_MAX + 2, 1);
    (void)state;
    memset(long_one, 'a', ID_TOKEN_BYTES_MAX + 1);
    assert_refused(long_one, "no token");
    assert_refused(hob_strdup(""), "no token");
    assert_refused(hob_strdup("..."), "parts");
    assert_refused(hob_strdup("a.b.c"), "parts");
    assert_refused(hob_strdup("eyJhbGciOiJSUzI1NiJ9"), "parts");
    /* cjose would end the process on this one */
    assert_refused(hob_strdup("eyJhbGciOiJFUzI1NiJ9.emailC90I=jp0VclnfQ.DAfUW6NUh0Q"), "parts");
    assert_refused(hob_strdup("eyJhbGciOiJFUzI1NiJ9.e30.AAAAA"), "parts");
    assert_refused(hob_strdup("eyJhbGciOiJFUzI1NiJ9.e30.AAAA.AAAA"), "parts");
    assert_refused(hob_strdup("eyJhbGciOiJFUzI1NiJ9.e30=.AAAA"), "parts");
    assert_refused(join("[]", "{}", (const unsigned char *)"x", 1), "head");
    assert_refused(
        join("{\"alg\":\"ES256\",\"kid\":\"e1\",\"crit\":[\"x\"]}", "{}", (const unsigned char *)"x", 1),
        "head");
    assert_refused(join("{\"alg\":[\"ES256\"]}", "{}", (const unsigned char *)"x", 1), "algorithm");
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tokens_of_rsa_and_elliptic_curves_are_accepted),
        cmocka_unit_test(a_token_without_a_signature_is_refused),
        cmocka_unit_test(a_public_key_does_not_serve_as_a_secret),
        cmocka_unit_test(a_key_in_the_token_itself_is_not_used),
        cmocka_unit_test(a_token_signed_by_another_key_or_changed_is_refused),
        cmocka_unit_test(a_weak_key_is_not_used),
        cmocka_unit_test(an_unknown_key_asks_for_the_keys_anew),
        cmocka_unit_test(a_key_for_something_else_is_not_used),
        cmocka_unit_test(damaged_keys_are_not_used),
        cmocka_unit_test(wrong_claims_are_refused),
        cmocka_unit_test(times_have_a_minute_of_grace),
        cmocka_unit_test(several_audiences_need_the_party_to_be_us),
        cmocka_unit_test(the_nonce_must_be_the_one_asked_for_plain_or_hashed),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
