/* Commands of a person's own, run by /bin/sh. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Starts `command` in `dir`. Its output goes to stderr as it comes: stdout is for what people pipe on. Without `has_token`
 * HOB_TOKEN is taken out of its environment: a build command runs strangers' packages. 0, or an errno. */
int shell_start(const char *dir, const char *command, bool has_token, pid_t *ret_pid);
