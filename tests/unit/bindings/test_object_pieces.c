/* The pieces that objects are made of: values, documents, operations, access lists, paths, parameters. */
#include <stdlib.h>

#include "bindings/files/files.h"
#include "bindings/object/object_priv.h"
#include "bindings/query_params.h"

#include "check.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!j)
        fail_msg("no JSON: %s", text);
    return j;
}

/* --- values --- */

static void dates_are_read_to_the_millisecond_within_four_digit_years(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"1970-01-01T00:00:00.000Z", 0},
                {"1970-01-01", 0},
                {"1970-01-01T00:00:00.001Z", 1},
                {"1969-12-31T23:59:59.999Z", -1},
                {"2020-02-29T12:00:00+01:00", 1582974000000},
                {"2020-02-29 12:00:00.5-0130", 1582983000500 + 0},
                {"2020-02-29T11:00Z", 1582974000000},
                {"2020-02-29T11:00:00.123456789Z", 1582974000123},
                {"0000-01-01T00:00:00.000Z", -62167219200000},
                {"9999-12-31T23:59:59.999Z", 253402300799999}};
    static const char *const bad[] = {"",
                                      "now",
                                      "2020",
                                      "2020-1-1",
                                      "2020-02-30",
                                      "2021-02-29",
                                      "2020-13-01",
                                      "2020-00-10",
                                      "2020-01-01T24:00:00Z",
                                      "2020-01-01T00:60:00Z",
                                      "2020-01-01T00:00:60Z",
                                      "2020-01-01T00:00:00.Z",
                                      "2020-01-01T00:00:00X",
                                      "2020-01-01T00:00:00+25:00",
                                      "9999-12-31T23:59:59.999-00:01",
                                      "0000-01-01T00:00:00+00:01",
                                      "+012345-01-01",
                                      "2020-01-01Tx"};
    for (size_t i = 0; i < HOB_COUNT(good); i++) {
        json_t *j = json_string(good[i].text);
        int64_t ms = 7;
        if (!object_date_read(j, &ms) || ms != good[i].ms)
            fail_msg("%s: %lld", good[i].text, (long long)ms);
        json_decref(j);
    }
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        json_t *j = json_string(bad[i]);
        int64_t ms;
        if (object_date_read(j, &ms))
            fail_msg("%s is no date", bad[i]);
        json_decref(j);
    }
}

static void expect_written(const char *given, const char *stored)
{
    struct hob_buf out hob_auto_buf;
    struct hob_jw w;
    struct hob_err err;
    json_t *j = parse(given);
    hob_buf_init(&out, 65536);
    hob_jw_init(&w, &out);
    assert_ok(value_write(j, &w, &err));
    assert_ok(hob_jw_end(&w, &err));
    assert_str_equal(hob_buf_str(&out), stored);
    json_decref(j);
}

static void values_are_stored_in_one_form(void **state)
{
    (void)state;
    expect_written("{\"iso\":\"2020-01-01T01:00:00+01:00\",\"__type\":\"Date\",\"x\":1}",
                   "{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"}");
    expect_written("{\"objectId\":\"i\",\"__type\":\"Pointer\",\"className\":\"C\",\"name\":\"n\"}",
                   "{\"__type\":\"Pointer\",\"className\":\"C\",\"objectId\":\"i\"}");
    expect_written("{\"__type\":\"File\",\"url\":\"http://x\",\"name\":\"n\"}",
                   "{\"__type\":\"File\",\"name\":\"n\"}");
    expect_written("[1.0,-0.0,1e3,1.5,9007199254740992.0,1e300]", "[1,0,1000,1.5,9007199254740992,1e+300]");
    expect_written("{\"__type\":\"Polygon\",\"coordinates\":[[0,0],[0,1],[1,1]]}",
                   "{\"__type\":\"Polygon\",\"coordinates\":[[0,0],[0,1],[1,1],[0,0]]}");
}

static void expect_refused(const char *given, int code)
{
    struct hob_buf out hob_auto_buf;
    struct hob_jw w;
    struct hob_err err = {0};
    json_t *j = parse(given);
    hob_buf_init(&out, 65536);
    hob_jw_init(&w, &out);
    assert_int_not_equal(value_write(j, &w, &err), HOB_OK);
    assert_int_equal(hob_err_parse_code(&err), code);
    json_decref(j);
}

