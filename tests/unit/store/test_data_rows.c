#include "base/limits.h"
#include "data_home.h"
#include "store/data/data_priv.h"

/* --- the catalogue --- */

static enum hob_code work_catalogue(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    want(!data_class_find(tx, "Game"));
    want(data_class_add(tx, "Game", err) == HOB_OK);
    want(data_class_add(tx, "Game", err) == HOB_E_CONFLICT && hob_err_parse_code(err) == 103);
    const char *bad[] = {"", "1a", "a b", "a'", "a-b", "\xc3\xa4"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        want(data_class_add(tx, bad[i], err) == HOB_E_INVALID && hob_err_parse_code(err) == 103);
    struct data_field score = {
        .name = "score", .type = DATA_NUMBER, .is_required = true, .default_json = "5"};
    want(data_field_add(tx, "Game", &score, err) == HOB_OK);
    want(data_field_add(tx, "Game", &score, err) == HOB_OK); /* equal: fine */
    struct data_field text = {.name = "score", .type = DATA_STRING};
    want(data_field_add(tx, "Game", &text, err) == HOB_E_CONFLICT && hob_err_parse_code(err) == 111);
    want(strcmp(err->msg, "schema mismatch for Game.score; expected Number but got String") == 0);
    struct data_field owner = {.name = "owner", .type = DATA_POINTER, .target = "_User"};
    struct data_field other = {.name = "owner", .type = DATA_POINTER, .target = "Team"};
    want(data_field_add(tx, "Game", &owner, err) == HOB_OK);
    want(data_field_add(tx, "Game", &other, err) == HOB_E_CONFLICT &&
         strstr(err->msg, "Pointer<_User> but got Pointer<Team>"));
    want(data_field_add(tx, "Nobody", &score, err) == HOB_E_NOT_FOUND && hob_err_parse_code(err) == 103);
    struct data_field bad_name = {.name = "a'b", .type = DATA_STRING};
    want(data_field_add(tx, "Game", &bad_name, err) == HOB_E_INVALID && hob_err_parse_code(err) == 105);
    hob_auto_json json_t *permissions = json_pack("{s:{s:b}}", "find", "*", 1);
    want(data_class_permit(tx, "Game", permissions, err) == HOB_OK);
    const struct data_class *c = data_class_find(tx, "Game");
    want(c && c->fields_n == 2 && strcmp(c->fields[0].name, "owner") == 0 &&
         json_equal(c->permissions, permissions));
    const struct data_field *f = data_field_find(c, "score");
    want(f && f->is_required && strcmp(f->default_json, "5") == 0 && f->type == DATA_NUMBER && !f->target);
    return HOB_OK;
}

static enum hob_code count_class(void *ctx, const struct data_class *c, struct hob_err *err)
{
    (void)c;
    (void)err;
    ++*(int *)ctx;
    return HOB_OK;
}

static enum hob_code work_look_at_catalogue(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    int n = 0;
    const struct data_class *c = data_class_find(tx, "Game");
    want(c && data_field_find(c, "owner") && strcmp(data_field_find(c, "owner")->target, "_User") == 0);
    want(data_class_each(tx, count_class, &n, err) == HOB_OK && n == 1);
    (void)ctx;
    return HOB_OK;
}

static void classes_and_fields_are_kept_over_a_restart(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_catalogue, NULL));
    assert_job(p, pool_read(p, work_look_at_catalogue, NULL));
    pool_close(p->h, p->a);
    p->a = pool_open(p->h, 0);
    assert_job(p, pool_read(p, work_look_at_catalogue, NULL));
}

static enum hob_code work_half_class(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    if (data_class_add(tx, "Half", err) != HOB_OK)
        return err->code;
    if (!data_class_find(tx, "Half"))
        return hob_fail(err, HOB_E_INTERNAL, "not seen by its own job");
    return ctx ? HOB_OK : hob_fail(err, HOB_E_CANCELLED, "on purpose");
}

static enum hob_code work_no_half(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    want((data_class_find(tx, "Half") != NULL) == (ctx != NULL));
    return HOB_OK;
}

static void a_failed_job_takes_its_classes_back(void **state)
{
    struct pool *p = *state;
    int yes = 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pool_write(p, work_half_class, NULL), HOB_E_CANCELLED);
        assert_job(p, pool_write(p, work_no_half, NULL));
        assert_job(p, pool_read(p, work_no_half, NULL));
    }
    assert_job(p, pool_write(p, work_half_class, &yes));
    assert_job(p, pool_read(p, work_no_half, &yes));
}

