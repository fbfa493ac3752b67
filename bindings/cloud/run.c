/* Flow: WHO (the caller's user is read) -> RUNNING (a function of the app, or a webhook) -> told. The first failure is
 * told; nothing is tried twice, since a function may have done half of its work. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "bindings/cloud/cloud_priv.h"
#include "bindings/cloud/webhook.h"

#include "base/banned.h"

struct run {
    struct backend_call *call;
    struct cloud *cloud;
    char *function, *url, *app, *user_id;
    json_t *payload, *user;
    uint32_t timeout_ms;
    cloud_done_cb done;
    void *ctx;
};

/* --- steps --- */

static void finish(struct run *r, const struct hob_err *err, json_t *success)
{
    r->done(r->call, r->ctx, err, success);
    free(r->function);
    free(r->url);
    free(r->app);
    free(r->user_id);
    json_decref(r->payload);
    json_decref(r->user);
    free(r);
}

/* What our own parts say becomes what a Parse client can be told. */
static void tell_failure(struct run *r, const struct hob_err *err)
{
    struct hob_err told;
    if (err->code == HOB_E_TIMEOUT)
        (void)parse_fail(&told, PARSE_TIMEOUT, "cloud code took too long: %.150s", err->msg);
    else
        (void)parse_fail(&told, PARSE_SCRIPT_FAILED, "%.200s", err->msg);
    finish(r, &told, NULL);
}

/* The context is one object through all triggers of a request: what one has put there, the next sees. The call owns a
 * reference. */
static void keep_context(struct backend_call *c, json_t *context)
{
    json_t *old = (json_t *)(uintptr_t)c->request.context;
    c->request.context = json_incref(context);
    json_decref(old);
}

static void on_answer(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct run *r = ctx;
    struct hob_err bad;
    json_t *success hob_auto_json = NULL, *context hob_auto_json = NULL;
    if (err)
        tell_failure(r, err);
    else if (cloud_judge_answer(answer, &success, &context, &bad) != HOB_OK)
        finish(r, &bad, NULL);
    else {
        if (context && r->function)
            keep_context(r->call, context);
        finish(r, NULL, success);
    }
}

static void post(struct run *r, struct hob_str body)
{
    struct cloud *c = r->cloud;
    struct hob_err err;
    hob_auto_buf struct hob_buf key;
    hob_buf_init(&key, 1024);
    const struct backend_app *app = backend_app_by_name(c->o.apps, hob_str(r->app));
    if (app && backend_app_webhook_key(c->o.apps, app, &key, &err) != HOB_OK) {
        tell_failure(r, &err);
        return;
    }
    hob_auto_free char *text = key.n ? hob_strndup(hob_buf_data(&key), key.n) : NULL;
    webhook_post(c->webhooks,
                 &(struct webhook_request){.url = r->url,
                                           .body = body,
                                           .key = text,
                                           .timeout_ms = r->timeout_ms ? r->timeout_ms : WEBHOOK_MS},
                 on_answer, r);
}

static void run_function(struct run *r, struct hob_str body)
{
    const struct backend_wires *w = &r->cloud->o.wires;
    const struct backend_request *q = &r->call->request;
    w->run(w->ctx,
           &(struct backend_run){.app = r->app,
                                 .function = r->function,
                                 .payload = body,
                                 .timeout_ms = r->timeout_ms,
                                 .role = r->call->who.role,
                                 .user_id = r->call->who.user_id,
                                 .installation_id = q->installation_id,
                                 .remote = q->remote,
                                 .request_id = q->request_id,
                                 .depth = q->depth + 1},
           on_answer, r);
}

static void add_str(json_t *to, const char *key, struct hob_str s)
{
    if (s.n)
        (void)json_object_set_new(to, key, json_stringn(s.at, s.n));
}

/* The members that every request to cloud code has. */
static void add_request(struct run *r)
{
    const struct backend_call *c = r->call;
    json_t *to = r->payload;
    bool is_master = c->who.role == BACKEND_MASTER || c->who.role == BACKEND_MAINTENANCE;
    (void)json_object_set_new(to, "master", json_boolean(is_master));
    if (c->who.role == BACKEND_READ_ONLY_MASTER)
        (void)json_object_set_new(to, "isReadOnly", json_true());
    add_str(to, "installationId", c->request.installation_id);
    add_str(to, "ip", c->request.remote);
    json_t *headers = c->request.headers ? json_deep_copy(c->request.headers) : json_object();
    (void)json_object_set_new(to, "headers", headers);
    json_t *context = c->request.context ? json_deep_copy(c->request.context) : json_object();
    (void)json_object_set_new(to, "context", context);
    if (!r->user)
        return;
    struct hob_str token = r->url ? c->who.session_token : HOB_STR(CLOUD_CALLER_TOKEN);
    add_str(r->user, "sessionToken", token);
    (void)json_object_set(to, "user", r->user);
}

