/* What starts of each runtime take on this node: the first guess for a version that was never started. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum { HALF_LIFE = 256 };

struct runtime_prior {
    char *name;
    struct sketch cold;
    UT_hash_handle hh;
};

uint64_t prior_cold_us(const struct dispatcher *d, const char *runtime)
{
    struct runtime_prior *r = NULL;
    HASH_FIND(hh, d->priors, runtime, strlen(runtime), r);
    return r ? sketch_quantile(&r->cold, 0.95) : 0;
}

void prior_note(struct dispatcher *d, const char *runtime, uint64_t us)
{
    struct runtime_prior *r = NULL;
    HASH_FIND(hh, d->priors, runtime, strlen(runtime), r);
    if (!r) { /* as many as there are runtimes on this machine: deploy judged the name */
        r = hob_new(struct runtime_prior);
        r->name = hob_strdup(runtime);
        sketch_init(&r->cold, HALF_LIFE);
        HASH_ADD_KEYPTR(hh, d->priors, r->name, strlen(r->name), r);
    }
    sketch_add(&r->cold, us);
}

void priors_free(struct dispatcher *d)
{
    struct runtime_prior *r, *tmp;
    HASH_ITER(hh, d->priors, r, tmp)
    {
        HASH_DEL(d->priors, r); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        free(r->name);
        free(r);
    }
}