/* --- rows --- */

static enum hob_code check_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    const struct put *p = ctx;
    want(hob_str_is(row->id, p->id) && hob_str_is(row->doc, p->doc) && row->created_ms == p->created_ms);
    want(hob_str_is(row->hidden, p->hidden ? p->hidden : ""));
    want(p->readers ? hob_str_is(row->readers, p->readers) : !row->readers.at);
    want(p->writers ? hob_str_is(row->writers, p->writers) : !row->writers.at);
    return HOB_OK;
}

static enum hob_code work_rows(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct put p = {
        "Game", "g1", "{\"score\":1,\"o\":{\"a\":[1,{\"b\":\"\\u00e4\"}]}}", "{\"secret\":1}", "[\"*\"]",
        "[]",   5};
    struct data_row row = row_of_put(&p);
    bool is_found = false;
    (void)ctx;
    want(data_insert(tx, "Game", &row, err) == HOB_E_NOT_FOUND && hob_err_parse_code(err) == 103);
    want(data_get(tx, "Game", row.id, NULL, NULL, NULL, &is_found, err) == HOB_OK && !is_found);
    want(data_class_add(tx, "Game", err) == HOB_OK);
    want(data_insert(tx, "Game", &row, err) == HOB_OK);
    want(data_get(tx, "Game", row.id, NULL, check_row, &p, &is_found, err) == HOB_OK && is_found);
    want(data_insert(tx, "Game", &row, err) == HOB_E_CONFLICT &&
         strcmp(hob_err_reason(err), "duplicate_id") == 0);
    p.doc = "{}";
    p.hidden = p.readers = p.writers = NULL;
    p.created_ms = 6;
    row = row_of_put(&p);
    want(data_replace(tx, "Game", &row, err) == HOB_OK);
    want(data_get(tx, "Game", row.id, NULL, check_row, &p, &is_found, err) == HOB_OK && is_found);
    row.id = HOB_STR("nobody");
    want(data_replace(tx, "Game", &row, err) == HOB_E_NOT_FOUND && hob_err_parse_code(err) == 101);
    want(data_remove(tx, "Game", row.id, err) == HOB_E_NOT_FOUND);
    want(data_class_drop(tx, "Game", err) == HOB_E_CONFLICT && hob_err_parse_code(err) == 255);
    want(data_remove(tx, "Game", HOB_STR("g1"), err) == HOB_OK);
    want(data_get(tx, "Game", HOB_STR("g1"), NULL, NULL, NULL, &is_found, err) == HOB_OK && !is_found);
    want(data_class_drop(tx, "Game", err) == HOB_OK && !data_class_find(tx, "Game"));
    want(data_class_drop(tx, "Game", err) == HOB_E_NOT_FOUND);
    return HOB_OK;
}

static void rows_are_inserted_replaced_and_removed(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_rows, NULL));
}

static enum hob_code work_too_large(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    hob_auto_free char *doc = hob_calloc(HOB_MAX_DATA_OBJECT_BYTES + 2, 1);
    struct data_row row = {.id = HOB_STR("big"), .doc = {doc, HOB_MAX_DATA_OBJECT_BYTES}};
    memset(doc, 'x', HOB_MAX_DATA_OBJECT_BYTES);
    memcpy(doc, "{\"a\":\"", 6);
    memcpy(doc + HOB_MAX_DATA_OBJECT_BYTES - 2, "\"}", 2);
    want(data_class_add(tx, "Big", err) == HOB_OK);
    want(data_insert(tx, "Big", &row, err) == HOB_OK);
    memcpy(doc + HOB_MAX_DATA_OBJECT_BYTES - 2, "x\"}", 3);
    row.doc.n++;
    want(data_replace(tx, "Big", &row, err) == HOB_E_TOO_LARGE && hob_err_parse_code(err) == 116);
    return HOB_OK;
}

static void an_object_has_a_largest_size(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_too_large, NULL));
}

/* --- unique indexes --- */

