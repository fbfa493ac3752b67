/* Files of an app: stored names, permissions, triggers, and where their bytes lie (blob.h). A file is a pair in the app's
 * database (name -> digest, size, type, metadata); the bytes are there, fsynced, before the name is. Content that several
 * names share lies once and goes with the last of them.
 * Part of the backend. Loop's thread. */
#pragma once

#include "bindings/call_priv.h"
#include "bindings/files/blob.h"
#include "bindings/files/spool.h"

struct files;
/* Makes DIR and DIR/tmp, sweeps what a crash left in tmp. Blocking. */
HOB_MUST_USE struct files *files_open(uv_loop_t *loop, const char *dir, struct hob_err *err);
/* Waits for workers; then `closed`, never from inside. */
void files_close(struct files *f, void (*closed)(void *ctx), void *ctx);

/* A file to receive an upload into. */
HOB_MUST_USE struct spool *files_receive(struct files *f, uint64_t bytes_max, struct hob_err *err);

struct file_found {
    int fd; /* the callee's to close */
    uint64_t bytes;
    const char *type, *digest; /* borrowed for the call */
    struct hob_str metadata;   /* JSON: {"metadata":{},"tags":{}} */
};
/* `found` NULL: `err` says why (101 when there is none). fd is -1 when only metadata was asked for. Never from inside. */
typedef void (*file_found_cb)(void *ctx, const struct hob_err *err, const struct file_found *found);
void files_find(struct backend *b, const struct backend_app *app, struct hob_str name, bool is_metadata_only,
                file_found_cb done, void *ctx);
/* Fills the app's place from its settings; to be ended by blob_place_done. */
HOB_MUST_USE enum hob_code file_place(struct backend *b, const struct backend_app *app,
                                      struct blob_place *ret_place, struct hob_err *err);
/* Removes all bytes of an app: when its backend is removed. */
void files_remove_app(struct files *f, const char *app, void (*done)(void *ctx, const struct hob_err *err),
                      void *ctx);

/* backend.c */
struct files *backend_files(struct backend *b);

/* names.c */
/* The longest name that a file is stored under: "DIRECTORY/HEX_NAME.EXTENSION", without the NUL. */
enum { FILE_STORED_NAME_BYTES_MAX = 447 };
/* Such a name as save.c makes them: whatever it makes is one. */
bool file_stored_name_is_valid(struct hob_str stored);
/* "photo 1.png" -> as it may be stored; 122 says what is right. */
HOB_MUST_USE enum hob_code file_name_check(struct hob_str name, struct hob_err *err);
/* "a/b", where a file may lie: 122 says what is wrong. */
HOB_MUST_USE enum hob_code file_directory_check(const json_t *directory, struct hob_err *err);
/* By the extension, or "application/octet-stream". */
const char *file_type_of(struct hob_str name);
/* The extension for a type ("png"), or NULL. */
const char *file_extension_of(struct hob_str type);
/* 130 when the app's fileExtensions (or, without the setting, the list of those that browsers run) refuse it. */
HOB_MUST_USE enum hob_code file_extension_check(const json_t *setting, struct hob_str name,
                                                struct hob_str type, struct hob_err *err);
