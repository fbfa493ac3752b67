/* POST /functions/NAME: a client calls a function that cloud code has defined. */
#include <stdlib.h>

#include "bindings/cloud/cloud_priv.h"

#include "base/banned.h"

static void on_ran(struct backend_call *c, void *ctx, const struct hob_err *err, json_t *success)
{
    struct hob_jw w;
    (void)ctx;
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    hob_jw_init(&w, &c->out);
    hob_jw_object(&w);
    if (success) {
        hob_jw_key(&w, "result");
        hob_jw_json(&w, success);
    }
    hob_jw_object_end(&w);
    if (hob_jw_end(&w, &c->err) == HOB_OK)
        ask_finish(c);
    else
        ask_fail(c);
}

static void start_function(struct backend_call *c)
{
    struct cloud_target target;
    struct hob_str name = c->params[0];
    if (!cloud_find(backend_cloud(c->backend), c->request.app, CLOUD_FUNCTION, name, &target)) {
        (void)parse_fail(&c->err, PARSE_SCRIPT_FAILED, "Invalid function: \"%.*s\"",
                         (int)(name.n < 128 ? name.n : 128), name.at);
        ask_fail(c);
        return;
    }
    json_t *payload = json_object();
    (void)json_object_set_new(payload, "functionName", json_stringn(name.at, name.n));
    json_t *params = c->request.params ? json_deep_copy(c->request.params) : json_object();
    (void)json_object_set_new(payload, "params", params);
    cloud_run(&(struct cloud_run){.call = c, .target = target, .payload = payload, .done = on_ran});
}

const struct backend_route cloud_routes[] = {
    {"POST", "/functions/:name", ROUTE_FLOW, NEED_NOTHING, NULL, start_function},
    {0},
};
