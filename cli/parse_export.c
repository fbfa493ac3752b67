#include "cli/parse_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

struct parse_export {
    const json_t *schema;
};

struct parse_export *parse_export_new(const json_t *schema)
{
    struct parse_export *p = hob_new(struct parse_export);
    p->schema = schema;
    return p;
}

void parse_export_free(struct parse_export *p)
{
    free(p);
}

static const char *text_of(const json_t *j, const char *member)
{
    const char *text = json_string_value(json_object_get(j, member));
    return text ? text : "";
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool parse_export_wants(const char *collection)
{
    static const char *const left_out[] = {"_Session",     "_Hooks",       "_PushStatus",    "_JobStatus",
                                           "_JobSchedule", "_Idempotency", "_GraphQLConfig", "_Audience"};
    for (size_t i = 0; i < HOB_COUNT(left_out); i++)
        if (strcmp(collection, left_out[i]) == 0)
            return false;
    return true;
}

/* "number", "geopoint", "file", "*Team", "relation<Team>"; "" when the schema does not say. */
static const char *schema_type(const struct parse_export *p, const char *class_name, const char *field)
{
    for (size_t i = 0; i < json_array_size(p->schema); i++) {
        const json_t *one = json_array_get(p->schema, i);
        if (strcmp(text_of(one, "_id"), class_name) == 0)
            return text_of(one, field);
    }
    return "";
}

/* --- values ------------------------------------------------------------------------------------------------------------ */

/* Extended JSON of a date: {"$date": "ISO" | milliseconds | {"$numberLong": "milliseconds"}}. */
static bool date_text(const json_t *value, char out[25])
{
    const json_t *date = json_object_get(value, "$date"), *inner = json_object_get(date, "$numberLong");
    const char *text = json_string_value(inner ? inner : date);
    if (text && !inner && strlen(text) >= 20) { /* "2020-01-01T00:00:00Z", with or without milliseconds */
        bool has_millis = strlen(text) >= 24 && text[19] == '.';
        (void)snprintf(out, 25, "%.19s.%.3sZ", text, has_millis ? text + 20 : "000");
        return true;
    }
    if (!json_is_number(date) && !text)
        return false;
    hob_utc_format(text ? (int64_t)strtoll(text, NULL, 10) : (int64_t)json_number_value(date), out);
    return true;
}

static json_t *number_of(const json_t *value)
{
    static const char *const kinds[] = {"$numberLong", "$numberInt", "$numberDouble", "$numberDecimal"};
    for (size_t i = 0; i < HOB_COUNT(kinds); i++) {
        const char *text = json_string_value(json_object_get(value, kinds[i]));
        if (text)
            return json_real(strtod(text, NULL));
    }
    return NULL;
}

static json_t *bytes_of(const json_t *value)
{
    const json_t *binary = json_object_get(value, "$binary");
    const char *text = json_is_object(binary) ? text_of(binary, "base64") : json_string_value(binary);
    return text ? json_pack("{s:s,s:s}", "__type", "Bytes", "base64", text) : NULL;
}

static json_t *convert(const json_t *value);

static json_t *convert_object(const json_t *value)
{
    char iso[25];
    const char *name;
    json_t *member, *made;
    if (json_object_get(value, "$date"))
        return date_text(value, iso) ? json_pack("{s:s,s:s}", "__type", "Date", "iso", iso) : json_null();
    if ((made = number_of(value)) || (made = bytes_of(value)))
        return made;
    made = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, name, member)(void)
        json_object_set_new(made, name, convert(member));
    return made;
}

static json_t *convert(const json_t *value)
{
    if (json_is_object(value))
        return convert_object(value);
    if (!json_is_array(value))
        return json_incref((json_t *)(uintptr_t)value);
    json_t *made = json_array();
    for (size_t i = 0; i < json_array_size(value); i++)
        (void)json_array_append_new(made, convert(json_array_get(value, i)));
    return made;
}

/* Places are stored as [longitude, latitude]. */
static json_t *geo_point(const json_t *value)
{
    if (json_array_size(value) != 2)
        return NULL;
    return json_pack("{s:s,s:f,s:f}", "__type", "GeoPoint", "latitude",
                     json_number_value(json_array_get(value, 1)), "longitude",
                     json_number_value(json_array_get(value, 0)));
}

