#include "controller/catalog_change.h"
#include "platform.h"

#define SHOP(vars)                                                                                           \
    "{\"app\":\"shop\",\"functions\":{\"checkout\":{\"runtime\":\"node\",\"entry\":\"index.sh\"" vars "}}}"

static const struct admin_target checkout = {{"shop", 4}, {"checkout", 8}};

static struct function *fn(struct platform *p)
{
    return catalog_function_find(p->catalog, checkout.app, checkout.function);
}

static const char *var(struct platform *p, const char *name)
{
    const struct function_config *c = version_config(fn(p)->live);
    for (size_t i = 0; i < c->vars_n; i++) {
        if (strcmp(c->vars[i].name, name) == 0)
            return c->vars[i].value;
    }
    return NULL;
}

static struct administered patch(struct platform *p, const char *set, const char *value, const char *unset)
{
    struct administered a = {.is_told = false};
    struct env_var v = {(char *)(uintptr_t)set, (char *)(uintptr_t)value};
    struct admin_env_patch e = {&v, set != NULL, &unset, unset != NULL};
    admin_env_patch(p->admin, checkout, &e, on_administered, &a);
    wait_for(p, &a);
    return a;
}

static struct administered rollback(struct platform *p, uint32_t version)
{
    struct administered a = {.is_told = false};
    admin_rollback(p->admin, checkout, version, on_administered, &a);
    wait_for(p, &a);
    return a;
}

static struct administered alias(struct platform *p, const char *name, uint32_t version)
{
    struct administered a = {.is_told = false};
    admin_alias_set(p->admin, checkout, hob_str(name), version, on_administered, &a);
    wait_for(p, &a);
    return a;
}

static void says(const struct administered *a, enum hob_code code, const char *part)
{
    if (a->err.code != code || !strstr(a->err.msg, part))
        fail_msg("%d '%s', wanted %d '%s'", a->err.code, a->err.msg, code, part);
}

/* --- env --- */

static void env_makes_a_new_version_with_the_same_code_that_later_deploys_keep(void **state)
{
    struct platform *p = *state;
    struct deployed d = deploy_app(p, "shop", SHOP(",\"vars\":{\"MODE\":\"a\",\"BASE\":\"b\"}"), "1");
    struct administered a = patch(p, "MODE", "patched", NULL);
    says(&a, HOB_OK, "");
    assert_int_equal(a.r.version, 2);
    assert_int_equal(a.r.previous, 1);
    assert_string_equal(var(p, "MODE"), "patched");
    assert_string_equal(var(p, "BASE"), "b");
    assert_string_equal(fn(p)->live->digest, d.digest);
    assert_string_equal(fn(p)->live->why, "env set");
    d = deploy_app(p, "shop", SHOP(",\"vars\":{\"MODE\":\"c\",\"NEW\":\"n\"}"), "2");
    assert_int_equal(d.versions[0], 3);
    assert_string_equal(var(p, "MODE"), "patched");
    assert_string_equal(var(p, "NEW"), "n");
    assert_null(var(p, "BASE"));
    platform_restart(p);
    assert_string_equal(var(p, "MODE"), "patched");
    assert_string_equal(fn(p)->live->why, "deploy");
    a = patch(p, NULL, NULL, "MODE"); /* hob.json's comes back */
    says(&a, HOB_OK, "");
    assert_string_equal(var(p, "MODE"), "c");
}

static void env_without_change_keeps_the_version(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    assert_int_equal(patch(p, "A", "1", NULL).r.version, 2);
    assert_int_equal(patch(p, "A", "1", NULL).r.version, 2);
    assert_int_equal(patch(p, "A", "2", NULL).r.version, 3);
}

