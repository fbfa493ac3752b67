/* Where the bytes of an app's files lie: HOME/files/APP by content, or an S3-compatible store by name (SigV4). Blocking:
 * for workers and jobs. A place is plain data: it is filled on the loop and read by any thread. */
#pragma once

#include "base/json.h"

struct blob_place {
    char *dir; /* HOME/files/APP */
    bool is_s3, is_path_style;
    char *endpoint, *region, *bucket, *prefix, *key_id, *secret; /* of S3 */
};
struct blob {
    const char *name, *digest; /* stored name; SHA-256 */
    const char *type;
    uint64_t bytes;
};
/* From the setting "files"; `secret` is the secret access key (may be NULL for local). HOB_E_INVALID says what is missing. */
HOB_MUST_USE enum hob_code blob_place_fill(struct blob_place *p, const char *dir, const json_t *setting,
                                           const char *secret, struct hob_err *err);
void blob_place_done(struct blob_place *p);

/* Local: links the fsynced file at `path` under its digest, durably; the same content lies there once. S3: sends it. Doing
 * it again is fine. */
HOB_MUST_USE enum hob_code blob_put(const struct blob_place *p, const struct blob *b, const char *path,
                                    struct hob_err *err);
/* A descriptor to read from; S3: of a nameless copy in `tmp_dir`. HOB_E_NOT_FOUND when the bytes are not there. */
HOB_MUST_USE enum hob_code blob_open(const struct blob_place *p, const struct blob *b, const char *tmp_dir,
                                     int *ret_fd, struct hob_err *err);
/* No error when it is not there. */
HOB_MUST_USE enum hob_code blob_drop(const struct blob_place *p, const struct blob *b, struct hob_err *err);