static enum hob_code work_unique(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    struct put a = {.class_name = "_User", .id = "a", .doc = "{\"username\":\"Anna\"}"};
    struct put b = {.class_name = "_User", .id = "b", .doc = "{\"username\":\"anna\"}"};
    struct put c = {.class_name = "_User", .id = "c", .doc = "{}"},
               d = {.class_name = "_User", .id = "d", .doc = "{}"};
    struct data_row rows[] = {row_of_put(&a), row_of_put(&b), row_of_put(&c), row_of_put(&d)};
    struct data_index index = {"username_ci", "{\"username\":\"ci\"}"};
    want(data_class_add(tx, "_User", err) == HOB_OK);
    want(data_field_add(tx, "_User", &(struct data_field){.name = "username", .type = DATA_STRING}, err) ==
         HOB_OK);
    want(data_index_add(tx, "_User", &index, true, err) == HOB_OK);
    want(data_index_add(tx, "_User", &index, true, err) == HOB_OK); /* equal: fine */
    want(data_insert(tx, "_User", &rows[0], err) == HOB_OK);
    want(data_insert(tx, "_User", &rows[1], err) == HOB_E_CONFLICT);
    want(strcmp(hob_err_reason(err), "duplicate_value") == 0 && strstr(err->msg, "username_ci"));
    want(data_insert(tx, "_User", &rows[2], err) == HOB_OK);
    want(data_insert(tx, "_User", &rows[3], err) == HOB_OK); /* absent values do not meet */
    rows[3].doc = HOB_STR("{\"username\":\"ANNA\"}");
    want(data_replace(tx, "_User", &rows[3], err) == HOB_E_CONFLICT &&
         strcmp(hob_err_reason(err), "duplicate_value") == 0);
    rows[3].doc = HOB_STR("{\"username\":\"\xc3\x84nne\"}");
    want(data_replace(tx, "_User", &rows[3], err) == HOB_OK);
    rows[2].doc = HOB_STR("{\"username\":\"\xc3\xa4NNE\"}");
    want(data_replace(tx, "_User", &rows[2], err) == HOB_E_CONFLICT);
    want(data_index_drop(tx, "_User", "username_ci", err) == HOB_OK);
    want(data_replace(tx, "_User", &rows[2], err) == HOB_OK);
    want(data_index_add(tx, "_User", &index, true, err) == HOB_E_CONFLICT); /* the rows break it now */
    want(data_index_drop(tx, "_User", "username_ci", err) == HOB_E_NOT_FOUND);
    return HOB_OK;
}

static void unique_names_differ_by_more_than_case(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_unique, NULL));
}

static enum hob_code work_bad_indexes(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    want(data_class_add(tx, "C", err) == HOB_OK);
    const char *bad[] = {"{}",
                         "[]",
                         "7",
                         "{\"a\":2}",
                         "{\"a\":\"x\"}",
                         "{\"a'b\":1}",
                         "{\"a\":\"text\",\"b\":1}",
                         "{\"a.\":1}",
                         "{\"1\":1,\"2\":1,\"3\":1}",
                         "not json"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        want(data_index_add(tx, "C", &(struct data_index){"i", bad[i]}, false, err) == HOB_E_INVALID);
    want(data_index_add(tx, "C", &(struct data_index){"i", "{\"a\":1}"}, false, err) == HOB_OK);
    want(data_index_add(tx, "C", &(struct data_index){"i", "{\"b\":1}"}, false, err) == HOB_E_CONFLICT);
    for (int i = 1; i < HOB_MAX_DATA_INDEXES; i++) {
        char name[16], keys[32];
        (void)snprintf(name, sizeof name, "n%d", i);
        (void)snprintf(keys, sizeof keys, "{\"f%d\":1}", i);
        want(data_index_add(tx, "C", &(struct data_index){name, keys}, false, err) == HOB_OK);
    }
    want(data_index_add(tx, "C", &(struct data_index){"more", "{\"z\":1}"}, false, err) == HOB_E_TOO_LARGE);
    const struct data_class *c = data_class_find(tx, "C");
    want(c->indexes_n == HOB_MAX_DATA_INDEXES);
    return HOB_OK;
}

static void indexes_are_judged_and_bounded(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_bad_indexes, NULL));
}

/* --- the change log --- */

struct logged {
    char text[4096]; /* "op class id before>after;" */
    int64_t last;
};

static enum hob_code on_change(void *ctx, const struct data_change *c, struct hob_err *err)
{
    struct logged *l = ctx;
    size_t n = strlen(l->text);
    want(c->sequence > l->last && c->at_ms > 0);
    l->last = c->sequence;
    (void)snprintf(l->text + n, sizeof l->text - n, "%c %s %.*s %.*s>%.*s\n", c->op, c->class_name,
                   HOB_STR_ARG(c->id), HOB_STR_ARG(c->before), HOB_STR_ARG(c->after));
    return HOB_OK;
}

