/* Indexes: expressions over documents, so that a new one needs no change of any row; and full text. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { INDEX_NAME_MAX = DATA_INDEX_NAME_BYTES - 1 };

struct index_key {
    struct hob_str path;
    enum { KEY_UP, KEY_DOWN, KEY_FOLDED, KEY_TEXT_WORDS, KEY_PLACE } kind;
};
struct keys {
    struct index_key list[INDEX_KEYS_MAX];
    size_t n;
    json_t *json;
};

static enum hob_code bad_keys(const char *name, const char *what, struct hob_err *err)
{
    return hob_fail_parse(err, HOB_E_INVALID, 102, "index %.60s: %s", name, what);
}

static bool kind_of(const json_t *j, struct index_key *k)
{
    const char *word = json_string_value(j);
    if (json_is_integer(j) && (json_integer_value(j) == 1 || json_integer_value(j) == -1))
        k->kind = json_integer_value(j) == 1 ? KEY_UP : KEY_DOWN;
    else if (word && strcmp(word, "text") == 0)
        k->kind = KEY_TEXT_WORDS;
    else if (word && strcmp(word, "ci") == 0)
        k->kind = KEY_FOLDED;
    else if (word && (strcmp(word, "2dsphere") == 0 || strcmp(word, "2d") == 0))
        k->kind = KEY_PLACE;
    else
        return false;
    return true;
}

/* {"a":1,"b":-1}, {"a":"text"}, {"username":"ci"}, {"place":"2dsphere"} */
static enum hob_code judge_keys(const struct data_index *i, struct keys *k, struct hob_err *err)
{
    const char *name;
    json_t *value;
    *k = (struct keys){.n = 0};
    k->json = hob_json_parse(hob_str(i->keys_json), "the keys of an index", err);
    if (!k->json)
        return err->code;
    if (!json_is_object(k->json) || json_object_size(k->json) == 0 ||
        json_object_size(k->json) > INDEX_KEYS_MAX)
        return bad_keys(i->name, "its keys must be an object with 1 to 8 members", err);
    json_object_foreach(k->json, name, value)
    {
        struct index_key *key = &k->list[k->n++];
        key->path = hob_str(name);
        if (!path_is_valid(key->path) && strcmp(name, "_id") != 0)
            return bad_keys(i->name, "one of its keys is no name of a field", err);
        if (!kind_of(value, key))
            return bad_keys(i->name, "a key is 1, -1, \"ci\", \"text\" or \"2dsphere\"", err);
        if (k->n > 1 && (key->kind == KEY_TEXT_WORDS || k->list[0].kind == KEY_TEXT_WORDS))
            return bad_keys(i->name, "full text is an index of one field", err);
    }
    return HOB_OK;
}

static void add_column(struct hob_buf *sql, const struct index_key *k)
{
    const char *down = k->kind == KEY_DOWN ? " DESC" : "";
    if (hob_str_is(k->path, "_id") || hob_str_is(k->path, "objectId"))
        (void)!hob_buf_addf(sql, "id%s", down);
    else if (hob_str_is(k->path, "createdAt"))
        (void)!hob_buf_addf(sql, "created%s", down);
    else if (hob_str_is(k->path, "updatedAt"))
        (void)!hob_buf_addf(sql, "updated%s", down);
    else if (k->kind == KEY_PLACE)
        (void)!hob_buf_addf(sql, "hob_lat(doc, '%.*s'), hob_lon(doc, '%.*s')", HOB_STR_ARG(k->path),
                            HOB_STR_ARG(k->path));
    else if (k->kind == KEY_FOLDED)
        (void)!hob_buf_addf(sql, "hob_fold(hob_val(doc, '%.*s'))", HOB_STR_ARG(k->path));
    else
        (void)!hob_buf_addf(sql, "hob_val(doc, '%.*s')%s", HOB_STR_ARG(k->path), down);
}

static enum hob_code make_btree(struct data_tx *tx, const struct data_class *c, int64_t id,
                                const struct keys *k, bool is_unique, struct hob_err *err)
{
    struct hob_buf columns;
    hob_buf_init(&columns, 16384);
    for (size_t i = 0; i < k->n; i++) {
        (void)!hob_buf_add(&columns, ", ", i ? 2 : 0);
        add_column(&columns, &k->list[i]);
    }
    struct hob_str text = hob_buf_str(&columns);
    enum hob_code rc =
        conn_execf(tx, err, "CREATE %s INDEX x%lld_%lld ON c%lld (%.*s)", is_unique ? "UNIQUE" : "",
                   (long long)c->id, (long long)id, (long long)c->id, HOB_STR_ARG(text));
    hob_buf_done(&columns);
    if (rc == HOB_E_CONFLICT)
        return hob_fail_reason(
            err, rc, "duplicate_value",
            "A duplicate value for a field with unique values was provided: the objects of %s "
            "that are there already break the index",
            c->name);
    return rc;
}

