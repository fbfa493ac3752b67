/* Objects of an S3-compatible store by libcurl, signed with AWS Signature Version 4. Blocking. What the store answers is
 * told by its status; a refusal names the bucket, never the key. */
#pragma once

#include "bindings/files/blob.h"

HOB_MUST_USE enum hob_code s3_put(const struct blob_place *p, const struct blob *b, const char *path,
                                  struct hob_err *err);
HOB_MUST_USE enum hob_code s3_open(const struct blob_place *p, const struct blob *b, const char *tmp_dir,
                                   int *ret_fd, struct hob_err *err);
HOB_MUST_USE enum hob_code s3_drop(const struct blob_place *p, const struct blob *b, struct hob_err *err);
