/* Rootless: the worker lives in one long-lived user namespace, and everything else is the same code.
 *
 *   ids      identity: our uid keeps its number inside. With newuidmap and a range of 65536 in /etc/subuid and
 *            /etc/subgid, the reserved range of sandbox uids is mapped onto it; else all share our own uid
 *   pid ns   the worker is its first process: when it dies, the kernel ends everything it made
 *   mounts   a copy, which receives what the host mounts later
 *
 * Guard only. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* Forks into new namespaces: 0 in the child, mapped and ready, *ret_has_range says how; its pid in the guard;
 * -1. */
HOB_MUST_USE pid_t userns_fork(bool *ret_has_range, struct hob_err *err);
