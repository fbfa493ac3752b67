/* Dotted paths as trees: "a,b.c,b.d" -> a, b(c, d). */
#include "base/limits.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { PATHS_MAX = 1000 };

const struct tree *tree_find(const struct tree *root, struct hob_str name)
{
    for (const struct tree *t = root; t; t = t->next)
        if (hob_str_eq(t->name, name))
            return t;
    return NULL;
}

static struct tree *tree_need(struct hob_arena *arena, struct tree **root, struct hob_str name)
{
    for (struct tree *t = *root; t; t = t->next)
        if (hob_str_eq(t->name, name))
            return t;
    struct tree *t = hob_arena_alloc(arena, sizeof *t);
    char *copy = t ? hob_arena_strndup(arena, name.at, name.n) : NULL;
    if (!copy)
        return NULL;
    t->name = hob_str_n(copy, name.n);
    t->next = *root;
    *root = t;
    return t;
}

static enum hob_code add_path(struct hob_arena *arena, struct tree **root, struct hob_str path,
                              const struct tree_limits *limits, struct hob_err *err)
{
    size_t depth = 0, max = limits && limits->depth ? limits->depth : HOB_MAX_BACKEND_INCLUDE_DEPTH;
    struct tree **at = root, *t = NULL;
    for (struct hob_str rest = path; rest.at;) {
        struct hob_str part = hob_str_trim(hob_str_cut(rest, '.', &rest));
        if (++depth > max)
            return parse_fail(err, PARSE_INVALID_QUERY, "'%.*s' is deeper than %zu levels",
                              (int)(path.n > 80 ? 80 : path.n), path.at, max);
        if (!part.n)
            continue;
        t = tree_need(arena, at, part);
        if (!t)
            return hob_fail(err, HOB_E_TOO_LARGE, "too many keys");
        at = &t->first;
    }
    if (t)
        t->is_leaf = true;
    return HOB_OK;
}

enum hob_code tree_add(struct hob_arena *arena, struct tree **root, struct hob_str list,
                       const struct tree_limits *limits, struct hob_err *err)
{
    size_t n = 0, max = limits && limits->count ? limits->count : PATHS_MAX;
    for (struct hob_str rest = list; rest.at;) {
        struct hob_str path = hob_str_trim(hob_str_cut(rest, ',', &rest));
        if (!path.n)
            continue;
        if (++n > max)
            return parse_fail(err, PARSE_INVALID_QUERY, "more than %zu paths", max);
        enum hob_code rc = add_path(arena, root, path, limits, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}
