#include "controller/vault.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/rows.h"

enum {
    KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    NAME_CHARS_MAX = 128,
};

struct secret {
    char *label; /* "app/name": neither can have a '/' */
    char *name;  /* into label */
    char *sealed;
    size_t sealed_n;
    int64_t updated_ms;
    UT_hash_handle hh;
};

struct vault {
    unsigned char *key; /* in guarded memory: not swapped, not in a core dump */
    struct secret *secrets;
};

/* --- the key --- */

static enum hob_code make_key(struct vault *v, const char *path, struct hob_err *err)
{
    randombytes_buf(v->key, KEY_BYTES);
    return hob_write_file(path, hob_str_n(v->key, KEY_BYTES), 0600, err);
}

static enum hob_code read_key(struct vault *v, const char *path, struct hob_err *err)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, KEY_BYTES);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return v->secrets
                   ? hob_fail(err, HOB_E_UNAVAILABLE,
                              "%s is missing, and the store has secrets sealed with it: put the key back",
                              path)
                   : make_key(v, path, err);
    enum hob_code rc = hob_read_file(path, &b, err);
    if (rc == HOB_OK && b.n == KEY_BYTES)
        memcpy(v->key, hob_buf_data(&b), KEY_BYTES);
    else if (rc == HOB_OK || rc == HOB_E_TOO_LARGE)
        rc = hob_fail(err, HOB_E_INVALID, "%s is not a key: it must have exactly %d bytes", path, KEY_BYTES);
    if (b.mem)
        sodium_memzero(b.mem, b.cap);
    return rc;
}

/* --- the secrets --- */

static struct secret *find(struct vault *v, const char *app, const char *name)
{
    struct secret *s;
    hob_auto_free char *label = hob_asprintf("%s/%s", app, name);
    HASH_FIND_STR(v->secrets, label, s);
    return s;
}

static void drop(struct vault *v, struct secret *s)
{
    HASH_DEL(v->secrets, s); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    free(s->sealed);
    free(s->label);
    free(s);
}

void vault_put(struct vault *v, const char *app, const char *name, struct hob_str sealed, int64_t updated_ms)
{
    struct secret *s = find(v, app, name);
    if (!s) {
        s = hob_new(struct secret);
        s->label = hob_asprintf("%s/%s", app, name);
        s->name = s->label + strlen(app) + 1;
        HASH_ADD_KEYPTR(hh, v->secrets, s->label, strlen(s->label), s);
    }
    free(s->sealed);
    s->sealed = hob_strndup(sealed.at, sealed.n);
    s->sealed_n = sealed.n;
    s->updated_ms = updated_ms;
}

static bool is_of_app(const struct secret *s, struct hob_str app)
{
    return hob_str_eq(hob_str_n(s->label, (size_t)(s->name - s->label) - 1), app);
}

void vault_drop(struct vault *v, const char *app, const char *name)
{
    struct secret *s, *tmp;
    HASH_ITER(hh, v->secrets, s, tmp)
    {
        if (is_of_app(s, hob_str(app)) && (!name || strcmp(s->name, name) == 0))
            drop(v, s);
    }
}

enum hob_code vault_seal(struct vault *v, const char *app, const char *name, struct hob_str value,
                         struct hob_buf *ret_sealed)
{
    hob_auto_free char *label = hob_asprintf("%s/%s", app, name);
    unsigned char *out = (unsigned char *)hob_buf_room(ret_sealed, NONCE_BYTES + value.n + TAG_BYTES);
    unsigned long long sealed_n = 0;
    if (!out)
        return HOB_E_TOO_LARGE;
    randombytes_buf(out, NONCE_BYTES); /* 192 bits: random nonces never meet */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        out + NONCE_BYTES, &sealed_n, (const unsigned char *)value.at, value.n, (const unsigned char *)label,
        strlen(label), NULL, out, v->key);
    hob_buf_grew(ret_sealed, NONCE_BYTES + (size_t)sealed_n);
    return HOB_OK;
}

