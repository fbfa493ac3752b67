#include "data_home.h"

struct aggregation {
    const char *class_name, *pipeline;
    struct hob_buf out;
};

static enum hob_code work_aggregate(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct aggregation *a = ctx;
    hob_auto_json json_t *j = hob_json_parse(hob_str(a->pipeline), "pipeline", err);
    if (!j)
        return err->code;
    hob_buf_clear(&a->out);
    return data_aggregate(tx, a->class_name, j, &a->out, err);
}

static void assert_gives(struct pool *p, const char *pipeline, const char *results)
{
    struct aggregation a = {"Sale", pipeline, {0}};
    hob_buf_init(&a.out, 65536);
    assert_job(p, pool_read(p, work_aggregate, &a));
    struct hob_err err;
    hob_auto_json json_t *is = hob_json_parse(hob_buf_str(&a.out), "results", &err);
    hob_auto_json json_t *wanted = hob_json_parse(hob_str(results), "wanted", &err);
    assert_non_null(wanted);
    if (!is || !json_equal(is, wanted))
        print_error("%s\ngives  %.*s\nwanted %s\n", pipeline, HOB_STR_ARG(hob_buf_str(&a.out)), results);
    assert_true(is && json_equal(is, wanted));
    hob_buf_done(&a.out);
}

static void assert_pipeline_refused(struct pool *p, const char *pipeline, const char *words)
{
    struct aggregation a = {"Sale", pipeline, {0}};
    hob_buf_init(&a.out, 65536);
    assert_int_equal(pool_read(p, work_aggregate, &a), HOB_E_INVALID);
    assert_int_equal(hob_err_parse_code(&p->err), 102);
    assert_contains(p->err.msg, words);
    hob_buf_done(&a.out);
}

static void fill(struct pool *p)
{
    add_field(p, "Sale", "who", DATA_STRING, NULL);
    add_field(p, "Sale", "sum", DATA_NUMBER, NULL);
    add_field(p, "Sale", "at", DATA_DATE, NULL);
    add_field(p, "Sale", "tags", DATA_ARRAY, NULL);
    put_doc(
        p, "Sale", "a",
        "{\"who\":\"ann\",\"sum\":1,\"tags\":[\"x\",\"y\"],\"at\":{\"__type\":\"Date\",\"iso\":\"2020-02-01T00:00:00.000Z\"}}");
    put_doc(p, "Sale", "b", "{\"who\":\"bob\",\"sum\":2.5,\"tags\":[\"x\"]}");
    put_doc(p, "Sale", "c",
            "{\"who\":\"ann\",\"sum\":4,\"at\":{\"__type\":\"Date\",\"iso\":\"2021-12-31T23:59:59.999Z\"}}");
    put_doc(p, "Sale", "d", "{\"who\":\"eve\",\"sum\":\"many\"}");
}

static void groups_count_and_add_up(void **state)
{
    struct pool *p = *state;
    fill(p);
    assert_gives(
        p,
        "[{\"$group\":{\"_id\":\"$who\",\"n\":{\"$sum\":1},\"total\":{\"$sum\":\"$sum\"}}},{\"$sort\":{\"_id\":1}}]",
        "[{\"objectId\":\"ann\",\"n\":2,\"total\":5},{\"objectId\":\"bob\",\"n\":1,\"total\":2.5},"
        "{\"objectId\":\"eve\",\"n\":1,\"total\":0}]");
    assert_gives(
        p,
        "[{\"$group\":{\"_id\":null,\"avg\":{\"$avg\":\"$sum\"},\"min\":{\"$min\":\"$sum\"},\"max\":{\"$max\":\"$at\"}}}]",
        "[{\"objectId\":null,\"avg\":2.5,\"min\":1,\"max\":{\"__type\":\"Date\",\"iso\":\"2021-12-31T23:59:59.999Z\"}}]");
    assert_gives(p, "[{\"$match\":{\"who\":\"nobody\"}},{\"$group\":{\"_id\":null,\"n\":{\"$sum\":1}}}]",
                 "[]");
    assert_gives(
        p,
        "[{\"$match\":{\"at\":{\"$exists\":true}}},{\"$group\":{\"_id\":{\"y\":{\"$year\":\"$at\"},\"m\":{\"$month\":\"$at\"}},"
        "\"n\":{\"$sum\":1}}},{\"$sort\":{\"_id.y\":-1}}]",
        "[{\"objectId\":{\"y\":2021,\"m\":12},\"n\":1},{\"objectId\":{\"y\":2020,\"m\":2},\"n\":1}]");
    assert_gives(
        p,
        "[{\"$sort\":{\"sum\":1}},{\"$group\":{\"_id\":\"$who\",\"all\":{\"$push\":\"$sum\"},\"first\":{\"$first\":\"$objectId\"}}},"
        "{\"$match\":{\"objectId\":\"ann\"}}]",
        "[{\"objectId\":\"ann\",\"all\":[1,4],\"first\":\"a\"}]");
}

