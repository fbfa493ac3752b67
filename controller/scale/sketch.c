#include "controller/scale/sketch.h"

#include <math.h>

#include "base/banned.h"

enum { PER_OCTAVE = 4 };
static const double UNIT_MAX = 1e12; /* far from a float's end, so that sums keep their digits */

void sketch_init(struct sketch *s, unsigned half_life)
{
    *s = (struct sketch){.unit = 1, .growth = exp2(1.0 / half_life)};
}

/* The highest bit and the two below it. */
static unsigned bucket_of(uint64_t us)
{
    if (us < PER_OCTAVE)
        return (unsigned)us;
    unsigned high = 63u - (unsigned)__builtin_clzll(us);
    unsigned bucket = (high - 1) * PER_OCTAVE + (unsigned)(us >> (high - 2) & 3);
    return bucket < SKETCH_BUCKETS ? bucket : SKETCH_BUCKETS - 1;
}

static double bucket_start(unsigned bucket)
{
    if (bucket < PER_OCTAVE)
        return bucket;
    return ldexp(PER_OCTAVE + bucket % PER_OCTAVE, (int)(bucket / PER_OCTAVE) - 1);
}

static void shrink(struct sketch *s)
{
    s->total = 0;
    for (unsigned i = 0; i < SKETCH_BUCKETS; i++) {
        s->weights[i] /= (float)s->unit;
        s->total += (double)s->weights[i];
    }
    s->unit = 1;
}

void sketch_add(struct sketch *s, uint64_t us)
{
    s->weights[bucket_of(us)] += (float)s->unit;
    s->total += s->unit;
    s->unit *= s->growth;
    s->samples++;
    if (s->unit > UNIT_MAX)
        shrink(s);
}

uint64_t sketch_quantile(const struct sketch *s, double q)
{
    if (s->samples == 0)
        return 0;
    double left = q * s->total;
    unsigned last = 0;
    for (unsigned i = 0; i < SKETCH_BUCKETS; i++) {
        double weight = (double)s->weights[i];
        if (weight <= 0)
            continue;
        last = i;
        if (left <= weight) {
            double start = bucket_start(i), width = bucket_start(i + 1) - start;
            return (uint64_t)(start + width * (left / weight));
        }
        left -= weight;
    }
    return (uint64_t)bucket_start(last + 1); /* rounding ate the rest */
}
