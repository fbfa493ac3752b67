/* Instances that are forks of a zygote: groups, limits and ends of their own; and zygotes that do not play by the rules. */
#include "client.h"

static struct fixture f;
static int sock;
static uint64_t next_id = 1;

static struct instance zygote_start(const char *how)
{
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_ZYGOTE;
    return launch_probe(sock, head, WORDS("zygote", how));
}

static struct hob_launch_request fork_request(uint64_t of)
{
    return (struct hob_launch_request){.magic = HOB_LAUNCH_MAGIC,
                                       .op = HOB_LAUNCH_FORK,
                                       .id = next_id++,
                                       .of = of,
                                       .memory_mb = 24,
                                       .cpu_percent = 100,
                                       .cpu_weight = 100,
                                       .pids_max = 8};
}

static struct instance fork_send(const struct hob_launch_request *head)
{
    int channel[2], out[2], err[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    int fds[3] = {channel[1], out[1], err[1]};
    send_all(sock, head, sizeof *head, fds, 3);
    for (size_t i = 0; i < 3; i++)
        (void)close(fds[i]);
    return (struct instance){
        .id = head->id, .channel = channel[0], .out = out[0], .err = err[0], .pidfd = -1};
}

static struct instance fork_of(const struct instance *zygote)
{
    struct hob_launch_request head = fork_request(zygote->id);
    struct instance in = fork_send(&head);
    struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
    if (reply.answer != HOB_LAUNCH_LAUNCHED)
        print_error("%s\n", reply.text);
    assert_int_equal(reply.answer, HOB_LAUNCH_LAUNCHED);
    assert_int_equal(reply.id, head.id);
    assert_true(in.pidfd >= 0);
    assert_has(reply.text, "shared: ");
    assert_has(reply.text, "memory: 25165824 bytes");
    return in;
}

static void tell(const struct instance *in, char byte)
{
    assert_int_equal(write(in->channel, &byte, 1), 1);
}

static void expect_hello(const struct instance *in)
{
    char text[6] = "";
    tell(in, 'h');
    assert_int_equal(recv(in->channel, text, 5, MSG_WAITALL), 5);
    assert_string_equal(text, "hello");
}

static struct hob_launch_reply expect_end(struct instance *in)
{
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_int_equal(reply.id, in->id);
    instance_done(in);
    return reply;
}

static void expect_failed(const struct hob_launch_request *head, const char *why)
{
    struct instance in = fork_send(head);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
    assert_int_equal(reply.id, head->id);
    assert_int_not_equal(reply.errnum, 0);
    assert_has(reply.text, why);
    instance_done(&in);
}

static void end(struct instance *in)
{
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in->id, 0).answer, HOB_LAUNCH_DONE);
    (void)expect_end(in);
}

static void a_fork_has_channel_output_limits_and_end_of_its_own(void **state)
{
    (void)state;
    char text[256];
    struct instance z = zygote_start("honest"), one = fork_of(&z), other = fork_of(&z);
    expect_hello(&one);
    expect_hello(&other);
    tell(&one, 's');
    tell(&one, 'x');
    (void)read_all(one.out, text, sizeof text);
    assert_has(text, "Uid:");
    struct hob_launch_reply reply = expect_end(&one);
    assert_true(WIFEXITED(reply.wait_status) && WEXITSTATUS(reply.wait_status) == 7);
    assert_true(reply.usage.memory_peak_bytes > 0 && reply.usage.memory_peak_bytes < 24 << 20);
    expect_hello(&other);
    tell(&other, 'k');
    reply = expect_end(&other);
    assert_true(WIFEXITED(reply.wait_status) && WEXITSTATUS(reply.wait_status) == 128 + SIGKILL);
    end(&z);
}

static void a_fork_that_runs_out_of_memory_ends_alone(void **state)
{
    (void)state;
    struct instance z = zygote_start("honest"), one = fork_of(&z), other = fork_of(&z);
    tell(&one, 'm');
    struct hob_launch_reply reply = expect_end(&one);
    assert_true(reply.usage.oom_kills > 0);
    expect_hello(&other);
    end(&other);
    end(&z);
}

static void what_a_fork_leaves_behind_goes_with_it(void **state)
{
    (void)state;
    struct instance z = zygote_start("honest"), one = fork_of(&z);
    tell(&one, 'l');
    tell(&one, 'l');
    expect_hello(&one);
    struct hob_launch_reply reply = ask(sock, HOB_LAUNCH_STATS, one.id, 0);
    assert_int_equal(reply.usage.pids, 3);
    tell(&one, 'x');
    (void)expect_end(&one); /* not before the last of them is gone: its output ends */
    end(&z);
}

