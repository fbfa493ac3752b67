/* The registry of apps with a backend: keys, settings, what a restart finds again. */
#include "bindings/apps.h"
#include "home.h"

struct fixture {
    struct home *home;
    struct store *store;
    struct backend_apps *apps;
};
struct told {
    bool is_told;
    struct hob_err err;
    struct backend_app_made made;
};

static void on_made(void *ctx, const struct hob_err *err, const struct backend_app_made *made)
{
    struct told *t = ctx;
    assert_false(t->is_told);
    t->is_told = true;
    if (err)
        t->err = *err;
    else
        t->made = *made;
}

static void on_done(void *ctx, const struct hob_err *err)
{
    struct told *t = ctx;
    assert_false(t->is_told);
    t->is_told = true;
    if (err)
        t->err = *err;
}

static void wait_for(struct fixture *f, const struct told *t)
{
    while (!t->is_told)
        (void)uv_run(&f->home->loop, UV_RUN_ONCE);
}

static void open_all(struct fixture *f)
{
    struct hob_err err = {0};
    f->store = store_open(&f->home->loop, home_path(f->home, "hob.db"), &err);
    assert_non_null(f->store);
    f->apps = backend_apps_load(f->store, home_path(f->home, "master.key"), &err);
    assert_string_equal(err.msg, "");
    assert_non_null(f->apps);
}

static void close_all(struct fixture *f)
{
    backend_apps_free(f->apps);
    store_close(f->store, NULL, NULL);
    (void)uv_run(&f->home->loop, UV_RUN_DEFAULT);
}

static int make(void **state)
{
    struct fixture *f = hob_new(struct fixture);
    if (home_make((void **)&f->home) != 0)
        return -1;
    *state = f;
    open_all(f);
    return 0;
}

static int drop(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    int rc = home_drop((void **)&f->home);
    free(f);
    return rc;
}

static struct told create(struct fixture *f, const struct backend_app_new *n)
{
    struct told t = {.is_told = false};
    backend_app_create(f->apps, n, on_made, &t);
    assert_false(t.is_told);
    wait_for(f, &t);
    return t;
}

static struct told set(struct fixture *f, const char *name, const char *json)
{
    struct told t = {.is_told = false};
    hob_auto_json json_t *settings = json_loads(json, JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(settings);
    backend_app_set(f->apps, name, settings, on_done, &t);
    wait_for(f, &t);
    return t;
}

static struct told set_key(struct fixture *f, enum backend_key which, const char *key)
{
    struct told t = {.is_told = false};
    backend_app_set_key(f->apps, "shop", which, key, on_done, &t);
    wait_for(f, &t);
    return t;
}

static const struct backend_app *app(struct fixture *f)
{
    const struct backend_app *found = backend_app_by_name(f->apps, HOB_STR("shop"));
    assert_non_null(found);
    return found;
}

static void a_created_app_has_its_name_as_id_and_a_master_key_that_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct told t = create(f, &(struct backend_app_new){.name = "shop"});
    assert_string_equal(t.err.msg, "");
    assert_string_equal(t.made.application_id, "shop");
    assert_int_equal(strlen(t.made.master_key), 64);
    close_all(f);
    open_all(f);
    assert_ptr_equal(app(f), backend_app_by_id(f->apps, HOB_STR("shop")));
    assert_true(backend_app_check_key(app(f), BACKEND_KEY_MASTER, hob_str(t.made.master_key)));
    assert_false(backend_app_check_key(app(f), BACKEND_KEY_MASTER, hob_str_n(t.made.master_key, 63)));
    assert_false(backend_app_check_key(app(f), BACKEND_KEY_REST, HOB_STR("")));
    assert_false(backend_app_needs_client_key(app(f)));
}

static void keys_and_id_of_a_migrated_app_are_taken_as_given(void **state)
{
    struct fixture *f = *state;
    struct backend_app_new n = {.name = "shop", .application_id = "myAppId_1.x"};
    n.keys[BACKEND_KEY_MASTER] = "my-master-key";
    n.keys[BACKEND_KEY_JAVASCRIPT] = "js-key-12345";
    struct told t = create(f, &n);
    assert_string_equal(t.made.master_key, "my-master-key");
    assert_non_null(backend_app_by_id(f->apps, HOB_STR("myAppId_1.x")));
    assert_null(backend_app_by_id(f->apps, HOB_STR("shop")));
    assert_true(backend_app_needs_client_key(app(f)));
    assert_true(backend_app_check_key(app(f), BACKEND_KEY_JAVASCRIPT, HOB_STR("js-key-12345")));
}

