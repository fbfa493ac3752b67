/* Changing the catalogue: classes, fields and what clients may do with them. A class is a table; nothing else here runs
 * DDL. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { NAME_BYTES_MAX = 128 };

static bool name_is_valid(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= NAME_BYTES_MAX && strspn(name, "0123456789") == 0 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

enum hob_code class_need(struct data_tx *tx, const char *name, const struct data_class **ret_c,
                         struct hob_err *err)
{
    struct catalogue *all = NULL;
    enum hob_code rc = catalogue_get(tx, &all, err);
    if (rc != HOB_OK)
        return rc;
    *ret_c = data_class_find(tx, name);
    if (*ret_c)
        return HOB_OK;
    (void)hob_fail_parse(err, HOB_E_NOT_FOUND, 103, "Class %.128s does not exist.", name);
    return HOB_E_NOT_FOUND;
}

static enum hob_code make_table(struct data_tx *tx, int64_t id, struct hob_err *err)
{
    return conn_execf(
        tx, err,
        "CREATE TABLE c%lld (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, created BIGINT NOT NULL,"
        " updated BIGINT NOT NULL, readers TEXT, writers TEXT, doc TEXT NOT NULL, hidden TEXT);"
        "CREATE UNIQUE INDEX c%lld_id ON c%lld (id);"
        "CREATE INDEX c%lld_created ON c%lld (created);",
        (long long)id, (long long)id, (long long)id, (long long)id, (long long)id);
}

enum hob_code data_class_add(struct data_tx *tx, const char *name, struct hob_err *err)
{
    struct catalogue *all;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (!name_is_valid(name))
        return hob_fail_parse(
            err, HOB_E_INVALID, 103,
            "Invalid classname: %.128s, classnames can only have alphanumeric characters and "
            "_, and must start with an alpha character",
            name);
    if (catalogue_get(tx, &all, err) != HOB_OK)
        return err->code;
    if (data_class_find(tx, name))
        return hob_fail_parse(err, HOB_E_CONFLICT, 103, "Class %s already exists.", name);
    if (all->n >= HOB_MAX_DATA_CLASSES)
        return hob_fail(err, HOB_E_TOO_LARGE, "class %s: an app has at most %d classes", name,
                        HOB_MAX_DATA_CLASSES);
    if (run_startf(&r, tx, err, "INSERT INTO classes (name) VALUES ($1)") != HOB_OK)
        return err->code;
    run_text(&r, hob_str(name));
    if (run_all(&r, err) != HOB_OK ||
        make_table(tx, sqlite3_last_insert_rowid(tx->conn->db.h), err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, name, err);
}

static enum hob_code need_empty(struct data_tx *tx, const struct data_class *c, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    int64_t n = 0;
    if (run_startf(&r, tx, err, "SELECT count(*) FROM c%lld", (long long)c->id) != HOB_OK)
        return err->code;
    enum hob_code rc = run_step(&r, &has_row, err);
    if (rc == HOB_OK && has_row)
        n = run_col_int(&r, 0);
    run_end(&r);
    if (rc == HOB_OK && n > 0)
        return hob_fail_parse(err, HOB_E_CONFLICT, 255,
                              "Class %s is not empty, contains %lld objects, cannot drop schema.", c->name,
                              (long long)n);
    return rc;
}

enum hob_code data_class_drop(struct data_tx *tx, const char *name, struct hob_err *err)
{
    const struct data_class *c;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, name, &c, err) != HOB_OK || need_empty(tx, c, err) != HOB_OK)
        return err->code;
    hob_auto_free char *kept_name = hob_strdup(name); /* it may be the catalogue's own */
    for (size_t i = 0; i < c->indexes_n; i++) {
        const struct index_info *info = &class_entry(c)->infos[i];
        if (info->is_text && conn_execf(tx, err, "DROP TABLE ft%lld", (long long)info->id) != HOB_OK)
            return err->code;
    }
    if (conn_execf(tx, err, "DROP TABLE c%lld", (long long)c->id) != HOB_OK ||
        run_startf(&r, tx, err, "DELETE FROM classes WHERE id = $1") != HOB_OK)
        return err->code;
    run_int(&r, c->id);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, kept_name, err);
}

