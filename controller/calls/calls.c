/* The bindings of a function: a CALL is given to the bindings as the caller of its invocation and answered by REPLY.
 *
 *   TAKEN -> ASKED -> ANSWERED          its invocation ends first: answered so, and what comes later is dropped
 *
 * Bounded: calls under way and their bytes, for each instance; beyond, a call is refused at once. An instance whose
 * channel is gone is answered nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/rules/grant.h"
#include "controller/dispatch/dispatch_priv.h"
#include "controller/event.h"

#include "base/banned.h"

enum { OPEN_BYTES_MAX = 4 << 20 /* of calls under way, an instance */, ERROR_BYTES = 1024 };

struct calls { /* of one instance */
    struct hob_list open;
    unsigned n;
    size_t bytes;
};

struct call {
    struct hob_node node;
    struct instance *instance;
    const struct invocation *parent;
    uint32_t stream;
    size_t bytes;
    struct serve_call *asked;
    struct event_run *run; /* env.fn: another function */
};

struct caller {
    struct invocation_caller as; /* its strings lie behind */
    char strings[];
};

struct caller *caller_new(const struct invocation_caller *c)
{
    const struct hob_str parts[] = {c->session_token, c->user_id, c->installation_id, c->remote};
    size_t n = 0;
    for (size_t i = 0; i < HOB_COUNT(parts); i++)
        n += parts[i].n;
    struct caller *to = hob_calloc(1, sizeof *to + n);
    to->as = *c;
    struct hob_str *const copies[] = {&to->as.session_token, &to->as.user_id, &to->as.installation_id,
                                      &to->as.remote};
    char *at = to->strings;
    for (size_t i = 0; i < HOB_COUNT(parts); i++) {
        if (parts[i].n)
            memcpy(at, parts[i].at, parts[i].n);
        *copies[i] = hob_str_n(at, parts[i].n);
        at += parts[i].n;
    }
    return to;
}

/* --- answering --- */

static const char *type_of(const struct hob_err *err)
{
    const char *reason = hob_err_reason(err);
    return strcmp(reason, "no_such_binding") == 0 ? "NoSuchBinding" : "HobError";
}

static void reply_error(struct instance *i, uint32_t stream, const struct hob_err *err)
{
    hob_auto_buf struct hob_buf out;
    struct hob_pairs_writer w;
    char code[16];
    hob_buf_init(&out, ERROR_BYTES);
    bool may_try_again = err->code == HOB_E_BUSY || err->code == HOB_E_UNAVAILABLE;
    int n = snprintf(code, sizeof code, "%d", hob_err_parse_code(err));
    hob_pairs_start(&w, &out);
    hob_pairs_add(&w, HOB_STR("errorType"), hob_str(type_of(err)));
    hob_pairs_add(&w, HOB_STR("errorMessage"), hob_str(err->msg));
    hob_pairs_add(&w, HOB_STR("code"), hob_str_n(code, (size_t)n));
    hob_pairs_add(&w, HOB_STR("reason"), hob_str(hob_err_reason(err)));
    hob_pairs_add_u64(&w, "status", (uint64_t)hob_code_info(err->code)->http_status);
    hob_pairs_add_u64(&w, "retryable", may_try_again);
    HOB_ASSERT(hob_pairs_end(&w, NULL) == HOB_OK);
    channel_reply(i->channel, stream, 1, hob_buf_str(&out), HOB_STR(""));
}

static void call_free(struct call *c)
{
    struct calls *all = c->instance->calls;
    hob_list_remove(&c->node);
    all->n--;
    all->bytes -= c->bytes;
    free(c);
}

static void on_answer(void *ctx, const struct hob_err *err, const struct serve_answer *a)
{
    struct call *c = ctx;
    if (err)
        reply_error(c->instance, c->stream, err);
    else
        channel_reply(c->instance->channel, c->stream, 0, a->json, a->data);
    call_free(c);
}

