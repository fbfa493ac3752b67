/* The system call filter: made at build time (seccomp_policy.h, seccomp_gen.c), loaded last of all. */
#pragma once

#include <linux/filter.h>

/* Restricts the calling process, which has no_new_privs. 0, or -1 with errno. System calls only.
 * *ret_listener (NULL: not wanted): where denied calls will wait for an answer (sandbox/notify/denied.h), close-on-exec,
 * owned; -1 when the kernel gives none: then it answers ENOSYS itself. */
int seccomp_restrict(int *ret_listener);
/* The variant whose connect() waits for an answer (sandbox/notify/egress.h); without a listener it fails. */
int seccomp_restrict_egress(int *ret_listener);
/* The name of a system call, or NULL. */
const char *seccomp_name(int number);
/* The filters themselves, for the tests. Returns borrowed. */
struct sock_fprog seccomp_program(void);
struct sock_fprog seccomp_program_egress(void);
