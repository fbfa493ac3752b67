#include "data_home.h"

/* --- equality and types --- */

static void fill_basic(struct pool *p)
{
    add_field(p, "Thing", "n", DATA_NUMBER, NULL);
    add_field(p, "Thing", "s", DATA_STRING, NULL);
    add_field(p, "Thing", "b", DATA_BOOLEAN, NULL);
    add_field(p, "Thing", "d", DATA_DATE, NULL);
    add_field(p, "Thing", "o", DATA_OBJECT, NULL);
    add_field(p, "Thing", "a", DATA_ARRAY, NULL);
    put_doc(
        p, "Thing", "one",
        "{\"n\":1,\"s\":\"1\",\"b\":true,\"d\":{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"}}");
    put_doc(
        p, "Thing", "two",
        "{\"n\":2.5,\"s\":\"abc\",\"b\":false,\"o\":{\"x\":1,\"y\":{\"z\":\"deep\"}},\"a\":[1,\"two\",{\"k\":1}]}");
    put_doc(
        p, "Thing", "three",
        "{\"n\":-3,\"s\":\"\\u00e4bc\",\"d\":{\"__type\":\"Date\",\"iso\":\"2021-06-01T12:00:00.000Z\"},\"a\":[]}");
    put_doc(p, "Thing", "four", "{\"a\":[\"two\",2,null]}");
}

static void types_never_mix(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_finds(p, "Thing", NULL, NULL, "one,two,three,four");
    assert_finds(p, "Thing", "{\"n\":1}", NULL, "one");
    assert_finds(p, "Thing", "{\"n\":\"1\"}", NULL, "");
    assert_finds(p, "Thing", "{\"s\":\"1\"}", NULL, "one");
    assert_finds(p, "Thing", "{\"s\":1}", NULL, "");
    assert_finds(p, "Thing", "{\"b\":true}", NULL, "one");
    assert_finds(p, "Thing", "{\"b\":1}", NULL, "");
    assert_finds(p, "Thing", "{\"n\":true}", NULL, "");
    assert_finds(p, "Thing", "{\"n\":{\"$gt\":\"\"}}", NULL, "");
    assert_finds(p, "Thing", "{\"s\":{\"$gt\":0}}", NULL, "");
    assert_finds(p, "Thing", "{\"n\":1.0}", NULL, "one");
    assert_finds(p, "Thing", "{\"objectId\":\"two\"}", NULL, "two");
    assert_finds(p, "Thing", "{\"objectId\":5}", NULL, "");
}

static void absent_and_null_are_the_same(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    put_doc(p, "Thing", "five", "{\"n\":null}");
    assert_finds(p, "Thing", "{\"n\":null}", NULL, "four,five");
    assert_finds(p, "Thing", "{\"n\":{\"$exists\":false}}", NULL, "four,five");
    assert_finds(p, "Thing", "{\"n\":{\"$exists\":true}}", NULL, "one,two,three");
    assert_finds(p, "Thing", "{\"n\":{\"$ne\":1}}", NULL, "two,three,four,five");
    assert_finds(p, "Thing", "{\"n\":{\"$ne\":null}}", NULL, "one,two,three");
    assert_finds(p, "Thing", "{\"n\":{\"$nin\":[1,2.5]}}", NULL, "three,four,five");
    assert_finds(p, "Thing", "{\"n\":{\"$in\":[1,null]}}", NULL, "one,four,five");
    assert_finds(p, "Thing", "{\"n\":{\"$nin\":[1,null]}}", NULL, "two,three");
    assert_finds(p, "Thing", "{\"nobody\":null}", NULL, "one,two,three,four,five");
    assert_finds(p, "Thing", "{\"nobody\":1}", NULL, "");
}

static void comparisons_and_logic(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_finds(p, "Thing", "{\"n\":{\"$gt\":-3,\"$lt\":2.5}}", NULL, "one");
    assert_finds(p, "Thing", "{\"n\":{\"$gte\":-3,\"$lte\":2.5}}", NULL, "one,two,three");
    assert_finds(p, "Thing", "{\"s\":{\"$gte\":\"abc\"}}", NULL, "two,three");
    assert_finds(p, "Thing", "{\"s\":{\"$lt\":\"abc\"}}", NULL, "one");
    assert_finds(p, "Thing", "{\"d\":{\"$gt\":{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"}}}",
                 NULL, "three");
    assert_finds(p, "Thing", "{\"d\":{\"$lt\":{\"$relativeTime\":\"now\"}}}", NULL, "one,three");
    assert_finds(p, "Thing", "{\"d\":{\"$gt\":{\"$relativeTime\":\"in 2 weeks\"}}}", NULL, "");
    assert_finds(p, "Thing", "{\"n\":{\"$in\":[]}}", NULL, "");
    assert_finds(p, "Thing", "{\"n\":{\"$in\":[1,[2.5,[7]]]}}", NULL, "one,two");
    assert_finds(p, "Thing", "{\"$or\":[{\"n\":1},{\"s\":\"abc\"}]}", NULL, "one,two");
    assert_finds(p, "Thing", "{\"$and\":[{\"n\":1},{\"s\":\"abc\"}]}", NULL, "");
    assert_finds(p, "Thing", "{\"$nor\":[{\"n\":1},{\"s\":\"abc\"}]}", NULL, "three,four");
    assert_finds(p, "Thing", "{\"$or\":[]}", NULL, "");
    assert_finds(p, "Thing",
                 "{\"createdAt\":{\"$lt\":{\"__type\":\"Date\",\"iso\":\"2030-01-01T00:00:00.000Z\"}}}", NULL,
                 "one,two,three,four");
    assert_finds(p, "Thing", "{\"createdAt\":{\"$gt\":5}}", NULL, "");
}