static void keys_that_storage_or_clients_misread_are_refused(void **state)
{
    (void)state;
    expect_refused("{\"a.b\":1}", PARSE_INVALID_NESTED_KEY);
    expect_refused("{\"a\":[{\"$b\":1}]}", PARSE_INVALID_NESTED_KEY);
    expect_refused("{\"__proto__\":1}", PARSE_INVALID_KEY_NAME);
    expect_refused("{\"a\":{\"constructor\":1}}", PARSE_INVALID_KEY_NAME);
    expect_refused("{\"a\":{\"__type\":\"Date\"}}", PARSE_INCORRECT_TYPE);
}

/* --- documents --- */

static json_t *random_value(unsigned *seed, unsigned depth)
{
    static const char *const texts[] = {"",  "a",         "\"",  "\\",     "\\\"",
                                        "}", "{\"x\":1}", "[,]", "\\\\\"", "ä\xf0\x9f\x8e\x89"};
    unsigned kind = (unsigned)rand_r(seed) % (depth ? 7 : 4);
    json_t *j;
    switch (kind) {
    case 0:
        return json_integer(rand_r(seed));
    case 1:
        return json_string(texts[(unsigned)rand_r(seed) % HOB_COUNT(texts)]);
    case 2:
        return json_null();
    case 3:
        return json_real(0.5);
    case 4:
        j = json_array();
        for (unsigned i = (unsigned)rand_r(seed) % 4; i; i--)
            (void)json_array_append_new(j, random_value(seed, depth - 1));
        return j;
    default:
        j = json_object();
        for (unsigned i = (unsigned)rand_r(seed) % 5; i; i--) {
            char key[2] = {(char)('a' + rand_r(seed) % 6), '\0'};
            (void)json_object_set_new(j, key, random_value(seed, depth - 1));
        }
        return j;
    }
}

static void walking_a_document_gives_what_parsing_gives(void **state)
{
    unsigned seed = 4711;
    (void)state;
    for (unsigned round = 0; round < 5000; round++) {
        json_t *doc = json_object(), *seen = json_object();
        for (unsigned i = (unsigned)rand_r(&seed) % 6; i; i--) {
            char key[2] = {(char)('a' + rand_r(&seed) % 8), '\0'};
            (void)json_object_set_new(doc, key, random_value(&seed, 3));
        }
        char *text = json_dumps(doc, JSON_COMPACT);
        struct doc_walk w = doc_walk(hob_str(text));
        struct hob_str key, value;
        while (doc_next(&w, &key, &value)) {
            json_t *v = json_loadb(value.at, value.n, JSON_DECODE_ANY, NULL);
            if (!v)
                fail_msg("%.*s of %s", HOB_STR_ARG(value), text);
            (void)json_object_setn_new(seen, key.at, key.n, v);
        }
        if (!json_equal(doc, seen))
            fail_msg("%s was misread", text);
        free(text);
        json_decref(doc);
        json_decref(seen);
    }
}

static void walking_never_leaves_a_broken_text(void **state)
{
    static const char whole[] = "{\"a\":{\"b\":[1,\"x\\\"\"]},\"c\":\"\\\\\",\"d\":null}";
    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        char *copy = malloc(n ? n : 1); /* so that a sanitizer sees a step too far */
        assert_non_null(copy);
        memcpy(copy, whole, n);
        struct doc_walk w = doc_walk(hob_str_n(copy, n));
        struct hob_str key, value;
        unsigned steps = 0;
        while (doc_next(&w, &key, &value))
            assert_true(++steps < 100);
        free(copy);
    }
}

static void pointers_are_seen_in_texts(void **state)
{
    struct hob_str c, i;
    (void)state;
    assert_true(
        doc_pointer(HOB_STR("{\"__type\":\"Pointer\",\"className\":\"C\",\"objectId\":\"id\"}"), &c, &i));
    assert_str_equal(c, "C");
    assert_str_equal(i, "id");
    assert_false(doc_pointer(HOB_STR("{\"__type\":\"Date\",\"iso\":\"x\"}"), &c, &i));
    assert_false(doc_pointer(HOB_STR("\"Pointer\""), &c, &i));
    assert_false(doc_pointer(HOB_STR("{\"__type\":\"Pointer\",\"className\":\"C\"}"), &c, &i));
}

/* --- operations --- */

