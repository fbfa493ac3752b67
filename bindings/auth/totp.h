/* One-time passwords by time (RFC 6238, RFC 4226), and base 32 (RFC 4648). Pure; not thread-bound. */
#pragma once

#include "base/buf.h"

enum { TOTP_SECRET_BYTES_MAX = 128 };
struct totp {
    const char *algorithm; /* "SHA1", "SHA256", "SHA512" */
    unsigned digits;       /* 6 to 8 */
    unsigned period_s;
    struct hob_str secret; /* bytes */
};

/* False for anything but base 32; spaces and '-' are left out, '=' may stand at the end, letters of either case. */
HOB_MUST_USE bool base32_decode(struct hob_str text, unsigned char *out, size_t max, size_t *ret_n);
void base32_encode(const unsigned char *data, size_t n, char *out); /* out: (n * 8 + 4) / 5 + 1 characters */
/* The code of a step, with NUL. */
void totp_code(const struct totp *t, uint64_t step, char out[9]);
/* Is it the code of now, or of up to `window` steps before or after, and of a later step than `used_step`? Every step
 * is compared, in constant time. */
HOB_MUST_USE bool totp_matches(const struct totp *t, struct hob_str code, int64_t now_ms, unsigned window,
                               int64_t used_step, int64_t *ret_step);