/* Decrypts into *out. */
static enum hob_code open_secret(const struct vault *v, const struct secret *s, struct hob_buf *out,
                                 struct hob_err *err)
{
    const unsigned char *sealed = (const unsigned char *)s->sealed;
    if (s->sealed_n < NONCE_BYTES + TAG_BYTES)
        return hob_fail(err, HOB_E_INTERNAL, "secret '%s' is damaged in the store: set it again", s->label);
    size_t plain_n = s->sealed_n - NONCE_BYTES - TAG_BYTES;
    unsigned char *to = (unsigned char *)hob_buf_room(out, plain_n);
    if (!to)
        return hob_fail(err, HOB_E_TOO_LARGE, "secret '%s' does not fit in %zu bytes", s->label, out->max);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(to, NULL, NULL, sealed + NONCE_BYTES,
                                                   s->sealed_n - NONCE_BYTES, (const unsigned char *)s->label,
                                                   strlen(s->label), sealed, v->key) != 0)
        return hob_fail(
            err, HOB_E_INTERNAL,
            "secret '%s' does not open with this master.key: put the right key back, or set it again",
            s->label);
    hob_buf_grew(out, plain_n);
    return HOB_OK;
}

enum hob_code vault_get(struct vault *v, const char *app, const char *name, struct hob_buf *out,
                        struct hob_err *err)
{
    struct secret *s = find(v, app, name);
    if (!s)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_secret",
                               "app '%s' has no secret '%s': set it with `hob secret set --app %s %s`", app,
                               name, app, name);
    return open_secret(v, s, out, err);
}

static int by_name(const void *a, const void *b)
{
    const struct secret *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

size_t vault_count(struct vault *v, struct hob_str app)
{
    size_t n = 0;
    for (struct secret *s = v->secrets; s; s = s->hh.next)
        n += is_of_app(s, app);
    return n;
}

void vault_each(struct vault *v, struct hob_str app, vault_each_cb cb, void *ctx)
{
    size_t n = 0;
    hob_auto_free struct secret **list = hob_new_n(struct secret *, vault_count(v, app));
    for (struct secret *s = v->secrets; s; s = s->hh.next) {
        if (is_of_app(s, app))
            list[n++] = s;
    }
    if (n)
        qsort(list, n, sizeof(struct secret *), by_name);
    for (size_t i = 0; i < n; i++)
        cb(ctx, list[i]->name, list[i]->updated_ms);
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

enum hob_code vault_name_check(struct hob_str name, struct hob_err *err)
{
    bool is_valid = name.n >= 1 && name.n <= NAME_CHARS_MAX && is_letter(name.at[0]);
    for (size_t i = 0; i < name.n && is_valid; i++) {
        char c = name.at[i];
        is_valid = is_letter(c) || (c >= '0' && c <= '9') || c == '_';
    }
    if (!is_valid)
        return hob_fail(err, HOB_E_INVALID,
                        "secret name '%.*s': use A-Z, a-z, 0-9 and '_', 1 to %d characters, a letter first",
                        (int)(name.n < NAME_CHARS_MAX ? name.n : NAME_CHARS_MAX), name.at, NAME_CHARS_MAX);
    return HOB_OK;
}

/* --- opening --- */

static enum hob_code on_secret(void *ctx, const struct secret_row *row, struct hob_err *err)
{
    (void)err;
    vault_put(ctx, row->app, row->name, row->sealed, row->updated_ms);
    return HOB_OK;
}

static enum hob_code load(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_secret_each(tx, on_secret, ctx, err);
}

/* One secret is enough: all are sealed with the same key. */
static enum hob_code check_key(struct vault *v, struct hob_err *err)
{
    hob_auto_buf struct hob_buf plain;
    hob_buf_init(&plain, HOB_MAX_SECRET_BYTES);
    enum hob_code rc = v->secrets ? open_secret(v, v->secrets, &plain, err) : HOB_OK;
    if (plain.mem)
        sodium_memzero(plain.mem, plain.cap);
    return rc;
}

struct vault *vault_open(struct store *s, const char *key_path, struct hob_err *err)
{
    HOB_ASSERT(sodium_init() >= 0);
    struct vault *v = hob_new(struct vault);
    v->key = sodium_malloc(KEY_BYTES);
    HOB_ASSERT(v->key);
    if (store_read_now(s, load, v, err) == HOB_OK && read_key(v, key_path, err) == HOB_OK &&
        check_key(v, err) == HOB_OK) {
        (void)sodium_mprotect_readonly(v->key);
        return v;
    }
    vault_free(v);
    return NULL;
}

void vault_free(struct vault *v)
{
    struct secret *s, *tmp;
    if (!v)
        return;
    HASH_ITER(hh, v->secrets, s, tmp)
    drop(v, s);
    sodium_free(v->key);
    free(v);
}
