/* The change log: every change of an object once, in the order of its commits. Sequence numbers only grow: the newest
 * change is never trimmed, and SQLite gives the next row the largest number plus one. */
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "store/data/data_priv.h"

enum {
    TRIM_SLICE = 100,    /* rows of one statement: some are large */
    TRIM_US = 10 * 1000, /* of one job */
};

static void write_row(struct hob_buf *out, const struct data_row *row)
{
    struct hob_jw w;
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kint(&w, "created", row->created_ms);
    hob_jw_kint(&w, "updated", row->updated_ms);
    hob_jw_key(&w, "doc");
    hob_jw_raw(&w, row->doc);
    if (row->hidden.n) {
        hob_jw_key(&w, "hidden");
        hob_jw_raw(&w, row->hidden);
    }
    if (row->readers.at) {
        hob_jw_key(&w, "readers");
        hob_jw_raw(&w, row->readers);
    }
    if (row->writers.at) {
        hob_jw_key(&w, "writers");
        hob_jw_raw(&w, row->writers);
    }
    hob_jw_object_end(&w);
}

enum hob_code change_prepare(struct data_tx *tx, const struct change *c, struct hob_err *err)
{
    struct conn *conn = tx->conn;
    hob_buf_clear(&conn->before);
    hob_buf_clear(&conn->after);
    if (c->before)
        write_row(&conn->before, c->before);
    if (c->after)
        write_row(&conn->after, c->after);
    if (conn->before.n == conn->before.max || conn->after.n == conn->after.max)
        return hob_fail(err, HOB_E_TOO_LARGE, "a change of %s is too large for the change log",
                        c->class_name);
    return HOB_OK;
}

enum hob_code change_write(struct data_tx *tx, const struct change *c, struct hob_err *err)
{
    struct conn *conn = tx->conn;
    struct run r;
    if (HOB_FAULT("data.change"))
        return db_fail(&conn->db, SQLITE_FULL, "writing the change log", err);
    if (run_start(&r, tx,
                  HOB_STR("INSERT INTO changes (at, class, id, op, before, after)"
                          " VALUES ($1, $2, $3, $4, $5, $6)"),
                  err) != HOB_OK)
        return err->code;
    run_int(&r, hob_utc_ms());
    run_text(&r, hob_str(c->class_name));
    run_text(&r, c->id);
    run_text(&r, hob_str_n(&c->op, 1));
    run_text(&r, c->before ? hob_buf_str(&conn->before) : (struct hob_str){NULL, 0});
    run_text(&r, c->after ? hob_buf_str(&conn->after) : (struct hob_str){NULL, 0});
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    conn->changed_to = sqlite3_last_insert_rowid(conn->db.h);
    return HOB_OK;
}

enum hob_code change_note(struct data_tx *tx, const struct change *c, struct hob_err *err)
{
    if (change_prepare(tx, c, err) != HOB_OK)
        return err->code;
    return change_write(tx, c, err);
}

/* --- reading --- */

static void change_of_run(const struct run *r, char *name, size_t name_n, struct data_change *ret)
{
    struct hob_str class_name = run_col_text(r, 2), op = run_col_text(r, 4);
    struct hob_str before = run_col_text(r, 5), after = run_col_text(r, 6);
    (void)snprintf(name, name_n, "%.*s", HOB_STR_ARG(class_name));
    *ret = (struct data_change){
        .sequence = run_col_int(r, 0),
        .at_ms = run_col_int(r, 1),
        .class_name = name,
        .id = run_col_text(r, 3),
        .op = op.n ? op.at[0] : '?',
        .before = before.at ? before : HOB_STR(""),
        .after = after.at ? after : HOB_STR(""),
    };
}

enum hob_code data_changes(struct data_tx *tx, int64_t after_sequence, uint64_t limit, data_change_cb cb,
                           void *ctx, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    enum hob_code rc = run_startf(&r, tx, err,
                                  "SELECT seq, at, class, id, op, before, after FROM changes WHERE seq > $1"
                                  " ORDER BY seq LIMIT $2");
    if (rc != HOB_OK)
        return rc;
    run_int(&r, after_sequence);
    run_int(&r, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        struct data_change c;
        char name[300];
        change_of_run(&r, name, sizeof name, &c);
        rc = cb(ctx, &c, err);
        if (rc != HOB_OK)
            break;
    }
    run_end(&r);
    return rc;
}

