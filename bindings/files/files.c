/* Files of all apps: the folder, finding one, the life of the whole. Saving and removing: save.c, remove.c. */
#include "bindings/files/files.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "bindings/auth/auth.h"
#include "bindings/files/files_priv.h"
#include "store/kv.h"

enum { SECRET_BYTES_MAX = 65536 };

const char file_space[] = "file", blob_space[] = "file.blob";

/* --- rows --- */

static char *member_text(const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));
    return hob_strdup(text ? text : "");
}

static enum hob_code on_row(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct file_row *r = ctx;
    hob_auto_json json_t *j = hob_json_parse(row->value, "a file's row", err);
    if (!j)
        return err->code;
    r->digest = member_text(j, "digest");
    r->type = member_text(j, "type");
    r->bytes = (uint64_t)json_number_value(json_object_get(j, "bytes"));
    r->metadata = hob_strndup(row->meta.at ? row->meta.at : "", row->meta.n);
    return HOB_OK;
}

enum hob_code file_row_read(struct data_tx *tx, struct hob_str name, struct file_row *ret_row,
                            struct hob_err *err)
{
    file_row_done(ret_row); /* a job may run twice */
    enum hob_code rc = kv_get(tx, file_space, name, 0, on_row, ret_row, err);
    if (rc == HOB_E_NOT_FOUND)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "File not found.");
    return rc;
}

void file_row_done(struct file_row *row)
{
    free(row->digest);
    free(row->type);
    free(row->metadata);
    *row = (struct file_row){NULL, NULL, NULL, 0};
}

/* --- the place --- */

enum hob_code file_place(struct backend *b, const struct backend_app *app, struct blob_place *ret_place,
                         struct hob_err *err)
{
    const struct backend_options *o = backend_wiring(b);
    const json_t *setting = backend_app_json(app, SETTING_FILES);
    const char *secret_name = json_string_value(json_object_get(setting, "secretAccessKeySecret"));
    hob_auto_free char *dir = hob_asprintf("%s/%s", backend_files(b)->dir, backend_app_name(app));
    hob_auto_buf struct hob_buf secret;
    hob_buf_init(&secret, SECRET_BYTES_MAX);
    if (secret_name &&
        (o->wires.secret(o->wires.ctx, backend_app_name(app), secret_name, &secret, err) != HOB_OK ||
         hob_buf_add(&secret, "", 1) != HOB_OK))
        return hob_err_wrap(err, "the file store");
    enum hob_code rc =
        blob_place_fill(ret_place, dir, setting, secret_name ? hob_buf_data(&secret) : NULL, err);
    if (secret.mem)
        explicit_bzero(secret.mem, secret.cap);
    return rc;
}

/* --- work on a worker --- */

static void close_when_idle(struct files *f);

static void on_work(uv_work_t *request)
{
    struct file_work *w = request->data;
    w->err.code = HOB_OK;
    (void)!w->work(w->ctx, &w->err);
}

static void on_worked(uv_work_t *request, int status)
{
    struct file_work *w = request->data;
    struct files *f = w->files;
    HOB_ASSERT(status == 0);
    f->working--;
    w->done(w->ctx, w->err.code == HOB_OK ? NULL : &w->err);
    close_when_idle(f);
}

void file_work_start(struct file_work *w)
{
    w->request.data = w;
    w->files->working++;
    HOB_ASSERT(uv_queue_work(w->files->loop, &w->request, on_work, on_worked) == 0);
}

/* --- finding ---------------------------------------------------------------------------------------------------------
 * Flow: READING (the row, a job) -> OPENING (the bytes, a worker) -> told. */

struct find {
    struct files *files;
    struct blob_place place;
    char *name;
    bool is_metadata_only;
    struct file_row row;
    struct file_work work;
    int fd;
    file_found_cb done;
    void *ctx;
};

static void find_tell(struct find *f, const struct hob_err *err)
{
    struct file_found found = {
        .fd = f->fd, .bytes = f->row.bytes, .type = f->row.type, .digest = f->row.digest};
    if (!err)
        found.metadata = hob_str(f->row.metadata);
    f->done(f->ctx, err, err ? NULL : &found);
    blob_place_done(&f->place);
    file_row_done(&f->row);
    free(f->name);
    free(f);
}

static enum hob_code find_open(void *ctx, struct hob_err *err)
{
    struct find *f = ctx;
    struct blob b = {f->name, f->row.digest, f->row.type, f->row.bytes};
    return blob_open(&f->place, &b, f->files->tmp_dir, &f->fd, err);
}

