/* The paths that an archive has named so far, and what each is. Owns copies of them; bounded by deploy.entries times
 * deploy.path_bytes. */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct tree;
struct tree *tree_new(void);
void tree_free(struct tree *t);
size_t tree_count(const struct tree *t);
/* Names a path. A folder may be named again (*ret_is_new is false then), a file may not, and neither may become the
 * other: HOB_E_INVALID. One entry too many: HOB_E_TOO_LARGE. The path was checked before. */
HOB_MUST_USE enum hob_code tree_claim(struct tree *t, struct hob_str path, bool is_folder, bool *ret_is_new,
                                      struct hob_err *err);
