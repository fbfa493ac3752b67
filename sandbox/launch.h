/* The recipe: from a judged request to a process that is locked in. The steps stand in launch.c as a table, in
 * the order the new process takes them. Worker only. */
#pragma once

#include <sys/types.h>

#include "sandbox/launcher.h"
#include "sandbox/request.h"

struct launched {
    pid_t pid;
    int pidfd;    /* owned */
    uint64_t set; /* number of its cgroup set */
};

/* `fds` as of LAUNCH, borrowed; fds[3] < 0: /dev/null. On failure nothing is left behind but, perhaps, a dead child for the next
 * waitpid and a cgroup set whose number is in ret->set (0: none), to be removed. */
HOB_MUST_USE enum hob_code launch(struct launcher *l, const struct request *r, const int fds[4], unsigned uid,
                                  struct launched *ret, struct hob_err *err);
/* One thing for a shelf that is not full; false: all are. Call when idle. */
bool launch_restock(struct launcher *l);
/* Empties the shelves. */
void launch_clear(struct launcher *l);
