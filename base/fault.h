/* Fault points, compiled in only with -DHOB_FAULTS (make fault; never in a release).
 * A point is passed by name: HOB_FAULT("store.commit") is true when this passing shall fail.
 * HOB_FAULT_AT="store.commit" or "N" (the N-th passing of any point, from 1) chooses one; with
 * HOB_FAULT_KILL=1 the process ends there by SIGKILL instead; HOB_FAULT_COUNT=FILE writes how many were passed. */
#pragma once

#include "base/compiler.h"

#ifdef HOB_FAULTS
bool hob_fault_hit(const char *point);
#define HOB_FAULT(point) hob_fault_hit(point)
#else
#define HOB_FAULT(point) ((void)sizeof(point), false)
#endif
