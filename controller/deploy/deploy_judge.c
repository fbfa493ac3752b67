#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "controller/catalog_change.h"
#include "controller/deploy/deploy_priv.h"

enum { NEAR_FILES_MAX = 2000 }; /* of a larger tree, "did you mean" looks at the first ones only */

static const char manifest_name[] = "hob.json";

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A file of that name in another folder. */
static const char *find_elsewhere(const struct code_staged *st, const char *name)
{
    for (size_t i = 0; i < st->entries_n; i++) {
        if (!st->entries[i].is_folder && strcmp(base_name(st->entries[i].path), name) == 0)
            return st->entries[i].path;
    }
    return NULL;
}

enum hob_code deploy_read_manifest(struct deploy *dp, struct hob_err *err)
{
    const struct code_staged *st = &dp->staged;
    if (code_staged_has_file(st, manifest_name)) {
        enum hob_code rc = code_staged_read(st, manifest_name, &dp->manifest_text, err);
        if (rc == HOB_E_TOO_LARGE)
            err->reason = "bad_manifest";
        return rc;
    }
    const char *elsewhere = find_elsewhere(st, manifest_name);
    if (elsewhere)
        return hob_fail_reason(
            err, HOB_E_INVALID, "missing_manifest",
            "the archive has no hob.json at its root, but '%.100s': pack what is in that folder, "
            "not the folder",
            elsewhere);
    return hob_fail_reason(err, HOB_E_INVALID, "missing_manifest", "the archive has no hob.json at its root");
}

/* --- one function --- */

static const char *near_file(const struct code_staged *st, const char *entry)
{
    const char *elsewhere = find_elsewhere(st, base_name(entry));
    if (elsewhere || st->entries_n == 0)
        return elsewhere;
    size_t n = 0, most = st->entries_n < NEAR_FILES_MAX ? st->entries_n : NEAR_FILES_MAX;
    hob_auto_free const char **names = hob_new_n(const char *, most);
    for (size_t i = 0; i < most; i++) {
        if (!st->entries[i].is_folder)
            names[n++] = st->entries[i].path;
    }
    return hob_nearest(entry, names, n);
}

static enum hob_code check_entry(const struct code_staged *st, const struct function_config *f,
                                 struct hob_err *err)
{
    if (code_staged_has_file(st, f->entry))
        return HOB_OK;
    const char *near = near_file(st, f->entry);
    if (near)
        return hob_fail_reason(
            err, HOB_E_INVALID, "missing_entry",
            "function '%s': its entry '%.60s' is not in the archive; did you mean '%.60s'?", f->name,
            f->entry, near);
    return hob_fail_reason(err, HOB_E_INVALID, "missing_entry",
                           "function '%s': its entry '%.100s' is not in the archive", f->name, f->entry);
}

/* hob.json named no entry: the first of the runtime's usual names that is there. */
static enum hob_code choose_entry(const struct code_staged *st, const struct runtime_info *rt,
                                  struct function_config *f, struct hob_err *err)
{
    for (char **at = rt->entries; at && *at; at++) {
        if (code_staged_has_file(st, *at)) {
            f->entry = hob_strdup(*at);
            return HOB_OK;
        }
    }
    return hob_fail_reason(err, HOB_E_INVALID, "missing_entry",
                           "function '%s': hob.json names no entry and the archive has no %s", f->name,
                           rt->entries && rt->entries[0] ? rt->entries[0] : "usual one");
}

static enum hob_code check_runtime(const struct deployer_options *o, const struct code_staged *st,
                                   struct function_config *f, struct hob_err *err)
{
    if (f->image_id)
        return hob_fail_reason(err, HOB_E_INVALID, "bad_manifest",
                               "function '%s': image_id is written by the deploy, not in hob.json", f->name);
    if (f->dockerfile && !code_staged_has_file(st, f->dockerfile))
        return hob_fail_reason(err, HOB_E_INVALID, "missing_entry",
                               "function '%s': its dockerfile '%.100s' is not in the archive", f->name,
                               f->dockerfile);
    if (function_has_image(f)) /* found when everything else is judged */
        return HOB_OK;
    const struct runtime_info *rt = runtimes_need(o->runtimes, f->runtime, err);
    if (!rt) {
        err->reason = "runtime_missing";
        return hob_err_wrap(err, "function '%s'", f->name);
    }
    if (f->isolation == ISOLATION_VERSION && !rt->forks_max)
        return hob_fail_reason(err, HOB_E_UNSUPPORTED, "isolation_unsupported",
                               "function '%s': runtime '%s' cannot share a sandbox; leave out \"isolation\"",
                               f->name, f->runtime);
    return f->entry ? check_entry(st, f, err) : choose_entry(st, rt, f, err);
}