static void stages_shape_and_cut(void **state)
{
    struct pool *p = *state;
    fill(p);
    assert_gives(
        p,
        "[{\"$match\":{\"sum\":{\"$gt\":1}}},{\"$sort\":{\"sum\":-1}},{\"$project\":{\"who\":1,\"double\":{\"$multiply\":[\"$sum\",2]}}}]",
        "[{\"objectId\":\"c\",\"who\":\"ann\",\"double\":8},{\"objectId\":\"b\",\"who\":\"bob\",\"double\":5}]");
    assert_gives(p, "[{\"$sort\":{\"objectId\":1}},{\"$skip\":1},{\"$limit\":2},{\"$project\":{\"_id\":1}}]",
                 "[{\"objectId\":\"b\"},{\"objectId\":\"c\"}]");
    assert_gives(p, "[{\"$count\":\"all\"}]", "[{\"all\":4}]");
    assert_gives(
        p,
        "[{\"$unwind\":\"$tags\"},{\"$group\":{\"_id\":\"$tags\",\"n\":{\"$sum\":1}}},{\"$sort\":{\"n\":-1}}]",
        "[{\"objectId\":\"x\",\"n\":2},{\"objectId\":\"y\",\"n\":1}]");
    assert_gives(
        p,
        "[{\"$match\":{\"objectId\":\"b\"}},{\"$addFields\":{\"k\":\"v\"}},{\"$project\":{\"createdAt\":0,\"updatedAt\":0,\"tags\":0}}]",
        "[{\"objectId\":\"b\",\"who\":\"bob\",\"sum\":2.5,\"k\":\"v\"}]");
    assert_gives(p, "{\"$match\":{\"who\":\"bob\"},\"$count\":\"n\"}", "[{\"n\":1}]");
}

static void a_malformed_pipeline_is_refused(void **state)
{
    struct pool *p = *state;
    fill(p);
    assert_pipeline_refused(p, "[{\"$foo\":1}]", "Invalid aggregate stage '$foo'");
    assert_pipeline_refused(p, "[{\"$limit\":1,\"$skip\":1}]", "only have one key");
    assert_pipeline_refused(p, "[{\"$group\":{\"n\":{\"$sum\":1}}}]", "Missing _id");
    assert_pipeline_refused(p, "[{\"$group\":{\"objectId\":\"$a\"}}]", "use _id instead");
    assert_pipeline_refused(p, "[{\"$group\":{\"_id\":\"$a') --\"}}]", "Invalid field name");
    assert_pipeline_refused(p, "[{\"$sort\":{\"x'\":1}}]", "Invalid field name");
    assert_pipeline_refused(p, "[{\"$limit\":-1}]", "not negative");
    assert_pipeline_refused(p, "[{\"$unwind\":\"$a'\"}]", "$unwind");
    assert_pipeline_refused(p, "[{\"$group\":{\"_id\":null,\"n\":{\"$foo\":1}}}]", "accumulator");
    assert_pipeline_refused(p, "7", "array");
    assert_pipeline_refused(p, "[7]", "one key");
}

/* --- distinct --- */

struct distinct {
    const char *field, *where;
    struct hob_buf out;
};

static enum hob_code work_distinct(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct distinct *d = ctx;
    hob_auto_json json_t *where = hob_json_parse(hob_str(d->where), "where", err);
    struct data_query q = {.class_name = "Sale", .where = where, .limit = -1};
    return data_distinct(tx, &q, d->field, &d->out, err);
}

static void assert_distinct(struct pool *p, const char *field, const char *where, const char *values)
{
    struct distinct d = {field, where, {0}};
    hob_buf_init(&d.out, 65536);
    assert_job(p, pool_read(p, work_distinct, &d));
    assert_str_equal(hob_buf_str(&d.out), values);
    hob_buf_done(&d.out);
}

static void distinct_values_of_fields_and_of_the_elements_of_arrays(void **state)
{
    struct pool *p = *state;
    fill(p);
    assert_distinct(p, "who", "{}", "[\"ann\",\"bob\",\"eve\"]");
    assert_distinct(p, "who", "{\"sum\":{\"$gt\":2}}", "[\"bob\",\"ann\"]");
    assert_distinct(p, "tags", "{}", "[\"x\",\"y\"]");
    assert_distinct(p, "objectId", "{\"who\":\"ann\"}", "[\"a\",\"c\"]");
    assert_distinct(p, "nothing", "{}", "[]");
    assert_distinct(p, "at", "{\"objectId\":\"a\"}",
                    "[{\"__type\":\"Date\",\"iso\":\"2020-02-01T00:00:00.000Z\"}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(groups_count_and_add_up),
        T(stages_shape_and_cut),
        T(a_malformed_pipeline_is_refused),
        T(distinct_values_of_fields_and_of_the_elements_of_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
