/* The one program that hob-init starts: starting it, handing signals on, burying it and its orphans. One per process,
 * used from its only thread. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

enum { EXIT_CANNOT_START = 127, EXIT_SIGNAL_BASE = 128 };

/* One line on standard error; for what only the log can tell. */
void program_say(const char *what, const char *name, int errnum);
/* The signals that hob-init waits for: those that it hands on, and SIGCHLD. Blocked from here on. */
void program_block_signals(sigset_t *ret_set);
/* Starts argv[0] with this process's environment and descriptors (but those with O_CLOEXEC); -1 and errno. */
pid_t program_start(char **argv);
/* Buries all that died; true, with its status as an exit code, when the program itself was among them. */
bool program_reap(pid_t program, int *ret_exit);
/* The same; when *beside was among them, it becomes 0 and *ret_status its exit code. */
bool program_reap_beside(pid_t program, int *ret_exit, pid_t *beside, int *ret_status);
/* Starts it, closes all descriptors, hands signals of `set` (see program_block_signals) on, buries; returns its end as
 * an exit code. */
int program_run(char **argv, const sigset_t *set);
