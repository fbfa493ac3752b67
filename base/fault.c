#include "base/fault.h"

#ifdef HOB_FAULTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/log.h"
#include "base/str.h"

static atomic_uint passed;

static void note_passing(unsigned n, const char *point)
{
    const char *path = hob_env("HOB_FAULT_COUNT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    (void)dprintf(fd, "%u %s\n", n, point);
    (void)close(fd);
}

bool hob_fault_hit(const char *point)
{
    unsigned n = atomic_fetch_add(&passed, 1) + 1;
    note_passing(n, point);
    const char *at = hob_env("HOB_FAULT_AT");
    uint64_t number;
    bool is_hit = at && (strcmp(at, point) == 0 || (hob_str_u64(hob_str(at), &number) && number == n));
    if (!is_hit)
        return false;
    hob_log(HOB_LOG_WARN, "fault.hit", "point=%s passing=%u", point, n);
    if (hob_env("HOB_FAULT_KILL"))
        (void)raise(SIGKILL);
    return true;
}
#else
typedef int hob_fault_is_compiled_out;
#endif
