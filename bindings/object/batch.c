/* Batches: parts that start together as calls of their own. The first write of each waits ("parks"); when every part waits
 * or has ended, all waiting writes run in one job, in the order of the request. With "transaction": true the first failure
 * takes everything back and is the answer; else each part has its own.
 *
 *   STARTING -> GATHERING -> WRITING (one job) -> RELEASING (each goes on) -> ENDING -> answered */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "bindings/auth/session.h"
#include "bindings/backend_priv.h"
#include "bindings/object/object_priv.h"
#include "bindings/query_params.h"

#include "base/banned.h"

enum batch_state { BATCH_STARTING, BATCH_GATHERING, BATCH_WRITING, BATCH_RELEASING, BATCH_ENDING };

struct part {
    struct batch *batch;
    struct backend_call *parked; /* NULL: it does not wait */
    struct hob_err err;          /* of its write */
    char *answer;                /* owned; NULL: not ended */
    size_t answer_n;
    int status;
};
struct batch {
    struct backend_call *c;
    enum batch_state state;
    struct part *parts;
    size_t n, parked_n, ended_n;
    bool is_transaction;
};

static void maybe_go_on(struct batch *b);

static void batch_free(void *p)
{
    struct batch *b = p;
    for (size_t i = 0; i < b->n; i++)
        free(b->parts[i].answer);
    free(b->parts);
    free(b);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static const struct part *first_failed(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->parts[i].status >= 400 && b->parts[i].err.code != HOB_E_CANCELLED)
            return &b->parts[i];
    return NULL;
}

static enum hob_code write_parts(const struct batch *b, struct hob_err *err)
{
    struct hob_jw w;
    hob_jw_init(&w, &b->c->out);
    hob_jw_array(&w);
    for (size_t i = 0; i < b->n; i++) {
        const struct part *p = &b->parts[i];
        hob_jw_object(&w);
        hob_jw_key(&w, p->status < 400 ? "success" : "error");
        hob_jw_raw(&w, hob_str_n(p->answer, p->answer_n));
        hob_jw_object_end(&w);
    }
    hob_jw_array_end(&w);
    return hob_jw_end(&w, err);
}

static void answer(struct batch *b)
{
    struct backend_call *c = b->c;
    const struct part *failed = b->is_transaction ? first_failed(b) : NULL;
    hob_buf_clear(&c->out);
    if (failed) {
        c->status = failed->status == 500 ? 500 : 400;
        if (hob_buf_add(&c->out, failed->answer, failed->answer_n) != HOB_OK)
            hob_buf_clear(&c->out);
        ask_finish(c);
    } else if (write_parts(b, &c->err) != HOB_OK) {
        ask_fail(c);
    } else {
        ask_finish(c);
    }
}

static void on_part(void *ctx, const struct backend_answer *a)
{
    struct part *p = ctx;
    struct batch *b = p->batch;
    p->answer = hob_strndup(a->json.at, a->json.n);
    p->answer_n = a->json.n;
    p->status = a->status;
    b->ended_n++;
    maybe_go_on(b);
}

/* --- the one job -------------------------------------------------------------------------------------------------- */

static bool is_of_the_database(enum hob_code rc)
{
    return rc == HOB_E_NO_SPACE || rc == HOB_E_INTERNAL || rc == HOB_E_UNAVAILABLE;
}

static enum hob_code batch_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct batch *b = ctx;
    for (size_t i = 0; i < b->n; i++)
        b->parts[i].err.code = HOB_OK;
    for (size_t i = 0; i < b->n; i++) {
        struct part *p = &b->parts[i];
        if (!p->parked)
            continue;
        enum hob_code rc = data_step(tx, call_work, p->parked, &p->err);
        if (rc == HOB_OK)
            continue;
        p->err.code = rc;
        if (b->is_transaction || is_of_the_database(rc)) {
            *err = p->err;
            return rc;
        }
    }
    return HOB_OK;
}

