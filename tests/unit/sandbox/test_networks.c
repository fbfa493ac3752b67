/* Whose network namespace an instance gets: a fresh one, or the empty one of an instance of the same app with the same
 * code that has ended; and who makes them. */
#include "client.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "sandbox/netns.h"

static struct fixture f;
static int sock;
static uint64_t next_id = 1;

static pid_t pid_of(int pidfd)
{
    char path[64];
    struct hob_buf b;
    hob_buf_init(&b, 4096);
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    assert_int_equal(hob_read_file(path, &b, NULL), HOB_OK);
    assert_int_equal(hob_buf_add(&b, "", 1), HOB_OK);
    const char *line = strstr(hob_buf_data(&b), "\nPid:");
    pid_t pid = line ? (pid_t)strtol(line + 5, NULL, 10) : 0;
    hob_buf_done(&b);
    return pid;
}

static ino_t network_of(const struct instance *in)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid_of(in->pidfd));
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static struct instance begin_word(const char *app, const char *word)
{
    struct hob_launch_request head = plain_request(next_id++);
    (void)snprintf(head.app, sizeof head.app, "%s", app);
    return launch_probe(sock, head, WORDS(word));
}

static struct instance begin(const char *app)
{
    return begin_word(app, "hello");
}

static void end(struct instance *in)
{
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in->id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(in);
}

enum { KEPT_MS = 8000 }; /* for a little longer it is kept: what took longer tells nothing */

static void an_ended_instances_network_serves_its_own_app_only_and_one_at_a_time(void **state)
{
    (void)state;
    struct instance first = begin("one");
    ino_t network = network_of(&first);
    end(&first);
    uint64_t ended_ms = hob_now_ms();
    struct instance foreign = begin("two"), nobodys = begin("");
    assert_true(network_of(&foreign) != network);
    assert_true(network_of(&nobodys) != network);
    assert_true(network_of(&foreign) != network_of(&nobodys));
    struct instance second = begin("one"), beside = begin("one");
    assert_true(network_of(&second) == network || hob_now_ms() - ended_ms > KEPT_MS);
    assert_true(network_of(&beside) != network_of(&second));
    network = network_of(&nobodys);
    end(&nobodys);
    nobodys = begin(""); /* what belongs to nobody serves nobody again */
    assert_true(network_of(&nobodys) != network);
    end(&foreign);
    end(&nobodys);
    end(&second);
    end(&beside);
}

/* It has sent one over its channel, where we leave it. */
static void a_network_of_which_a_socket_is_still_held_serves_nobody_again(void **state)
{
    (void)state;
    char word[5];
    struct instance giver = begin_word("giver", "give");
    ino_t network = network_of(&giver);
    assert_int_equal(recv(giver.channel, word, sizeof word, MSG_PEEK), sizeof word);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, giver.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    struct instance next = begin("giver");
    assert_true(network_of(&next) != network);
    instance_done(&giver);
    end(&next);
}

static void an_app_with_other_code_gets_another_network(void **state)
{
    (void)state;
    struct instance without = begin("three");
    ino_t network = network_of(&without);
    end(&without);
    struct hob_launch_request head = plain_request(next_id++);
    (void)snprintf(head.app, sizeof head.app, "three");
    memset(head.digest, 0, sizeof head.digest);
    struct instance in = launch_probe(sock, head, WORDS("hello"));
    assert_true(network_of(&in) != network);
    network = network_of(&in);
    end(&in);
    head.id = next_id++;
    in = launch_probe(sock, head, WORDS("hello")); /* without code nothing is kept */
    assert_true(network_of(&in) != network);
    end(&in);
}

static void an_app_that_is_no_text_of_64_characters_is_refused(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    memset(head.app, 'a', sizeof head.app);
    const char *strings[] = {"/hob/runtime/probe", "hello", "A=b"};
    for (int i = 0; i < 2; i++) {
        struct instance in = launch_send(sock, &head, strings);
        assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_FAILED);
        instance_done(&in);
        head.app[64] = '\0'; /* of the right length now, and with a */
        head.app[3] = '\n';
    }
    head.app[3] = 'a';
    struct instance in = launch_send(sock, &head, strings);
    assert_int_equal(next_reply(sock, &in.pidfd).answer, HOB_LAUNCH_LAUNCHED);
    end(&in);
}

static void without_the_process_that_makes_networks_launches_go_on(void **state)
{
    (void)state;
    char path[96], name[32] = "";
    struct hob_buf b;
    hob_buf_init(&b, 65536);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)f.launcher, (int)f.launcher);
    assert_int_equal(hob_read_file(path, &b, NULL), HOB_OK);
    long worker = strtol(hob_buf_data(&b), NULL, 10);
    hob_buf_done(&b);
    hob_buf_init(&b, 65536);
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", worker, worker);
    assert_int_equal(hob_read_file(path, &b, NULL), HOB_OK);
    long maker = strtol(hob_buf_data(&b), NULL, 10);
    hob_buf_done(&b);
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", maker);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, name, sizeof name - 1) > 0);
    (void)close(fd);
    assert_string_equal(name, "hob-netns\n");
    assert_int_equal(kill((pid_t)maker, SIGKILL), 0);
    struct instance all[40]; /* more than it can have made before */
    for (size_t i = 0; i < HOB_COUNT(all); i++) {
        all[i] = begin("");
        for (size_t k = 0; k < i; k++)
            assert_true(network_of(&all[i]) != network_of(&all[k]));
    }
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        end(&all[i]);
}

/* In the namespace `fd`: does `what` and comes back. */
static void within(int fd, int own, void (*what)(void))
{
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
    what();
    assert_int_equal(setns(own, CLONE_NEWNET), 0);
}

static int held = -1;

static void hold_a_socket(void)
{
    held = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(held >= 0);
}

/* Who closes first is left in TIME_WAIT. */
static void leave_time_wait(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect(one, (struct sockaddr *)&at, sizeof at), 0);
    assert_true((other = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    (void)close(one);
    (void)close(other);
    (void)close(listener);
}

static void a_network_with_a_socket_left_is_not_empty(void **state)
{
    (void)state;
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), proc = open("/proc", O_PATH | O_CLOEXEC);
    int fd = netns_make(own);
    assert_true(own >= 0 && proc >= 0 && fd >= 0);
    assert_true(netns_is_empty(fd, proc, own));
    within(fd, own, hold_a_socket);
    assert_false(netns_is_empty(fd, proc, own));
    (void)close(held);
    assert_true(netns_is_empty(fd, proc, own));
    within(fd, own, leave_time_wait);
    assert_false(netns_is_empty(fd, proc, own));
    (void)close(fd);
    (void)close(proc);
    (void)close(own);
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
        cmocka_unit_test(an_ended_instances_network_serves_its_own_app_only_and_one_at_a_time),
        cmocka_unit_test(a_network_of_which_a_socket_is_still_held_serves_nobody_again),
        cmocka_unit_test(an_app_with_other_code_gets_another_network),
        cmocka_unit_test(an_app_that_is_no_text_of_64_characters_is_refused),
        cmocka_unit_test(a_network_with_a_socket_left_is_not_empty),
        cmocka_unit_test(without_the_process_that_makes_networks_launches_go_on),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
