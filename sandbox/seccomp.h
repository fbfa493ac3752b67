/* The system call filter: made at build time (seccomp_policy.h, seccomp_gen.c), loaded last of all. */
#pragma once

#include <linux/filter.h>

/* Restricts the calling process, which has no_new_privs. 0, or -1 with errno. System calls only. */
int seccomp_restrict(void);
/* The filter itself, for the tests. Returns borrowed. */
struct sock_fprog seccomp_program(void);
