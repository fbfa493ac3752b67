/* The launcher: what its command line says, and what its worker process owns for all sandboxes together.
 *
 * Two processes. The guard (main.c) keeps the listening socket, the lifeline and the right to start again; it
 * parses nothing. The worker (server.c) speaks the protocol of base/launch.h and makes the sandboxes; it is
 * single-threaded and never calls exec. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/netns.h"
#include "sandbox/shelf.h"
#include "sandbox/template.h"

enum {
    LAUNCHER_SANDBOXES_MAX = 12000, /* live at a time, those that wait for their code included */
    LAUNCHER_CONNECTIONS_MAX = 16,
    /* A sandbox's uid is BASE + slot + STRIDE * generation: unique among the living, and late to come back */
    LAUNCHER_UID_BASE = 1900000000,
    LAUNCHER_UID_STRIDE = 16384,
    LAUNCHER_UID_GENERATIONS = 4096,       /* as root */
    LAUNCHER_UID_GENERATIONS_ROOTLESS = 4, /* 65536 subordinate ids */
};

struct launcher_options {
    const char *socket, *code, *runtimes, *init, *unpacker, *cgroup, *cgroups;
    unsigned uid; /* the only one served */
    unsigned gid; /* its group */
    int lifeline; /* -1: none */
};

struct report;
struct launcher {
    const struct launcher_options *options;
    struct cgroups cgroups;
    struct templates templates;
    /* descriptors: namespaces to come back to, the code root, the host's /proc, /dev/null */
    int host_mnt, own_net, code, proc, null;
    int in, out;  /* a socket pair: by it a new process hands its filter's listener to the worker */
    int slots[4]; /* low descriptors, /dev/null but during a launch: what a new process takes with it */
    struct report *report; /* where a new process says which step failed (launch.c) */
    bool is_rootless;
    bool has_uid_range; /* false: rootless with the one uid */
    unsigned uid_generations;
    struct shelf shelf;
};

/* The worker's whole life: serves `listener` until SIGTERM. Returns its exit status. */
int server_run(struct launcher *l, int listener);
/* "ok|warn|fail name: text" lines: what this machine gives and what it does not. */
void probe_report(const struct launcher *l, char *text, size_t text_bytes);
