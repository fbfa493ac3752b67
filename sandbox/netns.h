/* Network: every sandbox has its own network namespace with nothing but a loopback device.
 *
 *   make    unshare, bring lo up, keep the namespace's descriptor, go back to our own (~0.35 ms: so the launcher
 *           keeps some on a shelf)
 *   join    by setns in the new process; single use, never handed from one sandbox to another
 *
 * Worker only. */
#pragma once

/* Returns an owned descriptor, or -1 with errno. `own_net` is where the caller lives and goes back to. */
int netns_make(int own_net);
