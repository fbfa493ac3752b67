#include <pthread.h>
#include <sys/stat.h>

#include "platform.h"

#define SHOP                                                                                                 \
    "{\"app\":\"shop\",\"functions\":{\"checkout\":{\"runtime\":\"node\",\"entry\":\"index.sh\"},"           \
    "\"price\":{\"runtime\":\"node\",\"entry\":\"index.sh\",\"memory_mb\":64}}}"

static uint32_t live_number(struct platform *p, const char *app, const char *function)
{
    struct function *f = catalog_function_find(p->catalog, hob_str(app), hob_str(function));
    return f && f->live ? f->live->number : 0;
}

static void refused(const struct deployed *d, enum hob_code code, const char *reason, const char *part)
{
    if (!strstr(d->err.msg, part))
        print_error("message: %s\n", d->err.msg);
    assert_contains(d->err.msg, part);
    assert_string_equal(hob_err_reason(&d->err), reason);
    assert_int_equal(d->err.code, code);
}

/* --- what works --- */

static void a_deploy_makes_read_only_code_and_live_versions_that_survive_a_restart(void **state)
{
    struct platform *p = *state;
    struct deployed d = deploy_app(p, "shop", SHOP, "echo 1");
    assert_string_equal(d.err.msg, "");
    assert_int_equal(d.functions_n, 2);
    assert_int_equal(d.files, 2);
    assert_int_equal(d.bytes, strlen(SHOP) + 6);
    assert_true(d.is_new[0] && d.is_new[1]);
    assert_int_equal(live_number(p, "shop", "checkout"), 1);
    assert_true(code_store_has(p->code, d.digest));
    struct stat st;
    hob_auto_free char *path = hob_asprintf("%s/code/%s/index.sh", p->home->dir, d.digest);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    assert_int_equal(count_in(p, "code", ".staging-"), 0);
    platform_restart(p);
    assert_int_equal(live_number(p, "shop", "price"), 1);
    struct hob_err err;
    struct version *v = catalog_resolve(p->catalog, HOB_STR("shop"), HOB_STR("price"), HOB_STR(""), &err);
    assert_non_null(v);
    assert_int_equal(version_config(v)->memory_mb, 64);
    assert_string_equal(v->digest, d.digest);
}

static void unchanged_functions_keep_their_version_and_changed_ones_get_the_next(void **state)
{
    struct platform *p = *state;
    struct deployed first = deploy_app(p, "shop", SHOP, "echo 1"),
                    same = deploy_app(p, "shop", SHOP, "echo 1");
    assert_string_equal(first.digest, same.digest);
    assert_int_equal(same.versions[0], 1);
    assert_false(same.is_new[0] || same.is_new[1]);
    /* hob.json is part of the code: another one means new versions of both */
    struct deployed code = deploy_app(p, "shop", SHOP, "echo 2");
    assert_int_equal(code.versions[0], 2);
    assert_true(code.is_new[0] && code.is_new[1]);
    assert_string_not_equal(first.digest, code.digest);
    assert_int_equal(live_number(p, "shop", "checkout"), 2);
    struct function *f = catalog_function_find(p->catalog, HOB_STR("shop"), HOB_STR("checkout"));
    assert_int_equal(f->previous_live, 1);
    assert_int_equal(f->versions->number, 2);
    assert_int_equal(f->versions->older->number, 1);
}

static void functions_that_left_hob_json_stay(void **state)
{
    struct platform *p = *state;
    (void)deploy_app(p, "shop", SHOP, "echo 1");
    struct deployed d = deploy_app(
        p, "shop",
        "{\"app\":\"shop\",\"functions\":{\"price\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}", "x");
    assert_int_equal(d.err.code, HOB_OK);
    assert_int_equal(d.functions_n, 1);
    assert_int_equal(live_number(p, "shop", "checkout"), 1);
    assert_int_equal(live_number(p, "shop", "price"), 2);
}