static void order_limit_and_skip(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_finds(p, "Thing", NULL, "n", "four,three,one,two");
    assert_finds(p, "Thing", NULL, "-n", "two,one,three,four");
    assert_finds(p, "Thing", NULL, "-createdAt", "four,three,two,one");
    assert_finds(p, "Thing", NULL, "b,-s", "three,four,two,one");
    assert_finds(p, "Thing", NULL, "unknown", "one,two,three,four");
    assert_finds(p, "Thing", NULL, "n'); DROP TABLE c1; --", "one,two,three,four");
    struct search s = search_for("Thing");
    s.q.order = "n";
    s.q.limit = 2;
    s.q.skip = 1;
    assert_job(p, pool_read(p, work_search, &s));
    assert_string_equal(s.ids, "three,one");
    assert_int_equal(s.count, 4); /* knows neither limit nor skip */
    s.q.limit = 0;
    assert_job(p, pool_read(p, work_search, &s));
    assert_string_equal(s.ids, "");
    hob_buf_done(&s.plan);
}

static void arrays_and_objects(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_finds(p, "Thing", "{\"a\":\"two\"}", NULL, "two,four");
    assert_finds(p, "Thing", "{\"a\":{\"k\":1}}", NULL, "two");
    assert_finds(p, "Thing", "{\"a\":{\"$ne\":\"two\"}}", NULL, "one,three");
    assert_finds(p, "Thing", "{\"a\":{\"$in\":[1,2]}}", NULL, "two,four");
    assert_finds(p, "Thing", "{\"a\":{\"$all\":[\"two\",1]}}", NULL, "two");
    assert_finds(p, "Thing", "{\"a\":{\"$all\":[{\"$regex\":\"^\\\\Qtw\\\\E\"}]}}", NULL, "two,four");
    assert_finds(p, "Thing", "{\"a\":{\"$containedBy\":[\"two\",2,null,7]}}", NULL, "three,four");
    assert_finds(p, "Thing", "{\"a\":{\"$gt\":1}}", NULL, "four");
    assert_finds(p, "Thing", "{\"a.1\":\"two\"}", NULL, "two");
    assert_finds(p, "Thing", "{\"o.x\":1}", NULL, "two");
    assert_finds(p, "Thing", "{\"o.y.z\":{\"$regex\":\"ee\"}}", NULL, "two");
    assert_finds(p, "Thing", "{\"o\":{\"y\":{\"z\":\"deep\"},\"x\":1}}", NULL, "two");
    assert_finds(p, "Thing", "{\"o\":{\"x\":1}}", NULL, "");
    assert_finds(p, "Thing", NULL, "-o.x", "two,four,three,one");
}

/* --- indexes --- */

static void an_index_serves_equality_ranges_prefixes_and_order(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Thing", "by_n", "{\"n\":1}", false}));
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Thing", "by_s", "{\"s\":1}", false}));
    assert_job(p,
               pool_write(p, work_index, &(struct index_add){"Thing", "by_s_ci", "{\"s\":\"ci\"}", false}));
    assert_contains(assert_finds(p, "Thing", "{\"n\":1}", NULL, "one"), "INDEX x1_1");
    assert_contains(assert_finds(p, "Thing", "{\"n\":{\"$gt\":0}}", "n", "one,two"), "INDEX x1_1");
    assert_contains(assert_finds(p, "Thing", NULL, "-n", "two,one,three,four"), "INDEX x1_1");
    assert_contains(assert_finds(p, "Thing", "{\"n\":{\"$in\":[1,2,3]}}", NULL, "one"), "INDEX x1_1");
    assert_contains(assert_finds(p, "Thing", "{\"s\":{\"$regex\":\"^\\\\Qab\\\\E\"}}", NULL, "two"),
                    "INDEX x1_2");
    assert_contains(
        assert_finds(p, "Thing", "{\"s\":{\"$regex\":\"^\\\\QABC\\\\E$\",\"$options\":\"i\"}}", NULL, "two"),
        "INDEX x1_3");
    assert_contains(
        assert_finds(p, "Thing", "{\"s\":{\"$regex\":\"^\\u00c4BC$\",\"$options\":\"i\"}}", NULL, "three"),
        "INDEX x1_3");
    assert_null(strstr(assert_finds(p, "Thing", NULL, "-n", "*"), "TEMP B-TREE"));
    assert_contains(assert_finds(p, "Thing", "{\"objectId\":\"two\"}", NULL, "two"), "c1_id");
}

