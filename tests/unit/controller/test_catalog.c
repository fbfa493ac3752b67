#include <fcntl.h>
#include <malloc.h>

#include "base/clock.h"
#include "controller/catalog_change.h"
#include "platform.h"

#define FN(name, extra) "\"" name "\":{\"runtime\":\"node\",\"entry\":\"index.sh\"" extra "}"
#define APP(app, functions) "{\"app\":\"" app "\",\"functions\":{" functions "}}"

static void deploy_ok(struct platform *p, const char *app, const char *manifest, const char *code)
{
    struct deployed d = deploy_app(p, app, manifest, code);
    if (d.err.code != HOB_OK)
        fail_msg("%s", d.err.msg);
}

/* --- resolving --- */

static struct version *resolve(struct platform *p, const char *app, const char *function,
                               const char *qualifier)
{
    struct hob_err err;
    return catalog_resolve(p->catalog, hob_str(app), hob_str(function), hob_str(qualifier), &err);
}

static void refuse_resolve(struct platform *p, const char *path[3], const char *reason, const char *part)
{
    struct hob_err err = {0};
    assert_null(catalog_resolve(p->catalog, hob_str(path[0]), hob_str(path[1]), hob_str(path[2]), &err));
    assert_int_equal(err.code, HOB_E_NOT_FOUND);
    assert_string_equal(hob_err_reason(&err), reason);
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
}

static void set_alias(struct platform *p, const char *alias, uint32_t version)
{
    struct administered a = {.is_told = false};
    struct admin_target t = {HOB_STR("shop"), HOB_STR("checkout")};
    admin_alias_set(p->admin, t, hob_str(alias), version, on_administered, &a);
    wait_for(p, &a);
    assert_string_equal(a.err.msg, "");
}

static void a_qualifier_is_nothing_a_number_or_an_alias(void **state)
{
    struct platform *p = *state;
    deploy_ok(p, "shop", APP("shop", FN("checkout", "")), "1");
    deploy_ok(p, "shop", APP("shop", FN("checkout", "")), "2");
    set_alias(p, "prod", 1);
    assert_int_equal(resolve(p, "shop", "checkout", "")->number, 2);
    assert_int_equal(resolve(p, "shop", "checkout", "1")->number, 1);
    assert_int_equal(resolve(p, "shop", "checkout", "prod")->number, 1);
    platform_restart(p);
    assert_int_equal(resolve(p, "shop", "checkout", "")->number, 2);
    assert_int_equal(resolve(p, "shop", "checkout", "prod")->number, 1);
}

static void what_is_missing_is_named_with_the_nearest_that_is_there(void **state)
{
    struct platform *p = *state;
    deploy_ok(p, "shop", APP("shop", FN("checkout", "")), "1");
    set_alias(p, "prod", 1);
    refuse_resolve(p, (const char *[]){"shpo", "checkout", ""}, "unknown_app", "'shpo'");
    refuse_resolve(p, (const char *[]){"shop", "chekout", ""}, "unknown_function", "did you mean 'checkout'");
    refuse_resolve(p, (const char *[]){"shop", "zzzzzzzz", ""}, "unknown_function", "no function 'zzzzzzzz'");
    refuse_resolve(p, (const char *[]){"shop", "checkout", "prd"}, "unknown_alias", "did you mean 'prod'");
    refuse_resolve(p, (const char *[]){"shop", "checkout", "2"}, "unknown_version", "the newest is 1");
    refuse_resolve(p, (const char *[]){"shop", "checkout", "0"}, "unknown_version", "version 0");
    refuse_resolve(p, (const char *[]){"shop", "checkout", "4294967297"}, "unknown_version", "4294967297");
    refuse_resolve(p, (const char *[]){"shop", "checkout", "99999999999999999999999"}, "unknown_version",
                   "no version");
    refuse_resolve(p, (const char *[]){"", "", ""}, "unknown_app", "no app ''");
    hob_auto_free char *long_name = hob_calloc(100001, 1);
    memset(long_name, 'a', 100000);
    refuse_resolve(p, (const char *[]){"shop", long_name, ""}, "unknown_function", "aaaa");
    refuse_resolve(p, (const char *[]){long_name, "f", ""}, "unknown_app", "aaaa");
}

/* --- routing --- */

static const struct route_match *route(struct platform *p, const char *host, const char *method,
                                       const char *path)
{
    static struct route_match m;
    return catalog_route(p->catalog, hob_str(host), hob_str(method), hob_str(path), &m) ? &m : NULL;
}

