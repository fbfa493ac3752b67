/* Users that came from elsewhere: rows written behind the back of auth, with bcrypt hashes, indexed afterwards. */
#include <crypt.h>

#include "auth_world.h"
#include "base/json.h"
#include "bindings/auth/user.h"
#include "store/data.h"
#include "store/kv.h"

static char bcrypt_hash[128];

static int make_hash(void **state)
{
    struct crypt_data *d = hob_new(struct crypt_data);
    const char *text = crypt_r("secret", "$2a$04$abcdefghijklmnopqrstuu", d);
    (void)state;
    (void)snprintf(bcrypt_hash, sizeof bcrypt_hash, "%s", text ? text : "");
    free(d);
    return bcrypt_hash[0] == '$' ? 0 : -1;
}

/* --- jobs --- */
struct job {
    int done;
    char hash[128]; /* of the user, as it is kept */
};

static enum hob_code write_row(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    hob_auto_free char *hidden =
        hob_asprintf("{\"password\":\"%s\",\"authData\":{\"anonymous\":{\"id\":\"device-9\"}}}", bcrypt_hash);
    struct data_row row = {.id = HOB_STR("imported01"),
                           .created_ms = 1500000000000,
                           .updated_ms = 1500000000000,
                           .doc = HOB_STR("{\"username\":\"Ann\",\"email\":\"ann@old.example\"}"),
                           .hidden = hob_str(hidden),
                           .readers = HOB_STR("[\"imported01\"]"),
                           .writers = HOB_STR("[\"imported01\"]")};
    return data_insert(tx, "_User", &row, err);
}

static enum hob_code reindex(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return user_reindex(tx, err);
}

static enum hob_code take_hash(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct job *j = ctx;
    json_t *hidden hob_auto_json = hob_json_parse(row->hidden, "a user", err);
    (void)snprintf(j->hash, sizeof j->hash, "%s", json_string_value(json_object_get(hidden, "password")));
    return HOB_OK;
}

static enum hob_code read_hash(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    bool is_found = false;
    return data_get(tx, "_User", HOB_STR("imported01"), NULL, take_hash, ctx, &is_found, err);
}

static enum hob_code remove_row(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return data_remove(tx, "_User", HOB_STR("imported01"), err);
}

static void on_done(void *ctx, const struct hob_err *err)
{
    struct job *j = ctx;
    if (err)
        fail_msg("%s", err->msg);
    j->done = 1;
}

static struct job run(struct world *w, data_work_cb work)
{
    struct job j = {0};
    appdb_write(w->dbs, "shop", work, on_done, &j);
    while (!j.done)
        world_turn(w);
    return j;
}

static void bring_ann(struct world *w)
{
    done(w, 201, "POST", "/users",
         .body = "{\"username\":\"first\",\"password\":\"x\"}"); /* makes the class */
    (void)run(w, write_row);
    (void)run(w, reindex);
}

#define LOGIN "{\"username\":\"ann\",\"password\":\"secret\"}"

static void an_imported_user_logs_in_with_the_old_password_and_gets_a_new_hash(void **state)
{
    struct world *w = *state;
    bring_ann(w);
    refused(w, 101, "POST", "/login", .body = "{\"username\":\"ann\",\"password\":\"wrong\"}");
    assert_string_equal(run(w, read_hash).hash, bcrypt_hash);
    done(w, 200, "POST", "/login", .body = LOGIN);
    assert_contains(run(w, read_hash).hash, "$argon2id$");
    done(w, 200, "POST", "/login", .body = LOGIN);
    done(w, 200, "POST", "/login", .body = "{\"email\":\"ANN@old.example\",\"password\":\"secret\"}");
}

static void names_and_identities_of_imported_users_are_taken(void **state)
{
    struct world *w = *state;
    bring_ann(w);
    refused(w, 202, "POST", "/users", .body = "{\"username\":\"ANN\",\"password\":\"x\"}");
    refused(w, 203, "POST", "/users",
            .body = "{\"username\":\"x\",\"password\":\"x\",\"email\":\"ann@OLD.example\"}");
    hob_auto_free char *id = take_text(
        want(w, 200, "POST", "/users", .body = "{\"authData\":{\"anonymous\":{\"id\":\"device-9\"}}}"),
        "objectId");
    assert_string_equal(id, "imported01");
}

static void a_row_that_went_behind_our_back_frees_its_names(void **state)
{
    struct world *w = *state;
    bring_ann(w);
    (void)run(w, remove_row);
    refused(w, 101, "POST", "/login", .body = LOGIN);
    done(w, 201, "POST", "/users",
         .body = "{\"username\":\"ann\",\"password\":\"x\",\"email\":\"ann@old.example\"}");
    done(w, 201, "POST", "/users", .body = "{\"authData\":{\"anonymous\":{\"id\":\"device-9\"}}}");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_make, world_drop)
    const struct CMUnitTest tests[] = {
        TEST(an_imported_user_logs_in_with_the_old_password_and_gets_a_new_hash),
        TEST(names_and_identities_of_imported_users_are_taken),
        TEST(a_row_that_went_behind_our_back_frees_its_names),
    };
    return cmocka_run_group_tests(tests, make_hash, NULL);
}
