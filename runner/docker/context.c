/* A folder as a tar archive, by libarchive: what POST /build takes. Owners and times are left out, so that equal folders
 * are equal archives and Docker's cache of steps works. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { COPY_BYTES = 65536, OPEN_BYTES = 65536 };

static enum hob_code copy_file(struct archive *out, const char *path, int64_t bytes, struct hob_err *err)
{
    char block[COPY_BYTES / 8];
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return hob_fail_errno(err, errno, "reading a file for the build");
    while (bytes > 0) {
        ssize_t n = read(fd, block, sizeof block);
        if (n <= 0)
            return hob_fail(err, HOB_E_INTERNAL, "a file for the build ended early");
        if (archive_write_data(out, block, (size_t)n) != n)
            return hob_fail(err, HOB_E_NO_SPACE, "writing the build's context: %s",
                            archive_error_string(out));
        bytes -= n;
    }
    return HOB_OK;
}

static enum hob_code add_entry(struct archive *out, struct archive_entry *entry, size_t skip,
                               struct hob_err *err)
{
    const char *path = archive_entry_sourcepath(entry);
    hob_auto_free char *source = hob_strdup(path ? path : "");
    const char *name = strlen(source) > skip ? source + skip + 1 : "";
    unsigned type = archive_entry_filetype(entry);
    if (!*name || (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK))
        return HOB_OK;
    archive_entry_set_pathname(entry, name);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_uname(entry, NULL);
    archive_entry_set_gname(entry, NULL);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_hardlink(entry, NULL);
    archive_entry_set_perm(entry, archive_entry_perm(entry) | (type == AE_IFDIR ? 0755 : 0644));
    if (archive_write_header(out, entry) != ARCHIVE_OK)
        return hob_fail(err, HOB_E_NO_SPACE, "writing the build's context: %s", archive_error_string(out));
    return type == AE_IFREG ? copy_file(out, source, archive_entry_size(entry), err) : HOB_OK;
}

static enum hob_code add_all(struct archive *out, struct archive *disk, size_t skip, struct hob_err *err)
{
    struct archive_entry *entry = archive_entry_new();
    enum hob_code code = HOB_OK;
    int rc = ARCHIVE_OK;
    while (code == HOB_OK && (rc = archive_read_next_header2(disk, entry)) == ARCHIVE_OK) {
        (void)archive_read_disk_descend(disk);
        code = add_entry(out, entry, skip, err);
        archive_entry_clear(entry);
    }
    if (code == HOB_OK && rc != ARCHIVE_EOF)
        code =
            hob_fail(err, HOB_E_INTERNAL, "reading the code for the build: %s", archive_error_string(disk));
    archive_entry_free(entry);
    return code;
}

int context_write(const char *dir, const char *tmp_dir, struct hob_err *err)
{
    int fd = hob_open_nameless(tmp_dir, err);
    if (fd < 0)
        return -1;
    struct archive *out = archive_write_new(), *disk = archive_read_disk_new();
    HOB_ASSERT(out && disk);
    enum hob_code code = HOB_OK;
    (void)archive_read_disk_set_symlink_physical(disk);
    if (archive_write_set_format_pax_restricted(out) != ARCHIVE_OK ||
        archive_write_open_fd(out, fd) != ARCHIVE_OK || archive_read_disk_open(disk, dir) != ARCHIVE_OK)
        code = hob_fail(err, HOB_E_INTERNAL, "packing the code for the build failed");
    if (code == HOB_OK)
        code = add_all(out, disk, strlen(dir), err);
    if (code == HOB_OK && archive_write_close(out) != ARCHIVE_OK)
        code = hob_fail(err, HOB_E_NO_SPACE, "writing the build's context: %s", archive_error_string(out));
    (void)archive_write_free(out);
    (void)archive_read_free(disk);
    if (code == HOB_OK && lseek(fd, 0, SEEK_SET) < 0)
        code = hob_fail_errno(err, errno, "the build's context");
    if (code == HOB_OK)
        return fd;
    (void)close(fd);
    return -1;
}
