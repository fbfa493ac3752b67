#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/ignore.h"

#include "base/banned.h"

enum { IGNORE_BYTES_MAX = 262144, COPY_BYTES = 65536 };

/* Collecting ------------------------------------------------------------------------------------------------------ */

struct walk {
    struct pack *p;
    const char *dir;
    char *real; /* of dir, without links */
    struct ignore ignore;
};

static enum hob_code entry_add(struct pack *p, const char *path, const struct stat *st, struct hob_err *err)
{
    if (p->entries_n == HOB_MAX_ENTRIES)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d files: leave some out by .hobignore",
                        HOB_MAX_ENTRIES);
    if (p->entries_n == p->entries_cap) {
        p->entries_cap = p->entries_cap ? p->entries_cap * 2 : 64;
        p->entries = hob_realloc(p->entries, p->entries_cap, sizeof p->entries[0]);
    }
    bool is_folder = S_ISDIR(st->st_mode);
    p->entries[p->entries_n++] = (struct pack_entry){
        .path = hob_strdup(path),
        .bytes = is_folder ? 0 : (uint64_t)st->st_size,
        .is_folder = is_folder,
        .is_executable = !is_folder && (st->st_mode & S_IXUSR),
    };
    p->bytes += is_folder ? 0 : (uint64_t)st->st_size;
    if (p->bytes > HOB_MAX_UNPACKED_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "with '%.100s' the files are more than %d MiB: leave some out by .hobignore", path,
                        HOB_MAX_UNPACKED_BYTES >> 20);
    return HOB_OK;
}

static enum hob_code path_judge(const char *path, struct hob_err *err)
{
    unsigned depth = 1;
    for (const char *c = path; *c; c++) {
        depth += *c == '/';
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return hob_fail(
                err, HOB_E_INVALID,
                "the name of '%.100s' has a control character or '\\'; rename it or leave it out by .hobignore",
                path);
    }
    if (!hob_utf8_is_valid(hob_str(path)))
        return hob_fail(err, HOB_E_INVALID,
                        "the name of '%.100s' is not UTF-8; rename it or leave it out by .hobignore", path);
    if (strlen(path) > HOB_MAX_PATH_BYTES)
        return hob_fail(err, HOB_E_INVALID, "the path '%.60s...' is longer than %d bytes", path,
                        HOB_MAX_PATH_BYTES);
    if (depth > HOB_MAX_PATH_DEPTH)
        return hob_fail(err, HOB_E_INVALID, "the path '%.100s' is deeper than %d folders", path,
                        HOB_MAX_PATH_DEPTH);
    return HOB_OK;
}

/* A link is followed when it stays inside; a folder's link must not lead to a folder that it is in. */
static enum hob_code link_judge(const struct walk *w, const char *path, const char *full, struct hob_err *err)
{
    char real[PATH_MAX], parent[PATH_MAX];
    if (!realpath(full, real))
        return hob_fail(err, HOB_E_INVALID,
                        "the link '%.100s' leads nowhere; remove it or leave it out by .hobignore", path);
    size_t n = strlen(w->real);
    if (strncmp(real, w->real, n) != 0 || (real[n] && real[n] != '/'))
        return hob_fail(
            err, HOB_E_INVALID,
            "the link '%.100s' leads out of the project; copy what it names or leave it out by .hobignore",
            path);
    hob_auto_free char *above = hob_strdup(full);
    char *slash = strrchr(above, '/');
    HOB_ASSERT(slash);
    *slash = 0;
    size_t real_n = strlen(real);
    if (!realpath(above, parent) ||
        (strncmp(parent, real, real_n) == 0 && (!parent[real_n] || parent[real_n] == '/')))
        return hob_fail(err, HOB_E_INVALID,
                        "the link '%.100s' leads to a folder it is in; leave it out by .hobignore", path);
    return HOB_OK;
}

static enum hob_code walk_folder(struct walk *w, const char *path, struct hob_err *err);

