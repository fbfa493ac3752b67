/* The control API, /v1: what `hob` speaks (docs/api.md). One table (routes.c) holds every call with its method, path,
 * query, body, answer and help; routing, judging, the OpenAPI document and the reference in the docs come from it.
 * Owns its exchanges' stories, borrows every part of the daemon. Loop's thread. */
#pragma once

#include "api/server/http.h"
#include "controller/admin.h"
#include "controller/deploy.h"
#include "controller/image_gc.h"
#include "controller/invocation.h"
#include "controller/tokens.h"

struct control;
struct gateway;
struct backend_apps;
struct appdbs;
struct sqls;
struct backend;
struct control_options { /* all borrowed for the control's life */
    uv_loop_t *loop;
    const char *home; /* uploads and snapshots go to its tmp/ */
    struct store *store;
    struct catalog *catalog;
    struct dispatcher *dispatcher;
    struct deployer *deployer;
    struct image_gc *image_gc;
    struct admin *admin;
    struct vault *vault;
    struct tokens *tokens;
    struct logs *logs;
    struct node_hub *nodes;
    const struct runtimes *runtimes;
    struct gateway *gateway;
    struct backend_apps *backends;
    struct appdbs *dbs;
    struct sqls *sqls; /* NULL: there is no env.sql */
    struct backend *backend;
};
HOB_MUST_USE struct control *control_new(const struct control_options *o);
/* Ends streams that would not end by themselves (followed logs), so that the server can drain. */
void control_drain(struct control *c);
/* Every exchange must be closed; waits for what still runs behind them, then `closed`. */
void control_close(struct control *c, void (*closed)(void *ctx), void *ctx);
/* Takes the exchange: answers it in every case. */
void control_handle(struct control *c, struct http_exchange *x);

/* The name of the token that this exchange carries, or NULL. Borrowed. Counts nothing. */
const char *control_token_name(const struct tokens *t, const struct http_exchange *x);

/* A problem document of status 405; `allow` lists what is possible. */
void control_answer_405(struct http_exchange *x, const char *allow);

struct control_stats {
    uint64_t calls_total, refused_total, auth_failures_total, deploys_total, deploys_failed_total;
};
void control_stats(const struct control *c, struct control_stats *ret_stats);

/* The documents that come from the table. */
HOB_MUST_USE enum hob_code control_openapi_write(struct hob_buf *out);   /* OpenAPI 3.1, JSON */
HOB_MUST_USE enum hob_code control_reference_write(struct hob_buf *out); /* Markdown, for docs/api.md */
