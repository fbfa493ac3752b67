/* The OpenAPI document of the Parse face and the router say the same. */
#include "check.h"

#include <string.h>

#include "api/parse/openapi_priv.h"
#include "api/parse/parse.h"
#include "base/json.h"
#include "base/mem.h"
#include "bindings/backend.h"

static bool is_http(const char *method)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
    for (size_t i = 0; i < HOB_COUNT(methods); i++)
        if (strcmp(methods[i], method) == 0)
            return true;
    return false;
}

static void every_route_has_a_row(void **state)
{
    struct backend_route_view r;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; backend_route_at(i, &r); i++) {
        if (!is_http(r.method))
            continue;
        n++;
        if (!parse_doc_find(r.method, r.pattern))
            fail_msg("no row for %s %s in api/parse/openapi_rows.c", r.method, r.pattern);
    }
    assert_true(n > 80);
}

static bool is_routed(const struct parse_doc *d)
{
    struct backend_route_view r;
    for (size_t i = 0; backend_route_at(i, &r); i++)
        if (strcmp(r.method, d->method) == 0 && strcmp(r.pattern, d->pattern) == 0)
            return true;
    return false;
}

static void every_row_has_a_route(void **state)
{
    (void)state;
    for (const struct parse_doc *d = parse_docs; d->method; d++)
        if (!is_routed(d))
            fail_msg("%s %s has a row and no route", d->method, d->pattern);
}

static void every_reference_and_name_is_good(void **state)
{
    struct hob_err err;
    struct hob_buf out hob_auto_buf;
    const char *path, *method;
    json_t *item, *op;
    (void)state;
    hob_buf_init(&out, 512 * 1024);
    assert_int_equal(parse_openapi_write(&out), HOB_OK);
    json_t *doc hob_auto_json = hob_json_parse(hob_buf_str(&out), "the document", &err);
    assert_non_null(doc);
    json_t *components = json_object_get(doc, "components"), *names hob_auto_json = json_object();
    json_object_foreach(json_object_get(doc, "paths"), path, item) json_object_foreach(item, method, op)
    {
        const char *id = json_string_value(json_object_get(op, "operationId"));
        if (json_object_get(names, id))
            fail_msg("two operations are called %s", id);
        (void)json_object_set_new(names, id, json_true());
    }
    hob_auto_free char *text = json_dumps(doc, JSON_COMPACT);
    for (const char *at = text; (at = strstr(at, "#/components/")) != NULL;) {
        at += strlen("#/components/");
        hob_auto_free char *kind = hob_strndup(at, strcspn(at, "/\""));
        at += strlen(kind) + 1;
        hob_auto_free char *name = hob_strndup(at, strcspn(at, "\""));
        if (!json_object_get(json_object_get(components, kind), name))
            fail_msg("no %s %s", kind, name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_has_a_row),
        cmocka_unit_test(every_row_has_a_route),
        cmocka_unit_test(every_reference_and_name_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
