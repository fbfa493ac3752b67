/* Rows as answers. The stored document is wire text already: what is not cut, hidden or included is copied as it is. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bindings/backend_priv.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { ROW_BYTES_MAX = 64 * 1024 * 1024 };

/* --- small writing ------------------------------------------------------------------------------------------------ */

static enum hob_code full(struct hob_err *err)
{
    return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer objects or keys");
}

static bool put(struct hob_buf *out, struct hob_str s)
{
    return hob_buf_add_str(out, s) == HOB_OK;
}

/* ,"name":value */
static bool put_member(struct hob_buf *out, struct hob_str name, struct hob_str value)
{
    char *at = hob_buf_room(out, name.n + value.n + 4);
    if (!at)
        return false;
    *at++ = ',';
    *at++ = '"';
    memcpy(at, name.at, name.n);
    at += name.n;
    *at++ = '"';
    *at++ = ':';
    memcpy(at, value.at, value.n);
    hob_buf_grew(out, name.n + value.n + 4);
    return true;
}

static bool put_head(struct hob_buf *out, const char *as, const struct data_row *row)
{
    char created[25], updated[25];
    hob_utc_format(row->created_ms, created);
    hob_utc_format(row->updated_ms, updated);
    bool is_ok = !as || (put(out, HOB_STR("{\"__type\":\"Object\",\"className\":\"")) &&
                         put(out, hob_str(as)) && put(out, HOB_STR("\",")));
    return is_ok && put(out, as ? HOB_STR("\"objectId\":\"") : HOB_STR("{\"objectId\":\"")) &&
           put(out, row->id) && put(out, HOB_STR("\",\"createdAt\":\"")) &&
           put(out, hob_str_n(created, 24)) && put(out, HOB_STR("\",\"updatedAt\":\"")) &&
           put(out, hob_str_n(updated, 24)) && put(out, HOB_STR("\""));
}

static bool put_relation(struct hob_buf *out, const struct data_field *f)
{
    return put(out, HOB_STR(",\"")) && put(out, hob_str(f->name)) &&
           put(out, HOB_STR("\":{\"__type\":\"Relation\",\"className\":\"")) &&
           put(out, hob_str(f->target ? f->target : "")) && put(out, HOB_STR("\"}"));
}

static bool put_acl(struct hob_buf *out, const struct data_row *row)
{
    struct hob_jw w;
    if (!acl_is_some(row))
        return true;
    if (!put(out, HOB_STR(",\"ACL\":")))
        return false;
    hob_jw_init(&w, out);
    acl_write(row, &w);
    return hob_jw_end(&w, NULL) == HOB_OK;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static bool put_url(const struct backend_call *c, struct hob_str name, struct hob_buf *out)
{
    static const char hex[] = "0123456789ABCDEF", plain[] = "-_.~!*'()";
    const struct backend_app *app = backend_app_by_name(c->backend->o.apps, hob_str(c->request.app));
    if (!put(out, c->request.mount_url) || !put(out, HOB_STR("/files/")) ||
        !put(out, hob_str(app ? backend_app_application_id(app) : c->request.app)) || !put(out, HOB_STR("/")))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char ch = (unsigned char)name.at[i];
        bool is_plain = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
                        (ch && strchr(plain, ch));
        char escape[3] = {'%', hex[ch >> 4], hex[ch & 15]};
        if (!put(out, is_plain ? hob_str_n(name.at + i, 1) : hob_str_n(escape, 3)))
            return false;
    }
    return true;
}

void files_expand(const struct backend_call *c, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        struct hob_buf url hob_auto_buf;
        const char *typed = value_typed(value), *name = json_string_value(json_object_get(value, "name"));
        hob_buf_init(&url, 4096);
        if (!typed || !name || strcmp(typed, "File") != 0)
            continue;
        if (put_url(c, hob_str(name), &url))
            (void)json_object_set_new(value, "url", json_stringn(hob_buf_data(&url), url.n));
    }
}

