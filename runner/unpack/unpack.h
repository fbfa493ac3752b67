/* The unpacker: an archive of a stranger in, a bundle stream (base/bundle.h) out. Runs inside a sandbox as
 * `hob-runner unpack`, so that a hole in a decompressor opens into an empty room.
 *
 * Takes tar, tar.gz and zip, judged by content. Refuses links, devices, encrypted entries, paths with tricks, the same
 * file twice, a file where a folder is, and whatever passes deploy.entries, deploy.unpacked_bytes or
 * deploy.path_bytes and _depth. One "./" in front is taken off; __MACOSX and .DS_Store are left out. */
#pragma once

#include "base/err.h"

/* Reads `in_fd` (a file, or a pipe; zip is read better from a file: a pipe does not tell which entries may be executed),
 * writes the whole stream to `out_fd`, ending with END or ERROR. The error returned is the one in the stream. */
HOB_MUST_USE enum hob_code unpack_archive(int in_fd, int out_fd, struct hob_err *err);
/* From stdin to descriptor 3; the exit status: 0, or 1 after an error. */
int unpack_main(void);
