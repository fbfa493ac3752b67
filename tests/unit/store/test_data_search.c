#include "base/limits.h"
#include "data_home.h"
#include "store/data/data_priv.h"

#define PTR(c, id) "{\"__type\":\"Pointer\",\"className\":\"" c "\",\"objectId\":\"" id "\"}"
#define GEO(lat, lon) "{\"__type\":\"GeoPoint\",\"latitude\":" lat ",\"longitude\":" lon "}"

/* --- pointers, sub-queries, relations --- */

struct join {
    const char *class_name, *field, *owner, *related;
    bool is_remove;
};

static enum hob_code work_join(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct join *j = ctx;
    return j->is_remove
               ? data_join_remove(tx, j->class_name, j->field, hob_str(j->owner), hob_str(j->related), err)
               : data_join_add(tx, j->class_name, j->field, hob_str(j->owner), hob_str(j->related), err);
}

static void fill_posts(struct pool *p)
{
    add_field(p, "Post", "title", DATA_STRING, NULL);
    add_field(p, "Post", "likes", DATA_RELATION, "_User");
    add_field(p, "Comment", "post", DATA_POINTER, "Post");
    add_field(p, "Comment", "posts", DATA_ARRAY, NULL);
    add_field(p, "Comment", "about", DATA_STRING, NULL);
    add_field(p, "_User", "name", DATA_STRING, NULL);
    put_doc(p, "Post", "p1", "{\"title\":\"first\"}");
    put_doc(p, "Post", "p2", "{\"title\":\"second\"}");
    put_doc(p, "Comment", "c1", "{\"post\":" PTR("Post", "p1") ",\"about\":\"first\"}");
    put_doc(p, "Comment", "c2",
            "{\"post\":" PTR("Post", "p2") ",\"about\":\"nothing\",\"posts\":[" PTR("Post", "p1") "]}");
    put_doc(p, "Comment", "c3", "{\"about\":\"second\"}");
    put_doc(p, "_User", "u1", "{\"name\":\"ann\"}");
    put_doc(p, "_User", "u2", "{\"name\":\"bob\"}");
    assert_job(p, pool_write(p, work_join, &(struct join){"Post", "likes", "p1", "u1", false}));
    assert_job(
        p, pool_write(p, work_join, &(struct join){"Post", "likes", "p1", "u1", false})); /* again: nothing */
    assert_job(p, pool_write(p, work_join, &(struct join){"Post", "likes", "p2", "u2", false}));
}

static void pointers_compare_by_class_and_id(void **state)
{
    struct pool *p = *state;
    fill_posts(p);
    assert_finds(p, "Comment", "{\"post\":" PTR("Post", "p1") "}", NULL, "c1");
    assert_finds(
        p, "Comment",
        "{\"post\":{\"__type\":\"Object\",\"className\":\"Post\",\"objectId\":\"p1\",\"title\":\"x\"}}", NULL,
        "c1");
    assert_finds(p, "Comment", "{\"post\":" PTR("Other", "p1") "}", NULL, "");
    assert_finds(p, "Comment", "{\"post\":\"p1\"}", NULL, "");
    assert_finds(p, "Comment", "{\"posts\":" PTR("Post", "p1") "}", NULL, "c2");
    assert_finds(p, "Comment", "{\"post\":{\"$in\":[" PTR("Post", "p1") "," PTR("Post", "p2") "]}}", NULL,
                 "c1,c2");
}

static void sub_queries_find_pointers_and_values(void **state)
{
    struct pool *p = *state;
    fill_posts(p);
    assert_finds(p, "Comment",
                 "{\"post\":{\"$inQuery\":{\"className\":\"Post\",\"where\":{\"title\":\"first\"}}}}", NULL,
                 "c1");
    assert_finds(p, "Comment",
                 "{\"post\":{\"$notInQuery\":{\"className\":\"Post\",\"where\":{\"title\":\"first\"}}}}",
                 NULL, "c2,c3");
    assert_finds(p, "Comment",
                 "{\"posts\":{\"$inQuery\":{\"className\":\"Post\",\"where\":{\"title\":\"first\"}}}}", NULL,
                 "c2");
    assert_finds(p, "Comment", "{\"posts\":{\"$notInQuery\":{\"className\":\"Post\",\"where\":{}}}}", NULL,
                 "c1,c3");
    assert_finds(p, "Comment", "{\"post\":{\"$inQuery\":{\"className\":\"Nobody\",\"where\":{}}}}", NULL, "");
    assert_finds(
        p, "Comment",
        "{\"about\":{\"$select\":{\"query\":{\"className\":\"Post\",\"where\":{}},\"key\":\"title\"}}}", NULL,
        "c1,c3");
    assert_finds(
        p, "Comment",
        "{\"about\":{\"$dontSelect\":{\"query\":{\"className\":\"Post\",\"where\":{}},\"key\":\"title\"}}}",
        NULL, "c2");
    assert_finds(
        p, "Comment",
        "{\"post\":{\"$inQuery\":{\"className\":\"Post\",\"where\":{\"title\":{\"$select\":{\"query\":{\"className\":\"Comment\","
        "\"where\":{\"objectId\":\"c3\"}},\"key\":\"about\"}}}}}}",
        NULL, "c2");
}

