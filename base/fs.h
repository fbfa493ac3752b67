/* Files: whole reads with a limit, atomic durable writes, folders. Blocking: call from start-up or a worker thread. */
#pragma once

#include "base/buf.h"

/* Appends the file's bytes to *out; HOB_E_TOO_LARGE when they pass the buffer's limit. */
HOB_MUST_USE enum hob_code hob_read_file(const char *path, struct hob_buf *out, struct hob_err *err);
HOB_MUST_USE enum hob_code hob_read_fd(int fd, const char *what, struct hob_buf *out, struct hob_err *err);
/* Writes to a temporary name beside it, fsyncs, renames, fsyncs the folder: readers see old or new, never half. */
HOB_MUST_USE enum hob_code hob_write_file(const char *path, struct hob_str data, unsigned mode,
                                          struct hob_err *err);
/* mkdir -p; an existing folder is fine. */
HOB_MUST_USE enum hob_code hob_mkdirs(const char *path, unsigned mode, struct hob_err *err);
HOB_MUST_USE enum hob_code hob_fsync_dir(const char *path, struct hob_err *err);
/* rm -r below a folder we own; never follows links. A missing path is fine. */
HOB_MUST_USE enum hob_code hob_remove_tree(const char *path, struct hob_err *err);
/* A file without a name in `dir`, to read and write: nothing of it is left behind, whatever happens. -1: failed. */
HOB_MUST_USE int hob_open_nameless(const char *dir, struct hob_err *err);
/* Writes all of it to a blocking descriptor. */
HOB_MUST_USE enum hob_code hob_write_all(int fd, struct hob_str data, const char *what, struct hob_err *err);
