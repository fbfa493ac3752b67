#include "manifest/manifest_priv.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

#include "base/banned.h"

static_assert(sizeof(enum function_kind) == sizeof(uint32_t), "choices are kept as 32-bit numbers");
static_assert(sizeof(enum function_engine) == sizeof(uint32_t), "choices are kept as 32-bit numbers");
static_assert(sizeof(enum scale_mode) == sizeof(uint32_t), "choices are kept as 32-bit numbers");
static_assert(sizeof(enum priority) == sizeof(uint32_t), "choices are kept as 32-bit numbers");

/* The runtime that an entry's extension tells, or NULL. */
static const char *runtime_of_entry(const char *entry)
{
    static const struct {
        const char *extension, *runtime;
    } table[] = {
        {".mjs", "node"}, {".js", "node"},   {".cjs", "node"}, {".ts", "node"},
        {".mts", "node"}, {".py", "python"}, {".php", "php"},
    };
    const char *slash = strrchr(entry, '/');
    const char *dot = strrchr(slash ? slash : entry, '.');
    if (!dot)
        return "c";
    for (size_t i = 0; i < HOB_COUNT(table); i++)
        if (strcmp(table[i].extension, dot) == 0)
            return table[i].runtime;
    return NULL;
}

static void lower(char *s)
{
    for (; s && *s; s++)
        *s = (char)tolower((unsigned char)*s);
}

/* An image takes the place of runtime and entry. */
static enum hob_code normalize_image(struct judge *j, struct function_config *f)
{
    if (f->engine != ENGINE_DOCKER)
        return hob_fail(j->err, HOB_E_INVALID, "%s.%s: needs \"engine\": \"docker\"", j->path,
                        f->image ? "image" : "dockerfile");
    if (f->image && f->dockerfile)
        return hob_fail(j->err, HOB_E_INVALID, "%s.dockerfile: is another way to an image; leave one out",
                        j->path);
    if (f->entry || f->handler)
        return hob_fail(j->err, HOB_E_INVALID, "%s.%s: an image brings its own program; leave it out",
                        j->path, f->entry ? "entry" : "handler");
    if (f->runtime && strcmp(f->runtime, "image") != 0)
        return hob_fail(j->err, HOB_E_INVALID, "%s.runtime: an image brings its own; leave it out", j->path);
    if (!f->runtime)
        f->runtime = hob_strdup("image");
    return HOB_OK;
}

static enum hob_code normalize_entry(struct judge *j, struct function_config *f)
{
    if (function_has_image(f))
        return normalize_image(j, f);
    if (f->registry_secret || f->pull)
        return hob_fail(j->err, HOB_E_INVALID, "%s.%s: only a function from an image has one", j->path,
                        f->registry_secret ? "registry_secret" : "pull");
    if (!f->entry)
        return hob_fail(j->err, HOB_E_INVALID,
                        "%s.entry is missing; name the file to load: \"entry\": \"index.mjs\"", j->path);
    if (f->entry[0] == '.' && f->entry[1] == '/') {
        char *clean = hob_strdup(f->entry + 2);
        free(f->entry);
        f->entry = clean;
    }
    if (f->runtime)
        return HOB_OK;
    const char *runtime = runtime_of_entry(f->entry);
    if (!runtime)
        return hob_fail(
            j->err, HOB_E_INVALID,
            "%s.runtime is missing and '%s' does not tell it; say \"runtime\": \"node\" (or python, c, ...)",
            j->path, show(f->entry).text);
    f->runtime = hob_strdup(runtime);
    return HOB_OK;
}

static enum hob_code check_cors(struct judge *j, const struct route_config *r)
{
    if (r->has_credentials && r->cors_n == 0)
        return hob_fail(j->err, HOB_E_INVALID, "%s.cors_credentials: needs origins in \"cors\"", j->path);
    for (size_t i = 0; i < r->cors_n; i++)
        if (strcmp(r->cors[i], "*") == 0 && (r->has_credentials || r->cors_n > 1))
            return hob_fail(j->err, HOB_E_INVALID,
                            "%s.cors: \"*\" stands alone and never with cors_credentials; name the origins",
                            j->path);
    return HOB_OK;
}

static enum hob_code check_routes(struct judge *j, struct function_config *f)
{
    size_t before = judge_enter(j, "routes");
    for (size_t i = 0; i < f->routes_n; i++) {
        size_t list = judge_enter_index(j, i);
        lower(f->routes[i].host);
        if (check_cors(j, &f->routes[i]) != HOB_OK)
            return j->err->code;
        judge_leave(j, list);
    }
    judge_leave(j, before);
    return HOB_OK;
}

static int compare_vars(const void *a, const void *b)
{
    return strcmp(((const struct env_var *)a)->name, ((const struct env_var *)b)->name);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum hob_code check_env(struct judge *j, const struct function_config *f)
{
    size_t bytes = 0;
    for (size_t i = 0; i < f->vars_n; i++)
        bytes += strlen(f->vars[i].name) + strlen(f->vars[i].value);
    if (bytes > HOB_MAX_ENV_BYTES)
        return hob_fail(j->err, HOB_E_TOO_LARGE,
                        "%s.vars: %zu bytes of names and values are too many; give at most %d", j->path,
                        bytes, HOB_MAX_ENV_BYTES);
    for (size_t i = 0; i < f->secrets_n && f->secrets_in_env; i++) {
        const char *why = var_name_reserved(f->secrets[i]);
        if (why)
            return hob_fail_reason(j->err, HOB_E_INVALID, "reserved_name",
                                   "%s.secrets: '%s' cannot be an environment variable: %s", j->path,
                                   f->secrets[i], why);
        for (size_t v = 0; v < f->vars_n; v++)
            if (strcmp(f->vars[v].name, f->secrets[i]) == 0)
                return hob_fail(j->err, HOB_E_INVALID,
                                "%s.vars.%s: is a secret of the same function, too; keep one of them",
                                j->path, f->secrets[i]);
    }
    return HOB_OK;
}

/* A sandbox of all its version's instances: what each of them would need of its own there. */
static enum hob_code check_isolation(struct judge *j, const struct function_config *f)
{
    const char *with = f->engine == ENGINE_DOCKER  ? "engine docker"
                       : f->kind == FUNCTION_HTTP  ? "kind http"
                       : f->kind == FUNCTION_PARSE ? "kind parse"
                       : f->egress_n               ? "egress"
                       : f->syscalls_n             ? "syscalls"
                                                   : NULL;
    if (f->isolation == ISOLATION_INSTANCE || !with)
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s.isolation: \"version\" does not go with %s; leave out one of them", j->path, with);
}

