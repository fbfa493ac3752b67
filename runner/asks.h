/* Questions of people about this node's engines (base/link.h, ENGINE): each is answered exactly once over the link, or not
 * at all when the link is gone first. Lives on the loop's thread; borrows the engines and the uplink. */
#pragma once

#include "runner/engine.h"
#include "runner/uplink.h"

struct asks;
/* `docker` may be NULL. */
struct asks *asks_new(struct uplink *u, struct engine *sandbox, struct engine *docker);
void asks_take(struct asks *a, const struct hob_pairs *question);
/* Nothing is sent any more; frees itself when the last engine has answered. NULL is fine. */
void asks_close(struct asks *a);
