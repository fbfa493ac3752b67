/* A private folder and a loop for one test. */
#pragma once

#include <uv.h>

#include "base/fs.h"
#include "base/mem.h"
#include "check.h"

struct home {
    char dir[64];
    char path[128]; /* of the last home_path */
    uv_loop_t loop;
};

static inline const char *home_path(struct home *h, const char *name)
{
    (void)snprintf(h->path, sizeof h->path, "%s/%s", h->dir, name);
    return h->path;
}

static inline int home_make(void **state)
{
    struct home *h = hob_new(struct home);
    (void)snprintf(h->dir, sizeof h->dir, "/tmp/hob-unit-XXXXXX");
    if (!mkdtemp(h->dir) || uv_loop_init(&h->loop) != 0)
        return -1;
    *state = h;
    (void)alarm(100); /* a hanging test ends here */
    return 0;
}

static inline int home_drop(void **state)
{
    struct home *h = *state;
    struct hob_err err;
    (void)uv_run(&h->loop, UV_RUN_NOWAIT);
    int rc = uv_loop_close(&h->loop) == 0 && hob_remove_tree(h->dir, &err) == HOB_OK ? 0 : -1;
    if (rc != 0)
        (void)fprintf(stderr, "%s: a handle is still open, or the folder cannot be removed\n", h->dir);
    free(h);
    return rc;
}
