/* The catalogue: apps, functions, versions and aliases as the hot path needs them, in memory on the loop's thread.
 * The store is the truth; the catalogue is loaded from it at start and changed only after the store said so.
 * A version is immutable and counted: whoever keeps one beyond the current call holds a reference.
 * Budget: at most 4 KiB for a deployed idle function; a version's configuration is parsed when first needed. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "manifest/manifest.h"

struct app {
    char *name;
    int64_t id, created_ms;
    struct function *functions; /* by name */
    UT_hash_handle hh;
};

struct alias {
    char *name;
    struct version *version; /* counted */
    struct alias *next;
};

struct function {
    struct app *app; /* borrowed */
    char *name;
    int64_t id, created_ms;
    struct version *live;     /* counted; what an unqualified call runs; never NULL once deployed */
    struct version *versions; /* newest first, linked by `older`; counted once each */
    struct alias *aliases;    /* by name */
    uint32_t previous_live;   /* number of the version that was live before; 0: none */
    UT_hash_handle hh;
};

struct code_store;
struct version {
    struct function *function; /* borrowed; NULL after the function was removed */
    char *app_name, *function_name;
    int64_t id, created_ms;
    uint32_t number, refs;
    char digest[65];
    const char *why;                /* static: "deploy" or "env set" */
    char *config_json;              /* owned, canonical, as hob.json had it */
    char *env_json;                 /* owned; what `hob env` set over it; NULL: nothing */
    struct function_config *config; /* parsed on first version_config(), with env_json merged in */
    struct code_store *code;        /* borrowed; holds a reference to the digest; may be NULL */
    char *cloud_json; /* owned; what it registers as cloud code (bindings/cloud/); NULL: nothing */
    bool has_routes;
    struct version *older;
    void *pool; /* the dispatcher's: struct pool *, made on first use (controller/dispatch/pool.h) */
};

struct catalog;
HOB_MUST_USE struct catalog *catalog_new(void);
void catalog_free(struct catalog *c);

struct app *catalog_app_find(struct catalog *c, struct hob_str name);
struct app *catalog_apps(struct catalog *c); /* head of a uthash, for HASH_ITER */
struct function *catalog_function_find(struct catalog *c, struct hob_str app, struct hob_str function);
/* `qualifier`: empty → live; digits → that version; else an alias. NULL with a message that names what is missing
 * and the nearest function or alias, for those who may know it. Returns borrowed. */
HOB_MUST_USE struct version *catalog_resolve(struct catalog *c, struct hob_str app, struct hob_str function,
                                             struct hob_str qualifier, struct hob_err *err);
/* Parsed configuration, borrowed for the version's life. Never fails: what is stored was judged at deploy. */
const struct function_config *version_config(struct version *v);
struct version *version_ref(struct version *v);
void version_unref(struct version *v);

/* Routes of every function's live version: the most specific match wins (exact host before wildcard before any;
 * literal segment before :param before :rest*; a listed method before all). */
struct route_match {
    struct version *version; /* borrowed */
    const struct route_config *route;
    struct hob_str param_names[16], param_values[16]; /* values are still percent-encoded slices of `path` */
    size_t params_n;
    bool is_method_missing; /* a route matched but for its method: 405, `allow` says which */
    char allow[128];
};
/* `path` is canonical (see api/server/target.h) and still percent-encoded. False when nothing matches. */
bool catalog_route(struct catalog *c, struct hob_str host, struct hob_str method, struct hob_str path,
                   struct route_match *ret_match);

/* Live, or named by an alias: worth keeping instances warm for. Others are callable by number only. */
bool version_is_named(const struct version *v);

/* Told (on the loop) about a version whose standing changed: it became live, or is no longer live or no longer named
 * (see version_is_named and v->function->live), or lost its last way to be called (`is_gone`: the function was removed),
 * so that its instances drain. One listener: the dispatcher. */
typedef void (*catalog_event_cb)(void *ctx, struct version *v, bool is_gone);
void catalog_listen(struct catalog *c, catalog_event_cb cb, void *ctx);
/* Told when a secret that version `v` uses was changed: its instances are to be replaced by fresh ones. */
typedef void (*catalog_replace_cb)(void *ctx, struct version *v);
void catalog_listen_replace(struct catalog *c, catalog_replace_cb cb, void *ctx);

/* Told when another version of a function became live, and (`live` NULL) when the function was removed; `live` is borrowed
 * for the call. One listener: the registry of cloud code. */
typedef void (*catalog_cloud_cb)(void *ctx, const char *app, const char *function,
                                 const struct version *live);
void catalog_listen_cloud(struct catalog *c, catalog_cloud_cb cb, void *ctx);

/* --- the daemon's start --- */
struct store;
/* Reads everything from the store. `code` (may be NULL) is told which digests are in use. Blocking. */
HOB_MUST_USE enum hob_code catalog_load(struct catalog *c, struct store *s, struct code_store *code,
                                        struct hob_err *err);
size_t catalog_functions_count(const struct catalog *c);
