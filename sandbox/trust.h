/* What decides over walls must not be in the hands of the uid that is served: a runtime's folder and its rootfs file say
 * what of the host a sandbox sees, so whoever may write them, or a folder above them, could show it anything. As root
 * only: an ordinary user's launcher can show no more than that user. Worker only. */
#pragma once

#include "base/err.h"

struct launcher_options;

/* HOB_E_FORBIDDEN when `path` or a folder above it, as written or as resolved, may be changed by the served uid or its
 * group, or by everybody; the message names it. A path that is not there is judged by what is. */
HOB_MUST_USE enum hob_code trust_path(const struct launcher_options *o, const char *path,
                                      struct hob_err *err);
