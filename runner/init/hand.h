/* hob-init in a container: nobody can hand it descriptors at exec, so it fetches them from hob-runner over a Unix socket
 * (SOCK_SEQPACKET) that is bind-mounted into the container. One connection for the container's whole life:
 *
 *   runner -> init   'S' and 3 or 4 descriptors: channel, stdout, stderr, stdin; the program starts now
 *                    'T' its stop signal   'K' end at once
 *   init -> runner   struct hand_end when the program ended (its word is HAND_UNWELL when the image's health check did
 *                    it), then hob-init waits a moment for the runner to let go
 *
 * When the runner closes, hob-init ends at once and the container with it: nothing outlives its runner. Static, without
 * a library beside libc, one thread; used by hob-init only, except for struct hand_end and the words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { HAND_START = 'S', HAND_TERM = 'T', HAND_KILL = 'K', HAND_END = 'E', HAND_UNWELL = 'U' };

struct hand_end {
    uint32_t word;       /* HAND_END or HAND_UNWELL */
    int32_t exit_code;   /* 0 to 255; 128 + N when signal N killed it */
    uint64_t cpu_us;     /* of everything that was waited for */
    uint64_t memory_kib; /* largest resident set of one process */
};

/* Connects to `path`; the descriptor is above all that a program gets, or -1 with errno. */
int hand_connect(const char *path);
/* Waits for 'S' and puts the descriptors at 3, 1, 2 and 0. False: the runner is gone or wants no start. */
bool hand_wait(int sock);
/* 'T', 'K' (also when the runner is gone), or 0: nothing there. Never waits. */
int hand_heard(int sock);
/* Tells the end and waits until the runner lets go, for 5 s at most. */
void hand_tell_end(int sock, int word, int exit_code);