static enum hob_code work_log(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    return data_changes(tx, 0, 1000, on_change, ctx, err);
}

static enum hob_code work_changes(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    struct put p = {"G", "g", "{\"n\":1}", "{\"h\":1}", "[\"*\"]", NULL, 5};
    struct data_row row = row_of_put(&p);
    want(data_class_add(tx, "G", err) == HOB_OK);
    want(data_field_add(tx, "G", &(struct data_field){.name = "r", .type = DATA_RELATION, .target = "G"},
                        err) == HOB_OK);
    want(data_insert(tx, "G", &row, err) == HOB_OK);
    want(data_insert(tx, "G", &row, err) == HOB_E_CONFLICT); /* what failed is not in the log */
    row.doc = HOB_STR("{\"n\":2}");
    row.updated_ms = 6;
    want(data_replace(tx, "G", &row, err) == HOB_OK);
    want(data_join_add(tx, "G", "r", HOB_STR("g"), HOB_STR("x"), err) == HOB_OK);
    return data_remove(tx, "G", row.id, err);
}

static void every_change_is_in_the_log_once_with_before_and_after(void **state)
{
    struct pool *p = *state;
    struct logged l = {.last = 0};
    assert_job(p, pool_write(p, work_changes, NULL));
    assert_job(p, pool_read(p, work_log, &l));
    assert_string_equal(
        l.text,
        "c G g >{\"created\":5,\"updated\":5,\"doc\":{\"n\":1},\"hidden\":{\"h\":1},\"readers\":[\"*\"]}\n"
        "u G g {\"created\":5,\"updated\":5,\"doc\":{\"n\":1},\"hidden\":{\"h\":1},\"readers\":[\"*\"]}>"
        "{\"created\":5,\"updated\":6,\"doc\":{\"n\":2},\"hidden\":{\"h\":1},\"readers\":[\"*\"]}\n"
        "c _Join:r:G g:x >{\"created\":0,\"updated\":0,\"doc\":{\"owningId\":\"g\",\"relatedId\":\"x\"}}\n"
        "d G g {\"created\":5,\"updated\":6,\"doc\":{\"n\":2},\"hidden\":{\"h\":1},\"readers\":[\"*\"]}>\n"
        "d _Join:r:G g:x {\"created\":0,\"updated\":0,\"doc\":{\"owningId\":\"g\",\"relatedId\":\"x\"}}>\n");
}

static enum hob_code work_trim(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    int64_t last = 0, after = 0;
    struct logged l = {.last = 0};
    (void)ctx;
    want(data_change_last(tx, &last, err) == HOB_OK && last == 5);
    struct data_trim t;
    want(data_changes_trim(tx, 1000, &t, err) == HOB_OK); /* nothing is that old */
    want(t.removed == 0 && t.young_ms > 1000 && !t.has_more);
    want(data_changes(tx, 0, 1000, on_change, &l, err) == HOB_OK && l.last == 5 && strstr(l.text, "c G g"));
    want(data_changes_trim(tx, INT64_MAX, &t, err) == HOB_OK);
    want(t.removed == 4 && t.young_ms == 0 && !t.has_more);
    l = (struct logged){.last = 0};
    want(data_changes(tx, 0, 1000, on_change, &l, err) == HOB_OK && l.last == 5 && !strstr(l.text, "c G g"));
    struct put p = {.class_name = "G", .id = "g", .doc = "{}"};
    struct data_row row = row_of_put(&p);
    want(data_insert(tx, "G", &row, err) == HOB_OK);
    want(data_change_last(tx, &after, err) == HOB_OK && after == 6); /* numbers never come again */
    want(data_restore(tx, 3, err) == HOB_E_INVALID && strstr(err->msg, "4 to 6"));
    want(data_restore(tx, 7, err) == HOB_E_INVALID);
    return HOB_OK;
}

static void a_trimmed_log_keeps_its_numbers(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_changes, NULL));
    assert_job(p, pool_write(p, work_trim, NULL));
}

/* A change a second from 1,000 ms on. */
static enum hob_code work_age(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct put p = {.class_name = "G", .doc = "{}"};
    char id[16];
    want(data_class_add(tx, "G", err) == HOB_OK);
    for (int i = 1; i <= *(int *)ctx; i++) {
        (void)snprintf(id, sizeof id, "g%d", i);
        p.id = id;
        struct data_row row = row_of_put(&p);
        want(data_insert(tx, "G", &row, err) == HOB_OK);
    }
    return conn_execf(tx, err, "UPDATE changes SET at = 1000 * seq");
}

