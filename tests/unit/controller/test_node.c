/* The node with a real hob-runner, a launcher without isolation, and processes as instances. */
#include "controller/node_world.h"

enum { MANY = 200 };

/* ---- tests ---- */

static void a_program_starts_speaks_and_ends(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start(
        w, &s, "echo $GREETING; echo oops >&2; echo on the channel >&3; read go <&3; printf unended; exit 3");
    turn_until(w, &s.started, 1);
    char text[64] = {0};
    (void)fcntl(s.channel, F_SETFL, 0);
    assert_int_equal(read(s.channel, text, sizeof text - 1), 15);
    assert_string_equal(text, "on the channel\n");
    assert_int_equal(write(s.channel, "go\n", 3), 3);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.exit_code, 3);
    assert_int_equal(s.exit.signal, 0);
    assert_string_equal(s.message, "exited with status 3");
    assert_int_equal(s.lines, 3);
    unsigned errors = 0;
    for (unsigned i = 0; i < 3; i++) {
        errors += s.is_stderr[i];
        assert_true(s.is_stderr[i] == (strcmp(s.text[i], "oops") == 0));
    }
    assert_int_equal(errors, 1);
    assert_string_equal(s.text[s.is_stderr[2] ? 1 : 2], "unended");
    assert_false(s.is_line_after_exit);
    assert_int_equal(s.exit.cpu_us, 1234);
}

static void a_program_killed_by_a_signal_is_told_so(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start(w, &s, "kill -SEGV $$");
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.exit_code, -1);
    assert_int_equal(s.exit.signal, SIGSEGV);
    assert_string_equal(s.message, "killed by signal 11 (SIGSEGV)");
    (void)start_as(w, &s, "oom", "kill -KILL $$", -1);
    turn_until(w, &s.exited, 1);
    assert_true(s.exit.is_oom);
    assert_string_equal(s.message, "killed: out of memory (128 MiB)");
}

static void a_refused_start_fails_with_the_launchers_words(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start_as(w, &s, "refuse", "true", -1);
    turn_until(w, &s.failed, 1);
    assert_int_equal(s.err.code, HOB_E_NOT_FOUND);
    assert_string_equal(hob_err_reason(&s.err), "launch_failed");
    assert_string_equal(s.err.msg, "no code with that digest is here");
    turn_for(w, 50);
    assert_int_equal(s.started + s.exited, 0);
}

static void a_start_that_makes_no_sense_fails_and_says_what(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start_as(w, &s, "../node", "true", -1);
    turn_until(w, &s.failed, 1);
    assert_int_equal(s.err.code, HOB_E_INVALID);
    assert_contains(s.err.msg, "runtime '../node'");
}

static void stdin_reaches_the_program(void **state)
{
    struct world *w = *state;
    struct seen s;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "given\n", 6), 6);
    (void)close(p[1]);
    (void)start_as(w, &s, "node", "read x; echo got $x", p[0]);
    (void)close(p[0]);
    turn_until(w, &s.exited, 1);
    assert_string_equal(s.text[0], "got given");
}

static void stop_is_a_request_first_and_a_kill_after_the_grace(void **state)
{
    struct world *w = *state;
    struct seen s, t;
    uint64_t a = start(w, &s, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done");
    uint64_t b = start(w, &t, "trap '' TERM; echo up; while :; do sleep 0.02; done");
    turn_until(w, &s.lines, 1);
    turn_until(w, &t.lines, 1);
    node_stop(w->hub, a, 2000);
    node_stop(w->hub, b, 100);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.exit_code, 0);
    assert_string_equal(s.text[1], "bye");
    turn_until(w, &t.exited, 1);
    assert_int_equal(t.exit.signal, SIGKILL);
    node_stop(w->hub, a, 0); /* gone: ignored */
    turn_for(w, 30);
    assert_int_equal(s.exited + t.exited, 2);
}

static void stop_before_started_still_gives_started_then_exited(void **state)
{
    struct world *w = *state;
    struct seen s;
    uint64_t id = start(w, &s, "sleep 60");
    node_stop(w->hub, id, 0);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.started, 1);
    assert_int_equal(s.failed, 0);
}

