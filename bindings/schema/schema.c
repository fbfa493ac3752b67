/* The schemas API: what classes there are, their fields, permissions and indexes; purge. Reading here, changes in
 * schema_edit.c. */
#include <stdlib.h>
#include <string.h>

#include "bindings/auth/session.h"
#include "bindings/object/object_priv.h"
#include "bindings/schema/schema_priv.h"

#include "base/banned.h"

enum { PURGE_ROWS = 500 };

/* --- answers ------------------------------------------------------------------------------------------------------ */

void field_write(struct hob_jw *w, const struct data_field *f)
{
    hob_jw_key(w, f->name);
    hob_jw_object(w);
    hob_jw_kcstr(w, "type", data_type_names[f->type]);
    if (f->target)
        hob_jw_kcstr(w, "targetClass", f->target);
    if (f->is_required)
        hob_jw_kbool(w, "required", true);
    if (f->default_json) {
        hob_jw_key(w, "defaultValue");
        hob_jw_raw(w, hob_str(f->default_json));
    }
    hob_jw_object_end(w);
}

static void write_fields(struct hob_jw *w, const char *name, const struct data_class *class)
{
    static const char defaults[] = "\"objectId\":{\"type\":\"String\"},\"createdAt\":{\"type\":\"Date\"},"
                                   "\"updatedAt\":{\"type\":\"Date\"},\"ACL\":{\"type\":\"ACL\"}";
    const struct system_class *s = system_class_find(name);
    hob_jw_key(w, "fields");
    hob_jw_object(w);
    hob_jw_raw(w, HOB_STR(defaults));
    for (size_t i = 0; class && i < class->fields_n; i++)
        field_write(w, &class->fields[i]);
    for (size_t i = 0; s && i < HOB_COUNT(s->fields) && s->fields[i].name; i++)
        if (!class || !data_field_find(class, s->fields[i].name))
            field_write(w, &s->fields[i]);
    hob_jw_object_end(w);
}

static void write_permissions(struct hob_jw *w, const struct data_class *class)
{
    static const char *const ops[] = {"find", "count", "get", "create", "update", "delete", "addField"};
    static const char *const others[] = {"readUserFields", "writeUserFields", "ACL"};
    const json_t *all = class ? class->permissions : NULL;
    bool is_open = !json_object_size(all);
    hob_jw_key(w, "classLevelPermissions");
    hob_jw_object(w);
    for (size_t i = 0; i < HOB_COUNT(ops); i++) {
        const json_t *grants = json_object_get(all, ops[i]);
        hob_jw_key(w, ops[i]);
        if (grants)
            hob_jw_json(w, grants);
        else
            hob_jw_raw(w, is_open ? HOB_STR("{\"*\":true}") : HOB_STR("{}"));
    }
    hob_jw_key(w, "protectedFields");
    if (json_object_get(all, "protectedFields"))
        hob_jw_json(w, json_object_get(all, "protectedFields"));
    else
        hob_jw_raw(w, is_open ? HOB_STR("{\"*\":[]}") : HOB_STR("{}"));
    for (size_t i = 0; i < HOB_COUNT(others); i++)
        if (json_object_get(all, others[i])) {
            hob_jw_key(w, others[i]);
            hob_jw_json(w, json_object_get(all, others[i]));
        }
    hob_jw_object_end(w);
}

void class_write(struct hob_jw *w, const char *name, const struct data_class *class)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "className", name);
    write_fields(w, name, class);
    write_permissions(w, class);
    hob_jw_key(w, "indexes");
    hob_jw_object(w);
    hob_jw_key(w, "_id_");
    hob_jw_raw(w, HOB_STR("{\"_id\":1}"));
    for (size_t i = 0; class && i < class->indexes_n; i++) {
        hob_jw_key(w, class->indexes[i].name);
        hob_jw_raw(w, hob_str(class->indexes[i].keys_json));
    }
    hob_jw_object_end(w);
    hob_jw_object_end(w);
}

static enum hob_code write_class(void *ctx, const struct data_class *class, struct hob_err *err)
{
    (void)err;
    class_write(ctx, class->name, class);
    return HOB_OK;
}

static enum hob_code list_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    /* These are there from the start, as with parse-server. */
    static const char *const always[] = {"_User", "_Role"};
    struct hob_jw w;
    hob_jw_init(&w, &c->out);
    hob_jw_object(&w);
    hob_jw_key(&w, "results");
    hob_jw_array(&w);
    for (size_t i = 0; i < HOB_COUNT(always); i++)
        if (!data_class_find(tx, always[i]))
            class_write(&w, always[i], NULL);
    enum hob_code rc = data_class_each(tx, write_class, &w, err);
    hob_jw_array_end(&w);
    hob_jw_object_end(&w);
    return rc == HOB_OK ? hob_jw_end(&w, err) : rc;
}