static enum hob_code work_window(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct data_trim t;
    struct data_query q = {.class_name = "G", .limit = -1};
    uint64_t n = 0;
    (void)ctx;
    want(data_changes_trim(tx, 5001, &t, err) == HOB_OK); /* 1 to 5 are older: 5 says where 6 began */
    want(t.removed == 4 && t.young_ms == 6000 && !t.has_more);
    want(data_changes_trim(tx, 5001, &t, err) == HOB_OK && t.removed == 0);
    want(data_restore(tx, 3, err) == HOB_E_INVALID);
    want(data_restore(tx, 5, err) == HOB_OK && data_count(tx, &q, &n, err) == HOB_OK && n == 5);
    want(data_restore(tx, 8, err) == HOB_OK && data_count(tx, &q, &n, err) == HOB_OK && n == 8);
    return HOB_OK;
}

static void what_is_young_stays_in_the_log_and_a_restore_into_it_still_works(void **state)
{
    struct pool *p = *state;
    int n = 10;
    assert_job(p, pool_write(p, work_age, &n));
    assert_job(p, pool_write(p, work_window, NULL));
}

static enum hob_code work_steps(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct data_trim t = {.has_more = true};
    struct logged l = {.last = 0};
    uint64_t removed = 0;
    (void)ctx;
    while (t.has_more) {
        want(data_changes_trim(tx, INT64_MAX, &t, err) == HOB_OK && t.removed > 0);
        removed += t.removed;
    }
    want(removed == 450);
    want(data_changes(tx, 0, 1000, on_change, &l, err) == HOB_OK && l.last == 451 &&
         strstr(l.text, "c G g451"));
    return HOB_OK;
}

static void a_long_log_is_trimmed_in_steps_to_its_newest_change(void **state)
{
    struct pool *p = *state;
    int n = 451;
    assert_job(p, pool_write(p, work_age, &n));
    assert_job(p, pool_write(p, work_steps, NULL));
}

/* --- dropping a field --- */

static enum hob_code work_drop_field(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    want(data_class_add(tx, "D", err) == HOB_OK);
    want(data_field_add(tx, "D", &(struct data_field){.name = "x", .type = DATA_NUMBER}, err) == HOB_OK);
    const char *docs[] = {"{\"x\":1}", "{\"a\":{\"x\":1},\"x\":[\"}\"],\"b\":2}", "{\"a\":1, \"x\" : null }",
                          "{}"};
    const char *left[] = {"{}", "{\"a\":{\"x\":1},\"b\":2}", "{\"a\":1}", "{}"};
    for (int i = 0; i < 450; i++) { /* several steps */
        char id[16];
        (void)snprintf(id, sizeof id, "d%d", i);
        struct put p = {.class_name = "D", .id = id, .doc = docs[i % 4]};
        struct data_row row = row_of_put(&p);
        want(data_insert(tx, "D", &row, err) == HOB_OK);
    }
    want(data_field_drop(tx, "D", "nobody", err) == HOB_E_NOT_FOUND && hob_err_parse_code(err) == 255);
    want(data_field_drop(tx, "D", "x", err) == HOB_OK);
    want(!data_field_find(data_class_find(tx, "D"), "x"));
    for (int i = 0; i < 450; i++) {
        char id[16];
        bool is_found = false;
        (void)snprintf(id, sizeof id, "d%d", i);
        struct put p = {.class_name = "D", .id = id, .doc = left[i % 4]};
        want(data_get(tx, "D", hob_str(id), NULL, check_row, &p, &is_found, err) == HOB_OK && is_found);
    }
    return HOB_OK;
}

static void a_dropped_field_leaves_every_object(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_drop_field, NULL));
}

/* --- back in time: random histories --- */

enum { HISTORY = 300, OBJECTS = 12 };
struct history {
    uint64_t dice;
    int64_t at[HISTORY + 1]; /* sequence after each step */
    char state[HISTORY + 1][1200];
    int steps, back_to;
};

static unsigned roll(struct history *h, unsigned n)
{
    h->dice = h->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(h->dice >> 33) % n;
}

static enum hob_code add_state(void *ctx, const struct data_row *row, struct hob_err *err)
{
    char *text = ctx;
    size_t n = strlen(text);
    (void)err;
    (void)snprintf(text + n, 1200 - n, "%.*s=%.*s%.*s;", HOB_STR_ARG(row->id), HOB_STR_ARG(row->doc),
                   (int)row->readers.n, row->readers.at ? row->readers.at : "");
    return HOB_OK;
}

