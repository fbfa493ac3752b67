/* How the backend runs cloud code: an event to a function of the app, whose bindings act as the backend's caller. */
#include <stdlib.h>

#include "base/mem.h"
#include "controller/event.h"
#include "daemon/backend.h"

struct run {
    struct hob_node node;
    struct event_run *event;
    void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer);
    void *done_ctx;
};

static void on_answer(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct run *r = ctx;
    hob_list_remove(&r->node);
    r->done(r->done_ctx, err, answer);
    free(r);
}

void cloud_run_function(void *ctx, const struct backend_run *b,
                        void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                        void *done_ctx)
{
    struct backend_parts *p = ctx;
    struct run *r = hob_new(struct run);
    r->done = done;
    r->done_ctx = done_ctx;
    hob_list_push_back(&p->runs, &r->node);
    r->event = event_start(p->dispatcher,
                           &(struct event_spec){.app = b->app,
                                                .function = b->function,
                                                .payload = b->payload,
                                                .request_id = b->request_id,
                                                .timeout_ms = b->timeout_ms,
                                                .caller = {.role = b->role,
                                                           .user_id = b->user_id,
                                                           .installation_id = b->installation_id,
                                                           .remote = b->remote,
                                                           .depth = b->depth}},
                           on_answer, r);
}

void cloud_run_stop(void *ctx)
{
    struct backend_parts *p = ctx;
    struct hob_err err;
    struct hob_node *n;
    (void)hob_fail(&err, HOB_E_CANCELLED, "the daemon is stopping");
    while ((n = hob_list_first(&p->runs)) != NULL) {
        struct run *r = HOB_CONTAINER_OF(n, struct run, node);
        event_cancel(r->event);
        on_answer(r, &err, HOB_STR(""));
    }
}
