/* Triggers: cloud code that runs when objects, users, files or configuration are about to change or have changed. The
 * registry (which class has which trigger, and where it runs: a function of the app, or a webhook's URL) is in memory;
 * running one is asynchronous with a deadline (triggerTimeMs). Payloads and answers are those of the Parse webhook
 * protocol. Loop's thread, but for trigger_exists on a registry that was taken. */
#pragma once

#include "bindings/backend.h"

enum trigger_kind {
    TRIGGER_BEFORE_SAVE,
    TRIGGER_AFTER_SAVE,
    TRIGGER_BEFORE_DELETE,
    TRIGGER_AFTER_DELETE,
    TRIGGER_BEFORE_FIND,
    TRIGGER_AFTER_FIND,
    TRIGGER_BEFORE_LOGIN,
    TRIGGER_AFTER_LOGIN,
    TRIGGER_AFTER_LOGOUT,
    TRIGGER_BEFORE_PASSWORD_RESET,
    TRIGGERS_
};
extern const char *const trigger_names[TRIGGERS_]; /* "beforeSave", ... "beforePasswordResetRequest" */

/* Does that class (or "@File", "@Config") of the app have it? */
bool trigger_exists(struct backend *b, const char *app, struct hob_str class_name, enum trigger_kind kind);

struct trigger_event {
    enum trigger_kind kind;
    struct hob_str class_name;
    json_t *object,
        *original; /* with className; original may be NULL. Finds: query {where,limit,...} in `query` */
    json_t *query, *objects;
    bool is_count, is_get;
};
/* `answer`: the value of "success" (borrowed; NULL when it was undefined), or `err` with the Parse code that the trigger
 * gave (141 for a plain text, 142 for a validator, 124 when it was too slow). Never from inside the call. after-triggers:
 * the same, the caller only logs the error. */
typedef void (*trigger_done_cb)(struct backend_call *c, const struct hob_err *err, json_t *answer);
void trigger_run(struct backend_call *c, const struct trigger_event *e, trigger_done_cb done);
