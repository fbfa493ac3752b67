#include "sandbox/rlimits.h"

#include <sys/resource.h>

#include "base/compiler.h"

#include "base/banned.h"

int rlimits_set(uint32_t nofile, uint64_t fsize_bytes, uint32_t nproc)
{
    const struct {
        __rlimit_resource_t what;
        rlim_t value;
    } table[] = {
        {RLIMIT_CORE, RLIMITS_CORE},
        {RLIMIT_NOFILE, nofile},
        {RLIMIT_FSIZE, fsize_bytes},
        {RLIMIT_MEMLOCK, RLIMITS_MEMLOCK},
        {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_SIGPENDING, RLIMITS_SIGPENDING},
        {RLIMIT_NICE, 0},
        {RLIMIT_RTPRIO, 0},
        {RLIMIT_STACK, RLIMITS_STACK},
        {RLIMIT_NPROC, nproc ? nproc : RLIM_INFINITY},
    };
    for (size_t i = 0; i < HOB_COUNT(table); i++) {
        struct rlimit now, want = {table[i].value, table[i].value};
        if (getrlimit(table[i].what, &now) < 0)
            return -1;
        if (want.rlim_max > now.rlim_max) /* never more than we were given ourselves */
            want.rlim_cur = want.rlim_max = now.rlim_max;
        if (setrlimit(table[i].what, &want) < 0)
            return -1;
    }
    return 0;
}

void rlimits_worker(void)
{
    struct rlimit nofile = {65536, 65536};
    if (setrlimit(RLIMIT_NOFILE, &nofile) == 0 || getrlimit(RLIMIT_NOFILE, &nofile) < 0)
        return;
    nofile.rlim_cur = nofile.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &nofile);
}
