/* Calls through the whole backend over real databases: triggers in each place, batches with them, calls that nobody waits
 * for, closing in the middle, and an entrance that takes anything. */
#include <uv.h>

#include "bindings/cloud/cloud.h"
#include "check.h"

#include "auth_world.h"

/* --- cloud code: what the tests say it answers, in the next turn ---------------------------------------------------- */

struct telling {
    uv_timer_t timer;
    void (*tell)(void *ctx, const struct hob_err *err, struct hob_str answer);
    void *ctx;
    char *text;
};
static const char *(*answer_of)(const json_t *payload); /* NULL: it never answers in time */
static unsigned runs;

static void on_told(uv_handle_t *timer)
{
    struct telling *t = timer->data;
    struct hob_err late;
    (void)hob_fail(&late, HOB_E_TIMEOUT, "too slow");
    t->tell(t->ctx, t->text ? NULL : &late, t->text ? hob_str(t->text) : HOB_STR(""));
    free(t->text);
    free(t);
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_told);
}

static void cloud(const struct backend_run *r,
                  void (*tell)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                  void *done_ctx)
{
    struct telling *t = hob_new(struct telling);
    json_t *payload = json_loadb(r->payload.at, r->payload.n, 0, NULL);
    assert_non_null(payload);
    const char *text = answer_of ? answer_of(payload) : NULL;
    t->text = text ? hob_strdup(text) : NULL;
    json_decref(payload);
    t->tell = tell;
    t->ctx = done_ctx;
    t->timer.data = t;
    runs++;
    assert_int_equal(uv_timer_init(world_loop, &t->timer), 0);
    assert_int_equal(uv_timer_start(&t->timer, on_timer, 0, 0), 0);
}

static void with_triggers(struct world *w, const char *registered,
                          const char *(*answer)(const json_t *payload))
{
    json_t *j = json_loads(registered, 0, NULL);
    assert_non_null(j);
    world_loop = &w->home->loop;
    world_cloud = cloud;
    answer_of = answer;
    runs = 0;
    cloud_set_function(backend_cloud(w->backend), "shop", "code", j, 1);
    json_decref(j);
}

static const char *member(const json_t *payload, const char *object, const char *name)
{
    return json_string_value(json_object_get(json_object_get(payload, object), name));
}

static char *make(struct world *w, const char *path, const char *body)
{
    return take_text(want(w, 201, "POST", path, .body = body), "objectId");
}

/* --- saving ------------------------------------------------------------------------------------------------------- */

static const char *shouting(const json_t *payload)
{
    const char *name = member(payload, "object", "name");
    assert_string_equal(json_string_value(json_object_get(payload, "triggerName")), "beforeSave");
    assert_string_equal(member(payload, "object", "className"), "Order");
    if (name && strcmp(name, "bad") == 0)
        return "{\"error\":{\"code\":142,\"error\":\"no bad names\"}}";
    if (name && strcmp(name, "plain") == 0)
        return "{\"error\":\"plain words\"}";
    if (name && strcmp(name, "as it is") == 0)
        return "{}";
    return "{\"success\":{\"className\":\"Order\",\"name\":\"SHOUTED\",\"more\":[1]}}";
}

static void before_save_changes_what_is_saved_and_the_answer_tells(void **state)
{
    struct world *w = *state;
    with_triggers(w, "{\"triggers\":[\"beforeSave Order\"]}", shouting);
    json_t *made = want(w, 201, "POST", "/classes/Order", .body = "{\"name\":\"quiet\"}");
    assert_string_equal(json_string_value(json_object_get(made, "name")), "SHOUTED");
    assert_int_equal(json_array_size(json_object_get(made, "more")), 1);
    char path[64];
    (void)snprintf(path, sizeof path, "/classes/Order/%s",
                   json_string_value(json_object_get(made, "objectId")));
    json_decref(made);
    json_t *back = want(w, 200, "GET", path, .body = NULL);
    assert_string_equal(json_string_value(json_object_get(back, "name")), "SHOUTED");
    json_decref(back);
    json_t *put = want(w, 200, "PUT", path, .body = "{\"name\":\"again\",\"n\":1}");
    assert_string_equal(json_string_value(json_object_get(put, "name")), "SHOUTED");
    json_decref(put);
    refused(w, 142, "POST", "/classes/Order", .body = "{\"name\":\"bad\"}");
    refused(w, 141, "PUT", path, .body = "{\"name\":\"plain\"}");
    free(make(w, "/classes/Order", "{\"name\":\"as it is\",\"k\":2}"));
    assert_int_equal(runs, 5);
}

