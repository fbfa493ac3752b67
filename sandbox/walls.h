/* The account of one sandbox's walls, for people and for the tests that check each promise from inside: lines
 * "name: what". It says what the steps of launch.c have set, not what was asked for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/seccomp.h"

struct cgroup_limits;
struct launcher;

enum { WALLS_NICE = 19 }; /* of a sandbox whose CPU no group shares out */

struct walls { /* what differs from sandbox to sandbox, beside its cgroup limits */
    unsigned uid;
    uint32_t nofile, tmp_inodes;
    uint64_t tmp_bytes, fsize_bytes;
    int landlock_abi;
    bool has_code;     /* mounted at /app */
    bool has_listener; /* denied calls are seen */
    bool is_fork;      /* shares more than a runtime with its version's other instances */
    struct seccomp_kind filter;
};

/* How many processes an rlimit allows; 0: a group limits them. */
uint32_t walls_nproc(const struct launcher *l, uint32_t pids_max);
/* Cut at text_bytes; always ended. */
void walls_text(const struct launcher *l, const struct walls *w, const struct cgroup_limits *limits,
                char *text, size_t text_bytes);