static void a_frozen_instance_thaws_and_can_be_stopped(void **state)
{
    struct world *w = *state;
    struct seen s;
    uint64_t id = start(w, &s, "while :; do echo tick; sleep 0.01; done");
    turn_until(w, &s.lines, 3);
    node_freeze(w->hub, id);
    turn_for(w, 100);
    unsigned before = s.lines;
    turn_for(w, 100);
    assert_int_equal(s.lines, before);
    node_thaw(w->hub, id);
    turn_until(w, &s.lines, before + 3);
    node_freeze(w->hub, id);
    turn_for(w, 50);
    node_stop(w->hub, id, 1000);
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.exit.signal, SIGTERM);
}

static void a_log_flood_is_dropped_and_counted_and_the_neighbour_lives(void **state)
{
    struct world *w = *state;
    struct seen flood, calm;
    uint64_t id = start(w, &flood, "exec yes this is a line of a flood");
    turn_until(w, &flood.lines, 1000);
    uint64_t before = hob_now_ms();
    (void)start(w, &calm, "echo calm");
    turn_until(w, &calm.exited, 1);
    assert_true(hob_now_ms() - before < 30000);
    assert_string_equal(calm.text[0], "calm");
    turn_for(w, 500);
    node_stop(w->hub, id, 0);
    turn_until(w, &flood.exited, 1);
    assert_true(flood.dropped > 1000);
    assert_false(flood.is_line_after_exit);
}

static void a_flood_that_fills_the_link_takes_no_line_of_a_neighbour(void **state)
{
    struct world *w = *state;
    static struct seen flood, calm;
    uint64_t id = start(w, &flood, "exec yes this is a line of a flood");
    (void)start(w, &calm, "sleep 0.3; echo calm");
    turn_until(w, &calm.started, 1);
    turn_until(w, &flood.started, 1);
    (void)usleep(800 * 1000); /* hobd is busy elsewhere: the link fills */
    turn_until(w, &calm.exited, 1);
    assert_string_equal(calm.text[0], "calm");
    node_stop(w->hub, id, 0);
    turn_until(w, &flood.exited, 1);
    assert_true(flood.dropped > 0);
}

static void a_line_of_any_size_and_bytes_comes_cut_and_harmless(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start(w, &s,
                "head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\033[31mred\\377\\n'; echo last");
    turn_until(w, &s.exited, 1);
    assert_int_equal(s.lines, 3);
    assert_contains(s.text[0], "xxxx");
    assert_string_equal(s.text[1], "\\x1b[31mred\\xff");
    assert_string_equal(s.text[2], "last");
}

static void two_hundred_instances_leave_no_descriptor_behind(void **state)
{
    struct world *w = *state;
    static struct seen s[MANY];
    turn_for(w, 50);
    struct seen warm;
    (void)start(w, &warm, "true");
    turn_until(w, &warm.exited, 1);
    unsigned own = count_fds(getpid()), runner = count_fds(w->runner_pid);
    for (unsigned i = 0; i < MANY; i++)
        (void)start(w, &s[i], "echo hi");
    uint64_t launch_us = 0;
    for (unsigned i = 0; i < MANY; i++) {
        turn_until(w, &s[i].exited, 1);
        assert_int_equal(s[i].started, 1);
        assert_int_equal(s[i].exited, 1);
        assert_int_equal(s[i].lines, 1);
        launch_us += s[i].launch_us;
    }
    turn_for(w, 50);
    assert_int_equal(count_fds(getpid()), own);
    assert_int_equal(count_fds(w->runner_pid), runner);
}

static void a_killed_runner_ends_every_instance_and_a_new_one_serves(void **state)
{
    struct world *w = *state;
    struct seen running, starting, next;
    (void)start(w, &running, "sleep 60");
    turn_until(w, &running.started, 1);
    (void)start_as(w, &starting, "hang", "true", -1);
    turn_for(w, 30);
    end(&w->runner_pid, SIGKILL);
    turn_until(w, &running.exited, 1);
    turn_until(w, &starting.failed, 1);
    assert_true(running.exit.is_lost);
    assert_int_equal(starting.started, 0);
    assert_string_equal(hob_err_reason(&starting.err), "engine_unavailable");
    assert_false(node_hub_has_runner(w->hub));
    (void)start(w, &next, "true");
    turn_until(w, &next.failed, 1);
    assert_int_equal(next.err.code, HOB_E_UNAVAILABLE);
    runner_start(w);
    wait_runner(w, true);
    (void)start(w, &next, "echo again");
    turn_until(w, &next.exited, 1);
    assert_string_equal(next.text[0], "again");
    turn_for(w, 30);
    assert_int_equal(running.exited + running.failed, 1);
}

