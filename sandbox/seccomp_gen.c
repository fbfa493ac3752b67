/* Runs while building: prints the policy (seccomp_policy.h) as BPF, one C array per architecture.
 *
 *   number range tree   system call numbers with the same treatment are merged into ranges, found by binary
 *                       search: the kernel runs the filter for every number at load, so depth is what costs
 *   variants            plain; egress: connect() waits for an answer (sandbox/notify/egress.h); learning: what is allowed
 *                       waits for the launcher, too, which notes it and lets it pass; both
 *   leaves              allow, ENOSYS, ENOSYS by way of the launcher (sandbox/notify/calls.h), or a check of arguments
 *
 * Arguments are judged by their low 32 bits: that is all the kernel takes of these calls' arguments, but for one pointer. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "sandbox/seccomp_policy.h"

#include "base/banned.h"

enum { NUMBERS_MAX = 1024, CODE_MAX = 4096 };
enum variant { PLAIN = 0, EGRESS = 1, LEARN = 2 }; /* bits */
enum leaf {
    LEAF_TOLD,
    LEAF_START,
    LEAF_QUIET,
    LEAF_ALLOW,
    LEAF_CLONE,
    LEAF_SOCKET,
    LEAF_PERSONALITY,
    LEAF_IOCTL,
    LEAF_SETRLIMIT,
    LEAF_PRLIMIT
};

struct range {
    uint32_t first;
    enum leaf leaf;
};
struct code {
    struct sock_filter op[CODE_MAX];
    size_t n;
};

static const char *const allowed[] = {POLICY_ALLOWED}, *const quiet[] = {POLICY_QUIET};
/* Made while the launcher sleeps until the new process has its program: they cannot wait for it. */
static const char *const starting[] = {"sendmsg", "execve", "exit_group"};
static const uint32_t families[] = POLICY_SOCKET_FAMILIES, protocols[] = POLICY_SOCKET_PROTOCOLS;
static const uint32_t personalities[] = POLICY_PERSONALITIES, ioctls_forbidden[] = POLICY_IOCTLS_FORBIDDEN;

static void emit(struct code *c, unsigned op, uint32_t k, unsigned jt, unsigned jf)
{
    HOB_ASSERT(c->n < CODE_MAX && jt <= 255 && jf <= 255);
    c->op[c->n++] = (struct sock_filter){(uint16_t)op, (uint8_t)jt, (uint8_t)jf, k};
}
static void emit_load(struct code *c, size_t offset)
{
    emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}
static void emit_return(struct code *c, uint32_t action)
{
    emit(c, BPF_RET | BPF_K, action, 0, 0);
}
static void emit_errno(struct code *c, int errnum)
{
    emit_return(c, SECCOMP_RET_ERRNO | (uint32_t)errnum);
}

/* Goes on behind when argument `arg` is one of `values`, else returns `errnum`. */
static void emit_need_one_of(struct code *c, unsigned arg, const uint32_t *values, size_t n, int errnum)
{
    emit_load(c,
              offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t)); /* little-endian: the low half */
    for (size_t i = 0; i < n; i++)
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, values[i], (unsigned)(n - i), 0);
    emit_errno(c, errnum);
}