static void run(struct run *r)
{
    struct hob_err err;
    add_request(r);
    hob_auto_free char *text = json_dumps(r->payload, JSON_COMPACT);
    if (text && strlen(text) <= HOB_MAX_EVENT_BYTES) {
        if (r->url)
            post(r, hob_str(text));
        else
            run_function(r, hob_str(text));
        return;
    }
    (void)hob_fail(&err, HOB_E_TOO_LARGE, "a request to cloud code may have %d bytes (invoke.event_bytes)",
                   HOB_MAX_EVENT_BYTES);
    tell_failure(r, &err);
}

/* --- WHO: on a thread of the app's database --- */

static enum hob_code on_user(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct run *r = ctx;
    char at[25];
    json_t *user = hob_json_parse(row->doc, "a user", err);
    if (!user)
        return err->code;
    json_decref(r->user);
    r->user = user;
    (void)json_object_set_new(user, "objectId", json_stringn(row->id.at, row->id.n));
    hob_utc_format(row->created_ms, at);
    (void)json_object_set_new(user, "createdAt", json_string(at));
    hob_utc_format(row->updated_ms, at);
    (void)json_object_set_new(user, "updatedAt", json_string(at));
    return HOB_OK;
}

static enum hob_code read_user(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct run *r = ctx;
    bool is_there;
    return data_get(tx, "_User", hob_str(r->user_id), &(struct data_access){0}, on_user, r, &is_there, err);
}

static void on_user_read(void *ctx, const struct hob_err *err)
{
    struct run *r = ctx;
    if (err)
        tell_failure(r, err);
    else
        run(r);
}

static void refuse_depth(void *ctx, const struct hob_err *err)
{
    struct hob_err deep;
    (void)err;
    (void)parse_fail(&deep, PARSE_SCRIPT_FAILED,
                     "cloud code has called cloud code %d times in a row (cloud.depth)", HOB_MAX_CLOUD_DEPTH);
    finish(ctx, &deep, NULL);
}

static enum hob_code no_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx, (void)tx, (void)err;
    return HOB_OK;
}

/* --- door --- */

void cloud_run(const struct cloud_run *s)
{
    struct run *r = hob_new(struct run);
    struct backend_call *c = s->call;
    bool is_function = !s->target.url || hob_str_starts(hob_str(s->target.url), HOB_STR("fn:"));
    const char *function = s->target.url ? s->target.url + 3 : s->target.function;
    *r = (struct run){.call = c,
                      .cloud = backend_cloud(c->backend),
                      .function = is_function ? hob_strdup(function) : NULL,
                      .url = is_function ? NULL : hob_strdup(s->target.url),
                      .app = hob_strdup(c->request.app),
                      .user_id = hob_strndup(c->who.user_id.at, c->who.user_id.n),
                      .payload = s->payload,
                      .timeout_ms = s->timeout_ms,
                      .done = s->done,
                      .ctx = s->ctx};
    if (c->request.depth >= HOB_MAX_CLOUD_DEPTH)
        appdb_read(r->cloud->o.dbs, r->app, no_work, refuse_depth, r);
    else if (c->who.user_id.n)
        appdb_read(r->cloud->o.dbs, r->app, read_user, on_user_read, r);
    else
        run(r);
}

/* --- answers --- */

static enum hob_code judge_error(const json_t *e, struct hob_err *err)
{
    const char *text = json_string_value(e);
    enum parse_code code = PARSE_SCRIPT_FAILED;
    if (json_is_object(e)) {
        const json_t *number = json_object_get(e, "code");
        if (json_is_integer(number))
            code = (enum parse_code)json_integer_value(number);
        text = json_string_value(json_object_get(e, "message"));
        if (!text)
            text = json_string_value(json_object_get(e, "error"));
    }
    return parse_fail(err, code, "%.200s", text ? text : "cloud code failed");
}

enum hob_code cloud_judge_answer(struct hob_str text, json_t **ret_success, json_t **ret_context,
                                 struct hob_err *err)
{
    struct hob_err bad;
    json_t *json hob_auto_json = hob_json_parse(text, "the answer of cloud code", &bad);
    if (!json_is_object(json))
        return parse_fail(err, PARSE_OTHER_CAUSE, "Malformed response");
    const json_t *error = json_object_get(json, "error");
    if (error && !json_is_null(error))
        return judge_error(error, err);
    *ret_success = json_incref(json_object_get(json, "success"));
    json_t *context = json_object_get(json, "context");
    *ret_context = json_is_object(context) ? json_incref(context) : NULL;
    return HOB_OK;
}
