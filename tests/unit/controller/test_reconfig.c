/* A change of variables or secrets of a function whose config hook takes it: instances go on, or one is lost and no more. */
#include "check.h"

#include "data_plane.h"

static char hook_path[] = "/cfg", config_text[] = "{\"vars\":{\"A\":\"1\"},\"memory_mb\":128}",
            config_vars[] = "{\"vars\":{\"A\":\"2\"},\"secrets\":[\"S\"],\"memory_mb\":128}",
            config_more[] = "{\"vars\":{\"A\":\"1\"},\"memory_mb\":256}", name_a[] = "A", one[] = "1",
            two[] = "2";
static struct env_var vars_one = {name_a, one}, vars_two = {name_a, two};

static int up(void **state)
{
    int rc = bench_up(state);
    struct function_config *both[] = {&bench_config, &bench_config2};
    for (size_t i = 0; i < HOB_COUNT(both); i++) {
        both[i]->kind = FUNCTION_HTTP;
        both[i]->config_hook = hook_path;
        both[i]->concurrency = 10;
        both[i]->vars = i ? &vars_two : &vars_one;
        both[i]->vars_n = 1;
    }
    bench_version.config_json = bench_version2.config_json = config_text;
    bench_version.older = NULL;
    bench_version2.older = &bench_version;
    return rc;
}

static void serve(unsigned k, struct outcome *o, const char *text)
{
    call(o);
    pump();
    answer(k, heard_invoke(k), text);
    assert_answered(*o, text);
}

static void first_start(struct outcome *o)
{
    call(o);
    pump();
    fake_ready(0, "10");
    answer(0, heard_invoke(0), "first");
    assert_answered(*o, "first");
}

static void secret_changes(void)
{
    fake_on_replace(fake_catalog_ctx, &bench_version);
    pump();
}

/* What the catalogue does for `hob env set`: the old version is told first. */
static void version_two_becomes_live(void)
{
    bench_function.live = bench_function.versions = &bench_version2;
    fake_on_catalog(fake_catalog_ctx, &bench_version, false);
    fake_on_catalog(fake_catalog_ctx, &bench_version2, false);
    pump();
}

static void assert_told(unsigned k, const char *version, const char *a)
{
    struct hob_str payload;
    struct hob_pairs pairs;
    assert_int_equal(heard_type(k, HOB_FRAME_RECONFIG, &payload).type, HOB_FRAME_RECONFIG);
    assert_true(hob_pairs_open(payload, 1000, &pairs));
    assert_true(hob_str_is(hob_pairs_get(&pairs, "version"), version));
    assert_true(hob_str_is(hob_pairs_get(&pairs, "env.A"), a));
}

static void a_changed_secret_is_told_to_the_hook_and_the_instance_goes_on(void **state)
{
    (void)state;
    struct outcome o, waits;
    first_start(&o);
    secret_changes();
    assert_told(0, "1", "1");
    call(&waits); /* nothing new before it has taken it */
    pump();
    assert_int_equal(heard_invoke(0), 0);
    say_ready(0, "10");
    answer(0, heard_invoke(0), "again");
    assert_answered(waits, "again");
    assert_int_equal(fakes_n, 1);
    assert_int_equal(fakes[0].stops, 0);
    assert_int_equal(bench->stats.starts[START_COLD], 1); /* it was no start */
    assert_non_null(strstr(hob_buf_data(&fake_log), "the config hook was told"));
}

static void a_frozen_one_is_thawed_for_it(void **state)
{
    (void)state;
    struct outcome o;
    fake_can_freeze = true;
    first_start(&o);
    pass_ms(200);
    assert_int_equal(fakes[0].freezes, 1);
    secret_changes();
    assert_int_equal(fakes[0].thaws, 1);
    assert_told(0, "1", "1");
    say_ready(0, "10");
    serve(0, &o, "thawed");
    fake_can_freeze = false;
}

static void a_busy_one_is_told_when_it_is_idle_and_gets_nothing_new_before(void **state)
{
    (void)state;
    struct outcome o, next;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    secret_changes();
    assert_int_equal(heard(0, NULL).type, 0);
    call(&next);
    pass_ms(100);
    assert_int_equal(heard_invoke(0), 0);
    answer(0, stream, "old");
    assert_answered(o, "old");
    assert_told(0, "1", "1");
    say_ready(0, "10");
    answer(0, heard_invoke(0), "new");
    assert_answered(next, "new");
    assert_int_equal(fakes[0].stops, 0);
}

