/* An app's data out and in over the control API, by the page and by the piece. Flows:
 *
 *   export:  objects, facts and files are one reading job of the app's database; the database of env.sql is copied
 *            first, when the page is the first of its phase or its copy is gone:  COPYING -> READING -> answered
 *   import:  RECEIVING -> TAKING (pieces of bytes, a worker) -> WRITING (the lines, one job) -> REPLACING (env.sql, when it
 *            is whole) -> SETTING (when that is asked for) -> answered
 *            A line that is refused so leaves env.sql as it is and its pieces where they are, to be gone on with.
 *
 * What is needed and made lives in a `move` until it is told. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/control/control_priv.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bindings/auth/session.h"
#include "bindings/files/files.h"
#include "bindings/transfer/transfer.h"
#include "store/data.h"
#include "store/sql.h"

enum { EXPORT_BYTES_MAX = 256 << 20, COPY_KEPT_S = 3600 }; /* since it was last read */
#define COPY_START "sql-"                                  /* of a copy's name in HOME/tmp */

struct move {
    struct call *call;
    struct blob_place place;
    unsigned without;
    /* out */
    char *after, *copy; /* copy: the path of the copied database of env.sql */
    struct transfer_snapshot snapshot;
    bool was_copied, has_none;
    struct hob_buf out;
    char next[TRANSFER_CURSOR_BYTES];
    /* in */
    bool is_running;
    struct hob_buf body;
    char *sql; /* a whole database of env.sql */
    char *application_id;
    bool wants_settings;
    json_t *settings; /* in: of the first line; out: the app's */
    struct transfer_counts counts;
};

static struct move *move_new(struct call *c)
{
    struct move *m = hob_new(struct move);
    m->call = c;
    hob_buf_init(&m->body, HOB_MAX_IMPORT_BYTES);
    hob_buf_init(&m->out, EXPORT_BYTES_MAX);
    call_hold(c);
    return m;
}

static void move_free(struct move *m)
{
    struct call *c = m->call;
    hob_buf_done(&m->body);
    hob_buf_done(&m->out);
    blob_place_done(&m->place);
    free(m->after);
    free(m->copy);
    free(m->sql);
    free(m->application_id);
    json_decref(m->settings);
    free(m);
    call_release(c);
}

static void move_fail(struct move *m, const struct hob_err *err)
{
    call_fail(m->call, err);
    move_free(m);
}

/* What both begin with; NULL: the problem is answered. */
static struct move *move_begin(struct call *c)
{
    struct hob_err err;
    const struct backend_app *app = call_backend(c);
    if (!app)
        return NULL;
    struct move *m = move_new(c);
    if (transfer_parts(call_query(c, "without"), &m->without, &err) != HOB_OK) {
        move_fail(m, &err);
        return NULL;
    }
    /* what cannot be reached is an S3 store without its secret: its bytes are not moved anyway */
    m->place.is_s3 = file_place(c->control->o.backend, app, &m->place, &err) != HOB_OK || m->place.is_s3;
    return m;
}

static struct transfer_page page_of(const struct move *m)
{
    return (struct transfer_page){.app = m->call->copies[0],
                                  .after = hob_str(m->after),
                                  .without = m->without,
                                  .files = &m->place,
                                  .settings = m->settings};
}

/* --- export ---------------------------------------------------------------------------------------------------------- */

static void on_page(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    struct call *c = m->call;
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/x-ndjson")},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")},
                                        {HOB_STR("x-hob-next"), hob_str(m->next)}};
    if (err) {
        move_fail(m, err);
        return;
    }
    if (call_is_open(c)) {
        call_streamed(c);
        http_respond(c->x, 200, fields, m->next[0] ? HOB_COUNT(fields) : HOB_COUNT(fields) - 1,
                     hob_buf_str(&m->out));
    }
    move_free(m);
}

static enum hob_code page_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct move *m = ctx;
    struct transfer_page page = page_of(m);
    hob_buf_clear(&m->out);
    return transfer_export(tx, &page, &m->out, m->next, err);
}

