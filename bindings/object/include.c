/* Included objects: pointers replaced by what they point to, with the caller's rights on it. Depth is bounded by the paths
 * that were asked for, the number by a limit of the answer. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

struct held { /* a row that outlives its statement */
    struct data_row row;
    char *mem;
};

static char *hold(char *at, struct hob_str from, struct hob_str *to)
{
    *to = from;
    if (!from.at)
        return at;
    memcpy(at, from.at, from.n);
    to->at = at;
    return at + from.n;
}

static enum hob_code take_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct held *h = ctx;
    (void)err;
    h->row = *row;
    h->mem = hob_calloc(1, row->id.n + row->doc.n + row->hidden.n + row->readers.n + row->writers.n + 1);
    char *at = hold(h->mem, row->id, &h->row.id);
    at = hold(at, row->doc, &h->row.doc);
    at = hold(at, row->hidden, &h->row.hidden);
    at = hold(at, row->readers, &h->row.readers);
    (void)hold(at, row->writers, &h->row.writers);
    return HOB_OK;
}

static enum hob_code include_one(struct view *v, struct hob_str class_name, struct hob_str id,
                                 const struct cut *cut, struct hob_buf *out, bool *ret_written,
                                 struct hob_err *err)
{
    struct class_view *cv;
    struct held held = {.mem = NULL};
    bool is_found = false;
    enum hob_code rc = view_class(v, class_name, &cv, err);
    if (rc == HOB_OK && ++v->included_n > HOB_MAX_BACKEND_INCLUDED)
        rc = parse_fail(err, PARSE_INVALID_QUERY, "more than %d objects to include: ask for fewer",
                        HOB_MAX_BACKEND_INCLUDED);
    if (rc == HOB_OK && !cv->is_permitted) {
        rc = permit_class(v->c, cv->class, cv->name, OP_GET, v->flags, &cv->permit, err);
        cv->is_permitted = rc == HOB_OK;
    }
    if (rc == HOB_OK && cv->class && !cv->permit.is_nothing)
        rc = data_get(v->tx, cv->name, id, &cv->permit.access, take_row, &held, &is_found, err);
    if (rc == HOB_OK && is_found)
        rc = view_part(v, cv, &held.row, cut, out, err);
    *ret_written = is_found;
    free(held.mem);
    return rc;
}

static enum hob_code full(struct hob_err *err)
{
    return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer objects or keys");
}

/* Elements of an array's text, one after another. */
static bool next_element(struct hob_str *rest, struct hob_str *ret)
{
    /* an array's inside walks like an object's values: give each a name */
    const char *at = rest->at, *end = rest->at + rest->n, *start = at;
    unsigned depth = 0;
    bool in_string = false;
    if (at >= end)
        return false;
    for (; at < end; at++) {
        if (in_string) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                in_string = false;
        } else if (*at == '"') {
            in_string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
        } else if (*at == ',' && !depth) {
            break;
        }
    }
    if (at > end)
        at = end;
    *ret = hob_str_n(start, (size_t)(at - start));
    *rest = at < end ? hob_str_n(at + 1, (size_t)(end - at - 1)) : hob_str_n(end, 0);
    return true;
}

static enum hob_code include_array(struct view *v, struct hob_str value, const struct cut *cut,
                                   struct hob_buf *out, struct hob_err *err)
{
    struct hob_str rest = hob_str_n(value.at + 1, value.n - 2), element;
    bool is_first = true;
    if (hob_buf_add(out, "[", 1) != HOB_OK)
        return full(err);
    while (next_element(&rest, &element)) {
        size_t before = out->n;
        bool is_written = false;
        if (!is_first && hob_buf_add(out, ",", 1) != HOB_OK)
            return full(err);
        enum hob_code rc = include_value(v, element, cut, out, &is_written, err);
        if (rc != HOB_OK)
            return rc;
        if (is_written)
            is_first = false;
        else
            out->n = before;
    }
    return hob_buf_add(out, "]", 1) == HOB_OK ? HOB_OK : full(err);
}

/* A plain object: the path goes on inside of it. */
static enum hob_code include_object(struct view *v, struct hob_str value, const struct cut *cut,
                                    struct hob_buf *out, struct hob_err *err)
{
    struct doc_walk w = doc_walk(value);
    struct hob_str name, inner;
    bool is_first = true;
    if (hob_buf_add(out, "{", 1) != HOB_OK)
        return full(err);
    while (doc_next(&w, &name, &inner)) {
        const struct tree *t = tree_find(cut->include, name);
        const struct tree *keys = tree_find(cut->keys, name);
        struct cut below = {.include = t ? t->first : NULL,
                            .keys = keys && !keys->is_leaf ? keys->first : NULL};
        size_t before = out->n;
        bool is_written = true;
        if ((!is_first && hob_buf_add(out, ",", 1) != HOB_OK) || hob_buf_add(out, "\"", 1) != HOB_OK ||
            hob_buf_add_str(out, name) != HOB_OK || hob_buf_add(out, "\":", 2) != HOB_OK)
            return full(err);
        enum hob_code rc = HOB_OK;
        if (t)
            rc = include_value(v, inner, &below, out, &is_written, err);
        else if (hob_buf_add_str(out, inner) != HOB_OK)
            rc = full(err);
        if (rc != HOB_OK)
            return rc;
        if (is_written)
            is_first = false;
        else
            out->n = before;
    }
    return hob_buf_add(out, "}", 1) == HOB_OK ? HOB_OK : full(err);
}

enum hob_code include_value(struct view *v, struct hob_str value, const struct cut *cut, struct hob_buf *out,
                            bool *ret_written, struct hob_err *err)
{
    struct hob_str class_name, id;
    *ret_written = true;
    if (doc_pointer(value, &class_name, &id))
        return include_one(v, class_name, id, cut, out, ret_written, err);
    if (value.n >= 2 && value.at[0] == '[')
        return include_array(v, value, cut, out, err);
    if (value.n >= 2 && value.at[0] == '{' && cut->include)
        return include_object(v, value, cut, out, err);
    return hob_buf_add_str(out, value) == HOB_OK ? HOB_OK : full(err);
}
