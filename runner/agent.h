/* The node agent: joins the link to hobd, the engines and the table of instances. One per process; lives on the loop's
 * thread. Ends when hobd is gone: every instance is stopped then, and the loop has nothing left to do. */
#pragma once

#include <uv.h>

#include "base/err.h"

struct agent;
struct agent_options {
    const char *link_path, *launcher_path, *node;
    /* The docker engine, when docker_host is given: where what it mounts into containers lies. */
    const char *docker_host, *docker_certs, *docker_build_network, *docker_registries, *home, *runtimes_dir,
        *init_path;
    bool is_docker_asked_for;
};
struct agent *agent_start(uv_loop_t *loop, const struct agent_options *o);
/* As if hobd had closed the link. */
void agent_stop(struct agent *a);
/* What the process exits with: 0 when hobd closed the link or agent_stop was called. Frees the agent; after the loop. */
int agent_finish(struct agent *a);