static void goes_to(struct platform *p, const char *at[3], const char *function)
{
    const struct route_match *m = route(p, at[0], at[1], at[2]);
    if (!m || m->is_method_missing || strcmp(m->version->function_name, function) != 0)
        fail_msg("%s %s%s went to %s, not %s", at[1], at[0], at[2],
                 !m ? "nothing" : (m->is_method_missing ? "405" : m->version->function_name), function);
}

#define TO(p, host, method, path, function) goes_to(p, (const char *[]){host, method, path}, function)

static void the_most_specific_route_wins(void **state)
{
    struct platform *p = *state;
    deploy_ok(p, "shop",
              APP("shop",
                  FN("literal", ",\"routes\":[{\"path\":\"/o/new\"}]") "," FN("param", ",\"routes\":[{\"path\":\"/o/:id\"}]") "," FN(
                      "rest", ",\"routes\":[{\"path\":\"/o/:rest*\"}]") "," FN("deep",
                                                                               ",\"routes\":[{\"path\":\"/o/:id/items/:item\"}]") "," FN("listed",
                                                                                                                                         ",\"routes\":[{\"path\":\"/o/new\",\"methods\":[\"PUT\"]}]") "," FN("host", ",\"routes\":[{\"host\":\"a.shop.example\",\"path\":\"/o/:id\"}]") "," FN("wild", ",\"routes\":[{\"host\":\"*.shop.example\",\"path\":\"/o/:id\"}]") "," FN("wilder", ",\"routes\":[{\"host\":\"*.example\",\"path\":\"/o/:id\"}]") "," FN("root",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                ",\"routes\":[{\"path\":\"/\"}]")),
              "1");
    TO(p, "", "GET", "/o/new", "literal");
    TO(p, "", "PUT", "/o/new", "listed");
    TO(p, "", "GET", "/o/7", "param");
    TO(p, "", "GET", "/o/7/x", "rest");
    TO(p, "", "GET", "/o/7/items/9", "deep");
    TO(p, "", "GET", "/o/7/items/9/x", "rest");
    TO(p, "", "GET", "/o/new/items/9", "deep"); /* the literal leads nowhere: the search comes back */
    TO(p, "", "GET", "/o/", "rest");
    TO(p, "", "GET", "/", "root");
    TO(p, "a.shop.example", "GET", "/o/7", "host");
    TO(p, "A.Shop.Example:8080", "GET", "/o/7", "host");
    TO(p, "b.shop.example", "GET", "/o/7", "wild");
    TO(p, "x.b.shop.example", "GET", "/o/7", "wild");
    TO(p, "shop.example", "GET", "/o/7", "wilder");
    TO(p, "a.shop.example", "GET", "/", "root");
    TO(p, "other.host", "GET", "/o/7", "param");
    TO(p, "[::1]:80", "GET", "/o/7", "param");
    assert_null(route(p, "", "GET", "/o"));
    assert_null(route(p, "", "GET", "/nothing"));
    assert_null(route(p, "", "GET", ""));
    assert_null(route(p, "", "GET", "*"));
    assert_null(route(p, "", "GET", "//"));
}

static void parameters_come_as_slices_of_the_path(void **state)
{
    struct platform *p = *state;
    deploy_ok(p, "shop",
              APP("shop", FN("a", ",\"routes\":[{\"path\":\"/o/:id/i/:item\"}]") "," FN(
                              "b", ",\"routes\":[{\"path\":\"/files/:rest*\"}]")),
              "1");
    const struct route_match *m = route(p, "", "GET", "/o/a%20b/i/9");
    assert_int_equal(m->params_n, 2);
    assert_str_equal(m->param_names[0], "id");
    assert_str_equal(m->param_values[0], "a%20b");
    assert_str_equal(m->param_names[1], "item");
    assert_str_equal(m->param_values[1], "9");
    m = route(p, "", "GET", "/files/a/b/c.png");
    assert_int_equal(m->params_n, 1);
    assert_str_equal(m->param_names[0], "rest");
    assert_str_equal(m->param_values[0], "a/b/c.png");
    m = route(p, "", "GET", "/files/");
    assert_str_equal(m->param_values[0], "");
    assert_null(route(p, "", "GET", "/o//i/9")); /* a parameter is never empty */
}

static void a_missing_method_says_which_are_allowed(void **state)
{
    struct platform *p = *state;
    deploy_ok(p, "shop",
              APP("shop", FN("a", ",\"routes\":[{\"path\":\"/o\",\"methods\":[\"GET\",\"POST\"]}]") "," FN(
                              "b", ",\"routes\":[{\"path\":\"/o\",\"methods\":[\"PUT\"]}]")),
              "1");
    const struct route_match *m = route(p, "", "DELETE", "/o");
    assert_true(m->is_method_missing);
    assert_contains(m->allow, "GET");
    assert_contains(m->allow, "POST");
    assert_contains(m->allow, "PUT");
    TO(p, "", "PUT", "/o", "b");
    TO(p, "", "HEAD", "/o", "a"); /* HEAD goes where GET goes */
    m = route(p, "", "GET", "/o");
    assert_string_equal(m->allow, "");
}

