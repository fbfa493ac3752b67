/* Slow queries and the index that would have helped them: the fields compared for equality first, then one that is
 * compared for order, or that the result is ordered by. */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "store/data/data_priv.h"

enum { SLOW_KEPT = 500 }; /* kinds of slow queries */

struct wish {
    struct hob_str paths[INDEX_KEYS_MAX];
    bool is_down[INDEX_KEYS_MAX];
    size_t n;
    bool is_place;
};

static void wish_for(struct wish *w, struct hob_str path, bool is_down)
{
    if (w->n >= INDEX_KEYS_MAX)
        return;
    for (size_t i = 0; i < w->n; i++)
        if (hob_str_eq(w->paths[i], path))
            return;
    w->is_down[w->n] = is_down;
    w->paths[w->n++] = path;
}

/* An index serves a field with one value a row. */
static bool is_indexable(const struct data_class *c, struct hob_str path)
{
    char name[520];
    (void)snprintf(name, sizeof name, "%.*s", HOB_STR_ARG(path));
    const struct data_field *f = data_field_find(c, name);
    return hob_str_is(path, "updatedAt") || (f && f->type != DATA_ARRAY && f->type != DATA_RELATION);
}

static bool is_equality(const struct cond *c)
{
    return (c->op == COND_IN && !c->is_not) || (c->op == COND_QUERY && !c->is_not) ||
           (c->op == COND_SELECT && !c->is_not);
}

static bool is_range(const struct cond *c)
{
    bool is_whole;
    if (c->op == COND_REGEX)
        return regex_prefix(c->regexes[0], &is_whole).n > 0 && !regex_is_caseless(c->regexes[0]);
    return c->op == COND_LESS || c->op == COND_LESS_EQ || c->op == COND_MORE || c->op == COND_MORE_EQ;
}

static void wish_by_where(struct wish *w, const struct data_class *c, const struct cond *root)
{
    for (const struct cond *child = root ? root->first : NULL; child; child = child->next)
        if (is_equality(child) && is_indexable(c, child->path))
            wish_for(w, child->path, false);
    for (const struct cond *child = root ? root->first : NULL; child; child = child->next) {
        if (is_range(child) && is_indexable(c, child->path)) {
            wish_for(w, child->path, false);
            return; /* behind a range nothing more is served */
        }
    }
}

static void wish_by_order(struct wish *w, const struct data_class *c, const char *order)
{
    for (struct hob_str rest = hob_str(order); rest.at && rest.n;) {
        struct hob_str key = hob_str_trim(hob_str_cut(rest, ',', &rest));
        bool is_down = key.n && key.at[0] == '-';
        if (is_down)
            key = hob_str_n(key.at + 1, key.n - 1);
        if (!is_indexable(c, key))
            return;
        wish_for(w, key, is_down);
    }
}

/* {"place":"2dsphere"} or {"a":1,"b":-1}; false when no index would help. */
static bool write_wish(const struct wish *w, char *out, size_t n)
{
    struct hob_buf text;
    struct hob_jw jw;
    struct hob_err ignored;
    hob_buf_init(&text, n - 1);
    hob_jw_init(&jw, &text);
    hob_jw_object(&jw);
    for (size_t i = 0; i < w->n; i++) {
        char name[520];
        (void)snprintf(name, sizeof name, "%.*s", HOB_STR_ARG(w->paths[i]));
        hob_jw_key(&jw, name);
        if (w->is_place)
            hob_jw_cstr(&jw, "2dsphere");
        else
            hob_jw_int(&jw, w->is_down[i] ? -1 : 1);
    }
    hob_jw_object_end(&jw);
    bool is_fit = w->n > 0 && hob_jw_end(&jw, &ignored) == HOB_OK;
    if (is_fit)
        (void)snprintf(out, n, "%.*s", HOB_STR_ARG(hob_buf_str(&text)));
    hob_buf_done(&text);
    return is_fit;
}

/* An index serves what begins as it does. */
static bool begins_with(const json_t *index, const json_t *wish)
{
    void *at = json_object_iter((json_t *)(uintptr_t)index);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wish, name, value)
    {
        if (!at || strcmp(json_object_iter_key(at), name) != 0 ||
            !json_equal(json_object_iter_value(at), value))
            return false;
        at = json_object_iter_next((json_t *)(uintptr_t)index, at);
    }
    return true;
}

static bool has_index(const struct data_class *c, const char *keys_json)
{
    struct hob_err ignored;
    hob_auto_json json_t *keys = hob_json_parse(hob_str(keys_json), "keys", &ignored);
    for (size_t i = 0; i < c->indexes_n; i++) {
        hob_auto_json json_t *is = hob_json_parse(hob_str(c->indexes[i].keys_json), "keys", &ignored);
        if (is && keys && begins_with(is, keys))
            return true;
    }
    return false;
}

static void merge(struct conn *conn, const char *class_name, const char *keys, uint64_t took_ms)
{
    struct slow_query *s = NULL;
    for (size_t i = 0; i < conn->slow_n && !s; i++)
        if (strcmp(conn->slow[i].class_name, class_name) == 0 && strcmp(conn->slow[i].keys, keys) == 0)
            s = &conn->slow[i];
    if (!s && conn->slow_n == SLOW_MAX)
        return; /* told soon; the next round has room */
    if (!s) {
        s = &conn->slow[conn->slow_n++];
        *s = (struct slow_query){.queries = 0};
        (void)snprintf(s->class_name, sizeof s->class_name, "%s", class_name);
        (void)snprintf(s->keys, sizeof s->keys, "%s", keys);
    }
    s->queries++;
    s->total_ms += took_ms;
    s->worst_ms = took_ms > s->worst_ms ? took_ms : s->worst_ms;
}