static void a_frozen_fork_stands_still_alone_and_can_be_stopped(void **state)
{
    (void)state;
    struct instance z = zygote_start("honest"), one = fork_of(&z), other = fork_of(&z);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, one.id, 0).answer, HOB_LAUNCH_DONE);
    tell(&one, 'h');
    expect_hello(&other);
    struct pollfd p = {.fd = one.channel, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0);
    assert_int_equal(ask(sock, HOB_LAUNCH_THAW, one.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, one.id, 0).answer, HOB_LAUNCH_DONE);
    end(&one);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, other.id, 60000).answer,
                     HOB_LAUNCH_DONE); /* SIGTERM is enough */
    assert_int_equal(WEXITSTATUS(expect_end(&other).wait_status), 128 + SIGTERM);
    end(&z);
}

static void the_zygotes_end_is_its_forks_end_frozen_ones_too(void **state)
{
    (void)state;
    struct instance z = zygote_start("honest"), one = fork_of(&z), other = fork_of(&z);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, one.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, z.id, 0).answer, HOB_LAUNCH_DONE);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        struct hob_launch_reply reply = next_reply(sock, NULL);
        assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
        seen |= reply.id == one.id ? 1U : reply.id == other.id ? 2U : reply.id == z.id ? 4U : 0;
    }
    assert_int_equal(seen, 7);
    instance_done(&one);
    instance_done(&other);
    instance_done(&z);
}

static void only_a_zygote_of_this_connection_with_its_code_can_fork(void **state)
{
    (void)state;
    struct instance plain = launch_probe(sock, plain_request(next_id++), WORDS("hello"));
    struct hob_launch_request head = fork_request(plain.id);
    expect_failed(&head, "no zygote");
    head.of = 999999;
    expect_failed(&head, "no zygote");
    end(&plain);
    struct hob_launch_request stem = plain_request(next_id++);
    stem.flags = HOB_LAUNCH_ZYGOTE | HOB_LAUNCH_STEM;
    memset(stem.digest, 0, sizeof stem.digest);
    struct instance z = launch_probe(sock, stem, WORDS("zygote", "honest"));
    head.of = z.id;
    expect_failed(&head, "no zygote"); /* it has no code yet */
    head.memory_mb = 3;
    expect_failed(&head, "memory_mb is 3");
    struct hob_launch_request assign = {.magic = HOB_LAUNCH_MAGIC,
                                        .op = HOB_LAUNCH_ASSIGN,
                                        .id = z.id,
                                        .memory_mb = 64,
                                        .cpu_weight = 100,
                                        .pids_max = 32,
                                        .digest = DIGEST};
    send_all(sock, &assign, sizeof assign, NULL, 0);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_DONE);
    struct instance one = fork_of(&z);
    expect_hello(&one);
    head = fork_request(z.id);
    head.id = one.id;
    expect_failed(&head, "in use");
    assign.id = one.id;
    send_all(sock, &assign, sizeof assign, NULL, 0);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_FAILED);
    head = fork_request(one.id);
    expect_failed(&head, "no zygote"); /* a fork is none */
    end(&one);
    end(&z);
}

/* A zygote that breaks the rules loses its sandbox; the launcher goes on. */
static void expect_thrown_out(const char *how, const char *why)
{
    struct instance z = zygote_start(how);
    struct hob_launch_request head = fork_request(z.id);
    struct instance in = fork_send(&head);
    bool is_failed = false, is_over = false;
    while (!is_over) {
        struct hob_launch_reply reply = next_reply(sock, NULL);
        is_failed = is_failed || (reply.id == head.id && reply.answer == HOB_LAUNCH_FAILED);
        if (reply.answer == HOB_LAUNCH_FAILED)
            assert_has(reply.text, why);
        is_over = reply.id == z.id && reply.answer == HOB_LAUNCH_EXITED;
    }
    assert_true(is_failed || !why[0]);
    instance_done(&in);
    instance_done(&z);
}

static void a_zygote_that_lies_babbles_or_is_silent_loses_its_sandbox(void **state)
{
    (void)state;
    expect_thrown_out("liar", "not in its groups");
    expect_thrown_out("babbler", "");
    expect_thrown_out("silent", "has not forked in time");
}

