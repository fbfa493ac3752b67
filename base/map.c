#include "base/map.h"

#include <sodium.h>
#include <string.h>

unsigned hob_hash(const void *key, size_t n)
{
    static unsigned char seed[crypto_shorthash_KEYBYTES];
    static bool has_seed;
    if (!has_seed) { /* set on the main thread before any other starts: see hob_hash's first call in main */
        randombytes_buf(seed, sizeof seed);
        has_seed = true;
    }
    unsigned char h[crypto_shorthash_BYTES];
    (void)crypto_shorthash(h, key, n, seed);
    unsigned v;
    memcpy(&v, h, sizeof v);
    return v;
}
