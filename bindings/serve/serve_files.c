/* env.files: files of the app by key. The bytes are the backend's (bindings/files/); a pair of the app's database has for
 * each key the stored name and what is told of it. A put stores first and names then; what a key had before goes last, so
 * that a crash in between leaves at most a file without a key. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "bindings/auth/auth.h"
#include "bindings/files/files.h"
#include "bindings/serve/serve_http.h"
#include "store/kv.h"

#include "base/banned.h"

#define SPACE "env_files"
enum { READ_BYTES = 65536, KEY_BYTES = 512, ROW_BYTES = 16 * 1024, LIST_MAX = 1000 };

/* --- judging --- */

static struct hob_str key_of(const struct serve_call *c)
{
    const json_t *key = json_object_get(c->args, "key");
    return hob_str_n(json_string_value(key), json_string_length(key));
}

static enum hob_code judge(const struct serve_call *c, bool has_key, struct hob_err *err)
{
    struct hob_str key = key_of(c);
    if (serve_need(c, HOB_GRANT_FILES, HOB_STR(""), 0, err) != HOB_OK)
        return err->code;
    if (has_key && (!key.at || key.n < 1 || key.n > KEY_BYTES))
        return hob_fail(err, HOB_E_INVALID, "a file's key is a text of 1 to %d bytes", KEY_BYTES);
    return HOB_OK;
}

/* --- rows, on threads: {"name","size","etag","uploaded","contentType","metadata","url"} --- */

struct row_read {
    json_t *json;
};

static enum hob_code on_row(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct row_read *r = ctx;
    json_decref(r->json);
    r->json = hob_json_parse(row->value, "a file's row", err);
    return r->json ? HOB_OK : err->code;
}

/* *ret_json owned; NULL when there is none. */
static enum hob_code row_get(struct data_tx *tx, struct hob_str key, json_t **ret_json, struct hob_err *err)
{
    struct row_read r = {NULL};
    enum hob_code rc = kv_get(tx, SPACE, key, hob_utc_ms(), on_row, &r, err);
    if (rc != HOB_OK && rc != HOB_E_NOT_FOUND)
        return rc;
    *ret_json = r.json;
    return HOB_OK;
}

static enum hob_code write_head(struct serve_call *c, struct hob_str key, json_t *row, struct hob_err *err)
{
    struct hob_jw w;
    hob_buf_clear(&c->out);
    hob_jw_init(&w, &c->out);
    if (row) {
        (void)json_object_set_new(row, "key", json_stringn(key.at, key.n));
        (void)json_object_del(row, "name");
        hob_jw_json(&w, row);
    } else {
        hob_jw_null(&w);
    }
    return hob_jw_end(&w, err);
}

static void note_name(struct serve_call *c, const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    (void)snprintf(c->name, sizeof c->name, "%s", name ? name : "");
}

/* --- the file that a key no longer has --- */

static void on_old_gone(void *ctx, const struct backend_answer *a)
{
    (void)ctx, (void)a; /* what stays has no key: nobody misses it */
}

static void drop_old(struct serve_call *c)
{
    char path[sizeof c->name + sizeof "/files/"];
    if (!*c->name)
        return;
    (void)snprintf(path, sizeof path, "/files/%s", c->name);
    struct backend_request r = {
        .app = c->caller.app, .method = HOB_STR("DELETE"), .path = hob_str(path), .role = BACKEND_MASTER};
    (void)backend_ask(c->serve->o.backend, &r, on_old_gone, NULL);
}

/* --- put --- */