static void env_refuses_what_hob_json_would_refuse(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(",\"vars\":{\"OWN\":\"x\"}"), "1");
    struct administered a = patch(p, "1BAD", "x", NULL);
    says(&a, HOB_E_INVALID, "1BAD");
    a = patch(p, NULL, NULL, "NONE");
    says(&a, HOB_E_NOT_FOUND, "NONE");
    a = patch(p, NULL, NULL, "OWN");
    says(&a, HOB_E_CONFLICT, "hob.json");
    hob_auto_free char *big = hob_calloc(HOB_MAX_ENV_BYTES + 1, 1);
    memset(big, 'v', HOB_MAX_ENV_BYTES - 5);
    a = patch(p, "AB", big, NULL); /* with OWN=x: one byte too many */
    says(&a, HOB_E_TOO_LARGE, "app.env_bytes");
    big[HOB_MAX_ENV_BYTES - 6] = '\0';
    a = patch(p, "AB", big, NULL);
    says(&a, HOB_OK, "");
    assert_int_equal(fn(p)->live->number, 2);
    struct deployed d =
        deploy_app(p, "shop", SHOP(",\"vars\":{\"OWN\":\"xy\"}"), "1"); /* together too large */
    assert_int_equal(d.err.code, HOB_E_TOO_LARGE);
}

/* --- rollback and aliases --- */

static void rollback_goes_to_the_version_before_or_to_the_one_named(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    struct administered a = rollback(p, 0);
    says(&a, HOB_E_CONFLICT, "no other live version");
    (void)deploy_app(p, "shop", SHOP(""), "2");
    (void)deploy_app(p, "shop", SHOP(""), "3");
    a = rollback(p, 0);
    assert_int_equal(a.r.version, 2);
    assert_int_equal(a.r.previous, 3);
    assert_int_equal(fn(p)->live->number, 2);
    a = rollback(p, 0); /* and back */
    assert_int_equal(a.r.version, 3);
    a = rollback(p, 1);
    assert_int_equal(a.r.version, 1);
    a = rollback(p, 1); /* is live already */
    says(&a, HOB_OK, "");
    assert_int_equal(a.r.version, 1);
    assert_int_equal(fn(p)->previous_live, 3);
    a = rollback(p, 4);
    says(&a, HOB_E_NOT_FOUND, "the newest is 3");
    platform_restart(p);
    assert_int_equal(fn(p)->live->number, 1);
    assert_int_equal(fn(p)->previous_live, 3);
    struct deployed d = deploy_app(p, "shop", SHOP(""), "4"); /* numbers are never used again */
    assert_int_equal(d.versions[0], 4);
}

static void an_alias_is_set_moved_and_removed(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    (void)deploy_app(p, "shop", SHOP(""), "2");
    struct administered a = alias(p, "prod", 1);
    says(&a, HOB_OK, "");
    (void)alias(p, "beta", 2);
    a = alias(p, "prod", 2);
    says(&a, HOB_OK, "");
    a = alias(p, "prod", 3);
    says(&a, HOB_E_NOT_FOUND, "version 3");
    a = alias(p, "9lives", 1);
    says(&a, HOB_E_INVALID, "alias name");
    assert_string_equal(fn(p)->aliases->name, "beta");
    assert_int_equal(fn(p)->aliases->next->version->number, 2);
    struct administered r = {.is_told = false}, again = {.is_told = false};
    admin_alias_remove(p->admin, checkout, HOB_STR("prod"), on_administered, &r);
    wait_for(p, &r);
    says(&r, HOB_OK, "");
    platform_restart(p);
    assert_null(catalog_resolve(p->catalog, checkout.app, checkout.function, HOB_STR("prod"), &err));
    assert_non_null(catalog_resolve(p->catalog, checkout.app, checkout.function, HOB_STR("beta"), &err));
    admin_alias_remove(p->admin, checkout, HOB_STR("prod"), on_administered, &again);
    wait_for(p, &again);
    says(&again, HOB_E_NOT_FOUND, "prod");
}

/* --- removing --- */

