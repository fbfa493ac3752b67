/* What is exported behind the objects: env.cache, env.files and the bytes of files. The bytes come by their content, each
 * once; then the names. A name that was given since the bytes began (its revision tells) brings its own bytes along, so
 * that no name is exported without them. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bindings/transfer/transfer_priv.h"
#include "store/kv.h"

#include "base/banned.h"

enum { ROWS_A_TIME = 10, KEY_BYTES_MAX = 600 }; /* values have up to some 100 KB */

struct phase {
    struct data_tx *tx;
    const struct transfer_page *page;
    struct hob_buf *out;
    char *next; /* TRANSFER_CURSOR_BYTES */
};

/* --- cursors: keys are any bytes, so they are written in base64url ------------------------------------------------- */

static const struct {
    const char *name;
    unsigned part;
} phases[] = {{"cache", TRANSFER_CACHE},
              {"sql", TRANSFER_SQL},
              {"keys", TRANSFER_FILES},
              {"bytes", TRANSFER_FILES},
              {"names", TRANSFER_FILES}};

void phase_next(const char *phase, unsigned without, char ret_next[TRANSFER_CURSOR_BYTES])
{
    bool is_behind = !*phase;
    ret_next[0] = '\0';
    for (size_t i = 0; i < HOB_COUNT(phases); i++) {
        if (is_behind && !(phases[i].part & without)) {
            (void)snprintf(ret_next, TRANSFER_CURSOR_BYTES, "+%s/", phases[i].name);
            return;
        }
        is_behind = is_behind || strcmp(phases[i].name, phase) == 0;
    }
}

/* Room for a key in a cursor. */
enum { KEY_CHARS = (KEY_BYTES_MAX + 2) / 3 * 4 + 1 };

