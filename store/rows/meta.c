#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO meta (name, value) VALUES ($1, $2)"
                              " ON CONFLICT (name) DO UPDATE SET value = excluded.value";
static const char sql_get[] = "SELECT value FROM meta WHERE name = $1";

enum hob_code store_meta_put(struct store_tx *tx, const char *name, const char *value, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    query_text(&q, value);
    return query_run(&q, NULL, err);
}

enum hob_code store_meta_get(struct store_tx *tx, const char *name, meta_row_cb cb, void *ctx,
                             struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_get, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && !has_row)
        rc = hob_fail(err, HOB_E_NOT_FOUND, "the store has no '%s'", name);
    else if (rc == HOB_OK)
        rc = cb(ctx, query_col_text(&q, 0), err);
    query_end(&q);
    return rc;
}
