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

int seccomp_restrict(void)
{
    struct sock_fprog program = seccomp_program();
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
