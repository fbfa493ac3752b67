/* Runs a program with one system call less: without NAME PROGRAM ARGUMENTS... (the call answers ENOSYS), or with all of
 * them while their names are written down: without --list FILE PROGRAM ARGUMENTS... Exits as the program does. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdmsg.h"

static void die(const char *what)
{
    perror(what);
    _exit(100);
}

static int load(const struct sock_filter *code, unsigned short n, unsigned flags)
{
    struct sock_fprog program = {n, (struct sock_filter *)(uintptr_t)code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die("no_new_privs");
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (fd < 0)
        die("seccomp");
    return fd;
}

static void without(int nr)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    (void)load(code, 4, 0);
}

/* All but sendmsg, by which the listener goes out, wait for the parent, who lets them pass. */
static void told(int out)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
    int listener = load(code, 4, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (hob_fdmsg_send(out, HOB_STR("l"), &listener, 1) != 1)
        _exit(100);
}

static int list(const char *path, int in, pid_t pid)
{
    static char seen[1024];
    union {
        char bytes[512];
        struct seccomp_notif call;
        struct seccomp_notif_resp answer;
    } u;
    char byte;
    int listener = -1, status = 0;
    size_t n = 0;
    struct pollfd ready = {.fd = in, .events = POLLIN};
    if (poll(&ready, 1, 10000) != 1 || hob_fdmsg_recv(in, &byte, 1, &listener, 1, &n) != 1 || n != 1)
        return 100;
    struct pollfd p = {.fd = listener, .events = POLLIN};
    while (poll(&p, 1, 20000) == 1 && (p.revents & POLLIN)) {
        memset(&u, 0, sizeof u);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &u) < 0)
            continue;
        uint64_t id = u.call.id;
        seen[u.call.data.nr & 1023] = 1;
        memset(&u, 0, sizeof u);
        u.answer.id = id;
        u.answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &u);
    }
    seen[SYS_sendmsg] = 1; /* never told: counts as used */
    FILE *f = fopen(path, "w");
    for (int nr = 0; f && nr < 1024; nr++) {
        char *name = seen[nr] ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr) : NULL;
        if (name)
            fprintf(f, "%s\n", name);
        free(name);
    }
    if (!f || fclose(f) != 0)
        return 100;
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 100;
    if (strcmp(argv[1], "--list") != 0) {
        int nr = seccomp_syscall_resolve_name(argv[1]);
        if (nr < 0)
            return 99; /* this architecture lacks it */
        without(nr);
        execvp(argv[2], argv + 2);
        die(argv[2]);
    }
    int pair[2];
    if (argc < 4 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return 100;
    pid_t pid = fork();
    if (pid == 0) {
        told(pair[1]);
        execvp(argv[3], argv + 3);
        die(argv[3]);
    }
    (void)close(pair[1]);
    return pid < 0 ? 100 : list(argv[2], pair[0], pid);
}
