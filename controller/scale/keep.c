#include "controller/scale/keep.h"

#include "base/banned.h"

static const double MARGIN = 0.1, CV_MIN = 2.0, BEYOND_MAX = 0.5;

static void halve(struct keep *k)
{
    k->within = 0;
    for (unsigned i = 0; i < KEEP_BINS; i++)
        k->within += k->bins[i] /= 2;
    k->beyond /= 2;
}

/* The bins are worth something when they are not all alike: their coefficient of variation is 2 at least. */
static bool is_shaped(const struct keep *k)
{
    double mean = (double)k->within / KEEP_BINS, squares = 0;
    for (unsigned i = 0; i < KEEP_BINS; i++)
        squares += (double)k->bins[i] * k->bins[i];
    double variance = squares / KEEP_BINS - mean * mean;
    return variance >= CV_MIN * CV_MIN * mean * mean;
}

static unsigned bin_at(const struct keep *k, double q)
{
    double left = q * k->within;
    for (unsigned i = 0; i < KEEP_BINS; i++) {
        left -= k->bins[i];
        if (left <= 0 && k->bins[i])
            return i;
    }
    return KEEP_BINS - 1;
}

static void conclude(struct keep *k)
{
    uint32_t all = k->within + k->beyond;
    k->is_usable =
        k->within >= KEEP_SAMPLES_MIN && (double)k->beyond <= BEYOND_MAX * (double)all && is_shaped(k);
    if (!k->is_usable)
        return;
    k->head_us = (uint64_t)((double)bin_at(k, 0.05) * (double)KEEP_BIN_US * (1 - MARGIN));
    k->tail_us = (uint64_t)((double)(bin_at(k, 0.99) + 1) * (double)KEEP_BIN_US * (1 + MARGIN));
}

void keep_note(struct keep *k, uint64_t gap_us)
{
    uint64_t bin = gap_us / KEEP_BIN_US;
    if (bin >= KEEP_BINS) {
        k->beyond++;
    } else {
        k->bins[bin]++;
        k->within++;
        if (k->bins[bin] == UINT16_MAX)
            halve(k);
    }
    /* the gaps of a busy version all fall into the first bin and change nothing: they are not worth 240 steps each */
    if (bin || k->within < 64 || k->within % 64 == 0)
        conclude(k);
}

void keep_restore(struct keep *k, uint32_t beyond)
{
    k->within = 0;
    for (unsigned i = 0; i < KEEP_BINS; i++)
        k->within += k->bins[i];
    k->beyond = beyond;
    conclude(k);
}
