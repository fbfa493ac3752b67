#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"

/* A media type has a '/', a schema's name has none. */
static bool is_media(const char *answer)
{
    return strchr(answer, '/') != NULL;
}

static void write_content(struct hob_jw *w, const char *answer)
{
    hob_jw_key(w, "content");
    hob_jw_object(w);
    hob_jw_key(w, is_media(answer) ? answer : "application/json");
    hob_jw_object(w);
    if (!is_media(answer)) {
        hob_jw_key(w, "schema");
        schema_type_write(w, answer);
    }
    hob_jw_object_end(w);
    hob_jw_object_end(w);
}

static void write_parameter(struct hob_jw *w, struct hob_str name, const char *in, const char *help)
{
    hob_jw_object(w);
    hob_jw_kstr(w, "name", name);
    hob_jw_kcstr(w, "in", in);
    hob_jw_kbool(w, "required", strcmp(in, "path") == 0);
    if (help)
        hob_jw_kcstr(w, "description", help);
    hob_jw_key(w, "schema");
    hob_jw_raw(w, HOB_STR("{\"type\":\"string\"}"));
    hob_jw_object_end(w);
}

static void write_parameters(struct hob_jw *w, const struct control_route *r)
{
    hob_jw_key(w, "parameters");
    hob_jw_array(w);
    for (const char *at = strchr(r->pattern, '{'); at; at = strchr(at + 1, '{'))
        write_parameter(w, hob_str_n(at + 1, strcspn(at + 1, "}")), "path", NULL);
    for (const struct control_query *q = r->queries; q && q->name; q++)
        write_parameter(w, hob_str(q->name), "query", q->help);
    hob_jw_array_end(w);
}

static void write_operation(struct hob_jw *w, const struct control_route *r)
{
    char method[16], status[8];
    size_t n = 0;
    for (; n < sizeof method - 1 && r->method[n]; n++)
        method[n] = (char)(r->method[n] | 0x20); /* upper-case letters only */
    method[n] = '\0';
    (void)snprintf(status, sizeof status, "%d", r->status);
    hob_jw_key(w, method);
    hob_jw_object(w);
    hob_jw_kcstr(w, "operationId", r->operation);
    hob_jw_kcstr(w, "summary", r->summary);
    write_parameters(w, r);
    if (r->request) {
        hob_jw_key(w, "requestBody");
        hob_jw_object(w);
        write_content(w, r->request);
        hob_jw_object_end(w);
    }
    if (r->is_open) {
        hob_jw_key(w, "security");
        hob_jw_raw(w, HOB_STR("[]"));
    }
    hob_jw_key(w, "responses");
    hob_jw_object(w);
    hob_jw_key(w, status);
    hob_jw_object(w);
    hob_jw_kcstr(w, "description", "done");
    write_content(w, r->answer);
    hob_jw_object_end(w);
    hob_jw_key(w, "default");
    hob_jw_raw(w,
               HOB_STR("{\"description\":\"a problem (RFC 9457)\",\"content\":{\"application/problem+json\":"
                       "{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}"));
    hob_jw_object_end(w);
    hob_jw_object_end(w);
}

/* Rows of one path stand together in the document, wherever they are in the table. */
static bool is_first_of_path(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(control_routes[j].pattern, control_routes[i].pattern) == 0)
            return false;
    return true;
}

static void write_paths(struct hob_jw *w)
{
    hob_jw_key(w, "paths");
    hob_jw_object(w);
    for (size_t i = 0; i < control_routes_n; i++) {
        if (!is_first_of_path(i))
            continue;
        hob_jw_key(w, control_routes[i].pattern);
        hob_jw_object(w);
        for (size_t j = i; j < control_routes_n; j++)
            if (strcmp(control_routes[j].pattern, control_routes[i].pattern) == 0)
                write_operation(w, &control_routes[j]);
        hob_jw_object_end(w);
    }
    hob_jw_object_end(w);
}

enum hob_code control_openapi_write(struct hob_buf *out)
{
    struct hob_jw jw, *w = &jw;
    hob_jw_init(w, out);
    hob_jw_object(w);
    hob_jw_kcstr(w, "openapi", "3.1.0");
    hob_jw_key(w, "info");
    hob_jw_object(w);
    hob_jw_kcstr(w, "title", "Hob control API");
    hob_jw_kcstr(w, "version", HOB_VERSION);
    hob_jw_object_end(w);
    hob_jw_key(w, "security");
    hob_jw_raw(w, HOB_STR("[{\"token\":[]}]"));
    write_paths(w);
    hob_jw_key(w, "components");
    hob_jw_object(w);
    hob_jw_key(w, "securitySchemes");
    hob_jw_raw(w, HOB_STR("{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
    hob_jw_key(w, "schemas");
    hob_jw_object(w);
    for (size_t i = 0; i < schemas_count(); i++) {
        hob_jw_key(w, schemas_at(i)->name);
        schema_write(w, schemas_at(i));
    }
    hob_jw_object_end(w);
    hob_jw_object_end(w);
    hob_jw_object_end(w);
    return hob_jw_end(w, NULL);
}

/* "Name" with its members, or the media type. */
static enum hob_code write_shape(struct hob_buf *out, const char *shape)
{
    if (!shape)
        return hob_buf_addf(out, "-");
    if (is_media(shape))
        return hob_buf_addf(out, "`%s`", shape);
    const struct schema *s = schema_need(shape);
    enum hob_code rc = hob_buf_addf(out, "`{");
    for (size_t i = 0; rc == HOB_OK && i < s->members_n; i++)
        rc = hob_buf_addf(out, "%s%s%s: %s", i ? ", " : "", s->members[i].name,
                          s->members[i].is_needed ? "" : "?", s->members[i].type);
    return rc == HOB_OK ? hob_buf_addf(out, "}`") : rc;
}

enum hob_code control_reference_write(struct hob_buf *out)
{
    enum hob_code rc = hob_buf_addf(out, "| call | body | answer | what |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; rc == HOB_OK && i < control_routes_n; i++) {
        const struct control_route *r = &control_routes[i];
        rc = hob_buf_addf(out, "| `%s %s", r->method, r->pattern);
        for (const struct control_query *q = r->queries; rc == HOB_OK && q && q->name; q++)
            rc = hob_buf_addf(out, "%s%s=", q == r->queries ? "?" : "&", q->name);
        rc = rc == HOB_OK ? hob_buf_addf(out, "` | ") : rc;
        rc = rc == HOB_OK ? write_shape(out, r->request) : rc;
        rc = rc == HOB_OK ? hob_buf_addf(out, " | %d ", r->status) : rc;
        rc = rc == HOB_OK ? write_shape(out, r->answer) : rc;
        rc = rc == HOB_OK ? hob_buf_addf(out, " | %s |\n", r->summary) : rc;
    }
    return rc;
}
