/* What starts and stops instances: one interface, several engines (now: sandbox; containers later).
 *
 * An engine lives on the loop's thread. It owns every `engine_run` from start until that run's last event. For one run
 * exactly one of launched and failed comes, never from inside start; after launched exactly one exited. No event
 * follows failed or exited, and the run is gone then. An engine that loses what it stands on reports each of its runs,
 * refuses new ones with reason "engine_unavailable", and comes back by itself. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/rules/syscalls.h"
#include "base/str.h"

struct egress_call;
struct engine;
struct engine_run;

struct engine_spec {
    const char *runtime, *digest; /* digest "" for none */
    const char *app;              /* whose it is */
    const char *image;            /* engine docker: an image instead of a runtime; "" for none */
    struct hob_str strings;       /* argc arguments, then envc "NAME=value", each ended by NUL */
    uint32_t argc, envc;
    uint32_t memory_mb, cpu_percent, cpu_weight, pids_max, nofile_max, tmp_inodes;
    uint64_t tmp_bytes, fsize_bytes;
    bool has_egress;  /* its connect() is answered by the listener's `connect` */
    bool is_learning; /* each system call that it makes is told to the listener's `used` */
    bool has_profile; /* only these system calls, of those that a sandbox may make */
    struct hob_syscalls calls;
    bool is_stem;   /* started before it is known for whom: digest "", to be assigned */
    bool is_zygote; /* waits to be asked for forks */
    int channel_fd, stdout_fd, stderr_fd, stdin_fd; /* takes; stdin_fd may be -1 */
};
struct engine_usage {
    uint64_t cpu_us, memory_bytes, memory_peak_bytes, pids, pids_denied;
};
struct engine_exit {
    int exit_code, signal; /* exit_code -1 when signalled */
    bool is_oom;
    struct engine_usage usage;
    char message[160]; /* for people */
};
struct engine_listener {
    void (*launched)(void *ctx, int64_t pid, uint64_t launch_us);
    void (*failed)(void *ctx, const struct hob_err *err);
    void (*exited)(void *ctx, const struct engine_exit *exit);
    void (*frozen)(void *ctx, bool is_frozen);
    void (*stats)(void *ctx, const struct engine_usage *usage);
    /* May be NULL. Between launched and exited: the account of its isolation, "name: what" lines, borrowed; and a
     * system call that was denied, the nth of its name (is_last: further ones are not told). */
    void (*walls)(void *ctx, const char *text);
    void (*denied)(void *ctx, const char *call, uint32_t nth, bool is_last);
    void (*used)(void *ctx, const char *call); /* of a run that is learning: once for each call */
    /* Of a run with egress: what it is answered by (takes both), right before launched; and each connect() of it. */
    void (*egress)(void *ctx, int listener, int dns);
    void (*connect)(void *ctx, const struct egress_call *call);
};
/* What an engine says about itself, to whoever made it. */
struct engine_events {
    void (*changed)(void *ctx); /* came up or went down */
};

struct engine_ops {
    struct engine_run *(*start)(struct engine *e, const struct engine_spec *spec,
                                const struct engine_listener *l, void *ctx);
    /* A stem that was launched becomes what `spec` says (digest, memory_mb, cpu_*, pids_max; no descriptors), and from
     * now on tells the new listener, beginning with launched or failed. After failed the stem is gone, too. */
    void (*assign)(struct engine_run *r, const struct engine_spec *spec, const struct engine_listener *l,
                   void *ctx);
    /* A run of its own within the sandbox of `zygote`, which has, or will have, its code. Of `spec` counts what counts for
     * assign, and the descriptors. NULL: this engine has no forks. */
    struct engine_run *(*fork)(struct engine_run *zygote, const struct engine_spec *spec,
                               const struct engine_listener *l, void *ctx);
    void (*stop)(struct engine_run *r, uint32_t grace_ms); /* SIGTERM now, the end after grace_ms */
    void (*freeze)(struct engine_run *r); /* answered by frozen, or by nothing when it ends */
    void (*thaw)(struct engine_run *r);
    void (*stats)(struct engine_run *r); /* answered by stats, or by nothing when it ends */
    bool (*is_up)(const struct engine *e);
    const char *(*probe)(const struct engine *e); /* what the machine offers, line by line; borrowed */
    /* Ends every run without telling; frees the engine when libuv is done. */
    void (*close)(struct engine *e);
};
struct engine {
    const struct engine_ops *ops;
    const char *name;
};

/* The sandbox engine: hob-launcher at `launcher_path`. Returns owned; dials by itself and again when it is lost. */
struct engine *engine_sandbox_new(uv_loop_t *loop, const char *launcher_path,
                                  const struct engine_events *events, void *ctx);
/* Closes the descriptors of a spec that came to nothing. */
void engine_spec_close(const struct engine_spec *spec);
/* What a launcher's errno means for whoever asked. */
enum hob_code engine_code_of(int errnum);
/* The process that a pidfd names, in this process's pid namespace; 0: it is gone. */
int64_t engine_pid_of(int pidfd);
/* How an end is told: from waitpid's status of pid 1 (which exits with 128 + N for a program killed by signal N). */
void engine_exit_describe(struct engine_exit *e, int wait_status, uint32_t oom_kills, uint32_t memory_mb);
