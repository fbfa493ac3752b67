/* The backend of the apps, wired into the daemon: databases, keys and settings, the backend itself and its Parse face, and
 * how cloud code is run. Loop's thread. */
#pragma once

#include "api/parse/parse.h"
#include "base/list.h"
#include "bindings/backend.h"
#include "bindings/serve/serve.h"
#include "controller/invocation.h"
#include "daemon/home.h"
#include "store/sql.h"
#include "store/store.h"

struct backend_parts {
    struct appdbs *dbs;
    struct backend_apps *apps;
    struct backend *backend;
    struct parse_face *face;
    struct sqls *sqls;
    struct serve *serve;  /* the bindings of functions */
    struct hob_list runs; /* of cloud code, under way */
    /* what runs are made of; borrowed */
    uv_loop_t *loop;
    struct catalog *catalog;
    struct dispatcher *dispatcher;
    struct vault *vault;
    char *files_dir, *key_path;
    void (*closed)(void *ctx);
    void *closed_ctx;
};
struct backend_parts_options {
    uv_loop_t *loop;
    const struct home *home;
    struct store *store;
    struct catalog *catalog;
    struct dispatcher *dispatcher;
    struct vault *vault;
    bool may_reach_private; /* bindings/backend.h */
    uint32_t upkeep_ms;     /* likewise */
};
/* Blocking. */
HOB_MUST_USE enum hob_code backend_parts_open(struct backend_parts *p, const struct backend_parts_options *o,
                                              struct hob_err *err);
/* When no exchange is left: finishes what is under way, closes the databases; then `closed`. */
void backend_parts_close(struct backend_parts *p, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx);

/* cloud_run.c: the wires `run` and `stop`; ctx is the struct backend_parts. */
void cloud_run_stop(void *ctx);
void cloud_run_function(void *ctx, const struct backend_run *r,
                        void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                        void *done_ctx);
