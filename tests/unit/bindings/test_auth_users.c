/* Sign-up, log-in, sessions: the whole story over real databases. */
#include "auth_world.h"
#include "bindings/auth/auth_priv.h"

#define ANN "{\"username\":\"ann\",\"password\":\"secret\",\"email\":\"ann@example.org\"}"
#define ANN_LOGIN "{\"username\":\"ann\",\"password\":\"secret\"}"

static char *sign_up(struct world *w, const char *body, const char *installation)
{
    return take_text(want(w, 201, "POST", "/users", .body = body, .installation = installation),
                     "sessionToken");
}

static void a_new_user_gets_an_id_and_a_session_and_nothing_else(void **state)
{
    struct world *w = *state;
    json_t *j hob_auto_json = want(w, 201, "POST", "/users", .body = ANN);
    const char *token = json_string_value(json_object_get(j, "sessionToken"));
    assert_non_null(token);
    assert_int_equal(strlen(token), 34);
    assert_int_equal(strncmp(token, "r:", 2), 0);
    assert_int_equal(strlen(json_string_value(json_object_get(j, "objectId"))), 10);
    assert_non_null(json_object_get(j, "createdAt"));
    assert_null(json_object_get(j, "password"));
    assert_null(json_object_get(j, "hidden"));
}

static void what_is_missing_or_wrong_is_said_with_its_number(void **state)
{
    struct world *w = *state;
    refused(w, 200, "POST", "/users", .body = "{\"password\":\"x\"}");
    refused(w, 200, "POST", "/users", .body = "{\"username\":\"\",\"password\":\"x\"}");
    refused(w, 200, "POST", "/users", .body = "{\"username\":{\"$ne\":null},\"password\":\"x\"}");
    refused(w, 201, "POST", "/users", .body = "{\"username\":\"x\"}");
    refused(w, 201, "POST", "/users", .body = "{\"username\":\"x\",\"password\":\"\"}");
    refused(w, 201, "POST", "/users", .body = "{\"username\":\"x\",\"password\":{\"$gt\":\"\"}}");
    refused(w, 125, "POST", "/users",
            .body = "{\"username\":\"x\",\"password\":\"x\",\"email\":\"nonsense\"}");
    refused(w, 119, "POST", "/users",
            .body = "{\"username\":\"x\",\"password\":\"x\",\"emailVerified\":true}");
    refused(w, 252, "POST", "/users", .body = "{\"authData\":\"x\"}");
    refused(w, 252, "POST", "/users", .body = "{\"authData\":{\"nobody\":{\"id\":\"1\"}}}");
}

static void names_and_addresses_are_unique_whatever_their_case(void **state)
{
    struct world *w = *state;
    free(sign_up(w, ANN, NULL));
    refused(w, 202, "POST", "/users", .body = "{\"username\":\"ANN\",\"password\":\"x\"}");
    refused(w, 203, "POST", "/users",
            .body = "{\"username\":\"x\",\"password\":\"x\",\"email\":\"Ann@Example.ORG\"}");
    free(sign_up(w, "{\"username\":\"ÄÖÜ Ωmega\",\"password\":\"x\"}", NULL));
    refused(w, 202, "POST", "/users", .body = "{\"username\":\"äöü ωMEGA\",\"password\":\"x\"}");
    done(w, 200, "POST", "/login", .body = "{\"username\":\"äÖü ΩMEGA\",\"password\":\"x\"}");
}

