/* The health check of a container's image (HEALTHCHECK): a command, run now and then beside the program. Plain data of one
 * owner; used from hob-init's only thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct health {
    char **words; /* NULL-ended; none when words_n is 0 */
    int words_n;
    uint64_t interval_ms, timeout_ms, start_ms; /* failures within start_ms do not count */
    unsigned retries, failures;
    pid_t pid; /* of the command while it runs; 0: it does not */
    uint64_t began_ms, next_ms, until_ms;
    bool is_late, is_unwell;
};

/* Reads "SIGNAL:INTERVAL:TIMEOUT:START:RETRIES:WORDS" (or "SIGNAL": no check) and returns where the program stands. */
char **health_read(struct health *h, const char *text, char **argv, int argc);
void health_begin(struct health *h);
/* For poll: milliseconds until something is due, -1 for never. */
int health_wait_ms(const struct health *h);
/* After dead processes were buried; `status` is the command's, if it was among them. True: the program shall end. */
bool health_turn(struct health *h, int status);
