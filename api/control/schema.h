/* The shapes of the control API's bodies and answers, as tables. What is sent is judged by them; the OpenAPI document
 * is written from them. Immutable, any thread. */
#pragma once

#include "base/json.h"

/* Types: "string", "integer", "boolean", "map" (object of strings), "object" (any object), a schema's name; with "[]"
 * behind it a list, with "?" behind it null is possible. Bodies use string, integer, boolean, map and string[]. */
struct schema_member {
    const char *name, *type, *help;
    bool is_needed;
};
struct schema {
    const char *name;
    const struct schema_member *members;
    size_t members_n;
};

size_t schemas_count(void);
const struct schema *schemas_at(size_t i);
const struct schema *schema_need(const char *name); /* asserts that it exists */
/* Judges a body: an object, no unknown members ("did you mean"), needed ones there, types right. */
HOB_MUST_USE enum hob_code schema_judge(const struct schema *s, const json_t *body, struct hob_err *err);
/* The JSON Schema of a type, as OpenAPI wants it. */
void schema_type_write(struct hob_jw *w, const char *type);
void schema_write(struct hob_jw *w, const struct schema *s);
