/* Inside the docker engine: the engine, its containers (box), its images and its runs. Private to runner/docker/.
 * Everything lives on the loop's thread and belongs to one `struct docker`. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/msgsock.h"
#include "runner/docker/answers.h"
#include "runner/docker/api.h"
#include "runner/docker/docker.h"
#include "runner/docker/marks.h"
#include "runner/init/hand.h"

enum docker_state { DOCKER_DOWN, DOCKER_PROBING, DOCKER_SWEEPING, DOCKER_UP, DOCKER_CLOSING };

enum {
    DOCKER_CALL_MS = 10000,  /* an ordinary call */
    DOCKER_START_MS = 20000, /* of a container */
    DOCKER_LOAD_MS = 120000, /* of an image */
    DOCKER_PING_MS = 3000,
    DOCKER_TEXT = 200,
};

struct docker {
    struct engine base;
    uv_loop_t *loop;
    char *host, *sockets_dir, *code_dir, *runtimes_dir, *init_path, *tmp_dir;
    bool is_asked_for;
    struct docker_target target;
    struct docker_api *api;
    enum docker_state state;
    bool is_failing;       /* a failure was logged and no success since */
    char why[DOCKER_TEXT]; /* of DOWN */
    int errnum;
    struct docker_facts facts;
    uv_timer_t retry, watch, kick, ahead;
    unsigned handles, workers;
    uint64_t backoff_ms;
    unsigned pings_missed, sweep_ticks;
    struct docker_call *asking, *listening; /* a probe, ping or sweep; the stream of events */
    char home_id[13], own_id[17];           /* labels: whose containers, and of which incarnation */
    uint64_t last_box;
    struct hob_list boxes, runs, asks, fetches;
    struct docker_gc *gc;   /* NULL: none is under way */
    char *build_network;    /* of Dockerfiles' steps */
    char *registries;       /* NULL: any */
    struct holder *holders; /* by app */
    struct image *images;   /* by name */
    struct engine_events events;
    void *ctx;
    char probe[1024];
};

/* --- box.c: a container with hob-init in it, from its creation to its end ------------------------------------------ */

enum box_state {
    BOX_CREATING,
    BOX_STARTING,
    BOX_READY, /* hob-init is connected and waits for descriptors */
    BOX_USED,
};
struct box_events {
    void (*ready)(void *ctx);
    /* Before ready: it came to nothing. */
    void (*failed)(void *ctx, const struct hob_err *err);
    /* After ready: `end` is NULL when hob-init went without a word. */
    void (*ended)(void *ctx, const struct hand_end *end);
};
struct box {
    struct hob_node node; /* in docker->boxes */
    struct docker *e;
    enum box_state state;
    char name[48];                /* of the container */
    char id[DOCKER_ID_CHARS + 1]; /* "" until created */
    char key[65];                 /* spares: what it was made for */
    char *socket_path;
    int listen_fd;
    bool is_listening;
    uv_poll_t listener;
    uv_timer_t deadline;
    struct hob_msgsock *conn;
    struct docker_call *call;
    unsigned handles;
    int64_t pid; /* of hob-init as this process sees it; 0: unknown */
    uint64_t idle_since_ms;
    bool has_usage; /* at the end, as the kernel told it */
    struct engine_usage usage;
    uint64_t oom_kills, oom_events; /* told by the kernel, by Docker */
    struct box_events events;
    void *ctx;
};
/* `body` is the container's description with the socket's path already in it (see container_write). */
struct box *box_new(struct docker *e, const struct box_events *events, void *ctx);
HOB_MUST_USE enum hob_code box_listen(struct box *b, struct hob_err *err);
void box_create(struct box *b, struct hob_str body);
/* Gives the descriptors: takes. State READY becomes USED. */
void box_hand(struct box *b, const int *fds, size_t fds_n);
void box_say(struct box *b, int word);
/* Forgets the listener, ends hob-init, removes the container whatever it does; frees itself. */
void box_drop(struct box *b);
/* Removes a container by ID, whoever made it. */
void docker_remove(struct docker *e, const char *id);

/* --- container.c: what a container may do, as JSON: the hardening, readable as a checklist ------------------------- */

struct container_spec {
    const char *image_id, *app, *role; /* "instance", "holder" */
    const struct docker_image *image;  /* NULL: one of our runtimes */
    const struct engine_spec *spec;    /* NULL: a holder */
    const char *network;               /* "none" or "container:ID" */
};
HOB_MUST_USE enum hob_code container_write(const struct docker *e, const struct box *b,
                                           const struct container_spec *c, struct hob_buf *out,
                                           struct hob_err *err);
/* The system call filter as Docker wants it, JSON; static. */
const char *container_seccomp(void);
/* The same for every start that could use the same container. */
void container_key(const struct container_spec *c, char ret_key[65]);

