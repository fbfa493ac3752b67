/* Receiving a bundle: its writer was fed by a stranger and may have been taken over, so that every record is judged as
 * if it came from one. Runs on a worker thread. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bundle.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/deploy/code_store_priv.h"

enum {
    READ_BYTES = 65536,
    /* The deploy's own deadline comes first; this one only keeps a worker from being held for ever. */
    RECEIVE_MS = 2 * HOB_MAX_UNPACK_MS,
};

struct receiver {
    int fd;
    uint64_t deadline_ms;
    struct code_staged *st;
    size_t entries_cap;
    size_t at, n; /* unread part of buf */
    unsigned char buf[READ_BYTES];
};

/* --- the stream --- */

static enum hob_code fill(struct receiver *r, struct hob_err *err)
{
    for (;;) {
        uint64_t now = hob_now_ms();
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        int ready = now >= r->deadline_ms ? 0 : poll(&p, 1, (int)(r->deadline_ms - now));
        if (ready == 0)
            return hob_fail(err, HOB_E_TIMEOUT, "the archive took longer than %d ms to unpack",
                            HOB_MAX_UNPACK_MS);
        ssize_t n = ready < 0 ? -1 : read(r->fd, r->buf, sizeof r->buf);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return hob_fail_errno(err, errno, "reading the unpacked archive");
        if (n == 0)
            return hob_fail(err, HOB_E_INVALID, "the unpacked archive ended before its end record");
        r->at = 0;
        r->n = (size_t)n;
        return HOB_OK;
    }
}

static enum hob_code read_exactly(struct receiver *r, void *to, size_t n, struct hob_err *err)
{
    unsigned char *at = to;
    while (n) {
        if (r->n == 0 && fill(r, err) != HOB_OK)
            return err->code;
        size_t part = n < r->n ? n : r->n;
        memcpy(at, r->buf + r->at, part);
        at += part;
        n -= part;
        r->at += part;
        r->n -= part;
    }
    return HOB_OK;
}

/* --- records --- */

static struct code_entry *add_entry(struct receiver *r, const char *path)
{
    struct code_staged *st = r->st;
    if (st->entries_n == r->entries_cap) {
        r->entries_cap = r->entries_cap ? r->entries_cap * 2 : 32;
        st->entries = hob_realloc(st->entries, r->entries_cap, sizeof *st->entries);
    }
    struct code_entry *e = &st->entries[st->entries_n++];
    *e = (struct code_entry){.path = hob_strdup(path)};
    return e;
}

/* The path's last part is what mkdirat may make; everything before it is opened without following links. */
static enum hob_code make_folder(struct receiver *r, const char *path, struct hob_err *err)
{
    const char *slash = strrchr(path, '/');
    hob_auto_free char *parent = slash ? hob_strndup(path, (size_t)(slash - path)) : hob_strdup(".");
    hob_auto_close int fd = code_open_beneath(r->st->dir_fd, parent, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return hob_fail(err, HOB_E_INVALID, "the archive's folder '%.100s' comes before the one it is in",
                        path);
    const char *name = slash ? slash + 1 : path;
    if (fd < 0 || (HOB_FAULT("code.mkdir") ? (errno = ENOSPC, true) : mkdirat(fd, name, 0755) < 0))
        return errno == EEXIST ? hob_fail(err, HOB_E_INVALID, "the archive has '%.100s' twice", path)
                               : hob_fail_errno(err, errno, "writing the folder '%.100s'", path);
    if (fchmodat(fd, name, 0755, 0) < 0) /* whatever the umask says: instances run as other users */
        return hob_fail_errno(err, errno, "writing the folder '%.100s'", path);
    struct code_entry *e = add_entry(r, path);
    e->is_folder = true;
    e->mode = "0755";
    return HOB_OK;
}

static enum hob_code write_part(int fd, const unsigned char *at, size_t n, const char *path,
                                struct hob_err *err)
{
    if (HOB_FAULT("code.write"))
        return hob_fail_errno(err, ENOSPC, "writing '%.100s'", path);
    return hob_write_all(fd, hob_str_n(at, n), path, err);
}

static enum hob_code copy_data(struct receiver *r, int fd, uint64_t size, const char *path,
                               struct hob_err *err)
{
    crypto_hash_sha256_state sha;
    unsigned char hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_init(&sha);
    for (uint64_t left = size; left;) {
        if (r->n == 0 && fill(r, err) != HOB_OK)
            return err->code;
        size_t part = left < r->n ? (size_t)left : r->n;
        if (write_part(fd, r->buf + r->at, part, path, err) != HOB_OK)
            return err->code;
        (void)crypto_hash_sha256_update(&sha, r->buf + r->at, part);
        r->at += part;
        r->n -= part;
        left -= part;
    }
    (void)crypto_hash_sha256_final(&sha, hash);
    hob_hex(r->st->entries[r->st->entries_n - 1].hash, hash, sizeof hash);
    return HOB_OK;
}

static enum hob_code make_file(struct receiver *r, const char *path, const struct hob_bundle_record *rec,
                               struct hob_err *err)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    hob_auto_close int fd = code_open_beneath(r->st->dir_fd, path, flags, 0600);
    if (fd < 0 && errno == EEXIST)
        return hob_fail(err, HOB_E_INVALID, "the archive has '%.100s' twice", path);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return hob_fail(err, HOB_E_INVALID, "the archive's file '%.100s' comes before its folder", path);
    if (fd < 0)
        return hob_fail_errno(err, errno, "writing '%.100s'", path);
    struct code_entry *e = add_entry(r, path);
    e->mode = rec->is_executable ? "0555" : "0444";
    r->st->files++;
    r->st->bytes += rec->size;
    if (copy_data(r, fd, rec->size, path, err) != HOB_OK)
        return err->code;
    if (fchmod(fd, rec->is_executable ? 0555 : 0444) < 0)
        return hob_fail_errno(err, errno, "writing '%.100s'", path);
    return HOB_OK;
}

