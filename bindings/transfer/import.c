#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bindings/auth/user_index.h"
#include "bindings/schema/schema_priv.h"
#include "bindings/transfer/transfer_priv.h"
#include "store/kv.h"

enum { DOC_BYTES_MAX = 16 << 20, ARENA_BYTES_MAX = 1 << 20 };

struct import {
    struct data_tx *tx;
    const struct transfer_lines *lines;
    struct transfer_counts counts;
    json_t *settings; /* of the first line */
};

static const char *text_of(const json_t *j, const char *member)
{
    const char *text = json_string_value(json_object_get(j, member));
    return text ? text : "";
}

/* The class, made when it is not there. */
static enum hob_code need_class(struct import *im, const char *name, struct hob_err *err)
{
    if (data_class_find(im->tx, name))
        return HOB_OK;
    if (system_class_find(name))
        return object_class_need(im->tx, name, err);
    if (!class_name_is_valid(hob_str(name)))
        return parse_fail(err, PARSE_INVALID_CLASS_NAME, "'%.64s' is no class name", name);
    return data_class_add(im->tx, name, err);
}

/* --- a class ----------------------------------------------------------------------------------------------------------- */

static enum hob_code import_field(struct import *im, const char *class_name, const char *name,
                                  const json_t *j, struct hob_err *err)
{
    struct data_field f = {.name = name, .is_required = json_is_true(json_object_get(j, "required"))};
    const json_t *fallback = json_object_get(j, "defaultValue");
    hob_auto_free char *text = fallback ? json_dumps(fallback, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    f.target = json_string_value(json_object_get(j, "targetClass"));
    f.default_json = text;
    f.type = type_find(text_of(j, "type"));
    if (f.type == DATA_TYPES_)
        return hob_fail(err, HOB_E_INVALID, "field '%.64s': there is no type '%.32s'", name,
                        text_of(j, "type"));
    return data_field_add(im->tx, class_name, &f, err);
}

static bool has_index(const struct data_class *c, const char *name)
{
    for (size_t i = 0; c && i < c->indexes_n; i++)
        if (strcmp(c->indexes[i].name, name) == 0)
            return true;
    return false;
}

static enum hob_code import_class(struct import *im, const json_t *line, struct hob_err *err)
{
    const char *class_name = text_of(line, "class"), *name;
    json_t *value;
    if (need_class(im, class_name, err) != HOB_OK)
        return err->code;
    json_object_foreach(json_object_get(line, "fields"), name, value)
    {
        if (import_field(im, class_name, name, value, err) != HOB_OK)
            return err->code;
    }
    json_object_foreach(json_object_get(line, "indexes"), name, value)
    {
        hob_auto_free char *keys = json_dumps(value, JSON_COMPACT);
        struct data_index index = {name, keys};
        if (!has_index(data_class_find(im->tx, class_name), name) &&
            data_index_add(im->tx, class_name, &index, false, err) != HOB_OK)
            return err->code;
    }
    im->counts.classes++;
    value = json_object_get(line, "permissions");
    return value ? data_class_permit(im->tx, class_name, value, err) : HOB_OK;
}

/* --- an object ---------------------------------------------------------------------------------------------------------- */

static bool is_head(const char *name)
{
    static const char *const heads[] = {"objectId", "createdAt", "updatedAt", "ACL", "className", "__type"};
    for (size_t i = 0; i < HOB_COUNT(heads); i++)
        if (strcmp(name, heads[i]) == 0)
            return true;
    return false;
}

/* Declares the field by its value when the class does not have it; a value of another type is refused there. */
static enum hob_code need_field(struct import *im, const char *class_name, const char *name,
                                const json_t *value, struct value_type *ret_type, struct hob_err *err)
{
    if (!field_name_is_valid(hob_str(name)))
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "'%.64s' is no field name", name);
    if (value_type_of(value, ret_type, err) != HOB_OK || !ret_type->is_some)
        return err->code;
    struct data_field f = {.name = name, .type = ret_type->type, .target = ret_type->target};
    const struct data_field *had = data_field_find(data_class_find(im->tx, class_name), name);
    if (had && had->type == f.type)
        return HOB_OK;
    return data_field_add(im->tx, class_name, &f, err);
}

