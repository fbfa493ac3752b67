/* The rows of a class. Every change of one goes into the change log in the same transaction. */
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "store/data/data_priv.h"

/* --- ids --- */

enum { ID_LETTERS = 62, ID_SLICES = ID_LETTERS * ID_LETTERS, ID_SLICE_MS = 16 * 1024, ID_SLICE_IDS = 1024 };

/* The two letters that the ids of this moment have in common: they move on every 16 seconds, and every 1,024 ids. */
static unsigned id_slice(void)
{
    static uint64_t made; /* by all threads */
    uint64_t nth = __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
    return (unsigned)(((uint64_t)hob_utc_ms() / ID_SLICE_MS + nth / ID_SLICE_IDS) % ID_SLICES);
}

void data_id_make(char out[DATA_ID_CHARS + 1])
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char bytes[12];
    unsigned slice = id_slice();
    size_t n = 0;
    out[n++] = alphabet[slice / ID_LETTERS];
    out[n++] = alphabet[slice % ID_LETTERS];
    while (n < DATA_ID_CHARS) {
        hob_random(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes && n < DATA_ID_CHARS; i++)
            if (bytes[i] < 4 * ID_LETTERS) /* no letter is likelier than another */
                out[n++] = alphabet[bytes[i] % ID_LETTERS];
    }
    out[n] = '\0';
}

/* --- who may see a row --- */

bool access_is_limited(const struct data_access *a)
{
    return a && (a->subjects_n > 0 || a->pointer_fields_n > 0);
}

/* Subjects are class-safe names and ids: they are written without escapes. */
bool subjects_admit(const struct data_access *a, struct hob_str subjects)
{
    struct hob_str raw;
    if (!subjects.at || a->subjects_n == 0)
        return true;
    struct scan_iter it = scan_inside(subjects);
    while (scan_next(&it, &raw)) {
        if (raw.n < 2 || raw.at[0] != '"')
            continue;
        struct hob_str name = hob_str_n(raw.at + 1, raw.n - 2);
        for (size_t i = 0; i < a->subjects_n; i++)
            if (hob_str_eq(name, a->subjects[i]))
                return true;
    }
    return false;
}

static bool is_user(struct hob_str json, struct hob_str user_id)
{
    struct hob_buf scratch;
    struct hob_str class_name = {NULL, 0}, id = {NULL, 0};
    if (!json.at || json.n == 0 || json.at[0] != '{')
        return false;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    struct key k = key_of(json, &scratch);
    bool is = key_pointer(&k, &class_name, &id) && hob_str_is(class_name, "_User") && hob_str_eq(id, user_id);
    hob_buf_done(&scratch);
    return is;
}

static bool field_admits(struct hob_str value, struct hob_str user_id)
{
    struct hob_str element;
    if (!value.at)
        return false;
    if (value.at[0] != '[')
        return is_user(value, user_id);
    struct scan_iter it = scan_inside(value);
    while (scan_next(&it, &element))
        if (is_user(element, user_id))
            return true;
    return false;
}

bool pointers_admit(const struct data_access *a, struct hob_str doc)
{
    if (a->pointer_fields_n == 0)
        return true;
    for (size_t i = 0; i < a->pointer_fields_n; i++)
        if (a->user_id.n && field_admits(scan_path(doc, hob_str(a->pointer_fields[i])), a->user_id))
            return true;
    return false;
}

bool access_admits(const struct data_access *a, const struct data_row *row)
{
    if (!access_is_limited(a))
        return true;
    return subjects_admit(a, a->is_write ? row->writers : row->readers) && pointers_admit(a, row->doc);
}

/* --- reading --- */

void row_of_run(const struct run *r, struct data_row *ret_row)
{
    struct hob_str hidden = run_col_text(r, 4);
    *ret_row = (struct data_row){
        .id = run_col_text(r, 0),
        .created_ms = run_col_int(r, 1),
        .updated_ms = run_col_int(r, 2),
        .doc = run_col_text(r, 3),
        .hidden = hidden.at ? hidden : HOB_STR(""),
        .readers = run_col_text(r, 5),
        .writers = run_col_text(r, 6),
    };
}

