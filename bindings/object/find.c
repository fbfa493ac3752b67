/* Finding and getting:
 *
 *   [beforeFind] -> one job: permission, query, rows as answers -> [afterFind] -> answer
 *
 * The triggers are asked only when the class has them. */
#include <string.h>

#include "base/log.h"
#include "bindings/object/object_priv.h"
#include "bindings/trigger.h"

#include "base/banned.h"

struct serving {
    const char *class_name;
    struct hob_str id; /* of a get; at == NULL: a find */
    json_t *params;    /* owned */
    unsigned flags;
};

static struct serving *serving_of(const struct backend_call *c)
{
    return c->state;
}

/* --- a find ------------------------------------------------------------------------------------------------------- */

struct rows {
    struct find *f;
    struct hob_buf *out;
    bool is_first;
    struct data_row *list; /* with includes: shown when the query has ended */
    size_t n, max;
};

static enum hob_code show_row(struct rows *r, const struct data_row *row, struct hob_err *err)
{
    if (!r->is_first && hob_buf_add(r->out, ",", 1) != HOB_OK)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer objects");
    r->is_first = false;
    return view_row(&r->f->view, r->f->cv, row, r->out, err);
}

static enum hob_code on_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    return show_row(ctx, row, err);
}

static enum hob_code keep_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct rows *r = ctx;
    if (r->n == r->max) {
        size_t max = r->max ? r->max * 2 : 32;
        struct data_row *list = hob_arena_alloc(&r->f->view.c->arena, max * sizeof *list);
        if (!list)
            return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer objects");
        if (r->n)
            memcpy(list, r->list, r->n * sizeof *list);
        r->list = list;
        r->max = max;
    }
    if (!row_copy(&r->f->view.c->arena, row, &r->list[r->n++]))
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer objects");
    return HOB_OK;
}

static enum hob_code run_rows(struct find *f, struct data_tx *tx, struct hob_buf *out, struct hob_err *err)
{
    struct rows r = {.f = f, .out = out, .is_first = true};
    struct data_query q = find_query(f);
    if (!f->limit || f->permit.is_nothing || !f->cv->class)
        return HOB_OK;
    if (!view_has_includes(&f->view))
        return data_find(tx, &q, on_row, &r, err);
    enum hob_code rc = data_find(tx, &q, keep_row, &r, err);
    for (size_t i = 0; i < r.n && rc == HOB_OK; i++)
        rc = show_row(&r, &r.list[i], err);
    return rc;
}

