/* hob-init in a sandbox that was made before it is known for whom (runner/stems.h), for programs that are part of the
 * code: nothing of them can be started ahead, so hob-init itself waits at descriptor 3.
 *
 *   runner -> init   PING (base/frame.h), answered by PONG
 *                    AWAIT_PROGRAM: payload = u32 argc, u32 envc, then argc arguments and envc "NAME=value", each ended
 *                    by NUL. /app has its code by now; the program starts, and what follows on the channel is its own
 *
 * The environment: what hob-init was started with, and above it what the message brings. */
#pragma once

enum { AWAIT_PROGRAM = 129, AWAIT_PAYLOAD_MAX = 32 * 1024, AWAIT_ARGS_MAX = 64 };

/* Waits, starts the program, and lives on as its first process. Returns the exit status. */
int await_run(void);
