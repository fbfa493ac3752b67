/* One version's queue and instances. Made on first use, kept in version->pool, freed when the version is gone and
 * nothing of it runs. Owned by the dispatcher; loop's thread. The verbs are in dispatch_priv.h: nobody but the
 * dispatcher's own files speaks to a pool. */
#pragma once

#include "controller/invocation.h"

struct pool;
void pool_view(const struct pool *p, struct version_view *ret_view);