static void a_busy_one_that_is_not_idle_in_time_drains(void **state)
{
    (void)state;
    struct outcome o;
    bench_config.timeout_ms = 600000;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    secret_changes();
    pass_ms(HOB_MAX_DRAIN_MS - 1);
    assert_int_equal(heard_type(0, HOB_FRAME_DRAIN, NULL).type, 0);
    pass_ms(1);
    assert_int_equal(heard_type(0, HOB_FRAME_DRAIN, NULL).type, HOB_FRAME_DRAIN);
    answer(0, stream, "late");
    assert_answered(o, "late");
}

static void a_second_change_during_the_first_is_told_behind_it(void **state)
{
    (void)state;
    struct outcome o;
    first_start(&o);
    secret_changes();
    assert_told(0, "1", "1");
    secret_changes();
    assert_int_equal(heard(0, NULL).type, 0);
    say_ready(0, "10");
    assert_told(0, "1", "1");
    say_ready(0, "10");
    serve(0, &o, "twice");
    assert_int_equal(fakes_n, 1);
}

static void one_that_loads_is_told_when_it_is_ready(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    secret_changes(); /* not started yet: HELLO has the new ones */
    fake_started(0);
    assert_int_equal(heard(0, NULL).type, HOB_FRAME_HELLO);
    secret_changes();
    say_ready(0, "10");
    assert_told(0, "1", "1");
    say_ready(0, "10");
    answer(0, heard_invoke(0), "at last");
    assert_answered(o, "at last");
}

/* Seen to fail with pool_start_failed() in place of reconfig_failed(): who waited was told that the function fails. */
static void a_refused_configuration_costs_the_instance_and_nobody_else(void **state)
{
    (void)state;
    static const char *const refusal[] = {"errorType", "Runtime.HookFailed", "errorMessage",
                                          "the config hook answered 500", NULL};
    struct outcome o, next;
    first_start(&o);
    secret_changes();
    assert_told(0, "1", "1");
    call(&next);
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_INIT_ERROR}, refusal);
    pump();
    assert_int_equal(fakes[0].stops, 1);
    assert_int_equal(next.fails, 0);
    assert_int_equal(bench->stats.starts_failed, 0);
    assert_int_equal(fakes_n, 2);
    fake_ready(1, "10");
    answer(1, heard_invoke(1), "fresh");
    assert_answered(next, "fresh");
    assert_non_null(strstr(hob_buf_data(&fake_log), "the config hook answered 500"));
    assert_non_null(strstr(hob_buf_data(&fake_log), "the instance is replaced"));
}

static void silence_and_an_end_cost_the_instance_alone_too(void **state)
{
    (void)state;
    struct outcome o;
    first_start(&o);
    secret_changes();
    pass_ms(bench_config.init_timeout_ms - 1);
    assert_int_equal(fakes[0].stops, 0);
    pass_ms(1);
    assert_int_equal(fakes[0].stops, 1);
    call(&o);
    pump();
    fake_ready(1, "10");
    answer(1, heard_invoke(1), "second");
    assert_answered(o, "second");
    secret_changes();
    fake_exit(1, (struct node_exit){.exit_code = 3});
    call(&o);
    pump();
    fake_ready(2, "10");
    answer(2, heard_invoke(2), "third");
    assert_answered(o, "third");
    assert_int_equal(bench->stats.starts_failed, 0);
}

static void what_cannot_be_configured_any_more_ends(void **state)
{
    (void)state;
    static char missing[] = "MISSING", *secrets[] = {missing};
    struct outcome o;
    first_start(&o);
    bench_config.secrets = secrets;
    bench_config.secrets_n = 1;
    secret_changes();
    assert_int_equal(heard(0, NULL).type, 0);
    assert_int_equal(fakes[0].stops, 1);
    assert_int_equal(bench->stats.starts_failed, 0);
    assert_non_null(strstr(hob_buf_data(&fake_log), "hob secret set MISSING"));
}

static void ready_twice_is_a_violation_as_ever(void **state)
{
    (void)state;
    struct outcome o;
    first_start(&o);
    secret_changes();
    say_ready(0, "10");
    say_ready(0, "10");
    assert_int_equal(fakes[0].stops, 1);
    assert_non_null(strstr(hob_buf_data(&fake_log), "says READY twice"));
}

/* ---- what counts how ---- */

static const struct pool *pool(const struct version *v)
{
    return v->pool;
}

