#include "base/env.h"

#include <stdlib.h>

const char *hob_env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody calls setenv beside us */
    return value && *value ? value : NULL;
}
