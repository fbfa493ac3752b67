/* Provisioned instances by the clock on the wall: the windows of hob.json's scale.windows, compiled. Pure: asked with a
 * time, they answer for that time. Owned by a pool. */
#pragma once

#include "manifest/cron.h"
#include "manifest/manifest.h"

struct window {
    struct hob_cron cron;
    int64_t span_ms;
    uint32_t min;
};
struct windows {
    struct window *items;
    size_t n;
};

/* What is stored was judged at deploy; a window that cannot be read is left out. */
void windows_init(struct windows *w, const struct scale_window *config, size_t n);
void windows_done(struct windows *w);
/* The most that any window asks for at that time; *ret_until_ms: nothing changes before (INT64_MAX: ever). */
uint32_t windows_min(const struct windows *w, int64_t utc_ms, int64_t *ret_until_ms);
