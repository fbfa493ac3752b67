/* Hashing of passwords, and the threads that do it. */
#include <crypt.h>
#include <uv.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bindings/auth/hasher.h"
#include "check.h"

static char made_bcrypt[HASH_TEXT_BYTES];

static int make_bcrypt(void **state)
{
    struct crypt_data *d = hob_new(struct crypt_data);
    (void)state;
    const char *text = crypt_r("secret", "$2b$04$abcdefghijklmnopqrstuu", d);
    (void)snprintf(made_bcrypt, sizeof made_bcrypt, "%s", text ? text : "");
    free(d);
    return made_bcrypt[0] == '$' ? 0 : -1;
}

static void a_hash_matches_its_password_and_no_other(void **state)
{
    char hash[HASH_TEXT_BYTES], again[HASH_TEXT_BYTES];
    struct hob_err err;
    (void)state;
    assert_ok(hash_make(HOB_STR("secret"), hash, &err));
    assert_ok(hash_make(HOB_STR("secret"), again, &err));
    assert_string_not_equal(hash, again); /* salted */
    assert_contains(hash, "$argon2id$v=19$m=19456,t=2,p=1$");
    assert_true(hash_matches(hash, HOB_STR("secret")));
    assert_false(hash_matches(hash, HOB_STR("Secret")));
    assert_false(hash_matches(hash, HOB_STR("secret ")));
    assert_false(hash_matches(hash, HOB_STR("")));
    assert_false(hash_matches(hash, HOB_STR("secret\0")));
    assert_false(hash_is_old(hash));
}

static void a_bcrypt_hash_matches_under_each_of_its_names_and_is_old(void **state)
{
    char hash[HASH_TEXT_BYTES];
    (void)state;
    memcpy(hash, made_bcrypt, sizeof hash);
    for (const char *version = "aby"; *version; version++) {
        hash[2] = *version;
        assert_true(hash_matches(hash, HOB_STR("secret")));
        assert_false(hash_matches(hash, HOB_STR("secreT")));
        assert_true(hash_is_old(hash));
        assert_true(hash_is_known(hob_str(hash)));
    }
}

static void a_password_with_a_nul_does_not_match_its_beginning(void **state)
{
    (void)state;
    assert_true(hash_matches(made_bcrypt, HOB_STR("secret")));
    assert_false(hash_matches(made_bcrypt, HOB_STR("secret\0more")));
}

static void what_is_no_hash_matches_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "secret",
        "*",
        "$2b$",
        "$2b$99$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi",
        "$2b$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde",
        "$1$abc$def",
        "$6$abc$def",
        "$argon2id$",
        "$argon2id$v=19$m=4294967295,t=4294967295,p=1$AAAAAAAAAAA$AAAAAAAAAAA"};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(texts); i++)
        assert_false(hash_matches(texts[i], HOB_STR("secret")));
    assert_false(hash_is_known(HOB_STR("secret")));
    assert_false(hash_is_known(HOB_STR("$2b$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde")));
}

static void the_longest_password_is_taken_and_one_byte_more_is_not(void **state)
{
    char hash[HASH_TEXT_BYTES], *text = hob_calloc(HOB_MAX_PASSWORD_BYTES + 1, 1);
    struct hob_err err;
    (void)state;
    memset(text, 'x', HOB_MAX_PASSWORD_BYTES + 1);
    assert_ok(hash_make(hob_str_n(text, HOB_MAX_PASSWORD_BYTES + 1), hash, &err));
    assert_false(hash_matches(hash, hob_str_n(text, HOB_MAX_PASSWORD_BYTES + 1)));
    assert_ok(hash_make(hob_str_n(text, HOB_MAX_PASSWORD_BYTES), hash, &err));
    assert_true(hash_matches(hash, hob_str_n(text, HOB_MAX_PASSWORD_BYTES)));
    free(text);
}

/* --- the threads --- */
struct told {
    int n, match, busy, unavailable;
    char hash[HASH_TEXT_BYTES];
    char order[8];
};
static struct told told;

