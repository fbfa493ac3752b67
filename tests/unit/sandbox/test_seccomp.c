/* The system call filter against a twin that libseccomp makes from the same table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "sandbox/seccomp.h"
#include "sandbox/seccomp_policy.h"

#ifdef __x86_64__
#define AUDIT_ARCH_OWN AUDIT_ARCH_X86_64
#else
#define AUDIT_ARCH_OWN AUDIT_ARCH_AARCH64
#endif

static struct sock_fprog ours, twin;

/* Classic BPF, as much of it as filters use: seccomp(2), linux/filter.h. */
static uint32_t run(const struct sock_fprog *p, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0;
    for (size_t pc = 0; pc < p->len; pc++) {
        const struct sock_filter *op = &p->filter[pc];
        uint32_t k = op->k;
        bool is_met = false;
        switch (op->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(k % 4 == 0 && k + 4 <= sizeof *data);
            memcpy(&a, (const char *)data + k, 4);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= k;
            continue;
        case BPF_MISC | BPF_TAX:
            x = a;
            continue;
        case BPF_LD | BPF_IMM:
            a = k;
            continue;
        case BPF_ALU | BPF_RSH | BPF_X:
            assert_true(x < 32);
            a >>= x;
            continue;
        case BPF_RET | BPF_K:
            return k;
        case BPF_JMP | BPF_JA:
            pc += k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            is_met = a == k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            is_met = a >= k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            is_met = a > k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            is_met = (a & k) != 0;
            break;
        default:
            fail_msg("unknown instruction 0x%x", op->code);
        }
        pc += is_met ? op->jt : op->jf;
    }
    fail_msg("fell off the end");
    return 0;
}

static const char *const allowed[] = {POLICY_ALLOWED}, *const quiet[] = {POLICY_QUIET};
static const uint32_t families[] = POLICY_SOCKET_FAMILIES, protocols[] = POLICY_SOCKET_PROTOCOLS;

/* Aligned blocks, since libseccomp compares an argument once a rule. */
static void allow_ioctls(scmp_filter_ctx c, uint64_t first, uint64_t last)
{
    while (first <= last) {
        uint64_t size = first ? first & -first : 1ULL << 31;
        while (first + size - 1 > last)
            size /= 2;
        assert_int_equal(
            seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1_32(SCMP_CMP_MASKED_EQ, (uint32_t) ~(size - 1), (uint32_t)first)),
            0);
        first += size;
    }
}

static void twin_rules(scmp_filter_ctx c)
{
    const uint32_t ok = SCMP_ACT_ALLOW;
    for (size_t i = 0; i < HOB_COUNT(allowed); i++) {
        int nr = seccomp_syscall_resolve_name(allowed[i]);
        if (nr >= 0)
            assert_int_equal(seccomp_rule_add(c, ok, nr, 0), 0);
    }
    for (size_t i = 0; i < HOB_COUNT(quiet); i++)
        assert_int_equal(
            seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name(quiet[i]), 0), 0);
    assert_int_equal(seccomp_rule_add(c, ok, SCMP_SYS(clone), 1,
                                      SCMP_A0_32(SCMP_CMP_MASKED_EQ, POLICY_CLONE_FORBIDDEN, 0)),
                     0);
    for (size_t f = 0; f < HOB_COUNT(families); f++)
        for (size_t p = 0; p < HOB_COUNT(protocols); p++)
            assert_int_equal(seccomp_rule_add(c, ok, SCMP_SYS(socket), 2,
                                              SCMP_A0_32(SCMP_CMP_EQ, families[f]),
                                              SCMP_A2_32(SCMP_CMP_EQ, protocols[p])),
                             0);
    assert_int_equal(seccomp_rule_add(c, ok, SCMP_SYS(personality), 1, SCMP_A0_32(SCMP_CMP_EQ, 0)), 0);
    assert_int_equal(seccomp_rule_add(c, ok, SCMP_SYS(personality), 1, SCMP_A0_32(SCMP_CMP_EQ, 0xffffffffu)),
                     0);
    assert_int_equal(
        seccomp_rule_add(c, ok, SCMP_SYS(setrlimit), 1, SCMP_A0_32(SCMP_CMP_NE, POLICY_RLIMIT_FIXED)), 0);
    assert_int_equal(
        seccomp_rule_add(c, ok, SCMP_SYS(prlimit64), 1, SCMP_A1_32(SCMP_CMP_NE, POLICY_RLIMIT_FIXED)), 0);
    assert_int_equal(seccomp_rule_add(c, ok, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)), 0);
    allow_ioctls(c, 0, 0x5411);
    allow_ioctls(c, 0x5413, 0x541b);
    allow_ioctls(c, 0x541d, 0x88ff);
    allow_ioctls(c, 0x8c00, UINT32_MAX);
}

