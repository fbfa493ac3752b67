/* Resource limits of a sandbox's processes.
 *
 *   asked for   open files, file size
 *   fixed       no core dumps (1 byte: 0 would still feed a core handler that is a pipe), 64 KiB locked, no message queues, few queued signals, no priorities, 8 MiB stack
 *   NPROC       only where no pids group does this work: it counts a uid's processes over all sandboxes, so it is a
 *               sandbox's own limit when that has a uid of its own, else one for all of them together */
#pragma once

#include <stdint.h>

enum {
    RLIMITS_CORE = 1,
    RLIMITS_NPROC_SHARED = 1024,
    RLIMITS_MEMLOCK = 64 * 1024,
    RLIMITS_SIGPENDING = 256,
    RLIMITS_STACK = 8 * 1024 * 1024
};

/* nproc 0: not limited here. 0, or -1 with errno. System calls only. Call after the last setup descriptor was opened. */
int rlimits_set(uint32_t nofile, uint64_t fsize_bytes, uint32_t nproc);
/* As many descriptors as the hard limit gives, for the worker. */
void rlimits_worker(void);
