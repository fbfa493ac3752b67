/* hobd: reads the command line and runs the daemon. */
#include <sodium.h>
#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "daemon/daemon.h"

int main(int argc, char **argv)
{
    struct daemon_options o;
    struct hob_err err;
    hob_log_init("hobd");
    if (sodium_init() < 0)
        return fprintf(stderr, "hobd: the machine has no source of random numbers\n"), 1;
    (void)hob_hash("", 0); /* draws the seed while there is one thread */
    int code = 0;
    if (daemon_options_parse(&o, argc, argv, &err) != HOB_OK) {
        fprintf(stderr, "hobd: %s\n", err.msg);
        code = hob_code_info(err.code)->exit_code;
    } else if (o.is_help) {
        daemon_options_help();
    } else if (o.is_version) {
        printf("hobd %s\n", HOB_VERSION);
    } else {
        code = daemon_run(&o);
    }
    daemon_options_done(&o);
    return code;
}
