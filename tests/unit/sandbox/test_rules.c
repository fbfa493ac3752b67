/* What a compromised hobd or runner, speaking the protocol itself as the uid that is served, cannot make the launcher do:
 * show it more of the host than root has listed, mount anything but code, leave its ids, or tire. */
#include "client.h"

#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

enum { SERVED = 65534, CONNECTIONS = 16, BLOCK_MAJOR = 7 /* loop */ };

static struct fixture f;
static uint64_t next_id = 1;
static char text[65536];

/* A connection whose peer is the served uid, as the launcher sees it. */
static int dial_as_served(void)
{
    assert_int_equal(seteuid(SERVED), 0);
    int sock = dial(&f);
    assert_int_equal(seteuid(0), 0);
    return sock;
}

static struct hob_launch_reply try_runtime(const char *runtime)
{
    struct hob_launch_request head = plain_request(next_id++);
    const char *strings[] = {"/hob/runtime/probe", "hello", "A=b"};
    (void)snprintf(head.runtime, sizeof head.runtime, "%s", runtime);
    int sock = dial_as_served();
    struct instance in = launch_send(sock, &head, strings);
    struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
    instance_done(&in);
    (void)close(sock);
    return reply;
}

static void expect_foreign(const char *runtime)
{
    struct hob_launch_reply reply = try_runtime(runtime);
    assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
    assert_has(reply.text, "may change");
    assert_has(reply.text, "give it to root");
}

static void path_in_runtimes(char *out, size_t n, const char *name)
{
    (void)snprintf(out, n, "%s/%s", f.runtimes, name);
}

static void make_runtime(const char *name, uid_t owner, mode_t dir_mode, mode_t list_mode)
{
    char dir[192], list[224];
    path_in_runtimes(dir, sizeof dir, name);
    make_dir(dir);
    (void)snprintf(list, sizeof list, "%s/rootfs", dir);
    put_file(list, "/root\n", 0644);
    assert_int_equal(chmod(list, list_mode), 0);
    assert_int_equal(chown(list, owner, 0), 0);
    assert_int_equal(chmod(dir, dir_mode), 0);
}

static void a_runtime_that_the_served_uid_may_change_is_refused(void **state)
{
    (void)state;
    char path[192];
    make_runtime("owned", SERVED, 0755, 0644);
    expect_foreign("owned");
    make_runtime("open", 0, 0755, 0666);
    expect_foreign("open");
    make_runtime("open-dir", 0, 0777, 0644);
    expect_foreign("open-dir");
    path_in_runtimes(path, sizeof path, "link");
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(lchown(path, SERVED, SERVED), 0);
    expect_foreign("link");
    assert_int_equal(chmod(f.runtimes, 0777), 0); /* whoever may rename in it may replace */
    make_runtime("good", 0, 0755, 0644);
    expect_foreign("good");
    assert_int_equal(chmod(f.runtimes, 0755), 0);
    assert_int_equal(try_runtime("good").answer, HOB_LAUNCH_LAUNCHED);
}

static void names_lead_nowhere_but_below_the_two_folders(void **state)
{
    (void)state;
    static const char *const names[] = {"..",        ".", "../code", "/etc",    "a/b",
                                        "native/..", "",  "NATIVE",  "native ", "none"};
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        assert_int_equal(try_runtime(names[i]).answer, HOB_LAUNCH_FAILED);
}

/* The code folder is the served uid's own: it may hold anything. */
static void plant(void)
{
    static const struct {
        const char *name, *target;
    } links[] = {{"shadow", "/etc/shadow"},
                 {"up", "../../../../../../../etc/shadow"},
                 {"proc", "/proc/1/root/etc/shadow"},
                 {"self", "/proc/self/fd/3/../../etc/shadow"}};
    char path[256];
    for (size_t i = 0; i < HOB_COUNT(links); i++) {
        (void)snprintf(path, sizeof path, "%s/" DIGEST "/%s", f.code, links[i].name);
        assert_int_equal(symlink(links[i].target, path), 0);
    }
    (void)snprintf(path, sizeof path, "%s/" DIGEST "/disk", f.code);
    assert_int_equal(mknod(path, S_IFBLK | 0666, makedev(BLOCK_MAJOR, 0)), 0);
    (void)snprintf(path, sizeof path, "%s/" DIGEST "/suid", f.code);
    copy_file(BUILD_DIR "/tests/sandbox/probe", path, 0755);
    assert_int_equal(chmod(path, 06755), 0);
}

static void what_is_planted_in_the_code_folder_gives_nothing(void **state)
{
    (void)state;
    plant();
    int sock = dial_as_served();
    (void)run_probe(sock, plain_request(next_id++), WORDS("planted"), text, sizeof text);
    static const char *const names[] = {"shadow", "up", "proc", "self", "disk", "runtime"};
    for (size_t i = 0; i < HOB_COUNT(names); i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "%s=absent\n", names[i]);
        assert_has(text, line);
    }
    assert_has(text, "Uid:\t19"); /* the setuid bit of root's file did nothing */
    assert_has(text, "Gid:\t19");
    assert_has(text, "CapEff:\t0000000000000000");
    (void)close(sock);
}

