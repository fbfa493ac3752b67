#include "api/control/control_priv.h"
#include "base/limits.h"
#include "base/mem.h"

void handle_version(struct call *c)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_kcstr(w, "version", HOB_VERSION);
    hob_jw_kint(w, "api", 1);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_limits(struct call *c)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "limits");
    hob_jw_array(w);
    for (size_t i = 0; i < HOB_LIMIT_COUNT_; i++) {
        const struct hob_limit *l = &hob_limits[i];
        hob_jw_object(w);
        hob_jw_kcstr(w, "name", l->name);
        hob_jw_kint(w, "value", (int64_t)l->value);
        hob_jw_kcstr(w, "unit", l->unit);
        hob_jw_kcstr(w, "why", l->why);
        hob_jw_kcstr(w, "error", hob_code_info(l->code)->reason);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_manifest_schema(struct call *c)
{
    manifest_schema_write(call_start(c));
    call_finish(c);
}

void handle_openapi(struct call *c)
{
    (void)call_start(c);
    c->w.is_full = control_openapi_write(&c->out) != HOB_OK;
    call_finish(c);
}

static void on_versions(void *ctx, char *const *versions)
{
    struct call *c = ctx;
    const struct runtimes *runtimes = c->control->o.runtimes;
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "runtimes");
    hob_jw_array(w);
    for (size_t i = 0; i < runtimes_count(runtimes); i++) {
        const struct runtime_info *rt = runtimes_at(runtimes, i);
        bool is_there = runtime_check(rt, NULL) == HOB_OK;
        hob_jw_object(w);
        hob_jw_kcstr(w, "name", rt->name);
        hob_jw_kcstr(w, "title", rt->title);
        hob_jw_kbool(w, "available", is_there);
        hob_jw_kcstr(w, "version", is_there ? versions[i] : NULL);
        hob_jw_kcstr(w, "install", rt->install);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
    call_release(c);
}

void handle_runtimes(struct call *c)
{
    call_hold(c);
    probe_ask(c->control->probe, on_versions, c);
}
