#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bindings/schema/schema_priv.h"
#include "bindings/transfer/transfer_priv.h"
#include "store/kv.h"

enum { PAGE_OBJECTS = 500, RELATED_A_LINE = 500, CONFIG_MAX = 10000 };

static bool end_line(struct hob_jw *w, struct hob_buf *out)
{
    hob_jw_object_end(w);
    return !w->is_full && hob_buf_add(out, "\n", 1) == HOB_OK;
}

static void start_line(struct hob_jw *w, struct hob_buf *out)
{
    hob_jw_init(w, out);
    hob_jw_object(w);
}

static enum hob_code too_large(struct hob_err *err)
{
    return hob_fail(err, HOB_E_TOO_LARGE, "one page of the export does not fit in memory");
}

/* --- the start: header, classes, configuration -------------------------------------------------------------------- */

static enum hob_code export_class(void *ctx, const struct data_class *c, struct hob_err *err)
{
    struct hob_buf *out = ctx;
    struct hob_jw w;
    start_line(&w, out);
    hob_jw_kcstr(&w, "class", c->name);
    hob_jw_key(&w, "fields");
    hob_jw_object(&w);
    for (size_t i = 0; i < c->fields_n; i++)
        field_write(&w, &c->fields[i]);
    hob_jw_object_end(&w);
    if (c->permissions) {
        hob_jw_key(&w, "permissions");
        hob_jw_json(&w, c->permissions);
    }
    hob_jw_key(&w, "indexes");
    hob_jw_object(&w);
    for (size_t i = 0; i < c->indexes_n; i++) {
        hob_jw_key(&w, c->indexes[i].name);
        hob_jw_raw(&w, hob_str(c->indexes[i].keys_json));
    }
    hob_jw_object_end(&w);
    return end_line(&w, out) ? HOB_OK : too_large(err);
}

static enum hob_code export_param(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct hob_buf *out = ctx;
    struct hob_jw w;
    start_line(&w, out);
    hob_jw_kstr(&w, "config", row->key);
    hob_jw_key(&w, "value");
    hob_jw_raw(&w, row->value);
    hob_jw_kbool(&w, "masterKeyOnly", hob_str_is(row->meta, "true"));
    return end_line(&w, out) ? HOB_OK : too_large(err);
}

static enum hob_code export_start(struct data_tx *tx, const struct transfer_page *page, struct hob_buf *out,
                                  struct hob_err *err)
{
    struct hob_jw w;
    start_line(&w, out);
    hob_jw_kint(&w, "hob_export", 1);
    hob_jw_kcstr(&w, "app", page->app);
    hob_jw_key(&w, "settings");
    hob_jw_json(&w, page->settings);
    if (!end_line(&w, out))
        return too_large(err);
    if (data_class_each(tx, export_class, out, err) != HOB_OK)
        return err->code;
    return kv_each(tx, "config", HOB_STR(""), HOB_STR(""), CONFIG_MAX, 0, export_param, out, err);
}

/* --- objects of one class ------------------------------------------------------------------------------------------- */

struct page {
    struct data_tx *tx;
    const struct data_class *class;
    struct hob_buf *out;
    char *ids[PAGE_OBJECTS]; /* whose relations follow */
    size_t n;
    bool is_full;
};

static enum hob_code export_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct page *p = ctx;
    struct hob_jw w;
    hob_auto_json json_t *object = row_json(NULL, row, err);
    if (!object)
        return err->code;
    start_line(&w, p->out);
    hob_jw_kcstr(&w, "class", p->class->name);
    hob_jw_key(&w, "object");
    hob_jw_json(&w, object);
    if (row->hidden.n) {
        hob_jw_key(&w, "hidden");
        hob_jw_raw(&w, row->hidden);
    }
    if (!end_line(&w, p->out))
        return too_large(err);
    p->ids[p->n++] = hob_strndup(row->id.at, row->id.n);
    p->is_full = p->out->n >= PAGE_BYTES;
    return p->is_full ? HOB_E_CANCELLED : HOB_OK; /* ends the walk; no failure */
}

struct related {
    struct hob_jw w;
    const struct page *page;
    const char *field, *owner;
    size_t n;
    bool is_open;
};

static bool close_related(struct related *r)
{
    if (!r->is_open)
        return true;
    hob_jw_array_end(&r->w);
    r->is_open = false;
    return end_line(&r->w, r->page->out);
}

