/* A change of variables or secrets alone, of a function with a config hook: brought to the instances that run, instead
 * of replacing them (docs/functions.md, "Hooks").
 *
 *   READY | FROZEN -> INITIALISING (RECONFIG is out: what HELLO said, anew; hob-init asks the hook) -> READY
 *   BUSY: gets nothing new, and is told when it is idle; one that is not in time drains. Another one may be started
 *   in its place, and when that is there, it drains, too
 *
 * INIT_ERROR, silence, a violation and the end of the process cost the instance, as they do at its start, but do not
 * count against the function: whoever comes next gets a fresh one. Of `hob env` and a deploy the new version takes over
 * the instances of the one before, when nothing but variables and secrets tells them apart. */
#include <string.h>

#include "base/json.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

bool reconfig_has_hook(const struct pool *p)
{
    return p->config->kind == FUNCTION_HTTP && p->config->config_hook;
}

/* ---- one instance ---- */

void reconfig_begin(struct instance *i)
{
    hob_auto_buf struct hob_buf hello;
    hob_buf_init(&hello, 1u << 20);
    i->is_stale = false;
    i->is_reconfiguring = true;
    i->init_us = dispatcher_now(i->pool->d);
    i->pings_missed = 0;
    i->ping_us = 0;
    dispatcher_wake(i->pool->d, &i->pool->wake, instance_wake_us(i));
    if (hello_write(i, &hello, &i->why) == HOB_OK) {
        channel_reconfig(i->channel, hob_buf_str(&hello));
        return;
    }
    pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""), hob_str(i->why.msg));
    instance_event(i, INSTANCE_INIT_ERROR);
}

void reconfig_later(struct instance *i)
{
    HOB_ASSERT(!i->is_worn);
    if (i->state == INSTANCE_BUSY && !i->is_stale)
        i->pool->stale_n++;
    i->is_stale = true;
    i->drain_by_us = dispatcher_now(i->pool->d) + (uint64_t)HOB_MAX_DRAIN_MS * 1000u;
    dispatcher_wake(i->pool->d, &i->pool->wake, i->drain_by_us);
}

void reconfig_done(struct instance *i)
{
    i->is_reconfiguring = false;
    pool_platform_log(i->pool, HOB_CHLOG_INFO, i, HOB_STR(""),
                      HOB_STR("its configuration changed: the config hook was told"));
}

void reconfig_failed(struct instance *i)
{
    i->is_reconfiguring = false;
    pool_platform_log(
        i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""),
        HOB_STR("its configuration changed and its config hook did not take that: the instance is replaced"));
    pool_mark(i->pool);
}

/* ---- from one version to the next ---- */

static bool is_same_program(const struct pool *a, const struct pool *b)
{
    const char *image = a->config->image_id, *other = b->config->image_id;
    if (function_has_image(a->config) || function_has_image(b->config))
        return image && other && strcmp(image, other) == 0;
    return strcmp(a->version->digest, b->version->digest) == 0;
}

/* Without what the hook is told. Stored configurations are canonical and were judged. */
static json_t *bare_config(const struct version *v)
{
    struct hob_err err;
    json_t *j = hob_json_parse(hob_str(v->config_json), "a configuration", &err);
    (void)json_object_del(j, "vars");
    (void)json_object_del(j, "secrets");
    return j;
}

static bool is_same_config(const struct version *a, const struct version *b)
{
    if (strcmp(a->config_json, b->config_json) == 0)
        return true;
    hob_auto_json json_t *x = bare_config(a), *y = bare_config(b);
    return x && y && json_equal(x, y);
}

/* The pool of the live version, when instances of `p` may become its own; else NULL. */
static struct pool *heir_of(const struct pool *p)
{
    const struct function *f = p->version->function;
    struct version *live = f ? f->live : NULL;
    if (!reconfig_has_hook(p) || p->is_gone || p->d->is_draining || !live || live == p->version ||
        version_is_named(p->version))
        return NULL;
    struct pool *heir = pool_of(p->d, live);
    bool can = reconfig_has_hook(heir) && pool_has_room(heir) && is_same_program(p, heir) &&
               is_same_config(p->version, live);
    return can ? heir : NULL;
}

static void move(struct instance *i, struct pool *to)
{
    struct pool *from = i->pool;
    from->ready_n--;
    hob_list_remove(&i->in_ready);
    hob_list_remove(&i->in_pool);
    from->d->memory.promised_mb += to->config->memory_mb;
    from->d->memory.promised_mb -= from->config->memory_mb;
    i->pool = to;
    to->ready_n++;
    to->slots_seen = i->slots;
    hob_list_push_back(&to->instances, &i->in_pool);
    pool_mark(from);
    instance_event(i, INSTANCE_RECONFIG);
}

static bool may_move(const struct instance *i)
{
    return instance_is_idle(i) && !i->is_worn && !i->is_stale && !i->is_learning;
}

bool reconfig_hand_over(struct instance *i)
{
    struct pool *heir = may_move(i) ? heir_of(i->pool) : NULL;
    if (heir)
        move(i, heir);
    return heir != NULL;
}

void reconfig_take_over(struct pool *p)
{
    for (struct version *v = p->version->function ? p->version->function->versions : NULL; v; v = v->older) {
        struct pool *from = v != p->version ? v->pool : NULL;
        if (!from || from->ready_n == 0 || heir_of(from) != p)
            continue;
        HOB_LIST_EACH(&from->instances, n, tmp)
        {
            struct instance *i = HOB_CONTAINER_OF(n, struct instance, in_pool);
            if (may_move(i) && pool_has_room(p))
                move(i, p);
        }
    }
}
