#include "runner/unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bundle.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/unpack/tree.h"

enum { CHUNK_BYTES = 64 * 1024, SHOWN_BYTES = 120, OUT_FD = 3 };

struct unpack {
    struct archive *archive;
    struct tree *tree;
    int out_fd;
    struct hob_buf out;      /* bytes on their way, up to CHUNK_BYTES */
    uint64_t unpacked_bytes; /* of all files so far */
    uint64_t ignored;        /* entries that were left out */
    uint64_t owed_bytes;     /* what the last FILE record promised and did not send yet */
};

/* ---- writing ---- */

static enum hob_code put_flush(struct unpack *u, struct hob_err *err)
{
    enum hob_code code = hob_write_all(u->out_fd, hob_buf_str(&u->out), "the bundle stream", err);
    hob_buf_clear(&u->out);
    return code;
}

static enum hob_code put(struct unpack *u, const void *data, size_t n, struct hob_err *err)
{
    if (u->out.n + n > CHUNK_BYTES && put_flush(u, err) != HOB_OK)
        return err->code;
    if (n >= CHUNK_BYTES)
        return hob_write_all(u->out_fd, hob_str_n(data, n), "the bundle stream", err);
    if (hob_buf_add(&u->out, data, n) != HOB_OK)
        HOB_ASSERT(!"there was room");
    return HOB_OK;
}

static enum hob_code put_record(struct unpack *u, struct hob_bundle_record r, struct hob_str path,
                                struct hob_err *err)
{
    unsigned char head[HOB_BUNDLE_HEADER_BYTES];
    r.path_n = (uint16_t)path.n;
    hob_bundle_encode(&r, head);
    enum hob_code code = put(u, head, sizeof head, err);
    return code == HOB_OK ? put(u, path.at, path.n, err) : code;
}

/* After a failure inside a file: the stream stays readable, so what was promised comes as zeros. */
static enum hob_code put_owed(struct unpack *u, struct hob_err *err)
{
    static const char zeros[CHUNK_BYTES / 2];
    enum hob_code code = HOB_OK;
    while (u->owed_bytes && code == HOB_OK) {
        size_t n = u->owed_bytes < sizeof zeros ? (size_t)u->owed_bytes : sizeof zeros;
        code = put(u, zeros, n, err);
        u->owed_bytes -= n;
    }
    return code;
}

/* ---- judging ---- */

static enum hob_code fail_entry(struct hob_err *err, struct hob_str path, const char *why)
{
    char shown[SHOWN_BYTES];
    return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "'%s' %s",
                           hob_bundle_show(path, shown, sizeof shown), why);
}

static enum hob_code fail_damaged(struct unpack *u, struct hob_err *err)
{
    char shown[SHOWN_BYTES];
    const char *why = archive_error_string(u->archive);
    bool is_foreign = why && strstr(why, "Unrecognized archive format");
    if (is_foreign)
        return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "not a tar, tar.gz or zip archive");
    return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "the archive is damaged: %s",
                           hob_bundle_show(hob_str(why ? why : "no reason given"), shown, sizeof shown));
}

static enum hob_code fail_too_many_bytes(struct hob_err *err)
{
    return hob_fail(err, HOB_E_TOO_LARGE, "more than %d bytes when unpacked (deploy.unpacked_bytes)",
                    HOB_MAX_UNPACKED_BYTES);
}

/* Why an entry that is neither a file nor a folder is refused, or NULL. */
static const char *kind_problem(struct archive_entry *e)
{
    if (archive_entry_hardlink(e))
        return "is a hard link; archives may hold files and folders only";
    if (archive_entry_is_encrypted(e))
        return "is encrypted";
    switch (archive_entry_filetype(e)) {
    case 0: /* zip without attributes */
    case AE_IFREG:
    case AE_IFDIR:
        return NULL;
    case AE_IFLNK:
        return "is a symbolic link; archives may hold files and folders only";
    case AE_IFCHR:
    case AE_IFBLK:
        return "is a device; archives may hold files and folders only";
    case AE_IFIFO:
        return "is a named pipe; archives may hold files and folders only";
    default:
        return "is neither a file nor a folder";
    }
}

