/* One question to the machine's name servers (/etc/resolv.conf): asked from a port and with an id of its own, tried
 * again at the next server, answered exactly once and never from inside lookup_start. Lives on the loop's thread. */
#pragma once

#include <uv.h>

#include "runner/egress/dns.h"

struct lookup;
/* `result` is borrowed; DNS_SERVER_FAILURE when no server answered in time. */
typedef void (*lookup_cb)(void *ctx, const struct dns_result *result);
struct lookup *lookup_start(uv_loop_t *loop, const struct dns_question *q, lookup_cb cb, void *ctx);
/* No answer comes any more; frees itself when libuv is done. */
void lookup_cancel(struct lookup *l);