static int setup(void **state)
{
    (void)state;
    static struct sock_filter code[4096];
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_NOTIFY);
    assert_non_null(c);
    assert_int_equal(seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), 0);
    (void)seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    twin_rules(c);
    int fd = memfd_create("twin", MFD_CLOEXEC);
    assert_int_equal(seccomp_export_bpf(c, fd), 0);
    ssize_t n = pread(fd, code, sizeof code, 0);
    assert_true(n > 0 && (size_t)n < sizeof code);
    (void)close(fd);
    seccomp_release(c);
    twin = (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof code[0]), .filter = code};
    ours = seccomp_program(&(struct seccomp_kind){0});
    return 0;
}

/* The same verdict; where arguments are judged ours gives an errno of its own. */
static void assert_same(const struct seccomp_data *d)
{
    uint32_t mine = run(&ours, d), its = run(&twin, d);
    bool is_refusal_by_argument = (mine & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
                                  (d->nr == SYS_clone || d->nr == SYS_socket || d->nr == SYS_personality ||
                                   d->nr == SYS_ioctl || d->nr == SYS_setrlimit || d->nr == SYS_prlimit64);
    if (is_refusal_by_argument)
        its = its == SECCOMP_RET_USER_NOTIF ? mine : its;
    if (mine != its)
        print_error("arch 0x%x nr %d args 0x%llx 0x%llx 0x%llx: ours 0x%x, libseccomp's 0x%x\n", d->arch,
                    d->nr, (unsigned long long)d->args[0], (unsigned long long)d->args[1],
                    (unsigned long long)d->args[2], mine, its);
    assert_int_equal(mine, its);
}

static void every_number_is_judged_as_libseccomp_judges_it(void **state)
{
    (void)state;
    for (int nr = 0; nr < 2048; nr++)
        assert_same(&(struct seccomp_data){.nr = nr, .arch = AUDIT_ARCH_OWN});
}

static void with_egress_only_connect_is_judged_otherwise(void **state)
{
    (void)state;
    struct sock_fprog egress = seccomp_program(&(struct seccomp_kind){.is_egress = true});
    for (int nr = 0; nr < 2048; nr++)
        for (unsigned command = 0x8800; command <= 0x8a00; command++) {
            struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_OWN, .args = {0, command}};
            uint32_t plain = run(&ours, &d), want = plain;
            if (nr == SYS_connect)
                want = SECCOMP_RET_USER_NOTIF;
            assert_int_equal(run(&egress, &d), want);
        }
}

/* A random profile: what it names is judged as ever, whatever the arguments; all else is told. */
static void a_profile_only_takes_away(void **state)
{
    (void)state;
    unsigned seed = 11;
    for (int round = 0; round < 40; round++) {
        struct seccomp_kind k = {.has_profile = true, .is_egress = round % 2};
        struct sock_fprog list = seccomp_program(&(struct seccomp_kind){.is_egress = k.is_egress});
        for (size_t i = 0; round > 1 && i < hob_syscalls_count(); i++)
            if (rand_r(&seed) % 4 < round % 5)
                hob_syscalls_add(&k.calls, i);
        struct sock_fprog profile = seccomp_program(&k);
        for (int n = 0; n < 20000; n++) {
            int nr = n < 2048 ? n : rand_r(&seed) % 512 | (n % 64 == 0 ? 0x40000000 : 0);
            struct seccomp_data d = {.nr = nr, .arch = n % 100 == 99 ? AUDIT_ARCH_I386 : AUDIT_ARCH_OWN};
            for (size_t a = 0; a < 6; a++)
                d.args[a] = (uint32_t)rand_r(&seed) >> (rand_r(&seed) % 31);
            int index = seccomp_index(nr);
            bool is_quiet = run(&list, &d) == (SECCOMP_RET_ERRNO | ENOSYS);
            bool is_named = d.arch != AUDIT_ARCH_OWN || is_quiet ||
                            (index >= 0 && hob_syscalls_has(&k.calls, (size_t)index));
            assert_int_equal(run(&profile, &d), is_named ? run(&list, &d) : SECCOMP_RET_USER_NOTIF);
        }
    }
}