/* Seen to fail without the look at is_worn: pool->worn_n went below 0, and nothing was started any more. */
static void a_used_up_one_is_let_go_and_not_told(void **state)
{
    (void)state;
    struct outcome o, next;
    bench_config.single_use = true;
    bench_config.concurrency = bench_config.scale_max = 1;
    call(&o);
    pump();
    fake_ready(0, "1");
    uint32_t stream = heard_invoke(0);
    secret_changes();
    assert_int_equal(heard(0, NULL).type, HOB_FRAME_DRAIN);
    answer(0, stream, "once");
    assert_answered(o, "once");
    assert_int_equal(heard(0, NULL).type, 0);
    fake_exit(0, (struct node_exit){0});
    assert_int_equal(pool_scaler_view(bench_version.pool, bench_now_us).ready, 0);
    call(&next);
    pump();
    assert_int_equal(fakes_n, 2);
    fake_ready(1, "1");
    answer(1, heard_invoke(1), "next");
    assert_answered(next, "next");
}

static void one_that_grows_too_old_before_it_was_told_is_let_go(void **state)
{
    (void)state;
    struct outcome o;
    bench_config.recycle_age_s = 5;
    bench_config.timeout_ms = 600000;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    const struct pool *p = bench_version.pool;
    secret_changes();
    assert_int_equal(p->stale_n, 1);
    pass_ms(6000);
    assert_int_equal(p->stale_n, 0);
    assert_int_equal(p->worn_n, 1);
    answer(0, stream, "old");
    assert_answered(o, "old");
    assert_int_equal(heard(0, NULL).type, HOB_FRAME_DRAIN);
    assert_int_equal(p->worn_n, 0);
    fake_exit(0, (struct node_exit){0});
    assert_int_equal(pool_scaler_view(bench_version.pool, bench_now_us).ready, 0);
}

/* Seen to fail when it counted as a start: the other app's waited for the silent hooks. */
static void to_be_told_takes_no_place_of_the_nodes_starts(void **state)
{
    (void)state;
    static char other_app[] = "bank";
    struct outcome o[3], other;
    bench_config.concurrency = 1;
    bench->starts.running_max = 3;
    for (unsigned k = 0; k < HOB_COUNT(o); k++) {
        call(&o[k]);
        pump();
        fake_ready(k, "1");
    }
    for (unsigned k = 0; k < HOB_COUNT(o); k++)
        answer(k, heard_invoke(k), "warm");
    secret_changes();
    assert_int_equal(pool(&bench_version)->starting_n, 3);
    assert_int_equal(bench->starts.running, 0);
    bench_version2.app_name = other_app;
    call_version(&other, &bench_version2, HOB_INVOKE_HTTP, 0);
    pump();
    assert_int_equal(fakes_n, 4);
    assert_int_equal(bench->starts.running, 1);
    fake_ready(3, "10");
    answer(3, heard_invoke(3), "other");
    assert_answered(other, "other");
    assert_int_equal(bench->starts.running, 0);
    say_ready(0, "1");                     /* one hook answers, */
    pass_ms(bench_config.init_timeout_ms); /* the others do not */
    assert_int_equal(fakes[1].stops + fakes[2].stops, 2);
    assert_int_equal(bench->starts.running, 0);
}

/* Seen to fail when it counted towards scale.max: who waited was told queue_timeout. */
static void who_waits_for_one_that_is_busy_gets_another_in_its_place(void **state)
{
    (void)state;
    struct outcome o, next;
    bench_config.scale_max = 1;
    bench_config.timeout_ms = 600000;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    secret_changes();
    call(&next);
    pass_ms(bench_config.queue_timeout_ms - 1);
    assert_int_equal(next.fails, 0);
    assert_int_equal(fakes_n, 2);
    fake_ready(1, "10");
    answer(1, heard_invoke(1), "new");
    assert_answered(next, "new");
    answer(0, stream, "old");
    assert_answered(o, "old");
    assert_int_equal(heard(0, NULL).type, HOB_FRAME_DRAIN); /* not told: there would be two */
    assert_int_equal(pool(&bench_version)->ready_n, 1);
    assert_int_equal(pool(&bench_version)->stale_n, 0);
}

/* ---- from one version to the next ---- */

static void a_version_with_other_variables_takes_over_what_runs(void **state)
{
    (void)state;
    struct outcome o;
    first_start(&o);
    version_two_becomes_live();
    assert_told(0, "2", "2");
    assert_int_equal(fakes_n, 1); /* and nothing is started beside it */
    say_ready(0, "10");
    call_version(&o, &bench_version2, HOB_INVOKE_HTTP, 0);
    pump();
    answer(0, heard_invoke(0), "two");
    assert_answered(o, "two");
    assert_int_equal(fakes_n, 1);
    assert_int_equal(heard_type(0, HOB_FRAME_DRAIN, NULL).type, 0);
}

