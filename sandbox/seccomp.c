#include "sandbox/seccomp.h"

#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "seccomp_code.h" /* made at build time */

#include "base/banned.h"

struct sock_fprog seccomp_program(void)
{
    return (struct sock_fprog){.len = HOB_COUNT(seccomp_code),
                               .filter = (struct sock_filter *)(uintptr_t)seccomp_code};
}

int seccomp_restrict(int *ret_listener)
{
    struct sock_fprog program = seccomp_program();
    if (ret_listener) {
        *ret_listener =
            (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
        if (*ret_listener >= 0)
            return 0;
    }
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

struct sock_fprog seccomp_program_egress(void)
{
    return (struct sock_fprog){.len = HOB_COUNT(seccomp_code_egress),
                               .filter = (struct sock_filter *)(uintptr_t)seccomp_code_egress};
}

int seccomp_restrict_egress(int *ret_listener)
{
    struct sock_fprog program = seccomp_program_egress();
    /* Once taken up, a call is not broken off by signals: its answer may have replaced the descriptor already. */
    *ret_listener =
        (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (*ret_listener < 0) /* before Linux 5.19 */
        *ret_listener =
            (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    return *ret_listener < 0 ? -1 : 0;
}

const char *seccomp_name(int number)
{
    return number >= 0 && (size_t)number < HOB_COUNT(seccomp_names) ? seccomp_names[number] : NULL;
}