/* What the list allows waits for the launcher, but for what a start makes before the launcher listens. */
static void learning_lets_pass_nothing_that_is_not_allowed(void **state)
{
    (void)state;
    unsigned seed = 13;
    struct sock_fprog learning = seccomp_program(&(struct seccomp_kind){.is_learning = true});
    for (int n = 0; n < 500000; n++) {
        struct seccomp_data d = {.nr = n < 2048 ? n : rand_r(&seed) % 512, .arch = AUDIT_ARCH_OWN};
        for (size_t a = 0; a < 6; a++)
            d.args[a] = (uint32_t)rand_r(&seed) >> (rand_r(&seed) % 31);
        uint32_t plain = run(&ours, &d);
        bool is_start = d.nr == SYS_sendmsg || d.nr == SYS_execve || d.nr == SYS_exit_group;
        uint32_t want = plain == SECCOMP_RET_ALLOW && !is_start ? SECCOMP_RET_USER_NOTIF : plain;
        assert_int_equal(run(&learning, &d), want);
        assert_true((plain == SECCOMP_RET_ALLOW) <= (seccomp_index(d.nr) >= 0));
    }
}

static void sampled_arguments_are_judged_as_libseccomp_judges_them(void **state)
{
    (void)state;
    static const int judged[] = {SYS_clone, SYS_socket,    SYS_personality,
                                 SYS_ioctl, SYS_setrlimit, SYS_prlimit64};
    static const uint64_t values[] = {0,       1,          2,        6,      10,     16,         17,
                                      40,      255,        262,      0x5411, 0x5412, 0x5413,     0x541b,
                                      0x541c,  0x541d,     0x80,     0x100,  0x11,   0x10000000, 0x02000000,
                                      0x20000, 0x40000000, 0x3d0f00, 0xffff, 0x7e02, 0x01200011, 0xffffffff,
                                      0x40000, 0x80000000, 0x8003,   3,      4};
    const size_t n = HOB_COUNT(values);
    for (size_t i = 0; i < HOB_COUNT(judged); i++)
        for (size_t v = 0; v < n * n * n; v++)
            assert_same(
                &(struct seccomp_data){.nr = judged[i],
                                       .arch = AUDIT_ARCH_OWN,
                                       .args = {values[v % n], values[v / n % n], values[v / n / n]}});
    unsigned seed = 7;
    for (int i = 0; i < 500000; i++) {
        struct seccomp_data d = {.nr = rand_r(&seed) % 512, .arch = AUDIT_ARCH_OWN};
        for (size_t a = 0; a < 6; a++)
            d.args[a] =
                (uint32_t)rand_r(&seed) * 2U >> (rand_r(&seed) % 31); /* libseccomp compares all 64 bits */
        assert_same(&d);
    }
}

static void foreign_architectures_and_x32_never_pass(void **state)
{
    (void)state;
    static const uint32_t foreign[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_PPC64LE, 0, 0xffffffff};
    for (size_t i = 0; i < HOB_COUNT(foreign); i++)
        for (int nr = 0; nr < 600; nr++)
            assert_int_equal(run(&ours, &(struct seccomp_data){.nr = nr, .arch = foreign[i]}),
                             SECCOMP_RET_KILL_PROCESS);
    for (int nr = 0; nr < 600; nr++)
        assert_int_equal(run(&ours, &(struct seccomp_data){.nr = nr | 0x40000000, .arch = AUDIT_ARCH_OWN}),
                         SECCOMP_RET_USER_NOTIF);
    assert_int_equal(run(&ours, &(struct seccomp_data){.nr = -1, .arch = AUDIT_ARCH_OWN}),
                     SECCOMP_RET_USER_NOTIF);
}

static uint32_t errno_of(int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return run(&ours, &(struct seccomp_data){.nr = nr, .arch = AUDIT_ARCH_OWN, .args = {a0, a1, a2}});
}