static void what_cannot_be_created_is_refused_with_the_reason(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(create(f, &(struct backend_app_new){.name = "shop"}).err.msg, "");
    struct told t = create(f, &(struct backend_app_new){.name = "shop"});
    assert_int_equal(t.err.code, HOB_E_CONFLICT);
    t = create(f, &(struct backend_app_new){.name = "blog", .application_id = "shop"});
    assert_int_equal(t.err.code, HOB_E_CONFLICT);
    assert_contains(t.err.msg, "another app's");
    t = create(f, &(struct backend_app_new){.name = "blog", .application_id = "a b"});
    assert_int_equal(t.err.code, HOB_E_INVALID);
    struct backend_app_new n = {.name = "blog"};
    n.keys[BACKEND_KEY_MASTER] = "short";
    assert_contains(create(f, &n).err.msg, "master key: use 8 to 128");
    assert_null(backend_app_by_name(f->apps, HOB_STR("blog")));
}

static void settings_are_judged_merged_and_taken_back(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &(struct backend_app_new){.name = "shop"});
    assert_int_equal(backend_app_int(app(f), SETTING_MAX_LIMIT), 1000);
    assert_string_equal(set(f, "shop", "{\"maxLimit\":50,\"publicServerURL\":\"https://x/parse\"}").err.msg,
                        "");
    assert_string_equal(set(f, "shop", "{\"allowClientClassCreation\":false}").err.msg, "");
    close_all(f);
    open_all(f);
    assert_int_equal(backend_app_int(app(f), SETTING_MAX_LIMIT), 50);
    assert_string_equal(backend_app_text(app(f), SETTING_PUBLIC_SERVER_URL), "https://x/parse");
    assert_false(backend_app_bool(app(f), SETTING_ALLOW_CLIENT_CLASS_CREATION));
    assert_string_equal(set(f, "shop", "{\"maxLimit\":null}").err.msg, "");
    assert_int_equal(backend_app_int(app(f), SETTING_MAX_LIMIT), 1000);
    assert_int_equal(set(f, "none", "{\"maxLimit\":5}").err.code, HOB_E_NOT_FOUND);
}

static void a_wrong_setting_changes_nothing_and_says_what_is_right(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &(struct backend_app_new){.name = "shop"});
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"{\"maxLimits\":1}", "did you mean 'maxLimit'"},
        {"{\"maxLimit\":\"5\"}", "must be a whole number"},
        {"{\"maxLimit\":1.5}", "must be a whole number"},
        {"{\"maxLimit\":100001}", "0 to 100000 is allowed"},
        {"{\"maxLimit\":-1}", "0 to 100000 is allowed"},
        {"{\"verifyUserEmails\":1}", "must be true or false"},
        {"{\"accountLockout\":{\"treshold\":3}}", "has no member 'treshold'"},
        {"{\"accountLockout\":{\"threshold\":\"3\"}}", "accountLockout.threshold' must be a whole number"},
        {"{\"masterKeyIps\":\"::1\"}", "must be an array"},
        {"{\"allowOrigin\":[1]}", "a text or an array of texts"},
        {"{\"defaultLimit\":7,\"nonsense\":1}", "no setting 'nonsense'"},
    };
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        struct told t = set(f, "shop", rows[i].json);
        assert_int_equal(t.err.code, HOB_E_INVALID);
        assert_contains(t.err.msg, rows[i].says);
    }
    assert_int_equal(backend_app_int(app(f), SETTING_DEFAULT_LIMIT), 100);
}

static void keys_are_made_replaced_and_removed_but_never_the_last_master(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &(struct backend_app_new){.name = "shop"});
    assert_string_equal(set_key(f, BACKEND_KEY_REST, "rest-key-1").err.msg, "");
    assert_true(backend_app_check_key(app(f), BACKEND_KEY_REST, HOB_STR("rest-key-1")));
    assert_string_equal(set_key(f, BACKEND_KEY_REST, "rest-key-2").err.msg, "");
    assert_false(backend_app_check_key(app(f), BACKEND_KEY_REST, HOB_STR("rest-key-1")));
    assert_string_equal(set_key(f, BACKEND_KEY_REST, NULL).err.msg, "");
    assert_false(backend_app_has_key(app(f), BACKEND_KEY_REST));
    assert_contains(set_key(f, BACKEND_KEY_MASTER, NULL).err.msg, "cannot be removed");
    assert_true(backend_app_has_key(app(f), BACKEND_KEY_MASTER));
}

