/* Quantiles of times in constant space: a histogram whose buckets grow by a fifth, in which old samples fade by a half
 * life counted in samples. Pure: the same samples in the same order give the same answers. Not thread-bound. */
#pragma once

#include "base/compiler.h"

enum { SKETCH_BUCKETS = 124 }; /* four an octave, from 1 us to half an hour */

struct sketch {
    float weights[SKETCH_BUCKETS];
    double total, unit, growth; /* unit: the weight of the next sample */
    uint64_t samples;
};

void sketch_init(struct sketch *s, unsigned half_life);
void sketch_add(struct sketch *s, uint64_t us);
/* The time that the part `q` (0 to 1) of all samples does not exceed, to a tenth or so; 0 without samples. */
uint64_t sketch_quantile(const struct sketch *s, double q);