static void relations_are_searched_from_both_ends(void **state)
{
    struct pool *p = *state;
    fill_posts(p);
    assert_finds(p, "_User", "{\"$relatedTo\":{\"object\":" PTR("Post", "p1") ",\"key\":\"likes\"}}", NULL,
                 "u1");
    assert_finds(p, "Post", "{\"$relatedTo\":{\"object\":" PTR("Post", "p1") ",\"key\":\"likes\"}}", NULL,
                 "");
    assert_finds(p, "_User", "{\"$relatedTo\":{\"object\":" PTR("Post", "p9") ",\"key\":\"likes\"}}", NULL,
                 "");
    assert_finds(p, "Post", "{\"likes\":" PTR("_User", "u2") "}", NULL, "p2");
    assert_finds(p, "Post", "{\"likes\":{\"$ne\":" PTR("_User", "u2") "}}", NULL, "p1");
    assert_finds(p, "Post", "{\"likes\":{\"$in\":[" PTR("_User", "u1") "," PTR("_User", "u2") "]}}", NULL,
                 "p1,p2");
    assert_finds(p, "Post",
                 "{\"likes\":{\"$inQuery\":{\"className\":\"_User\",\"where\":{\"name\":\"bob\"}}}}", NULL,
                 "p2");
    assert_job(p, pool_write(p, work_join, &(struct join){"Post", "likes", "p1", "u1", true}));
    assert_finds(p, "Post", "{\"likes\":" PTR("_User", "u1") "}", NULL, "");
}

/* --- what the caller may see --- */

static enum hob_code admit(void *ctx, const char *class_name, struct data_access *ret, struct hob_err *err)
{
    const struct data_access *a = ctx;
    if (strcmp(class_name, "Secret") == 0)
        return hob_fail_parse(err, HOB_E_FORBIDDEN, 119, "Permission denied for Secret");
    *ret = *a;
    return HOB_OK;
}

static void assert_sees(struct pool *p, const char *class_name, const char *where,
                        const struct data_access *a, const char *ids)
{
    struct hob_err err;
    struct search s = search_for(class_name);
    hob_auto_json json_t *j = hob_json_parse(hob_str(where), "where", &err);
    assert_non_null(j);
    s.q.where = j;
    s.q.access = a;
    s.q.admit = admit;
    s.q.admit_ctx = (void *)(uintptr_t)a;
    assert_job(p, pool_read(p, work_search, &s));
    assert_string_equal(s.ids, ids);
    assert_int_equal(s.count, s.rows);
    hob_buf_done(&s.plan);
}

static void put_guarded(struct pool *p, const char *class_name, const char *id, const char *doc,
                        const char *readers)
{
    struct put put = {
        .class_name = class_name, .id = id, .doc = doc, .readers = readers, .writers = "[]", .created_ms = 1};
    assert_job(p, pool_write(p, work_put, &put));
}

static void a_row_is_seen_by_its_readers_only(void **state)
{
    struct pool *p = *state;
    fill_posts(p);
    add_field(p, "Note", "owner", DATA_POINTER, "_User");
    put_guarded(p, "Note", "open", "{}", NULL);
    put_guarded(p, "Note", "public", "{}", "[\"*\"]");
    put_guarded(p, "Note", "anns", "{\"owner\":" PTR("_User", "u1") "}", "[\"u1\",\"role:admin\"]");
    put_guarded(p, "Note", "nobodys", "{\"owner\":" PTR("_User", "u2") ",\"team\":[" PTR("_User", "u1") "]}",
                "[]");
    struct hob_str anonymous[] = {HOB_STR("*")}, ann[] = {HOB_STR("*"), HOB_STR("u1")};
    struct hob_str admin[] = {HOB_STR("*"), HOB_STR("u7"), HOB_STR("role:admin")};
    struct data_access a = {.subjects = anonymous, .subjects_n = 1};
    assert_sees(p, "Note", "{}", &a, "open,public");
    a = (struct data_access){.subjects = ann, .subjects_n = 2};
    assert_sees(p, "Note", "{}", &a, "open,public,anns");
    assert_sees(p, "Note", "{\"$or\":[{\"objectId\":\"nobodys\"},{\"objectId\":\"anns\"}]}", &a, "anns");
    a.is_write = true;
    assert_sees(p, "Note", "{}", &a, "");
    a = (struct data_access){.subjects = admin, .subjects_n = 3};
    assert_sees(p, "Note", "{}", &a, "open,public,anns");
    assert_sees(p, "Note", "{}", NULL, "open,public,anns,nobodys");
    static const char *const fields[] = {"owner", "team"};
    a = (struct data_access){.pointer_fields = fields, .pointer_fields_n = 1, .user_id = HOB_STR("u1")};
    assert_sees(p, "Note", "{}", &a, "anns");
    a.pointer_fields_n = 2;
    assert_sees(p, "Note", "{}", &a, "anns,nobodys");
    a.user_id = HOB_STR("");
    assert_sees(p, "Note", "{}", &a, "");
}

static void a_sub_query_sees_what_its_caller_may_see(void **state)
{
    struct pool *p = *state;
    add_field(p, "Comment", "post", DATA_POINTER, "Post");
    put_guarded(p, "Post", "p1", "{}", "[\"u1\"]");
    put_guarded(p, "Comment", "c1", "{\"post\":" PTR("Post", "p1") "}", NULL);
    put_guarded(p, "Secret", "s1", "{}", NULL);
    struct hob_str ann[] = {HOB_STR("*"), HOB_STR("u1")};
    struct data_access a = {.subjects = ann, .subjects_n = 2};
    const char *where = "{\"post\":{\"$inQuery\":{\"className\":\"Post\",\"where\":{}}}}";
    assert_sees(p, "Comment", where, &a, "c1");
    a.subjects_n = 1;
    assert_sees(p, "Comment", where, &a, "");
    assert_sees(p, "Comment", "{\"$relatedTo\":{\"object\":" PTR("Post", "p1") ",\"key\":\"r\"}}", &a, "");
    struct search s = search_for("Comment");
    struct hob_err err;
    hob_auto_json json_t *j = hob_json_parse(
        HOB_STR("{\"post\":{\"$notInQuery\":{\"className\":\"Secret\",\"where\":{}}}}"), "where", &err);
    s.q.where = j;
    s.q.admit = admit;
    s.q.admit_ctx = &a;
    assert_int_equal(pool_read(p, work_search, &s), HOB_E_FORBIDDEN);
    assert_int_equal(hob_err_parse_code(&p->err), 119);
    hob_buf_done(&s.plan);
}