static enum hob_code read_number(struct data_tx *tx, const char *sql, int64_t *ret_v, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    if (run_start(&r, tx, hob_str(sql), err) != HOB_OK)
        return err->code;
    enum hob_code rc = run_step(&r, &has_row, err);
    if (rc == HOB_OK)
        *ret_v = has_row ? run_col_int(&r, 0) : 0;
    run_end(&r);
    return rc;
}

enum hob_code data_change_last(struct data_tx *tx, int64_t *ret_sequence, struct hob_err *err)
{
    return read_number(tx, "SELECT coalesce(max(seq), 0) FROM changes", ret_sequence, err);
}

/* --- forgetting --- */

/* Of the oldest: how many are older, and which numbers the first TRIM_SLICE of them have but for the youngest. */
struct old {
    int64_t to; /* all up to here may go; 0: none */
    int64_t young_ms;
    uint64_t n; /* that may go */
    bool has_more;
};

/* By time, but a prefix: the first that is young enough ends it. */
static enum hob_code find_old(struct data_tx *tx, int64_t before_ms, struct old *o, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    int64_t last = 0;
    *o = (struct old){.to = 0};
    enum hob_code rc =
        run_startf(&r, tx, err, "SELECT seq, at FROM changes ORDER BY seq LIMIT %d", TRIM_SLICE + 1);
    if (rc != HOB_OK)
        return rc;
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        if (run_col_int(&r, 1) >= before_ms) {
            o->young_ms = run_col_int(&r, 1);
            break;
        }
        o->n += last != 0;
        o->to = last;
        last = run_col_int(&r, 0);
    }
    run_end(&r);
    o->has_more = o->n == TRIM_SLICE;
    return rc;
}

enum hob_code data_changes_trim(struct data_tx *tx, int64_t before_ms, struct data_trim *ret_trim,
                                struct hob_err *err)
{
    uint64_t from_us = hob_now_us();
    struct data_trim t = {.removed = 0};
    HOB_ASSERT(tx->s.is_write);
    do {
        struct old o;
        struct run r;
        if (find_old(tx, before_ms, &o, err) != HOB_OK)
            return err->code;
        t.young_ms = o.young_ms;
        t.has_more = o.has_more;
        t.removed += o.n;
        if (!o.n)
            break;
        if (run_start(&r, tx, HOB_STR("DELETE FROM changes WHERE seq <= $1"), err) != HOB_OK)
            return err->code;
        run_int(&r, o.to);
        if (run_all(&r, err) != HOB_OK)
            return err->code;
    } while (t.has_more && hob_now_us() - from_us < TRIM_US);
    *ret_trim = t;
    return HOB_OK;
}

/* --- back to an earlier state: the first change of each object behind `sequence` knows what it was --- */

struct restore {
    struct data_tx *tx;
    int64_t from, to;
    enum { UNDO_CREATES, BRING_BACK, PUT_AGAIN } pass;
};

static int64_t number_of(struct hob_str json, struct hob_str name)
{
    double v = 0;
    struct hob_str raw = scan_member(json, name);
    return raw.at && scan_number(raw, &v) ? (int64_t)v : 0;
}

static enum hob_code restore_pair(struct restore *r, const struct data_change *c, struct hob_err *err)
{
    struct hob_buf a, b;
    char field[300];
    struct hob_str rest, class_name;
    const struct data_class *found;
    struct hob_str doc = scan_member(c->op == 'c' ? c->after : c->before, HOB_STR("doc"));
    if (!doc.at || r->pass != (c->op == 'c' ? UNDO_CREATES : BRING_BACK))
        return HOB_OK;
    (void)hob_str_cut(hob_str(c->class_name), ':', &rest); /* "_Join" */
    (void)snprintf(field, sizeof field, "%.*s", HOB_STR_ARG(hob_str_cut(rest, ':', &class_name)));
    if (!class_name.at || !(found = data_class_find(r->tx, class_name.at)))
        return HOB_OK; /* the class is gone, and its relations with it */
    hob_buf_init(&a, KEY_BYTES_MAX);
    hob_buf_init(&b, KEY_BYTES_MAX);
    struct hob_str owner = scan_text(scan_member(doc, HOB_STR("owningId")), &a);
    struct hob_str related = scan_text(scan_member(doc, HOB_STR("relatedId")), &b);
    enum hob_code rc = c->op == 'c' ? data_join_remove(r->tx, found->name, field, owner, related, err)
                                    : data_join_add(r->tx, found->name, field, owner, related, err);
    hob_buf_done(&a);
    hob_buf_done(&b);
    return rc;
}

