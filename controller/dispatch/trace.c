/* Ends of invocations, told to whoever records them (hob scale record). Nobody listening costs one look at a list. */
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

void dispatcher_trace(struct dispatcher *d, struct trace_listener *l)
{
    hob_list_push_back(&d->traces, &l->node);
}

void trace_stop(struct trace_listener *l)
{
    hob_list_remove(&l->node);
}

void trace_ended(struct invocation *i)
{
    const struct pool *p = i->pool;
    const struct trace_event e = {
        .utc_ms = p->d->utc_offset_ms + (int64_t)(i->received_us / 1000),
        .app = p->version->app_name,
        .function = p->version->function_name,
        .service_us = i->dispatched_us ? i->times.run_us : 0,
        .wait_us = i->dispatched_us > i->received_us ? i->dispatched_us - i->received_us : i->times.queue_us,
        .cold_us = i->times.start_us + i->times.init_us,
        .is_dispatched = i->dispatched_us != 0,
    };
    HOB_LIST_EACH(&p->d->traces, n, tmp)
    {
        const struct trace_listener *l = HOB_CONTAINER_OF(n, struct trace_listener, node);
        l->on_ended(l->ctx, &e);
    }
}
