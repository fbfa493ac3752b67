/* Sandboxes that are started before it is known for whom, and then get their code. */
#include "client.h"

#include <dirent.h>

static struct fixture f;
static int sock;
static uint64_t next_id = 1;
static char cold[65536], stem[65536];

static struct hob_launch_request stem_request(void)
{
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_STEM;
    memset(head.digest, 0, sizeof head.digest);
    return head;
}

static struct hob_launch_request assign_request(uint64_t id)
{
    return (struct hob_launch_request){.magic = HOB_LAUNCH_MAGIC,
                                       .op = HOB_LAUNCH_ASSIGN,
                                       .id = id,
                                       .memory_mb = 64,
                                       .cpu_percent = 100,
                                       .cpu_weight = 100,
                                       .pids_max = 32,
                                       .digest = DIGEST};
}

static struct hob_launch_reply assign(const struct hob_launch_request *head)
{
    send_all(sock, head, sizeof *head, NULL, 0);
    return next_reply(sock, NULL);
}

static void expect_refused(struct hob_launch_request head, const char *why)
{
    struct hob_launch_reply reply = assign(&head);
    if (reply.answer != HOB_LAUNCH_FAILED || !strstr(reply.text, why))
        print_error("answer %u: '%s', wanted '%s'\n", reply.answer, reply.text, why);
    assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
    assert_non_null(strstr(reply.text, why));
    assert_int_not_equal(reply.errnum, 0);
}

static void end(struct instance *in)
{
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in->id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(in);
}

/* What the probe says in a stem that was assigned. */
static void run_stem(const char *word)
{
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", word));
    char byte;
    assert_int_equal(read(in.channel, &byte, 1), 1); /* it runs, and waits */
    struct hob_launch_request head = assign_request(in.id);
    assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
    assert_int_equal(write(in.channel, "g", 1), 1);
    (void)read_all(in.out, stem, sizeof stem);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
}

/* Numbers that differ between any two instances. */
static void blank_ids(char *text)
{
    static const char *const lines[] = {"Uid:", "Gid:"};
    for (size_t i = 0; i < 2; i++) {
        char *at = strstr(text, lines[i]);
        for (; at && *at && *at != '\n'; at++)
            if (*at >= '0' && *at <= '9')
                *at = '#';
    }
}

static void an_assigned_stem_looks_like_a_cold_sandbox_from_inside(void **state)
{
    (void)state;
    static const char *const words[] = {"status", "files", "descriptors", "network", "calls"};
    for (size_t i = 0; i < HOB_COUNT(words); i++) {
        (void)run_probe(sock, plain_request(next_id++), WORDS(words[i]), cold, sizeof cold);
        run_stem(words[i]);
        blank_ids(cold);
        blank_ids(stem);
        assert_string_equal(stem, cold);
    }
}

static void a_stem_sees_no_code_before_it_is_assigned_and_only_its_own_after(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "marker"));
    struct instance other = launch_probe(sock, stem_request(), WORDS("stem", "marker"));
    char byte;
    assert_int_equal(read(in.channel, &byte, 1), 1);
    assert_int_equal(byte, '0'); /* no marker there */
    assert_int_equal(read(other.channel, &byte, 1), 1);
    struct hob_launch_request head = assign_request(in.id);
    assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
    assert_int_equal(write(in.channel, "g", 1), 1);
    assert_int_equal(write(other.channel, "g", 1), 1);
    (void)read_all(in.out, stem, sizeof stem);
    assert_string_equal(stem, "marker=1 writable=0\n");
    (void)read_all(other.out, stem, sizeof stem);
    assert_string_equal(stem, "marker=0 writable=0\n"); /* its neighbour's code is not its own */
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    instance_done(&other);
}

static void assigning_sets_the_limits_of_the_function(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "memory", "40"));
    struct hob_launch_request head = assign_request(in.id);
    char byte;
    assert_int_equal(read(in.channel, &byte, 1), 1);
    head.memory_mb = 24;
    assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
    assert_int_equal(write(in.channel, "g", 1), 1);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_true(reply.usage.oom_kills > 0);
    instance_done(&in);
}

static void only_a_stem_can_be_assigned_and_only_once(void **state)
{
    (void)state;
    struct instance plain = launch_probe(sock, plain_request(next_id++), WORDS("hello"));
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "status"));
    expect_refused(assign_request(plain.id), "is no stem, or was assigned already");
    expect_refused(assign_request(999999), "is not live");
    struct hob_launch_request head = assign_request(in.id);
    assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
    expect_refused(head, "is no stem, or was assigned already");
    end(&plain);
    end(&in);
}

static void a_failed_assignment_cannot_be_repeated(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "status"));
    struct hob_launch_request head = assign_request(in.id);
    memset(head.digest, 'c', 64);
    expect_refused(head, "code 'ccc");
    expect_refused(assign_request(in.id), "is no stem, or was assigned already");
    end(&in);
}