/* Whether the launcher still sees it or not, as it happens: its zygote did nothing wrong. */
static void a_fork_that_dies_as_it_enters_is_no_lie(void **state)
{
    (void)state;
    struct instance z = zygote_start("mayfly");
    for (int i = 0; i < 20; i++) {
        struct hob_launch_request head = fork_request(z.id);
        struct instance in = fork_send(&head);
        struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
        assert_int_equal(reply.id, in.id);
        if (reply.answer == HOB_LAUNCH_LAUNCHED)
            (void)expect_end(&in);
        else
            instance_done(&in);
    }
    end(&z);
}

/* An instance can hold up its zygote: its neighbours go on, and what comes out of it too late is killed. */
static void a_zygote_that_hangs_makes_no_more_forks_and_keeps_those_it_has(void **state)
{
    (void)state;
    char text[64];
    struct instance z = zygote_start("honest"), one = fork_of(&z), other = fork_of(&z), third = fork_of(&z);
    tell(&one, 'p');
    expect_hello(&one);
    struct hob_launch_request head = fork_request(z.id), next = fork_request(z.id);
    struct instance late = fork_send(&head);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
    assert_int_equal(reply.id, head.id);
    assert_int_equal(reply.errnum, ETIMEDOUT);
    expect_failed(&next, "in time before");
    expect_hello(&other);
    tell(&other, 'x'); /* its end is nobody's to tell */
    (void)expect_end(&other);
    expect_hello(&third);
    end(&third);
    tell(&one, 'c');
    assert_int_equal(read_all(late.out, text, sizeof text), 0); /* until nobody has it open */
    instance_done(&late);
    expect_hello(&one);
    end(&one);
    struct hob_launch_request stop = {.magic = HOB_LAUNCH_MAGIC, .op = HOB_LAUNCH_STOP, .id = z.id};
    send_all(sock, &stop, sizeof stop, NULL, 0);
    for (int i = 0; i < 2; i++) /* its end, and an answer: it may have been stopped already */
        assert_int_equal(next_reply(sock, NULL).id, z.id);
    instance_done(&z);
}

static void a_zygote_cannot_end_anothers_forks(void **state)
{
    (void)state;
    struct instance good = zygote_start("honest"), one = fork_of(&good);
    expect_thrown_out("other", ""); /* it tells of the serial before its own: that is one's */
    expect_hello(&one);
    end(&one);
    end(&good);
}

static void a_fork_whose_end_is_not_told_is_killed_all_the_same(void **state)
{
    (void)state;
    struct instance z = zygote_start("lazy"), one = fork_of(&z);
    expect_hello(&one);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, one.id, 0).answer, HOB_LAUNCH_DONE);
    unsigned seen = 0; /* its zygote, which does not do its work, goes with it */
    for (int i = 0; i < 2; i++)
        seen |= next_reply(sock, NULL).id == one.id ? 1U : 2U;
    assert_int_equal(seen, 3);
    instance_done(&one);
    instance_done(&z);
}

static void forks_leave_no_group_behind(void **state)
{
    (void)state;
    struct instance z = zygote_start("honest");
    int before = cgroups_left(&f);
    for (int i = 0; i < 40; i++) {
        struct instance one = fork_of(&z);
        tell(&one, 'x');
        (void)expect_end(&one);
    }
    for (int i = 0; i < 600 && cgroups_left(&f) > before + 200; i++) /* shelves may have grown */
        (void)usleep(100 * 1000);
    assert_true(cgroups_left(&f) <= before + 200);
    end(&z);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    fixture_start(&f);
    sock = dial(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
    return 0;
}

int main(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: sandboxes are tested as root\n");
        return 0;
    }
    (void)alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_has_channel_output_limits_and_end_of_its_own),
        cmocka_unit_test(a_fork_that_runs_out_of_memory_ends_alone),
        cmocka_unit_test(what_a_fork_leaves_behind_goes_with_it),
        cmocka_unit_test(a_frozen_fork_stands_still_alone_and_can_be_stopped),
        cmocka_unit_test(the_zygotes_end_is_its_forks_end_frozen_ones_too),
        cmocka_unit_test(only_a_zygote_of_this_connection_with_its_code_can_fork),
        cmocka_unit_test(a_zygote_that_lies_babbles_or_is_silent_loses_its_sandbox),
        cmocka_unit_test(a_fork_that_dies_as_it_enters_is_no_lie),
        cmocka_unit_test(a_zygote_that_hangs_makes_no_more_forks_and_keeps_those_it_has),
        cmocka_unit_test(a_zygote_cannot_end_anothers_forks),
        cmocka_unit_test(a_fork_whose_end_is_not_told_is_killed_all_the_same),
        cmocka_unit_test(forks_leave_no_group_behind),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
