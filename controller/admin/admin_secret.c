/* `hob secret`: sealed on the loop, so that no plain value waits in a queue. */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/admin/admin_priv.h"

static enum hob_code work_secret_set(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    if (store_app_ensure(tx, op->app, op->result.updated_ms, &op->app_row, err) != HOB_OK)
        return err->code;
    struct secret_row row = {.app_id = op->app_row.id,
                             .updated_ms = op->result.updated_ms,
                             .name = op->name,
                             .sealed = hob_buf_str(&op->sealed)};
    return store_secret_put(tx, &row, err);
}

static void apply_secret_set(struct admin_op *op)
{
    const struct admin_options *o = admin_options_of(op->admin);
    (void)catalog_app_ensure(o->catalog, &op->app_row);
    vault_put(o->vault, op->app, op->name, hob_buf_str(&op->sealed), op->result.updated_ms);
    catalog_secret_changed(o->catalog, hob_str(op->app), op->name);
}

static enum hob_code check_secret(struct hob_str app, struct hob_str name, struct hob_str value,
                                  struct hob_err *err)
{
    if (!hob_name_is_valid(app))
        return hob_fail(err, HOB_E_INVALID,
                        "app name '%.*s': use a-z, 0-9, '-', 1 to 64 characters, a letter first, no '-' last",
                        (int)(app.n < 64 ? app.n : 64), app.at);
    if (vault_name_check(name, err) != HOB_OK)
        return err->code;
    if (value.n > HOB_MAX_SECRET_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "secret '%.*s' has %zu bytes; %d are allowed (app.secret_bytes)", HOB_STR_ARG(name),
                        value.n, HOB_MAX_SECRET_BYTES);
    if (value.n == 0 || memchr(value.at, 0, value.n))
        return hob_fail(err, HOB_E_INVALID, "secret '%.*s' is %s: give 1 to %d bytes of text",
                        HOB_STR_ARG(name), value.n ? "not text (it has a NUL byte)" : "empty",
                        HOB_MAX_SECRET_BYTES);
    return HOB_OK;
}

void admin_secret_set(struct admin *a, struct hob_str app, struct hob_str name, struct hob_str value,
                      admin_done_cb done, void *ctx)
{
    struct admin_op *op = admin_op_new(a, app, HOB_STR(""), name);
    struct hob_err err;
    op->work = work_secret_set;
    op->apply = apply_secret_set;
    op->result.updated_ms = hob_utc_ms();
    hob_buf_init(&op->sealed, HOB_MAX_SECRET_BYTES + 256);
    if (check_secret(app, name, value, &err) != HOB_OK) {
        op->err = err;
    } else {
        enum hob_code rc = vault_seal(admin_options_of(a)->vault, op->app, op->name, value, &op->sealed);
        HOB_ASSERT(rc == HOB_OK);
    }
    admin_op_run(op, done, ctx);
}

static enum hob_code work_secret_remove(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct admin_op *op = ctx;
    int64_t app_id = 0;
    if (store_app_id(tx, op->app, &app_id, err) != HOB_OK)
        return err->code;
    return store_secret_remove(tx, app_id, op->name, err);
}

static void apply_secret_remove(struct admin_op *op)
{
    const struct admin_options *o = admin_options_of(op->admin);
    vault_drop(o->vault, op->app, op->name);
    catalog_secret_changed(o->catalog, hob_str(op->app), op->name);
}

void admin_secret_remove(struct admin *a, struct hob_str app, struct hob_str name, admin_done_cb done,
                         void *ctx)
{
    struct admin_op *op = admin_op_new(a, app, HOB_STR(""), name);
    op->work = work_secret_remove;
    op->apply = apply_secret_remove;
    op->result.updated_ms = hob_utc_ms();
    admin_op_run(op, done, ctx);
}