/* --- images.c ------------------------------------------------------------------------------------------------------ */

enum image_state { IMAGE_ASKING, IMAGE_READY, IMAGE_FAILED };
struct image {
    UT_hash_handle hh;
    struct docker *e;
    char *name; /* "runtime:node", or a name or ID as people gave it */
    enum image_state state;
    struct docker_image found; /* READY */
    bool was_built;
    struct hob_err err; /* FAILED */
    uint64_t since_ms;
    struct docker_call *call;
    struct image_work *work;
};
/* Borrowed; asks when it is not known. Runs are kicked when its state changes. */
struct image *image_get(struct docker *e, const char *name);
void image_forget(struct image *i); /* asked again when next needed; also while it is being asked */
void images_forget_all(struct docker *e);

/* --- runs.c -------------------------------------------------------------------------------------------------------- */

struct engine_run *run_start(struct docker *e, const struct engine_spec *spec,
                             const struct engine_listener *l, void *ctx);
void runs_kick(struct docker *e);
void runs_step(struct docker *e);
void runs_make_spares(struct docker *e); /* of those that started a moment ago */
/* Those that wait for Docker fail, those that run stay. */
void runs_lose(struct docker *e, const char *why);
void runs_free_all(struct docker *e);
void run_stop(struct engine_run *r, uint32_t grace_ms);
void run_freeze(struct engine_run *r);
void run_thaw(struct engine_run *r);
void run_stats(struct engine_run *r);
unsigned runs_count(const struct docker *e);
bool runs_use_app(const struct docker *e, const char *app);
/* Those of the app that wait. */
void runs_fail_app(struct docker *e, const char *app, const struct hob_err *err);

/* --- keep.c: containers kept for others ---------------------------------------------------------------------------- */

struct holder { /* of an app's network namespace: empty but for a loopback */
    UT_hash_handle hh;
    struct docker *e;
    char app[65];
    struct box *box;
    bool is_ready;
    uint64_t used_ms;
};

/* The app's holder when it is ready. NULL with err->code HOB_OK: not yet, runs are kicked then. */
struct holder *holder_get(struct docker *e, const char *app, const char *image_id, struct hob_err *err);
void holder_drop(struct docker *e, const char *app);
/* A spare for `key`, ready or on its way, or NULL; *ret_n spares there are in all. */
struct box *spare_find(struct docker *e, const char *key, unsigned *ret_n);
void spare_make(struct docker *e, const struct container_spec *c, const char *key);
/* Soon, those of runs that just began (engine_docker.c). */
void spares_later(struct docker *e);
/* A crun that cannot work here: true once, and runc it is from now on. */
bool fall_back_to_runc(struct docker *e, const struct hob_err *err);
/* Spares that idle longer go, and holders without use in twice that time. */
void spares_trim(struct docker *e, uint64_t idle_ms);
void spares_free_all(struct docker *e);
void holders_free_all(struct docker *e);
/* A box with its container on the way; NULL with err. */
struct box *box_make(struct docker *e, const struct box_events *events, void *ctx,
                     const struct container_spec *c, struct hob_err *err);

/* --- asks.c: questions of people, stepped with the runs ------------------------------------------------------------ */

void asks_step(struct docker *e);
void asks_fail_all(struct docker *e);

/* --- fetch.c: images for versions, stepped with the runs ------------------------------------------------------------ */

void fetches_step(struct docker *e);
void fetches_fail_all(struct docker *e);
/* context.c: the folder `dir` as an archive for POST /build, in an unnamed file of `tmp_dir`; -1 with err. Worker. */
int context_write(const char *dir, const char *tmp_dir, struct hob_err *err);

/* --- gc.c: images that nobody needs any more ------------------------------------------------------------------------ */

void gc_step(struct docker *e);
void gc_fail(struct docker *e);
void gc_stop(struct docker *e);              /* nothing more goes in the collection that is under way */
bool gc_is_removing(const struct docker *e); /* what asks for an image waits: it might be the one that goes */
/* The name that makes `id` Hob's, to be given by POST. Returns owned. */
char *gc_mark_path(const struct docker *e, enum mark_kind kind, const char *what, const char *id);

/* --- usage.c: what a container uses, read from the kernel ---------------------------------------------------------- */

/* False when the kernel does not tell (another pid namespace, other cgroups). `ret_oom_kills` may be NULL. */
bool usage_read(int64_t pid, struct engine_usage *ret_usage, uint64_t *ret_oom_kills);

/* --- engine_docker.c ------------------------------------------------------------------------------------------------ */

void docker_lost(struct docker *e, const struct hob_err *err);
/* Docker's disk is full: *err says so, as people can act on it. */
bool docker_is_full(const char *said, struct hob_err *err);
void docker_fail_unavailable(const struct docker *e, struct hob_err *err);
void docker_ended(struct docker *e); /* something that close waits for is gone */