static void a_trigger_that_is_too_slow_fails_that_write_alone(void **state)
{
    struct world *w = *state;
    with_triggers(w, "{\"triggers\":[\"beforeSave Order\"]}", NULL);
    refused(w, 124, "POST", "/classes/Order", .body = "{\"name\":\"x\"}");
    free(make(w, "/classes/Other", "{\"name\":\"x\"}"));
    json_t *found = want(w, 200, "GET", "/classes/Order", .body = NULL);
    assert_int_equal(json_array_size(json_object_get(found, "results")), 0);
    json_decref(found);
}

static const char *operations_kept(const json_t *payload)
{
    static char text[400];
    const json_t *object = json_object_get(payload, "object");
    char *whole = json_dumps(object, JSON_COMPACT);
    (void)snprintf(text, sizeof text, "{\"success\":%s}", whole);
    free(whole);
    return text;
}

static void operations_of_a_client_stay_operations_behind_a_trigger_that_changes_nothing(void **state)
{
    struct world *w = *state;
    char *id = make(w, "/classes/Order", "{\"n\":1,\"l\":[1]}"), path[64];
    (void)snprintf(path, sizeof path, "/classes/Order/%s", id);
    with_triggers(w, "{\"triggers\":[\"beforeSave Order\"]}", operations_kept);
    struct reply r[20];
    for (size_t i = 0; i < HOB_COUNT(r); i++)
        world_start(w, &r[i], "PUT", path,
                    (struct ask){.body = "{\"n\":{\"__op\":\"Increment\",\"amount\":1}}"});
    for (size_t i = 0; i < HOB_COUNT(r); i++) {
        while (!r[i].is_there)
            world_turn(w);
        assert_int_equal(r[i].status, 200);
        json_decref(r[i].json);
    }
    json_t *back = want(w, 200, "GET", path, .body = NULL);
    assert_int_equal(json_integer_value(json_object_get(back, "n")), 21);
    json_decref(back);
    free(id);
}

static const char *after_all(const json_t *payload)
{
    const char *trigger = json_string_value(json_object_get(payload, "triggerName"));
    if (strcmp(trigger, "beforeDelete") == 0 && strcmp(member(payload, "object", "name"), "kept") == 0)
        return "{\"error\":\"it stays\"}";
    if (strcmp(trigger, "afterSave") == 0 || strcmp(trigger, "afterDelete") == 0)
        return "{\"error\":\"nobody hears this\"}";
    return "{\"success\":true}";
}

static void removing_asks_first_and_tells_afterwards(void **state)
{
    struct world *w = *state;
    with_triggers(w, "{\"triggers\":[\"beforeDelete Order\",\"afterDelete Order\",\"afterSave Order\"]}",
                  after_all);
    char path[64], *kept = make(w, "/classes/Order", "{\"name\":\"kept\"}"),
                   *gone = make(w, "/classes/Order", "{\"name\":\"gone\"}");
    assert_int_equal(runs, 2);
    (void)snprintf(path, sizeof path, "/classes/Order/%s", kept);
    refused(w, 141, "DELETE", path, .body = NULL);
    done(w, 200, "GET", path, .body = NULL);
    (void)snprintf(path, sizeof path, "/classes/Order/%s", gone);
    done(w, 200, "DELETE", path, .body = NULL);
    refused(w, 101, "DELETE", path, .body = NULL);
    assert_int_equal(runs, 5);
    free(kept);
    free(gone);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

static const char *finding(const json_t *payload)
{
    const char *trigger = json_string_value(json_object_get(payload, "triggerName"));
    if (strcmp(trigger, "beforeFind") == 0) {
        const json_t *where = json_object_get(json_object_get(payload, "query"), "where");
        if (json_object_get(where, "refuse"))
            return "{\"error\":{\"code\":119,\"error\":\"not that\"}}";
        if (json_is_true(json_object_get(payload, "isGet")))
            return "{}";
        return "{\"success\":{\"where\":{\"n\":{\"$gt\":1}},\"limit\":1,\"order\":\"-n\"}}";
    }
    return "{\"success\":[{\"className\":\"Order\",\"objectId\":\"x\",\"n\":99}]}";
}

static void finds_ask_before_and_show_what_comes_after(void **state)
{
    struct world *w = *state;
    char *id = make(w, "/classes/Order", "{\"n\":1}"), path[64];
    free(make(w, "/classes/Order", "{\"n\":2}"));
    free(make(w, "/classes/Order", "{\"n\":3}"));
    with_triggers(w, "{\"triggers\":[\"beforeFind Order\"]}", finding);
    json_t *found = want(w, 200, "GET", "/classes/Order", .body = "{\"where\":\"{}\",\"count\":1}");
    const json_t *results = json_object_get(found, "results");
    assert_int_equal(json_array_size(results), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(results, 0), "n")), 3);
    assert_int_equal(json_integer_value(json_object_get(found, "count")), 2);
    json_decref(found);
    refused(w, 119, "GET", "/classes/Order", .body = "{\"where\":{\"refuse\":1}}");
    (void)snprintf(path, sizeof path, "/classes/Order/%s", id);
    done(w, 200, "GET", path, .body = NULL);
    with_triggers(w, "{\"triggers\":[\"afterFind Order\"]}", finding);
    found = want(w, 200, "GET", "/classes/Order", .body = NULL);
    results = json_object_get(found, "results");
    assert_int_equal(json_array_size(results), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(results, 0), "n")), 99);
    assert_null(json_object_get(json_array_get(results, 0), "className"));
    json_decref(found);
    json_t *one = want(w, 200, "GET", path, .body = NULL);
    assert_int_equal(json_integer_value(json_object_get(one, "n")), 99);
    json_decref(one);
    free(id);
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

