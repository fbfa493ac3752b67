#include "daemon/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

static const struct {
    const char *name;
    mode_t mode;
} folders[] = {{"run", 0700}, {"code", 0700}, {"logs", 0700}, {"tmp", 0700}};

char *home_path(const struct home *h, const char *name)
{
    return hob_asprintf("%s/%s", h->dir, name);
}

static enum hob_code own(const char *path, uid_t uid, gid_t gid, struct hob_err *err)
{
    if (geteuid() == 0 && lchown(path, uid, gid) < 0)
        return hob_fail_errno(err, errno, "giving %s to uid %u", path, (unsigned)uid);
    return HOB_OK;
}

static enum hob_code make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid, struct hob_err *err)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return hob_fail_errno(err, errno, "creating %s", path);
    return own(path, uid, gid, err);
}

/* A folder that `uid` may not pass through hides everything below it, whoever owns that. */
static enum hob_code check_reachable(const char *dir, uid_t uid, gid_t gid, struct hob_err *err)
{
    if (geteuid() != 0)
        return HOB_OK;
    hob_auto_free char *copy = hob_strdup(dir);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat st;
        *slash = '\0';
        if (stat(copy, &st) < 0)
            return hob_fail_errno(err, errno, "looking at %s", copy);
        mode_t pass = st.st_uid == uid ? S_IXUSR : st.st_gid == gid ? S_IXGRP : S_IXOTH;
        if (!(st.st_mode & pass))
            return hob_fail(
                err, HOB_E_FORBIDDEN,
                "%s cannot be the home: hobd becomes uid %u, which may not pass through %s; choose another --home, "
                "such as /var/lib/hob",
                dir, (unsigned)uid, copy);
        *slash = '/';
    }
    return HOB_OK;
}

static enum hob_code take_lock(struct home *h, uid_t uid, gid_t gid, struct hob_err *err)
{
    hob_auto_free char *path = home_path(h, "run/lock");
    h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->lock_fd < 0)
        return hob_fail_errno(err, errno, "opening %s", path);
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[16] = "";
        ssize_t n = read(h->lock_fd, pid, sizeof pid - 1);
        return hob_fail(err, HOB_E_CONFLICT,
                        "another hobd (pid %.*s) uses %s: stop it, or give this one its own --home",
                        n > 0 ? (int)n : 1, n > 0 ? pid : "?", h->dir);
    }
    if (ftruncate(h->lock_fd, 0) < 0 || dprintf(h->lock_fd, "%d", (int)getpid()) < 0)
        return hob_fail_errno(err, errno, "writing %s", path);
    return own(path, uid, gid, err);
}

enum hob_code home_open(struct home *h, const char *dir, uid_t uid, gid_t gid, struct hob_err *err)
{
    *h = (struct home){.lock_fd = -1};
    enum hob_code rc = hob_mkdirs(dir, 0755, err);
    if (rc != HOB_OK)
        return hob_err_wrap(err, "the home folder of Hob");
    h->dir = realpath(dir, NULL);
    if (!h->dir)
        return hob_fail_errno(err, errno, "resolving %s", dir);
    if ((rc = check_reachable(h->dir, uid, gid, err)) != HOB_OK ||
        (rc = own(h->dir, uid, gid, err)) != HOB_OK)
        return rc;
    if (chmod(h->dir, 0700) < 0)
        return hob_fail_errno(err, errno, "closing %s to others", h->dir);
    for (size_t i = 0; i < HOB_COUNT(folders); i++) {
        hob_auto_free char *path = home_path(h, folders[i].name);
        if ((rc = make_folder(path, folders[i].mode, uid, gid, err)) != HOB_OK)
            return rc;
    }
    return take_lock(h, uid, gid, err);
}

void home_done(struct home *h)
{
    hob_close_p(&h->lock_fd);
    free(h->dir);
    *h = (struct home){.lock_fd = -1};
}