enum hob_code config_env_check(const struct function_config *f, struct hob_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < f->vars_n; i++)
        bytes += strlen(f->vars[i].name) + strlen(f->vars[i].value);
    if (f->vars_n > HOB_MAX_ENV_VARS)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "function '%s' would have %zu variables; %d are allowed (app.env_vars)", f->name,
                        f->vars_n, HOB_MAX_ENV_VARS);
    if (bytes > HOB_MAX_ENV_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "function '%s' would have %zu bytes of environment; %d are allowed (app.env_bytes)",
                        f->name, bytes, HOB_MAX_ENV_BYTES);
    return HOB_OK;
}

/* What `hob env` set stays, so hob.json's variables and those must fit together. */
static enum hob_code check_env(const struct version *live, const struct function_config *f,
                               struct hob_err *err)
{
    if (!live || !live->env_json)
        return config_env_check(f, err);
    struct function_config *merged = function_config_copy(f);
    enum hob_code rc = config_merge_env(merged, hob_str(live->env_json), err);
    if (rc == HOB_OK)
        rc = config_env_check(merged, err);
    function_config_free(merged);
    return rc;
}

static enum hob_code write_config(struct deploy_step *step, const struct function_config *f,
                                  struct hob_err *err)
{
    hob_auto_buf struct hob_buf b;
    struct hob_jw w;
    hob_buf_init(&b, (size_t)8 * HOB_MAX_MANIFEST_BYTES); /* a character may become \uXXXX */
    hob_jw_init(&w, &b);
    function_config_write(f, &w);
    if (hob_jw_end(&w, err) != HOB_OK)
        return err->code;
    step->config_json = hob_buf_take(&b);
    step->has_routes = f->routes_n > 0;
    return HOB_OK;
}

static enum hob_code judge_version(struct deploy *dp, const struct deployer_options *o, size_t i,
                                   struct hob_err *err)
{
    const struct function_config *f = &dp->manifest->functions[i];
    struct deploy_step *step = &dp->steps[i];
    struct function *known = catalog_function_find(o->catalog, hob_str(dp->app), hob_str(f->name));
    const struct version *live = known ? known->live : NULL;
    if (write_config(step, f, err) != HOB_OK)
        return err->code;
    bool is_same = live && strcmp(live->digest, dp->staged.digest) == 0 &&
                   strcmp(live->config_json, step->config_json) == 0;
    uint32_t next = known && known->versions ? known->versions->number + 1 : 1;
    dp->functions[i] = (struct deploy_function){
        .name = f->name, .version = is_same ? live->number : next, .is_new = !is_same, .config = f};
    return HOB_OK;
}

enum hob_code deploy_judge_again(struct deploy *dp, const struct deployer_options *o, size_t i,
                                 struct hob_err *err)
{
    free(dp->steps[i].config_json);
    dp->steps[i].config_json = NULL;
    return judge_version(dp, o, i, err);
}

static enum hob_code judge_function(struct deploy *dp, const struct deployer_options *o, size_t i,
                                    struct hob_err *err)
{
    struct function_config *f = &dp->manifest->functions[i];
    struct function *known = catalog_function_find(o->catalog, hob_str(dp->app), hob_str(f->name));
    const struct version *live = known ? known->live : NULL;
    if (check_runtime(o, &dp->staged, f, err) != HOB_OK || check_env(live, f, err) != HOB_OK ||
        catalog_routes_check(o->catalog, dp->app, f, err) != HOB_OK)
        return err->code;
    return judge_version(dp, o, i, err);
}

enum hob_code deploy_judge(struct deploy *dp, const struct deployer_options *o, struct hob_err *err)
{
    dp->manifest = manifest_parse(hob_buf_str(&dp->manifest_text), dp->env_name, err);
    if (!dp->manifest) {
        if (err->code == HOB_E_INVALID && !err->reason)
            err->reason = "bad_manifest";
        return err->code;
    }
    if (strcmp(dp->manifest->app, dp->app) != 0)
        return hob_fail_reason(err, HOB_E_INVALID, "wrong_app",
                               "hob.json says app '%s', but the deploy is for '%s'", dp->manifest->app,
                               dp->app);
    size_t n = dp->manifest->functions_n;
    dp->steps = hob_new_n(struct deploy_step, n);
    dp->functions = hob_new_n(struct deploy_function, n);
    for (size_t i = 0; i < n; i++) {
        if (judge_function(dp, o, i, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}
