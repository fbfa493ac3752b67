/* Inside of files/: the parts that its flows share. */
#pragma once

#include "base/list.h"
#include "bindings/files/blob.h"
#include "bindings/files/files.h"

struct files {
    uv_loop_t *loop;
    char *dir, *tmp_dir;
    unsigned working;
    bool is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uv_async_t closer;
};

extern const char file_space[], blob_space[]; /* of store/kv.h: name -> row; digest -> how many names */

/* A row of file_space, read or to be written. */
struct file_row {
    char *digest, *type, *metadata;
    uint64_t bytes;
};
HOB_MUST_USE enum hob_code file_row_read(struct data_tx *tx, struct hob_str name, struct file_row *ret_row,
                                         struct hob_err *err); /* 101 when there is none */
void file_row_done(struct file_row *row);

/* Blocking work with the blobs, on a worker; `done` on the loop. The struct is the caller's. */
struct file_work {
    uv_work_t request;
    struct files *files;
    enum hob_code (*work)(void *ctx, struct hob_err *err);
    void (*done)(void *ctx, const struct hob_err *err);
    void *ctx;
    struct hob_err err;
};
void file_work_start(struct file_work *w);

void file_save_start(struct backend_call *c);   /* save.c */
void file_remove_start(struct backend_call *c); /* remove.c */
