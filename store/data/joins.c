/* Relations: pairs of (owner, related) by class and field. They are logged like objects of a class
 * "_Join:<field>:<class>", as Parse names their table, so that a restore brings them back, too. */
#include <stdlib.h>
#include <string.h>

#include "store/data/data_priv.h"

static void bind_pair(struct run *r, int64_t class_id, const char *field, struct hob_str owner,
                      struct hob_str related)
{
    run_int(r, class_id);
    run_text(r, hob_str(field));
    run_text(r, owner.at ? owner : HOB_STR(""));
    run_text(r, related.at ? related : HOB_STR(""));
}

static enum hob_code note(struct data_tx *tx, const struct data_class *c, const char *field,
                          struct hob_str owner, struct hob_str related, char op, struct hob_err *err)
{
    struct hob_buf doc;
    struct hob_jw w;
    hob_auto_free char *name = hob_asprintf("_Join:%s:%s", field, c->name);
    hob_auto_free char *id = hob_asprintf("%.*s:%.*s", HOB_STR_ARG(owner), HOB_STR_ARG(related));
    hob_buf_init(&doc, KEY_BYTES_MAX);
    hob_jw_init(&w, &doc);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "owningId", owner);
    hob_jw_kstr(&w, "relatedId", related);
    hob_jw_object_end(&w);
    enum hob_code rc = hob_jw_end(&w, err);
    struct data_row row = {.id = hob_str(id), .doc = hob_buf_str(&doc)};
    struct change change = {name, hob_str(id), op, op == 'd' ? &row : NULL, op == 'c' ? &row : NULL};
    if (rc == HOB_OK)
        rc = change_note(tx, &change, err);
    hob_buf_done(&doc);
    return rc;
}

/* Runs one of the two statements and logs when it did something. */
static enum hob_code change_pair(struct data_tx *tx, const char *class_name, const char *field,
                                 struct hob_str owner, struct hob_str related, char op, struct hob_err *err)
{
    const struct data_class *c;
    struct run r;
    HOB_ASSERT(tx->s.is_write);
    if (class_need(tx, class_name, &c, err) != HOB_OK ||
        run_startf(&r, tx, err, "%s",
                   op == 'c' ? "INSERT INTO joins (class_id, field, owner, related) VALUES ($1, $2, $3, $4)"
                               " ON CONFLICT DO NOTHING"
                             : "DELETE FROM joins WHERE class_id = $1 AND field = $2 AND owner = $3"
                               " AND related = $4") != HOB_OK)
        return err->code;
    bind_pair(&r, c->id, field, owner, related);
    if (run_all(&r, err) != HOB_OK)
        return err->code;
    return sqlite3_changes(tx->conn->db.h) ? note(tx, c, field, owner, related, op, err) : HOB_OK;
}

enum hob_code data_join_add(struct data_tx *tx, const char *class_name, const char *field,
                            struct hob_str owner, struct hob_str related, struct hob_err *err)
{
    return change_pair(tx, class_name, field, owner, related, 'c', err);
}

enum hob_code data_join_remove(struct data_tx *tx, const char *class_name, const char *field,
                               struct hob_str owner, struct hob_str related, struct hob_err *err)
{
    return change_pair(tx, class_name, field, owner, related, 'd', err);
}

static enum hob_code walk(struct data_tx *tx, const char *class_name, const char *field, struct hob_str end,
                          bool by_owner, data_id_cb cb, void *ctx, struct hob_err *err)
{
    struct catalogue *all;
    struct run r;
    bool has_row = false;
    if (catalogue_get(tx, &all, err) != HOB_OK)
        return err->code;
    const struct data_class *c = data_class_find(tx, class_name);
    if (!c)
        return HOB_OK;
    enum hob_code rc = run_startf(
        &r, tx, err, "%s",
        by_owner
            ? "SELECT related FROM joins WHERE class_id = $1 AND field = $2 AND owner = $3 ORDER BY related"
            : "SELECT owner FROM joins WHERE class_id = $1 AND field = $2 AND related = $3 ORDER BY owner");
    if (rc != HOB_OK)
        return rc;
    run_int(&r, c->id);
    run_text(&r, hob_str(field));
    run_text(&r, end.at ? end : HOB_STR(""));
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        rc = cb(ctx, run_col_text(&r, 0), err);
        if (rc != HOB_OK)
            break;
    }
    run_end(&r);
    return rc;
}

enum hob_code data_join_related(struct data_tx *tx, const char *class_name, const char *field,
                                struct hob_str owner, data_id_cb cb, void *ctx, struct hob_err *err)
{
    return walk(tx, class_name, field, owner, true, cb, ctx, err);
}

enum hob_code data_join_owners(struct data_tx *tx, const char *class_name, const char *field,
                               struct hob_str related, data_id_cb cb, void *ctx, struct hob_err *err)
{
    return walk(tx, class_name, field, related, false, cb, ctx, err);
}

/* --- an owner that is deleted takes its pairs along --- */

struct gone {
    char **ids;
    size_t n;
};

static enum hob_code keep_id(void *ctx, struct hob_str id, struct hob_err *err)
{
    struct gone *g = ctx;
    (void)err;
    g->ids = hob_realloc(g->ids, g->n + 1, sizeof(char *));
    g->ids[g->n++] = hob_strndup(id.at, id.n);
    return HOB_OK;
}

enum hob_code joins_forget_owner(struct data_tx *tx, const struct data_class *c, struct hob_str owner,
                                 struct hob_err *err)
{
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; rc == HOB_OK && i < c->fields_n; i++) {
        if (c->fields[i].type != DATA_RELATION)
            continue;
        struct gone gone = {NULL, 0};
        rc = walk(tx, c->name, c->fields[i].name, owner, true, keep_id, &gone, err);
        for (size_t k = 0; k < gone.n; k++) {
            if (rc == HOB_OK)
                rc = change_pair(tx, c->name, c->fields[i].name, owner, hob_str(gone.ids[k]), 'd', err);
            free(gone.ids[k]);
        }
        free(gone.ids);
    }
    return rc;
}
