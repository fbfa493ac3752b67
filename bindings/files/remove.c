/* DELETE /files/NAME (master). Flow:
 *
 *   beforeDelete -> UNNAMED (a write job: the name goes; the content's count falls) -> SWEPT (only when no name is left: a
 *   second write job looks again and unlinks, so that an upload of the same content in between keeps it; S3: a worker)
 *   -> afterDelete -> answered */
#include <stdlib.h>

#include "base/mem.h"
#include "bindings/auth/auth.h"
#include "bindings/files/files_priv.h"
#include "bindings/trigger.h"
#include "store/kv.h"

struct removal {
    struct blob_place place;
    struct file_row row;
    struct blob blob;
    char *name;
    bool is_last;
    json_t *object;
    struct file_work work;
};

static void removal_free(void *p)
{
    struct removal *r = p;
    blob_place_done(&r->place);
    file_row_done(&r->row);
    json_decref(r->object);
    free(r->name);
    free(r);
}

static void on_after_delete(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    (void)err, (void)value; /* told by the trigger's own log */
    ask_finish(c);
}

static void after_removed(struct backend_call *c)
{
    const struct removal *r = c->state;
    struct trigger_event e = {
        .kind = TRIGGER_AFTER_DELETE, .class_name = HOB_STR("@File"), .object = r->object};
    if (trigger_exists(c->backend, c->request.app, e.class_name, e.kind))
        trigger_run(c, &e, on_after_delete);
    else
        ask_finish(c);
}

/* --- the bytes --- */

static enum hob_code ignore_row(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    (void)ctx, (void)row, (void)err;
    return HOB_OK;
}

static enum hob_code sweep_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct removal *r = c->state;
    enum hob_code rc = kv_get(tx, blob_space, hob_str(r->blob.digest), c->now_ms, ignore_row, NULL, err);
    if (rc != HOB_E_NOT_FOUND)
        return rc; /* somebody stored the same content meanwhile */
    return blob_drop(&r->place, &r->blob, err);
}

static enum hob_code drop_work(void *ctx, struct hob_err *err)
{
    const struct removal *r = ((struct backend_call *)ctx)->state;
    return blob_drop(&r->place, &r->blob, err);
}

static void on_dropped(void *ctx, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    if (err) {
        c->err = *err;
        ask_fail(c);
    } else {
        after_removed(c);
    }
}

static void after_unnamed(struct backend_call *c)
{
    struct removal *r = c->state;
    if (r->place.is_s3) {
        r->work = (struct file_work){
            .files = backend_files(c->backend), .work = drop_work, .done = on_dropped, .ctx = c};
        file_work_start(&r->work);
    } else if (r->is_last) {
        ask_write(c, sweep_work, after_removed);
    } else {
        after_removed(c);
    }
}

/* --- the name --- */

static enum hob_code unname_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct removal *r = c->state;
    int64_t names = 0;
    enum hob_code rc = file_row_read(tx, hob_str(r->name), &r->row, err);
    if (rc == HOB_E_NOT_FOUND)
        return parse_fail(err, PARSE_FILE_DELETE_ERROR, "Could not delete file.");
    if (rc != HOB_OK || kv_drop(tx, file_space, hob_str(r->name), NULL, err) != HOB_OK ||
        kv_add(tx, blob_space, hob_str(r->row.digest), -1, c->now_ms, &names, err) != HOB_OK)
        return err->code;
    r->blob = (struct blob){r->name, r->row.digest, r->row.type, r->row.bytes};
    r->is_last = names <= 0;
    return r->is_last ? kv_drop(tx, blob_space, hob_str(r->row.digest), NULL, err) : HOB_OK;
}

static void on_before_delete(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    (void)value;
    if (err) {
        c->err = *err;
        ask_fail(c);
    } else {
        ask_write(c, unname_work, after_unnamed);
    }
}

void file_remove_start(struct backend_call *c)
{
    struct removal *r = hob_new(struct removal);
    const struct backend_options *o = backend_wiring(c->backend);
    const struct backend_app *app = backend_app_by_name(o->apps, hob_str(c->request.app));
    c->state = r;
    ask_defer(c, removal_free, r);
    r->name = hob_strndup(c->params[0].at, c->params[0].n);
    r->object = json_pack("{s:s,s:s}", "__type", "File", "name", r->name);
    struct trigger_event e = {
        .kind = TRIGGER_BEFORE_DELETE, .class_name = HOB_STR("@File"), .object = r->object};
    if (!app || file_place(c->backend, app, &r->place, &c->err) != HOB_OK)
        ask_fail(c);
    else if (trigger_exists(c->backend, c->request.app, e.class_name, e.kind))
        trigger_run(c, &e, on_before_delete);
    else
        ask_write(c, unname_work, after_unnamed);
}