static void release(struct batch *b, const struct hob_err *whole)
{
    bool is_ours = false;
    b->state = BATCH_RELEASING; /* the last part to end must not end the batch under our feet */
    for (size_t i = 0; i < b->n; i++)
        is_ours |= b->parts[i].err.code != HOB_OK || b->parts[i].status >= 400;
    for (size_t i = 0; i < b->n; i++) {
        struct part *p = &b->parts[i];
        struct backend_call *call = p->parked;
        struct hob_err err = p->err;
        if (!call)
            continue;
        p->parked = NULL;
        if (!whole)
            session_apply_notes(call);
        else if (err.code == HOB_OK && is_ours)
            (void)hob_fail(&err, HOB_E_CANCELLED, "another part of the transaction failed");
        else if (err.code == HOB_OK)
            err = *whole;
        p->err = err;
        call_worked(call, err.code != HOB_OK ? &err : NULL);
    }
    b->state = BATCH_ENDING;
    maybe_go_on(b);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    release(ctx, err);
}

static bool has_failed(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->parts[i].answer && b->parts[i].status >= 400)
            return true;
    return false;
}

static void maybe_go_on(struct batch *b)
{
    if (b->state == BATCH_STARTING || b->state == BATCH_RELEASING)
        return;
    if (b->ended_n == b->n) {
        answer(b);
        return;
    }
    if (b->state != BATCH_GATHERING || b->parked_n + b->ended_n < b->n)
        return;
    if (b->is_transaction && has_failed(b)) {
        struct hob_err err;
        (void)hob_fail(&err, HOB_E_CANCELLED, "another part of the transaction failed");
        release(b, &err);
        return;
    }
    b->state = BATCH_WRITING;
    appdb_write(b->c->backend->o.dbs, b->c->request.app, batch_work, on_written, b);
}

bool batch_park(struct backend_call *c)
{
    struct batch *b = c->batch;
    struct part *p = c->done_ctx;
    if (b->state >= BATCH_WRITING)
        return false;
    HOB_ASSERT(p->batch == b && !p->parked);
    p->parked = c;
    b->parked_n++;
    if (!c->is_starting)
        maybe_go_on(b);
    return true;
}

/* --- the parts of the request ------------------------------------------------------------------------------------- */

/* The path part of a URL ("http://h:1/parse" -> "/parse"), without a slash at its end. */
static struct hob_str path_of(struct hob_str url)
{
    struct hob_str rest = url;
    for (size_t i = 0; i + 2 < url.n; i++)
        if (memcmp(url.at + i, "://", 3) == 0) {
            rest = hob_str_n(url.at + i + 3, url.n - i - 3);
            const char *slash = memchr(rest.at, '/', rest.n);
            rest = slash ? hob_str_n(slash, rest.n - (size_t)(slash - rest.at)) : HOB_STR("");
            break;
        }
    while (rest.n && rest.at[rest.n - 1] == '/')
        rest.n--;
    return rest;
}

static bool strip(struct hob_str *path, struct hob_str mount)
{
    if (!mount.n || !hob_str_starts(*path, mount) || path->n <= mount.n || path->at[mount.n] != '/')
        return false;
    *path = hob_str_n(path->at + mount.n, path->n - mount.n);
    return true;
}

static enum hob_code route_path(const struct backend_call *c, struct hob_str *path, struct hob_err *err)
{
    struct hob_str whole = *path;
    struct hob_str public = path_of(hob_str(ask_text(c, SETTING_PUBLIC_SERVER_URL)));
    if (!strip(path, path_of(c->request.mount_url)) && !strip(path, public))
        return parse_fail(err, PARSE_INVALID_JSON, "cannot route batch path %.*s",
                          (int)(whole.n > 120 ? 120 : whole.n), whole.at);
    struct hob_str rest = hob_str_n(path->at, path->n);
    while (rest.n && rest.at[0] == '/')
        rest = hob_str_n(rest.at + 1, rest.n - 1);
    if (hob_str_is(rest, "batch") || hob_str_starts(rest, HOB_STR("batch/")) ||
        hob_str_starts(rest, HOB_STR("batch?")))
        return parse_fail(err, PARSE_INVALID_JSON, "nested batch requests are not allowed");
    return HOB_OK;
}

