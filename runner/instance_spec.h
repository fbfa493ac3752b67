/* START's pairs, judged and put into the engine's words. Owns its strings. */
#pragma once

#include "base/link.h"
#include "runner/egress/policy.h"
#include "runner/engine.h"

struct instance_spec {
    struct engine_spec engine; /* descriptors not set */
    struct hob_buf strings;
    char runtime[32], digest[65], app[65], image[256], function[65];
    uint32_t version;
    bool wants_logs;
    struct policy *policy; /* with egress: what it may connect to, owned; else NULL */
    uint32_t pool_max;     /* stems to keep of its like, at most; 0: none */
    uint32_t forks_max; /* may be one of so many forks in a sandbox of its version; 0: has one of its own */
};
/* HOB_E_INVALID or HOB_E_TOO_LARGE; on failure nothing is owned. */
HOB_MUST_USE enum hob_code instance_spec_read(struct instance_spec *ret_spec, const struct hob_pairs *start,
                                              struct hob_err *err);
void instance_spec_done(struct instance_spec *s);
/* Whether its program is part of its code, so that a stem of it has only hob-init waiting (runner/init/await.h). */
bool instance_spec_is_native(const struct instance_spec *s);
