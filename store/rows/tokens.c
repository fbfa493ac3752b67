#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO tokens (name, hash, created_ms) VALUES ($1, $2, $3)";
static const char sql_remove[] = "DELETE FROM tokens WHERE name = $1";
static const char sql_each[] = "SELECT name, hash, created_ms FROM tokens ORDER BY name";

enum hob_code store_token_put(struct store_tx *tx, const struct token_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_text(&q, row->name);
    query_text(&q, row->hash);
    query_int(&q, row->created_ms);
    if (query_run(&q, NULL, err) == HOB_OK)
        return HOB_OK;
    if (err->code == HOB_E_CONFLICT)
        return hob_fail(err, HOB_E_CONFLICT, "there is a token '%s' already", row->name);
    return err->code;
}

enum hob_code store_token_remove(struct store_tx *tx, const char *name, struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    if (query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_text(&q, name);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail(err, HOB_E_NOT_FOUND, "there is no token '%s'", name);
    return HOB_OK;
}

enum hob_code store_token_each(struct store_tx *tx, token_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct token_row row = {
            .name = query_col_text(&q, 0), .hash = query_col_text(&q, 1), .created_ms = query_col_int(&q, 2)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