enum hob_code function_config_build(struct judge *j, const char *name, const json_t *value,
                                    struct function_config *ret_config)
{
    struct function_config f = {.name = hob_strdup(name)};
    fields_defaults(&f, &function_keys);
    fields_fill(&f, &function_keys, value);
    if (f.vars_n) /* one order, so that equal configurations are equal texts */
        qsort(f.vars, f.vars_n, sizeof f.vars[0], compare_vars);
    enum hob_code code = normalize_entry(j, &f);
    if (code == HOB_OK && f.scale_min > f.scale_max)
        code = hob_fail(j->err, HOB_E_INVALID, "%s.scale.min: %u is more than scale.max, %u", j->path,
                        f.scale_min, f.scale_max);
    for (size_t i = 0; code == HOB_OK && i < f.windows_n; i++)
        if (f.windows[i].min > f.scale_max)
            code = hob_fail(j->err, HOB_E_INVALID, "%s.scale.windows[%zu].min: %u is more than scale.max, %u",
                            j->path, i, f.windows[i].min, f.scale_max);
    if (code == HOB_OK && f.single_use && f.concurrency > 1)
        code = hob_fail(
            j->err, HOB_E_INVALID,
            "%s.single_use: an instance for one invocation takes one at a time; leave out concurrency",
            j->path);
    if (code == HOB_OK && f.port != HTTP_PORT_DEFAULT && f.kind != FUNCTION_HTTP)
        code = hob_fail(j->err, HOB_E_INVALID, "%s.port: only a server has one; say \"kind\": \"http\"",
                        j->path);
    if (code == HOB_OK && (f.config_hook || f.start_hook || f.stop_hook || f.health_hook) &&
        f.kind != FUNCTION_HTTP)
        code =
            hob_fail(j->err, HOB_E_INVALID, "%s: only a server has hooks; say \"kind\": \"http\"", j->path);
    if (code == HOB_OK && f.kind == FUNCTION_PARSE && strcmp(f.runtime, "node") != 0)
        code = hob_fail(
            j->err, HOB_E_INVALID,
            "%s.kind: \"parse\" is cloud code in JavaScript, but the runtime is %s; in other languages "
            "register a webhook (docs/cloud-code.md)",
            j->path, show(f.runtime).text);
    if (code == HOB_OK && f.engine == ENGINE_DOCKER && f.egress_n)
        code = hob_fail(j->err, HOB_E_UNSUPPORTED,
                        "%s.egress: is not supported with engine docker yet; use the sandbox", j->path);
    if (code == HOB_OK && f.engine == ENGINE_DOCKER && f.syscalls_n)
        code = hob_fail(j->err, HOB_E_UNSUPPORTED,
                        "%s.syscalls: is not supported with engine docker; use the sandbox", j->path);
    if (code == HOB_OK)
        code = check_isolation(j, &f);
    if (f.syscalls_n) /* one order, so that equal configurations are equal texts */
        qsort(f.syscalls, f.syscalls_n, sizeof f.syscalls[0], compare_texts);
    if (code == HOB_OK)
        code = check_env(j, &f);
    if (code == HOB_OK)
        code = check_routes(j, &f);
    if (code == HOB_OK)
        *ret_config = f;
    else
        function_config_done(&f);
    return code;
}

void function_config_done(struct function_config *f)
{
    free(f->name);
    fields_free(f, &function_keys);
}

void function_config_free(struct function_config *f)
{
    if (!f)
        return;
    function_config_done(f);
    free(f);
}

struct function_config *function_config_copy(const struct function_config *f)
{
    struct function_config *copy = hob_new(struct function_config);
    copy->name = hob_strdup(f->name);
    fields_copy(copy, f, &function_keys);
    return copy;
}

void function_config_write(const struct function_config *f, struct hob_jw *w)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "name", f->name);
    fields_write(f, &function_keys, w);
    hob_jw_object_end(w);
}

struct function_config *function_config_read(struct hob_str json, struct hob_err *err)
{
    struct hob_err own = {0};
    struct judge j = {.err = err ? err : &own};
    hob_auto_json json_t *value = hob_json_parse(json, "a function's configuration", j.err);
    if (!value)
        return NULL;
    const char *name = json_string_value(json_object_get(value, "name"));
    if (!name || !hob_name_is_valid(hob_str(name))) {
        (void)hob_fail(j.err, HOB_E_INVALID, "a function's configuration: \"name\" is missing or not a name");
        return NULL;
    }
    hob_auto_free char *owned_name = hob_strdup(name);
    (void)json_object_del(value, "name");
    (void)judge_enter(&j, owned_name);
    struct function_config *f = hob_new(struct function_config);
    if (judge_object(&j, value, &function_keys) == HOB_OK &&
        function_config_build(&j, owned_name, value, f) == HOB_OK)
        return f;
    free(f);
    return NULL;
}