static void expect_change(const char *data, const char *original, const char *name, const char *value,
                          bool is_told)
{
    struct changes ch;
    struct hob_err err = {0};
    json_t *j = parse(data), *wanted = value ? parse(value) : NULL;
    if (changes_resolve(j, original ? hob_str(original) : hob_str_n(NULL, 0), &ch, &err) != HOB_OK)
        fail_msg("%s on %s: %s", data, original, err.msg);
    const struct change *c = changes_find(&ch, name);
    assert_non_null(c);
    if (wanted ? !c->value || !json_equal(c->value, wanted) : c->value != NULL)
        fail_msg("%s on %s", data, original);
    assert_int_equal(c->is_told, is_told);
    changes_done(&ch);
    json_decref(j);
    json_decref(wanted);
}

static void operations_make_the_new_value_from_the_stored_text(void **state)
{
    (void)state;
#define OP(name, members) "{\"f\":{\"__op\":\"" name "\"," members "}}"
    expect_change(OP("Increment", "\"amount\":2"), "{\"f\":40}", "f", "42", true);
    expect_change(OP("Increment", "\"amount\":0.5"), "{\"f\":1}", "f", "1.5", true);
    expect_change(OP("Increment", "\"amount\":9007199254740992"), "{\"f\":9007199254740992}", "f",
                  "1.8014398509481984e16", true);
    expect_change(OP("Increment", "\"amount\":2"), "{}", "f", "2", true);
    expect_change(OP("Increment", "\"amount\":2"), NULL, "f", "2", false);
    expect_change(OP("Add", "\"objects\":[2]"), "{\"f\":[1]}", "f", "[1,2]", true);
    expect_change(OP("AddUnique", "\"objects\":[1,{\"b\":1,\"a\":2},3,3]"), "{\"f\":[1,{\"a\":2,\"b\":1}]}",
                  "f", "[1,{\"a\":2,\"b\":1},3]", true);
    expect_change(OP("Remove", "\"objects\":[1]"), "{\"f\":[1,2,1]}", "f", "[2]", true);
    expect_change("{\"f\":{\"__op\":\"Delete\"}}", "{\"f\":[1]}", "f", NULL, false);
    expect_change("{\"f.a\":1,\"f.b.c\":2}", "{\"f\":{\"a\":0,\"x\":1}}", "f",
                  "{\"a\":1,\"x\":1,\"b\":{\"c\":2}}", false);
    expect_change("{\"f.1\":9}", "{\"f\":[1,2]}", "f", "[1,9]", false);
#undef OP
}

static void a_change_outlives_many_others(void **state)
{
    struct changes ch;
    struct hob_err err;
    json_t *data = json_object();
    char name[16];
    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "m.k%d", i); /* dotted ones are kept by a name of their own */
        (void)json_object_set_new(data, name, json_integer(i));
        (void)snprintf(name, sizeof name, "f%d", i);
        (void)json_object_set_new(data, name, json_integer(i));
    }
    assert_ok(changes_resolve(data, HOB_STR("{}"), &ch, &err));
    assert_int_equal(ch.n, 201);
    assert_int_equal(json_object_size(changes_find(&ch, "m")->value), 200);
    changes_done(&ch);
    json_decref(data);
}

static void an_object_has_a_bounded_number_of_fields(void **state)
{
    (void)state;
    for (int n = FIELDS_MAX; n <= FIELDS_MAX + 1; n++) {
        struct changes ch;
        struct hob_err err = {0};
        json_t *data = json_object();
        char name[16];
        for (int i = 0; i < n; i++) {
            (void)snprintf(name, sizeof name, "f%d", i);
            (void)json_object_set_new(data, name, json_true());
        }
        enum hob_code rc = changes_resolve(data, hob_str_n(NULL, 0), &ch, &err);
        assert_int_equal(rc == HOB_OK, n == FIELDS_MAX);
        changes_done(&ch);
        json_decref(data);
    }
}

/* --- access lists, paths, parameters, names --- */

