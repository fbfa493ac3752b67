/* The text of a mail: templates of the app or ours, filled in, as a MIME message (RFC 5322, 2045, 2047). Pure; not
 * thread-bound. */
#pragma once

#include "base/json.h"

enum { MAIL_ROW_BYTES_MAX = 8192, MAIL_BYTES_MAX = 262144 };

struct mail_words {
    const char *app_name, *username, *email, *link;
};
/* `templates`: {"verification":{"subject","text","html"},"reset":{...}} or NULL; `kind`: "verify" or "reset". Appends the
 * whole message with its head; lines end with CR LF. HOB_E_INVALID when the address is none that a mail can have. */
HOB_MUST_USE enum hob_code mail_compose(const json_t *templates, const char *kind, const char *from,
                                        const struct mail_words *words, struct hob_buf *out,
                                        struct hob_err *err);
/* "Name <a@b>" or "a@b": the address alone; false when it has characters that could be something else to a server. */
HOB_MUST_USE bool mail_address(struct hob_str text, char out[321]);
