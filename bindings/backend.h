/* The backend of the apps, behind one door for everybody who asks: the Parse-compatible HTTP face, the parts of a batch,
 * the bindings of functions (env.data, env.auth, ...) and cloud code. A request is a method, a path below the mount of
 * the Parse API ("/classes/Order/xWMyZ4YEGZ") and a JSON object; the answer is a status and a JSON text, as the Parse
 * REST protocol has them.
 * Keys have been judged by the face (role); session tokens are judged here. Owner: the daemon. Loop's thread. */
#pragma once

#include "base/json.h"
#include "bindings/apps.h"
#include "store/appdb.h"

struct backend;
struct spool;
struct cloud; /* the registry of cloud code: bindings/cloud/cloud.h */

enum backend_role { BACKEND_CLIENT, BACKEND_MASTER, BACKEND_READ_ONLY_MASTER, BACKEND_MAINTENANCE };

/* One run of a function of an app for the backend: cloud code. */
struct backend_run {
    const char *app, *function;
    struct hob_str payload; /* JSON text in the shape of a Parse webhook's request */
    uint32_t timeout_ms;    /* beyond it HOB_E_TIMEOUT; 0: only the function's own timeout_ms */
    /* For whom it runs: what its bindings do, they do as this caller. Kept in the daemon. */
    enum backend_role role;
    struct hob_str user_id, installation_id, remote, request_id;
    unsigned depth; /* that its own calls have */
};
/* What the daemon wires, since this room stands below the controller. */
struct backend_wires {
    /* Copies what it is given. `done` once, never from inside, with the JSON text that the function answered, or the
     * error. */
    void (*run)(void *ctx, const struct backend_run *r,
                void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                void *done_ctx);
    /* The grace of a close is over: what still runs is told HOB_E_CANCELLED at once. May be NULL. */
    void (*stop)(void *ctx);
    /* Appends a secret of the app to *out (mail passwords, client secrets of providers). */
    enum hob_code (*secret)(void *ctx, const char *app, const char *name, struct hob_buf *out,
                            struct hob_err *err);
    void *ctx;
};
struct backend_options {
    uv_loop_t *loop;
    struct store *store;
    struct appdbs *dbs;
    struct backend_apps *apps;
    const char *files_dir; /* HOME/files */
    const char *key_path;  /* HOME/master.key: keys for JWTs are derived or sealed with it */
    struct backend_wires wires;
    uint32_t upkeep_ms;      /* bindings/upkeep/upkeep.h; 0: a second */
    uint64_t upkeep_objects; /* likewise; 0: a million */
    /* The administrator's word: apps may name providers of identities and mail servers at private and loopback
     * addresses, and providers without TLS. Off: such addresses are refused. */
    bool may_reach_private;
};
HOB_MUST_USE struct backend *backend_start(const struct backend_options *o, struct hob_err *err);
/* Refuses new calls (503), finishes what is under way within grace_ms; then `closed`. */
void backend_close(struct backend *b, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx);

/* Borrowed; the backend makes it (cloud_new) and frees it (cloud_free). */
struct cloud *backend_cloud(struct backend *b);

struct backend_request {
    const char *app; /* name, not the application id */
    struct hob_str method, path;
    json_t *params; /* an object or NULL; borrowed, a reference is taken; changed by nobody meanwhile */
    enum backend_role role;
    struct hob_str session_token; /* empty: none */
    struct hob_str user_id;       /* acting as that user without a token (a binding's caller); empty: none */
    struct hob_str installation_id, remote, request_id;
    struct hob_str idempotency_key;  /* X-Parse-Request-Id; empty: none */
    const json_t *context, *headers; /* for cloud code; may be NULL */
    struct spool *upload;     /* a file upload's body, complete (bindings/files/spool.h); borrowed; or NULL */
    struct hob_str mount_url; /* "http://127.0.0.1:7070/parse": Location, file URLs */
    unsigned depth;           /* of calls made by cloud code made by calls ...; bounded */
};
struct backend_header {
    const char *name, *value;
};
struct backend_answer {
    int status;
    struct hob_str json;                  /* borrowed until the callback returns; empty: no body */
    const struct backend_header *headers; /* Location, X-Parse-Job-Status-Id, ... */
    size_t headers_n;
};
typedef void (*backend_answer_cb)(void *ctx, const struct backend_answer *a);
/* Exactly one answer, never from inside the call. All strings of the request are copied. */
struct backend_call;
struct backend_call *backend_ask(struct backend *b, const struct backend_request *r, backend_answer_cb done,
                                 void *ctx);
/* Nobody waits for the answer any more: `done` will not come. A write that is under way may still happen. */
void backend_forget(struct backend_call *c);

/* The routes, in the order of their tables, for who describes them: false behind the last one. Patterns are
 * "/classes/:class"; methods that are none of HTTP's are the backend's own. */
struct backend_route_view {
    const char *method, *pattern;
    bool needs_master;
};
bool backend_route_at(size_t i, struct backend_route_view *ret);

struct backend_stats {
    uint64_t asked, answered, failed;
};
struct backend_stats backend_stats(const struct backend *b);
struct appdbs *backend_databases(const struct backend *b); /* borrowed */
/* Has any function or webhook of the app registered cloud code? Then it may want to see a request's headers. */
bool backend_has_cloud_code(struct backend *b, const char *app);