/* The index holds no text of its own: every write of an object tells it what goes and what comes. (Triggers could not:
 * the connections do not trust what stands in a file's schema.) */
static enum hob_code make_text(struct data_tx *tx, const struct data_class *c, int64_t id,
                               struct hob_str path, struct hob_err *err)
{
    long long x = (long long)id;
    return conn_execf(tx, err,
                      "CREATE VIRTUAL TABLE ft%lld USING fts5(words, content='',"
                      " tokenize='unicode61 remove_diacritics 2');"
                      "INSERT INTO ft%lld (rowid, words) SELECT seq, hob_text(doc, '%.*s') FROM c%lld;",
                      x, x, HOB_STR_ARG(path), (long long)c->id);
}

static enum hob_code tell_text(struct data_tx *tx, const struct index_info *info, int64_t seq,
                               struct hob_str doc, bool is_gone, struct hob_err *err)
{
    struct run r;
    long long x = (long long)info->id;
    enum hob_code rc =
        is_gone
            ? run_startf(&r, tx, err,
                         "INSERT INTO ft%lld (ft%lld, rowid, words) VALUES ('delete', $1, hob_text($2, $3))",
                         x, x)
            : run_startf(&r, tx, err, "INSERT INTO ft%lld (rowid, words) VALUES ($1, hob_text($2, $3))", x);
    if (rc != HOB_OK)
        return rc;
    run_int(&r, seq);
    run_text(&r, doc);
    run_text(&r, hob_str(info->text_field));
    return run_all(&r, err);
}

