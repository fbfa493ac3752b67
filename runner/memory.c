#include "runner/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"

struct memory memory_read(void)
{
    const char *path =
        getenv("HOB_POOL_MEMINFO"); /* NOLINT(concurrency-mt-unsafe): tests name another file */
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, 16384);
    if (hob_read_file(path ? path : "/proc/meminfo", &text, NULL) != HOB_OK ||
        hob_buf_add(&text, "", 1) != HOB_OK)
        return (struct memory){0};
    const char *total = strstr(hob_buf_data(&text), "MemTotal:"),
               *available = strstr(hob_buf_data(&text), "MemAvailable:");
    if (!total || !available)
        return (struct memory){0};
    return (struct memory){strtoull(total + 9, NULL, 10), strtoull(available + 13, NULL, 10)};
}

bool memory_is_below(const struct memory *m, unsigned percent)
{
    return m->available_kb * 100 < m->total_kb * percent;
}