static void the_webhook_key_comes_back_and_lies_sealed_on_the_disk(void **state)
{
    struct fixture *f = *state;
    struct hob_err err = {0};
    hob_auto_buf struct hob_buf key, file;
    hob_buf_init(&key, 200);
    hob_buf_init(&file, 16 << 20);
    (void)create(f, &(struct backend_app_new){.name = "shop"});
    assert_string_equal(set_key(f, BACKEND_KEY_WEBHOOK, "hook-key-plain").err.msg, "");
    close_all(f);
    assert_ok(hob_read_file(home_path(f->home, "hob.db"), &file, &err));
    assert_null(memmem(hob_buf_data(&file), file.n, "hook-key-plain", 14));
    assert_non_null(memmem(hob_buf_data(&file), file.n, "webhook", 7)); /* the search itself works */
    open_all(f);
    assert_ok(backend_app_webhook_key(f->apps, app(f), &key, &err));
    assert_str_equal(hob_buf_str(&key), "hook-key-plain");
}

static void changes_that_are_asked_for_at_once_all_stand(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &(struct backend_app_new){.name = "shop"});
    struct told t[3] = {{.is_told = false}};
    hob_auto_json json_t *a = json_pack("{s:f}", "maxLimit", 5.0),
                         *b = json_pack("{s:f}", "defaultLimit", 4.0);
    backend_app_set(f->apps, "shop", a, on_done, &t[0]);
    backend_app_set(f->apps, "shop", b, on_done, &t[1]);
    backend_app_set_key(f->apps, "shop", BACKEND_KEY_CLIENT, "client-key", on_done, &t[2]);
    for (int i = 0; i < 3; i++)
        wait_for(f, &t[i]);
    assert_int_equal(backend_app_int(app(f), SETTING_MAX_LIMIT), 5);
    assert_int_equal(backend_app_int(app(f), SETTING_DEFAULT_LIMIT), 4);
    assert_true(backend_app_has_key(app(f), BACKEND_KEY_CLIENT));
}

static void a_removed_backend_is_gone_and_its_name_is_free(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &(struct backend_app_new){.name = "shop", .application_id = "one"});
    struct told t = {.is_told = false};
    backend_app_remove(f->apps, "shop", on_done, &t);
    wait_for(f, &t);
    assert_string_equal(t.err.msg, "");
    assert_null(backend_app_by_name(f->apps, HOB_STR("shop")));
    assert_null(backend_app_by_id(f->apps, HOB_STR("one")));
    assert_string_equal(create(f, &(struct backend_app_new){.name = "shop", .application_id = "two"}).err.msg,
                        "");
    t = (struct told){.is_told = false};
    backend_app_remove(f->apps, "none", on_done, &t);
    wait_for(f, &t);
    assert_int_equal(t.err.code, HOB_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_created_app_has_its_name_as_id_and_a_master_key_that_survives_a_restart, make, drop),
        cmocka_unit_test_setup_teardown(keys_and_id_of_a_migrated_app_are_taken_as_given, make, drop),
        cmocka_unit_test_setup_teardown(what_cannot_be_created_is_refused_with_the_reason, make, drop),
        cmocka_unit_test_setup_teardown(settings_are_judged_merged_and_taken_back, make, drop),
        cmocka_unit_test_setup_teardown(a_wrong_setting_changes_nothing_and_says_what_is_right, make, drop),
        cmocka_unit_test_setup_teardown(keys_are_made_replaced_and_removed_but_never_the_last_master, make,
                                        drop),
        cmocka_unit_test_setup_teardown(the_webhook_key_comes_back_and_lies_sealed_on_the_disk, make, drop),
        cmocka_unit_test_setup_teardown(changes_that_are_asked_for_at_once_all_stand, make, drop),
        cmocka_unit_test_setup_teardown(a_removed_backend_is_gone_and_its_name_is_free, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
