/* hob-init as a real process: outside and, where the machine lets us, as pid 1 of a pid namespace. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"

static char init_path[300];

struct child {
    pid_t pid;
    int out, channel; /* its stdout and stderr, and the other end of its descriptor 3 */
};

static void become(const char *script, int out, int channel)
{
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    (void)dup2(channel, 3);
    (void)execl(init_path, "hob-init", "--", "/bin/sh", "-c", script, (char *)NULL);
    _exit(99);
}

static struct child start(const char *script, int clone_flags)
{
    int out[2], channel[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
    struct child c = {.out = out[0], .channel = channel[0]};
    c.pid = (pid_t)syscall(SYS_clone, (unsigned long)clone_flags | SIGCHLD, NULL, NULL, NULL, 0);
    if (c.pid == 0) {
        for (int fd = 60; fd >= 10; fd--)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        become(script, fcntl(out[1], F_DUPFD_CLOEXEC, 30), fcntl(channel[1], F_DUPFD_CLOEXEC, 30));
    }
    (void)close(out[1]);
    (void)close(channel[1]);
    return c;
}

static bool can_make_pid_namespace(void)
{
    struct child c = start("true", CLONE_NEWPID);
    if (c.pid < 0)
        return false;
    (void)close(c.out);
    (void)close(c.channel);
    return waitpid(c.pid, NULL, 0) == c.pid;
}

/* Waits for its end; the output is in `text`. */
static int finish(struct child *c, char *text, size_t text_bytes)
{
    size_t n = 0;
    ssize_t got;
    while (n < text_bytes - 1 && (got = read(c->out, text + n, text_bytes - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFEXITED(status));
    (void)close(c->out);
    (void)close(c->channel);
    return WEXITSTATUS(status);
}

static int run(const char *script, int clone_flags, char *text, size_t text_bytes)
{
    struct child c = start(script, clone_flags);
    assert_true(c.pid > 0);
    return finish(&c, text, text_bytes);
}

static void await(struct child *c, const char *word)
{
    char text[64];
    ssize_t n = read(c->out, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_contains(text, word);
}

/* ---- tests: each outside (0) and as pid 1 ---- */

static int flavours[2], flavours_n;

static void it_ends_as_its_program_ends(void **state)
{
    (void)state;
    char text[256];
    for (int i = 0; i < flavours_n; i++) {
        assert_int_equal(run("exit 0", flavours[i], text, sizeof text), 0);
        assert_int_equal(run("exit 7", flavours[i], text, sizeof text), 7);
        assert_int_equal(run("exit 255", flavours[i], text, sizeof text), 255);
        assert_int_equal(run("kill -SEGV $$", flavours[i], text, sizeof text), 128 + SIGSEGV);
        assert_int_equal(run("kill -KILL $$", flavours[i], text, sizeof text), 128 + SIGKILL);
    }
}

static void a_program_that_cannot_be_started_is_named(void **state)
{
    (void)state;
    int out[2], status;
    char text[256] = {0};
    static const char *const rows[][2] = {
        {"/no/such", "hob-init: cannot start '/no/such': No such file or directory\n"},
        {"/etc/passwd", "hob-init: cannot start '/etc/passwd': Permission denied\n"}};
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)dup2(out[1], STDERR_FILENO);
            (void)execl(init_path, "hob-init", "--", rows[i][0], (char *)NULL);
            _exit(99);
        }
        (void)close(out[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 127);
        ssize_t n = read(out[0], text, sizeof text - 1);
        assert_true(n > 0);
        text[n] = '\0';
        assert_string_equal(text, rows[i][1]);
        (void)close(out[0]);
    }
}

static void signals_are_handed_on(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    char text[256];
    for (int i = 0; i < flavours_n; i++)
        for (size_t k = 0; k < HOB_COUNT(signals); k++) {
            struct child c = start(
                "trap 'echo term; exit 21' TERM; trap 'echo int; exit 22' INT; trap 'echo hup; exit 23' HUP; "
                "echo up; while :; do sleep 0.01; done",
                flavours[i]);
            await(&c, "up");
            assert_int_equal(kill(c.pid, signals[k]), 0);
            int code = finish(&c, text, sizeof text);
            assert_int_equal(code, signals[k] == SIGTERM ? 21 : signals[k] == SIGINT ? 22 : 23);
        }
}

static void a_program_that_does_not_care_dies_of_sigterm(void **state)
{
    (void)state;
    char text[256];
    for (int i = 0; i < flavours_n; i++) {
        struct child c = start("echo up; exec sleep 60", flavours[i]);
        await(&c, "up");
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        assert_int_equal(finish(&c, text, sizeof text), 128 + SIGTERM);
    }
}

static void orphans_are_buried(void **state)
{
    (void)state;
    char text[4096];
    /* 50 grandchildren lose their parent and end; then nobody may be left as a zombie of hob-init's */
    static const char script[] = "n=0; while [ $n -lt 50 ]; do (sh -c ':' & ); n=$((n+1)); done; sleep 0.3; "
                                 "for s in /proc/[0-9]*/stat; do read -r line <$s && set -- ${line##*) } && "
                                 "[ \"$2\" = $PPID ] && echo \"child $1\"; done 2>/dev/null; exit 5";
    assert_int_equal(run(script, 0, text, sizeof text), 5);
    assert_contains(text, "child "); /* the program itself: the search does find hob-init's children */
    assert_null(strstr(text, "child Z"));
}

static void it_keeps_no_descriptor_of_the_program(void **state)
{
    (void)state;
    char text[4096], byte;
    for (int i = 0; i < flavours_n; i++) {
        struct child c = start("echo 'to three' >&3; exec 3>&- >&- 2>&-; sleep 2", flavours[i]);
        char three[32] = {0};
        assert_int_equal(read(c.channel, three, sizeof three), 9);
        assert_int_equal(read(c.channel, &byte, 1),
                         0); /* closed by the program, while hob-init still lives */
        assert_int_equal(waitpid(c.pid, NULL, WNOHANG), 0);
        assert_int_equal(finish(&c, text, sizeof text), 0);
    }
}

static void the_program_starts_with_nothing_blocked_or_ignored(void **state)
{
    (void)state;
    char text[1024];
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_IGN);
    struct child c = start("grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 4", 0);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(finish(&c, text, sizeof text), 4);
    assert_contains(text, "SigBlk:\t0000000000000000");
    const char *at = strstr(text, "SigIgn:\t");
    assert_non_null(at);
    /* libc keeps 32 and 33 to itself; they are as the machine gave them */
    assert_int_equal(strtoull(at + 8, NULL, 16) & ~0x180000000ULL, 0);
}

static void the_program_dies_with_it(void **state)
{
    (void)state;
    char byte;
    for (int i = 0; i < flavours_n; i++) {
        struct child c = start("echo up; exec sleep 60", flavours[i]);
        await(&c, "up");
        assert_int_equal(kill(c.pid, SIGKILL), 0);
        assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
        assert_int_equal(read(c.channel, &byte, 1), 0);
        (void)close(c.out);
        (void)close(c.channel);
    }
}

static void as_pid_1_its_end_ends_what_it_left(void **state)
{
    (void)state;
    char text[64];
    if (flavours_n < 2)
        skip();
    struct child c = start("sleep 60 & exit 6", CLONE_NEWPID);
    assert_int_equal(finish(&c, text, sizeof text), 6); /* and its output ended: `sleep` held it, too */
}

static void without_a_program_it_says_how_it_is_called(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        (void)execl(init_path, "hob-init", "/bin/true", (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 127);
}

int main(void)
{
    (void)alarm(280);
    for (int sig = 1; sig < NSIG; sig++) /* whoever runs the tests may ignore some */
        (void)signal(sig, SIG_DFL);
    char self[200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    (void)snprintf(init_path, sizeof init_path, "%s/../../bin/hob-init", self);
    flavours[0] = 0;
    flavours[1] = CLONE_NEWPID;
    flavours_n = can_make_pid_namespace() ? 2 : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_as_its_program_ends),
        cmocka_unit_test(a_program_that_cannot_be_started_is_named),
        cmocka_unit_test(signals_are_handed_on),
        cmocka_unit_test(a_program_that_does_not_care_dies_of_sigterm),
        cmocka_unit_test(orphans_are_buried),
        cmocka_unit_test(it_keeps_no_descriptor_of_the_program),
        cmocka_unit_test(the_program_starts_with_nothing_blocked_or_ignored),
        cmocka_unit_test(the_program_dies_with_it),
        cmocka_unit_test(as_pid_1_its_end_ends_what_it_left),
        cmocka_unit_test(without_a_program_it_says_how_it_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
