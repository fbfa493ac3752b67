/* hob-init for an HTTP server that knows nothing of Hob: speaks the channel (docs/channel.md) with hobd on descriptor
 * 3 and HTTP/1.1 with the program on a loopback port. One epoll loop, one thread, everything bounded.
 *
 *   WAITING (for HELLO) -> STARTING (the program runs; a connection is tried every 2 ms) -> HOOKS (what hob.json wants
 *   asked first) -> READY -> DRAINING -> ENDING;  READY -> HOOKS -> READY when its configuration changes
 *
 * The program's end ends every state. The program is a stranger: whatever it answers costs at most the one invocation
 * that it answers. */
#pragma once

#include <stdint.h>

struct proxy_ports {
    uint16_t program;
    uint16_t gate; /* where the program finds its bindings; 0: it has none, and nothing listens */
};
/* Returns the exit code of the process. */
int proxy_run(char **argv, const struct proxy_ports *ports);