static enum hob_code bring_back(struct restore *r, const struct data_change *c, bool is_there,
                                struct hob_err *err)
{
    struct data_row row = {
        .id = c->id,
        .created_ms = number_of(c->before, HOB_STR("created")),
        .updated_ms = number_of(c->before, HOB_STR("updated")),
        .doc = scan_member(c->before, HOB_STR("doc")),
        .hidden = scan_member(c->before, HOB_STR("hidden")),
        .readers = scan_member(c->before, HOB_STR("readers")),
        .writers = scan_member(c->before, HOB_STR("writers")),
    };
    if (!row.doc.at)
        return hob_fail(err, HOB_E_INTERNAL, "the change log is damaged at %lld", (long long)c->sequence);
    if (r->pass == PUT_AGAIN)
        return is_there ? HOB_OK : data_insert(r->tx, c->class_name, &row, err);
    if (!is_there)
        return HOB_OK;
    enum hob_code rc = data_replace(r->tx, c->class_name, &row, err);
    if (rc != HOB_E_CONFLICT)
        return rc;
    /* a unique value is still held by an object that changes later: make way, be put again at the end */
    return row_remove(r->tx, data_class_find(r->tx, c->class_name), c->id, err);
}

static enum hob_code restore_one(void *ctx, const struct data_change *c, struct hob_err *err)
{
    struct restore *r = ctx;
    bool is_there = false;
    if (strncmp(c->class_name, "_Join:", 6) == 0)
        return restore_pair(r, c, err);
    if (!data_class_find(r->tx, c->class_name)) {
        if (c->before.n == 0)
            return HOB_OK;
        if (data_class_add(r->tx, c->class_name, err) != HOB_OK)
            return err->code;
    }
    if (data_get(r->tx, c->class_name, c->id, NULL, NULL, NULL, &is_there, err) != HOB_OK)
        return err->code;
    if (c->before.n)
        return r->pass == UNDO_CREATES ? HOB_OK : bring_back(r, c, is_there, err);
    if (!is_there || r->pass != UNDO_CREATES)
        return HOB_OK;
    return row_remove(r->tx, data_class_find(r->tx, c->class_name), c->id,
                      err); /* its relations are in the log, too */
}

static enum hob_code restore_pass(struct restore *r, struct hob_err *err)
{
    struct run run;
    bool has_row = false;
    enum hob_code rc =
        run_startf(&run, r->tx, err,
                   "SELECT seq, at, class, id, op, before, after FROM changes WHERE seq IN"
                   " (SELECT min(seq) FROM changes WHERE seq > $1 AND seq <= $2 GROUP BY class, id)"
                   " ORDER BY seq DESC");
    if (rc != HOB_OK)
        return rc;
    run_int(&run, r->from);
    run_int(&run, r->to);
    while ((rc = run_step(&run, &has_row, err)) == HOB_OK && has_row) {
        struct data_change c;
        char name[300];
        change_of_run(&run, name, sizeof name, &c);
        rc = restore_one(r, &c, err);
        if (rc != HOB_OK)
            break;
    }
    run_end(&run);
    return rc;
}

enum hob_code data_restore(struct data_tx *tx, int64_t sequence, struct hob_err *err)
{
    int64_t first = 0;
    struct restore r = {.tx = tx, .from = sequence};
    HOB_ASSERT(tx->s.is_write);
    if (read_number(tx, "SELECT coalesce(min(seq), 0) FROM changes", &first, err) != HOB_OK ||
        data_change_last(tx, &r.to, err) != HOB_OK)
        return err->code;
    if (sequence < 0 || sequence > r.to || (first > 0 && sequence < first - 1))
        return hob_fail(err, HOB_E_INVALID, "the change log goes from %lld to %lld: %lld is not in it",
                        (long long)(first ? first - 1 : 0), (long long)r.to, (long long)sequence);
    for (int pass = UNDO_CREATES; pass <= PUT_AGAIN; pass++) {
        r.pass = pass;
        if (restore_pass(&r, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}