static void log_in_takes_name_or_address_and_refuses_everything_else_alike(void **state)
{
    static const char *const wrong[] = {
        "{\"username\":\"ann\",\"password\":\"Secret\"}",
        "{\"username\":\"nobody\",\"password\":\"secret\"}",
        "{\"email\":\"nobody@example.org\",\"password\":\"secret\"}",
        "{\"username\":\"nobody\",\"email\":\"ann@example.org\",\"password\":\"secret\"}",
        "{\"username\":{\"$ne\":null},\"password\":\"secret\"}",
        "{\"username\":\"ann\",\"password\":{\"$ne\":null}}",
        "{\"username\":[\"ann\"],\"password\":\"secret\"}",
        "{\"username\":\"ann\",\"password\":7}",
        "{\"username\":\"ann%\",\"password\":\"secret\"}"};
    struct world *w = *state;
    free(sign_up(w, ANN, NULL));
    for (size_t i = 0; i < HOB_COUNT(wrong); i++) {
        struct reply r = world_ask(w, "POST", "/login", (struct ask){.body = wrong[i]});
        expect_at(__LINE__, &r, 404);
        assert_string_equal(text_of(&r, "error"), "Invalid username/password.");
        json_decref(r.json);
    }
    refused(w, 200, "POST", "/login", .body = "{\"password\":\"secret\"}");
    refused(w, 201, "POST", "/login", .body = "{\"username\":\"ann\"}");
    done(w, 200, "GET", "/login", .body = ANN_LOGIN);
    done(w, 200, "POST", "/login", .body = "{\"email\":\"ANN@example.org\",\"password\":\"secret\"}");
    done(w, 200, "POST", "/login", .body = "{\"username\":\"ann@example.org\",\"password\":\"secret\"}");
    json_t *j hob_auto_json = want(w, 200, "POST", "/login", .body = ANN_LOGIN);
    assert_string_equal(json_string_value(json_object_get(j, "username")), "ann");
    assert_string_equal(json_string_value(json_object_get(j, "email")), "ann@example.org");
    assert_null(json_object_get(j, "password"));
    assert_null(json_object_get(j, "authData"));
}

static void a_name_that_nobody_has_costs_the_same_hash(void **state)
{
    struct world *w = *state;
    struct hasher *h = backend_auth(w->backend)->hasher;
    free(sign_up(w, ANN, NULL));
    uint64_t before = hasher_stats(h).hashed;
    refused(w, 101, "POST", "/login", .body = "{\"username\":\"ann\",\"password\":\"no\"}");
    assert_int_equal(hasher_stats(h).hashed, before + 1);
    refused(w, 101, "POST", "/login", .body = "{\"username\":\"nobody\",\"password\":\"no\"}");
    assert_int_equal(hasher_stats(h).hashed, before + 2);
    refused(w, 101, "POST", "/login",
            .body = "{\"username\":\"nobody\",\"email\":\"ann@example.org\",\"password\":\"no\"}");
    assert_int_equal(hasher_stats(h).hashed, before + 3);
}

static void what_was_judged_is_kept_until_it_changes(void **state)
{
    struct world *w = *state;
    struct auth *a = backend_auth(w->backend);
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *bob = sign_up(w, "{\"username\":\"bob\",\"password\":\"x\"}", NULL);
    for (int i = 0; i < 3; i++) {
        done(w, 200, "GET", "/users/me", .token = ann);
        done(w, 200, "GET", "/users/me", .token = bob);
    }
    assert_int_equal(session_stats(a).misses, 2);
    assert_int_equal(session_stats(a).hits, 4);
    assert_int_equal(session_stats(a).kept, 2);
    done(w, 201, "POST", "/classes/Thing", .body = "{}", .token = ann); /* no session, user or role */
    hob_auto_free char *id = take_text(want(w, 200, "GET", "/users/me", .token = ann), "objectId");
    hob_auto_free char *path = hob_asprintf("/users/%s", id);
    assert_int_equal(session_stats(a).misses, 2);
    done(w, 200, "PUT", path, .body = "{\"phone\":\"1\"}", .token = ann);
    assert_int_equal(session_stats(a).kept, 1); /* bob's */
    done(w, 200, "POST", "/logout", .token = bob);
    assert_int_equal(session_stats(a).kept, 0);
}

static void the_longest_unused_session_makes_room(void **state)
{
    struct world *w = *state;
    struct auth *a = backend_auth(w->backend);
    char *tokens[3];
    session_keep_at_most(a, 2);
    for (int i = 0; i < 3; i++) {
        hob_auto_free char *body = hob_asprintf("{\"username\":\"u%d\",\"password\":\"x\"}", i);
        tokens[i] = sign_up(w, body, NULL);
    }
    done(w, 200, "GET", "/users/me", .token = tokens[0]);
    done(w, 200, "GET", "/users/me", .token = tokens[1]);
    done(w, 200, "GET", "/users/me", .token = tokens[0]); /* 1 is the longest unused now */
    assert_int_equal(session_stats(a).kept, 2);
    done(w, 200, "GET", "/users/me", .token = tokens[2]);
    assert_int_equal(session_stats(a).kept, 2);
    assert_int_equal(session_stats(a).misses, 3);
    done(w, 200, "GET", "/users/me", .token = tokens[0]);
    assert_int_equal(session_stats(a).misses, 3);
    done(w, 200, "GET", "/users/me", .token = tokens[1]);
    assert_int_equal(session_stats(a).misses, 4);
    for (int i = 0; i < 3; i++)
        free(tokens[i]);
}