/* Wherever its instance stands: each listener hears one end, and no process is left. */
static void the_runner_may_be_killed_at_any_moment(void **state)
{
    struct world *w = *state;
    for (unsigned moment = 0; moment < 12; moment++) {
        static struct seen s, t;
        uint64_t a = start(w, &s, "trap '' TERM; while :; do echo $0; done");
        uint64_t b = start(w, &t, "trap '' TERM; while :; do sleep 0.01; done");
        if (moment % 4 > 0)
            turn_until(w, &t.started, 1);
        int channel = t.channel < 0 ? -1 : fcntl(t.channel, F_DUPFD_CLOEXEC, 3);
        if (moment % 4 == 2)
            node_freeze(w->hub, b);
        if (moment % 4 == 3) {
            node_stop(w->hub, a, 5000);
            node_stop(w->hub, b, 5000);
        }
        turn_for(w, moment < 4 ? 0 : moment * 2);
        end(&w->runner_pid, SIGKILL);
        wait_runner(w, false);
        turn_for(w, 20);
        assert_int_equal(s.failed + s.exited, 1);
        assert_int_equal(t.failed + t.exited, 1);
        assert_int_equal(s.exited, s.started);
        assert_int_equal(t.exited, t.started);
        char byte;
        if (channel >= 0) { /* blocks until the last process that holds the other end is gone */
            (void)fcntl(channel, F_SETFL, 0);
            assert_int_equal(read(channel, &byte, 1), 0);
            (void)close(channel);
        }
        runner_start(w);
        wait_runner(w, true);
    }
}

static void a_node_that_is_full_says_so(void **state)
{
    struct world *w = *state;
    static struct seen s[4];
    struct rlimit few = {64 + 2 * 3 + 5, 64 + 2 * 3 + 5}; /* three instances that run, and no fourth that starts */
    uint64_t ids[4];
    end(&w->runner_pid, SIGKILL);
    wait_runner(w, false);
    runner_start_limited(w, &few);
    wait_runner(w, true);
    for (unsigned i = 0; i < 4; i++) {
        ids[i] = start(w, &s[i], "sleep 60");
        turn_until(w, i < 3 ? &s[i].started : &s[i].failed, 1);
    }
    assert_string_equal(hob_err_reason(&s[3].err), "node_full");
    node_stop(w->hub, ids[0], 0);
    turn_until(w, &s[0].exited, 1);
    (void)start(w, &s[3], "true");
    turn_until(w, &s[3].exited, 1);
    assert_int_equal(s[3].started, 1);
}

static void a_lost_launcher_ends_its_instances_and_comes_back(void **state)
{
    struct world *w = *state;
    struct seen s, t, n;
    (void)start(w, &s, "sleep 60");
    turn_until(w, &s.started, 1);
    (void)start_as(w, &t, "crash", "true", -1);
    turn_until(w, &t.failed, 1);
    turn_until(w, &s.exited, 1);
    assert_string_equal(s.message, "killed: hob-launcher went away");
    assert_string_equal(hob_err_reason(&t.err), "engine_unavailable");
    assert_int_equal(waitpid(w->launcher_pid, NULL, 0), w->launcher_pid);
    (void)start(w, &n, "true");
    turn_until(w, &n.failed, 1);
    assert_string_equal(hob_err_reason(&n.err), "engine_unavailable");
    launcher_start(w);
    for (unsigned i = 0; i < 40 && !n.exited; i++) {
        turn_for(w, 100);
        (void)start(w, &n, "echo back");
        turn_for(w, 100);
    }
    assert_string_equal(n.text[0], "back");
}

static void answers_that_are_none_count_as_a_lost_launcher(void **state)
{
    struct world *w = *state;
    struct seen s;
    (void)start_as(w, &s, "garbage", "true", -1);
    turn_until(w, &s.failed, 1);
    assert_string_equal(hob_err_reason(&s.err), "engine_unavailable");
}

static unsigned doctor_calls;
static char doctor_text[4096];
static struct hob_err doctor_err;
static void on_doctor(void *ctx, const struct hob_str *lines, size_t n, const struct hob_err *err)
{
    (void)ctx;
    doctor_calls++;
    doctor_text[0] = '\0';
    doctor_err = err ? *err : (struct hob_err){0};
    for (size_t i = 0, at = 0; i < n; i++)
        at += (size_t)snprintf(doctor_text + at, sizeof doctor_text - at, "%.*s\n", HOB_STR_ARG(lines[i]));
}

