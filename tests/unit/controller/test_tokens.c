#include <sys/stat.h>

#include "controller/tokens.h"
#include "home.h"
#include "store/rows.h"

struct fixture {
    struct home *home;
    struct store *store;
    char path[128];
};

static int make(void **state)
{
    struct hob_err err;
    struct fixture *f = hob_new(struct fixture);
    if (home_make((void **)&f->home) != 0)
        return -1;
    f->store = store_open(&f->home->loop, home_path(f->home, "hob.db"), &err);
    (void)snprintf(f->path, sizeof f->path, "%s/admin.token", f->home->dir);
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

static struct tokens *open_tokens(struct fixture *f)
{
    struct hob_err err = {0};
    struct tokens *t = tokens_open(f->store, f->path, &err);
    if (!t)
        fail_msg("%s", err.msg);
    return t;
}

static void read_token(struct fixture *f, char out[TOKEN_CHARS + 1])
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 200);
    assert_ok(hob_read_file(f->path, &b, &err));
    assert_int_equal(b.n, TOKEN_CHARS + 1); /* a line */
    memcpy(out, hob_buf_data(&b), TOKEN_CHARS);
    out[TOKEN_CHARS] = '\0';
}

static void the_first_start_writes_one_private_token_that_later_starts_keep(void **state)
{
    struct fixture *f = *state;
    char token[TOKEN_CHARS + 1], later[TOKEN_CHARS + 1];
    struct stat st;
    struct tokens *t = open_tokens(f);
    read_token(f, token);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_equal(tokens_check(t, hob_str(token)), "admin");
    tokens_free(t);
    t = open_tokens(f);
    read_token(f, later);
    assert_string_equal(token, later);
    assert_string_equal(tokens_check(t, hob_str(token)), "admin");
    tokens_free(t);
}

static void nothing_but_the_whole_token_is_accepted(void **state)
{
    struct fixture *f = *state;
    char token[TOKEN_CHARS + 2];
    struct tokens *t = open_tokens(f);
    read_token(f, token);
    token[TOKEN_CHARS + 1] = '\0';
    assert_null(tokens_check(t, HOB_STR("")));
    assert_null(tokens_check(t, hob_str_n(token, TOKEN_CHARS - 1)));
    assert_null(tokens_check(t, hob_str_n(token, TOKEN_CHARS + 1)));
    for (size_t i = 0; i < TOKEN_CHARS; i++) {
        token[i] ^= 1;
        assert_null(tokens_check(t, hob_str(token)));
        token[i] ^= 1;
    }
    assert_non_null(tokens_check(t, hob_str(token)));
    tokens_free(t);
}

static void the_store_has_only_the_tokens_hash(void **state)
{
    struct fixture *f = *state;
    char token[TOKEN_CHARS + 1];
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    struct tokens *t = open_tokens(f);
    read_token(f, token);
    tokens_free(t);
    hob_buf_init(&b, 64 << 20);
    assert_ok(hob_read_file(home_path(f->home, "hob.db-wal"), &b, &err));
    assert_null(memmem(hob_buf_data(&b), b.n, token + 4, 16));
    assert_non_null(memmem(hob_buf_data(&b), b.n, "admin", 5)); /* the search itself works */
}

static void a_file_left_by_a_crash_before_the_store_knew_it_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct hob_err err;
    char token[TOKEN_CHARS + 1];
    assert_ok(hob_write_file(f->path, HOB_STR("hob_stale\n"), 0600, &err));
    struct tokens *t = open_tokens(f);
    read_token(f, token);
    assert_string_equal(tokens_check(t, hob_str(token)), "admin");
    tokens_free(t);
}

static void a_folder_that_takes_no_file_is_told_and_leaves_no_token(void **state)
{
    struct fixture *f = *state;
    struct hob_err err = {0};
    assert_null(tokens_open(f->store, "/nonexistent/admin.token", &err));
    assert_contains(err.msg, "/nonexistent/admin.token");
    tokens_free(open_tokens(f)); /* the next start makes it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_writes_one_private_token_that_later_starts_keep),
        TEST(nothing_but_the_whole_token_is_accepted),
        TEST(the_store_has_only_the_tokens_hash),
        TEST(a_file_left_by_a_crash_before_the_store_knew_it_is_replaced),
        TEST(a_folder_that_takes_no_file_is_told_and_leaves_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
