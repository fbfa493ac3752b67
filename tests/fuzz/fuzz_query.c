/* A `where` from a stranger: it is judged, compiled to SQL and run over a few objects. Oracle: what SQL finds is exactly
 * what data_matches says of each document, and both refuse the same queries. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/fs.h"
#include "base/mem.h"
#include "store/data.h"

static const char *const docs[] = {
    "{\"n\":1,\"s\":\"abc\",\"b\":true,\"a\":[1,\"x\",null,{\"k\":[2]}],\"o\":{\"x\":1,\"y\":{\"z\":\"deep\"}}}",
    "{\"n\":-2.5,\"s\":\"\\u00e4\\\"\\\\/\\n\",\"d\":{\"__type\":\"Date\",\"iso\":\"2020-01-01T00:00:00.000Z\"},\"a\":[]}",
    "{\"s\":\"\",\"p\":{\"__type\":\"Pointer\",\"className\":\"C\",\"objectId\":\"x\"},"
    "\"g\":{\"__type\":\"GeoPoint\",\"latitude\":10,\"longitude\":-20.5},\"a\":[[1,2],{}]}",
    "{\"n\":null,\"b\":false,\"o\":{},\"a\":[{\"__type\":\"Pointer\",\"className\":\"C\",\"objectId\":\"x\"}],"
    "\"y\":{\"__type\":\"Polygon\",\"coordinates\":[[0,0],[0,10],[10,10],[10,0],[0,0]]}}",
    "{}",
};
static const struct {
    const char *name;
    enum data_type type;
    const char *target;
} fields[] = {
    {"n", DATA_NUMBER, NULL}, {"s", DATA_STRING, NULL},    {"b", DATA_BOOLEAN, NULL},
    {"d", DATA_DATE, NULL},   {"o", DATA_OBJECT, NULL},    {"a", DATA_ARRAY, NULL},
    {"p", DATA_POINTER, "C"}, {"g", DATA_GEO_POINT, NULL}, {"y", DATA_POLYGON, NULL},
};

static uv_loop_t loop;
static struct appdbs *pool;
static char dir[64];
static json_t *parsed[HOB_COUNT(docs)];

struct waited {
    data_work_cb work;
    void *ctx;
    bool is_done;
    struct hob_err err;
};

static enum hob_code run_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct waited *w = ctx;
    return w->work(w->ctx, tx, err);
}

static void on_done(void *ctx, const struct hob_err *err)
{
    struct waited *w = ctx;
    w->is_done = true;
    if (err)
        w->err = *err;
}

static struct hob_err run_job(bool is_write, data_work_cb work, void *ctx)
{
    struct waited w = {.work = work, .ctx = ctx};
    if (is_write)
        appdb_write(pool, "fuzz", run_work, on_done, &w);
    else
        appdb_read(pool, "fuzz", run_work, on_done, &w);
    while (!w.is_done)
        (void)uv_run(&loop, UV_RUN_ONCE);
    return w.err;
}

static enum hob_code work_fill(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    if (data_class_add(tx, "F", err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < HOB_COUNT(fields); i++) {
        struct data_field f = {.name = fields[i].name, .type = fields[i].type, .target = fields[i].target};
        if (data_field_add(tx, "F", &f, err) != HOB_OK)
            return err->code;
    }
    if (data_index_add(tx, "F", &(struct data_index){"n", "{\"n\":1}"}, false, err) != HOB_OK ||
        data_index_add(tx, "F", &(struct data_index){"s", "{\"s\":1}"}, false, err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < HOB_COUNT(docs); i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "f%zu", i);
        struct data_row row = {.id = hob_str(id),
                               .created_ms = 1577836800000,
                               .updated_ms = 1577836800000,
                               .doc = hob_str(docs[i])};
        if (data_insert(tx, "F", &row, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static void at_end(void)
{
    struct hob_err err;
    appdbs_close(pool, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)hob_remove_tree(dir, &err);
    for (size_t i = 0; i < HOB_COUNT(docs); i++)
        json_decref(parsed[i]);
}

static void open_once(void)
{
    struct hob_err err;
    (void)snprintf(dir, sizeof dir, "/tmp/hob-fuzz-XXXXXX");
    if (!mkdtemp(dir) || uv_loop_init(&loop) != 0)
        abort();
    pool = appdbs_open(&(struct appdbs_options){.loop = &loop, .dir = dir}, &err);
    if (!pool || run_job(true, work_fill, NULL).code != HOB_OK)
        abort();
    for (size_t i = 0; i < HOB_COUNT(docs); i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "f%zu", i);
        parsed[i] = hob_json_parse(hob_str(docs[i]), "doc", &err);
        if (!parsed[i])
            abort();
        (void)json_object_set_new(parsed[i], "objectId", json_string(id));
        (void)json_object_set_new(parsed[i], "createdAt", json_string("2020-01-01T00:00:00.000Z"));
        (void)json_object_set_new(parsed[i], "updatedAt", json_string("2020-01-01T00:00:00.000Z"));
    }
    (void)atexit(at_end);
}

/* What only the database can know, what moves with the clock, and what stops at a bound is not compared. */
static bool is_comparable(const char *text, const struct hob_err *a, const struct hob_err *b)
{
    static const char *const words[] = {"$text",       "$inQuery",   "$notInQuery",  "$select",
                                        "$dontSelect", "$relatedTo", "$relativeTime"};
    for (size_t i = 0; i < HOB_COUNT(words); i++)
        if (strstr(text, words[i]))
            return false;
    return !strstr(a->msg, "steps") && !strstr(b->msg, "steps") && a->code != HOB_E_TIMEOUT;
}

struct search {
    struct data_query q;
    char ids[64];
};

static enum hob_code on_found(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct search *s = ctx;
    size_t n = strlen(s->ids);
    (void)err;
    (void)snprintf(s->ids + n, sizeof s->ids - n, "%s%.*s", n ? "," : "", HOB_STR_ARG(row->id));
    return HOB_OK;
}

static enum hob_code work_search(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct search *s = ctx;
    uint64_t n;
    s->ids[0] = '\0';
    if (data_find(tx, &s->q, on_found, s, err) != HOB_OK)
        return err->code;
    return data_count(tx, &s->q, &n, err);
}

static void judge(json_t *where)
{
    struct search s = {.q = {.class_name = "F", .limit = -1}};
    char expected[64] = "";
    struct hob_err err = {0};
    enum hob_code rc = HOB_OK;
    s.q.where = where;
    s.q.order = "objectId";
    for (size_t i = 0; i < HOB_COUNT(docs) && rc == HOB_OK; i++) {
        bool is = false;
        size_t n = strlen(expected);
        rc = data_matches(where, parsed[i], &is, &err);
        if (is)
            (void)snprintf(expected + n, sizeof expected - n, "%sf%zu", n ? "," : "", i);
    }
    struct hob_err told = run_job(false, work_search, &s);
    enum hob_code found = told.code;
    char *text = json_dumps(where, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text && is_comparable(text, &told, &err) &&
        (rc != found || (rc == HOB_OK && strcmp(expected, s.ids) != 0))) {
        (void)fprintf(stderr, "%s\nSQL %d %s\ndocuments %d %s\n", text, found, found ? told.msg : s.ids, rc,
                      rc ? err.msg : expected);
        abort();
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hob_err err;
    if (!pool)
        open_once();
    hob_auto_json json_t *where = hob_json_parse(hob_str_n(data, n), "where", &err);
    if (where)
        judge(where);
    return 0;
}