static void floods_and_too_many_connections_hold_up_nobody_else(void **state)
{
    (void)state;
    int socks[CONNECTIONS], good = dial_as_served();
    struct hob_launch_request head = plain_request(1);
    head.op = 77;
    for (size_t i = 1; i < CONNECTIONS; i++) {
        socks[i] = dial_as_served();
        while (hob_fdmsg_send(socks[i], hob_str_n(&head, sizeof head), NULL, 0) ==
               1) /* until it would block */
            ;
    }
    int extra = dial_as_served(); /* one beyond: closed at once */
    struct pollfd p = {.fd = extra, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(recv(extra, &byte, 1, 0) <= 0);
    (void)close(extra);
    (void)run_probe(good, plain_request(next_id++), WORDS("status"), text, sizeof text);
    assert_has(text, "Uid:\t19");
    for (size_t i = 1; i < CONNECTIONS; i++)
        (void)close(socks[i]);
    (void)close(good);
}

/* --- egress: the launcher copies what the kernel names, and nothing else ------------------------------------------- */
static struct hob_launch_reply next_with(int sock, int fds[4], size_t *fds_n)
{
    struct hob_launch_reply reply = {0};
    struct pollfd p = {.fd = sock, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(hob_fdmsg_recv(sock, &reply, sizeof reply, fds, 4, fds_n), sizeof reply);
    return reply;
}

static int answer_call(int listener, uint64_t id, int errnum)
{
    union {
        char bytes[512];
        struct seccomp_notif_resp answer;
    } u;
    memset(&u, 0, sizeof u);
    u.answer.id = id;
    u.answer.error = -errnum;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &u);
}

static void a_connect_is_handed_on_with_address_and_socket(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_EGRESS;
    head.argc = 2;
    const char *strings[] = {"/hob/runtime/probe", "connects", "A=b"};
    int sock = dial_as_served(), fds[4] = {-1, -1, -1, -1}, domain = 0;
    size_t fds_n = 0;
    struct instance in = launch_send(sock, &head, strings);
    struct hob_launch_reply reply = next_with(sock, fds, &fds_n);
    assert_int_equal(reply.answer, HOB_LAUNCH_LAUNCHED);
    assert_int_equal(fds_n, 3);
    int listener = fds[1], dns = fds[2];
    in.pidfd = fds[0];
    struct sockaddr_in at = {0};
    socklen_t n = sizeof at;
    assert_int_equal(getsockname(dns, (struct sockaddr *)&at, &n), 0);
    assert_int_equal(ntohl(at.sin_addr.s_addr), 0x7f000035);
    assert_int_equal(ntohs(at.sin_port), 53);
    /* a descriptor that is no socket is handed on as well: who judges sees that */
    reply = next_with(sock, fds, &fds_n);
    assert_int_equal(reply.answer, HOB_LAUNCH_CONNECT);
    assert_int_equal(reply.fd, 1);
    (void)close(fds[0]);
    assert_int_equal(answer_call(listener, reply.call, ENOTSOCK), 0);
    reply = next_with(sock, fds, &fds_n);
    assert_int_equal(reply.answer, HOB_LAUNCH_CONNECT);
    assert_int_equal(reply.id, head.id);
    assert_int_equal(fds_n, 1);
    assert_int_equal(reply.address_n, sizeof at);
    memcpy(&at, reply.text, sizeof at);
    assert_int_equal(ntohl(at.sin_addr.s_addr), 0x01020304);
    n = sizeof domain;
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &n), 0);
    assert_int_equal(domain, AF_INET);
    (void)close(fds[0]);
    assert_int_equal(answer_call(listener, reply.call, EACCES), 0);
    assert_true(answer_call(listener, reply.call, EACCES) < 0);
    (void)read_all(in.out, text, sizeof text);
    assert_has(text, "wild=14\nshort=22\nlong=22\nhuge=22\nclosed=9\nfile=88\nright=13\n");
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    (void)close(listener);
    (void)close(dns);
    (void)close(sock);
}

static void a_caller_that_nobody_answers_can_be_ended(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_EGRESS;
    const char *strings[] = {"/hob/runtime/probe", "connects", "A=b"};
    int sock = dial_as_served(), fds[4] = {-1, -1, -1, -1};
    size_t fds_n = 0;
    struct instance in = launch_send(sock, &head, strings);
    assert_int_equal(next_with(sock, fds, &fds_n).answer, HOB_LAUNCH_LAUNCHED);
    for (size_t i = 0; i < fds_n; i++)
        (void)close(fds[i]);
    assert_int_equal(next_with(sock, fds, &fds_n).answer, HOB_LAUNCH_CONNECT);
    (void)close(fds[0]);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, head.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    (void)close(sock);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, BUILD_DIR "/tests/sandbox/tiny_init");
    f.served = SERVED;
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
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
        cmocka_unit_test(a_runtime_that_the_served_uid_may_change_is_refused),
        cmocka_unit_test(names_lead_nowhere_but_below_the_two_folders),
        cmocka_unit_test(what_is_planted_in_the_code_folder_gives_nothing),
        cmocka_unit_test(floods_and_too_many_connections_hold_up_nobody_else),
        cmocka_unit_test(a_connect_is_handed_on_with_address_and_socket),
        cmocka_unit_test(a_caller_that_nobody_answers_can_be_ended),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