static void on_opened(void *ctx, const struct hob_err *err)
{
    find_tell(ctx, err);
}

static enum hob_code find_read(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct find *f = ctx;
    return file_row_read(tx, hob_str(f->name), &f->row, err);
}

static void on_read(void *ctx, const struct hob_err *err)
{
    struct find *f = ctx;
    if (err || f->is_metadata_only) {
        find_tell(f, err);
        return;
    }
    f->work = (struct file_work){.files = f->files, .work = find_open, .done = on_opened, .ctx = f};
    file_work_start(&f->work);
}

static enum hob_code refuse(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)tx;
    *err = ((struct find *)ctx)->work.err;
    return err->code;
}

void files_find(struct backend *b, const struct backend_app *app, struct hob_str name, bool is_metadata_only,
                file_found_cb done, void *ctx)
{
    struct find *f = hob_new(struct find);
    f->files = backend_files(b);
    f->fd = -1;
    f->name = hob_strndup(name.at, name.n);
    f->is_metadata_only = is_metadata_only;
    f->done = done;
    f->ctx = ctx;
    bool is_good = file_place(b, app, &f->place, &f->work.err) == HOB_OK;
    appdb_read(backend_wiring(b)->dbs, backend_app_name(app), is_good ? find_read : refuse, on_read, f);
}

/* --- receiving --- */

struct spool *files_receive(struct files *f, uint64_t bytes_max, struct hob_err *err)
{
    return spool_new(f->loop, f->tmp_dir, bytes_max, err);
}

/* --- removing all of an app --- */

struct removal {
    struct file_work work;
    char *dir;
    void (*done)(void *ctx, const struct hob_err *err);
    void *ctx;
};

static enum hob_code remove_work(void *ctx, struct hob_err *err)
{
    return hob_remove_tree(((struct removal *)ctx)->dir, err);
}

static void on_removed(void *ctx, const struct hob_err *err)
{
    struct removal *r = ctx;
    r->done(r->ctx, err);
    free(r->dir);
    free(r);
}

void files_remove_app(struct files *f, const char *app, void (*done)(void *ctx, const struct hob_err *err),
                      void *ctx)
{
    struct removal *r = hob_new(struct removal);
    r->dir = hob_asprintf("%s/%s", f->dir, app);
    r->done = done;
    r->ctx = ctx;
    r->work = (struct file_work){.files = f, .work = remove_work, .done = on_removed, .ctx = r};
    file_work_start(&r->work);
}

static void refuse_nameless(struct backend_call *c)
{
    (void)parse_fail(&c->err, PARSE_INVALID_FILE_NAME, "Filename not provided.");
    ask_fail(c);
}

const struct backend_route file_routes[] = {
    {"POST", "/files", ROUTE_FLOW, NEED_NOTHING, NULL, refuse_nameless},
    {"POST", "/files/:name", ROUTE_FLOW, NEED_NOTHING, NULL, file_save_start},
    {"DELETE", "/files/:name", ROUTE_FLOW, NEED_MASTER, NULL, file_remove_start},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};

/* --- the life of the whole --- */

struct files *files_open(uv_loop_t *loop, const char *dir, struct hob_err *err)
{
    struct files *f = hob_new(struct files);
    f->loop = loop;
    f->dir = hob_strdup(dir);
    f->tmp_dir = hob_asprintf("%s/.tmp", dir); /* no app's name */
    if (hob_remove_tree(f->tmp_dir, err) == HOB_OK && hob_mkdirs(f->tmp_dir, 0700, err) == HOB_OK)
        return f;
    free(f->dir);
    free(f->tmp_dir);
    free(f);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct files *f = handle->data;
    void (*closed)(void *ctx) = f->closed;
    void *ctx = f->closed_ctx;
    free(f->dir);
    free(f->tmp_dir);
    free(f);
    closed(ctx);
}

static void close_when_idle(struct files *f)
{
    if (f->is_closing && f->working == 0 && !uv_is_closing((uv_handle_t *)&f->closer))
        uv_close((uv_handle_t *)&f->closer, on_closed);
}

void files_close(struct files *f, void (*closed)(void *ctx), void *ctx)
{
    f->closed = closed;
    f->closed_ctx = ctx;
    f->is_closing = true;
    HOB_ASSERT(uv_async_init(f->loop, &f->closer, NULL) == 0);
    f->closer.data = f;
    close_when_idle(f);
}