static void access_lists_are_two_sets_and_back(void **state)
{
    struct hob_arena arena;
    struct hob_err err;
    struct data_row row = {.created_ms = 0};
    struct hob_buf out hob_auto_buf;
    struct hob_jw w;
    (void)state;
    hob_arena_init(&arena, 1 << 20);
    hob_buf_init(&out, 4096);
    json_t *acl = parse(
        "{\"*\":{\"read\":true},\"u\\\"1\":{\"read\":true,\"write\":true},\"role:R\":{\"write\":true},\"n\":{\"read\":false}}");
    assert_ok(acl_split(&arena, acl, &row.readers, &row.writers, &err));
    assert_str_equal(row.readers, "[\"*\",\"u\\\"1\"]");
    assert_str_equal(row.writers, "[\"u\\\"1\",\"role:R\"]");
    hob_jw_init(&w, &out);
    acl_write(&row, &w);
    assert_str_equal(
        hob_buf_str(&out),
        "{\"*\":{\"read\":true},\"u\\\"1\":{\"read\":true,\"write\":true},\"role:R\":{\"write\":true}}");
    json_decref(acl);
    assert_ok(acl_split(&arena, NULL, &row.readers, &row.writers, &err));
    assert_false(acl_is_some(&row));
    json_t *empty = json_object();
    assert_ok(acl_split(&arena, empty, &row.readers, &row.writers, &err));
    assert_str_equal(row.readers, "[]");
    assert_true(acl_is_some(&row));
    json_decref(empty);
    hob_arena_done(&arena);
}

static void paths_become_trees_within_bounds(void **state)
{
    struct hob_arena arena;
    struct hob_err err = {0};
    struct tree *root = NULL;
    struct tree_limits limits = {.depth = 2, .count = 3};
    (void)state;
    hob_arena_init(&arena, 1 << 20);
    assert_ok(tree_add(&arena, &root, HOB_STR(" a.b , a.c,,d "), &limits, &err));
    const struct tree *a = tree_find(root, HOB_STR("a"));
    assert_non_null(a);
    assert_false(a->is_leaf);
    assert_true(tree_find(a->first, HOB_STR("c"))->is_leaf);
    assert_true(tree_find(root, HOB_STR("d"))->is_leaf);
    assert_null(tree_find(root, HOB_STR("b")));
    assert_int_not_equal(tree_add(&arena, &root, HOB_STR("a.b.c"), &limits, &err), HOB_OK);
    assert_int_equal(hob_err_parse_code(&err), PARSE_INVALID_QUERY);
    assert_int_not_equal(tree_add(&arena, &root, HOB_STR("a,b,c,d"), &limits, &err), HOB_OK);
    char path[2 * HOB_MAX_BACKEND_INCLUDE_DEPTH + 2];
    for (size_t i = 0; i + 1 < sizeof path; i++)
        path[i] = i % 2 ? '.' : 'a';
    assert_ok(tree_add(&arena, &root, hob_str_n(path, 2 * HOB_MAX_BACKEND_INCLUDE_DEPTH - 1), NULL, &err));
    assert_int_not_equal(
        tree_add(&arena, &root, hob_str_n(path, 2 * HOB_MAX_BACKEND_INCLUDE_DEPTH + 1), NULL, &err), HOB_OK);
    hob_arena_done(&arena);
}

static void parameters_are_json_where_they_can_be(void **state)
{
    (void)state;
    json_t *got = parse("{\"limit\":1,\"kept\":true}");
    json_t *wanted = parse(
        "{\"kept\":true,\"limit\":5,\"where\":{\"a\":\"b c\"},\"order\":\"-a,b\",\"bad\":\"{\",\"e\":\"\",\"t\":true,"
        "\"s\":\"x y+z%\",\"n\":-1.5,\"z\":\"007\"}");
    query_params_add(
        HOB_STR("/classes/Note"),
        HOB_STR(
            "limit=5&where=%7B%22a%22%3A%22b+c%22%7D&order=-a,b&bad={&e=&&t=true&s=x+y%2Bz%25&n=-1.5&z=007&=x&%ff=1&%00=1"),
        got);
    char *text = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);
    if (!json_equal(got, wanted))
        fail_msg("%s", text);
    free(text);
    json_decref(got);
    json_decref(wanted);
}

static void names_and_passwords_of_a_log_in_stay_text(void **state)
{
    static const char *const paths[] = {"/login", "/verifyPassword", "/functions/login"};
    static const char query[] = "username=1.0&email=%22q%22&password={%22a%22:1}&n=1.0";
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(paths); i++) {
        json_t *got = json_object();
        json_t *wanted = parse(
            i < 2 ? "{\"username\":\"1.0\",\"email\":\"\\\"q\\\"\",\"password\":\"{\\\"a\\\":1}\",\"n\":1.0}"
                  : "{\"username\":1.0,\"email\":\"q\",\"password\":{\"a\":1},\"n\":1.0}");
        query_params_add(hob_str(paths[i]), HOB_STR(query), got);
        assert_true(json_equal(got, wanted));
        json_decref(got);
        json_decref(wanted);
    }
}

