/* The front: one port, every face. Splits what the HTTP server gives: /v1/ to the control API, /healthz, /readyz and
 * /metrics answered here, /parse to the backend of the apps, all else (/fn/APP/FUNCTION and the functions' routes) to the gateway.
 * Borrows the parts; loop's thread. */
#pragma once

#include "api/control/control.h"

struct front;
struct front_options {
    struct control *control;
    struct gateway *gateway;
    struct parse_face *parse;
    struct store *store;
    struct catalog *catalog;
    struct dispatcher *dispatcher;
    struct logs *logs;
    struct node_hub *nodes;
    const struct tokens *tokens;
};
HOB_MUST_USE struct front *front_new(const struct front_options *o);
void front_free(struct front *f);
/* The http_request_cb to give to http_server_start, with the front as its ctx. */
void front_handle(void *ctx, struct http_exchange *x);
/* The server whose counters /metrics shows. */
void front_watch(struct front *f, const struct http_server *server);
/* /readyz says 503 shutting_down from now on; followed logs are ended. */
void front_drain(struct front *f);
