/* Parameters in a URL's query, as the Parse protocol reads them: each value is JSON when it can be read as such, else the
 * text itself. Pure. */
#pragma once

#include "base/json.h"

/* Adds those of a request to `path` ("/login") to an object, over what is there. More than 1,000 are ignored. At a log-in
 * username, email and password are the text they are, whatever it looks like: a password may be "true". */
void query_params_add(struct hob_str path, struct hob_str query, json_t *to);
/* %XX decoded; `is_form`: '+' is a space. What is no escape stays as it is. Returns owned, NUL-ended. */
HOB_MUST_USE char *url_decode(struct hob_str s, bool is_form, size_t *ret_n);