enum hob_code data_class_permit(struct data_tx *tx, const char *name, const json_t *permissions,
                                struct hob_err *err)
{
    const struct data_class *c;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, name, &c, err) != HOB_OK)
        return err->code;
    hob_auto_free char *text = permissions ? json_dumps(permissions, JSON_COMPACT) : NULL;
    if (run_startf(&r, tx, err, "UPDATE classes SET permissions = $1 WHERE id = $2") != HOB_OK)
        return err->code;
    run_text(&r, hob_str(text));
    run_int(&r, c->id);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, name, err);
}

/* --- fields --- */

static void type_text(const struct data_field *f, char *out, size_t n)
{
    if (f->target)
        (void)snprintf(out, n, "%s<%.60s>", data_type_names[f->type], f->target);
    else
        (void)snprintf(out, n, "%s", data_type_names[f->type]);
}

static bool is_same_type(const struct data_field *a, const struct data_field *b)
{
    return a->type == b->type && (!a->target == !b->target) &&
           (!a->target || strcmp(a->target, b->target) == 0);
}

static enum hob_code clash(const char *class_name, const struct data_field *is,
                           const struct data_field *wanted, struct hob_err *err)
{
    char expected[80], got[80];
    type_text(is, expected, sizeof expected);
    type_text(wanted, got, sizeof got);
    return hob_fail_parse(err, HOB_E_CONFLICT, 111, "schema mismatch for %.60s.%.60s; expected %s but got %s",
                          class_name, wanted->name, expected, got);
}

static enum hob_code store_field(struct data_tx *tx, int64_t class_id, const struct data_field *f,
                                 struct hob_err *err)
{
    struct run r;
    if (run_startf(&r, tx, err,
                   "INSERT INTO fields (class_id, name, type, target, is_required, default_json)"
                   " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (class_id, name) DO UPDATE"
                   " SET is_required = excluded.is_required, default_json = excluded.default_json") != HOB_OK)
        return err->code;
    run_int(&r, class_id);
    run_text(&r, hob_str(f->name));
    run_text(&r, hob_str(data_type_names[f->type]));
    run_text(&r, hob_str(f->target));
    run_int(&r, f->is_required);
    run_text(&r, hob_str(f->default_json));
    return run_all(&r, err);
}

static bool is_equal(const struct data_field *a, const struct data_field *b)
{
    return a->is_required == b->is_required && (!a->default_json == !b->default_json) &&
           (!a->default_json || strcmp(a->default_json, b->default_json) == 0);
}

