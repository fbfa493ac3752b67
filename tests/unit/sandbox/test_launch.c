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
    assert_has(text, "Uid:\t19");
    assert_has(text, "Gid:\t19");
    assert_has(text, "Groups:\t \n");
    assert_has(text, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
                     "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n");
    assert_has(text, "NoNewPrivs:\t1");
    assert_has(text, "Seccomp:\t2");
    assert_has(text, "oom_score_adj=500\n");
    assert_has(text, "host=hob\ncwd=/app\n");
}

/* --- what is seen from inside --------------------------------------------------------------------------------- */
static void files_are_read_only_and_only_what_the_runtime_needs(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("files"), text, sizeof text);
    static const char *const want[] = {"readonly/=1",
                                       "readonly/app=1",
                                       "readonly/hob=1",
                                       "readonly/hob/runtime=1",
                                       "readonly/etc=1",
                                       "readonly/usr=1",
                                       "readonly/usr/lib=1",
                                       "readonly/dev=1",
                                       "readonly/proc=1",
                                       "tmp=1",
                                       "shm=1",
                                       "absent/proc/meminfo=1",
                                       "absent/proc/sys=1",
                                       "absent/proc/kcore=1",
                                       "absent/sys/kernel=1",
                                       "absent/root=1",
                                       "absent/home=1",
                                       "absent/var=1",
                                       "absent/etc/shadow=1",
                                       "absent/dev/kmsg=1",
                                       "absent/dev/mem=1",
                                       "absent/bin/sh=1",
                                       "absent/usr/bin/python3=1",
                                       "absent/usr/bin=0", /* the rootfs file lists /usr/bin/env */
                                       "proc_others=0",
                                       "code=1",
                                       "random=1"};
    for (size_t i = 0; i < HOB_COUNT(want); i++)
        assert_has(text, want[i]);
}

static void descriptors_environment_and_limits_are_those_asked_for(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("descriptors"), text, sizeof text);
    assert_has(text, "fd0=other\nfd1=pipe\nfd2=pipe\nfd3=socket\nenv ");
    assert_null(strstr(text, "fd4"));
    assert_has(text,
               "env PATH=/usr/local/bin:/usr/bin:/bin\nenv HOME=/tmp\nenv TMPDIR=/tmp\nenv LANG=C.UTF-8\n"
               "env GREETING=hello\nlimit_");
    assert_has(text, "limit_core=1/1\n");
    assert_has(text, "limit_nofile=256/256\n");
    assert_has(text, "limit_fsize=1073741824/1073741824\n");
    assert_has(text, "limit_memlock=65536/65536\n");
}

static void given_environment_replaces_the_default(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.envc = 2;
    const char *strings[] = {"/hob/runtime/probe", "descriptors", "HOME=/app", "PATHX=1"};
    struct instance in = launch_send(sock, &head, strings);
    assert_int_equal(next_reply(sock, &in.pidfd).answer, HOB_LAUNCH_LAUNCHED);
    (void)read_all(in.out, text, sizeof text);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    assert_has(text,
               "env PATH=/usr/local/bin:/usr/bin:/bin\nenv TMPDIR=/tmp\nenv LANG=C.UTF-8\nenv HOME=/app\n"
               "env PATHX=1\nlimit");
    instance_done(&in);
}

static void standard_input_is_what_was_given(void **state)
{
    (void)state;
    static char message[4096];
    struct hob_launch_request head = plain_request(next_id++);
    static const char strings[] = "/hob/runtime/probe\0descriptors";
    int channel[2], out[2], in[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    head.envc = 0;
    head.strings_n = sizeof strings;
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, strings, sizeof strings);
    send_all(sock, message, sizeof head + sizeof strings, (int[]){channel[1], out[1], out[1], in[0]}, 4);
    (void)close(out[1]);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_LAUNCHED);
    (void)read_all(out[0], text, sizeof text);
    assert_has(text, "fd0=pipe\nfd1=pipe\nfd2=pipe\nfd3=socket\nenv");
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    int all[] = {channel[0], channel[1], out[0], in[0], in[1]};
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        (void)close(all[i]);
}