static enum hob_code start_get(struct run *r, struct data_tx *tx, int64_t class_id, struct hob_str id,
                               struct hob_err *err)
{
    static const char head[] = "SELECT " ROW_COLUMNS ", t.seq FROM c";
    if (run_start_of(r, tx, head, class_id, " t WHERE t.id = $1", err) != HOB_OK)
        return err->code;
    run_text(r, id.at ? id : HOB_STR(""));
    return HOB_OK;
}

enum hob_code data_get(struct data_tx *tx, const char *class_name, struct hob_str id,
                       const struct data_access *a, data_row_cb cb, void *ctx, bool *ret_found,
                       struct hob_err *err)
{
    struct catalogue *all;
    struct run r;
    struct data_row row;
    bool has_row = false;
    *ret_found = false;
    if (catalogue_get(tx, &all, err) != HOB_OK)
        return err->code;
    const struct data_class *c = data_class_find(tx, class_name);
    if (!c)
        return HOB_OK;
    if (start_get(&r, tx, c->id, id, err) != HOB_OK)
        return err->code;
    enum hob_code rc = run_step(&r, &has_row, err);
    if (rc == HOB_OK && has_row) {
        row_of_run(&r, &row);
        if (access_admits(a, &row)) {
            *ret_found = true;
            rc = cb ? cb(ctx, &row, err) : HOB_OK;
        }
    }
    run_end(&r);
    return rc;
}

/* --- writing --- */

/* "UNIQUE constraint failed: index 'x3_7'" or "...: c3.id" */
static enum hob_code name_conflict(const struct data_class *c, struct hob_str id, struct hob_err *err)
{
    if (err->code != HOB_E_CONFLICT)
        return err->code;
    for (size_t i = 0; i < c->indexes_n; i++) {
        char mark[64];
        (void)snprintf(mark, sizeof mark, "'x%lld_%lld'", (long long)c->id,
                       (long long)class_entry(c)->infos[i].id);
        if (strstr(err->msg, mark))
            return hob_fail_reason(
                err, HOB_E_CONFLICT, "duplicate_value",
                "A duplicate value for a field with unique values was provided (index %.100s)",
                c->indexes[i].name);
    }
    return hob_fail_reason(err, HOB_E_CONFLICT, "duplicate_id",
                           "an object with the id '%.*s' exists already in class %s",
                           (int)(id.n < 40 ? id.n : 40), id.at, c->name);
}

static enum hob_code judge_row(const struct data_row *row, struct hob_err *err)
{
    HOB_ASSERT(row->id.n > 0 && row->doc.n >= 2 && row->doc.at[0] == '{');
    if (row->doc.n + row->hidden.n + row->readers.n + row->writers.n > HOB_MAX_DATA_OBJECT_BYTES)
        return hob_fail_parse(err, HOB_E_TOO_LARGE, 116, "The object is too large: %d bytes at most",
                              HOB_MAX_DATA_OBJECT_BYTES);
    return HOB_OK;
}

static void bind_row(struct run *r, const struct data_row *row)
{
    run_int(r, row->updated_ms);
    run_text(r, row->readers);
    run_text(r, row->writers);
    run_text(r, row->doc);
    run_text(r, row->hidden.n ? row->hidden : (struct hob_str){NULL, 0});
}

