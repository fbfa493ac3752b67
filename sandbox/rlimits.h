/* Resource limits of a sandbox's processes.
 *
 *   asked for   open files, file size
 *   fixed       no core dumps (1 byte: 0 would still feed a core handler that is a pipe), 64 KiB locked, no message queues, few queued signals, no priorities, 8 MiB stack
 *   not set     NPROC: it counts a uid's processes over all sandboxes; the pids group does this work */
#pragma once

#include <stdint.h>

enum {
    RLIMITS_CORE = 1,
    RLIMITS_MEMLOCK = 64 * 1024,
    RLIMITS_SIGPENDING = 256,
    RLIMITS_STACK = 8 * 1024 * 1024
};

/* 0, or -1 with errno. System calls only. Call after the last setup descriptor was opened. */
int rlimits_set(uint32_t nofile, uint64_t fsize_bytes);
/* As many descriptors as the hard limit gives, for the worker. */
void rlimits_worker(void);
