/* Queries: a judged `where` becomes one statement, which runs under a budget of time and of rows looked at. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store/data/data_priv.h"

/* --- the budget --- */

enum { STEPS_BETWEEN_LOOKS = 2000 }; /* of SQLite's machine: well below a millisecond */

static int on_progress(void *ctx)
{
    struct budget *b = ctx;
    b->is_late = hob_now_us() > b->until_us;
    b->is_wide =
        b->stmt && (uint64_t)sqlite3_stmt_status(b->stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0) > b->rows_max;
    return b->is_late || b->is_wide;
}

/* Of the query that this thread runs; NULL: none. */
static _Thread_local struct budget *running;

bool budget_is_late(void)
{
    enum { MATCHES_BETWEEN_LOOKS = 8 };
    struct budget *b = running;
    if (b && !b->is_late && ++b->matches % MATCHES_BETWEEN_LOOKS == 0)
        b->is_late = hob_now_us() > b->until_us;
    return b && b->is_late;
}

void budget_start(struct data_tx *tx, uint32_t time_ms, sqlite3_stmt *stmt)
{
    struct budget *b = &tx->conn->budget;
    uint32_t ms = time_ms ? time_ms : HOB_MAX_DATA_QUERY_MS;
    *b = (struct budget){.until_us = hob_now_us() + ms * UINT64_C(1000), .stmt = stmt};
    b->rows_max = HOB_MAX_DATA_QUERY_ROWS;
    (void)sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1); /* kept statements count on */
    running = b;
    sqlite3_progress_handler(tx->conn->db.h, STEPS_BETWEEN_LOOKS, on_progress, b);
}

void budget_end(struct data_tx *tx)
{
    running = NULL;
    sqlite3_progress_handler(tx->conn->db.h, 0, NULL, NULL);
    tx->conn->budget.stmt = NULL;
}

enum hob_code budget_fail(struct data_tx *tx, enum hob_code rc, struct hob_err *err)
{
    const struct budget *b = &tx->conn->budget;
    if (rc == HOB_OK || !(b->is_late || b->is_wide))
        return rc;
    if (b->is_late)
        rc = hob_fail_parse(err, HOB_E_TIMEOUT, 124,
                            "The query took too long and was cancelled; an index may help");
    else
        rc = hob_fail_parse(err, HOB_E_TIMEOUT, 124,
                            "The query looked at more than %d objects without an index and was cancelled",
                            HOB_MAX_DATA_QUERY_ROWS);
    err->reason = b->is_late ? "query_timeout" : "query_too_wide";
    tx->conn->budget.is_late = tx->conn->budget.is_wide = false;
    return rc;
}

/* --- full text: "a b" finds what has one of them, "\"a b\"" the phrase, "-c" excludes --- */

struct words {
    struct hob_buf any, must, not ;
    size_t any_n, must_n, not_n;
};

static void add_word(struct hob_buf *out, size_t *n, const char *between, struct hob_str word)
{
    if ((*n)++)
        (void)!hob_buf_add_str(out, hob_str(between));
    (void)!hob_buf_add(out, "\"", 1);
    for (size_t i = 0; i < word.n; i++)
        if (word.at[i] != '"' && word.at[i] != '\0')
            (void)!hob_buf_add(out, word.at + i, 1);
    (void)!hob_buf_add(out, "\"", 1);
}

static void split_words(struct words *w, struct hob_str term)
{
    for (size_t i = 0; i < term.n;) {
        if (isspace((unsigned char)term.at[i])) {
            i++;
            continue;
        }
        bool is_not = term.at[i] == '-' && i + 1 < term.n;
        i += is_not;
        bool is_phrase = term.at[i] == '"';
        size_t from = i + is_phrase;
        for (i = from; i < term.n && (is_phrase ? term.at[i] != '"' : !isspace((unsigned char)term.at[i]));)
            i++;
        struct hob_str word = hob_str_n(term.at + from, i - from);
        i += is_phrase && i < term.n;
        if (word.n == 0)
            continue;
        if (is_not)
            add_word(&w->not, &w->not_n, " OR ", word);
        else if (is_phrase)
            add_word(&w->must, &w->must_n, " AND ", word);
        else
            add_word(&w->any, &w->any_n, " OR ", word);
    }
}

