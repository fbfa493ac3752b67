/* Why the server itself refuses a request: a status of HTTP that the table of base/err.c cannot give (431, 505),
 * a reason and a text. */
#pragma once

#include "base/err.h"

struct http_refusal {
    int status;
    struct hob_err err;
};

/* Fills *r; the text is copied, the reason is a literal. */
static inline void http_refuse(struct http_refusal *r, int status, const char *reason, const char *text)
{
    enum hob_code code = status == 413 || status == 414 || status == 431   ? HOB_E_TOO_LARGE
                         : status == 501 || status == 505 || status == 417 ? HOB_E_UNSUPPORTED
                         : status == 408                                   ? HOB_E_TIMEOUT
                                                                           : HOB_E_INVALID;
    r->status = status;
    (void)hob_fail_reason(&r->err, code, reason, "%s", text);
}
