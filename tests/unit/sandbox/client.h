/* What the launcher's tests share: a launcher of their own in a private folder, and its protocol. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdmsg.h"
#include "base/fs.h"
#include "base/launch.h"
#include "base/mem.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What comes at all comes within this, on a slow or emulated machine too: waiting longer costs only a test that fails. */
enum { PATIENCE_MS = 60000, WATCHDOG_S = 900 };

struct fixture {
    char dir[64], sock[96], code[96], runtimes[96], cgroup[32];
    const char *init, *cgroups;
    unsigned uid;    /* the launcher runs as */
    unsigned served; /* 0: the same */
    pid_t launcher;
    int lifeline; /* our end */
};

/* One instance and our ends of what it was given. */
struct instance {
    uint64_t id;
    int channel, out, err, pidfd;
};

static inline void put_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
    (void)close(fd);
}

static inline void copy_file(const char *from, const char *to, mode_t mode)
{
    struct hob_buf b;
    hob_buf_init(&b, 16 << 20);
    assert_int_equal(hob_read_file(from, &b, NULL), HOB_OK);
    assert_int_equal(hob_write_file(to, hob_buf_str(&b), mode, NULL), HOB_OK);
    assert_int_equal(chmod(to, mode), 0);
    hob_buf_done(&b);
}

static inline void make_dir(const char *path)
{
    assert_true(mkdir(path, 0755) == 0 && chmod(path, 0755) == 0);
}

static inline void fixture_make(struct fixture *f, const char *init)
{
    char path[256];
    *f = (struct fixture){.init = init, .cgroups = "auto", .lifeline = -1};
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/hob-launcher-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)chmod(f->dir, 0755);
    (void)snprintf(f->sock, sizeof f->sock, "%s/sock", f->dir);
    (void)snprintf(f->code, sizeof f->code, "%s/code", f->dir);
    (void)snprintf(f->runtimes, sizeof f->runtimes, "%s/runtimes", f->dir);
    (void)snprintf(f->cgroup, sizeof f->cgroup, "t%d-%u", getpid(), (unsigned)(hob_now_us() % 100000));
    make_dir(f->code);
    make_dir(f->runtimes);
    (void)snprintf(path, sizeof path, "%s/" DIGEST, f->code);
    make_dir(path);
    (void)snprintf(path, sizeof path, "%s/" DIGEST "/marker", f->code);
    put_file(path, "code", 0644);
    (void)snprintf(path, sizeof path, "%s/native", f->runtimes);
    make_dir(path);
    (void)snprintf(path, sizeof path, "%s/native/probe", f->runtimes);
    copy_file(BUILD_DIR "/tests/sandbox/probe", path, 0755);
    (void)snprintf(path, sizeof path, "%s/native/rootfs", f->runtimes);
    put_file(path, "# nothing but the base\n/usr/bin/env\n/no/such/thing\n/usr/../../etc/shadow\n", 0644);
}

