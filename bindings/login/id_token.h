/* Judging a JSON Web Token of a provider (RFC 7519, 7515, 7517; OpenID Connect Core 3.1.3.7): signature by one of the
 * provider's keys, with an algorithm of the allow-list that fits the key; issuer, audience, times, nonce. Pure; not
 * thread-bound. */
#pragma once

#include "base/json.h"

enum { ID_TOKEN_BYTES_MAX = 16384 };

struct id_token_rules {
    const char *issuer;      /* exactly this; "accounts.google.com" also without its scheme */
    const json_t *audiences; /* a string or an array of strings: one of them must be in `aud` */
    const char
        *nonce; /* NULL: not asked for. The claim is this, or its SHA-256 in hexadecimal (Apple's way) */
    bool must_have_nonce;
    int64_t now_ms;
};
enum id_token_verdict {
    ID_TOKEN_GOOD,
    ID_TOKEN_BAD,
    ID_TOKEN_NO_KEY /* well-formed, but none of the keys is the one it names: they may have been changed */
};
/* *ret_claims: owned, when it is good; the reason in *err when not. */
HOB_MUST_USE enum id_token_verdict id_token_judge(struct hob_str token, const json_t *jwks,
                                                  const struct id_token_rules *rules, json_t **ret_claims,
                                                  struct hob_err *err);
