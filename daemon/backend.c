#include "daemon/backend.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "bindings/cloud/cloud.h"
#include "controller/vault.h"

static enum hob_code read_secret(void *ctx, const char *app, const char *name, struct hob_buf *out,
                                 struct hob_err *err)
{
    struct backend_parts *p = ctx;
    return vault_get(p->vault, app, name, out, err);
}

/* --- cloud code: the registry follows the catalogue ---------------------------------------------------------------- */

static void on_live(void *ctx, const char *app, const char *function, const struct version *live)
{
    struct backend_parts *p = ctx;
    struct hob_err bad;
    json_t *registered hob_auto_json =
        live && live->cloud_json ? hob_json_parse(hob_str(live->cloud_json), "registrations", &bad) : NULL;
    cloud_set_function(backend_cloud(p->backend), app, function, registered, live ? live->id : 0);
}

static void follow_catalog(struct backend_parts *p)
{
    for (struct app *app = catalog_apps(p->catalog); app; app = app->hh.next)
        for (struct function *f = app->functions; f; f = f->hh.next)
            if (f->live && f->live->cloud_json)
                on_live(p, app->name, f->name, f->live);
    catalog_listen_cloud(p->catalog, on_live, p);
}

enum hob_code backend_parts_open(struct backend_parts *p, const struct backend_parts_options *o,
                                 struct hob_err *err)
{
    hob_auto_free char *data = home_path(o->home, "data");
    *p = (struct backend_parts){
        .loop = o->loop, .catalog = o->catalog, .dispatcher = o->dispatcher, .vault = o->vault};
    hob_list_init(&p->runs);
    p->files_dir = home_path(o->home, "files");
    p->key_path = home_path(o->home, "master.key");
    p->apps = backend_apps_load(o->store, p->key_path, err);
    if (!p->apps)
        return err->code;
    p->dbs = appdbs_open(&(struct appdbs_options){.loop = o->loop, .dir = data}, err);
    if (!p->dbs)
        return err->code;
    p->backend = backend_start(
        &(struct backend_options){
            .loop = o->loop,
            .store = o->store,
            .dbs = p->dbs,
            .apps = p->apps,
            .files_dir = p->files_dir,
            .key_path = p->key_path,
            .may_reach_private = o->may_reach_private,
            .upkeep_ms = o->upkeep_ms,
            .wires = {.run = cloud_run_function, .stop = cloud_run_stop, .secret = read_secret, .ctx = p}},
        err);
    if (!p->backend)
        return err->code;
    p->sqls = sqls_open(&(struct sqls_options){.loop = o->loop, .dir = data}, err);
    if (!p->sqls)
        return err->code;
    p->serve = serve_new(&(struct serve_options){.loop = o->loop,
                                                 .backend = p->backend,
                                                 .dbs = p->dbs,
                                                 .sqls = p->sqls,
                                                 .secret = read_secret,
                                                 .ctx = p});
    dispatcher_serve(o->dispatcher, p->serve);
    follow_catalog(p);
    p->face =
        parse_face_new(&(struct parse_face_options){.loop = o->loop, .backend = p->backend, .apps = p->apps});
    return HOB_OK;
}

static void on_dbs_closed(void *ctx)
{
    struct backend_parts *p = ctx;
    serve_free(p->serve);
    parse_face_free(p->face);
    backend_apps_free(p->apps);
    free(p->files_dir);
    free(p->key_path);
    p->closed(p->closed_ctx);
}

static void on_sqls_closed(void *ctx)
{
    struct backend_parts *p = ctx;
    appdbs_close(p->dbs, on_dbs_closed, p);
}

static void on_backend_closed(void *ctx)
{
    struct backend_parts *p = ctx;
    sqls_close(p->sqls, on_sqls_closed, p);
}

void backend_parts_close(struct backend_parts *p, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx)
{
    p->closed = closed;
    p->closed_ctx = ctx;
    catalog_listen_cloud(p->catalog, NULL, NULL);
    dispatcher_serve(p->dispatcher, NULL); /* calls of functions are refused from here on */
    backend_close(p->backend, grace_ms, on_backend_closed, p);
}
