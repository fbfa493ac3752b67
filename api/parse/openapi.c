/* The OpenAPI 3.1 document of the Parse face, written from the router's own routes: what a route is about is looked up in
 * the rows (openapi_rows.c); one without a row is named all the same. */
#include <stdio.h>
#include <string.h>

#include "api/parse/openapi_priv.h"
#include "api/parse/parse_priv.h"
#include "bindings/backend.h"

#include "base/banned.h"

/* --- parts that are always the same ------------------------------------------------------------------------------- */

static const char security_schemes[] =
    "{\"applicationId\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Parse-Application-Id\"},"
    "\"restKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Parse-REST-API-Key\",\"description\":\"or "
    "X-Parse-Javascript-Key, X-Parse-Client-Key, X-Parse-Windows-Key: one of them once the app has one\"},"
    "\"sessionToken\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Parse-Session-Token\"},"
    "\"masterKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Parse-Master-Key\",\"description\":\"from an "
    "address in masterKeyIps\"},"
    "\"maintenanceKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Parse-Maintenance-Key\"},"
    "\"basic\":{\"type\":\"http\",\"scheme\":\"basic\",\"description\":\"application id and master key, or "
    "javascript-key=KEY\"}}";

static const struct {
    const char *name, *header, *help;
} headers[] = {
    {"InstallationId", "X-Parse-Installation-Id",
     "which installation of the app asks; a log-in there ends the former one"},
    {"RequestId", "X-Parse-Request-Id",
     "the request runs once, where idempotencyOptions say so: 159 the second time"},
    {"CloudContext", "X-Parse-Cloud-Context", "a JSON object for the triggers of the request"},
    {"ClientVersion", "X-Parse-Client-Version", "which SDK asks"},
};

static const struct {
    const char *name;
    int status;
    const char *help;
} failures[] = {
    {"BadRequest", 400, "refused: code says why"},
    {"Unauthorized", 403,
     "no such application, a wrong key, or a route that needs the master key; without a code"},
    {"NotFound", 404, "101: there is no such object, or the caller may not see it"},
    {"TooLarge", 413, "a body beyond maxUploadSize; without a code"},
    {"TooMany", 429, "100: a rate limit of the app; 155: too many passwords are being checked"},
    {"Internal", 500, "1: our own fault"},
    {"Unavailable", 503, "100, 140: may be tried again; Retry-After says when"},
};

struct query_row {
    enum parse_query query;
    const char *name, *help;
};
static const struct query_row queries[] = {
    {QUERY_FIND, "where", "conditions as JSON: {\"age\":{\"$gt\":17}}"},
    {QUERY_FIND, "order", "names of fields, by commas; '-' in front: descending"},
    {QUERY_FIND, "limit", "at most so many; 0: none, for count alone"},
    {QUERY_FIND, "skip", "so many less at the beginning"},
    {QUERY_FIND, "count", "1: with how many there are"},
    {QUERY_FIND, "redirectClassNameForKey", "the class that this relation leads to is asked"},
    {QUERY_FIND, "hint", "the index to use (master)"},
    {QUERY_FIND, "explain", "true: the plan instead of objects (master)"},
    {QUERY_VIEW, "keys", "only these fields, by commas"},
    {QUERY_VIEW, "excludeKeys", "all but these fields"},
    {QUERY_VIEW, "include", "pointers that are to be followed, by commas; '*': all"},
    {QUERY_VIEW, "includeAll", "true: all pointers of the first level"},
    {QUERY_AGGREGATE, "pipeline", "an array of stages as JSON"},
    {QUERY_AGGREGATE, "distinct", "a field whose values are wanted"},
    {QUERY_AGGREGATE, "where", "conditions for distinct"},
    {QUERY_LOGIN, "username", "a name or an address"},
    {QUERY_LOGIN, "email", "an address"},
    {QUERY_LOGIN, "password", ""},
    {QUERY_TOKEN, "token", "of the mail"},
};

/* --- one operation ------------------------------------------------------------------------------------------------ */

static bool is_media(const char *shape)
{
    return strchr(shape, '/') != NULL;
}

