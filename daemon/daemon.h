/* The daemon: every part, wired. Flow:
 *
 *   OPENING -> STARTING -> READY -> DRAINING -> CLOSING -> (loop ends)
 *
 * OPENING happens before the loop runs and, as root, before privileges are dropped; STARTING waits for the runner;
 * DRAINING lets exchanges finish; CLOSING takes the parts down one after another, in the reverse order of their making.
 * A fatal loss (the launcher's end, which only root can mend) jumps to DRAINING with exit code 1. */
#pragma once

#include "daemon/options.h"

/* Runs until it is told to stop; returns the process's exit code. Failures before readiness are printed. */
HOB_MUST_USE int daemon_run(const struct daemon_options *o);
