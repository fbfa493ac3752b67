#include "base/id.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Many ids are made per second: random bytes are drawn from the kernel in blocks, one block per thread. */
void hob_random(void *out, size_t n)
{
    enum { BLOCK = 512 };
    static _Thread_local unsigned char block[BLOCK];
    static _Thread_local size_t left;
    if (n > BLOCK) {
        randombytes_buf(out, n);
        return;
    }
    if (left < n) {
        randombytes_buf(block, sizeof block);
        left = sizeof block;
    }
    left -= n;
    memcpy(out, block + left, n);
    sodium_memzero(block + left, n);
}

void hob_hex(char *out, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

void hob_uuid7(char out[HOB_UUID_CHARS + 1])
{
    unsigned char b[16];
    uint64_t ms = (uint64_t)hob_utc_ms();
    hob_random(b + 6, 10);
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)(ms >> (8 * (5 - i)));
    b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    char hex[33];
    hob_hex(hex, b, sizeof b);
    static const unsigned char part_at[] = {0, 8, 12, 16, 20, 32};
    char *to = out;
    for (int i = 0; i < 5; i++) {
        size_t n = (size_t)(part_at[i + 1] - part_at[i]);
        memcpy(to, hex + part_at[i], n);
        to += n;
        *to++ = i < 4 ? '-' : '\0';
    }
}

uint64_t hob_id64(void)
{
    uint64_t v;
    hob_random(&v, sizeof v);
    v >>= 1;
    return v ? v : 1;
}

void hob_random_hex(char *out, size_t n)
{
    unsigned char b[64];
    HOB_ASSERT(n <= sizeof b);
    hob_random(b, n);
    hob_hex(out, b, n);
    sodium_memzero(b, sizeof b);
}

void hob_sha256_hex(const void *data, size_t n, char out[HOB_DIGEST_CHARS + 1])
{
    unsigned char h[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(h, data, n);
    hob_hex(out, h, sizeof h);
}

bool hob_digest_is_valid(const char *s)
{
    size_t n = strspn(s, "0123456789abcdef");
    return n == HOB_DIGEST_CHARS && s[n] == '\0';
}