static enum hob_code walk_one(struct walk *w, const char *path, struct hob_err *err)
{
    hob_auto_free char *full = hob_asprintf("%s/%s", w->dir, path);
    struct stat st;
    if (lstat(full, &st) < 0)
        return hob_fail_errno(err, errno, "reading '%.100s'", path);
    bool is_link = S_ISLNK(st.st_mode);
    if (is_link && stat(full, &st) < 0)
        st.st_mode = S_IFREG;
    if (strcmp(path, "hob.json") != 0 && ignore_matches(&w->ignore, path, S_ISDIR(st.st_mode)))
        return HOB_OK;
    if (path_judge(path, err) != HOB_OK || (is_link && link_judge(w, path, full, err) != HOB_OK))
        return err->code;
    if (S_ISDIR(st.st_mode))
        return walk_folder(w, path, err);
    if (S_ISREG(st.st_mode))
        return entry_add(w->p, path, &st, err);
    w->p->skipped_n++;
    return HOB_OK;
}

static enum hob_code walk_folder(struct walk *w, const char *path, struct hob_err *err)
{
    hob_auto_free char *full = hob_asprintf("%s%s%s", w->dir, *path ? "/" : "", path);
    DIR *d = opendir(full);
    if (!d)
        return hob_fail_errno(err, errno, "reading the folder '%.100s'", *path ? path : w->dir);
    enum hob_code code = HOB_OK;
    bool is_empty = true;
    const struct dirent *e;
    while (code == HOB_OK && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): one thread */
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        is_empty = false;
        hob_auto_free char *child = hob_asprintf("%s%s%s", path, *path ? "/" : "", e->d_name);
        code = walk_one(w, child, err);
    }
    (void)closedir(d);
    struct stat st = {.st_mode = S_IFDIR};
    if (code == HOB_OK && is_empty && *path)
        code = entry_add(w->p, path, &st, err);
    return code;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct pack_entry *)a)->path, ((const struct pack_entry *)b)->path);
}

static enum hob_code ignore_read(struct ignore *g, const char *dir, struct hob_err *err)
{
    hob_auto_free char *path = hob_asprintf("%s/.hobignore", dir);
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, IGNORE_BYTES_MAX);
    enum hob_code code = hob_read_file(path, &text, err);
    if (code != HOB_OK && code != HOB_E_NOT_FOUND)
        return code;
    return ignore_init(g, hob_buf_str(&text), err);
}

enum hob_code pack_collect(struct pack *p, const char *dir, struct hob_err *err)
{
    *p = (struct pack){.fd = -1};
    struct walk w = {.p = p, .dir = dir, .real = realpath(dir, NULL)};
    if (!w.real)
        return hob_fail_errno(err, errno, "'%.100s'", dir);
    enum hob_code code = ignore_read(&w.ignore, dir, err);
    if (code == HOB_OK)
        code = walk_folder(&w, "", err);
    ignore_done(&w.ignore);
    free(w.real);
    if (code != HOB_OK)
        pack_done(p);
    else if (p->entries_n)
        qsort(p->entries, p->entries_n, sizeof p->entries[0], compare_entries);
    return code;
}

/* Writing --------------------------------------------------------------------------------------------------------- */

struct writer {
    struct archive *archive;
    struct archive_entry *entry;
};

static enum hob_code fail_archive(const struct writer *w, const char *path, struct hob_err *err)
{
    int errnum = archive_errno(w->archive);
    if (errnum == ENOSPC)
        return hob_fail_errno(err, errnum, "packing '%.100s'", path);
    return hob_fail(err, HOB_E_INTERNAL, "packing '%.100s': %s", path, archive_error_string(w->archive));
}

static enum hob_code write_head(struct writer *w, const struct pack_entry *e, uint64_t bytes,
                                struct hob_err *err)
{
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, e->path);
    archive_entry_set_filetype(w->entry, e->is_folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(w->entry, e->is_folder || e->is_executable ? 0755 : 0644);
    archive_entry_set_size(w->entry, (la_int64_t)bytes);
    archive_entry_set_mtime(w->entry, 0, 0);
    if (archive_write_header(w->archive, w->entry) < ARCHIVE_WARN)
        return fail_archive(w, e->path, err);
    return HOB_OK;
}

