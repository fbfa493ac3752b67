/* Inside controller/ only: what code_store.c and code_receive.c share. */
#pragma once

#include "controller/code_store.h"

/* Below dir_fd and nowhere else: no links, no "..", no other file system. Close-on-exec. */
HOB_MUST_USE int code_open_beneath(int dir_fd, const char *path, int flags, unsigned mode);
HOB_MUST_USE enum hob_code code_staging_make(struct code_store *cs, struct code_staged *st,
                                             struct hob_err *err);
