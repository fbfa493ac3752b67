/* Templates: one finished, read-only root per runtime, kept as a mount namespace that no process lives in.
 *
 *   base      the dynamic loader and the C libraries of the host
 *   runtime   what runtimes/NAME/rootfs lists: absolute paths of the host, one a line; a symbolic link brings its
 *             target along; what the host lacks is left out
 *   hob       runtimes/NAME at /hob/runtime, hob-init at /hob/init, for "unpack" the unpacker at /hob/unpack
 *   etc, dev  a minimal /etc, five devices
 *   empty     /app, /tmp, /proc: mounted per sandbox
 *
 * A new sandbox starts as a copy of that namespace (8 or so mounts instead of the host's many). Building one
 * takes a few milliseconds and happens once per runtime, in a child process. Worker only. */
#pragma once

#include "base/err.h"

enum { TEMPLATES_MAX = 32, TEMPLATE_NAME_MAX = 32 };

struct template
{
    char runtime[TEMPLATE_NAME_MAX];
    int mnt; /* the mount namespace */
};
struct templates {
    struct template all[TEMPLATES_MAX];
    size_t n;
};
struct launcher;

/* The runtime's mount namespace, built when it is not there yet: a borrowed descriptor, or -1. */
HOB_MUST_USE int template_get(struct launcher *l, const char *runtime, struct hob_err *err);
/* [a-z0-9-], 1 to 31 bytes. */
bool template_name_is_valid(const char *runtime);
