/* env.cache: small values by key, an app's own, as Workers KV has them; and incr and cas, which KV lacks. Values are bytes
 * (the call's data); the rest is JSON. Works on threads of the app's database. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bindings/serve/serve_priv.h"
#include "store/kv.h"

#include "base/banned.h"

#define SPACE "cache"
enum { LIST_MAX = 1000, KEYS_MAX = 100, TTL_MIN_S = 1 };

/* --- judging --- */

static bool is_key(const char *s, size_t n)
{
    return s && n > 0 && n <= HOB_MAX_CACHE_KEY_BYTES && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static enum hob_code check_key(const json_t *key, struct hob_err *err)
{
    if (is_key(json_string_value(key), json_string_length(key)))
        return HOB_OK;
    return hob_fail(err, HOB_E_INVALID, "a key of the cache is a text of 1 to %d bytes (cache.key_bytes)",
                    HOB_MAX_CACHE_KEY_BYTES);
}

static struct hob_str key_of(const struct serve_call *c)
{
    const json_t *key = json_object_get(c->args, "key");
    return hob_str_n(json_string_value(key), json_string_length(key));
}

static enum hob_code check_meta(const struct serve_call *c, struct hob_err *err)
{
    const json_t *meta = json_object_get(c->args, "metadata");
    if (!meta || json_is_null(meta))
        return HOB_OK;
    hob_auto_free char *text = json_dumps(meta, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text && strlen(text) <= HOB_MAX_CACHE_META_BYTES)
        return HOB_OK;
    return hob_fail(err, HOB_E_TOO_LARGE, "metadata has at most %d bytes of JSON (cache.metadata_bytes)",
                    HOB_MAX_CACHE_META_BYTES);
}

/* Seconds since 1970, or from now; *ret_ms 0: never. */
static enum hob_code expiry_of(const struct serve_call *c, int64_t *ret_ms, struct hob_err *err)
{
    const json_t *at = json_object_get(c->args, "expiration"),
                 *ttl = json_object_get(c->args, "expirationTtl");
    int64_t now = hob_utc_ms();
    *ret_ms = 0;
    if (ttl && !json_is_null(ttl)) {
        double s = json_number_value(ttl);
        if (!json_is_number(ttl) || s < TTL_MIN_S || s > 1e9)
            return hob_fail(err, HOB_E_INVALID, "expirationTtl is a number of seconds, %d or more",
                            TTL_MIN_S);
        *ret_ms = now + (int64_t)(s * 1000);
    } else if (at && !json_is_null(at)) {
        double s = json_number_value(at);
        if (!json_is_number(at) || s * 1000 <= (double)now || s > 1e12)
            return hob_fail(err, HOB_E_INVALID, "expiration is a time to come, in seconds since 1970");
        *ret_ms = (int64_t)(s * 1000);
    }
    return HOB_OK;
}

/* --- on threads --- */

static enum hob_code add_row(struct serve_call *c, struct hob_jw *w, const struct kv_row *row,
                             struct hob_err *err)
{
    hob_jw_object(w);
    hob_jw_kint(w, "n", (int64_t)row->value.n);
    hob_jw_kint(w, "revision", row->revision);
    if (row->expires_ms)
        hob_jw_kint(w, "expiration", row->expires_ms / 1000);
    if (row->meta.n) {
        hob_jw_key(w, "metadata");
        hob_jw_raw(w, row->meta);
    }
    hob_jw_object_end(w);
    if (hob_buf_add_str(&c->out_data, row->value) == HOB_OK)
        return HOB_OK;
    return hob_fail(err, HOB_E_TOO_LARGE, "the values have more than %d bytes together (call.answer_bytes)",
                    HOB_MAX_CALL_ANSWER_BYTES);
}

struct getting {
    struct serve_call *call;
    struct hob_jw w;
};

static enum hob_code on_got(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct getting *g = ctx;
    return add_row(g->call, &g->w, row, err);
}

static enum hob_code get_one(struct getting *g, struct data_tx *tx, const json_t *key, struct hob_err *err)
{
    struct hob_str name = hob_str_n(json_string_value(key), json_string_length(key));
    enum hob_code rc = kv_get(tx, SPACE, name, hob_utc_ms(), on_got, g, err);
    if (rc == HOB_E_NOT_FOUND) {
        hob_jw_null(&g->w);
        rc = HOB_OK;
    }
    return rc;
}

/* [row or null, ...]; the values' bytes one behind another. */
static enum hob_code work_get(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    struct getting g = {.call = c};
    const json_t *keys = json_object_get(c->args, "keys"), *key;
    enum hob_code rc = HOB_OK;
    size_t i;
    hob_buf_clear(&c->out);
    hob_buf_clear(&c->out_data);
    hob_jw_init(&g.w, &c->out);
    hob_jw_array(&g.w);
    json_array_foreach(keys, i, key)
    {
        if ((rc = get_one(&g, tx, key, err)) != HOB_OK)
            return rc;
    }
    hob_jw_array_end(&g.w);
    return hob_jw_end(&g.w, err);
}

static struct kv_row row_of(const struct serve_call *c, struct hob_buf *meta)
{
    struct kv_row row = {.key = key_of(c), .value = c->data};
    struct hob_err never; /* judged before */
    const json_t *m = json_object_get(c->args, "metadata");
    if (m && !json_is_null(m)) {
        struct hob_jw w;
        hob_jw_init(&w, meta);
        hob_jw_json(&w, m);
        if (hob_jw_end(&w, &never) == HOB_OK)
            row.meta = hob_buf_str(meta);
    }
    (void)!expiry_of(c, &row.expires_ms, &never);
    return row;
}

static enum hob_code work_put(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct serve_call *c = ctx;
    hob_auto_buf struct hob_buf meta;
    hob_buf_init(&meta, 2 * HOB_MAX_CACHE_META_BYTES);
    struct kv_row row = row_of(c, &meta);
    return kv_put(tx, SPACE, &row, err);
}

/* true or false: swapped or not. */
static enum hob_code work_cas(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    hob_auto_buf struct hob_buf meta;
    hob_buf_init(&meta, 2 * HOB_MAX_CACHE_META_BYTES);
    struct kv_row row = row_of(c, &meta);
    int64_t revision = json_integer_value(json_object_get(c->args, "revision"));
    enum hob_code rc = kv_swap(tx, SPACE, &row, revision, hob_utc_ms(), err);
    if (rc != HOB_OK && rc != HOB_E_CONFLICT)
        return rc;
    hob_buf_clear(&c->out);
    return hob_buf_addf(&c->out, "%s", rc == HOB_OK ? "true" : "false");
}

static enum hob_code work_incr(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    const json_t *by = json_object_get(c->args, "by");
    int64_t value;
    if (kv_add(tx, SPACE, key_of(c), by ? json_integer_value(by) : 1, hob_utc_ms(), &value, err) != HOB_OK)
        return err->code;
    hob_buf_clear(&c->out);
    return hob_buf_addf(&c->out, "%lld", (long long)value);
}

static enum hob_code work_delete(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct serve_call *c = ctx;
    return kv_drop(tx, SPACE, key_of(c), NULL, err);
}

struct listing {
    struct hob_jw w;
    uint64_t n, limit;
    char last[HOB_MAX_CACHE_KEY_BYTES + 1];
    bool has_more;
};

static enum hob_code on_listed(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct listing *l = ctx;
    (void)err;
    if (l->n++ >= l->limit) {
        l->has_more = true;
        return HOB_OK;
    }
    hob_jw_object(&l->w);
    hob_jw_kstr(&l->w, "name", row->key);
    if (row->expires_ms)
        hob_jw_kint(&l->w, "expiration", row->expires_ms / 1000);
    if (row->meta.n) {
        hob_jw_key(&l->w, "metadata");
        hob_jw_raw(&l->w, row->meta);
    }
    hob_jw_object_end(&l->w);
    (void)snprintf(l->last, sizeof l->last, "%.*s", HOB_STR_ARG(row->key));
    return HOB_OK;
}

static enum hob_code work_list(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    const char *prefix = json_string_value(json_object_get(c->args, "prefix"));
    const char *cursor = json_string_value(json_object_get(c->args, "cursor"));
    struct listing l = {.limit = LIST_MAX};
    int64_t limit = json_integer_value(json_object_get(c->args, "limit"));
    if (limit > 0 && limit < LIST_MAX)
        l.limit = (uint64_t)limit;
    hob_buf_clear(&c->out);
    hob_jw_init(&l.w, &c->out);
    hob_jw_object(&l.w);
    hob_jw_key(&l.w, "keys");
    hob_jw_array(&l.w);
    enum hob_code rc = kv_each(tx, SPACE, hob_str(prefix ? prefix : ""), hob_str(cursor ? cursor : ""),
                               l.limit + 1, hob_utc_ms(), on_listed, &l, err);
    if (rc != HOB_OK)
        return rc;
    hob_jw_array_end(&l.w);
    hob_jw_kbool(&l.w, "list_complete", !l.has_more);
    if (l.has_more)
        hob_jw_kcstr(&l.w, "cursor", l.last);
    hob_jw_object_end(&l.w);
    return hob_jw_end(&l.w, err);
}

/* --- operations --- */

static void start(struct serve_call *c, bool has_key, bool is_write, data_work_cb work)
{
    struct hob_err err;
    int64_t at;
    if (serve_need(c, HOB_GRANT_CACHE, HOB_STR(""), 0, &err) != HOB_OK ||
        (has_key && check_key(json_object_get(c->args, "key"), &err) != HOB_OK) ||
        check_meta(c, &err) != HOB_OK || expiry_of(c, &at, &err) != HOB_OK)
        serve_fail(c, &err);
    else if (is_write)
        serve_write(c, work);
    else
        serve_read(c, work);
}

static void start_get(struct serve_call *c)
{
    struct hob_err err;
    const json_t *keys = json_object_get(c->args, "keys"), *key;
    enum hob_code rc = HOB_OK;
    size_t i, n = json_array_size(keys);
    if (n < 1 || n > KEYS_MAX)
        rc = hob_fail(&err, HOB_E_INVALID, "cache.get: 'keys' are 1 to %d", KEYS_MAX);
    json_array_foreach(keys, i, key)
    {
        if (rc == HOB_OK)
            rc = check_key(key, &err);
    }
    if (rc == HOB_OK)
        start(c, false, false, work_get);
    else
        serve_fail(c, &err);
}

static void start_valued(struct serve_call *c, data_work_cb work)
{
    struct hob_err err;
    if (c->data.n <= HOB_MAX_CACHE_VALUE_BYTES) {
        start(c, true, true, work);
        return;
    }
    (void)hob_fail(&err, HOB_E_TOO_LARGE, "a value of the cache has at most %d bytes (cache.value_bytes)",
                   HOB_MAX_CACHE_VALUE_BYTES);
    serve_fail(c, &err);
}

static void start_put(struct serve_call *c)
{
    start_valued(c, work_put);
}

static void start_cas(struct serve_call *c)
{
    start_valued(c, work_cas);
}

static void start_incr(struct serve_call *c)
{
    struct hob_err err;
    const json_t *by = json_object_get(c->args, "by");
    if (!by || json_is_integer(by)) {
        start(c, true, true, work_incr);
        return;
    }
    (void)hob_fail(&err, HOB_E_INVALID, "cache.incr: 'by' is a whole number");
    serve_fail(c, &err);
}

static void start_delete(struct serve_call *c)
{
    start(c, true, true, work_delete);
}

static void start_list(struct serve_call *c)
{
    start(c, false, false, work_list);
}

const struct serve_op serve_cache_ops[] = {
    {"cache.get", start_get},
    {"cache.put", start_put},
    {"cache.cas", start_cas},
    {"cache.incr", start_incr},
    {"cache.delete", start_delete},
    {"cache.list", start_list},
    {0},
};