#define PART(class_name, body)                                                                               \
    "{\"method\":\"POST\",\"path\":\"/parse/classes/" class_name "\",\"body\":" body "}"

static size_t count(struct world *w, const char *path)
{
    json_t *found = want(w, 200, "GET", path, .role = BACKEND_MASTER);
    size_t n = json_array_size(json_object_get(found, "results"));
    json_decref(found);
    return n;
}

static void a_transaction_with_triggers_is_all_or_nothing(void **state)
{
    struct world *w = *state;
    with_triggers(w, "{\"triggers\":[\"beforeSave Order\"]}", shouting);
    refused(w, 142, "POST", "/batch",
            .body = "{\"transaction\":true,\"requests\":[" PART("Plain", "{\"a\":1}") "," PART(
                "Order", "{\"name\":\"bad\"}") "]}");
    assert_int_equal(count(w, "/classes/Plain"), 0);
    refused(w, 111, "POST", "/batch",
            .body = "{\"transaction\":true,\"requests\":[" PART("Order", "{\"name\":\"x\"}") "," PART(
                "Plain", "{\"a\":1}") "," PART("Plain", "{\"a\":\"text\"}") "]}");
    assert_int_equal(count(w, "/classes/Plain"), 0);
    assert_int_equal(count(w, "/classes/Order"), 0);
    json_t *all = want(w, 200, "POST", "/batch",
                       .body = "{\"transaction\":true,\"requests\":[" PART(
                           "Order", "{\"name\":\"x\"}") "," PART("Plain", "{\"a\":1}") "]}");
    assert_int_equal(json_array_size(all), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json_array_get(all, 0), "success"), "name")),
        "SHOUTED");
    json_decref(all);
    assert_int_equal(count(w, "/classes/Plain"), 1);
}

