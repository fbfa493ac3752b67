/* Inside of bindings/cloud/: the registry's structs, shared by registry.c (who has registered what) and run.c (how
 * something registered is run). */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "bindings/call_priv.h"
#include "bindings/cloud/cloud.h"
#include "bindings/trigger.h"

struct cloud_entry {
    char *key;      /* owned: one letter for the kind, then the name */
    char *function; /* owned; NULL: none deployed */
    char *url;      /* owned; NULL: no webhook */
    UT_hash_handle hh;
};
struct cloud_source { /* one function of the app */
    char *function;
    int64_t order;
    json_t *registered;
    struct cloud_source *next; /* by order, the oldest first */
};
enum jobs_state { JOBS_UNSETTLED, JOBS_SETTLING, JOBS_SETTLED }; /* settle.c */
struct job_waiter;
struct cloud_app {
    char *name;
    enum jobs_state jobs;
    struct job_waiter *waiting; /* calls that go on once jobs are settled */
    struct cloud_entry *entries;
    struct cloud_source *sources;
    UT_hash_handle hh;
};
struct cloud {
    struct backend_options o;
    struct backend *backend;
    struct cloud_app *apps;
    struct webhooks *webhooks;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* The app's entry, made when it is not there. */
struct cloud_app *cloud_app_ensure(struct cloud *c, const char *name);
void jobs_settle_serve(struct backend_call *c); /* settle.c: the route SETTLE */

/* Runs something registered for a call. `payload` (taken) has what is particular to it; who calls, the headers and the
 * context are added here. `done` comes once, never from inside: with the value of "success" (borrowed; NULL when it was
 * undefined), or with an error that has the Parse code to tell. */
typedef void (*cloud_done_cb)(struct backend_call *call, void *ctx, const struct hob_err *err,
                              json_t *success);
struct cloud_run {
    struct backend_call *call;
    struct cloud_target target; /* copied */
    json_t *payload;
    uint32_t timeout_ms; /* 0: the function's own; a webhook then has WEBHOOK_MS */
    cloud_done_cb done;
    void *ctx;
};
enum { WEBHOOK_MS = 30000 };
void cloud_run(const struct cloud_run *r);

/* Judges {"success":...} or {"error":...}: *ret_success is owned, NULL when the value was undefined; *ret_context likewise
 * ("context", an object that functions of the app may answer beside it). */
HOB_MUST_USE enum hob_code cloud_judge_answer(struct hob_str text, json_t **ret_success, json_t **ret_context,
                                              struct hob_err *err);
