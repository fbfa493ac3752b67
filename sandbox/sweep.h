/* Sweeping: what an earlier worker left behind is killed and removed before a new one serves.
 *
 *   processes   everything in any set of our base folder (a worker's death kills its sandboxes through
 *               PDEATHSIG; the sweep is for those that were in the middle of their making)
 *   cgroups     every set's folder, in every tree
 *   mounts, network namespaces: nothing to do, they live only as long as a process or descriptor holds them
 *
 * cgroups_sweep() of cgroup.h is implemented here. */
#pragma once

/* SIGKILL to every process listed in base/name/cgroup.procs. */
void sweep_kill(int base, const char *name);