static enum hob_code export_related(void *ctx, struct hob_str id, struct hob_err *err)
{
    struct related *r = ctx;
    if (r->n++ % RELATED_A_LINE == 0) {
        if (!close_related(r))
            return too_large(err);
        start_line(&r->w, r->page->out);
        hob_jw_kcstr(&r->w, "class", r->page->class->name);
        hob_jw_kcstr(&r->w, "relation", r->field);
        hob_jw_kcstr(&r->w, "owner", r->owner);
        hob_jw_key(&r->w, "related");
        hob_jw_array(&r->w);
        r->is_open = true;
    }
    hob_jw_str(&r->w, id);
    return HOB_OK;
}

static enum hob_code export_relations(const struct page *p, struct hob_err *err)
{
    for (size_t f = 0; f < p->class->fields_n; f++) {
        for (size_t i = 0; i < p->n && p->class->fields[f].type == DATA_RELATION; i++) {
            struct related r = {.page = p, .field = p->class->fields[f].name, .owner = p->ids[i]};
            if (data_join_related(p->tx, p->class->name, r.field, hob_str(r.owner), export_related, &r,
                                  err) != HOB_OK)
                return err->code;
            if (!close_related(&r))
                return too_large(err);
        }
    }
    return HOB_OK;
}

static enum hob_code export_objects(struct page *p, struct hob_str after, struct hob_err *err)
{
    hob_auto_json json_t *where =
        after.n ? json_pack("{s:{s:s%}}", "objectId", "$gt", after.at, after.n) : NULL;
    struct data_query q = {
        .class_name = p->class->name, .where = where, .order = "objectId", .limit = PAGE_OBJECTS};
    enum hob_code rc = data_find(p->tx, &q, export_row, p, err);
    if (rc != HOB_OK && !(rc == HOB_E_CANCELLED && p->is_full))
        return rc;
    return export_relations(p, err);
}

/* --- going on: "CLASS/ID" -------------------------------------------------------------------------------------------- */

struct next_class {
    struct hob_str after; /* empty: the first one */
    char *found;
};

static enum hob_code judge_next(void *ctx, const struct data_class *c, struct hob_err *err)
{
    struct next_class *n = ctx;
    hob_auto_free char *after = hob_strndup(n->after.at, n->after.n);
    (void)err;
    if (strcmp(c->name, after) > 0 && (!n->found || strcmp(c->name, n->found) < 0)) {
        free(n->found);
        n->found = hob_strdup(c->name);
    }
    return HOB_OK;
}

static enum hob_code go_on(struct data_tx *tx, struct hob_str class_name, unsigned without,
                           char ret_next[TRANSFER_CURSOR_BYTES], struct hob_err *err)
{
    struct next_class n = {.after = class_name.at ? class_name : HOB_STR("")};
    enum hob_code rc = data_class_each(tx, judge_next, &n, err);
    if (n.found)
        (void)snprintf(ret_next, TRANSFER_CURSOR_BYTES, "%s/", n.found);
    else
        phase_next("", without, ret_next);
    free(n.found);
    return rc;
}

enum hob_code transfer_export(struct data_tx *tx, const struct transfer_page *page, struct hob_buf *out,
                              char ret_next[TRANSFER_CURSOR_BYTES], struct hob_err *err)
{
    struct hob_str id, class_name = hob_str_cut(page->after, '/', &id);
    if (!page->after.n)
        return export_start(tx, page, out, err) == HOB_OK
                   ? go_on(tx, HOB_STR(""), page->without, ret_next, err)
                   : err->code;
    if (page->after.at[0] == '+')
        return phase_export(tx, page, out, ret_next, err);
    hob_auto_free char *name = hob_strndup(class_name.at, class_name.n);
    struct page p = {.tx = tx, .out = out, .class = data_class_find(tx, name)};
    if (!id.at || page->after.n >= TRANSFER_CURSOR_BYTES)
        return hob_fail(err, HOB_E_INVALID, "'after' is '%.*s': give what the page before ended with",
                        (int)(page->after.n < 64 ? page->after.n : 64), page->after.at);
    if (!p.class) /* dropped meanwhile */
        return go_on(tx, class_name, page->without, ret_next, err);
    enum hob_code rc = export_objects(&p, id, err);
    if (rc == HOB_OK && (p.is_full || p.n == PAGE_OBJECTS))
        (void)snprintf(ret_next, TRANSFER_CURSOR_BYTES, "%s/%s", name, p.ids[p.n - 1]);
    else if (rc == HOB_OK)
        rc = go_on(tx, class_name, page->without, ret_next, err);
    for (size_t i = 0; i < p.n; i++)
        free(p.ids[i]);
    return rc;
}
