/* cjose, and what of OpenSSL is called beside it, opened when they are first called (base/lazy/lazy.h). */
#pragma once

#include <cjose/cjose.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/lazy/lazy.h"

/* Whoever calls one more adds it here and below. */
#define LAZY_JOSE_FUNCTIONS(X)                                                                               \
    X(EVP_sha1)                                                                                              \
    X(EVP_sha256)                                                                                            \
    X(EVP_sha512)                                                                                            \
    X(HMAC)                                                                                                  \
    X(cjose_header_get) X(cjose_header_new) X(cjose_header_release) X(cjose_header_set)                      \
        X(cjose_jwk_get_keysize) X(cjose_jwk_get_kty) X(cjose_jwk_create_EC_random) X(cjose_jwk_import)      \
            X(cjose_jwk_release) X(cjose_jwk_to_json) X(cjose_jws_export) X(cjose_jws_get_plaintext)         \
                X(cjose_jws_get_protected) X(cjose_jws_import) X(cjose_jws_release) X(cjose_jws_sign)        \
                    X(cjose_jws_verify)

struct lazy_jose {
#define LAZY_MEMBER(name) __typeof__(name) *name##_;
    LAZY_JOSE_FUNCTIONS(LAZY_MEMBER)
#undef LAZY_MEMBER
};
/* Any thread. */
const struct lazy_jose *lazy_jose(void);

#ifndef LAZY_NO_NAMES /* the file that fills the table wants the names as they are */
#define EVP_sha1 lazy_jose()->EVP_sha1_
#define EVP_sha256 lazy_jose()->EVP_sha256_
#define EVP_sha512 lazy_jose()->EVP_sha512_
#define HMAC lazy_jose()->HMAC_
#define cjose_header_get lazy_jose()->cjose_header_get_
#define cjose_header_new lazy_jose()->cjose_header_new_
#define cjose_header_release lazy_jose()->cjose_header_release_
#define cjose_header_set lazy_jose()->cjose_header_set_
#define cjose_jwk_get_keysize lazy_jose()->cjose_jwk_get_keysize_
#define cjose_jwk_get_kty lazy_jose()->cjose_jwk_get_kty_
#define cjose_jwk_create_EC_random lazy_jose()->cjose_jwk_create_EC_random_
#define cjose_jwk_import lazy_jose()->cjose_jwk_import_
#define cjose_jwk_release lazy_jose()->cjose_jwk_release_
#define cjose_jwk_to_json lazy_jose()->cjose_jwk_to_json_
#define cjose_jws_export lazy_jose()->cjose_jws_export_
#define cjose_jws_get_plaintext lazy_jose()->cjose_jws_get_plaintext_
#define cjose_jws_get_protected lazy_jose()->cjose_jws_get_protected_
#define cjose_jws_import lazy_jose()->cjose_jws_import_
#define cjose_jws_release lazy_jose()->cjose_jws_release_
#define cjose_jws_sign lazy_jose()->cjose_jws_sign_
#define cjose_jws_verify lazy_jose()->cjose_jws_verify_
#endif
