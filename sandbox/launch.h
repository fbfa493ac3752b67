/* The recipe: from a judged request to a process that is locked in. The steps stand in launch.c as a table, in
 * the order the new process takes them. Worker only. */
#pragma once

#include <sys/types.h>

#include "sandbox/launcher.h"
#include "sandbox/request.h"
#include "sandbox/walls.h"

struct launched {
    pid_t pid;
    int pidfd;             /* owned */
    struct cgroup_set set; /* with its doors open */
    int netns;             /* owned */
    int mnt;               /* a stem's mount namespace, owned; else -1 */
    int listener; /* where its denied calls, or with egress its connects, wait for an answer, owned, or -1 */
    int dns;      /* with egress: where the names that it asks for arrive, owned; else -1 */
    struct walls walls;
};

/* `fds` as of LAUNCH, borrowed; fds[3] < 0: /dev/null. On failure nothing is left behind but, perhaps, a dead child for the next
 * waitpid and a cgroup set, ret->set (number 0: none), to be removed. */
HOB_MUST_USE enum hob_code launch(struct launcher *l, const struct request *r, const int fds[4], unsigned uid,
                                  struct launched *ret, struct hob_err *err);
/* Whose a sandbox of this request is. */
void launch_tenant(const struct hob_launch_request *head, struct shelf_tenant *ret_tenant);
/* Puts the code that `head` names at /app of the stem whose mount namespace is `mnt`, and changes the limits of its
 * set to what `head` says. */
HOB_MUST_USE enum hob_code launch_assign(struct launcher *l, const struct hob_launch_request *head, int mnt,
                                         struct cgroup_set *set, struct hob_err *err);