static void refused_arguments_have_the_errno_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(errno_of(SYS_clone, 0x10000000, 0, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_clone, 0x00000080, 0, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_clone, 0x003d0f00, 0, 0), SECCOMP_RET_ALLOW); /* a thread */
    assert_int_equal(errno_of(SYS_socket, 16, 3, 0), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    assert_int_equal(errno_of(SYS_socket, 2, 1, 262), SECCOMP_RET_ERRNO | EPROTONOSUPPORT);
    assert_int_equal(errno_of(SYS_socket, 2, 1, 6), SECCOMP_RET_ALLOW);
    assert_int_equal(errno_of(SYS_personality, 0x40000, 0, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_ioctl, 0, 0x5412, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_ioctl, 0, 0xffffffff00005412, 0),
                     SECCOMP_RET_ERRNO | EPERM); /* upper half ignored */
    assert_int_equal(errno_of(SYS_ioctl, 0, 0x5413, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(errno_of(SYS_ioctl, 3, 0x88ff, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(errno_of(SYS_ioctl, 3, 0x8912, 0), SECCOMP_RET_ERRNO | EPERM); /* SIOCGIFCONF */
    assert_int_equal(errno_of(SYS_ioctl, 3, 0xffffffff00008900, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_ioctl, 3, 0x8bff, 0), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_ioctl, 3, 0x8c00, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(errno_of(SYS_setrlimit, 4, 1, 0), SECCOMP_RET_ERRNO | EPERM); /* RLIMIT_CORE stays */
    assert_int_equal(errno_of(SYS_setrlimit, 7, 1, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(errno_of(SYS_prlimit64, 0, 4, 1), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_prlimit64, 0, 4, 1ULL << 40), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_prlimit64, 0, 4, 0), SECCOMP_RET_ALLOW); /* reading it */
    assert_int_equal(errno_of(SYS_prlimit64, 0, 0xffffffff00000004, 1), SECCOMP_RET_ERRNO | EPERM);
    assert_int_equal(errno_of(SYS_clone3, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

/* As in Firecracker's tests: the kernel itself is asked about every number that the filter refuses. */
static void the_kernel_refuses_what_the_table_refuses(void **state)
{
    (void)state;
    int status, refused = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            seccomp_restrict(&(struct seccomp_kind){0}, &ours, NULL) < 0)
            _exit(100);
        for (int nr = 0; nr < 512; nr++) {
            /* x86's uretprobe and uprobe pass every filter and end in SIGILL outside of their trampolines */
            if (nr == 335 || nr == 336)
                continue;
            uint32_t verdict = run(&ours, &(struct seccomp_data){.nr = nr, .arch = AUDIT_ARCH_OWN});
            if (verdict != SECCOMP_RET_USER_NOTIF && verdict != (SECCOMP_RET_ERRNO | ENOSYS))
                continue;
            if (syscall(nr, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
                _exit(101);
            refused++;
        }
        _exit(refused > 150 ? 0 : 102);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

enum { STATUS_BYTES = 4096, HELPER_FAILED = 100 };
static _Atomic int listener_fd = -1, caller_tid;

static void on_signal(int signal)
{
    (void)signal;
}

/* Made by a thread of its own: a filter holds for the thread that loads it. Returns the errno of a call that is denied. */
static void *make_a_denied_call(void *arg)
{
    int listener;
    (void)arg;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        seccomp_restrict(&(struct seccomp_kind){0}, &ours, &listener) < 0 || listener < 0)
        _exit(HELPER_FAILED);
    caller_tid = (int)syscall(SYS_gettid);
    listener_fd = listener;
    long rc = syscall(SYS_acct, 0);
    return (void *)(intptr_t)(rc < 0 ? errno : 0);
}

/* In state D only its end would wake it. */
static bool sleeps_through_signals(int tid)
{
    char path[64], text[STATUS_BYTES];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, "State:\tD") != NULL;
}

/* The signal is there before the answer is. 0 when the call was not broken off by it. */
static int answer_behind_a_signal(pthread_t caller)
{
    struct seccomp_notif call = {0};
    struct seccomp_notif_resp answer = {.error = -ENOSYS};
    while (listener_fd < 0)
        (void)usleep(1000);
    if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
        return 101;
    answer.id = call.id;
    if (pthread_kill(caller, SIGUSR1) != 0)
        return 102;
    while (!sleeps_through_signals(caller_tid))
        if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) < 0)
            return 103; /* delivered: the call is over */
    return ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 ? 104 : 0;
}

/* Python's adapter has a timer without SA_RESTART. Seen to fail without WAIT_KILLABLE_RECV. */
static void a_denied_call_is_ENOSYS_even_when_a_signal_comes_before_the_answer(void **state)
{
    (void)state;
    int status;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | (1u << 5), NULL) <
            0 &&
        errno == EINVAL) {
        print_message("[  SKIPPED ] SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19\n");
        skip();
    }
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t caller;
        void *error;
        struct sigaction action = {.sa_handler = on_signal};
        if (sigaction(SIGUSR1, &action, NULL) < 0 ||
            pthread_create(&caller, NULL, make_a_denied_call, NULL) != 0)
            _exit(HELPER_FAILED);
        int code = answer_behind_a_signal(caller);
        if (code == 0 && (pthread_join(caller, &error) != 0 || (intptr_t)error != ENOSYS))
            code = 105;
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    (void)alarm(600);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_judged_as_libseccomp_judges_it),
        cmocka_unit_test(with_egress_only_connect_is_judged_otherwise),
        cmocka_unit_test(a_profile_only_takes_away),
        cmocka_unit_test(learning_lets_pass_nothing_that_is_not_allowed),
        cmocka_unit_test(sampled_arguments_are_judged_as_libseccomp_judges_them),
        cmocka_unit_test(foreign_architectures_and_x32_never_pass),
        cmocka_unit_test(refused_arguments_have_the_errno_of_the_table),
        cmocka_unit_test(the_kernel_refuses_what_the_table_refuses),
        cmocka_unit_test(a_denied_call_is_ENOSYS_even_when_a_signal_comes_before_the_answer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
