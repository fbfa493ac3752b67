/* The write of one object inside its job:
 *
 *   class -> permission -> [row as it was] -> operations -> defaults -> judge -> fields of the catalogue -> document ->
 *   access list -> store -> row -> relations -> answer
 *
 * write_look stops before the catalogue is touched and only shows what would be: for triggers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bindings/auth/session.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { DOC_BYTES_MAX = 16 * 1024 * 1024, HIDDEN_BYTES_MAX = 4 * 1024 * 1024 };

struct writing {
    struct backend_call *c;
    struct data_tx *tx;
    struct object_save *s;
    const char *name;
    const struct data_class *class;
    struct changes changes;
    struct data_row was, row;
    struct hob_buf doc, hidden;
    json_t *default_acl;
    bool is_acl_told;
};

void object_id_make(char out[OBJECT_ID_CHARS + 1])
{
    data_id_make(out);
}

static void writing_done(struct writing *w)
{
    changes_done(&w->changes);
    hob_buf_done(&w->doc);
    hob_buf_done(&w->hidden);
    json_decref(w->default_acl);
}

static const char *doing(const struct object_save *s)
{
    return s->is_create ? "create" : "update";
}

/* --- class, permission, the row as it was ------------------------------------------------------------------------- */

static enum hob_code find_class(struct writing *w, struct hob_err *err)
{
    const struct object_save *s = w->s;
    enum hob_code rc = class_judge(w->c, w->name, doing(s), s->flags, err);
    if (rc != HOB_OK)
        return rc;
    w->class = data_class_find(w->tx, w->name);
    if (!w->class && !system_class_find(w->name) && !permit_is_master(w->c, s->flags) &&
        !ask_bool(w->c, SETTING_ALLOW_CLIENT_CLASS_CREATION))
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "This user is not allowed to access non-existent class: %.80s", w->name);
    return HOB_OK;
}

static enum hob_code take_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct writing *w = ctx;
    if (!row_copy(&w->c->arena, row, &w->was))
        return hob_fail(err, HOB_E_TOO_LARGE, "the object is too large to be changed");
    return HOB_OK;
}

static enum hob_code read_row(struct writing *w, struct hob_err *err)
{
    struct permit permit;
    bool is_found = false;
    struct object_save *s = w->s;
    enum hob_code rc =
        permit_class(w->c, w->class, w->name, s->is_create ? OP_CREATE : OP_UPDATE, s->flags, &permit, err);
    if (rc != HOB_OK || s->is_create)
        return rc;
    if (w->class && !permit.is_nothing)
        rc = data_get(w->tx, w->name, s->id, &permit.access, take_row, w, &is_found, err);
    if (rc == HOB_OK && !is_found)
        rc = parse_fail(err, PARSE_OBJECT_NOT_FOUND, "Object not found.");
    return rc;
}

/* --- defaults and what is required -------------------------------------------------------------------------------- */

static bool is_empty(const struct change *ch)
{
    return !ch || !ch->value || json_is_null(ch->value) ||
           (json_is_string(ch->value) && json_string_length(ch->value) == 0);
}

static enum hob_code fill_field(struct writing *w, const struct data_field *f, struct hob_err *err)
{
    const struct change *ch = changes_find(&w->changes, f->name);
    bool is_absent = !ch || (!ch->value && ch->type.type != DATA_RELATION);
    if (w->s->is_create && is_absent && f->default_json) {
        json_t *value = json_loads(f->default_json, JSON_DECODE_ANY, NULL);
        if (value && !json_is_null(value))
            return changes_set(&w->changes, f->name, value, true, err);
        json_decref(value);
    }
    if (f->is_required && is_empty(ch) && (w->s->is_create || ch))
        return parse_fail(err, PARSE_VALIDATION_ERROR, "%s is required", f->name);
    return HOB_OK;
}

