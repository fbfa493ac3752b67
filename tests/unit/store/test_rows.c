/* The verbs on rows, each in one transaction that is rolled back when it fails. */
#include "base/limits.h"
#include "home.h"
#include "store/rows.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
    struct home *home;
    struct store *store;
};

static int make(void **state)
{
    struct hob_err err;
    struct fixture *f = hob_new(struct fixture);
    if (home_make((void **)&f->home) != 0)
        return -1;
    f->store = store_open(&f->home->loop, home_path(f->home, "hob.db"), &err);
    *state = f;
    return f->store ? 0 : -1;
}

static int drop(void **state)
{
    struct fixture *f = *state;
    store_close(f->store, NULL, NULL);
    (void)uv_run(&f->home->loop, UV_RUN_DEFAULT);
    int rc = home_drop((void **)&f->home);
    free(f);
    return rc;
}

/* Asserts cannot be used on the writer's thread: a step that fails says which line. */
#define STEP(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != HOB_OK)                                                                                \
            return hob_err_wrap(err, "line %d", __LINE__);                                                   \
    } while (0)
#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            return hob_fail(err, HOB_E_INTERNAL, "line %d: %s", __LINE__, #cond);                            \
    } while (0)

static void write_ok(struct fixture *f, store_work_cb work)
{
    struct hob_err err = {0};
    if (store_write_now(f->store, work, NULL, &err) != HOB_OK)
        fail_msg("%s", err.msg);
}

static void write_refused(struct fixture *f, store_work_cb work, enum hob_code code, const char *part)
{
    struct hob_err err = {0};
    assert_int_equal(store_write_now(f->store, work, NULL, &err), code);
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
}

static enum hob_code seed(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct app_row app, again;
    struct function_row fn, fn_again;
    struct version_row v, row = {.digest = DIGEST, .config_json = "{}", .env_json = "{}", .why = "deploy"};
    (void)ctx;
    STEP(store_code_put(tx, &(struct code_row){.digest = DIGEST, .files = 2, .bytes = 3}, err));
    STEP(store_code_put(tx, &(struct code_row){.digest = DIGEST}, err)); /* known: fine */
    STEP(store_app_ensure(tx, "shop", 11, &app, err));
    STEP(store_app_ensure(tx, "shop", 22, &again, err));
    CHECK(app.id == again.id && again.created_ms == 11);
    STEP(store_function_ensure(tx, app.id, "checkout", 33, &fn, err));
    STEP(store_function_ensure(tx, app.id, "checkout", 44, &fn_again, err));
    CHECK(fn.id == fn_again.id && fn_again.created_ms == 33 && fn.live == 0);
    row.function_id = fn.id;
    for (uint32_t i = 1; i <= 3; i++) {
        STEP(store_version_insert(tx, &row, &v, err));
        CHECK(v.number == i);
        STEP(store_function_set_live(tx, fn.id, i, err));
    }
    STEP(store_function_get(tx, "shop", "checkout", &fn, err));
    CHECK(fn.live == 3 && fn.previous_live == 2 && fn.app_id == app.id);
    STEP(store_alias_put(tx, &(struct alias_row){fn.id, "prod", 1}, err));
    STEP(store_alias_put(tx, &(struct alias_row){fn.id, "prod", 2}, err));
    return HOB_OK;
}

/* --- counting --- */

struct counts {
    int apps, functions, versions, aliases, secrets, tokens;
};

static enum hob_code on_app(void *ctx, const struct app_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->apps += row->name[0] != '\0';
    return HOB_OK;
}

static enum hob_code on_function(void *ctx, const struct function_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->functions += row->name[0] != '\0';
    return HOB_OK;
}

static enum hob_code on_version(void *ctx, const struct version_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->versions += strcmp(row->digest, DIGEST) == 0;
    return HOB_OK;
}

static enum hob_code on_alias(void *ctx, const struct alias_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->aliases += row->version == 2;
    return HOB_OK;
}

static enum hob_code on_secret(void *ctx, const struct secret_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->secrets += hob_str_eq(row->sealed, HOB_STR("a\0b"));
    return HOB_OK;
}

static enum hob_code on_token(void *ctx, const struct token_row *row, struct hob_err *err)
{
    (void)err;
    ((struct counts *)ctx)->tokens += row->hash[0] != '\0';
    return HOB_OK;
}

static enum hob_code count(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    STEP(store_app_each(tx, on_app, ctx, err));
    STEP(store_function_each(tx, on_function, ctx, err));
    STEP(store_version_each(tx, on_version, ctx, err));
    STEP(store_alias_each(tx, on_alias, ctx, err));
    STEP(store_secret_each(tx, on_secret, ctx, err));
    STEP(store_token_each(tx, on_token, ctx, err));
    return HOB_OK;
}

static struct counts counts_of(struct fixture *f)
{
    struct counts c = {0};
    struct hob_err err;
    assert_ok(store_read_now(f->store, count, &c, &err));
    return c;
}

/* --- the tests --- */

static enum hob_code prune(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_code_prune(tx, err);
}

static enum hob_code add_version_of_that_code(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct version_row v, row = {.digest = DIGEST, .config_json = "{}", .env_json = "{}", .why = "deploy"};
    struct function_row fn;
    struct app_row app;
    (void)ctx;
    STEP(store_app_ensure(tx, "shop", 1, &app, err));
    STEP(store_function_ensure(tx, app.id, "new", 1, &fn, err));
    row.function_id = fn.id;
    return store_version_insert(tx, &row, &v, err);
}

static enum hob_code remove_app(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_app_remove(tx, "shop", err);
}

