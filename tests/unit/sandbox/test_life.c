/* The launcher itself: starting, dying, ending, and leaving nothing behind. */
#include <dirent.h>
#include <sys/resource.h>

#include "client.h"

static char text[65536];

/* The worker is the guard's only child. */
static pid_t worker_of(pid_t guard)
{
    char path[64], line[32] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", guard, guard);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (read(fd, line, sizeof line - 1) < 0)
        line[0] = '\0';
    (void)close(fd);
    return (pid_t)strtol(line, NULL, 10);
}

static int open_files(pid_t pid)
{
    char path[64];
    int n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

static int lines(const char *path)
{
    struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    int n = 0;
    assert_int_equal(hob_read_file(path, &b, NULL), HOB_OK);
    for (size_t i = 0; i < b.n; i++)
        n += hob_buf_data(&b)[i] == '\n';
    hob_buf_done(&b);
    return n;
}

/* user + system time of the launcher's worker, its sandboxes not counted, in us */
static uint64_t cpu_us(pid_t pid)
{
    char path[64], stat[1024] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, stat, sizeof stat - 1) > 0);
    (void)close(fd);
    return strtoull(stat, NULL, 10) / 1000;
}

static bool wait_gone(pid_t pid, unsigned ms)
{
    for (uint64_t end = hob_now_ms() + ms; hob_now_ms() < end; (void)usleep(5000))
        if (kill(pid, 0) < 0 && errno == ESRCH)
            return true;
    return false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* `n` launches, `pause_ms` apart, each stopped at once; prints what they took. */
static void cycle(int sock, pid_t worker, size_t n, unsigned pause_ms)
{
    static uint64_t took[1000], next_id;
    char word[8];
    uint64_t cpu_before = cpu_us(worker);
    for (size_t i = 0; i < n; i++) {
        (void)usleep(pause_ms * 1000);
        uint64_t start_us = hob_now_us();
        struct instance in = launch_probe(sock, plain_request(next_id++), WORDS("hello"));
        assert_int_equal(read(in.channel, word, 5), 5);
        took[i] = hob_now_us() - start_us;
        assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 0).answer, HOB_LAUNCH_DONE);
        assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
        instance_done(&in);
    }
    uint64_t cpu = cpu_us(worker) - cpu_before;
    qsort(took, n, sizeof took[0], compare);
    print_message(
        "%zu launches, %u ms apart, to the first byte: min %llu p50 %llu p99 %llu us; launcher's cpu %llu us\n",
        n, pause_ms, (unsigned long long)took[0], (unsigned long long)took[n / 2],
        (unsigned long long)took[n * 99 / 100], (unsigned long long)(cpu / n));
}

/* Open files once the shelves are as full as they shall be. */
static int settled_files(pid_t worker)
{
    int n = -1;
    for (int now; (now = open_files(worker)) != n; n = now)
        (void)usleep(500 * 1000);
    return n;
}