/* --- places --- */

static void fill_places(struct pool *p)
{
    add_field(p, "Place", "at", DATA_GEO_POINT, NULL);
    add_field(p, "Place", "area", DATA_POLYGON, NULL);
    put_doc(p, "Place", "berlin",
            "{\"at\":" GEO("52.52",
                           "13.405") ",\"area\":{\"__type\":\"Polygon\",\"coordinates\":[[52,13],[53,13],"
                                     "[53,14],[52,14],[52,13]]}}");
    put_doc(p, "Place", "paris", "{\"at\":" GEO("48.8566", "2.3522") "}");
    put_doc(p, "Place", "lima", "{\"at\":" GEO("-12.05", "-77.04") "}");
    put_doc(p, "Place", "nowhere", "{}");
}

static void places_near_come_first_and_within_a_distance(void **state)
{
    struct pool *p = *state;
    fill_places(p);
    assert_finds(p, "Place", "{\"at\":{\"$nearSphere\":" GEO("48", "2") "}}", NULL, "paris,berlin,lima");
    assert_finds(p, "Place", "{\"at\":{\"$nearSphere\":" GEO("48", "2") "}}", "-at,objectId", "*");
    assert_finds(p, "Place",
                 "{\"at\":{\"$nearSphere\":" GEO("48", "2") ",\"$maxDistanceInKilometers\":1200}}", NULL,
                 "paris,berlin");
    assert_finds(p, "Place", "{\"at\":{\"$nearSphere\":" GEO("48", "2") ",\"$maxDistanceInMiles\":100}}",
                 NULL, "paris");
    assert_finds(p, "Place", "{\"at\":{\"$nearSphere\":" GEO("48", "2") ",\"$maxDistance\":0.01}}", NULL, "");
    assert_finds(p, "Place", "{\"at\":{\"$geoWithin\":{\"$centerSphere\":[[13,52],0.02]}}}", NULL, "berlin");
    assert_finds(p, "Place", "{\"at\":{\"$within\":{\"$box\":[" GEO("40", "0") "," GEO("50", "10") "]}}}",
                 NULL, "paris");
    assert_finds(p, "Place",
                 "{\"at\":{\"$geoWithin\":{\"$polygon\":[" GEO("50", "10") "," GEO("55", "10") "," GEO(
                     "55", "15") "," GEO("50", "15") "]}}}",
                 NULL, "berlin");
    assert_finds(p, "Place", "{\"area\":{\"$geoIntersects\":{\"$point\":" GEO("52.5", "13.5") "}}}", NULL,
                 "berlin");
    assert_finds(p, "Place", "{\"area\":{\"$geoIntersects\":{\"$point\":" GEO("51", "13.5") "}}}", NULL, "");
    assert_finds(p, "Place", "{\"at\":" GEO("48.8566", "2.3522") "}", NULL, "paris");
    assert_refuses(p, "Place", "{\"at\":{\"$nearSphere\":7}}", 107, "bad $nearSphere");
    assert_refuses(p, "Place", "{\"at\":{\"$nearSphere\":" GEO("91", "2") "}}", 107, "bad $nearSphere");
    assert_refuses(p, "Place", "{\"at\":{\"$geoWithin\":{\"$polygon\":[" GEO("50", "10") "]}}}", 107,
                   "at least 3");
    assert_refuses(p, "Place", "{\"at\":{\"$within\":{\"$box\":[1]}}}", 102, "$within");
    assert_refuses(p, "Place", "{\"area\":{\"$geoIntersects\":{}}}", 107, "$geoIntersect");
    assert_job(p, pool_write(p, work_index,
                             &(struct index_add){"Place", "by_place", "{\"at\":\"2dsphere\"}", false}));
    assert_contains(
        assert_finds(p, "Place",
                     "{\"at\":{\"$nearSphere\":" GEO("48", "2") ",\"$maxDistanceInKilometers\":1200}}", NULL,
                     "paris,berlin"),
        "INDEX x1_1");
}

/* --- full text --- */

