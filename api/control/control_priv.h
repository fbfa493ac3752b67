/* Inside the control API: the route table's row, and one call's story. Private to api/control/. */
#pragma once

#include "api/control/control.h"
#include "api/control/schema.h"
#include "base/json.h"
#include "base/list.h"

struct backend_app;
struct call;

enum call_body {
    CALL_BODY_NONE,
    CALL_BODY_JSON, /* collected and judged before the handler runs */
    CALL_BODY_RAW,  /* the handler reads it */
};

struct control_query { /* one query parameter */
    const char *name, *help;
};

struct control_route {
    const char *method, *pattern; /* "/v1/apps/{app}": app, fn and alias are names, NAME a variable's */
    void (*handle)(struct call *c);
    enum call_body body;
    bool is_open;                        /* no token needed */
    int status;                          /* of a good answer */
    const char *request, *answer;        /* a schema's name, or a media type */
    const struct control_query *queries; /* ended by a NULL name; NULL: none */
    const char *operation, *summary;
};
extern const struct control_route control_routes[];
extern const size_t control_routes_n;

enum { CALL_PARAMS_MAX = 3, CALL_QUERIES_MAX = 8 };
struct call_match {
    const struct control_route *route; /* NULL: no such path, or (allow filled) another method */
    struct hob_str params[CALL_PARAMS_MAX];
    char allow[64];
};
void control_match(struct hob_str method, struct hob_str path, struct call_match *ret_match);

/* What a streaming handler wants to hear of its exchange. */
struct call_stream {
    void (*on_body)(void *ctx, struct hob_str data);
    void (*on_body_end)(void *ctx);
    void (*on_drain)(void *ctx);
    /* The client is gone or its exchange is closed before the answer was complete: let go. Once. */
    void (*on_gone)(void *ctx);
};

/* One call: from the head to the end of everything that runs for it, which may outlive the exchange. */
struct call {
    struct control *control;
    struct hob_node link;    /* in control->calls */
    struct http_exchange *x; /* NULL once closed */
    const struct control_route *route;
    struct hob_str params[CALL_PARAMS_MAX]; /* in the pattern's order; borrowed from the exchange */
    struct hob_str
        queries[CALL_QUERIES_MAX]; /* by index in route->queries, decoded; at == NULL when absent */
    char *copies[CALL_PARAMS_MAX]; /* params with NUL, owned: they outlive the exchange */
    const char *token_name;
    unsigned holds;
    bool is_answered, is_gone;
    struct hob_buf body, out;
    struct hob_jw w; /* writes to out */
    json_t *json;    /* the judged body */
    const struct call_stream *stream;
    void *stream_ctx;
};

