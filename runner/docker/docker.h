/* The docker engine (runner/engine.h): instances are hardened containers of a Docker Engine on this machine, driven by
 * its API alone. hob-init is bind-mounted as their first process and fetches its descriptors over a Unix socket
 * (runner/init/hand.h), so that channel, logs, stop and end need no Docker at all: once running, an instance serves
 * however its engine is.
 *
 * Lives on the loop's thread. */
#pragma once

#include "base/buf.h"
#include "runner/engine.h"

struct engine_docker_options { /* all copied */
    const char *host;          /* unix:///path or tcp://host:port */
    const char *cert_dir;      /* NULL: no TLS */
    bool is_asked_for;         /* somebody configured it: its absence is worth a warning */
    const char *sockets_dir;   /* HOME/run/docker: made, ours alone */
    const char *code_dir, *runtimes_dir, *init_path, *tmp_dir;
    const char *build_network; /* for the steps of Dockerfiles; NULL: none */
    const char *registries;    /* hosts with commas between, that may be pulled from; NULL: any */
};
/* Returns owned; asks by itself whether the engine is there, and again when it is lost. NULL: host makes no sense. */
struct engine *engine_docker_new(uv_loop_t *loop, const struct engine_docker_options *o,
                                 const struct engine_events *events, void *ctx, struct hob_err *err);

/* Questions of people about the engine; answered once, from the loop, with JSON text or an error. */
typedef void (*docker_told_cb)(void *ctx, struct hob_str json, const struct hob_err *err);
/* What it is and what it lacks. */
void engine_docker_describe(const struct engine *e, struct hob_buf *out);
/* Starts the runtime `name`'s image as a container, waits for its first process and removes it; how long each took. */
void engine_docker_test(struct engine *e, docker_told_cb cb, void *ctx);
/* Builds (or finds) the image of a runtime. */
void engine_docker_build(struct engine *e, const char *runtime, docker_told_cb cb, void *ctx);
/* Which image it is, by its ID: found, pulled or built (fetch.c). Reasons: image_missing, pull_refused, pull_failed,
 * image_build_failed, engine_unavailable. */
struct docker_fetch {       /* all copied */
    const char *image;      /* a name or an ID; NULL: built */
    const char *pull;       /* "missing", "always", "never" */
    const char *auth;       /* X-Registry-Auth, or NULL */
    const char *dockerfile; /* path below the code `digest` of `app` */
    const char *digest, *app;
    void (*progress)(void *ctx, const char *text); /* may be NULL */
};
void engine_docker_fetch(struct engine *e, const struct docker_fetch *f, docker_told_cb cb, void *ctx);
/* Takes images away that Hob made or pulled and that `keep` (marks.h) does not name, a hundred at most; `is_dry`: only says
 * which. The answer: {"images":[...],"removed":N,...} (gc.c). */
void engine_docker_gc(struct engine *e, const char *keep, bool is_dry, docker_told_cb cb, void *ctx);