static void an_app_leaves_with_everything_of_it_and_its_code_is_forgotten_then_only(void **state)
{
    struct fixture *f = *state;
    write_ok(f, seed);
    struct counts c = counts_of(f);
    assert_int_equal(c.apps, 1);
    assert_int_equal(c.functions, 1);
    assert_int_equal(c.versions, 3);
    assert_int_equal(c.aliases, 1);
    write_ok(f, prune);
    write_ok(f, add_version_of_that_code); /* still known: it was referred to */
    write_ok(f, remove_app);
    c = counts_of(f);
    assert_int_equal(c.apps + c.functions + c.versions + c.aliases, 0);
    write_ok(f, prune);
    write_refused(f, add_version_of_that_code, HOB_E_NOT_FOUND, "not there");
    write_refused(f, remove_app, HOB_E_NOT_FOUND, "no app 'shop'");
}

static enum hob_code alias_to_nothing(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct function_row fn;
    (void)ctx;
    STEP(store_function_get(tx, "shop", "checkout", &fn, err));
    return store_alias_put(tx, &(struct alias_row){fn.id, "beta", 4}, err);
}

static enum hob_code alias_of_none(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_alias_remove(tx, 1, "none", err);
}

static enum hob_code live_of_none(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_function_set_live(tx, 999, 1, err);
}

static enum hob_code remove_none(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_function_remove(tx, 999, err);
}

static enum hob_code get_none(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct function_row fn;
    (void)ctx;
    return store_function_get(tx, "shop", "none", &fn, err);
}

static enum hob_code version_of_none(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_version_get(tx, 1, 9, on_version, ctx, err);
}

static void what_is_not_there_is_said_so(void **state)
{
    struct fixture *f = *state;
    write_ok(f, seed);
    write_refused(f, alias_to_nothing, HOB_E_NOT_FOUND, "no version 4");
    write_refused(f, alias_of_none, HOB_E_NOT_FOUND, "no alias 'none'");
    write_refused(f, live_of_none, HOB_E_NOT_FOUND, "removed meanwhile");
    write_refused(f, remove_none, HOB_E_NOT_FOUND, "removed meanwhile");
    write_refused(f, get_none, HOB_E_NOT_FOUND, "no function 'none'");
    write_refused(f, version_of_none, HOB_E_NOT_FOUND, "no version 9");
    assert_int_equal(counts_of(f).aliases, 1);
}

static enum hob_code put_token(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_token_put(tx, &(struct token_row){1, "ci", "abc"}, err);
}

static enum hob_code remove_token(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_token_remove(tx, "ci", err);
}

static void a_token_is_there_once(void **state)
{
    struct fixture *f = *state;
    write_ok(f, put_token);
    write_refused(f, put_token, HOB_E_CONFLICT, "token 'ci' already");
    assert_int_equal(counts_of(f).tokens, 1);
    write_ok(f, remove_token);
    write_refused(f, remove_token, HOB_E_NOT_FOUND, "no token 'ci'");
    assert_int_equal(counts_of(f).tokens, 0);
}

static enum hob_code put_secret(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct app_row app;
    (void)ctx;
    STEP(store_app_ensure(tx, "shop", 1, &app, err));
    struct secret_row row = {.app_id = app.id, .updated_ms = 1, .name = "KEY", .sealed = HOB_STR("a\0b")};
    return store_secret_put(tx, &row, err);
}

static void a_secrets_bytes_come_back_whole(void **state)
{
    struct fixture *f = *state;
    write_ok(f, put_secret);
    write_ok(f, put_secret);
    assert_int_equal(counts_of(f).secrets, 1);
}

static enum hob_code put_learned(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    for (int64_t version = 1; version <= 2; version++) /* there are three, and no tenth */
        STEP(store_learned_put(tx, &(struct learned_row){version, 10 * version, HOB_STR("a\0b")}, err));
    STEP(store_learned_put(tx, &(struct learned_row){1, 30, HOB_STR("c\0d")}, err));
    return store_learned_put(tx, &(struct learned_row){10, 10, HOB_STR("x")}, err);
}

static enum hob_code on_learned(void *ctx, const struct learned_row *row, struct hob_err *err)
{
    bool is_first = row->version_id == 1;
    *(unsigned *)ctx |= 1u << row->version_id;
    CHECK(row->saved_ms == (is_first ? 30 : 20));
    CHECK(hob_str_eq(row->state, is_first ? HOB_STR("c\0d") : HOB_STR("a\0b")));
    return HOB_OK;
}

static enum hob_code list_learned(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_learned_each(tx, on_learned, ctx, err);
}

static enum hob_code prune_learned(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_learned_prune(tx, 21, err);
}

static unsigned learned_of(struct fixture *f)
{
    struct hob_err err;
    unsigned versions = 0;
    assert_ok(store_read_now(f->store, list_learned, &versions, &err));
    return versions;
}

static void what_was_learned_is_replaced_and_leaves_with_its_version(void **state)
{
    struct fixture *f = *state;
    write_ok(f, seed);
    write_ok(f, put_learned);
    assert_int_equal(learned_of(f), 1u << 1 | 1u << 2);
    write_ok(f, prune_learned);
    assert_int_equal(learned_of(f), 1u << 1);
    write_ok(f, remove_app);
    assert_int_equal(learned_of(f), 0);
}

static enum hob_code write_in_a_read(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return store_meta_put(tx, "name", "value", err);
}

static void a_read_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct hob_err err = {0};
    assert_int_equal(store_read_now(f->store, write_in_a_read, NULL, &err), HOB_E_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_app_leaves_with_everything_of_it_and_its_code_is_forgotten_then_only),
        TEST(what_is_not_there_is_said_so),
        TEST(a_token_is_there_once),
        TEST(a_secrets_bytes_come_back_whole),
        TEST(what_was_learned_is_replaced_and_leaves_with_its_version),
        TEST(a_read_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
