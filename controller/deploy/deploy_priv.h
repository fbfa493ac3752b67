/* Inside controller/ only: one deploy, shared by deploy.c (the flow), deploy_judge.c (is this tree a good app?) and
 * deploy_commit.c (the transaction, and the catalogue after it). */
#pragma once

#include "base/limits.h"
#include "controller/deploy.h"

enum deploy_state {
    DEPLOY_UNPACKING,
    DEPLOY_PUBLISHING,
    DEPLOY_RESOLVING,
    DEPLOY_LEARNING,
    DEPLOY_COMMITTING,
    DEPLOY_CLOSING
};

struct deploy_step {   /* one function of hob.json on its way */
    char *config_json; /* owned */
    bool has_routes;
    char *cloud_json; /* owned; of kind parse: what it registers; NULL: nothing */
    /* filled by the transaction, owned: */
    struct {
        int64_t function_id, version_id, created_ms;
        uint32_t number, previous_live;
        char *env_json;
        bool is_new;
    } made;
};

struct deploy {
    struct hob_node node;
    struct deployer *deployer;
    enum deploy_state state;
    char *app, *env_name;
    bool is_dry_run;
    int archive_fd; /* borrowed */
    deploy_done_cb done;
    void *ctx;

    uint64_t instance; /* of the unpacker */
    int records_fd;
    bool has_unpacker, is_working, is_writing; /* what CLOSING waits for */
    bool is_cleaned;
    uv_timer_t deadline;
    uv_async_t received; /* from the thread that reads the records */
    uv_thread_t thread;
    unsigned handles_open;
    uv_work_t work; /* publishing and cleaning: one of libuv's workers */

    struct code_staged staged;
    struct hob_buf manifest_text;
    struct manifest *manifest;
    struct deploy_step *steps; /* as many as manifest->functions */
    struct deploy_function *functions;
    int64_t app_id, app_created_ms, now_ms;

    size_t resolved_n; /* functions whose image is known, or that have none */
    uint64_t question; /* the open one about an image; 0: none */
    void (*progress)(void *ctx, struct hob_str text);

    size_t learnt_n;          /* functions whose registrations are known, or that have none */
    struct version *draft;    /* the one that runs to tell them */
    struct event_run *asking; /* it */
    void (*learnt)(struct deploy *dp, const struct hob_err *err);

    struct hob_err work_err; /* the worker's */
    struct hob_err err;      /* the first failure */
};

/* A deploy whose records come from `records_fd` (taken) instead of a sandboxed unpacker: for tests of everything behind
 * it, without a runner. */
HOB_MUST_USE struct deploy *deploy_start_from_records(struct deployer *d, const struct deploy_spec *spec,
                                                      int records_fd, deploy_done_cb done, void *ctx);

/* deploy_judge.c: parses hob.json and judges it against the tree, the runtimes and the catalogue; fills manifest,
 * steps and functions. Loop. */
HOB_MUST_USE enum hob_code deploy_judge(struct deploy *dp, const struct deployer_options *o,
                                        struct hob_err *err);
/* Writes function i's configuration anew, after its image_id was found. Loop. */
HOB_MUST_USE enum hob_code deploy_judge_again(struct deploy *dp, const struct deployer_options *o, size_t i,
                                              struct hob_err *err);
const struct deployer_options *deploy_options(const struct deploy *dp); /* deploy.c */
/* deploy_images.c: asks the node which image function i is, pulling or building it. HOB_OK: the answer comes to `cb`. */
HOB_MUST_USE enum hob_code deploy_image_ask(struct deploy *dp, size_t i, node_engine_cb cb,
                                            struct hob_err *err);
/* Takes the answer; a Docker that is not there leaves the name as it is. */
HOB_MUST_USE enum hob_code deploy_image_take(struct deploy *dp, size_t i, struct hob_str json,
                                             const struct hob_err *why, struct hob_err *err);
/* Reason missing_manifest, with where it is instead. Worker. */
HOB_MUST_USE enum hob_code deploy_read_manifest(struct deploy *dp, struct hob_err *err);
/* deploy_learn.c: what the cloud code of function `learnt_n` registers. True when an answer will come: `done`, with the first
 * failure or NULL; false when there is nothing to ask. */
bool deploy_learn(struct deploy *dp, void (*done)(struct deploy *dp, const struct hob_err *err));
void deploy_learn_cancel(struct deploy *dp);
/* deploy_commit.c. */
HOB_MUST_USE enum hob_code deploy_transaction(void *ctx, struct store_tx *tx, struct hob_err *err);
void deploy_apply(struct deploy *dp, struct catalog *c);
/* Has images that the functions need made ahead, so that no first caller waits for them. `nodes` may be NULL. */
void deploy_prepare(const struct deploy *dp, struct node_hub *nodes);
