/* Saving:
 *
 *   without triggers:  one job: permission -> write -> answer
 *   with them:         job: permission, the object to be -> beforeSave -> job: write -> afterSave -> answer
 *
 * The first failure ends it; afterSave's is only logged. */
#include <stdlib.h>
#include <string.h>

#include "bindings/object/object_priv.h"
#include "bindings/trigger.h"

#include "base/banned.h"

static bool has_trigger(const struct backend_call *c, enum trigger_kind kind)
{
    const struct object_save *s = c->save;
    return !(s->flags & OBJECT_NO_TRIGGERS) &&
           trigger_exists(c->backend, c->request.app, s->class_name, kind);
}

void object_save_done(struct object_save *s)
{
    json_decref(s->data);
    json_decref(s->hidden);
    json_decref(s->original);
    json_decref(s->original_hidden);
    json_decref(s->object);
    json_decref(s->told);
    s->data = s->hidden = s->original = s->original_hidden = s->object = s->told = NULL;
}

static void drop_save(void *p)
{
    object_save_done(p);
}

static json_t *with_class(const json_t *object, const char *class_name)
{
    json_t *copy = object ? json_copy((json_t *)(uintptr_t)object) : NULL;
    if (copy)
        (void)json_object_set_new(copy, "className", json_string(class_name));
    return copy;
}

/* --- steps, in the order they happen ------------------------------------------------------------------------------ */

static enum hob_code look_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return write_look(c, tx, c->save, err);
}

static enum hob_code store_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    return write_store(c, tx, c->save, err);
}

static void finish(struct backend_call *c)
{
    if (c->save->done)
        c->save->done(c, c->save);
    else
        ask_finish(c);
}

static void on_after_save(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    (void)err; /* told in the log by who ran it */
    (void)answer;
    finish(c);
}

static void after_save(struct backend_call *c)
{
    struct object_save *s = c->save;
    if (!s->object || !has_trigger(c, TRIGGER_AFTER_SAVE)) {
        finish(c);
        return;
    }
    json_t *object hob_auto_json = with_class(s->object, s->class_name.at);
    json_t *original hob_auto_json = with_class(s->original, s->class_name.at);
    struct trigger_event e = {
        .kind = TRIGGER_AFTER_SAVE, .class_name = s->class_name, .object = object, .original = original};
    trigger_run(c, &e, on_after_save);
}

static void save(struct backend_call *c)
{
    ask_write(c, store_work, after_save);
}

static bool is_plumbing(const char *name)
{
    static const char *const names[] = {"objectId", "createdAt", "updatedAt", "className", "__type"};
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The trigger's object stands for the client's data. Members that are as they were in the row are no change; those that
 * are not as the client sent them are told in the answer. Operations of the client stay where the trigger shows their very
 * result, so that what others write meanwhile is not overwritten. */
static void take_object(struct object_save *s, const json_t *answer)
{
    json_t *data = json_object(), *told = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)answer, name, value)
    {
        json_t *given = json_object_get(s->data, name), *shown = json_object_get(s->object, name);
        const char *typed = value_typed(value);
        if (is_plumbing(name) || (typed && strcmp(typed, "Relation") == 0))
            continue;
        bool is_untouched = shown && json_equal(shown, value);
        if (given && is_untouched)
            (void)json_object_set(data, name, given);
        else if (!given && is_untouched && !s->is_create)
            continue;
        else
            (void)json_object_set(data, name, value);
        if (!is_untouched)
            (void)json_object_set_new(told, name, json_true());
    }
    json_object_foreach(s->data, name, value)
    { /* operations on relations, and members taken out, are not in an object; what decides the row's id stays */
        const char *op = value_op(value);
        bool is_kept =
            strcmp(name, "objectId") == 0 || strcmp(name, "createdAt") == 0 ||
            strcmp(name, "updatedAt") == 0 || strchr(name, '.') ||
            (op && (strstr(op, "Relation") || strcmp(op, "Batch") == 0 || strcmp(op, "Delete") == 0));
        if (is_kept && !json_object_get(data, name) &&
            !(op && json_object_get(answer, name) && !strstr(op, "Relation") && strcmp(op, "Batch") != 0))
            (void)json_object_set(data, name, value);
    }
    json_decref(s->data);
    s->data = data;
    json_decref(s->told);
    s->told = told;
}

static void on_before_save(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    if (json_is_object(answer)) {
        json_t *object = json_object_get(answer, "object");
        take_object(c->save, json_is_object(object) && json_object_size(answer) == 1 ? object : answer);
    }
    save(c);
}

static void before_save(struct backend_call *c)
{
    struct object_save *s = c->save;
    s->has_looked = true;
    if (!has_trigger(c, TRIGGER_BEFORE_SAVE)) {
        save(c);
        return;
    }
    json_t *object hob_auto_json = with_class(s->object, s->class_name.at);
    json_t *original hob_auto_json = with_class(s->original, s->class_name.at);
    if (s->is_create) { /* it has neither yet */
        (void)json_object_del(object, "createdAt");
        (void)json_object_del(object, "updatedAt");
        if (!json_object_get(s->data, "objectId") && !s->id.n)
            (void)json_object_del(object, "objectId");
    }
    struct trigger_event e = {
        .kind = TRIGGER_BEFORE_SAVE, .class_name = s->class_name, .object = object, .original = original};
    trigger_run(c, &e, on_before_save);
}

/* --- door --------------------------------------------------------------------------------------------------------- */

static bool copy_str(struct backend_call *c, struct hob_str *s)
{
    if (!s->n)
        return true;
    s->at = ask_text_of(c, *s);
    return s->at != NULL;
}

void object_save_start(struct backend_call *c, const struct object_save *given)
{
    struct object_save *s = hob_arena_alloc(&c->arena, sizeof *s);
    if (s) {
        *s = *given;
        s->data = given->data ? json_incref(given->data) : json_object();
        json_incref(s->hidden);
        ask_defer(c, drop_save, s);
    }
    if (!s || !copy_str(c, &s->class_name) || !copy_str(c, &s->id)) {
        (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "the request is too large");
        ask_fail(c);
        return;
    }
    c->save = s;
    s->needs_object = has_trigger(c, TRIGGER_AFTER_SAVE);
    if (has_trigger(c, TRIGGER_BEFORE_SAVE))
        ask_read(c, look_work, before_save);
    else
        save(c);
}

enum hob_code object_save_now(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                              struct hob_err *err)
{
    int status = c->status;
    size_t headers_n = c->headers_n, out_n = c->out.n;
    if (!s->data)
        s->data = json_object();
    if (!copy_str(c, &s->class_name) || !copy_str(c, &s->id))
        return hob_fail(err, HOB_E_TOO_LARGE, "the request is too large");
    enum hob_code rc = write_store(c, tx, s, err);
    c->status = status; /* an answer of its own: the caller's stays */
    c->headers_n = headers_n;
    c->out.n = out_n;
    return rc;
}
