/* What logs.c (files, batches) and log_reader.c (readings, followers) share. Private to logs. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "controller/logs.h"
#include "controller/logs/log_scan.h"

/* Lines of one function that wait for the disk. Exists only while there is something to write or to say. */
struct log_file {
    char *key;              /* "APP/FUNCTION" */
    struct hob_buf pending; /* whole lines */
    uint64_t pending_lines, dropped;
    bool is_removed;    /* unlink first, then write what came after */
    struct hob_err err; /* of the worker; code HOB_OK when written */
    UT_hash_handle hh;
};

struct logs {
    uv_loop_t *loop;
    char *dir;
    struct log_file *files;  /* by key */
    struct hob_list readers; /* every struct log_reader */
    uv_timer_t batch_timer;
    uv_work_t work;
    bool is_working, is_closing;
    struct log_file *batch;     /* with the worker: a uthash head of its own */
    struct log_reader *reading; /* with the worker */
    struct hob_buf line, cut;   /* scratch */
    uint64_t pending_bytes, complained_ms;
    struct logs_stats stats;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

void logs_pump(struct logs *l);
char *logs_path(const struct logs *l, const char *key);

/* log_reader.c */
void log_readers_mark_cut(struct logs *l);           /* what waits goes to disk now: readers begin here */
struct log_reader *log_readers_next(struct logs *l); /* whose lines are on disk, to be read; or NULL */
void log_reader_work(struct log_reader *r);          /* worker thread */
void log_reader_worked(struct log_reader *r);        /* loop: the reading is done */
void log_readers_feed(struct logs *l, const char *key, struct hob_str line);
bool log_readers_wait(const struct logs *l);           /* somebody is still to be read for */
void log_readers_end(struct logs *l, const char *key); /* key NULL: all */
