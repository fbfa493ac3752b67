/* When somebody must be looked at again: a binary heap of wake-up times, earliest first, behind the dispatcher's one
 * timer. Owns only its array; the entries are embedded in what they wake. */
#pragma once

#include "base/mem.h"

struct wake {
    uint64_t at_us; /* UINT64_MAX and index 0: asleep, not in the heap */
    size_t index;   /* from 1 */
};
struct wake_heap {
    struct wake **items; /* from 1 */
    size_t n, cap;
};

void wake_init(struct wake *w);
void wake_heap_done(struct wake_heap *h);
/* UINT64_MAX takes it out. */
void wake_set(struct wake_heap *h, struct wake *w, uint64_t at_us);
/* Only when that is earlier than what is set. */
static inline void wake_by(struct wake_heap *h, struct wake *w, uint64_t at_us)
{
    if (at_us < w->at_us)
        wake_set(h, w, at_us);
}
static inline struct wake *wake_first(const struct wake_heap *h)
{
    return h->n ? h->items[1] : NULL;
}