static void make_match(struct sql *s, const struct cond *c)
{
    struct words w = {.any_n = 0};
    struct hob_buf out;
    struct hob_buf *const all[] = {&w.any, &w.must, &w.not, &out};
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        hob_buf_init(all[i], 256 * 1024);
    split_words(&w, c->text);
    if (w.any_n)
        (void)!hob_buf_addf(&out, "(%.*s)", HOB_STR_ARG(hob_buf_str(&w.any)));
    if (w.must_n)
        (void)!hob_buf_addf(&out, "%s(%.*s)", w.any_n ? " AND " : "", HOB_STR_ARG(hob_buf_str(&w.must)));
    if (out.n && w.not_n)
        (void)!hob_buf_addf(&out, " NOT (%.*s)", HOB_STR_ARG(hob_buf_str(&w.not )));
    const char *copy = hob_arena_strndup(&s->where->mem, hob_buf_str(&out).at, out.n);
    s->match = hob_str_n(copy, copy ? out.n : 0);
    for (size_t i = 0; i < HOB_COUNT(all); i++)
        hob_buf_done(all[i]);
}

/* The $text is joined, so that it has a score, when all rows must match it; deeper down it only filters. */
static enum hob_code prepare_text(struct sql *s, const struct data_class **c_at, struct hob_err *err)
{
    const struct data_class *c = *c_at;
    const struct cond *text = s->where->text;
    struct conn *conn = s->tx->conn;
    if (!text)
        return HOB_OK;
    if (text->path.n > 120)
        return hob_fail_parse(err, HOB_E_INVALID, 105, "Invalid key name: %.100s", text->path.at);
    if (!text_index(c, text->path) && s->tx->s.is_write) {
        if (data_text_index_add(s->tx, s->query->class_name, text->path.at, err) != HOB_OK)
            return err->code;
        *c_at = c = data_class_find(s->tx, s->query->class_name);
    }
    if (!text_index(c, text->path)) {
        (void)snprintf(conn->wants_text_class, sizeof conn->wants_text_class, "%s", c->name);
        (void)snprintf(conn->wants_text_field, sizeof conn->wants_text_field, "%.*s",
                       HOB_STR_ARG(text->path));
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "needs_text_index",
                               "%s.%.*s has no full-text index yet: it is being made, try again", c->name,
                               HOB_STR_ARG(text->path));
    }
    make_match(s, text);
    for (const struct cond *child = s->where->root->first; child; child = child->next)
        if (child == text && s->match.n)
            s->joined_text = text;
    return HOB_OK;
}

/* --- order --- */

static bool is_known(const struct data_class *c, struct hob_str path)
{
    char name[520];
    struct hob_str rest, first = hob_str_cut(path, '.', &rest);
    if (!path_is_valid(path))
        return false;
    if (hob_str_is(path, "objectId") || hob_str_is(path, "createdAt") || hob_str_is(path, "updatedAt"))
        return true;
    (void)snprintf(name, sizeof name, "%.*s", HOB_STR_ARG(first));
    const struct data_field *f = data_field_find(c, name);
    return f && f->type != DATA_RELATION;
}

/* Returns the direction of the last key, which the tie-break follows. */
static const char *order_by_keys(struct sql *s, const struct data_class *c, const char *order, size_t *n)
{
    const char *direction = "";
    for (struct hob_str rest = hob_str(order); rest.at;) {
        struct hob_str key = hob_str_trim(hob_str_cut(rest, ',', &rest));
        bool is_down = key.n && key.at[0] == '-';
        if (is_down || (key.n && key.at[0] == '+'))
            key = hob_str_n(key.at + 1, key.n - 1);
        bool is_score = hob_str_is(key, "$score") && s->joined_text;
        if (*n >= INDEX_KEYS_MAX || !(is_score || is_known(c, key)))
            continue; /* what is not known orders nothing, as in parse-server */
        direction = is_down && !is_score ? " DESC" : "";
        sql_addf(s, (*n)++ ? ", " : " ORDER BY ");
        if (is_score)
            sql_addf(s, "ft%lld.rank", (long long)text_index(c, s->joined_text->path)->id);
        else
            sql_value(s, "t", key);
        sql_addf(s, "%s", direction);
    }
    return direction;
}

void sql_order(struct sql *s, const struct data_class *c, const char *order)
{
    size_t n = 0;
    const char *direction = order ? order_by_keys(s, c, order, &n) : "";
    if (n == 0 && s->where->near) {
        sql_addf(s, " ORDER BY hob_distance(t.doc, '%.*s', ", HOB_STR_ARG(s->where->near->path));
        sql_real(s, s->where->near->at.lat);
        sql_addf(s, ", ");
        sql_real(s, s->where->near->at.lon);
        sql_addf(s, ")");
        n++;
    }
    sql_addf(s, "%s t.seq%s", n ? "," : " ORDER BY", direction);
}

/* --- the statement --- */

static enum hob_code add_hint(struct sql *s, const struct data_class *c, const char *hint,
                              struct hob_err *err)
{
    if (!hint || !*hint)
        return HOB_OK;
    for (size_t i = 0; i < c->indexes_n; i++) {
        const struct index_info *info = &class_entry(c)->infos[i];
        if (strcmp(c->indexes[i].name, hint) == 0 && !info->is_text) {
            sql_addf(s, " INDEXED BY x%lld_%lld", (long long)c->id, (long long)info->id);
            return HOB_OK;
        }
    }
    return hob_fail_parse(err, HOB_E_INVALID, 102, "hint '%.100s': class %s has no such index", hint,
                          c->name);
}