static void expired_sessions_go_when_their_user_comes_again(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *session = take_text(want(w, 200, "GET", "/sessions/me", .token = ann), "objectId");
    hob_auto_free char *path = hob_asprintf("/sessions/%s", session);
    done(w, 200, "PUT", path,
         .body = "{\"expiresAt\":{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"}}",
         .role = BACKEND_MASTER);
    done(w, 200, "POST", "/login", .body = ANN_LOGIN);
    refused(w, 101, "GET", path, .role = BACKEND_MASTER);
}

static void keys_below_master_do_not_change_users(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *id = take_text(want(w, 200, "GET", "/users/me", .token = ann), "objectId");
    hob_auto_free char *path = hob_asprintf("/users/%s", id);
    refused(w, 119, "POST", "/users", .body = "{\"username\":\"x\",\"password\":\"x\"}",
            .role = BACKEND_READ_ONLY_MASTER);
    refused(w, 119, "PUT", path, .body = "{\"phone\":\"1\"}", .role = BACKEND_READ_ONLY_MASTER);
    refused(w, 119, "DELETE", path, .role = BACKEND_READ_ONLY_MASTER);
    done(w, 200, "GET", path, .role = BACKEND_READ_ONLY_MASTER);
}

static void a_session_shows_its_user_until_it_is_ended(void **state)
{
    struct world *w = *state;
    hob_auto_free char *token = sign_up(w, ANN, NULL);
    for (int i = 0; i < 2; i++) { /* read, then kept */
        json_t *j hob_auto_json = want(w, 200, "GET", "/users/me", .token = token);
        assert_string_equal(json_string_value(json_object_get(j, "username")), "ann");
        assert_string_equal(json_string_value(json_object_get(j, "sessionToken")), token);
    }
    done(w, 200, "POST", "/logout", .token = token);
    refused(w, 209, "GET", "/users/me", .token = token);
    refused(w, 209, "GET", "/classes/Thing", .token = token);
    done(w, 200, "POST", "/logout", .token = token);
    done(w, 200, "POST", "/logout", .token = "r:nonsense");
    refused(w, 209, "GET", "/users/me");
}

