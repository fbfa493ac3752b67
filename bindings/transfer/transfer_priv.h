/* Inside of bindings/transfer/: cursors, pieces of bytes, and lines that are no objects. */
#pragma once

#include "base/json.h"
#include "bindings/files/files_priv.h"
#include "bindings/transfer/transfer.h"

enum { PAGE_BYTES = 4 << 20, PIECE_BYTES = 1 << 20 };

/* phases.c: behind the objects come "+cache/", "+sql/", "+keys/", "+bytes/", "+names/", each with its own place behind. */
/* Where to go on when that phase ("" for the objects) is over: the next that is not left out, or "". */
void phase_next(const char *phase, unsigned without, char ret_next[TRANSFER_CURSOR_BYTES]);
HOB_MUST_USE enum hob_code phase_export(struct data_tx *tx, const struct transfer_page *page,
                                        struct hob_buf *out, char ret_next[TRANSFER_CURSOR_BYTES],
                                        struct hob_err *err);

/* pieces.c */
struct pieces {
    int fd;
    const char *kind, *name; /* "blob", digest; "sql", "main" */
    uint64_t at;             /* goes on there */
    bool is_over;            /* all are written */
};
/* Pieces until the page is full. A file without bytes is one piece. */
HOB_MUST_USE enum hob_code pieces_write(struct pieces *p, struct hob_buf *out, struct hob_err *err);
/* Is the line a piece? Then transfer_import leaves it alone. */
bool piece_is(struct hob_str line, enum transfer_part *ret_part);

/* facts.c: {"cache":...}, {"file_key":...}, {"file":...} */
HOB_MUST_USE enum hob_code fact_import(struct data_tx *tx, const struct transfer_lines *lines,
                                       const json_t *line, struct transfer_counts *counts, bool *ret_is_one,
                                       struct hob_err *err);
