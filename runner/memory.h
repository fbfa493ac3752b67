/* What the machine has of memory, as the kernel says. Not thread-bound; reads one file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct memory {
    uint64_t total_kb, available_kb; /* 0: the kernel does not say */
};
struct memory memory_read(void);
/* Less than so many hundredths of it are available. */
bool memory_is_below(const struct memory *m, unsigned percent);
