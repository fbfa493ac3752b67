/* env.sql: one more SQLite database an app, HOME/data/APP.sql.db, which its functions use with statements of their own.
 * The statements are a stranger's: no other file can be reached, no extension loaded, no setting of the connection
 * changed; time, memory, rows, bytes and the size of the file are bounded (limits sql.*).
 *
 * Work runs on a few threads of this pool; one call of an app at a time, apps in turn. A call is one transaction: all its
 * statements or none, on the disk when it is answered. Owner: the daemon. Loop's thread. */
#pragma once

#include <uv.h>

#include "base/json.h"

struct sqls;
struct sqls_options {
    uv_loop_t *loop;
    const char *dir;   /* HOME/data; made when it is not there (0700) */
    unsigned threads;  /* 0: 2 */
    unsigned open_max; /* databases open at a time; 0: 32 */
    uint32_t time_ms;  /* for one call; 0: sql.ms */
};
HOB_MUST_USE struct sqls *sqls_open(const struct sqls_options *o, struct hob_err *err);
/* Ends what runs, fails what waits with HOB_E_CANCELLED; then `closed` once. */
void sqls_close(struct sqls *s, void (*closed)(void *ctx), void *ctx);

/* `statements`: [{"sql":"...","params":[...]}], a reference is taken and nobody may change it meanwhile. A parameter is
 * null, a number, a text, true or false (1 and 0), or {"$blob":"base64"}. `is_script`: each "sql" may hold several statements
 * and gives no rows. On success *out (the caller's, untouched meanwhile) has a JSON array with, for each statement,
 * {"columns":[...],"rows":[[...]],"meta":{...}}; a blob is {"$blob":"base64"}.
 * Errors: HOB_E_INVALID (SQL), HOB_E_CONFLICT (constraint), HOB_E_FORBIDDEN (not allowed here), HOB_E_TIMEOUT,
 * HOB_E_TOO_LARGE, HOB_E_NO_SPACE, HOB_E_BUSY. `done` once, never from inside. */
typedef void (*sql_done_cb)(void *ctx, const struct hob_err *err);
void sql_ask(struct sqls *s, const char *app, json_t *statements, bool is_script, struct hob_buf *out,
             sql_done_cb done, void *ctx);
/* A consistent copy of the app's database into a new file at `path` (0600), fsynced. HOB_E_NOT_FOUND: it has none. */
void sql_backup(struct sqls *s, const char *app, const char *path, sql_done_cb done, void *ctx);
/* Puts the database file at `path`, which goes, in the place of the app's, when it is whole and one of ours. */
void sql_replace(struct sqls *s, const char *app, const char *path, sql_done_cb done, void *ctx);
/* The app is gone: its database with all its files, after what runs. */
void sql_remove(struct sqls *s, const char *app, sql_done_cb done, void *ctx);