static void parts_of_a_batch_fail_alone_with_all_they_wrote(void **state)
{
    struct world *w = *state;
    json_t *all = want(w, 200, "POST", "/batch",
                       .body = "{\"requests\":[" PART("A", "{\"a\":1}") "," PART(
                           "A", "{\"b\":1,\"a\":\"x\"}") "," PART("A", "{\"a\":3}") "]}");
    assert_non_null(json_object_get(json_array_get(all, 0), "success"));
    assert_non_null(json_object_get(json_array_get(all, 1), "error"));
    assert_non_null(json_object_get(json_array_get(all, 2), "success"));
    json_decref(all);
    json_t *schema = want(w, 200, "GET", "/schemas/A", .role = BACKEND_MASTER);
    assert_null(json_object_get(json_object_get(schema, "fields"), "b"));
    json_decref(schema);
    assert_int_equal(count(w, "/classes/A"), 2);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void never(void *ctx, const struct backend_answer *a)
{
    (void)ctx;
    (void)a;
    fail_msg("a forgotten call was answered");
}

static void a_forgotten_call_is_not_answered_and_its_write_may_still_happen(void **state)
{
    struct world *w = *state;
    struct backend_request q = {.app = "shop",
                                .method = HOB_STR("POST"),
                                .path = HOB_STR("/classes/F"),
                                .mount_url = HOB_STR("http://x/parse")};
    for (int i = 0; i < 10; i++)
        backend_forget(backend_ask(w->backend, &q, never, NULL));
    q.path = HOB_STR("/nothing"); /* known at once, told in the next turn: not to this one */
    backend_forget(backend_ask(w->backend, &q, never, NULL));
    (void)count(w, "/classes/F");
}

static void closing_answers_what_is_under_way_and_refuses_what_comes(void **state)
{
    struct world *w = *state;
    struct reply r[30], late;
    for (size_t i = 0; i < HOB_COUNT(r); i++)
        world_start(w, &r[i], "POST", i % 3 ? "/classes/C" : "/batch",
                    (struct ask){.body = i % 3 ? "{\"a\":1}"
                                               : "{\"requests\":[" PART("C", "{\"a\":1}") "," PART(
                                                     "C", "{\"a\":2}") "]}"});
    int ended = 0;
    backend_close(w->backend, 5000, world_ended, &ended);
    world_start(w, &late, "POST", "/classes/C", (struct ask){.body = "{}"});
    while (!ended)
        world_turn(w);
    for (size_t i = 0; i < HOB_COUNT(r); i++) {
        assert_true(r[i].is_there);
        assert_int_equal(r[i].status, i % 3 ? 201 : 200);
        json_decref(r[i].json);
    }
    assert_true(late.is_there);
    assert_int_equal(late.status, 503);
    json_decref(late.json);
    struct hob_err err;
    struct backend_options o = world_options(w);
    w->backend = backend_start(&o, &err);
    assert_non_null(w->backend);
    assert_int_equal(count(w, "/classes/C"), 20 + 2 * 10);
}

static void the_entrance_takes_anything(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "", "get", "G\"T"};
    static const char *const pieces[] = {"",          "/",     "classes",   "A",       "_User", "%00",
                                         "%2F",       "..",    "batch",     "schemas", "\x01",  "users",
                                         "me",        "ä",     "aggregate", "purge",   "roles", "config",
                                         "functions", "files", "login",     ":id",     "%",     "sessions"};
    static const char *const bodies[] = {"{}",
                                         "{\"where\":5}",
                                         "{\"requests\":[{}]}",
                                         "{\"a\":{\"__op\":5}}",
                                         "{\"ACL\":[]}",
                                         "{\"where\":{\"$or\":[{\"a\":{\"$in\":[[[1]]]}}]}}",
                                         "{\"fields\":{\"a\":5}}",
                                         "{\"pipeline\":[[]]}",
                                         "{\"keys\":5,\"include\":{},\"order\":[1]}",
                                         "{\"username\":{},\"password\":[]}",
                                         "{\"count\":\"x\",\"limit\":-5}"};
    struct world *w = *state;
    unsigned seed = 99;
    char path[200];
    for (int i = 0; i < 1500; i++) {
        size_t n = 0;
        path[0] = '\0';
        for (int k = rand_r(&seed) % 5; k >= 0; k--)
            n += (size_t)snprintf(path + n, sizeof path - n, "/%s",
                                  pieces[(unsigned)rand_r(&seed) % HOB_COUNT(pieces)]);
        struct reply r = world_ask(w, methods[(unsigned)rand_r(&seed) % HOB_COUNT(methods)], path,
                                   (struct ask){.body = bodies[(unsigned)rand_r(&seed) % HOB_COUNT(bodies)],
                                                .role = (enum backend_role)((unsigned)rand_r(&seed) % 4)});
        char *text = json_dumps(r.json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (r.status >= 500)
            fail_msg("%s: %d %s", path, r.status, text);
        free(text);
        json_decref(r.json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_WORLD(name) cmocka_unit_test_setup_teardown(name, world_make, world_drop)
        IN_A_WORLD(before_save_changes_what_is_saved_and_the_answer_tells),
        IN_A_WORLD(a_trigger_that_is_too_slow_fails_that_write_alone),
        IN_A_WORLD(operations_of_a_client_stay_operations_behind_a_trigger_that_changes_nothing),
        IN_A_WORLD(removing_asks_first_and_tells_afterwards),
        IN_A_WORLD(finds_ask_before_and_show_what_comes_after),
        IN_A_WORLD(a_transaction_with_triggers_is_all_or_nothing),
        IN_A_WORLD(parts_of_a_batch_fail_alone_with_all_they_wrote),
        IN_A_WORLD(a_forgotten_call_is_not_answered_and_its_write_may_still_happen),
        IN_A_WORLD(closing_answers_what_is_under_way_and_refuses_what_comes),
        IN_A_WORLD(the_entrance_takes_anything),
#undef IN_A_WORLD
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
