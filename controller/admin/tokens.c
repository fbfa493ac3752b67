#include "controller/tokens.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/rows.h"

static const char token_prefix[] = "hob_";

struct token {
    char *name;
    unsigned char hash[crypto_hash_sha256_BYTES];
};

struct tokens {
    struct token *list;
    size_t n;
};

static void remember(struct tokens *t, const char *name, const unsigned char hash[crypto_hash_sha256_BYTES])
{
    t->list = hob_realloc(t->list, t->n + 1, sizeof *t->list);
    struct token *one = &t->list[t->n++];
    one->name = hob_strdup(name);
    memcpy(one->hash, hash, crypto_hash_sha256_BYTES);
}

static enum hob_code on_token(void *ctx, const struct token_row *row, struct hob_err *err)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    size_t n = 0;
    if (sodium_hex2bin(hash, sizeof hash, row->hash, strlen(row->hash), NULL, &n, NULL) != 0 ||
        n != sizeof hash)
        return hob_fail(err, HOB_E_INTERNAL, "the store's token '%s' is damaged", row->name);
    remember(ctx, row->name, hash);
    return HOB_OK;
}

static enum hob_code load(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_token_each(tx, on_token, ctx, err);
}

struct new_token {
    const char *name, *hash;
};

static enum hob_code insert(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct new_token *nt = ctx;
    struct token_row row = {.created_ms = hob_utc_ms(), .name = nt->name, .hash = nt->hash};
    return store_token_put(tx, &row, err);
}

/* The file first: a crash in between leaves a file whose token is unknown, which the next start replaces. */
static enum hob_code make_admin(struct tokens *t, struct store *s, const char *path, struct hob_err *err)
{
    char token[TOKEN_CHARS + 2], hash_hex[2 * crypto_hash_sha256_BYTES + 1];
    unsigned char hash[crypto_hash_sha256_BYTES];
    memcpy(token, token_prefix, sizeof token_prefix);
    hob_random_hex(token + sizeof token_prefix - 1, 32);
    (void)crypto_hash_sha256(hash, (const unsigned char *)token, TOKEN_CHARS);
    hob_hex(hash_hex, hash, sizeof hash);
    token[TOKEN_CHARS] = '\n';
    enum hob_code rc = hob_write_file(path, hob_str_n(token, TOKEN_CHARS + 1), 0600, err);
    sodium_memzero(token, sizeof token);
    struct new_token nt = {.name = "admin", .hash = hash_hex};
    if (rc == HOB_OK)
        rc = store_write_now(s, insert, &nt, err);
    if (rc == HOB_OK)
        remember(t, "admin", hash);
    return rc;
}

struct tokens *tokens_open(struct store *s, const char *admin_path, struct hob_err *err)
{
    struct tokens *t = hob_new(struct tokens);
    if (store_read_now(s, load, t, err) == HOB_OK && (t->n || make_admin(t, s, admin_path, err) == HOB_OK))
        return t;
    tokens_free(t);
    return NULL;
}

void tokens_free(struct tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i].name);
    free(t->list);
    free(t);
}

/* Hashing first makes the comparison independent of what the caller knows of the token; every entry is compared, in
 * constant time. */
const char *tokens_check(const struct tokens *t, struct hob_str bearer)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    const char *name = NULL;
    if (bearer.n != TOKEN_CHARS)
        return NULL;
    (void)crypto_hash_sha256(hash, (const unsigned char *)bearer.at, bearer.n);
    for (size_t i = 0; i < t->n; i++) {
        if (sodium_memcmp(hash, t->list[i].hash, sizeof hash) == 0)
            name = t->list[i].name;
    }
    return name;
}
