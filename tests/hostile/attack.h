/* Hostile functions in C. An attack writes what it achieved to `out`, one "hole: ..." line each, and facts as
 * "name=value" lines; the table in catalogue.mjs says what is expected. One program, the attack is the path. */
#pragma once

#include <stdio.h>

struct attack {
    const char *name;
    void (*run)(FILE *out, const char *argument);
};
extern const struct attack escapes[], abuses[], thefts[]; /* ended by a NULL name */

/* A system call that must fail: a hole when it succeeds. */
#define MUST_FAIL(out, what, ...)                                                                            \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        long r_ = (__VA_ARGS__);                                                                             \
        if (r_ >= 0)                                                                                         \
            fprintf(out, "hole: %s gave %ld\n", what, r_);                                                   \
    } while (0)