static void network_is_an_empty_loopback(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("network"), text, sizeof text);
    assert_has(text, "devices=1\n");
    assert_has(text, "socket_tcp=0\nsocket_udp6=0\nsocket_unix=0\n");
    assert_has(text, "socket_mptcp=93\nsocket_raw=93\nsocket_ping=93\n"); /* EPROTONOSUPPORT */
    assert_has(text,
               "socket_netlink=97\nsocket_packet=97\nsocket_vsock=97\nsocket_alg=97\n"); /* EAFNOSUPPORT */
    assert_has(text, "loopback=1\n"); /* its own, up; the launcher's is down */
    assert_null(strstr(text, "connect=0"));
    struct hob_launch_reply reply = ask(sock, HOB_LAUNCH_PROBE, 1, 0);
    const char *abi = strstr(reply.text, "landlock: ABI ");
    if (abi && strtol(abi + strlen("landlock: ABI "), NULL, 10) >= 4)
        assert_has(text, "connect=13\n"); /* EACCES: Landlock, not merely no route */
}

static void forbidden_system_calls_do_not_reach_the_kernel(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("calls"), text, sizeof text);
    static const char *const nosys[] = {"mount",
                                        "umount2",
                                        "pivot_root",
                                        "chroot",
                                        "unshare",
                                        "setns",
                                        "clone3",
                                        "ptrace",
                                        "process_vm_readv",
                                        "bpf",
                                        "perf_event_open",
                                        "io_uring_setup",
                                        "keyctl",
                                        "add_key",
                                        "init_module",
                                        "kexec_load",
                                        "open_by_handle_at",
                                        "userfaultfd",
                                        "clock_settime",
                                        "reboot",
                                        "setuid",
                                        "setgroups",
                                        "mknod",
                                        "move_mount",
                                        "open_tree",
                                        "mbind"};
    static const char *const eperm[] = {"clone_newuser", "clone_newnet", "personality", "tiocsti"};
    char line[64];
    for (size_t i = 0; i < HOB_COUNT(nosys); i++) {
        (void)snprintf(line, sizeof line, "call_%s=%d\n", nosys[i], ENOSYS);
        assert_has(text, line);
    }
    for (size_t i = 0; i < HOB_COUNT(eperm); i++) {
        (void)snprintf(line, sizeof line, "call_%s=%d\n", eperm[i], EPERM);
        assert_has(text, line);
    }
}

static void denied_calls_are_told_by_name(void **state)
{
    (void)state;
    *denied_names = '\0';
    denied_n = 0;
    (void)run_probe(sock, plain_request(next_id++), WORDS("calls"), text, sizeof text);
    static const char *const told[] = {"mount\n", "ptrace\n", "bpf\n", "keyctl\n", "setns\n"};
    for (size_t i = 0; i < HOB_COUNT(told); i++)
        assert_has(denied_names, told[i]);
    assert_null(strstr(denied_names, "clone3")); /* a habit of libraries */
    assert_null(strstr(denied_names, "last"));
    assert_true(denied_n >= 20 && denied_n < 64);
}

static void a_flood_of_denied_calls_is_told_up_to_a_limit(void **state)
{
    (void)state;
    *denied_names = '\0';
    denied_n = 0;
    (void)run_probe(sock, plain_request(next_id++), WORDS("denied", "100000"), text, sizeof text);
    assert_has(text, "enosys=100000\n");
    assert_int_equal(denied_n, 64);
    unsigned long long us = strtoull(strstr(text, "us=") + 3, NULL, 10);
    assert_true(us < 60 * 1000 * 1000); /* the kernel answers, not we: 100,000 by us would take minutes */
    print_message("100000 denied calls: %llu us\n", us);
}