/* --- regular expressions --- */

static void regular_expressions_mean_what_they_say(void **state)
{
    struct pool *p = *state;
    add_field(p, "Name", "s", DATA_STRING, NULL);
    put_doc(p, "Name", "a", "{\"s\":\"a.b*c\"}");
    put_doc(p, "Name", "b", "{\"s\":\"axbbc\"}");
    put_doc(p, "Name", "c", "{\"s\":\"line\\nA.B\"}");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"\\\\Q.b*\\\\E\"}}", NULL, "a");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^\\\\Qa\\\\E\"}}", NULL, "a,b");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"\\\\Qc\\\\E$\"}}", NULL, "a,b");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^a|^l\"}}", NULL, "a,b,c");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^az*x\"}}", NULL, "b");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^\\\\Qax\\\\E?\"}}", NULL, "a,b");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^a\\\\.b$\",\"$options\":\"im\"}}", NULL, "c");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"e.A\",\"$options\":\"s\"}}", NULL, "c");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\" a x #c\",\"$options\":\"x\"}}", NULL, "b");
    assert_refuses(p, "Name", "{\"s\":{\"$regex\":\"a\",\"$options\":\"q\"}}", 102, "Bad $options");
    assert_refuses(p, "Name", "{\"s\":{\"$regex\":\"(\"}}", 102, "bad regex");
    assert_refuses(p, "Name", "{\"s\":{\"$regex\":7}}", 102, "must be a string");
}

static void a_pattern_that_never_ends_is_stopped(void **state)
{
    struct pool *p = *state;
    add_field(p, "Name", "s", DATA_STRING, NULL);
    put_doc(p, "Name", "long", "{\"s\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}");
    assert_refuses(p, "Name", "{\"s\":{\"$regex\":\"^(a+)+$\"}}", 102, "steps");
    assert_finds(p, "Name", "{\"s\":{\"$regex\":\"^a+!$\"}}", NULL, "long");
    /* a million steps or so: more than ours, fewer than PCRE2's own bound */
    put_doc(p, "Other", "some", "{\"s\":\"aaaaaaaaaaaaaaaaaaaa!\"}");
    assert_refuses(p, "Other", "{\"s\":{\"$regex\":\"^(a+)+$\"}}", 102, "steps");
}

/* --- what is refused --- */

static void a_malformed_where_is_refused_with_the_words_of_parse(void **state)
{
    struct pool *p = *state;
    fill_basic(p);
    assert_refuses(p, "Thing", "{\"n\":{\"$foo\":1}}", 107, "bad constraint: $foo");
    assert_refuses(p, "Thing", "{\"n\":{\"$in\":1}}", 107, "bad $in value");
    assert_refuses(p, "Thing", "{\"$or\":1}", 102, "Bad $or format");
    assert_refuses(p, "Thing", "{\"$nor\":[]}", 102, "Bad $nor format");
    assert_refuses(p, "Thing", "{\"$foo\":1}", 105, "Invalid key name: $foo");
    assert_refuses(p, "Thing", "{\"a b\":1}", 105, "Invalid key name");
    assert_refuses(p, "Thing", "{\"n') OR 1=1 --\":1}", 105, "Invalid key name");
    assert_refuses(p, "Thing", "{\"a..b\":1}", 105, "Invalid key name");
    assert_refuses(p, "Thing", "{\"ACL\":1}", 102, "ACL");
    assert_refuses(p, "Thing", "{\"n\":{\"$exists\":1}}", 107, "$exists");
    assert_refuses(p, "Thing", "{\"d\":{\"__type\":\"Date\",\"iso\":\"2020-13-01T00:00:00.000Z\"}}", 107,
                   "bad date");
    assert_refuses(p, "Thing", "{\"n\":{\"$eq\":{\"$relativeTime\":\"now\"}}}", 107, "$relativeTime");
    assert_refuses(p, "Thing", "{\"d\":{\"$lt\":{\"$relativeTime\":\"soon\"}}}", 107, "bad $relativeTime");
    assert_refuses(p, "Thing", "{\"a\":{\"$all\":[\"x\",{\"$regex\":\"y\"}]}}", 107, "$all");
    assert_refuses(p, "Thing", "{\"p\":{\"$inQuery\":{\"where\":{}}}}", 102, "improper usage of $inQuery");
    assert_refuses(p, "Thing", "{\"p\":{\"$select\":{\"key\":\"a\"}}}", 102, "improper usage of $select");
    assert_refuses(p, "Thing", "{\"s\":{\"$text\":{\"$search\":\"x\"}}}", 107, "bad $text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(types_never_mix),
        T(absent_and_null_are_the_same),
        T(comparisons_and_logic),
        T(order_limit_and_skip),
        T(arrays_and_objects),
        T(an_index_serves_equality_ranges_prefixes_and_order),
        T(regular_expressions_mean_what_they_say),
        T(a_pattern_that_never_ends_is_stopped),
        T(a_malformed_where_is_refused_with_the_words_of_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
