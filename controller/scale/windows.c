#include "controller/scale/windows.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

void windows_init(struct windows *w, const struct scale_window *config, size_t n)
{
    *w = (struct windows){.items = n ? hob_new_n(struct window, n) : NULL};
    for (size_t i = 0; i < n; i++) {
        struct window *one = &w->items[w->n];
        uint32_t span_s;
        if (hob_cron_parse(config[i].cron, &one->cron, NULL) != HOB_OK ||
            hob_span_parse(config[i].span, &span_s, NULL) != HOB_OK)
            continue;
        one->span_ms = (int64_t)span_s * 1000;
        one->min = config[i].min;
        w->n++;
    }
}

void windows_done(struct windows *w)
{
    free(w->items);
    *w = (struct windows){0};
}

/* A window is open when it began within its span. While one is, another beginning of it may make it last longer: then
 * its end is asked for again at its end. */
uint32_t windows_min(const struct windows *w, int64_t utc_ms, int64_t *ret_until_ms)
{
    uint32_t min = 0;
    *ret_until_ms = INT64_MAX;
    for (size_t i = 0; i < w->n; i++) {
        const struct window *one = &w->items[i];
        int64_t began = hob_cron_next(&one->cron, utc_ms - one->span_ms);
        bool is_open = began <= utc_ms;
        int64_t until = is_open ? began + one->span_ms : began;
        if (is_open && one->min > min)
            min = one->min;
        if (until < *ret_until_ms)
            *ret_until_ms = until;
    }
    return min;
}
