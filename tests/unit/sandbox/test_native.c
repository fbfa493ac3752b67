/* Sandboxes made ahead for programs that are part of the code: the real hob-init waits in them (runner/init/await.h).
 * And what a set of groups that served before keeps of it: nothing. */
#include "client.h"

#include "base/frame.h"
#include "runner/init/await.h"

static struct fixture f;
static int sock;
static uint64_t next_id = 1;
static char cold[65536], stem[65536];

static struct instance stem_start(void)
{
    static const char *const strings[] = {"--await"};
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_STEM;
    memset(head.digest, 0, sizeof head.digest);
    head.argc = 1;
    head.envc = 0;
    struct instance in = launch_send(sock, &head, strings);
    assert_int_equal(next_reply(sock, &in.pidfd).answer, HOB_LAUNCH_LAUNCHED);
    return in;
}

static void stem_assign(const struct instance *in)
{
    struct hob_launch_request head = plain_request(in->id);
    head.op = HOB_LAUNCH_ASSIGN;
    send_all(sock, &head, sizeof head, NULL, 0);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_DONE);
}

static void tell(const struct instance *in, uint8_t type, uint32_t arg, const void *payload, size_t n)
{
    struct hob_frame frame = {.type = type, .arg = arg, .len = (uint32_t)n};
    unsigned char head[HOB_FRAME_HEADER_BYTES];
    hob_frame_encode(&frame, head);
    assert_int_equal(write(in->channel, head, sizeof head), sizeof head);
    if (n)
        assert_int_equal(write(in->channel, payload, n), (ssize_t)n);
}

/* The message that names the program; `strings` are argc + envc of them. */
static void tell_program(const struct instance *in, uint32_t argc, uint32_t envc, const char *const *strings)
{
    char payload[4096];
    size_t n = 2 * sizeof argc;
    memcpy(payload, &argc, sizeof argc);
    memcpy(payload + sizeof argc, &envc, sizeof envc);
    for (uint32_t i = 0; i < argc + envc; i++) {
        size_t len = strlen(strings[i]) + 1;
        memcpy(payload + n, strings[i], len);
        n += len;
    }
    tell(in, AWAIT_PROGRAM, 0, payload, n);
}

static void expect_pong(const struct instance *in, uint32_t arg)
{
    unsigned char head[HOB_FRAME_HEADER_BYTES];
    struct hob_frame frame;
    assert_int_equal(read(in->channel, head, sizeof head), sizeof head);
    assert_true(hob_frame_decode(head, &frame));
    assert_int_equal(frame.type, HOB_FRAME_PONG);
    assert_int_equal(frame.arg, arg);
}

static int exit_code(struct instance *in)
{
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_int_equal(reply.id, in->id);
    instance_done(in);
    return WEXITSTATUS(reply.wait_status);
}

static void run_native(const char *word)
{
    struct instance in = stem_start();
    tell(&in, HOB_FRAME_PING, 7, NULL, 0);
    expect_pong(&in, 7);
    stem_assign(&in);
    tell_program(&in, 2, 1, (const char *const[]){"/hob/runtime/probe", word, "GREETING=hello"});
    (void)read_all(in.out, stem, sizeof stem);
    assert_int_equal(exit_code(&in), 0);
}

/* Numbers that differ between any two instances. */
static void blank_ids(char *text)
{
    static const char *const lines[] = {"Uid:", "Gid:"};
    for (size_t i = 0; i < HOB_COUNT(lines); i++)
        for (char *at = strstr(text, lines[i]); at && *at && *at != '\n'; at++)
            if (*at >= '0' && *at <= '9')
                *at = '#';
}

static void a_program_started_in_a_waiting_sandbox_sees_what_a_cold_one_sees(void **state)
{
    (void)state;
    static const char *const words[] = {"status", "files", "descriptors", "network", "calls"};
    for (size_t i = 0; i < HOB_COUNT(words); i++) {
        (void)run_probe(sock, plain_request(next_id++), WORDS(words[i]), cold, sizeof cold);
        run_native(words[i]);
        blank_ids(cold);
        blank_ids(stem);
        assert_string_equal(stem, cold);
    }
}

static void what_follows_the_message_is_left_to_the_program(void **state)
{
    (void)state;
    char word[8] = "";
    struct instance in = stem_start();
    stem_assign(&in);
    tell_program(&in, 2, 0, (const char *const[]){"/hob/runtime/probe", "echo"});
    assert_int_equal(write(in.channel, "one", 3), 3);
    assert_int_equal(read(in.channel, word, sizeof word), 3);
    assert_memory_equal(word, "one", 3);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 5000).answer, HOB_LAUNCH_DONE);
    (void)exit_code(&in);
}

