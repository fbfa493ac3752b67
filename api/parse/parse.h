/* The Parse-compatible face: everything below /parse. It takes requests apart as Parse clients send them (keys in headers,
 * in the body or as Basic credentials, methods in the body, parameters in the query), judges keys and addresses, limits
 * rates, and hands method, path and JSON to the backend. Borrows its parts; loop's thread. */
#pragma once

#include "api/server/http.h"
#include "bindings/backend.h"

struct parse_face;
struct parse_face_options {
    uv_loop_t *loop;
    struct backend *backend;
    struct backend_apps *apps;
};
HOB_MUST_USE struct parse_face *parse_face_new(const struct parse_face_options *o);
void parse_face_free(struct parse_face *f);
/* Is the path this face's? */
bool parse_face_owns(struct hob_str path);
void parse_face_handle(struct parse_face *f, struct http_exchange *x);

/* The face as an OpenAPI 3.1 document, JSON; what GET /parse/openapi.json answers. */
HOB_MUST_USE enum hob_code parse_openapi_write(struct hob_buf *out);

struct parse_face_stats {
    uint64_t requests, refused, limited;
};
struct parse_face_stats parse_face_stats(const struct parse_face *f);
struct backend *parse_face_backend(const struct parse_face *f); /* borrowed */