static void bad_fields_of_an_assignment_are_refused(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "status"));
    struct hob_launch_request head = assign_request(in.id);
    head.digest[0] = '\0';
    expect_refused(head, "the digest");
    head = assign_request(in.id);
    memcpy(head.digest, "../../../etc", 13);
    expect_refused(head, "the digest");
    head = assign_request(in.id);
    head.digest[63] = '\0';
    expect_refused(head, "the digest");
    memset(head.digest, 'a', sizeof head.digest); /* without an end */
    expect_refused(head, "the digest");
    head = assign_request(in.id);
    head.memory_mb = 3;
    expect_refused(head, "memory_mb is 3");
    head.memory_mb = 65537;
    expect_refused(head, "memory_mb is 65537");
    head = assign_request(in.id);
    head.pids_max = 1;
    expect_refused(head, "pids_max is 1");
    head = assign_request(in.id);
    head.cpu_weight = 0;
    expect_refused(head, "cpu_weight is 0");
    head = assign_request(in.id);
    assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE); /* it was not spent by those */
    end(&in);
}

static void a_stem_with_code_and_unknown_flags_are_refused(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    const char *strings[] = {"/hob/runtime/probe", "hello", "GREETING=hello"};
    head.flags = HOB_LAUNCH_STEM;
    struct instance in = launch_send(sock, &head, strings);
    assert_non_null(strstr(next_reply(sock, NULL).text, "want no digest"));
    instance_done(&in);
    head.flags = HOB_LAUNCH_ZYGOTE << 1;
    in = launch_send(sock, &head, strings);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_FAILED);
    instance_done(&in);
}

static void another_connection_cannot_assign_this_ones_stem(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "status"));
    struct hob_launch_request head = assign_request(in.id);
    int other = dial(&f);
    send_all(other, &head, sizeof head, NULL, 0);
    assert_int_equal(next_reply(other, NULL).answer, HOB_LAUNCH_FAILED);
    (void)close(other);
    end(&in);
}

static int open_files(pid_t guard)
{
    char path[64], child[16] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", guard, guard);
    int fd = open(path, O_RDONLY | O_CLOEXEC), n = 0;
    assert_true(fd >= 0 && read(fd, child, sizeof child - 1) > 0);
    (void)close(fd);
    (void)snprintf(path, sizeof path, "/proc/%ld/fd", strtol(child, NULL, 10));
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

/* Once the shelves are as full as they shall be. */
static int settled_files(void)
{
    int n = -1;
    for (int now; (now = open_files(f.launcher)) != n; n = now)
        (void)usleep(300 * 1000);
    return n;
}

static void make_and_end_stems(int count)
{
    for (int i = 0; i < count; i++) {
        struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "status"));
        struct hob_launch_request head = assign_request(in.id);
        if (i % 2)
            assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
        end(&in);
    }
}

static void stems_leave_no_descriptor_behind(void **state)
{
    (void)state;
    bool is_flat = false; /* shelves grow by a round or two, a leak by every one */
    for (int i = 0; i < 4 && !is_flat; i++) {
        int before = settled_files();
        make_and_end_stems(150);
        is_flat = settled_files() < before + 100;
    }
    assert_true(is_flat);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void assigning_is_measured(void **state)
{
    (void)state;
    uint64_t took[60];
    for (size_t i = 0; i < HOB_COUNT(took); i++) {
        struct instance in = launch_probe(sock, stem_request(), WORDS("stem", "hello"));
        struct hob_launch_request head = assign_request(in.id);
        char byte;
        assert_int_equal(read(in.channel, &byte, 1), 1);
        (void)usleep(2000);
        uint64_t start_us = hob_now_us();
        assert_int_equal(assign(&head).answer, HOB_LAUNCH_DONE);
        took[i] = hob_now_us() - start_us;
        end(&in);
    }
    qsort(took, HOB_COUNT(took), sizeof took[0], compare);
    print_message("ASSIGN to DONE: min %llu us, median %llu us\n", (unsigned long long)took[0],
                  (unsigned long long)took[HOB_COUNT(took) / 2]);
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
        cmocka_unit_test(an_assigned_stem_looks_like_a_cold_sandbox_from_inside),
        cmocka_unit_test(a_stem_sees_no_code_before_it_is_assigned_and_only_its_own_after),
        cmocka_unit_test(assigning_sets_the_limits_of_the_function),
        cmocka_unit_test(only_a_stem_can_be_assigned_and_only_once),
        cmocka_unit_test(a_failed_assignment_cannot_be_repeated),
        cmocka_unit_test(bad_fields_of_an_assignment_are_refused),
        cmocka_unit_test(a_stem_with_code_and_unknown_flags_are_refused),
        cmocka_unit_test(another_connection_cannot_assign_this_ones_stem),
        cmocka_unit_test(stems_leave_no_descriptor_behind),
        cmocka_unit_test(assigning_is_measured),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
