/* Inside of bindings/serve/: one call, and the table of operations that each file has. */
#pragma once

#include "base/limits.h"
#include "base/mem.h"
#include "base/rules/grant.h"
#include "bindings/files/files.h"
#include "bindings/parse.h"
#include "bindings/serve/serve.h"

struct serve {
    struct serve_options o;
    unsigned calls_n;
    bool is_closing;
};

struct serve_call {
    struct serve *serve;
    struct hob_arena arena;
    struct serve_caller caller; /* strings in the arena; grants are in the arena too */
    const char *op;
    json_t *head, *args; /* args: an object, borrowed from head */
    struct hob_str data; /* in the arena */
    struct backend_call *ask;
    serve_done_cb done;
    void *ctx;
    /* of jobs on threads */
    struct hob_buf out, out_data;
    struct hob_err err;
    bool is_starting, is_forgotten, is_working; /* working: a thread has it; it is freed when that is done */
    bool is_over;                               /* answered while it was being started */
    void (*shape)(struct serve_call *c, const struct backend_answer *a);
    /* behind a job that worked: true when it goes on, else the call ends with c->out; and at that end */
    bool (*goes_on)(struct serve_call *c);
    void (*after)(struct serve_call *c);
    /* of files */
    char name[FILE_STORED_NAME_BYTES_MAX + 1]; /* as it is stored */
    json_t *stored;                            /* owned */
    int fd;                                    /* -1: none */
    struct serve_http *http; /* a server's request at its gate (serve_http.h), in the arena; or NULL */
};

/* --- the end: exactly one of these, and the call is gone --- */
void serve_fail(struct serve_call *c, const struct hob_err *err);
void serve_answer(struct serve_call *c, struct hob_str json, struct hob_str data);
void serve_answer_json(struct serve_call *c, const json_t *json);
void serve_give(struct serve_call *c, struct hob_str json,
                struct hob_str data); /* as it is, also at a gate */

/* --- judging --- */
HOB_MUST_USE bool serve_allows(const struct serve_call *c, enum hob_grant_kind kind, struct hob_str name,
                               unsigned rights);
/* HOB_E_FORBIDDEN, names what hob.json would have to say. */
HOB_MUST_USE enum hob_code serve_need(const struct serve_call *c, enum hob_grant_kind kind,
                                      struct hob_str name, unsigned rights, struct hob_err *err);
/* A text argument; HOB_E_INVALID when it is missing or none. */
HOB_MUST_USE const char *serve_need_text(const struct serve_call *c, const char *name, struct hob_err *err);
/* Whom this call acts for, by args.as: "caller" (or nothing), "master", {"sessionToken":...}. Fills role, session_token
 * and user_id. */
HOB_MUST_USE enum hob_code serve_identity(const struct serve_call *c, struct backend_request *r,
                                          struct hob_err *err);

/* --- asking the backend; `shape` makes its answer the call's (NULL: as it is). Errors are passed on. --- */
void serve_ask(struct serve_call *c, struct backend_request *r,
               void (*shape)(struct serve_call *c, const struct backend_answer *a));
/* A backend's error answer as one of ours. */
void serve_fail_answer(struct serve_call *c, const struct backend_answer *a);

/* --- work on a thread of the app's database: fills c->out (JSON) and c->out_data; the call ends with them --- */
void serve_read(struct serve_call *c, data_work_cb work);
void serve_write(struct serve_call *c, data_work_cb work);

struct serve_op {
    const char *name;
    void (*start)(struct serve_call *c);
};
/* The tables, each ends with a zero row. */
extern const struct serve_op serve_data_ops[], serve_auth_ops[], serve_cache_ops[], serve_sql_ops[],
    serve_file_ops[], serve_parse_ops[], serve_secret_ops[], serve_http_ops[];