static enum hob_code add_from(struct sql *s, const struct data_class *c, const struct data_query *q,
                              struct hob_err *err)
{
    sql_addf(s, " FROM c%lld t", (long long)c->id);
    if (add_hint(s, c, q->hint, err) != HOB_OK)
        return err->code;
    if (s->joined_text) {
        long long id = (long long)text_index(c, s->joined_text->path)->id;
        sql_addf(s, " JOIN ft%lld ON ft%lld.rowid = t.seq", id, id);
    }
    if (s->elements.n)
        sql_addf(s, ", json_each(t.doc, '$.%.*s') e", HOB_STR_ARG(s->elements));
    sql_where(s, c, "t", s->where->root, q->access);
    return s->has_failed ? err->code : HOB_OK;
}

struct asked {
    struct where where;
    struct sql sql;
    struct run run;
    const struct data_class *c; /* NULL: nothing to find */
    uint64_t from_us;
    struct budget budget;
};

static void asked_done(struct asked *a)
{
    run_end(&a->run);
    sql_done(&a->sql);
    where_done(&a->where);
}

/* Judges the query, also that of an unknown class. Always followed by asked_done. */
static enum hob_code asked_init(struct asked *a, struct data_tx *tx, const struct data_query *q,
                                struct hob_err *err)
{
    struct catalogue *all;
    memset(&a->run, 0, sizeof a->run);
    a->c = NULL;
    a->from_us = hob_now_us();
    enum hob_code rc = where_init(&a->where, q->where, err);
    sql_init(&a->sql, tx, q, &a->where, err);
    if (rc != HOB_OK || catalogue_get(tx, &all, err) != HOB_OK)
        return err->code;
    a->c = data_class_find(tx, q->class_name);
    return a->c ? prepare_text(&a->sql, &a->c, err) : HOB_OK;
}

static enum hob_code build_find(struct asked *a, const struct data_query *q, const char *before,
                                struct hob_err *err)
{
    struct sql *s = &a->sql;
    sql_addf(s, "%sSELECT " ROW_COLUMNS, before);
    if (s->joined_text)
        sql_addf(s, ", -ft%lld.rank", (long long)text_index(a->c, s->joined_text->path)->id);
    if (add_from(s, a->c, q, err) != HOB_OK)
        return err->code;
    sql_order(s, a->c, q->order);
    sql_addf(s, " LIMIT ");
    sql_int(s, q->limit < 0 ? -1 : q->limit);
    sql_addf(s, " OFFSET ");
    sql_int(s, q->skip > 0 ? q->skip : 0);
    return sql_start(s, &a->run, err);
}

static void note_if_slow(struct asked *a, struct data_tx *tx, const struct data_query *q)
{
    uint64_t took_ms = (hob_now_us() - a->from_us) / 1000;
    if (took_ms >= (q->slow_ms ? q->slow_ms : HOB_MAX_DATA_SLOW_MS))
        slow_note(tx, a->c, q, &a->where, took_ms);
}

/* The time of the callbacks counts, too: the whole answer has its time. */
static void budget_resume(struct data_tx *tx, const struct asked *a)
{
    struct budget *b = &tx->conn->budget;
    *b = a->budget;
    running = b;
    sqlite3_progress_handler(tx->conn->db.h, STEPS_BETWEEN_LOOKS, on_progress, b);
}

static enum hob_code find_rows(struct asked *a, struct data_tx *tx, data_row_cb cb, void *ctx,
                               struct hob_err *err)
{
    struct data_row row;
    bool has_row = false;
    enum hob_code rc;
    while ((rc = run_step(&a->run, &has_row, err)) == HOB_OK && has_row) {
        row_of_run(&a->run, &row);
        tx->score = a->sql.joined_text ? sqlite3_column_double(a->run.stmt, 7) : 0;
        budget_end(tx); /* a callback may ask again, under a budget of its own */
        rc = cb(ctx, &row, err);
        if (rc != HOB_OK)
            return rc;
        budget_resume(tx, a);
    }
    return budget_fail(tx, rc, err);
}

enum hob_code data_find(struct data_tx *tx, const struct data_query *q, data_row_cb cb, void *ctx,
                        struct hob_err *err)
{
    struct asked a;
    enum hob_code rc = asked_init(&a, tx, q, err);
    if (rc == HOB_OK && a.c && q->limit != 0) {
        rc = build_find(&a, q, "", err);
        if (rc == HOB_OK) {
            budget_start(tx, q->time_ms, a.run.stmt);
            a.budget = tx->conn->budget;
            rc = find_rows(&a, tx, cb, ctx, err);
            budget_end(tx);
            note_if_slow(&a, tx, q);
        }
    }
    asked_done(&a);
    return rc;
}