enum hob_code data_field_add(struct data_tx *tx, const char *class_name, const struct data_field *f,
                             struct hob_err *err)
{
    const struct data_class *c;
    HOB_ASSERT(tx->s.is_write && f->type < DATA_TYPES_);
    HOB_ASSERT((f->target != NULL) == (f->type == DATA_POINTER || f->type == DATA_RELATION));
    if (!name_is_valid(f->name))
        return hob_fail_parse(err, HOB_E_INVALID, 105, "Invalid field name: %.128s.", f->name);
    if (class_need(tx, class_name, &c, err) != HOB_OK)
        return err->code;
    const struct data_field *is = data_field_find(c, f->name);
    if (is && !is_same_type(is, f))
        return clash(class_name, is, f, err);
    if (is && is_equal(is, f))
        return HOB_OK;
    if (!is && c->fields_n >= HOB_MAX_DATA_FIELDS)
        return hob_fail(err, HOB_E_TOO_LARGE, "%s.%s: a class has at most %d fields", class_name, f->name,
                        HOB_MAX_DATA_FIELDS);
    if (store_field(tx, c->id, f, err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, class_name, err);
}

/* --- taking a field away --- */

/* The document without one member. */
static void add_without(struct hob_buf *out, struct hob_str doc, struct hob_str name)
{
    struct scan_iter it = scan_inside(doc);
    struct hob_str raw, value;
    bool is_first = true;
    hob_buf_clear(out);
    (void)!hob_buf_add(out, "{", 1);
    while (scan_next_member(&it, &raw, &value)) {
        if (raw.n == name.n + 2 && memcmp(raw.at + 1, name.at, name.n) == 0)
            continue;
        (void)!hob_buf_add(out, ",", is_first ? 0 : 1);
        (void)!hob_buf_add(out, raw.at, (size_t)(value.at + value.n - raw.at));
        is_first = false;
    }
    (void)!hob_buf_add(out, "}", 1);
}

struct strip {
    struct data_tx *tx;
    const char *class_name;
    struct hob_str field;
    int64_t class_id, last;
    size_t seen;
};
enum { STRIP_STEP = 200 };
struct strip_row {
    struct data_row row;
    char *mem[6];
};

static struct hob_str own(struct strip_row *s, size_t slot, struct hob_str text)
{
    s->mem[slot] = text.at ? hob_strndup(text.at, text.n) : NULL;
    return hob_str_n(s->mem[slot], text.n);
}

static void own_row(struct strip_row *to, const struct data_row *row)
{
    to->row = *row;
    to->row.id = own(to, 0, row->id);
    to->row.doc = own(to, 1, row->doc);
    to->row.hidden = own(to, 2, row->hidden);
    to->row.readers = own(to, 3, row->readers);
    to->row.writers = own(to, 4, row->writers);
}

static enum hob_code strip_read(struct strip *s, struct strip_row *rows, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    s->seen = 0;
    enum hob_code rc =
        run_startf(&r, s->tx, err,
                   "SELECT " ROW_COLUMNS ", t.seq FROM c%lld t WHERE t.seq > $1 AND hob_has(t.doc, $2)"
                   " ORDER BY t.seq LIMIT $3",
                   (long long)s->class_id);
    if (rc != HOB_OK)
        return rc;
    run_int(&r, s->last);
    run_text(&r, s->field);
    run_int(&r, STRIP_STEP);
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        struct data_row row;
        row_of_run(&r, &row);
        own_row(&rows[s->seen++], &row);
        s->last = run_col_int(&r, 7);
    }
    run_end(&r);
    return rc;
}

static enum hob_code strip_step(struct strip *s, struct hob_err *err)
{
    hob_auto_free struct strip_row *rows = hob_new_n(struct strip_row, STRIP_STEP);
    struct hob_buf doc;
    hob_buf_init(&doc, KEY_BYTES_MAX);
    enum hob_code rc = strip_read(s, rows, err);
    for (size_t i = 0; i < s->seen; i++) {
        if (rc == HOB_OK) {
            add_without(&doc, rows[i].row.doc, s->field);
            rows[i].row.doc = hob_buf_str(&doc);
            rc = data_replace(s->tx, s->class_name, &rows[i].row, err);
        }
        for (size_t k = 0; k < HOB_COUNT(rows[i].mem); k++)
            free(rows[i].mem[k]);
    }
    hob_buf_done(&doc);
    return rc;
}

static enum hob_code forget_field(struct data_tx *tx, int64_t class_id, const char *field,
                                  struct hob_err *err)
{
    struct run r;
    if (run_startf(&r, tx, err, "DELETE FROM fields WHERE class_id = $1 AND name = $2") != HOB_OK)
        return err->code;
    run_int(&r, class_id);
    run_text(&r, hob_str(field));
    if (run_all(&r, err) != HOB_OK ||
        run_startf(&r, tx, err, "DELETE FROM joins WHERE class_id = $1 AND field = $2") != HOB_OK)
        return err->code;
    run_int(&r, class_id);
    run_text(&r, hob_str(field));
    return run_all(&r, err);
}

enum hob_code data_field_drop(struct data_tx *tx, const char *class_name, const char *field,
                              struct hob_err *err)
{
    const struct data_class *c;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, class_name, &c, err) != HOB_OK)
        return err->code;
    if (!data_field_find(c, field))
        return hob_fail_parse(err, HOB_E_NOT_FOUND, 255, "Field %.128s does not exist, cannot delete.",
                              field);
    hob_auto_free char *name = hob_strdup(field); /* it may be the catalogue's own */
    struct strip s = {.tx = tx, .class_name = class_name, .field = hob_str(name), .class_id = c->id};
    s.last = INT64_MIN;
    do {
        if (strip_step(&s, err) != HOB_OK)
            return err->code;
    } while (s.seen == STRIP_STEP);
    if (forget_field(tx, s.class_id, name, err) != HOB_OK)
        return err->code;
    return catalogue_changed(tx, class_name, err);
}
