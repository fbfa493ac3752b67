#include "bindings/auth/mfa.h"

#include <sodium.h>
#include <stdlib.h>

#include "bindings/auth/totp.h"

#include "base/banned.h"

enum {
    SECRET_CHARS_MIN = 20, /* of base 32, as Parse Server asks */
    RECOVERY_CODES = 8,
    RECOVERY_BYTES = 10, /* 80 bits: a plain SHA-256 suffices at rest */
    RECOVERY_CHARS = 16,
    SEALED_BYTES_MAX = 512,
    WINDOW = 1,
};

static const json_t *options(const struct backend_call *c)
{
    return json_object_get(ask_json(c, SETTING_AUTH), "mfa");
}

bool mfa_is_on(const struct backend_call *c)
{
    const json_t *o = options(c);
    return json_is_object(o) && !json_is_false(json_object_get(o, "enabled"));
}

static enum hob_code fail_data(struct hob_err *err)
{
    return parse_fail(err, PARSE_SCRIPT_FAILED, "Invalid MFA data");
}

static enum hob_code fail_token(struct hob_err *err)
{
    return parse_fail(err, PARSE_SCRIPT_FAILED, "Invalid MFA token");
}

static struct totp totp_of(const struct backend_call *c, struct hob_str secret)
{
    const json_t *o = options(c);
    const char *algorithm = json_string_value(json_object_get(o, "algorithm"));
    int64_t digits = member_int(o, "digits", 6), period_s = member_int(o, "period", 30);
    return (struct totp){.algorithm = algorithm ? algorithm : "SHA1",
                         .digits = digits < 6 || digits > 8 ? 6 : (unsigned)digits,
                         .period_s = period_s < 10 || period_s > 300 ? 30 : (unsigned)period_s,
                         .secret = secret};
}

/* --- the secret at rest: sealed, base 64 --- */
static char *label_of(const struct backend_call *c, struct hob_str user_id)
{
    return hob_asprintf("mfa/%s/%.*s", c->request.app, HOB_STR_ARG(user_id));
}

static json_t *seal_secret(struct backend_call *c, struct hob_str user_id, struct hob_str secret)
{
    hob_auto_buf struct hob_buf sealed;
    char text[sodium_base64_ENCODED_LEN(SEALED_BYTES_MAX, sodium_base64_VARIANT_ORIGINAL)];
    hob_auto_free char *label = label_of(c, user_id);
    hob_buf_init(&sealed, SEALED_BYTES_MAX);
    HOB_ASSERT(hob_seal_shut(backend_auth(c->backend)->seal, label, secret, &sealed) == HOB_OK);
    (void)sodium_bin2base64(text, sizeof text, (const unsigned char *)hob_buf_data(&sealed), sealed.n,
                            sodium_base64_VARIANT_ORIGINAL);
    return json_string(text);
}

static enum hob_code open_secret(struct backend_call *c, struct hob_str user_id, const json_t *stored,
                                 struct hob_buf *out, struct hob_err *err)
{
    unsigned char sealed[SEALED_BYTES_MAX];
    size_t n = 0;
    struct hob_str text = member_str(stored, "secret");
    hob_auto_free char *label = label_of(c, user_id);
    if (!text.n || sodium_base642bin(sealed, sizeof sealed, text.at, text.n, NULL, &n, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) != 0)
        return hob_fail(err, HOB_E_INTERNAL, "a second factor is damaged in the store");
    return hob_seal_open(backend_auth(c->backend)->seal, label, hob_str_n(sealed, n), out, err);
}

/* --- recovery codes --- */
static void normalize(struct hob_str code, char out[RECOVERY_CHARS + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < code.n && n < RECOVERY_CHARS; i++) {
        char ch = code.at[i];
        if (ch != '-' && ch != ' ')
            out[n++] = ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
    }
    out[n] = '\0';
}

