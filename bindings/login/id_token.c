#include "bindings/login/id_token.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/lazy/jose.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    KEYS_MAX = 64,
    LEEWAY_S = 60,
    FUTURE_S = 300,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
    SUBJECT_BYTES_MAX = 255,
    SIGNATURE_BYTES_MAX = 1024,
    KEY_PART_BYTES_MAX = 1024,
};

/* No HS*: a public key must never serve as a shared secret. No "none". */
static const struct algorithm {
    const char *name, *kty, *crv;
} algorithms[] = {
    {"RS256", "RSA", NULL},   {"RS384", "RSA", NULL},   {"RS512", "RSA", NULL},
    {"PS256", "RSA", NULL},   {"PS384", "RSA", NULL},   {"PS512", "RSA", NULL},
    {"ES256", "EC", "P-256"}, {"ES384", "EC", "P-384"}, {"ES512", "EC", "P-521"},
};

static const struct algorithm *algorithm_find(const char *name)
{
    for (size_t i = 0; name && i < HOB_COUNT(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    }
    return NULL;
}

static enum id_token_verdict bad(struct hob_err *err, const char *why)
{
    (void)hob_fail(err, HOB_E_UNAUTHORIZED, "the identity token is not accepted: %s", why);
    return ID_TOKEN_BAD;
}

/* --- base 64: cjose asserts where it should judge, so it only ever sees what was decoded here before --- */
static bool is_base64url(struct hob_str text, size_t bytes_max)
{
    hob_auto_free unsigned char *plain = hob_calloc(bytes_max, 1);
    size_t n = 0;
    return text.n &&
           sodium_base642bin(plain, bytes_max, text.at, text.n, NULL, &n, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           n > 0;
}

static bool is_compact(struct hob_str token)
{
    struct hob_str payload, signature, more;
    struct hob_str head = hob_str_cut(token, '.', &payload);
    payload = hob_str_cut(payload, '.', &signature);
    signature = hob_str_cut(signature, '.', &more);
    return !more.at && is_base64url(head, ID_TOKEN_BYTES_MAX) && is_base64url(payload, ID_TOKEN_BYTES_MAX) &&
           is_base64url(signature, SIGNATURE_BYTES_MAX);
}

/* --- the head --- */
static json_t *read_head(struct hob_str token, struct hob_err *err)
{
    char plain[2048];
    size_t n = 0;
    struct hob_str rest, head = hob_str_cut(token, '.', &rest);
    if (!rest.at || sodium_base642bin((unsigned char *)plain, sizeof plain, head.at, head.n, NULL, &n, NULL,
                                      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return NULL;
    return hob_json_parse(hob_str_n(plain, n), "the head of an identity token", err);
}

/* --- the key --- */
static bool is_text(const json_t *object, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && strcmp(text, wanted) == 0;
}

static bool may_sign(const json_t *key, const struct algorithm *a)
{
    const json_t *use = json_object_get(key, "use"), *alg = json_object_get(key, "alg");
    return is_text(key, "kty", a->kty) && (!a->crv || is_text(key, "crv", a->crv)) &&
           (!use || is_text(key, "use", "sig")) && (!alg || is_text(key, "alg", a->name));
}

/* Without a name in the head there must be exactly one key that could have signed. */
static const json_t *find_key(const json_t *jwks, const char *kid, const struct algorithm *a)
{
    const json_t *keys = json_object_get(jwks, "keys"), *found = NULL;
    size_t found_n = 0;
    for (size_t i = 0; i < json_array_size(keys) && i < KEYS_MAX; i++) {
        const json_t *key = json_array_get(keys, i);
        if (!may_sign(key, a) || (kid && !is_text(key, "kid", kid)))
            continue;
        found = key;
        found_n++;
    }
    return found_n == 1 || (kid && found_n) ? found : NULL;
}

/* Only the public members: what else a key has (a private half, an oct's k) is nobody's business here. */
static cjose_jwk_t *import_key(const json_t *key)
{
    static const char *const of_rsa[] = {"n", "e", NULL}, *const of_ec[] = {"x", "y", NULL};
    bool is_of_rsa = is_text(key, "kty", "RSA");
    json_t *public hob_auto_json = json_pack("{s:s}", "kty", is_of_rsa ? "RSA" : "EC");
    if (!is_of_rsa)
        (void)json_object_set(public, "crv", json_object_get(key, "crv"));
    for (const char *const *name = is_of_rsa ? of_rsa : of_ec; *name; name++) {
        json_t *member = json_object_get(key, *name);
        if (!json_is_string(member) ||
            !is_base64url(hob_str_n(json_string_value(member), json_string_length(member)),
                          KEY_PART_BYTES_MAX))
            return NULL;
        (void)json_object_set(public, *name, member);
    }
    hob_auto_free char *text = json_dumps(public, JSON_COMPACT);
    cjose_jwk_t *jwk = text ? cjose_jwk_import(text, strlen(text), NULL) : NULL;
    bool is_rsa = jwk && cjose_jwk_get_kty(jwk, NULL) == CJOSE_JWK_KTY_RSA;
    size_t bits = is_rsa ? cjose_jwk_get_keysize(jwk, NULL) : RSA_BITS_MIN;
    if (jwk && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)) {
        (void)cjose_jwk_release(jwk);
        return NULL;
    }
    return jwk;
}

static json_t *verified_claims(struct hob_str token, const json_t *key, const char *alg, struct hob_err *err)
{
    cjose_jwk_t *jwk = import_key(key);
    cjose_jws_t *jws = jwk ? cjose_jws_import(token.at, token.n, NULL) : NULL;
    json_t *claims = NULL;
    uint8_t *plain = NULL; /* the token's own */
    size_t plain_n = 0;
    const char *used = jws ? cjose_header_get(cjose_jws_get_protected(jws), "alg", NULL) : NULL;
    if (used && strcmp(used, alg) == 0 && cjose_jws_verify(jws, jwk, NULL) &&
        cjose_jws_get_plaintext(jws, &plain, &plain_n, NULL))
        claims = hob_json_parse(hob_str_n(plain, plain_n), "an identity token", err);
    if (jws)
        cjose_jws_release(jws);
    if (jwk)
        (void)cjose_jwk_release(jwk);
    return claims;
}

/* --- the claims --- */
static bool is_issuer(const json_t *claims, const char *issuer)
{
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    if (!iss)
        return false;
    if (strcmp(iss, issuer) == 0)
        return true;
    return strcmp(issuer, "https://accounts.google.com") == 0 && strcmp(iss, "accounts.google.com") == 0;
}

static bool holds(const json_t *one_or_many, const char *text)
{
    if (json_is_string(one_or_many))
        return strcmp(json_string_value(one_or_many), text) == 0;
    for (size_t i = 0; i < json_array_size(one_or_many); i++) {
        const char *each = json_string_value(json_array_get(one_or_many, i));
        if (each && strcmp(each, text) == 0)
            return true;
    }
    return false;
}

static bool is_for_us(const json_t *claims, const json_t *audiences)
{
    const json_t *aud = json_object_get(claims, "aud");
    const char *azp = json_string_value(json_object_get(claims, "azp"));
    bool is_meant = false;
    if (json_is_string(aud))
        is_meant = holds(audiences, json_string_value(aud));
    for (size_t i = 0; i < json_array_size(aud) && !is_meant; i++) {
        const char *each = json_string_value(json_array_get(aud, i));
        is_meant = each && holds(audiences, each);
    }
    return is_meant && (json_array_size(aud) < 2 || (azp && holds(audiences, azp)));
}

static double seconds(const json_t *claims, const char *name, double otherwise)
{
    const json_t *j = json_object_get(claims, name);
    return json_is_number(j) ? json_number_value(j) : otherwise;
}

static bool is_nonce(const json_t *claims, const struct id_token_rules *r)
{
    const char *claim = json_string_value(json_object_get(claims, "nonce"));
    char digest[HOB_DIGEST_CHARS + 1];
    if (!r->nonce)
        return !r->must_have_nonce;
    hob_sha256_hex(r->nonce, strlen(r->nonce), digest);
    return claim && (strcmp(claim, r->nonce) == 0 || strcmp(claim, digest) == 0);
}

static const char *wrong_claim(const json_t *claims, const struct id_token_rules *r)
{
    double now = (double)r->now_ms / 1000;
    const json_t *sub = json_object_get(claims, "sub");
    if (!is_issuer(claims, r->issuer))
        return "it is of another issuer";
    if (!is_for_us(claims, r->audiences))
        return "it is not for this app";
    if (seconds(claims, "exp", 0) <= now - LEEWAY_S)
        return "it has expired";
    if (seconds(claims, "nbf", 0) > now + LEEWAY_S || seconds(claims, "iat", 0) > now + FUTURE_S)
        return "it is not valid yet";
    if (!is_nonce(claims, r))
        return "its nonce is another";
    if (!json_is_string(sub) || json_string_length(sub) == 0 || json_string_length(sub) > SUBJECT_BYTES_MAX)
        return "it names nobody";
    return NULL;
}

enum id_token_verdict id_token_judge(struct hob_str token, const json_t *jwks, const struct id_token_rules *r,
                                     json_t **ret_claims, struct hob_err *err)
{
    struct hob_err ignored = {0};
    if (!token.n || token.n > ID_TOKEN_BYTES_MAX || memchr(token.at, '\0', token.n))
        return bad(err, "it is no token");
    if (!is_compact(token))
        return bad(err, "its parts are not understood");
    json_t *head hob_auto_json = read_head(token, &ignored);
    const struct algorithm *a = algorithm_find(json_string_value(json_object_get(head, "alg")));
    if (!json_is_object(head) || json_object_get(head, "crit"))
        return bad(err, "its head is not understood");
    if (!a)
        return bad(err, "its algorithm is not allowed");
    const json_t *key = find_key(jwks, json_string_value(json_object_get(head, "kid")), a);
    if (!key) {
        (void)bad(err, "its key is not one of the provider's");
        return ID_TOKEN_NO_KEY;
    }
    json_t *claims hob_auto_json = verified_claims(token, key, a->name, &ignored);
    if (!json_is_object(claims))
        return bad(err, "its signature is wrong");
    const char *wrong = wrong_claim(claims, r);
    if (wrong)
        return bad(err, wrong);
    *ret_claims = hob_steal(&claims);
    return ID_TOKEN_GOOD;
}