static void write_content(struct hob_jw *w, const char *shape)
{
    hob_jw_key(w, "content");
    hob_jw_object(w);
    hob_jw_key(w, is_media(shape) ? shape : "application/json");
    hob_jw_object(w);
    if (!is_media(shape)) {
        hob_jw_key(w, "schema");
        schema_type_write(w, shape);
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
    if (*help)
        hob_jw_kcstr(w, "description", help);
    hob_jw_key(w, "schema");
    hob_jw_raw(w, HOB_STR("{\"type\":\"string\"}"));
    hob_jw_object_end(w);
}

static void write_ref(struct hob_jw *w, const char *kind, const char *name)
{
    char ref[96];
    (void)snprintf(ref, sizeof ref, "#/components/%s/%s", kind, name);
    hob_jw_object(w);
    hob_jw_kcstr(w, "$ref", ref);
    hob_jw_object_end(w);
}

static void write_parameters(struct hob_jw *w, const struct parse_doc *d, enum parse_caller caller)
{
    hob_jw_key(w, "parameters");
    hob_jw_array(w);
    for (const char *at = strchr(d->pattern, ':'); at; at = strchr(at + 1, ':'))
        write_parameter(w, hob_str_n(at + 1, strcspn(at + 1, "/")), "path", "");
    for (size_t i = 0; i < HOB_COUNT(queries); i++)
        if (queries[i].query == d->query || (d->query == QUERY_FIND && queries[i].query == QUERY_VIEW))
            write_parameter(w, hob_str(queries[i].name), "query", queries[i].help);
    for (size_t i = 0; i < HOB_COUNT(headers) && caller != CALLER_OPEN; i++)
        write_ref(w, "parameters", headers[i].name);
    hob_jw_array_end(w);
}

static void write_security(struct hob_jw *w, enum parse_caller caller)
{
    static const char *const texts[] = {
        [CALLER_ANY] = "[{\"applicationId\":[]},{\"applicationId\":[],\"restKey\":[],\"sessionToken\":[]},"
                       "{\"applicationId\":[],\"masterKey\":[]},{\"applicationId\":[],\"maintenanceKey\":[]},"
                       "{\"basic\":[]}]",
        [CALLER_MASTER] = "[{\"applicationId\":[],\"masterKey\":[]},{\"basic\":[]}]",
        [CALLER_OPEN] = "[]",
    };
    hob_jw_key(w, "security");
    hob_jw_raw(w, hob_str(texts[caller]));
}

static void write_responses(struct hob_jw *w, const struct parse_doc *d)
{
    char status[16];
    hob_jw_key(w, "responses");
    hob_jw_object(w);
    (void)snprintf(status, sizeof status, "%d", d->status);
    hob_jw_key(w, status);
    hob_jw_object(w);
    hob_jw_kcstr(w, "description", "done");
    write_content(w, d->answer);
    hob_jw_object_end(w);
    for (size_t i = 0; i < HOB_COUNT(failures); i++) {
        (void)snprintf(status, sizeof status, "%d", failures[i].status);
        hob_jw_key(w, status);
        write_ref(w, "responses", failures[i].name);
    }
    hob_jw_object_end(w);
}

static const char *method_name(const char *method)
{
    static const char *const names[][2] = {
        {"GET", "get"}, {"POST", "post"}, {"PUT", "put"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        if (strcmp(names[i][0], method) == 0)
            return names[i][1];
    return NULL; /* what the backend asks of itself */
}

static void write_operation(struct hob_jw *w, const struct parse_doc *d, enum parse_caller caller)
{
    hob_jw_key(w, method_name(d->method));
    hob_jw_object(w);
    hob_jw_kcstr(w, "operationId", d->operation);
    hob_jw_kcstr(w, "summary", d->summary);
    hob_jw_key(w, "tags");
    hob_jw_array(w);
    hob_jw_cstr(w, d->tag);
    hob_jw_array_end(w);
    write_parameters(w, d, caller);
    if (d->request) {
        hob_jw_key(w, "requestBody");
        hob_jw_object(w);
        write_content(w, d->request);
        hob_jw_object_end(w);
    }
    write_security(w, caller);
    write_responses(w, d);
    hob_jw_object_end(w);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

/* "/classes/:class" as OpenAPI has it: "/classes/{class}". */
static void write_path_key(struct hob_jw *w, const char *pattern)
{
    char path[160];
    size_t n = 0;
    bool is_open = false;
    for (const char *at = pattern; *at && n < sizeof path - 3; at++) {
        if (is_open && *at == '/') {
            path[n++] = '}';
            is_open = false;
        }
        is_open |= *at == ':';
        path[n++] = *at == ':' ? '{' : *at;
    }
    if (is_open)
        path[n++] = '}';
    path[n] = '\0';
    hob_jw_key(w, path);
}

static void write_route(struct hob_jw *w, const struct backend_route_view *r)
{
    const struct parse_doc *known = parse_doc_find(r->method, r->pattern);
    struct parse_doc bare = {r->method,  r->pattern, "other",  r->pattern, r->pattern,
                             QUERY_NONE, NULL,       "object", 200};
    write_operation(w, known ? known : &bare, r->needs_master ? CALLER_MASTER : CALLER_ANY);
}

static bool is_first_of_path(size_t i, const char *pattern)
{
    struct backend_route_view r;
    for (size_t j = 0; j < i && backend_route_at(j, &r); j++)
        if (method_name(r.method) && strcmp(r.pattern, pattern) == 0)
            return false;
    return true;
}

static void write_backend_paths(struct hob_jw *w)
{
    struct backend_route_view r, other;
    for (size_t i = 0; backend_route_at(i, &r); i++) {
        if (!method_name(r.method) || !is_first_of_path(i, r.pattern))
            continue;
        write_path_key(w, r.pattern);
        hob_jw_object(w);
        for (size_t j = i; backend_route_at(j, &other); j++)
            if (method_name(other.method) && strcmp(other.pattern, r.pattern) == 0)
                write_route(w, &other);
        hob_jw_object_end(w);
    }
}

/* Rows of one path stand together in that table. */
static void write_face_paths(struct hob_jw *w)
{
    const struct parse_face_doc *d = parse_face_docs;
    while (d->doc.method) {
        const char *pattern = d->doc.pattern;
        write_path_key(w, pattern);
        hob_jw_object(w);
        for (; d->doc.method && strcmp(d->doc.pattern, pattern) == 0; d++)
            write_operation(w, &d->doc, d->caller);
        hob_jw_object_end(w);
    }
}

/* --- components --------------------------------------------------------------------------------------------------- */

static void write_failures(struct hob_jw *w)
{
    hob_jw_key(w, "responses");
    hob_jw_object(w);
    for (size_t i = 0; i < HOB_COUNT(failures); i++) {
        hob_jw_key(w, failures[i].name);
        hob_jw_object(w);
        hob_jw_kcstr(w, "description", failures[i].help);
        write_content(w, "Error");
        hob_jw_object_end(w);
    }
    hob_jw_object_end(w);
}

static void write_headers(struct hob_jw *w)
{
    hob_jw_key(w, "parameters");
    hob_jw_object(w);
    for (size_t i = 0; i < HOB_COUNT(headers); i++) {
        hob_jw_key(w, headers[i].name);
        write_parameter(w, hob_str(headers[i].header), "header", headers[i].help);
    }
    hob_jw_object_end(w);
}

static void write_codes(struct hob_jw *w)
{
    hob_jw_key(w, "x-parse-codes");
    hob_jw_array(w);
    for (const struct parse_code_row *c = parse_code_rows; c->name; c++) {
        hob_jw_object(w);
        hob_jw_kint(w, "code", c->code);
        hob_jw_kcstr(w, "name", c->name);
        hob_jw_kint(w, "status", c->status);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

static void write_components(struct hob_jw *w)
{
    hob_jw_key(w, "components");
    hob_jw_object(w);
    hob_jw_key(w, "securitySchemes");
    hob_jw_raw(w, hob_str(security_schemes));
    write_headers(w);
    write_failures(w);
    hob_jw_key(w, "schemas");
    hob_jw_object(w);
    for (size_t i = 0; i < parse_shapes_count(); i++) {
        hob_jw_key(w, parse_shapes_at(i)->name);
        schema_write(w, parse_shapes_at(i));
    }
    hob_jw_object_end(w);
    write_codes(w);
    hob_jw_object_end(w);
}

enum hob_code parse_openapi_write(struct hob_buf *out)
{
    struct hob_jw jw, *w = &jw;
    hob_jw_init(w, out);
    hob_jw_object(w);
    hob_jw_kcstr(w, "openapi", "3.1.0");
    hob_jw_key(w, "info");
    hob_jw_object(w);
    hob_jw_kcstr(w, "title", "The backend of an app: the Parse protocol");
    hob_jw_kcstr(w, "version", HOB_VERSION);
    hob_jw_object_end(w);
    hob_jw_key(w, "servers");
    hob_jw_raw(w, HOB_STR("[{\"url\":\"" PARSE_MOUNT "\"}]"));
    hob_jw_key(w, "paths");
    hob_jw_object(w);
    write_face_paths(w);
    write_backend_paths(w);
    hob_jw_object_end(w);
    write_components(w);
    hob_jw_object_end(w);
    return hob_jw_end(w, NULL);
}