static void on_told(void *ctx, const struct hasher_answer *a, const struct hob_err *err)
{
    if (ctx && told.n < (int)sizeof told.order - 1)
        told.order[told.n] = *(const char *)ctx;
    told.n++;
    told.match = a ? a->match : -2;
    told.busy += err && err->code == HOB_E_BUSY;
    told.unavailable += err && err->code == HOB_E_UNAVAILABLE;
    (void)snprintf(told.hash, sizeof told.hash, "%s", a && a->hash ? a->hash : "");
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static uv_loop_t loop;
static int start(void **state)
{
    memset(&told, 0, sizeof told);
    if (uv_loop_init(&loop) != 0)
        return -1;
    *state = hasher_new(&loop, 1);
    return 0;
}

static int stop(void **state)
{
    bool is_closed = false;
    if (*state)
        hasher_close(*state, on_closed, &is_closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return (!*state || is_closed) && uv_loop_close(&loop) == 0 ? 0 : -1;
}

static void run_until(int n)
{
    while (told.n < n)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

static void the_hash_that_matches_is_told(void **state)
{
    const char *stored[] = {"$none$", made_bcrypt};
    struct hasher_ask ask = {.app = "a", .password = HOB_STR("secret"), .stored = stored, .stored_n = 2};
    hasher_start(*state, &ask, on_told, NULL);
    assert_int_equal(told.n, 0); /* never from inside */
    run_until(1);
    assert_int_equal(told.match, 1);
    assert_string_equal(told.hash, "");
}

static void an_old_hash_that_matches_is_made_anew_and_a_wrong_one_is_not(void **state)
{
    const char *stored[] = {made_bcrypt};
    struct hasher_ask ask = {
        .app = "a", .password = HOB_STR("secret"), .stored = stored, .stored_n = 1, .is_upgrade = true};
    hasher_start(*state, &ask, on_told, NULL);
    run_until(1);
    assert_int_equal(told.match, 0);
    assert_true(hash_matches(told.hash, HOB_STR("secret")));
    assert_false(hash_is_old(told.hash));
    ask.password = HOB_STR("wrong");
    hasher_start(*state, &ask, on_told, NULL);
    run_until(2);
    assert_int_equal(told.match, -1);
    assert_string_equal(told.hash, "");
}

static void a_new_password_is_hashed_unless_it_is_an_old_one(void **state)
{
    const char *stored[] = {made_bcrypt};
    struct hasher_ask ask = {
        .app = "a", .password = HOB_STR("fresh"), .stored = stored, .stored_n = 1, .wants_new = true};
    hasher_start(*state, &ask, on_told, NULL);
    run_until(1);
    assert_true(hash_matches(told.hash, HOB_STR("fresh")));
    ask.password = HOB_STR("secret");
    hasher_start(*state, &ask, on_told, NULL);
    run_until(2);
    assert_int_equal(told.match, 0);
    assert_string_equal(told.hash, "");
}

/* The one thread is held by long jobs, put in again and again; what comes then waits, until there is no place. */
static void too_many_of_one_app_are_told_to_come_again_while_others_are_served(void **state)
{
    char slow[HASH_TEXT_BYTES];
    const char *stored[HASHER_STORED_MAX];
    struct hob_err err;
    int asked = 0;
    assert_ok(hash_make(HOB_STR("another"), slow, &err));
    for (size_t i = 0; i < HASHER_STORED_MAX; i++)
        stored[i] = slow;
    struct hasher_ask ask = {.app = "storm", .password = HOB_STR("x"), .stored = stored};
    while (hasher_stats(*state).refused == 0) {
        ask.stored_n = asked % 200 == 0 ? HASHER_STORED_MAX : 0;
        hasher_start(*state, &ask, on_told, NULL);
        asked++;
        assert_in_range(hasher_stats(*state).waiting, 0, HOB_MAX_HASH_QUEUE_PER_APP);
    }
    assert_true(asked > HOB_MAX_HASH_QUEUE_PER_APP);
    ask.app = "calm";
    hasher_start(*state, &ask, on_told, NULL);
    assert_int_equal(hasher_stats(*state).refused, 1);
    run_until(asked + 1);
    assert_int_equal(told.busy, 1);
}

/* Three apps that each have their share: the third one meets the bound of all. */
static void too_many_of_all_apps_together_are_refused(void **state)
{
    static const char *const apps[] = {"a", "b", "c"};
    char slow[HASH_TEXT_BYTES];
    const char *stored[HASHER_STORED_MAX];
    struct hob_err err;
    int asked = 0;
    assert_ok(hash_make(HOB_STR("another"), slow, &err));
    for (size_t i = 0; i < HASHER_STORED_MAX; i++)
        stored[i] = slow;
    struct hasher_ask ask = {.password = HOB_STR("x"), .stored = stored};
    while (hasher_stats(*state).refused == 0) {
        ask.app = apps[asked % 3]; /* each has less than its own share */
        ask.stored_n = asked % 200 == 0 ? HASHER_STORED_MAX : 0;
        hasher_start(*state, &ask, on_told, NULL);
        asked++;
        assert_in_range(hasher_stats(*state).waiting, 0, HOB_MAX_HASH_QUEUE);
    }
    assert_true(asked > HOB_MAX_HASH_QUEUE);
    run_until(asked);
    assert_int_equal(told.busy, 1);
}

static void apps_take_turns(void **state)
{
    const char *stored[] = {"$none$"};
    static const char a = 'a', b = 'b', first = '0';
    struct hasher_ask ask = {
        .app = "0", .password = HOB_STR("x"), .stored = stored, .stored_n = 1, .wants_new = true};
    hasher_start(*state, &ask, on_told, (void *)(uintptr_t)&first);
    while (hasher_stats(*state).running == 0 && hasher_stats(*state).done == 0)
        usleep(1000);
    ask.app = "a";
    for (int i = 0; i < 3; i++)
        hasher_start(*state, &ask, on_told, (void *)(uintptr_t)&a);
    ask.app = "b";
    hasher_start(*state, &ask, on_told, (void *)(uintptr_t)&b);
    run_until(5);
    assert_true(strcmp(told.order, "0abaa") == 0 || strcmp(told.order, "0aaba") == 0);
}

static void closing_ends_what_waits_and_tells_everybody(void **state)
{
    const char *stored[] = {made_bcrypt};
    bool is_closed = false;
    struct hasher_ask ask = {
        .app = "a", .password = HOB_STR("x"), .stored = stored, .stored_n = 1, .wants_new = true};
    for (int i = 0; i < 5; i++)
        hasher_start(*state, &ask, on_told, NULL);
    hasher_close(*state, on_closed, &is_closed);
    *state = NULL;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    assert_int_equal(told.n, 5);
    assert_in_range(told.unavailable, 3, 5);
}

int main(void)
{
    alarm(110);
#define WITH_THREADS(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_matches_its_password_and_no_other),
        cmocka_unit_test(a_bcrypt_hash_matches_under_each_of_its_names_and_is_old),
        cmocka_unit_test(a_password_with_a_nul_does_not_match_its_beginning),
        cmocka_unit_test(what_is_no_hash_matches_nothing),
        cmocka_unit_test(the_longest_password_is_taken_and_one_byte_more_is_not),
        WITH_THREADS(the_hash_that_matches_is_told),
        WITH_THREADS(an_old_hash_that_matches_is_made_anew_and_a_wrong_one_is_not),
        WITH_THREADS(a_new_password_is_hashed_unless_it_is_an_old_one),
        WITH_THREADS(too_many_of_one_app_are_told_to_come_again_while_others_are_served),
        WITH_THREADS(too_many_of_all_apps_together_are_refused),
        WITH_THREADS(apps_take_turns),
        WITH_THREADS(closing_ends_what_waits_and_tells_everybody),
    };
    return cmocka_run_group_tests(tests, make_bcrypt, NULL);
}