static void a_dry_run_judges_everything_and_changes_nothing(void **state)
{
    struct platform *p = *state;
    struct deployed d = deploy_fd(p, "shop", app_fd(SHOP, "echo 1"), true);
    assert_int_equal(d.err.code, HOB_OK);
    assert_true(d.is_new[0]);
    assert_int_equal(d.versions[0], 1);
    assert_null(catalog_app_find(p->catalog, HOB_STR("shop")));
    assert_int_equal(count_in(p, "code", ""), 0);
    (void)deploy_app(p, "shop", SHOP, "echo 1");
    d = deploy_fd(p, "shop", app_fd(SHOP, "echo 1"), true);
    assert_false(d.is_new[0]);
    d = deploy_fd(p, "shop", app_fd(SHOP, "echo 2"), true);
    assert_true(d.is_new[0]);
    assert_int_equal(d.versions[0], 2);
    assert_int_equal(live_number(p, "shop", "checkout"), 1);
}

static void the_address_tells_apart_what_a_path_or_a_mode_changes(void **state)
{
    struct platform *p = *state;
    char digests[4][65];
    for (int i = 0; i < 4; i++) {
        struct bundle b;
        bundle_start(&b);
        bundle_file(&b, "hob.json", SHOP);
        bundle_file(&b, "index.sh", "x");
        if (i == 1)
            bundle_file(&b, "ab", "c");
        if (i == 2)
            bundle_file(&b, "a", "bc");
        if (i == 3) {
            bundle_record(&b, HOB_BUNDLE_FILE, "ab", 1, true);
            assert_ok(hob_buf_add(&b.out, "c", 1));
        }
        bundle_end(&b);
        struct deployed d = deploy_fd(p, "shop", bundle_fd(&b), true);
        assert_int_equal(d.err.code, HOB_OK);
        memcpy(digests[i], d.digest, sizeof digests[i]);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(digests[i], digests[j]);
    }
}

static void the_order_of_an_archive_does_not_change_its_address(void **state)
{
    struct platform *p = *state;
    struct bundle a, b;
    bundle_start(&a);
    bundle_file(&a, "hob.json", SHOP);
    bundle_file(&a, "index.sh", "x");
    bundle_folder(&a, "lib");
    bundle_file(&a, "lib/one", "1");
    bundle_end(&a);
    bundle_start(&b);
    bundle_folder(&b, "lib");
    bundle_file(&b, "lib/one", "1");
    bundle_file(&b, "index.sh", "x");
    bundle_file(&b, "hob.json", SHOP);
    bundle_end(&b);
    struct deployed da = deploy_fd(p, "shop", bundle_fd(&a), true),
                    db = deploy_fd(p, "shop", bundle_fd(&b), true);
    assert_int_equal(da.err.code, HOB_OK);
    assert_string_equal(da.digest, db.digest);
}

/* --- refusals: nothing changes --- */

static void refuse_manifest(struct platform *p, const char *manifest, enum hob_code code, const char *reason,
                            const char *part)
{
    struct deployed d = deploy_app(p, "shop", manifest, "x");
    refused(&d, code, reason, part);
    assert_null(catalog_app_find(p->catalog, HOB_STR("shop")));
    assert_int_equal(count_in(p, "code", ""), 0);
}

static void a_bad_manifest_is_refused_with_what_is_wrong(void **state)
{
    struct platform *p = *state;
    refuse_manifest(p, "{", HOB_E_INVALID, "bad_json", "hob.json");
    refuse_manifest(p, "{\"app\":\"shop\",\"functions\":{\"f\":{\"entry\":\"index.sh\",\"memry_mb\":1}}}",
                    HOB_E_INVALID, "unknown_key", "memory_mb");
    refuse_manifest(p,
                    "{\"app\":\"other\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}",
                    HOB_E_INVALID, "wrong_app", "'other'");
}

