#include "controller/admin.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/admin/admin_priv.h"

/* Instances of what was removed hold its code while they drain: what could not be collected at once goes then. */
enum { COLLECT_AGAIN_MS = 60000 };

struct admin {
    struct admin_options o;
    struct hob_list running;
    uv_work_t collect;
    uv_timer_t collect_again;
    bool is_collecting, wants_collect, is_closing;
    struct hob_err collect_err;
    uint64_t collected;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct admin_options const *admin_options_of(const struct admin *a)
{
    return &a->o;
}

/* --- collecting code that nobody refers to --- */

static void collect(struct admin *a);
static void try_close(struct admin *a);

static void work_collect(uv_work_t *work)
{
    struct admin *a = work->data;
    a->collect_err = (struct hob_err){0};
    a->collected = 0;
    if (code_store_collect(a->o.code, &a->collected, &a->collect_err) == HOB_OK)
        a->collect_err = (struct hob_err){0};
}

static void on_collected(uv_work_t *work, int status)
{
    struct admin *a = work->data;
    (void)status;
    a->is_collecting = false;
    if (a->collect_err.code != HOB_OK)
        hob_log(HOB_LOG_WARN, "code.collect_failed", "error=\"%s\"", a->collect_err.msg);
    else if (a->collected)
        hob_log(HOB_LOG_INFO, "code.collected", "trees=%llu", (unsigned long long)a->collected);
    if (a->wants_collect)
        collect(a);
    try_close(a);
}

static void collect(struct admin *a)
{
    if (!a->o.code || a->is_closing)
        return;
    a->wants_collect = a->is_collecting;
    if (a->is_collecting)
        return;
    a->is_collecting = true;
    int rc = uv_queue_work(a->o.loop, &a->collect, work_collect, on_collected);
    HOB_ASSERT(rc == 0);
}

static void on_collect_again(uv_timer_t *timer)
{
    collect(timer->data);
}

/* --- one verb --- */

static bool has_nul(struct hob_str s)
{
    return s.n && memchr(s.at, 0, s.n);
}

struct admin_op *admin_op_new(struct admin *a, struct hob_str app, struct hob_str function,
                              struct hob_str name)
{
    struct admin_op *op = hob_new(struct admin_op);
    op->admin = a;
    op->app = hob_strndup(app.at, app.n);
    op->function = hob_strndup(function.at, function.n);
    op->name = hob_strndup(name.at, name.n);
    hob_list_push_back(&a->running, &op->node);
    if (has_nul(app) || has_nul(function) || has_nul(name))
        (void)hob_fail(&op->err, HOB_E_INVALID,
                       "a name has a NUL byte"); /* or it would be cut, and name another */
    else if (a->is_closing)
        (void)hob_fail_reason(&op->err, HOB_E_UNAVAILABLE, "shutting_down",
                              "the daemon is stopping; try again later");
    return op;
}

static void op_free(struct admin_op *op)
{
    hob_list_remove(&op->node);
    free(op->app);
    free(op->function);
    free(op->name);
    hob_buf_done(&op->sealed);
    admin_env_patch_free(op->patch);
    hob_free_p(&op->made.digest);
    hob_free_p(&op->made.config_json);
    hob_free_p(&op->made.env_json);
    hob_free_p(&op->made.cloud_json);
    free(op);
}

struct function *admin_op_function(const struct admin_op *op)
{
    struct function *f = catalog_function_find(op->admin->o.catalog, hob_str(op->app), hob_str(op->function));
    HOB_ASSERT(f); /* commits and their callbacks come in one order */
    return f;
}

static enum hob_code work_refused(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct admin_op *op = ctx;
    (void)tx;
    *err = op->err;
    return err->code;
}

static enum hob_code work_op(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    return op->work(op, tx, err);
}

static void on_op_done(void *ctx, const struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct admin *a = op->admin;
    if (!err)
        op->apply(op);
    bool frees_code = !err && op->frees_code;
    op->done(op->ctx, err ? NULL : &op->result, err);
    op_free(op);
    if (frees_code) {
        collect(a);
        if (!a->is_closing)
            (void)uv_timer_start(&a->collect_again, on_collect_again, COLLECT_AGAIN_MS, 0);
    }
    try_close(a);
}

void admin_op_run(struct admin_op *op, admin_done_cb done, void *ctx)
{
    op->done = done;
    op->ctx = ctx;
    store_write(op->admin->o.store, op->err.code == HOB_OK ? work_op : work_refused, on_op_done, op);
}

/* --- remove --- */

static enum hob_code work_function_remove(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct function_row f;
    if (store_function_get(tx, op->app, op->function, &f, err) != HOB_OK ||
        store_function_remove(tx, f.id, err) != HOB_OK)
        return err->code;
    return store_code_prune(tx, err);
}

static void tell_removed(const struct admin *a, const struct function *f)
{
    if (a->o.removed)
        a->o.removed(a->o.removed_ctx, f->app->name, f->name);
}

static void apply_function_remove(struct admin_op *op)
{
    struct function *f = admin_op_function(op);
    tell_removed(op->admin, f);
    catalog_function_drop(op->admin->o.catalog, f);
}

/* The message with the nearest name comes from the catalogue; the store would only know that it is not there. */
static struct version *need_version(struct admin_op *op, struct hob_str qualifier)
{
    struct hob_err err;
    struct version *v =
        catalog_resolve(op->admin->o.catalog, hob_str(op->app), hob_str(op->function), qualifier, &err);
    if (!v && op->err.code == HOB_OK)
        op->err = err;
    return v;
}

void admin_function_remove(struct admin *a, struct hob_str app, struct hob_str function, admin_done_cb done,
                           void *ctx)
{
    struct admin_op *op = admin_op_new(a, app, function, HOB_STR(""));
    op->work = work_function_remove;
    op->apply = apply_function_remove;
    op->frees_code = true;
    (void)need_version(op, HOB_STR(""));
    admin_op_run(op, done, ctx);
}

static enum hob_code work_app_remove(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    if (store_app_remove(tx, op->app, err) != HOB_OK)
        return err->code;
    return store_code_prune(tx, err);
}

static void apply_app_remove(struct admin_op *op)
{
    struct admin *a = op->admin;
    struct app *app = catalog_app_find(a->o.catalog, hob_str(op->app));
    struct function *f, *tmp;
    HOB_ASSERT(app);
    HASH_ITER(hh, app->functions, f, tmp)
    tell_removed(a, f);
    catalog_app_drop(a->o.catalog, app);
    vault_drop(a->o.vault, op->app, NULL);
}

void admin_app_remove(struct admin *a, struct hob_str app, admin_done_cb done, void *ctx)
{
    struct admin_op *op = admin_op_new(a, app, HOB_STR(""), HOB_STR(""));
    op->work = work_app_remove;
    op->apply = apply_app_remove;
    op->frees_code = true;
    admin_op_run(op, done, ctx);
}

/* --- rollback --- */

static enum hob_code ignore_version(void *ctx, const struct version_row *row, struct hob_err *err)
{
    (void)ctx;
    (void)row;
    (void)err;
    return HOB_OK;
}

static enum hob_code work_rollback(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct function_row f;
    if (store_function_get(tx, op->app, op->function, &f, err) != HOB_OK)
        return err->code;
    uint32_t to = op->version ? op->version : f.previous_live;
    if (to == 0)
        return hob_fail_reason(
            err, HOB_E_CONFLICT, "no_previous_version",
            "function '%s/%s' has had no other live version; name one with `hob rollback %s/%s N`", op->app,
            op->function, op->app, op->function);
    op->result.version = to;
    op->result.previous = f.live;
    op->is_unchanged = to == f.live;
    if (op->is_unchanged)
        return HOB_OK;
    if (store_version_get(tx, f.id, to, ignore_version, NULL, err) != HOB_OK)
        return err->code;
    return store_function_set_live(tx, f.id, to, err);
}

static void apply_rollback(struct admin_op *op)
{
    struct function *f = admin_op_function(op);
    if (!op->is_unchanged)
        catalog_set_live(op->admin->o.catalog, f, function_version_find(f, op->result.version),
                         op->result.previous);
}

static struct version *rollback_target(struct admin_op *op)
{
    struct version *live = need_version(op, HOB_STR(""));
    if (!live)
        return NULL;
    uint32_t to = op->version ? op->version : live->function->previous_live;
    hob_auto_free char *text = hob_asprintf("%u", to);
    return to ? need_version(op, hob_str(text)) : NULL;
}

void admin_rollback(struct admin *a, struct admin_target t, uint32_t version, admin_done_cb done, void *ctx)
{
    struct admin_op *op = admin_op_new(a, t.app, t.function, HOB_STR(""));
    op->work = work_rollback;
    op->apply = apply_rollback;
    op->version = version;
    struct version *to = rollback_target(op);
    struct hob_err err;
    if (to && catalog_routes_check(a->o.catalog, op->app, version_config(to), &err) != HOB_OK)
        op->err = err;
    admin_op_run(op, done, ctx);
}

/* --- aliases --- */

static enum hob_code work_alias_set(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct function_row f;
    if (store_function_get(tx, op->app, op->function, &f, err) != HOB_OK)
        return err->code;
    struct alias_row row = {.function_id = f.id, .name = op->name, .version = op->version};
    return store_alias_put(tx, &row, err);
}

static void apply_alias_set(struct admin_op *op)
{
    struct function *f = admin_op_function(op);
    struct version *v = function_version_find(f, op->version);
    HOB_ASSERT(v);
    catalog_alias_put(op->admin->o.catalog, f, op->name, v);
}

void admin_alias_set(struct admin *a, struct admin_target t, struct hob_str alias, uint32_t version,
                     admin_done_cb done, void *ctx)
{
    struct admin_op *op = admin_op_new(a, t.app, t.function, alias);
    op->work = work_alias_set;
    op->apply = apply_alias_set;
    op->version = version;
    op->result.version = version;
    if (op->err.code == HOB_OK && !hob_name_is_valid(alias))
        (void)hob_fail(
            &op->err, HOB_E_INVALID,
            "alias name '%.64s': use a-z, 0-9, '-', 1 to 64 characters, a letter first, no '-' last",
            op->name);
    hob_auto_free char *text = hob_asprintf("%u", version);
    (void)need_version(op, hob_str(text));
    admin_op_run(op, done, ctx);
}

static enum hob_code work_alias_remove(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    struct function_row f;
    if (store_function_get(tx, op->app, op->function, &f, err) != HOB_OK)
        return err->code;
    return store_alias_remove(tx, f.id, op->name, err);
}

static void apply_alias_remove(struct admin_op *op)
{
    catalog_alias_drop(op->admin->o.catalog, admin_op_function(op), op->name);
}

void admin_alias_remove(struct admin *a, struct admin_target t, struct hob_str alias, admin_done_cb done,
                        void *ctx)
{
    struct admin_op *op = admin_op_new(a, t.app, t.function, alias);
    op->work = work_alias_remove;
    op->apply = apply_alias_remove;
    bool is_number = alias.n && alias.at[0] >= '0' && alias.at[0] <= '9';
    struct version *v = need_version(op, is_number ? HOB_STR("") : alias);
    if (v)
        op->result.version = v->number;
    admin_op_run(op, done, ctx);
}

/* --- the whole --- */

struct admin *admin_new(const struct admin_options *o)
{
    struct admin *a = hob_new(struct admin);
    a->o = *o;
    a->collect.data = a;
    a->collect_again.data = a;
    hob_list_init(&a->running);
    HOB_ASSERT(uv_timer_init(o->loop, &a->collect_again) == 0);
    uv_unref((uv_handle_t *)&a->collect_again);
    collect(a); /* what a crash left between the removal and its collection */
    return a;
}

static void on_closed(uv_handle_t *handle)
{
    struct admin *a = handle->data;
    void (*closed)(void *ctx) = a->closed;
    void *ctx = a->closed_ctx;
    free(a);
    if (closed)
        closed(ctx);
}

static void try_close(struct admin *a)
{
    uv_handle_t *timer = (uv_handle_t *)&a->collect_again;
    if (a->is_closing && hob_list_is_empty(&a->running) && !a->is_collecting && !uv_is_closing(timer))
        uv_close(timer, on_closed);
}

void admin_close(struct admin *a, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!a->is_closing);
    a->is_closing = true;
    a->closed = closed;
    a->closed_ctx = ctx;
    try_close(a);
}
