/* Moving an app's data out and in, as JSON lines: objects and all that belongs to them, the facts of env.cache, the
 * database of env.sql and the bytes of files. Blocking, inside the jobs of store/appdb.h where nothing else is said.
 *
 *   {"hob_export":1,"app":"shop","settings":{"maxLimit":500}}                 the first line
 *   {"class":"Order","fields":{"total":{"type":"Number"}},"permissions":{},"indexes":{"name":{"total":1}}}
 *   {"config":"limit","value":5,"masterKeyOnly":false}
 *   {"class":"Order","object":{"objectId":..,"createdAt":..,"updatedAt":..,"ACL":{},...},"hidden":{..}}
 *   {"class":"_Role","relation":"users","owner":"id","related":["id",...]}
 *   {"cache":"key","value":"text"}                 or "base64"; with "metadata" and "expires" (ms since 1970)
 *   {"sql":"main","bytes":8192,"at":0,"base64":".."}              a piece of the database file of env.sql
 *   {"file_key":"a/b.txt","row":{..}}                             env.files
 *   {"blob":"SHA-256","bytes":5,"at":0,"base64":".."}             a piece of what files hold
 *   {"file":"name","row":{"digest":..,"type":..,"bytes":..},"metadata":{..}}
 *
 * `hidden` holds what never leaves the server otherwise (password hashes, authData), so an export is as secret as the
 * database. Objects keep ids, dates and ACLs; importing the same line again changes nothing. Pieces come in order, those of
 * a file before its name. Bytes in an S3 store are not in an export: only their names are. */
#pragma once

#include "base/json.h"
#include "bindings/backend.h"
#include "store/appdb.h"

/* What may be left out. */
enum transfer_part { TRANSFER_CACHE = 1, TRANSFER_SQL = 2, TRANSFER_FILES = 4 };
/* "files,sql"; empty: nothing is left out. */
HOB_MUST_USE enum hob_code transfer_parts(struct hob_str list, unsigned *ret_parts, struct hob_err *err);

struct blob_place;
struct transfer_page {
    const char *app;
    struct hob_str after; /* where the page before ended; empty: from the start */
    unsigned without;
    const struct blob_place *files;
    const json_t *settings; /* those that were set */
};
/* Appends whole lines until there are some megabytes; *ret_next (with NUL) is where to go on, "" at the end. */
enum { TRANSFER_CURSOR_BYTES = 1024 };
HOB_MUST_USE enum hob_code transfer_export(struct data_tx *tx, const struct transfer_page *page,
                                           struct hob_buf *out, char ret_next[TRANSFER_CURSOR_BYTES],
                                           struct hob_err *err);
/* The database of env.sql lies elsewhere: when a page shall begin with it, the caller makes a snapshot (store/sql.h) in a
 * file of its own and has the page written from that, by any thread. `id` names the snapshot: empty, or the caller's own
 * of a page before. */
enum { TRANSFER_ID_CHARS = 16 };
struct transfer_snapshot {
    char id[TRANSFER_ID_CHARS + 1];
    uint64_t at;
};
HOB_MUST_USE bool transfer_is_sql(struct hob_str after, struct transfer_snapshot *ret_snapshot);
/* `fd` -1: the app has no such database. *ret_is_over: the snapshot is not needed any more. */
HOB_MUST_USE enum hob_code transfer_export_sql(const struct transfer_page *page,
                                               const struct transfer_snapshot *s, int fd, struct hob_buf *out,
                                               char ret_next[TRANSFER_CURSOR_BYTES], bool *ret_is_over,
                                               struct hob_err *err);

struct transfer_counts {
    uint64_t lines, objects, related, classes, files, cached, pieces;
};
/* First, on a worker: takes the pieces out of the lines into files beside the app's (parts/), puts whole contents under
 * their digest, durably. *ret_sql (owned, or NULL): where a whole database of env.sql waits to be put in place. `lines` is
 * borrowed until `done` comes, once, never from inside. Pieces that are taken stay when a later line is refused. */
typedef void (*transfer_taken_cb)(void *ctx, const struct hob_err *err, uint64_t pieces, char *ret_sql);
void transfer_take(struct backend *b, const struct backend_app *app, struct hob_str lines, unsigned without,
                   transfer_taken_cb done, void *ctx);
/* Then the others, all or none; the error names the line, counted from 1 in this text. `files` borrowed. Only behind their
 * commit a database is put in place: what is refused here leaves it, and its pieces, as they are. */
struct transfer_lines {
    struct hob_str text;
    const char *application_id; /* of the app that they go to */
    unsigned without;
    const struct blob_place *files;
};
/* *ret_settings: those of the first line (owned), when it is among these lines, else left alone: the caller may set them. */
HOB_MUST_USE enum hob_code transfer_import(struct data_tx *tx, const struct transfer_lines *lines,
                                           struct transfer_counts *ret_counts, json_t **ret_settings,
                                           struct hob_err *err);
