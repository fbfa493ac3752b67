#include "bindings/trigger.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bindings/cloud/cloud_priv.h"

#include "base/banned.h"

const char *const trigger_names[TRIGGERS_] = {
    [TRIGGER_BEFORE_SAVE] = "beforeSave",     [TRIGGER_AFTER_SAVE] = "afterSave",
    [TRIGGER_BEFORE_DELETE] = "beforeDelete", [TRIGGER_AFTER_DELETE] = "afterDelete",
    [TRIGGER_BEFORE_FIND] = "beforeFind",     [TRIGGER_AFTER_FIND] = "afterFind",
    [TRIGGER_BEFORE_LOGIN] = "beforeLogin",   [TRIGGER_AFTER_LOGIN] = "afterLogin",
    [TRIGGER_AFTER_LOGOUT] = "afterLogout",   [TRIGGER_BEFORE_PASSWORD_RESET] = "beforePasswordResetRequest",
};

enum { NAME_BYTES = 256 };

/* "beforeSave Order"; false when it is longer than any that can be registered. */
static bool name_of(char out[NAME_BYTES], enum trigger_kind kind, struct hob_str class_name)
{
    int n = class_name.n < NAME_BYTES
                ? snprintf(out, NAME_BYTES, "%s %.*s", trigger_names[kind], HOB_STR_ARG(class_name))
                : -1;
    return n > 0 && n < NAME_BYTES;
}

bool trigger_exists(struct backend *b, const char *app, struct hob_str class_name, enum trigger_kind kind)
{
    char name[NAME_BYTES];
    struct cloud_target target;
    return name_of(name, kind, class_name) &&
           cloud_find(backend_cloud(b), app, CLOUD_TRIGGER, hob_str(name), &target);
}

/* --- the request --- */

static json_t *with_class(json_t *object, struct hob_str class_name)
{
    json_t *copy = json_deep_copy(object);
    if (json_is_object(copy) && !json_object_get(copy, "className"))
        (void)json_object_set_new(copy, "className", json_stringn(class_name.at, class_name.n));
    return copy;
}

static json_t *payload_of(const struct trigger_event *e)
{
    json_t *p = json_object();
    (void)json_object_set_new(p, "triggerName", json_string(trigger_names[e->kind]));
    (void)json_object_set_new(p, "className", json_stringn(e->class_name.at, e->class_name.n));
    if (e->object)
        (void)json_object_set_new(p, "object", with_class(e->object, e->class_name));
    if (e->original)
        (void)json_object_set_new(p, "original", with_class(e->original, e->class_name));
    if (e->query)
        (void)json_object_set_new(p, "query", json_deep_copy(e->query));
    if (e->kind == TRIGGER_BEFORE_FIND || e->kind == TRIGGER_AFTER_FIND) {
        (void)json_object_set_new(p, "count", json_boolean(e->is_count));
        (void)json_object_set_new(p, "isGet", json_boolean(e->is_get));
    }
    if (!e->objects)
        return p;
    json_t *objects = json_array();
    for (size_t i = 0; i < json_array_size(e->objects); i++)
        (void)json_array_append_new(objects, with_class(json_array_get(e->objects, i), e->class_name));
    (void)json_object_set_new(p, "objects", objects);
    return p;
}

/* --- the answer --- */

struct running {
    trigger_done_cb done;
    char name[NAME_BYTES];
};

/* What beforeSave gives back is the whole object; what the server alone decides is taken out of it. */
static void strip(json_t *object)
{
    static const char *const own[] = {"createdAt", "updatedAt", "className", "__type"};
    for (size_t i = 0; json_is_object(object) && i < HOB_COUNT(own); i++)
        (void)json_object_del(object, own[i]);
}

static void on_ran(struct backend_call *call, void *ctx, const struct hob_err *err, json_t *success)
{
    struct running *r = ctx;
    if (err)
        hob_log(HOB_LOG_WARN, "cloud.trigger", "app=%s trigger=\"%s\" rid=%.*s error=\"%.160s\"",
                call->request.app, r->name, HOB_STR_ARG(call->request.request_id), err->msg);
    else
        strip(success);
    r->done(call, err, success);
    free(r);
}

void trigger_run(struct backend_call *c, const struct trigger_event *e, trigger_done_cb done)
{
    struct running *r = hob_new(struct running);
    struct cloud_target target = {0};
    r->done = done;
    bool is_there =
        name_of(r->name, e->kind, e->class_name) &&
        cloud_find(backend_cloud(c->backend), c->request.app, CLOUD_TRIGGER, hob_str(r->name), &target);
    HOB_ASSERT(is_there); /* the caller has asked trigger_exists in this turn of the loop */
    cloud_run(&(struct cloud_run){.call = c,
                                  .target = target,
                                  .payload = payload_of(e),
                                  .timeout_ms = (uint32_t)ask_int(c, SETTING_TRIGGER_TIME_MS),
                                  .done = on_ran,
                                  .ctx = r});
}