enum hob_code data_insert(struct data_tx *tx, const char *class_name, const struct data_row *row,
                          struct hob_err *err)
{
    static const char head[] = "INSERT INTO c";
    const struct data_class *c;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (judge_row(row, err) != HOB_OK || class_need(tx, class_name, &c, err) != HOB_OK ||
        run_start_of(
            &r, tx, head, c->id,
            " (id, created, updated, readers, writers, doc, hidden) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            err) != HOB_OK)
        return err->code;
    run_text(&r, row->id);
    run_int(&r, row->created_ms);
    bind_row(&r, row);
    if (run_all(&r, err) != HOB_OK)
        return name_conflict(c, row->id, err);
    if (texts_changed(tx, c, sqlite3_last_insert_rowid(tx->conn->db.h), row->doc, false, err) != HOB_OK)
        return err->code;
    return change_note(tx, &(struct change){c->name, row->id, 'c', NULL, row}, err);
}

/* The row as it is, for the change log; the run stays open as long as `before` is looked at. */
static enum hob_code read_before(struct run *r, struct data_tx *tx, const struct data_class *c,
                                 struct hob_str id, struct data_row *ret_before, int64_t *ret_seq,
                                 struct hob_err *err)
{
    bool has_row = false;
    if (start_get(r, tx, c->id, id, err) != HOB_OK)
        return err->code;
    enum hob_code rc = run_step(r, &has_row, err);
    if (rc == HOB_OK && !has_row)
        rc = hob_fail(err, HOB_E_NOT_FOUND, "Object not found.");
    if (rc != HOB_OK) {
        run_end(r);
        return rc;
    }
    row_of_run(r, ret_before);
    *ret_seq = run_col_int(r, 7);
    return HOB_OK;
}

static enum hob_code update_row(struct data_tx *tx, const struct data_class *c, int64_t seq,
                                const struct data_row *row, bool is_created_new, struct hob_err *err)
{
    struct run r;
    /* `created` is left out when it stays: setting it would rewrite its index */
    if (run_startf(&r, tx, err,
                   "UPDATE c%lld SET updated = $1, readers = $2, writers = $3, doc = $4, hidden = $5%s"
                   " WHERE seq = $%d",
                   (long long)c->id, is_created_new ? ", created = $6" : "",
                   is_created_new ? 7 : 6) != HOB_OK)
        return err->code;
    bind_row(&r, row);
    if (is_created_new)
        run_int(&r, row->created_ms);
    run_int(&r, seq);
    if (run_all(&r, err) != HOB_OK)
        return name_conflict(c, row->id, err);
    return HOB_OK;
}

/* The log is written first: it copies `before`, which the update would change under its feet. */
enum hob_code data_replace(struct data_tx *tx, const char *class_name, const struct data_row *row,
                           struct hob_err *err)
{
    const struct data_class *c;
    struct data_row before;
    struct run r;
    int64_t seq = 0;
    HOB_ASSERT(tx->s.is_write);
    if (judge_row(row, err) != HOB_OK || class_need(tx, class_name, &c, err) != HOB_OK ||
        read_before(&r, tx, c, row->id, &before, &seq, err) != HOB_OK)
        return err->code;
    bool is_created_new = before.created_ms != row->created_ms;
    struct change change = {c->name, row->id, 'u', &before, row};
    enum hob_code rc = change_prepare(tx, &change, err);
    run_end(&r);
    if (rc == HOB_OK)
        rc = update_row(tx, c, seq, row, is_created_new,
                        err); /* may conflict: nothing else was done by then */
    if (rc == HOB_OK)
        rc =
            texts_changed(tx, c, seq, scan_member(hob_buf_str(&tx->conn->before), HOB_STR("doc")), true, err);
    if (rc == HOB_OK)
        rc = texts_changed(tx, c, seq, row->doc, false, err);
    return rc == HOB_OK ? change_write(tx, &change, err) : rc;
}

enum hob_code row_remove(struct data_tx *tx, const struct data_class *c, struct hob_str id,
                         struct hob_err *err)
{
    struct data_row before;
    struct run r;
    int64_t seq = 0;
    if (read_before(&r, tx, c, id, &before, &seq, err) != HOB_OK)
        return err->code;
    struct change change = {c->name, id, 'd', &before, NULL};
    enum hob_code rc = change_prepare(tx, &change, err);
    if (rc == HOB_OK)
        rc = texts_changed(tx, c, seq, before.doc, true, err);
    run_end(&r);
    if (rc == HOB_OK)
        rc = run_startf(&r, tx, err, "DELETE FROM c%lld WHERE seq = $1", (long long)c->id);
    if (rc != HOB_OK)
        return rc;
    run_int(&r, seq);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    return change_write(tx, &change, err);
}

enum hob_code data_remove(struct data_tx *tx, const char *class_name, struct hob_str id, struct hob_err *err)
{
    const struct data_class *c;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, class_name, &c, err) != HOB_OK || row_remove(tx, c, id, err) != HOB_OK)
        return err->code;
    return joins_forget_owner(tx, c, id, err);
}