static enum hob_code run_count(struct find *f, struct data_tx *tx, struct hob_buf *out, struct hob_err *err)
{
    struct data_query q = find_query(f);
    uint64_t n = 0;
    enum hob_code rc = HOB_OK;
    q.limit = -1;
    q.skip = 0;
    q.order = NULL;
    if (!f->permit.is_nothing && f->cv->class)
        rc = data_count(tx, &q, &n, err);
    if (rc == HOB_OK && hob_buf_addf(out, ",\"count\":%llu", (unsigned long long)n) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    return rc;
}

static enum hob_code run_explain(struct find *f, struct data_tx *tx, struct hob_buf *out, struct hob_err *err)
{
    struct data_query q = find_query(f);
    if (!f->cv->class)
        return HOB_OK;
    out->n--; /* the plan is an array itself */
    return data_explain(tx, &q, out, err);
}

static enum hob_code run_find(struct find *f, struct data_tx *tx, struct hob_buf *out, struct hob_err *err)
{
    enum hob_code rc = hob_buf_addf(out, "{\"results\":[");
    if (rc != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    if (f->is_explained && f->cv->class)
        rc = run_explain(f, tx, out, err);
    else
        rc = run_rows(f, tx, out, err);
    if (rc == HOB_OK && !(f->is_explained && f->cv->class) && hob_buf_add(out, "]", 1) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    if (rc == HOB_OK && f->has_count)
        rc = run_count(f, tx, out, err);
    if (rc == HOB_OK && strcmp(f->class_name, serving_of(f->view.c)->class_name) != 0 &&
        hob_buf_addf(out, ",\"className\":\"%s\"", f->class_name) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    if (rc == HOB_OK && hob_buf_add(out, "}", 1) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    return rc;
}

static enum hob_code find_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct serving *s = serving_of(c);
    struct find f;
    enum hob_code rc = find_start(c, tx, s->class_name, s->params, s->flags, &f, err);
    if (rc == HOB_OK)
        rc = run_find(&f, tx, &c->out, err);
    find_done(&f);
    return rc;
}

/* --- a get -------------------------------------------------------------------------------------------------------- */

struct got {
    struct view *view;
    struct class_view *cv;
    struct hob_buf *out;
    struct data_row row;
    bool is_kept;
};

static enum hob_code on_got(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct got *g = ctx;
    if (!view_has_includes(g->view))
        return view_row(g->view, g->cv, row, g->out, err);
    g->is_kept = true;
    if (!row_copy(&g->view->c->arena, row, &g->row))
        return hob_fail(err, HOB_E_TOO_LARGE, "the object is too large");
    return HOB_OK;
}

static enum hob_code judge_get_params(const json_t *params, struct hob_err *err)
{
    static const char *const known[] = {"keys",
                                        "include",
                                        "excludeKeys",
                                        "includeAll",
                                        "readPreference",
                                        "includeReadPreference",
                                        "subqueryReadPreference"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < HOB_COUNT(known); i++)
            is_known |= strcmp(name, known[i]) == 0;
        if (!is_known)
            return parse_fail(err, PARSE_INVALID_QUERY, "Improper encode of parameter");
    }
    return HOB_OK;
}

static enum hob_code get_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct serving *s = serving_of(c);
    struct view view;
    struct got g = {.view = &view, .out = &c->out};
    struct permit permit;
    bool is_found = false;
    view_start(&view, c, tx, s->flags);
    enum hob_code rc = judge_get_params(s->params, err);
    if (rc == HOB_OK)
        rc = class_judge(c, s->class_name, "get", s->flags, err);
    if (rc == HOB_OK && json_object_size(s->params))
        rc = view_params(&view, s->params, err);
    if (rc == HOB_OK)
        rc = view_class(&view, hob_str(s->class_name), &g.cv, err);
    if (rc == HOB_OK)
        rc = permit_class(c, g.cv->class, s->class_name, OP_GET, s->flags, &permit, err);
    if (rc != HOB_OK)
        return rc;
    if (g.cv->class && !permit.is_nothing)
        rc = data_get(tx, s->class_name, s->id, &permit.access, on_got, &g, &is_found, err);
    if (rc == HOB_OK && !is_found)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "Object not found.");
    return rc == HOB_OK && g.is_kept ? view_row(&view, g.cv, &g.row, &c->out, err) : rc;
}

/* A client that gets its own user is told the session it came with. Last of all: triggers never see a token. */
static void tell(struct backend_call *c)
{
    const struct serving *s = serving_of(c);
    const struct identity *who = &c->who;
    bool is_own = s->id.n && who->role == BACKEND_CLIENT && hob_str_eq(s->id, who->user_id) &&
                  strcmp(s->class_name, "_User") == 0;
    if (is_own && who->session_token.n && c->out.n >= 2 && hob_buf_data(&c->out)[0] == '{') {
        struct hob_jw w;
        c->out.n--;
        hob_jw_init(&w, &c->out);
        w.needs_comma = c->out.n > 1;
        hob_jw_kstr(&w, "sessionToken", who->session_token);
        if (hob_jw_end(&w, &c->err) != HOB_OK || hob_buf_add(&c->out, "}", 1) != HOB_OK) {
            (void)parse_fail(&c->err, PARSE_OBJECT_TOO_LARGE, "the answer is too large: ask for fewer keys");
            ask_fail(c);
            return;
        }
    }
    ask_finish(c);
}

/* --- triggers ----------------------------------------------------------------------------------------------------- */

static bool has_trigger(const struct backend_call *c, enum trigger_kind kind)
{
    const struct serving *s = serving_of(c);
    return trigger_exists(c->backend, c->request.app, hob_str(s->class_name), kind);
}

static void fail_with(struct backend_call *c, const struct hob_err *err)
{
    c->err = *err;
    ask_fail(c);
}

static void mark(json_t *objects, const char *class_name)
{
    for (size_t i = 0; i < json_array_size(objects); i++)
        (void)json_object_set_new(json_array_get(objects, i), "className", json_string(class_name));
}

static void unmark(json_t *objects)
{
    for (size_t i = 0; i < json_array_size(objects); i++) {
        (void)json_object_del(json_array_get(objects, i), "className");
        (void)json_object_del(json_array_get(objects, i), "__type");
    }
}

static void on_after_find(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    struct serving *s = serving_of(c);
    if (err) {
        fail_with(c, err);
        return;
    }
    if (json_is_array(answer)) {
        struct hob_jw w;
        json_t *objects hob_auto_json = json_deep_copy(answer);
        json_t *whole hob_auto_json = json_loadb(hob_buf_data(&c->out), c->out.n, 0, NULL);
        unmark(objects);
        hob_buf_clear(&c->out);
        hob_jw_init(&w, &c->out);
        if (s->id.at) {
            const json_t *one = json_array_get(objects, 0);
            if (!one) {
                (void)parse_fail(&c->err, PARSE_OBJECT_NOT_FOUND, "Object not found.");
                ask_fail(c);
                return;
            }
            hob_jw_json(&w, one);
        } else {
            (void)json_object_set(whole, "results", objects);
            hob_jw_json(&w, whole);
        }
        if (hob_jw_end(&w, &c->err) != HOB_OK) {
            ask_fail(c);
            return;
        }
    }
    tell(c);
}

static void after_find(struct backend_call *c)
{
    struct serving *s = serving_of(c);
    if (!has_trigger(c, TRIGGER_AFTER_FIND)) {
        tell(c);
        return;
    }
    json_t *whole hob_auto_json = json_loadb(hob_buf_data(&c->out), c->out.n, 0, NULL);
    json_t *objects hob_auto_json =
        s->id.at ? json_pack("[O]", whole) : json_incref(json_object_get(whole, "results"));
    mark(objects, s->class_name);
    struct trigger_event e = {.kind = TRIGGER_AFTER_FIND,
                              .class_name = hob_str(s->class_name),
                              .objects = objects,
                              .query = s->params,
                              .is_get = s->id.at != NULL};
    trigger_run(c, &e, on_after_find);
}

static void run(struct backend_call *c)
{
    bool is_get = serving_of(c)->id.at != NULL;
    bool has_after = has_trigger(c, TRIGGER_AFTER_FIND);
    ask_read(c, is_get ? get_work : find_work, has_after ? after_find : tell);
}

/* The trigger's query stands for the client's: where, limit, skip, order, keys, include, ... */
static void take_query(struct serving *s, json_t *answer)
{
    static const char *const known[] = {"where",   "limit",      "skip",  "order", "keys",   "excludeKeys",
                                        "include", "includeAll", "count", "hint",  "comment"};
    json_t *params = json_copy(s->params);
    for (size_t i = 0; i < HOB_COUNT(known); i++) {
        json_t *value = json_object_get(answer, known[i]);
        bool fits = !s->id.at || strcmp(known[i], "keys") == 0 || strncmp(known[i], "include", 7) == 0 ||
                    strcmp(known[i], "excludeKeys") == 0;
        if (value && fits)
            (void)json_object_set(params, known[i], value);
    }
    json_decref(s->params);
    s->params = params;
}

static void on_before_find(struct backend_call *c, const struct hob_err *err, json_t *answer)
{
    if (err) {
        fail_with(c, err);
        return;
    }
    if (json_is_object(answer)) {
        json_t *query = json_object_get(answer, "query");
        take_query(serving_of(c), json_is_object(query) ? query : answer);
    }
    run(c);
}

static void before_find(struct backend_call *c)
{
    struct serving *s = serving_of(c);
    json_t *query hob_auto_json = json_copy(s->params);
    json_t *where = json_object_get(query, "where");
    if (json_is_string(where))
        (void)json_object_set_new(query, "where", json_loads(json_string_value(where), 0, NULL));
    if (s->id.at)
        (void)json_object_set_new(query, "where", json_pack("{s:s%}", "objectId", s->id.at, s->id.n));
    else if (!where)
        (void)json_object_set_new(query, "where", json_object());
    (void)json_object_set_new(query, "className", json_string(s->class_name));
    struct trigger_event e = {.kind = TRIGGER_BEFORE_FIND,
                              .class_name = hob_str(s->class_name),
                              .query = query,
                              .is_count = json_object_get(s->params, "count") != NULL,
                              .is_get = s->id.at != NULL};
    trigger_run(c, &e, on_before_find);
}

/* --- door --------------------------------------------------------------------------------------------------------- */

static void drop_params(void *p)
{
    struct serving *s = p;
    json_decref(s->params);
}

static void serve(struct backend_call *c, struct hob_str class_name, struct hob_str id)
{
    struct serving *s = hob_arena_alloc(&c->arena, sizeof *s);
    if (s) {
        s->class_name = ask_text_of(c, class_name);
        s->id = id;
        s->params = c->request.params ? json_incref(c->request.params) : json_object();
        ask_defer(c, drop_params, s);
    }
    if (!s || !s->class_name) {
        (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "the request is too large");
        ask_fail(c);
        return;
    }
    c->state = s;
    if (has_trigger(c, TRIGGER_BEFORE_FIND))
        before_find(c);
    else
        run(c);
}

void object_serve_find(struct backend_call *c, struct hob_str class_name)
{
    serve(c, class_name, hob_str_n(NULL, 0));
}

void object_serve_get(struct backend_call *c, struct hob_str class_name, struct hob_str id)
{
    serve(c, class_name, id.at ? id : HOB_STR(""));
}
