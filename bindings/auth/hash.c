#include "bindings/auth/hash.h"

#include <crypt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

#include "base/banned.h"

enum { PASSES = 2, MEMORY_BYTES = 19456 * 1024, BCRYPT_CHARS = 60, BCRYPT_COST_MAX = 14 };
_Static_assert(HASH_TEXT_BYTES >= (int)crypto_pwhash_STRBYTES, "a hash must fit");

enum hob_code hash_make(struct hob_str password, char out[HASH_TEXT_BYTES], struct hob_err *err)
{
    if (crypto_pwhash_str_alg(out, password.at, password.n, PASSES, MEMORY_BYTES,
                              crypto_pwhash_ALG_ARGON2ID13) == 0)
        return HOB_OK;
    return hob_fail(err, HOB_E_UNAVAILABLE, "there is no memory to hash a password now: try again");
}

static bool is_bcrypt(struct hob_str s)
{
    return s.n == BCRYPT_CHARS && s.at[0] == '$' && s.at[1] == '2' && memchr("abxy", s.at[2], 4) != NULL &&
           s.at[3] == '$' && s.at[6] == '$';
}

/* What an import may bring must not cost minutes: 2^14 rounds are 0.7 s. */
static bool is_bearable(struct hob_str s)
{
    int cost = (s.at[4] - '0') * 10 + (s.at[5] - '0');
    return cost >= 4 && cost <= BCRYPT_COST_MAX;
}

static bool matches_bcrypt(const char *hash, struct hob_str password)
{
    struct crypt_data *state = hob_new(struct crypt_data); /* 32 KiB: not for the stack */
    char *text = hob_strndup(password.at, password.n);
    const char *made = crypt_r(text, hash, state);
    bool is_same = made && strlen(made) == BCRYPT_CHARS && sodium_memcmp(made, hash, BCRYPT_CHARS) == 0;
    sodium_memzero(state, sizeof *state);
    sodium_memzero(text, password.n);
    free(state);
    free(text);
    return is_same;
}

bool hash_matches(const char *hash, struct hob_str password)
{
    struct hob_str h = hob_str(hash);
    if (password.n > HOB_MAX_PASSWORD_BYTES)
        return false;
    if (is_bcrypt(h))
        return is_bearable(h) && !memchr(password.at, '\0', password.n) && matches_bcrypt(hash, password);
    if (!hob_str_starts(h, HOB_STR("$argon2id$")) || h.n >= crypto_pwhash_STRBYTES)
        return false;
    return crypto_pwhash_str_verify(hash, password.at, password.n) == 0;
}

bool hash_is_old(const char *hash)
{
    return crypto_pwhash_str_needs_rehash(hash, PASSES, MEMORY_BYTES) != 0;
}

bool hash_is_known(struct hob_str text)
{
    if (is_bcrypt(text))
        return is_bearable(text);
    return hob_str_starts(text, HOB_STR("$argon2id$v=19$")) && text.n < crypto_pwhash_STRBYTES &&
           !memchr(text.at, '\0', text.n);
}