static void routes_follow_what_is_live(void **state)
{
    struct platform *p = *state;
    const char *old =
        APP("shop", FN("a", ",\"routes\":[{\"path\":\"/old\"},{\"host\":\"h.example\",\"path\":\"/x\"}]"));
    const char *new = APP("shop", FN("a", ",\"routes\":[{\"path\":\"/new\"}]"));
    deploy_ok(p, "shop", old, "1");
    TO(p, "", "GET", "/old", "a");
    deploy_ok(p, "shop", new, "1");
    TO(p, "", "GET", "/new", "a");
    assert_null(route(p, "", "GET", "/old"));
    assert_null(route(p, "h.example", "GET", "/x"));
    struct administered back = {.is_told = false}, gone = {.is_told = false};
    struct admin_target t = {HOB_STR("shop"), HOB_STR("a")};
    admin_rollback(p->admin, t, 0, on_administered, &back);
    wait_for(p, &back);
    TO(p, "", "GET", "/old", "a");
    TO(p, "h.example", "GET", "/x", "a");
    platform_restart(p);
    TO(p, "", "GET", "/old", "a");
    admin_app_remove(p->admin, HOB_STR("shop"), on_administered, &gone);
    wait_for(p, &gone);
    assert_null(route(p, "", "GET", "/old"));
    assert_null(route(p, "h.example", "GET", "/x"));
}

/* --- events --- */

struct heard {
    char text[256];
};

static void on_event(void *ctx, struct version *v, bool is_gone)
{
    struct heard *h = ctx;
    size_t n = strlen(h->text);
    (void)snprintf(h->text + n, sizeof h->text - n, "%s%u%s ", v->function_name, v->number,
                   is_gone ? "gone" : (version_is_named(v) ? "+" : "-"));
}

static void the_listener_hears_what_goes_and_what_comes(void **state)
{
    struct platform *p = *state;
    struct heard h = {""};
    const char *manifest = APP("shop", FN("checkout", ""));
    catalog_listen(p->catalog, on_event, &h);
    deploy_ok(p, "shop", manifest, "1");
    assert_string_equal(h.text, "checkout1+ ");
    set_alias(p, "prod", 1);
    h.text[0] = '\0';
    deploy_ok(p, "shop", manifest, "2");
    assert_string_equal(h.text, "checkout1+ checkout2+ "); /* 1 is still named by prod */
    h.text[0] = '\0';
    set_alias(p, "prod", 2);
    assert_string_equal(h.text, "checkout1- checkout2+ ");
    h.text[0] = '\0';
    deploy_ok(p, "shop", manifest, "2"); /* nothing new, nothing heard */
    assert_string_equal(h.text, "");
    struct administered a = {.is_told = false};
    struct version *kept = version_ref(resolve(p, "shop", "checkout", "1"));
    admin_function_remove(p->admin, HOB_STR("shop"), HOB_STR("checkout"), on_administered, &a);
    wait_for(p, &a);
    assert_string_equal(h.text, "checkout2gone checkout1gone ");
    assert_null(kept->function); /* whoever keeps a version finds it whole */
    assert_string_equal(kept->app_name, "shop");
    assert_int_equal(version_config(kept)->memory_mb, 128);
    assert_true(code_store_has(p->code, kept->digest));
    version_unref(kept);
    catalog_listen(p->catalog, NULL, NULL);
}

static void on_replace(void *ctx, struct version *v)
{
    on_event(ctx, v, false);
}

static void a_changed_secret_replaces_the_instances_that_use_it(void **state)
{
    struct platform *p = *state;
    struct heard h = {""};
    int pool = 0;
    deploy_ok(p, "shop", APP("shop", FN("pay", ",\"secrets\":[\"KEY\"]") "," FN("page", "")), "1");
    catalog_listen_replace(p->catalog, on_replace, &h);
    resolve(p, "shop", "pay", "")->pool = &pool; /* both have run */
    resolve(p, "shop", "page", "")->pool = &pool;
    struct administered a = {.is_told = false}, other = {.is_told = false};
    admin_secret_set(p->admin, HOB_STR("shop"), HOB_STR("KEY"), HOB_STR("v"), on_administered, &a);
    wait_for(p, &a);
    assert_string_equal(h.text, "pay1+ ");
    admin_secret_set(p->admin, HOB_STR("blog"), HOB_STR("KEY"), HOB_STR("v"), on_administered, &other);
    wait_for(p, &other);
    assert_string_equal(h.text, "pay1+ ");
    catalog_listen_replace(p->catalog, NULL, NULL);
}

