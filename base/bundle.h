/* The bundle stream: an archive after unpacking, in the one form that Hob reads.
 *
 * Written by `hob-runner unpack` inside a sandbox (an untrusted writer: what it unpacks may have taken it over) to
 * descriptor 3, read by the code store, which judges everything again. Records back to back, little-endian:
 *
 *   0 u32 magic           0x484f4245
 *   4 u8  kind            enum hob_bundle_kind
 *   5 u8  is_executable   1 for a FILE that may be executed, else 0
 *   6 u16 path_n
 *   8 u64 size
 *  16     path_n bytes of path, then for a FILE `size` bytes of data
 *
 *  DIRECTORY  size 0. Comes before everything inside it; every folder of every path has one.
 *  FILE       size = bytes of data behind the path.
 *  END        path_n 0, size = DIRECTORY and FILE records before it. Last; a stream without it is incomplete.
 *  ERROR      path_n bytes of message for people, size = enum hob_code. Last: what came before is void. A failure
 *             inside a FILE's data comes behind `size` bytes all the same (the missing ones are zeros).
 *
 * Paths are relative, '/'-separated, without a '/' at the end, never twice: see hob_bundle_path_check.
 * Nothing here owns memory; not thread-bound. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { HOB_BUNDLE_MAGIC = 0x484f4245, HOB_BUNDLE_HEADER_BYTES = 16, HOB_BUNDLE_NAME_BYTES_MAX = 255 };

enum hob_bundle_kind {
    HOB_BUNDLE_DIRECTORY = 1,
    HOB_BUNDLE_FILE = 2,
    HOB_BUNDLE_END = 3,
    HOB_BUNDLE_ERROR = 4,
};

struct hob_bundle_record {
    uint8_t kind;
    bool is_executable;
    uint16_t path_n;
    uint64_t size;
};

void hob_bundle_encode(const struct hob_bundle_record *r, unsigned char out[HOB_BUNDLE_HEADER_BYTES]);
/* Reads one header as a stranger's: magic, kind, flag, and path_n and size within the limits of their kind
 * (deploy.path_bytes, deploy.unpacked_bytes, deploy.entries). HOB_E_INVALID or HOB_E_TOO_LARGE. Sums over the whole
 * stream are the reader's to keep. */
HOB_MUST_USE enum hob_code hob_bundle_decode(const unsigned char in[HOB_BUNDLE_HEADER_BYTES],
                                             struct hob_bundle_record *ret_record, struct hob_err *err);
/* Judges one path: 1 to deploy.path_bytes bytes of valid UTF-8, at most deploy.path_depth folders, no '/' first or
 * last, no empty, "." or ".." part, no part over 255 bytes, no backslash, no control character. HOB_E_INVALID; the
 * message shows the path with everything odd escaped. */
HOB_MUST_USE enum hob_code hob_bundle_path_check(struct hob_str path, struct hob_err *err);
/* Makes bytes of strangers fit for a message: printable ASCII stays, the rest becomes \xNN; cut with "..." when `out`
 * is short. Always ends with NUL; returns `out`. */
const char *hob_bundle_show(struct hob_str path, char *out, size_t out_bytes);
