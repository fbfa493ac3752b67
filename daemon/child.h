/* hobd's two children, hob-launcher and hob-runner: started from a descriptor of their program (so that a program
 * below a folder closed to user hob still runs), watched by SIGCHLD, restarted with back-off where that is possible.
 * Owned by the daemon; loop's thread. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "daemon/privileges.h"

struct child;
typedef void (*child_lost_cb)(void *ctx, struct child *c);

struct child_spec {
    const char *name;              /* "hob-runner", for logs */
    int program_fd;                /* O_PATH: takes; opened while we still may look there */
    char *const *argv;             /* NULL-ended; borrowed for the child's life */
    const struct identity *become; /* NULL: stay who we are */
    int keep_fd;                   /* stays open in the child as 3; -1: none */
    bool has_ready_line;           /* child_start waits for a line "ready" on its stdout */
};

/* Starts it once; HOB_E_UNAVAILABLE when it ends or is silent before its ready line (10 s). */
HOB_MUST_USE struct child *child_start(const struct child_spec *spec, struct hob_err *err);
/* From now on its death is seen: it is restarted (`can_restart`, 100 ms doubling to 10 s), else `lost` is called. */
void child_watch(struct child *c, uv_loop_t *loop, bool can_restart, child_lost_cb lost, void *ctx);
/* Its end is expected from now on: neither logged nor mended. */
void child_let_go(struct child *c);
/* SIGTERM, then SIGKILL after grace_ms; blocks until it is reaped. Frees it. */
void child_stop(struct child *c, unsigned grace_ms);
const char *child_name(const struct child *c);
