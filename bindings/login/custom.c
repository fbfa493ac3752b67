/* A provider that a function of the app judges: it gets {"provider","authData","installationId"} in the shape of a
 * webhook's request and answers {"success":{"id":"..."}} or {"error":...}. A challenge (triggerName "challenge") comes with
 * "challengeData", and with "user" when one was recognized; its "success" goes to the client. */
#include <stdlib.h>

#include "bindings/cloud/cloud_priv.h"
#include "bindings/login/login_priv.h"

#include "base/banned.h"

enum { FUNCTION_MS = 10000 };

static void on_answered(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *json hob_auto_json = err ? NULL : hob_json_parse(answer, "the function's answer", &why);
    const json_t *said = json_object_get(json, "success");
    if (err) {
        check_fail(k, err);
        return;
    }
    if (!json_is_object(said) && json_object_get(json, "id"))
        said = json;
    if (json_object_get(json, "error") || !member_str(said, "id").n)
        check_refuse(k);
    else
        check_confirm(k, member_str(said, "id"));
}

typedef void (*answered_cb)(void *ctx, const struct hob_err *err, struct hob_str answer);

static void run(struct backend_call *c, const char *function, const json_t *payload, answered_cb done,
                void *ctx)
{
    const struct backend_request *q = &c->request;
    const struct backend_wires *w = &backend_auth(c->backend)->wiring->wires;
    hob_auto_free char *text = json_dumps(payload, JSON_COMPACT);
    HOB_ASSERT(text);
    struct backend_run run = {.app = q->app,
                              .function = function,
                              .payload = hob_str(text),
                              .timeout_ms = FUNCTION_MS,
                              .role = BACKEND_CLIENT,
                              .installation_id = q->installation_id,
                              .remote = q->remote,
                              .request_id = q->request_id,
                              .depth = q->depth + 1};
    w->run(w->ctx, &run, done, ctx);
}

static json_t *payload_of(const struct backend_call *c, const char *what, const char *provider)
{
    struct hob_str installation = c->request.installation_id;
    return json_pack("{s:s,s:s,s:s%}", "triggerName", what, "provider", provider, "installationId",
                     installation.n ? installation.at : "", installation.n);
}

void function_start(struct check *k)
{
    json_t *payload hob_auto_json = payload_of(k->call, "checkAuthData", k->provider);
    (void)json_object_set(payload, "authData", (json_t *)(uintptr_t)k->data);
    run(k->call, check_option(k, "function"), payload, on_answered, k);
}

/* --- challenges --- */
struct asking { /* freed when it has been told */
    provider_cb done;
    void *ctx;
};

static void on_challenged(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct asking *a = ctx;
    struct hob_err why = {0};
    json_t *said hob_auto_json = NULL, *context hob_auto_json = NULL;
    if (err && err->code == HOB_E_TIMEOUT)
        (void)parse_fail(&why, PARSE_TIMEOUT, "%.200s", err->msg);
    else if (err)
        (void)parse_fail(&why, PARSE_SCRIPT_FAILED, "%.200s", err->msg);
    else
        (void)!cloud_judge_answer(answer, &said, &context, &why);
    a->done(a->ctx, why.code == HOB_OK ? NULL : &why, said);
    free(a);
}

static const char *function_of(const struct provider_ask *a)
{
    bool is_on = json_is_object(a->options) && !json_is_false(json_object_get(a->options, "enabled"));
    return is_on ? json_string_value(json_object_get(a->options, "function")) : NULL;
}

bool provider_has_challenge(const struct provider_ask *a)
{
    const char *function = function_of(a);
    return function && *function;
}

void provider_challenge(const struct provider_ask *a, const json_t *identity, const json_t *user,
                        provider_cb done, void *ctx)
{
    struct asking *k = hob_new(struct asking);
    json_t *payload hob_auto_json = payload_of(a->call, "challenge", a->provider);
    *k = (struct asking){done, ctx};
    (void)json_object_set(payload, "challengeData", (json_t *)(uintptr_t)a->data);
    if (identity)
        (void)json_object_set(payload, "authData", (json_t *)(uintptr_t)identity);
    if (user)
        (void)json_object_set(payload, "user", (json_t *)(uintptr_t)user);
    run(a->call, function_of(a), payload, on_challenged, k);
}