static void a_stop_before_the_program_has_started_is_not_lost(void **state)
{
    (void)state;
    struct instance in = stem_start();
    stem_assign(&in);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 60000).answer, HOB_LAUNCH_DONE);
    tell_program(&in, 2, 0, (const char *const[]){"/hob/runtime/probe", "echo"});
    assert_int_equal(exit_code(&in), 128 + SIGTERM); /* long before the grace is over */
}

static void whatever_else_it_hears_ends_it(void **state)
{
    (void)state;
    static const char text[] = "\1\0\0\0\0\0\0\0/hob/runtime/probe"; /* without an end */
    static const uint32_t nobody[] = {0, 0, 0}, many[] = {1000, 0, 0};
    const struct {
        uint8_t type;
        const void *payload;
        size_t n;
    } rows[] = {{HOB_FRAME_HELLO, NULL, 0},         {AWAIT_PROGRAM, NULL, 0},
                {AWAIT_PROGRAM, text, 24},          {AWAIT_PROGRAM, nobody, sizeof nobody},
                {AWAIT_PROGRAM, many, sizeof many}, {HOB_FRAME_PING, nobody, 4}};
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        struct instance in = stem_start();
        stem_assign(&in);
        tell(&in, rows[i].type, 0, rows[i].payload, rows[i].n);
        assert_int_equal(exit_code(&in), 127);
    }
    struct instance in = stem_start();
    (void)shutdown(in.channel, SHUT_RDWR);
    assert_int_equal(exit_code(&in), 127);
}

static void groups_that_served_before_count_from_zero_and_have_the_next_limits(void **state)
{
    (void)state;
    struct hob_launch_reply reply =
        run_probe(sock, plain_request(next_id++), WORDS("forks"), cold, sizeof cold);
    assert_string_equal(cold, "made=30 errno=11\n");
    assert_true(reply.usage.pids_denied >= 1 && reply.usage.cpu_us > 0);
    struct hob_launch_request spins = plain_request(next_id++);
    struct instance in = launch_probe(sock, spins, WORDS("spin"));
    while (ask(sock, HOB_LAUNCH_STATS, in.id, 0).usage.cpu_us < 300000)
        (void)usleep(20000);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 0).answer, HOB_LAUNCH_DONE);
    (void)exit_code(&in);
    struct hob_launch_request bomb = plain_request(next_id++);
    bomb.memory_mb = 16;
    assert_true(run_probe(sock, bomb, WORDS("memory", "256"), cold, sizeof cold).usage.oom_kills > 0);
    for (unsigned i = 0; i < 60; i++) { /* more than the shelf holds: those groups come round */
        struct hob_launch_request head = plain_request(next_id++);
        head.pids_max = 20 + i % 3;
        head.memory_mb = 16 + i % 2 * 16;
        reply = run_probe(sock, head, WORDS("memory", i % 2 ? "24" : "8"), cold, sizeof cold);
        assert_string_equal(cold, i % 2 ? "took=24\n" : "took=8\n");
        assert_true(reply.usage.memory_peak_bytes >= (i % 2 ? 24U : 8U) << 20);
        head.id = next_id++;
        reply = run_probe(sock, head, WORDS("status"), cold, sizeof cold);
        assert_true(reply.usage.memory_peak_bytes < 4 << 20);
        assert_int_equal(reply.usage.oom_kills, 0);
        assert_int_equal(reply.usage.pids_denied, 0);
        assert_true(reply.usage.cpu_us > 0 && reply.usage.cpu_us < 200000);
        head.id = next_id++;
        reply = run_probe(sock, head, WORDS("forks"), stem, sizeof stem);
        (void)snprintf(cold, sizeof cold, "made=%u errno=11\n", head.pids_max - 2);
        assert_string_equal(stem, cold);
    }
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, BUILD_DIR "/bin/hob-init");
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
        cmocka_unit_test(a_program_started_in_a_waiting_sandbox_sees_what_a_cold_one_sees),
        cmocka_unit_test(what_follows_the_message_is_left_to_the_program),
        cmocka_unit_test(a_stop_before_the_program_has_started_is_not_lost),
        cmocka_unit_test(whatever_else_it_hears_ends_it),
        cmocka_unit_test(groups_that_served_before_count_from_zero_and_have_the_next_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
