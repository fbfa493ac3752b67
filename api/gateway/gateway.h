/* The gateway: functions over HTTP. Finds the version that a request means (`/fn/APP/FUNCTION[:ALIAS|@VERSION]/...`, or
 * a route by host, path and method), turns the request into an invocation and its answer into HTTP, with back-pressure
 * both ways. Owned by the daemon; borrows catalogue and dispatcher; loop's thread.
 * Every exchange given to it is answered exactly once. */
#pragma once

#include "api/server/http.h"
#include "controller/catalog.h"
#include "controller/invocation.h"

struct gateway;
struct gateway_options {
    struct catalog *catalog;
    struct dispatcher *dispatcher;
};
/* Returns owned. */
HOB_MUST_USE struct gateway *gateway_new(const struct gateway_options *o);
void gateway_free(struct gateway *g); /* after the last exchange was closed */
/* Answers the exchange, also when nothing matches (404). Called from the server's on_request. */
void gateway_handle(struct gateway *g, struct http_exchange *x);
/* For the control API, whose caller is authenticated: the body is the event, the answer is streamed back with
 * Server-Timing and X-Hob-Version; the function's own error is told (502, member `error`). Borrows `v`. */
void gateway_invoke_event(struct gateway *g, struct http_exchange *x, struct version *v);
