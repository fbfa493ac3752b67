/* What the OpenAPI document of the Parse face says beyond what the router knows: a row for each route, and the shapes of
 * bodies and answers. Immutable; any thread. */
#pragma once

#include "api/control/schema.h"

enum parse_query { QUERY_NONE, QUERY_VIEW, QUERY_FIND, QUERY_AGGREGATE, QUERY_LOGIN, QUERY_TOKEN };
/* How a request shows who it is from. */
enum parse_caller { CALLER_ANY, CALLER_MASTER, CALLER_OPEN /* no application id either */ };

struct parse_doc {
    const char *method, *pattern; /* as the router has them */
    const char *tag, *operation, *summary;
    enum parse_query query;
    const char *request, *answer; /* a shape's name, a media type, or NULL */
    int status;
};
extern const struct parse_doc parse_docs[]; /* ends with a zero row */
/* Routes of the face itself: the same, with who may ask. */
struct parse_face_doc {
    struct parse_doc doc;
    enum parse_caller caller;
};
extern const struct parse_face_doc parse_face_docs[]; /* ends with a zero row */
/* NULL: none. */
const struct parse_doc *parse_doc_find(const char *method, const char *pattern);

size_t parse_shapes_count(void);
const struct schema *parse_shapes_at(size_t i);

struct parse_code_row {
    int code, status;
    const char *name;
};
extern const struct parse_code_row parse_code_rows[]; /* ends with a row without a name */
