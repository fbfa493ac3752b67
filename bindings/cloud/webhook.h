/* Webhooks: JSON posted to a URL by libcurl on the loop, and what came back. Redirects are not followed; only http and
 * https. Owner: the registry of cloud code. Loop's thread. */
#pragma once

#include <uv.h>

#include "base/buf.h"

struct webhooks;
/* Whom it calls is an app's choice: addresses that are not of the internet are refused when the connection is made,
 * unless the administrator has allowed them. */
HOB_MUST_USE struct webhooks *webhooks_new(uv_loop_t *loop, bool may_reach_private);
/* Calls under way are told HOB_E_CANCELLED; then `closed`, never from inside. */
void webhooks_close(struct webhooks *w, void (*closed)(void *ctx), void *ctx);

/* The same without closing. */
void webhooks_cancel(struct webhooks *w);

struct webhook_request {
    const char *url;
    struct hob_str body;
    const char *key; /* X-Parse-Webhook-Key, or NULL */
    uint32_t timeout_ms;
};
/* `answer` is borrowed; empty with an error (HOB_E_TIMEOUT, HOB_E_UNAVAILABLE, HOB_E_TOO_LARGE, HOB_E_CANCELLED). Any HTTP
 * status is an answer: the protocol tells failure in the body. Exactly once, never from inside webhook_post. */
typedef void (*webhook_done_cb)(void *ctx, const struct hob_err *err, struct hob_str answer);
void webhook_post(struct webhooks *w, const struct webhook_request *r, webhook_done_cb done, void *ctx);
/* Is it an absolute http or https URL? */
bool webhook_url_is_valid(const char *url);
