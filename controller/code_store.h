/* The code store: HOME/code/<digest>/ holds a version's files, read-only and content-addressed; HOME/code/.staging-*
 * while a deploy writes. Files come as records from the sandboxed unpacker (base/bundle.h) and are judged again here.
 * The digest is SHA-256 over the lines "path NUL mode NUL sha256(content) LF" of all files and folders, sorted by path
 * (mode "0444", "0555" or, for folders with nothing behind it, "0755"; the inner hash in hexadecimal).
 * What a version (or a running deploy) refers to is never collected.
 * code_store_ref, _unref, _has: any thread. Everything marked blocking: a worker thread, or the daemon's start. */
#pragma once

#include "base/buf.h"
#include "base/id.h"

struct code_store;
/* Makes HOME/code, sweeps what a crash left in it. Blocking. */
HOB_MUST_USE struct code_store *code_store_open(const char *dir, struct hob_err *err);
void code_store_free(struct code_store *cs);

/* A tree that is being, or has been, written below the staging folder. */
struct code_staged {
    struct code_store *store;
    char dir[40]; /* its name in HOME/code; "" when there is none (any more) */
    int dir_fd;
    char digest[HOB_DIGEST_CHARS + 1];
    uint64_t files, bytes;
    bool has_ref;               /* after publish: holds a reference to the digest */
    struct code_entry *entries; /* by path */
    size_t entries_n;
};
struct code_entry {
    char *path;
    const char *mode; /* static */
    char hash[HOB_DIGEST_CHARS + 1];
    bool is_folder;
};
/* Reads records from `records_fd` until its END and writes them. Blocking; shutdown(2) on the descriptor ends it.
 * HOB_E_INVALID: the archive is bad (the message is the unpacker's or ours); HOB_E_NO_SPACE: the disk is full. On
 * failure nothing stays behind. */
HOB_MUST_USE enum hob_code code_store_receive(struct code_store *cs, int records_fd,
                                              struct code_staged *ret_staged, struct hob_err *err);
/* Everything fsynced and renamed into place, or the existing tree of that digest taken; then referenced once, until
 * code_staged_done. Blocking. */
HOB_MUST_USE enum hob_code code_store_publish(struct code_staged *staged, struct hob_err *err);
/* A file of the staged tree, before publish. HOB_E_NOT_FOUND when it is not there. Blocking. */
HOB_MUST_USE enum hob_code code_staged_read(const struct code_staged *staged, const char *path,
                                            struct hob_buf *out, struct hob_err *err);
bool code_staged_has_file(const struct code_staged *staged, const char *path);
/* Drops the reference and removes the staging folder if it still exists. Blocking. */
void code_staged_done(struct code_staged *staged);

/* How many hold a digest: one for every struct version, one for every published deploy. */
void code_store_ref(struct code_store *cs, const char *digest);
void code_store_unref(struct code_store *cs, const char *digest);
bool code_store_has(struct code_store *cs, const char *digest); /* the folder exists */
/* Removes the trees that nobody refers to. Blocking. */
HOB_MUST_USE enum hob_code code_store_collect(struct code_store *cs, uint64_t *ret_removed,
                                              struct hob_err *err);
