/* How the backend runs cloud code: an event to a function of the app, whose bindings act as the backend's caller. */
#include "controller/event.h"
#include "daemon/backend.h"

void cloud_run_function(void *ctx, const struct backend_run *r,
                        void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                        void *done_ctx)
{
    struct backend_parts *p = ctx;
    (void)event_start(p->dispatcher,
                      &(struct event_spec){.app = r->app,
                                           .function = r->function,
                                           .payload = r->payload,
                                           .request_id = r->request_id,
                                           .timeout_ms = r->timeout_ms,
                                           .caller = {.role = r->role,
                                                      .user_id = r->user_id,
                                                      .installation_id = r->installation_id,
                                                      .remote = r->remote,
                                                      .depth = r->depth}},
                      done, done_ctx);
}