static struct hob_syscalls profile_of(const char *const *names)
{
    struct hob_syscalls set = hob_syscalls_always();
    for (; *names; names++) {
        int index = hob_syscall_find(hob_str(*names));
        assert_true(index >= 0);
        hob_syscalls_add(&set, (size_t)index);
    }
    return set;
}

/* "network" makes sockets, which its profile does or does not name; a name that no list has cannot be asked for. */
static void a_profile_denies_and_names_what_it_leaves_out(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    *denied_names = '\0';
    head.flags = HOB_LAUNCH_PROFILE;
    head.calls = profile_of(WORDS("ioctl", "fstat", "newfstatat", "openat", "pause"));
    struct instance in = launch_probe(sock, head, WORDS("network"));
    (void)read_all(in.out, text, sizeof text);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
    assert_has(text, "socket_tcp=38\n");
    assert_has(denied_names, "socket\n");
    *denied_names = '\0';
    head.id = next_id++;
    head.calls = profile_of(WORDS("ioctl", "fstat", "newfstatat", "openat", "pause", "socket", "bind",
                                  "sendto", "connect", "listen", "accept", "getsockname", "accept4"));
    (void)run_probe(sock, head, WORDS("network"), text, sizeof text);
    assert_has(text, "socket_tcp=0\n");
    assert_has(text, "socket_netlink=97\n"); /* the list's judgement of arguments holds on */
    assert_null(strstr(denied_names, "socket\n"));
}

static void with_a_whole_profile_denied_calls_stay_denied(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_PROFILE;
    for (size_t i = 0; i < hob_syscalls_count(); i++)
        hob_syscalls_add(&head.calls, i);
    *denied_names = '\0';
    (void)run_probe(sock, head, WORDS("calls"), text, sizeof text);
    static const char *const told[] = {"mount\n", "ptrace\n", "bpf\n", "keyctl\n", "setns\n"};
    for (size_t i = 0; i < HOB_COUNT(told); i++)
        assert_has(denied_names, told[i]);
    assert_has(text, "call_mount=38\n");
    assert_has(text, "call_personality=1\n");
}

static void learning_tells_what_is_used_and_allows_no_more(void **state)
{
    (void)state;
    for (unsigned egress = 0; egress <= HOB_LAUNCH_EGRESS; egress += HOB_LAUNCH_EGRESS) {
        struct hob_launch_request head = plain_request(next_id++);
        head.flags = HOB_LAUNCH_LEARN | egress;
        *denied_names = *used_names = '\0';
        (void)run_probe(sock, head, WORDS("calls"), text, sizeof text);
        assert_has(text, "call_mount=38\n");
        assert_has(text, "call_personality=1\n");
        static const char *const told[] = {"mount\n", "ptrace\n", "bpf\n", "keyctl\n", "setns\n"};
        for (size_t i = 0; i < HOB_COUNT(told); i++)
            assert_has(denied_names, told[i]);
        assert_has(used_names, "rt_sigaction\n");
        assert_has(used_names, "wait4\n"); /* hob-init's, too */
        assert_null(strstr(used_names, "mount\n"));
        assert_null(strstr(used_names, "personality\n")); /* refused by its argument */
    }
}

static void denied_calls_are_told_with_egress_too(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.flags = HOB_LAUNCH_EGRESS;
    *denied_names = '\0';
    denied_n = 0;
    (void)run_probe(sock, head, WORDS("denied", "2000"), text, sizeof text);
    assert_has(text, "enosys=2000\n");
    assert_int_equal(denied_n, 64);
}

