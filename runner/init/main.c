/* hob-init: pid 1 of every instance. Starts one program, hands signals on to it, buries orphans, and ends as the
 * program ended: with its status, or with 128 + N when signal N killed it.
 *
 *   hob-init -- PROGRAM [ARGUMENT...]               exits with 127 when PROGRAM cannot be started
 *   hob-init -- --http PORT -- PROGRAM [ARGUMENT...]
 *                                                   PROGRAM is an HTTP server: see proxy.h. The options stand behind
 *                                                   "--" because an engine hands argv on as it got it. PORT+PORT: at the
 *                                                   second one it finds its bindings (gate.h)
 *   hob-init -- --await                             in a sandbox made ahead: see await.h
 *   hob-init --runner ... , hob-init --hold ...     as a container's first process: see container.h
 *
 * The program gets descriptors 0 to 3 as they came; hob-init closes all of its own, so that whoever holds the other
 * ends sees the program's end and nothing else. With --http it keeps 3, the channel, to itself. As pid 1 its end is
 * the end of everything in the namespace; started elsewhere it makes itself the reaper of its descendants. Static,
 * without a library beside libc, one thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner/init/await.h"
#include "runner/init/container.h"
#include "runner/init/program.h"
#include "runner/init/proxy.h"

static int run_plain(char **argv)
{
    sigset_t set;
    program_block_signals(&set);
    return program_run(argv, &set);
}

/* Stops behind the number; 0: there is none. */
static uint16_t read_port(const char **text)
{
    char *end = NULL;
    unsigned long n = **text >= '1' && **text <= '9' ? strtoul(*text, &end, 10) : 0;
    if (n == 0 || n > UINT16_MAX)
        return 0;
    *text = end;
    return (uint16_t)n;
}

/* "PORT" or "PORT+PORT". */
static bool read_ports(const char *text, struct proxy_ports *ret_ports)
{
    *ret_ports = (struct proxy_ports){.program = read_port(&text)};
    if (ret_ports->program && *text == '+') {
        text++;
        ret_ports->gate = read_port(&text);
        if (!ret_ports->gate || ret_ports->gate == ret_ports->program)
            return false;
    }
    return ret_ports->program && !*text;
}

int main(int argc, char **argv)
{
    struct proxy_ports ports;
    if (container_is_meant(argc, argv))
        return container_run(argc, argv);
    if (argc < 3 || strcmp(argv[1], "--") != 0)
        program_say("usage: hob-init -- [--http PORT --] PROGRAM [ARGUMENT...]; got", argc > 1 ? argv[1] : "",
                    EINVAL);
    else if (argc == 3 && strcmp(argv[2], "--await") == 0)
        return await_run();
    else if (strcmp(argv[2], "--http") != 0)
        return run_plain(argv + 2);
    else if (argc >= 6 && read_ports(argv[3], &ports) && strcmp(argv[4], "--") == 0)
        return proxy_run(argv + 5, &ports);
    else
        program_say("--http: want a port, '--' and a program; got", argc > 3 ? argv[3] : "", EINVAL);
    return EXIT_CANNOT_START;
}