/* Starts the launcher and waits for its line. */
static inline void fixture_start(struct fixture *f)
{
    int line[2], life[2];
    char text[16] = "", uid[16], fd[16];
    (void)snprintf(uid, sizeof uid, "%u", f->served ? f->served : f->uid);
    assert_int_equal(pipe2(line, O_CLOEXEC), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    f->launcher = fork();
    if (f->launcher == 0) {
        (void)dup2(line[1], 1);
        int keep = fcntl(life[0], F_DUPFD, 100);
        (void)snprintf(fd, sizeof fd, "%d", keep);
        if (f->uid && (setgid(f->uid) || setuid(f->uid)))
            _exit(126);
        (void)execl(BUILD_DIR "/bin/hob-launcher", "hob-launcher", "--socket", f->sock, "--uid", uid,
                    "--code", f->code, "--runtimes", f->runtimes, "--init", f->init, "--unpacker",
                    BUILD_DIR "/tests/sandbox/probe", "--lifeline", fd, "--cgroup", f->cgroup, "--cgroups",
                    f->cgroups, (char *)NULL);
        _exit(127);
    }
    (void)close(line[1]);
    (void)close(life[0]);
    f->lifeline = life[1];
    ssize_t n = read(line[0], text, sizeof text - 1);
    (void)close(line[0]);
    assert_true(n > 0);
    assert_string_equal(text, "ready\n");
}

/* Ends the lifeline and returns the launcher's exit status. */
static inline int fixture_stop(struct fixture *f)
{
    int status = -1;
    (void)close(f->lifeline);
    assert_int_equal(waitpid(f->launcher, &status, 0), f->launcher);
    return status;
}

static inline void fixture_remove(struct fixture *f)
{
    assert_int_equal(hob_remove_tree(f->dir, NULL), HOB_OK);
}

/* How many cgroup folders of this launcher there are, over all hierarchies, its base folders included. */
static inline int cgroups_left(const struct fixture *f)
{
    char command[256], text[32] = "";
    int out[2], status;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    (void)snprintf(command, sizeof command, "find /sys/fs/cgroup -path '*hob-%s*' -type d | wc -l",
                   f->cgroup);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(out[1], 1);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    assert_true(read(out[0], text, sizeof text - 1) > 0);
    (void)close(out[0]);
    (void)waitpid(pid, &status, 0);
    return (int)strtol(text, NULL, 10);
}

static inline int dial(const struct fixture *f)
{
    struct hob_err err = {0};
    int fd = hob_seqpacket_connect(f->sock, &err);
    if (fd < 0)
        print_error("%s\n", err.msg);
    assert_true(fd >= 0);
    return fd;
}

static inline struct hob_launch_request plain_request(uint64_t id)
{
    return (struct hob_launch_request){.magic = HOB_LAUNCH_MAGIC,
                                       .op = HOB_LAUNCH_LAUNCH,
                                       .id = id,
                                       .memory_mb = 64,
                                       .cpu_percent = 100,
                                       .cpu_weight = 100,
                                       .pids_max = 32,
                                       .nofile_max = 256,
                                       .tmp_inodes = 100,
                                       .tmp_bytes = 1 << 20,
                                       .fsize_bytes = 1 << 30,
                                       .runtime = "native",
                                       .digest = DIGEST,
                                       .argc = 2,
                                       .envc = 1};
}

static inline void send_all(int sock, const void *msg, size_t n, const int *fds, size_t fds_n)
{
    for (int r = 0; r == 0;) {
        r = hob_fdmsg_send(sock, hob_str_n(msg, n), fds, fds_n);
        assert_true(r >= 0);
        if (r == 0) {
            struct pollfd p = {.fd = sock, .events = POLLOUT};
            (void)poll(&p, 1, 1000);
        }
    }
}

/* The next reply, within a minute; *ret_fd the descriptor it brought, or -1. */
/* DENIED and USED come between the answers: their names are kept here, one after another. */
static char denied_names[4096], used_names[8192];
static unsigned denied_n;
static inline struct hob_launch_reply next_answer(int sock, int *ret_fd)
{
    struct hob_launch_reply reply = {0};
    struct pollfd p = {.fd = sock, .events = POLLIN};
    int fds[3] = {-1, -1, -1};
    size_t fds_n = 0;
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    ssize_t n = hob_fdmsg_recv(sock, &reply, sizeof reply, fds, HOB_COUNT(fds), &fds_n);
    for (size_t i = 1; i < fds_n; i++) /* with egress: nobody shall answer */
        (void)close(fds[i]);
    assert_int_equal(n, sizeof reply);
    assert_int_equal(reply.magic, HOB_LAUNCH_MAGIC);
    if (ret_fd)
        *ret_fd = fds[0];
    else if (fds[0] >= 0)
        (void)close(fds[0]);
    return reply;
}

/* Sends a LAUNCH with `strings` (argc + envc of them, as in *head). */
static inline struct hob_launch_reply next_reply(int sock, int *ret_fd)
{
    for (;;) {
        struct hob_launch_reply reply = next_answer(sock, ret_fd);
        if (reply.answer != HOB_LAUNCH_DENIED && reply.answer != HOB_LAUNCH_USED)
            return reply;
        if (reply.answer == HOB_LAUNCH_USED) {
            size_t used_n = strlen(used_names);
            snprintf(used_names + used_n, sizeof used_names - used_n, "%s\n", reply.text);
            continue;
        }
        denied_n++;
        size_t n = strlen(denied_names);
        if (reply.nth == 1)
            snprintf(denied_names + n, sizeof denied_names - n, "%s%s\n", reply.text,
                     reply.is_last ? " last" : "");
    }
}

static inline struct instance launch_send(int sock, struct hob_launch_request *head,
                                          const char *const *strings)
{
    static char message[HOB_FDMSG_BYTES_MAX];
    int channel[2], out[2], err[2];
    size_t n = sizeof *head;
    for (uint32_t i = 0; i < head->argc + head->envc; i++) {
        size_t len = strlen(strings[i]) + 1;
        memcpy(message + n, strings[i], len);
        n += len;
    }
    head->strings_n = (uint32_t)(n - sizeof *head);
    memcpy(message, head, sizeof *head);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    int fds[3] = {channel[1], out[1], err[1]};
    send_all(sock, message, n, fds, 3);
    for (size_t i = 0; i < 3; i++)
        (void)close(fds[i]);
    return (struct instance){
        .id = head->id, .channel = channel[0], .out = out[0], .err = err[0], .pidfd = -1};
}

/* LAUNCH of "/hob/runtime/probe WORD..." (words ended by NULL), which must succeed. */
static inline struct instance launch_probe(int sock, struct hob_launch_request head, const char *const *words)
{
    const char *strings[16] = {"/hob/runtime/probe"};
    head.argc = 1;
    for (; *words; words++)
        strings[head.argc++] = *words;
    strings[head.argc] = "GREETING=hello";
    head.envc = 1;
    struct instance in = launch_send(sock, &head, strings);
    struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
    if (reply.answer != HOB_LAUNCH_LAUNCHED)
        print_error("%s\n", reply.text);
    assert_int_equal(reply.answer, HOB_LAUNCH_LAUNCHED);
    assert_int_equal(reply.id, head.id);
    assert_true(in.pidfd >= 0);
    return in;
}

static inline void instance_done(struct instance *in)
{
    hob_close_p(&in->channel);
    hob_close_p(&in->out);
    hob_close_p(&in->err);
    hob_close_p(&in->pidfd);
}

static inline struct hob_launch_reply ask(int sock, enum hob_launch_op op, uint64_t id, uint32_t grace_ms)
{
    struct hob_launch_request head = {.magic = HOB_LAUNCH_MAGIC, .op = op, .id = id, .grace_ms = grace_ms};
    send_all(sock, &head, sizeof head, NULL, 0);
    return next_reply(sock, NULL);
}

static inline size_t read_all(int fd, char *text, size_t text_bytes)
{
    size_t n = 0;
    for (ssize_t got; (got = read(fd, text + n, text_bytes - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    return n;
}

/* Runs the probe to its end: what it printed, and the EXITED. */
static inline struct hob_launch_reply run_probe(int sock, struct hob_launch_request head,
                                                const char *const *words, char *text, size_t text_bytes)
{
    struct instance in = launch_probe(sock, head, words);
    (void)read_all(in.out, text, text_bytes);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_int_equal(reply.id, head.id);
    instance_done(&in);
    return reply;
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line))
        print_error("no '%s' in:\n%s\n", line, text);
    assert_non_null(strstr(text, line));
}
