/* hob-init as a container's first process: nobody could hand it descriptors, so it fetches them (hand.h). */
#pragma once

#include <stdbool.h>

/*   hob-init --runner SOCKET SIGNAL -- PROGRAM [ARGUMENT...]   SIGNAL (a number) asks the program to stop
 *   hob-init --runner SOCKET SIGNAL:INTERVAL_MS:TIMEOUT_MS:START_MS:RETRIES:WORDS -- WORD... PROGRAM [ARGUMENT...]
 *                                              the first WORDS words are the image's health check: run beside the
 *                                              program; after RETRIES failures in a row it is killed
 *   hob-init --hold SOCKET                                     starts nothing, ends with its runner: holds namespaces
 * PROGRAM may be "--http PORT -- PROGRAM" as on hob-init's own command line. */
bool container_is_meant(int argc, char **argv);
/* The exit status. */
int container_run(int argc, char **argv);
