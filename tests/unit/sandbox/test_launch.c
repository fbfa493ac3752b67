/* Real sandboxes through the real protocol, looked at from inside. */
#include "client.h"

static struct fixture f;
static int sock;
static uint64_t next_id = 1;
static char text[65536];

static void instance_answers_over_its_channel(void **state)
{
    (void)state;
    char word[8] = "";
    struct instance in = launch_probe(sock, plain_request(next_id++), WORDS("hello"));
    assert_int_equal(read(in.channel, word, 5), 5);
    assert_string_equal(word, "hello");
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 0).answer, HOB_LAUNCH_DONE);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_true(WIFSIGNALED(reply.wait_status) && WTERMSIG(reply.wait_status) == SIGKILL);
    instance_done(&in);
}

static void process_has_its_own_ids_and_no_privileges(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("status"), text, sizeof text);
    print_message("%s", text);
    assert_has(text, "Uid:\t19");
    assert_has(text, "Gid:\t19");
    assert_has(text, "Groups:\t \n");
    assert_has(text, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
                     "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n");
    assert_has(text, "NoNewPrivs:\t1");
    assert_has(text, "Seccomp:\t2");
    assert_has(text, "host=hob\ncwd=/app\n");
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
    (void)alarm(110);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instance_answers_over_its_channel),
        cmocka_unit_test(process_has_its_own_ids_and_no_privileges),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