/* What exports left that nobody goes on with. */
static void sweep(const char *dir, const char *start, time_t kept_s)
{
    DIR *d = opendir(dir);
    struct stat st;
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) /* NOLINT(concurrency-mt-unsafe): ours alone */
        if (strncmp(e->d_name, start, strlen(start)) == 0 &&
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime <= time(NULL) - kept_s)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
}

/* On a thread of the databases' readers, because it blocks. */
static enum hob_code sql_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct move *m = ctx;
    struct transfer_page page = page_of(m);
    bool is_over = false;
    hob_auto_close int fd = m->has_none ? -1 : open(m->copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    (void)tx;
    hob_buf_clear(&m->out);
    if (m->was_copied)
        sweep(m->call->control->tmp_dir, COPY_START, COPY_KEPT_S);
    if (fd < 0 && !m->has_none)
        return hob_fail_errno(err, errno, "opening the copy of the SQL database");
    if (fd >= 0)
        (void)futimens(fd, NULL); /* for the sweep */
    if (transfer_export_sql(&page, &m->snapshot, fd, &m->out, m->next, &is_over, err) != HOB_OK)
        return err->code;
    if (is_over && !m->has_none && unlink(m->copy) < 0 && errno != ENOENT)
        return hob_fail_errno(err, errno, "removing the copy of the SQL database");
    return HOB_OK;
}

static void sql_read(struct move *m);

static void on_copied(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    m->has_none = err && err->code == HOB_E_NOT_FOUND;
    m->was_copied = true;
    if (err && !m->has_none)
        move_fail(m, err);
    else
        sql_read(m);
}

void transfer_copies_sweep(const char *tmp_dir)
{
    sweep(tmp_dir, COPY_START, 0);
}

static void sql_copy(struct move *m)
{
    struct control *k = m->call->control;
    hob_auto_free char *start = hob_asprintf(COPY_START "%s-", m->call->copies[0]);
    hob_random_hex(m->snapshot.id, TRANSFER_ID_CHARS / 2);
    m->snapshot.at = 0;
    free(m->copy);
    m->copy = hob_asprintf("%s/%s%s", k->tmp_dir, start, m->snapshot.id);
    if (k->o.sqls)
        sql_backup(k->o.sqls, m->call->copies[0], m->copy, on_copied, m);
    else
        on_copied(m, &(struct hob_err){.code = HOB_E_NOT_FOUND});
}

static void on_sql_page(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    if (err && err->code == HOB_E_NOT_FOUND && !m->was_copied)
        sql_copy(m); /* the daemon was started anew, or a day went by: from its start */
    else
        on_page(m, err);
}

static void sql_read(struct move *m)
{
    appdb_read(m->call->control->o.dbs, m->call->copies[0], sql_work, on_sql_page, m);
}

void handle_data_export(struct call *c)
{
    struct move *m = move_begin(c);
    if (!m)
        return;
    struct hob_str after = call_query(c, "after");
    m->after = hob_strndup(after.at ? after.at : "", after.n);
    m->settings = json_incref((json_t *)(uintptr_t)backend_app_chosen(call_backend(c)));
    if (!transfer_is_sql(hob_str(m->after), &m->snapshot)) {
        appdb_read(c->control->o.dbs, c->copies[0], page_work, on_page, m);
    } else if (!*m->snapshot.id) {
        sql_copy(m);
    } else {
        m->copy = hob_asprintf("%s/" COPY_START "%s-%s", c->control->tmp_dir, c->copies[0], m->snapshot.id);
        sql_read(m);
    }
}

/* --- import ---------------------------------------------------------------------------------------------------------- */

static enum hob_code lines_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct move *m = ctx;
    struct transfer_lines lines = {.text = hob_buf_str(&m->body),
                                   .application_id = m->application_id,
                                   .without = m->without,
                                   .files = &m->place};
    return transfer_import(tx, &lines, &m->counts, &m->settings, err);
}

