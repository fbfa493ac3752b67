#include "bindings/serve/serve.h"

#include <stdlib.h>

#include "bindings/auth/auth.h"
#include "bindings/cloud/cloud.h"
#include "bindings/serve/serve_http.h"

#include "base/banned.h"

enum { ARENA_BYTES = HOB_MAX_CALL_BYTES + 64 * 1024 };

/* --- the end --- */

static void call_free(struct serve_call *c)
{
    struct serve *s = c->serve;
    json_decref(c->head);
    json_decref(c->stored);
    hob_close_p(&c->fd);
    hob_buf_done(&c->out);
    hob_buf_done(&c->out_data);
    hob_arena_done(&c->arena);
    free(c);
    s->calls_n--;
    if (s->is_closing && s->calls_n == 0)
        free(s);
}

static void end(struct serve_call *c, const struct hob_err *err, const struct serve_answer *a)
{
    if (!c->is_forgotten)
        c->done(c->ctx, err, a);
    if (c->is_starting)
        c->is_over = true; /* serve_start frees it */
    else
        call_free(c);
}

void serve_fail(struct serve_call *c, const struct hob_err *err)
{
    struct hob_err copy = *err; /* it may live in the call */
    end(c, &copy, NULL);
}

void serve_answer(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    if (c->http)
        c->http->shape(c, json, data);
    else
        serve_give(c, json, data);
}

void serve_give(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    if (json.n + data.n <= HOB_MAX_CALL_ANSWER_BYTES) {
        end(c, NULL, &(struct serve_answer){json, data});
        return;
    }
    struct hob_err err;
    (void)hob_fail(&err, HOB_E_TOO_LARGE,
                   "the answer has %zu bytes, at most %d can be given (call.answer_bytes)", json.n + data.n,
                   HOB_MAX_CALL_ANSWER_BYTES);
    serve_fail(c, &err);
}

void serve_answer_json(struct serve_call *c, const json_t *json)
{
    hob_auto_free char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    serve_answer(c, hob_str(text ? text : "null"), HOB_STR(""));
}

/* --- judging --- */

bool serve_allows(const struct serve_call *c, enum hob_grant_kind kind, struct hob_str name, unsigned rights)
{
    struct hob_grant want = {.kind = kind, .name = name, .rights = rights};
    if (c->caller.is_cloud && c->caller.grants_n == 0)
        return kind != HOB_GRANT_SECRET && kind != HOB_GRANT_FUNCTION;
    return hob_grants_allow(c->caller.grants, c->caller.grants_n, &want);
}

enum hob_code serve_need(const struct serve_call *c, enum hob_grant_kind kind, struct hob_str name,
                         unsigned rights, struct hob_err *err)
{
    static const char *const words[] = {
        [HOB_GRANT_DATA] = "data:",   [HOB_GRANT_MASTER] = "data:master",
        [HOB_GRANT_AUTH] = "auth",    [HOB_GRANT_AUTH_ADMIN] = "auth:admin",
        [HOB_GRANT_FILES] = "files",  [HOB_GRANT_CACHE] = "cache",
        [HOB_GRANT_SQL] = "sql",      [HOB_GRANT_SECRET] = "secrets:",
        [HOB_GRANT_FUNCTION] = "fn:",
    };
    if (serve_allows(c, kind, name, rights))
        return HOB_OK;
    const char *tail = kind != HOB_GRANT_DATA ? "" : rights == HOB_GRANT_READ ? ":r" : ":rw";
    (void)hob_fail_reason(err, HOB_E_FORBIDDEN, "no_such_binding",
                          "function '%s' may not do this: its \"bindings\" in hob.json lack \"%s%.*s%s\"",
                          c->caller.function, words[kind], (int)(name.n < 80 ? name.n : 80),
                          name.at ? name.at : "", tail);
    err->detail = PARSE_OPERATION_FORBIDDEN;
    return err->code;
}

const char *serve_need_text(const struct serve_call *c, const char *name, struct hob_err *err)
{
    const char *text = json_string_value(json_object_get(c->args, name));
    if (!text || !*text) {
        (void)hob_fail(err, HOB_E_INVALID, "%s: '%s' is missing or no text", c->op, name);
        return NULL;
    }
    return text;
}

static void act_as_caller(const struct serve_call *c, struct backend_request *r)
{
    bool may_master = serve_allows(c, HOB_GRANT_MASTER, HOB_STR(""), 0);
    r->role = may_master ? c->caller.role : BACKEND_CLIENT;
    r->session_token = c->caller.session_token;
    r->user_id = c->caller.user_id;
}

