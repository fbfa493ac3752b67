/* Who hobd is: root becomes the user it was told and can never come back. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct identity {
    uid_t uid;
    gid_t gid;
    gid_t
        docker; /* the group "docker", when `user` was made a member: whoever may speak to Docker is root in truth; else 0 */
    bool is_root; /* started as root: uid and gid are still to be taken on */
};

/* Looks `user` up when started as root; otherwise the caller's own ids. */
HOB_MUST_USE enum hob_code identity_find(struct identity *id, const char *user, struct hob_err *err);
/* Groups, gid, uid, no_new_privs, no core dumps; checks that root is really gone. Async-signal-safe. */
HOB_MUST_USE int identity_take(const struct identity *id);
