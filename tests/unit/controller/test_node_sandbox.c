/* The node with hob-runner and the real hob-launcher. Skipped where sandboxes cannot be made: without root. */
#include "controller/node_world.h"

#include "base/bundle.h"

static void put_file(struct world *w, const char *name, const char *text)
{
    char path[200];
    struct hob_err err;
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, name);
    *strrchr(path, '/') = '\0';
    assert_ok(hob_mkdirs(path, 0755, &err));
    path[strlen(path)] = '/';
    assert_ok(hob_write_file(path, hob_str(text), 0644, &err));
}

static int up(void **state)
{
    struct world *w = world_make();
    *state = w;
    char launcher[300];
    (void)snprintf(launcher, sizeof launcher, "%s/hob-launcher", w->bin);
    if (getuid() != 0 || access(launcher, X_OK) < 0)
        return 0;
    (void)chmod(w->dir, 0755);
    put_file(w, "code/x", "");
    put_file(w, "runtimes/sh/rootfs", "/bin/sh\n/usr/bin/cat\n/usr/bin/sleep\n/usr/bin/head\n");
    put_file(w, "runtimes/unpack/rootfs", "/usr/lib/locale/C.utf8\n");
    real_launcher_start(w);
    runner_start(w);
    wait_runner(w, true);
    return 0;
}

static bool can(struct world *w)
{
    if (w->launcher_pid)
        return true;
    print_message("skipped: needs root and hob-launcher\n");
    return false;
}

static void a_program_in_a_sandbox_starts_speaks_and_ends(void **state)
{
    struct world *w = *state;
    struct seen s;
    if (!can(w))
        skip();
    (void)start_as(w, &s, "sh", "echo $GREETING; echo oops >&2; exit 3", -1);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.started, 1);
    assert_int_equal(s.lines, 2);
    assert_int_equal(s.exit.exit_code, 3);
    assert_true(s.exit.cpu_us > 0);
    print_message("launched in %llu us\n", (unsigned long long)s.launch_us);
}

static void a_program_that_is_not_there_says_so(void **state)
{
    struct world *w = *state;
    static const char *const argv[] = {"/no/such", NULL};
    struct seen s;
    if (!can(w))
        skip();
    (void)start_argv(w, &s, "sh", argv, -1);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.exit_code, 127);
    assert_contains(s.text[0], "cannot start '/no/such'");
    (void)start_argv(w, &s, "nosuchruntime", argv, -1);
    turn_until(w, &s.failed, 1);
    assert_contains(s.err.msg, "nosuchruntime");
}

static void a_program_that_takes_too_much_memory_is_out_of_memory(void **state)
{
    struct world *w = *state;
    struct seen s;
    if (!can(w))
        skip();
    (void)start_as(w, &s, "sh", "x=$(head -c 300000000 /dev/zero | cat -v); echo $x", -1);
    turn_until(w, &s.exited, 1);
    assert_true(s.exit.is_oom);
    assert_string_equal(s.message, "killed: out of memory (128 MiB)");
}

static void a_sandbox_freezes_thaws_and_stops(void **state)
{
    struct world *w = *state;
    struct seen s;
    if (!can(w))
        skip();
    uint64_t id = start_as(w, &s, "sh", "while :; do echo tick; sleep 0.01; done", -1);
    turn_until(w, &s.lines, 3);
    node_freeze(w->hub, id);
    turn_for(w, 200);
    unsigned before = s.lines;
    turn_for(w, 150);
    assert_int_equal(s.lines, before);
    node_stop(w->hub, id, 1000);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.signal, SIGTERM);
}

/* What the code store will do: the archive on stdin, the bundle stream on the channel. */
static void an_archive_is_unpacked_in_a_sandbox(void **state)
{
    struct world *w = *state;
    static const char *const argv[] = {"/hob/unpack", "unpack", NULL};
    struct seen s;
    char archive[200], command[600];
    unsigned char head[HOB_BUNDLE_HEADER_BYTES];
    if (!can(w))
        skip();
    (void)snprintf(archive, sizeof archive, "%s/a.zip", w->dir);
    (void)snprintf(
        command, sizeof command,
        "import zipfile\nz=zipfile.ZipFile('%s','w')\nz.writestr('d\u00e9/x.txt','hello')\nz.close()",
        archive);
    char *const python[] = {(char[]){"/usr/bin/python3"}, (char[]){"-c"}, command, NULL};
    pid_t pid = spawn(python);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    hob_auto_close int fd = open(archive, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)start_argv(w, &s, "unpack", argv, fd);
    turn_until(w, &s.started, 1);
    int channel = fcntl(s.channel, F_DUPFD_CLOEXEC, 3);
    turn_until(w, &s.exited, 1);
    if (s.exit.exit_code != 0)
        fail_msg("%s: %s", s.message, s.text[0]);
    struct hob_bundle_record r;
    char path[600];
    static const struct {
        uint8_t kind;
        const char *path;
        uint64_t size;
    } want[] = {
        {HOB_BUNDLE_DIRECTORY, "d\u00e9", 0}, {HOB_BUNDLE_FILE, "d\u00e9/x.txt", 5}, {HOB_BUNDLE_END, "", 2}};
    for (size_t i = 0; i < HOB_COUNT(want); i++) {
        assert_int_equal(recv(channel, head, sizeof head, MSG_WAITALL), sizeof head);
        assert_ok(hob_bundle_decode(head, &r, NULL));
        assert_int_equal(r.kind, want[i].kind);
        assert_int_equal(r.size, want[i].size);
        if (r.path_n)
            assert_int_equal(recv(channel, path, r.path_n, MSG_WAITALL), r.path_n);
        path[r.path_n] = '\0';
        assert_string_equal(path, want[i].path);
        if (r.kind == HOB_BUNDLE_FILE)
            assert_int_equal(recv(channel, path, 5, MSG_WAITALL), 5);
    }
    assert_int_equal(recv(channel, path, 1, 0), 0);
    (void)close(channel);
}

static void a_killed_runner_takes_its_sandboxes_along(void **state)
{
    struct world *w = *state;
    struct seen s;
    if (!can(w))
        skip();
    (void)start_as(w, &s, "sh", "sleep 60", -1);
    turn_until(w, &s.started, 1);
    int channel = fcntl(s.channel, F_DUPFD_CLOEXEC, 3);
    end(&w->runner_pid, SIGKILL);
    turn_until(w, &s.exited, 1);
    assert_true(s.exit.is_lost);
    char byte;
    uint64_t until = hob_now_ms() + PATIENCE_MS;
    ssize_t n = -1;
    while (n != 0 && hob_now_ms() < until) { /* the other end closes when the last process is gone */
        n = recv(channel, &byte, 1, MSG_DONTWAIT);
        turn_for(w, 5);
    }
    assert_int_equal(n, 0);
    (void)close(channel);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, up, world_down)
int main(void)
{
    (void)setenv("HOB_LOG_LEVEL", "error", 0);
    hob_log_init("test");
    (void)alarm(280);
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(a_program_in_a_sandbox_starts_speaks_and_ends),
        TEST(a_program_that_is_not_there_says_so),
        TEST(a_program_that_takes_too_much_memory_is_out_of_memory),
        TEST(a_sandbox_freezes_thaws_and_stops),
        TEST(an_archive_is_unpacked_in_a_sandbox),
        TEST(a_killed_runner_takes_its_sandboxes_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
