/* What a scaler learned about its version, as bytes that outlive the process: rate, run and start times, the rhythm of
 * its requests, and how many instances there were. Pure; what is read is judged, for the store's file is no oath. */
#pragma once

#include "base/buf.h"
#include "controller/scale/scaler.h"

enum { LEARNED_BYTES_MAX = 4096 };

struct learned_at { /* one moment on both clocks */
    uint64_t now_us;
    int64_t utc_ms;
};
/* Appends to `out`, born with LEARNED_BYTES_MAX: never more. `instances`: up or starting. */
void learned_write(struct hob_buf *out, const struct scaler *s, unsigned instances, struct learned_at at);
/* Into a scaler that was just made. What time has taken from a rate is taken; the count of instances is held when it is
 * not older than SCALER_HOLD_US. False: the bytes are not ours, and nothing was changed. */
bool learned_read(struct hob_str bytes, struct scaler *s, struct learned_at at);
/* A new version of a function begins with what the one before knew; `instances` are held. */
void learned_inherit(struct scaler *s, const struct scaler *from, unsigned instances, uint64_t now_us);