static void a_call_of_a_foreign_architecture_kills(void **state)
{
    (void)state;
#ifdef __x86_64__
    struct hob_launch_reply reply =
        run_probe(sock, plain_request(next_id++), WORDS("i386"), text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(WEXITSTATUS(reply.wait_status), 128 + SIGSYS);
#endif
}

/* --- limits --------------------------------------------------------------------------------------------------- */
static void a_fork_bomb_stays_within_its_processes(void **state)
{
    (void)state;
    struct hob_launch_reply reply =
        run_probe(sock, plain_request(next_id++), WORDS("forks"), text, sizeof text);
    assert_string_equal(text, "made=30 errno=11\n"); /* and init, and the probe: 32 */
    assert_true(reply.usage.pids_denied >= 1);
    assert_int_equal(WEXITSTATUS(reply.wait_status), 0);
}

static void a_memory_bomb_ends_the_whole_instance(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.memory_mb = 16;
    struct hob_launch_reply reply = run_probe(sock, head, WORDS("memory", "256"), text, sizeof text);
    assert_string_equal(text, "");
    assert_true(reply.usage.oom_kills >= 1);
    assert_true(reply.usage.memory_peak_bytes > 15 << 20 && reply.usage.memory_peak_bytes <= 16 << 20);
    head.id = next_id++;
    /* the bomb is a child: the kernel kills it alone on v1, the launcher the rest */
    reply = run_probe(sock, head, WORDS("memory", "256", "child"), text, sizeof text);
    assert_string_equal(text, "parent\n");
    assert_true(reply.usage.oom_kills >= 1);
    head.id = next_id++;
    reply = run_probe(sock, head, WORDS("memory", "8"), text, sizeof text); /* the next one has its own */
    assert_string_equal(text, "took=8\n");
    assert_int_equal(reply.usage.oom_kills, 0);
}

static void tmp_and_shm_share_one_budget(void **state)
{
    (void)state;
    (void)run_probe(sock, plain_request(next_id++), WORDS("fill", "/tmp"), text, sizeof text);
    assert_has(text, "bytes=1048576 errno=28\n");
    assert_has(text, " errno=28\n");
    long inodes = strtol(strstr(text, "inodes=") + 7, NULL, 10);
    assert_true(inodes >= 97 && inodes <= 99); /* of 100: the root and .shm are two */
    (void)run_probe(sock, plain_request(next_id++), WORDS("fill", "/dev/shm"), text, sizeof text);
    assert_has(text, "bytes=1048576 errno=28\n");
}

static void cpu_has_a_ceiling(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    head.cpu_percent = 20;
    struct instance in = launch_probe(sock, head, WORDS("spin"));
    uint64_t start_us = hob_now_us();
    (void)usleep(1000 * 1000);
    struct hob_launch_reply stats = ask(sock, HOB_LAUNCH_STATS, in.id, 0);
    uint64_t passed_us = hob_now_us() - start_us;
    assert_int_equal(stats.answer, HOB_LAUNCH_DONE);
    print_message("cpu in %llu ms at 20 %%: %llu us\n", (unsigned long long)passed_us / 1000,
                  (unsigned long long)stats.usage.cpu_us);
    assert_true(stats.usage.cpu_us < passed_us / 5 + 200000); /* a period or two may be begun */
    assert_int_equal(stats.usage.pids, 2);
    assert_true(stats.usage.memory_bytes > 0);
    (void)ask(sock, HOB_LAUNCH_STOP, in.id, 0);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static void a_frozen_instance_does_nothing_until_thawed(void **state)
{
    (void)state;
    char word[8] = "";
    struct instance in = launch_probe(sock, plain_request(next_id++), WORDS("echo"));
    struct pollfd p = {.fd = in.channel, .events = POLLIN};
    assert_int_equal(write(in.channel, "one", 3), 3);
    assert_int_equal(read(in.channel, word, sizeof word), 3);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, in.id, 0).answer, HOB_LAUNCH_DONE);
    (void)usleep(50 * 1000);
    assert_int_equal(write(in.channel, "two", 3), 3);
    assert_int_equal(poll(&p, 1, 200), 0);
    assert_int_equal(ask(sock, HOB_LAUNCH_THAW, in.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(read(in.channel, word, sizeof word), 3);
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, in.id, 0).answer, HOB_LAUNCH_DONE);
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 2000).answer,
                     HOB_LAUNCH_DONE); /* it dies all the same */
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_int_equal(WEXITSTATUS(reply.wait_status), 128 + SIGTERM);
    instance_done(&in);
}

