#include "sandbox/trust.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/launcher.h"

#include "base/banned.h"

static bool may_change(const struct launcher_options *o, const struct stat *st, bool is_above)
{
    bool is_sticky = is_above && (st->st_mode & S_ISVTX); /* as /tmp: not what is another's */
    if (st->st_uid == o->uid)
        return true;
    if (S_ISLNK(st->st_mode) || is_sticky)
        return false;
    return (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid == o->gid);
}

/* `path` and all above it; cuts it on the way. */
static bool walk(const struct launcher_options *o, char *path)
{
    struct stat st;
    for (bool is_above = false;; is_above = true) {
        if (lstat(path[0] ? path : "/", &st) == 0 && may_change(o, &st, is_above))
            return false;
        char *slash = strrchr(path, '/');
        if (!slash || !path[0])
            return true;
        *slash = '\0';
    }
}

enum hob_code trust_path(const struct launcher_options *o, const char *path, struct hob_err *err)
{
    char at[PATH_MAX];
    if (geteuid() != 0 || o->uid == 0)
        return HOB_OK;
    (void)snprintf(at, sizeof at, "%s", path);
    bool is_trusted = walk(o, at);
    if (is_trusted && realpath(path, at))
        is_trusted = walk(o, at);
    if (is_trusted)
        return HOB_OK;
    return hob_fail(err, HOB_E_FORBIDDEN,
                    "uid %u, which is served here, may change '%.150s'; give it to root", o->uid,
                    at[0] ? at : "/");
}