static void emit_leaf(struct code *c, enum leaf leaf, unsigned variant)
{
    switch (leaf) {
    case LEAF_TOLD:
        emit_return(c, SECCOMP_RET_USER_NOTIF);
        return;
    case LEAF_QUIET:
        emit_errno(c, ENOSYS);
        return;
    case LEAF_START:
        emit_return(c, SECCOMP_RET_ALLOW);
        return;
    case LEAF_ALLOW:
        break;
    case LEAF_CLONE:
        emit_load(c, offsetof(struct seccomp_data, args));
        emit(c, BPF_JMP | BPF_JSET | BPF_K, POLICY_CLONE_FORBIDDEN, 0, 1);
        emit_errno(c, EPERM);
        break;
    case LEAF_SOCKET:
        emit_need_one_of(c, 0, families, HOB_COUNT(families), EAFNOSUPPORT);
        emit_need_one_of(c, 2, protocols, HOB_COUNT(protocols), EPROTONOSUPPORT);
        break;
    case LEAF_PERSONALITY:
        emit_need_one_of(c, 0, personalities, HOB_COUNT(personalities), EPERM);
        break;
    case LEAF_IOCTL:
        emit_load(c, offsetof(struct seccomp_data, args) + sizeof(uint64_t));
        emit(c, BPF_JMP | BPF_JGE | BPF_K, POLICY_IOCTLS_OF_SOCKETS_FIRST, 0, 2);
        emit(c, BPF_JMP | BPF_JGT | BPF_K, POLICY_IOCTLS_OF_SOCKETS_LAST, 1, 0);
        emit_errno(c, EPERM);
        for (size_t i = 0; i < HOB_COUNT(ioctls_forbidden); i++)
            emit(c, BPF_JMP | BPF_JEQ | BPF_K, ioctls_forbidden[i],
                 (unsigned)(HOB_COUNT(ioctls_forbidden) - 1 - i), i + 1 == HOB_COUNT(ioctls_forbidden));
        emit_errno(c, EPERM);
        break;
    case LEAF_SETRLIMIT:
        emit_load(c, offsetof(struct seccomp_data, args));
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, POLICY_RLIMIT_FIXED, 0, 1);
        emit_errno(c, EPERM);
        break;
    case LEAF_PRLIMIT: /* reading is fine: no new value, both halves of that pointer */
        emit_load(c, offsetof(struct seccomp_data, args) + sizeof(uint64_t));
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, POLICY_RLIMIT_FIXED, 0, 5);
        emit_load(c, offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t));
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2);
        emit_load(c, offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t) + sizeof(uint32_t));
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
        emit_errno(c, EPERM);
        break;
    }
    emit_return(c, variant & LEARN ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW);
}

/* Binary search: numbers from ranges[n/2] on lie behind the left half's code. */
static void emit_tree(struct code *c, const struct range *ranges, size_t n, unsigned variant)
{
    if (n == 1) {
        emit_leaf(c, ranges[0].leaf, variant);
        return;
    }
    size_t middle = n / 2, jump = c->n;
    emit(c, BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, 0, 1);
    emit(c, BPF_JMP | BPF_JA, 0, 0, 0); /* a conditional jump reaches only 255 instructions */
    emit_tree(c, ranges, middle, variant);
    size_t left = c->n - jump - 2;
    c->op[jump + 1].k = (uint32_t)left;
    if (left <= 255) { /* the usual case needs no second instruction; all jumps inside are relative */
        c->op[jump].jt = (uint8_t)left;
        c->op[jump].jf = 0;
        memmove(&c->op[jump + 1], &c->op[jump + 2], left * sizeof c->op[0]);
        c->n--;
    }
    emit_tree(c, ranges + middle, n - middle, variant);
}

static void mark(enum leaf *leaves, uint32_t arch, const char *name, enum leaf leaf)
{
    int nr = seccomp_syscall_resolve_name_arch(arch, name);
    HOB_ASSERT(nr != __NR_SCMP_ERROR); /* a misspelt name */
    HOB_ASSERT(nr < NUMBERS_MAX);
    if (nr >= 0) /* negative: this architecture lacks it */
        leaves[nr] = leaf;
}

