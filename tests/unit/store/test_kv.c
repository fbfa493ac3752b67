#include "data_home.h"

/* --- one script of verbs a job: each test writes what it wants to see --- */

struct got {
    char text[2048]; /* "key=value@revision;..." */
    int n;
};

static enum hob_code on_row(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct got *g = ctx;
    size_t n = strlen(g->text);
    (void)err;
    (void)snprintf(g->text + n, sizeof g->text - n, "%s%.*s=%.*s", n ? ";" : "", HOB_STR_ARG(row->key),
                   HOB_STR_ARG(row->value));
    g->n++;
    return HOB_OK;
}

static enum hob_code put(struct data_tx *tx, const char *key, const char *value, int64_t expires_ms)
{
    struct hob_err err;
    return kv_put(tx, "s",
                  &(struct kv_row){.key = hob_str(key), .value = hob_str(value), .expires_ms = expires_ms},
                  &err);
}

static const char *value_of(struct data_tx *tx, const char *key, int64_t now_ms)
{
    static struct got g;
    struct hob_err err;
    g = (struct got){.n = 0};
    enum hob_code rc = kv_get(tx, "s", hob_str(key), now_ms, on_row, &g, &err);
    return rc == HOB_OK ? strchr(g.text, '=') + 1 : rc == HOB_E_NOT_FOUND ? "(none)" : "(failed)";
}

static enum hob_code work_basic(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    want(strcmp(value_of(tx, "a", 1), "(none)") == 0);
    want(put(tx, "a", "1", 0) == HOB_OK);
    want(strcmp(value_of(tx, "a", 1), "1") == 0);
    want(put(tx, "a", "2", 0) == HOB_OK);
    want(strcmp(value_of(tx, "a", 1), "2") == 0);
    struct kv_row row = {.key = HOB_STR("a"), .value = HOB_STR("3")};
    want(kv_insert(tx, "s", &row, 1, err) == HOB_E_CONFLICT);
    row.key = HOB_STR("b");
    want(kv_insert(tx, "s", &row, 1, err) == HOB_OK);
    bool was = false;
    want(kv_drop(tx, "s", HOB_STR("b"), &was, err) == HOB_OK);
    want(was);
    want(kv_drop(tx, "s", HOB_STR("b"), &was, err) == HOB_OK);
    want(!(was));
    want(kv_drop(tx, "s", HOB_STR("b"), NULL, err) == HOB_OK);
    /* any bytes, and another space is another world */
    struct kv_row bytes = {.key = {"\0\xff", 2}, .value = {"x\0y", 3}, .meta = HOB_STR("{\"m\":1}")};
    want(kv_put(tx, "t", &bytes, err) == HOB_OK);
    struct got g = {.n = 0};
    want(kv_get(tx, "t", bytes.key, 1, on_row, &g, err) == HOB_OK);
    want(kv_get(tx, "s", bytes.key, 1, on_row, &g, err) == HOB_E_NOT_FOUND);
    return HOB_OK;
}

static void pairs_are_put_found_and_dropped(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_basic, NULL));
}

static enum hob_code work_expiry(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    want(put(tx, "a", "old", 1000) == HOB_OK);
    want(strcmp(value_of(tx, "a", 999), "old") == 0);
    want(strcmp(value_of(tx, "a", 1000), "(none)") == 0);
    struct kv_row row = {.key = HOB_STR("a"), .value = HOB_STR("new")};
    want(kv_insert(tx, "s", &row, 999, err) == HOB_E_CONFLICT);
    want(kv_insert(tx, "s", &row, 1000, err) == HOB_OK); /* an ended one does not stand in the way */
    want(strcmp(value_of(tx, "a", 1500), "new") == 0);
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "e%03d", i);
        want(put(tx, key, "x", 2000) == HOB_OK);
    }
    struct got g = {.n = 0};
    want(kv_each(tx, "s", HOB_STR("e"), HOB_STR(""), 1000, 1999, on_row, &g, err) == HOB_OK);
    want(g.n == 200);
    (void)value_of(tx, "a", 5000); /* now it is later: what has ended is swept by the puts that follow */
    for (int i = 0; i < 100; i++)
        want(put(tx, "other", "x", 0) == HOB_OK);
    g = (struct got){.n = 0};
    want(kv_each(tx, "s", HOB_STR("e"), HOB_STR(""), 1000, 1999, on_row, &g, err) == HOB_OK);
    want(g.n == 0);
    return HOB_OK;
}

static void a_pair_ends_at_its_time_and_is_swept(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_expiry, NULL));
}

static enum hob_code note_revision(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    (void)err;
    *(int64_t *)ctx = row->revision;
    return HOB_OK;
}