static void names_are_judged(void **state)
{
    (void)state;
    assert_true(class_name_is_valid(HOB_STR("Order_2")));
    assert_true(class_name_is_valid(HOB_STR("_User")));
    assert_false(class_name_is_valid(HOB_STR("_Users")));
    assert_false(class_name_is_valid(HOB_STR("2a")));
    assert_false(class_name_is_valid(HOB_STR("")));
    assert_false(class_name_is_valid(hob_str_n("_User\0x", 7)));
    assert_false(field_name_is_valid(HOB_STR("className")));
    assert_false(field_name_is_valid(HOB_STR("length")));
    assert_true(field_name_is_valid(HOB_STR("a1_")));
    char long_name[130];
    memset(long_name, 'a', sizeof long_name);
    assert_true(field_name_is_valid(hob_str_n(long_name, 128)));
    assert_false(field_name_is_valid(hob_str_n(long_name, 129)));
}

static void ids_are_ten_letters_and_no_two_are_equal(void **state)
{
    char a[OBJECT_ID_CHARS + 1], b[OBJECT_ID_CHARS + 1];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        object_id_make(a);
        object_id_make(b);
        assert_int_equal(strlen(a), 10);
        assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"), 10);
        assert_string_not_equal(a, b);
    }
}

/* --- names of files --- */

static bool is_stored(size_t directory_n, size_t name_n)
{
    char text[1024];
    memset(text, 'd', sizeof text);
    if (directory_n)
        text[directory_n] = '/';
    return file_stored_name_is_valid(hob_str_n(text, directory_n + (directory_n > 0) + name_n));
}

static void what_an_upload_is_stored_under_is_told_from_tricks_with_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"x", "_x", "0_a..b.txt", "a/b c/x_y.png", " ~a/.b/x", "a/metadata/x"};
    static const char *const bad[] = {"",       "/",    "/x",  "a/",    "a//x",       "..",          "../x",
                                      "a/../x", "a/..", ".x",  "a/.x",  "metadata/x", "a\\x",        "a%x",
                                      "x?y",    "x\ny", "a:b", "x\xc3", " x/ x",      "metadata/a/x"};
    for (size_t i = 0; i < HOB_COUNT(good); i++)
        if (!file_stored_name_is_valid(hob_str(good[i])))
            fail_msg("refused: '%s'", good[i]);
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        if (file_stored_name_is_valid(hob_str(bad[i])))
            fail_msg("taken: '%s'", bad[i]);
    assert_false(file_stored_name_is_valid(hob_str_n("a\0b", 3)));
    assert_true(is_stored(256, 33 + 128 + 5)); /* the longest that uploads get */
    assert_false(is_stored(257, 1));
    assert_true(is_stored(0, 178));
    assert_false(is_stored(0, 179));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_to_the_millisecond_within_four_digit_years),
        cmocka_unit_test(values_are_stored_in_one_form),
        cmocka_unit_test(keys_that_storage_or_clients_misread_are_refused),
        cmocka_unit_test(walking_a_document_gives_what_parsing_gives),
        cmocka_unit_test(walking_never_leaves_a_broken_text),
        cmocka_unit_test(pointers_are_seen_in_texts),
        cmocka_unit_test(operations_make_the_new_value_from_the_stored_text),
        cmocka_unit_test(a_change_outlives_many_others),
        cmocka_unit_test(an_object_has_a_bounded_number_of_fields),
        cmocka_unit_test(access_lists_are_two_sets_and_back),
        cmocka_unit_test(paths_become_trees_within_bounds),
        cmocka_unit_test(parameters_are_json_where_they_can_be),
        cmocka_unit_test(names_and_passwords_of_a_log_in_stay_text),
        cmocka_unit_test(names_are_judged),
        cmocka_unit_test(ids_are_ten_letters_and_no_two_are_equal),
        cmocka_unit_test(what_an_upload_is_stored_under_is_told_from_tricks_with_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
