/* Removing:
 *
 *   without triggers:  one job: permission -> removal -> answer
 *   with them:         job: permission, the object -> beforeDelete -> job: removal -> afterDelete -> answer {} */
#include <string.h>

#include "bindings/auth/session.h"
#include "bindings/object/object_priv.h"
#include "bindings/trigger.h"

#include "base/banned.h"

typedef enum hob_code (*store_cb)(struct backend_call *c, struct data_tx *tx, struct hob_str id,
                                  struct hob_err *err);
struct removing {
    const char *class_name;
    struct hob_str id;
    unsigned flags;
    store_cb store;
    json_t *object; /* owned; for triggers */
    bool needs_object;
};

struct kept {
    struct removing *r;
    const struct data_class *class;
};

static enum hob_code keep(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct kept *k = ctx;
    if (!k->r->needs_object)
        return HOB_OK;
    json_decref(k->r->object);
    k->r->object = row_json(k->class, row, err);
    if (!k->r->object)
        return err->code;
    (void)json_object_set_new(k->r->object, "className", json_string(k->r->class_name));
    return HOB_OK;
}

static enum hob_code look(struct backend_call *c, struct data_tx *tx, struct removing *r, struct hob_err *err)
{
    struct kept kept = {.r = r};
    struct permit permit;
    bool is_found = false;
    enum hob_code rc = class_judge(c, r->class_name, "delete", r->flags, err);
    if (rc != HOB_OK)
        return rc;
    kept.class = data_class_find(tx, r->class_name);
    rc = permit_class(c, kept.class, r->class_name, OP_DELETE, r->flags, &permit, err);
    if (rc == HOB_OK && kept.class && !permit.is_nothing)
        rc = data_get(tx, r->class_name, r->id, &permit.access, keep, &kept, &is_found, err);
    if (rc == HOB_OK && !is_found)
        rc = parse_fail(err, PARSE_OBJECT_NOT_FOUND, "Object not found.");
    return rc;
}

static enum hob_code removal(struct backend_call *c, struct data_tx *tx, struct removing *r,
                             struct hob_err *err)
{
    enum hob_code rc = look(c, tx, r, err);
    if (rc == HOB_OK && r->store)
        rc = r->store(c, tx, r->id, err);
    if (rc == HOB_OK)
        rc = data_remove(tx, r->class_name, r->id, err);
    if (rc == HOB_OK)
        session_note(c, r->class_name, r->id);
    return rc;
}

enum hob_code object_remove(struct backend_call *c, struct data_tx *tx, const char *class_name,
                            struct hob_str id, unsigned flags, struct hob_err *err)
{
    struct removing r = {.class_name = class_name, .id = id, .flags = flags};
    return removal(c, tx, &r, err);
}

/* --- the flow ----------------------------------------------------------------------------------------------------- */

static bool has_trigger(const struct backend_call *c, enum trigger_kind kind)
{
    const struct removing *r = c->state;
    return trigger_exists(c->backend, c->request.app, hob_str(r->class_name), kind);
}

static enum hob_code look_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return look(c, tx, c->state, err);
}

static enum hob_code remove_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return removal(c, tx, c->state, err);
}

static void on_after_delete(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    (void)err; /* told in the log by who ran it */
    (void)answer;
    ask_finish(c);
}

static void after_delete(struct backend_call *c)
{
    struct removing *r = c->state;
    if (!r->object || !has_trigger(c, TRIGGER_AFTER_DELETE)) {
        ask_finish(c);
        return;
    }
    struct trigger_event e = {
        .kind = TRIGGER_AFTER_DELETE, .class_name = hob_str(r->class_name), .object = r->object};
    trigger_run(c, &e, on_after_delete);
}

static void on_before_delete(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    (void)answer;
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    ask_write(c, remove_work, after_delete);
}

static void before_delete(struct backend_call *c)
{
    struct removing *r = c->state;
    if (!has_trigger(c, TRIGGER_BEFORE_DELETE)) { /* it went while we looked */
        ask_write(c, remove_work, after_delete);
        return;
    }
    struct trigger_event e = {
        .kind = TRIGGER_BEFORE_DELETE, .class_name = hob_str(r->class_name), .object = r->object};
    trigger_run(c, &e, on_before_delete);
}

static void drop_object(void *p)
{
    struct removing *r = p;
    json_decref(r->object);
}

void object_serve_remove(struct backend_call *c, struct hob_str class_name, struct hob_str id, store_cb store)
{
    struct removing *r = hob_arena_alloc(&c->arena, sizeof *r);
    const char *name = ask_text_of(c, class_name);
    if (!r || !name) {
        (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "the request is too large");
        ask_fail(c);
        return;
    }
    *r = (struct removing){.class_name = name, .id = id, .store = store};
    ask_defer(c, drop_object, r);
    c->state = r;
    r->needs_object = has_trigger(c, TRIGGER_BEFORE_DELETE) || has_trigger(c, TRIGGER_AFTER_DELETE);
    if (has_trigger(c, TRIGGER_BEFORE_DELETE))
        ask_read(c, look_work, before_delete);
    else
        ask_write(c, remove_work, after_delete);
}
