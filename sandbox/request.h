/* Judging what comes in: a message of the protocol is believed in nothing. After request_judge every field is
 * within its bounds, every string ends, and argv and env stand as arrays that exec can take.
 *
 *   all       magic, a known op, the exact size
 *   LAUNCH    names and digest by character, every number by bound, strings counted to the byte, descriptors by
 *             kind (a channel is a socket; nothing is a folder or a disk) */
#pragma once

#include "base/err.h"
#include "base/launch.h"

enum { REQUEST_ARGC_MAX = 256, REQUEST_ENVC_MAX = 512, REQUEST_ENV_BASE = 4 };

struct request {
    const struct hob_launch_request *head;
    const char *argv[REQUEST_ARGC_MAX + 3];                   /* "/hob/init", "--", ..., NULL */
    const char *env[REQUEST_ENVC_MAX + REQUEST_ENV_BASE + 1]; /* ours, where not given, and theirs, NULL */
    /* of "--http PORT --" or "--http PORT+PORT --", hob-init's own, in front of the program; 0: no server, and no second */
    uint32_t http_ports[2];
};

/* `msg` is aligned for the struct and borrowed by *ret_request. */
HOB_MUST_USE enum hob_code request_judge(const void *msg, size_t n, struct request *ret_request,
                                         struct hob_err *err);
/* For LAUNCH: [0] channel, [1] stdout, [2] stderr, [3] stdin, if any; else none. */
HOB_MUST_USE enum hob_code request_judge_fds(const struct request *r, const int *fds, size_t fds_n,
                                             struct hob_err *err);
