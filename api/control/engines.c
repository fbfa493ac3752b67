/* Engines of the node: what there is, whether it works, and the docker engine's images of runtimes. */
#include "api/control/control_priv.h"

static void on_answered(void *ctx, struct hob_str json, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        hob_jw_raw(call_start(c), json.n ? json : HOB_STR("{}"));
        call_finish(c);
    }
    call_release(c);
}

void handle_engines(struct call *c)
{
    call_hold(c);
    node_engine(c->control->o.nodes, "ls", "", on_answered, c);
}

void handle_engine_test(struct call *c)
{
    call_hold(c);
    node_engine(c->control->o.nodes, "test", c->params[0].at, on_answered, c);
}

void handle_runtime_build(struct call *c)
{
    call_hold(c);
    node_engine(c->control->o.nodes, "build", c->params[0].at, on_answered, c);
}
