#include <sys/stat.h>

#include "base/limits.h"
#include "platform.h"
#include "store/rows.h"

static void set_secret(struct platform *p, const char *app, const char *name, const char *value)
{
    struct administered a = {.is_told = false};
    admin_secret_set(p->admin, hob_str(app), hob_str(name), hob_str(value), on_administered, &a);
    wait_for(p, &a);
    assert_string_equal(a.err.msg, "");
    assert_true(a.r.updated_ms > 0);
}

static void refuse_secret(struct platform *p, const char *name, struct hob_str value, enum hob_code code,
                          const char *part)
{
    struct administered a = {.is_told = false};
    admin_secret_set(p->admin, HOB_STR("shop"), hob_str(name), value, on_administered, &a);
    wait_for(p, &a);
    assert_int_equal(a.err.code, code);
    assert_contains(a.err.msg, part);
}

static void assert_secret(struct platform *p, const char *app, const char *name, const char *value)
{
    struct hob_err err = {0};
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, HOB_MAX_SECRET_BYTES);
    if (vault_get(p->vault, app, name, &b, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    assert_str_equal(hob_buf_str(&b), value);
}

/* Every file of HOME as bytes. */
static bool home_contains(struct platform *p, const char *name, const char *text)
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 64 << 20);
    if (hob_read_file(home_path(p->home, name), &b, &err) != HOB_OK)
        return false;
    return b.n && memmem(hob_buf_data(&b), b.n, text, strlen(text)) != NULL;
}

