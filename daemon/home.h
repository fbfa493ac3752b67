/* HOME on disk: its folders, their owners, and the lock that keeps a second daemon out. Used at start, before
 * privileges are dropped. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct home {
    char *dir; /* absolute */
    int lock_fd;
};

/* Creates what is missing, gives it to uid and gid (when root), takes the lock (HOB_E_CONFLICT names the holder). */
HOB_MUST_USE enum hob_code home_open(struct home *h, const char *dir, uid_t uid, gid_t gid,
                                     struct hob_err *err);
/* Releases the lock. */
void home_done(struct home *h);
/* Returns owned "HOME/name". */
HOB_MUST_USE char *home_path(const struct home *h, const char *name);