static enum hob_code judge_sums(const struct receiver *r, const struct hob_bundle_record *rec,
                                struct hob_err *err)
{
    if (r->st->entries_n >= HOB_MAX_ENTRIES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "the archive has more than %d files and folders (deploy.entries)", HOB_MAX_ENTRIES);
    if (rec->kind == HOB_BUNDLE_FILE && rec->size > HOB_MAX_UNPACKED_BYTES - r->st->bytes)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "the archive is larger than %d bytes unpacked (deploy.unpacked_bytes)",
                        HOB_MAX_UNPACKED_BYTES);
    return HOB_OK;
}

static enum hob_code take_entry(struct receiver *r, const struct hob_bundle_record *rec, struct hob_err *err)
{
    char path[HOB_MAX_PATH_BYTES + 1] = "";
    HOB_ASSERT(rec->path_n <= HOB_MAX_PATH_BYTES); /* decode's promise */
    if (judge_sums(r, rec, err) != HOB_OK || read_exactly(r, path, rec->path_n, err) != HOB_OK ||
        hob_bundle_path_check(hob_str_n(path, rec->path_n), err) != HOB_OK)
        return err->code;
    return rec->kind == HOB_BUNDLE_FILE ? make_file(r, path, rec, err) : make_folder(r, path, err);
}

/* The unpacker's refusal. Its text is a stranger's: escaped; its code is one of those that unpacking can give. */
static enum hob_code take_error(struct receiver *r, const struct hob_bundle_record *rec, struct hob_err *err)
{
    char text[sizeof err->msg], shown[sizeof err->msg];
    size_t n = rec->path_n < sizeof text ? rec->path_n : sizeof text;
    if (read_exactly(r, text, n, err) != HOB_OK)
        return err->code;
    enum hob_code code = HOB_E_INVALID;
    if (rec->size == HOB_E_TOO_LARGE || rec->size == HOB_E_UNSUPPORTED || rec->size == HOB_E_TIMEOUT)
        code = (enum hob_code)rec->size;
    return hob_fail(err, code, "%s", hob_bundle_show(hob_str_n(text, n), shown, sizeof shown));
}

static enum hob_code take_end(const struct receiver *r, const struct hob_bundle_record *rec,
                              struct hob_err *err)
{
    if (rec->size != r->st->entries_n)
        return hob_fail(err, HOB_E_INVALID, "the unpacked archive lost entries: %zu of %llu came",
                        r->st->entries_n, (unsigned long long)rec->size);
    return HOB_OK;
}

static enum hob_code receive(struct receiver *r, struct hob_err *err)
{
    for (;;) {
        unsigned char head[HOB_BUNDLE_HEADER_BYTES];
        struct hob_bundle_record rec;
        if (read_exactly(r, head, sizeof head, err) != HOB_OK || hob_bundle_decode(head, &rec, err) != HOB_OK)
            return err->code;
        if (rec.kind == HOB_BUNDLE_ERROR)
            return take_error(r, &rec, err);
        if (rec.kind == HOB_BUNDLE_END)
            return take_end(r, &rec, err);
        if (take_entry(r, &rec, err) != HOB_OK)
            return err->code;
    }
}

/* --- the address --- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct code_entry *)a)->path, ((const struct code_entry *)b)->path);
}

static void address(struct code_staged *st)
{
    crypto_hash_sha256_state sha;
    unsigned char hash[crypto_hash_sha256_BYTES];
    if (st->entries_n)
        qsort(st->entries, st->entries_n, sizeof *st->entries, by_path);
    (void)crypto_hash_sha256_init(&sha);
    for (size_t i = 0; i < st->entries_n; i++) {
        const struct code_entry *e = &st->entries[i];
        (void)crypto_hash_sha256_update(&sha, (const unsigned char *)e->path, strlen(e->path) + 1);
        (void)crypto_hash_sha256_update(&sha, (const unsigned char *)e->mode, strlen(e->mode) + 1);
        (void)crypto_hash_sha256_update(&sha, (const unsigned char *)e->hash, strlen(e->hash));
        (void)crypto_hash_sha256_update(&sha, (const unsigned char *)"\n", 1);
    }
    (void)crypto_hash_sha256_final(&sha, hash);
    hob_hex(st->digest, hash, sizeof hash);
}

enum hob_code code_store_receive(struct code_store *cs, int records_fd, struct code_staged *ret_staged,
                                 struct hob_err *err)
{
    struct code_staged st;
    if (code_staging_make(cs, &st, err) != HOB_OK) {
        code_staged_done(&st);
        return err->code;
    }
    struct receiver *r = hob_new(struct receiver);
    r->fd = records_fd;
    r->deadline_ms = hob_now_ms() + RECEIVE_MS;
    r->st = &st;
    enum hob_code rc = receive(r, err);
    free(r);
    if (rc != HOB_OK) {
        code_staged_done(&st);
        return rc;
    }
    address(&st);
    *ret_staged = st;
    return HOB_OK;
}