static void a_stubborn_instance_is_killed_after_its_grace(void **state)
{
    (void)state;
    char word[8] = "";
    struct instance in = launch_probe(sock, plain_request(next_id++), WORDS("stubborn"));
    assert_int_equal(read(in.channel, word, sizeof word), 5);
    uint64_t start_ms = hob_now_ms();
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 300).answer, HOB_LAUNCH_DONE);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    uint64_t took_ms = hob_now_ms() - start_ms;
    assert_int_equal(reply.answer, HOB_LAUNCH_EXITED);
    assert_int_equal(WTERMSIG(reply.wait_status), SIGKILL);
    assert_true(took_ms >= 300);
    struct pollfd p = {.fd = sock, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0); /* EXITED comes once */
    assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 0).answer, HOB_LAUNCH_FAILED);
    instance_done(&in);
}

static void a_stop_right_behind_the_launch_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct instance in = launch_probe(sock, plain_request(next_id++), WORDS("echo"));
        assert_int_equal(ask(sock, HOB_LAUNCH_STOP, in.id, 2 * PATIENCE_MS).answer, HOB_LAUNCH_DONE);
        struct hob_launch_reply reply = next_reply(sock, NULL);
        assert_int_equal(WEXITSTATUS(reply.wait_status), 128 + SIGTERM);
        instance_done(&in);
    }
}

static void exit_status_and_usage_come_with_exited(void **state)
{
    (void)state;
    struct hob_launch_reply reply =
        run_probe(sock, plain_request(next_id++), WORDS("exit", "7"), text, sizeof text);
    assert_int_equal(WEXITSTATUS(reply.wait_status), 7);
    assert_true(reply.usage.cpu_us > 0);
    assert_true(reply.usage.memory_peak_bytes > 0);
    assert_int_equal(reply.usage.pids, 0);
}

static void a_closed_connection_takes_its_instances_with_it(void **state)
{
    (void)state;
    int other = dial(&f);
    struct instance in = launch_probe(other, plain_request(1), WORDS("hello"));
    (void)close(other);
    struct pollfd p = {.fd = in.pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    instance_done(&in);
    assert_int_equal(ask(sock, HOB_LAUNCH_PROBE, 1, 0).answer, HOB_LAUNCH_PROBED);
}

static void the_unpacker_runs_without_code(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++);
    (void)snprintf(head.runtime, sizeof head.runtime, "unpack");
    head.digest[0] = '\0';
    const char *strings[] = {"/hob/unpack", "status", "A=b"};
    struct instance in = launch_send(sock, &head, strings);
    struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
    assert_int_equal(reply.answer, HOB_LAUNCH_LAUNCHED);
    (void)read_all(in.out, text, sizeof text);
    assert_has(text, "cwd=/tmp\n");
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
}

static void the_probe_reports_line_by_line(void **state)
{
    (void)state;
    struct hob_launch_reply reply = ask(sock, HOB_LAUNCH_PROBE, 5, 0);
    assert_int_equal(reply.answer, HOB_LAUNCH_PROBED);
    print_message("%s", reply.text);
    assert_has(reply.text, "ok cgroup: v");
    assert_has(reply.text, "\nok root: ");
    assert_has(reply.text, "landlock");
    for (const char *line = reply.text; *line; line = strchr(line, '\n') + 1)
        assert_true(strncmp(line, "ok ", 3) == 0 || strncmp(line, "warn ", 5) == 0 ||
                    strncmp(line, "fail ", 5) == 0);
}