enum hob_code texts_changed(struct data_tx *tx, const struct data_class *c, int64_t seq, struct hob_str doc,
                            bool is_gone, struct hob_err *err)
{
    for (size_t i = 0; i < c->indexes_n; i++) {
        const struct index_info *info = &class_entry(c)->infos[i];
        if (info->is_text && tell_text(tx, info, seq, doc, is_gone, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code note_index(struct data_tx *tx, const struct data_class *c, const struct data_index *i,
                                bool is_unique, int64_t *ret_id, struct hob_err *err)
{
    struct run r;
    if (run_startf(&r, tx, err,
                   "INSERT INTO indexes (class_id, name, keys_json, is_unique) VALUES ($1, $2, $3, $4)") !=
        HOB_OK)
        return err->code;
    run_int(&r, c->id);
    run_text(&r, hob_str(i->name));
    run_text(&r, hob_str(i->keys_json));
    run_int(&r, is_unique);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    *ret_id = sqlite3_last_insert_rowid(tx->conn->db.h);
    return HOB_OK;
}

static const struct data_index *find_index(const struct data_class *c, const char *name)
{
    for (size_t i = 0; i < c->indexes_n; i++)
        if (strcmp(c->indexes[i].name, name) == 0)
            return &c->indexes[i];
    return NULL;
}

static bool is_same(const struct data_class *c, const struct data_index *is, const struct keys *k,
                    bool is_unique)
{
    struct hob_err ignored;
    hob_auto_json json_t *keys = hob_json_parse(hob_str(is->keys_json), "keys", &ignored);
    return keys && json_equal(keys, k->json) && class_entry(c)->infos[is - c->indexes].is_unique == is_unique;
}

static enum hob_code add_index(struct data_tx *tx, const struct data_class *c, const struct data_index *i,
                               const struct keys *k, bool is_unique, struct hob_err *err)
{
    int64_t id = 0;
    const struct data_index *is = find_index(c, i->name);
    bool is_text = k->list[0].kind == KEY_TEXT_WORDS;
    if (is && is_same(c, is, k, is_unique))
        return HOB_OK;
    if (is)
        return hob_fail_parse(err, HOB_E_CONFLICT, 102, "Index %.100s exists, cannot update.", i->name);
    if (is_text && text_index(c, k->list[0].path))
        return HOB_OK; /* under another name */
    if (c->indexes_n >= HOB_MAX_DATA_INDEXES)
        return hob_fail(err, HOB_E_TOO_LARGE, "index %.60s: a class has at most %d indexes", i->name,
                        HOB_MAX_DATA_INDEXES);
    if (note_index(tx, c, i, is_unique, &id, err) != HOB_OK)
        return err->code;
    enum hob_code rc =
        is_text ? make_text(tx, c, id, k->list[0].path, err) : make_btree(tx, c, id, k, is_unique, err);
    if (rc == HOB_OK)
        rc = advice_forget(tx, c->name, i->keys_json, err);
    return rc == HOB_OK ? catalogue_changed(tx, c->name, err) : rc;
}

enum hob_code data_index_add(struct data_tx *tx, const char *class_name, const struct data_index *i,
                             bool is_unique, struct hob_err *err)
{
    const struct data_class *c;
    struct keys k = {.n = 0};
    HOB_ASSERT(tx->s.is_write);
    size_t n = strlen(i->name);
    if (n == 0 || n > INDEX_NAME_MAX)
        return bad_keys(i->name, "its name must have 1 to 200 bytes", err);
    enum hob_code rc = class_need(tx, class_name, &c, err);
    if (rc == HOB_OK)
        rc = judge_keys(i, &k, err);
    if (rc == HOB_OK)
        rc = add_index(tx, c, i, &k, is_unique, err);
    json_decref(k.json);
    return rc;
}

enum hob_code data_text_index_add(struct data_tx *tx, const char *class_name, const char *field,
                                  struct hob_err *err)
{
    char name[160], keys[200];
    (void)snprintf(name, sizeof name, "%.128s_text", field);
    (void)snprintf(keys, sizeof keys, "{\"%.128s\":\"text\"}", field); /* a judged path: nothing to escape */
    return data_index_add(tx, class_name, &(struct data_index){name, keys}, false, err);
}

enum hob_code data_index_drop(struct data_tx *tx, const char *class_name, const char *name,
                              struct hob_err *err)
{
    const struct data_class *c;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, class_name, &c, err) != HOB_OK)
        return err->code;
    const struct data_index *i = find_index(c, name);
    if (!i)
        return hob_fail_parse(err, HOB_E_NOT_FOUND, 102, "Index %.100s does not exist, cannot delete.", name);
    struct index_info info = class_entry(c)->infos[i - c->indexes];
    long long x = (long long)info.id;
    enum hob_code rc = info.is_text ? conn_execf(tx, err, "DROP TABLE ft%lld", x)
                                    : conn_execf(tx, err, "DROP INDEX x%lld_%lld", (long long)c->id, x);
    if (rc != HOB_OK || run_startf(&r, tx, err, "DELETE FROM indexes WHERE id = $1") != HOB_OK)
        return err->code;
    run_int(&r, info.id);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, class_name, err);
}

/* --- telling --- */

/* Pages are counted by walking that index alone. */
static enum hob_code measure(struct data_tx *tx, const char *table, int64_t *ret_bytes)
{
    struct run r;
    struct hob_err ignored;
    bool has_row = false;
    *ret_bytes = -1;
    if (run_start(&r, tx, HOB_STR("SELECT sum(pgsize) FROM dbstat WHERE name = $1"), &ignored) != HOB_OK)
        return HOB_OK; /* compiled without it */
    run_text(&r, hob_str(table));
    if (run_step(&r, &has_row, &ignored) == HOB_OK && has_row)
        *ret_bytes = run_col_int(&r, 0);
    run_end(&r);
    return HOB_OK;
}

static enum hob_code index_bytes(struct data_tx *tx, const struct data_class *c, const struct index_info *i,
                                 int64_t *ret_bytes)
{
    static const char *const parts[] = {"data", "idx", "docsize", "config"};
    char table[80];
    if (!i->is_text) {
        (void)snprintf(table, sizeof table, "x%lld_%lld", (long long)c->id, (long long)i->id);
        return measure(tx, table, ret_bytes);
    }
    int64_t all = 0, one = 0;
    for (size_t k = 0; k < HOB_COUNT(parts) && one >= 0; k++) {
        (void)snprintf(table, sizeof table, "ft%lld_%s", (long long)i->id, parts[k]);
        if (measure(tx, table, &one) == HOB_OK)
            all += one;
    }
    *ret_bytes = one < 0 ? -1 : all;
    return HOB_OK;
}

struct telling {
    struct data_tx *tx;
    data_index_cb cb;
    void *ctx;
};

static enum hob_code tell_class(void *ctx, const struct data_class *c, struct hob_err *err)
{
    struct telling *t = ctx;
    for (size_t i = 0; i < c->indexes_n; i++) {
        const struct index_info *info = &class_entry(c)->infos[i];
        struct data_index_found found = {.class_name = c->name,
                                         .name = c->indexes[i].name,
                                         .keys_json = c->indexes[i].keys_json,
                                         .is_unique = info->is_unique};
        if (index_bytes(t->tx, c, info, &found.bytes) != HOB_OK || t->cb(t->ctx, &found, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

enum hob_code data_index_each(struct data_tx *tx, data_index_cb cb, void *ctx, struct hob_err *err)
{
    struct telling t = {tx, cb, ctx};
    return data_class_each(tx, tell_class, &t, err);
}