static void key_write(struct hob_str key, char out[KEY_CHARS])
{
    HOB_ASSERT(key.n <= KEY_BYTES_MAX);
    (void)sodium_bin2base64(out, KEY_CHARS, (const unsigned char *)key.at, key.n,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static bool key_read(struct hob_str text, struct hob_buf *out)
{
    size_t n = 0;
    char *room = hob_buf_room(out, KEY_BYTES_MAX);
    if (!room || sodium_base642bin((unsigned char *)room, KEY_BYTES_MAX, text.n ? text.at : "", text.n, NULL,
                                   &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    hob_buf_grew(out, n);
    return true;
}

static enum hob_code bad_cursor(const struct phase *p, struct hob_err *err)
{
    return hob_fail(err, HOB_E_INVALID, "'after' is '%.*s': give what the page before ended with",
                    (int)(p->page->after.n < 64 ? p->page->after.n : 64), p->page->after.at);
}

static enum hob_code too_large(struct hob_err *err)
{
    return hob_fail(err, HOB_E_TOO_LARGE, "one page of the export does not fit in memory");
}

enum hob_code transfer_parts(struct hob_str list, unsigned *ret_parts, struct hob_err *err)
{
    static const struct {
        const char *name;
        enum transfer_part part;
    } parts[] = {{"cache", TRANSFER_CACHE}, {"sql", TRANSFER_SQL}, {"files", TRANSFER_FILES}};
    *ret_parts = 0;
    while (list.at && list.n) {
        struct hob_str one = hob_str_trim(hob_str_cut(list, ',', &list));
        size_t i = 0;
        while (i < HOB_COUNT(parts) && !hob_str_is(one, parts[i].name))
            i++;
        if (i == HOB_COUNT(parts))
            return hob_fail(err, HOB_E_INVALID, "'%.*s' cannot be left out: cache, sql and files can",
                            (int)(one.n < 64 ? one.n : 64), one.at);
        *ret_parts |= parts[i].part;
    }
    return HOB_OK;
}

/* --- facts: env.cache, env.files ----------------------------------------------------------------------------------- */

struct facts {
    struct phase *p;
    const char *phase;
    void (*write)(struct hob_jw *w, const struct kv_row *row);
    char last[KEY_CHARS];
    unsigned n;
};

static void write_cached(struct hob_jw *w, const struct kv_row *row)
{
    hob_jw_kstr(w, "cache", row->key);
    if (hob_utf8_is_valid(row->value) && !memchr(row->value.at, '\0', row->value.n)) {
        hob_jw_kstr(w, "value", row->value);
    } else {
        size_t chars = sodium_base64_encoded_len(row->value.n, sodium_base64_VARIANT_ORIGINAL);
        hob_auto_free char *text = hob_calloc(1, chars);
        (void)sodium_bin2base64(text, chars, (const unsigned char *)row->value.at, row->value.n,
                                sodium_base64_VARIANT_ORIGINAL);
        hob_jw_kcstr(w, "base64", text);
    }
    if (row->meta.n) {
        hob_jw_key(w, "metadata");
        hob_jw_raw(w, row->meta);
    }
    if (row->expires_ms)
        hob_jw_kint(w, "expires", row->expires_ms);
}

static void write_key(struct hob_jw *w, const struct kv_row *row)
{
    hob_jw_kstr(w, "file_key", row->key);
    hob_jw_key(w, "row");
    hob_jw_raw(w, row->value);
}

static enum hob_code on_fact(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct facts *f = ctx;
    struct hob_jw w;
    if (row->key.n > KEY_BYTES_MAX)
        return HOB_OK; /* none of ours */
    hob_jw_init(&w, f->p->out);
    hob_jw_object(&w);
    f->write(&w, row);
    hob_jw_object_end(&w);
    key_write(row->key, f->last);
    f->n++;
    return w.is_full || hob_buf_add(f->p->out, "\n", 1) != HOB_OK ? too_large(err) : HOB_OK;
}

static enum hob_code facts_export(struct facts *f, const char *space, struct hob_str after,
                                  struct hob_err *err)
{
    hob_auto_buf struct hob_buf key;
    struct phase *p = f->p;
    hob_buf_init(&key, KEY_BYTES_MAX);
    if (!key_read(after, &key))
        return bad_cursor(p, err);
    do {
        f->n = 0;
        if (kv_each(p->tx, space, HOB_STR(""), hob_buf_str(&key), ROWS_A_TIME, hob_utc_ms(), on_fact, f,
                    err) != HOB_OK)
            return err->code;
        hob_buf_clear(&key);
        if (f->n && !key_read(hob_str(f->last), &key))
            return bad_cursor(p, err);
    } while (f->n && p->out->n < PAGE_BYTES);
    if (f->n)
        (void)snprintf(p->next, TRANSFER_CURSOR_BYTES, "+%s/%s", f->phase, f->last);
    else
        phase_next(f->phase, p->page->without, p->next);
    return HOB_OK;
}

/* --- the bytes of files: "REVISION/DIGEST" behind it, "REVISION/DIGEST/AT" in it ----------------------------------- */

struct walk { /* of one space, row by row */
    int64_t revision;
    struct hob_buf key; /* the row, or the one before */
    struct hob_buf value, meta;
    bool is_inside; /* the row's bytes go on at `at` */
    uint64_t at;
    bool is_found;
    int64_t row_revision;
};

static enum hob_code walk_init(struct walk *k, struct phase *p, struct hob_str after, struct hob_err *err)
{
    struct hob_str rest, key, at, revision = hob_str_cut(after, '/', &rest);
    uint64_t n = 0;
    *k = (struct walk){.revision = 0};
    hob_buf_init(&k->key, KEY_BYTES_MAX);
    hob_buf_init(&k->value, 65536);
    hob_buf_init(&k->meta, 1 << 20);
    if (!after.n)
        return kv_revision(p->tx, &k->revision, err);
    key = hob_str_cut(rest.at ? rest : HOB_STR(""), '/', &at);
    k->is_inside = at.at != NULL;
    if (!hob_str_u64(revision, &n) || n > INT64_MAX || !key_read(key, &k->key) ||
        (k->is_inside && !hob_str_u64(at, &k->at)))
        return bad_cursor(p, err);
    k->revision = (int64_t)n;
    return HOB_OK;
}

static void walk_done(struct walk *k)
{
    hob_buf_done(&k->key);
    hob_buf_done(&k->value);
    hob_buf_done(&k->meta);
}

static void walk_cursor(const struct walk *k, const struct phase *p, const char *phase)
{
    char key[KEY_CHARS], at[32] = "";
    key_write(hob_buf_str(&k->key), key);
    if (k->is_inside)
        (void)snprintf(at, sizeof at, "/%llu", (unsigned long long)k->at);
    (void)snprintf(p->next, TRANSFER_CURSOR_BYTES, "+%s/%lld/%s%s", phase, (long long)k->revision, key, at);
}

static enum hob_code on_walked(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct walk *k = ctx;
    hob_buf_clear(&k->key);
    hob_buf_clear(&k->value);
    hob_buf_clear(&k->meta);
    k->is_found = true;
    k->row_revision = row->revision;
    if (hob_buf_add_str(&k->key, row->key) != HOB_OK || hob_buf_add_str(&k->value, row->value) != HOB_OK ||
        hob_buf_add_str(&k->meta, row->meta.at ? row->meta : HOB_STR("")) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "a row of the app's files is too large");
    return HOB_OK;
}

/* The next row, or the one that the page before stopped in; *k->is_found false: there is none. */
static enum hob_code walk_step(struct walk *k, struct phase *p, const char *space, struct hob_err *err)
{
    hob_auto_free char *key = hob_strndup(k->key.n ? hob_buf_data(&k->key) : "", k->key.n);
    struct hob_str name = hob_str_n(key, k->key.n);
    k->is_found = false;
    if (!k->is_inside)
        return kv_each(p->tx, space, HOB_STR(""), name, 1, 0, on_walked, k, err);
    enum hob_code rc = kv_get(p->tx, space, name, 0, on_walked, k, err);
    if (rc != HOB_E_NOT_FOUND)
        return rc;
    k->is_inside = false; /* removed meanwhile */
    k->at = 0;
    return walk_step(k, p, space, err);
}

/* Pieces until all are written (k->is_inside false) or the page is full. Bytes that are gone are left out. */
static enum hob_code walk_bytes(struct walk *k, struct phase *p, const char *digest, struct hob_err *err)
{
    struct blob b = {.name = digest, .digest = digest};
    struct pieces pieces = {.fd = -1, .kind = "blob", .name = digest, .at = k->is_inside ? k->at : 0};
    enum hob_code rc =
        hob_digest_is_valid(digest) ? blob_open(p->page->files, &b, NULL, &pieces.fd, err) : HOB_E_NOT_FOUND;
    k->is_inside = false;
    if (rc == HOB_E_NOT_FOUND)
        return HOB_OK;
    if (rc == HOB_OK)
        rc = pieces_write(&pieces, p->out, err);
    if (pieces.fd >= 0)
        (void)close(pieces.fd);
    k->is_inside = !pieces.is_over;
    k->at = pieces.at;
    return rc;
}

static enum hob_code bytes_export(struct phase *p, struct hob_str after, struct hob_err *err)
{
    struct walk k;
    enum hob_code rc = walk_init(&k, p, after, err);
    bool is_over = p->page->files->is_s3;
    while (rc == HOB_OK && !is_over && p->out->n < PAGE_BYTES) {
        rc = walk_step(&k, p, blob_space, err);
        is_over = !k.is_found;
        hob_auto_free char *digest = hob_strndup(k.key.n ? hob_buf_data(&k.key) : "", k.key.n);
        if (rc == HOB_OK && k.is_found)
            rc = walk_bytes(&k, p, digest, err);
    }
    if (rc == HOB_OK && is_over)
        (void)snprintf(p->next, TRANSFER_CURSOR_BYTES, "+names/%lld/", (long long)k.revision);
    else if (rc == HOB_OK)
        walk_cursor(&k, p, "bytes");
    walk_done(&k);
    return rc;
}

/* --- their names: "REVISION/NAME", "REVISION/NAME/AT" in bytes of its own ------------------------------------------ */

static enum hob_code name_write(const struct walk *k, struct phase *p, struct hob_err *err)
{
    struct hob_jw w;
    hob_jw_init(&w, p->out);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "file", hob_buf_str(&k->key));
    hob_jw_key(&w, "row");
    hob_jw_raw(&w, hob_buf_str(&k->value));
    if (k->meta.n) {
        hob_jw_key(&w, "metadata");
        hob_jw_raw(&w, hob_buf_str(&k->meta));
    }
    hob_jw_object_end(&w);
    return w.is_full || hob_buf_add(p->out, "\n", 1) != HOB_OK ? too_large(err) : HOB_OK;
}

static enum hob_code name_export(struct walk *k, struct phase *p, struct hob_err *err)
{
    if (k->row_revision > k->revision && !p->page->files->is_s3) {
        hob_auto_json json_t *row = hob_json_parse(hob_buf_str(&k->value), "a file's row", err);
        const char *digest = json_string_value(json_object_get(row, "digest"));
        if (!row || walk_bytes(k, p, digest ? digest : "", err) != HOB_OK)
            return err->code;
    }
    return k->is_inside ? HOB_OK : name_write(k, p, err);
}

static enum hob_code names_export(struct phase *p, struct hob_str after, struct hob_err *err)
{
    struct walk k;
    enum hob_code rc = walk_init(&k, p, after, err);
    bool is_over = false;
    while (rc == HOB_OK && !is_over && p->out->n < PAGE_BYTES) {
        rc = walk_step(&k, p, file_space, err);
        is_over = !k.is_found;
        if (rc == HOB_OK && k.is_found)
            rc = name_export(&k, p, err);
    }
    if (rc == HOB_OK && is_over)
        phase_next("names", p->page->without, p->next);
    else if (rc == HOB_OK)
        walk_cursor(&k, p, "names");
    walk_done(&k);
    return rc;
}

/* --- door ---------------------------------------------------------------------------------------------------------- */

enum hob_code phase_export(struct data_tx *tx, const struct transfer_page *page, struct hob_buf *out,
                           char ret_next[TRANSFER_CURSOR_BYTES], struct hob_err *err)
{
    struct phase p = {tx, page, out, ret_next};
    struct hob_str after, name = hob_str_cut(page->after, '/', &after);
    struct facts cached = {.p = &p, .phase = "cache", .write = write_cached};
    struct facts keys = {.p = &p, .phase = "keys", .write = write_key};
    if (!after.at || page->after.n >= TRANSFER_CURSOR_BYTES)
        return bad_cursor(&p, err);
    if (hob_str_is(name, "+cache"))
        return facts_export(&cached, "cache", after, err);
    if (hob_str_is(name, "+keys"))
        return facts_export(&keys, "env_files", after, err);
    if (hob_str_is(name, "+bytes"))
        return bytes_export(&p, after, err);
    if (hob_str_is(name, "+names"))
        return names_export(&p, after, err);
    return bad_cursor(&p, err);
}