static void a_missing_runtime_or_entry_is_refused_with_what_to_do(void **state)
{
    struct platform *p = *state;
    refuse_manifest(
        p, "{\"app\":\"shop\",\"functions\":{\"f\":{\"runtime\":\"absent\",\"entry\":\"index.sh\"}}}",
        HOB_E_UNAVAILABLE, "runtime_missing", "apt-get install it");
    refuse_manifest(p,
                    "{\"app\":\"shop\",\"functions\":{\"f\":{\"runtime\":\"nood\",\"entry\":\"index.sh\"}}}",
                    HOB_E_NOT_FOUND, "runtime_missing", "node");
    refuse_manifest(p,
                    "{\"app\":\"shop\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"indx.sh\"}}}",
                    HOB_E_INVALID, "missing_entry", "did you mean 'index.sh'");
    refuse_manifest(
        p, "{\"app\":\"shop\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"src/index.sh\"}}}",
        HOB_E_INVALID, "missing_entry", "did you mean 'index.sh'");
}

static void an_archive_without_hob_json_at_its_root_says_where_it_is(void **state)
{
    struct platform *p = *state;
    struct bundle b;
    bundle_start(&b);
    bundle_folder(&b, "shop");
    bundle_file(&b, "shop/hob.json", SHOP);
    bundle_end(&b);
    struct deployed d = deploy_fd(p, "shop", bundle_fd(&b), false);
    refused(&d, HOB_E_INVALID, "missing_manifest", "shop/hob.json");
    bundle_start(&b);
    bundle_end(&b);
    d = deploy_fd(p, "shop", bundle_fd(&b), false);
    refused(&d, HOB_E_INVALID, "missing_manifest", "no hob.json");
    bundle_start(&b);
    bundle_folder(&b, "hob.json");
    bundle_end(&b);
    d = deploy_fd(p, "shop", bundle_fd(&b), false);
    refused(&d, HOB_E_INVALID, "missing_manifest", "no hob.json");
    assert_int_equal(count_in(p, "code", ""), 0);
}

static void a_route_of_another_app_is_not_taken_over(void **state)
{
    struct platform *p = *state;
    const char *one = "{\"app\":\"one\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\","
                      "\"routes\":[{\"path\":\"/x/:id\",\"methods\":[\"GET\"]}]}}}";
    const char *two = "{\"app\":\"two\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\","
                      "\"routes\":[{\"path\":\"/x/:other\",\"methods\":[\"GET\",\"POST\"]}]}}}";
    assert_int_equal(deploy_app(p, "one", one, "x").err.code, HOB_OK);
    struct deployed d = deploy_app(p, "two", two, "x");
    refused(&d, HOB_E_CONFLICT, "route_taken", "/x/:other");
    assert_null(strstr(d.err.msg, "one")); /* whose it is is not this one's business */
    const char *all = "{\"app\":\"all\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\","
                      "\"routes\":[{\"path\":\"/x/:id\"}]}}}";
    d = deploy_app(p, "all", all, "x"); /* every method, beside another app's listed ones */
    refused(&d, HOB_E_CONFLICT, "route_taken", "/x/:id");
    assert_int_equal(deploy_app(p, "one", one, "y").err.code, HOB_OK); /* its own it may have again */
}

/* Streams as a taken-over unpacker would write them. */
static void refuse_stream(struct platform *p, struct bundle *b, enum hob_code code, const char *part)
{
    struct deployed d = deploy_fd(p, "shop", bundle_fd(b), false);
    if (!strstr(d.err.msg, part))
        print_error("message: %s\n", d.err.msg);
    assert_contains(d.err.msg, part);
    assert_int_equal(d.err.code, code);
    assert_int_equal(count_in(p, "code", ""), 0);
    assert_int_equal(count_in(p, "", "outside"), 0);
}

