/* What a backend does for its apps unasked: the logs of changes are cut to changeLogDays, and where the setting autoIndex
 * says so the indexes are made that the advisor proposes. One app at a time, in steps that hold its writes for some
 * milliseconds (an index: as long as it takes). An app whose database nobody has open is opened only when its log is
 * known to have something to cut. Nothing is lost by an end at any moment: each step is a job of the app's database.
 * Part of the backend. Loop's thread. */
#pragma once

#include "bindings/call_priv.h"

struct upkeep;
/* Returns owned. `every_ms`: how often it looks for an app that is due, 0: a second; an app's log is looked at every
 * 3,600 of these, its advice every 60. A class of more than `objects_max` objects (0: a million) gets no index, and stands
 * no other class in the way; nor does an index that could not be made. `b` is borrowed for the life. */
HOB_MUST_USE struct upkeep *upkeep_start(struct backend *b, uv_loop_t *loop, uint32_t every_ms,
                                         uint64_t objects_max);
/* Waits for the job under way; then `closed` once, never from inside. */
void upkeep_close(struct upkeep *u, void (*closed)(void *ctx), void *ctx);

struct upkeep_stats {
    uint64_t changes_trimmed, indexes_made, failed;
};
struct upkeep_stats upkeep_stats(const struct upkeep *u);
/* backend.c */
struct upkeep *backend_upkeep(struct backend *b);