static void full_text_finds_words_and_ranks_them(void **state)
{
    struct pool *p = *state;
    add_field(p, "Page", "text", DATA_STRING, NULL);
    put_doc(p, "Page", "one", "{\"text\":\"coffee and cake\"}");
    put_doc(p, "Page", "two", "{\"text\":\"Coffee coffee coffee\"}");
    put_doc(p, "Page", "three", "{\"text\":\"caf\\u00e9 au lait\"}");
    put_doc(p, "Page", "four", "{}");
    /* the first use makes the index */
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"coffee\"}}}}", "$score",
                 "two,one");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"CAFE\"}}}}", NULL, "three");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"lait cake\"}}}}", NULL,
                 "one,three");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"\\\"coffee and\\\"\"}}}}", NULL,
                 "one");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"coffee -cake\"}}}}", NULL, "two");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"*\\\" OR (a NEAR b) ^x:y'\"}}}}",
                 NULL, "");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"\"}}}}", NULL, "");
    assert_finds(
        p, "Page",
        "{\"$or\":[{\"objectId\":\"four\"},{\"text\":{\"$text\":{\"$search\":{\"$term\":\"lait\"}}}}]}", NULL,
        "three,four");
    put_doc(p, "Page", "five", "{\"text\":\"late coffee\"}");
    assert_finds(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"late\"}}}}", NULL, "five");
    static const char *const by_case =
        "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"Coffee\",\"$caseSensitive\":true}}}}";
    static const char *const by_mark =
        "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"CAFE\",\"$diacriticSensitive\":true}}}}";
    static const char *const marked =
        "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"CAF\\u00c9\",\"$diacriticSensitive\":true}}}}";
    assert_finds(p, "Page", by_case, NULL, "two");
    assert_finds(p, "Page", by_mark, NULL, "");
    assert_finds(p, "Page", marked, NULL, "three");
    struct search s = search_for("Page");
    struct hob_err err;
    hob_auto_json json_t *j =
        hob_json_parse(HOB_STR("{\"text\":{\"$text\":{\"$search\":{\"$term\":\"late\"}}}}"), "w", &err);
    s.q.where = j;
    assert_job(p, pool_read(p, work_search, &s));
    assert_true(s.last_score > 0);
    hob_buf_done(&s.plan);
    assert_refuses(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":1}}}}", 107, "bad $text: $term");
    assert_refuses(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"a\",\"$language\":1}}}}", 107,
                   "$language");
    assert_refuses(p, "Page", "{\"text\":{\"$text\":{\"$search\":{\"$term\":\"a\",\"$caseSensitive\":1}}}}",
                   107, "$caseSensitive");
}

/* --- limits: at the limit it works, one beyond is refused --- */

static char *nested(size_t levels)
{
    struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    for (size_t i = 1; i < levels; i++)
        assert_ok(hob_buf_addf(&b, "{\"$and\":["));
    assert_ok(hob_buf_addf(&b, "{\"n\":1}"));
    for (size_t i = 1; i < levels; i++)
        assert_ok(hob_buf_addf(&b, "]}"));
    return hob_buf_take(&b);
}

static char *list(const char *before, const char *element, size_t n, const char *after)
{
    struct hob_buf b;
    hob_buf_init(&b, 1 << 22);
    assert_ok(hob_buf_addf(&b, "%s", before));
    for (size_t i = 0; i < n; i++)
        assert_ok(hob_buf_addf(&b, "%s%s", i ? "," : "", element));
    assert_ok(hob_buf_addf(&b, "%s", after));
    return hob_buf_take(&b);
}

static void depth_breadth_and_length_of_a_query_are_bounded(void **state)
{
    struct pool *p = *state;
    add_field(p, "Thing", "n", DATA_NUMBER, NULL);
    put_doc(p, "Thing", "one", "{\"n\":1}");
    hob_auto_free char *deep = nested(15); /* json.depth counts brackets, too */
    assert_finds(p, "Thing", deep, NULL, "one");
    struct hob_err err;
    assert_int_equal(HOB_MAX_DATA_WHERE_DEPTH, 16);
    hob_auto_json json_t *j = json_object(), *inner = json_pack("{s:i}", "n", 1);
    for (int i = 0; i < HOB_MAX_DATA_WHERE_DEPTH; i++)
        inner = json_pack("{s:[o]}", "$and", inner);
    bool is = false;
    assert_int_equal(data_matches(inner, j, &is, &err), HOB_E_INVALID);
    assert_contains(err.msg, "deeper");
    assert_ok(data_matches(json_array_get(json_object_get(inner, "$and"), 0), j, &is, &err));
    hob_auto_free char *many = list("{\"n\":{\"$in\":[", "1", HOB_MAX_DATA_WHERE_VALUES, "]}}");
    hob_auto_free char *more = list("{\"n\":{\"$in\":[", "1", HOB_MAX_DATA_WHERE_VALUES + 1, "]}}");
    assert_finds(p, "Thing", many, NULL, "one");
    assert_refuses(p, "Thing", more, 102, "values");
    /* each element of $or is an object (a condition) with one condition inside; the $or and the whole are two more */
    hob_auto_free char *wide = list("{\"$or\":[", "{\"n\":1}", (HOB_MAX_DATA_WHERE_CONDITIONS - 2) / 2, "]}");
    hob_auto_free char *wider = list("{\"$or\":[", "{\"n\":1}", HOB_MAX_DATA_WHERE_CONDITIONS / 2, "]}");
    assert_finds(p, "Thing", wide, NULL, "one");
    assert_refuses(p, "Thing", wider, 102, "conditions");
    const char *sub = "{\"p\":{\"$inQuery\":{\"className\":\"Thing\"}}}";
    hob_auto_free char *subs = list("{\"$and\":[", sub, HOB_MAX_DATA_SUBQUERIES, "]}");
    hob_auto_free char *one_more = list("{\"$and\":[", sub, HOB_MAX_DATA_SUBQUERIES + 1, "]}");
    assert_finds(p, "Thing", subs, NULL, "");
    assert_refuses(p, "Thing", one_more, 102, "sub-queries");
    hob_auto_free char *pattern = hob_calloc(HOB_MAX_DATA_REGEX_BYTES + 2, 1), *regex = NULL;
    memset(pattern, 'a', HOB_MAX_DATA_REGEX_BYTES);
    regex = hob_asprintf("{\"n\":{\"$regex\":\"%s\"}}", pattern);
    assert_finds(p, "Thing", regex, NULL, "");
    free(regex);
    regex = hob_asprintf("{\"n\":{\"$regex\":\"%sa\"}}", pattern);
    assert_refuses(p, "Thing", regex, 102, "longer");
}

/* --- budgets, hints and advice --- */

