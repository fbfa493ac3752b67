/* The system call filter: made at build time (seccomp_policy.h, seccomp_gen.c), loaded last of all. A profile stands in
 * front of it: calls that it does not name never reach the list, so that it can only take away. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>

#include "base/rules/syscalls.h"

struct seccomp_kind {
    bool is_egress;   /* connect() waits for an answer (sandbox/notify/egress.h) */
    bool is_learning; /* every call waits: what is allowed is noted and passes */
    bool has_profile; /* only `calls`, of those that are allowed */
    struct hob_syscalls calls;
};

/* Returns borrowed, until the next call with a profile. */
struct sock_fprog seccomp_program(const struct seccomp_kind *k);
/* Restricts the calling process, which has no_new_privs. 0, or -1 with errno. System calls only.
 * *ret_listener (NULL: not wanted): where calls will wait for an answer (sandbox/notify/calls.h), close-on-exec, owned;
 * -1 when the kernel gives none: then it answers ENOSYS itself. Where an answer must come, that is a failure. */
int seccomp_restrict(const struct seccomp_kind *k, const struct sock_fprog *program, int *ret_listener);
/* The name of a system call, or NULL. */
const char *seccomp_name(int number);
/* Its index in base/rules/syscalls.h, or -1: it is not allowed. */
int seccomp_index(int number);
/* Names a filter: FNV-1a over its instructions. */
unsigned long long seccomp_hash(const struct sock_fprog *program);