static void hostile_paths_write_nothing_outside(void **state)
{
    struct platform *p = *state;
    static const char *const paths[] = {
        "../outside", "/outside", "a/../../outside", ".",    "..", "a//b", "a/", "./a",
        "a\\b",       "a\nb",     "\xff\xfe",        "a/./b"};
    for (size_t i = 0; i < HOB_COUNT(paths); i++) {
        struct bundle b;
        bundle_start(&b);
        bundle_folder(&b, "a");
        bundle_file(&b, paths[i], "x");
        bundle_end(&b);
        refuse_stream(p, &b, HOB_E_INVALID, "path");
    }
}

static void broken_streams_are_refused(void **state)
{
    struct platform *p = *state;
    struct bundle b;
    bundle_start(&b); /* nothing at all */
    refuse_stream(p, &b, HOB_E_INVALID, "ended before");
    bundle_start(&b); /* no end */
    bundle_file(&b, "hob.json", SHOP);
    refuse_stream(p, &b, HOB_E_INVALID, "ended before");
    bundle_start(&b); /* cut inside a file */
    bundle_record(&b, HOB_BUNDLE_FILE, "hob.json", 1000, false);
    refuse_stream(p, &b, HOB_E_INVALID, "ended before");
    bundle_start(&b); /* a wrong count */
    bundle_file(&b, "hob.json", SHOP);
    b.entries = 2;
    bundle_end(&b);
    refuse_stream(p, &b, HOB_E_INVALID, "lost entries");
    bundle_start(&b); /* not our magic */
    assert_ok(hob_buf_add(&b.out, "GET / HTTP/1.1\r\n\r\n", 18));
    refuse_stream(p, &b, HOB_E_INVALID, "");
    bundle_start(&b); /* twice */
    bundle_file(&b, "a", "1");
    bundle_file(&b, "a", "2");
    bundle_end(&b);
    refuse_stream(p, &b, HOB_E_INVALID, "twice");
    bundle_start(&b);
    bundle_folder(&b, "a");
    bundle_folder(&b, "a");
    bundle_end(&b);
    refuse_stream(p, &b, HOB_E_INVALID, "twice");
    bundle_start(&b); /* a file where a folder is needed, a folder that never came */
    bundle_file(&b, "a", "1");
    bundle_file(&b, "a/b", "2");
    bundle_end(&b);
    refuse_stream(p, &b, HOB_E_INVALID, "comes before its folder");
    bundle_start(&b);
    bundle_folder(&b, "x/y");
    bundle_end(&b);
    refuse_stream(p, &b, HOB_E_INVALID, "before the one it is in");
}

static void the_unpackers_own_refusal_is_told_with_odd_bytes_escaped(void **state)
{
    struct platform *p = *state;
    struct bundle b;
    bundle_start(&b);
    bundle_file(&b, "a", "1");
    bundle_record(&b, HOB_BUNDLE_ERROR, "zip bomb \x1b[31m", HOB_E_TOO_LARGE, false);
    refuse_stream(p, &b, HOB_E_TOO_LARGE, "zip bomb \\x1b[31m");
    bundle_start(&b);
    bundle_record(&b, HOB_BUNDLE_ERROR, "odd code", 7777, false);
    refuse_stream(p, &b, HOB_E_INVALID, "");
    bundle_start(&b);
    bundle_record(&b, HOB_BUNDLE_ERROR, "not its business", HOB_E_UNAUTHORIZED, false);
    refuse_stream(p, &b, HOB_E_INVALID, "not its business");
}

/* Announced, not sent: the sum is judged before anything is written. */
static void more_bytes_than_the_limit_are_refused_before_they_come(void **state)
{
    struct platform *p = *state;
    struct bundle b;
    bundle_start(&b);
    bundle_file(&b, "hob.json", SHOP);
    bundle_record(&b, HOB_BUNDLE_FILE, "big", HOB_MAX_UNPACKED_BYTES - strlen(SHOP) + 1, false);
    refuse_stream(p, &b, HOB_E_TOO_LARGE, "deploy.unpacked_bytes");
    bundle_start(&b);
    bundle_file(&b, "hob.json", SHOP);
    bundle_record(&b, HOB_BUNDLE_FILE, "big", HOB_MAX_UNPACKED_BYTES - strlen(SHOP), false);
    refuse_stream(p, &b, HOB_E_INVALID, "ended before"); /* exactly as much is taken, and then waited for */
    bundle_start(&b);
    bundle_record(&b, HOB_BUNDLE_FILE, "big", UINT64_MAX, false);
    refuse_stream(p, &b, HOB_E_TOO_LARGE, "");
}

