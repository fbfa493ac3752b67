/* Small facts by (space, key). See kv.h. */
#include "store/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/data/data_priv.h"

enum { SWEEP_EVERY = 16, SWEEP_ROWS = 64 }; /* puts between two sweeps, and what one takes at most */

#define COLUMNS "key, value, meta, expires, revision"

static void row_of(const struct query *q, struct kv_row *ret_row)
{
    *ret_row = (struct kv_row){
        .key = query_col_blob(q, 0),
        .value = query_col_blob(q, 1),
        .meta = query_col_blob(q, 2),
        .expires_ms = query_col_int(q, 3),
        .revision = query_col_int(q, 4),
    };
}

static void note_time(struct data_tx *tx, int64_t now_ms)
{
    if (now_ms > tx->conn->kv_now_ms)
        tx->conn->kv_now_ms = now_ms;
}

static enum hob_code start_get(struct query *q, struct data_tx *tx, const char *space, struct hob_str key,
                               int64_t now_ms, struct hob_err *err)
{
    static const char sql[] = "SELECT " COLUMNS " FROM kv WHERE space = $1 AND key = $2"
                              " AND (expires = 0 OR expires > $3)";
    note_time(tx, now_ms);
    if (query_start(q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    query_text(q, space);
    query_blob(q, key);
    query_int(q, now_ms);
    return HOB_OK;
}

enum hob_code kv_get(struct data_tx *tx, const char *space, struct hob_str key, int64_t now_ms, kv_cb cb,
                     void *ctx, struct hob_err *err)
{
    struct query q;
    struct kv_row row;
    bool has_row = false;
    if (start_get(&q, tx, space, key, now_ms, err) != HOB_OK)
        return err->code;
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && has_row) {
        row_of(&q, &row);
        rc = cb ? cb(ctx, &row, err) : HOB_OK;
    } else if (rc == HOB_OK) {
        rc = hob_fail(err, HOB_E_NOT_FOUND, "there is no such pair in '%s', or it has ended", space);
    }
    query_end(&q);
    return rc;
}

static enum hob_code next_revision(struct data_tx *tx, int64_t *ret_revision, struct hob_err *err)
{
    static const char sql[] = "UPDATE meta SET value = value + 1 WHERE name = 'kv_revision' RETURNING value";
    struct query q;
    bool has_row = false;
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && has_row)
        *ret_revision = query_col_int(&q, 0);
    query_end(&q);
    return rc;
}

enum hob_code kv_revision(struct data_tx *tx, int64_t *ret_revision, struct hob_err *err)
{
    static const char sql[] = "SELECT value FROM meta WHERE name = 'kv_revision'";
    struct query q;
    bool has_row = false;
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK)
        *ret_revision = has_row ? query_col_int(&q, 0) : 0;
    query_end(&q);
    return rc;
}

/* A few of those that have ended, now and then: the table stays bounded without a timer. */
static enum hob_code sweep(struct data_tx *tx, struct hob_err *err)
{
    static const char sql[] = "DELETE FROM kv WHERE (space, key) IN (SELECT space, key FROM kv"
                              " WHERE expires > 0 AND expires <= $1 ORDER BY expires LIMIT $2)";
    struct query q;
    if (tx->conn->kv_now_ms == 0 || ++tx->conn->kv_puts % SWEEP_EVERY != 0)
        return HOB_OK;
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    query_int(&q, tx->conn->kv_now_ms);
    query_int(&q, SWEEP_ROWS);
    return query_run(&q, NULL, err);
}

