#include "sandbox/seccomp.h"

#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "seccomp_code.h" /* made at build time */

#include "base/banned.h"

enum { WORDS = 16, NUMBERS_MAX = 32 * WORDS, PREFIX_MAX = 4 + 6 * WORDS + 1 };

#define PROGRAM(code)                                                                                        \
    {                                                                                                        \
        .len = HOB_COUNT(code), .filter = (struct sock_filter *)(uintptr_t)(code)                            \
    }

static struct sock_fprog program_of_list(const struct seccomp_kind *k)
{
    static const struct sock_fprog programs[2][2] = {
        {PROGRAM(seccomp_code), PROGRAM(seccomp_code_egress)},
        {PROGRAM(seccomp_code_learn), PROGRAM(seccomp_code_egress_learn)}};
    return programs[k->is_learning][k->is_egress];
}

static void bits_of(const struct hob_syscalls *calls, uint32_t bits[WORDS])
{
    for (size_t i = 0; i < HOB_COUNT(seccomp_quiet); i++)
        if (seccomp_quiet[i] >= 0 && seccomp_quiet[i] < NUMBERS_MAX)
            bits[seccomp_quiet[i] / 32] |= 1u << seccomp_quiet[i] % 32;
    for (size_t i = 0; i < HOB_COUNT(seccomp_numbers); i++) {
        int nr = seccomp_numbers[i];
        if (nr >= 0 && nr < NUMBERS_MAX && hob_syscalls_has(calls, i))
            bits[nr / 32] |= 1u << nr % 32;
    }
}

/* A foreign architecture and the habits of libraries are left to the list. Else word by word: a number whose bit is set goes on to the list, all others
 * are told. */
static unsigned short prefix_write(const struct hob_syscalls *calls, struct sock_filter *op)
{
    uint32_t bits[WORDS] = {0};
    unsigned short n = 0, end = PREFIX_MAX;
    bits_of(calls, bits);
    op[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    op[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)SECCOMP_ARCH, 1, 0);
    op[n] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(end - n - 1));
    n++;
    op[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (uint32_t w = 0; w < WORDS; w++) {
        op[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 32 * (w + 1), 5, 0);
        op[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 31);
        op[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
        op[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, bits[w]);
        op[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0);
        op[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, (uint8_t)(end - n - 1),
                                             (uint8_t)(end - n - 2));
        n++;
    }
    op[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    HOB_ASSERT(n == end);
    return n;
}

struct sock_fprog seccomp_program(const struct seccomp_kind *k)
{
    static struct sock_filter built[PREFIX_MAX + 1024];
    _Static_assert(HOB_COUNT(seccomp_code_egress) <= 1024 && HOB_COUNT(seccomp_code) <= 1024,
                   "a profile and the list fit");
    struct sock_fprog list = program_of_list(k);
    if (!k->has_profile)
        return list;
    unsigned short n = prefix_write(&k->calls, built);
    memcpy(built + n, list.filter, list.len * sizeof built[0]);
    return (struct sock_fprog){.len = (unsigned short)(n + list.len), .filter = built};
}

int seccomp_restrict(const struct seccomp_kind *k, const struct sock_fprog *program, int *ret_listener)
{
    bool is_needed = k->is_egress || k->is_learning;
    unsigned how = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (ret_listener) {
        /* Once taken up, such a call is not broken off by signals: its answer may have replaced a descriptor already,
         * a program that gets many signals would never come to its end, and what is denied is ENOSYS, never EINTR. */
        *ret_listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                     how | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);
        if (*ret_listener < 0) /* before Linux 5.19 */
            *ret_listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, how, program);
        if (*ret_listener >= 0 || is_needed)
            return *ret_listener < 0 ? -1 : 0;
    }
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program);
}

const char *seccomp_name(int number)
{
    return number >= 0 && (size_t)number < HOB_COUNT(seccomp_names) ? seccomp_names[number] : NULL;
}

int seccomp_index(int number)
{
    for (size_t i = 0; i < HOB_COUNT(seccomp_numbers); i++)
        if (seccomp_numbers[i] == number && number >= 0)
            return (int)i;
    return -1;
}

unsigned long long seccomp_hash(const struct sock_fprog *program)
{
    uint64_t hash = 14695981039346656037ULL;
    const unsigned char *at = (const void *)program->filter;
    for (size_t i = 0; i < program->len * sizeof program->filter[0]; i++)
        hash = (hash ^ at[i]) * 1099511628211ULL;
    return hash;
}