/* --- size --- */

static enum hob_code fill(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const char *config = ctx;
    struct code_row code = {.digest = "0000000000000000000000000000000000000000000000000000000000000000"};
    char name[32];
    if (store_code_put(tx, &code, err) != HOB_OK)
        return err->code;
    for (int i = 0; i < 10000; i++) {
        struct app_row app;
        struct function_row f;
        struct version_row made,
            v = {.digest = code.digest, .config_json = config, .env_json = "{}", .why = "deploy"};
        (void)snprintf(name, sizeof name, "app-%d", i / 50);
        if (store_app_ensure(tx, name, 1, &app, err) != HOB_OK)
            return err->code;
        (void)snprintf(name, sizeof name, "function-%d", i);
        if (store_function_ensure(tx, app.id, name, 1, &f, err) != HOB_OK)
            return err->code;
        v.function_id = f.id;
        if (store_version_insert(tx, &v, &made, err) != HOB_OK ||
            store_function_set_live(tx, f.id, made.number, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static size_t rss_kib(void)
{
    char text[256] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    unsigned long total = 0, resident = 0;
    assert_true(n > 0 && sscanf(text, "%lu %lu", &total, &resident) == 2);
    return resident * 4;
}

static void ten_thousand_functions_load_in_a_moment_at_under_four_kib_each(void **state)
{
    struct platform *p = *state;
    struct hob_err err = {0};
    deploy_ok(p, "shop", APP("shop", FN("pay", ",\"secrets\":[\"KEY\"],\"vars\":{\"MODE\":\"test\"}")), "1");
    hob_auto_free char *config = hob_strdup(resolve(p, "shop", "pay", "")->config_json);
    assert_ok(store_write_now(p->store, fill, config, &err));
    struct catalog *c = catalog_new();
    (void)malloc_trim(0);
    size_t before = rss_kib();
    uint64_t from = hob_now_us();
    if (catalog_load(c, p->store, p->code, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    uint64_t took = hob_now_us() - from;
    size_t after = rss_kib();
    assert_int_equal(catalog_functions_count(c), 10001);
    print_message("10,000 functions: %.1f ms, %.0f bytes each (configuration %zu bytes)\n",
                  (double)took / 1e3, (double)(after - before) * 1024 / 10000, strlen(config));
    assert_true(took < 20000000); /* not a query each */
#ifndef __SANITIZE_ADDRESS__
    assert_true((after - before) * 1024 / 10000 <= 4096);
#endif
    catalog_free(c);
}

static void routing_among_thousands_takes_microseconds(void **state)
{
    struct platform *p = *state;
    hob_auto_buf struct hob_buf m;
    hob_buf_init(&m, 1 << 20);
    assert_ok(hob_buf_addf(&m, "{\"app\":\"shop\",\"functions\":{"));
    for (int i = 0; i < 100; i++) {
        assert_ok(hob_buf_addf(&m, "%s\"f%d\":{\"runtime\":\"node\",\"entry\":\"index.sh\",\"routes\":[",
                               i ? "," : "", i));
        for (int j = 0; j < 20; j++)
            assert_ok(hob_buf_addf(&m, "%s{\"path\":\"/s%d/:id/t%d\"}", j ? "," : "", i, j));
        assert_ok(hob_buf_addf(&m, "]}"));
    }
    assert_ok(hob_buf_addf(&m, "}}"));
    hob_auto_free char *text = hob_buf_take(&m);
    deploy_ok(p, "shop", text, "1");
    TO(p, "", "GET", "/s99/7/t19", "f99");
    uint64_t from = hob_now_us();
    for (int i = 0; i < 100000; i++)
        assert_non_null(route(p, "shop.example", "GET", "/s50/7/t9"));
    uint64_t took = hob_now_us() - from;
    print_message("2,000 routes: %.2f us a match\n", (double)took / 1e5);
    assert_true(took < 60000000); /* not a look at each route */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, platform_make, platform_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_qualifier_is_nothing_a_number_or_an_alias),
        TEST(what_is_missing_is_named_with_the_nearest_that_is_there),
        TEST(the_most_specific_route_wins),
        TEST(parameters_come_as_slices_of_the_path),
        TEST(a_missing_method_says_which_are_allowed),
        TEST(routes_follow_what_is_live),
        TEST(the_listener_hears_what_goes_and_what_comes),
        TEST(a_changed_secret_replaces_the_instances_that_use_it),
        TEST(ten_thousand_functions_load_in_a_moment_at_under_four_kib_each),
        TEST(routing_among_thousands_takes_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
