#include "manifest/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "manifest/manifest_priv.h"

#include "base/banned.h"

/* Overlays ------------------------------------------------------------------------------------------------------- */

/* Lays `over` onto `to`: objects key by key, everything else replaced. Values are copied, never shared. */
static void merge(json_t *to, const json_t *over)
{
    const char *key;
    json_t *value;
    if (!over)
        return;
    json_object_foreach((json_t *)(uintptr_t)over, key, value)
    {
        json_t *old = json_object_get(to, key);
        if (json_is_object(old) && json_is_object(value))
            merge(old, value);
        else
            HOB_ASSERT(json_object_set_new(to, key, json_deep_copy(value)) == 0);
    }
}

static const char *nearest_key(const json_t *object, const char *word)
{
    const char *names[HOB_MAX_FUNCTIONS_PER_APP];
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (n < HOB_COUNT(names))
            names[n++] = key;
    }
    return hob_nearest(word, names, n);
}

/* Every overlay may only change functions that are there: a typo would be silent otherwise. */
static enum hob_code check_overlays(struct judge *j, const json_t *root)
{
    const json_t *functions = json_object_get(root, "functions");
    const char *env, *name;
    json_t *overlay, *f;
    json_object_foreach(json_object_get(root, "env"), env, overlay)
    {
        json_object_foreach(json_object_get(overlay, "functions"), name, f)
        {
            if (json_object_get(functions, name))
                continue;
            const char *best = nearest_key(functions, name);
            return hob_fail(j->err, HOB_E_INVALID,
                            "env.%s.functions.%s: there is no such function in \"functions\"%s%s%s", env,
                            name, best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
        }
    }
    return HOB_OK;
}

static enum hob_code overlay_find(struct judge *j, const json_t *root, const char *env_name,
                                  const json_t **ret_overlay)
{
    *ret_overlay = NULL;
    if (!env_name)
        return HOB_OK;
    const json_t *all = json_object_get(root, "env");
    *ret_overlay = json_object_get(all, env_name);
    if (*ret_overlay)
        return HOB_OK;
    const char *best = all ? nearest_key(all, env_name) : NULL;
    return hob_fail(j->err, HOB_E_NOT_FOUND, "hob.json has no environment '%s' in \"env\"%s%s%s",
                    show(env_name).text, best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
}

/* Duplicates ----------------------------------------------------------------------------------------------------- */

/* "/a/:id" and "/a/:name" match the same requests: parameters compare by kind only. */
static bool is_same_path(const char *a, const char *b)
{
    struct hob_str ra = hob_str(a), rb = hob_str(b);
    while (ra.at && rb.at) {
        struct hob_str sa = hob_str_cut(ra, '/', &ra), sb = hob_str_cut(rb, '/', &rb);
        bool is_param_a = sa.n && sa.at[0] == ':', is_param_b = sb.n && sb.at[0] == ':';
        if (is_param_a != is_param_b)
            return false;
        if (is_param_a ? (sa.at[sa.n - 1] == '*') != (sb.at[sb.n - 1] == '*') : !hob_str_eq(sa, sb))
            return false;
    }
    return !ra.at && !rb.at;
}

/* A route for all methods and one for GET stand side by side: the listed method wins. */
static bool is_same_methods(const struct route_config *a, const struct route_config *b)
{
    if (a->methods_n == 0 || b->methods_n == 0)
        return a->methods_n == b->methods_n;
    for (size_t i = 0; i < a->methods_n; i++)
        for (size_t k = 0; k < b->methods_n; k++)
            if (strcmp(a->methods[i], b->methods[k]) == 0)
                return true;
    return false;
}

static bool is_same_route(const struct route_config *a, const struct route_config *b)
{
    bool is_same_host = a->host && b->host ? strcmp(a->host, b->host) == 0 : a->host == b->host;
    return is_same_host && is_same_path(a->path, b->path) && is_same_methods(a, b);
}

/* The first route of the functions up to `f` (and in it up to `r`) that takes the same requests, or NULL. */
static const char *route_taken_by(const struct manifest *m, size_t f, size_t r, size_t *ret_index)
{
    const struct route_config *mine = &m->functions[f].routes[r];
    for (size_t i = 0; i <= f; i++) {
        size_t n = i == f ? r : m->functions[i].routes_n;
        for (size_t k = 0; k < n; k++)
            if (is_same_route(&m->functions[i].routes[k], mine)) {
                *ret_index = k;
                return m->functions[i].name;
            }
    }
    return NULL;
}

static enum hob_code check_duplicates(const struct manifest *m, struct hob_err *err)
{
    for (size_t f = 0; f < m->functions_n; f++)
        for (size_t r = 0; r < m->functions[f].routes_n; r++) {
            size_t at = 0;
            const char *owner = route_taken_by(m, f, r, &at);
            if (owner)
                return hob_fail_reason(
                    err, HOB_E_INVALID, "duplicate_route",
                    "functions.%s.routes[%zu]: '%s' takes the same requests as functions.%s.routes[%zu]",
                    m->functions[f].name, r, show(m->functions[f].routes[r].path).text, owner, at);
        }
    return HOB_OK;
}

/* The whole file ------------------------------------------------------------------------------------------------- */

static enum hob_code build_functions(struct judge *j, struct manifest *m, const json_t *root,
                                     const json_t *overlay)
{
    const json_t *functions = json_object_get(root, "functions");
    m->functions = hob_new_n(struct function_config, json_object_size(functions));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)functions, name, value)
    {
        hob_auto_json json_t *merged = json_object();
        HOB_ASSERT(merged);
        merge(merged, json_object_get(root, "defaults"));
        merge(merged, json_object_get(overlay, "defaults"));
        merge(merged, value);
        merge(merged, json_object_get(json_object_get(overlay, "functions"), name));
        judge_leave(j, 0);
        (void)judge_enter(j, "functions");
        (void)judge_enter(j, name);
        enum hob_code code = function_config_build(j, name, merged, &m->functions[m->functions_n]);
        if (code != HOB_OK)
            return code;
        m->functions_n++;
    }
    return HOB_OK;
}

struct manifest *manifest_parse(struct hob_str text, const char *env_name, struct hob_err *err)
{
    struct hob_err own = {0};
    struct judge j = {.err = err ? err : &own};
    if (text.n > HOB_MAX_MANIFEST_BYTES) {
        (void)hob_fail(j.err, HOB_E_TOO_LARGE, "hob.json: %zu bytes are too many; at most %d", text.n,
                       HOB_MAX_MANIFEST_BYTES);
        return NULL;
    }
    hob_auto_json json_t *root = hob_json_parse_commented(text, "hob.json", j.err);
    if (!root)
        return NULL;
    if (!json_is_object(root)) {
        (void)hob_fail(j.err, HOB_E_INVALID, "hob.json: %s is not right here; give an object",
                       show_json(root).text);
        return NULL;
    }
    const json_t *overlay;
    if (judge_object(&j, root, &root_keys) != HOB_OK || check_overlays(&j, root) != HOB_OK ||
        overlay_find(&j, root, env_name, &overlay) != HOB_OK)
        return NULL;
    struct manifest *m = hob_new(struct manifest);
    fields_fill(m, &root_keys, root);
    if (build_functions(&j, m, root, overlay) == HOB_OK && check_duplicates(m, j.err) == HOB_OK)
        return m;
    manifest_free(m);
    return NULL;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->functions_n; i++)
        function_config_done(&m->functions[i]);
    free(m->functions);
    fields_free(m, &root_keys);
    free(m);
}

void manifest_free_p(struct manifest **m)
{
    manifest_free(*m);
}