/* --- env.fn: a function calls another one of its app, as the same caller --- */

static void on_run(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct call *c = ctx;
    c->run = NULL;
    if (err)
        reply_error(c->instance, c->stream, err);
    else
        channel_reply(c->instance->channel, c->stream, 0, HOB_STR("{}"), answer);
    call_free(c);
}

static bool is_run(struct hob_str meta)
{
    return memmem(meta.at, meta.n < 64 ? meta.n : 64, "\"fn.invoke\"", 11) != NULL;
}

static enum hob_code judge_run(const struct call *c, const json_t *args, struct event_spec *spec,
                               struct hob_err *err)
{
    const struct function_config *f = c->instance->pool->config;
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *qualifier = json_string_value(json_object_get(args, "qualifier"));
    json_int_t ms = json_integer_value(json_object_get(args, "timeoutMs"));
    if (!name || ms < 0 || ms > HOB_MAX_TIMEOUT_MS)
        return hob_fail(err, HOB_E_INVALID, "fn.invoke: give a 'name', and 'timeoutMs' from 0 to %d",
                        HOB_MAX_TIMEOUT_MS);
    struct hob_grant want = {.kind = HOB_GRANT_FUNCTION, .name = hob_str(name)};
    if (!hob_grants_allow((const char *const *)f->bindings, f->bindings_n, &want))
        return hob_fail_reason(
            err, HOB_E_FORBIDDEN, "no_such_binding",
            "function '%s' may not do this: its \"bindings\" in hob.json lack \"fn:%.64s\"",
            c->instance->pool->version->function_name, name);
    if (spec->caller.depth >= HOB_MAX_CLOUD_DEPTH)
        return hob_fail(err, HOB_E_INVALID, "functions have called functions %d times in a row (cloud.depth)",
                        HOB_MAX_CLOUD_DEPTH);
    spec->caller.depth++;
    spec->function = name;
    spec->qualifier = hob_str(qualifier ? qualifier : "");
    spec->timeout_ms = (uint32_t)ms;
    return HOB_OK;
}

static void start_run(struct call *c, struct hob_str meta, struct hob_str data)
{
    static const struct invocation_caller nobody;
    struct hob_err err;
    struct instance *i = c->instance;
    HOB_ASSERT(c->parent); /* admitted */
    json_t *head hob_auto_json = hob_json_parse(meta, "the call", &err);
    struct event_spec spec = {.app = i->pool->version->app_name,
                              .payload = data.n ? data : HOB_STR("null"),
                              .request_id = invocation_request_id(c->parent),
                              .caller = c->parent->caller ? c->parent->caller->as : nobody};
    if (head && judge_run(c, json_object_get(head, "args"), &spec, &err) == HOB_OK) {
        c->run = event_start(i->pool->d, &spec, on_run, c);
        return;
    }
    reply_error(i, c->stream, &err);
    call_free(c);
}

/* --- taking --- */

/* A server's request at its gate (runner/init/gate.h), which is for the caller of its invocation, or for nobody. */
static bool is_gate(struct hob_str meta)
{
    return hob_str_starts(meta, HOB_STR("{\"op\":\"http."));
}

static bool is_for_nobody(const struct instance *i, struct hob_str meta)
{
    return i->pool->config->kind == FUNCTION_HTTP &&
           hob_str_starts(meta, HOB_STR("{\"op\":\"http.public\","));
}

static struct calls *calls_of(struct instance *i)
{
    if (!i->calls) {
        i->calls = hob_new(struct calls);
        hob_list_init(&i->calls->open);
    }
    return i->calls;
}