static enum hob_code judge_part(const struct backend_call *c, const json_t *request, struct hob_err *err)
{
    const char *method = json_string_value(json_object_get(request, "method"));
    const char *path = json_string_value(json_object_get(request, "path"));
    const json_t *body = json_object_get(request, "body");
    struct hob_str at = hob_str(path), query;
    if (!json_is_object(request) || !method || !path)
        return parse_fail(err, PARSE_INVALID_JSON, "each request of a batch needs a method and a path");
    if (body && !json_is_object(body) && !json_is_null(body))
        return parse_fail(err, PARSE_INVALID_JSON, "the body of a batch's request must be an object");
    if (route_path(c, &at, err) != HOB_OK)
        return err->code;
    at = hob_str_cut(at, '?', &query);
    if (!router_has(c->backend->router, hob_str(method), at))
        return parse_fail(err, PARSE_INVALID_JSON, "cannot route %.16s %.120s", method, path);
    return HOB_OK;
}

static enum hob_code judge(struct backend_call *c, const json_t *requests, struct hob_err *err)
{
    size_t n = json_array_size(requests), max = HOB_MAX_BACKEND_BATCH;
    double own = json_number_value(json_object_get(ask_json(c, SETTING_REQUEST_COMPLEXITY), "batchSize"));
    if (own > 0 && c->who.role == BACKEND_CLIENT)
        max = (size_t)own;
    if (!json_is_array(requests))
        return parse_fail(err, PARSE_INVALID_JSON, "requests must be an array");
    if (n > max)
        return parse_fail(err, PARSE_INVALID_JSON,
                          "Batch request size of %zu exceeds the maximum allowed of %zu", n, max);
    for (size_t i = 0; i < n; i++) {
        enum hob_code rc = judge_part(c, json_array_get(requests, i), err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static void start_part(struct batch *b, struct part *p, json_t *request)
{
    struct backend_request r = {.role = b->c->who.role,
                                .method = hob_str(json_string_value(json_object_get(request, "method"))),
                                .path = hob_str(json_string_value(json_object_get(request, "path")))};
    struct hob_err unused;
    struct hob_str query;
    json_t *body = json_object_get(request, "body");
    json_t *params = json_is_object(body) ? json_incref(body) : json_object();
    HOB_ASSERT(route_path(b->c, &r.path, &unused) == HOB_OK); /* judged before anything started */
    r.path = hob_str_cut(r.path, '?', &query);
    if (query.at && query.n) {
        json_t *copy = json_copy(params);
        query_params_add(r.path, query, copy);
        json_decref(params);
        params = copy;
    }
    r.params = params;
    p->batch = b;
    (void)ask_again(b->c, &r, on_part, p);
    json_decref(params);
}

static void start_batch(struct backend_call *c)
{
    json_t *requests = ask_param(c, "requests");
    if (judge(c, requests, &c->err) != HOB_OK) {
        ask_fail(c);
        return;
    }
    struct batch *b = hob_new(struct batch);
    b->c = c;
    b->n = json_array_size(requests);
    b->parts = hob_new_n(struct part, b->n + 1);
    b->is_transaction = json_is_true(ask_param(c, "transaction"));
    ask_defer(c, batch_free, b);
    c->batch_of_parts = b;
    for (size_t i = 0; i < b->n; i++)
        start_part(b, &b->parts[i], json_array_get(requests, i));
    b->state = BATCH_GATHERING;
    maybe_go_on(b);
}

const struct backend_route batch_routes[] = {
    {"POST", "/batch", ROUTE_FLOW, NEED_NOTHING, NULL, start_batch},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