static json_t *make_recovery(json_t **ret_response)
{
    json_t *hashes = json_array();
    hob_auto_buf struct hob_buf shown;
    hob_buf_init(&shown, 1024);
    for (int i = 0; i < RECOVERY_CODES; i++) {
        unsigned char random[RECOVERY_BYTES];
        char code[RECOVERY_CHARS + 1], digest[HOB_DIGEST_CHARS + 1];
        hob_random(random, sizeof random);
        base32_encode(random, sizeof random, code);
        token_digest(hob_str(code), digest);
        (void)json_array_append_new(hashes, json_string(digest));
        HOB_ASSERT(hob_buf_addf(&shown, "%s%s", i ? ", " : "", code) == HOB_OK);
    }
    *ret_response = json_pack("{s:s%}", "recovery", hob_buf_data(&shown), shown.n);
    return hashes;
}

static bool take_recovery(json_t *recovery, struct hob_str code)
{
    char plain[RECOVERY_CHARS + 1], digest[HOB_DIGEST_CHARS + 1];
    if (code.n < RECOVERY_CHARS || code.n > 2 * RECOVERY_CHARS)
        return false;
    normalize(code, plain);
    token_digest(hob_str(plain), digest);
    for (size_t i = 0; i < json_array_size(recovery); i++) {
        const char *kept = json_string_value(json_array_get(recovery, i));
        if (kept && strlen(kept) == HOB_DIGEST_CHARS && sodium_memcmp(kept, digest, HOB_DIGEST_CHARS) == 0)
            return json_array_remove(recovery, i) == 0;
    }
    return false;
}

/* --- door --- */
enum hob_code mfa_pass(struct backend_call *c, struct hob_str user_id, const json_t *stored,
                       struct hob_str code, json_t **ret_stored, struct hob_err *err)
{
    hob_auto_buf struct hob_buf secret;
    hob_buf_init(&secret, TOTP_SECRET_BYTES_MAX);
    enum hob_code rc = open_secret(c, user_id, stored, &secret, err);
    if (rc != HOB_OK)
        return rc;
    struct totp t = totp_of(c, hob_buf_str(&secret));
    int64_t step = 0;
    json_t *kept hob_auto_json = json_deep_copy(stored);
    bool passes = totp_matches(&t, code, c->now_ms, WINDOW, member_int(stored, "step", -1), &step);
    sodium_memzero(hob_buf_data(&secret), secret.n);
    if (passes)
        (void)json_object_set_new(kept, "step", json_integer(step));
    else if (!take_recovery(json_object_get(kept, "recovery"), code))
        return fail_token(err);
    *ret_stored = hob_steal(&kept);
    return HOB_OK;
}

static enum hob_code judge_old(struct backend_call *c, struct hob_str user_id, const json_t *data,
                               const json_t *stored, struct hob_err *err)
{
    json_t *ignored hob_auto_json = NULL;
    if (!stored || c->who.role == BACKEND_MASTER)
        return HOB_OK;
    return mfa_pass(c, user_id, stored, member_str(data, "old"), &ignored, err);
}

enum hob_code mfa_set_up(struct backend_call *c, struct hob_str user_id, const json_t *data,
                         const json_t *stored, json_t **ret_stored, json_t **ret_response,
                         struct hob_err *err)
{
    unsigned char secret[TOTP_SECRET_BYTES_MAX];
    size_t secret_n = 0;
    int64_t step = 0;
    struct hob_str text = member_str(data, "secret"), code = member_str(data, "token");
    enum hob_code rc = judge_old(c, user_id, data, stored, err);
    if (rc != HOB_OK)
        return rc;
    if (text.n < SECRET_CHARS_MIN || !code.n || !base32_decode(text, secret, sizeof secret, &secret_n))
        return fail_data(err);
    struct totp t = totp_of(c, hob_str_n(secret, secret_n));
    /* This code is not used up: the secret itself came with it. */
    if (!totp_matches(&t, code, c->now_ms, WINDOW, -1, &step))
        return fail_token(err);
    json_t *recovery = make_recovery(ret_response);
    *ret_stored = json_pack("{s:o,s:o,s:i}", "secret", seal_secret(c, user_id, hob_str_n(secret, secret_n)),
                            "recovery", recovery, "step", -1);
    sodium_memzero(secret, sizeof secret);
    return HOB_OK;
}
