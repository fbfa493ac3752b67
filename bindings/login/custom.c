/* A provider that a function of the app judges: it gets {"provider","authData","installationId"} in the shape of a
 * webhook's request and answers {"success":{"id":"..."}} or {"error":...}. */
#include <stdlib.h>

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

void function_start(struct check *k)
{
    const struct backend_request *q = &k->call->request;
    const struct backend_wires *w = &k->login->auth->wiring->wires;
    json_t *payload hob_auto_json = json_pack(
        "{s:s,s:s,s:O,s:s%}", "triggerName", "checkAuthData", "provider", k->provider, "authData", k->data,
        "installationId", q->installation_id.n ? q->installation_id.at : "", q->installation_id.n);
    hob_auto_free char *text = json_dumps(payload, JSON_COMPACT);
    HOB_ASSERT(text);
    struct backend_run run = {.app = q->app,
                              .function = check_option(k, "function"),
                              .payload = hob_str(text),
                              .timeout_ms = FUNCTION_MS,
                              .role = BACKEND_CLIENT,
                              .installation_id = q->installation_id,
                              .remote = q->remote,
                              .request_id = q->request_id,
                              .depth = q->depth + 1};
    w->run(w->ctx, &run, on_answered, k);
}