static void a_secret_survives_a_restart_and_is_nowhere_in_plain(void **state)
{
    struct platform *p = *state;
    struct stat st;
    assert_int_equal(stat(home_path(p->home, "master.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);
    set_secret(p, "shop", "PAY_KEY", "hunter2-hunter2");
    set_secret(p, "blog", "PAY_KEY", "another");
    assert_secret(p, "shop", "PAY_KEY", "hunter2-hunter2");
    assert_false(home_contains(p, "hob.db", "hunter2"));
    assert_false(home_contains(p, "hob.db-wal", "hunter2"));
    platform_restart(p);
    assert_false(home_contains(p, "hob.db", "hunter2"));
    assert_true(home_contains(p, "hob.db", "PAY_KEY")); /* the search itself works */
    assert_secret(p, "shop", "PAY_KEY", "hunter2-hunter2");
    assert_secret(p, "blog", "PAY_KEY", "another");
    set_secret(p, "shop", "PAY_KEY", "changed");
    assert_secret(p, "shop", "PAY_KEY", "changed");
}

static void note_name(void *ctx, const char *name, int64_t updated_ms)
{
    char *out = ctx;
    assert_true(updated_ms > 0);
    (void)snprintf(out + strlen(out), 64 - strlen(out), "%s ", name);
}

static void secrets_are_listed_by_name_for_one_app_only(void **state)
{
    struct platform *p = *state;
    char names[64] = "";
    set_secret(p, "shop", "B", "x");
    set_secret(p, "shop", "A", "x");
    set_secret(p, "shop-two", "C", "x");
    vault_each(p->vault, HOB_STR("shop"), note_name, names);
    assert_string_equal(names, "A B ");
    assert_int_equal(vault_count(p->vault, HOB_STR("shop")), 2);
    assert_int_equal(vault_count(p->vault, HOB_STR("none")), 0);
}

static void a_removed_secret_is_gone_and_a_missing_one_says_how_to_set_it(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 100);
    set_secret(p, "shop", "A", "x");
    struct administered a = {.is_told = false}, again = {.is_told = false};
    admin_secret_remove(p->admin, HOB_STR("shop"), HOB_STR("A"), on_administered, &a);
    wait_for(p, &a);
    assert_int_equal(a.err.code, HOB_OK);
    assert_int_equal(vault_get(p->vault, "shop", "A", &b, &err), HOB_E_NOT_FOUND);
    assert_contains(err.msg, "hob secret set");
    admin_secret_remove(p->admin, HOB_STR("shop"), HOB_STR("A"), on_administered, &again);
    wait_for(p, &again);
    assert_int_equal(again.err.code, HOB_E_NOT_FOUND);
    platform_restart(p);
    assert_int_equal(vault_get(p->vault, "shop", "A", &b, &err), HOB_E_NOT_FOUND);
}

static void bad_names_and_values_are_refused_at_plus_one(void **state)
{
    struct platform *p = *state;
    hob_auto_free char *big = hob_calloc(HOB_MAX_SECRET_BYTES + 2, 1);
    memset(big, 'v', HOB_MAX_SECRET_BYTES + 1);
    refuse_secret(p, "A", hob_str(big), HOB_E_TOO_LARGE, "app.secret_bytes");
    big[HOB_MAX_SECRET_BYTES] = '\0';
    set_secret(p, "shop", "A", big);
    assert_secret(p, "shop", "A", big);
    refuse_secret(p, "A", HOB_STR(""), HOB_E_INVALID, "empty");
    refuse_secret(p, "A", HOB_STR("a\0b"), HOB_E_INVALID, "NUL");
    refuse_secret(p, "", HOB_STR("x"), HOB_E_INVALID, "name");
    refuse_secret(p, "1A", HOB_STR("x"), HOB_E_INVALID, "name");
    refuse_secret(p, "A-B", HOB_STR("x"), HOB_E_INVALID, "name");
    refuse_secret(p, "A/B", HOB_STR("x"), HOB_E_INVALID, "name");
}

static void an_app_has_a_hundred_secrets_and_not_one_more(void **state)
{
    struct platform *p = *state;
    char name[16];
    for (int i = 0; i < HOB_MAX_SECRETS_PER_APP; i++) {
        (void)snprintf(name, sizeof name, "S%d", i);
        set_secret(p, "shop", name, "x");
    }
    refuse_secret(p, "ONE_MORE", HOB_STR("x"), HOB_E_TOO_LARGE, "app.secrets");
    set_secret(p, "shop", "S0", "changing is no more");
    assert_int_equal(vault_count(p->vault, HOB_STR("shop")), HOB_MAX_SECRETS_PER_APP);
}

static enum hob_code swap_names(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct secret_row *row = ctx;
    return store_secret_put(tx, row, err);
}

static enum hob_code find_sealed(void *ctx, const struct secret_row *row, struct hob_err *err)
{
    struct hob_buf *b = ctx;
    (void)err;
    return strcmp(row->name, "A") == 0 ? hob_buf_add_str(b, row->sealed) : HOB_OK;
}

static enum hob_code read_sealed(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_secret_each(tx, find_sealed, ctx, err);
}

static void a_sealed_value_moved_to_another_name_does_not_open(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    hob_auto_buf struct hob_buf sealed, plain;
    hob_buf_init(&sealed, 1000);
    hob_buf_init(&plain, 1000);
    set_secret(p, "shop", "A", "value");
    assert_ok(store_read_now(p->store, read_sealed, &sealed, &err));
    struct app *app = catalog_app_find(p->catalog, HOB_STR("shop"));
    struct secret_row row = {.app_id = app->id, .updated_ms = 1, .name = "B", .sealed = hob_buf_str(&sealed)};
    assert_ok(store_write_now(p->store, swap_names, &row, &err));
    vault_put(p->vault, "shop", "B", hob_buf_str(&sealed), 1);
    assert_int_equal(vault_get(p->vault, "shop", "B", &plain, &err), HOB_E_INTERNAL);
    assert_int_equal(plain.n, 0);
    assert_secret(p, "shop", "A", "value");
    vault_drop(p->vault, "shop", "B");
}

static void a_wrong_or_missing_or_short_key_is_refused_at_start(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    char other[32];
    set_secret(p, "shop", "A", "value");
    memset(other, 'k', sizeof other);
    hob_auto_free char *path = hob_asprintf("%s/other.key", p->home->dir);
    assert_ok(hob_write_file(path, hob_str_n(other, sizeof other), 0600, &err));
    assert_null(vault_open(p->store, path, &err));
    assert_contains(err.msg, "master.key");
    assert_ok(hob_write_file(path, hob_str_n(other, 31), 0600, &err));
    assert_null(vault_open(p->store, path, &err));
    assert_contains(err.msg, "32 bytes");
    assert_int_equal(unlink(path), 0);
    assert_null(vault_open(p->store, path, &err));
    assert_contains(err.msg, "missing");
    assert_int_equal(access(path, F_OK), -1); /* no new key beside secrets that need the old one */
}

static void secrets_leave_with_their_app(void **state)
{
    struct platform *p = *state;
    struct administered a = {.is_told = false};
    set_secret(p, "shop", "A", "value");
    set_secret(p, "blog", "A", "value");
    admin_app_remove(p->admin, HOB_STR("shop"), on_administered, &a);
    wait_for(p, &a);
    assert_int_equal(a.err.code, HOB_OK);
    assert_int_equal(vault_count(p->vault, HOB_STR("shop")), 0);
    platform_restart(p);
    assert_int_equal(vault_count(p->vault, HOB_STR("shop")), 0);
    assert_int_equal(vault_count(p->vault, HOB_STR("blog")), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, platform_make, platform_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_secret_survives_a_restart_and_is_nowhere_in_plain),
        TEST(secrets_are_listed_by_name_for_one_app_only),
        TEST(a_removed_secret_is_gone_and_a_missing_one_says_how_to_set_it),
        TEST(bad_names_and_values_are_refused_at_plus_one),
        TEST(an_app_has_a_hundred_secrets_and_not_one_more),
        TEST(a_sealed_value_moved_to_another_name_does_not_open),
        TEST(a_wrong_or_missing_or_short_key_is_refused_at_start),
        TEST(secrets_leave_with_their_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
