/* The bindings of functions: what env.data, env.auth, env.files, env.cache, env.sql and env.secrets ask over the channel.
 * A call says what it wants in JSON, {"op":"data.get","args":{...}}, perhaps with bytes; it is judged by what hob.json
 * lets the function reach (base/rules/grant.h) and done as the caller of its invocation. What comes from an instance is
 * a stranger's. docs/bindings.md has the operations. Owner: the daemon. Loop's thread. */
#pragma once

#include "bindings/backend.h"

struct serve;
struct sqls;
struct serve_options {
    uv_loop_t *loop;
    struct backend *backend;
    struct appdbs *dbs;
    struct sqls *sqls; /* NULL: env.sql is refused */
    /* Appends a secret of the app to *out. */
    enum hob_code (*secret)(void *ctx, const char *app, const char *name, struct hob_buf *out,
                            struct hob_err *err);
    void *ctx;
};
HOB_MUST_USE struct serve *serve_new(const struct serve_options *o);
/* No call may be open; forgotten ones that a thread still works on hold it until they are done. */
void serve_free(struct serve *s);

struct serve_caller { /* borrowed for the call of serve_start */
    const char *app, *function;
    const char *const *grants; /* hob.json's "bindings" */
    size_t grants_n;
    bool is_cloud; /* cloud code: without grants it has all but secrets and functions */
    enum backend_role role;
    struct hob_str session_token, user_id; /* one of them, or none */
    struct hob_str installation_id, remote, request_id;
    unsigned depth;
};
struct serve_answer { /* borrowed until the callback returns */
    struct hob_str json, data;
};
typedef void (*serve_done_cb)(void *ctx, const struct hob_err *err, const struct serve_answer *a);
struct serve_call;
/* Exactly one answer, but for serve_forget. NULL: it came already, from inside. `head` and `data` are copied. */
struct serve_call *serve_start(struct serve *s, const struct serve_caller *c, struct hob_str head,
                               struct hob_str data, serve_done_cb done, void *ctx);
/* Nobody waits for it any more. What is under way may still happen. */
void serve_forget(struct serve_call *c);