enum hob_code serve_identity(const struct serve_call *c, struct backend_request *r, struct hob_err *err)
{
    const json_t *as = json_object_get(c->args, "as");
    const char *who = json_string_value(as);
    const char *token = json_string_value(json_object_get(as, "sessionToken"));
    if (!as || json_is_null(as) || (who && strcmp(who, "caller") == 0) ||
        (token && strcmp(token, CLOUD_CALLER_TOKEN) == 0)) {
        act_as_caller(c, r);
        return HOB_OK;
    }
    if (who && strcmp(who, "master") == 0) {
        r->role = BACKEND_MASTER;
        return serve_need(c, HOB_GRANT_MASTER, HOB_STR(""), 0, err);
    }
    if (!token || !*token)
        return hob_fail(err, HOB_E_INVALID, "%s: 'as' is \"caller\", \"master\" or {\"sessionToken\": ...}",
                        c->op);
    r->role = BACKEND_CLIENT;
    r->session_token = hob_str(token);
    return HOB_OK;
}

/* --- asking the backend --- */

void serve_fail_answer(struct serve_call *c, const struct backend_answer *a)
{
    struct hob_err err, bad;
    json_t *json hob_auto_json = hob_json_parse(a->json, "the backend's answer", &bad);
    const char *text = json_string_value(json_object_get(json, "error"));
    if (!text)
        text = json_string_value(json_object_get(json, "message"));
    int code = (int)json_integer_value(json_object_get(json, "code"));
    enum hob_code own = a->status >= 500   ? a->status == 503 ? HOB_E_UNAVAILABLE : HOB_E_INTERNAL
                        : a->status == 429 ? HOB_E_BUSY
                        : a->status == 404 ? HOB_E_NOT_FOUND
                        : a->status == 403 ? HOB_E_FORBIDDEN
                                           : HOB_E_INVALID;
    (void)hob_fail_parse(&err, own, code, "%.200s", text ? text : "the backend refused the call");
    serve_fail(c, &err);
}

static void on_answer(void *ctx, const struct backend_answer *a)
{
    struct serve_call *c = ctx;
    c->ask = NULL;
    if (c->shape)
        c->shape(c, a);
    else if (a->status >= 400)
        serve_fail_answer(c, a);
    else
        serve_answer(c, a->json.n ? a->json : HOB_STR("{}"), HOB_STR(""));
}

/* Where files and batches are said to be: the app's public URL, else the mount alone. */
static struct hob_str mount_of(const struct serve_call *c)
{
    const struct backend_app *app =
        backend_app_by_name(backend_wiring(c->serve->o.backend)->apps, hob_str(c->caller.app));
    const char *url = app ? backend_app_text(app, SETTING_PUBLIC_SERVER_URL) : "";
    return *url ? hob_str(url) : HOB_STR("/parse");
}

void serve_ask(struct serve_call *c, struct backend_request *r,
               void (*shape)(struct serve_call *c, const struct backend_answer *a))
{
    c->shape = shape;
    r->app = c->caller.app;
    if (!r->installation_id.n)
        r->installation_id = c->caller.installation_id;
    r->remote = c->caller.remote;
    r->request_id = c->caller.request_id;
    r->depth = c->caller.depth;
    if (!r->mount_url.n)
        r->mount_url = mount_of(c);
    c->ask = backend_ask(c->serve->o.backend, r, on_answer, c);
}

/* --- work on threads --- */

static void on_worked(void *ctx, const struct hob_err *err)
{
    struct serve_call *c = ctx;
    c->is_working = false;
    if (!err && c->after)
        c->after(c);
    if (!err && !c->is_forgotten && c->goes_on && c->goes_on(c))
        return;
    if (err)
        serve_fail(c, err);
    else
        serve_answer(c, c->out.n ? hob_buf_str(&c->out) : HOB_STR("null"), hob_buf_str(&c->out_data));
}

void serve_read(struct serve_call *c, data_work_cb work)
{
    c->is_working = true;
    appdb_read(c->serve->o.dbs, c->caller.app, work, on_worked, c);
}

void serve_write(struct serve_call *c, data_work_cb work)
{
    c->is_working = true;
    appdb_write(c->serve->o.dbs, c->caller.app, work, on_worked, c);
}

/* --- starting --- */

