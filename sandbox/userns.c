#include "sandbox/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "sandbox/launcher.h"

#include "base/banned.h"

enum { RANGE = LAUNCHER_UID_STRIDE * LAUNCHER_UID_GENERATIONS_ROOTLESS };

/* The first range of at least RANGE ids that `file` ("name-or-uid:first:count") gives us; 0: none. */
static uint64_t range_find(const char *file)
{
    struct hob_buf hob_auto_buf text = {0};
    hob_buf_init(&text, 1 << 20);
    char number[16];
    (void)snprintf(number, sizeof number, "%u", getuid());
    struct passwd entry, *me = NULL;
    char names[1024];
    (void)getpwuid_r(getuid(), &entry, names, sizeof names, &me);
    if (hob_read_file(file, &text, NULL) != HOB_OK)
        return 0;
    for (struct hob_str rest = hob_buf_str(&text); rest.at;) {
        struct hob_str line = hob_str_cut(rest, '\n', &rest), tail = {0}, count = {0};
        struct hob_str who = hob_str_cut(line, ':', &tail), first = hob_str_cut(tail, ':', &count);
        uint64_t from = 0, n = 0;
        if ((hob_str_is(who, number) || (me && hob_str_is(who, me->pw_name))) && hob_str_u64(first, &from) &&
            hob_str_u64(count, &n) && n >= RANGE)
            return from;
    }
    return 0;
}

/* newuidmap PID own own 1 BASE first RANGE */
static bool map_range(const char *program, pid_t pid, unsigned own, uint64_t first)
{
    char text[5][24];
    (void)snprintf(text[0], sizeof text[0], "%d", (int)pid);
    (void)snprintf(text[1], sizeof text[1], "%u", own);
    (void)snprintf(text[2], sizeof text[2], "%d", LAUNCHER_UID_BASE);
    (void)snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)first);
    (void)snprintf(text[4], sizeof text[4], "%d", RANGE);
    int status = -1;
    pid_t helper = first ? fork() : -1;
    if (helper == 0) {
        (void)execl(program, program, text[0], text[1], text[1], "1", text[2], text[3], text[4],
                    (char *)NULL);
        _exit(127);
    }
    return helper > 0 && waitpid(helper, &status, 0) == helper && status == 0;
}

static bool write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    hob_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool map_own(pid_t pid)
{
    char uids[48], gids[48];
    (void)snprintf(uids, sizeof uids, "%u %u 1", getuid(), getuid());
    (void)snprintf(gids, sizeof gids, "%u %u 1", getgid(), getgid());
    return write_proc(pid, "setgroups", "deny") && write_proc(pid, "uid_map", uids) &&
           write_proc(pid, "gid_map", gids);
}

/* 'r': mapped with a range, 'o': only our own ids, 'f': failed */
static char map(pid_t pid)
{
    uint64_t uids = range_find("/etc/subuid"), gids = range_find("/etc/subgid");
    if (uids && gids && access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0)
        return map_range("/usr/bin/newuidmap", pid, getuid(), uids) &&
                       map_range("/usr/bin/newgidmap", pid, getgid(), gids)
                   ? 'r'
                   : 'f';
    return map_own(pid) ? 'o' : 'f';
}

pid_t userns_fork(bool *ret_has_range, struct hob_err *err)
{
    int gate[2];
    char how = 'f';
    if (pipe2(gate, O_CLOEXEC) < 0)
        return (void)hob_fail_errno(err, errno, "pipe"), -1;
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        (void)close(gate[1]);
        if (read(gate[0], &how, 1) != 1 || how == 'f' || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
            _exit(1);
        (void)close(gate[0]);
        *ret_has_range = how == 'r';
        return 0;
    }
    if (pid < 0)
        (void)hob_fail_errno(err, errno, "a user namespace: this machine forbids it to uid %u", getuid());
    else if ((how = map(pid)) == 'f')
        (void)hob_fail(err, HOB_E_UNAVAILABLE,
                       "mapping ids into the user namespace: see subuid(5), newuidmap(1)");
    bool is_told = pid > 0 && write(gate[1], &how, 1) == 1;
    (void)close(gate[0]);
    (void)close(gate[1]);
    if (is_told && how != 'f')
        return pid;
    if (pid > 0)
        (void)waitpid(pid, NULL, 0); /* it leaves by itself */
    return -1;
}