static enum hob_code fill_fields(struct writing *w, struct hob_err *err)
{
    for (size_t i = 0; w->class && i < w->class->fields_n; i++) {
        const struct data_field *f = &w->class->fields[i];
        if (!f->is_required && !f->default_json)
            continue;
        enum hob_code rc = fill_field(w, f, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

/* The class's own access list for new objects: "currentUser" is who makes it. */
static void fill_acl(struct writing *w)
{
    const json_t *acl = w->class ? json_object_get(w->class->permissions, "ACL") : NULL;
    if (!w->s->is_create || (w->changes.has_acl && w->changes.acl && !json_is_null(w->changes.acl)) ||
        !json_is_object(acl))
        return;
    w->default_acl = json_copy((json_t *)(uintptr_t)acl);
    json_t *mine = json_object_get(w->default_acl, "currentUser");
    if (mine) {
        json_incref(mine);
        (void)json_object_del(w->default_acl, "currentUser");
        if (w->c->who.user_id.n)
            (void)json_object_setn_new(w->default_acl, w->c->who.user_id.at, w->c->who.user_id.n, mine);
        else
            json_decref(mine);
    }
    w->changes.has_acl = w->is_acl_told = true;
    w->changes.acl = w->default_acl;
}

/* --- fields of the catalogue -------------------------------------------------------------------------------------- */

static enum hob_code mismatch(const struct writing *w, const struct data_field *f, const struct value_type *t,
                              struct hob_err *err)
{
    char expected[96], got[96];
    return parse_fail(err, PARSE_INCORRECT_TYPE, "schema mismatch for %.60s.%.60s; expected %s but got %s",
                      w->name, f->name, value_type_text(f->type, f->target, expected),
                      value_type_text(t->type, t->target, got));
}

static bool fits(const struct data_field *f, const struct value_type *t)
{
    return f->type == t->type && (!f->target || !t->target || strcmp(f->target, t->target) == 0);
}

static enum hob_code may_add_field(struct writing *w, const struct change *ch, struct hob_err *err)
{
    struct permit permit;
    if (w->class->fields_n >= FIELDS_MAX)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "a class has at most %d fields", FIELDS_MAX);
    for (size_t i = 0; ch->type.type == DATA_GEO_POINT && i < w->class->fields_n; i++)
        if (w->class->fields[i].type == DATA_GEO_POINT)
            return parse_fail(err, PARSE_INCORRECT_TYPE, "there can only be one geopoint field in a class");
    if (permit_is_master(w->c, w->s->flags))
        return HOB_OK;
    enum hob_code rc = permit_class(w->c, w->class, w->name, OP_ADD_FIELD, w->s->flags, &permit, err);
    if (rc == HOB_OK && (permit.is_nothing || (w->s->is_create && permit.access.pointer_fields_n)))
        rc = parse_fail(err, PARSE_OPERATION_FORBIDDEN, "Permission denied for action addField on class %s.",
                        w->name);
    return rc;
}

static enum hob_code need_field(struct writing *w, const struct change *ch, struct hob_err *err)
{
    const struct data_field *f = data_field_find(w->class, ch->name);
    if (f)
        return fits(f, &ch->type) ? HOB_OK : mismatch(w, f, &ch->type, err);
    const struct data_field *own = system_field(w->name, ch->name);
    if (own && !fits(own, &ch->type))
        return mismatch(w, own, &ch->type, err);
    struct data_field new = {.name = ch->name, .type = ch->type.type, .target = ch->type.target};
    enum hob_code rc = own ? HOB_OK : may_add_field(w, ch, err);
    if (rc == HOB_OK)
        rc = data_field_add(w->tx, w->name, own ? own : &new, err);
    if (rc == HOB_OK)
        w->class = data_class_find(w->tx, w->name);
    return rc;
}

static enum hob_code need_fields(struct writing *w, struct hob_err *err)
{
    if (!w->class) {
        enum hob_code rc = object_class_need(w->tx, w->name, err);
        if (rc != HOB_OK)
            return rc;
        w->class = data_class_find(w->tx, w->name);
        HOB_ASSERT(w->class);
    }
    for (size_t i = 0; i < w->changes.n; i++) {
        const struct change *ch = &w->changes.list[i];
        enum hob_code rc = ch->type.is_some ? need_field(w, ch, err) : HOB_OK;
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

/* --- the row ------------------------------------------------------------------------------------------------------ */

static enum hob_code write_doc(struct writing *w, struct hob_err *err)
{
    struct hob_jw jw;
    struct doc_walk walk = doc_walk(w->was.doc);
    struct hob_str key, value;
    char name[160];
    hob_jw_init(&jw, &w->doc);
    hob_jw_object(&jw);
    while (w->was.doc.at && doc_next(&walk, &key, &value)) {
        if (key.n >= sizeof name)
            continue;
        memcpy(name, key.at, key.n);
        name[key.n] = '\0';
        if (changes_find(&w->changes, name))
            continue;
        hob_jw_key(&jw, name);
        hob_jw_raw(&jw, value);
    }
    for (size_t i = 0; i < w->changes.n; i++) {
        const struct change *ch = &w->changes.list[i];
        if (!ch->value || ch->type.type == DATA_RELATION)
            continue;
        hob_jw_key(&jw, ch->name);
        if (value_write(ch->value, &jw, err) != HOB_OK)
            return err->code;
    }
    hob_jw_object_end(&jw);
    if (hob_jw_end(&jw, NULL) != HOB_OK)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "an object is at most %d bytes", DOC_BYTES_MAX);
    w->row.doc = hob_buf_str(&w->doc);
    return HOB_OK;
}

static enum hob_code write_acl(struct writing *w, struct hob_err *err)
{
    w->row.readers = w->was.readers;
    w->row.writers = w->was.writers;
    if (!w->changes.has_acl)
        return HOB_OK;
    return acl_split(&w->c->arena, w->changes.acl, &w->row.readers, &w->row.writers, err);
}

static enum hob_code write_hidden(struct writing *w, struct hob_err *err)
{
    const char *key;
    json_t *value;
    w->row.hidden = w->was.hidden;
    if (!w->s->hidden)
        return HOB_OK;
    json_t *all hob_auto_json =
        w->was.hidden.n ? json_loadb(w->was.hidden.at, w->was.hidden.n, 0, NULL) : json_object();
    if (!all)
        return hob_fail(err, HOB_E_INTERNAL, "hidden members of %s cannot be read", w->name);
    json_object_foreach(w->s->hidden, key, value)
    {
        if (json_is_null(value))
            (void)json_object_del(all, key);
        else
            (void)json_object_set(all, key, value);
    }
    struct hob_jw jw;
    hob_jw_init(&jw, &w->hidden);
    hob_jw_json(&jw, all);
    if (hob_jw_end(&jw, NULL) != HOB_OK)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "hidden members are at most %d bytes",
                          HIDDEN_BYTES_MAX);
    w->row.hidden = hob_buf_str(&w->hidden);
    return HOB_OK;
}

static enum hob_code wished_id(struct writing *w, struct hob_str *ret_id, struct hob_err *err)
{
    const json_t *wished = json_object_get(w->s->data, "objectId");
    bool is_free = ask_bool(w->c, SETTING_ALLOW_CUSTOM_OBJECT_ID) || (w->s->flags & OBJECT_AS_SERVER) ||
                   w->c->who.role == BACKEND_MAINTENANCE;
    if (w->s->id.n) {
        *ret_id = w->s->id;
        return HOB_OK;
    }
    if (wished && !is_free)
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "objectId is an invalid field name.");
    if (!wished) {
        char *made = hob_arena_alloc(&w->c->arena, OBJECT_ID_CHARS + 1);
        if (!made)
            return hob_fail(err, HOB_E_TOO_LARGE, "the request is too large");
        object_id_make(made);
        *ret_id = hob_str_n(made, OBJECT_ID_CHARS);
        return HOB_OK;
    }
    const char *text = json_string_value(wished);
    if (!text || !*text)
        return parse_fail(err, PARSE_MISSING_OBJECT_ID, "objectId must not be empty, null or undefined");
    if (strlen(text) > 128 || strpbrk(text, "/\\\"?#% \t\r\n"))
        return parse_fail(err, PARSE_INVALID_KEY_NAME,
                          "objectId '%.40s' cannot be used: at most 128 characters, no "
                          "space, quote or / ? # %% \\",
                          text);
    *ret_id = hob_str(text);
    return HOB_OK;
}

/* The maintenance key, and the server itself, may say when an object was made: imports. */
static int64_t moment(const struct writing *w, const char *name, int64_t otherwise)
{
    int64_t ms;
    bool may = w->c->who.role == BACKEND_MAINTENANCE || (w->s->flags & OBJECT_AS_SERVER);
    return may && object_date_read(json_object_get(w->s->data, name), &ms) ? ms : otherwise;
}

static enum hob_code start_row(struct writing *w, struct hob_err *err)
{
    int64_t now = hob_utc_ms();
    const json_t *id = json_object_get(w->s->data, "objectId");
    if (w->s->is_create) {
        w->row.created_ms = moment(w, "createdAt", now);
        w->row.updated_ms = moment(w, "updatedAt", w->row.created_ms);
        if (json_object_get(w->s->data, "id") && !(w->s->flags & OBJECT_AS_SERVER))
            return parse_fail(err, PARSE_INVALID_KEY_NAME, "id is an invalid field name.");
        return wished_id(w, &w->row.id, err);
    }
    w->row.id = w->was.id;
    w->row.created_ms = w->was.created_ms;
    w->row.updated_ms = now;
    if (id && (!json_is_string(id) ||
               !hob_str_eq(w->row.id, hob_str_n(json_string_value(id), json_string_length(id)))))
        return parse_fail(err, PARSE_INVALID_KEY_NAME, "objectId is an invalid field name.");
    return HOB_OK;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell_value(struct writing *w, struct hob_jw *jw, const char *name)
{
    struct hob_str value = doc_find(w->row.doc, hob_str(name));
    hob_jw_key(jw, name);
    if (strcmp(name, "ACL") == 0 && acl_is_some(&w->row))
        acl_write(&w->row, jw);
    else if (value.at && memmem(value.at, value.n, "\"File\"", 6)) {
        json_t *file hob_auto_json = json_loadb(value.at, value.n, JSON_DECODE_ANY, NULL);
        json_t *holder hob_auto_json = json_pack("{s:O}", "f", file);
        files_expand(w->c, holder);
        hob_jw_json(jw, json_object_get(holder, "f"));
    } else if (value.at) {
        hob_jw_raw(jw, value);
    } else {
        hob_jw_null(jw);
    }
}

static void tell_changes(struct writing *w, struct hob_jw *jw)
{
    const char *name;
    json_t *value;
    bool is_acl_told = false;
    for (size_t i = 0; i < w->changes.n; i++)
        if (w->changes.list[i].is_told && !json_object_get(w->s->told, w->changes.list[i].name))
            tell_value(w, jw, w->changes.list[i].name);
    json_object_foreach(w->changes.told_paths, name, value)
    {
        if (json_object_get(w->s->told, name))
            continue;
        hob_jw_key(jw, name);
        hob_jw_json(jw, value);
    }
    json_object_foreach(w->s->told, name, value)
    {
        is_acl_told |= strcmp(name, "ACL") == 0;
        if (field_name_is_valid(hob_str(name)))
            tell_value(w, jw, name);
    }
    if (w->is_acl_told && !is_acl_told)
        tell_value(w, jw, "ACL");
}

static void tell_location(struct writing *w)
{
    static const char *const own[][2] = {
        {"_User", "users"}, {"_Role", "roles"}, {"_Session", "sessions"}, {"_Installation", "installations"}};
    struct hob_buf url hob_auto_buf;
    const char *kind = "classes/", *name = w->name;
    for (size_t i = 0; i < HOB_COUNT(own); i++)
        if (strcmp(own[i][0], name) == 0) {
            kind = "";
            name = own[i][1];
        }
    hob_buf_init(&url, 1024);
    if (hob_buf_addf(&url, "%.*s/%s%s/%.*s", HOB_STR_ARG(w->c->request.mount_url), kind, name,
                     HOB_STR_ARG(w->row.id)) == HOB_OK)
        ask_header(w->c, "Location", hob_buf_str(&url));
}

static enum hob_code answer(struct writing *w, struct hob_err *err)
{
    struct hob_jw jw;
    char iso[25];
    hob_jw_init(&jw, &w->c->out);
    hob_jw_object(&jw);
    if (w->s->is_create) {
        hob_jw_kstr(&jw, "objectId", w->row.id);
        hob_utc_format(w->row.created_ms, iso);
        hob_jw_kcstr(&jw, "createdAt", iso);
        w->c->status = 201;
        if (!w->c->batch) /* its parts have no headers */
            tell_location(w);
    } else {
        hob_utc_format(w->row.updated_ms, iso);
        hob_jw_kcstr(&jw, "updatedAt", iso);
    }
    tell_changes(w, &jw);
    hob_jw_object_end(&jw);
    return hob_jw_end(&jw, err);
}

static enum hob_code tell_object(struct writing *w, struct hob_err *err)
{
    struct object_save *s = w->s;
    json_decref(s->object);
    s->object = row_json(w->class, &w->row, err);
    s->created_ms = w->row.created_ms;
    s->updated_ms = w->row.updated_ms;
    return s->object ? HOB_OK : err->code;
}

static enum hob_code tell_original(struct writing *w, struct hob_err *err)
{
    struct object_save *s = w->s;
    if (s->is_create)
        return HOB_OK;
    json_decref(s->original);
    json_decref(s->original_hidden);
    s->original_hidden = w->was.hidden.n ? json_loadb(w->was.hidden.at, w->was.hidden.n, 0, NULL) : NULL;
    s->original = row_json(w->class, &w->was, err);
    return s->original ? HOB_OK : err->code;
}

/* --- the two ways ------------------------------------------------------------------------------------------------- */

static void writing_init(struct writing *w, struct backend_call *c, struct data_tx *tx, struct object_save *s)
{
    *w = (struct writing){.c = c, .tx = tx, .s = s, .name = s->class_name.at};
    hob_buf_init(&w->doc, DOC_BYTES_MAX);
    hob_buf_init(&w->hidden, HIDDEN_BYTES_MAX);
}

static enum hob_code resolve(struct writing *w, bool is_look, struct hob_err *err)
{
    struct object_save *s = w->s;
    enum hob_code rc = s->prepare && !s->has_looked ? s->prepare(w->c, w->tx, s, err) : HOB_OK;
    if (rc == HOB_OK)
        rc = find_class(w, err);
    if (rc == HOB_OK)
        rc = read_row(w, err);
    if (rc == HOB_OK && (is_look || s->judge || s->store))
        rc = tell_original(w, err);
    if (rc == HOB_OK && s->judge && !s->has_looked)
        rc = s->judge(w->c, w->tx, s, err);
    if (rc == HOB_OK)
        rc = start_row(w, err);
    if (rc == HOB_OK)
        rc = changes_resolve(s->data, w->was.doc, &w->changes, err);
    if (rc == HOB_OK && !is_look)
        rc = fill_fields(w, err);
    if (rc != HOB_OK)
        return rc;
    fill_acl(w);
    rc = is_look ? HOB_OK : need_fields(w, err);
    if (rc == HOB_OK)
        rc = write_doc(w, err);
    return rc == HOB_OK ? write_acl(w, err) : rc;
}

static enum hob_code put_row(struct writing *w, struct hob_err *err)
{
    enum hob_code rc = w->s->is_create ? data_insert(w->tx, w->name, &w->row, err)
                                       : data_replace(w->tx, w->name, &w->row, err);
    if (rc == HOB_E_CONFLICT)
        rc = parse_fail(err, PARSE_DUPLICATE_VALUE,
                        "A duplicate value for a field with unique values was provided");
    if (rc == HOB_OK)
        session_note(w->c, w->name, w->row.id);
    return rc;
}

static enum hob_code put_relations(struct writing *w, struct hob_err *err)
{
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; i < w->changes.relations_n && rc == HOB_OK; i++) {
        const struct relation_change *r = &w->changes.relations[i];
        rc = r->is_add ? data_join_add(w->tx, w->name, r->field, w->row.id, r->related, err)
                       : data_join_remove(w->tx, w->name, r->field, w->row.id, r->related, err);
    }
    return rc;
}

enum hob_code write_look(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                         struct hob_err *err)
{
    struct writing w;
    writing_init(&w, c, tx, s);
    enum hob_code rc = resolve(&w, true, err);
    if (rc == HOB_OK)
        rc = tell_object(&w, err);
    writing_done(&w);
    return rc;
}

enum hob_code write_store(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                          struct hob_err *err)
{
    struct writing w;
    writing_init(&w, c, tx, s);
    enum hob_code rc = resolve(&w, false, err);
    if (rc == HOB_OK && (s->store || s->needs_object))
        rc = tell_object(&w, err);
    if (rc == HOB_OK && s->store)
        rc = s->store(c, tx, s, err);
    if (rc == HOB_OK)
        rc = write_hidden(&w, err);
    if (rc == HOB_OK)
        rc = put_row(&w, err);
    if (rc == HOB_OK)
        rc = put_relations(&w, err);
    if (rc == HOB_OK)
        rc = answer(&w, err);
    if (rc == HOB_OK)
        s->id = w.row.id;
    writing_done(&w);
    return rc;
}
