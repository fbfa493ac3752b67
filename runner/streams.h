/* The descriptors of one instance: the channel and where stdout and stderr go. Each end is owned until it is given away
 * (and then -1). */
#pragma once

#include "base/err.h"

struct streams {
    int channel, their_channel;
    int out, their_out, err, their_err; /* out and err: -1 when the lines are not wanted */
};
/* Our ends do not block, theirs do. HOB_E_* and nothing is open when it fails. */
HOB_MUST_USE enum hob_code streams_open(struct streams *ret_streams, bool wants_logs, struct hob_err *err);
void streams_close(struct streams *s);