static enum hob_code add_related(void *ctx, struct hob_str id, struct hob_err *err)
{
    char *text = ctx;
    size_t n = strlen(text);
    (void)err;
    (void)snprintf(text + n, 1200 - n, "->%.*s", HOB_STR_ARG(id));
    return HOB_OK;
}

static enum hob_code write_state(struct data_tx *tx, char *text, struct hob_err *err)
{
    struct data_query q = {.class_name = "H", .order = "objectId", .limit = -1};
    text[0] = '\0';
    if (data_find(tx, &q, add_state, text, err) != HOB_OK)
        return err->code;
    return data_join_related(tx, "H", "r", HOB_STR("h0"), add_related, text, err);
}

static enum hob_code random_step(struct history *h, struct data_tx *tx, struct hob_err *err)
{
    char id[8], doc[64];
    bool is_there = false;
    (void)snprintf(id, sizeof id, "h%u", roll(h, OBJECTS));
    /* few values of a unique name: swaps and conflicts happen */
    (void)snprintf(doc, sizeof doc, "{\"name\":\"n%u\",\"v\":%u}", roll(h, OBJECTS), roll(h, 100));
    struct data_row row = {.id = hob_str(id), .created_ms = 1, .updated_ms = 2, .doc = hob_str(doc)};
    if (roll(h, 2))
        row.readers = HOB_STR("[\"*\"]");
    if (roll(h, 6) == 0) {
        struct hob_str other = hob_str(id);
        return roll(h, 2) ? data_join_add(tx, "H", "r", HOB_STR("h0"), other, err)
                          : data_join_remove(tx, "H", "r", HOB_STR("h0"), other, err);
    }
    if (data_get(tx, "H", row.id, NULL, NULL, NULL, &is_there, err) != HOB_OK)
        return err->code;
    enum hob_code rc = !is_there    ? data_insert(tx, "H", &row, err)
                       : roll(h, 4) ? data_replace(tx, "H", &row, err)
                                    : data_remove(tx, "H", row.id, err);
    return rc == HOB_E_CONFLICT ? HOB_OK : rc;
}

static enum hob_code work_history(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct history *h = ctx;
    want(data_class_add(tx, "H", err) == HOB_OK);
    want(data_field_add(tx, "H", &(struct data_field){.name = "r", .type = DATA_RELATION, .target = "H"},
                        err) == HOB_OK);
    want(data_index_add(tx, "H", &(struct data_index){"u", "{\"name\":1}"}, true, err) == HOB_OK);
    for (h->steps = 0; h->steps <= HISTORY; h->steps++) {
        if (h->steps && random_step(h, tx, err) != HOB_OK)
            return err->code;
        if (data_change_last(tx, &h->at[h->steps], err) != HOB_OK ||
            write_state(tx, h->state[h->steps], err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code work_back(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct history *h = ctx;
    char now[1200];
    if (data_restore(tx, h->at[h->back_to], err) != HOB_OK || write_state(tx, now, err) != HOB_OK)
        return err->code;
    if (strcmp(now, h->state[h->back_to]) != 0)
        return hob_fail(err, HOB_E_INTERNAL, "step %d: %.90s is not %.90s", h->back_to, now,
                        h->state[h->back_to]);
    return HOB_OK;
}

static void any_earlier_state_comes_back(void **state)
{
    struct pool *p = *state;
    struct history *h = hob_new(struct history);
    h->dice = 7;
    assert_job(p, pool_write(p, work_history, h));
    for (int i = 0; i < 60; i++) { /* also forward again: a restore is in the log itself */
        h->back_to = (int)roll(h, HISTORY + 1);
        assert_job(p, pool_write(p, work_back, h));
    }
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(classes_and_fields_are_kept_over_a_restart),
        T(a_failed_job_takes_its_classes_back),
        T(rows_are_inserted_replaced_and_removed),
        T(an_object_has_a_largest_size),
        T(unique_names_differ_by_more_than_case),
        T(indexes_are_judged_and_bounded),
        T(every_change_is_in_the_log_once_with_before_and_after),
        T(a_trimmed_log_keeps_its_numbers),
        T(what_is_young_stays_in_the_log_and_a_restore_into_it_still_works),
        T(a_long_log_is_trimmed_in_steps_to_its_newest_change),
        T(a_dropped_field_leaves_every_object),
        T(any_earlier_state_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
