/* The queue of mails: its bound, and that nothing of it can be read on the disk. */
#include "auth_world.h"
#include "base/limits.h"
#include "store/kv.h"

static enum hob_code write_count(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%d", *(int *)ctx);
    struct kv_row row = {.key = HOB_STR("waiting"), .value = hob_str_n(text, (size_t)n)};
    return kv_put(tx, "mail_count", &row, err);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    assert_null(err);
    *(int *)ctx = -1;
}

/* As if so many mails waited. */
static void pretend(struct world *w, int waiting)
{
    appdb_write(w->dbs, "shop", write_count, on_written, &waiting);
    while (waiting >= 0)
        world_turn(w);
}

static void a_full_queue_refuses_the_next_mail_and_says_that_it_may_be_tried_again(void **state)
{
    struct world *w = *state;
    world_set(
        w,
        "{\"publicServerURL\":\"http://127.0.0.1/parse\",\"mail\":{\"server\":\"smtp://127.0.0.1:1\",\"from\":\"a@b.c\"}}");
    done(w, 201, "POST", "/users",
         .body = "{\"username\":\"ann\",\"password\":\"x\",\"email\":\"ann@example.org\"}");
    pretend(w, HOB_MAX_MAILS_WAITING - 1);
    done(w, 200, "POST", "/requestPasswordReset", .body = "{\"email\":\"ann@example.org\"}");
    pretend(w, HOB_MAX_MAILS_WAITING);
    struct reply r = world_ask(w, "POST", "/requestPasswordReset",
                               (struct ask){.body = "{\"email\":\"ann@example.org\"}"});
    expect_at(__LINE__, &r, 429);
    json_decref(r.json);
}

static void what_waits_cannot_be_read_on_the_disk(void **state)
{
    struct world *w = *state;
    struct hob_buf all hob_auto_buf;
    struct hob_err err;
    world_set(
        w,
        "{\"publicServerURL\":\"http://127.0.0.1/parse\",\"mail\":{\"server\":\"smtp://127.0.0.1:1\",\"from\":\"a@b.c\"}}");
    done(w, 201, "POST", "/users",
         .body = "{\"username\":\"ann\",\"password\":\"x\",\"email\":\"ann@example.org\"}");
    for (int i = 0; i < 12; i++)
        done(w, 200, "POST", "/requestPasswordReset", .body = "{\"email\":\"Ann@Example.org\"}");
    hob_auto_free char *path = hob_asprintf("%s/shop.db", w->data);
    world_close(w);
    hob_buf_init(&all, 1 << 26);
    assert_ok(hob_read_file(path, &all, &err));
    assert_null(memmem(hob_buf_data(&all), all.n, "request_password_reset", 22)); /* sealed */
    assert_int_equal(world_open(w), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_make, world_drop)
    const struct CMUnitTest tests[] = {
        TEST(a_full_queue_refuses_the_next_mail_and_says_that_it_may_be_tried_again),
        TEST(what_waits_cannot_be_read_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
