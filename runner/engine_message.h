/* What the sandbox engine asks of hob-launcher (base/launch.h), written from a spec. Pure. */
#pragma once

#include "base/buf.h"
#include "base/launch.h"
#include "runner/engine.h"

/* LAUNCH, its strings behind it. HOB_E_TOO_LARGE: `out` cannot hold them. */
HOB_MUST_USE enum hob_code engine_launch_message(uint64_t id, const struct engine_spec *spec,
                                                 struct hob_buf *out);
void engine_assign_message(uint64_t id, const struct engine_spec *spec, struct hob_launch_request *ret);
/* FORK of the run `of`. */
HOB_MUST_USE enum hob_code engine_fork_message(uint64_t id, uint64_t of, const struct engine_spec *spec,
                                               struct hob_buf *out);