static enum hob_code write_content(struct writer *w, const struct pack_entry *e, int fd, struct hob_err *err)
{
    hob_auto_free char *chunk = hob_new_n(char, COPY_BYTES);
    uint64_t left = e->bytes;
    for (;;) {
        ssize_t n = read(fd, chunk, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hob_fail_errno(err, errno, "reading '%.100s'", e->path);
        if ((uint64_t)n > left || (n == 0 && left))
            return hob_fail(err, HOB_E_CONFLICT, "'%.100s' changed while it was packed; try again", e->path);
        if (n == 0)
            return HOB_OK;
        if (archive_write_data(w->archive, chunk, (size_t)n) != n)
            return fail_archive(w, e->path, err);
        left -= (uint64_t)n;
    }
}

static enum hob_code write_entry(struct writer *w, const char *dir, const struct pack_entry *e,
                                 struct hob_str manifest, struct hob_err *err)
{
    if (e->is_folder)
        return write_head(w, e, 0, err);
    if (manifest.at && strcmp(e->path, "hob.json") == 0) {
        if (write_head(w, e, manifest.n, err) != HOB_OK)
            return err->code;
        return archive_write_data(w->archive, manifest.at, manifest.n) == (la_ssize_t)manifest.n
                   ? HOB_OK
                   : fail_archive(w, e->path, err);
    }
    hob_auto_free char *full = hob_asprintf("%s/%s", dir, e->path);
    hob_auto_close int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return hob_fail_errno(err, errno, "opening '%.100s'", e->path);
    enum hob_code code = write_head(w, e, e->bytes, err);
    return code == HOB_OK ? write_content(w, e, fd, err) : code;
}

static enum hob_code write_all(struct pack *p, const char *dir, struct hob_str manifest, struct writer *w,
                               struct hob_err *err)
{
    if (archive_write_set_format_pax_restricted(w->archive) != ARCHIVE_OK ||
        archive_write_add_filter_gzip(w->archive) != ARCHIVE_OK ||
        archive_write_set_options(w->archive, "gzip:!timestamp,gzip:compression-level=6") != ARCHIVE_OK ||
        archive_write_open_fd(w->archive, p->fd) != ARCHIVE_OK)
        return fail_archive(w, dir, err);
    for (size_t i = 0; i < p->entries_n; i++)
        if (write_entry(w, dir, &p->entries[i], manifest, err) != HOB_OK)
            return err->code;
    if (archive_write_close(w->archive) != ARCHIVE_OK)
        return fail_archive(w, dir, err);
    struct stat st;
    if (fstat(p->fd, &st) < 0)
        return hob_fail_errno(err, errno, "measuring the archive");
    p->packed_bytes = (uint64_t)st.st_size;
    if (p->packed_bytes > HOB_MAX_ARCHIVE_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "the archive has %llu bytes, at most %d are allowed: leave files out by .hobignore",
                        (unsigned long long)p->packed_bytes, HOB_MAX_ARCHIVE_BYTES);
    return HOB_OK;
}

enum hob_code pack_write(struct pack *p, const char *dir, struct hob_str manifest, struct hob_err *err)
{
    HOB_ASSERT(p->fd < 0);
    const char *tmp = hob_env("TMPDIR");
    p->fd = hob_open_nameless(tmp ? tmp : "/tmp", err);
    if (p->fd < 0)
        return err->code;
    struct writer w = {archive_write_new(), archive_entry_new()};
    HOB_ASSERT(w.archive && w.entry);
    enum hob_code code = write_all(p, dir, manifest, &w, err);
    archive_entry_free(w.entry);
    (void)archive_write_free(w.archive);
    return code;
}

bool pack_has_file(const struct pack *p, const char *path)
{
    size_t low = 0, high = p->entries_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(p->entries[mid].path, path);
        if (order == 0)
            return !p->entries[mid].is_folder;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

void pack_done(struct pack *p)
{
    for (size_t i = 0; i < p->entries_n; i++)
        free(p->entries[i].path);
    free(p->entries);
    if (p->fd >= 0)
        (void)close(p->fd);
    *p = (struct pack){.fd = -1};
}
