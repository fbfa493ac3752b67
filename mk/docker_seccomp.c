/* Runs while building: prints the sandbox's system call policy as the JSON that Docker takes (a C string). One policy for
 * both engines; runner/ may not include sandbox/, so this little program stands between them.
 *
 * What Docker's format cannot say: ioctl's forbidden requests are compared in 64 bits there and cut to 32 by the kernel,
 * so ioctl is allowed (a container has no terminal of anybody else's). Calls that are not listed give EPERM before
 * Docker 22, which does not know defaultErrnoRet. */
#include <stdint.h>
#include <stdio.h>

#include "sandbox/seccomp_policy.h"

static const char *const allowed[] = {POLICY_ALLOWED}, *const quiet[] = {POLICY_QUIET};
static const uint32_t families[] = POLICY_SOCKET_FAMILIES, protocols[] = POLICY_SOCKET_PROTOCOLS;
static const uint32_t personalities[] = POLICY_PERSONALITIES;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
enum { RLIMITS = 16 };
#define Q "\\\""

static void put_names(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s" Q "%s" Q, i ? "," : "", names[i]);
}

static void put_masked(const char *name, unsigned arg, unsigned value)
{
    printf(",{" Q "names" Q ":[" Q "%s" Q "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "," Q "args" Q ":[{" Q
           "index" Q ":%u," Q "value" Q ":4294967295," Q "valueTwo" Q ":%u," Q "op" Q ":" Q
           "SCMP_CMP_MASKED_EQ" Q "}]}",
           name, arg, value);
}

int main(void)
{
    printf("#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n");
    printf("static const char docker_seccomp[] =\n    \"{" Q "defaultAction" Q ":" Q "SCMP_ACT_ERRNO" Q "," Q
           "defaultErrnoRet" Q ":38," Q "archMap" Q ":[{" Q "architecture" Q ":" Q "SCMP_ARCH_X86_64" Q
           "},{" Q "architecture" Q ":" Q "SCMP_ARCH_AARCH64" Q "}]," Q "syscalls" Q ":[{" Q "names" Q ":[");
    put_names(allowed, COUNT(allowed));
    printf("," Q "ioctl" Q "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "},{" Q "names" Q ":[");
    put_names(quiet, COUNT(quiet));
    printf("]," Q "action" Q ":" Q "SCMP_ACT_ERRNO" Q "," Q "errnoRet" Q ":38},{" Q "names" Q ":[" Q "clone" Q
           "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "," Q "args" Q ":[{" Q "index" Q ":0," Q "value" Q
           ":%u," Q "valueTwo" Q ":0," Q "op" Q ":" Q "SCMP_CMP_MASKED_EQ" Q "}]}",
           POLICY_CLONE_FORBIDDEN);
    for (size_t i = 0; i < COUNT(personalities); i++)
        printf(",{" Q "names" Q ":[" Q "personality" Q "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "," Q
               "args" Q ":[{" Q "index" Q ":0," Q "value" Q ":%u," Q "op" Q ":" Q "SCMP_CMP_EQ" Q "}]}",
               personalities[i]);
    for (size_t f = 0; f < COUNT(families); f++)
        for (size_t p = 0; p < COUNT(protocols); p++)
            printf(",{" Q "names" Q ":[" Q "socket" Q "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "," Q
                   "args" Q ":[{" Q "index" Q ":0," Q "value" Q ":%u," Q "op" Q ":" Q "SCMP_CMP_EQ" Q "},{" Q
                   "index" Q ":2," Q "value" Q ":%u," Q "op" Q ":" Q "SCMP_CMP_EQ" Q "}]}",
                   families[f], protocols[p]);
    /* Limits by number (their low half: that is what the kernel takes), all but the fixed one; reading any. */
    for (unsigned r = 0; r < RLIMITS; r++) {
        if (r == POLICY_RLIMIT_FIXED)
            continue;
        put_masked("setrlimit", 0, r);
        put_masked("prlimit64", 1, r);
    }
    printf(",{" Q "names" Q ":[" Q "prlimit64" Q "]," Q "action" Q ":" Q "SCMP_ACT_ALLOW" Q "," Q "args" Q
           ":[{" Q "index" Q ":2," Q "value" Q ":0," Q "op" Q ":" Q "SCMP_CMP_EQ" Q "}]}");
    printf("]}\";\n");
    return 0;
}
