/* The life-cycle table, cell by cell: every state is reached in truth, every event is tried in it in a process of its
 * own, and what comes out is compared with the table below, which was written from docs/channel.md. */
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

#include "data_plane.h"

enum { BUG = 99 /* the programmer's error is caught */ };

static const char *const event_names[INSTANCE_EVENTS_] = {
    "started",    "start failed", "init done", "init error", "init timeout", "slot taken",
    "slots free", "drain",        "bye",       "hangup",     "violation",    "cancel late",
    "ping lost",  "drain late",   "stop",      "exited",     "freeze",     "reconfig",
};

#define S INSTANCE_STARTING
#define N INSTANCE_INITIALISING
#define R INSTANCE_READY
#define B INSTANCE_BUSY
#define F INSTANCE_FROZEN
#define D INSTANCE_DRAINING
#define X INSTANCE_STOPPING
#define G INSTANCE_GONE
#define _ BUG
/* clang-format off */
static const int expected[INSTANCE_EVENTS_][INSTANCE_STATES_] = {
    /*                         S  N  R  B  F  D  X  G */
    [INSTANCE_STARTED]      = {N, _, _, _, _, _, X, _},
    [INSTANCE_START_FAILED] = {G, _, _, _, _, _, G, _},
    [INSTANCE_INIT_DONE]    = {_, R, _, _, _, _, X, _},
    [INSTANCE_INIT_ERROR]   = {_, X, _, _, _, _, X, _},
    [INSTANCE_INIT_TIMEOUT] = {X, X, _, _, _, _, X, _},
    [INSTANCE_SLOT_TAKEN]   = {_, _, B, _, B, _, _, _},
    [INSTANCE_SLOTS_FREE]   = {_, _, _, R, _, D, X, _},
    [INSTANCE_DRAIN]        = {X, X, D, D, D, D, X, _},
    [INSTANCE_BYE]          = {_, N, D, D, D, D, X, _},
    [INSTANCE_HANGUP]       = {_, N, X, X, X, X, X, _},
    [INSTANCE_VIOLATION]    = {_, X, X, X, X, X, X, _},
    [INSTANCE_CANCEL_LATE]  = {_, _, _, X, _, X, X, _},
    [INSTANCE_PING_LOST]    = {_, _, X, B, F, D, X, _},
    [INSTANCE_DRAIN_LATE]   = {_, _, _, _, _, X, X, _},
    [INSTANCE_STOP]         = {X, X, X, X, X, X, X, _},
    [INSTANCE_EXITED]       = {G, G, G, G, G, G, G, _},
    [INSTANCE_FREEZE]       = {_, _, F, _, _, _, _, _},
    [INSTANCE_RECONFIG]     = {S, N, N, B, N, D, X, _},
};
/* clang-format on */
#undef S
#undef N
#undef R
#undef B
#undef F
#undef D
#undef X
#undef G
#undef _

static struct outcome first;

/* Brings fakes[0]'s instance into that state, as life would. */
static struct instance *reach(enum instance_state state)
{
    call(&first);
    pump();
    struct instance *i = fakes[0].ctx;
    if (state == INSTANCE_INITIALISING)
        fake_started(0);
    if (state == INSTANCE_STARTING || state == INSTANCE_INITIALISING)
        return i;
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    if (state == INSTANCE_READY || state == INSTANCE_FROZEN)
        answer(0, s, "x");
    if (state == INSTANCE_FROZEN)
        instance_event(i, INSTANCE_FREEZE);
    if (state == INSTANCE_DRAINING)
        fake_on_replace(fake_catalog_ctx, &bench_version);
    if (state == INSTANCE_STOPPING || state == INSTANCE_GONE)
        instance_event(i, INSTANCE_VIOLATION);
    if (state == INSTANCE_GONE)
        instance_event(i, INSTANCE_EXITED);
    return i;
}

static int outcome_of(enum instance_state state, enum instance_event e)
{
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(2);
        struct instance *i = reach(state);
        if (i->state != state)
            _exit(98);
        instance_event(i, e);
        _exit((int)i->state);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : BUG;
}