/* The entry's path without one "./" in front and slashes behind a folder; empty for the top folder itself. */
static struct hob_str entry_path(struct archive_entry *e, bool is_folder)
{
    const char *name = archive_entry_pathname(e);
    struct hob_str path = hob_str(name ? name : archive_entry_pathname_utf8(e));
    if (hob_str_starts(path, HOB_STR("./")))
        path = hob_str_n(path.at + 2, path.n - 2);
    else if (hob_str_is(path, "."))
        path.n = 0;
    if (is_folder && path.n > 1 && path.at[path.n - 1] == '/')
        path.n--;
    return path;
}

static bool is_left_out(struct hob_str path)
{
    struct hob_str rest = path, part;
    if (hob_str_is(hob_str_cut(path, '/', &rest), "__MACOSX"))
        return true;
    do
        part = hob_str_cut(path, '/', &path);
    while (path.at);
    return hob_str_is(part, ".DS_Store");
}

/* ---- unpacking ---- */

/* Folders that lead to the path, then nothing more: each gets its record once. */
static enum hob_code put_folders(struct unpack *u, struct hob_str path, struct hob_err *err)
{
    for (size_t i = 0; i < path.n; i++) {
        bool is_new;
        struct hob_str folder = {path.at, i};
        if (path.at[i] != '/')
            continue;
        if (tree_claim(u->tree, folder, true, &is_new, err) != HOB_OK)
            return err->code;
        if (is_new &&
            put_record(u, (struct hob_bundle_record){.kind = HOB_BUNDLE_DIRECTORY}, folder, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code put_folder(struct unpack *u, struct hob_str path, struct hob_err *err)
{
    bool is_new;
    enum hob_code code = tree_claim(u->tree, path, true, &is_new, err);
    if (code != HOB_OK || !is_new)
        return code;
    return put_record(u, (struct hob_bundle_record){.kind = HOB_BUNDLE_DIRECTORY}, path, err);
}

/* Hands the entry's bytes on as they come; the count must be what was declared. */
static enum hob_code put_data(struct unpack *u, struct hob_str path, struct hob_err *err)
{
    char chunk[CHUNK_BYTES / 8];
    for (;;) {
        la_ssize_t n = archive_read_data(u->archive, chunk, sizeof chunk);
        if (n < 0)
            return fail_damaged(u, err);
        if (n == 0)
            break;
        if ((uint64_t)n > u->owed_bytes)
            return fail_entry(err, path, "is longer than it declares");
        u->owed_bytes -= (uint64_t)n;
        if (put(u, chunk, (size_t)n, err) != HOB_OK)
            return err->code;
    }
    return u->owed_bytes ? fail_entry(err, path, "is shorter than it declares") : HOB_OK;
}

static enum hob_code put_file_record(struct unpack *u, struct hob_str path, bool is_executable,
                                     uint64_t bytes, struct hob_err *err)
{
    u->unpacked_bytes += bytes;
    struct hob_bundle_record r = {.kind = HOB_BUNDLE_FILE, .is_executable = is_executable, .size = bytes};
    return put_record(u, r, path, err);
}

/* A zip from a pipe may tell an entry's size only behind it: then it is collected first. */
static enum hob_code put_unsized(struct unpack *u, struct hob_str path, bool is_executable,
                                 struct hob_err *err)
{
    hob_auto_buf struct hob_buf all;
    hob_buf_init(&all, (size_t)(HOB_MAX_UNPACKED_BYTES - u->unpacked_bytes));
    char chunk[CHUNK_BYTES / 8];
    la_ssize_t n;
    while ((n = archive_read_data(u->archive, chunk, sizeof chunk)) > 0)
        if (hob_buf_add(&all, chunk, (size_t)n) != HOB_OK)
            return fail_too_many_bytes(err);
    if (n < 0)
        return fail_damaged(u, err);
    enum hob_code code = put_file_record(u, path, is_executable, all.n, err);
    return code == HOB_OK ? put(u, hob_buf_str(&all).at, all.n, err) : code;
}

static enum hob_code put_file(struct unpack *u, struct archive_entry *e, struct hob_str path,
                              struct hob_err *err)
{
    bool is_new, is_executable = (archive_entry_perm(e) & 0111) != 0;
    if (tree_claim(u->tree, path, false, &is_new, err) != HOB_OK)
        return err->code;
    if (!archive_entry_size_is_set(e))
        return put_unsized(u, path, is_executable, err);
    la_int64_t bytes = archive_entry_size(e);
    if (bytes < 0)
        return fail_entry(err, path, "declares a size below zero");
    if ((uint64_t)bytes > HOB_MAX_UNPACKED_BYTES - u->unpacked_bytes)
        return fail_too_many_bytes(err);
    if (put_file_record(u, path, is_executable, (uint64_t)bytes, err) != HOB_OK)
        return err->code;
    u->owed_bytes = (uint64_t)bytes;
    return put_data(u, path, err);
}

static enum hob_code leave_out(struct unpack *u, struct hob_err *err)
{
    if (++u->ignored > HOB_MAX_ENTRIES)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d entries that are left out", HOB_MAX_ENTRIES);
    return HOB_OK;
}

static enum hob_code put_entry(struct unpack *u, struct archive_entry *e, struct hob_err *err)
{
    bool is_folder = archive_entry_filetype(e) == AE_IFDIR;
    struct hob_str path = entry_path(e, is_folder);
    if (is_folder && path.n == 0 && path.at)
        return leave_out(u, err);
    if (hob_bundle_path_check(path, err) != HOB_OK)
        return err->code;
    const char *problem = kind_problem(e);
    if (problem)
        return fail_entry(err, path, problem);
    if (is_left_out(path))
        return leave_out(u, err);
    if (put_folders(u, path, err) != HOB_OK)
        return err->code;
    return is_folder ? put_folder(u, path, err) : put_file(u, e, path, err);
}

static enum hob_code put_all(struct unpack *u, struct hob_err *err)
{
    struct archive_entry *e;
    for (;;) {
        int rc = archive_read_next_header(u->archive, &e);
        if (rc == ARCHIVE_EOF)
            break;
        /* A warning is a name that no locale can write: the path check shows it. */
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return fail_damaged(u, err);
        if (put_entry(u, e, err) != HOB_OK)
            return err->code;
    }
    if (tree_count(u->tree) == 0)
        return hob_fail_reason(err, HOB_E_INVALID, "bad_archive", "the archive has no files in it");
    struct hob_bundle_record end = {.kind = HOB_BUNDLE_END, .size = tree_count(u->tree)};
    return put_record(u, end, (struct hob_str){"", 0}, err);
}

static void put_error(struct unpack *u, const struct hob_err *why)
{
    struct hob_err err;
    struct hob_bundle_record r = {.kind = HOB_BUNDLE_ERROR, .size = why->code};
    if (put_owed(u, &err) != HOB_OK || put_record(u, r, hob_str(why->msg), &err) != HOB_OK)
        return; /* the reader is gone: nobody is left to tell */
}

static bool archive_open(struct unpack *u, int in_fd)
{
    struct stat st;
    size_t block = fstat(in_fd, &st) == 0 && S_ISREG(st.st_mode) ? CHUNK_BYTES * 4 : CHUNK_BYTES;
    u->archive = archive_read_new();
    HOB_ASSERT(u->archive);
    return archive_read_support_filter_gzip(u->archive) == ARCHIVE_OK &&
           archive_read_support_format_tar(u->archive) == ARCHIVE_OK &&
           archive_read_support_format_zip(u->archive) == ARCHIVE_OK &&
           archive_read_open_fd(u->archive, in_fd, block) == ARCHIVE_OK;
}

enum hob_code unpack_archive(int in_fd, int out_fd, struct hob_err *err)
{
    struct unpack u = {.out_fd = out_fd, .tree = tree_new()};
    struct hob_err unsent;
    hob_buf_init(&u.out, CHUNK_BYTES);
    *err = (struct hob_err){0};
    enum hob_code code = archive_open(&u, in_fd) ? put_all(&u, err) : fail_damaged(&u, err);
    if (code != HOB_OK)
        put_error(&u, err);
    if (put_flush(&u, &unsent) != HOB_OK && code == HOB_OK) {
        *err = unsent;
        code = unsent.code;
    }
    (void)archive_read_free(u.archive);
    tree_free(u.tree);
    hob_buf_done(&u.out);
    return code;
}

int unpack_main(void)
{
    struct hob_err err;
    hob_log_init("hob-unpack");
    (void)signal(SIGPIPE, SIG_IGN);
    /* Names in archives are UTF-8; a machine without this locale still reads plain ones. */
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (unpack_archive(STDIN_FILENO, OUT_FD, &err) == HOB_OK)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "unpack: %s\n", err.msg);
    return EXIT_FAILURE;
}
