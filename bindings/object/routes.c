/* The routes of objects, and what other rooms of the backend ask of objects inside their jobs. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

static void start_find(struct backend_call *c)
{
    object_serve_find(c, c->params[0]);
}

static void start_get(struct backend_call *c)
{
    object_serve_get(c, c->params[0], c->params[1]);
}

static void start_create(struct backend_call *c)
{
    object_save_start(
        c, &(struct object_save){.class_name = c->params[0], .is_create = true, .data = c->request.params});
}

static void start_update(struct backend_call *c)
{
    object_save_start(
        c, &(struct object_save){.class_name = c->params[0], .id = c->params[1], .data = c->request.params});
}

static void start_remove(struct backend_call *c)
{
    object_serve_remove(c, c->params[0], c->params[1], NULL);
}

const struct backend_route object_routes[] = {
    {"GET", "/classes/:class", ROUTE_FLOW, NEED_NOTHING, NULL, start_find},
    {"POST", "/classes/:class", ROUTE_FLOW, NEED_NOTHING, NULL, start_create},
    {"GET", "/classes/:class/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_get},
    {"PUT", "/classes/:class/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_update},
    {"DELETE", "/classes/:class/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_remove},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};

/* --- inside jobs -------------------------------------------------------------------------------------------------- */

struct reading {
    const struct data_class *class;
    object_each_cb each;
    void *ctx;
    json_t *object, *hidden;
};

static enum hob_code parse_row(struct reading *r, const struct data_row *row, struct hob_err *err)
{
    r->hidden = row->hidden.n ? json_loadb(row->hidden.at, row->hidden.n, 0, NULL) : NULL;
    r->object = row_json(r->class, row, err);
    return r->object ? HOB_OK : err->code;
}

static enum hob_code on_one(void *ctx, const struct data_row *row, struct hob_err *err)
{
    return parse_row(ctx, row, err);
}

enum hob_code object_get(struct backend_call *c, struct data_tx *tx, const char *class_name,
                         struct hob_str id, unsigned flags, json_t **ret_object, json_t **ret_hidden,
                         struct hob_err *err)
{
    struct reading r = {.class = data_class_find(tx, class_name)};
    struct permit permit;
    bool is_found = false;
    enum hob_code rc = permit_class(c, r.class, class_name, OP_GET, flags, &permit, err);
    *ret_object = NULL;
    if (ret_hidden)
        *ret_hidden = NULL;
    if (rc == HOB_OK && r.class && !permit.is_nothing)
        rc = data_get(tx, class_name, id, &permit.access, on_one, &r, &is_found, err);
    if (rc != HOB_OK || !is_found || !ret_hidden) {
        json_decref(r.hidden);
        r.hidden = NULL;
    }
    if (rc != HOB_OK) {
        json_decref(r.object);
        return rc;
    }
    *ret_object = r.object;
    if (ret_hidden)
        *ret_hidden = r.hidden;
    return HOB_OK;
}

static enum hob_code on_each(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct reading *r = ctx;
    enum hob_code rc = parse_row(r, row, err);
    if (rc == HOB_OK)
        rc = r->each(r->ctx, r->object, r->hidden, err);
    json_decref(r->object);
    json_decref(r->hidden);
    r->object = r->hidden = NULL;
    return rc;
}

enum hob_code object_find(struct backend_call *c, struct data_tx *tx, const char *class_name,
                          const json_t *where, int64_t limit, unsigned flags, object_each_cb each, void *ctx,
                          struct hob_err *err)
{
    struct reading r = {.class = data_class_find(tx, class_name), .each = each, .ctx = ctx};
    struct admit admit = {c, tx, flags};
    struct permit permit;
    enum hob_code rc = permit_class(c, r.class, class_name, OP_FIND, flags, &permit, err);
    if (rc != HOB_OK || !r.class || permit.is_nothing)
        return rc;
    struct data_query q = {.class_name = class_name,
                           .where = where,
                           .access = &permit.access,
                           .limit = limit,
                           .admit = admit_class,
                           .admit_ctx = &admit};
    return data_find(tx, &q, on_each, &r, err);
}

enum hob_code object_write_json(struct backend_call *c, const json_t *object, struct hob_err *err)
{
    struct hob_jw w;
    hob_jw_init(&w, &c->out);
    hob_jw_json(&w, object);
    return hob_jw_end(&w, err);
}