static void tokens_that_are_none_are_refused(void **state)
{
    struct world *w = *state;
    char longest[400];
    memset(longest, 'r', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    hob_auto_free char *token = sign_up(w, ANN, NULL), *other = hob_strdup(token);
    other[20] = other[20] == '0' ? '1' : '0';
    const char *const bad[] = {other, "r:", "r:00000000000000000000000000000000", "' OR 1=1", longest, "x"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        refused(w, 209, "GET", "/users/me", .token = bad[i]);
    done(w, 200, "GET", "/users/me", .token = token);
}

static void only_a_digest_of_the_token_is_on_the_disk(void **state)
{
    struct world *w = *state;
    struct hob_buf all hob_auto_buf;
    struct hob_err err;
    hob_auto_free char *token = sign_up(w, ANN, NULL), *path = hob_asprintf("%s/shop.db", w->data);
    world_close(w);
    hob_buf_init(&all, 1 << 26);
    assert_ok(hob_read_file(path, &all, &err));
    assert_null(memmem(hob_buf_data(&all), all.n, token + 2, 32));
    assert_null(memmem(hob_buf_data(&all), all.n, "secret", 6));
    assert_non_null(memmem(hob_buf_data(&all), all.n, "$argon2id$", 10));
    assert_int_equal(world_open(w), 0);
    done(w, 200, "GET", "/users/me", .token = token); /* and it outlives a restart */
}

static void one_installation_has_one_session(void **state)
{
    struct world *w = *state;
    hob_auto_free char *first = sign_up(w, ANN, "phone");
    hob_auto_free char *second =
        take_text(want(w, 200, "POST", "/login", .body = ANN_LOGIN, .installation = "phone"), "sessionToken");
    hob_auto_free char *tablet = take_text(
        want(w, 200, "POST", "/login", .body = ANN_LOGIN, .installation = "tablet"), "sessionToken");
    refused(w, 209, "GET", "/users/me", .token = first);
    done(w, 200, "GET", "/users/me", .token = second);
    done(w, 200, "GET", "/users/me", .token = tablet);
}

static void a_log_in_makes_its_own_session_whatever_token_comes_with_it(void **state)
{
    struct world *w = *state;
    free(sign_up(w, ANN, NULL));
    hob_auto_free char *mallory = sign_up(w, "{\"username\":\"mallory\",\"password\":\"x\"}", NULL);
    hob_auto_free char *token =
        take_text(want(w, 200, "POST", "/login", .body = ANN_LOGIN, .token = mallory), "sessionToken");
    assert_string_not_equal(token, mallory);
    json_t *j hob_auto_json = want(w, 200, "GET", "/users/me", .token = mallory);
    assert_string_equal(json_string_value(json_object_get(j, "username")), "mallory");
    done(w, 200, "POST", "/login", .body = ANN_LOGIN, .token = "r:dead");
    refused(w, 101, "POST", "/login",
            .body = "{\"username\":\"ann\",\"password\":\"no\",\"sessionToken\":\"r:x\"}");
}

static char *id_of(struct world *w, const char *token)
{
    return take_text(want(w, 200, "GET", "/users/me", .token = token), "objectId");
}

static void a_new_password_ends_all_sessions_and_gives_a_new_one(void **state)
{
    struct world *w = *state;
    hob_auto_free char *phone = sign_up(w, ANN, "phone");
    hob_auto_free char *tablet = take_text(
        want(w, 200, "POST", "/login", .body = ANN_LOGIN, .installation = "tablet"), "sessionToken");
    hob_auto_free char *id = id_of(w, phone), *path = hob_asprintf("/users/%s", id);
    hob_auto_free char *token = take_text(want(w, 200, "PUT", path, .body = "{\"password\":\"fresh\"}",
                                               .token = phone, .installation = "phone"),
                                          "sessionToken");
    refused(w, 209, "GET", "/users/me", .token = phone);
    refused(w, 209, "GET", "/users/me", .token = tablet);
    done(w, 200, "GET", "/users/me", .token = token);
    refused(w, 101, "POST", "/login", .body = ANN_LOGIN);
    done(w, 200, "POST", "/login", .body = "{\"username\":\"ann\",\"password\":\"fresh\"}");
}

static void a_user_is_changed_by_itself_and_master_alone(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *bob = sign_up(w, "{\"username\":\"bob\",\"password\":\"x\"}", NULL);
    hob_auto_free char *id = id_of(w, ann), *path = hob_asprintf("/users/%s", id);
    refused(w, 206, "PUT", path, .body = "{\"phone\":\"1\"}");
    refused(w, 206, "PUT", path, .body = "{\"phone\":\"1\"}", .token = bob);
    refused(w, 206, "DELETE", path, .token = bob);
    refused(w, 206, "DELETE", path);
    refused(w, 206, "PUT", path, .body = "{\"password\":\"stolen\"}", .token = bob);
    done(w, 200, "PUT", path, .body = "{\"phone\":\"1\"}", .token = ann);
    done(w, 200, "PUT", path, .body = "{\"phone\":\"2\",\"emailVerified\":true}", .role = BACKEND_MASTER);
    refused(w, 119, "PUT", path, .body = "{\"emailVerified\":false}", .token = ann);
    json_t *j hob_auto_json = want(w, 200, "GET", "/users/me", .token = ann);
    assert_string_equal(json_string_value(json_object_get(j, "phone")), "2");
    assert_true(json_is_true(json_object_get(j, "emailVerified")));
}

static void others_do_not_see_a_private_user_and_never_its_secrets(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *bob = sign_up(w, "{\"username\":\"bob\",\"password\":\"x\"}", NULL);
    hob_auto_free char *id = id_of(w, ann), *path = hob_asprintf("/users/%s", id);
    refused(w, 101, "GET", path);
    refused(w, 101, "GET", path, .token = bob);
    done(w, 200, "GET", path, .token = ann);
    hob_auto_free char *open_acl = hob_asprintf("{\"ACL\":{\"*\":{\"read\":true}}}");
    done(w, 200, "PUT", path, .body = open_acl, .token = ann);
    json_t *j hob_auto_json = want(w, 200, "GET", path, .token = bob);
    assert_string_equal(json_string_value(json_object_get(j, "username")), "ann");
    assert_null(json_object_get(j, "email")); /* a protected field */
    assert_null(json_object_get(j, "password"));
    done(w, 200, "PUT", path, .body = "{\"phone\":\"1\"}", .token = ann); /* still its own master */
    json_t *by_master hob_auto_json = want(w, 200, "GET", path, .role = BACKEND_MASTER);
    char *text = json_dumps(by_master, 0);
    assert_null(strstr(text, "argon2"));
    free(text);
}

static void a_renamed_user_is_found_by_the_new_name_and_the_old_one_is_free(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann),
                       *path = hob_asprintf("/users/%s", id);
    done(w, 200, "PUT", path, .body = "{\"username\":\"anna\",\"email\":\"anna@example.org\"}", .token = ann);
    done(w, 200, "POST", "/login", .body = "{\"username\":\"anna\",\"password\":\"secret\"}");
    refused(w, 101, "POST", "/login", .body = ANN_LOGIN);
    refused(w, 202, "POST", "/users", .body = "{\"username\":\"Anna\",\"password\":\"x\"}");
    hob_auto_free char *other = sign_up(w, ANN, NULL);
    refused(w, 202, "PUT", path, .body = "{\"username\":\"ANN\"}", .token = ann);
    refused(w, 203, "PUT", path, .body = "{\"email\":\"ann@example.org\"}", .token = ann);
    done(w, 200, "PUT", path, .body = "{\"username\":\"ANNA\"}", .token = ann); /* its own, in another case */
}

static void a_removed_user_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann),
                       *path = hob_asprintf("/users/%s", id);
    done(w, 200, "DELETE", path, .token = ann);
    refused(w, 209, "GET", "/users/me", .token = ann);
    refused(w, 101, "POST", "/login", .body = ANN_LOGIN);
    free(sign_up(w, ANN, NULL)); /* name and address are free */
    json_t *j hob_auto_json = want(w, 200, "GET", "/classes/_Session", .role = BACKEND_MASTER);
    assert_int_equal(json_array_size(json_object_get(j, "results")), 1);
}

