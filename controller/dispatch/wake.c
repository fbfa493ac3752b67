#include "controller/dispatch/wake.h"

#include <stdlib.h>

#include "base/banned.h"

void wake_init(struct wake *w)
{
    *w = (struct wake){.at_us = UINT64_MAX};
}

void wake_heap_done(struct wake_heap *h)
{
    free(h->items);
    *h = (struct wake_heap){0};
}

static void put(struct wake_heap *h, size_t i, struct wake *w)
{
    h->items[i] = w;
    w->index = i;
}

static void sift_up(struct wake_heap *h, size_t i)
{
    struct wake *w = h->items[i];
    for (; i > 1 && h->items[i / 2]->at_us > w->at_us; i /= 2)
        put(h, i, h->items[i / 2]);
    put(h, i, w);
}

static void sift_down(struct wake_heap *h, size_t i)
{
    struct wake *w = h->items[i];
    for (size_t child; (child = 2 * i) <= h->n; i = child) {
        if (child < h->n && h->items[child + 1]->at_us < h->items[child]->at_us)
            child++;
        if (h->items[child]->at_us >= w->at_us)
            break;
        put(h, i, h->items[child]);
    }
    put(h, i, w);
}

static void take_out(struct wake_heap *h, struct wake *w)
{
    size_t i = w->index;
    struct wake *last = h->items[h->n--];
    w->index = 0;
    if (last == w)
        return;
    put(h, i, last);
    sift_up(h, i);
    sift_down(h, last->index);
}

void wake_set(struct wake_heap *h, struct wake *w, uint64_t at_us)
{
    w->at_us = at_us;
    if (at_us == UINT64_MAX) {
        if (w->index)
            take_out(h, w);
        return;
    }
    if (!w->index) {
        if (h->n + 1 >= h->cap) {
            h->cap = h->cap ? h->cap * 2 : 16;
            h->items = hob_realloc(h->items, h->cap, sizeof(struct wake *));
        }
        put(h, ++h->n, w);
    }
    sift_up(h, w->index);
    sift_down(h, w->index);
}
