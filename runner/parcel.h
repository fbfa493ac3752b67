/* Two descriptors held as one: they lie in the queue of a Unix socket whose other end is closed (unix(7), SCM_RIGHTS).
 * What they stand for stays open meanwhile. The kernel counts what lies so against the user, and refuses more than
 * RLIMIT_NOFILE of it (runner/files.h keeps well below). Not thread-bound; owns nothing. */
#pragma once

#include <stdbool.h>

/* Takes both and returns the one that stands for them, or -1: then both are still the caller's. */
int parcel_wrap(const int fds[2]);
/* Takes the parcel and gives both back, close-on-exec. False: no room for two descriptors; the parcel is still one. */
bool parcel_open(int parcel, int ret_fds[2]);