/* --- concurrency, cancel, close --- */

static void a_second_deploy_of_the_same_app_is_refused_while_one_runs(void **state)
{
    struct platform *p = *state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct deployed slow = {.is_told = false};
    struct deploy_spec spec = {.app = "shop", .archive_fd = -1};
    struct deploy *dp = deploy_start_from_records(p->deployer, &spec, ends[0], on_deployed, &slow);
    struct deployed second = deploy_app(p, "shop", SHOP, "x");
    refused(&second, HOB_E_CONFLICT, "deploy_in_progress", "'shop'");
    const char *blog =
        "{\"app\":\"blog\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}";
    assert_int_equal(deploy_app(p, "blog", blog, "x").err.code, HOB_OK); /* another app goes on */
    assert_false(slow.is_told);
    deploy_cancel(dp);
    while (!slow.is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    assert_int_equal(slow.err.code, HOB_E_CANCELLED);
    (void)close(ends[1]);
    assert_int_equal(count_in(p, "code", ".staging-"), 0);
    assert_int_equal(deploy_app(p, "shop", SHOP, "x").err.code, HOB_OK);
}

static void on_hub_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void without_a_runner_the_deploy_says_so_and_ends(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    bool is_closed = false;
    struct node_hub *hub = node_hub_start(&p->home->loop, home_path(p->home, "runner.sock"), getuid(), &err);
    assert_non_null(hub);
    struct deployer_options o = {&p->home->loop, p->store, p->catalog, p->code,
                                 p->runtimes,    hub,      p->vault,   NULL};
    struct deployer *deployer = deployer_new(&o);
    struct deployed d = {.is_told = false};
    int archive = app_fd(SHOP, "x");
    struct deploy_spec spec = {.app = "shop", .archive_fd = archive};
    assert_non_null(deploy_start(deployer, &spec, on_deployed, &d));
    assert_false(d.is_told);
    while (!d.is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    assert_int_equal(d.err.code, HOB_E_UNAVAILABLE);
    assert_contains(d.err.msg, "unpacker");
    deployer_close(deployer, NULL, NULL);
    node_hub_close(hub, on_hub_closed, &is_closed);
    while (!is_closed)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    (void)close(archive);
}

static void a_deploy_of_a_name_that_is_none_is_refused(void **state)
{
    struct platform *p = *state;
    struct deployed d = deploy_app(p, "Not A Name", SHOP, "x");
    refused(&d, HOB_E_INVALID, "invalid", "app name");
    d = deploy_app(p, "", SHOP, "x");
    refused(&d, HOB_E_INVALID, "invalid", "app name");
}

static void no_more_deploys_than_workers_can_bear_run_at_once(void **state)
{
    struct platform *p = *state;
    struct deployed slow[9];
    struct deploy *running[9];
    int ends[9][2];
    char app[9][16];
    memset(slow, 0, sizeof slow);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
        (void)snprintf(app[i], sizeof app[i], "app-%d", i);
        struct deploy_spec spec = {.app = app[i], .archive_fd = -1};
        running[i] = deploy_start_from_records(p->deployer, &spec, ends[i][0], on_deployed, &slow[i]);
    }
    while (!slow[8].is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    refused(&slow[8], HOB_E_BUSY, "busy", "8 deploys");
    for (int i = 0; i < 8; i++) {
        assert_false(slow[i].is_told);
        deploy_cancel(running[i]);
    }
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 9; i++) {
        assert_true(slow[i].is_told);
        (void)close(ends[i][1]);
    }
}

static void closing_the_deployer_ends_what_runs(void **state)
{
    struct platform *p = *state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct deployed slow = {.is_told = false};
    struct deploy_spec spec = {.app = "shop", .archive_fd = -1};
    assert_non_null(deploy_start_from_records(p->deployer, &spec, ends[0], on_deployed, &slow));
    platform_restart(p);
    assert_true(slow.is_told);
    assert_int_equal(slow.err.code, HOB_E_CANCELLED);
    (void)close(ends[1]);
}

/* --- the code store --- */

static void what_a_crash_left_is_swept_at_start_and_live_code_stays(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    struct deployed d = deploy_app(p, "shop", SHOP, "x");
    assert_ok(hob_mkdirs(home_path(p->home, "code/.staging-0011/sub"), 0755, &err));
    assert_ok(hob_write_file(home_path(p->home, "code/.staging-0011/sub/f"), HOB_STR("x"), 0444, &err));
    assert_ok(hob_mkdirs(home_path(p->home, "code/.trash-0011"), 0755, &err));
    hob_auto_free char *orphan = hob_asprintf("%s/code/%064d", p->home->dir, 7);
    assert_ok(hob_mkdirs(orphan, 0755, &err));
    platform_restart(p);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    assert_int_equal(count_in(p, "code", ""), 1);
    assert_true(code_store_has(p->code, d.digest));
}

struct racer {
    struct platform *p;
    bool is_stopping;
};

static void *collect_for_ever(void *arg)
{
    struct racer *r = arg;
    struct hob_err err;
    while (!__atomic_load_n(&r->is_stopping, __ATOMIC_ACQUIRE))
        assert_ok(code_store_collect(r->p->code, NULL, &err));
    return NULL;
}

static void V4_collecting_beside_deploys_never_removes_a_referenced_version(void **state)
{
    struct platform *p = *state;
    struct racer r = {.p = p};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, collect_for_ever, &r), 0);
    for (int i = 0; i < 60; i++) {
        char code[32];
        (void)snprintf(code, sizeof code, "echo %d", i % 3); /* the same trees come and go */
        struct deployed d = deploy_app(p, "shop", SHOP, code);
        assert_int_equal(d.err.code, HOB_OK);
        assert_true(code_store_has(p->code, d.digest));
    }
    __atomic_store_n(&r.is_stopping, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, platform_make, platform_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_deploy_makes_read_only_code_and_live_versions_that_survive_a_restart),
        TEST(unchanged_functions_keep_their_version_and_changed_ones_get_the_next),
        TEST(functions_that_left_hob_json_stay),
        TEST(a_dry_run_judges_everything_and_changes_nothing),
        TEST(the_address_tells_apart_what_a_path_or_a_mode_changes),
        TEST(the_order_of_an_archive_does_not_change_its_address),
        TEST(a_bad_manifest_is_refused_with_what_is_wrong),
        TEST(a_missing_runtime_or_entry_is_refused_with_what_to_do),
        TEST(an_archive_without_hob_json_at_its_root_says_where_it_is),
        TEST(a_route_of_another_app_is_not_taken_over),
        TEST(hostile_paths_write_nothing_outside),
        TEST(broken_streams_are_refused),
        TEST(the_unpackers_own_refusal_is_told_with_odd_bytes_escaped),
        TEST(more_bytes_than_the_limit_are_refused_before_they_come),
        TEST(a_second_deploy_of_the_same_app_is_refused_while_one_runs),
        TEST(without_a_runner_the_deploy_says_so_and_ends),
        TEST(a_deploy_of_a_name_that_is_none_is_refused),
        TEST(no_more_deploys_than_workers_can_bear_run_at_once),
        TEST(closing_the_deployer_ends_what_runs),
        TEST(what_a_crash_left_is_swept_at_start_and_live_code_stays),
        TEST(V4_collecting_beside_deploys_never_removes_a_referenced_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
