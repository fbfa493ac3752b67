#include "controller/vault.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/seal.h"
#include "store/rows.h"

enum { NAME_CHARS_MAX = 128 };

struct secret {
    char *label; /* "app/name": neither can have a '/' */
    char *name;  /* into label */
    char *sealed;
    size_t sealed_n;
    int64_t updated_ms;
    UT_hash_handle hh;
};

struct vault {
    struct hob_seal *seal;
    struct secret *secrets;
};

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
    return hob_seal_shut(v->seal, label, value, ret_sealed);
}

static enum hob_code open_secret(const struct vault *v, const struct secret *s, struct hob_buf *out,
                                 struct hob_err *err)
{
    return hob_seal_open(v->seal, s->label, hob_str_n(s->sealed, s->sealed_n), out, err);
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
    struct vault *v = hob_new(struct vault);
    if (store_read_now(s, load, v, err) == HOB_OK && (v->seal = hob_seal_load(key_path, !v->secrets, err)) &&
        check_key(v, err) == HOB_OK)
        return v;
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
    hob_seal_free(v->seal);
    free(v);
}
