#include "base/seal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"

enum {
    KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};

struct hob_seal {
    unsigned char *key; /* in guarded memory: not swapped, not in a core dump */
};

static enum hob_code make_key(struct hob_seal *s, const char *path, struct hob_err *err)
{
    randombytes_buf(s->key, KEY_BYTES);
    return hob_write_file(path, hob_str_n(s->key, KEY_BYTES), 0600, err);
}

static enum hob_code read_key(struct hob_seal *s, const char *path, struct hob_err *err)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, KEY_BYTES);
    enum hob_code rc = hob_read_file(path, &b, err);
    if (rc == HOB_OK && b.n == KEY_BYTES)
        memcpy(s->key, hob_buf_data(&b), KEY_BYTES);
    else if (rc == HOB_OK || rc == HOB_E_TOO_LARGE)
        rc = hob_fail(err, HOB_E_INVALID, "%s is not a key: it must have exactly %d bytes", path, KEY_BYTES);
    if (b.mem)
        sodium_memzero(b.mem, b.cap);
    return rc;
}

static enum hob_code take_key(struct hob_seal *s, const char *path, bool may_make, struct hob_err *err)
{
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return read_key(s, path, err);
    if (may_make)
        return make_key(s, path, err);
    return hob_fail(err, HOB_E_UNAVAILABLE,
                    "%s is missing, and the store has secrets sealed with it: put the key back", path);
}

struct hob_seal *hob_seal_load(const char *path, bool may_make, struct hob_err *err)
{
    HOB_ASSERT(sodium_init() >= 0);
    struct hob_seal *s = hob_new(struct hob_seal);
    s->key = sodium_malloc(KEY_BYTES);
    HOB_ASSERT(s->key);
    if (take_key(s, path, may_make, err) == HOB_OK) {
        (void)sodium_mprotect_readonly(s->key);
        return s;
    }
    hob_seal_free(s);
    return NULL;
}

void hob_seal_free(struct hob_seal *s)
{
    if (!s)
        return;
    sodium_free(s->key);
    free(s);
}

enum hob_code hob_seal_shut(const struct hob_seal *s, const char *label, struct hob_str plain,
                            struct hob_buf *out)
{
    unsigned char *to = (unsigned char *)hob_buf_room(out, NONCE_BYTES + plain.n + TAG_BYTES);
    unsigned long long sealed_n = 0;
    if (!to)
        return HOB_E_TOO_LARGE;
    randombytes_buf(to, NONCE_BYTES); /* 192 bits: random nonces never meet */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        to + NONCE_BYTES, &sealed_n, (const unsigned char *)plain.at, plain.n, (const unsigned char *)label,
        strlen(label), NULL, to, s->key);
    hob_buf_grew(out, NONCE_BYTES + (size_t)sealed_n);
    return HOB_OK;
}

enum hob_code hob_seal_open(const struct hob_seal *s, const char *label, struct hob_str sealed,
                            struct hob_buf *out, struct hob_err *err)
{
    const unsigned char *from = (const unsigned char *)sealed.at;
    if (sealed.n < NONCE_BYTES + TAG_BYTES)
        return hob_fail(err, HOB_E_INTERNAL, "secret '%s' is damaged in the store: set it again", label);
    size_t plain_n = sealed.n - NONCE_BYTES - TAG_BYTES;
    unsigned char *to = (unsigned char *)hob_buf_room(out, plain_n);
    if (!to)
        return hob_fail(err, HOB_E_TOO_LARGE, "secret '%s' does not fit in %zu bytes", label, out->max);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(to, NULL, NULL, from + NONCE_BYTES, sealed.n - NONCE_BYTES,
                                                   (const unsigned char *)label, strlen(label), from,
                                                   s->key) != 0)
        return hob_fail(
            err, HOB_E_INTERNAL,
            "secret '%s' does not open with this master.key: put the right key back, or set it again", label);
    hob_buf_grew(out, plain_n);
    return HOB_OK;
}