static enum hob_code work_swap(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    int64_t first = 0, second = 0;
    struct kv_row row = {.key = HOB_STR("k"), .value = HOB_STR("1")};
    (void)ctx;
    want(kv_swap(tx, "s", &row, 7, 1, err) == HOB_E_CONFLICT);
    want(kv_swap(tx, "s", &row, 0, 1, err) == HOB_OK);
    want(kv_swap(tx, "s", &row, 0, 1, err) == HOB_E_CONFLICT);
    want(kv_get(tx, "s", row.key, 1, note_revision, &first, err) == HOB_OK);
    row.value = HOB_STR("2");
    want(kv_swap(tx, "s", &row, first, 1, err) == HOB_OK);
    want(kv_swap(tx, "s", &row, first, 1, err) == HOB_E_CONFLICT);
    want(kv_get(tx, "s", row.key, 1, note_revision, &second, err) == HOB_OK);
    want(second > first);
    want(kv_drop(tx, "s", row.key, NULL, err) == HOB_OK);
    want(kv_swap(tx, "s", &row, 0, 1, err) == HOB_OK);
    want(kv_get(tx, "s", row.key, 1, note_revision, &first, err) == HOB_OK);
    want(first > second); /* also over a drop: an old revision never comes back */
    return HOB_OK;
}

static void a_swap_needs_the_revision_that_is_there(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_swap, NULL));
}

static enum hob_code work_numbers(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    int64_t v = 0;
    (void)ctx;
    want(kv_add(tx, "s", HOB_STR("n"), 5, 1, &v, err) == HOB_OK);
    want(v == 5);
    want(kv_add(tx, "s", HOB_STR("n"), -7, 1, &v, err) == HOB_OK);
    want(v == -2);
    want(strcmp(value_of(tx, "n", 1), "-2") == 0);
    want(put(tx, "big", "9223372036854775806", 0) == HOB_OK);
    want(kv_add(tx, "s", HOB_STR("big"), 1, 1, &v, err) == HOB_OK);
    want(kv_add(tx, "s", HOB_STR("big"), 1, 1, &v, err) == HOB_E_INVALID);
    const char *bad[] = {
        "x", "", " 1", "1 ", "1.5", "-", "99999999999999999999", "00000000000000000000000000000000001"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        want(put(tx, "bad", bad[i], 0) == HOB_OK);
        want(kv_add(tx, "s", HOB_STR("bad"), 1, 1, &v, err) == HOB_E_INVALID);
    }
    want(put(tx, "ends", "3", 100) == HOB_OK);
    want(kv_add(tx, "s", HOB_STR("ends"), 1, 99, &v, err) == HOB_OK);
    want(v == 4);
    want(strcmp(value_of(tx, "ends", 99), "4") == 0); /* its time stays */
    want(strcmp(value_of(tx, "ends", 100), "(none)") == 0);
    want(kv_add(tx, "s", HOB_STR("ends"), 1, 100, &v, err) == HOB_OK);
    want(v == 1);
    return HOB_OK;
}

static void numbers_are_added_to_and_nothing_else(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_numbers, NULL));
}

static bool walks(struct data_tx *tx, struct hob_str prefix, const char *after, uint64_t limit,
                  const char *pairs)
{
    struct got g = {.n = 0};
    struct hob_err err;
    return kv_each(tx, "s", prefix, hob_str(after), limit, 1, on_row, &g, &err) == HOB_OK &&
           strcmp(g.text, pairs) == 0;
}

static enum hob_code work_walk(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    (void)err;
    const char *keys[] = {"a", "b", "b1", "b2", "b\xff", "c"};
    for (size_t i = 0; i < HOB_COUNT(keys); i++)
        want(put(tx, keys[i], "v", 0) == HOB_OK);
    want(walks(tx, HOB_STR(""), "", 2, "a=v;b=v"));
    want(walks(tx, HOB_STR("b"), "", 10, "b=v;b1=v;b2=v;b\xff=v"));
    want(walks(tx, HOB_STR("b"), "b1", 10, "b2=v;b\xff=v"));
    want(walks(tx, HOB_STR("b"), "b1", 1, "b2=v"));
    want(walks(tx, HOB_STR("b"), "a", 10, "b=v;b1=v;b2=v;b\xff=v")); /* behind something before the prefix */
    want(walks(tx, HOB_STR("b\xff"), "", 10, "b\xff=v"));
    want(walks(tx, HOB_STR("\xff"), "", 10, ""));
    want(walks(tx, HOB_STR(""), "c", 10, ""));
    return HOB_OK;
}

static void keys_are_walked_by_prefix_and_page(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_walk, NULL));
}

static enum hob_code work_empty(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    struct got g = {.n = 0};
    want(strcmp(value_of(tx, "a", 1), "(none)") == 0);
    return kv_each(tx, "s", HOB_STR(""), HOB_STR(""), 10, 1, on_row, &g, err);
}

static void an_app_that_nothing_was_written_to_is_empty(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_read(p, work_empty, NULL));
    assert_int_equal(access(home_path(p->h, "data/shop.db"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(pairs_are_put_found_and_dropped),         T(a_pair_ends_at_its_time_and_is_swept),
        T(a_swap_needs_the_revision_that_is_there), T(numbers_are_added_to_and_nothing_else),
        T(keys_are_walked_by_prefix_and_page),      T(an_app_that_nothing_was_written_to_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
