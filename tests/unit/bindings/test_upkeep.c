/* What a backend does for its apps unasked: logs of changes are cut to their days, indexes are made that the advisor
 * proposes; over a real database, with times of changes that the test sets. */
#include "bindings/upkeep/upkeep.h"
#include "check.h"

#include "auth_world.h"
#include "store/data/data_priv.h"

#define DAY "86400000"
enum { NEVER_MS = 3600000 };

struct task {
    const char *sql; /* of a write */
    int64_t first, last;
    uint64_t n;
    char names[200];
    int done;
};

static void on_task(void *ctx, const struct hob_err *err)
{
    world_note(&((struct task *)ctx)->done, err);
}

static void run_task(struct world *w, data_work_cb work, struct task *t)
{
    t->done = 0;
    appdb_write(w->dbs, "shop", work, on_task, t);
    while (!t->done)
        world_turn(w);
    assert_int_equal(t->done, 1);
}

static enum hob_code work_sql(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    return conn_execf(tx, err, "%s", ((struct task *)ctx)->sql);
}

static void sql(struct world *w, const char *text)
{
    run_task(w, work_sql, &(struct task){.sql = text});
}

static enum hob_code on_change(void *ctx, const struct data_change *c, struct hob_err *err)
{
    struct task *t = ctx;
    (void)err;
    t->first = t->n++ ? t->first : c->sequence;
    t->last = c->sequence;
    return HOB_OK;
}

static enum hob_code on_index(void *ctx, const struct data_index_found *i, struct hob_err *err)
{
    struct task *t = ctx;
    size_t n = strlen(t->names);
    (void)err;
    (void)snprintf(t->names + n, sizeof t->names - n, "%s.%s ", i->class_name, i->name);
    return HOB_OK;
}

static enum hob_code work_look(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct task *t = ctx;
    t->n = 0;
    t->names[0] = '\0';
    if (data_changes(tx, 0, UINT64_MAX, on_change, t, err) != HOB_OK)
        return err->code;
    return data_index_each(tx, on_index, t, err);
}

static struct task look(struct world *w)
{
    struct task t = {.n = 0};
    run_task(w, work_look, &t);
    return t;
}

static void create(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        json_decref(world_ask(w, "POST", "/classes/Note", (struct ask){.body = "{\"n\":1}"}).json);
}

/* The backend anew, as one that looks after its apps all the time; `objects`: of a class that gets indexes. */
static void restart_with(struct world *w, uint32_t every_ms, uint64_t objects)
{
    struct hob_err err;
    int ended = 0;
    backend_close(w->backend, 5000, world_ended, &ended);
    while (!ended)
        world_turn(w);
    struct backend_options o = world_options(w);
    o.upkeep_ms = every_ms;
    o.upkeep_objects = objects;
    w->backend = backend_start(&o, &err);
    assert_non_null(w->backend);
}

static void restart(struct world *w, uint32_t every_ms)
{
    restart_with(w, every_ms, 0);
}

static void wait_for_trimmed(struct world *w, uint64_t n)
{
    while (upkeep_stats(backend_upkeep(w->backend)).changes_trimmed < n)
        world_turn(w);
    assert_int_equal(upkeep_stats(backend_upkeep(w->backend)).changes_trimmed, n);
}

static void the_log_keeps_its_days_and_one_change_more(void **state)
{
    struct world *w = *state;
    create(w, 15);
    sql(w, "UPDATE changes SET at = at - 8 * " DAY " WHERE seq <= 5;"
           "UPDATE changes SET at = at - 2 * " DAY " WHERE seq > 5 AND seq <= 10");
    restart(w, 1);
    wait_for_trimmed(w, 4);
    struct task t = look(w);
    assert_int_equal(t.first, 5);
    assert_int_equal(t.last, 15);
    restart(w, NEVER_MS); /* so that it does not look again before the setting and the count are new */
    world_set(w, "{\"changeLogDays\":1}");
    restart(w, 1);
    wait_for_trimmed(w, 5);
    assert_int_equal(look(w).first, 10);
}

static void a_log_that_was_never_cut_goes_in_many_steps(void **state)
{
    struct world *w = *state;
    create(w, 1);
    sql(w,
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO changes (seq, at, class, id, op, after) SELECT i, i, 'Note', 'x' || i, 'c', '{}' FROM n;"
        "UPDATE changes SET at = 1 WHERE seq = 1");
    create(w, 1);
    restart(w, 1);
    while (upkeep_stats(backend_upkeep(w->backend)).changes_trimmed == 0)
        world_turn(w);
    restart(w, 1); /* in the middle, most likely */
    while (look(w).first != 20000)
        world_turn(w);
    assert_int_equal(look(w).last, 20001);
}

