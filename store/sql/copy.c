/* The file of env.sql as a whole: copied out for an export, judged before it is put in place. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/limits.h"
#include "store/sql/sql_priv.h"
#include "store/store_priv.h"

#include "base/banned.h"

enum { JUDGE_MS = 60 * 1000, PAGE_BYTES = 4096 };

enum hob_code sql_db_copy(struct sql_db *db, const char *path, struct hob_err *err)
{
    struct db from = {.h = db->h};
    sql_db_arm(db);
    return db_backup(&from, path, err);
}

/* SQLite's file format, section 1.3: the words, then the page size. */
static enum hob_code judge_head(const char *path, struct hob_err *err)
{
    unsigned char head[18];
    struct stat st;
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return hob_fail_errno(err, errno, "opening the SQL database");
    if (st.st_size > HOB_MAX_SQL_FILE_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE, "the SQL database has more than %d bytes (sql.file_bytes)",
                        HOB_MAX_SQL_FILE_BYTES);
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return hob_fail(err, HOB_E_INVALID, "what was sent for env.sql is no SQLite database");
    if (head[16] * 256 + head[17] != PAGE_BYTES)
        return hob_fail(err, HOB_E_INVALID, "a database of env.sql has pages of %d bytes", PAGE_BYTES);
    return HOB_OK;
}

static int on_verdict(void *ctx, int n, char **values, char **names)
{
    (void)names;
    *(bool *)ctx = n == 1 && values[0] && strcmp(values[0], "ok") == 0;
    return 0;
}

enum hob_code sql_file_judge(const char *path, struct hob_err *err)
{
    struct sql_db db = {.time_ms = JUDGE_MS};
    bool is_whole = false;
    if (judge_head(path, err) != HOB_OK || sql_db_open(&db, path, err) != HOB_OK)
        return err->code == HOB_E_INTERNAL ? hob_fail(err, HOB_E_INVALID, "the SQL database is damaged")
                                           : err->code;
    sql_db_arm(&db);
    db.is_ours = true;
    int rc = sqlite3_exec(db.h, "PRAGMA quick_check(1)", on_verdict, &is_whole, NULL);
    db.is_ours = false;
    bool is_late = db.is_late;
    sql_db_close(&db); /* folds its log into the file */
    if (is_late)
        return hob_fail(err, HOB_E_TIMEOUT, "judging the SQL database took longer than %d s",
                        JUDGE_MS / 1000);
    return rc == SQLITE_OK && is_whole ? HOB_OK : hob_fail(err, HOB_E_INVALID, "the SQL database is damaged");
}