static enum hob_code admit(struct instance *i, const struct invocation *parent, bool is_public, size_t bytes,
                           struct hob_err *err)
{
    const struct calls *all = calls_of(i);
    if (!i->pool->d->serve || (i->pool->config->bindings_n == 0 && i->pool->config->kind != FUNCTION_PARSE))
        return hob_fail_reason(err, HOB_E_FORBIDDEN, "no_such_binding",
                               "function '%s' was given no bindings: hob.json names them in \"bindings\"",
                               i->pool->version->function_name);
    if (!parent && !is_public)
        return hob_fail_reason(err, HOB_E_CANCELLED, "invocation_ended",
                               "the invocation has ended: its bindings have, too");
    if (bytes > HOB_MAX_CALL_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE, "a call has at most %d bytes (call.bytes)", HOB_MAX_CALL_BYTES);
    if (all->n >= HOB_MAX_CALLS_OPEN || all->bytes + bytes > OPEN_BYTES_MAX)
        return hob_fail(err, HOB_E_BUSY,
                        "%u calls are under way; at most %d may be, with %d bytes (call.open)", all->n,
                        HOB_MAX_CALLS_OPEN, OPEN_BYTES_MAX);
    return HOB_OK;
}

static struct serve_caller who(const struct instance *i, const struct invocation *parent)
{
    static const struct invocation_caller nobody;
    const struct function_config *f = i->pool->config;
    const struct invocation_caller *as = parent && parent->caller ? &parent->caller->as : &nobody;
    return (struct serve_caller){.app = i->pool->version->app_name,
                                 .function = i->pool->version->function_name,
                                 .grants = (const char *const *)f->bindings,
                                 .grants_n = f->bindings_n,
                                 .is_cloud = f->kind == FUNCTION_PARSE,
                                 .role = as->role,
                                 .session_token = as->session_token,
                                 .user_id = as->user_id,
                                 .installation_id = as->installation_id,
                                 .remote = as->remote,
                                 .request_id = parent ? invocation_request_id(parent) : HOB_STR(""),
                                 .depth = as->depth};
}

void calls_take(struct instance *i, struct invocation *parent, uint32_t stream, struct hob_str meta,
                struct hob_str data)
{
    struct hob_err err;
    bool is_public = is_for_nobody(i, meta);
    parent = is_public ? NULL : parent;
    if (admit(i, parent, is_public, meta.n + data.n, &err) != HOB_OK) {
        reply_error(i, stream, &err);
        return;
    }
    struct call *c = hob_new(struct call);
    *c = (struct call){.instance = i, .parent = parent, .stream = stream, .bytes = meta.n + data.n};
    hob_list_push_back(&i->calls->open, &c->node);
    i->calls->n++;
    i->calls->bytes += c->bytes;
    if (!is_gate(meta) && is_run(meta)) {
        start_run(c, meta, data);
        return;
    }
    struct serve_caller caller = who(i, parent);
    struct serve_call *asked = serve_start(i->pool->d->serve, &caller, meta, data, on_answer, c);
    if (asked) /* else it is answered, and gone */
        c->asked = asked;
}

/* --- ends --- */

static void forget(struct call *c)
{
    if (c->asked)
        serve_forget(c->asked);
    if (c->run)
        event_cancel(c->run);
    call_free(c);
}

void calls_end(struct instance *i, const struct invocation *parent)
{
    struct hob_err err;
    if (!i->calls || i->calls->n == 0)
        return;
    (void)hob_fail_reason(&err, HOB_E_CANCELLED, "invocation_ended",
                          "the invocation has ended: its bindings have, too");
    HOB_LIST_EACH(&i->calls->open, node, tmp)
    {
        struct call *c = HOB_CONTAINER_OF(node, struct call, node);
        if (c->parent != parent)
            continue;
        reply_error(i, c->stream, &err);
        forget(c);
    }
}

void calls_drop(struct instance *i)
{
    struct hob_node *n;
    if (!i->calls)
        return;
    while ((n = hob_list_first(&i->calls->open)) != NULL)
        forget(HOB_CONTAINER_OF(n, struct call, node));
    free(hob_steal(&i->calls));
}
