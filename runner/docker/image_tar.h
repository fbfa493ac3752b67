/* A runtime's image made from this machine's own files, as the archive that POST /images/load takes: one layer, named by
 * nothing but its ID, with labels that say of what it was made. Blocking: worker threads only. */
#pragma once

#include "base/err.h"
#include "runner/docker/tree.h"

enum { IMAGE_KEY_CHARS = 64, IMAGE_ID_CHARS = 7 + 64 };

/* Reads `runtimes_dir`/`runtime`: its rootfs and runtime.json's needs. HOB_E_NOT_FOUND: no such runtime; HOB_E_UNAVAILABLE:
 * something it needs is not on this machine. */
HOB_MUST_USE enum hob_code image_survey(const char *runtimes_dir, const char *runtime, struct tree *ret_tree,
                                        char ret_key[IMAGE_KEY_CHARS + 1], struct hob_err *err);
/* Writes the archive into `fd` (empty) and leaves it at its start. */
HOB_MUST_USE enum hob_code image_write(const struct tree *t, const char *runtime, const char *key, int fd,
                                       char ret_id[IMAGE_ID_CHARS + 1], struct hob_err *err);
