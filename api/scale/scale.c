#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"

/* What the scaler thinks, and what happens now. */

void handle_scale(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_kcstr(w, "app", f->app->name);
    hob_jw_kcstr(w, "function", f->name);
    hob_jw_kint(w, "version", f->live->number);
    dispatcher_explain(c->control->o.dispatcher, f->live, w);
    hob_jw_object_end(w);
    call_finish(c);
}

static void write_us(struct hob_jw *w, const char *key, uint64_t us)
{
    hob_jw_key(w, key);
    hob_jw_double(w, (double)us / 1000.0);
}

static void on_row(void *ctx, const struct top_row *row)
{
    struct hob_jw *w = ctx;
    const char *state;
    hob_jw_object(w);
    hob_jw_kcstr(w, "app", row->app);
    hob_jw_kcstr(w, "function", row->function);
    hob_jw_kint(w, "version", row->version);
    hob_jw_key(w, "rate");
    hob_jw_double(w, row->rate);
    hob_jw_kint(w, "in_flight", row->in_flight);
    hob_jw_kint(w, "queued", row->queued);
    hob_jw_key(w, "instances");
    hob_jw_object(w);
    for (unsigned i = 0; (state = top_state_name(i)) != NULL; i++)
        hob_jw_kint(w, state, row->states[i]);
    hob_jw_object_end(w);
    write_us(w, "run_p50_ms", row->run_p50_us);
    write_us(w, "run_p99_ms", row->run_p99_us);
    write_us(w, "wait_p99_ms", row->wait_p99_us);
    hob_jw_kint(w, "ended", (int64_t)row->ended);
    hob_jw_kint(w, "failed", (int64_t)row->failed);
    hob_jw_kint(w, "refused", (int64_t)row->refused);
    hob_jw_kint(w, "cold", (int64_t)row->cold);
    hob_jw_kint(w, "pooled", (int64_t)row->pooled);
    hob_jw_kint(w, "thawed", (int64_t)row->thawed);
    hob_jw_object_end(w);
}

void handle_top(struct call *c)
{
    struct dispatcher *d = c->control->o.dispatcher;
    struct node_view node;
    struct hob_jw *w = call_start(c);
    dispatcher_node_view(d, &node);
    hob_jw_object(w);
    hob_jw_key(w, "functions");
    hob_jw_array(w);
    dispatcher_each_top(d, on_row, w);
    hob_jw_array_end(w);
    hob_jw_key(w, "node");
    hob_jw_object(w);
    hob_jw_kint(w, "instances", (int64_t)node.instances);
    hob_jw_kint(w, "starting", node.starting);
    hob_jw_kint(w, "starts_waiting", node.starts_waiting);
    hob_jw_kint(w, "memory_promised_mb", (int64_t)node.memory_promised_mb);
    hob_jw_kint(w, "memory_limit_mb", (int64_t)node.memory_limit_mb);
    hob_jw_kbool(w, "is_full", node.is_full);
    hob_jw_object_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}