void slow_note(struct data_tx *tx, const struct data_class *c, const struct data_query *q,
               const struct where *w, uint64_t took_ms)
{
    struct wish wish = {.n = 0};
    char keys[sizeof tx->conn->slow[0].keys];
    if (w->near) {
        wish.is_place = true;
        wish_for(&wish, w->near->path, false);
    } else {
        wish_by_where(&wish, c, w->root);
        if (q->order)
            wish_by_order(&wish, c, q->order);
    }
    if (write_wish(&wish, keys, sizeof keys) && !has_index(c, keys))
        merge(tx->conn, c->name, keys, took_ms);
}

/* Kinds of queries are a client's to choose: those that cost least go. */
static enum hob_code bound(struct data_tx *tx, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    if (run_start(&r, tx, HOB_STR("SELECT count(*) FROM slow_queries"), err) != HOB_OK)
        return err->code;
    enum hob_code rc = run_step(&r, &has_row, err);
    int64_t n = rc == HOB_OK && has_row ? run_col_int(&r, 0) : 0;
    run_end(&r);
    if (rc != HOB_OK || n <= SLOW_KEPT)
        return rc;
    return conn_execf(tx, err,
                      "DELETE FROM slow_queries WHERE (class, keys_json) NOT IN"
                      " (SELECT class, keys_json FROM slow_queries ORDER BY total_ms DESC LIMIT %d)",
                      SLOW_KEPT / 2);
}

enum hob_code advice_forget(struct data_tx *tx, const char *class_name, const char *keys_json,
                            struct hob_err *err)
{
    struct run r;
    if (run_start(&r, tx, HOB_STR("DELETE FROM slow_queries WHERE class = $1 AND keys_json = $2"), err) !=
        HOB_OK)
        return err->code;
    run_text(&r, hob_str(class_name));
    run_text(&r, hob_str(keys_json));
    return run_all(&r, err);
}

enum hob_code slow_store(struct data_tx *tx, const struct slow_query *list, size_t n, struct hob_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct run r;
        if (run_startf(
                &r, tx, err,
                "INSERT INTO slow_queries AS s (class, keys_json, queries, total_ms, worst_ms)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (class, keys_json) DO UPDATE"
                " SET queries = s.queries + excluded.queries, total_ms = s.total_ms + excluded.total_ms,"
                " worst_ms = max(s.worst_ms, excluded.worst_ms)") != HOB_OK)
            return err->code;
        run_text(&r, hob_str(list[i].class_name));
        run_text(&r, hob_str(list[i].keys));
        run_int(&r, (int64_t)list[i].queries);
        run_int(&r, (int64_t)list[i].total_ms);
        run_int(&r, (int64_t)list[i].worst_ms);
        if (run_all(&r, err) != HOB_OK)
            return err->code;
    }
    return bound(tx, err);
}

enum hob_code data_advise(struct data_tx *tx, data_advice_cb cb, void *ctx, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    enum hob_code rc = run_startf(&r, tx, err,
                                  "SELECT class, keys_json, queries, total_ms, worst_ms FROM slow_queries"
                                  " ORDER BY total_ms DESC LIMIT 100");
    if (rc != HOB_OK)
        return rc;
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        char name[128], keys[256];
        (void)snprintf(name, sizeof name, "%.*s", HOB_STR_ARG(run_col_text(&r, 0)));
        (void)snprintf(keys, sizeof keys, "%.*s", HOB_STR_ARG(run_col_text(&r, 1)));
        const struct data_class *c = data_class_find(tx, name);
        if (!c || has_index(c, keys)) /* was heeded meanwhile */
            continue;
        struct data_advice a = {name, keys, (uint64_t)run_col_int(&r, 2), (uint64_t)run_col_int(&r, 3),
                                (uint64_t)run_col_int(&r, 4)};
        rc = cb(ctx, &a, err);
        if (rc != HOB_OK)
            break;
    }
    run_end(&r);
    return rc;
}

static void name_long(struct hob_str text, char ret_name[DATA_INDEX_NAME_BYTES])
{
    char digest[HOB_DIGEST_CHARS + 1];
    hob_sha256_hex(text.at, text.n, digest);
    (void)snprintf(ret_name, DATA_INDEX_NAME_BYTES, "%.160s_%.16s", text.at, digest);
}

bool data_index_name(const char *keys_json, char ret_name[DATA_INDEX_NAME_BYTES])
{
    struct hob_err ignored;
    hob_auto_json json_t *keys = hob_json_parse(hob_str(keys_json), "keys", &ignored);
    hob_auto_buf struct hob_buf text;
    const char *name, *between = DATA_INDEX_NAME_BY_US;
    json_t *value;
    hob_buf_init(&text, 8192);
    if (json_object_size(keys) == 0)
        return false;
    json_object_foreach(keys, name, value)
    {
        if (json_is_integer(value))
            (void)!hob_buf_addf(&text, "%s%s_%d", between, name, (int)json_integer_value(value));
        else
            (void)!hob_buf_addf(&text, "%s%s_%s", between, name,
                                json_is_string(value) ? json_string_value(value) : "");
        between = "_";
    }
    if (text.n < DATA_INDEX_NAME_BYTES)
        (void)snprintf(ret_name, DATA_INDEX_NAME_BYTES, "%.*s", HOB_STR_ARG(hob_buf_str(&text)));
    else /* cut, and told apart by a digest of the whole */
        name_long(hob_buf_str(&text), ret_name);
    return true;
}
