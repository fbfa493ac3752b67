/* Changing one value of hob.json and nothing else: comments, order and spelling of all the rest stay. Pure. */
#pragma once

#include "base/json.h"

/* Writes `text` (hob.json, comments allowed) with functions.FUNCTION.KEY set to `list`, an array of strings. The result was
 * read again and has it. Borrows everything. */
HOB_MUST_USE enum hob_code edit_set_list(struct hob_str text, const char *function, const char *key,
                                         const json_t *list, struct hob_buf *out, struct hob_err *err);
