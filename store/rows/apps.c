#include "store/rows.h"

#include "store/store_priv.h"

/* The update that changes nothing makes RETURNING give the row that was there. */
static const char sql_ensure[] = "INSERT INTO apps (name, created_ms) VALUES ($1, $2)"
                                 " ON CONFLICT (name) DO UPDATE SET name = excluded.name"
                                 " RETURNING id, created_ms";
static const char sql_id[] = "SELECT id FROM apps WHERE name = $1";
static const char sql_remove[] = "DELETE FROM apps WHERE name = $1";
static const char sql_drop_aliases[] =
    "DELETE FROM aliases WHERE function_id IN (SELECT f.id FROM functions f JOIN apps a ON a.id = f.app_id"
    " WHERE a.name = $1)";
static const char sql_each[] = "SELECT id, created_ms, name FROM apps ORDER BY id";

enum hob_code store_app_ensure(struct store_tx *tx, const char *name, int64_t now_ms, struct app_row *ret_row,
                               struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_ensure, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    query_int(&q, now_ms);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK) {
        HOB_ASSERT(has_row);
        *ret_row =
            (struct app_row){.id = query_col_int(&q, 0), .created_ms = query_col_int(&q, 1), .name = name};
        rc = query_step(&q, &has_row, err);
    }
    query_end(&q);
    return rc;
}

enum hob_code store_app_id(struct store_tx *tx, const char *name, int64_t *ret_id, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_id, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && !has_row)
        rc = hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_app", "there is no app '%s'", name);
    else if (rc == HOB_OK)
        *ret_id = query_col_int(&q, 0);
    query_end(&q);
    return rc;
}

enum hob_code store_app_remove(struct store_tx *tx, const char *name, struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    /* aliases first: they hold on to versions */
    if (query_start(&q, tx, sql_drop_aliases, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    if (query_run(&q, NULL, err) != HOB_OK || query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_app", "there is no app '%s'", name);
    return HOB_OK;
}

enum hob_code store_app_each(struct store_tx *tx, app_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct app_row row = {
            .id = query_col_int(&q, 0), .created_ms = query_col_int(&q, 1), .name = query_col_text(&q, 2)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
