/* Online backup: one read transaction on the source, copied page by page while writers go on. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/mem.h"
#include "store/store_priv.h"

struct backup {
    char *path;
    store_done_cb done;
    void *ctx;
};

static enum hob_code copy_pages(struct db *from, struct db *to, struct hob_err *err)
{
    sqlite3_backup *b =
        HOB_FAULT("store.backup") ? NULL : sqlite3_backup_init(to->h, "main", from->h, "main");
    if (!b)
        return hob_fail(err, HOB_E_NO_SPACE, "copying the store could not start: the disk is full");
    int rc = sqlite3_backup_step(b, -1);
    (void)sqlite3_backup_finish(b);
    if (rc != SQLITE_DONE)
        return db_fail(to, rc, "copying the store", err);
    return HOB_OK;
}

/* The copy is one file: without the write-ahead log that its header asks for. */
static enum hob_code copy_to(struct db *from, const char *path, struct hob_err *err)
{
    struct db to = {0};
    int rc = sqlite3_open_v2(path, &to.h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        (void)db_fail(&to, rc, "opening the backup", err);
    } else if (copy_pages(from, &to, err) == HOB_OK &&
               db_exec(&to, "PRAGMA journal_mode=DELETE", err) == HOB_OK) {
        db_close(&to);
        return HOB_OK;
    }
    db_close(&to);
    return err->code;
}

static enum hob_code sync_file(int fd, const char *path, struct hob_err *err)
{
    if (fsync(fd) < 0)
        return hob_fail_errno(err, errno, "syncing %s", path);
    const char *slash = strrchr(path, '/');
    hob_auto_free char *dir =
        slash ? hob_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : hob_strdup(".");
    return hob_fsync_dir(dir, err);
}

enum hob_code db_backup(struct db *from, const char *path, struct hob_err *err)
{
    hob_auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return hob_fail(err, HOB_E_CONFLICT, "%s exists already; a backup goes to a new file", path);
    if (fd < 0)
        return hob_fail_errno(err, errno, "creating %s", path);
    if (copy_to(from, path, err) == HOB_OK && sync_file(fd, path, err) == HOB_OK)
        return HOB_OK;
    (void)unlink(path);
    return err->code;
}

static enum hob_code backup_work(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return db_backup(tx->db, ((struct backup *)ctx)->path, err);
}

static void on_backup_done(void *ctx, const struct hob_err *err)
{
    struct backup *b = ctx;
    b->done(b->ctx, err);
    free(b->path);
    free(b);
}

void store_backup(struct store *s, const char *path, store_done_cb done, void *ctx)
{
    struct backup *b = hob_new(struct backup);
    *b = (struct backup){.path = hob_strdup(path), .done = done, .ctx = ctx};
    store_read(s, backup_work, on_backup_done, b);
}