static void every_event_in_every_state_does_what_the_table_says(void **state)
{
    (void)state;
    for (int e = 0; e < INSTANCE_EVENTS_; e++)
        for (int s = 0; s < INSTANCE_STATES_; s++) {
            int came = outcome_of((enum instance_state)s, (enum instance_event)e);
            if (came != expected[e][s])
                fail_msg("%s in state %s: %d instead of %d", event_names[e],
                         instance_state_name((enum instance_state)s), came, expected[e][s]);
        }
}

static void a_stopped_start_is_stopped_again_when_it_comes_late(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    instance_event(fakes[0].ctx, INSTANCE_DRAIN);
    assert_int_equal(fakes[0].stops, 1);
    fake_started(0); /* the two messages crossed */
    assert_int_equal(fakes[0].stops, 2);
    char c;
    assert_int_equal(recv(fakes[0].fd, &c, 1, MSG_DONTWAIT), 0); /* its channel was closed */
    fake_exit(0, (struct node_exit){.exit_code = 0});
    invocation_cancel(o.inv, HOB_CANCEL_CLIENT_GONE);
}

static void a_start_that_nobody_answers_is_given_up(void **state)
{
    (void)state;
    struct outcome o;
    bench_config.queue_timeout_ms = 100000;
    call(&o);
    pump();
    pass_ms(29999);
    assert_int_equal(fakes[0].stops, 0);
    pass_ms(1);
    assert_int_equal(fakes[0].stops, 1);
    pass_ms(100);
    assert_int_equal(fakes_n, 2); /* and tried anew */
    fake_ready(1, "1");
    answer(1, heard_invoke(1), "second");
    assert_answered(o, "second");
}

static void an_exit_at_each_point_of_an_invocation_answers_exactly_once(void **state)
{
    for (int point = 0; point < 9; point++) {
        struct outcome o;
        (void)bench_up(state);
        call(&o);
        pump();
        if (point >= 1)
            fake_started(0);
        if (point >= 2)
            say_ready(0, "1");
        uint32_t s = point >= 3 ? heard_invoke(0) : 0;
        if (point >= 4)
            say_head(0, s, 200, NO_PAIRS, HOB_STR("a"), false);
        if (point >= 5)
            pump();
        if (point >= 6)
            say_data(0, s, HOB_STR("b"), false);
        if (point >= 7)
            say_data(0, s, HOB_STR("c"), true);
        if (point >= 8)
            say_done(0, s);
        if (point == 0)
            fake_fail(0);
        else
            fake_exit(0, (struct node_exit){.exit_code = -1, .signal = 9});
        for (int i = 0; i < 100; i++) { /* retries of a start come to an end, too */
            pass_ms(100);
            for (unsigned k = 1; k < fakes_n; k++)
                if (!fakes[k].is_over)
                    fake_fail(k);
        }
        assert_int_equal(o.ends + o.fails, 1);
        assert_int_equal(o.ends, point >= 7);
        if (o.fails)
            assert_true(strlen(hob_err_reason(&o.err)) > 0);
        (void)bench_down(state);
    }
}

static unsigned seen;
static char seen_state[32];

static void see(void *ctx, const struct instance_view *v)
{
    (void)ctx;
    seen++;
    (void)snprintf(seen_state, sizeof seen_state, "%s", v->state);
    assert_string_equal(v->function, "f");
}

static void views_tell_what_there_is(void **state)
{
    (void)state;
    struct outcome o;
    struct version_view v;
    dispatcher_version_view(bench, &bench_version, &v);
    assert_int_equal(v.instances + v.starting + v.queued, 0);
    call(&o);
    pump();
    dispatcher_version_view(bench, &bench_version, &v);
    assert_int_equal(v.starting, 1);
    assert_int_equal(v.queued, 1);
    fake_ready(0, "1");
    uint32_t s = heard_invoke(0);
    dispatcher_each_instance(bench, see, NULL);
    assert_int_equal(seen, 1);
    assert_string_equal(seen_state, "busy");
    answer(0, s, "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_event_in_every_state_does_what_the_table_says),
        T(a_stopped_start_is_stopped_again_when_it_comes_late),
        T(a_start_that_nobody_answers_is_given_up),
        cmocka_unit_test(an_exit_at_each_point_of_an_invocation_answers_exactly_once),
        T(views_tell_what_there_is),
    };
    return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
