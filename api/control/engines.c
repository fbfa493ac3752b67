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

/* Only docker keeps images. */
void handle_engine_gc(struct call *c)
{
    struct hob_str dry = call_query(c, "dry_run");
    struct hob_err err;
    bool is_docker = strcmp(c->params[0].at, "docker") == 0;
    if (!is_docker)
        (void)hob_fail(&err, HOB_E_NOT_FOUND, "engine '%.40s' keeps no images; docker does", c->params[0].at);
    else if (dry.at && !hob_str_is(dry, "1") && !hob_str_is(dry, "0"))
        (void)hob_fail(&err, HOB_E_INVALID, "the query: dry_run must be 1 or 0");
    else {
        call_hold(c);
        image_gc_run(c->control->o.image_gc, hob_str_is(dry, "1"), on_answered, c);
        return;
    }
    call_fail(c, &err);
}

void handle_runtime_build(struct call *c)
{
    call_hold(c);
    node_engine(c->control->o.nodes, "build", c->params[0].at, on_answered, c);
}
