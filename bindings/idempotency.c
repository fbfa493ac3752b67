/* Requests that shall happen once: with X-Parse-Request-Id, on the paths that the app names (idempotencyOptions). The id is
 * kept durably before anything is done; a second request with it gets 159. When the request fails the id is free again. */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "bindings/backend_priv.h"
#include "store/kv.h"

#include "base/banned.h"

enum { TTL_S = 300, TTL_S_MAX = 30 * 86400, KEY_BYTES_MAX = 256, MATCH_LIMIT = 10000 };
static const char space[] = "idempotency";

/* Anchored at the start of the path without its first slash, as parse-server matches. */
static bool fits(const char *pattern, struct hob_str path)
{
    int error;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED, &error, &at, NULL);
    if (!code)
        return false;
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    HOB_ASSERT(match && context);
    (void)pcre2_set_match_limit(context, MATCH_LIMIT);
    int n = pcre2_match(code, (PCRE2_SPTR)path.at, path.n, 0, 0, match, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    return n >= 0;
}

bool idempotency_applies(const struct backend_call *c)
{
    const json_t *paths = json_object_get(ask_json(c, SETTING_IDEMPOTENCY), "paths");
    struct hob_str path = c->request.path;
    bool is_write = hob_str_is(c->request.method, "POST") || hob_str_is(c->request.method, "PUT");
    if (!c->request.idempotency_key.n || !is_write || c->is_inner)
        return false;
    while (path.n && path.at[0] == '/')
        path = hob_str_n(path.at + 1, path.n - 1);
    while (path.n && path.at[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *pattern = json_string_value(json_array_get(paths, i));
        if (pattern && fits(pattern, path))
            return true;
    }
    return false;
}

static int64_t ttl_ms(const struct backend_call *c)
{
    double s = json_number_value(json_object_get(ask_json(c, SETTING_IDEMPOTENCY), "ttl"));
    return (s >= 1 && s <= TTL_S_MAX ? (int64_t)s : TTL_S) * 1000;
}

static enum hob_code take_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct kv_row row = {.key = c->request.idempotency_key, .expires_ms = c->now_ms + ttl_ms(c)};
    enum hob_code rc = kv_insert(tx, space, &row, c->now_ms, err);
    return rc == HOB_E_CONFLICT ? parse_fail(err, PARSE_DUPLICATE_REQUEST, "Duplicate request") : rc;
}

static void taken(struct backend_call *c)
{
    c->holds_request_id = true;
    c->go_on(c);
}

void idempotency_start(struct backend_call *c, void (*next)(struct backend_call *c))
{
    if (c->request.idempotency_key.n > KEY_BYTES_MAX) {
        (void)parse_fail(&c->err, PARSE_INVALID_VALUE, "X-Parse-Request-Id is at most %d characters",
                         KEY_BYTES_MAX);
        ask_fail(c);
        return;
    }
    c->go_on = next;
    ask_write(c, take_work, taken);
}

static enum hob_code drop_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return kv_drop(tx, space, c->request.idempotency_key, NULL, err);
}

static void dropped(struct backend_call *c)
{
    c->err = c->first_err;
    ask_fail(c);
}

/* The request failed and may be made again. */
void idempotency_drop(struct backend_call *c)
{
    c->holds_request_id = false;
    c->first_err = c->err;
    ask_write(c, drop_work, dropped);
}