/* --- hostile requests ----------------------------------------------------------------------------------------- */
static void expect_refusal(struct hob_launch_request head, const char *why)
{
    const char *strings[] = {"/hob/runtime/probe", "status", "A=b"};
    struct instance in = launch_send(sock, &head, strings);
    struct hob_launch_reply reply = next_reply(sock, NULL);
    assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
    assert_int_equal(reply.id, head.id);
    assert_true(reply.errnum > 0);
    assert_has(reply.text, why);
    instance_done(&in);
}

static void bad_fields_are_refused_with_the_reason(void **state)
{
    (void)state;
    struct hob_launch_request head = plain_request(next_id++), bad;
#define REFUSED(field, value, why) (bad = head, bad.field = (value), expect_refusal(bad, why))
    REFUSED(magic, 1, "magic");
    REFUSED(op, 0, "operation 0");
    REFUSED(op, 9, "operation 9");
    REFUSED(memory_mb, 3, "memory_mb is 3; it may be 4 to 65536");
    REFUSED(memory_mb, 65537, "memory_mb");
    REFUSED(cpu_weight, 0, "cpu_weight");
    REFUSED(cpu_weight, 10001, "cpu_weight");
    REFUSED(pids_max, 1, "pids_max");
    REFUSED(nofile_max, 0, "nofile_max");
    REFUSED(tmp_inodes, 1, "tmp_inodes");
    REFUSED(tmp_bytes, 0, "tmp_bytes");
    REFUSED(fsize_bytes, 0, "fsize_bytes");
    REFUSED(flags, 32, "flags");
    REFUSED(flags, HOB_LAUNCH_ZYGOTE | HOB_LAUNCH_EGRESS, "a zygote with egress");
    REFUSED(flags, HOB_LAUNCH_ZYGOTE | HOB_LAUNCH_LEARN, "a zygote with egress, or to learn from");
    REFUSED(flags, HOB_LAUNCH_STEM | HOB_LAUNCH_EGRESS, "stem");
    REFUSED(flags, HOB_LAUNCH_STEM | HOB_LAUNCH_LEARN, "stem");
    REFUSED(flags, HOB_LAUNCH_PROFILE | HOB_LAUNCH_LEARN, "learning with a profile");
    REFUSED(calls.bits[0], 1, "calls without the flag");
    bad = head;
    bad.flags = HOB_LAUNCH_PROFILE;
    bad.calls = hob_syscalls_always();
    bad.calls.bits[hob_syscalls_count() / 64] |= 1ULL << hob_syscalls_count() % 64;
    expect_refusal(bad, "calls that a sandbox may not make");
    REFUSED(reserved, 1, "reserved");
    REFUSED(runtime[0], 'X', "runtime's name");
    REFUSED(runtime[0], '\0', "runtime's name");
    REFUSED(runtime[0], '/', "runtime's name");
    REFUSED(runtime[0], 'z', "there is no");
    REFUSED(digest[0], 'g', "digest");
    REFUSED(digest[63], '\0', "digest");
    REFUSED(digest[0], '1', "code '1");
#undef REFUSED
    bad = head;
    memset(bad.runtime, 'a', sizeof bad.runtime);
    expect_refusal(bad, "runtime's name");
    bad = head;
    memcpy(bad.digest, "../../../../../../../../../../../../../../../../../../../../etc/", 64);
    expect_refusal(bad, "digest");
    memset(bad.digest, 'a', sizeof bad.digest);
    expect_refusal(bad, "digest");
}

