#include "bindings/auth/auth_priv.h"

#include <stdlib.h>

#include "base/banned.h"

struct hob_str member_str(const json_t *object, const char *name)
{
    const json_t *j = json_object_get(object, name);
    return json_is_string(j) ? hob_str_n(json_string_value(j), json_string_length(j)) : (struct hob_str){0};
}

int64_t member_int(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *j = json_object_get(object, name);
    return json_is_integer(j) ? (int64_t)json_integer_value(j)
           : json_is_real(j)  ? (int64_t)json_real_value(j)
                              : fallback;
}

enum hob_code answer_json(struct backend_call *c, const json_t *j, struct hob_err *err)
{
    struct hob_jw w;
    hob_buf_clear(&c->out);
    hob_jw_init(&w, &c->out);
    hob_jw_json(&w, j);
    return hob_jw_end(&w, err);
}

void answer_finish(struct backend_call *c, const json_t *j)
{
    if (answer_json(c, j, &c->err) == HOB_OK)
        ask_finish(c);
    else
        ask_fail(c);
}

void fail_now(struct backend_call *c, enum parse_code code, const char *words)
{
    (void)parse_fail(&c->err, code, "%s", words);
    ask_fail(c);
}

enum hob_code kv_maybe(struct data_tx *tx, const char *space, struct hob_str key, int64_t now_ms, kv_cb cb,
                       void *ctx, struct hob_err *err)
{
    enum hob_code rc = kv_get(tx, space, key, now_ms, cb, ctx, err);
    if (rc != HOB_E_NOT_FOUND)
        return rc;
    *err = (struct hob_err){0}; /* a failure that is none must not be told by anybody */
    return HOB_OK;
}

void token_digest(struct hob_str token, char out[HOB_DIGEST_CHARS + 1])
{
    hob_sha256_hex(token.at, token.n, out);
}

void defer_json(void *json)
{
    json_decref(json);
}

json_t *call_json(struct backend_call *c, json_t *owned)
{
    if (owned)
        ask_defer(c, defer_json, owned);
    return owned;
}

void *call_alloc(struct backend_call *c, size_t n)
{
    void *p = hob_arena_alloc(&c->arena, n);
    HOB_ASSERT(p);
    return p;
}

struct hob_str call_str(struct backend_call *c, struct hob_str s)
{
    char *copy = hob_arena_strndup(&c->arena, s.n ? s.at : "", s.n);
    HOB_ASSERT(copy);
    return hob_str_n(copy, s.n);
}
