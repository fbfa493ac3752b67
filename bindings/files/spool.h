/* A file on its way in: bytes go to a temporary file in HOME/files/tmp through libuv's workers, one write at a time, and
 * into a SHA-256; at the end it is fsynced. What a crash leaves in tmp is swept at the next start.
 * Loop's thread; after spool_end said so it is only read, by any thread. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"

struct spool;
typedef void (*spool_done_cb)(void *ctx, const struct hob_err *err);

/* Blocking for a file's creation only. Returns owned (spool_free), or NULL. */
HOB_MUST_USE struct spool *spool_new(uv_loop_t *loop, const char *dir, uint64_t bytes_max,
                                     struct hob_err *err);
/* Copies. `took` (may be NULL) is told how many bytes reached the file or were dropped, to give them back to a window. Once a write failed
 * or the bound was passed (HOB_E_TOO_LARGE, parse 129) the rest is dropped and spool_end tells it. */
void spool_add(struct spool *s, struct hob_str data);
void spool_on_written(struct spool *s, void (*took)(void *ctx, size_t n), void *ctx);
/* Waits for the writes and fsyncs; then `done`, never from inside. */
void spool_end(struct spool *s, spool_done_cb done, void *ctx);
/* At any time, also while a write is under way; the file goes, unless it was linked elsewhere. */
void spool_free(struct spool *s);

uint64_t spool_bytes(const struct spool *s);
const char *spool_digest(const struct spool *s); /* hexadecimal; after spool_end */
const char *spool_path(const struct spool *s);
