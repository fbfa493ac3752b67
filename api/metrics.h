/* /metrics: what the daemon counts, in the Prometheus text format 0.0.4. Loop's thread. */
#pragma once

#include "api/front.h"

enum { METRICS_BYTES_MAX = 8 * 1024 * 1024 };
HOB_MUST_USE enum hob_code metrics_write(const struct front_options *o, const struct http_server *server,
                                         struct hob_buf *out);
