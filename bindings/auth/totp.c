#include "bindings/auth/totp.h"
#include "base/lazy/jose.h"

#include <sodium.h>
#include <stdio.h>

#include "base/banned.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

bool base32_decode(struct hob_str text, unsigned char *out, size_t max, size_t *ret_n)
{
    uint64_t bits = 0;
    unsigned bits_n = 0;
    size_t n = 0;
    while (text.n && text.at[text.n - 1] == '=')
        text.n--;
    for (size_t i = 0; i < text.n; i++) {
        if (text.at[i] == ' ' || text.at[i] == '-')
            continue;
        int v = value_of(text.at[i]);
        if (v < 0)
            return false;
        bits = (bits << 5 | (unsigned)v) & 0xffffffff;
        bits_n += 5;
        if (bits_n < 8)
            continue;
        if (n == max)
            return false;
        bits_n -= 8;
        out[n++] = (unsigned char)(bits >> bits_n);
    }
    *ret_n = n;
    return true;
}

void base32_encode(const unsigned char *data, size_t n, char *out)
{
    uint64_t bits = 0;
    unsigned bits_n = 0;
    for (size_t i = 0; i < n; i++) {
        bits = (bits << 8 | data[i]) & 0xffffffff;
        for (bits_n += 8; bits_n >= 5; bits_n -= 5)
            *out++ = letters[(bits >> (bits_n - 5)) & 31];
    }
    if (bits_n)
        *out++ = letters[(bits << (5 - bits_n)) & 31];
    *out = '\0';
}

static const EVP_MD *digest_of(const char *algorithm)
{
    if (strcmp(algorithm, "SHA256") == 0)
        return EVP_sha256();
    return strcmp(algorithm, "SHA512") == 0 ? EVP_sha512() : EVP_sha1();
}

void totp_code(const struct totp *t, uint64_t step, char out[9])
{
    static const uint32_t powers[] = {1000000, 10000000, 100000000};
    unsigned char counter[8], mac[EVP_MAX_MD_SIZE];
    unsigned mac_n = 0;
    HOB_ASSERT(t->digits >= 6 && t->digits <= 8);
    for (int i = 7; i >= 0; i--, step >>= 8)
        counter[i] = (unsigned char)step;
    HOB_ASSERT(
        HMAC(digest_of(t->algorithm), t->secret.at, (int)t->secret.n, counter, sizeof counter, mac, &mac_n));
    unsigned at = mac[mac_n - 1] & 15; /* RFC 4226, 5.3: dynamic truncation */
    uint32_t v = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 |
                 mac[at + 3];
    (void)snprintf(out, 9, "%0*u", (int)t->digits, v % powers[t->digits - 6]);
    sodium_memzero(mac, sizeof mac);
}

bool totp_matches(const struct totp *t, struct hob_str code, int64_t now_ms, unsigned window,
                  int64_t used_step, int64_t *ret_step)
{
    int64_t now_step = now_ms / 1000 / (int64_t)t->period_s, found = -1;
    if (code.n != t->digits)
        return false;
    for (int64_t step = now_step - (int64_t)window; step <= now_step + (int64_t)window; step++) {
        char right[9];
        totp_code(t, step < 0 ? 0 : (uint64_t)step, right);
        if (sodium_memcmp(right, code.at, code.n) == 0 && step > used_step)
            found = step;
    }
    if (found < 0)
        return false;
    *ret_step = found;
    return true;
}
