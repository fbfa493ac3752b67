/* hob.json, judged and made into plain structs. One table (manifest/keys.c) holds every key with its type, bounds,
 * default and one line of help; the validator, the JSON Schema and docs/manifest.md come from it. Used by the CLI
 * before uploading and by the server when deploying, so that both say the same.
 * Single owner: a struct manifest owns all its strings; function_config_copy makes owned copies. Not thread-bound. */
#pragma once

#include "base/json.h"

enum function_kind { FUNCTION_AUTO, FUNCTION_HTTP, FUNCTION_PARSE };
enum function_engine { ENGINE_SANDBOX, ENGINE_DOCKER };
enum { HTTP_PORT_DEFAULT = 8080 };
enum scale_mode { SCALE_COST, SCALE_BALANCED, SCALE_LATENCY };
enum isolation { ISOLATION_INSTANCE, ISOLATION_VERSION };
enum priority { PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH };

struct scale_window { /* from each time of `cron` (UTC) on, for `span`: at least `min` instances */
    char *cron, *span;
    uint32_t min;
};

struct route_config {
    char *host;     /* lower-case, "*.shop.example" allowed, NULL: any */
    char *path;     /* "/checkout/:id", "/files/:rest*" (the rest of the path); always starts with '/' */
    char **methods; /* upper-case; methods_n == 0: all */
    size_t methods_n;
    char **cors; /* allowed origins, "*" allowed; cors_n == 0: no CORS headers */
    size_t cors_n;
    bool has_credentials; /* cors_credentials; never together with "*" */
};

struct env_var {
    char *name, *value;
};

struct function_config {
    char *name;
    char *runtime; /* "node", "python", "c", ... */
    char *entry;   /* path below the archive's root, no '..' */
    char *handler; /* "index.handler", or NULL: found by the runtime */
    char *build;   /* shell command that the CLI runs before packing, or NULL */
    enum function_engine engine;
    char *image;      /* engine docker: a container image in the runtime's place; then runtime is "image" */
    char *dockerfile; /* or built from this file of the archive; runtime is "image", too */
    char *image_id;   /* what they came to at the deploy: "sha256:..."; NULL: Docker was not there */
    char *pull;       /* "missing", "always", "never"; NULL: missing */
    char *registry_secret; /* name of the app's secret for the registry, or NULL */
    enum function_kind kind;
    char *config_hook, *start_hook, *stop_hook, *health_hook; /* of kind http: paths, or NULL */
    uint32_t port;                                            /* of kind http, 1024 to 65535, default 8080 */
    uint32_t memory_mb;                                       /* 16 to 10240, default 128 */
    uint32_t timeout_ms;                                      /* default 10,000 */
    uint32_t queue_timeout_ms;                                /* default 5,000 */
    uint32_t init_timeout_ms;                                 /* default 10,000 */
    uint32_t concurrency;                                     /* default 1 */
    uint32_t cpu_percent;                                     /* 0: no ceiling */
    uint32_t queue_max;                                       /* default 1,000 */
    uint32_t scale_min, scale_max;                            /* default 0, 100 */
    uint32_t scale_keep_s; /* how long an idle instance stays; 0: by the scaler's rule */
    enum scale_mode scale_mode;
    struct scale_window *windows;
    size_t windows_n;
    enum priority priority;       /* who is refused first when the node is full */
    uint32_t recycle_invocations; /* an instance is replaced after so many; 0: never */
    uint32_t recycle_age_s;       /* and when it is that old; 0: never */
    bool single_use;              /* a fresh instance for every invocation */
    struct route_config *routes;
    size_t routes_n;
    struct env_var *vars; /* "vars" of hob.json merged with what `hob env` set */
    size_t vars_n;
    char **secrets; /* names */
    size_t secrets_n;
    bool secrets_in_env;
    enum isolation isolation; /* whose the sandbox is: one instance's, or all of its version's on a node */
    char **egress;            /* "HOST:PORT" (base/rules/egress.h); egress_n == 0: no network */
    size_t egress_n;
    char **syscalls; /* names (base/rules/syscalls.h), sorted; syscalls_n == 0: all that a sandbox allows */
    size_t syscalls_n;
    char **
        bindings; /* what it may reach of the app, base/rules/grant.h; bindings_n == 0: nothing (kind parse: all) */
    size_t bindings_n;
};

/* Its program comes from a container image, not from a runtime and an entry. */
static inline bool function_has_image(const struct function_config *f)
{
    return f->image || f->dockerfile;
}

struct manifest {
    char *app;
    char *compat; /* "2026-12-01" or NULL */
    struct function_config *functions;
    size_t functions_n;
};

/* Parses and judges. `env_name` chooses an overlay of "env", or NULL. Returns owned, or NULL with a message that
 * names the key path, the value and what would be right, with "did you mean" for unknown keys. Keys of later issues
 * give HOB_E_UNSUPPORTED "… is not supported yet". */
HOB_MUST_USE struct manifest *manifest_parse(struct hob_str text, const char *env_name, struct hob_err *err);
void manifest_free(struct manifest *m);
void manifest_free_p(struct manifest **m);

/* One function's configuration as JSON (complete, canonical key order), and back: how a version keeps it. */
void function_config_write(const struct function_config *f, struct hob_jw *w);
HOB_MUST_USE struct function_config *function_config_read(struct hob_str json, struct hob_err *err);
HOB_MUST_USE struct function_config *function_config_copy(const struct function_config *f);
void function_config_free(struct function_config *f);
/* Judges a variable's name and value as hob.json does (reserved names, sizes); for `hob env set` too. */
HOB_MUST_USE enum hob_code env_var_check(const char *name, const char *value, struct hob_err *err);

/* The JSON Schema (draft 2020-12) and the Markdown reference, written from the table. */
void manifest_schema_write(struct hob_jw *w);
HOB_MUST_USE enum hob_code manifest_reference_write(struct hob_buf *out);