static enum hob_code work_many(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    int n = *(int *)ctx;
    if (pool_make_class(tx, "Many", err) != HOB_OK ||
        data_field_add(tx, "Many", &(struct data_field){.name = "n", .type = DATA_NUMBER}, err) != HOB_OK ||
        data_field_add(tx, "Many", &(struct data_field){.name = "s", .type = DATA_STRING}, err) != HOB_OK)
        return err->code;
    for (int i = 0; i < n; i++) {
        char id[16], doc[100];
        (void)snprintf(id, sizeof id, "m%d", i);
        int len = snprintf(doc, sizeof doc, "{\"n\":%d,\"s\":\"text %d\"}", i, i * 7919 % n);
        struct data_row row = {
            .id = hob_str(id), .created_ms = i, .updated_ms = i, .doc = hob_str_n(doc, (size_t)len)};
        if (data_insert(tx, "Many", &row, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* Texts on which "(a+)+b"-like patterns need nearly all the steps that one value may have. */
static enum hob_code work_slow_texts(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    if (pool_make_class(tx, "Slow", err) != HOB_OK ||
        data_field_add(tx, "Slow", &(struct data_field){.name = "s", .type = DATA_STRING}, err) != HOB_OK)
        return err->code;
    for (int i = 0; i < 64; i++) {
        char id[16], doc[64];
        (void)snprintf(id, sizeof id, "s%d", i);
        (void)snprintf(doc, sizeof doc, "{\"s\":\"aaaaaaaaaaaaaaa%d\"}", i);
        struct data_row row = {.id = hob_str(id), .created_ms = 1, .updated_ms = 1, .doc = hob_str(doc)};
        if (data_insert(tx, "Slow", &row, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static void a_query_of_few_but_long_steps_ends_with_its_time(void **state)
{
    struct pool *p = *state;
    assert_job(p, pool_write(p, work_slow_texts, NULL));
    struct hob_err err;
    struct search s = search_for("Slow");
    hob_auto_json json_t *j = hob_json_parse(
        HOB_STR(
            "{\"$or\":[{\"s\":{\"$regex\":\"^(a+)+[!]?[!_]\"}},{\"s\":{\"$regex\":\"^(a+)+[?]?[?_]\"}},{\"s\":{\"$regex\":\"^(a+)+[#]?[#_]\"}}]}"),
        "where", &err);
    assert_non_null(j);
    s.q.where = j;
    assert_job(p, pool_read(p, work_search, &s)); /* it is no more than that */
    s.q.time_ms = 1;
    assert_int_equal(pool_read(p, work_search, &s), HOB_E_TIMEOUT);
    assert_string_equal(hob_err_reason(&p->err), "query_timeout");
    s.q.where = NULL;
    hob_buf_done(&s.plan);
}

static void a_query_beyond_its_time_is_cancelled_and_the_next_one_works(void **state)
{
    struct pool *p = *state;
    int n = 3000;
    assert_job(p, pool_write(p, work_many, &n));
    struct hob_err err;
    struct search s = search_for("Many");
    /* for each row a scan of all: millions of steps */
    hob_auto_json json_t *j = hob_json_parse(
        HOB_STR(
            "{\"s\":{\"$regex\":\"x{1,40}y{1,40}z\"},\"n\":{\"$dontSelect\":{\"query\":{\"className\":\"Many\",\"where\":{\"s\":"
            "{\"$regex\":\"(t|e|x)+ 1\"}}},\"key\":\"n\"}}}"),
        "where", &err);
    assert_non_null(j);
    s.q.where = j;
    s.q.time_ms = 1;
    enum hob_code rc = pool_read(p, work_search, &s);
    /* a fast machine may do it in a millisecond */
    if (rc != HOB_OK) {
        assert_int_equal(rc, HOB_E_TIMEOUT);
        assert_int_equal(hob_err_parse_code(&p->err), 124);
        assert_string_equal(hob_err_reason(&p->err), "query_timeout");
    }
    s.q.where = NULL;
    s.q.time_ms = 0;
    s.q.limit = 1;
    assert_job(p, pool_read(p, work_search, &s));
    assert_string_equal(s.ids, "m0");
    hob_buf_done(&s.plan);
}

static void a_hint_names_an_index_or_is_refused(void **state)
{
    struct pool *p = *state;
    int n = 10;
    assert_job(p, pool_write(p, work_many, &n));
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Many", "by_n", "{\"n\":1}", false}));
    struct search s = search_for("Many");
    s.q.hint = "by_n";
    s.q.order = "-n";
    s.q.limit = 2;
    assert_job(p, pool_read(p, work_search, &s));
    assert_string_equal(s.ids, "m9,m8");
    s.q.hint = "x1_1\" --";
    assert_int_equal(pool_read(p, work_search, &s), HOB_E_INVALID);
    assert_int_equal(hob_err_parse_code(&p->err), 102);
    hob_buf_done(&s.plan);
}

/* --- advice --- */

struct slow {
    const char *where, *order, *keys; /* the index that is expected; NULL: none would help */
};

static enum hob_code work_slow(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct slow *s = ctx;
    struct where w;
    hob_auto_json json_t *j = hob_json_parse(hob_str(s->where), "where", err);
    struct data_query q = {.class_name = "Slow", .where = j, .order = s->order};
    enum hob_code rc = where_init(&w, j, err);
    if (rc == HOB_OK)
        slow_note(tx, data_class_find(tx, "Slow"), &q, &w, 150);
    where_done(&w);
    return rc;
}

struct advised {
    char keys[256];
    uint64_t queries, worst_ms;
    int n;
};

static enum hob_code on_advice(void *ctx, const struct data_advice *a, struct hob_err *err)
{
    struct advised *all = ctx;
    (void)err;
    all->n++;
    all->queries = a->queries;
    all->worst_ms = a->worst_ms;
    (void)snprintf(all->keys, sizeof all->keys, "%s", a->keys_json);
    return HOB_OK;
}

static enum hob_code work_advise(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    *(struct advised *)ctx = (struct advised){.n = 0};
    return data_advise(tx, on_advice, ctx, err);
}

static enum hob_code work_forget(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return conn_execf(tx, err, "DELETE FROM slow_queries");
}

static void slow_queries_are_remembered_and_an_index_is_proposed(void **state)
{
    struct pool *p = *state;
    static const struct slow cases[] = {
        {"{\"n\":1}", NULL, "{\"n\":1}"},
        {"{\"n\":{\"$gt\":1},\"s\":\"x\"}", NULL, "{\"s\":1,\"n\":1}"},
        {"{\"s\":\"x\"}", "-n", "{\"s\":1,\"n\":-1}"},
        {"{}", "-n,s", "{\"n\":-1,\"s\":1}"},
        {"{\"g\":{\"$nearSphere\":" GEO("1", "2") "}}", NULL, "{\"g\":\"2dsphere\"}"},
        {"{\"s\":{\"$regex\":\"^\\\\Qab\\\\E\"}}", NULL, "{\"s\":1}"},
        {"{\"s\":{\"$regex\":\"ab\"}}", NULL, NULL},
        {"{\"a\":1}", NULL, NULL},
        {"{\"n\":{\"$ne\":1}}", NULL, NULL},
    };
    struct advised a;
    add_field(p, "Slow", "n", DATA_NUMBER, NULL);
    add_field(p, "Slow", "s", DATA_STRING, NULL);
    add_field(p, "Slow", "a", DATA_ARRAY, NULL);
    add_field(p, "Slow", "g", DATA_GEO_POINT, NULL);
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        assert_job(p, pool_read(p, work_slow, (void *)(uintptr_t)&cases[i]));
        do /* it is written down behind the answer */
            assert_job(p, pool_read(p, work_advise, &a));
        while (cases[i].keys && a.n == 0);
        assert_int_equal(a.n, cases[i].keys ? 1 : 0);
        if (cases[i].keys) {
            assert_string_equal(a.keys, cases[i].keys);
            assert_int_equal(a.queries, 1);
            assert_int_equal(a.worst_ms, 150);
        }
        assert_job(p, pool_write(p, work_forget, NULL));
    }
    assert_job(p, pool_read(p, work_slow, (void *)(uintptr_t)&cases[0]));
    do
        assert_job(p, pool_read(p, work_advise, &a));
    while (a.n == 0);
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Slow", "by_n", a.keys, false}));
    assert_job(p, pool_read(p, work_advise, &a));
    assert_int_equal(a.n, 0); /* heeded */
}

/* --- what indexes there are --- */

struct listed {
    char text[600];
};

static enum hob_code on_index(void *ctx, const struct data_index_found *i, struct hob_err *err)
{
    struct listed *l = ctx;
    size_t n = strlen(l->text);
    (void)err;
    (void)snprintf(l->text + n, sizeof l->text - n, "%s.%s %s%s%s;", i->class_name, i->name, i->keys_json,
                   i->is_unique ? " unique" : "", i->bytes > 0 ? " sized" : "");
    return HOB_OK;
}

static enum hob_code work_list(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    *(struct listed *)ctx = (struct listed){.text = ""};
    return data_index_each(tx, on_index, ctx, err);
}

static enum hob_code work_drop(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    return data_index_drop(tx, "Many", ctx, err);
}

static void indexes_are_listed_with_their_size_and_go_one_by_one(void **state)
{
    struct pool *p = *state;
    struct listed l;
    int n = 50;
    assert_job(p, pool_write(p, work_many, &n));
    add_field(p, "Many", "s", DATA_STRING, NULL);
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Many", "by_n", "{\"n\":1}", true}));
    assert_job(p, pool_write(p, work_index, &(struct index_add){"Many", "words", "{\"s\":\"text\"}", false}));
    assert_job(p, pool_read(p, work_list, &l));
    assert_string_equal(l.text, "Many.by_n {\"n\":1} unique sized;Many.words {\"s\":\"text\"} sized;");
    assert_job(p, pool_write(p, work_drop, (void *)(uintptr_t) "words"));
    assert_job(p, pool_write(p, work_drop, (void *)(uintptr_t) "by_n"));
    assert_job(p, pool_read(p, work_list, &l));
    assert_string_equal(l.text, "");
    assert_int_equal(pool_write(p, work_drop, (void *)(uintptr_t) "by_n"), HOB_E_NOT_FOUND);
}

static void an_index_without_a_name_is_named_by_its_keys(void **state)
{
    char name[DATA_INDEX_NAME_BYTES], other[DATA_INDEX_NAME_BYTES];
    (void)state;
    assert_true(data_index_name("{\"total\":1,\"at.x\":-1}", name));
    assert_string_equal(name, "auto_total_1_at.x_-1");
    assert_true(data_index_name("{\"g\":\"2dsphere\"}", name));
    assert_string_equal(name, "auto_g_2dsphere");
    assert_false(data_index_name("{}", name));
    assert_false(data_index_name("[1]", name));
    assert_false(data_index_name("{", name));
    hob_auto_free char *path = hob_calloc(1, 301);
    memset(path, 'a', 300);
    hob_auto_free char *one = hob_asprintf("{\"%s\":1}", path), *two = hob_asprintf("{\"%s\":-1}", path);
    assert_true(data_index_name(one, name) && data_index_name(two, other));
    assert_string_not_equal(name, other);
    assert_true(strlen(name) < DATA_INDEX_NAME_BYTES);
}

/* --- one document judged as SQL judges it: random documents and queries --- */

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned n)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(d->state >> 33) % n;
}

static json_t *random_value(struct dice *d, unsigned depth)
{
    switch (roll(d, depth ? 13 : 10)) {
    case 0:
        return json_integer((json_int_t)roll(d, 5) - 2);
    case 1:
        return json_real(roll(d, 5) * 0.5);
    case 2:
        return json_sprintf("%s", (const char *[]){"", "a", "ab", "abc",
                                                   "\xc3\xa4"
                                                   "b",
                                                   "B", "1"}[roll(d, 7)]);
    case 3:
        return json_boolean(roll(d, 2));
    case 4:
        return json_null();
    case 5:
        return json_pack("{s:s,s:s}", "__type", "Date", "iso",
                         (const char *[]){"2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z",
                                          "1969-12-31T23:59:59.999Z"}[roll(d, 3)]);
    case 6:
        return json_pack("{s:s,s:s,s:s}", "__type", roll(d, 2) ? "Pointer" : "Object", "className", "C",
                         "objectId", roll(d, 2) ? "x" : "y");
    case 7:
        return json_pack("{s:s,s:f,s:f}", "__type", "GeoPoint", "latitude", roll(d, 3) * 10.0, "longitude",
                         roll(d, 3) * 10.0);
    case 8:
        return json_pack("{s:s,s:s}", "__type", "Bytes", "base64", roll(d, 2) ? "YQ==" : "Yg==");
    case 9:
        return json_pack("{s:s,s:s,s:s}", "__type", "File", "name", roll(d, 2) ? "f" : "g", "url",
                         roll(d, 2) ? "u" : "v");
    case 10: {
        json_t *o = json_object();
        for (unsigned i = roll(d, 3); i > 0; i--)
            (void)json_object_set_new(o, (const char *[]){"x", "y", "z"}[roll(d, 3)],
                                      random_value(d, depth - 1));
        return o;
    }
    default: {
        json_t *a = json_array();
        for (unsigned i = roll(d, 4); i > 0; i--)
            (void)json_array_append_new(a, random_value(d, depth - 1));
        return a;
    }
    }
}

/* By the types that the class declares: s, n and d hold nothing else. */
static json_t *value_of_field(struct dice *d, char field)
{
    if (field == 'n')
        return roll(d, 2) ? json_integer((json_int_t)roll(d, 6) - 3) : json_real(roll(d, 6) * 0.5);
    if (field == 's')
        return json_string((const char *[]){"", "a", "ab", "abc", "AB",
                                            "\xc3\x84"
                                            "b",
                                            "a.b"}[roll(d, 7)]);
    if (field == 'd')
        return json_pack("{s:s,s:s}", "__type", "Date", "iso",
                         roll(d, 2) ? "2020-01-01T00:00:00.000Z" : "2021-01-01T00:00:00.000Z");
    if (field == 'p')
        return json_pack("{s:s,s:s,s:s}", "__type", "Pointer", "className", "C", "objectId",
                         roll(d, 2) ? "x" : "y");
    if (field == 'g')
        return json_pack("{s:s,s:f,s:f}", "__type", "GeoPoint", "latitude", roll(d, 5) * 10.0, "longitude",
                         roll(d, 5) * 10.0);
    if (field == 'a') {
        json_t *a = json_array();
        for (unsigned i = roll(d, 4); i > 0; i--)
            (void)json_array_append_new(a, random_value(d, 1));
        return a;
    }
    json_t *o = json_object();
    for (unsigned i = roll(d, 3); i > 0; i--)
        (void)json_object_set_new(o, (const char *[]){"x", "y"}[roll(d, 2)], random_value(d, 2));
    return o;
}

static const char fields[] = "nsdpgao";

static json_t *random_doc(struct dice *d)
{
    json_t *doc = json_object();
    for (size_t i = 0; i < sizeof fields - 1; i++) {
        char name[2] = {fields[i], '\0'};
        if (roll(d, 4) != 0)
            (void)json_object_set_new(doc, name, roll(d, 12) ? value_of_field(d, fields[i]) : json_null());
    }
    return doc;
}

static json_t *random_values(struct dice *d, char field)
{
    json_t *a = json_array();
    for (unsigned i = roll(d, 4); i > 0; i--)
        (void)json_array_append_new(a, roll(d, 2) ? random_value(d, 1) : value_of_field(d, field));
    return a;
}

static json_t *random_operator(struct dice *d, char field)
{
    static const char *const bounds[] = {"$lt", "$lte", "$gt", "$gte", "$eq", "$ne"};
    static const char *const lists[] = {"$in", "$nin", "$all", "$containedBy"};
    static const char *const patterns[] = {"^\\Qa\\E", "\\Qb\\E",    "b$",          "^a|c",
                                           "^ab*",     "^\\QAB\\E$", "^\\Qabc\\E$", ""};
    switch (roll(d, 6)) {
    case 0:
    case 1:
        return json_pack("{s:o}", bounds[roll(d, 6)],
                         roll(d, 3) ? value_of_field(d, field) : random_value(d, 1));
    case 2:
        return json_pack("{s:o}", lists[roll(d, 4)], random_values(d, field));
    case 3:
        return json_pack("{s:b}", "$exists", roll(d, 2));
    case 4:
        return json_pack("{s:s,s:s}", "$regex", patterns[roll(d, HOB_COUNT(patterns))], "$options",
                         roll(d, 3) ? "" : "i");
    default:
        return json_pack("{s:{s:s,s:f,s:f},s:f}", "$nearSphere", "__type", "GeoPoint", "latitude",
                         roll(d, 5) * 10.0, "longitude", roll(d, 5) * 10.0, "$maxDistance",
                         roll(d, 10) * 0.1);
    }
}

static json_t *random_where(struct dice *d, unsigned depth)
{
    json_t *where = json_object();
    for (unsigned i = 1 + roll(d, 2); i > 0; i--) {
        char field = fields[roll(d, sizeof fields - 1)], path[8] = {field, '\0'};
        if (field == 'o' && roll(d, 2))
            (void)snprintf(path, sizeof path, "o.%c", "xy"[roll(d, 2)]);
        if (field == 'a' && roll(d, 4) == 0)
            (void)snprintf(path, sizeof path, "a.%u", roll(d, 3));
        if (depth && roll(d, 3) == 0)
            (void)json_object_set_new(
                where, (const char *[]){"$or", "$and", "$nor"}[roll(d, 3)],
                json_pack("[o,o]", random_where(d, depth - 1), random_where(d, depth - 1)));
        else if (roll(d, 3) == 0)
            (void)json_object_set_new(where, path,
                                      roll(d, 3) ? value_of_field(d, field) : random_value(d, 1));
        else
            (void)json_object_set_new(where, path, random_operator(d, field));
    }
    return where;
}

enum { DOCS = 60 };
struct random_round {
    struct dice dice;
    json_t *docs[DOCS];
};

static enum hob_code work_random_docs(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct random_round *r = ctx;
    for (int i = 0; i < DOCS; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        hob_auto_free char *doc = json_dumps(r->docs[i], JSON_COMPACT);
        struct data_row row = {.id = hob_str(id), .created_ms = i, .updated_ms = i, .doc = hob_str(doc)};
        if (data_insert(tx, "R", &row, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static void compare_one(struct pool *p, const struct random_round *r, json_t *where)
{
    struct search s = search_for("R");
    char expected[4096] = "";
    s.q.where = where;
    s.q.order = "createdAt";
    for (int i = 0; i < DOCS; i++) {
        struct hob_err err = {0};
        bool is = false;
        assert_ok(data_matches(where, r->docs[i], &is, &err));
        size_t n = strlen(expected);
        if (is)
            (void)snprintf(expected + n, sizeof expected - n, "%sr%d", n ? "," : "", i);
    }
    enum hob_code rc = pool_read(p, work_search, &s);
    hob_auto_free char *text = json_dumps(where, JSON_COMPACT);
    if (rc != HOB_OK || strcmp(expected, s.ids) != 0)
        print_error("%s: %s\nSQL       %s\ndocuments %s\n", text, rc ? p->err.msg : "differ", s.ids,
                    expected);
    assert_int_equal(rc, HOB_OK);
    assert_string_equal(s.ids, expected);
    assert_int_equal(s.count, s.rows);
    hob_buf_done(&s.plan);
}

static void documents_match_exactly_when_sql_finds_them(void **state)
{
    struct pool *p = *state;
    struct random_round r = {.dice = {20261120}};
    static const enum data_type types[] = {DATA_NUMBER,    DATA_STRING, DATA_DATE,  DATA_POINTER,
                                           DATA_GEO_POINT, DATA_ARRAY,  DATA_OBJECT};
    for (size_t i = 0; i < sizeof fields - 1; i++)
        add_field(p, "R", (char[]){fields[i], '\0'}, types[i], types[i] == DATA_POINTER ? "C" : NULL);
    for (int i = 0; i < DOCS; i++)
        r.docs[i] = random_doc(&r.dice);
    assert_job(p, pool_write(p, work_random_docs, &r));
    for (int i = 0; i < 3000; i++) {
        if (i == 1500) { /* the second half with indexes: the same answers by other ways */
            assert_job(p, pool_write(p, work_index, &(struct index_add){"R", "n", "{\"n\":1}", false}));
            assert_job(p,
                       pool_write(p, work_index, &(struct index_add){"R", "s", "{\"s\":-1,\"n\":1}", false}));
            assert_job(p, pool_write(p, work_index, &(struct index_add){"R", "ci", "{\"s\":\"ci\"}", false}));
            assert_job(p, pool_write(p, work_index, &(struct index_add){"R", "d", "{\"d\":1}", false}));
            assert_job(p, pool_write(p, work_index, &(struct index_add){"R", "p", "{\"p\":1}", false}));
            assert_job(
                p, pool_write(p, work_index, &(struct index_add){"R", "g", "{\"g\":\"2dsphere\"}", false}));
        }
        json_t *where = random_where(&r.dice, 2);
        compare_one(p, &r, where);
        json_decref(where);
    }
    for (int i = 0; i < DOCS; i++)
        json_decref(r.docs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, pool_make, pool_drop)
        T(pointers_compare_by_class_and_id),
        T(sub_queries_find_pointers_and_values),
        T(relations_are_searched_from_both_ends),
        T(a_row_is_seen_by_its_readers_only),
        T(a_sub_query_sees_what_its_caller_may_see),
        T(places_near_come_first_and_within_a_distance),
        T(full_text_finds_words_and_ranks_them),
        T(depth_breadth_and_length_of_a_query_are_bounded),
        T(a_query_of_few_but_long_steps_ends_with_its_time),
        T(a_query_beyond_its_time_is_cancelled_and_the_next_one_works),
        T(a_hint_names_an_index_or_is_refused),
        T(slow_queries_are_remembered_and_an_index_is_proposed),
        T(indexes_are_listed_with_their_size_and_go_one_by_one),
        T(an_index_without_a_name_is_named_by_its_keys),
        T(documents_match_exactly_when_sql_finds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