static const struct serve_op *op_find(const char *name)
{
    static const struct serve_op *const tables[] = {serve_data_ops,   serve_auth_ops, serve_cache_ops,
                                                    serve_sql_ops,    serve_file_ops, serve_parse_ops,
                                                    serve_secret_ops, serve_http_ops};
    for (size_t t = 0; t < HOB_COUNT(tables); t++) {
        for (const struct serve_op *o = tables[t]; o->name; o++) {
            if (strcmp(o->name, name) == 0)
                return o;
        }
    }
    return NULL;
}

static enum hob_code read_head(struct serve_call *c, struct hob_str head, const struct serve_op **ret_op,
                               struct hob_err *err)
{
    c->head = hob_json_parse(head, "the call", err);
    if (!c->head)
        return err->code;
    c->op = json_string_value(json_object_get(c->head, "op"));
    c->args = json_object_get(c->head, "args");
    if (!c->op || !json_is_object(c->args))
        return hob_fail(err, HOB_E_INVALID, "a call is {\"op\":\"...\",\"args\":{...}}");
    *ret_op = op_find(c->op);
    if (!*ret_op)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_operation", "there is no operation '%.60s'",
                               c->op);
    return HOB_OK;
}

/* What bindings keep lives and goes with the app's backend. */
static enum hob_code need_backend(const struct serve_call *c, struct hob_err *err)
{
    if (backend_app_by_name(backend_wiring(c->serve->o.backend)->apps, hob_str(c->caller.app)))
        return HOB_OK;
    return hob_fail_reason(err, HOB_E_UNSUPPORTED, "no_backend",
                           "app '%s' has no backend: `hob app create %s` makes one", c->caller.app,
                           c->caller.app);
}

static struct hob_str keep(struct serve_call *c, struct hob_str s)
{
    const char *copy = hob_arena_strndup(&c->arena, s.at ? s.at : "", s.n);
    HOB_ASSERT(copy); /* the sum of all is below the arena's cap */
    return hob_str_n(copy, s.n);
}

static void keep_caller(struct serve_call *c, const struct serve_caller *from)
{
    struct serve_caller *to = &c->caller;
    *to = *from;
    to->app = keep(c, hob_str(from->app)).at;
    to->function = keep(c, hob_str(from->function)).at;
    to->session_token = keep(c, from->session_token);
    to->user_id = keep(c, from->user_id);
    to->installation_id = keep(c, from->installation_id);
    to->remote = keep(c, from->remote);
    to->request_id = keep(c, from->request_id);
    const char **grants = hob_arena_alloc(&c->arena, (from->grants_n + 1) * sizeof *grants);
    HOB_ASSERT(grants);
    for (size_t i = 0; i < from->grants_n; i++)
        grants[i] = keep(c, hob_str(from->grants[i])).at;
    to->grants = grants;
}

struct serve_call *serve_start(struct serve *s, const struct serve_caller *caller, struct hob_str head,
                               struct hob_str data, serve_done_cb done, void *ctx)
{
    struct hob_err err;
    const struct serve_op *op = NULL;
    struct serve_call *c = hob_new(struct serve_call);
    *c = (struct serve_call){
        .serve = s, .done = done, .ctx = ctx, .op = "a call", .fd = -1, .is_starting = true};
    s->calls_n++;
    hob_arena_init(&c->arena, ARENA_BYTES);
    hob_buf_init(&c->out, HOB_MAX_CALL_ANSWER_BYTES + 1);
    hob_buf_init(&c->out_data, HOB_MAX_CALL_ANSWER_BYTES + 1);
    keep_caller(c, caller);
    c->data = keep(c, data);
    if (need_backend(c, &err) != HOB_OK || read_head(c, head, &op, &err) != HOB_OK)
        serve_fail(c, &err);
    else if (op)
        op->start(c);
    c->is_starting = false; /* NOLINT(clang-analyzer-unix.Malloc): end() frees nothing while this stands */
    if (!c->is_over)
        return c;
    call_free(c);
    return NULL;
}

void serve_forget(struct serve_call *c)
{
    HOB_ASSERT(!c->is_forgotten && !c->is_starting);
    c->is_forgotten = true;
    if (c->ask)
        backend_forget(c->ask);
    if (!c->is_working)
        call_free(c);
}

struct serve *serve_new(const struct serve_options *o)
{
    struct serve *s = hob_new(struct serve);
    s->o = *o;
    return s;
}

void serve_free(struct serve *s)
{
    if (!s)
        return;
    s->is_closing = true;
    if (s->calls_n == 0)
        free(s);
}
