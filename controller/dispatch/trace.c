/* Ends of invocations, told to whoever records them (hob scale record; nobody listening costs one look at a list) and to
 * the function's log. */
#include <stdio.h>

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

/* One line for each finished invocation, but never more than a log can bear: the rate is bounded. */
void invocation_report(struct invocation *i, const char *status)
{
    struct pool *p = i->pool;
    uint64_t now = dispatcher_now(p->d);
    if (!bucket_take(&p->reports, now, REPORTS_PER_S, REPORTS_BURST, 1)) {
        p->reports_skipped++;
        return;
    }
    char text[256];
    const struct invocation_times *t = &i->times;
    int n = snprintf(text, sizeof text, "REPORT status=%s run_ms=%.3f queue_ms=%.3f cold=%d", status,
                     (double)t->run_us / 1000.0, (double)t->queue_us / 1000.0, t->is_cold);
    if (t->is_cold)
        n += snprintf(text + n, sizeof text - (size_t)n, " start_ms=%.3f init_ms=%.3f",
                      (double)t->start_us / 1000.0, (double)t->init_us / 1000.0);
    if (p->reports_skipped)
        n += snprintf(text + n, sizeof text - (size_t)n, " unreported_before=%llu",
                      (unsigned long long)p->reports_skipped);
    p->reports_skipped = 0;
    pool_platform_log(p, HOB_CHLOG_INFO, i->instance, invocation_request_id(i), hob_str_n(text, (size_t)n));
}