static void miscounted_strings_and_descriptors_are_refused(void **state)
{
    (void)state;
    static char message[8192];
    struct hob_launch_request head = plain_request(next_id++);
    int pair[2], dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    static const struct {
        uint32_t argc, envc, strings_n;
        size_t sent;
        const char *strings, *why;
        size_t fds_n;
    } bad[] = {
        {1, 0, 2, 2, "a", NULL, 2},
        {1, 0, 2, 2, "a", "1 descriptors", 1},
        {1, 0, 2, 2, "a", "0 descriptors", 0},
        {0, 0, 2, 2, "a", "argc", 3},
        {257, 0, 2, 2, "a", "argc", 3},
        {1, 513, 2, 2, "a", "envc", 3},
        {2, 0, 2, 2, "a", "strings end", 3},
        {1, 0, 4, 4, "a\0b", "behind the last", 3},
        {1, 0, 3, 2, "a", "strings_n", 3},
        {1, 0, 2, 2, "ab", "strings end", 3},
        {1, 1, 5, 5, "a\0=b", "NAME=value", 3},
        {1, 1, 5, 5, "a\0bc", "NAME=value", 3},
        {0xffffffff, 2, 2, 2, "a", "argc", 3},
        {1, 0, 0, 0, "", "strings_n", 3},
        {1, 0, 7, 7, "--http", "--http: want", 3},
        {4, 0, 17, 17,
         "--http\0"
         "1023\0--\0a",
         "--http: want", 3},
        {4, 0, 18, 18,
         "--http\0"
         "65536\0--\0a",
         "--http: want", 3},
        {4, 0, 17, 17,
         "--http\0"
         "8080\0-a\0a",
         "--http: want", 3},
        {3, 0, 15, 15,
         "--http\0"
         "8080\0--",
         "--http: want", 3},
        {4, 0, 22, 22,
         "--http\0"
         "8080+1023\0--\0a",
         "--http: want", 3},
        {4, 0, 22, 22,
         "--http\0"
         "8080+8080\0--\0a",
         "--http: want", 3},
        {4, 0, 18, 18,
         "--http\0"
         "8080+\0--\0a",
         "--http: want", 3},
    };
    for (size_t i = 1; i < HOB_COUNT(bad); i++) {
        head.argc = bad[i].argc;
        head.envc = bad[i].envc;
        head.strings_n = bad[i].strings_n;
        memcpy(message, &head, sizeof head);
        memcpy(message + sizeof head, bad[i].strings, bad[i].sent);
        send_all(sock, message, sizeof head + bad[i].sent, (int[]){pair[0], pair[0], pair[0]}, bad[i].fds_n);
        struct hob_launch_reply reply = next_reply(sock, NULL);
        assert_int_equal(reply.answer, HOB_LAUNCH_FAILED);
        assert_has(reply.text, bad[i].why);
    }
    head.argc = 1;
    head.envc = 0;
    head.strings_n = 2;
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, "a", 2);
    send_all(sock, message, sizeof head + 2, (int[]){pair[0], dir, pair[0]}, 3);
    assert_has(next_reply(sock, NULL).text, "descriptor 1");
    send_all(sock, message, sizeof head + 2, (int[]){dir, pair[0], pair[0]}, 3);
    assert_has(next_reply(sock, NULL).text, "descriptor 0");
    send_all(sock, message, 7, NULL, 0);
    assert_has(next_reply(sock, NULL).text, "7 bytes");
    (void)close(dir);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void a_used_id_is_refused_and_a_free_one_is_not(void **state)
{
    (void)state;
    struct instance in = launch_probe(sock, plain_request(77), WORDS("hello"));
    struct hob_launch_request again = plain_request(77);
    expect_refusal(again, "in use");
    assert_int_equal(ask(sock, HOB_LAUNCH_FREEZE, 78, 0).answer, HOB_LAUNCH_FAILED);
    int other = dial(&f); /* ids belong to a connection */
    assert_int_equal(ask(other, HOB_LAUNCH_STOP, 77, 0).errnum, ESRCH);
    struct instance same = launch_probe(other, plain_request(77), WORDS("exit", "0"));
    assert_int_equal(next_reply(other, NULL).answer, HOB_LAUNCH_EXITED);
    (void)close(other);
    instance_done(&same);
    (void)ask(sock, HOB_LAUNCH_STOP, 77, 0);
    assert_int_equal(next_reply(sock, NULL).answer, HOB_LAUNCH_EXITED);
    instance_done(&in);
}