enum hob_code kv_put(struct data_tx *tx, const char *space, const struct kv_row *row, struct hob_err *err)
{
    static const char sql[] = "INSERT INTO kv (space, key, value, meta, expires, revision)"
                              " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (space, key) DO UPDATE"
                              " SET value = excluded.value, meta = excluded.meta, expires = excluded.expires,"
                              " revision = excluded.revision";
    struct query q;
    int64_t revision = 0;
    HOB_ASSERT(tx->s.is_write);
    if (sweep(tx, err) != HOB_OK || next_revision(tx, &revision, err) != HOB_OK ||
        query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    query_text(&q, space);
    query_blob(&q, row->key);
    query_blob(&q, row->value);
    query_str(&q, row->meta);
    query_int(&q, row->expires_ms);
    query_int(&q, revision);
    return query_run(&q, NULL, err);
}

struct found {
    bool is_there;
    int64_t revision, expires_ms;
    char value[32]; /* of a number */
    size_t value_n;
};

static enum hob_code note_found(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct found *f = ctx;
    (void)err;
    *f = (struct found){true, row->revision, row->expires_ms, "", row->value.n};
    (void)snprintf(f->value, sizeof f->value, "%.*s", (int)(row->value.n < 31 ? row->value.n : 31),
                   row->value.at);
    return HOB_OK;
}

static enum hob_code look(struct data_tx *tx, const char *space, struct hob_str key, int64_t now_ms,
                          struct found *ret_f, struct hob_err *err)
{
    *ret_f = (struct found){.is_there = false};
    enum hob_code rc = kv_get(tx, space, key, now_ms, note_found, ret_f, err);
    return rc == HOB_E_NOT_FOUND ? HOB_OK : rc;
}

enum hob_code kv_insert(struct data_tx *tx, const char *space, const struct kv_row *row, int64_t now_ms,
                        struct hob_err *err)
{
    struct found f;
    if (look(tx, space, row->key, now_ms, &f, err) != HOB_OK)
        return err->code;
    if (f.is_there)
        return hob_fail(err, HOB_E_CONFLICT, "a pair with that key is in '%s' already", space);
    return kv_put(tx, space, row, err);
}

enum hob_code kv_swap(struct data_tx *tx, const char *space, const struct kv_row *row, int64_t revision,
                      int64_t now_ms, struct hob_err *err)
{
    struct found f;
    if (look(tx, space, row->key, now_ms, &f, err) != HOB_OK)
        return err->code;
    if (revision != (f.is_there ? f.revision : 0))
        return hob_fail(err, HOB_E_CONFLICT, "the pair in '%s' was changed meanwhile", space);
    return kv_put(tx, space, row, err);
}

static bool is_integer(const struct found *f, int64_t *ret_v)
{
    uint64_t v = 0;
    bool is_negative = f->value[0] == '-';
    if (f->value_n >= sizeof f->value || strlen(f->value) != f->value_n ||
        !hob_str_u64(hob_str(f->value + is_negative), &v) || v > (uint64_t)INT64_MAX)
        return false;
    *ret_v = is_negative ? -(int64_t)v : (int64_t)v;
    return true;
}

enum hob_code kv_add(struct data_tx *tx, const char *space, struct hob_str key, int64_t amount,
                     int64_t now_ms, int64_t *ret_value, struct hob_err *err)
{
    struct found f;
    int64_t value = 0;
    char text[32];
    if (look(tx, space, key, now_ms, &f, err) != HOB_OK)
        return err->code;
    if (f.is_there && !is_integer(&f, &value))
        return hob_fail(err, HOB_E_INVALID,
                        "the value in '%s' is no whole number: nothing can be added to it", space);
    if (__builtin_add_overflow(value, amount, &value) || value == INT64_MIN)
        return hob_fail(err, HOB_E_INVALID, "the number in '%s' would be too large", space);
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    struct kv_row row = {.key = key, .value = hob_str_n(text, (size_t)n), .expires_ms = f.expires_ms};
    if (kv_put(tx, space, &row, err) != HOB_OK)
        return err->code;
    *ret_value = value;
    return HOB_OK;
}

enum hob_code kv_drop(struct data_tx *tx, const char *space, struct hob_str key, bool *ret_was,
                      struct hob_err *err)
{
    static const char sql[] = "DELETE FROM kv WHERE space = $1 AND key = $2";
    struct query q;
    uint64_t changes = 0;
    HOB_ASSERT(tx->s.is_write);
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    query_text(&q, space);
    query_blob(&q, key);
    enum hob_code rc = query_run(&q, &changes, err);
    if (rc == HOB_OK && ret_was)
        *ret_was = changes > 0;
    return rc;
}

/* The first key behind all that begin with `prefix`; empty when there is none. Returns owned. */
static struct hob_str behind(struct hob_str prefix, char **ret_mem)
{
    char *mem = hob_strndup(prefix.at ? prefix.at : "", prefix.n);
    size_t n = prefix.n;
    while (n && (unsigned char)mem[n - 1] == 0xff)
        n--;
    if (n)
        mem[n - 1] = (char)((unsigned char)mem[n - 1] + 1);
    *ret_mem = mem;
    return hob_str_n(mem, n);
}

static int cmp(struct hob_str a, struct hob_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.at, b.at, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

enum hob_code kv_each(struct data_tx *tx, const char *space, struct hob_str prefix, struct hob_str after,
                      uint64_t limit, int64_t now_ms, kv_cb cb, void *ctx, struct hob_err *err)
{
    /* `after` itself is out; the prefix itself is in */
    static const char sql[] =
        "SELECT " COLUMNS " FROM kv WHERE space = $1 AND key >= $2 AND (key > $2 OR $3 = 0)"
        " AND ($4 = 0 OR key < $5) AND (expires = 0 OR expires > $6) ORDER BY key LIMIT $7";
    static const struct hob_str none = {"", 0};
    struct query q;
    struct kv_row row;
    hob_auto_free char *mem = NULL;
    struct hob_str end = behind(prefix, &mem);
    bool is_after = after.n > 0 && cmp(after, prefix) >= 0;
    note_time(tx, now_ms);
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    query_text(&q, space);
    query_blob(&q, is_after ? after : prefix.at ? prefix : none);
    query_int(&q, is_after);
    query_int(&q, end.n > 0);
    query_blob(&q, end);
    query_int(&q, now_ms);
    query_int(&q, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    enum hob_code rc = HOB_OK;
    while (query_next(&q, &rc, err)) {
        row_of(&q, &row);
        rc = cb(ctx, &row, err);
    }
    return rc;
}
