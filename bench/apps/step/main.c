#include "hob.h"

#include <time.h>

/* Twenty milliseconds of waiting for somebody else, as most functions do: one at a time makes forty at 2,000 a second. */
static int wait(hob_call *c, void *arg)
{
    const struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
    (void)arg;
    (void)nanosleep(&t, NULL);
    return hob_write(c, "done\n", 5);
}

int main(void)
{
    return hob_run(wait, NULL, NULL);
}
