/* The node: hobd's end of the link to hob-runner. Starts and stops instances by message; knows nothing of queues.
 * Lives on the loop's thread. One runner for now; the door does not say so. */
#pragma once

#include <uv.h>

#include "base/link.h"

struct node_hub;

/* What happened to one instance. `started` or `failed` comes exactly once, never from inside node_start; after
 * `started`, `exited` comes exactly once, also when the runner is lost. No event follows `failed` or `exited`. */
struct node_exit {
    int exit_code, signal; /* exit_code -1 when signalled */
    bool is_oom, is_lost;  /* is_lost: the runner went away */
    uint64_t cpu_us, memory_peak_bytes;
    uint64_t pids_denied; /* times it could not start one more process or thread */
    const char *message;  /* for people, borrowed */
};
struct node_events {
    void (*pooled)(void *ctx); /* may be NULL: right before `started`, when the process was started ahead */
    void (*started)(void *ctx, int channel_fd,
                    uint64_t launch_us); /* gives: the descriptor is the listener's */
    void (*failed)(void *ctx, const struct hob_err *err);
    void (*exited)(void *ctx, const struct node_exit *exit);
    void (*log_line)(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped);
    /* The account of its isolation, "name: what" lines, once or never; a denied system call, the nth of its name. */
    void (*walls)(void *ctx, struct hob_str text);
    void (*note)(void *ctx,
                 struct hob_str text); /* for the function's log: what was refused to it, and why */
    void (*denied)(void *ctx, struct hob_str call, uint64_t nth, bool is_last);
    void (*used)(void *ctx, struct hob_str call); /* of one that is learnt from: once for each call */
};
struct node_start_spec {
    uint64_t instance;                             /* hob_id64() */
    const char *app, *function, *runtime, *digest; /* digest "" for none */
    const char *engine, *image;                    /* NULL: "sandbox", none */
    uint32_t version;
    const char *const *argv; /* NULL-ended */
    const char *const *env;  /* NULL-ended "NAME=value", platform variables only */
    uint32_t memory_mb, cpu_percent, pids_max;
    uint64_t tmp_bytes;
    char *const *egress; /* what it may connect to, "HOST:PORT" */
    size_t egress_n;
    char *const *syscalls; /* only these (base/rules/syscalls.h) */
    size_t syscalls_n;
    bool is_learning;   /* and then `used` tells what it makes */
    uint32_t pool_max;  /* processes of this kind that the node may keep ready; 0: none */
    uint32_t forks_max; /* may be one of so many forks in one sandbox of its version; 0: has its own */
    int stdin_fd;       /* -1: none; borrows */
};

/* Listens at `socket_path`; `owner_uid` is the only one who may dial in. */
HOB_MUST_USE struct node_hub *node_hub_start(uv_loop_t *loop, const char *socket_path, unsigned owner_uid,
                                             struct hob_err *err);
void node_hub_close(struct node_hub *h, void (*closed)(void *ctx), void *ctx);
bool node_hub_has_runner(const struct node_hub *h);
/* Never fails at once: the answer is an event. */
void node_start(struct node_hub *h, const struct node_start_spec *spec, const struct node_events *events,
                void *ctx);
void node_stop(struct node_hub *h, uint64_t instance, uint32_t grace_ms); /* unknown or gone: ignored */
void node_freeze(struct node_hub *h, uint64_t instance);
void node_thaw(struct node_hub *h, uint64_t instance);
/* False when the node has no means to. */
bool node_can_freeze(const struct node_hub *h);
/* Checks of the node, one "ok|warn|fail name: text" each; lines are borrowed until the callback returns. */
typedef void (*node_doctor_cb)(void *ctx, const struct hob_str *lines, size_t n, const struct hob_err *err);
void node_doctor(struct node_hub *h, node_doctor_cb cb, void *ctx);
/* A question about the node's engines: "ls" (name ""), "test" an engine, "build" the docker engine's image of a runtime,
 * "image" (its ID, pulled when need be), "dockerfile" (the ID of what is built of it), "gc" (images that nobody needs).
 * Exactly one answer, never from inside: JSON text, borrowed, or an error. */
typedef void (*node_engine_cb)(void *ctx, struct hob_str json, const struct hob_err *err);
struct node_engine_question {
    const char *verb, *name;
    const char *pull, *auth, *digest, *app, *keep, *dry; /* NULL: none; see base/link.h */
    void (*progress)(void *ctx, struct hob_str text);    /* may be NULL; borrowed */
};
/* Returns a number by which the question can be forgotten: then no answer comes. */
uint64_t node_engine_ask(struct node_hub *h, const struct node_engine_question *q, node_engine_cb cb,
                         void *ctx);
void node_engine_forget(struct node_hub *h, uint64_t id);
void node_engine(struct node_hub *h, const char *verb, const char *name, node_engine_cb cb, void *ctx);
