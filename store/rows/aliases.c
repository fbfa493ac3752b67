#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO aliases (function_id, name, version) VALUES ($1, $2, $3)"
                              " ON CONFLICT (function_id, name) DO UPDATE SET version = excluded.version";
static const char sql_remove[] = "DELETE FROM aliases WHERE function_id = $1 AND name = $2";
static const char sql_each[] = "SELECT function_id, name, version FROM aliases ORDER BY function_id, name";

enum hob_code store_alias_put(struct store_tx *tx, const struct alias_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_int(&q, row->function_id);
    query_text(&q, row->name);
    query_int(&q, row->version);
    if (query_run(&q, NULL, err) == HOB_OK)
        return HOB_OK;
    if (err->code == HOB_E_NOT_FOUND)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_version", "there is no version %u",
                               row->version);
    return err->code;
}

enum hob_code store_alias_remove(struct store_tx *tx, int64_t function_id, const char *name,
                                 struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    if (query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_int(&q, function_id);
    query_text(&q, name);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_alias", "there is no alias '%s'", name);
    return HOB_OK;
}

enum hob_code store_alias_each(struct store_tx *tx, alias_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct alias_row row = {.function_id = query_col_int(&q, 0),
                                .name = query_col_text(&q, 1),
                                .version = (uint32_t)query_col_int(&q, 2)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