static void the_doctor_tells_what_the_node_has(void **state)
{
    struct world *w = *state;
    doctor_calls = 0;
    node_doctor(w->hub, on_doctor, NULL);
    assert_int_equal(doctor_calls, 0);
    turn_until(w, &doctor_calls, 1);
    assert_contains(doctor_text, "ok runner: hob-runner");
    assert_contains(doctor_text, "warn seccomp: not used in tests");
    assert_contains(doctor_text, "ok cgroup: none");
    end(&w->runner_pid, SIGKILL);
    wait_runner(w, false);
    node_doctor(w->hub, on_doctor, NULL);
    turn_until(w, &doctor_calls, 2);
    assert_int_equal(doctor_err.code, HOB_E_UNAVAILABLE);
}

static void closing_the_hub_ends_the_runner_and_tells_every_listener(void **state)
{
    struct world *w = *state;
    struct seen s, t;
    (void)start(w, &s, "sleep 60");
    turn_until(w, &s.started, 1);
    (void)start_as(w, &t, "hang", "true", -1);
    node_hub_close(w->hub, on_hub_closed, w);
    assert_int_equal(s.exited + t.failed, 0);
    while (!w->is_closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(s.exited, 1);
    assert_true(s.exit.is_lost);
    assert_int_equal(t.failed, 1);
    int status;
    assert_int_equal(waitpid(w->runner_pid, &status, 0), w->runner_pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    w->runner_pid = 0;
}

static void sigterm_ends_the_runner_cleanly(void **state)
{
    struct world *w = *state;
    struct seen s;
    int status;
    (void)start(w, &s, "sleep 60");
    turn_until(w, &s.started, 1);
    (void)kill(w->runner_pid, SIGTERM);
    turn_until(w, &s.exited, 1);
    assert_true(s.exit.is_lost);
    assert_int_equal(waitpid(w->runner_pid, &status, 0), w->runner_pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    w->runner_pid = 0;
}

/* ---- strangers ---- */

static int dial(struct world *w)
{
    struct hob_err err;
    int fd = hob_seqpacket_connect(w->link, &err);
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, uint32_t type, const char *name, const char *value, int pass)
{
    hob_auto_buf struct hob_buf b;
    struct hob_pairs_writer p;
    hob_buf_init(&b, 4096);
    hob_link_start(&p, &b, type);
    hob_pairs_add(&p, hob_str(name), hob_str(value));
    hob_pairs_add(&p, HOB_STR("protocol"), HOB_STR("1"));
    assert_ok(hob_pairs_end(&p, NULL));
    assert_int_equal(hob_fdmsg_send(fd, hob_buf_str(&b), &pass, pass >= 0), 1);
}

/* True once the hub has closed the connection, whatever it said before. */
static bool is_closed(struct world *w, int fd)
{
    char in[4096];
    for (unsigned i = 0; i < 200; i++) {
        turn_for(w, 5);
        ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
    }
    return false;
}

static void a_second_runner_is_turned_away_and_the_first_goes_on(void **state)
{
    struct world *w = *state;
    struct seen s;
    int fd = dial(w);
    assert_true(is_closed(w, fd));
    (void)close(fd);
    (void)start(w, &s, "true");
    turn_until(w, &s.exited, 1);
    assert_false(s.exit.is_lost);
}

static void another_user_may_not_be_the_runner(void **state)
{
    struct world *w = *state;
    int status;
    if (getuid() != 0)
        skip();
    end(&w->runner_pid, SIGKILL);
    wait_runner(w, false);
    assert_int_equal(chmod(w->dir, 0755), 0);
    assert_int_equal(chmod(w->link, 0666), 0); /* were the mode of the socket ever wrong */
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        int fd = setuid(65534) < 0 ? -1 : hob_seqpacket_connect(w->link, NULL);
        (void)fcntl(fd, F_SETFL, 0);
        _exit(fd >= 0 && recv(fd, &byte, 1, 0) <= 0 ? 7 : 0);
    }
    turn_for(w, 300);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7); /* hung up on at once, without a HELLO */
}

static void a_runner_that_breaks_the_protocol_is_closed(void **state)
{
    struct world *w = *state;
    static const struct {
        uint32_t type;
        const char *name, *value;
        bool is_greeted;
    } bad[] = {{HOB_LINK_STARTED, "instance", "7", false},
               {HOB_LINK_STARTED, "instance", "7", true},
               {HOB_LINK_EXITED, "instance", "7", true},
               {HOB_LINK_FAILED, "instance", "7", true},
               {HOB_LINK_LOG, "instance", "7", true},
               {HOB_LINK_DOCTOR, "check", "ok", true},
               {99, "x", "y", true},
               {HOB_LINK_HELLO, "protocol", "2", false},
               {HOB_LINK_START, "instance", "7", true}};
    end(&w->runner_pid, SIGKILL);
    wait_runner(w, false);
    unsigned fds = count_fds(getpid());
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        int fd = dial(w);
        if (bad[i].is_greeted) {
            say(fd, HOB_LINK_HELLO, "node", "x", -1);
            wait_runner(w, true);
        }
        say(fd, bad[i].type, bad[i].name, bad[i].value, fd);
        assert_true(is_closed(w, fd));
        assert_false(node_hub_has_runner(w->hub));
        (void)close(fd);
    }
    int fd = dial(w);
    assert_int_equal(send(fd, "xx", 2, 0), 2);
    assert_true(is_closed(w, fd));
    (void)close(fd);
    turn_for(w, 20);
    assert_int_equal(count_fds(getpid()), fds);
}

