/* Moving an app's data out and in, as JSON lines. Blocking, inside the jobs of store/appdb.h.
 *
 *   {"hob_export":1,"app":"shop"}                                             the first line
 *   {"class":"Order","fields":{"total":{"type":"Number"}},"permissions":{},"indexes":{"name":{"total":1}}}
 *   {"config":"limit","value":5,"masterKeyOnly":false}
 *   {"class":"Order","object":{"objectId":..,"createdAt":..,"updatedAt":..,"ACL":{},...},"hidden":{..}}
 *   {"class":"_Role","relation":"users","owner":"id","related":["id",...]}
 *
 * `hidden` holds what never leaves the server otherwise (password hashes, authData), so an export is as secret as the
 * database. Objects keep ids, dates and ACLs; importing the same line again changes nothing. */
#pragma once

#include "base/buf.h"
#include "store/appdb.h"

struct transfer_page {
    const char *app;
    struct hob_str after; /* where the page before ended; empty: from the start */
};
/* Appends whole lines until there are some megabytes; *ret_next (with NUL) is where to go on, "" at the end. */
enum { TRANSFER_CURSOR_BYTES = 256 };
HOB_MUST_USE enum hob_code transfer_export(struct data_tx *tx, const struct transfer_page *page,
                                           struct hob_buf *out, char ret_next[TRANSFER_CURSOR_BYTES],
                                           struct hob_err *err);

struct transfer_counts {
    uint64_t lines, objects, related, classes;
};
/* All lines or none; the error names the line, counted from 1 in this text. */
HOB_MUST_USE enum hob_code transfer_import(struct data_tx *tx, struct hob_str lines,
                                           struct transfer_counts *ret_counts, struct hob_err *err);
