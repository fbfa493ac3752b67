/* The runtimes of this machine: one folder each (docs/architecture.md), read once at start while paths are still
 * readable. Loop's thread. */
#pragma once

#include "base/err.h"
#include "manifest/manifest.h"

struct runtime_info {
    char *name, *title;
    char **needs;        /* absolute paths that must exist */
    char *install;       /* "apt-get install nodejs" */
    char **argv;         /* NULL-ended, with ${…} */
    char **http_argv;    /* the same for kind http, or NULL: it runs no servers */
    char **env;          /* NULL-ended "NAME=value" */
    char **entries;      /* NULL-ended: tried in order when hob.json names none */
    char **version_argv; /* NULL-ended, or NULL */
    uint32_t pids_min;   /* threads that the runtime itself needs */
    uint32_t pool_max; /* processes that a node may start ahead, at most; 0: the runtime has no use for it */
    uint32_t
        forks_max; /* instances in one sandbox, forks of a zygote (`--zygote` behind argv); 0: it cannot */
};
struct runtimes;
HOB_MUST_USE struct runtimes *runtimes_load(const char *dir, struct hob_err *err);
void runtimes_free(struct runtimes *r);
size_t runtimes_count(const struct runtimes *r);
const struct runtime_info *runtimes_at(const struct runtimes *r, size_t i);
/* HOB_E_NOT_FOUND with "did you mean", or HOB_E_UNAVAILABLE with what to install when a needed file is missing. */
HOB_MUST_USE const struct runtime_info *runtimes_need(const struct runtimes *r, const char *name,
                                                      struct hob_err *err);
/* argv with ${entry}, ${memory_mb}, ${heap_mb}, ${port} replaced; of kind http it begins with hob-init's options. NULL
 * when the runtime has none for that kind. Returns owned, NULL-ended; free with runtime_argv_free. */
HOB_MUST_USE char **runtime_argv(const struct runtime_info *rt, const struct function_config *f);
/* Of a server: hob-init's own options in front of the program (runner/init/main.c): its port, and with bindings that of
 * the gate at which it finds them. Owned strings; returns their number, 3. */
size_t runtime_http_options(char **argv, const struct function_config *f);
void runtime_argv_free(char **argv);
/* HOB_E_UNAVAILABLE naming the first of `needs` that is not on this machine and what to install. */
HOB_MUST_USE enum hob_code runtime_check(const struct runtime_info *rt, struct hob_err *err);
/* First line of what version_argv prints, or NULL. Blocks up to timeout_ms: worker threads only. Returns owned. */
HOB_MUST_USE char *runtime_version(const struct runtime_info *rt, uint32_t timeout_ms);