static bool put_file(const struct backend_call *c, struct hob_str name, struct hob_str value,
                     struct hob_buf *out)
{
    struct hob_str file = doc_plain_string(doc_find(value, HOB_STR("name")));
    if (!file.at || !value.n)
        return put_member(out, name, value);
    return put_member(out, name, hob_str_n(value.at, value.n - 1)) && put(out, HOB_STR(",\"url\":\"")) &&
           put_url(c, file, out) && put(out, HOB_STR("\"}"));
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

void view_start(struct view *v, struct backend_call *c, struct data_tx *tx, unsigned flags)
{
    *v = (struct view){.c = c, .tx = tx, .flags = flags};
}

bool view_has_includes(const struct view *v)
{
    return v->include || v->includes_all;
}

enum hob_code view_class(struct view *v, struct hob_str name, struct class_view **ret_class,
                         struct hob_err *err)
{
    for (struct class_view *cv = v->classes; cv; cv = cv->next)
        if (hob_str_is(name, cv->name)) {
            *ret_class = cv;
            return HOB_OK;
        }
    struct class_view *cv = hob_arena_alloc(&v->c->arena, sizeof *cv);
    char *copy = cv ? hob_arena_strndup(&v->c->arena, name.at, name.n) : NULL;
    if (!copy)
        return full(err);
    cv->name = copy;
    cv->class = data_class_find(v->tx, copy);
    for (size_t i = 0; cv->class && i < cv->class->fields_n; i++) {
        cv->has_files |= cv->class->fields[i].type == DATA_FILE;
        cv->has_relations |= cv->class->fields[i].type == DATA_RELATION;
    }
    cv->next = v->classes;
    v->classes = cv;
    *ret_class = cv;
    return protect_start(v->c, cv->class, cv->name, v->flags, &cv->protect, err);
}

/* --- a row -------------------------------------------------------------------------------------------------------- */

struct showing {
    struct view *v;
    const struct class_view *cv;
    const struct data_row *row;
    const struct cut *cut;
    const char **hidden;
    size_t hidden_n;
    struct hob_buf *out;
};

static bool is_hidden(const struct showing *s, struct hob_str name)
{
    for (size_t i = 0; i < s->hidden_n; i++)
        if (hob_str_is(name, s->hidden[i]))
            return true;
    return false;
}

static bool is_shown(const struct showing *s, struct hob_str name)
{
    const struct tree *x = tree_find(s->cut->exclude, name);
    return !is_hidden(s, name) && (!s->cut->keys || tree_find(s->cut->keys, name)) && !(x && x->is_leaf);
}

static enum hob_code show_included(const struct showing *s, struct hob_str name, struct hob_str value,
                                   const struct tree *include, struct hob_err *err)
{
    const struct tree *keys = tree_find(s->cut->keys, name), *exclude = tree_find(s->cut->exclude, name);
    struct cut inner = {.keys = keys && !keys->is_leaf ? keys->first : NULL,
                        .exclude = exclude ? exclude->first : NULL,
                        .include = include ? include->first : NULL};
    size_t before = s->out->n;
    bool is_written = false;
    if (!put_member(s->out, name, HOB_STR("")))
        return full(err);
    enum hob_code rc = include_value(s->v, value, &inner, s->out, &is_written, err);
    if (rc == HOB_OK && !is_written)
        s->out->n = before;
    return rc;
}

/* A plain object of which only some keys are wanted ("keys=a.b"). */
static bool show_some(struct hob_str name, struct hob_str value, const struct tree *keys, struct hob_buf *out)
{
    struct doc_walk w = doc_walk(value);
    struct hob_str key, inner;
    bool is_first = true;
    if (!put_member(out, name, HOB_STR("{")))
        return false;
    while (doc_next(&w, &key, &inner)) {
        if (!tree_find(keys, key))
            continue;
        if (!put_member(out, key, inner))
            return false;
        if (is_first) { /* the comma of the first one is too much */
            char *comma = hob_buf_data(out) + out->n - (key.n + inner.n + 4);
            memmove(comma, comma + 1, key.n + inner.n + 3);
            out->n--;
            is_first = false;
        }
    }
    return put(out, HOB_STR("}"));
}

static bool is_reference(struct hob_str value)
{
    return value.n > 2 && (value.at[0] == '{' || value.at[0] == '[') &&
           memmem(value.at, value.n, "\"Pointer\"", 9);
}

static enum hob_code show_member(const struct showing *s, struct hob_str name, struct hob_str value,
                                 struct hob_err *err)
{
    const struct tree *include = tree_find(s->cut->include, name), *keys = tree_find(s->cut->keys, name);
    if (!is_shown(s, name))
        return HOB_OK;
    if ((include || s->cut->includes_all) && is_reference(value))
        return show_included(s, name, value, include, err);
    bool is_ok;
    if (s->cv->has_files && value.n > 16 && memcmp(value.at, "{\"__type\":\"File\"", 16) == 0)
        is_ok = put_file(s->v->c, name, value, s->out);
    else if (keys && !keys->is_leaf && value.n && value.at[0] == '{' &&
             (value.n < 9 || memcmp(value.at, "{\"__type\"", 9) != 0))
        is_ok = show_some(name, value, keys->first, s->out);
    else
        is_ok = put_member(s->out, name, value);
    return is_ok ? HOB_OK : full(err);
}

static enum hob_code show_members(const struct showing *s, struct hob_err *err)
{
    struct doc_walk w = doc_walk(s->row->doc);
    struct hob_str name, value;
    while (doc_next(&w, &name, &value)) {
        enum hob_code rc = show_member(s, name, value, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static bool show_relations(const struct showing *s)
{
    for (size_t i = 0; s->cv->has_relations && i < s->cv->class->fields_n; i++) {
        const struct data_field *f = &s->cv->class->fields[i];
        if (f->type == DATA_RELATION && is_shown(s, hob_str(f->name)) && !put_relation(s->out, f))
            return false;
    }
    return true;
}

/* Of users: how they log in, for themselves and for master; of a second factor only that there is one, as user_shown of
 * auth has it. It is kept with the hidden members. */
static bool show_auth_data(const struct showing *s)
{
    static const char mfa[] = "\"mfa\":{\"status\":\"enabled\"}}";
    if (strcmp(s->cv->name, "_User") != 0 || !s->row->hidden.n ||
        !(permit_is_master(s->v->c, s->v->flags) || hob_str_eq(s->row->id, s->v->c->who.user_id)))
        return true;
    struct hob_str value = doc_find(s->row->hidden, HOB_STR("authData"));
    struct hob_str second = doc_find(s->row->hidden, HOB_STR("mfa"));
    bool has_some = value.n > 2 && value.at[0] == '{', has_mfa = second.n && second.at[0] == '{';
    if (!(has_some || has_mfa) || !is_shown(s, HOB_STR("authData")))
        return true;
    if (!has_mfa)
        return put_member(s->out, HOB_STR("authData"), value);
    struct hob_str start = has_some ? hob_str_n(value.at, value.n - 1) : HOB_STR("{");
    return put(s->out, HOB_STR(",\"authData\":")) && put(s->out, start) &&
           (!has_some || put(s->out, HOB_STR(","))) && put(s->out, HOB_STR(mfa));
}

static enum hob_code show(struct view *v, const struct class_view *cv, const struct data_row *row,
                          const struct cut *cut, const char *as, struct hob_buf *out, struct hob_err *err)
{
    struct showing s = {.v = v, .cv = cv, .row = row, .cut = cut, .out = out};
    bool is_plain = !cut->keys && !cut->exclude && !cut->include && !cut->includes_all && !cv->has_files &&
                    !cv->protect.is_on;
    if (cv->protect.is_on)
        protect_row(v->c, &cv->protect, row->id, row->doc, &s.hidden, &s.hidden_n);
    if (!put_head(out, as, row))
        return full(err);
    if (!is_plain) {
        enum hob_code rc = show_members(&s, err);
        if (rc != HOB_OK)
            return rc;
    } else if (row->doc.n > 2 &&
               (!put(out, HOB_STR(",")) || !put(out, hob_str_n(row->doc.at + 1, row->doc.n - 2)))) {
        return full(err);
    }
    if (!show_relations(&s) || !show_auth_data(&s) || !put_acl(out, row))
        return full(err);
    if (v->has_score && !as && hob_buf_addf(out, ",\"score\":%.15g", data_score(v->tx)) != HOB_OK)
        return full(err);
    return put(out, HOB_STR("}")) ? HOB_OK : full(err);
}

enum hob_code view_row(struct view *v, struct class_view *cv, const struct data_row *row, struct hob_buf *out,
                       struct hob_err *err)
{
    struct cut cut = {
        .keys = v->keys, .exclude = v->exclude, .include = v->include, .includes_all = v->includes_all};
    return show(v, cv, row, &cut, NULL, out, err);
}

enum hob_code view_part(struct view *v, struct class_view *cv, const struct data_row *row,
                        const struct cut *cut, struct hob_buf *out, struct hob_err *err)
{
    return show(v, cv, row, cut, cv->name, out, err);
}

json_t *row_json(const struct data_class *class, const struct data_row *row, struct hob_err *err)
{
    struct hob_buf text hob_auto_buf;
    json_error_t je;
    hob_buf_init(&text, ROW_BYTES_MAX);
    bool is_ok = put_head(&text, NULL, row);
    if (is_ok && row->doc.n > 2)
        is_ok = put(&text, HOB_STR(",")) && put(&text, hob_str_n(row->doc.at + 1, row->doc.n - 2));
    for (size_t i = 0; is_ok && class && i < class->fields_n; i++)
        if (class->fields[i].type == DATA_RELATION)
            is_ok = put_relation(&text, &class->fields[i]);
    if (!is_ok || !put_acl(&text, row) || !put(&text, HOB_STR("}"))) {
        (void)full(err);
        return NULL;
    }
    json_t *object = json_loadb(hob_buf_data(&text), text.n, 0, &je);
    if (!object)
        (void)hob_fail(err, HOB_E_INTERNAL, "a stored object cannot be read: %.100s", je.text);
    return object;
}

static bool copy_str(struct hob_arena *arena, struct hob_str from, struct hob_str *to)
{
    *to = from;
    if (!from.at)
        return true;
    to->at = hob_arena_strndup(arena, from.at, from.n);
    return to->at != NULL;
}

bool row_copy(struct hob_arena *arena, const struct data_row *row, struct data_row *ret)
{
    *ret = *row;
    return copy_str(arena, row->id, &ret->id) && copy_str(arena, row->doc, &ret->doc) &&
           copy_str(arena, row->hidden, &ret->hidden) && copy_str(arena, row->readers, &ret->readers) &&
           copy_str(arena, row->writers, &ret->writers);
}
