/* A pool of app databases for one test, and jobs that are waited for. */
#pragma once

#include <uv.h>

#include "base/clock.h"
#include "base/json.h"
#include "home.h"
#include "store/data.h"
#include "store/kv.h"

#define APP "shop"

struct pool {
    struct home *h;
    struct appdbs *a;
    struct hob_err err; /* of the last job */
};

static inline struct appdbs *pool_open(struct home *h, unsigned open_max)
{
    struct hob_err err = {0};
    char dir[100];
    (void)snprintf(dir, sizeof dir, "%s/data", h->dir);
    struct appdbs *a =
        appdbs_open(&(struct appdbs_options){.loop = &h->loop, .dir = dir, .open_max = open_max}, &err);
    if (!a)
        print_error("%s\n", err.msg);
    assert_non_null(a);
    return a;
}

static inline void pool_on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static inline void pool_close(struct home *h, struct appdbs *a)
{
    bool is_closed = false;
    appdbs_close(a, pool_on_closed, &is_closed);
    while (!is_closed)
        (void)uv_run(&h->loop, UV_RUN_ONCE);
}

static inline int pool_make(void **state)
{
    struct pool *p = hob_new(struct pool);
    if (home_make((void **)&p->h) != 0)
        return -1;
    p->a = pool_open(p->h, 0);
    *state = p;
    return 0;
}

static inline int pool_drop(void **state)
{
    struct pool *p = *state;
    if (p->a)
        pool_close(p->h, p->a);
    int rc = home_drop((void **)&p->h);
    free(p);
    return rc;
}

struct waited {
    bool is_done;
    struct hob_err *err;
};

static inline void pool_on_done(void *ctx, const struct hob_err *err)
{
    struct waited *w = ctx;
    *w->err = err ? *err : (struct hob_err){0};
    w->is_done = true;
}

/* The work gets `ctx` by a wrapper, because done has a context of its own here. */
struct wrapped {
    struct waited waited; /* first */
    data_work_cb work;
    void *ctx;
};

static inline enum hob_code pool_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct wrapped *w = ctx;
    return w->work(w->ctx, tx, err);
}

static inline enum hob_code pool_run_on(struct pool *p, bool is_write, const char *app, data_work_cb work,
                                        void *ctx)
{
    struct wrapped w = {{false, &p->err}, work, ctx};
    if (is_write)
        appdb_write(p->a, app, pool_work, pool_on_done, &w);
    else
        appdb_read(p->a, app, pool_work, pool_on_done, &w);
    while (!w.waited.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    return p->err.code;
}

static inline enum hob_code pool_write(struct pool *p, data_work_cb work, void *ctx)
{
    return pool_run_on(p, true, APP, work, ctx);
}

static inline enum hob_code pool_read(struct pool *p, data_work_cb work, void *ctx)
{
    return pool_run_on(p, false, APP, work, ctx);
}

/* Inside a job, which runs on a thread that cmocka does not know: the job fails and says where. */
#define want(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            return hob_fail(err, HOB_E_INTERNAL, "line %d: %.180s", __LINE__, #cond);                        \
    } while (0)

#define assert_job(p, call)                                                                                  \
    do {                                                                                                     \
        enum hob_code rc_ = (call);                                                                          \
        if (rc_ != HOB_OK)                                                                                   \
            print_error("%s\n", (p)->err.msg);                                                               \
        assert_int_equal(rc_, HOB_OK);                                                                       \
    } while (0)

/* --- short ways to put and find objects --- */

struct put {
    const char *class_name, *id, *doc, *hidden, *readers, *writers;
    int64_t created_ms;
};

static inline enum hob_code pool_make_class(struct data_tx *tx, const char *name, struct hob_err *err)
{
    return data_class_find(tx, name) ? HOB_OK : data_class_add(tx, name, err);
}

static inline struct data_row row_of_put(const struct put *p)
{
    return (struct data_row){
        .id = hob_str(p->id),
        .created_ms = p->created_ms,
        .updated_ms = p->created_ms,
        .doc = hob_str(p->doc),
        .hidden = hob_str(p->hidden ? p->hidden : ""),
        .readers = hob_str(p->readers),
        .writers = hob_str(p->writers),
    };
}

