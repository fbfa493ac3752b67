#include "controller/code_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"
#include "controller/deploy/code_store_priv.h"

enum { SYNC_EACH_MAX = 64 };

static const char staging_prefix[] = ".staging-", trash_prefix[] = ".trash-";

struct digest_refs {
    char digest[HOB_DIGEST_CHARS + 1];
    uint32_t n;
    UT_hash_handle hh;
};

struct code_store {
    char *dir;
    int dir_fd;
    pthread_mutex_t lock; /* over refs, and over appearing and disappearing below dir */
    struct digest_refs *refs;
};

int code_open_beneath(int dir_fd, const char *path, int flags, unsigned mode)
{
    struct open_how how = {
        .flags = (unsigned)flags | (unsigned)O_CLOEXEC,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

static enum hob_code remove_below(struct code_store *cs, const char *name, struct hob_err *err)
{
    hob_auto_free char *path = hob_asprintf("%s/%s", cs->dir, name);
    return hob_remove_tree(path, err);
}

/* --- opening --- */

static bool is_leftover(const char *name)
{
    return strncmp(name, staging_prefix, sizeof staging_prefix - 1) == 0 ||
           strncmp(name, trash_prefix, sizeof trash_prefix - 1) == 0;
}

static void close_dir_p(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static enum hob_code sweep(struct code_store *cs, struct hob_err *err)
{
    __attribute__((cleanup(close_dir_p))) DIR *d = opendir(cs->dir);
    if (!d)
        return hob_fail_errno(err, errno, "reading %s", cs->dir);
    for (struct dirent *e; (e = readdir(d));) { /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (is_leftover(e->d_name) && remove_below(cs, e->d_name, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

struct code_store *code_store_open(const char *dir, struct hob_err *err)
{
    (void)hob_hash("", 0); /* the seed is made here, before workers hash */
    if (hob_mkdirs(dir, 0755, err) != HOB_OK)
        return NULL;
    struct code_store *cs = hob_new(struct code_store);
    cs->dir = hob_strdup(dir);
    HOB_ASSERT(pthread_mutex_init(&cs->lock, NULL) == 0);
    cs->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cs->dir_fd < 0)
        (void)hob_fail_errno(err, errno, "opening %s", dir);
    if (cs->dir_fd >= 0 && sweep(cs, err) == HOB_OK)
        return cs;
    code_store_free(cs);
    return NULL;
}

void code_store_free(struct code_store *cs)
{
    if (!cs)
        return;
    struct digest_refs *r, *tmp;
    HASH_ITER(hh, cs->refs, r, tmp)
    {
        HASH_DEL(cs->refs, r); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        free(r);
    }
    hob_close_p(&cs->dir_fd);
    (void)pthread_mutex_destroy(&cs->lock);
    free(cs->dir);
    free(cs);
}

/* --- references --- */

static void ref_locked(struct code_store *cs, const char *digest)
{
    struct digest_refs *r;
    HASH_FIND_STR(cs->refs, digest, r);
    if (!r) {
        r = hob_new(struct digest_refs);
        (void)snprintf(r->digest, sizeof r->digest, "%s", digest);
        HASH_ADD_STR(cs->refs, digest, r);
    }
    r->n++;
}

void code_store_ref(struct code_store *cs, const char *digest)
{
    (void)pthread_mutex_lock(&cs->lock);
    ref_locked(cs, digest);
    (void)pthread_mutex_unlock(&cs->lock);
}

void code_store_unref(struct code_store *cs, const char *digest)
{
    struct digest_refs *r;
    (void)pthread_mutex_lock(&cs->lock);
    HASH_FIND_STR(cs->refs, digest, r);
    HOB_ASSERT(r && r->n > 0);
    if (--r->n == 0) {
        HASH_DEL(cs->refs, r);
        free(r);
    }
    (void)pthread_mutex_unlock(&cs->lock);
}

static bool is_there(struct code_store *cs, const char *digest)
{
    struct stat st;
    return fstatat(cs->dir_fd, digest, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

bool code_store_has(struct code_store *cs, const char *digest)
{
    return hob_digest_is_valid(digest) && is_there(cs, digest);
}

/* --- staging --- */

enum hob_code code_staging_make(struct code_store *cs, struct code_staged *st, struct hob_err *err)
{
    char random[17];
    hob_random_hex(random, 8);
    *st = (struct code_staged){.store = cs, .dir_fd = -1};
    (void)snprintf(st->dir, sizeof st->dir, "%s%s", staging_prefix, random);
    if (HOB_FAULT("code.staging") ? (errno = ENOSPC, true) : mkdirat(cs->dir_fd, st->dir, 0700) < 0) {
        st->dir[0] = '\0';
        return hob_fail_errno(err, errno, "making a staging folder in %s", cs->dir);
    }
    st->dir_fd = openat(cs->dir_fd, st->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (st->dir_fd < 0)
        return hob_fail_errno(err, errno, "opening %s/%s", cs->dir, st->dir);
    return HOB_OK;
}

static void remove_staging(struct code_staged *st)
{
    struct hob_err ignored; /* what cannot be removed now is swept at the next start */
    if (st->dir[0])
        (void)!remove_below(st->store, st->dir, &ignored);
    st->dir[0] = '\0';
    hob_close_p(&st->dir_fd);
    st->dir_fd = -1;
}

void code_staged_done(struct code_staged *st)
{
    if (!st->store)
        return;
    if (st->has_ref)
        code_store_unref(st->store, st->digest);
    remove_staging(st);
    for (size_t i = 0; i < st->entries_n; i++)
        free(st->entries[i].path);
    free(st->entries);
    *st = (struct code_staged){.dir_fd = -1};
}

static int by_path(const void *key, const void *entry)
{
    return strcmp(key, ((const struct code_entry *)entry)->path);
}

bool code_staged_has_file(const struct code_staged *st, const char *path)
{
    const struct code_entry *e =
        st->entries_n ? bsearch(path, st->entries, st->entries_n, sizeof *st->entries, by_path) : NULL;
    return e && !e->is_folder;
}

enum hob_code code_staged_read(const struct code_staged *st, const char *path, struct hob_buf *out,
                               struct hob_err *err)
{
    if (!code_staged_has_file(st, path))
        return hob_fail(err, HOB_E_NOT_FOUND, "the archive has no %s", path);
    hob_auto_close int fd = code_open_beneath(st->dir_fd, path, O_RDONLY, 0);
    if (fd < 0)
        return hob_fail_errno(err, errno, "reading %s", path);
    return hob_read_fd(fd, path, out, err);
}

/* --- publishing --- */

static enum hob_code sync_entry(const struct code_staged *st, const struct code_entry *e, struct hob_err *err)
{
    hob_auto_close int fd = code_open_beneath(st->dir_fd, e->path, O_RDONLY, 0);
    if (fd < 0 || fsync(fd) < 0)
        return hob_fail_errno(err, errno, "writing '%.100s' to disk", e->path);
    return HOB_OK;
}

/* A small tree is synced file by file; for a large one a single syncfs takes less time, though it waits for whatever
 * else the file system has to write. */
static enum hob_code make_durable(struct code_staged *st, struct hob_err *err)
{
    bool is_large = st->entries_n > SYNC_EACH_MAX;
    if (HOB_FAULT("code.sync"))
        return hob_fail_errno(err, EIO, "writing the code to disk in %s", st->store->dir);
    for (size_t i = 0; i < st->entries_n && !is_large; i++) {
        if (sync_entry(st, &st->entries[i], err) != HOB_OK)
            return err->code;
    }
    if (fchmod(st->dir_fd, 0755) < 0 || (is_large ? syncfs(st->dir_fd) : fsync(st->dir_fd)) < 0)
        return hob_fail_errno(err, errno, "writing the code to disk in %s", st->store->dir);
    return HOB_OK;
}

/* Under the lock, so that collecting never takes a tree between its appearing and its first reference. */
static enum hob_code rename_and_ref(struct code_staged *st, struct hob_err *err)
{
    struct code_store *cs = st->store;
    enum hob_code rc = HOB_OK;
    (void)pthread_mutex_lock(&cs->lock);
    if (!is_there(cs, st->digest)) {
        if (HOB_FAULT("code.rename") ? (errno = EIO, true)
                                     : renameat(cs->dir_fd, st->dir, cs->dir_fd, st->digest) < 0)
            rc = hob_fail_errno(err, errno, "moving the code into %s", cs->dir);
        else
            st->dir[0] = '\0';
    }
    if (rc == HOB_OK)
        ref_locked(cs, st->digest);
    (void)pthread_mutex_unlock(&cs->lock);
    st->has_ref = rc == HOB_OK;
    return rc;
}

enum hob_code code_store_publish(struct code_staged *st, struct hob_err *err)
{
    HOB_ASSERT(st->store && st->dir[0] && !st->has_ref);
    /* Already there: nothing to make durable but the reference that follows in the store. */
    if (!is_there(st->store, st->digest) && make_durable(st, err) != HOB_OK)
        return err->code;
    if (rename_and_ref(st, err) != HOB_OK)
        return err->code;
    if (HOB_FAULT("code.sync_parent") ? (errno = EIO, true) : fsync(st->store->dir_fd) < 0)
        return hob_fail_errno(err, errno, "syncing the folder %s", st->store->dir);
    remove_staging(st);
    return HOB_OK;
}

/* --- collecting --- */

/* Out of sight under the lock; removing it takes its time outside. True when there is something to remove. */
static bool take_unreferenced(struct code_store *cs, const char *digest, char *ret_trash, size_t trash_bytes)
{
    char random[17];
    struct digest_refs *r;
    hob_random_hex(random, 8);
    (void)snprintf(ret_trash, trash_bytes, "%s%s", trash_prefix, random);
    (void)pthread_mutex_lock(&cs->lock);
    HASH_FIND_STR(cs->refs, digest, r);
    bool is_taken = !r && renameat(cs->dir_fd, digest, cs->dir_fd, ret_trash) == 0;
    (void)pthread_mutex_unlock(&cs->lock);
    return is_taken;
}

enum hob_code code_store_collect(struct code_store *cs, uint64_t *ret_removed, struct hob_err *err)
{
    uint64_t removed = 0;
    __attribute__((cleanup(close_dir_p))) DIR *d = opendir(cs->dir);
    if (!d)
        return hob_fail_errno(err, errno, "reading %s", cs->dir);
    for (struct dirent *e; (e = readdir(d));) { /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        char trash[40];
        if (!hob_digest_is_valid(e->d_name) || !take_unreferenced(cs, e->d_name, trash, sizeof trash))
            continue;
        if (remove_below(cs, trash, err) != HOB_OK)
            return err->code;
        removed++;
    }
    if (ret_removed)
        *ret_removed = removed;
    return HOB_OK;
}