static size_t ranges_of(uint32_t arch, unsigned variant, struct range ranges[NUMBERS_MAX])
{
    static enum leaf leaves[NUMBERS_MAX];
    for (size_t i = 0; i < NUMBERS_MAX; i++)
        leaves[i] = LEAF_TOLD;
    for (size_t i = 0; i < HOB_COUNT(allowed); i++)
        mark(leaves, arch, allowed[i], LEAF_ALLOW);
    for (size_t i = 0; i < HOB_COUNT(quiet); i++)
        mark(leaves, arch, quiet[i], LEAF_QUIET);
    mark(leaves, arch, "clone", LEAF_CLONE);
    mark(leaves, arch, "socket", LEAF_SOCKET);
    mark(leaves, arch, "personality", LEAF_PERSONALITY);
    mark(leaves, arch, "ioctl", LEAF_IOCTL);
    mark(leaves, arch, "setrlimit", LEAF_SETRLIMIT);
    mark(leaves, arch, "prlimit64", LEAF_PRLIMIT);
    if (variant & EGRESS)
        mark(leaves, arch, "connect", LEAF_TOLD);
    for (size_t i = 0; (variant & LEARN) && i < HOB_COUNT(starting); i++)
        mark(leaves, arch, starting[i], LEAF_START);
    size_t n = 0;
    for (uint32_t nr = 0; nr < NUMBERS_MAX; nr++)
        if (nr == 0 || leaves[nr] != leaves[nr - 1])
            ranges[n++] = (struct range){nr, leaves[nr]};
    return n;
}

static void print_filter(const char *name, unsigned variant, uint32_t scmp_arch, uint32_t audit_arch)
{
    static struct code c;
    static struct range ranges[NUMBERS_MAX];
    c.n = 0;
    emit_load(&c, offsetof(struct seccomp_data, arch));
    emit(&c, BPF_JMP | BPF_JEQ | BPF_K, audit_arch, 1, 0);
    emit_return(&c, SECCOMP_RET_KILL_PROCESS);
    emit_load(&c, offsetof(struct seccomp_data, nr)); /* x32's numbers lie above: denied */
    emit_tree(&c, ranges, ranges_of(scmp_arch, variant, ranges), variant);
    printf("static const struct sock_filter %s[] = {\n", name);
    for (size_t i = 0; i < c.n; i++)
        printf("    {0x%02x, %u, %u, 0x%x},\n", c.op[i].code, c.op[i].jt, c.op[i].jf, c.op[i].k);
    printf("};\n");
}

static void print_arch(const char *macro, uint32_t scmp_arch, uint32_t audit_arch)
{
    printf("#ifdef %s\n", macro);
    static const char *const variants[] = {[PLAIN] = "seccomp_code",
                                           [EGRESS] = "seccomp_code_egress",
                                           [LEARN] = "seccomp_code_learn",
                                           [EGRESS | LEARN] = "seccomp_code_egress_learn"};
    static const char *const listed[] = {POLICY_ALLOWED, POLICY_JUDGED};
    for (unsigned i = 0; i < HOB_COUNT(variants); i++)
        print_filter(variants[i], i, scmp_arch, audit_arch);
    printf("enum { SECCOMP_ARCH = (int)0x%xu };\n", audit_arch);
    printf("static const short seccomp_quiet[] = {");
    for (size_t i = 0; i < HOB_COUNT(quiet); i++)
        printf("%d, ", seccomp_syscall_resolve_name_arch(scmp_arch, quiet[i]));
    printf("};\n");
    printf(
        "static const short seccomp_numbers[] = { /* by index of base/rules/syscalls.h; negative: none here */\n");
    for (size_t i = 0; i < HOB_COUNT(listed); i++) {
        int nr = seccomp_syscall_resolve_name_arch(scmp_arch, listed[i]);
        printf("    %d,\n", nr < 0 ? -1 : nr);
    }
    printf("};\n");
    printf("static const char *const seccomp_names[] = {\n");
    for (int nr = 0; nr < NUMBERS_MAX; nr++) {
        char *name = seccomp_syscall_resolve_num_arch(scmp_arch, nr);
        if (name)
            printf("    [%d] = \"%s\",\n", nr, name);
        free(name);
    }
    printf("};\n#endif\n");
}

int main(void)
{
    printf("/* Made by sandbox/seccomp_gen.c from sandbox/seccomp_policy.h. */\n");
    print_arch("__x86_64__", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64);
    print_arch("__aarch64__", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64);
    return 0;
}