static void started_without_a_channel_or_twice_closes_the_link(void **state)
{
    struct world *w = *state;
    struct seen s;
    char id[32];
    end(&w->runner_pid, SIGKILL);
    wait_runner(w, false);
    for (unsigned round = 0; round < 2; round++) {
        int fd = dial(w), pass = round ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
        say(fd, HOB_LINK_HELLO, "node", "x", -1);
        wait_runner(w, true);
        (void)snprintf(id, sizeof id, "%llu", (unsigned long long)start(w, &s, "true"));
        say(fd, HOB_LINK_STARTED, "instance", id, pass);
        if (round)
            say(fd, HOB_LINK_STARTED, "instance", id, pass);
        assert_true(is_closed(w, fd));
        assert_int_equal(s.started, round);
        assert_int_equal(s.failed, !round);
        assert_int_equal(s.exited, round);
        (void)close(fd);
        if (pass >= 0)
            (void)close(pass);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
int main(void)
{
    (void)setenv("HOB_LOG_LEVEL", "error", 0);
    hob_log_init("test");
    (void)alarm(280);
    (void)signal(SIGPIPE, SIG_IGN);

    const struct CMUnitTest tests[] = {
        TEST(a_program_starts_speaks_and_ends),
        TEST(a_program_killed_by_a_signal_is_told_so),
        TEST(a_refused_start_fails_with_the_launchers_words),
        TEST(a_start_that_makes_no_sense_fails_and_says_what),
        TEST(stdin_reaches_the_program),
        TEST(stop_is_a_request_first_and_a_kill_after_the_grace),
        TEST(stop_before_started_still_gives_started_then_exited),
        TEST(a_frozen_instance_thaws_and_can_be_stopped),
        TEST(a_log_flood_is_dropped_and_counted_and_the_neighbour_lives),
        TEST(a_flood_that_fills_the_link_takes_no_line_of_a_neighbour),
        TEST(a_line_of_any_size_and_bytes_comes_cut_and_harmless),
        TEST(two_hundred_instances_leave_no_descriptor_behind),
        TEST(a_killed_runner_ends_every_instance_and_a_new_one_serves),
        TEST(the_runner_may_be_killed_at_any_moment),
        TEST(a_node_that_is_full_says_so),
        TEST(a_lost_launcher_ends_its_instances_and_comes_back),
        TEST(answers_that_are_none_count_as_a_lost_launcher),
        TEST(the_doctor_tells_what_the_node_has),
        TEST(closing_the_hub_ends_the_runner_and_tells_every_listener),
        TEST(sigterm_ends_the_runner_cleanly),
        TEST(a_second_runner_is_turned_away_and_the_first_goes_on),
        TEST(another_user_may_not_be_the_runner),
        TEST(a_runner_that_breaks_the_protocol_is_closed),
        TEST(started_without_a_channel_or_twice_closes_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