static void five_hundred_cycles_leave_nothing_behind(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    pid_t worker = worker_of(f.launcher);
    cycle(sock, worker, 400, 0);
    int mounts_before = lines("/proc/self/mountinfo");
    bool is_flat = false; /* shelves grow in some rounds, three times in all; a leak does in every one */
    for (int i = 0; i < 12 && !is_flat; i++) {
        int fds_before = settled_files(worker);
        cycle(sock, worker, 100, 5);
        cycle(sock, worker, 400, 0);
        is_flat = settled_files(worker) <= fds_before + 2;
    }
    assert_true(is_flat);
    assert_int_equal(lines("/proc/self/mountinfo"), mounts_before);
    assert_true(cgroups_left(&f) <= 6 * (1 + 128)); /* per hierarchy: the base and the shelf */
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

/* On v1 a frozen process does not die of SIGKILL, and its pid 1 waits for it. */
static void what_is_being_killed_cannot_be_frozen(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/bin/hob-init");
    fixture_start(&f);
    int sock = dial(&f);
    for (uint64_t id = 1; id <= 50; id++) {
        struct hob_launch_request ask_for[] = {
            {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_STOP, .id = id},
            {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_FREEZE, .id = id},
        };
        char word[5];
        struct instance in = launch_probe(sock, plain_request(id), WORDS("hello"));
        assert_int_equal(read(in.channel, word, 5), 5);
        for (size_t i = 0; i < HOB_COUNT(ask_for); i++) /* both before pid 1 can be gone */
            send_all(sock, &ask_for[i], sizeof ask_for[i], NULL, 0);
        bool has_exited = false;
        for (size_t i = 0; i < HOB_COUNT(ask_for) + 1; i++) { /* the answers and its end, in whatever order */
            struct hob_launch_reply reply = next_reply(sock, NULL);
            assert_int_equal(reply.id, id);
            has_exited = has_exited || reply.answer == HOB_LAUNCH_EXITED;
        }
        assert_true(has_exited);
        instance_done(&in);
    }
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

static void a_burst_of_instances_lives_side_by_side(void **state)
{
    (void)state;
    enum { BURST = 100 };
    struct fixture f;
    struct instance in[BURST];
    char word[8];
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    struct instance first = launch_probe(sock, plain_request(1000), WORDS("hello"));
    (void)usleep(100 * 1000);
    uint64_t start_us = hob_now_us();
    for (int i = 0; i < BURST; i++)
        in[i] = launch_probe(sock, plain_request((uint64_t)i), WORDS("hello"));
    for (int i = 0; i < BURST; i++)
        assert_int_equal(read(in[i].channel, word, 5), 5);
    print_message("burst of %d: all answered in %llu us\n", BURST,
                  (unsigned long long)(hob_now_us() - start_us));
    (void)close(sock); /* and all of them go with the connection */
    for (int i = 0; i < BURST; i++) {
        struct pollfd p = {.fd = in[i].pidfd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        instance_done(&in[i]);
    }
    instance_done(&first);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

static void a_killed_worker_takes_its_sandboxes_along_and_comes_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    struct instance in = launch_probe(sock, plain_request(1), WORDS("hello"));
    struct instance frozen = launch_probe(sock, plain_request(2), WORDS("spin"));
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, 2, 0).answer, HOB_LAUNCH_DONE);
    pid_t worker = worker_of(f.launcher);
    assert_int_equal(kill(worker, SIGKILL), 0);
    struct pollfd gone[] = {{.fd = in.pidfd, .events = POLLIN}, {.fd = frozen.pidfd, .events = POLLIN}};
    assert_int_equal(poll(&gone[0], 1, PATIENCE_MS), 1);
    assert_int_equal(poll(&gone[1], 1, PATIENCE_MS), 1); /* thawed by the sweep, else it could not die */
    (void)close(sock);
    sock = dial(&f); /* the guard kept the socket */
    struct instance next = launch_probe(sock, plain_request(1), WORDS("exit", "3"));
    assert_int_equal(WEXITSTATUS(next_reply(sock, NULL).wait_status), 3);
    assert_true(worker_of(f.launcher) != worker);
    assert_true(cgroups_left(&f) <= 6 * (1 + 128));
    instance_done(&in);
    instance_done(&frozen);
    instance_done(&next);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

static void leftovers_of_a_killed_launcher_are_swept_at_the_next_start(void **state)
{
    (void)state;
    struct fixture f;
    int status;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    struct instance in = launch_probe(sock, plain_request(1), WORDS("hello"));
    pid_t worker = worker_of(f.launcher);
    assert_int_equal(kill(worker, SIGSTOP), 0); /* it cannot tidy up */
    assert_int_equal(kill(f.launcher, SIGKILL), 0);
    assert_int_equal(waitpid(f.launcher, &status, 0), f.launcher);
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_true(wait_gone(worker, 3000));
    struct pollfd gone = {.fd = in.pidfd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, PATIENCE_MS), 1);
    assert_true(cgroups_left(&f) > 0);
    (void)close(f.lifeline);
    (void)close(sock);
    instance_done(&in);
    fixture_start(&f);
    sock = dial(&f);
    in = launch_probe(sock, plain_request(1), WORDS("exit", "0"));
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

static void a_killed_guard_ends_the_worker_and_its_sandboxes(void **state)
{
    (void)state;
    struct fixture f;
    int status;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    struct instance in = launch_probe(sock, plain_request(1), WORDS("hello"));
    pid_t worker = worker_of(f.launcher);
    assert_int_equal(kill(f.launcher, SIGKILL), 0);
    assert_int_equal(waitpid(f.launcher, &status, 0), f.launcher);
    struct pollfd gone = {.fd = in.pidfd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, PATIENCE_MS), 1);
    assert_true(wait_gone(worker, 5000));
    instance_done(&in);
    (void)close(sock);
    (void)close(f.lifeline);
    f.lifeline = -1;
    fixture_start(&f); /* sweeps the base folders that only a guard removes */
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

static void sigterm_ends_everything(void **state)
{
    (void)state;
    struct fixture f;
    int status;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int sock = dial(&f);
    struct instance in = launch_probe(sock, plain_request(1), WORDS("stubborn"));
    assert_int_equal(kill(f.launcher, SIGTERM), 0);
    assert_int_equal(waitpid(f.launcher, &status, 0), f.launcher);
    assert_int_equal(status, 0);
    struct pollfd gone = {.fd = in.pidfd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, 0), 1);
    assert_int_equal(access(f.sock, F_OK), -1);
    instance_done(&in);
    (void)close(sock);
    (void)close(f.lifeline);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

static void a_second_launcher_of_the_same_name_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    int status;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl(BUILD_DIR "/bin/hob-launcher", "hob-launcher", "--socket", "/tmp/hob-never", "--uid", "0",
                    "--code", f.code, "--runtimes", f.runtimes, "--init", f.init, "--cgroup", f.cgroup,
                    (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    int sock = dial(&f);
    assert_int_equal(ask(sock, HOB_LAUNCH_PROBE, 1, 0).answer, HOB_LAUNCH_PROBED);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

/* Connects as `uid`; true when the launcher answered it. */
static bool served_as(const struct fixture *f, unsigned uid)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct hob_launch_request head = {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_PROBE};
        struct hob_launch_reply reply;
        struct hob_err err = {0};
        int fds[1];
        size_t fds_n;
        if (setgid(uid) < 0 || setuid(uid) < 0)
            _exit(2);
        int fd = hob_seqpacket_connect(f->sock, &err);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        _exit(fd >= 0 && hob_fdmsg_send(fd, hob_str_n(&head, sizeof head), NULL, 0) == 1 &&
                      poll(&p, 1, PATIENCE_MS) == 1 &&
                      hob_fdmsg_recv(fd, &reply, sizeof reply, fds, 1, &fds_n) == (ssize_t)sizeof reply
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void only_its_uid_is_served(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    assert_true(served_as(&f, 0));
    assert_false(served_as(&f, 1234)); /* by the file's mode */
    assert_int_equal(chmod(f.sock, 0666), 0);
    assert_false(served_as(&f, 1234)); /* by SO_PEERCRED */
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

static void a_client_that_never_reads_holds_up_only_itself(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    int deaf = dial(&f), sock = dial(&f);
    struct hob_launch_request head = {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_PROBE};
    int sent = 0;
    while (sent < 100000 && hob_fdmsg_send(deaf, hob_str_n(&head, sizeof head), NULL, 0) == 1)
        sent++;
    assert_true(sent < 100000); /* it stops reading what we send */
    assert_int_equal(ask(sock, HOB_LAUNCH_PROBE, 1, 0).answer, HOB_LAUNCH_PROBED);
    for (int got = 0; got < sent; got++) /* and nothing was lost */
        assert_int_equal(next_reply(deaf, NULL).answer, HOB_LAUNCH_PROBED);
    (void)close(deaf);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

/* A build below a folder that others may not pass through. */
static bool is_closed_to(uid_t uid)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgid(uid) < 0 || setuid(uid) < 0 || access(BUILD_DIR "/bin/hob-launcher", X_OK) < 0);
    return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

/* True when an echo is silent after FREEZE and answers after THAW. */
static bool stands_still_when_frozen(int sock, uint64_t id)
{
    char word[8] = "";
    struct instance in = launch_probe(sock, plain_request(id), WORDS("echo"));
    struct pollfd p = {.fd = in.channel, .events = POLLIN};
    bool is_good = write(in.channel, "one", 3) == 3 && read(in.channel, word, sizeof word) == 3 &&
                   ask(sock, HOB_LAUNCH_FREEZE, id, 0).answer == HOB_LAUNCH_DONE &&
                   write(in.channel, "two", 3) == 3 && poll(&p, 1, 100) == 0 &&
                   ask(sock, HOB_LAUNCH_THAW, id, 0).answer == HOB_LAUNCH_DONE &&
                   read(in.channel, word, sizeof word) == 3 && memcmp(word, "two", 3) == 0;
    (void)ask(sock, HOB_LAUNCH_STOP, id, 0);
    is_good = next_reply(sock, NULL).answer == HOB_LAUNCH_EXITED && is_good;
    instance_done(&in);
    return is_good;
}

static void rootless_gives_the_same_walls_but_cgroups(void **state)
{
    (void)state;
    struct fixture f;
    int status;
    if (is_closed_to(1234)) {
        print_message("SKIPPED: an ordinary user cannot reach " BUILD_DIR "\n");
        skip();
    }
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    f.uid = 1234;
    assert_int_equal(chown(f.dir, f.uid, f.uid), 0);
    fixture_start(&f);
    pid_t pid = fork(); /* the protocol as that uid */
    if (pid == 0) {
        if (setgid(f.uid) < 0 || setuid(f.uid) < 0)
            _exit(2);
        int sock = dial(&f);
        struct hob_launch_reply reply = ask(sock, HOB_LAUNCH_PROBE, 1, 0);
        print_message("%s", reply.text);
        assert_has(reply.text, "warn rootless");
        if (strstr(reply.text, "ok cgroup: v2 memory")) { /* a delegated group: see docs/sandbox.md */
            assert_true(run_probe(sock, plain_request(1), WORDS("memory", "256"), text, sizeof text)
                            .usage.oom_kills >= 1);
            assert_string_equal(text, "");
        } else {
            assert_has(reply.text, "fail memory");
        }
        (void)run_probe(sock, plain_request(1), WORDS("status"), text, sizeof text);
        assert_has(text, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n");
        assert_has(text, "NoNewPrivs:\t1");
        assert_has(text, "Seccomp:\t2");
        (void)run_probe(sock, plain_request(1), WORDS("files"), text, sizeof text);
        assert_has(text, "readonly/app=1");
        assert_has(text, "proc_others=0");
        assert_has(text, "absent/proc/meminfo=1");
        assert_has(text, "code=1");
        (void)run_probe(sock, plain_request(1), WORDS("network"), text, sizeof text);
        assert_has(text, "devices=1\n");
        _exit(stands_still_when_frozen(sock, 9) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

static void cgroup_v2_starts_freezes_and_kills(void **state)
{
    (void)state;
    if (access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) < 0 &&
        access("/sys/fs/cgroup/cgroup.procs", F_OK) < 0) {
        print_message("SKIPPED: no cgroup v2 is mounted\n");
        return;
    }
    struct fixture f;
    char word[8] = "";
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    f.cgroups = "v2";
    fixture_start(&f);
    int sock = dial(&f);
    struct hob_launch_reply reply = ask(sock, HOB_LAUNCH_PROBE, 1, 0);
    print_message("%s", reply.text);
    assert_has(reply.text, "ok cgroup: v2");
    struct instance in = launch_probe(sock, plain_request(1), WORDS("echo"));
    struct pollfd p = {.fd = in.channel, .events = POLLIN};
    assert_int_equal(write(in.channel, "one", 3), 3);
    assert_int_equal(read(in.channel, word, sizeof word), 3);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, 1, 0).answer, HOB_LAUNCH_DONE);
    (void)usleep(50 * 1000);
    assert_int_equal(write(in.channel, "two", 3), 3);
    assert_int_equal(poll(&p, 1, 200), 0);
    assert_int_equal(ask(sock, HOB_LAUNCH_THAW, 1, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    reply = ask(sock, HOB_LAUNCH_STATS, 1, 0);
    assert_true(reply.usage.cpu_us > 0);
    struct instance left = launch_probe(sock, plain_request(2), WORDS("hello"));
    assert_int_equal(kill(worker_of(f.launcher), SIGKILL), 0); /* cgroup.kill in the sweep */
    struct pollfd gone = {.fd = left.pidfd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, PATIENCE_MS), 1);
    instance_done(&in);
    instance_done(&left);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
}

/* v1 refuses a ceiling above that of the group around it: that one holds, then. */
static void a_tighter_group_around_the_launcher_is_no_obstacle(void **state)
{
    (void)state;
    char word[8] = "", dir[256], file[320], pid[16];
    struct fixture f;
    (void)snprintf(dir, sizeof dir, "/sys/fs/cgroup/cpu/hob-tight-%d", getpid());
    if (mkdir(dir, 0755) < 0) {
        print_message("SKIPPED: no cgroup v1 for the CPU here\n");
        return;
    }
    (void)snprintf(file, sizeof file, "%s/cpu.cfs_quota_us", dir);
    put_file(file, "50000", 0644);
    (void)snprintf(file, sizeof file, "%s/cgroup.procs", dir);
    (void)snprintf(pid, sizeof pid, "%d", getpid());
    put_file(file, pid, 0644);
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    put_file("/sys/fs/cgroup/cpu/cgroup.procs", pid, 0644); /* back */
    int sock = dial(&f);
    struct instance in = launch_probe(sock, plain_request(1), WORDS("hello"));
    assert_int_equal(read(in.channel, word, 5), 5);
    instance_done(&in);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(rmdir(dir), 0);
    fixture_remove(&f);
}

static void without_cgroups_everything_else_holds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    f.cgroups = "none";
    fixture_start(&f);
    int sock = dial(&f);
    assert_has(ask(sock, HOB_LAUNCH_PROBE, 1, 0).text, "fail cgroup: ");
    struct hob_launch_reply reply = run_probe(sock, plain_request(1), WORDS("status"), text, sizeof text);
    assert_has(text, "NoNewPrivs:\t1");
    assert_true(reply.usage.cpu_us > 0); /* by rusage */
    assert_true(stands_still_when_frozen(sock, 2));
    struct instance in = launch_probe(sock, plain_request(3), WORDS("echo"));
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, 3, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, 3, 0).answer,
                     HOB_LAUNCH_DONE); /* stopped, it dies all the same */
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    fixture_remove(&f);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    static const char *const bad[][4] = {
        {"--nonsense", "1", NULL}, {"--socket", NULL}, {"--uid", "x", NULL}, {NULL}};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            (void)dup2(null, 2);
            (void)execl(BUILD_DIR "/bin/hob-launcher", "hob-launcher", bad[i][0],
                        bad[i][0] ? bad[i][1] : NULL, (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 2);
    }
}

int main(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: the launcher's life is tested as root\n");
        return 0;
    }
    (void)alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(five_hundred_cycles_leave_nothing_behind),
        cmocka_unit_test(what_is_being_killed_cannot_be_frozen),
        cmocka_unit_test(a_burst_of_instances_lives_side_by_side),
        cmocka_unit_test(a_killed_worker_takes_its_sandboxes_along_and_comes_again),
        cmocka_unit_test(leftovers_of_a_killed_launcher_are_swept_at_the_next_start),
        cmocka_unit_test(a_killed_guard_ends_the_worker_and_its_sandboxes),
        cmocka_unit_test(sigterm_ends_everything),
        cmocka_unit_test(a_second_launcher_of_the_same_name_is_refused),
        cmocka_unit_test(only_its_uid_is_served),
        cmocka_unit_test(a_client_that_never_reads_holds_up_only_itself),
        cmocka_unit_test(rootless_gives_the_same_walls_but_cgroups),
        cmocka_unit_test(cgroup_v2_starts_freezes_and_kills),
        cmocka_unit_test(a_tighter_group_around_the_launcher_is_no_obstacle),
        cmocka_unit_test(without_cgroups_everything_else_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
