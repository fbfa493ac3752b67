/* Deploying: an uploaded archive becomes new versions, atomically. A failure or crash at any step leaves what was live
 * live. Loop's thread; a deploy's blocking steps run on workers. */
#pragma once

#include <uv.h>

#include "controller/catalog.h"
#include "controller/code_store.h"
#include "controller/node.h"
#include "controller/runtimes.h"
#include "controller/vault.h"
#include "store/store.h"

struct deployer;
struct deployer_options {
    uv_loop_t *loop;
    struct store *store;
    struct catalog *catalog;
    struct code_store *code;
    const struct runtimes *runtimes;
    struct node_hub *nodes;
    struct vault *vault; /* opens registries; NULL: none */
    struct dispatcher
        *dispatcher; /* runs cloud code once, to learn what it registers; NULL: nothing is learnt */
};
HOB_MUST_USE struct deployer *deployer_new(const struct deployer_options *o);
/* Cancels what runs (its callbacks still come), then `closed`. */
void deployer_close(struct deployer *d, void (*closed)(void *ctx), void *ctx);

bool deployer_is_idle(const struct deployer *d); /* no deploy is under way */

struct deploy_function {
    const char *name;
    uint32_t version;                     /* in a dry run: the number it would get */
    bool is_new;                          /* false: code and configuration unchanged, the same version kept */
    const struct function_config *config; /* for its routes */
};
struct deploy_result { /* borrowed until the callback returns */
    const char *app;
    const char *digest;
    uint64_t files, bytes;
    const struct deploy_function *functions; /* in hob.json's order */
    size_t functions_n;
};
struct deploy_spec {
    const char *app;      /* what the URL says; hob.json must agree */
    const char *env_name; /* overlay of hob.json's "env", or NULL */
    bool is_dry_run;      /* judges everything, changes nothing */
    /* How images come along, for people; borrowed; may be NULL. Not after the deploy was cancelled. */
    void (*progress)(void *ctx, struct hob_str text);
    int archive_fd; /* the complete upload, read from its start; borrowed until the callback */
};
/* Exactly once, never from inside deploy_start. `err` is NULL when it worked, `r` is NULL when not.
 * Reasons beside the codes' own: deploy_in_progress (409), bad_archive, missing_manifest, bad_json and the others of
 * manifest_parse, wrong_app, image_missing,
 * pull_refused, pull_failed, image_build_failed, missing_entry, runtime_missing, route_taken, cloud_code_failed, shutting_down. */
typedef void (*deploy_done_cb)(void *ctx, const struct deploy_result *r, const struct hob_err *err);
struct deploy;
HOB_MUST_USE struct deploy *deploy_start(struct deployer *d, const struct deploy_spec *spec,
                                         deploy_done_cb done, void *ctx);
/* As if the client had gone; too late once the commit was asked for. The callback still comes. */
void deploy_cancel(struct deploy *dp);
