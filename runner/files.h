/* The account of this process's descriptors: how many its instances take, and whether more find room. A message whose
 * descriptors find none breaks the link or the launcher's connection, so it is asked before. Owned by the agent; loop's
 * thread; pure.
 *
 *   an instance that runs   2, its stdout and stderr; while it starts 6
 *   one that is frozen      1 once more than half of the room is taken: both wrapped up (runner/parcel.h) */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct files {
    size_t max;         /* RLIMIT_NOFILE */
    size_t instances_n; /* those that start included */
    size_t starting_n, wrapped_n;
    size_t stems_n;
};
/* One more instance can be started. */
bool files_can_start(const struct files *f);
/* One more frozen instance shall hold one instead of two. */
bool files_shall_wrap(const struct files *f);
/* The two of a wrapped one can be had again. */
bool files_can_unwrap(const struct files *f);
