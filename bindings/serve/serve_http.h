/* Inside of bindings/serve/: requests of HTTP that a server makes at its gate (runner/init/gate.h). serve_http.c reads them,
 * has the small paths (/cache, /secrets, /sql) and writes answers; serve_http_parse.c is the Parse protocol's. */
#pragma once

#include "bindings/serve/serve_priv.h"

struct serve_http {
    struct hob_str method, path, query; /* path: as it was sent */
    bool is_last;                       /* the connection ends behind the answer */
    bool is_metadata;                   /* of a file: not its bytes */
    /* of a file's bytes: which of them, and what they are */
    uint64_t from, n, total;
    bool is_range;
    const char *type, *etag;
    /* makes what the call ends with an answer; exactly one gate_respond or serve_fail */
    void (*shape)(struct serve_call *c, struct hob_str json, struct hob_str data);
};

struct gate_head {
    int status;
    const char *type; /* NULL: none, and no body */
    const struct backend_header *more;
    size_t more_n;
};
/* The whole answer; HEAD leaves the body out. Ends the call. */
void gate_respond(struct serve_call *c, const struct gate_head *head, struct hob_str body);
/* A field of the request; at == NULL when there is none. */
struct hob_str gate_field(const struct serve_call *c, const char *name);
/* Below /parse. */
void gate_parse_start(struct serve_call *c, struct hob_str path);

/* serve_files.c: the bytes of the stored file c->name end the call; gate_found judges them first. */
void serve_file_find(struct serve_call *c, bool is_metadata);
/* False: it answered, and no bytes are wanted. */
struct file_found;
HOB_MUST_USE bool gate_found(struct serve_call *c, const struct file_found *found);

/* serve_parse.c */
HOB_MUST_USE enum hob_code serve_need_path(const struct serve_call *c, struct hob_str method,
                                           struct hob_str path, struct hob_err *err);
/* What a query reads beside its own class: by sub-queries, and by following a pointer to another class. */
HOB_MUST_USE enum hob_code serve_need_query(const struct serve_call *c, struct hob_str method,
                                            const json_t *params, struct hob_err *err);
HOB_MUST_USE enum hob_code serve_need_batch(const struct serve_call *c, const json_t *body,
                                            struct hob_err *err);
/* The caller's own session token never enters an instance: in an answer `instead` stands for it. Borrowed from `json` or
 * from the call's arena. */
struct hob_str serve_without_token(struct serve_call *c, struct hob_str json, struct hob_str instead);
/* serve_data.c: what a query reads by its sub-queries. */
HOB_MUST_USE enum hob_code serve_need_subqueries(const struct serve_call *c, const json_t *where,
                                                 struct hob_err *err);
