/* Cloud code: what the functions of an app, and webhooks, have registered: functions that clients call by name, jobs, and
 * triggers of classes. Held in memory; the truth is with the versions of the functions (catalogue) and, for webhooks, in
 * the app's database. Among the functions of an app the one deployed last wins; a webhook wins over them all.
 * Owner: the backend. Loop's thread. */
#pragma once

#include "bindings/backend.h"

/* `b`: whose flows call triggers. `o` is copied. Reads the webhooks from the store: blocking. */
HOB_MUST_USE struct cloud *cloud_new(const struct backend_options *o, struct backend *b, struct hob_err *err);
/* The grace of the backend's close is over: webhooks under way fail with HOB_E_CANCELLED. */
void cloud_stop(struct cloud *c);
/* Webhooks that are under way fail with HOB_E_CANCELLED; `closed` once, never from inside. */
void cloud_close(struct cloud *c, void (*closed)(void *ctx), void *ctx);

enum cloud_kind { CLOUD_FUNCTION, CLOUD_JOB, CLOUD_TRIGGER, CLOUD_KINDS_ };

/* What a function's live version registers, as its deploy learned it: {"functions":["NAME"],"jobs":["NAME"],
 * "triggers":["beforeSave Order"]}; NULL: nothing (any more). `order`: of its deploy; the highest wins. Names that
 * another function has too are told in the log. */
void cloud_set_function(struct cloud *c, const char *app, const char *function, const json_t *registered,
                        int64_t order);

/* Where something registered runs. */
struct cloud_target {
    const char *function; /* of the app; NULL: a webhook */
    const char *url;
};
/* `name`: of a function or job, or "TRIGGER CLASS". False when there is none. Borrowed until the registry changes. */
bool cloud_find(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name,
                struct cloud_target *ret_target);
/* Has anything registered for that app? */
bool cloud_has_some(struct cloud *c, const char *app);
typedef void (*cloud_each_cb)(void *ctx, struct hob_str name, const struct cloud_target *target);
/* By name. */
void cloud_each(struct cloud *c, const char *app, enum cloud_kind kind, cloud_each_cb cb, void *ctx);
/* A webhook; `url` NULL takes it away. Durable when `done` comes, never from inside, and in force then. */
typedef void (*cloud_hook_cb)(void *ctx, const struct hob_err *err);
void cloud_set_hook(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name,
                    const char *url, cloud_hook_cb done, void *ctx);
/* The app's backend is removed: its webhooks go, durably when `done` comes. What its functions register stays. */
void cloud_drop_hooks(struct cloud *c, const char *app, cloud_hook_cb done, void *ctx);

/* Before a call's handler: true when the call is about jobs and those that a former daemon left "running" are being ended;
 * then `next` comes behind that. */
struct backend_call;
bool cloud_settle_jobs(struct backend_call *c, void (*next)(struct backend_call *c));

/* The session token that the user object of a function has: it means "whoever this invocation acts for", since real tokens
 * never enter an instance. */
#define CLOUD_CALLER_TOKEN "r:caller"

/* The url of the webhook of that name, or NULL. */
const char *cloud_hook(struct cloud *c, const char *app, enum cloud_kind kind, struct hob_str name);
