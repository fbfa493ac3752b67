#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

#include "base/banned.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    if (interrupted)
        _exit(130);
    interrupted = 1;
}

void signals_catch(void)
{
    struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: waiting reads shall return */
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

void signals_forget(void)
{
    interrupted = 0;
}

bool signals_interrupted(void)
{
    return interrupted != 0;
}
