#include "docker_seccomp.h" /* made while building, by mk/docker_seccomp.c */
#include "runner/docker/docker_priv.h"

const char *container_seccomp(void)
{
    return docker_seccomp;
}