static enum hob_code work_put(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    char etag[HOB_DIGEST_CHARS + 1];
    json_t *old hob_auto_json = NULL;
    if (row_get(tx, key_of(c), &old, err) != HOB_OK)
        return err->code;
    note_name(c, old);
    hob_sha256_hex(c->data.at, c->data.n, etag);
    json_t *row hob_auto_json = json_deep_copy(c->stored);
    (void)json_object_set_new(row, "etag", json_string(etag));
    hob_auto_free char *text = json_dumps(row, JSON_COMPACT);
    if (!text || strlen(text) > ROW_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE, "a file's metadata has at most %d bytes of JSON", ROW_BYTES);
    struct kv_row pair = {.key = key_of(c), .value = hob_str(text)};
    if (kv_put(tx, SPACE, &pair, err) != HOB_OK)
        return err->code;
    return write_head(c, key_of(c), row, err);
}

static void on_stored(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err bad;
    if (a->status >= 400) {
        serve_fail_answer(c, a);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    json_t *type = json_object_get(c->args, "contentType"), *metadata = json_object_get(c->args, "metadata");
    c->stored = json_copy(json);
    (void)json_object_set_new(c->stored, "size", json_integer((json_int_t)c->data.n));
    (void)json_object_set_new(c->stored, "uploaded", json_integer(hob_utc_ms()));
    if (json_is_string(type))
        (void)json_object_set(c->stored, "contentType", type);
    if (json_is_object(metadata))
        (void)json_object_set(c->stored, "metadata", metadata);
    c->after = drop_old;
    serve_write(c, work_put);
}

static void start_put(struct serve_call *c)
{
    struct hob_err err;
    if (judge(c, true, &err) != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    size_t chars = sodium_base64_encoded_len(c->data.n, sodium_base64_VARIANT_ORIGINAL);
    hob_auto_free char *text = hob_calloc(1, chars);
    (void)sodium_bin2base64(text, chars, (const unsigned char *)c->data.at, c->data.n,
                            sodium_base64_VARIANT_ORIGINAL);
    json_t *params hob_auto_json =
        json_pack("{s:s,s:s}", "base64", text, "_ContentType", "application/octet-stream");
    struct backend_request r = {.method = HOB_STR("POST"),
                                .path = HOB_STR("/files/blob.bin"),
                                .params = params,
                                .role = BACKEND_MASTER};
    serve_ask(c, &r, on_stored);
}

/* --- get, head --- */

static enum hob_code work_head(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    json_t *row hob_auto_json = NULL;
    if (row_get(tx, key_of(c), &row, err) != HOB_OK)
        return err->code;
    note_name(c, row);
    return write_head(c, key_of(c), row, err);
}

static enum hob_code work_bytes(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    (void)tx;
    off_t at = c->http ? (off_t)c->http->from : 0;
    uint64_t left = c->http ? c->http->n : UINT64_MAX;
    hob_buf_clear(&c->out_data);
    for (;;) {
        size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
        char *room = hob_buf_room(&c->out_data, want);
        ssize_t n = room ? pread(c->fd, room, want, at) : -1;
        if (!room)
            return hob_fail(err, HOB_E_TOO_LARGE,
                            "the file is larger than a call gives back (call.answer_bytes)");
        if (n < 0)
            return hob_fail_errno(err, errno, "reading a file");
        if (n == 0)
            return HOB_OK;
        hob_buf_grew(&c->out_data, (size_t)n);
        at += n;
        left -= (uint64_t)n;
    }
}

static void on_found(void *ctx, const struct hob_err *err, const struct file_found *found)
{
    struct serve_call *c = ctx;
    c->is_working = false;
    if (found)
        c->fd = found->fd;
    if (err || c->is_forgotten)
        serve_fail(c, err ? err : &(struct hob_err){.code = HOB_E_CANCELLED});
    else if (!c->http || gate_found(c, found))
        serve_read(c, work_bytes);
}

void serve_file_find(struct serve_call *c, bool is_metadata)
{
    const struct backend_app *app =
        backend_app_by_name(backend_wiring(c->serve->o.backend)->apps, hob_str(c->caller.app));
    HOB_ASSERT(app); /* judged at the start of the call */
    c->is_working = true;
    files_find(c->serve->o.backend, app, hob_str(c->name), is_metadata, on_found, c);
}

/* The row is known: null ends the call, else its bytes are fetched. */
static bool fetch(struct serve_call *c)
{
    const struct backend_app *app =
        backend_app_by_name(backend_wiring(c->serve->o.backend)->apps, hob_str(c->caller.app));
    if (!*c->name || !app)
        return false;
    c->goes_on = NULL;
    c->is_working = true;
    files_find(c->serve->o.backend, app, hob_str(c->name), false, on_found, c);
    return true;
}

static void start_read(struct serve_call *c, bool (*goes_on)(struct serve_call *c))
{
    struct hob_err err;
    c->goes_on = goes_on;
    if (judge(c, true, &err) == HOB_OK)
        serve_read(c, work_head);
    else
        serve_fail(c, &err);
}

static void start_head(struct serve_call *c)
{
    start_read(c, NULL);
}

static void start_get(struct serve_call *c)
{
    start_read(c, fetch);
}

/* --- delete, list --- */

static enum hob_code work_delete(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    json_t *row hob_auto_json = NULL;
    if (row_get(tx, key_of(c), &row, err) != HOB_OK)
        return err->code;
    note_name(c, row);
    return kv_drop(tx, SPACE, key_of(c), NULL, err);
}

static void start_delete(struct serve_call *c)
{
    struct hob_err err;
    c->after = drop_old;
    if (judge(c, true, &err) == HOB_OK)
        serve_write(c, work_delete);
    else
        serve_fail(c, &err);
}

struct listing {
    struct hob_jw w;
    uint64_t n, limit;
    char last[KEY_BYTES + 1];
    bool has_more;
};

static enum hob_code on_listed(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct listing *l = ctx;
    if (l->n++ >= l->limit) {
        l->has_more = true;
        return HOB_OK;
    }
    json_t *json hob_auto_json = hob_json_parse(row->value, "a file's row", err);
    if (!json)
        return err->code;
    (void)json_object_set_new(json, "key", json_stringn(row->key.at, row->key.n));
    (void)json_object_del(json, "name");
    hob_jw_json(&l->w, json);
    (void)snprintf(l->last, sizeof l->last, "%.*s", HOB_STR_ARG(row->key));
    return HOB_OK;
}

static enum hob_code work_list(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct serve_call *c = ctx;
    const char *prefix = json_string_value(json_object_get(c->args, "prefix"));
    const char *cursor = json_string_value(json_object_get(c->args, "cursor"));
    int64_t limit = json_integer_value(json_object_get(c->args, "limit"));
    struct listing l = {.limit = limit > 0 && limit < LIST_MAX ? (uint64_t)limit : LIST_MAX};
    hob_buf_clear(&c->out);
    hob_jw_init(&l.w, &c->out);
    hob_jw_object(&l.w);
    hob_jw_key(&l.w, "objects");
    hob_jw_array(&l.w);
    if (kv_each(tx, SPACE, hob_str(prefix ? prefix : ""), hob_str(cursor ? cursor : ""), l.limit + 1,
                hob_utc_ms(), on_listed, &l, err) != HOB_OK)
        return err->code;
    hob_jw_array_end(&l.w);
    hob_jw_kbool(&l.w, "truncated", l.has_more);
    if (l.has_more)
        hob_jw_kcstr(&l.w, "cursor", l.last);
    hob_jw_object_end(&l.w);
    return hob_jw_end(&l.w, err);
}

static void start_list(struct serve_call *c)
{
    struct hob_err err;
    if (judge(c, false, &err) == HOB_OK)
        serve_read(c, work_list);
    else
        serve_fail(c, &err);
}

const struct serve_op serve_file_ops[] = {
    {"files.put", start_put},       {"files.get", start_get},   {"files.head", start_head},
    {"files.delete", start_delete}, {"files.list", start_list}, {0},
};
