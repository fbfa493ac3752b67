/* Runs a function with an event and collects what it answers: cloud code, and functions that call functions. Loop's
 * thread. */
#pragma once

#include "controller/invocation.h"

struct event_spec { /* all is copied */
    const char *app, *function;
    struct hob_str qualifier;  /* version or alias; empty: what is live */
    struct version *version;   /* borrowed; then the three above do not count; NULL: they do */
    struct hob_str payload;    /* JSON text */
    struct hob_str request_id; /* empty: one is made */
    uint32_t timeout_ms;       /* beyond: HOB_E_TIMEOUT; 0: only the function's own */
    struct invocation_caller caller;
};
/* Once, never from inside; `answer` is borrowed, empty with an error. What the function itself threw is in err->msg. */
typedef void (*event_done_cb)(void *ctx, const struct hob_err *err, struct hob_str answer);
struct event_run;
struct event_run *event_start(struct dispatcher *d, const struct event_spec *spec, event_done_cb done,
                              void *ctx);
/* `done` does not come. */
void event_cancel(struct event_run *r);
