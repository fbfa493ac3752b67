/* Images that the docker engine made or pulled for versions that are gone: looked for on a slow clock and when somebody
 * asks, and removed by the node (runner/docker/gc.c). What any version of any function names is kept, live or not: it
 * can be called, and rolled back to. While a deploy is under way nothing is removed: what it finds shall stay.
 * Loop's thread. */
#pragma once

#include "controller/deploy.h"

struct image_gc;
struct image_gc_options {
    uv_loop_t *loop;
    struct catalog *catalog;
    struct deployer *deployer;
    struct node_hub *nodes;
    uint32_t every_s; /* 0: only when asked */
};
HOB_MUST_USE struct image_gc *image_gc_new(const struct image_gc_options *o);
void image_gc_close(struct image_gc *g); /* frees itself; answers that are out no longer come */
/* Exactly one answer, never from inside: JSON (schema ImageGc), borrowed, or an error; reason deploy_in_progress. */
void image_gc_run(struct image_gc *g, bool is_dry, node_engine_cb cb, void *ctx);