double data_score(const struct data_tx *tx)
{
    return tx->score;
}

enum hob_code data_count(struct data_tx *tx, const struct data_query *q, uint64_t *ret_n, struct hob_err *err)
{
    struct asked a;
    bool has_row = false;
    uint64_t n = 0;
    enum hob_code rc = asked_init(&a, tx, q, err);
    if (rc == HOB_OK && a.c) {
        sql_addf(&a.sql, "SELECT count(*)");
        rc = add_from(&a.sql, a.c, q, err);
        if (rc == HOB_OK)
            rc = sql_start(&a.sql, &a.run, err);
        if (rc == HOB_OK) {
            budget_start(tx, q->time_ms, a.run.stmt);
            rc = budget_fail(tx, run_step(&a.run, &has_row, err), err);
            budget_end(tx);
            n = rc == HOB_OK && has_row ? (uint64_t)run_col_int(&a.run, 0) : 0;
            note_if_slow(&a, tx, q);
        }
    }
    asked_done(&a);
    if (rc == HOB_OK)
        *ret_n = n;
    return rc;
}

enum hob_code data_explain(struct data_tx *tx, const struct data_query *q, struct hob_buf *out,
                           struct hob_err *err)
{
    struct asked a;
    struct hob_jw w;
    bool has_row = false;
    hob_jw_init(&w, out);
    hob_jw_array(&w);
    enum hob_code rc = asked_init(&a, tx, q, err);
    if (rc == HOB_OK && a.c)
        rc = build_find(&a, q, "EXPLAIN QUERY PLAN ", err);
    while (rc == HOB_OK && a.c && (rc = run_step(&a.run, &has_row, err)) == HOB_OK && has_row)
        hob_jw_str(&w, run_col_text(&a.run, 3));
    asked_done(&a);
    hob_jw_array_end(&w);
    return rc == HOB_OK ? hob_jw_end(&w, err) : rc;
}

/* The value itself, or the elements when it is an array. */
static enum hob_code build_distinct(struct asked *a, const struct data_query *q, struct hob_str path,
                                    struct hob_err *err)
{
    struct sql *s = &a->sql;
    bool is_time = hob_str_is(path, "createdAt") || hob_str_is(path, "updatedAt");
    bool is_element = !is_time && !hob_str_is(path, "objectId");
    sql_addf(s, "SELECT DISTINCT hob_json(v) FROM (SELECT ");
    if (is_time)
        sql_addf(s, "hob_date(");
    sql_value(s, "t", path);
    sql_addf(s, is_time ? ") AS v" : " AS v");
    if (add_from(s, a->c, q, err) != HOB_OK)
        return err->code;
    if (is_element) {
        sql_addf(s, " AND coalesce(json_type(t.doc, '$.%.*s'), '') <> 'array' UNION ALL SELECT",
                 HOB_STR_ARG(path));
        sql_addf(s, " hob_val(t.doc, '%.*s.' || e.key)", HOB_STR_ARG(path));
        s->elements = path;
        if (add_from(s, a->c, q, err) != HOB_OK)
            return err->code;
        sql_addf(s, " AND json_type(t.doc, '$.%.*s') = 'array'", HOB_STR_ARG(path));
    }
    sql_addf(s, ") WHERE v IS NOT NULL");
    return HOB_OK;
}

enum hob_code data_distinct(struct data_tx *tx, const struct data_query *q, const char *field,
                            struct hob_buf *out, struct hob_err *err)
{
    struct asked a;
    struct hob_jw w;
    bool has_row = false;
    struct hob_str path = hob_str(field);
    if (!path_is_valid(path))
        return hob_fail_parse(err, HOB_E_INVALID, 105, "Invalid key name: %.100s", field);
    hob_jw_init(&w, out);
    hob_jw_array(&w);
    enum hob_code rc = asked_init(&a, tx, q, err);
    if (rc == HOB_OK && a.c) {
        rc = build_distinct(&a, q, path, err);
        if (rc == HOB_OK)
            rc = sql_start(&a.sql, &a.run, err);
    }
    if (rc == HOB_OK && a.c) {
        budget_start(tx, q->time_ms, a.run.stmt);
        while ((rc = run_step(&a.run, &has_row, err)) == HOB_OK && has_row)
            hob_jw_raw(&w, run_col_text(&a.run, 0));
        rc = budget_fail(tx, rc, err);
        budget_end(tx);
    }
    asked_done(&a);
    hob_jw_array_end(&w);
    return rc == HOB_OK ? hob_jw_end(&w, err) : rc;
}