static void a_code_folder_that_is_a_link_is_refused(void **state)
{
    (void)state;
    char path[256];
    struct hob_launch_request head = plain_request(next_id++);
    memset(head.digest, 'b', 64);
    (void)snprintf(path, sizeof path, "%s/%s", f.code, head.digest);
    assert_int_equal(symlink("/etc", path), 0);
    expect_refusal(head, "code 'bbb");
    assert_int_equal(unlink(path), 0);
}

static void garbage_never_stops_the_service(void **state)
{
    (void)state;
    static unsigned char message[4096];
    unsigned seed = 42;
    int other = dial(&f), extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + (size_t)rand_r(&seed) % sizeof message;
        struct hob_launch_request head = plain_request((uint64_t)round);
        for (size_t i = 0; i < n; i++)
            message[i] = (unsigned char)rand_r(&seed);
        if (round % 2 && n > sizeof head) { /* almost right: one byte of the head is wrong */
            head.strings_n = (uint32_t)(n - sizeof head);
            memcpy(message, &head, sizeof head);
            message[(size_t)rand_r(&seed) % sizeof head] ^= (unsigned char)(1 + rand_r(&seed) % 255);
        }
        send_all(other, message, n, &extra, (size_t)(round % 3 == 0));
        enum hob_launch_answer answer = next_reply(other, NULL).answer;
        assert_true(answer == HOB_LAUNCH_FAILED || answer == HOB_LAUNCH_PROBED);
    }
    (void)close(other);
    (void)close(extra);
    assert_int_equal(ask(sock, HOB_LAUNCH_PROBE, 1, 0).answer, HOB_LAUNCH_PROBED);
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
        cmocka_unit_test(instance_answers_over_its_channel),
        cmocka_unit_test(process_has_its_own_ids_and_no_privileges),
        cmocka_unit_test(files_are_read_only_and_only_what_the_runtime_needs),
        cmocka_unit_test(descriptors_environment_and_limits_are_those_asked_for),
        cmocka_unit_test(given_environment_replaces_the_default),
        cmocka_unit_test(standard_input_is_what_was_given),
        cmocka_unit_test(network_is_an_empty_loopback),
        cmocka_unit_test(forbidden_system_calls_do_not_reach_the_kernel),
        cmocka_unit_test(denied_calls_are_told_by_name),
        cmocka_unit_test(a_flood_of_denied_calls_is_told_up_to_a_limit),
        cmocka_unit_test(a_profile_denies_and_names_what_it_leaves_out),
        cmocka_unit_test(with_a_whole_profile_denied_calls_stay_denied),
        cmocka_unit_test(learning_tells_what_is_used_and_allows_no_more),
        cmocka_unit_test(denied_calls_are_told_with_egress_too),
        cmocka_unit_test(a_call_of_a_foreign_architecture_kills),
        cmocka_unit_test(a_fork_bomb_stays_within_its_processes),
        cmocka_unit_test(a_memory_bomb_ends_the_whole_instance),
        cmocka_unit_test(tmp_and_shm_share_one_budget),
        cmocka_unit_test(cpu_has_a_ceiling),
        cmocka_unit_test(a_frozen_instance_does_nothing_until_thawed),
        cmocka_unit_test(a_stubborn_instance_is_killed_after_its_grace),
        cmocka_unit_test(a_stop_right_behind_the_launch_is_not_lost),
        cmocka_unit_test(exit_status_and_usage_come_with_exited),
        cmocka_unit_test(a_closed_connection_takes_its_instances_with_it),
        cmocka_unit_test(the_unpacker_runs_without_code),
        cmocka_unit_test(the_probe_reports_line_by_line),
        cmocka_unit_test(bad_fields_are_refused_with_the_reason),
        cmocka_unit_test(miscounted_strings_and_descriptors_are_refused),
        cmocka_unit_test(a_used_id_is_refused_and_a_free_one_is_not),
        cmocka_unit_test(a_code_folder_that_is_a_link_is_refused),
        cmocka_unit_test(garbage_never_stops_the_service),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