struct probe;
struct control {
    struct control_options o;
    char *tmp_dir;
    struct hob_list calls;
    struct auth_guard *guard;
    struct probe *probe; /* the runtimes' versions */
    unsigned uploads;
    bool is_draining, is_closing;
    uv_async_t closer;
    struct control_stats stats;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* While something asynchronous runs for it, a call is held. */
void call_hold(struct call *c);
void call_release(struct call *c);
/* Whether an answer can still be given. */
bool call_is_open(const struct call *c);
/* Answers with the problem; nothing when the client is gone. */
void call_fail(struct call *c, const struct hob_err *err);
/* The route's status and what was written to c->w since call_start. */
struct hob_jw *call_start(struct call *c);
void call_finish(struct call *c);
void call_finish_empty(struct call *c); /* {} */
/* An admin_done_cb for verbs that answer {}; `ctx` is a call that was held. */
void call_on_removed(void *ctx, const struct admin_result *r, const struct hob_err *err);
/* The value of a query parameter; at == NULL when absent. */
struct hob_str call_query(const struct call *c, const char *name);
/* From now on the handler answers by itself; call_streamed when it did. */
void call_stream_begin(struct call *c, const struct call_stream *stream, void *ctx);
void call_streamed(struct call *c);
/* The function that {app} and {fn} name, or NULL: then the problem is answered. Borrowed. */
struct function *call_function(struct call *c);
/* The backend that {app} names, or NULL: then the problem is answered. Borrowed. */
const struct backend_app *call_backend(struct call *c); /* api/backend/backends.c */
/* "http://HOST/fn/APP/FUNCTION" as this client reaches it. Returns owned. */
char *call_url(const struct call *c, const char *app, const char *function);

/* auth.c: counts wrong tokens by address. */
struct auth_guard;
struct auth_guard *auth_guard_new(void);
void auth_guard_free(struct auth_guard *g);
/* Fills *err for a wrong token: unauthorized, or busy when there were too many; then *ret_retry_s says how long. */
enum hob_code auth_guard_failed(struct auth_guard *g, const char *address, uint64_t now_ms,
                                unsigned *ret_retry_s, struct hob_err *err);
/* The token in an Authorization field; at == NULL when it is none. */
struct hob_str auth_bearer(struct hob_str field);

/* query.c: judges and decodes the query of a route. */
HOB_MUST_USE enum hob_code control_query_parse(const struct control_query *queries, struct hob_str query,
                                               struct hob_arena *arena, struct hob_str *ret_values,
                                               struct hob_err *err);

/* views.c: shapes that several answers share. */
void view_function(struct call *c, const struct function *f, bool is_complete);
void view_routes(struct hob_jw *w, const struct route_config *routes, size_t n);
void view_env(struct hob_jw *w, const struct function_config *f); /* the object */
/* "aliases" and its list. */
void view_aliases(struct hob_jw *w, const struct function *f);
void view_instances(struct call *c, struct hob_str app, struct hob_str function);
void view_time(struct hob_jw *w, const char *key, int64_t utc_ms);

/* probe.c: the runtimes' versions, asked in a worker and remembered. */
typedef void (*probe_done_cb)(void *ctx,
                              char *const *versions); /* by index in runtimes; entries may be NULL */
void log_streams_end(struct control *c);              /* log_stream.c: for draining */
void trace_streams_end(struct control *c);            /* api/scale/trace_stream.c: likewise */
struct probe *probe_new(struct control *c);
void probe_free(struct probe *p); /* asserts that none runs */
bool probe_is_running(const struct probe *p);
void probe_ask(struct probe *p, probe_done_cb done, void *ctx);

/* The handlers, by file. */
void handle_version(struct call *c); /* system.c */
void handle_limits(struct call *c);
void handle_manifest_schema(struct call *c);
void handle_openapi(struct call *c);
void handle_runtimes(struct call *c);
void handle_doctor(struct call *c);  /* doctor.c */
void handle_engines(struct call *c); /* engines.c */
void handle_engine_test(struct call *c);
void handle_engine_gc(struct call *c);
void handle_runtime_build(struct call *c);
void handle_apps(struct call *c); /* functions.c */
void handle_app_remove(struct call *c);
void handle_functions(struct call *c);
void handle_function(struct call *c);
void handle_function_remove(struct call *c);
void handle_instances(struct call *c);
void handle_isolation(struct call *c); /* isolation.c */
void handle_learn(struct call *c);
void handle_learnt(struct call *c);
void handle_learn_end(struct call *c);
void handle_backends(struct call *c); /* api/backend/backends.c */
void handle_backend(struct call *c);
void handle_backend_create(struct call *c);
void handle_backend_set(struct call *c);
void handle_backend_remove(struct call *c);
void handle_backend_key_set(struct call *c);
void handle_backend_key_remove(struct call *c);
void handle_data_export(struct call *c); /* api/backend/transfer.c */
void handle_data_import(struct call *c);
/* At the start and at the end: copies of SQL databases that exports had made in HOME/tmp. Blocking. */
void transfer_copies_sweep(const char *tmp_dir);
void handle_data_changes(struct call *c); /* api/backend/data.c */
void handle_data_restore(struct call *c);
void handle_data_advice(struct call *c); /* api/backend/indexes.c */
void handle_data_indexes(struct call *c);
void handle_data_index_make(struct call *c);
void handle_data_index_drop(struct call *c);
void handle_data_backup(struct call *c); /* backup.c */
void handle_versions(struct call *c);    /* versions.c */
void handle_rollback(struct call *c);
void handle_aliases(struct call *c);
void handle_alias_set(struct call *c);
void handle_alias_remove(struct call *c);
void handle_env(struct call *c); /* settings.c */
void handle_env_patch(struct call *c);
void handle_secrets(struct call *c);
void handle_secret_set(struct call *c);
void handle_secret_remove(struct call *c);
void handle_deploy(struct call *c); /* upload.c */
void handle_logs(struct call *c);   /* log_stream.c */
void handle_invoke(struct call *c); /* invoke.c */
void handle_backup(struct call *c); /* backup.c */
void handle_scale(struct call *c);  /* api/scale/scale.c */
void handle_top(struct call *c);
void handle_trace(struct call *c);    /* api/scale/trace_stream.c */
void handle_simulate(struct call *c); /* api/scale/simulation.c */
