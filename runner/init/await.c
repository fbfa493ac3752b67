#include "runner/init/await.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/frame.h"
#include "runner/init/program.h"

enum { CHANNEL = 3 };

struct counts {
    uint32_t argc, envc;
};

static bool receive(void *to, size_t n)
{
    ssize_t got;
    do
        got = recv(CHANNEL, to, n, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)n;
}

static bool send_pong(uint32_t arg)
{
    struct hob_frame pong = {.type = HOB_FRAME_PONG, .arg = arg};
    unsigned char bytes[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&pong, bytes);
    return send(CHANNEL, bytes, sizeof bytes, MSG_NOSIGNAL) == (ssize_t)sizeof bytes;
}

/* Behind what we have, and instead of what has the same name: the order in which the launcher would have put it. */
static void environment_add(char *pair)
{
    char *equals = strchr(pair, '=');
    if (!equals)
        return;
    *equals = '\0';
    (void)unsetenv(pair); /* NOLINT(concurrency-mt-unsafe): hob-init has one thread */
    *equals = '=';
    (void)putenv(pair); /* NOLINT(concurrency-mt-unsafe) */
}

/* Splits `n` bytes of strings, which stay where they are. */
static bool take_strings(char *at, size_t n, const struct counts *counts, char *argv[AWAIT_ARGS_MAX + 1])
{
    char *end = at + n;
    if (n == 0 || end[-1] != '\0' || counts->argc < 1 || counts->argc > AWAIT_ARGS_MAX)
        return false;
    for (uint32_t i = 0; at < end; i++, at += strlen(at) + 1) {
        if (i < counts->argc)
            argv[i] = at;
        else
            environment_add(at);
    }
    argv[counts->argc] = NULL;
    return argv[counts->argc - 1] != NULL;
}

/* Until it is told what to run. False: it never will be. */
static bool wait_for_program(char *argv[AWAIT_ARGS_MAX + 1])
{
    static char strings[AWAIT_PAYLOAD_MAX]; /* argv and environment go on pointing here */
    unsigned char bytes[HOB_FRAME_HEADER_BYTES];
    struct hob_frame f;
    struct counts counts;
    while (receive(bytes, sizeof bytes) && hob_frame_decode(bytes, &f)) {
        if (f.type == HOB_FRAME_PING && f.len == 0 && send_pong(f.arg))
            continue;
        return f.type == AWAIT_PROGRAM && f.len > sizeof counts && f.len - sizeof counts <= sizeof strings &&
               receive(&counts, sizeof counts) && receive(strings, f.len - sizeof counts) &&
               take_strings(strings, f.len - sizeof counts, &counts, argv);
    }
    return false;
}

int await_run(void)
{
    sigset_t set;
    char *argv[AWAIT_ARGS_MAX + 1] = {NULL};
    program_block_signals(&set);
    if (!wait_for_program(argv) || chdir("/app") < 0)
        return EXIT_CANNOT_START;
    return program_run(argv, &set);
}
