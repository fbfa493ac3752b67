#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

enum hob_code hob_read_fd(int fd, const char *what, struct hob_buf *out, struct hob_err *err)
{
    for (;;) {
        size_t left = out->max - out->n;
        size_t want = left < 65536 ? left : 65536;
        char *to = want ? hob_buf_room(out, want) : NULL;
        char one; /* one byte more than allowed shows that it is too large */
        ssize_t n = to ? read(fd, to, want) : read(fd, &one, 1);
        if (n == 0)
            return HOB_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hob_fail_errno(err, errno, "reading %s", what);
        if (!to && hob_buf_add(out, &one, 1) != HOB_OK)
            return hob_fail(err, HOB_E_TOO_LARGE, "%s is larger than the %zu bytes allowed", what, out->max);
        if (to)
            hob_buf_grew(out, (size_t)n);
    }
}

enum hob_code hob_read_file(const char *path, struct hob_buf *out, struct hob_err *err)
{
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hob_fail_errno(err, errno, "opening %s", path);
    return hob_read_fd(fd, path, out, err);
}

enum hob_code hob_write_all(int fd, struct hob_str data, const char *what, struct hob_err *err)
{
    while (data.n) {
        ssize_t n = HOB_FAULT("fs.write") ? (errno = ENOSPC, -1) : write(fd, data.at, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hob_fail_errno(err, errno, "writing %s", what);
        data = hob_str_n(data.at + n, data.n - (size_t)n);
    }
    return HOB_OK;
}

int hob_open_nameless(const char *dir, struct hob_err *err)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    if (errno == EOPNOTSUPP || errno == EISDIR) { /* a file system that cannot: named for a moment */
        hob_auto_free char *path = hob_asprintf("%s/nameless-XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0 && unlink(path) == 0)
            return fd;
    }
    (void)hob_fail_errno(err, errno, "making a temporary file in %s", dir);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

enum hob_code hob_fsync_dir(const char *path, struct hob_err *err)
{
    hob_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return hob_fail_errno(err, errno, "syncing the folder %s", path);
    return HOB_OK;
}

static enum hob_code fsync_parent(const char *path, struct hob_err *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return hob_fsync_dir(".", err);
    hob_auto_free char *dir = hob_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    return hob_fsync_dir(dir, err);
}

enum hob_code hob_write_file(const char *path, struct hob_str data, unsigned mode, struct hob_err *err)
{
    hob_auto_free char *temp = hob_asprintf("%s.XXXXXX", path);
    hob_auto_close int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return hob_fail_errno(err, errno, "creating a file beside %s", path);
    enum hob_code rc = hob_write_all(fd, data, path, err);
    if (rc == HOB_OK && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temp, path) < 0))
        rc = hob_fail_errno(err, errno, "writing %s", path);
    if (rc != HOB_OK) {
        (void)unlink(temp);
        return rc;
    }
    return fsync_parent(path, err);
}

enum hob_code hob_mkdirs(const char *path, unsigned mode, struct hob_err *err)
{
    hob_auto_free char *copy = hob_strdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return hob_fail_errno(err, errno, "creating the folder %s", copy);
        *at = kept;
        if (kept == '\0')
            return HOB_OK;
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

enum hob_code hob_remove_tree(const char *path, struct hob_err *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): without FTW_CHDIR nothing of the process is changed */
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
        return hob_fail_errno(err, errno, "removing %s", path);
    return HOB_OK;
}