static void an_app_that_nobody_uses_is_left_closed_and_one_that_goes_is_forgotten(void **state)
{
    struct world *w = *state;
    int done = 0;
    restart(w, 1);
    assert_false(appdb_is_open(w->dbs, "shop"));
    for (int i = 0; i < 200; i++)
        world_turn(w);
    assert_false(appdb_is_open(w->dbs, "shop"));
    create(w, 3);
    assert_true(appdb_is_open(w->dbs, "shop"));
    backend_app_remove(w->apps, "shop", world_note, &done);
    while (!done)
        world_turn(w);
    done = 0;
    appdb_remove(w->dbs, "shop", world_note, &done);
    while (!done)
        world_turn(w);
    for (int i = 0; i < 200; i++)
        world_turn(w);
    assert_false(appdb_is_open(w->dbs, "shop"));
    assert_int_equal(upkeep_stats(backend_upkeep(w->backend)).failed, 0);
}

#define SLOW(class, keys, queries)                                                                           \
    "INSERT INTO slow_queries VALUES ('" class "', '" keys "', " queries ", 1000, 500);"

static void indexes_are_made_where_the_setting_says_so(void **state)
{
    struct world *w = *state;
    create(w, 20);
    sql(w, SLOW("Note", "{\"n\":1}", "5") SLOW("Note", "{\"m\":1}", "4") SLOW("Gone", "{\"n\":1}", "50"));
    restart(w, 1);
    for (int i = 0; i < 400; i++)
        world_turn(w);
    assert_string_equal(look(w).names, "");
    world_set(w, "{\"autoIndex\":true}");
    while (upkeep_stats(backend_upkeep(w->backend)).indexes_made < 1)
        world_turn(w);
    assert_string_equal(look(w).names, "Note.auto_n_1 ");
    sql(w, "UPDATE slow_queries SET queries = 5 WHERE keys_json = '{\"m\":1}'");
    while (upkeep_stats(backend_upkeep(w->backend)).indexes_made < 2)
        world_turn(w);
    assert_string_equal(look(w).names, "Note.auto_m_1 Note.auto_n_1 ");
    assert_int_equal(upkeep_stats(backend_upkeep(w->backend)).failed, 0);
}

static void eight_indexes_a_class_are_made_unasked_and_no_more(void **state)
{
    struct world *w = *state;
    create(w, 1);
    for (int i = 0; i < 10; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, SLOW("Note", "{\"f%d\":1}", "9"), i);
        sql(w, text);
    }
    world_set(w, "{\"autoIndex\":true}");
    restart(w, 1);
    while (upkeep_stats(backend_upkeep(w->backend)).indexes_made < 8)
        world_turn(w);
    sql(w, "UPDATE slow_queries SET queries = 100"); /* two are left */
    for (int i = 0; i < 1000; i++)
        world_turn(w);
    assert_int_equal(upkeep_stats(backend_upkeep(w->backend)).indexes_made, 8);
}

static void what_cannot_have_its_index_stands_in_no_others_way(void **state)
{
    struct world *w = *state;
    create(w, 11);
    for (int i = 0; i < 10; i++)
        json_decref(world_ask(w, "POST", "/classes/Small", (struct ask){.body = "{\"n\":1}"}).json);
    sql(w,
        SLOW("Note", "{\"n\":1}", "9") SLOW("Small", "{\"n\":\"odd\"}", "9") SLOW("Small", "{\"n\":1}", "9")
            SLOW("Note", "{\"m\":1}",
                 "9") "UPDATE slow_queries SET total_ms = 9000 WHERE class = 'Note';"
                      "UPDATE slow_queries SET total_ms = 5000 WHERE keys_json LIKE '%odd%'");
    world_set(w, "{\"autoIndex\":true}");
    restart_with(w, 1, 10);
    while (upkeep_stats(backend_upkeep(w->backend)).indexes_made < 1)
        world_turn(w);
    assert_string_equal(look(w).names, "Small.auto_n_1 ");
    assert_true(upkeep_stats(backend_upkeep(w->backend)).failed >= 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_drop)
    const struct CMUnitTest tests[] = {
        T(the_log_keeps_its_days_and_one_change_more),
        T(a_log_that_was_never_cut_goes_in_many_steps),
        T(an_app_that_nobody_uses_is_left_closed_and_one_that_goes_is_forgotten),
        T(indexes_are_made_where_the_setting_says_so),
        T(eight_indexes_a_class_are_made_unasked_and_no_more),
        T(what_cannot_have_its_index_stands_in_no_others_way),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