static inline enum hob_code work_put(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct put *p = ctx;
    struct data_row row = row_of_put(p);
    if (pool_make_class(tx, p->class_name, err) != HOB_OK)
        return err->code;
    return data_insert(tx, p->class_name, &row, err);
}

struct field_add {
    const char *class_name;
    struct data_field field;
};

static inline enum hob_code work_field(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct field_add *f = ctx;
    if (pool_make_class(tx, f->class_name, err) != HOB_OK)
        return err->code;
    return data_field_add(tx, f->class_name, &f->field, err);
}

static inline void add_field(struct pool *p, const char *class_name, const char *name, enum data_type type,
                             const char *target)
{
    struct field_add f = {class_name, {.name = name, .type = type, .target = target}};
    assert_job(p, pool_write(p, work_field, &f));
}

static inline void put_doc(struct pool *p, const char *class_name, const char *id, const char *doc)
{
    static int64_t created = 1700000000000;
    struct put put = {.class_name = class_name, .id = id, .doc = doc, .created_ms = created++};
    assert_job(p, pool_write(p, work_put, &put));
}

struct index_add {
    const char *class_name, *name, *keys;
    bool is_unique;
};

static inline enum hob_code work_index(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct index_add *i = ctx;
    return data_index_add(tx, i->class_name, &(struct data_index){i->name, i->keys}, i->is_unique, err);
}

struct search {
    struct data_query q;
    char ids[4096]; /* "a,b,c" */
    uint64_t count, rows;
    double last_score;
    struct hob_buf plan;
};

static inline enum hob_code on_found(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct search *s = ctx;
    size_t n = strlen(s->ids);
    (void)err;
    s->rows++;
    (void)snprintf(s->ids + n, sizeof s->ids - n, "%s%.*s", n ? "," : "", HOB_STR_ARG(row->id));
    return HOB_OK;
}

static inline enum hob_code work_search(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct search *s = ctx;
    s->ids[0] = '\0';
    s->rows = 0;
    if (data_find(tx, &s->q, on_found, s, err) != HOB_OK)
        return err->code;
    s->last_score = data_score(tx);
    hob_buf_clear(&s->plan);
    if (data_explain(tx, &s->q, &s->plan, err) != HOB_OK)
        return err->code;
    return data_count(tx, &s->q, &s->count, err);
}

static inline struct search search_for(const char *class_name)
{
    struct search s = {.q = {.class_name = class_name, .limit = 100}};
    hob_buf_init(&s.plan, 65536);
    return s;
}

/* Finds by a `where` and an order; asserts the ids in their order ("*": any). Returns the plan until the next call. */
static inline const char *assert_finds(struct pool *p, const char *class_name, const char *where,
                                       const char *order, const char *ids)
{
    static char plan[8192];
    struct hob_err err;
    struct search s = search_for(class_name);
    hob_auto_json json_t *j = where ? hob_json_parse(hob_str(where), "where", &err) : NULL;
    if (where && !j)
        print_error("%s\n", err.msg);
    assert_true(!where || j);
    s.q.where = j;
    s.q.order = order;
    if (pool_read(p, work_search, &s) != HOB_OK)
        print_error("%s: %s\n", where, p->err.msg);
    assert_int_equal(p->err.code, HOB_OK);
    if (strcmp(ids, "*") != 0) {
        if (strcmp(s.ids, ids) != 0)
            print_error("where %s\n", where ? where : "(none)");
        assert_string_equal(s.ids, ids);
        assert_int_equal(s.count, s.rows);
    }
    (void)snprintf(plan, sizeof plan, "%.*s", (int)s.plan.n, hob_buf_str(&s.plan).at);
    hob_buf_done(&s.plan);
    return plan;
}

/* The query is refused with this Parse code and words. */
static inline void assert_refuses(struct pool *p, const char *class_name, const char *where, int code,
                                  const char *words)
{
    struct hob_err err;
    struct search s = search_for(class_name);
    hob_auto_json json_t *j = hob_json_parse(hob_str(where), "where", &err);
    assert_non_null(j);
    s.q.where = j;
    assert_int_not_equal(pool_read(p, work_search, &s), HOB_OK);
    if (hob_err_parse_code(&p->err) != code)
        print_error("where %s: %s\n", where, p->err.msg);
    assert_int_equal(hob_err_parse_code(&p->err), code);
    assert_contains(p->err.msg, words);
    hob_buf_done(&s.plan);
}
