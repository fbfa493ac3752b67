/* Inside of the gateway: one struct a request, shared by gateway.c (the way in and the events), fn_request.c (what the
 * function is given), fn_answer.c (what the client is given) and cors.c. */
#pragma once

#include "api/gateway/gateway.h"
#include "base/buf.h"
#include "base/pairs.h"

struct gateway {
    struct gateway_options o;
    struct hob_buf target, fields, extras, trailers; /* scratch of one request's building */
};

struct cors {
    struct hob_str origin; /* what Access-Control-Allow-Origin says; at == NULL: no such field */
    bool is_on;            /* the route has a list of origins */
    bool has_credentials;
};

struct call { /* lives in the exchange's arena */
    struct gateway *g;
    struct http_exchange *x;
    struct invocation *inv; /* NULL when it has not begun or is over */
    struct cors cors;
    bool is_event, wants_timing, has_head, is_held;
    bool is_data_ended; /* of an upgraded connection: the function will send no more */
    struct hob_str
        upgrade; /* the protocol that the client asks the function's server for; at == NULL: none */
    uint32_t version;
    struct invocation_times times; /* for Server-Timing, when it is wanted */
    size_t unconsumed;             /* answer bytes not yet given back to the function */
};

struct fn_target { /* what was found */
    struct version *version;
    const struct route_match *match; /* or NULL */
    struct hob_str base_path, path, qualifier;
};

enum { CORS_FIELDS_MAX = 5, ANSWER_FIELDS_MORE = CORS_FIELDS_MAX + 4 };

/* Whom the function acts for, when it has bindings; borrowed from the exchange. */
bool fn_caller(struct http_exchange *x, struct version *v, struct invocation_caller *ret_caller);
/* fn_request.c: writes target, fields and extras into the gateway's scratch buffers. */
HOB_MUST_USE enum hob_code fn_request_write(struct gateway *g, struct http_exchange *x,
                                            const struct fn_target *t, struct hob_str upgrade,
                                            struct hob_err *err);
HOB_MUST_USE enum hob_code fn_event_write(struct gateway *g, struct http_exchange *x, struct hob_err *err);
/* A pairs block of trailers in the scratch buffer, or false. */
bool fn_trailers_write(struct gateway *g, const struct http_field *trailers, size_t n,
                       struct hob_pairs *ret_pairs);

/* fn_answer.c */
void fn_answer_head(struct call *c, unsigned status, const struct hob_pairs *fields, int64_t body_bytes);
/* The function's server took the connection over: 101, or 502 when it may not. */
void fn_answer_upgrade(struct call *c, const struct hob_pairs *fields);
void fn_answer_end(struct call *c, const struct hob_pairs *trailers);
/* A problem document with the call's CORS, timing and Retry-After fields. */
void fn_answer_problem(struct call *c, const struct hob_err *err, unsigned retry_s);
/* The same with the function's own words, for an authenticated caller. */
void fn_answer_failure(struct call *c, const struct hob_err *err, const struct invocation_failure *f,
                       unsigned retry_s);

/* cors.c */
struct cors cors_of(const struct route_config *route, struct hob_str origin);
/* True when the request was a preflight that a route answers without its function. */
bool cors_preflight(struct gateway *g, struct http_exchange *x);
size_t cors_fields(const struct cors *c, struct http_field *out); /* at most CORS_FIELDS_MAX */
bool cors_owns_field(const struct cors *c, struct hob_str name);