static void a_busy_one_is_taken_over_when_it_is_idle(void **state)
{
    (void)state;
    struct outcome o;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    version_two_becomes_live();
    assert_int_equal(heard_type(0, HOB_FRAME_RECONFIG, NULL).type, 0);
    answer(0, stream, "one");
    assert_answered(o, "one");
    assert_told(0, "2", "2");
    say_ready(0, "10");
}

static void no_more_are_taken_over_than_scale_max(void **state)
{
    (void)state;
    struct outcome o, next;
    bench_config.scale_max = bench_config2.scale_max = 1;
    call(&o);
    pump();
    fake_ready(0, "10");
    uint32_t stream = heard_invoke(0);
    version_two_becomes_live();
    call_version(&next, &bench_version2, HOB_INVOKE_HTTP, 0);
    pump();
    fake_ready(1, "10");
    answer(1, heard_invoke(1), "two");
    assert_answered(next, "two");
    answer(0, stream, "one");
    assert_answered(o, "one");
    assert_int_equal(heard(0, NULL).type, HOB_FRAME_DRAIN);
    assert_int_equal(pool(&bench_version2)->ready_n, 1);
}

static void of_several_idle_ones_as_many_are_taken_over_as_there_is_room_for(void **state)
{
    (void)state;
    struct outcome o[3];
    bench_config.concurrency = bench_config2.concurrency = 1;
    bench_config2.scale_max = 2;
    for (unsigned k = 0; k < HOB_COUNT(o); k++) {
        call(&o[k]);
        pump();
        fake_ready(k, "1");
    }
    for (unsigned k = 0; k < HOB_COUNT(o); k++)
        answer(k, heard_invoke(k), "warm");
    version_two_becomes_live();
    unsigned told = 0, drained = 0;
    for (unsigned k = 0; k < HOB_COUNT(o); k++) {
        uint8_t type = heard(k, NULL).type;
        told += type == HOB_FRAME_RECONFIG;
        drained += type == HOB_FRAME_DRAIN;
    }
    assert_int_equal(told, 2);
    assert_int_equal(drained, 1);
}

static void other_code_images_settings_and_versions_without_a_hook_are_replaced(void **state)
{
    (void)state;
    static char image[] = "sha256:1", other[] = "sha256:2";
    struct outcome o;
    for (unsigned round = 0; round < 6; round++) {
        (void)bench_down(state);
        (void)up(state);
        bench_version2.config_json = round == 1 ? config_more : config_vars;
        if (round == 2)
            (void)snprintf(bench_version2.digest, sizeof bench_version2.digest, "other");
        if (round == 3)
            bench_config2.config_hook = NULL;
        if (round >= 4) {
            bench_config.image = bench_config2.image = bench_config.image_id = image;
            bench_config2.image_id = round == 4 ? other : image;
            (void)snprintf(bench_version2.digest, sizeof bench_version2.digest, "other");
        }
        first_start(&o);
        version_two_becomes_live();
        bool is_taken = heard(0, NULL).type == HOB_FRAME_RECONFIG;
        assert_int_equal(is_taken, round == 0 || round == 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, up, bench_down)
        T(a_changed_secret_is_told_to_the_hook_and_the_instance_goes_on),
        T(a_frozen_one_is_thawed_for_it),
        T(a_busy_one_is_told_when_it_is_idle_and_gets_nothing_new_before),
        T(a_busy_one_that_is_not_idle_in_time_drains),
        T(a_second_change_during_the_first_is_told_behind_it),
        T(one_that_loads_is_told_when_it_is_ready),
        T(a_refused_configuration_costs_the_instance_and_nobody_else),
        T(silence_and_an_end_cost_the_instance_alone_too),
        T(what_cannot_be_configured_any_more_ends),
        T(ready_twice_is_a_violation_as_ever),
        T(a_used_up_one_is_let_go_and_not_told),
        T(one_that_grows_too_old_before_it_was_told_is_let_go),
        T(to_be_told_takes_no_place_of_the_nodes_starts),
        T(who_waits_for_one_that_is_busy_gets_another_in_its_place),
        T(a_version_with_other_variables_takes_over_what_runs),
        T(a_busy_one_is_taken_over_when_it_is_idle),
        T(no_more_are_taken_over_than_scale_max),
        T(of_several_idle_ones_as_many_are_taken_over_as_there_is_room_for),
        T(other_code_images_settings_and_versions_without_a_hook_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