static void one_sees_and_ends_ones_own_sessions_only(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, "phone");
    hob_auto_free char *bob = sign_up(w, "{\"username\":\"bob\",\"password\":\"x\"}", "desk");
    hob_auto_free char *session = take_text(want(w, 200, "GET", "/sessions/me", .token = ann), "objectId");
    hob_auto_free char *path = hob_asprintf("/sessions/%s", session);
    refused(w, 209, "GET", "/sessions");
    refused(w, 209, "GET", "/sessions/me");
    refused(w, 101, "GET", path, .token = bob);
    refused(w, 101, "DELETE", path, .token = bob);
    refused(w, 209, "DELETE", path);
    json_t *j hob_auto_json = want(w, 200, "GET", "/sessions", .token = ann);
    const json_t *list = json_object_get(j, "results");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "objectId")), session);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "installationId")),
                        "phone");
    refused(w, 105, "PUT", path,
            .body = "{\"user\":{\"__type\":\"Pointer\",\"className\":\"_User\",\"objectId\":\"x\"}}",
            .token = ann);
    refused(w, 105, "PUT", path,
            .body = "{\"expiresAt\":{\"__type\":\"Date\",\"iso\":\"2099-01-01T00:00:00.000Z\"}}",
            .token = ann);
    done(w, 200, "PUT", path, .body = "{\"note\":\"mine\"}", .token = ann);
    done(w, 200, "DELETE", path, .token = ann);
    refused(w, 209, "GET", "/users/me", .token = ann);
}

static void another_session_is_made_for_another_device(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, "phone");
    refused(w, 209, "POST", "/sessions", .body = "{\"note\":1}");
    refused(w, 105, "POST", "/sessions", .body = "{\"expiresAt\":1}", .token = ann);
    hob_auto_free char *token =
        take_text(want(w, 201, "POST", "/sessions", .body = "{\"note\":1}", .token = ann), "sessionToken");
    done(w, 200, "GET", "/users/me", .token = token);
    done(w, 200, "GET", "/users/me", .token = ann);
    json_t *j hob_auto_json = want(w, 200, "POST", "/upgradeToRevocableSession", .token = token);
    assert_non_null(json_object_get(j, "sessionToken"));
}

static void master_logs_in_as_anybody(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann);
    hob_auto_free char *body = hob_asprintf("{\"userId\":\"%s\"}", id);
    refused(w, 119, "POST", "/loginAs", .body = body, .token = ann);
    refused(w, 119, "POST", "/loginAs", .body = body, .role = BACKEND_READ_ONLY_MASTER);
    refused(w, 101, "POST", "/loginAs", .body = "{\"userId\":\"nobody\"}", .role = BACKEND_MASTER);
    hob_auto_free char *token =
        take_text(want(w, 200, "POST", "/loginAs", .body = body, .role = BACKEND_MASTER), "sessionToken");
    done(w, 200, "GET", "/users/me", .token = token);
}