static enum hob_code write_doc(struct import *im, const char *class_name, const json_t *object,
                               struct hob_jw *w, struct hob_err *err)
{
    const char *name;
    json_t *value;
    hob_jw_object(w);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        struct value_type type = {.is_some = false};
        if (is_head(name) || json_is_null(value))
            continue;
        if (need_field(im, class_name, name, value, &type, err) != HOB_OK)
            return err->code;
        if (!type.is_some || type.type == DATA_RELATION)
            continue;
        hob_jw_key(w, name);
        if (value_write(value, w, err) != HOB_OK)
            return err->code;
    }
    hob_jw_object_end(w);
    return hob_jw_end(w, err);
}

static enum hob_code claim(struct import *im, const json_t *object, const json_t *hidden, struct hob_str id,
                           struct hob_err *err)
{
    const char *name = text_of(object, "username"), *email = text_of(object, "email"), *provider;
    json_t *auth;
    if (*name && user_index_claim(im->tx, USER_BY_NAME, hob_str(name), id, err) != HOB_OK)
        return err->code;
    if (*email && user_index_claim(im->tx, USER_BY_EMAIL, hob_str(email), id, err) != HOB_OK)
        return err->code;
    json_object_foreach(json_object_get(hidden, "authData"), provider, auth)
    {
        const char *who = text_of(auth, "id");
        hob_auto_free char *key = user_identity_key(provider, hob_str(who));
        if (*who && user_index_claim(im->tx, USER_BY_IDENTITY, hob_str(key), id, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code had_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    (void)ctx, (void)row, (void)err;
    return HOB_OK;
}

static enum hob_code put_row(struct import *im, const char *class_name, const struct data_row *row,
                             struct hob_err *err)
{
    struct data_access everybody = {.subjects = NULL};
    bool is_there = false;
    if (data_get(im->tx, class_name, row->id, &everybody, had_row, NULL, &is_there, err) != HOB_OK)
        return err->code;
    im->counts.objects++;
    return is_there ? data_replace(im->tx, class_name, row, err) : data_insert(im->tx, class_name, row, err);
}

static enum hob_code fill_row(const json_t *object, struct hob_arena *arena, struct data_row *row,
                              struct hob_err *err)
{
    const json_t *acl = json_object_get(object, "ACL");
    row->id = hob_str(text_of(object, "objectId"));
    if (!row->id.n || row->id.n > 128)
        return parse_fail(err, PARSE_MISSING_OBJECT_ID, "the object has no objectId of 1 to 128 characters");
    if (!object_date_read(json_object_get(object, "createdAt"), &row->created_ms) ||
        !object_date_read(json_object_get(object, "updatedAt"), &row->updated_ms))
        return parse_fail(err, PARSE_INCORRECT_TYPE,
                          "object '%.64s' has no createdAt and updatedAt as ISO 8601 dates", row->id.at);
    return acl ? acl_split(arena, acl, &row->readers, &row->writers, err) : HOB_OK;
}

static enum hob_code import_row(struct import *im, const json_t *line, struct hob_arena *arena,
                                struct hob_err *err)
{
    const char *class_name = text_of(line, "class");
    const json_t *object = json_object_get(line, "object"), *hidden = json_object_get(line, "hidden");
    hob_auto_buf struct hob_buf doc;
    struct hob_jw w;
    struct data_row row = {.created_ms = 0};
    hob_auto_free char *hidden_text = hidden ? json_dumps(hidden, JSON_COMPACT) : NULL;
    hob_buf_init(&doc, DOC_BYTES_MAX);
    hob_jw_init(&w, &doc);
    if (need_class(im, class_name, err) != HOB_OK || fill_row(object, arena, &row, err) != HOB_OK ||
        write_doc(im, class_name, object, &w, err) != HOB_OK)
        return err->code;
    row.doc = hob_buf_str(&doc);
    if (hidden_text)
        row.hidden = hob_str(hidden_text);
    if (strcmp(class_name, "_User") == 0 && claim(im, object, hidden, row.id, err) != HOB_OK)
        return err->code;
    return put_row(im, class_name, &row, err);
}

static enum hob_code import_object(struct import *im, const json_t *line, struct hob_err *err)
{
    struct hob_arena arena;
    hob_arena_init(&arena, ARENA_BYTES_MAX);
    enum hob_code rc = import_row(im, line, &arena, err);
    hob_arena_done(&arena);
    return rc;
}

/* --- the others --------------------------------------------------------------------------------------------------------- */

static enum hob_code import_relation(struct import *im, const json_t *line, struct hob_err *err)
{
    const char *class_name = text_of(line, "class"), *field = text_of(line, "relation"),
               *owner = text_of(line, "owner");
    const json_t *related = json_object_get(line, "related");
    if (need_class(im, class_name, err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < json_array_size(related); i++) {
        const char *id = json_string_value(json_array_get(related, i));
        if (!id || !*owner || !field_name_is_valid(hob_str(field)))
            return hob_fail(err, HOB_E_INVALID, "a relation needs a field, an owner and a list of ids");
        if (data_join_add(im->tx, class_name, field, hob_str(owner), hob_str(id), err) != HOB_OK)
            return err->code;
        im->counts.related++;
    }
    return HOB_OK;
}

static enum hob_code import_param(struct import *im, const json_t *line, struct hob_err *err)
{
    hob_auto_free char *value = json_dumps(json_object_get(line, "value"), JSON_COMPACT | JSON_ENCODE_ANY);
    struct kv_row row = {.key = hob_str(text_of(line, "config")), .value = hob_str(value ? value : "null")};
    row.meta = json_is_true(json_object_get(line, "masterKeyOnly")) ? HOB_STR("true") : HOB_STR("false");
    return kv_put(im->tx, "config", &row, err);
}

static enum hob_code import_line(struct import *im, const json_t *line, struct hob_err *err)
{
    const json_t *version = json_object_get(line, "hob_export");
    if (version && json_number_value(version) > 1)
        return hob_fail(err, HOB_E_UNSUPPORTED, "the export was written by a newer Hob");
    if (version) {
        json_decref(im->settings);
        im->settings = json_incref(json_object_get(line, "settings"));
        return HOB_OK;
    }
    if (json_object_get(line, "object"))
        return import_object(im, line, err);
    if (json_object_get(line, "relation"))
        return import_relation(im, line, err);
    if (json_object_get(line, "config"))
        return import_param(im, line, err);
    if (json_object_get(line, "class"))
        return import_class(im, line, err);
    bool is_fact = false;
    enum hob_code rc = fact_import(im->tx, im->lines, line, &im->counts, &is_fact, err);
    if (rc != HOB_OK || is_fact)
        return rc;
    return hob_fail(err, HOB_E_INVALID, "the line is none of an export: it has neither class nor config");
}

enum hob_code transfer_import(struct data_tx *tx, const struct transfer_lines *lines,
                              struct transfer_counts *ret_counts, json_t **ret_settings, struct hob_err *err)
{
    struct import im = {.tx = tx, .lines = lines};
    struct hob_str rest = lines->text;
    enum transfer_part part;
    while (rest.at && rest.n) {
        struct hob_str one = hob_str_trim(hob_str_cut(rest, '\n', &rest));
        im.counts.lines++;
        if (!one.n || piece_is(one, &part))
            continue;
        hob_auto_json json_t *line = hob_json_parse(one, "the line", err);
        if (!line || import_line(&im, line, err) != HOB_OK) {
            json_decref(im.settings);
            return hob_err_wrap(err, "line %llu", (unsigned long long)im.counts.lines);
        }
    }
    if (im.settings) {
        json_decref(*ret_settings);
        *ret_settings = im.settings;
    }
    im.counts.pieces = ret_counts->pieces; /* told by who took them */
    *ret_counts = im.counts;
    return HOB_OK;
}
