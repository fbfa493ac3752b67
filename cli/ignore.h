/* What of a folder is left out of an archive: the defaults, then .hobignore in the manner of .gitignore (comments,
 * '!' takes back, '/' at the end only folders, '/' elsewhere anchors at the root, '*', '?', '[...]', '**'). The last
 * rule that matches decides; what is below a folder that is left out stays out. Single owner. */
#pragma once

#include "base/buf.h"

struct ignore_rule {
    char *pattern;
    bool is_negated, is_folder_only, is_anchored;
};
struct ignore {
    struct ignore_rule *rules;
    size_t rules_n;
};
/* With the default rules; `text` (of .hobignore) may be empty. HOB_E_INVALID names the line. */
HOB_MUST_USE enum hob_code ignore_init(struct ignore *g, struct hob_str text, struct hob_err *err);
void ignore_done(struct ignore *g);
/* `path` is relative, without '/' at its end. */
bool ignore_matches(const struct ignore *g, const char *path, bool is_folder);
/* One pattern against one path; '*' and '?' do not cross '/', '**' does. */
bool glob_matches(const char *pattern, const char *path);