static void removing_a_function_frees_its_code_and_a_new_one_starts_at_one(void **state)
{
    struct platform *p = *state;
    struct deployed d = deploy_app(p, "shop", SHOP(""), "1");
    (void)alias(p, "prod", 1);
    struct administered a = {.is_told = false}, again = {.is_told = false};
    admin_function_remove(p->admin, checkout.app, checkout.function, on_administered, &a);
    wait_for(p, &a);
    says(&a, HOB_OK, "");
    assert_null(fn(p));
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    assert_false(code_store_has(p->code, d.digest));
    admin_function_remove(p->admin, checkout.app, checkout.function, on_administered, &again);
    wait_for(p, &again);
    says(&again, HOB_E_NOT_FOUND, "no function 'checkout'");
    platform_restart(p);
    assert_null(fn(p));
    d = deploy_app(p, "shop", SHOP(""), "1");
    assert_int_equal(d.versions[0], 1);
    assert_true(code_store_has(p->code, d.digest));
}

static void removing_an_app_takes_everything_of_it_and_nothing_else(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    (void)deploy_app(p, "blog",
                     "{\"app\":\"blog\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}",
                     "1");
    (void)alias(p, "prod", 1);
    struct administered a = {.is_told = false}, again = {.is_told = false};
    admin_app_remove(p->admin, HOB_STR("shop"), on_administered, &a);
    wait_for(p, &a);
    says(&a, HOB_OK, "");
    platform_restart(p);
    assert_null(catalog_app_find(p->catalog, HOB_STR("shop")));
    assert_non_null(catalog_function_find(p->catalog, HOB_STR("blog"), HOB_STR("f")));
    admin_app_remove(p->admin, HOB_STR("shop"), on_administered, &again);
    wait_for(p, &again);
    says(&again, HOB_E_NOT_FOUND, "no app 'shop'");
}

static void a_name_with_a_nul_byte_never_means_its_first_part(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    struct administered a = {.is_told = false};
    admin_app_remove(p->admin, HOB_STR("shop\0x"), on_administered, &a);
    wait_for(p, &a);
    says(&a, HOB_E_INVALID, "NUL");
    assert_non_null(fn(p));
}

static void many_verbs_at_once_end_in_the_order_they_were_asked(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    enum { N = 50 };
    struct administered a[N];
    char value[16];
    memset(a, 0, sizeof a);
    for (int i = 0; i < N; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        char name[] = "COUNT";
        struct env_var v = {name, value};
        admin_env_patch(p->admin, checkout, &(struct admin_env_patch){.set = &v, .set_n = 1}, on_administered,
                        &a[i]);
    }
    struct administered gone = {.is_told = false}, late = {.is_told = false};
    admin_function_remove(p->admin, checkout.app, checkout.function, on_administered, &gone);
    admin_rollback(p->admin, checkout, 1, on_administered, &late); /* known when asked, gone when run */
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < N; i++) {
        assert_true(a[i].is_told);
        assert_int_equal(a[i].r.version, i + 2);
    }
    says(&gone, HOB_OK, "");
    says(&late, HOB_E_NOT_FOUND, "no function");
}

static void closing_waits_for_what_runs_and_refuses_what_comes(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP(""), "1");
    struct administered running = {.is_told = false};
    admin_alias_set(p->admin, checkout, HOB_STR("prod"), 1, on_administered, &running);
    platform_restart(p);
    assert_true(running.is_told);
    says(&running, HOB_OK, "");
    assert_string_equal(fn(p)->aliases->name, "prod");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, platform_make, platform_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(env_makes_a_new_version_with_the_same_code_that_later_deploys_keep),
        TEST(env_without_change_keeps_the_version),
        TEST(env_refuses_what_hob_json_would_refuse),
        TEST(rollback_goes_to_the_version_before_or_to_the_one_named),
        TEST(an_alias_is_set_moved_and_removed),
        TEST(removing_a_function_frees_its_code_and_a_new_one_starts_at_one),
        TEST(removing_an_app_takes_everything_of_it_and_nothing_else),
        TEST(a_name_with_a_nul_byte_never_means_its_first_part),
        TEST(many_verbs_at_once_end_in_the_order_they_were_asked),
        TEST(closing_waits_for_what_runs_and_refuses_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
