/* The lines of an import: of a file, or of a folder with the collections of a Parse Server, turned into lines of ours on
 * the way. One thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { LINE_BYTES_MAX = 16 << 20 };

struct lines;
/* Returns owned, or NULL. */
HOB_MUST_USE struct lines *lines_open(const char *path, struct hob_err *err);
void lines_close(struct lines *l);
/* The next line without its end, borrowed until the next call; *ret_has_line false at the end. */
HOB_MUST_USE enum hob_code lines_next(struct lines *l, struct hob_str *ret_line, bool *ret_has_line,
                                      struct hob_err *err);
uint64_t lines_bytes(const struct lines *l); /* read so far, and in all */
uint64_t lines_total(const struct lines *l);
