/* Inside controller/ only: one admin verb on its way, shared by admin.c, admin_env.c and admin_secret.c.
 *
 *   checked on the loop -> QUEUED (the store's work function) -> applied to the catalogue -> told
 *
 * The work function may run twice; it keeps what it found in the fields below, overwriting. */
#pragma once

#include "base/list.h"
#include "controller/admin.h"
#include "controller/catalog_change.h"

struct admin_op {
    struct hob_node node;
    struct admin *admin;
    store_work_cb work;
    void (*apply)(struct admin_op *op); /* on the loop, after the commit: cannot fail */
    admin_done_cb done;
    void *ctx;
    struct hob_err err; /* a refusal that was found before queueing */
    struct admin_result result;

    char *app, *function, *name; /* name: of the alias or the secret */
    uint32_t version;
    struct hob_buf sealed;
    struct admin_env_patch *patch; /* owned copy */
    struct app_row app_row;
    struct version_row made; /* strings owned */
    bool is_unchanged;
    bool frees_code;
};

struct admin_options const *admin_options_of(const struct admin *a);
/* Never NULL. `function` and `name` may be empty slices. */
HOB_MUST_USE struct admin_op *admin_op_new(struct admin *a, struct hob_str app, struct hob_str function,
                                           struct hob_str name);
/* Queues it, or tells op->err from the loop. */
void admin_op_run(struct admin_op *op, admin_done_cb done, void *ctx);
/* In the catalogue by what the store said: asserts that it is there. */
struct function *admin_op_function(const struct admin_op *op);
void admin_env_patch_free(struct admin_env_patch *p);
