#include "runner/files.h"

#include "base/banned.h"

enum {
    OWN = 64,     /* link, launcher, loop, Docker, and some to spare */
    STARTING = 6, /* of an instance while it starts, or of a stem */
    RUNNING = 2,  /* and later: its output */
};

static size_t in_use(const struct files *f)
{
    return OWN + RUNNING * f->instances_n + (STARTING - RUNNING) * f->starting_n + STARTING * f->stems_n -
           f->wrapped_n;
}

bool files_can_start(const struct files *f)
{
    return in_use(f) + STARTING <= f->max;
}

/* The kernel lets a user have `max` descriptors under way in sockets, hobd's and ours together: a quarter is left. */
bool files_shall_wrap(const struct files *f)
{
    return in_use(f) > f->max / 2 && RUNNING * (f->wrapped_n + 1) <= f->max - f->max / 4;
}

bool files_can_unwrap(const struct files *f)
{
    return in_use(f) + 1 <= f->max;
}
