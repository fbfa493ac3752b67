#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] =
    "INSERT INTO learned (version_id, saved_ms, state) SELECT id, $1, $2 FROM versions WHERE id = $3"
    " ON CONFLICT (version_id) DO UPDATE SET saved_ms = excluded.saved_ms, state = excluded.state";
static const char sql_each[] = "SELECT version_id, saved_ms, state FROM learned ORDER BY version_id";
static const char sql_prune[] = "DELETE FROM learned WHERE saved_ms < $1";

enum hob_code store_learned_put(struct store_tx *tx, const struct learned_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_int(&q, row->saved_ms);
    query_blob(&q, row->state);
    query_int(&q, row->version_id);
    return query_run(&q, NULL, err);
}

enum hob_code store_learned_each(struct store_tx *tx, learned_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct learned_row row = {.version_id = query_col_int(&q, 0),
                                  .saved_ms = query_col_int(&q, 1),
                                  .state = query_col_blob(&q, 2)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}

enum hob_code store_learned_prune(struct store_tx *tx, int64_t before_ms, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_prune, err) != HOB_OK)
        return err->code;
    query_int(&q, before_ms);
    return query_run(&q, NULL, err);
}