static json_t *polygon(const json_t *value)
{
    const json_t *ring = json_array_get(json_object_get(value, "coordinates"), 0);
    json_t *points = json_array();
    for (size_t i = 0; i < json_array_size(ring); i++) {
        const json_t *at = json_array_get(ring, i);
        (void)json_array_append_new(points, json_pack("[f,f]", json_number_value(json_array_get(at, 1)),
                                                      json_number_value(json_array_get(at, 0))));
    }
    return json_pack("{s:s,s:o}", "__type", "Polygon", "coordinates", points);
}

/* "Team$abc" as a pointer. */
static json_t *pointer(const json_t *value)
{
    const char *text = json_string_value(value), *cut = text ? strchr(text, '$') : NULL;
    if (!cut)
        return NULL;
    return json_pack("{s:s,s:s%,s:s}", "__type", "Pointer", "className", text, (size_t)(cut - text),
                     "objectId", cut + 1);
}

static json_t *typed(const char *type, const json_t *value)
{
    json_t *made = NULL;
    if (strcmp(type, "geopoint") == 0)
        made = geo_point(value);
    else if (strcmp(type, "polygon") == 0)
        made = polygon(value);
    else if (strcmp(type, "file") == 0 && json_is_string(value))
        made = json_pack("{s:s,s:s}", "__type", "File", "name", json_string_value(value));
    else if (strcmp(type, "bytes") == 0 && json_is_string(value))
        made = json_pack("{s:s,s:s}", "__type", "Bytes", "base64", json_string_value(value));
    return made ? made : convert(value);
}

/* --- one document ---------------------------------------------------------------------------------------------------- */

static void grant(json_t *acl, const json_t *subjects, const char *what)
{
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        const char *subject = json_string_value(json_array_get(subjects, i));
        if (!subject)
            continue;
        if (!json_object_get(acl, subject))
            (void)json_object_set_new(acl, subject, json_object());
        (void)json_object_set_new(json_object_get(acl, subject), what, json_true());
    }
}

struct target { /* of one document */
    const struct parse_export *p;
    const char *class_name;
    json_t *object, *hidden;
};

/* Members whose name begins with '_'. */
static void take_internal(struct target *t, const char *name, const json_t *value)
{
    char iso[25];
    if (strcmp(name, "_id") == 0)
        (void)json_object_set(t->object, "objectId", (json_t *)(uintptr_t)value);
    else if ((strcmp(name, "_created_at") == 0 || strcmp(name, "_updated_at") == 0) && date_text(value, iso))
        (void)json_object_set_new(t->object, name[1] == 'c' ? "createdAt" : "updatedAt", json_string(iso));
    else if (starts(name, "_p_") && json_is_string(value))
        (void)json_object_set_new(t->object, name + 3, pointer(value));
    else if (strcmp(name, "_hashed_password") == 0)
        (void)json_object_set(t->hidden, "password", (json_t *)(uintptr_t)value);
    else if (starts(name, "_auth_data_") && json_is_object(value)) {
        if (!json_object_get(t->hidden, "authData"))
            (void)json_object_set_new(t->hidden, "authData", json_object());
        (void)json_object_set_new(json_object_get(t->hidden, "authData"), name + strlen("_auth_data_"),
                                  convert(value));
    }
}

static void take_member(struct target *t, const char *name, const json_t *value)
{
    if (strcmp(name, "bcryptPassword") == 0) {
        (void)json_object_set(t->hidden, "password", (json_t *)(uintptr_t)value);
    } else if (strcmp(name, "authData") == 0 && strcmp(t->class_name, "_User") == 0) {
        (void)json_object_set(t->hidden, "authData", (json_t *)(uintptr_t)value);
    } else if (strcmp(name, "sessionToken") != 0 && strcmp(name, "password") != 0 && !json_is_null(value)) {
        (void)json_object_set_new(t->object, name, typed(schema_type(t->p, t->class_name, name), value));
    }
}

static void take_document(struct target *t, const json_t *doc)
{
    const json_t *readers = json_object_get(doc, "_rperm"), *writers = json_object_get(doc, "_wperm");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)doc, name, value)
    {
        if (name[0] == '_')
            take_internal(t, name, value);
        else
            take_member(t, name, value);
    }
    if (readers || writers) {
        json_t *acl = json_object();
        grant(acl, readers, "read");
        grant(acl, writers, "write");
        (void)json_object_set_new(t->object, "ACL", acl);
    }
}

/* --- lines ----------------------------------------------------------------------------------------------------------- */

static enum hob_code put_line(struct hob_buf *out, const json_t *line, struct hob_err *err)
{
    struct hob_jw w;
    hob_jw_init(&w, out);
    hob_jw_json(&w, line);
    if (hob_jw_end(&w, err) != HOB_OK || hob_buf_add(out, "\n", 1) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "one document does not fit in memory");
    return HOB_OK;
}