static void the_password_is_verified_without_a_session(void **state)
{
    struct world *w = *state;
    free(sign_up(w, ANN, NULL));
    json_t *j hob_auto_json = want(w, 200, "POST", "/verifyPassword", .body = ANN_LOGIN);
    assert_null(json_object_get(j, "sessionToken"));
    refused(w, 101, "GET", "/verifyPassword", .body = "{\"username\":\"ann\",\"password\":\"no\"}");
}

static void roles_reach_through_roles_and_cycles_end(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann);
    char *ids[3];
    for (int i = 0; i < 3; i++) {
        hob_auto_free char *body = hob_asprintf("{\"name\":\"R%d\",\"ACL\":{\"*\":{\"read\":true}}}", i);
        ids[i] = take_text(want(w, 201, "POST", "/roles", .body = body, .role = BACKEND_MASTER), "objectId");
    }
    hob_auto_free char *thing =
        take_text(want(w, 201, "POST", "/classes/Thing", .body = "{\"ACL\":{\"role:R2\":{\"read\":true}}}",
                       .role = BACKEND_MASTER),
                  "objectId");
    hob_auto_free char *thing_path = hob_asprintf("/classes/Thing/%s", thing);
    refused(w, 101, "GET", thing_path, .token = ann);
    /* ann is in R0; R1 holds R0, R2 holds R1, R0 holds R2 */
    for (int i = 0; i < 3; i++) {
        hob_auto_free char *path = hob_asprintf("/roles/%s", ids[(i + 1) % 3]);
        hob_auto_free char *body = hob_asprintf(
            "{\"roles\":{\"__op\":\"AddRelation\",\"objects\":[{\"__type\":\"Pointer\",\"className\":\"_Role\","
            "\"objectId\":\"%s\"}]}}",
            ids[i]);
        done(w, 200, "PUT", path, .body = body, .role = BACKEND_MASTER);
    }
    refused(w, 101, "GET", thing_path, .token = ann);
    hob_auto_free char *path = hob_asprintf("/roles/%s", ids[0]);
    hob_auto_free char *body = hob_asprintf(
        "{\"users\":{\"__op\":\"AddRelation\",\"objects\":[{\"__type\":\"Pointer\",\"className\":"
        "\"_User\",\"objectId\":\"%s\"}]}}",
        id);
    done(w, 200, "PUT", path, .body = body, .role = BACKEND_MASTER);
    done(w, 200, "GET", thing_path, .token = ann); /* at once: what was kept is forgotten */
    hob_auto_free char *less =
        hob_asprintf("{\"users\":{\"__op\":\"RemoveRelation\",\"objects\":[{\"__type\":"
                     "\"Pointer\",\"className\":\"_User\",\"objectId\":\"%s\"}]}}",
                     id);
    done(w, 200, "PUT", path, .body = less, .role = BACKEND_MASTER);
    refused(w, 101, "GET", thing_path, .token = ann);
    for (int i = 0; i < 3; i++)
        free(ids[i]);
}

static void a_caller_named_by_a_binding_acts_as_that_user(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann);
    json_t *j hob_auto_json = want(w, 200, "GET", "/users/me", .user_id = id);
    assert_null(json_object_get(j, "sessionToken"));
    refused(w, 209, "GET", "/users/me", .user_id = "nobody");
}

static void a_session_ends_when_its_time_has_come(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL);
    hob_auto_free char *session = take_text(want(w, 200, "GET", "/sessions/me", .token = ann), "objectId");
    hob_auto_free char *path = hob_asprintf("/sessions/%s", session);
    done(w, 200, "GET", "/users/me", .token = ann);
    done(w, 200, "PUT", path,
         .body = "{\"expiresAt\":{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"}}",
         .role = BACKEND_MASTER);
    struct reply r = world_ask(w, "GET", "/users/me", (struct ask){.token = ann});
    assert_int_equal(r.status, 400);
    assert_string_equal(text_of(&r, "error"), "Session token is expired.");
    json_decref(r.json);
}

