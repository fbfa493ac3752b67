/* libcurl's multi interface on a libuv loop: its sockets and its timer. Embedded in what owns the transfers, which keeps
 * them in a list of its own and looks at those that ended in `settle`, behind curl's callbacks, where transfers may be
 * added and removed. libcurl is opened with the first transfer (base/lazy/lazy.h). Loop's thread. */
#pragma once

#include <uv.h>

#include "base/lazy/curl.h"

struct curl_loop {
    uv_loop_t *loop;
    CURLM *multi; /* NULL: no transfer was made yet */
    uv_timer_t timer;
    unsigned handles;
    long connections_max; /* kept open for the next transfer */
    bool is_closing;
    /* A transfer ended: `transfer` is its CURLOPT_PRIVATE. Only notes it. */
    void (*ended)(void *transfer, CURLcode result);
    /* Behind curl, in the same turn: may do everything, but free the owner. Not called any more once it is closing. */
    void (*settle)(void *ctx);
    void *ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct curl_loop_options {
    long connections_max;
    void (*ended)(void *transfer, CURLcode result);
    void (*settle)(void *ctx);
    void *ctx;
};
void curl_loop_init(struct curl_loop *l, uv_loop_t *loop, const struct curl_loop_options *o);
/* False when curl does not take it. */
HOB_MUST_USE bool curl_loop_add(struct curl_loop *l, CURL *easy);
/* No further word of it; the caller cleans it up. Also of one that was never added. */
void curl_loop_remove(struct curl_loop *l, CURL *easy);
/* When every transfer is removed; nothing is settled from here on. `closed` once, never from inside. */
void curl_loop_close(struct curl_loop *l, void (*closed)(void *ctx), void *ctx);