static enum hob_code object_line(const struct parse_export *p, const char *class_name, const json_t *doc,
                                 struct hob_buf *out, struct hob_err *err)
{
    struct target t = {.p = p, .class_name = class_name, .object = json_object(), .hidden = json_object()};
    take_document(&t, doc);
    hob_auto_json json_t *line = json_pack("{s:s,s:o}", "class", class_name, "object", t.object);
    if (json_object_size(t.hidden))
        (void)json_object_set(line, "hidden", t.hidden);
    json_decref(t.hidden);
    return put_line(out, line, err);
}

/* "_Join:users:_Role" */
static enum hob_code relation_line(const char *collection, const json_t *doc, struct hob_buf *out,
                                   struct hob_err *err)
{
    const char *field = collection + strlen("_Join:"), *colon = strchr(field, ':');
    if (!colon)
        return hob_fail(err, HOB_E_INVALID, "'%.80s' is no collection of a relation: _Join:FIELD:CLASS",
                        collection);
    hob_auto_json json_t *line =
        json_pack("{s:s,s:s%,s:s,s:[s]}", "class", colon + 1, "relation", field, (size_t)(colon - field),
                  "owner", text_of(doc, "owningId"), "related", text_of(doc, "relatedId"));
    return put_line(out, line, err);
}

static json_t *field_of(const char *type)
{
    static const char *const plain[][2] = {
        {"string", "String"},   {"number", "Number"}, {"boolean", "Boolean"}, {"date", "Date"},
        {"object", "Object"},   {"array", "Array"},   {"file", "File"},       {"geopoint", "GeoPoint"},
        {"polygon", "Polygon"}, {"bytes", "Bytes"}};
    for (size_t i = 0; i < HOB_COUNT(plain); i++)
        if (strcmp(type, plain[i][0]) == 0)
            return json_pack("{s:s}", "type", plain[i][1]);
    if (type[0] == '*')
        return json_pack("{s:s,s:s}", "type", "Pointer", "targetClass", type + 1);
    if (starts(type, "relation<") && strlen(type) > strlen("relation<>"))
        return json_pack("{s:s,s:s%}", "type", "Relation", "targetClass", type + 9, strlen(type) - 10);
    return NULL;
}

static enum hob_code class_line(const json_t *doc, struct hob_buf *out, struct hob_err *err)
{
    static const char *const own[] = {"_id", "_metadata", "objectId", "createdAt", "updatedAt", "ACL"};
    const json_t *permissions = json_object_get(json_object_get(doc, "_metadata"), "class_permissions");
    hob_auto_json json_t *line = json_pack("{s:s,s:{}}", "class", text_of(doc, "_id"), "fields");
    const char *name;
    json_t *type;
    json_object_foreach((json_t *)(uintptr_t)doc, name, type)
    {
        bool is_own = !json_is_string(type);
        for (size_t i = 0; i < HOB_COUNT(own); i++)
            is_own = is_own || strcmp(name, own[i]) == 0;
        json_t *field = is_own ? NULL : field_of(json_string_value(type));
        if (field)
            (void)json_object_set_new(json_object_get(line, "fields"), name, field);
    }
    if (permissions)
        (void)json_object_set(line, "permissions", (json_t *)(uintptr_t)permissions);
    return put_line(out, line, err);
}

static enum hob_code config_lines(const json_t *doc, struct hob_buf *out, struct hob_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(doc, "params"), name, value)
    {
        const json_t *restricted = json_object_get(json_object_get(doc, "masterKeyOnly"), name);
        hob_auto_json json_t *line = json_pack("{s:s,s:o,s:b}", "config", name, "value", convert(value),
                                               "masterKeyOnly", json_is_true(restricted));
        if (put_line(out, line, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

enum hob_code parse_export_lines(struct parse_export *p, const char *collection, const json_t *doc,
                                 struct hob_buf *out, struct hob_err *err)
{
    if (!json_is_object(doc))
        return hob_fail(err, HOB_E_INVALID, "a document is no object");
    if (starts(collection, "_Join:"))
        return relation_line(collection, doc, out, err);
    if (strcmp(collection, "_SCHEMA") == 0)
        return parse_export_wants(text_of(doc, "_id")) ? class_line(doc, out, err) : HOB_OK;
    if (strcmp(collection, "_GlobalConfig") == 0)
        return config_lines(doc, out, err);
    return object_line(p, collection, doc, out, err);
}
