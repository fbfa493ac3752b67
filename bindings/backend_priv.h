/* Inside of bindings/: the backend itself, the settings that calls carry, and what its files give one another
 * (backend.c the life, call.c one call, router.c which route). Loop's thread. */
#pragma once

#include "base/list.h"
#include "bindings/auth/auth.h"
#include "bindings/backend.h"
#include "bindings/call_priv.h"
#include "bindings/cloud/cloud.h"

/* Who a request is for: the parts that live as long as the backend. */
struct backend {
    struct backend_options o;
    struct auth *auth;
    struct cloud *cloud;
    struct files *files;
    struct upkeep *upkeep;
    struct router *router;
    struct ask_settings *settings; /* by app, in a hash */
    struct hob_list calls;         /* living */
    struct hob_list ready;         /* to be gone on with in the next turn */
    struct hob_list spare;         /* kept for the next request */
    size_t spare_n;
    uv_async_t wake;
    uv_timer_t grace;
    struct backend_stats stats;
    bool is_closing, is_closed;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- call.c --- */
/* The app's settings as they are now: the same snapshot as long as nothing changed. NULL: no such app. Counted. */
struct ask_settings *ask_settings_take(struct backend *b, const char *app);
void ask_settings_drop(struct ask_settings *s);
void ask_settings_done(struct backend *b);
/* Puts the call into the list of those that go on in the next turn, with `next`. */
void call_later(struct backend_call *c, void (*next)(struct backend_call *c));
void call_run_ready(struct backend *b);
struct backend_call *call_new(struct backend *b);
void call_free_spare(struct backend *b);
/* The call's work, on a thread of the databases' pool; may come twice. */
HOB_MUST_USE enum hob_code call_work(void *ctx, struct data_tx *tx, struct hob_err *err);
/* Goes on behind a job, with its failure or NULL. */
void call_worked(struct backend_call *c, const struct hob_err *err);

/* --- router.c --- */
HOB_MUST_USE struct router *router_new(void);
void router_free(struct router *r);
bool router_has(const struct router *r, struct hob_str method, struct hob_str path);
/* Finds the route and fills c->route and c->params; NULL route: HOB_E_NOT_FOUND, reason "no_route". */
HOB_MUST_USE enum hob_code router_find(const struct router *r, struct backend_call *c, struct hob_err *err);

/* --- batch.c --- */
/* The part's first write: waits until every part waits or has ended, then all run in one job. False: it has had it. */
bool batch_park(struct backend_call *c);

/* --- idempotency.c --- */
bool idempotency_applies(const struct backend_call *c);
void idempotency_start(struct backend_call *c, void (*next)(struct backend_call *c));
void idempotency_drop(struct backend_call *c);