static void a_user_locked_out_by_its_access_list_cannot_log_in(void **state)
{
    struct world *w = *state;
    hob_auto_free char *ann = sign_up(w, ANN, NULL), *id = id_of(w, ann),
                       *path = hob_asprintf("/users/%s", id);
    done(w, 200, "PUT", path, .body = "{\"ACL\":{}}", .role = BACKEND_MASTER);
    refused(w, 101, "POST", "/login", .body = ANN_LOGIN);
}

static void a_locked_out_user_cannot_come_by_another_way(void **state)
{
    struct world *w = *state;
    const char *anonymous = "{\"authData\":{\"anonymous\":{\"id\":\"device-1\"}}}";
    hob_auto_free char *id = take_text(want(w, 201, "POST", "/users", .body = anonymous), "objectId");
    hob_auto_free char *path = hob_asprintf("/users/%s", id);
    done(w, 200, "POST", "/users", .body = anonymous);
    done(w, 200, "PUT", path, .body = "{\"ACL\":{}}", .role = BACKEND_MASTER);
    refused(w, 101, "POST", "/users", .body = anonymous);
}

static void users_are_made_and_changed_in_batches(void **state)
{
    struct world *w = *state;
    json_t *j hob_auto_json = want(
        w, 200, "POST", "/batch",
        .body = "{\"requests\":[{\"method\":\"POST\",\"path\":\"/parse/users\",\"body\":{\"username\":\"a\","
                "\"password\":\"x\"}},{\"method\":\"POST\",\"path\":\"/parse/classes/_User\",\"body\":{"
                "\"username\":\"A\",\"password\":\"x\"}}]}");
    assert_non_null(json_object_get(json_object_get(json_array_get(j, 0), "success"), "sessionToken"));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json_array_get(j, 1), "error"), "code")), 202);
}

static void two_sign_ups_with_one_name_at_once_give_one_user(void **state)
{
    struct world *w = *state;
    struct reply all[8];
    int made = 0, taken = 0;
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        world_start(w, &all[i], "POST", "/users", (struct ask){.body = ANN});
    for (size_t i = 0; i < HOB_COUNT(all); i++) {
        while (!all[i].is_there)
            world_turn(w);
        made += all[i].status == 201;
        taken += json_integer_value(json_object_get(all[i].json, "code")) == 202;
        json_decref(all[i].json);
    }
    assert_int_equal(made, 1);
    assert_int_equal(taken, 7);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_make, world_drop)
    const struct CMUnitTest tests[] = {
        TEST(a_new_user_gets_an_id_and_a_session_and_nothing_else),
        TEST(what_is_missing_or_wrong_is_said_with_its_number),
        TEST(names_and_addresses_are_unique_whatever_their_case),
        TEST(log_in_takes_name_or_address_and_refuses_everything_else_alike),
        TEST(a_name_that_nobody_has_costs_the_same_hash),
        TEST(what_was_judged_is_kept_until_it_changes),
        TEST(the_longest_unused_session_makes_room),
        TEST(expired_sessions_go_when_their_user_comes_again),
        TEST(keys_below_master_do_not_change_users),
        TEST(a_session_shows_its_user_until_it_is_ended),
        TEST(tokens_that_are_none_are_refused),
        TEST(only_a_digest_of_the_token_is_on_the_disk),
        TEST(one_installation_has_one_session),
        TEST(a_log_in_makes_its_own_session_whatever_token_comes_with_it),
        TEST(a_new_password_ends_all_sessions_and_gives_a_new_one),
        TEST(a_user_is_changed_by_itself_and_master_alone),
        TEST(others_do_not_see_a_private_user_and_never_its_secrets),
        TEST(a_renamed_user_is_found_by_the_new_name_and_the_old_one_is_free),
        TEST(a_removed_user_leaves_nothing_behind),
        TEST(one_sees_and_ends_ones_own_sessions_only),
        TEST(another_session_is_made_for_another_device),
        TEST(master_logs_in_as_anybody),
        TEST(the_password_is_verified_without_a_session),
        TEST(roles_reach_through_roles_and_cycles_end),
        TEST(a_caller_named_by_a_binding_acts_as_that_user),
        TEST(a_session_ends_when_its_time_has_come),
        TEST(a_user_locked_out_by_its_access_list_cannot_log_in),
        TEST(a_locked_out_user_cannot_come_by_another_way),
        TEST(users_are_made_and_changed_in_batches),
        TEST(two_sign_ups_with_one_name_at_once_give_one_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
