/* Inside of base/json.c: a reader for what most documents are, without escapes and with numbers of 15 digits at most. At
 * anything else, and at every error, it gives up, and jansson reads the whole: rare forms and messages are jansson's. */
#pragma once

#include "base/json.h"

/* Returns owned; NULL: it gave up. */
json_t *json_read_quickly(struct hob_str text);