static enum hob_code get_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct hob_jw w;
    const char *name = ask_text_of(c, c->params[0]);
    const struct data_class *class = name ? data_class_find(tx, name) : NULL;
    if (!name || (!class && strcmp(name, "_User") != 0 && strcmp(name, "_Role") != 0))
        return parse_fail(err, PARSE_INVALID_CLASS_NAME, "Class %.80s does not exist.", name ? name : "");
    hob_jw_init(&w, &c->out);
    class_write(&w, name, class);
    return hob_jw_end(&w, err);
}

/* --- removing ----------------------------------------------------------------------------------------------------- */

static enum hob_code drop_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const char *name = ask_text_of(c, c->params[0]);
    uint64_t n = 0;
    if (!name || !class_name_is_valid(c->params[0]))
        return parse_fail(
            err, PARSE_INVALID_CLASS_NAME,
            "Invalid classname: %.80s, classnames can only have alphanumeric characters and _, and must "
            "start with an alpha character ",
            name ? name : "");
    if (!data_class_find(tx, name))
        return HOB_OK;
    struct data_query q = {.class_name = name, .limit = -1};
    enum hob_code rc = data_count(tx, &q, &n, err);
    if (rc == HOB_OK && n)
        return parse_fail(err, PARSE_INVALID_SCHEMA_OPERATION,
                          "Class %s is not empty, contains %llu objects, cannot drop schema.", name,
                          (unsigned long long)n);
    return rc == HOB_OK ? data_class_drop(tx, name, err) : rc;
}

struct purge {
    const char *name;
    char (*ids)[160];
    size_t n;
    bool has_more;
};

static enum hob_code take_id(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct purge *p = ctx;
    if (row->id.n >= sizeof p->ids[0])
        return hob_fail(err, HOB_E_INTERNAL, "an object's id is too long to be purged");
    memcpy(p->ids[p->n], row->id.at, row->id.n);
    p->ids[p->n++][row->id.n] = '\0';
    return HOB_OK;
}

/* Some rows a job, so that other writes of the app get their turn. */
static enum hob_code purge_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct purge *p = c->state;
    struct data_query q = {.class_name = p->name, .limit = PURGE_ROWS};
    p->n = 0;
    if (!data_class_find(tx, p->name))
        return HOB_OK;
    enum hob_code rc = data_find(tx, &q, take_id, p, err);
    for (size_t i = 0; i < p->n && rc == HOB_OK; i++)
        rc = data_remove(tx, p->name, hob_str(p->ids[i]), err);
    p->has_more = p->n == PURGE_ROWS;
    session_note(c, p->name, HOB_STR(""));
    return rc;
}

static void purge_on(struct backend_call *c)
{
    struct purge *p = c->state;
    if (p->has_more)
        ask_write(c, purge_work, purge_on);
    else
        ask_finish(c);
}

static void start_purge(struct backend_call *c)
{
    struct purge *p = hob_arena_alloc(&c->arena, sizeof *p);
    const char *name = ask_text_of(c, c->params[0]);
    if (p && name) {
        p->ids = hob_calloc(PURGE_ROWS, sizeof *p->ids);
        p->name = name;
        c->state = p;
        ask_defer(c, free, p->ids);
        ask_write(c, purge_work, purge_on);
        return;
    }
    (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "the request is too large");
    ask_fail(c);
}

const struct backend_route schema_routes[] = {
    {"GET", "/schemas", ROUTE_READ, NEED_MASTER_READ, list_work, NULL},
    {"GET", "/schemas/:class", ROUTE_READ, NEED_MASTER_READ, get_work, NULL},
    {"POST", "/schemas", ROUTE_WRITE, NEED_MASTER, schema_create_work, NULL},
    {"POST", "/schemas/:class", ROUTE_WRITE, NEED_MASTER, schema_create_work, NULL},
    {"PUT", "/schemas/:class", ROUTE_WRITE, NEED_MASTER, schema_update_work, NULL},
    {"DELETE", "/schemas/:class", ROUTE_WRITE, NEED_MASTER, drop_work, NULL},
    {"DELETE", "/purge/:class", ROUTE_FLOW, NEED_MASTER, NULL, start_purge},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
