/* What auth says to the world: HTTP requests to providers of identities, by libcurl's multi interface on the loop. Whom it talks to is an app's choice, hence: no redirect is followed, no proxy of the environment
 * is used, addresses that are not of the internet (loopback, private, link-local, ...) are refused when the connection is
 * made, whatever name they were reached by, plain HTTP is refused; unless the administrator has allowed both. Answers and
 * times are bounded (auth.answer_bytes, auth.answer_ms), and so are the requests at a time.
 * Owner: auth. Loop's thread. */
#pragma once

#include <uv.h>

#include "base/buf.h"

struct outbound;
HOB_MUST_USE struct outbound *outbound_new(uv_loop_t *loop, bool may_reach_private);
/* What is under way ends with HOB_E_CANCELLED; then `closed` once. */
void outbound_close(struct outbound *o, void (*closed)(void *ctx), void *ctx);

struct outbound_answer {
    int status;
    struct hob_str body;
};
/* Exactly once, never from inside the asking. Any status is an answer; `err` instead: HOB_E_UNAVAILABLE, HOB_E_TIMEOUT,
 * HOB_E_TOO_LARGE, HOB_E_FORBIDDEN (address or scheme), HOB_E_INVALID (no URL), HOB_E_BUSY, HOB_E_CANCELLED. */
typedef void (*outbound_cb)(void *ctx, const struct outbound_answer *a, const struct hob_err *err);

/* Everything is copied. */
struct outbound_request {
    const char *app, *url;
    const char *form;          /* a POST of application/x-www-form-urlencoded; NULL: a GET */
    const char *bearer;        /* Authorization, or NULL */
    const char *user, *secret; /* HTTP Basic, or NULL */
};
void outbound_ask(struct outbound *o, const struct outbound_request *r, outbound_cb done, void *ctx);
/* Appends the text as application/x-www-form-urlencoded wants it. */
HOB_MUST_USE enum hob_code outbound_escape(struct hob_buf *out, struct hob_str text);
