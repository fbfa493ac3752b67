#include "runner/unpack/tree.h"

#include <stdlib.h>

#include "base/bundle.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

enum { SHOWN_BYTES = 120 };

struct claim {
    UT_hash_handle hh;
    bool is_folder;
    char path[];
};

struct tree {
    struct claim *claims;
};

struct tree *tree_new(void)
{
    return hob_new(struct tree);
}

void tree_free(struct tree *t)
{
    struct claim *c = t->claims, *next;
    HASH_CLEAR(hh, t->claims);
    for (; c; c = next) {
        next = c->hh.next;
        free(c);
    }
    free(t);
}

size_t tree_count(const struct tree *t)
{
    return HASH_COUNT(t->claims);
}

static enum hob_code fail_conflict(const struct claim *c, bool is_folder, struct hob_err *err)
{
    char shown[SHOWN_BYTES];
    (void)hob_bundle_show(hob_str(c->path), shown, sizeof shown);
    if (c->is_folder == is_folder)
        return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "'%s' is in the archive twice", shown);
    return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "'%s' is a file and a folder in the archive",
                           shown);
}

enum hob_code tree_claim(struct tree *t, struct hob_str path, bool is_folder, bool *ret_is_new,
                         struct hob_err *err)
{
    struct claim *c;
    HASH_FIND(hh, t->claims, path.at, path.n, c);
    if (c && c->is_folder && is_folder) {
        *ret_is_new = false;
        return HOB_OK;
    }
    if (c)
        return fail_conflict(c, is_folder, err);
    if (tree_count(t) == HOB_MAX_ENTRIES)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d files and folders (deploy.entries)",
                        HOB_MAX_ENTRIES);
    c = hob_calloc(1, sizeof *c + path.n + 1);
    memcpy(c->path, path.at, path.n);
    c->is_folder = is_folder;
    HASH_ADD_KEYPTR(hh, t->claims, c->path, path.n, c);
    *ret_is_new = true;
    return HOB_OK;
}
