/* hobd's command line and environment, judged. Owns its strings; read once at start. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct daemon_options {
    char *home; /* --home, HOB_HOME; default /var/lib/hob as root, else ~/.local/share/hob */
    char *host; /* --listen ADDR:PORT; default 127.0.0.1:7070 */
    uint16_t port;
    char *user;     /* --user: who to become when started as root; default "hob" */
    char *runtimes; /* --runtimes DIR; default beside the program */
    char *docker;   /* --docker HOST, HOB_DOCKER_HOST; NULL: off */
    bool is_docker_asked_for;
    char *programs;         /* folder of hob-runner, hob-launcher and hob-init: that of hobd itself */
    bool may_reach_private; /* --apps-reach-private, HOB_APPS_REACH_PRIVATE=1 */
    bool is_help, is_version;
};

/* Returns HOB_E_INVALID naming the option, the value and what would be right. */
HOB_MUST_USE enum hob_code daemon_options_parse(struct daemon_options *o, int argc, char **argv,
                                                struct hob_err *err);
void daemon_options_done(struct daemon_options *o);
void daemon_options_help(void);
