/* How long the last idle instance is worth keeping, learned from the gaps between a version's requests: 240 bins of
 * one minute ("hybrid histogram", Shahrad et al., USENIX ATC 2020). Pure; not thread-bound. */
#pragma once

#include "base/compiler.h"

enum { KEEP_BINS = 240, KEEP_SAMPLES_MIN = 10 };
static const uint64_t KEEP_BIN_US = 60ull * 1000 * 1000;

struct keep {
    uint16_t bins[KEEP_BINS];
    uint32_t within, beyond; /* gaps of less than four hours, and others */
    /* what follows from them, kept up to date: */
    bool is_usable;
    uint64_t head_us, tail_us; /* the next request comes between these, counted from the last one's end */
};

void keep_note(struct keep *k, uint64_t gap_us);
/* The bins were filled from elsewhere: concludes from them and from the gaps beyond. */
void keep_restore(struct keep *k, uint32_t beyond);