/* The same import again is no harm. */
static void fail_behind_lines(struct move *m, const char *what, const struct hob_err *err)
{
    struct hob_err said = *err;
    (void)hob_err_wrap(&said, "the lines are in, but not %s", what);
    move_fail(m, &said);
}

static void on_set(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    struct call *c = m->call;
    if (err) {
        fail_behind_lines(m, "the settings", err);
        return;
    }
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_kint(w, "lines", (int64_t)m->counts.lines);
    hob_jw_kint(w, "objects", (int64_t)m->counts.objects);
    hob_jw_kint(w, "related", (int64_t)m->counts.related);
    hob_jw_kint(w, "classes", (int64_t)m->counts.classes);
    hob_jw_kint(w, "files", (int64_t)m->counts.files);
    hob_jw_kint(w, "cached", (int64_t)m->counts.cached);
    hob_jw_kint(w, "pieces", (int64_t)m->counts.pieces);
    hob_jw_kbool(w, "sql", m->sql != NULL);
    hob_jw_object_end(w);
    call_finish(c);
    move_free(m);
}

static void on_replaced(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    if (err)
        fail_behind_lines(m, "the database of env.sql", err);
    else if (m->wants_settings && json_object_size(m->settings))
        backend_app_set(m->call->control->o.backends, m->call->copies[0], m->settings, on_set, m);
    else
        on_set(m, NULL);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    struct move *m = ctx;
    struct control *k = m->call->control;
    if (err) {
        move_fail(m, err);
        return;
    }
    /* rows were written past the backend: what it keeps of the app in memory must go, whatever comes of the rest */
    session_forget_app(backend_auth(k->o.backend), m->call->copies[0]);
    if (m->sql)
        sql_replace(k->o.sqls, m->call->copies[0], m->sql, on_replaced, m);
    else
        on_replaced(m, NULL);
}

static void on_taken(void *ctx, const struct hob_err *err, uint64_t pieces, char *sql)
{
    struct move *m = ctx;
    struct control *k = m->call->control;
    struct hob_err none;
    m->sql = sql;
    m->counts.pieces = pieces;
    if (err) {
        move_fail(m, err);
    } else if (sql && !k->o.sqls) {
        (void)hob_fail(&none, HOB_E_UNAVAILABLE, "env.sql is not there: leave it out (--without sql)");
        move_fail(m, &none);
    } else {
        appdb_write(k->o.dbs, m->call->copies[0], lines_work, on_written, m);
    }
}

static void on_body(void *ctx, struct hob_str data)
{
    struct move *m = ctx;
    HOB_ASSERT(hob_buf_add_str(&m->body, data) == HOB_OK); /* the server refuses longer bodies */
    http_consumed(m->call->x, data.n);
}

static void on_body_end(void *ctx)
{
    struct move *m = ctx;
    struct call *c = m->call;
    const struct backend_app *app = backend_app_by_name(c->control->o.backends, hob_str(c->copies[0]));
    m->is_running = true;
    c->stream = NULL;
    if (app) {
        m->application_id = hob_strdup(backend_app_application_id(app));
        transfer_take(c->control->o.backend, app, hob_buf_str(&m->body), m->without, on_taken, m);
        return;
    }
    move_fail(m, &(struct hob_err){.code = HOB_E_NOT_FOUND, .msg = "the app's backend was removed"});
}

static void on_gone(void *ctx)
{
    struct move *m = ctx;
    if (!m->is_running)
        move_free(m);
}

static const struct call_stream import_stream = {
    .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone};

void handle_data_import(struct call *c)
{
    struct move *m = move_begin(c);
    if (!m)
        return;
    m->wants_settings = hob_str_is(call_query(c, "settings"), "1");
    call_stream_begin(c, &import_stream, m);
    http_body_read(c->x, HOB_MAX_IMPORT_BYTES);
}
